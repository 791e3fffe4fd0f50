"""System calls that a container may not make, asked from inside."""

from __future__ import annotations

import ctypes
import os

import pytest

from lightervisor.errors import HostError, Invalid
from lightervisor.runtime.settings import seccomp
from tests.harness import calls
from tests.harness.runtime_host import Host, proc

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"), calls.needs_x86_64]
ENOSYS, EACCES, EPERM, EINVAL, EFAULT = 38, 13, 1, 22, 14
GETPID, CHMOD, FCHMOD = 39, 90, 91
KEXEC_LOAD, OPEN_BY_HANDLE_AT, INIT_MODULE, FINIT_MODULE, DELETE_MODULE, UMOUNT2 = 246, 304, 175, 313, 176, 166
FORCE = 1
COMPAT_GETPID = 20
X86_64 = 0xC000003E


def _all_calls() -> list[str]:
    resolve = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_num_arch
    resolve.restype = ctypes.c_void_p
    found = (resolve(X86_64, number) for number in range(500))
    return [ctypes.string_at(name).decode() for name in found if name]


async def _tried(host: Host, number: int, *arguments: int | bytes) -> int:
    host.write_program("call", calls.program(number, *arguments))
    status, _ = await host.run("/bin/call")
    return status


@pytest.mark.parametrize("number", [KEXEC_LOAD, OPEN_BY_HANDLE_AT, INIT_MODULE, FINIT_MODULE, DELETE_MODULE])
async def test_the_default_list_is_refused(host: Host, number: int) -> None:
    await host.start()
    assert await _tried(host, number, 0, 0, 0, 0) == ENOSYS


async def test_a_forced_unmount_is_refused(host: Host) -> None:
    await host.start()
    assert await _tried(host, UMOUNT2, calls.string("/proc"), FORCE) == EACCES
    assert await _tried(host, UMOUNT2, calls.string("/nothing"), 0) == 2


async def test_without_the_default_list_the_kernel_decides(host: Host) -> None:
    await host.start({"security.syscalls.deny_default": "false"})
    assert await _tried(host, OPEN_BY_HANDLE_AT, -1, 0, 0) in (EPERM, EFAULT)


@pytest.mark.parametrize("key", ["security.syscalls.deny", "security.syscalls.blacklist"])
async def test_more_calls_can_be_refused_with_an_error_of_choice(host: Host, key: str) -> None:
    await host.start({key: "chmod errno 13\nfchmod"})
    assert await _tried(host, CHMOD, calls.string("/tmp"), 0o777) == EACCES
    assert await _tried(host, FCHMOD, 0, 0o777) == ENOSYS
    assert await _tried(host, KEXEC_LOAD, 0, 0, 0, 0) == ENOSYS, "the default list holds as well"


@pytest.mark.parametrize("key", ["security.syscalls.deny_compat", "security.syscalls.blacklist_compat"])
async def test_no_calls_but_native_ones(host: Host, key: str) -> None:
    host.write_program("compat", calls.compat(COMPAT_GETPID))
    await host.start({key: "true"})
    assert (await host.run("/bin/compat"))[0] == ENOSYS
    assert (await host.run("true"))[0] == 0
    host.containers.close()
    host.containers = host.engine()  # as after a restart of the daemon
    assert await host.containers.find(host.name) != "absent"
    assert (await host.run("/bin/compat"))[0] == ENOSYS


async def test_32_bit_calls_work_unless_they_are_refused(host: Host) -> None:
    host.write_program("compat", calls.compat(COMPAT_GETPID))
    await host.start()
    assert (await host.run("/bin/compat"))[0] == 0


async def test_the_default_list_holds_for_32_bit_calls(host: Host) -> None:
    host.write_program("compat", calls.compat(342))  # open_by_handle_at
    await host.start()
    assert (await host.run("/bin/compat"))[0] == ENOSYS


@pytest.mark.parametrize("key", ["security.syscalls.allow", "security.syscalls.whitelist"])
async def test_only_what_is_allowed(host: Host, key: str) -> None:
    with pytest.raises(HostError):
        await host.start({key: "read\nwrite"})  # not even a shell can run with that
    await host.start({key: "\n".join(name for name in _all_calls() if not name.startswith("mkdir"))})
    assert await _tried(host, GETPID) == 0
    status, _ = await host.run("mkdir", "/tmp/x")
    assert status != 0


async def test_a_policy_of_ones_own(host: Host) -> None:
    policy = "2\ndenylist\n[all]\nchmod errno 1"
    pid = await host.start({"raw.seccomp": policy})
    assert (host.folder / "security/seccomp" / host.name).read_text() == policy + "\n"
    assert "Seccomp:\t2" in proc(pid, "status")
    assert await _tried(host, CHMOD, calls.string("/tmp"), 0o777) == EPERM
    assert await _tried(host, OPEN_BY_HANDLE_AT, -1, 0, 0) in (EPERM, EFAULT), "it replaces the default list"


async def test_a_policy_that_is_none_is_named(host: Host) -> None:
    with pytest.raises(HostError, match="seccomp policy is not valid"):
        await host.start({"raw.seccomp": "zzz\n"})


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"allow": "read", "deny": "write"}, "security.syscalls.allow is mutually exclusive with"),
        ({"whitelist": "read", "deny_default": "true"}, "security.syscalls.allow is mutually exclusive with"),
        ({"allow": "read", "whitelist": "read"}, "Mutually exclusive keys security.syscalls.allow and"),
        ({"deny_compat": "1", "blacklist_compat": "1"}, "Mutually exclusive keys security.syscalls.deny_compat and"),
    ],
)
def test_keys_that_exclude_each_other(config: dict[str, str], text: str) -> None:
    with pytest.raises(Invalid, match=text):
        seccomp.check({f"security.syscalls.{name}": value for name, value in config.items()})


def test_raw_seccomp_stands_alone() -> None:
    with pytest.raises(Invalid, match=r"raw.seccomp is mutually exclusive with security.syscalls\*"):
        seccomp.check({"raw.seccomp": "2", "security.syscalls.deny": "read"})
