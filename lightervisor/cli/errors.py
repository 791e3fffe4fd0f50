"""What the command line itself has to refuse; `main` prints it as `Error: …` and exits with 1."""

from __future__ import annotations

from lightervisor.errors import Failure


class CommandError(Failure):
    """A command that cannot be carried out as typed; `text` is the sentence, `remedy` what to do about it."""

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__("command", text=text, remedy=remedy)


class WrongArguments(CommandError):
    """Too few or too many arguments: the command's help is shown with it."""

    def __init__(self) -> None:
        super().__init__("Invalid number of arguments")
