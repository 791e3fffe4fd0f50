"""What a shell is told on TAB."""

from __future__ import annotations

from typing import Any

import pytest

from lightervisor.cli import complete_arguments, complete_names, table
from tests.unit.cli.conftest import Client

ANSWERS: dict[str, Any] = {
    "GET /1.0": {
        "config": {"core.https_address": ":8443"},
        "api_extensions": ["image_source_build"],
        "environment": {"storage_supported_drivers": [{"Name": "overlay"}, {"Name": "dir"}]},
    },
    "GET /1.0/instances": ["/1.0/instances/c1", "/1.0/instances/c2?project=p"],
    "GET /1.0/instances?project=p": ["/1.0/instances/c3?project=p"],
    "GET /1.0/instances?recursion=1": [{"name": "c1", "status": "Running"}, {"name": "c2", "status": "Stopped"}],
    "GET /1.0/instances/c1": {
        "config": {"user.a": "1", "volatile.x": "2"},
        "devices": {"opt": {"type": "disk", "path": "/opt"}},
        "expanded_devices": {"opt": {"type": "disk", "path": "/opt"}, "eth0": {"type": "nic"}},
    },
    "GET /1.0/instances/c1/snapshots": ["/1.0/instances/c1/snapshots/s1"],
    "GET /1.0/instances/c1/files?path=%2Fetc": ["passwd", "hosts"],
    "GET /1.0/images?recursion=1": [
        {"fingerprint": "b" * 64, "aliases": [{"name": "web"}], "properties": {"description": "a web server"}},
        {"fingerprint": "c" * 64, "aliases": [], "properties": None},
    ],
    "GET /1.0/images/build": [{"fingerprint": "d" * 64, "aliases": [{"name": "debian/12"}]}],
    "GET /1.0/profiles": ["/1.0/profiles/default", "/1.0/profiles/with%20blank"],
    "GET /1.0/networks": ["/1.0/networks/lxdbr0"],
    "GET /1.0/networks/lxdbr0": {"type": "bridge", "config": {}},
    "GET /1.0/storage-pools": ["/1.0/storage-pools/default"],
    "GET /1.0/storage-pools/default/volumes/custom": ["/1.0/storage-pools/default/volumes/custom/v1"],
    "GET /1.0/projects": ["/1.0/projects/default", "/1.0/projects/p"],
    "GET /1.0/operations?recursion=1": {"running": [{"id": "o1", "description": "Updating instance"}]},
    "GET /1.0/metadata/configuration": {
        "configs": {
            "instance": {
                "limits": {"keys": [{"limits.cpu": {"type": "string", "shortdesc": "CPUs"}}]},
                "security": {"keys": [{"security.nesting": {"type": "bool", "shortdesc": "Containers inside"}}]},
            },
            "server": {"core": {"keys": [{"core.https_address": {"type": "string", "shortdesc": "Where to listen"}}]}},
            "network-bridge": {"dns": {"keys": [{"dns.domain": {"type": "string"}}]}},
            "device-disk": {"disk": {"keys": [{"readonly": {"type": "bool"}}, {"path": {"type": "string"}}]}},
            "device-nic.bridged": {"nic": {"keys": [{"hwaddr": {"type": "string"}}]}},
        }
    },
}


@pytest.fixture
def lxc(client: Client) -> Client:
    client.server.answers = ANSWERS
    return client


