"""/1.0/instances/{name}/files: files in and out; of snapshots, out only. Source: LXD REST API, files."""

from urllib.parse import parse_qs

from aiohttp import web

from lightervisor.api import envelope, raw
from lightervisor.api.instance_paths import named, routes
from lightervisor.api.requests import requestor
from lightervisor.api.services import offered, services
from lightervisor.errors import Invalid
from lightervisor.instances.files import Files, Found, Wanted
from lightervisor.model import times

BLOCK = 1 << 20
TYPES = ("file", "directory", "symlink")


def _files(request: web.Request) -> Files:
    return offered(services(request).files, "instance files")


def _path(request: web.Request) -> str:
    """The path asked for; bytes that are no UTF-8 stay as they are, in the spelling of os.fsdecode."""
    query = parse_qs(request.rel_url.raw_query_string, errors="surrogateescape")
    if paths := query.get("path"):
        return paths[0]
    raise Invalid("path", text="Missing path argument")


def _headers(found: Found) -> dict[str, str]:
    modified = times.of_file(found.modified_ns)
    return {
        "X-LXD-uid": str(found.uid),
        "X-LXD-gid": str(found.gid),
        "X-LXD-mode": f"{found.mode:04o}",
        "X-LXD-modified": f"{modified:%Y-%m-%d %H:%M:%S} +0000 UTC",
        "X-LXD-type": found.kind,
    }


async def show(request: web.Request) -> web.StreamResponse:
    """GET ?path=: a file's content, a directory's names, a link's target."""
    path = _path(request)
    async with _files(request).open(*named(request), path, requestor=requestor(request)) as found:
        return await _content(request, path, found)


async def head(request: web.Request) -> web.StreamResponse:
    """HEAD ?path=: only what is known of it."""
    async with _files(request).open(*named(request), _path(request), head=True) as found:
        return web.Response(headers={**_headers(found), "Content-Type": envelope.JSON})


async def show_in_snapshot(request: web.Request) -> web.StreamResponse:
    """GET ?path= of a snapshot, whose files cannot be changed. Our own."""
    path = _path(request)
    async with _files(request).open_in_snapshot(*named(request), request.match_info["snapshot"], path) as found:
        return await _content(request, path, found)


async def head_in_snapshot(request: web.Request) -> web.StreamResponse:
    """HEAD ?path= of a snapshot. Our own."""
    place = (*named(request), request.match_info["snapshot"], _path(request))
    async with _files(request).open_in_snapshot(*place, head=True) as found:
        return web.Response(headers={**_headers(found), "Content-Type": envelope.JSON})


async def _content(request: web.Request, path: str, found: Found) -> web.StreamResponse:
    headers = _headers(found)
    if found.kind == "directory":
        return envelope.sync(found.names, headers=headers)
    headers |= raw.headers_of(path.rstrip("/").rpartition("/")[2])
    if found.kind == "symlink":
        return web.Response(body=found.target.encode(errors="surrogateescape"), headers=headers)
    work = _files(request).work(*named(request))
    return await raw.descriptor(request, found.descriptor, headers, modified_ns=found.modified_ns, work=work)


async def push(request: web.Request) -> web.StreamResponse:
    """POST ?path=: create or change a file, a directory or a link."""
    path, wanted = _path(request), _wanted(request)
    content = request.content.iter_chunked(BLOCK)
    await _files(request).write(*named(request), path, wanted, content, requestor(request))
    return envelope.sync()


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE ?path=: a file or an empty directory."""
    await _files(request).delete(*named(request), _path(request), requestor(request))
    return envelope.sync()


def _wanted(request: web.Request) -> Wanted:
    """What the headers ask for. Raises Invalid for what LXD would not understand either."""
    kind = request.headers.get("X-LXD-type") or "file"
    if kind not in TYPES:
        raise Invalid("file type", kind, text=f"Bad file type: {kind}")
    write = request.headers.get("X-LXD-write") or "overwrite"
    if write not in ("overwrite", "append"):
        raise Invalid("write mode", write, text=f"Bad file write mode: {write}")
    return Wanted(
        kind=kind,
        uid=_number(request, "X-LXD-uid", 10) or 0,
        gid=_number(request, "X-LXD-gid", 10) or 0,
        mode=_number(request, "X-LXD-mode", 8),
        is_append=write == "append",
    )


def _number(request: web.Request, header: str, base: int) -> int | None:
    text = request.headers.get(header)
    if not text or text == "-1":  # LXD's clients' "as it is"
        return None
    try:
        number = int(text, base)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 32:
        raise Invalid("header", header, cause=f"{text!r} is not such a number")
    return number


ROUTES = [
    *routes("GET", "/{name}/files", show),
    *routes("HEAD", "/{name}/files", head),
    *routes("POST", "/{name}/files", push),
    *routes("DELETE", "/{name}/files", delete),
    *routes("GET", "/{name}/snapshots/{snapshot}/files", show_in_snapshot),
    *routes("HEAD", "/{name}/snapshots/{snapshot}/files", head_in_snapshot),
]
