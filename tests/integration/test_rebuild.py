"""Rebuilding instances: other files, the same configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import images
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

OTHER = "rebuilt-other"
WITH_TEMPLATE = (
    images.METADATA.replace("release: test", "release: other")
    + "templates:\n  /etc/made:\n    when: [create]\n    template: made.tpl\n"
)


@pytest.fixture(scope="module")
def other(daemon: Daemon, module_lxc: Lxc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another image, with a template."""
    extra = {"rootfs/etc/other": b"other\n", "templates/made.tpl": b"{{ instance.name }} {{ trigger }}\n"}
    path = images.unified(tmp_path_factory.mktemp("other") / "i.tar.gz", metadata=WITH_TEMPLATE, extra=extra)
    module_lxc("image", "import", path, "--alias", OTHER).ok()
    yield OTHER
    module_lxc("image", "delete", OTHER).ok()


def shown(daemon: Daemon, name: str) -> dict[str, str]:
    return daemon.request("GET", f"/1.0/instances/{name}").metadata["config"]


def test_files_are_the_images_and_the_rest_stays(
    daemon: Daemon, lxc: Lxc, image: str, other: str, name: str, tmp_path: Path
) -> None:
    lxc("launch", image, name, "-c", "user.note=kept", "-d", "eth0,hwaddr=00:16:3e:11:22:33").ok()
    lxc.run(name, "sh", "-c", "echo mine >/root/mine")
    lxc("snapshot", name, "before").ok()
    lxc("rebuild", other, name).failed("The instance is currently running, stop it first or pass --force")
    before = shown(daemon, name)
    lxc("rebuild", other, name, "--force").ok()
    after = shown(daemon, name)
    assert lxc.statuses()[name] == "Running"
    assert lxc.run(name, "sh", "-c", "cat /etc/other /etc/made; ls /root").stdout == f"other\n{name} create\n"
    fingerprint = daemon.request("GET", f"/1.0/images/aliases/{other}").metadata["target"]
    assert (after["user.note"], after["image.release"]) == ("kept", "other")
    assert after["volatile.base_image"] == fingerprint != before["volatile.base_image"]
    assert after["volatile.uuid"] == before["volatile.uuid"]
    assert after["volatile.cloud-init.instance-id"] != before["volatile.cloud-init.instance-id"]
    assert lxc.run(name, "cat", "/sys/class/net/eth0/address").stdout == "00:16:3e:11:22:33\n"
    lxc("restore", name, "before").ok()
    assert lxc.run(name, "cat", "/root/mine").stdout == "mine\n"
    assert shown(daemon, name)["image.release"] == "test"


def test_the_api_refuses_while_it_runs_and_tells_of_the_end(daemon: Daemon, lxc: Lxc, other: str, running: str) -> None:
    body = {"source": {"type": "image", "alias": other}}
    path = f"/1.0/instances/{running}"
    refused = daemon.request("POST", f"{path}/rebuild", body)
    assert (refused.status, refused.error.partition(" (")[0]) == (400, "Instance must be stopped to be rebuilt")
    lxc("stop", "--force", running).ok()
    done = daemon.operation("POST", f"{path}/rebuild", body)
    assert (done["status"], done["description"]) == ("Success", "Rebuilding instance")
    missing = daemon.request("POST", f"{path}/rebuild", {"source": {"type": "image", "alias": "none-such"}})
    assert (missing.status, missing.error.partition(" (")[0]) == (404, "Image alias not found")
    unknown = daemon.request("POST", f"{path}/rebuild", {"source": {"type": "what"}})
    assert (unknown.status, unknown.error) == (400, "Unknown source type what")
    assert daemon.request("POST", "/1.0/instances/none-such/rebuild", body).status == 404
    lxc("start", running).ok()


def test_an_empty_one(daemon: Daemon, lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    lxc("rebuild", image, name, "--empty").failed("--empty cannot be combined with an image name")
    lxc("rebuild", name).failed("Invalid number of arguments")
    lxc("rebuild", "--empty", name).ok()
    config = shown(daemon, name)
    assert not [key for key in config if key.startswith("image.") or key == "volatile.base_image"]
    lxc("start", name).failed()
    lxc("rebuild", image, name).ok()
    lxc("start", name).ok()


def test_one_that_ran_runs_again_when_it_cannot_be_rebuilt(lxc: Lxc, running: str) -> None:
    lxc("rebuild", "build:nothing", running, "--force").failed("Error: ")
    assert lxc.statuses()[running] == "Running"
    lxc("rebuild", "nothing", running, "--force").failed("Error: ")  # it is not even stopped


def test_an_image_that_is_made_first(lxc: Lxc, image: str, name: str) -> None:
    lxc.create(image, name)
    lxc("rebuild", "build:busybox", name).ok()
    lxc("start", name).ok()
    assert eventually(lambda: lxc.run(name, "hostname").stdout == f"{name}\n", what="its name by template")


def test_on_a_pool_of_the_driver_dir(daemon: Daemon, lxc: Lxc, image: str, other: str, name: str) -> None:
    pool = f"pool-{name}"
    lxc("storage", "create", pool, "dir").ok()
    lxc("init", image, name, "-s", pool).ok()
    lxc("snapshot", name, "before").ok()
    lxc("rebuild", other, name).ok()
    lxc("start", name).ok()
    assert lxc.run(name, "cat", "/etc/other").stdout == "other\n"
    lxc("delete", "--force", name).ok()
    lxc("storage", "delete", pool).ok()
