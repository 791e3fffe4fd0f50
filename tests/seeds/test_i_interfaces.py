"""Rows I1, I2, I3: the API, its websockets, and Ansible."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.harness.ansible import COLLECTIONS, PLAYBOOK
from tests.harness.daemon import Daemon
from tests.seeds.conftest import Shell


def test_i1_what_the_client_does_is_an_api_call(shell: Shell, running: str) -> None:
    debug = shell(f"lxc --debug config set {running} user.key value")
    assert debug.status == 0
    assert json.loads(shell(f"lxc query /1.0/instances/{running}").ok().stdout)["config"]["user.key"] == "value"


def test_i2_exec_and_events_are_websockets(shell: Shell, running: str) -> None:
    body = json.dumps({"command": ["true"], "wait-for-websocket": True, "interactive": True})
    started = json.loads(shell(f"lxc query -X POST -d '{body}' /1.0/instances/{running}/exec").ok().stdout)
    assert started["class"] == "websocket"
    assert set(started["metadata"]["fds"]) == {"0", "control"}
    assert all(re.fullmatch("[0-9a-f]{64}", secret) for secret in started["metadata"]["fds"].values())


@pytest.mark.parametrize("inventory", ["localhost,", "inventory"])
def test_i3_ansible_provisions_over_the_socket(
    daemon: Daemon, shell: Shell, folder: Path, image: str, name: str, inventory: str
) -> None:
    (folder / "inventory").write_text(f"localhost ansible_connection=local\n{name} ansible_connection=lxd\n")
    (folder / "playbook.yml").write_text(
        f"""
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: A profile for the web
      lxd_profile:
        url: unix:{daemon.state}/unix.socket
        name: {name}-web
        state: present
        config:
          user.role: web
        description: web servers
    - name: Create a started container
      lxd_container:
        url: unix:{daemon.state}/unix.socket
        name: {name}
        ignore_volatile_options: true
        state: started
        source:
          type: image
          mode: pull
          alias: {image}
        profiles: [default, {name}-web]
        wait_for_ipv4_addresses: true
        timeout: 60
- hosts: all:!localhost
  gather_facts: false
  tasks:
    - raw: echo provisioned > /root/by-ansible
"""
    )
    where = f"ANSIBLE_HOME=. ANSIBLE_COLLECTIONS_PATH={COLLECTIONS} ANSIBLE_PYTHON_INTERPRETER={PLAYBOOK.parent}/python"
    play = f"{where} {PLAYBOOK} -i {inventory} playbook.yml"
    assert "changed=2" in shell(play).ok().stdout
    again = shell(play).ok().stdout
    assert "localhost                  : ok=2    changed=0" in again
    if inventory == "inventory":
        assert shell(f"lxc exec {name} -- cat /root/by-ansible").ok().stdout == "provisioned\n"
    assert json.loads(shell(f"lxc query /1.0/instances/{name}").ok().stdout)["expanded_config"]["user.role"] == "web"
    shell(f"lxc delete --force {name} && lxc profile delete {name}-web").ok()
