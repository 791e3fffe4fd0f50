"""A websocket to another server: frames in and out, as `operations.Channel` has them."""

import aiohttp


class Dialled:
    """One websocket: text frames are str, binary frames are bytes, None is the end."""

    def __init__(self, response: aiohttp.ClientWebSocketResponse) -> None:
        self._response = response

    async def receive(self) -> bytes | str | None:
        """The next frame; None when the server has closed."""
        message = await self._response.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: bytes | str = message.data
            return data
        return None

    async def send(self, frame: bytes | str) -> None:
        """Send one frame. Raises ConnectionError when the server is gone."""
        try:
            if isinstance(frame, str):
                await self._response.send_str(frame)
            else:
                await self._response.send_bytes(frame)
        except aiohttp.ClientError as error:
            raise ConnectionResetError(str(error)) from error

    async def close(self) -> None:
        """Close; safe to call twice."""
        await self._response.close()
