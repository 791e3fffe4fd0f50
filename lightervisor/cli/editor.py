"""Editing a text: from standard input when that is no terminal, else in the user's editor, again after a mistake."""

from __future__ import annotations

import sys

from lightervisor.cli.errors import CommandError
from lightervisor.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lightervisor.cli.session import Session

_EDITORS = ("editor", "vi", "emacs", "nano")


def edit(session: Session, text: str, apply: Callable[[str], None], *, is_yaml: bool = True) -> None:
    """Let the user change `text` and hand the result to `apply`; on a failure the editor opens again."""
    if not session.has_terminal():
        apply(sys.stdin.read())
        return
    content = run_editor(session.environ, text, ".yaml" if is_yaml else "")
    while True:
        try:
            apply(content)
        except Failure as failure:
            session.warn(f"Config parsing error: {failure.message()}")
            session.ask("Press enter to open the editor again or ctrl+c to abort change\n")
            content = run_editor(session.environ, content, ".yaml" if is_yaml else "")
        else:
            return


def run_editor(environ: Mapping[str, str], text: str, suffix: str) -> str:
    """The text after the user's editor ended with success."""
    import shlex
    import shutil
    import subprocess
    import tempfile

    command = environ.get("VISUAL") or environ.get("EDITOR") or next(filter(shutil.which, _EDITORS), "")
    if not command:
        raise CommandError("No text editor found, please set the EDITOR environment variable")
    with tempfile.NamedTemporaryFile("w", prefix="lxd_editor_", suffix=suffix, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        status = subprocess.call([*shlex.split(command), file.name])  # noqa: S603
        if status:
            raise CommandError(f"The editor failed with status {status}")
        # Editors replace the file, so it is read by name; the handle may be of the old one.
        with open(file.name, encoding="utf-8") as edited:  # noqa: PTH123
            content = edited.read()
    return content
