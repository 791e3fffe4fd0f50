"""Copies of directory trees that somebody writes to, as they are at one moment."""

import contextlib
import logging
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from lightervisor.errors import HostError
from lightervisor.kernel import paths, process
from lightervisor.kernel.copies import Watch, copy_tree

log = logging.getLogger(__name__)
_PACKAGE = Path(__file__).parent.parent.parent
_START = (
    "import os, sys; sys.path.insert(0, sys.argv.pop(1)); from lightervisor.kernel.tree_copy import main;"
    "sys.exit(main([os.fsencode(word) for word in sys.argv[1:]]))"
)
"""As a module it is compiled already."""
Still = Callable[[], AbstractContextManager[None]]
"""Holds whoever writes to a tree still for as long as the context lasts."""


class Copied(NamedTuple):
    """A directory, and a free name for its copy."""

    source: Path
    target: Path


def copy_trees(trees: Sequence[Copied], still: Still | None = None, watch: Watch | None = None) -> None:
    """Copy directories as they all are at one moment, in which `still` holds whoever writes to them.

    Nearly all is copied before, so that nobody is held still for longer than what changed last takes. Without `still`
    nobody writes there. Raises HostError, Failure when it was cancelled.
    """
    if not trees:
        return
    watch = watch or Watch()
    if still is None:
        for one in trees:
            copy_tree(one.source, one.target, watch)
        return
    with _followed(trees, watch) as following, still():
        if following is not None:
            following.finish()
            return
        for one in trees:
            paths.remove_tree(one.target)
            copy_tree(one.source, one.target, watch)


@contextmanager
def _followed(trees: Sequence[Copied], watch: Watch) -> Generator["_Following | None", None, None]:
    """The program that follows what changes, when it has copied most of it; None when it cannot."""
    words = [path for one in trees for path in one]
    argv = [sys.executable, "-IS", "-c", _START, _PACKAGE, *words]
    with watch.minding(argv, stdin=process.PIPE, stdout=process.PIPE, stderr=subprocess.PIPE) as child:
        following = _Following(child)
        try:
            try:
                following.begin()
            except HostError as error:
                watch.check()
                log.warning("what changes meanwhile cannot be copied beforehand: %s", error)
                yield None
                return
            try:
                yield following
            except HostError:
                watch.check()
                raise
        finally:
            following.close()


class _Following:
    """What is said to the program, and what it says."""

    def __init__(self, child: process.Child) -> None:
        self._child = child

    def begin(self) -> None:
        """Wait until it has copied nearly all. Raises HostError."""
        self._expect(b"ready\n")

    def finish(self) -> None:
        """The trees do not change any more: make the copies whole. Raises HostError."""
        if self._child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # what it says tells why
                self._child.stdin.write(b"go\n")
                self._child.stdin.flush()
        self._expect(b"done\n")

    def close(self) -> None:
        """Let it end."""
        self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _expect(self, word: bytes) -> None:
        said = self._child.stdout.readline() if self._child.stdout is not None else b""
        if said != word:
            complaint = self._child.stderr.read() if self._child.stderr is not None else b""
            raise HostError("copy", cause=process.last_words(complaint, self._child.wait()))
