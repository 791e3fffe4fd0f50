"""The flag parser: cobra's behaviour."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightervisor.cli import parse
from lightervisor.cli.errors import CommandError
from lightervisor.cli.table import GLOBAL_FLAGS, Flag

DECLARED = {
    flag.name: flag
    for flag in (
        Flag("force", "f"),
        Flag("all", "a"),
        Flag("columns", "c", "text", default="ns"),
        Flag("config", "", "many"),
        Flag("projects", "", "each"),
        Flag("timeout", "", "number", default="-1"),
        Flag("console", "", "text", bare="console"),
    )
}


def read(*words: str) -> tuple[list[str], parse.Flags]:
    return parse.read_flags(words, DECLARED)


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        (["--columns=n"], "n"),
        (["--columns", "n"], "n"),
        (["-c", "n"], "n"),
        (["-cn"], "n"),
        (["-c=n"], "n"),
        (["-fcn"], "n"),
        (["-c", "n", "-c", "s"], "s"),
        ([], "ns"),
    ],
)
def test_a_value_is_read_in_every_spelling(words: list[str], columns: str) -> None:
    assert read(*words)[1].text("columns") == columns


def test_flags_and_arguments_mix() -> None:
    arguments, flags = read("one", "-f", "two", "--config", "a=b", "--", "-c", "three")
    assert arguments == ["one", "two", "-c", "three"]
    assert flags.on("force")
    assert flags.many("config") == ["a=b"]


def test_a_bare_flag_takes_its_value_after_an_equals_sign_only() -> None:
    arguments, flags = read("--console", "vga")
    assert (arguments, flags.text("console")) == (["vga"], "console")
    assert read("--console=vga")[1].text("console") == "vga"


def test_a_switch_can_be_turned_off() -> None:
    assert not read("-f", "--force=false")[1].on("force")


def test_lists_are_split_at_commas_where_declared() -> None:
    assert read("--projects", "a,b", "--projects=c")[1].many("projects") == ["a", "b", "c"]
    assert read("--config", "a,b")[1].many("config") == ["a,b"]


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("--nope", "unknown flag: --nope"),
        ("-z", "unknown shorthand flag: 'z' in -z"),
        ("-fz", "unknown shorthand flag: 'z' in -fz"),
        ("-c", "flag needs an argument: 'c' in -c"),
        ("--columns", "flag needs an argument: --columns"),
        ("--=x", "bad flag syntax: --=x"),
        (
            "--force=maybe",
            'invalid argument "maybe" for "-f, --force" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
        (
            "--timeout=abc",
            'invalid argument "abc" for "--timeout" flag: strconv.ParseInt: parsing "abc": invalid syntax',
        ),
    ],
)
def test_mistakes_have_cobras_words(word: str, text: str) -> None:
    with pytest.raises(CommandError) as caught:
        read(word)
    assert caught.value.sentence() == text


def test_the_deepest_command_is_found_past_global_flags() -> None:
    parsed = parse.parse(["--project", "p", "config", "-q", "device", "ls", "c1"])
    assert parsed.command is not None
    assert parsed.command.words == ("config", "device", "list")
    assert (parsed.arguments, parsed.flags.text("project"), parsed.flags.on("quiet")) == (["c1"], "p", True)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["lst"], 'unknown command "lst" for "lxc"\n\nDid you mean this?\n\tlist\n'),
        (["config", "foo"], 'unknown command "foo" for "lxc config"'),
    ],
)
def test_an_unknown_command_is_named(words: list[str], text: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse.parse(words)
    assert caught.value.sentence() == text


@pytest.mark.parametrize("words", [["list", "--help"], ["list", "-h"], ["-h", "list"]])
def test_help_can_be_asked_for_anywhere(words: list[str]) -> None:
    parsed = parse.parse(words)
    assert parsed.asks_help
    assert parsed.command is not None


@given(st.lists(st.text()))
def test_everything_after_two_dashes_is_an_argument(words: list[str]) -> None:
    assert read("--", *words)[0] == words


@given(st.lists(st.text()))
def test_any_words_parse_or_are_refused_as_a_command_error(words: list[str]) -> None:
    try:
        parse.parse(words)
    except CommandError as error:
        assert error.sentence()


@given(st.text(), st.sampled_from(["--columns=", "-c="]))
def test_a_value_survives_as_typed(value: str, spelling: str) -> None:
    if spelling == "-c=" and not value:
        return
    assert read(spelling + value)[1].text("columns") == value


def test_no_command_reuses_a_global_flag() -> None:
    from lightervisor.cli import table

    taken = {flag.name for flag in GLOBAL_FLAGS} | {flag.short for flag in GLOBAL_FLAGS if flag.short}
    clashes = {
        (command.path, flag.name)
        for command in table.all_commands()
        for flag in command.flags
        if flag.short in taken or flag.name in taken
    }
    assert {name for _, name in clashes} <= {"project", "force"}
