"""How much the volumes of a pool take and may take, where the pool's file system keeps quotas of projects.

Each volume is a project of its own from its beginning, so that what it takes is known without looking at its files.
Which one is noted nowhere but in the file system: it is the project of the volume's directory, which hands it down
while the volume is made and not afterwards: what the daemon writes there is its own. All that is made for
the volume is made in directories of it, also pipes and links, which cannot be put into a project afterwards.
"""

import logging
import os
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightervisor.config import sizes
from lightervisor.errors import Conflict, Failure, HostError
from lightervisor.kernel import mounts, project_quotas
from lightervisor.kernel.project_quotas import Figures
from lightervisor.storage.layout import PoolLayout
from lightervisor.storage.mountpoint import Mountpoint

log = logging.getLogger(__name__)
LOWEST, HIGHEST = 1 << 24, (1 << 31) - 1  # far from what people and other daemons choose


class PoolQuotas:
    """The projects of one pool's volumes; where there are none, projects are 0 and nothing is known."""

    def __init__(self, layout: PoolLayout) -> None:
        self._root, self._layout = layout.root, layout

    def are_kept(self) -> bool:
        """Whether this pool's file system keeps them now."""
        try:
            with _opened(self._root) as root:
                return project_quotas.are_kept(root)
        except OSError:
            return False

    def begin(self, directory: Path, project: int = 0) -> int:
        """Make an empty directory the beginning of a project, of a new one without a number; the number.

        Raises HostError.
        """
        try:
            with _opened(directory) as opened:
                if project or project_quotas.are_kept(opened):
                    project = project or _unused(opened)
                    project_quotas.assign(opened, project)
        except OSError as error:
            raise self._failure(error) from error
        return project

    def begin_for(self, directory: Path, volume: Path) -> int:
        """As `begin`, for what is to be in a volume's place: a project of its own, as both are there for a while.

        It may take as much as the one that is there.
        """
        project, before = self.begin(directory), self.figures(volume)
        if project and before is not None and before.limit:
            self.limit(project, before.limit)
        return project

    def begin_in(self, directory: Path, name: str) -> Path:
        """A directory in a volume's that is of its project: made, where the volume has one and that is not there."""
        place, project = directory / name, self.project(directory)
        if project and not place.is_dir():
            place.mkdir(mode=0o711)
            self.begin(place, project)
        return place

    def settle(self, directory: Path) -> None:
        """What was made in a directory is complete: what is written beside it is the daemon's own, and not counted.

        On xfs the daemon would be held by a full volume, too. Raises OSError.
        """
        with _opened(directory) as opened:
            if self.project_of(opened):
                project_quotas.hand_down_no_more(opened)

    @staticmethod
    def project_of(opened: int) -> int:
        """The project of an open directory, 0 for none; also where nothing is known of it."""
        try:
            return project_quotas.project_of(opened)
        except OSError:
            return 0

    def adopt(self, directories: Sequence[Path], whose: str) -> int:
        """Put what is there already into a new project; it takes as long as there are files.

        The volume's own directory, which tells its project, is the first of them and done last. Raises HostError, and
        Conflict for one that is in use: overlayfs does not allow changes below it, and pipes would lose their readers.
        """
        if mounts.is_mountpoint(Mountpoint(directories[0]).path):
            cause = "it was made before this pool had quotas, so its files have to be counted first"
            text = f"The size of {whose} cannot be set while it is in use"
            raise Conflict("size", text=text, cause=cause, remedy="stop what uses it, set the size, and start it again")
        with self._layout.making("quota") as staged:
            project = self.begin(staged)
            try:
                with _opened(staged) as staging:
                    for directory in reversed(directories):
                        with _opened(directory) as opened:
                            project_quotas.assign_tree(opened, project, staging)
                            project_quotas.hand_down_no_more(opened)
            except OSError as error:
                raise self._failure(error) from error
        return project

    def project(self, directory: Path) -> int:
        """The project of a volume's directory, 0 when it has none or is not there."""
        try:
            with _opened(directory) as opened:
                return project_quotas.project_of(opened)
        except OSError:
            return 0

    def figures(self, directory: Path) -> Figures | None:
        """What the volume of a directory takes and may take; None where that is not kept."""
        try:
            with _opened(directory) as opened:
                if project := project_quotas.project_of(opened):
                    return project_quotas.figures(opened, project)
        except OSError:
            pass
        return None

    def resize(self, directory: Path, size: int, whose: str, parts: Callable[[], Sequence[Path]]) -> None:
        """Let the volume of a directory, which consists of these, take at most so many bytes, 0 for no limit.

        Where there are no quotas that is said in the log. Raises Failure with LXD's text when it takes more already,
        HostError.
        """
        if not self.are_kept():
            if size:
                log.warning("storage pool %s has no quotas: the size of %s is not kept", self._root.name, whose)
            return
        project = self.project(directory) or self.adopt(parts(), whose)
        figures = self.figures(directory)
        if size and figures is not None and figures.used > size:
            remedy = f"{sizes.human(figures.used)} are in use: delete files in it, or choose a larger size"
            raise Failure("storage volume", directory.name, text="Cannot be shrunk", remedy=remedy)
        self.limit(project, size)

    def limit(self, project: int, size: int) -> None:
        """Let a project take at most so many bytes, 0 for as many as there are. Raises HostError."""
        try:
            with _opened(self._root) as root:
                project_quotas.limit(root, project, size)
        except OSError as error:
            raise self._failure(error) from error

    def forget(self, project: int) -> None:
        """A volume is gone: its limit goes; what cannot be taken back is told in the log."""
        if project:
            try:
                self.limit(project, 0)
            except HostError as error:
                log.warning("the quota of project %d stays: %s", project, error)

    def forget_of(self, directory: Path) -> None:
        """As `forget`, by the directory of the volume."""
        self.forget(self.project(directory))

    def _failure(self, error: OSError) -> HostError:
        return HostError("quota", self._root.name, cause=error.strerror or str(error))


def _unused(directory: int) -> int:
    while True:
        project = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        if project_quotas.figures(directory, project) == Figures(used=0, limit=0):
            return project


@contextmanager
def _opened(directory: Path) -> Generator[int, None, None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
