"""Images from other servers: what comes, what is refused, and what is kept of it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.image_tree import MACHINE, Tree
from tests.harness.processes import eventually
from tests.harness.web import Request, Web, serving


@pytest.fixture
def no_images(daemon: Daemon) -> Iterator[None]:
    """What the test added is deleted."""
    before = set(daemon.request("GET", "/1.0/images").metadata)
    yield
    for url in set(daemon.request("GET", "/1.0/images").metadata) - before:
        daemon.operation("DELETE", url)
    assert not list((daemon.state / "images/.incoming").iterdir())


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as server:
        yield server


@pytest.fixture
def tree(web: Web, tmp_path: Path) -> Tree:
    return Tree(web, tmp_path)


def keep(daemon: Daemon, source: dict[str, str], **more: object) -> dict[str, Any]:
    """POST /1.0/images, waited for."""
    return daemon.operation("POST", "/1.0/images", {"source": source, **more})


def files(web: Web) -> list[str]:
    """The files of images that the server was asked for."""
    return [path for method, path, _ in web.seen if method == "GET" and path.startswith("/images/")]


def test_an_image_of_simplestreams_is_copied(daemon: Daemon, no_images: None, tree: Tree) -> None:
    fingerprint = tree.add("20260101_01:00")
    done = keep(daemon, tree.source(), aliases=[{"name": "t-box"}], auto_update=True, public=True)
    assert done["err"] == ""
    assert done["metadata"]["fingerprint"] == fingerprint
    image = daemon.request("GET", f"/1.0/images/{fingerprint}").metadata
    assert (image["cached"], image["auto_update"], image["public"]) == (False, True, True)
    assert [alias["name"] for alias in image["aliases"]] == ["t-box"]
    assert image["properties"]["os"] == "Box"
    assert image["created_at"].startswith("2026-01-01T00:00:00")
    source = image["update_source"]
    assert (source["server"], source["protocol"], source["alias"]) == (tree.web.url, "simplestreams", "box")
    assert "LXD 5.0" in tree.web.seen[0][2]["user-agent"]


def pull(daemon: Daemon, name: str, source: dict[str, str]) -> str:
    """Make an instance from a source; the error."""
    done = daemon.operation("POST", "/1.0/instances", {"name": name, "source": source})
    return str(done["err"])


def base_of(daemon: Daemon, name: str) -> str:
    """The image that an instance was made from."""
    return str(daemon.request("GET", f"/1.0/instances/{name}").metadata["config"]["volatile.base_image"])


def test_a_launch_caches_and_asks_whether_there_is_something_newer(
    daemon: Daemon, no_images: None, tree: Tree, lxc: Lxc, name: str
) -> None:
    old = tree.add("20260101_01:00")
    assert pull(daemon, name, tree.source()) == ""
    assert base_of(daemon, name) == old
    image = daemon.request("GET", f"/1.0/images/{old}").metadata
    assert (image["cached"], image["auto_update"], image["public"]) == (True, True, False)
    lxc("start", name).ok()
    assert lxc("exec", name, "--", "hostname").ok().stdout.strip() == name
    assert len(files(tree.web)) == 2
    tree.web.forget()
    assert pull(daemon, f"{name}-2", tree.source()) == ""
    assert files(tree.web) == []
    assert tree.web.seen, "nobody asked whether it is still the newest"
    new = tree.add("20260102_01:00")
    assert pull(daemon, f"{name}-3", tree.source()) == ""
    assert (base_of(daemon, f"{name}-2"), base_of(daemon, f"{name}-3")) == (old, new)


def test_the_cache_serves_while_the_server_is_away(daemon: Daemon, no_images: None, tmp_path: Path, name: str) -> None:
    with serving() as web:
        tree = Tree(web, tmp_path)
        fingerprint = tree.add("20260101_01:00")
        assert pull(daemon, name, tree.source()) == ""
    assert pull(daemon, f"{name}-2", tree.source()) == ""
    assert base_of(daemon, f"{name}-2") == fingerprint
    assert pull(daemon, f"{name}-4", tree.source(alias=fingerprint[:12])) == ""
    assert base_of(daemon, f"{name}-4") == fingerprint
    assert pull(daemon, f"{name}-5", tree.source(alias=fingerprint[:4])) != ""
    start = 'Failed getting remote image info: Failed getting image: Failed parsing stream: Get "'
    assert pull(daemon, f"{name}-3", tree.source(alias="box/1")).startswith(f"{start}{web.url}/streams/v1/index.json")


def test_a_server_that_dates_its_documents_is_not_asked_for_them_again(
    daemon: Daemon, no_images: None, tree: Tree
) -> None:
    tree.add("20260101_01:00")

    def dated(body: bytes) -> Callable[[Request], None]:
        def page(request: Request) -> None:
            if request.headers.get("If-None-Match") == '"1"':
                request.answer(304)
            else:
                request.answer(200, body, {"ETag": '"1"'})

        return page

    for path in ("/streams/v1/index.json", "/streams/v1/images.json"):
        body = tree.web.pages[path]
        assert isinstance(body, bytes)
        tree.web.pages[path] = dated(body)
    assert keep(daemon, tree.source())["err"] == ""
    tree.web.forget()
    assert keep(daemon, tree.source())["err"] == ""
    assert [headers.get("if-none-match") for _, _, headers in tree.web.seen] == ['"1"', '"1"']


def test_launches_at_once_share_one_download(daemon: Daemon, no_images: None, tree: Tree, name: str) -> None:
    tree.add("20260101_01:00")
    root = next(path for path in tree.web.pages if path.endswith("root.tar.xz"))
    body, gate = tree.web.pages[root], threading.Event()
    assert isinstance(body, bytes)

    def wait(request: Request) -> None:
        gate.wait(30)
        request.file(body)

    tree.web.pages[root] = wait
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(pull, daemon, f"{name}-{index}", tree.source()) for index in range(4)]
        eventually(lambda: len(running(daemon)) == 4 and root in files(tree.web), what="four operations")
        gate.set()
        assert [one.result() for one in made] == [""] * 4
    assert len(files(tree.web)) == 2


def running(daemon: Daemon) -> list[Any]:
    """The operations that go on."""
    return daemon.request("GET", "/1.0/operations?recursion=1").metadata.get("running", [])


def test_a_download_is_cancelled_with_the_last_launch(daemon: Daemon, no_images: None, tree: Tree, name: str) -> None:
    tree.add("20260101_01:00")
    root = next(path for path in tree.web.pages if path.endswith("root.tar.xz"))
    body, gate = tree.web.pages[root], threading.Event()
    assert isinstance(body, bytes)

    def stall(request: Request) -> None:
        request.head(200, {"Content-Length": str(len(body))})
        request.wfile.write(body[: len(body) // 2])
        gate.wait(30)

    tree.web.pages[root] = stall
    post = {"name": name, "source": tree.source()}
    url = daemon.request("POST", "/1.0/instances", post).envelope["operation"]
    try:
        shown = eventually(
            lambda: (daemon.request("GET", url).metadata["metadata"] or {}).get("download_progress", ""),
            what="progress",
        )
        assert re.fullmatch(r"(rootfs|metadata): [0-9]+% \([0-9.]+[kM]?B/s\)", shown), shown
        assert daemon.request("DELETE", url).status == 200
        assert daemon.request("GET", f"{url}/wait").metadata["status"] == "Cancelled"
    finally:
        gate.set()
    assert name not in daemon.instance_names()


@pytest.mark.parametrize("restarts", [False, True], ids=["the-connection", "the-daemon"])
def test_an_interrupted_download_goes_on(fresh_daemon: Daemon, tree: Tree, restarts: bool) -> None:
    fingerprint = tree.add("20260101_01:00", extra={"root/large": os.urandom(6 << 20)})
    root = next(path for path in tree.web.pages if path.endswith("root.tar.xz"))
    body = tree.web.pages[root]
    assert isinstance(body, bytes)
    half, gate = len(body) // 2, threading.Event()

    def break_off(request: Request) -> None:
        if request.offset == 0 and restarts:
            request.head(200, {"Content-Length": str(len(body))})
            request.wfile.write(body[:half])
            gate.wait(30)
        elif request.offset == 0:
            request.cut(body, half)
        else:
            request.file(body)

    tree.web.pages[root] = break_off
    post = {"source": tree.source()}
    if restarts:
        fresh_daemon.request("POST", "/1.0/images", post)
        partial = fresh_daemon.state / f"images/.partial/{fingerprint}"
        eventually(lambda: partial.exists() and partial.stat().st_size >= half // 2, what="half of the file")
        fresh_daemon.kill()
        gate.set()
        fresh_daemon.start()
    assert fresh_daemon.operation("POST", "/1.0/images", post)["err"] == ""
    ranges = [headers.get("range") for _, path, headers in tree.web.seen if path == root]
    assert ranges[0] is None
    assert re.fullmatch(r"bytes=[1-9][0-9]*-", ranges[-1] or "")
    assert fresh_daemon.request("GET", f"/1.0/images/{fingerprint}").status == 200


def test_bytes_that_are_not_the_fingerprints_are_refused(daemon: Daemon, no_images: None, tree: Tree) -> None:
    """CVE-2026-33542: the hash of all bytes is compared, not only what the server says of each file."""
    fingerprint = tree.add("20260101_01:00")
    root = next(path for path in tree.web.pages if path.endswith("root.tar.xz"))
    body = tree.web.pages[root]
    assert isinstance(body, bytes)
    tree.web.pages[root] = body[:-1] + bytes([body[-1] ^ 1])
    err = keep(daemon, tree.source())["err"]
    assert err.startswith("Image fingerprint doesn't match. Got ")
    assert err.endswith(f" expected {fingerprint}")
    assert not list((daemon.state / "images").glob(f"{fingerprint}*"))
    assert not list((daemon.state / "images/.partial").glob(f"{fingerprint}*"))
    tree.web.pages[root] = body
    assert keep(daemon, tree.source())["err"] == ""


def test_what_another_left_under_this_fingerprint_is_thrown_away(daemon: Daemon, no_images: None, tree: Tree) -> None:
    fingerprint = tree.add("20260101_01:00")
    (daemon.state / f"images/.partial/{fingerprint}").write_bytes(b"nonsense")
    assert keep(daemon, tree.source())["err"] == ""


def test_files_of_other_lengths_than_told_are_refused(daemon: Daemon, no_images: None, tree: Tree) -> None:
    tree.add("20260101_01:00")
    root = next(path for path in tree.web.pages if path.endswith("root.tar.xz"))
    body = tree.web.pages[root]
    assert isinstance(body, bytes)
    tree.web.pages[root] = body + b"more"
    assert "is longer than the" in keep(daemon, tree.source())["err"]
    tree.web.pages[root] = body[:-7]
    assert "ends too early" in keep(daemon, tree.source())["err"]


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/x", "file:///etc/shadow", "/streams/v1/index.json"])
def test_redirects_that_lead_astray_are_refused(daemon: Daemon, no_images: None, tree: Tree, target: str) -> None:
    tree.add("20260101_01:00")
    tree.web.pages["/streams/v1/index.json"] = lambda request: request.redirect(target)
    err = keep(daemon, tree.source())["err"]
    assert "only https:// is read" in err or "it is redirected more than" in err


def test_a_refreshed_image_takes_the_place_of_the_old_one(
    daemon: Daemon, no_images: None, tree: Tree, name: str, lxc: Lxc
) -> None:
    old = tree.add("20260101_01:00")
    made = keep(daemon, tree.source(), aliases=[{"name": "t-moves"}], auto_update=True, public=True)
    assert made["err"] == ""
    lxc("init", "t-moves", name).ok()
    pool = daemon.state / "storage-pools/default/images"
    assert old in {entry.name for entry in pool.iterdir()}
    done = daemon.operation("POST", f"/1.0/images/{old}/refresh", {})
    assert (done["err"], done["metadata"]["refreshed"], done["description"]) == ("", False, "Refreshing image")
    new = tree.add("20260102_01:00")
    done = daemon.operation("POST", f"/1.0/images/{old}/refresh", {})
    assert (done["err"], done["metadata"]["refreshed"]) == ("", True)
    assert daemon.request("GET", f"/1.0/images/{old}").status == 404
    image = daemon.request("GET", f"/1.0/images/{new}").metadata
    assert [alias["name"] for alias in image["aliases"]] == ["t-moves"]
    assert (image["cached"], image["public"], image["auto_update"]) == (False, True, True)
    unpacked = {entry.name for entry in pool.iterdir()}
    assert new in unpacked
    assert old not in unpacked or f"{old}.deleted" in unpacked  # overlay keeps it for as long as the instance
    lxc("start", name).ok()


def test_an_image_without_a_source_cannot_be_refreshed(daemon: Daemon, image: str, lxc: Lxc) -> None:
    fingerprint = next(one for one, names in lxc.images().items() if image in names)
    err = daemon.operation("POST", f"/1.0/images/{fingerprint}/refresh", {})["err"]
    start = f'Failed to update image "{fingerprint}" in project "default": Image source not found'
    assert err.startswith(start)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"type": "image", "protocol": "bogus", "server": "https://a", "alias": "x"}, "Unsupported protocol: bogus"),
        ({"type": "image", "server": "https://a"}, "must specify one of alias or fingerprint for init from image"),
        (
            {"type": "image", "protocol": "lxd", "server": "https://127.0.0.1:1", "alias": "x"},
            'Failed to connect to LXD server "https://127.0.0.1:1": Get "https://127.0.0.1:1/1.0',
        ),
        ({"type": "image", "protocol": "lxd", "server": "http://127.0.0.1:1", "alias": "x"}, "only https:// is read"),
        ({"type": "url"}, "Missing URL"),
        ({"type": "url", "url": "https://127.0.0.1:1/x"}, 'Head "https://127.0.0.1:1/x": Unable to connect to'),
    ],
)  # fmt: skip
def test_sources_that_cannot_be(daemon: Daemon, source: dict[str, str], text: str) -> None:
    assert text in keep(daemon, source)["err"]


def test_a_request_that_names_no_source_is_refused(daemon: Daemon) -> None:
    for body in ({}, {"source": {"type": "wat"}}):
        answer = daemon.request("POST", "/1.0/images", body)
        assert answer.status == 400
        assert answer.error.startswith("Invalid images JSON")


def test_the_clients_refresh(daemon: Daemon, no_images: None, tree: Tree, either: Lxc) -> None:
    tree.add("20260101_01:00")
    assert keep(daemon, tree.source(), aliases=[{"name": "t-fresh"}])["err"] == ""
    assert either("image", "refresh", "t-fresh").ok().stdout.strip() == "Image already up to date."
    new = tree.add("20260102_01:00")
    assert either("image", "refresh", "t-fresh").ok().stdout.endswith("Image refreshed successfully!\n")
    assert [alias["name"] for alias in daemon.request("GET", f"/1.0/images/{new}").metadata["aliases"]] == ["t-fresh"]


def test_an_alias_means_the_architecture_that_the_server_prefers(daemon: Daemon, no_images: None, tree: Tree) -> None:
    tree.add("20260101_01:00")
    assert daemon.request("PATCH", "/1.0", {"config": {"images.default_architecture": "s390x"}}).status == 200
    try:
        assert "couldn't be found" in keep(daemon, tree.source())["err"]
        assert keep(daemon, tree.source(alias=f"box/{MACHINE}"))["err"] == ""
    finally:
        daemon.request("PATCH", "/1.0", {"config": {"images.default_architecture": ""}})
    assert keep(daemon, tree.source())["err"] == ""
