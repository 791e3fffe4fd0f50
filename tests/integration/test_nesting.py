"""What an instance can do that is to hold containers itself."""

from __future__ import annotations

import pytest

from tests.harness.client_lxc import Lxc


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
