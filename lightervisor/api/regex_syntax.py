"""Regular expressions as Go reads them, taken apart: text in, a tree of named tuples out.

Values of LXD's filters are such expressions, and clients write them for LXD. Nothing here matches anything; that is
done in `regex_match`. Source: pkg.go.dev/regexp/syntax; corners compared with LXD 5.0.2.
"""

import functools
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

MOST_REPEATS = 1000
DEEPEST = 100
LARGEST_CHAR = 0x10FFFF
OneChar = Callable[[str], bool]


class Malformed(Exception):
    """Not a regular expression."""


class TooMuch(Exception):
    """A regular expression that this server does not carry out; the text says why."""


class Chars(NamedTuple):
    """One character that passes."""

    passes: OneChar


class Sequence(NamedTuple):
    """One after the other; nothing when empty."""

    parts: tuple["Node", ...]


class Choice(NamedTuple):
    """One of these."""

    parts: tuple["Node", ...]


class Repeat(NamedTuple):
    """At least `least` times, at most `most`; None is without end."""

    part: "Node"
    least: int
    most: int | None


class Place(NamedTuple):
    """A place between characters: ^ and $ of the text, ( and ) of a line, b and B of a word."""

    kind: str


Node = Chars | Sequence | Choice | Repeat | Place
PERL: dict[str, OneChar] = {
    "d": lambda char: "0" <= char <= "9",
    "s": lambda char: char in "\t\n\f\r ",
    "w": lambda char: char.isascii() and (char.isalnum() or char == "_"),
}
POSIX: dict[str, OneChar] = {
    "alnum": lambda char: char.isascii() and char.isalnum(),
    "alpha": lambda char: char.isascii() and char.isalpha(),
    "ascii": str.isascii,
    "blank": lambda char: char in "\t ",
    "cntrl": lambda char: char < " " or char == "\x7f",
    "digit": PERL["d"],
    "graph": lambda char: "!" <= char <= "~",
    "lower": lambda char: "a" <= char <= "z",
    "print": lambda char: " " <= char <= "~",
    "punct": lambda char: "!" <= char <= "~" and not char.isalnum(),
    "space": lambda char: char in "\t\n\v\f\r ",
    "upper": lambda char: "A" <= char <= "Z",
    "word": PERL["w"],
    "xdigit": lambda char: char in "0123456789abcdefABCDEF",
}
CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
PLACES = {"A": "^", "z": "$", "b": "b", "B": "B"}


def parse(text: str, *, any_case: bool = False) -> Node:
    """The tree of an expression. Raises Malformed, and TooMuch for scripts and deep nesting."""
    reader = _Reader(text, frozenset("i") if any_case else frozenset())
    tree = reader.choice(0)
    if reader.rest():
        raise Malformed("unexpected )")
    return tree


