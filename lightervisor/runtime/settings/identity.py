"""What a container is: its name, architecture and root file system."""

from lightervisor.runtime.spec import ContainerSpec, Lines


def lines(spec: ContainerSpec) -> Lines:
    """The lines, from what LXD writes for the same container."""
    return [
        ("lxc.uts.name", spec.hostname),
        ("lxc.arch", spec.architecture),
        ("lxc.rootfs.path", f"dir:{spec.rootfs}"),
        ("lxc.autodev", "1"),
    ]
