"""`lxc manpage` and `lxc help`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from lightervisor.cli import main, manpage, table
from lightervisor.cli.table import Command, Flag
from tests.unit.cli.conftest import Client

ODD = Command(
    "odd",
    "<key>=<value>...",
    "odd:run",
    ".first is no request",
    long="'quoted\n.dotted \\n -x\n    deep",
    examples="lxc odd a=b\n    It is.",
    flags=(Flag("all", "a", help="Everything"), Flag("size", "", "text", default="1GiB", help="How much")),
)


@pytest.mark.parametrize(("form", "one"), [("man", "lxc.config.set.1"), ("md", "lxc_config_set.md")])
def test_every_command_has_a_page(client: Client, tmp_path: Path, form: str, one: str) -> None:
    target = tmp_path / "pages"
    target.mkdir()
    client("manpage", "--format", form, str(target))
    names = {path.name for path in target.iterdir()}
    assert one in names
    assert len(names) == len(table.all_commands()) + 1


def test_what_means_something_to_roff_is_escaped() -> None:
    text = manpage.draw(ODD, "man")
    assert "lxc\\-odd \\- \\&.first is no request" in text
    assert "\n\\&'quoted\n\\&.dotted \\en \\-x\n    deep\n.fi\n" in text
    assert "\\fB\\-a\\fR, \\fB\\-\\-all\\fR\nEverything\n" in text
    assert "How much (default 1GiB)" in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed here")
def test_groff_finds_nothing_to_complain_about() -> None:
    book = "".join(manpage.draw(command, "man") for command in (None, ODD, *table.all_commands()))
    done = subprocess.run(["groff", "-man", "-ww", "-z"], input=book, text=True, capture_output=True, check=False)
    assert done.stderr == ""


def test_yaml_pages_name_flags_and_neighbours() -> None:
    page = yaml.safe_load(manpage.draw(ODD, "yaml"))
    assert page["usage"] == "lxc odd <key>=<value>... [flags]"
    assert [flag["name"] for flag in page["options"]] == ["all", "size"]
    assert page["see_also"] == ["lxc"]


def test_rest_and_markdown_hold_the_help_page() -> None:
    for form in ("rest", "md"):
        assert "lxc odd <key>=<value>... [flags]" in manpage.draw(ODD, form)


def test_an_unknown_format_and_a_missing_folder_are_refused(client: Client, tmp_path: Path) -> None:
    assert client.fail("manpage", "-f", "pdf", str(tmp_path)).startswith('Invalid format "pdf"')
    assert "no such file or directory" in client.fail("manpage", str(tmp_path / "none"))


def test_help_is_the_commands_own_page(client: Client) -> None:
    assert client("help", "config", "set") == client("config", "set", "--help")
    assert client("help") == client("--help") == client()
    assert client("help", "--all") == client("--help", "--all")
    assert "lxc help [command]" in client("help", "--help")


def test_sub_commands_are_a_tree(client: Client) -> None:
    text = client("help", "config", "--sub-commands")
    assert "  device       Manage devices\n    add          Add instance devices\n" in text


def test_help_for_what_is_no_command_says_so(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["help", "nope"], client.environ) == 0
    assert capsys.readouterr().err == "Unknown help topic [`nope`]\n"
    assert client.fail("help", "list", "--nope") == "unknown flag: --nope"
