"""The client's configuration and `remote:name`."""

from pathlib import Path

import pytest

from lightervisor.cli import config
from lightervisor.cli.errors import CommandError

TEXT = """\
default-remote: mine
remotes:
  mine:
    addr: https://10.0.0.1:8443
    protocol: lxd
    public: false
    project: web
  local:
    addr: unix://
    public: false
    project: db
aliases:
  ll: list -c n
"""


def load(folder: Path, text: str | None = TEXT, **environ: str) -> config.Config:
    if text is not None:
        (folder / "config.yml").write_text(text)
    return config.load({"LXD_CONF": str(folder), "LXD_GLOBAL_CONF": str(folder / "none"), **environ})


@pytest.mark.parametrize(
    ("raw", "parsed"),
    [
        ("c1", ("mine", "c1")),
        ("local:c1", ("local", "c1")),
        ("local:", ("local", "")),
        ("build:busybox", ("build", "busybox")),
        ("c1/2020:01", ("mine", "c1/2020:01")),
    ],
)
def test_names_are_parsed(tmp_path: Path, raw: str, parsed: tuple[str, str]) -> None:
    assert load(tmp_path).parse(raw) == parsed


def test_an_unknown_remote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match='The remote "nope" doesn\'t exist'):
        load(tmp_path).parse("nope:x")


def test_the_built_in_remotes_are_there_without_a_file(tmp_path: Path) -> None:
    empty = load(tmp_path, None)
    assert empty.is_first_run
    assert empty.default_remote == "local"
    minimal = {"ubuntu-minimal", "ubuntu-minimal-daily"}
    assert {"local", "ubuntu", "ubuntu-daily", "images", "build", *minimal} == set(empty.remotes)


def test_a_remote_of_one_s_own_comes_before_what_later_versions_have(tmp_path: Path) -> None:
    own = load(
        tmp_path, "remotes:\n  ubuntu-minimal:\n    addr: https://mirror.example.org\n    protocol: simplestreams\n"
    )
    assert own.remote("ubuntu-minimal")["addr"] == "https://mirror.example.org"
    assert not own.is_static("ubuntu-minimal")
    assert own.is_static("ubuntu-minimal-daily")


def test_projects_and_aliases_are_read(tmp_path: Path) -> None:
    read = load(tmp_path)
    assert (read.project("mine"), read.project("local"), read.project("build")) == ("web", "db", "")
    assert read.aliases == {"ll": "list -c n"}


def test_the_environment_chooses_the_default_remote(tmp_path: Path) -> None:
    assert load(tmp_path, LXD_REMOTE="local").default_remote == "local"


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    first = load(tmp_path)
    first.aliases["x"] = "exec @ARGS@ -- sh -c 'a: b'"
    first.save()
    second = load(tmp_path, None)
    assert (second.aliases, second.own_remotes) == (first.aliases, first.own_remotes)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yml"]


@pytest.mark.parametrize(
    ("address", "environ", "path"),
    [
        ("unix://", {}, "/var/lib/lxd/unix.socket"),
        ("unix://", {"LXD_DIR": "/x"}, "/x/unix.socket"),
        ("unix://", {"LXD_DIR": "/x", "LXD_SOCKET": "/y"}, "/y"),
        ("unix:///z/sock", {"LXD_DIR": "/x"}, "/z/sock"),
    ],
)
def test_the_socket_is_found(address: str, environ: dict[str, str], path: str) -> None:
    assert config.socket_path(address, environ) == path


def test_a_broken_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="yaml"):
        load(tmp_path, "remotes: [")
