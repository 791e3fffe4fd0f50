"""Text that a guest chose, shown so that it cannot steer the user's terminal: names of its interfaces, its console.

Control characters can set a terminal's title, its answers and what is typed in it next. Source: ECMA-48; reliability
notes, attack 33.
"""

from __future__ import annotations

_SHOWN = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)}
_SEQUENCE = (
    r"(?P<colour>\x1b\[[0-9;]*m)"
    r"|\x1b\[[0-?]*[ -/]*[@-~]"  # the cursor, parts of the screen, modes
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # titles, the clipboard, answers
    r"|\x1b[ -/]*[0-~]"
)


def line(text: str) -> str:
    """Text of one or several lines with every other control character spelled out, as \\x1b."""
    return text if text.isprintable() else text.translate(_SHOWN)


def log(text: str) -> str:
    """What a guest wrote on its console, for a terminal: its lines and colours, and nothing else that it asked for."""
    import re

    def keep(found: re.Match[str]) -> str:
        return found["colour"] or ""

    parts = re.sub(_SEQUENCE, keep, re.sub(r"\r+\n?", "\n", text), flags=re.MULTILINE)
    # Colours are what is left of escapes.
    return re.sub(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;]*m)", lambda one: _SHOWN[ord(one[0])], parts)
