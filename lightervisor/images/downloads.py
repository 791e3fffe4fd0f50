"""Images from their sources into the store, cached like LXD does it.

An alias is looked up at its source each time, so a launch gets what is newest there; what is in the store already is
not brought again. When the source cannot be asked, the image that the alias last stood for serves. Nothing enters the
store before the hash of all its bytes is what the source said.
"""

import logging
from collections.abc import Callable
from contextlib import suppress

import msgspec

from lightervisor.config.types import is_true
from lightervisor.errors import Conflict, Invalid, NotFound, Unavailable
from lightervisor.images.meter import Progress
from lightervisor.images.shared import Shared
from lightervisor.images.sources import build
from lightervisor.images.sources.direct import Direct, announced
from lightervisor.images.sources.source import Found, Source, Tools, Wanted, sources, unknown
from lightervisor.images.store import Images
from lightervisor.model.image import (
    Image,
    ImageAlias,
    ImageAliasesEntry,
    ImagePut,
    ImageSource,
    ImagesPost,
    ImagesPostSource,
)
from lightervisor.model.instance import InstanceSource
from lightervisor.model.times import EPOCH

Settings = Callable[[str], str]
FULL, SHORTEST = 64, 8
HEXADECIMAL = set("0123456789abcdef")
_OTHER_NAMES = {"": "lxd", "incus": "lxd"}  # Incus' clients call the protocol so
log = logging.getLogger(__name__)


class Downloads:
    """What brings images here. `settings` reads a key of the server, its default when it is not set."""

    def __init__(self, images: Images, tools: Tools, settings: Settings) -> None:
        self._images, self._tools, self._settings = images, tools, settings
        self._sources = sources(tools)
        self._shared = Shared[Image]()

    def forget_old(self) -> None:
        """The daemon starts, after the store, or a day has passed: remove what no download goes on with."""
        self._tools.partials.forget_old()

    async def fetch(self, wanted: Wanted, progress: Progress) -> Image:
        """The image for an instance: cached, until it is unused for `images.remote_cache_expiry` days.

        Raises NotFound, Unavailable, Invalid for what is no image, HostError.
        """
        if len(wanted.name) == FULL and self._images.rows.has(wanted.name):
            return self._images.get(wanted.name)
        try:
            found = await self._source(wanted).find(wanted)
        except Unavailable as failure:
            known = self._known(wanted, wanted.name) or self._beginning(wanted.name)
            if known is None:
                raise
            log.warning("image %s of %s is taken from the cache: %s", wanted.name, wanted.server, failure.sentence())
            return known
        return await self.take(wanted, found, progress)

    async def take(self, wanted: Wanted, found: Found, progress: Progress, *, anew: bool = False) -> Image:
        """What was found, from the store or else brought; `anew` makes again what this host makes itself."""
        fingerprint = found.image.fingerprint
        if fingerprint and self._images.rows.has(fingerprint):
            return self._images.get(fingerprint)
        if not fingerprint and not anew and (known := self._known(wanted, found.alias)):
            return known
        key = fingerprint or f"{wanted.protocol} {wanted.server} {found.alias}"
        return await self._shared.run(key, lambda tell: self._bring(wanted, found, tell), progress)

    async def keep_url(self, post: ImagesPost, url: str, progress: Progress) -> Image:
        """The image that a web page announces, as `keep`. Raises Invalid when it announces none."""
        if not url:
            raise Invalid("image URL", text="Missing URL")
        page = await announced(self._tools, url)
        post = msgspec.structs.replace(post, filename=post.filename or page.filename)
        return await self.keep(post, Wanted(protocol=Direct.protocol, server=page.url, name=page.fingerprint), progress)

    async def keep(self, post: ImagesPost, wanted: Wanted, progress: Progress) -> Image:
        """The image of a source as one of the user's own: no longer only cached, with aliases and properties.

        What was public or kept up to date already, because the user wanted it so, stays so, as with LXD.
        Raises Conflict when one of the aliases has another image already, and what `fetch` raises.
        """
        check_aliases(self._images, post.aliases)
        found = await self._source(wanted).find(wanted)
        fetched = await self.take(wanted, found, progress)
        image = self._images.get(fetched.fingerprint)
        source = image.update_source
        if found.alias and not isinstance(source, ImageSource):
            source = _update_source(wanted, found)
        renews = post.auto_update or (image.auto_update and not image.cached)
        await self._images.rows.replace(
            msgspec.structs.replace(
                image,
                cached=False,
                public=post.public or image.public,
                auto_update=renews and isinstance(source, ImageSource),
                filename=post.filename or image.filename,
                properties=post.properties or image.properties,
                expires_at=post.expires_at if post.expires_at.year > 1 else image.expires_at,
                profiles=post.profiles or image.profiles,
                update_source=source,
            )
        )
        await add_aliases(self._images, post.aliases, image.fingerprint)
        return self._images.get(image.fingerprint)

    async def newest(self, image: Image) -> tuple[Wanted, Found]:
        """What the alias of an image stands for now. Raises Invalid for an image without a source."""
        source = image.update_source
        if not isinstance(source, ImageSource):
            raise NotFound("image source", text="Image source not found", remedy="it did not come from an alias")
        wanted = Wanted(
            protocol=source.protocol, server=source.server, name=source.alias, certificate=source.certificate
        )
        return wanted, await self._source(wanted).find(wanted)

    def _source(self, wanted: Wanted) -> Source:
        source = self._sources.get(wanted.protocol)
        if source is None:
            raise unknown(wanted.protocol)
        return source

    def _known(self, wanted: Wanted, alias: str) -> Image | None:
        """The newest image that an alias of a source stood for so far."""
        known = [
            image
            for image in self._images.list()
            if isinstance(source := image.update_source, ImageSource)
            and (source.protocol, source.server, source.alias) == (wanted.protocol, _server(wanted), alias)
        ]
        return max(known, key=lambda image: image.uploaded_at, default=None)

    def _beginning(self, name: str) -> Image | None:
        """The one image whose fingerprint begins so, when that is long enough to be no alias by chance."""
        if len(name) < SHORTEST or not set(name) <= HEXADECIMAL:
            return None
        with suppress(NotFound, Invalid):
            return self._images.get(name)
        return None

    async def _bring(self, wanted: Wanted, found: Found, progress: Progress) -> Image:
        source, expected = self._source(wanted), found.image.fingerprint
        received = await source.fetch(wanted, found, progress)
        parts = [part for part in (received.meta, received.rootfs) if part is not None]
        if expected and received.fingerprint != expected and any(part.is_resumed for part in parts):
            received.discard()  # what was left of an earlier download may have been another's
            received = await source.fetch(wanted, found, progress)
        if self._images.rows.has(received.fingerprint):  # somebody uploaded the very same bytes meanwhile
            received.discard()
            return self._images.get(received.fingerprint)
        template = msgspec.structs.replace(
            found.image,
            cached=True,
            aliases=[],
            last_used_at=EPOCH,
            update_source=_update_source(wanted, found) if found.alias else msgspec.UNSET,
        )
        renews = bool(expected and found.alias) and is_true(self._settings("images.auto_update_cached"))
        filename = found.image.filename
        put = ImagePut(auto_update=renews, profiles=["default"])
        return await self._images.add(received, put, filename=filename, expected=expected, template=template)


