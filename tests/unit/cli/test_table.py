"""The command table is complete: every command can be found, and its handler exists."""

import pytest

from lightervisor.cli import help as pages
from lightervisor.cli import parse, table
from lightervisor.cli.errors import CommandError

COMMANDS = table.all_commands()
MINE = ("instance", "transfer", "file", "config", "config_more", "profile", "network", "storage")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.path)
def test_each_command_is_found_by_its_names(command: table.Command) -> None:
    for name in (command.words[-1], *command.aliases):
        found, rest = parse.find([*command.words[:-1], name])
        assert (found, rest) == (command, [])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.path)
def test_each_command_says_what_it_does(command: table.Command) -> None:
    assert command.summary
    assert command.path in pages.page(command)
    assert all(flag.help for flag in command.flags)
    assert command.most is None or command.least <= command.most


@pytest.mark.parametrize("command", list(table.commands(list(MINE))), ids=lambda command: command.path)
def test_each_handler_exists(command: table.Command) -> None:
    if command.handler:
        assert callable(command.load())


@pytest.mark.parametrize("handler", ["nowhere:run", "table:nothing"])
def test_a_handler_that_is_not_written_yet_is_one_clear_error(handler: str) -> None:
    with pytest.raises(CommandError) as caught:
        table.Command("cluster list", handler=handler).load()
    assert caught.value.message() == '"lxc cluster list" is not offered yet'


def test_a_mistake_in_a_handler_is_not_taken_for_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_module(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name}_more", name=f"lightervisor.cli.{name}_more")

    monkeypatch.setattr(table, "load_module", load_module)
    with pytest.raises(ModuleNotFoundError):
        table.Command("list", handler="list:run").load()


def test_no_two_commands_have_one_name() -> None:
    names = [(*command.words[:-1], name) for command in COMMANDS for name in (command.words[-1], *command.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("module", ["list", "launch", "image_list"])
def test_the_hot_path_imports_nothing_heavy(module: str) -> None:
    import subprocess
    import sys
    from pathlib import Path

    root = Path(table.__file__).parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r})\n"
        f"import lightervisor.cli.main, lightervisor.cli.{module}\n"
        "heavy = {'re', 'json', 'ssl', 'yaml', 'argparse', 'typing', 'dataclasses', 'msgspec', 'pathlib', 'socket'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-IS", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
