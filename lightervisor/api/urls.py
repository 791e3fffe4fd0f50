"""The API's own URLs, with every name escaped. Source: LXD REST API, path escaping and `?project=`."""

from urllib.parse import quote


def of(*segments: str, project: str = "default") -> str:
    """`/1.0/<segments>`; the project is told only when it is not `default`, as LXD does."""
    path = "/1.0/" + "/".join(quote(segment, safe="") for segment in segments)
    return path if project == "default" else f"{path}?project={quote(project, safe='')}"
