"""Image servers under the clock: a download over TLS, a long list, and memory while a large image passes through."""

from __future__ import annotations

import io
import re
import socket
import ssl
import sys
import tarfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.bench_systems import System  # from the checkout this script is in
from tests.harness import images, streams, web

MIB = 1 << 20
GIB = 1 << 30
_PRODUCTS = 2000


def large_image(path: Path, size: int) -> Path:
    """A unified image with so many bytes of zeros in it, not compressed; it takes no space on the disk."""
    metadata = images.METADATA.encode()
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("metadata.yaml")
        info.size = len(metadata)
        archive.addfile(info, io.BytesIO(metadata))
        images.add_folder(archive, "rootfs")
        info = tarfile.TarInfo("rootfs/zeros")
        info.size = size
        file.write(info.tobuf())
        file.seek(size, io.SEEK_CUR)
        archive.offset = file.tell()
    return path


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class PublicImage:
    """A public image of 1 GiB on each system, offered over the network."""

    def __init__(self, folder: Path) -> None:
        self._file = large_image(folder / "gib.tar", GIB)
        self._places: dict[str, tuple[int, str]] = {}

    def offer(self, system: System) -> None:
        """Import it and listen."""
        system.run("image", "import", self._file, "--alias", "bench-gib", "--public")
        port = free_port()
        system.run("config", "set", "core.https_address", f"127.0.0.1:{port}")
        fingerprint = system.get("/1.0/images/aliases/bench-gib")["target"]
        self._places[system.name] = (port, f"/1.0/images/{fingerprint}/export")

    def download(self, system: System) -> float:
        """MiB a second, downloaded by a stranger."""
        port, path = self._places[system.name]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        buffer, count = bytearray(MIB), 0
        start = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as secure:
            secure.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
            while received := secure.recv_into(buffer):
                count += received
        if count < GIB:
            raise RuntimeError(f"{system.name}: only {count} bytes of the image came")
        return count / MIB / (time.perf_counter() - start)

    def withdraw(self, system: System) -> None:
        """Stop listening and delete it."""
        system.run("config", "unset", "core.https_address")
        system.run("image", "delete", "bench-gib")


@contextmanager
def many_products(systems: list[System], folder: Path) -> Generator[Callable[[System], float]]:
    """A simplestreams server with 2,000 products; gives a function that lists them and says how long it took."""
    listed = [
        streams.product("Bench", f"r{number}", "amd64", f"bench/r{number},bench/r{number}/default", "20260101_0000")
        for number in range(_PRODUCTS)
    ]
    with web.serving() as server:
        server.pages["/streams/v1/index.json"] = streams.index("streams/v1/images.json")
        server.pages["/streams/v1/images.json"] = streams.products(*listed)
        certificate = folder / "streams.crt"
        certificate.write_text(server.certificate)
        for system in systems:
            system.env["SSL_CERT_FILE"] = str(certificate)
            system.run("remote", "add", "bench-streams", server.url, "--protocol", "simplestreams")
            system.run("image", "list", "bench-streams:")
        yield lambda system: system.run("image", "list", "bench-streams:")


def growth_mib(system: System, file: Path) -> float:
    """By how much the daemon's largest size grows while an image is imported, exported and deleted, in MiB."""
    before = _largest_mib(system.pid)
    system.run("image", "import", file, "--alias", "bench-large")
    system.run("image", "export", "bench-large", file.parent / "back")
    system.run("image", "delete", "bench-large")
    for back in file.parent.glob("back*"):
        back.unlink()
    return _largest_mib(system.pid) - before


def _largest_mib(pid: int) -> float:
    found = re.search(r"^VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
