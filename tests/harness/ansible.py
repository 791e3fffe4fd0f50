"""Ansible with the collection community.general, as `scripts/build --dev` installs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness import processes
from tests.harness.processes import REPOSITORY, Done

COLLECTIONS = REPOSITORY / ".venv/ansible"
PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


class Ansible:
    """Plays lists of tasks; `folder` is its home."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._env = {
            "HOME": str(folder),
            "ANSIBLE_HOME": str(folder / ".ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_NOCOLOR": "1",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            **env,
        }

    def play(self, tasks: Sequence[Mapping[str, Any]], *, host: str = "localhost", **variables: object) -> Done:
        """Run tasks on a host, `localhost` or one with the variables of its connection."""
        given = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **variables}
        playbook = self._folder / "play.yml"  # JSON is YAML
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "vars": given, "tasks": list(tasks)}]))
        return processes.run([PLAYBOOK, "-i", f"{host},", playbook], env=self._env, timeout_s=240)

    def done(self, tasks: Sequence[Mapping[str, Any]], *, host: str = "localhost", **variables: object) -> list[Any]:
        """The results of tasks that must all succeed."""
        told = self._folder / "results.json"
        told.unlink(missing_ok=True)
        registered = [{**task, "register": f"result_{number}"} for number, task in enumerate(tasks)]
        names = ", ".join(f"result_{number}" for number in range(len(tasks)))
        content = {"content": "{{ [" + names + "] | to_json }}", "dest": str(told)}
        tell = {"ansible.builtin.copy": content, "delegate_to": "localhost"}
        here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        ran = self.play([*registered, {**tell, "vars": here}], host=host, **variables)
        assert ran.status == 0, ran.stdout + ran.stderr
        return json.loads(told.read_text())
