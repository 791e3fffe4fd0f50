"""liblxc's configuration format: the one serializer. Source: lxc.container.conf(5)."""

from collections.abc import Iterable

from lightervisor.errors import Invalid
from lightervisor.runtime.settings import limits, mounts, namespaces, raw, seccomp
from lightervisor.runtime.spec import ContainerSpec, HostFacts, Lines


def render(spec: ContainerSpec, host: HostFacts) -> str:
    """The whole configuration file of a container. Raises Invalid for a value with control characters."""
    lines: Lines = [
        *namespaces.lines(spec, host),
        *mounts.lines(spec, host),
        *seccomp.lines(spec),
        *limits.lines(spec.config, host),
        *spec.device_lines,
    ]
    return serialize(lines) + raw.text(spec.config)


def serialize(lines: Iterable[tuple[str, str]]) -> str:
    """Lines of "key = value". Raises Invalid when a key or value could break out of its line."""
    text: list[str] = []
    for key, value in lines:
        if any(ord(c) < 32 or ord(c) == 127 for c in key + value) or "=" in key:
            raise Invalid("configuration", key, cause=f"{value!r} holds control characters")
        text.append(f"{key} = {value}\n")
    return "".join(text)