class _Reader:
    def __init__(self, text: str, flags: frozenset[str]) -> None:
        self._text, self._at, self._flags = text, 0, flags
        self._names: set[str] = set()

    def rest(self) -> str:
        return self._text[self._at :]

    def _next(self) -> str:
        """The character here, which is passed."""
        if self._at >= len(self._text):
            raise Malformed("ends too soon")
        self._at += 1
        return self._text[self._at - 1]

    def _take(self, wanted: str) -> bool:
        if not self._text.startswith(wanted, self._at):
            return False
        self._at += len(wanted)
        return True

    def _until(self, end: str) -> str:
        place = self._text.find(end, self._at)
        if place < 0:
            raise Malformed(f"{end} is missing")
        found, self._at = self._text[self._at : place], place + len(end)
        return found

    # What an expression is made of

    def choice(self, depth: int) -> Node:
        """Up to the end of the group; flags that are set inside end with it."""
        if depth > DEEPEST:
            raise TooMuch("it nests too deeply")
        flags, parts = self._flags, [self._sequence(depth)]
        while self._take("|"):
            parts.append(self._sequence(depth))
        self._flags = flags
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.rest() and self._text[self._at] not in "|)":
            if self._take("\\Q"):
                quoted, end, _ = self.rest().partition("\\E")
                self._at += len(quoted) + len(end)
                parts += [self._literal(char) for char in quoted]
            elif (part := self._repeatable(depth)) is not None:
                parts.append(self._repeated(part))
            elif parts:  # flags stand between an operator and what it repeats
                parts.append(self._repeated(parts.pop()))
        return Sequence(tuple(parts))

    def _repeated(self, part: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return part
        self._take("?")  # which one is tried first makes no difference to whether there is one
        if self._bounds() is not None:
            raise Malformed("invalid nested repetition operator")
        if _repeats(part) * max(bounds[0], bounds[1] or 0) > MOST_REPEATS:
            raise Malformed("invalid repeat count")
        return Repeat(part, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        """What the operator here says; None when there is none, as in "a{,2}"."""
        for sign, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._take(sign):
                return least, most
        if not self._text.startswith("{", self._at) or "}" not in self.rest():
            return None
        inner = self._text[self._at + 1 : self._text.index("}", self._at)]
        first, comma, last = inner.partition(",")
        if not _is_count(first) or (last and not _is_count(last)):
            return None
        self._at += len(inner) + 2
        bounds = int(first[:5]), int(last[:5]) if last else (None if comma else int(first[:5]))
        if max(bounds[0], bounds[1] or 0) > MOST_REPEATS or bounds[0] > (bounds[0] if bounds[1] is None else bounds[1]):
            raise Malformed("invalid repeat count")
        return bounds

    def _is_repeat_here(self) -> bool:
        at = self._at
        self._at -= 1
        found = self._bounds() is not None
        self._at = at
        return found

    def _repeatable(self, depth: int) -> Node | None:
        """One character, class, place or group; None for flags that hold from here on."""
        char = self._next()
        if char == "(":
            return self._group(depth)
        if char == "[":
            return Chars(self._class())
        if char == "\\":
            return self._escape()
        if char in "*+?" or (char == "{" and self._is_repeat_here()):
            raise Malformed("missing argument to repetition operator")
        if char in "^$":
            return Place({"^": "(", "$": ")"}[char] if "m" in self._flags else char)
        if char == ".":
            return Chars(_any if "s" in self._flags else _any_in_line)
        return self._literal(char)

    def _group(self, depth: int) -> Node | None:
        before = self._flags
        if self._take("?P<"):
            name = self._until(">")
            if not name or not all(PERL["w"](char) for char in name) or name in self._names:
                raise Malformed("invalid named capture")
            self._names.add(name)
        elif self._take("?") and self._set_flags() == ")":
            return None
        tree = self.choice(depth + 1)
        self._flags = before
        if not self._take(")"):
            raise Malformed(") is missing")
        return tree

    def _set_flags(self) -> str:
        sign, found = True, False
        while (char := self._next()) not in ":)":
            if char == "-" and sign:
                sign, found = False, False
            elif char in "imsU":
                self._flags, found = (self._flags | {char} if sign else self._flags - {char}), True
            else:
                raise Malformed("unknown flag")
        if not sign and not found:
            raise Malformed("flags are missing")
        return char

    def _escape(self) -> Node:
        if self._text[self._at : self._at + 1] in PLACES:
            return Place(PLACES[self._next()])
        known = self._escaped_class()
        return self._literal(self._escaped_char()) if known is None else Chars(known)

    # Characters and classes

    def _escaped_class(self) -> OneChar | None:
        """What stands after a backslash, if it is the name of a class."""
        letter = self._text[self._at : self._at + 1]
        if letter.lower() in PERL:
            self._at += 1
            return self._named(PERL[letter.lower()], is_not=letter.isupper())
        if letter not in ("p", "P"):
            return None
        self._at += 1
        name = self._until("}") if self._take("{") else self._next()
        return self._named(_category(name.removeprefix("^")), is_not=(letter == "P") != name.startswith("^"))

    def _escaped_char(self) -> str:
        char = self._next()
        if char in CONTROLS:
            return CONTROLS[char]
        if char == "x":
            digits = self._until("}") if self._take("{") else self._next() + self._next()
            return _char(digits, 16)
        if char in "01234567":
            digits = char
            while len(digits) < 3 and self._text[self._at : self._at + 1] in tuple("01234567"):
                digits += self._next()
            if char != "0" and len(digits) == 1:
                raise Malformed("a back reference")
            return _char(digits, 8)
        if char.isascii() and not char.isalnum():
            return char
        raise Malformed("invalid escape sequence")

    def _class(self) -> OneChar:
        """A class up to its bracket, without regard to case."""
        is_not = self._take("^")
        spans: list[tuple[str, str]] = []
        named: list[OneChar] = []
        is_first = True
        while is_first or not self._take("]"):
            is_first = False
            if self._take("[:"):
                name = self._until(":]")
                if (base := POSIX.get(name.removeprefix("^"))) is None:
                    raise Malformed("invalid character class range")
                named.append(self._named(base, is_not=name.startswith("^")))
                continue
            if self._take("\\"):
                known = self._escaped_class()
                if known is not None:
                    named.append(known)
                    continue
                low = self._escaped_char()
            else:
                low = self._next()
            high = low
            if self._text.startswith("-", self._at) and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._escaped_char() if self._take("\\") else self._next()
            if high < low:
                raise Malformed("invalid character class range")
            spans.append((low, high))
        return _in_class(spans, named, is_not=is_not, any_case="i" in self._flags)

    def _named(self, base: OneChar, *, is_not: bool) -> OneChar:
        """A class with a name; it grows by the other case first and is turned round then."""
        any_case = "i" in self._flags

        @functools.lru_cache(maxsize=256)
        def passes(char: str) -> bool:
            return any(base(one) for one in (cases(char) if any_case else (char,))) != is_not

        return passes

    def _literal(self, char: str) -> Chars:
        same = cases(char) if "i" in self._flags else frozenset(char)
        return Chars(same.__contains__)


@functools.lru_cache(maxsize=1024)
def cases(char: str) -> frozenset[str]:
    """All single characters that are this one in another case, itself included."""
    found = {char}
    for _ in range(3):
        found |= {other for one in found for other in (one.lower(), one.upper(), one.casefold()) if len(other) == 1}
    for one, more in (("k", "\u212a"), ("s", "\u017f"), ("\u00df", "\u1e9e"), ("\u00e5", "\u212b")):
        found |= {more} if one in found else set()  # no function of Python leads from one to the other
    return frozenset(found)


def _in_class(spans: list[tuple[str, str]], named: list[OneChar], *, is_not: bool, any_case: bool) -> OneChar:
    @functools.lru_cache(maxsize=256)
    def passes(char: str) -> bool:
        same = cases(char) if any_case else (char,)
        is_in = any(low <= one <= high for one in same for low, high in spans)
        return (is_in or any(one(char) for one in named)) != is_not

    return passes


def _any(_: str) -> bool:
    return True


def _any_in_line(char: str) -> bool:
    return char != "\n"


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and (text == "0" or text[0] != "0")


def _char(digits: str, base: int) -> str:
    try:
        if not digits.isalnum() or (number := int(digits, base)) > LARGEST_CHAR:
            raise Malformed("invalid escape sequence")
    except ValueError as error:
        raise Malformed("invalid escape sequence") from error
    return chr(number)


def _category(name: str) -> OneChar:
    if name == "Any":
        return _any
    if name in ("C", "L", "M", "N", "P", "S", "Z") or (len(name) == 2 and name[0] in "CLMNPSZ" and name[1].islower()):
        return lambda char: unicodedata.category(char).startswith(name)
    raise TooMuch(f"the class {name} is not known to this server")


def _repeats(node: Node) -> int:
    """How often the innermost part is written out."""
    if isinstance(node, Repeat):
        return _repeats(node.part) * max(node.least, node.most or 0, 1)
    if isinstance(node, (Sequence, Choice)):
        return max((_repeats(part) for part in node.parts), default=1)
    return 1
