"""Why a container did not start, in one sentence, from liblxc's log."""

import re
from pathlib import Path

from lightervisor.runtime import init_program
from lightervisor.runtime.spec import ContainerSpec

CONFIGURATION = 2  # the status of a start whose configuration file liblxc did not accept
NOISE = (
    "Failed to initialize container", "Failed to spawn container", "Received container state", "No such container",
    "Failed to setup container", "__sync_wait", "sync_wait", "lxc_container", "Received command line",
    "mount_entry_create_dir_file", "mkdir_p",
)  # fmt: skip
KNOWN = (
    (r'No such file or directory - Failed to exec "([^"]+)"', "the image has no init: {0} does not exist"),
    (r'Permission denied - Failed to exec "([^"]+)"', "the image's init {0} is not executable"),
    (r'Too many levels of symbolic links - Failed to exec "([^"]+)"', "the image's init {0} is a link to itself"),
    (r" ERROR +seccomp - \S+ - (.*)", "the seccomp policy is not valid: {0}"),
    (r'Permission denied - Failed to access rootfs "([^"]+)"|Permission denied - Failed to mount rootfs "([^"]+)"',
     "the container's root may not enter its root file system {0}"),
    (r'No such file or directory - Failed to (?:get real path|access rootfs|mount rootfs)[^"]*"([^"]+)"',
     "its root file system {0} is not there"),
    (r'(?:Device or resource busy|File exists) - Failed to (?:create|rename)[^"]*"(veth[^"]*|eth[^"]*)"',
     "the network interface {0} exists already"),
    (r'No such device - Failed to attach "([^"]+)" to bridge "([^"]+)"', "the bridge {1} does not exist"),
    (r'Failed to write "([^"]*)" to "?([^" ]*(?:memory|cpu|pids|blkio|hugetlb|io)\.[a-z_.]+)',
     "the kernel refused {0!r} for the limit {1}"),
    (r"Invalid argument - Failed to set(?:up)? (?:sysctl|system parameter)[^:]*?([a-z0-9_.]+)$",
     "the kernel refused the sysctl {0}"),
    (r"No space left on device - (.*)", "no space is left on the device ({0})"),
    (r"Failed to set rlimit (\w+)|Failed to set limit (\w+)", "the kernel refused the limit {0}"),
)  # fmt: skip


def explain(spec: ContainerSpec, log: Path, status: int) -> str:
    """The sentence: what is known to go wrong in plain words, else liblxc's first error line that says something."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    if status == CONFIGURATION:
        return sentence(spec, _configuration(spec, text))
    said = init_program.missing_interpreter(spec) or _known(text) or _telling(text)
    return sentence(spec, said or "liblxc gave no reason")


def sentence(spec: ContainerSpec, reason: str) -> str:
    """The whole sentence around a reason."""
    return f"Failed to start instance {spec.hostname!r}: {reason}"


def _known(text: str) -> str:
    for pattern, sentence in KNOWN:
        if match := re.search(pattern, text, re.MULTILINE):
            return sentence.format(*(group for group in match.groups() if group))
    return ""


def telling(log: Path) -> str:
    """The last errors of a log, "no reason given" without any."""
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if " ERROR " in line]
    except OSError:
        lines = []
    return "; ".join(_telling(line) for line in lines[-4:]) or "no reason given"


def _telling(text: str) -> str:
    errors = [line for line in text.splitlines() if " ERROR " in line]
    telling = [line for line in errors if not any(noise in line for noise in NOISE)] or errors
    # "… ERROR    conf - ../src/lxc/conf.c:function:123 - Reason - What failed"
    return telling[0].partition(" ERROR ")[2].split(" - ", 2)[-1].strip() if telling else ""


def _configuration(spec: ContainerSpec, text: str) -> str:
    whose = "raw.lxc" if spec.config.get("raw.lxc") else "the configuration"
    said = _telling(text)
    return f"liblxc does not accept {whose}" + (f": {said}" if said else f" (see {spec.log_dir / 'lxc.conf'})")


def died_at_once(spec: ContainerSpec, log: Path) -> str:
    """The sentence for an init that ended right after its start."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return sentence(spec, _known(text) or f"its init ended at once (see lxc info {spec.hostname} --show-log)")
