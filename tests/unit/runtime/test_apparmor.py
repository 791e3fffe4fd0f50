"""The text of AppArmor profiles, compiled by apparmor_parser. What they do is seen in tests/vm."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from lightervisor.errors import Invalid
from lightervisor.runtime import apparmor as engine
from lightervisor.runtime.settings import apparmor
from lightervisor.runtime.spec import ContainerSpec, HostFacts

SECURITY = Path("/var/lib/lxd/security")
needs_parser = pytest.mark.skipif(shutil.which("apparmor_parser") is None, reason="apparmor is not installed")
KINDS = {
    "unprivileged": {},
    "nesting": {"security.nesting": "true"},
    "privileged": {"security.privileged": "true"},
    "privileged nesting": {"security.privileged": "true", "security.nesting": "true"},
    "raw": {"raw.apparmor": "deny /etc/shadow rwklx,\n\n  mount fstype=ext4,"},
}


@needs_parser
@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_parser_takes_every_kind(tmp_path: Path, kind: str, stacked: bool) -> None:
    file = tmp_path / "profile"
    file.write_text(apparmor.profile("c1", SECURITY, KINDS[kind], stacked=stacked))
    subprocess.run(["apparmor_parser", "--skip-kernel-load", "--skip-cache", file], check=True, capture_output=True)


def test_rules_of_ones_own_are_in_it() -> None:
    lines = apparmor.profile("c1", SECURITY, KINDS["raw"], stacked=False).splitlines()
    assert "  deny /etc/shadow rwklx," in lines
    assert "  mount fstype=ext4," in lines


def test_a_privileged_container_mounts_less_than_others() -> None:
    texts = {kind: apparmor.profile("c1", SECURITY, config, stacked=False) for kind, config in KINDS.items()}
    assert [kind for kind, text in texts.items() if "  mount,\n" not in text] == ["privileged"]


@needs_parser
def test_a_rule_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match=r"raw.apparmor: AppArmor parser error .* syntax error"):
        engine.check({"raw.apparmor": "deny /x"})
    engine.check({"raw.apparmor": "deny /x w,"})


@needs_parser
def test_a_text_is_compiled_once(tmp_path: Path) -> None:
    profiles = engine.Profiles(tmp_path, engine.COMPILE_ONLY)

    def compiled(config: Mapping[str, str]) -> tuple[int, bytes]:
        profiles.load("c1", config)
        (file,) = (tmp_path / "apparmor/cache").glob("*/lxd-c1")
        return file.stat().st_ino, file.read_bytes()

    first = compiled({})
    assert compiled({}) == first
    ahead = time.time() + 3600
    for file in (tmp_path / "apparmor").rglob("lxd-c1"):  # the clock was set back since
        os.utime(file, (ahead, ahead))
    second = compiled({"raw.apparmor": "deny /x rwklx,"})
    assert second[1] != first[1]
    assert compiled({"raw.apparmor": "deny /x rwklx,"}) == second
    profiles.forget("c1")
    assert not [file for file in tmp_path.rglob("lxd-c1")]


def _denies(rules: list[str], path: str) -> bool:
    patterns = [rule.removeprefix("deny ").removesuffix(" wklx,") for rule in rules]
    return any(re.fullmatch(_expression(pattern), path) for pattern in patterns)


def _expression(pattern: str) -> str:
    return pattern.replace("{,/**}", "(/.*)?").replace("*", "[^/]*").replace("(/.[^/]*)", "(/.*)")


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "ab",
        "abx",
        "abcd",
        "x",
        "x/y",
        "abc2/z",
        "dir",
        "dirx",
        "dir/other",
        "dir/keep2",
        "dir/kee",
        "pr",
        "dir2/keep",
    ],
)
def test_what_is_not_named_is_refused(path: str) -> None:
    tree: Mapping[str, apparmor.Tree | None] = {"abc": None, "dir": {"keep": None}, "pre*": None}
    rules = list(apparmor.denied_except("/p/", tree))
    if path == "dir":
        assert not _denies(rules, "/p/dir"), "a directory on the way"
    else:
        assert _denies(rules, f"/p/{path}"), path


@pytest.mark.parametrize("path", ["abc", "abc/x", "abc/x/y", "dir/keep", "dir/keep/z", "pre", "prefix", "prefix/x"])
def test_what_is_named_is_not(path: str) -> None:
    tree: Mapping[str, apparmor.Tree | None] = {"abc": None, "dir": {"keep": None}, "pre*": None}
    assert not _denies(list(apparmor.denied_except("/p/", tree)), f"/p/{path}")


def test_the_profile_is_named_where_the_kernel_has_it(tmp_path: Path) -> None:
    spec = ContainerSpec(name="c1", hostname="c1", config={}, rootfs=tmp_path, log_dir=tmp_path, security_dir=SECURITY)
    assert apparmor.lines(spec, HostFacts(has_apparmor=False, lxcfs=None)) == []
    ((key, value),) = apparmor.lines(spec, HostFacts(has_apparmor=True, lxcfs=None))
    assert key == "lxc.apparmor.profile" and fnmatch.fnmatch(value, "lxd-c1_</var/lib/lxd>*")


def test_a_namespace_is_for_all_but_privileged_ones_that_nest(tmp_path: Path) -> None:
    can, cannot = tmp_path / "can", tmp_path / "cannot"
    can.write_text("yes\n")
    cannot.write_text("no\n")
    found = [kind for kind, config in KINDS.items() if apparmor.is_stacked(config, stacking=can)]
    assert found == ["unprivileged", "nesting", "privileged", "raw"]
    assert not apparmor.is_stacked({}, stacking=cannot)
    assert not apparmor.is_stacked({}, stacking=tmp_path / "nothing")
