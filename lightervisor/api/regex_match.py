"""Whether a regular expression occurs in a text, in a time that grows with both and no faster.

A backtracking matcher can take years over a few characters, and all that time nobody else is served. This one is in
all the states that the characters so far allow at once. Source: Thompson, Regular Expression Search Algorithm, 1968.
"""

from typing import NamedTuple

from lightervisor.api.regex_syntax import PERL, Chars, Choice, Node, OneChar, Place, Repeat, Sequence, TooMuch, parse

LARGEST = 5000
MOST_STEPS = 1_000_000
"""A second or so; what is asked for in earnest takes a thousandth of it."""


class Step(NamedTuple):
    """One state: where to go, for a character that passes, at a place of that kind, or ("" and None) for nothing."""

    to: tuple[int, ...]
    passes: OneChar | None = None
    place: str = ""


class Effort:
    """What the matching of one request may still cost, in states visited."""

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Raises TooMuch when it is used up."""
        self._left -= steps
        if self._left < 0:
            raise TooMuch("it takes too long")


class Regex:
    """A regular expression in Go's syntax, in any case. Raises Malformed, TooMuch."""

    def __init__(self, text: str) -> None:
        self._steps: list[Step] = [Step(())]  # the first is the end
        tree = parse(text, any_case=True)
        self._start = self._add(tree, 0)
        self._only_at_the_beginning = isinstance(tree, Sequence) and tree.parts[:1] == (Place("^"),)

    def occurs_in(self, text: str, effort: Effort) -> bool:
        """Whether some part of a text matches. Raises TooMuch."""
        waiting: set[int] = set()
        for index in range(len(text) + 1):
            before, after = text[index - 1 : index] if index else "", text[index : index + 1]
            if index and self._only_at_the_beginning and not waiting:
                break
            here = self._reached(waiting | {self._start}, before, after)
            effort.spend(len(here))
            if 0 in here:
                return True
            waiting = {to for at in here if (step := self._steps[at]).passes and after and step.passes(after)
                       for to in step.to}  # fmt: skip
        return False

    def _reached(self, states: set[int], before: str, after: str) -> set[int]:
        """All states that can be reached from these without a character, between these two."""
        found, todo = set(states), list(states)
        while todo:
            step = self._steps[todo.pop()]
            if step.passes is None and (not step.place or _is_at(step.place, before, after)):
                fresh = [to for to in step.to if to not in found]
                found.update(fresh)
                todo += fresh
        return found

    def _new(self, step: Step) -> int:
        if len(self._steps) >= LARGEST:
            raise TooMuch("it is too large")
        self._steps.append(step)
        return len(self._steps) - 1

    def _add(self, node: Node, then: int) -> int:
        """The state in which a node begins that goes on to `then`."""
        if isinstance(node, Chars):
            return self._new(Step((then,), passes=node.passes))
        if isinstance(node, Place):
            return self._new(Step((then,), place=node.kind))
        if isinstance(node, Choice):
            return self._new(Step(tuple(self._add(part, then) for part in node.parts)))
        if isinstance(node, Repeat):
            return self._add_repeat(node, then)
        for part in reversed(node.parts):
            then = self._add(part, then)
        return then

    def _add_repeat(self, node: Repeat, then: int) -> int:
        if node.most is None:
            loop = self._new(Step(()))
            self._steps[loop] = Step((self._add(node.part, loop), then))
            then = loop
        else:
            end = then
            for _ in range(node.most - node.least):
                then = self._new(Step((self._add(node.part, then), end)))
        for _ in range(node.least):
            then = self._add(node.part, then)
        return then


def _is_at(kind: str, before: str, after: str) -> bool:
    if kind in "^(":
        return before == "" or (kind == "(" and before == "\n")
    if kind in "$)":
        return after == "" or (kind == ")" and after == "\n")
    is_edge = (before != "" and PERL["w"](before)) != (after != "" and PERL["w"](after))
    return is_edge == (kind == "b")
