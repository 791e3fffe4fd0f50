"""What the pages show to type works when it is typed, one block after the other, in the shell that they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import home
from tests.harness import markdown, processes
from tests.harness.daemon import Daemon
from tests.harness.processes import REPOSITORY

NOT_RUN = "<!-- not run: "
PAGES = ["README.md", *(f"docs/howto/{path.name}" for path in sorted((REPOSITORY / "docs/howto").glob("*.md")))]


def script(page: str) -> str:
    """The shell blocks of a page, less those it says are not run."""
    found = [block for block in markdown.blocks((REPOSITORY / page).read_text()) if block.language == "sh"]
    return "".join(block.text for block in found if not block.above.startswith(NOT_RUN))


@pytest.mark.parametrize("page", [page for page in PAGES if script(page)])
def test_a_page_can_be_typed_from_top_to_bottom(page: str, fresh_daemon: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "README.md").write_text((REPOSITORY / "README.md").read_text())
    conf = str(home(tmp_path / "client"))
    path = f"{REPOSITORY / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin"
    env = {**fresh_daemon.env, "LXD_CONF": conf, "HOME": conf, "PATH": path}
    processes.run(["lxc", "launch", "build:busybox", "demo"], env=env).ok()
    typed = f"set -eux\ncd '{folder}'\n{script(page)}"
    processes.run(["sh", "-c", typed], env=env, timeout_s=200).ok()
