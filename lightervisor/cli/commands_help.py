"""Declares `lxc help`, which the parser itself answers."""

from lightervisor.cli.table import Command

COMMANDS = (Command("help", "[command]", "help:run", "Help about any command", most=None),)