def complete(lxc: Client, line: str) -> list[str]:
    """The candidates at the end of a line, without their descriptions."""
    return [text.partition("\t")[0] for text in lxc("__complete", *line.split(" ")).splitlines()[:-1]]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("inf", ["info"]),
        ("config s", ["set", "show"]),
        ("config device ov", ["override"]),
        ("config nonsense ", []),
        ("ls", ["ls"]),
        ("config trust rem", ["remove"]),
        ("help config tr", ["trust"]),
        ("help info ", []),
        ("list --fo", ["--force-local", "--format"]),
        ("list --fast --fa", []),
        ("list -f ", ["csv", "json", "table", "yaml", "compact"]),
        ("list --format=j", ["--format=json"]),
        ("list --format c", ["csv", "compact"]),
        ("monitor --type l", ["lifecycle", "logging"]),
        ("monitor -f ", ["json", "pretty", "yaml"]),
        ("copy --mode pu", ["pull", "push"]),
        ("exec c1 --mode i", ["interactive"]),
        ("--project ", ["default", "p"]),
        ("launch web -p def", ["default"]),
        ("launch web -c lim", ["limits.cpu="]),
        ("launch web -s ", ["default"]),
        ("info ", ["c1", "c2"]),
        ("--project p info ", ["c3"]),
        ("info c1 ", []),
        ("stop ", ["c1"]),
        ("start ", ["c2"]),
        ("delete c1 ", ["c2"]),
        ("delete c1/", ["c1/s1"]),
        ("restore c1 ", ["s1"]),
        ("exec c1 -- ", []),
        ("exec -- ", ["c1"]),
        ("local", []),
        ("info loc", ["local:"]),
        ("info local:", ["local:c1", "local:c2"]),
        ("info nope:", []),
        ("rename c1 ", []),
        ("launch w", ["web"]),
        ("launch b", ["bbbbbbbbbbbb", "build:"]),
        ("image info ubuntu:", []),
        ("launch build:deb", ["build:debian/12"]),
        ("file pull c1", ["c1/"]),
        ("file pull c1/etc/", ["c1/etc/passwd", "c1/etc/hosts"]),
        ("profile show ", ["default", "with blank"]),
        ("profile assign c1 default,", ["default,with blank"]),
        ("profile create ", []),
        ("network show ", ["lxdbr0"]),
        ("network attach lxdbr0 ", ["c1", "c2"]),
        ("network set lxdbr0 ", ["dns.domain="]),
        ("storage create x ", ["overlay", "dir"]),
        ("storage volume delete default ", ["v1"]),
        ("storage volume copy default/", ["default/v1"]),
        ("config set c1 lim", ["limits.cpu="]),
        ("config set c1 security.nesting=", ["security.nesting=true", "security.nesting=false"]),
        ("config set c1 limits.cpu=", []),
        ("config set co", ["core.https_address="]),
        ("config get c1 ", ["user.a", "volatile.x"]),
        ("config unset core", ["core.https_address"]),
        ("config device add c1 d ", ["disk", "nic", "none"]),
        ("config device add c1 d nic h", ["hwaddr="]),
        ("config device set c1 opt ", ["path=", "readonly="]),
        ("config device remove c1 ", ["opt"]),
        ("config device get c1 opt ", ["path", "type"]),
        ("operation show ", ["o1"]),
        ("query /1.0/net", ["/1.0/network-acls", "/1.0/network-zones", "/1.0/networks"]),
        ("query /1.0/instances/", ["/1.0/instances/c1", "/1.0/instances/c2"]),
        ("remote remove ubuntu-d", ["ubuntu-daily"]),
        ("cluster enable m", []),
        ("import x.tar.gz ", []),
        ("completion ", ["bash", "fish", "zsh"]),
        ("shell ", ["c1"]),
    ],
)
def test_what_fits_is_offered(lxc: Client, line: str, found: list[str]) -> None:
    assert sorted(complete(lxc, line)) == sorted(found)


def test_descriptions_follow_a_tab_and_a_hint_ends_the_answer(lxc: Client) -> None:
    assert lxc("__complete", "stop", "") == "c1\tRunning\n:4\n"


@pytest.mark.parametrize("line", ["file push ", "image import ", "import ", "config trust add ", "image export web "])
def test_files_are_left_to_the_shell(lxc: Client, line: str) -> None:
    assert lxc("__complete", *line.split(" ")) == ":0\n"


def test_the_users_own_commands_are_offered_and_completed(lxc: Client) -> None:
    lxc("alias", "add", "go", "start --all")
    lxc("alias", "add", "enter", "exec @ARGS@ -- bash")
    assert complete(lxc, "go") == ["go"]
    assert complete(lxc, "go ") == ["c2"]
    assert complete(lxc, "enter ") == ["c1"]
    assert "enter" in complete(lxc, "")


def test_without_a_server_there_is_silence(client: Client) -> None:
    client.server.answers = {"GET /1.0/instances": (500, "broken")}
    for line in ("info ", "list -f ", "start ", "config set c1 ", "profile assign c1 ", "query /1.0/x/"):
        complete(client, line)
    assert complete(client, "launch ubuntu-d") == ["ubuntu-daily:"]


def test_the_first_run_is_not_greeted(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    from lightervisor.cli import main

    client.environ["LXD_CONF"] += "/new"
    assert main.run(["__complete", "inf"], client.environ) == 0
    assert main.run(["completion", "bash"], client.environ) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_every_shell_has_a_script_that_asks_the_program(client: Client, shell: str) -> None:
    assert "__complete" in client("completion", shell)


def test_an_unknown_shell_is_refused(client: Client) -> None:
    assert client.fail("completion", "tcsh").startswith('There is no completion for "tcsh"')


# Nothing can be known of these.
FREE = frozenset(
    (
        *("<command line>", "<name>", "<filter>", "<filters>", "<snapshot name>", "<new-name>", "<value>", "<URL>"),
        *("<device name>", "<interface name>", "<volume name>", "<instance name>", "<new alias>", "[<remote>]"),
        *("<IP|FQDN|URL|token>", "<role,role>", "<old name>/<old snapshot name>", "<new name>/<new snapshot name>"),
        *("<listen_port(s)>", "<target_address>", "<target_port(s)>", "<target project/target_network>", "command"),
    )
)


def test_every_argument_of_every_command_is_known() -> None:
    known = complete_arguments.KINDS.keys() | complete_arguments.FILE_KINDS | FREE
    unknown = {
        (" ".join(command.words), place.kind)
        for command in table.all_commands()
        for place in complete_arguments.places(command.usage)
        if place.kind not in known
    }
    assert not unknown


@pytest.mark.parametrize(("text", "plain"), [("a", "a"), ("a%20b", "a b"), ("%C3%A9%2Fx", "é/x")])
def test_names_are_decoded(text: str, plain: str) -> None:
    assert complete_names.unquote(text) == plain
