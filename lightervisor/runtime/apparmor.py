"""AppArmor profiles in the kernel: compiled by apparmor_parser, whose cache makes a text cost once.

Source: apparmor_parser(8); securityfs of AppArmor, policy/namespaces.
"""

import contextlib
import glob
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightervisor.errors import HostError, Invalid
from lightervisor.kernel import process
from lightervisor.runtime.settings import apparmor

NAMESPACES = Path("/sys/kernel/security/apparmor/policy/namespaces")
PARSER = "apparmor_parser"
COMPILE_ONLY = ("--features-file=/etc/apparmor.d/abi/3.0", "--skip-kernel-load")
"""Compile for a kernel as it is described there, and load nothing: where this one has no AppArmor."""


class Profiles:
    """The profiles of a daemon's containers. `security` is $LXD_DIR/security. Every function blocks.

    `options` are more words for the parser, such as COMPILE_ONLY.
    """

    def __init__(self, security: Path, options: Sequence[str] = ()) -> None:
        self._security, self._options = security, options
        self._directory, self._cache = security / "apparmor/profiles", security / "apparmor/cache"

    def load(self, name: str, config: Mapping[str, str]) -> None:
        """Write and load a container's profile, in place of one that is loaded. Raises HostError, OSError."""
        stacked = apparmor.is_stacked(config)
        text = apparmor.profile(name, self._security, config, stacked=stacked)
        file = self._file(name)
        for directory in (self._directory, self._cache):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not written anew when it is the same: the parser knows by the file's age whether it compiled it already.
        if not file.exists() or file.read_text() != text:
            self._forget_compiled(file)  # a clock that was set back would make the old one look newer
            file.write_text(text)
        link = self._directory / name  # where guides to older releases look
        link.unlink(missing_ok=True)
        link.symlink_to(file.name)
        if stacked:
            with contextlib.suppress(FileExistsError):
                (NAMESPACES / apparmor.namespace(name, self._security)).mkdir()
        process.run([PARSER, *self._options, "--replace", "--write-cache", f"--cache-loc={self._cache}", file])

    def unload(self, name: str) -> None:
        """Take a container's profile out of the kernel; nothing happens when it is not there."""
        file = self._file(name)
        if not file.exists():
            return
        with contextlib.suppress(HostError):  # not loaded: it never ran since the host was started
            process.run([PARSER, "--remove", file])
        with contextlib.suppress(OSError):
            (NAMESPACES / apparmor.namespace(name, self._security)).rmdir()

    def forget(self, name: str) -> None:
        """Remove what is left of a container's profile."""
        file = self._file(name)
        self._forget_compiled(file)
        for path in (file, self._directory / name):
            path.unlink(missing_ok=True)

    def _forget_compiled(self, file: Path) -> None:
        for cached in self._cache.glob(f"*/{glob.escape(file.name)}"):
            cached.unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._directory / f"lxd-{name}"


def check(config: Mapping[str, str]) -> None:
    """Raise Invalid when raw.apparmor makes no profile that apparmor_parser takes; it is compiled, and not loaded."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "raw.apparmor")
        file.write_text(apparmor.profile("check", Path("/var/lib/lxd/security"), config, stacked=False))
        try:
            process.run([PARSER, "--skip-kernel-load", "--skip-cache", file])
        except HostError as error:
            raise Invalid(
                "config",
                text=f"Invalid config: raw.apparmor: {error.cause}",
                remedy="see man apparmor.d: each rule ends with a comma",
            ) from error
