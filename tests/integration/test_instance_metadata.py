"""metadata.yaml of an instance and its templates: what they say, how they change, and what they do not reach."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.harness import images
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon

METADATA = f"""{images.METADATA}templates:
  /etc/hostname:
    when:
    - create
    - copy
    template: hostname.tpl
"""


@pytest.fixture
def created(daemon: Daemon, name: str) -> Iterator[Callable[[bytes], str]]:
    """Makes an instance from an archive; the image is deleted afterwards."""
    fingerprints: list[str] = []

    def create(data: bytes) -> str:
        finished = daemon.operation("POST", "/1.0/images", data)
        assert finished["status"] == "Success", finished
        fingerprints.append(finished["metadata"]["fingerprint"])
        source = {"type": "image", "fingerprint": fingerprints[0]}
        assert daemon.operation("POST", "/1.0/instances", {"name": name, "source": source})["status"] == "Success"
        return name

    yield create
    for fingerprint in fingerprints:
        daemon.operation("DELETE", f"/1.0/images/{fingerprint}")


@pytest.fixture
def instance(created: Callable[[bytes], str], tmp_path: Path) -> str:
    """A stopped instance with a template."""
    extra = {"templates/hostname.tpl": b"{{ container.name }}\n"}
    return created(images.unified(tmp_path / "image.tar", metadata=METADATA, extra=extra).read_bytes())


def test_metadata_is_shown_and_edited(either: Lxc, instance: str) -> None:
    shown = either("config", "metadata", "show", instance).ok().stdout
    assert yaml.safe_load(shown)["templates"]["/etc/hostname"]["template"] == "hostname.tpl"
    assert yaml.safe_load(shown)["creation_date"] == 1700000000
    changed = shown.replace("release: test", "release: 'yes'")
    either("config", "metadata", "edit", instance, stdin=changed).ok()
    assert yaml.safe_load(either("config", "metadata", "show", instance).ok().stdout) == yaml.safe_load(changed)
    either("config", "metadata", "edit", instance, stdin="architecture: [").failed("yaml: line 1")
    assert yaml.safe_load(either("config", "metadata", "show", instance).ok().stdout) == yaml.safe_load(changed)


def test_both_clients_show_the_same(lxc: Lxc, stock: Lxc, instance: str) -> None:
    words = ("config", "metadata", "show", instance)
    assert lxc(*words).ok().stdout == stock(*words).ok().stdout
    words = ("config", "template", "list", instance)
    assert lxc(*words).ok().stdout == stock(*words).ok().stdout


def test_templates_are_made_changed_and_deleted(either: Lxc, instance: str) -> None:
    either("config", "template", "create", instance, "new.tpl").ok()
    either("config", "template", "edit", instance, "new.tpl", stdin="{{ a }}\n").ok()
    assert either("config", "template", "show", instance, "new.tpl").ok().stdout == "{{ a }}\n"
    assert either("config", "template", "list", instance, "-f", "csv").ok().stdout == "hostname.tpl\nnew.tpl\n"
    either("config", "template", "delete", instance, "new.tpl").ok()
    either("config", "template", "delete", instance, "new.tpl").failed('Template "new.tpl" not found')
    either("config", "template", "show", instance, "new.tpl").failed('Template "new.tpl" not found')


def test_patch_merges_and_a_stale_etag_is_refused(daemon: Daemon, instance: str) -> None:
    url = f"/1.0/instances/{instance}/metadata"
    etag = daemon.request("GET", url).headers["etag"]
    assert daemon.request("PATCH", url, {"properties": {"new": "one"}}, headers={"If-Match": etag}).status == 200
    found = daemon.request("GET", url).metadata
    assert found["properties"] == {"description": "test busybox", "os": "busybox", "release": "test", "new": "one"}
    assert found["templates"]["/etc/hostname"]["when"] == ["create", "copy"]
    assert daemon.request("PUT", url, found, headers={"If-Match": etag}).status == 412
    assert daemon.request("PATCH", url, {"architecture": 5}).status == 400
    assert daemon.request("PUT", url, {"properties": ["a"]}).status == 400
    assert daemon.request("GET", url).metadata == found


def test_running_or_not_makes_no_difference(daemon: Daemon, lxc: Lxc, instance: str) -> None:
    url = f"/1.0/instances/{instance}/metadata"
    before = daemon.request("GET", url).metadata
    lxc("start", instance).ok()
    assert daemon.request("GET", url).metadata == before
    assert daemon.request("POST", f"{url}/templates?path=x.tpl", b"x").status == 200
    lxc("stop", "--force", instance).ok()
    assert daemon.request("GET", f"{url}/templates?path=x.tpl").body == b"x"


@pytest.mark.parametrize("path", ["..", ".", "../metadata.yaml", "/etc/passwd", "a/b", "a%00b", "x" * 256])
def test_a_path_is_no_name_of_a_template(daemon: Daemon, instance: str, path: str) -> None:
    url = f"/1.0/instances/{instance}/metadata/templates?path={path}"
    for method in ("GET", "POST", "DELETE"):
        answer = daemon.request(method, url, b"" if method == "POST" else None)
        assert (answer.status, answer.error) == (400, "Invalid template filename")
    assert daemon.request("GET", url.partition("?")[0]).metadata == ["hostname.tpl"]


def test_a_template_without_a_name_is_refused(daemon: Daemon, instance: str) -> None:
    url = f"/1.0/instances/{instance}/metadata/templates"
    assert daemon.request("POST", url, b"").error == "missing path argument"
    assert daemon.request("DELETE", url).error == "missing path argument"
    assert daemon.request("GET", url.replace(instance, "nope")).error == "Instance not found"


def archive(*links: tuple[str, str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        images.add_folder(tar, "rootfs")
        images.add_file(tar, "metadata.yaml", images.METADATA.encode())
        images.add_folder(tar, "templates")
        for name, target in links:
            images.add_link(tar, name, target)
    return out.getvalue()


@pytest.mark.parametrize("target", ["{0}", "../../../../../../../..{0}", "/proc/self/root{0}"])
def test_a_link_among_the_templates_leads_nowhere(
    daemon: Daemon, created: Callable[[bytes], str], vault: Path, target: str
) -> None:
    secret = vault / "secret"
    secret.write_text("the host's")
    name = created(archive(("templates/evil.tpl", target.format(secret))))
    url = f"/1.0/instances/{name}/metadata/templates"
    assert daemon.request("GET", url).metadata == []
    assert b"the host's" not in daemon.request("GET", f"{url}?path=evil.tpl").body
    assert daemon.request("POST", f"{url}?path=evil.tpl", b"mine").status == 200
    assert daemon.request("GET", f"{url}?path=evil.tpl").body == b"mine"
    assert secret.read_text() == "the host's"


@pytest.mark.parametrize("what", ["metadata.yaml", "templates"])
def test_a_link_in_the_volume_leads_nowhere(daemon: Daemon, instance: str, vault: Path, what: str) -> None:
    """What no import lets through, put there by hand."""
    (vault / "metadata.yaml").write_text("architecture: secret\n")
    volume = next(daemon.state.glob(f"storage-pools/*/containers/{instance}"))
    place = volume / what
    if place.is_dir():
        for inside in place.iterdir():
            inside.unlink()
        place.rmdir()
    else:
        place.unlink(missing_ok=True)
    place.symlink_to(vault / "metadata.yaml" if what == "metadata.yaml" else vault)
    url = f"/1.0/instances/{instance}/metadata"
    assert b"secret" not in daemon.request("GET", url).body
    assert b"secret" not in daemon.request("GET", f"{url}/templates").body
    daemon.request("PUT", url, {"architecture": "x86_64"})
    daemon.request("POST", f"{url}/templates?path=new.tpl", b"x")
    assert [file.name for file in vault.iterdir()] == ["metadata.yaml"]
    assert (vault / "metadata.yaml").read_text() == "architecture: secret\n"
