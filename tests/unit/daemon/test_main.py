"""`lxd`'s own commands where there is no daemon, or one that may not be asked."""

from pathlib import Path

import pytest

from lightervisor.daemon import guard, main
from lightervisor.daemon.options import Paths
from lightervisor.errors import Forbidden, Unavailable


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("LXD_DIR", str(tmp_path))
    from lightervisor.daemon import options

    return options.paths()


def refuse(*_: object) -> bool:
    raise PermissionError(13, "Permission denied")


class Refusing:
    """A daemon whose socket this user may not open."""

    def get(self, path: str) -> None:
        raise PermissionError(13, "Permission denied")


def test_init_without_a_daemon_says_so_within_seconds(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "_STARTING_S", 0.1)
    with pytest.raises(Unavailable, match="Failed to connect to local LXD: nothing serves "):
        main.reach(paths)


def test_a_daemon_that_is_not_ours_to_ask_is_not_waited_for(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main, "connect", lambda _paths: Refusing())
    with pytest.raises(Forbidden, match="connect: permission denied"):
        main.wait_ready(paths, timeout_s=0)


def test_shutdown_by_somebody_else_is_refused_in_words(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "is_held", refuse)
    with pytest.raises(Forbidden, match="permission denied"):
        main.shutdown(paths, timeout_s=1, force=False)
