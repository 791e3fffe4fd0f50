"""Images between servers: fetched, pushed, refreshed, opened by a secret. Source: LXD REST API, images."""

import msgspec
from aiohttp import web

from lightervisor.api import envelope, urls
from lightervisor.api.requests import body, project, requestor
from lightervisor.api.services import services
from lightervisor.errors import Invalid
from lightervisor.images.downloads import wanted_of
from lightervisor.instances.publish import KINDS
from lightervisor.model.image import ImageExportPost, ImagesPost
from lightervisor.model.operation import Operation
from lightervisor.operations.operations import Run


async def fetch(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images with a JSON body: take an image from where it says, or give a secret to whoever will push it."""
    found, post = services(request), await body(request, ImagesPost)
    source = post.source
    if source is None:
        raise Invalid("image", text="Invalid images JSON", remedy='say where it comes from in "source"')
    if source.mode == "push":
        token = found.images_out.secrets.offer(source.fingerprint, project(request), _promise(post))
        return envelope.background(token)
    if source.type in KINDS:
        return envelope.background(found.publication.publish(project(request), post))
    if source.type not in ("image", "url"):
        raise Invalid("image", text="Invalid images JSON", remedy=f"source.type cannot be {source.type[:50]!r}")

    async def work(run: Run) -> None:
        def progress(text: str) -> None:
            run.progress("download_progress", text)

        if source.type == "url":
            image = await found.downloads.keep_url(post, source.url, progress)
        else:
            image = await found.downloads.keep(post, wanted_of(source), progress)
        run.update(fingerprint=image.fingerprint, size=str(image.size))

    return envelope.background(
        found.operations.start("Downloading image", work, project=project(request), cancellable=True)
    )


def _promise(post: ImagesPost) -> dict[str, object]:
    """What is to be done with an image that will be pushed, as LXD keeps it with the secret."""
    return {
        "aliases": msgspec.to_builtins(post.aliases) or None,
        "expires_at": post.expires_at,
        "properties": post.properties or None,
        "public": post.public,
    }


def promised(token: Operation | None) -> ImagesPost | None:
    """What was promised when a secret was given out."""
    if token is None:
        return None
    kept = {key: value for key, value in (token.metadata or {}).items() if value is not None and key != "secret"}
    return msgspec.convert(kept, ImagesPost)


async def push(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images/{fingerprint}/export: send an image to another server."""
    found, post = services(request), await body(request, ImageExportPost)
    where, image = project(request), services(request).images.get(request.match_info["fingerprint"])
    who = requestor(request)

    async def work(run: Run) -> None:
        await found.images_out.push(image.fingerprint, post, lambda text: run.progress("upload_progress", text))
        found.images.publish("retrieved", image.fingerprint, who)

    return envelope.background(found.operations.start("Downloading image", work, project=where, cancellable=True))


async def secret(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images/{fingerprint}/secret: a token that opens an image once."""
    found, where = services(request), project(request)
    image = found.images.get(request.match_info["fingerprint"])
    token = found.images_out.secrets.offer(image.fingerprint, where)
    found.images.publish("secret-created", image.fingerprint, requestor(request))
    return envelope.background(token)


async def refresh(request: web.Request) -> web.StreamResponse:
    """POST /1.0/images/{fingerprint}/refresh: replace an image by what its alias stands for now."""
    found, where = services(request), project(request)
    image = found.images.get(request.match_info["fingerprint"])

    async def work(run: Run) -> None:
        def progress(text: str) -> None:
            run.progress("download_progress", text)

        run.update(refreshed=await found.upkeep.refresh(image.fingerprint, progress))

    resources = {"images": [urls.of("images", image.fingerprint)]}
    started = found.operations.start("Refreshing image", work, project=where, resources=resources, cancellable=True)
    return envelope.background(started)


ROUTES = [
    web.post("/1.0/images/{fingerprint}/export", push),
    web.post("/1.0/images/{fingerprint}/secret", secret),
    web.post("/1.0/images/{fingerprint}/refresh", refresh),
]
