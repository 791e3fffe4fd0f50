"""Ansible's modules for LXD and its connection plugin, as released, against this daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import discard, home
from tests.harness.ansible import Ansible
from tests.harness.certificates import make
from tests.harness.client_lxc import OURS, STOCK, Lxc
from tests.harness.daemon import Daemon
from tests.harness.network import on_network

PASSWORD = "a password"


@contextmanager
def over(transport: str, daemon: Daemon, folder: Path) -> Iterator[tuple[Ansible, dict[str, str]]]:
    """Ansible, and what its modules need to reach the daemon."""
    if transport == "unix":
        yield Ansible(folder, {}), {"url": f"unix:{daemon.state}/unix.socket"}
        return
    certificate, key = make().write(folder / "ansible")
    with on_network(daemon) as network:
        assert daemon.request("PATCH", "/1.0", {"config": {"core.trust_password": PASSWORD}}).status == 200
        # The module lets OpenSSL say which servers it believes.
        ansible = Ansible(folder, {"SSL_CERT_FILE": str(daemon.state / "server.crt")})
        url = f"https://127.0.0.1:{network.port}"
        yield ansible, {"url": url, "client_cert": str(certificate), "client_key": str(key)}


@pytest.mark.parametrize("transport", ["unix", "https"])
def test_containers_and_profiles(daemon: Daemon, image: str, name: str, tmp_path: Path, transport: str) -> None:
    def container(**more: object) -> dict[str, Any]:
        return {"community.general.lxd_container": {**where, "name": name, **more}}

    def profile(**more: object) -> dict[str, Any]:
        return {"community.general.lxd_profile": {**where, "name": f"{name}-web", **more}}

    source = {"type": "image", "mode": "pull", "alias": image}
    profiles = ["default", f"{name}-web"]
    with over(transport, daemon, tmp_path) as (ansible, where):
        trust = {"trust_password": PASSWORD} if transport == "https" else {}
        results = ansible.done(
            [
                profile(description="of the web", config={"limits.processes": "500"}, devices={}, **trust),
                profile(description="of the web", config={"limits.processes": "500"}, devices={}),
                container(source=source, profiles=profiles, config={"user.a": "1"}, wait_for_ipv4_addresses=True),
                container(profiles=profiles, config={"user.a": "1"}),
                container(state="restarted", config={"user.a": "2"}, force_stop=True),
                container(state="frozen"),
                container(state="stopped", force_stop=True),
            ]
        )
        assert [one["actions"] for one in results] == [
            ["create"], [], ["create", "start"], [], ["apply_instance_configs", "restart"], ["freeze"],
            ["unfreeze", "stop"],
        ]  # fmt: skip
        assert [one["changed"] for one in results] == [bool(one["actions"]) for one in results]
        assert results[2]["addresses"]["eth0"]
        assert [one["old_state"] for one in results[2:]] == ["absent", "started", "started", "started", "frozen"]
        found = daemon.request("GET", f"/1.0/instances/{name}").metadata
        assert (found["status"], found["config"]["user.a"], found["profiles"]) == ("Stopped", "2", profiles)
        assert daemon.request("GET", f"/1.0/profiles/{name}-web").metadata["description"] == "of the web"
        removed = ansible.done([container(state="absent"), container(state="absent"), profile(state="absent")])
        assert [one["changed"] for one in removed] == [True, False, True]
    assert name not in daemon.instance_names()
    assert daemon.request("GET", f"/1.0/profiles/{name}-web").status == 404


def test_what_is_refused_is_told_in_the_play(daemon: Daemon, name: str, tmp_path: Path) -> None:
    with over("unix", daemon, tmp_path) as (ansible, where):
        wrong = {**where, "name": name, "source": {"type": "image", "alias": "no-such-image"}}
        ran = ansible.play([{"community.general.lxd_container": wrong}])
    assert ran.status != 0
    assert "Image alias not found" in ran.stdout
    assert name not in daemon.instance_names()


@pytest.mark.parametrize("program", [OURS, STOCK], ids=["lxc", "stock-lxc"])
def test_tasks_run_inside_by_the_connection_plugin(daemon: Daemon, running: str, tmp_path: Path, program: Path) -> None:
    if not program.exists():
        pytest.skip("this distribution has no package lxd-client")
    env = {
        **Lxc(program, daemon.env, home(tmp_path / "lxc")).env,
        "PATH": f"{program.parent}:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/sh\necho script of $(hostname) with $1\n")
    connection = {"ansible_connection": "community.general.lxd", "ansible_python_interpreter": None}
    results = Ansible(tmp_path, env).done(
        [
            {"ansible.builtin.raw": "echo {{ word | quote }}; hostname; id -u"},
            {"ansible.builtin.script": f"{script} 'two words'"},
            {"ansible.builtin.raw": "exit 3", "failed_when": False},
        ],
        host=running,
        word="it's $HOME",
        **connection,
    )
    assert results[0]["stdout_lines"] == ["it's $HOME", running, "0"]
    assert results[1]["stdout_lines"] == [f"script of {running} with two words"]
    assert results[2]["rc"] == 3
    discard(daemon, running)
    ran = Ansible(tmp_path, env).play([{"ansible.builtin.raw": "true"}], host=running, **connection)
    assert "instance not found" in ran.stdout
    assert "unreachable=1" in ran.stdout
