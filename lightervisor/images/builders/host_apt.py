"""Where this host gets Debian's packages from, so that images come from there too. Source: apt-get(8), indextargets."""

from collections.abc import Iterable
from typing import NamedTuple

from lightervisor.errors import HostError
from lightervisor.kernel import process

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ORIGIN = "Debian"
RELEASES = ("bullseye", "bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable")
PARTS = ("", "-updates", "-security")
_FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)"
_PROXIES = {"http_proxy": "Acquire::http::Proxy", "https_proxy": "Acquire::https::Proxy"}


class Source(NamedTuple):
    """One index that the host's apt has; `origin` is empty until it was fetched once."""

    uri: str
    release: str
    component: str
    origin: str


def lines(release: str) -> list[str]:
    """The lines of sources.list for a release on the mirrors of this host; none when it has none of Debian's.

    A part (updates, security) that the host does not use is left out: its administrator chose so.
    """
    return render(release, _indexes())


def render(release: str, indexes: Iterable[Source]) -> list[str]:
    """The lines for a release, given the indexes of the host."""
    found: dict[str, str] = {}
    for source in indexes:
        base, part = _split(source.release)
        is_debian = source.origin == ORIGIN or (not source.origin and "/debian" in source.uri and base in RELEASES)
        if is_debian and source.component == "main" and source.uri.startswith(("http://", "https://")):
            found.setdefault(part, source.uri.rstrip("/"))
    if "" not in found:
        return []
    return [f"deb [signed-by={KEYRING}] {found[part]} {release}{part} main" for part in PARTS if part in found]


def proxies() -> dict[str, str]:
    """The variables that tell apt the proxies of the host's apt."""
    found: dict[str, str] = {}
    for variable, key in _PROXIES.items():
        answer = process.run(["apt-config", "--format", "%f=%v%n", "dump", key]).decode()
        value = answer.partition("=")[2].strip()
        if value and value != "DIRECT":
            found[variable] = value
    return found


def _split(release: str) -> tuple[str, str]:
    for part in PARTS[1:]:
        if release.endswith(part):
            return release.removesuffix(part), part
    return release, ""


def _indexes() -> list[Source]:
    try:
        answer = process.run(["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"])
    except HostError as error:
        raise HostError("image builder", "debian", cause=error.cause, remedy="look at apt-get update") from error
    rows = (line.split("|") for line in answer.decode(errors="replace").splitlines())
    # What apt does not know stays in the line as it was written.
    return [Source(*(field if not field.startswith("$(") else "" for field in row)) for row in rows if len(row) == 4]
