"""liblxc's configuration format: the one serializer. Source: lxc.container.conf(5)."""

from collections.abc import Collection, Iterable
from pathlib import Path

from lightervisor.errors import Invalid
from lightervisor.runtime.settings import (
    apparmor,
    console,
    environment,
    hooks,
    identity,
    intercept,
    limits,
    lxcfs,
    mounts,
    nvidia,
    raw_lxc,
    rlimits,
    seccomp,
    security,
    setting,
    sysctl,
    throttles,
)
from lightervisor.runtime.spec import ContainerSpec, HostFacts, Lines


def render(
    spec: ContainerSpec,
    host: HostFacts,
    *,
    cpus: Collection[int] | None = None,
    fifo: Path | None = None,
    notify: Path | None = None,
) -> str:
    """The whole configuration file of a container. Raises Invalid for a value with control characters.

    `cpus` are those it shall run on, `fifo` is where its hooks tell what becomes of it, `notify` where intercepted
    system calls go.
    """
    lines: Lines = [
        *console.lines(spec),
        *identity.lines(spec),
        *security.lines(spec, host),
        *apparmor.lines(spec, host),
        *seccomp.lines(spec),
        *intercept.lines(spec, notify),
        *mounts.lines(spec),
        *lxcfs.lines(host.lxcfs),
        *hooks.lines(fifo, spec.name),
        *environment.lines(spec.config),
        *rlimits.lines(spec.config),
        *sysctl.lines(spec.config),
        *nvidia.lines(spec.config),
        *limits.lines(spec.config, host, cpus),
        *setting.lines(throttles.settings(spec.throttles), host),
        *spec.device_lines,
    ]
    return serialize(lines) + raw_lxc.text(spec.config)


def serialize(lines: Iterable[tuple[str, str]]) -> str:
    """Lines of "key = value". Raises Invalid when a key or value could break out of its line."""
    text: list[str] = []
    for key, value in lines:
        if any(ord(c) < 32 or ord(c) == 127 for c in key + value) or "=" in key:
            raise Invalid("configuration", key, cause=f"{value!r} holds control characters")
        text.append(f"{key} = {value}\n")
    return "".join(text)