def wanted_of(source: ImagesPostSource | InstanceSource) -> Wanted:
    """What a request for an image of another server names. Raises Invalid with LXD's text when that is nothing."""
    name = source.alias or source.fingerprint
    if not name:
        raise Invalid("image source", text="must specify one of alias or fingerprint for init from image")
    if not source.server and source.protocol != build.Build.protocol:
        raise Invalid("image source", text="The image server is missing", remedy='give it as "server"')
    return Wanted(
        protocol=_OTHER_NAMES.get(source.protocol, source.protocol),
        server=source.server,
        name=name,
        certificate=source.certificate,
        secret=source.secret,
        project=source.project,
    )


def check_aliases(images: Images, aliases: list[ImageAlias]) -> None:
    """Raise Conflict when one of the names is taken, before anything is brought."""
    taken = {entry.name for entry in images.rows.aliases()}
    for alias in aliases:
        if not alias.name:
            raise Invalid("image alias", text="Alias name is required")
        if alias.name in taken:
            raise Conflict("image alias", alias.name, text=f'Alias "{alias.name}" already exists')


async def add_aliases(images: Images, aliases: list[ImageAlias], fingerprint: str) -> None:
    """Give an image these names. Raises Conflict."""
    for alias in aliases:
        entry = ImageAliasesEntry(name=alias.name, description=alias.description, target=fingerprint)
        await images.rows.add_alias(entry)


def _server(wanted: Wanted) -> str:
    return build.SERVER if wanted.protocol == build.Build.protocol else wanted.server


def _update_source(wanted: Wanted, found: Found) -> ImageSource:
    return ImageSource(
        protocol=wanted.protocol,
        server=_server(wanted),
        alias=found.alias,
        certificate=wanted.certificate,
        image_type="container" if wanted.protocol != build.Build.protocol else "",
    )
