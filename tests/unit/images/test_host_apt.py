"""Which mirrors an image is built from, given what the host's apt uses."""

from __future__ import annotations

import pytest

from lightervisor.images.builders.host_apt import KEYRING, Source, render

MIRROR, SECURITY = "http://mirror.example/debian/", "http://mirror.example/debian-security/"
DEBIAN = [
    Source(MIRROR, "bookworm", "main", "Debian"),
    Source(MIRROR, "bookworm", "contrib", "Debian"),
    Source(MIRROR, "bookworm-updates", "main", "Debian"),
    Source(SECURITY, "bookworm-security", "main", "Debian"),
]


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_a_release_comes_from_the_mirrors_of_the_hosts_own(release: str) -> None:
    assert render(release, DEBIAN) == [
        f"deb [signed-by={KEYRING}] http://mirror.example/debian {release} main",
        f"deb [signed-by={KEYRING}] http://mirror.example/debian {release}-updates main",
        f"deb [signed-by={KEYRING}] http://mirror.example/debian-security {release}-security main",
    ]


def test_a_part_that_the_host_does_not_use_is_left_out() -> None:
    assert len(render("trixie", DEBIAN[:1])) == 1


def test_before_the_first_update_the_address_tells() -> None:
    unknown = [source._replace(origin="") for source in DEBIAN]
    assert render("trixie", unknown) == render("trixie", DEBIAN)


@pytest.mark.parametrize(
    "source",
    [
        Source("https://packages.example/", "bookworm", "main", "Somebody"),
        Source("https://packages.example/", "bookworm", "main", ""),
        Source("https://packages.example/debian", "any", "main", ""),
        Source("http://archive.example/ubuntu", "noble", "main", "Ubuntu"),
        Source("file:/srv/debian", "bookworm", "main", "Debian"),
        Source("cdrom://Debian/", "bookworm", "main", "Debian"),
    ],
)
def test_what_is_not_debians_or_not_on_the_network_gives_no_mirror(source: Source) -> None:
    assert render("bookworm", [source]) == []
    assert render("bookworm", [source, *DEBIAN]) == render("bookworm", DEBIAN)
