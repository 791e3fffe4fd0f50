"""What an instance can do that is to hold containers of Docker and podman."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest

from tests.conftest import discard
from tests.harness import nesting
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.nesting import done
from tests.harness.processes import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
POOLS = ["overlay", "dir"]
LONGEST_S = 300


@pytest.mark.parametrize("privileged", ["false", "true"])
def test_an_overlay_can_be_made_where_container_engines_keep_theirs(
    lxc: Lxc, image: str, name: str, privileged: str
) -> None:
    lxc.create(image, name)
    lxc("config", "set", name, "security.nesting=true", f"security.privileged={privileged}").ok()
    lxc("start", name).ok()
    place = "/var/lib/docker"
    assert lxc.run(name, "stat", "-c", "%u %a", place).stdout == "0 711\n"
    script = (
        f"cd {place}; mkdir low up work all; echo low >low/file; chown 1000 low/file;"
        "mount -t overlay -o lowerdir=low,upperdir=up,workdir=work overlay all;"
        "echo high >all/file; cat low/file up/file"
    )
    made = lxc.run(name, "sh", "-ec", script)
    assert made.stdout == "low\nhigh\n", made.stderr
    lxc("restart", "--force", name).ok()
    assert lxc.run(name, "cat", f"{place}/up/file").stdout == "high\n"
    assert lxc.run(name, "stat", "-c", "%u", f"{place}/up/file").stdout == "1000\n"


@pytest.mark.parametrize("privileged", ["false", "true"])
def test_what_is_kept_there_is_seen_while_it_is_stopped(lxc: Lxc, image: str, name: str, privileged: str) -> None:
    lxc("launch", image, name, "-c", "security.nesting=true", "-c", f"security.privileged={privileged}").ok()
    lxc.run(name, "sh", "-ec", "cd /var/lib/docker; echo one >one; chown 1000 one")
    lxc("stop", "--force", name).ok()
    assert lxc.pull(name, "/var/lib/docker/one") == b"one\n"
    lxc.push(name, "/var/lib/docker/two", b"two\n")
    assert lxc.pull(name, "/var/lib/docker/two") == b"two\n"
    lxc("start", name).ok()
    script = "cd /var/lib/docker; cat one two; stat -c %u one; grep -c ' /var/lib/docker ' /proc/self/mountinfo"
    assert lxc.run(name, "sh", "-c", script).stdout == "one\ntwo\n1000\n1\n"


@pytest.mark.parametrize("kind", POOLS)
def test_copies_have_what_is_kept_there(lxc: Lxc, image: str, name: str, kind: str) -> None:
    pool, copies = f"pool-{name}", [f"{name}-snapshot", f"{name}-copy", f"{name}-moved"]
    lxc("storage", "create", pool, kind).ok()
    lxc("launch", image, name, "-c", "security.nesting=true").ok()
    lxc.run(name, "sh", "-ec", "cd /var/lib/docker; mkdir one; echo kept >one/file; chown 1000 one/file")
    lxc("snapshot", name, "s1").ok()
    lxc("copy", f"{name}/s1", copies[0], "-s", pool).ok()
    lxc("stop", "--force", name).ok()
    lxc("copy", name, copies[1], "-s", pool).ok()
    lxc("move", name, copies[2], "-s", pool).ok()
    for copy in copies:
        lxc("start", copy).ok()
        script = "cat /var/lib/docker/one/file; stat -c %u /var/lib/docker/one/file"
        assert lxc.run(copy, "sh", "-c", script).stdout == "kept\n1000\n"
        lxc("delete", "--force", copy).ok()
    lxc("storage", "delete", pool).ok()


@pytest.fixture(scope="module")
def nest(
    daemon: Daemon, module_lxc: Lxc, nesting_image: str, nesting_pool: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A running container in it, with the files of the containers inside."""
    name = f"nest-{secrets.token_hex(2)}"
    module_lxc(
        "launch", nesting_image, name, "-s", nesting_pool, "-c", "security.nesting=true", timeout_s=LONGEST_S
    ).ok()
    try:
        tree = nesting.busybox(tmp_path_factory.mktemp("inner") / "inner.tar")
        module_lxc("file", "push", tree, f"{name}/root/inner.tar").ok()
        yield name
    finally:
        discard(daemon, name)


def test_docker_runs_a_container(module_lxc: Lxc, nest: str) -> None:
    eventually(lambda: module_lxc.run(nest, "docker", "info").status == 0, what="dockerd")
    assert "Storage Driver: overlay2" in done(module_lxc, nest, "docker info 2>&1")
    done(module_lxc, nest, "docker import /root/inner.tar inner")
    script = "docker run --rm inner /bin/sh -c 'id -u; cat /proc/self/uid_map; echo here >/tmp/file; cat /tmp/file'"
    root, uid_map, here = done(module_lxc, nest, script).splitlines()
    assert (root, here) == ("0", "here")
    assert uid_map.split()[1] != "0", "root in it must be nobody on the host"


def test_docker_gives_it_a_network_and_keeps_what_it_wrote(module_lxc: Lxc, nest: str) -> None:
    script = """
        docker run --detach --name web --publish 8080:80 inner sh -c 'mkdir /www; echo served >/www/index.html; \
            exec busybox httpd -f -h /www'
        until exec 3<>/dev/tcp/127.0.0.1/8080; do sleep 0.1; done
        printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3
        cat <&3
    """
    assert "served" in done(module_lxc, nest, f"timeout 60 bash -c '{script.replace(chr(39), chr(34))}'")
    done(module_lxc, nest, "docker stop --time 1 web; docker commit web kept")
    assert done(module_lxc, nest, "docker run --rm --network none kept cat /www/index.html") == "served\n"
    done(module_lxc, nest, "docker rm web")


def test_podman_runs_a_container(module_lxc: Lxc, nest: str) -> None:
    info = json.loads(done(module_lxc, nest, "podman info --format json 2>/dev/null"))
    assert info["store"]["graphDriverName"] == "overlay"
    done(module_lxc, nest, "podman import /root/inner.tar inner")
    assert done(module_lxc, nest, "podman run --rm inner sh -c 'echo here >/tmp/file; cat /tmp/file'") == "here\n"
    done(module_lxc, nest, "podman run --detach --name one inner sleep 1000")
    assert done(module_lxc, nest, "podman exec one id -u") == "0\n"
    done(module_lxc, nest, "podman rm --force --time 0 one")


def test_what_they_keep_is_there_after_a_restart(module_lxc: Lxc, nest: str) -> None:
    module_lxc("restart", "--force", nest).ok()
    eventually(lambda: module_lxc.run(nest, "docker", "info").status == 0, what="dockerd")
    assert done(module_lxc, nest, "docker run --rm --network none inner echo again") == "again\n"
    assert done(module_lxc, nest, "podman run --rm inner echo again") == "again\n"
