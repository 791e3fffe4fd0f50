"""What a user types, as typed: a shell with our `lxc` and `lxd` on its path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import processes
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import REPOSITORY, Done

Shell = Callable[..., Done]


@pytest.fixture
def shell(lxc: Lxc, daemon: Daemon, tmp_path: Path) -> Shell:
    """Run one line in `sh`; `stdin` is what is piped into it."""
    folder = tmp_path / "here"
    folder.mkdir()

    def run(line: str, *, stdin: str = "", **variables: str) -> Done:
        env = {**lxc.env, "PATH": f"{REPOSITORY / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin", **variables}
        return processes.run(["sh", "-c", f"cd '{folder}' && {line}"], env=env, stdin=stdin)

    return run


@pytest.fixture
def folder(shell: Shell, tmp_path: Path) -> Path:
    """Where the shell is."""
    return tmp_path / "here"


@pytest.fixture
def editor(tmp_path: Path) -> Callable[[str], str]:
    """An $EDITOR made of one sed expression."""

    def make(expression: str) -> str:
        program = tmp_path / "editor"
        program.write_text(f"#!/bin/sh\nexec sed -i -e '{expression}' \"$1\"\n")
        program.chmod(0o755)
        return str(program)

    return make
