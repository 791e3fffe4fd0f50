"""Which kernel modules need not be loaded."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from lightervisor.kernel import modules


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    file = tmp_path / "config.gz"
    file.write_bytes(gzip.compress(b"CONFIG_NF_NAT=y\nCONFIG_VXLAN=m\n# CONFIG_BTRFS is not set\n"))
    return file


@pytest.mark.parametrize(("name", "found"), [("nf_nat", True), ("nf-nat", True), ("vxlan", False), ("btrfs", False)])
def test_the_configuration_tells(tmp_path: Path, configuration: Path, name: str, found: bool) -> None:
    assert modules.is_built_in(name, library=tmp_path / "none", configuration=configuration) is found


@pytest.mark.parametrize(("name", "found"), [("veth", True), ("nf_conntrack", True), ("nf_nat", False)])
def test_the_kernels_own_list_tells_better(tmp_path: Path, configuration: Path, name: str, found: bool) -> None:
    folder = tmp_path / os.uname().release
    folder.mkdir()
    (folder / "modules.builtin").write_text("kernel/drivers/net/veth.ko\nkernel/net/netfilter/nf-conntrack.ko\n")
    assert modules.is_built_in(name, library=tmp_path, configuration=configuration) is found


def test_a_host_that_tells_nothing_has_nothing(tmp_path: Path) -> None:
    assert not modules.is_built_in("nf_nat", library=tmp_path, configuration=tmp_path / "none")


def test_a_file_system_may_be_in_a_module(tmp_path: Path) -> None:
    listed = tmp_path / os.uname().release / "modules.dep"
    assert modules.has_file_system("proc", library=tmp_path)
    assert not modules.has_file_system("other", library=tmp_path)
    listed.parent.mkdir()
    listed.write_text("kernel/fs/other/other.ko.xz: kernel/lib/raid6.ko.xz\n")
    assert modules.has_file_system("other", library=tmp_path)
    assert not modules.has_file_system("another", library=tmp_path)
