"""Simplestreams remotes: what is asked of them, what is kept for offline times, what is refused."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lightervisor.cli import main
from lightervisor.client import simplestreams
from tests.harness import streams
from tests.harness.web import Request, Web, serving

INDEX, PRODUCTS = f"/{simplestreams.INDEX}", "/streams/v1/images.json"
JAMMY = streams.product("Ubuntu", "22.04", "amd64", "ubuntu/22.04,lts", "20260101_0000", "20260102_0000")
ALPINE = streams.product("Alpine", "3.20", "arm64", "alpine/3.20", "20260102_0000")


class Client:
    """Our `lxc` with the remote `web:`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.environ = {"LXD_CONF": str(folder), "LXD_GLOBAL_CONF": str(folder / "none"), "LXD_DIR": str(folder)}
        self.folder, self._capsys = folder, capsys

    def __call__(self, *words: str, warned: str = "") -> str:
        """Run words that must succeed, with such a warning or none; what they print."""
        status = main.run(list(words), self.environ)
        out, err = self._capsys.readouterr()
        assert status == 0, err
        assert (warned in err) if warned else err == ""
        return out

    def fail(self, *words: str) -> str:
        """Run words that must fail; the error."""
        assert main.run(list(words), self.environ) == 1
        return self._capsys.readouterr().err.removeprefix("Error: ").rstrip("\n")


def page(content: bytes) -> Callable[[Request], None]:
    """A document as web servers send it: asked for again, it is the same one."""
    tag = f'"{hashlib.sha256(content).hexdigest()}"'

    def answer(request: Request) -> None:
        if request.headers.get("If-None-Match") == tag:
            request.answer(304, b"", {"ETag": tag})
        else:
            packed = gzip.compress(content) if request.headers.get("Accept-Encoding") == "gzip" else content
            request.answer(200, packed, {"ETag": tag, "Content-Encoding": "gzip"})

    return answer


def publish(web: Web, *products: tuple[str, streams.Json]) -> None:
    web.pages[INDEX] = page(streams.index(PRODUCTS[1:]))
    web.pages[PRODUCTS] = page(streams.products(*products))


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    with serving() as server:
        (tmp_path / "server.pem").write_text(server.certificate)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
        publish(server, JAMMY, ALPINE)
        yield server


