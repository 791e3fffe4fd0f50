"""Wire structs of project. Source: LXD 5.0.2 shared/api, as listed in the REST API reference."""

from msgspec import Struct, field


class ProjectPut(Struct, frozen=True, kw_only=True):
    """LXD's ProjectPut."""

    config: dict[str, str] = {}
    description: str = ""


class ProjectsPost(ProjectPut, frozen=True, kw_only=True):
    """LXD's ProjectsPost."""

    name: str = ""


class ProjectPost(Struct, frozen=True, kw_only=True):
    """LXD's ProjectPost."""

    name: str = ""


class Project(ProjectPut, frozen=True, kw_only=True):
    """LXD's Project."""

    name: str = ""
    used_by: list[str] = []


class ProjectStateResource(Struct, frozen=True, kw_only=True):
    """LXD's ProjectStateResource."""

    limit: int = field(default=0, name="Limit")
    usage: int = field(default=0, name="Usage")


class ProjectState(Struct, frozen=True, kw_only=True):
    """LXD's ProjectState."""

    resources: dict[str, ProjectStateResource] = {}
