"""Which cgroup is a container's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightervisor.kernel.cgroup import own_group

OWN = "/sys/fs/cgroup/memory/lxc.payload.c1"


@pytest.mark.parametrize(
    ("path", "ours", "wanted"),
    [
        (OWN, None, OWN),
        (f"{OWN}/init.scope", None, OWN),
        (f"{OWN}/lxc.payload.c1", None, OWN),
        (f"{OWN}/a/lxc.payload.c1-1/b", "/sys/fs/cgroup/memory/system.slice/lxd.service", OWN),
        ("/sys/fs/cgroup/memory/lxc.payload.other/init.scope", None, None),
        # The daemon and its container c1 are in a container that is called c1 too.
        (f"{OWN}/lxc.payload.c1/init.scope", f"{OWN}/system.slice/lxd.service", f"{OWN}/lxc.payload.c1"),
        (f"{OWN}/lxc.payload.c1", OWN, f"{OWN}/lxc.payload.c1"),
    ],
)
def test_what_a_guest_makes_below_is_not_taken_for_it(path: str, ours: str | None, wanted: str | None) -> None:
    found = own_group(Path(path), "c1", Path(ours) if ours else None)
    assert found == (Path(wanted) if wanted else None)
