"""Why a container did not start, in one sentence, from liblxc's log."""

import re
from pathlib import Path

from lightervisor.runtime.spec import ContainerSpec

NOISE = (
    "Failed to initialize container", "Failed to spawn container", "Received container state", "No such container",
    "Failed to setup container", "__sync_wait", "sync_wait", "lxc_container", "Received command line",
)  # fmt: skip
KNOWN = (
    (
        re.compile(r"No such file or directory - Failed to exec \"([^\"]+)\""),
        "the image has no init: {0} does not exist",
    ),
    (re.compile(r"Permission denied - Failed to exec \"([^\"]+)\""), "the image's init {0} is not executable"),
    (
        re.compile(r"Exec format error - Failed to exec \"([^\"]+)\""),
        "the image's init {0} is for another architecture",
    ),
    (re.compile(r"Failed to load seccomp"), "the seccomp policy is not valid"),
)


def explain(spec: ContainerSpec, log: Path) -> str:
    """The sentence: what is known to go wrong in plain words, else liblxc's first error line."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        text = ""
    for pattern, sentence in KNOWN:
        if match := pattern.search(text):
            return f"Failed to start instance {spec.hostname!r}: {sentence.format(*match.groups())}"
    errors = [line for line in text.splitlines() if " ERROR " in line]
    telling = [line for line in errors if not any(noise in line for noise in NOISE)] or errors
    said = telling[0].partition(" ERROR ")[2].strip() if telling else "liblxc gave no reason"
    return f"Failed to start instance {spec.hostname!r}: {said}"


def died_at_once(spec: ContainerSpec) -> str:
    """The sentence for an init that ended right after its start."""
    return (
        f"Failed to start instance {spec.hostname!r}: its init ended at once (see lxc info {spec.hostname} --show-log)"
    )
