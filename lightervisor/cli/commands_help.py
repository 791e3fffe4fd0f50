"""Declares `lxc help`."""

from lightervisor.cli.table import ROOT_FLAG, Command

COMMANDS = (Command("help", "[command]", "help:run", "Help about any command", most=None, flags=(ROOT_FLAG,)),)