@pytest.fixture
def client(web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Client:
    (tmp_path / "config.yml").write_text("default-remote: local\n")
    client = Client(tmp_path, capsys)
    client("remote", "add", "web", web.url, "--protocol", "simplestreams")
    return client


def listed(client: Client, *filters: str, warned: str = "") -> list[str]:
    """Aliases and types of the images that have aliases."""
    rows = client("image", "list", "web:", *filters, "-c", "lt", "-f", "csv", warned=warned).splitlines()
    return [row for row in rows if not row.startswith(",")]


def test_images_are_listed_and_filtered_as_those_of_a_server(client: Client) -> None:
    assert listed(client) == [
        "alpine/3.20/arm64,CONTAINER",
        "alpine/3.20/arm64,VIRTUAL-MACHINE",
        "lts (3 more),CONTAINER",
        "lts (3 more),VIRTUAL-MACHINE",
    ]
    assert listed(client, "alp", "type=container") == ["alpine/3.20/arm64,CONTAINER"]
    whole = json.loads(client("image", "list", "web:lts", "-f", "json"))
    assert [image["properties"]["type"] for image in whole] == ["squashfs", "disk-kvm.img"]
    assert not any("files" in image for image in whole)


def test_info_show_and_aliases(client: Client) -> None:
    fingerprint = streams.digest("images/ubuntu/22.04/amd64/20260102_0000 squashfs")
    text = client("image", "info", "web:lts")
    assert f"Fingerprint: {fingerprint}\nSize: 190.74MB\nArchitecture: x86_64\nType: container\nPublic: yes\n" in text
    assert client("image", "info", f"web:{fingerprint[:12]}") == text
    assert "Architecture: aarch64" in client("image", "info", "web:alpine/3.20/arm64")
    assert "Type: virtual-machine" in client("image", "info", "web:lts", "--vm")
    assert '  serial: "20260102_0000"\n' in client("image", "show", "web:lts")
    assert client("image", "get-property", "web:lts", "os") == "Ubuntu\n"
    rows = client("image", "alias", "list", "web:", "lts", "-f", "csv").splitlines()
    assert f"lts,{fingerprint[:12]},CONTAINER," in rows


def test_what_is_not_there_and_what_is_no_server(client: Client) -> None:
    missing = "Failed getting image: The requested image couldn't be found (lxc image list web: shows what there is)"
    assert client.fail("image", "info", "web:nothing") == missing
    for words in (("image", "delete", "web:lts"), ("image", "edit", "web:lts"), ("list", "web:")):
        assert client.fail(*words).startswith("The remote isn't a private LXD server")


def test_what_did_not_change_is_not_sent_again(client: Client, web: Web) -> None:
    first = listed(client)
    kept = next((client.folder / "cache").iterdir())
    changed = kept.stat().st_mtime_ns
    web.forget()
    assert listed(client) == first
    assert [path for _, path, _ in web.seen] == [INDEX, PRODUCTS]
    assert all("if-none-match" in headers for _, _, headers in web.seen)
    assert kept.stat().st_mtime_ns == changed


def test_a_change_is_seen_at_once(client: Client, web: Web) -> None:
    listed(client)
    publish(web, ALPINE)
    assert listed(client) == ["alpine/3.20/arm64,CONTAINER", "alpine/3.20/arm64,VIRTUAL-MACHINE"]
    web.pages["/streams/v1/more.json"] = page(streams.products(JAMMY))
    web.pages[INDEX] = page(streams.index(PRODUCTS[1:], "streams/v1/more.json"))
    assert len(listed(client)) == 4
    web.pages[PRODUCTS] = page(streams.products())  # one of two documents changes
    assert listed(client) == ["lts (3 more),CONTAINER", "lts (3 more),VIRTUAL-MACHINE"]


def test_offline_the_last_answer_counts_and_the_user_is_told(client: Client, web: Web) -> None:
    before = listed(client)
    web.pages[INDEX] = lambda request: request.answer(503)
    assert listed(client, warned=": 503; this is what web: had on ") == before
    client("remote", "add", "new", web.url, "--protocol", "simplestreams")
    assert client.fail("image", "list", "new:").startswith(
        f"Failed parsing stream: Unable to fetch {web.url}{INDEX}: 503"
    )


def test_a_remote_with_another_address_or_removed_is_not_answered_for(client: Client, web: Web) -> None:
    listed(client)
    client("remote", "set-url", "web", "https://127.0.0.1:1")
    assert "Unable to connect to: 127.0.0.1:1" in client.fail("image", "list", "web:")
    client("remote", "remove", "web")
    assert list((client.folder / "cache").iterdir()) == []


def test_a_remote_that_is_renamed_takes_what_was_kept_along(client: Client, web: Web) -> None:
    before = listed(client)
    client("remote", "rename", "web", "other")
    web.pages[INDEX] = lambda request: request.answer(503)
    rows = client("image", "list", "other:", "-c", "lt", "-f", "csv", warned="this is what other: had on").splitlines()
    assert [row for row in rows if not row.startswith(",")] == before


def test_what_was_kept_and_is_damaged_is_read_anew(client: Client) -> None:
    before = listed(client)
    kept = next((client.folder / "cache").iterdir())
    for content in (b"", b"nonsense", kept.read_bytes()[:-5]):
        kept.write_bytes(content)
        assert listed(client) == before


def test_completion_uses_what_was_read_before(client: Client, web: Web) -> None:
    assert "web:lts" not in client("__complete", "image", "info", "web:")
    listed(client)
    web.forget()
    assert "web:lts" in client("__complete", "image", "info", "web:")
    assert web.seen == []


def test_servers_are_told_who_asks(client: Client, web: Web) -> None:
    listed(client)
    assert all(headers["user-agent"].startswith("LXD 5.0.2 (Linux; ") for _, _, headers in web.seen)


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/x", "file:///etc/shadow", "ftp://127.0.0.1/x"])
def test_no_redirect_leads_away_from_https(client: Client, web: Web, target: str) -> None:
    web.pages[INDEX] = lambda request: request.redirect(target)
    assert "only https:// is read" in client.fail("image", "list", "web:")


def test_redirects_are_followed_and_end(client: Client, web: Web) -> None:
    web.pages["/elsewhere"] = page(streams.index(PRODUCTS[1:]))
    web.pages[INDEX] = lambda request: request.redirect("/elsewhere")
    assert len(listed(client)) == 4
    web.pages[INDEX] = lambda request: request.redirect(INDEX)
    assert "redirected more than 10 times" in client.fail("image", "list", "web:")


def test_a_document_without_end_is_refused(client: Client, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplestreams, "LARGEST", 1 << 20)
    bomb = gzip.compress(b" " * (2 << 20))
    web.pages[INDEX] = lambda request: request.answer(200, bomb, {"Content-Encoding": "gzip"})
    assert "holds more than 1 MiB" in client.fail("image", "list", "web:")
    web.pages[INDEX] = b" " * (2 << 20)
    assert "holds more than 1 MiB" in client.fail("image", "list", "web:")


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"index": {"x": 7}}', b"[]"])
def test_nonsense_is_an_error_or_no_images(client: Client, web: Web, content: bytes) -> None:
    web.pages[INDEX] = content
    if content.startswith(b"{"):
        assert listed(client) == []
    else:
        assert client.fail("image", "list", "web:").startswith("Failed parsing stream: Simplestreams index: ")


