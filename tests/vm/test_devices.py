"""Device nodes where cgroup v2 alone says which may be opened, by a program of the kernel's that the monitor keeps."""

from __future__ import annotations

from tests.harness.client_lxc import Lxc


def test_a_privileged_container_may_open_what_it_is_given_as_long_as_it_has_it(lxc: Lxc, image: str, name: str) -> None:
    lxc("launch", image, name, "--config", "security.privileged=true").ok()
    lxc("exec", name, "--", "mknod", "/root/own", "c", "1", "11").ok()
    reads = ["exec", name, "--", "sh", "-c", "exec 3</root/own"]
    lxc(*reads).failed("Operation not permitted")
    lxc("config", "device", "add", name, "kmsg", "unix-char", "source=/dev/kmsg", "path=/dev/messages").ok()
    lxc(*reads).ok()
    lxc("exec", name, "--", "sh", "-c", "exec 3</dev/messages").ok()
    lxc("config", "device", "remove", name, "kmsg").ok()
    lxc(*reads).failed("Operation not permitted")
    lxc("exec", name, "--", "sh", "-c", "echo gone >/dev/null").ok()
    lxc("config", "device", "add", name, "kmsg", "unix-char", "source=/dev/kmsg", "path=/dev/messages").ok()
    lxc("restart", "--force", name).ok()
    lxc("exec", name, "--", "sh", "-c", "exec 3</dev/messages").ok()
