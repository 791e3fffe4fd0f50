"""A websocket to another server: frames in and out, as `operations.Channel` has them."""

import ipaddress

import aiohttp


class Dialled:
    """One websocket: text frames are str, binary frames are bytes, None is the end."""

    def __init__(self, response: aiohttp.ClientWebSocketResponse) -> None:
        self._response = response
        peer = response.get_extra_info("peername")
        self.is_on_this_host = bool(peer) and is_loopback(str(peer[0]))

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


def is_loopback(address: str) -> bool:
    """Whether an address is one of the loopback interface; what is none is not."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