def test_a_certificate_that_nobody_vouches_for_is_refused(
    client: Client, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(client)
    monkeypatch.delenv("SSL_CERT_FILE")
    text = client.fail("image", "list", "web:")  # not answered from what was kept: somebody may be in between
    assert "self-signed certificate" in text
    assert web.url.partition("//")[2].partition(":")[0] in text


def small(web: Web) -> dict[str, bytes]:
    """Publish a split image whose files are really there; its files by their path."""
    metadata, root = b"metadata" * 100, b"root" * 1000
    name, said = streams.product("Small", "1", "amd64", "small", "20260101")
    items = said["versions"]["20260101"]["items"]
    del items["rootfs.tar.xz"], items["disk.qcow2"]
    files = {f"/{items['lxd.tar.xz']['path']}": metadata, f"/{items['root.squashfs']['path']}": root}
    for item, content in ((items["lxd.tar.xz"], metadata), (items["root.squashfs"], root)):
        item.update(sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    items["lxd.tar.xz"]["combined_squashfs_sha256"] = hashlib.sha256(metadata + root).hexdigest()
    web.pages.update(files)
    publish(web, (name, said))
    return files


def test_export_writes_the_files_under_the_server_s_names_or_the_one_typed(client: Client, web: Web) -> None:
    (metadata_path, metadata), (root_path, root) = small(web).items()
    folder = client.folder / "out"
    folder.mkdir()
    assert client("image", "export", "web:small", str(folder)) == "Image exported successfully!\n"
    client("image", "export", "web:small", str(folder / "named"))
    written = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert written == {
        metadata_path.rpartition("/")[2]: metadata,
        root_path.rpartition("/")[2]: root,
        "named": metadata,
        "named.root": root,
    }


@pytest.mark.parametrize(
    "wrong", [b"toor" * 1000, b"root" * 999, b"root" * 1001, b""], ids=["changed", "short", "long", "empty"]
)
def test_a_file_that_is_not_as_listed_is_not_kept(client: Client, web: Web, wrong: bytes) -> None:
    metadata_path, root_path = small(web)
    web.pages[root_path] = wrong
    folder = client.folder / "out"
    folder.mkdir()
    assert "is not what the server's list says" in client.fail("image", "export", "web:small", str(folder))
    assert [file.name for file in folder.iterdir()] == [metadata_path.rpartition("/")[2]]


def test_files_that_are_not_the_image_are_not_kept(client: Client, web: Web) -> None:
    metadata_path, _ = small(web)
    listed = json.loads(streams.products(streams.product("Small", "1", "amd64", "small", "20260101")))
    version = listed["products"]["small:1:amd64:default"]["versions"]["20260101"]
    content = web.pages[metadata_path]
    assert isinstance(content, bytes)
    version["items"] = {
        "m": {**version["items"]["lxd.tar.xz"], "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)},
        "r": {**version["items"]["root.squashfs"], "sha256": hashlib.sha256(b"root" * 1000).hexdigest(), "size": 4000},
    }
    web.pages[PRODUCTS] = page(json.dumps(listed).encode())  # each file is right, the hash of both is another's
    folder = client.folder / "out"
    folder.mkdir()
    assert "is not what the server's list says" in client.fail("image", "export", "web:small", str(folder))


def test_a_download_that_stops_is_told(client: Client, web: Web) -> None:
    _, root_path = small(web)
    web.pages[root_path] = lambda request: request.cut(b"root" * 1000, 100)
    folder = client.folder / "out"
    folder.mkdir()
    assert "the download stopped" in client.fail("image", "export", "web:small", str(folder))
    assert len(list(folder.iterdir())) == 1
