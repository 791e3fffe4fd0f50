"""Images on their way to and from others who ask: secrets, and images pushed from server to server."""

import msgspec

from lightervisor.client.https import Outgoing
from lightervisor.images import push
from lightervisor.images.downloads import add_aliases, check_aliases
from lightervisor.images.meter import Progress
from lightervisor.images.secrets import Secrets
from lightervisor.images.store import Images
from lightervisor.images.upload import Received
from lightervisor.model.image import Image, ImageExportPost, ImagePut, ImagesPost


class Outward:
    """The store as other servers see it."""

    def __init__(self, images: Images, outgoing: Outgoing, secrets: Secrets) -> None:
        self._images, self._outgoing, self.secrets = images, outgoing, secrets

    async def push(self, fingerprint: str, post: ImageExportPost, progress: Progress) -> None:
        """Send an image to another server. Raises what `push.push` does."""
        await push.push(self._images, self._outgoing, fingerprint, post, progress)

    async def take_pushed(
        self, received: Received, put: ImagePut, promised: ImagesPost, *, filename: str, expected: str
    ) -> Image:
        """An image that was pushed, with what was asked for when its secret was given out. Raises Conflict, Invalid."""
        try:
            check_aliases(self._images, promised.aliases)
        except BaseException:
            received.discard()
            raise
        put = msgspec.structs.replace(
            put,
            public=put.public or promised.public,
            properties={**put.properties, **promised.properties},
            expires_at=promised.expires_at,
        )
        image = await self._images.add(received, put, filename=filename, expected=expected)
        await add_aliases(self._images, promised.aliases, image.fingerprint)
        return image
