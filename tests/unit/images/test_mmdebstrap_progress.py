"""What mmdebstrap says becomes what the operation shows. The lines are those of mmdebstrap 1.3.5 with apt 2.6."""

from __future__ import annotations

from lightervisor.images.builders.mmdebstrap_progress import Listener

ROUND = """\
I: downloading packages with apt...
0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.
Need to get 2,000 kB of archives.
After this operation, 139 MB of additional disk space will be used.
Get:1 http://mirror.example/debian bookworm/main amd64 libc6 amd64 2.36-9+deb12u14 [500 kB]
Get:2 http://mirror.example/debian bookworm/main amd64 dash amd64 0.5.12-2 [1.5 MB]
I: extracting archives...
I: installing essential packages...
Selecting previously unselected package libc6:amd64.
Unpacking libc6:amd64 (2.36-9+deb12u14) ...
Unpacking dash (0.5.12-2) ...
Setting up libc6:amd64 (2.36-9+deb12u14) ...
Setting up dash (0.5.12-2) ...
Processing triggers for libc-bin (2.36-9+deb12u14) ...
"""


def told(text: str) -> list[str]:
    found: list[str] = []
    listener = Listener(found.append)
    for line in text.splitlines():
        listener.hear(line)
    return found


def test_a_round_of_packages_is_told_in_per_cent() -> None:
    assert told(ROUND) == [
        "downloading",
        "downloading 25%",
        "downloading 100%",
        "unpacking",
        "unpacking 50%",
        "unpacking 100%",
        "configuring 50%",
        "configuring 100%",
    ]


def test_the_second_round_counts_anew() -> None:
    second = ROUND.replace(
        "I: downloading packages with apt...", "I: installing remaining packages inside the chroot..."
    )
    assert told(ROUND + second)[8:11] == ["installing", "downloading 25%", "downloading 100%"]
    assert told(ROUND + second).count("configuring 50%") == 2


def test_what_was_not_counted_has_no_per_cent() -> None:
    # The package lists, and the package that a hook installs before anything is counted.
    text = """\
I: running --setup-hook in shell
Unpacking usr-is-merged (1) ...
Setting up usr-is-merged (1) ...
I: running apt-get update...
Get:1 http://mirror.example/debian bookworm InRelease [151 kB]
Get:2 http://mirror.example/debian bookworm/main amd64 Packages [8790 kB]
"""
    assert told(text) == ["reading package lists"]


def test_the_end_is_told() -> None:
    text = (
        "I: running --customize-hook directly: x\nI: cleaning package lists and apt cache...\nI: creating tarball...\n"
    )
    assert told(text) == ["setting up", "cleaning", "packing"]
