"""Files made of an image's templates: when, where, with which owner, and what a bad one does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import images
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon
from tests.harness.processes import eventually

Make = Callable[..., str]
SECRET = "outside of every container"


def entry(template: str, *when: str, **more: object) -> dict[str, object]:
    """One template as metadata.yaml has it."""
    return {"template": template, "when": list(when), **more}


@pytest.fixture
def make(daemon: Daemon, name: str, tmp_path: Path) -> Iterator[Make]:
    """Makes a stopped instance of an image with these templates and files."""
    fingerprints: list[str] = []

    def create(
        entries: dict[str, Any], texts: dict[str, str], files: dict[str, bytes] | None = None, **request: Any
    ) -> str:
        extra = {f"templates/{file}": text.encode() for file, text in texts.items()}
        metadata = images.METADATA + f"  of: {name}\ntemplates: {json.dumps(entries)}\n"
        archive = images.unified(tmp_path / "image.tar", metadata=metadata, extra={**extra, **(files or {})})
        finished = daemon.operation("POST", "/1.0/images", archive.read_bytes())
        assert finished["status"] == "Success", finished
        fingerprints.append(finished["metadata"]["fingerprint"])
        source = {"type": "image", "fingerprint": fingerprints[0]}
        finished = daemon.operation("POST", "/1.0/instances", {"name": name, "source": source, **request})
        assert finished["status"] == "Success", finished
        return name

    yield create
    for fingerprint in fingerprints:
        daemon.operation("DELETE", f"/1.0/images/{fingerprint}")


def test_triggers(lxc: Lxc, make: Make) -> None:
    entries = {f"/out/{when}": entry("a.tpl", when) for when in ("create", "copy", "rename", "start")}
    entries["/out/both"] = entry("a.tpl", "create", "start")
    entries["out/once"] = entry("a.tpl", "create", "start", create_only=True)
    name = make(entries, {"a.tpl": "{{ trigger }} {{ path }} {{ instance.name }}\n"})
    show = ("exec", name, "--", "sh", "-c", "cd /out && head -n 9 *")
    assert lxc("config", "get", name, "volatile.apply_template").stdout == "create\n"
    lxc("start", name).ok()
    # Like LXD, what is due twice is made twice; and the path is as it is written.
    assert lxc(*show).stdout.split("\n") == [
        "==> both <==", f"start /out/both {name}", "",
        "==> create <==", f"create /out/create {name}", "",
        "==> once <==", f"create out/once {name}", "",
        "==> start <==", f"start /out/start {name}", "",
    ]  # fmt: skip
    assert lxc("config", "get", name, "volatile.apply_template").stdout == "\n"
    lxc("exec", name, "--", "sh", "-c", "echo changed | tee /out/create /out/both /out/once >/out/start").ok()
    lxc("restart", "-f", name).ok()
    assert lxc("exec", name, "--", "sh", "-c", "cd /out && cat both create once start").stdout == (
        f"start /out/both {name}\nchanged\nchanged\nstart /out/start {name}\n"
    )


def test_rename_is_a_trigger_unless_another_is_pending(lxc: Lxc, make: Make) -> None:
    name = make({"/etc/hostname": entry("a.tpl", "create", "rename")}, {"a.tpl": "{{ trigger }} {{ container.name }}"})
    other = f"{name}b"
    lxc("rename", name, other).ok()
    assert lxc("config", "get", other, "volatile.apply_template").stdout == "create\n"
    lxc("start", other).ok()
    assert lxc("file", "pull", f"{other}/etc/hostname", "-").stdout == f"create {other}"
    lxc("stop", "-f", other).ok()
    lxc("rename", other, name).ok()
    assert lxc("config", "get", name, "volatile.apply_template").stdout == "rename\n"
    lxc("start", name).ok()
    assert lxc("file", "pull", f"{name}/etc/hostname", "-").stdout == f"rename {name}"


def test_a_reboot_from_inside_is_a_start(lxc: Lxc, make: Make) -> None:
    name = make({"/out": entry("a.tpl", "start")}, {"a.tpl": "made"})
    lxc("start", name).ok()
    lxc("exec", name, "--", "sh", "-c", "echo changed >/out; reboot -f")
    eventually(lambda: lxc("file", "pull", f"{name}/out", "-").stdout == "made", what="the file to be made again")


def test_variables(lxc: Lxc, make: Make) -> None:
    template = """\
{{ container.name }} {{ instance.type }} {{ container.architecture }} {{ container.ephemeral }} {{ instance.privileged
}}
{{ config_get("user.a", "none") }}|{{ config_get("user.b", properties.fallback) }}|{{ properties.nothing }}|
{% for key, value in devices.more sorted %}{{ key }}={{ value }} {% endfor %}{{ devices.root.path }}
{% if config_get("user.a", "") == "<b> & 'c'" && !properties.nothing %}yes{% endif %} {{ config.boot }}
"""
    entries = {"/out": entry("a.tpl", "start", properties={"fallback": "given"})}
    devices = {"more": {"type": "none"}}
    name = make(entries, {"a.tpl": template}, config={"user.a": "<b> & 'c'\n\n"}, devices=devices)
    lxc("start", name).ok()
    assert lxc("file", "pull", f"{name}/out", "-").stdout == (
        f"{name} container {os.uname().machine} false false\n<b> & 'c'|given||\ntype=none /\nyes \n"
    )


@pytest.mark.parametrize("privileged", ["false", "true"])
def test_owners_and_modes(lxc: Lxc, make: Make, privileged: str) -> None:
    entries = {path: entry("a.tpl", "start") for path in ("/new/dir/file", "/etc/passwd", "/etc/link", "/etc/nowhere")}
    entries["/etc/kept"] = entry("a.tpl", "start", create_only=True)
    name = make(entries, {"a.tpl": "text"}, config={"security.privileged": privileged})
    lxc("start", name).ok()
    prepare = (
        "rm -r /new; cd /etc; echo much longer than the template >passwd; chown 5:6 passwd; chmod 600 passwd;"
        " rm -f link nowhere kept; ln -s /etc/group link; ln -s ../missing nowhere; ln -s missing kept"
    )
    lxc("exec", name, "--", "sh", "-c", prepare).ok()
    lxc("restart", "-f", name).ok()
    look = "stat -c '%n %u:%g %a' /new /new/dir /new/dir/file passwd group /missing; cat /new/dir/file passwd group"
    assert lxc("exec", name, "--", "sh", "-c", f"cd /etc; {look}; test -e kept || echo -n ' none'").stdout == (
        "/new 0:0 755\n/new/dir 0:0 755\n/new/dir/file 0:0 644\npasswd 5:6 600\ngroup 0:0 644\n/missing 0:0 644\n"
        "texttexttext none"
    )


def test_cve_2026_23954_a_target_never_leads_out_of_the_root(lxc: Lxc, make: Make, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "file").write_text(SECRET)
    up = "../" * 20
    entries = {f"{up}{host}/file": entry("a.tpl", "start"), f"/etc/away{host}/file": entry("a.tpl", "start")}
    entries |= {"/etc/away/flat": entry("a.tpl", "start"), "/etc/magic/x": entry("b.tpl", "start")}
    name = make({**entries}, {"a.tpl": "taken", "b.tpl": "b"})
    lxc("config", "template", "delete", name, "b.tpl").ok()
    lxc("start", name).failed("Template 'b.tpl': the instance has no such template")
    lxc("config", "template", "create", name, "b.tpl", stdin="b").ok()
    lxc("start", name).ok()
    assert (host / "file").read_text() == SECRET
    assert [path.name for path in host.iterdir()] == ["file"]
    assert lxc("file", "pull", f"{name}{host}/file", "-").stdout == "taken"
    lxc(
        "exec",
        name,
        "--",
        "sh",
        "-c",
        "rm -rf /etc/away /etc/magic; ln -s / /etc/away; ln -s /proc/self/root /etc/magic",
    )
    lxc("stop", "-f", name).ok()
    lxc("start", name).failed("Template '/etc/magic/x': cannot be written")
    assert (host / "file").read_text() == SECRET
    assert not Path("/flat").exists()


@pytest.mark.parametrize(
    ("prepare", "cause"),
    [
        ("mkfifo /etc/target", "cannot be written: not a regular file"),
        ("mkdir /etc/target", "cannot be written: Is a directory"),
        ("ln -s /etc/target /etc/target", "cannot be written: Too many levels of symbolic links"),
    ],
)
def test_a_target_that_is_no_file(lxc: Lxc, make: Make, prepare: str, cause: str) -> None:
    name = make({"/etc/target": entry("a.tpl", "start")}, {"a.tpl": "x"})
    lxc("start", name).ok()
    lxc("exec", name, "--", "sh", "-c", f"rm /etc/target; {prepare}").ok()
    lxc("stop", "-f", name).ok()
    lxc("start", name).failed(cause)
    assert lxc("list", "-f", "csv", "-c", "s", name).stdout == "STOPPED\n"


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ('{% include "/etc/shadow" %}', "tag 'include' reads files"),
        ('{% ssi "/etc/shadow" %}', "tag 'ssi' reads files"),
        ("{{ 1 + }}", "line 1: expected a value, found the end"),
        ("\n\n{{ a|nofilter }}", "line 3: filter 'nofilter' is not offered"),
        ('{% set a = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" %}' + "{% for i in a %}" * 9 + "{% endfor %}" * 9, "than 2 s"),
        ('{% set a = "x" %}' + "{% set a = a|add:a %}" * 40, "needs more than 512 MiB of memory"),
        ('{% set a = "x" %}' + "{% set a = a|add:a %}" * 24 + "{{ a }}", "gives more than 4194304 characters"),
        ("{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}", "nested more than 40 levels deep"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
    ],
)
def test_a_bad_template_fails_the_start_and_nothing_else(lxc: Lxc, make: Make, template: str, cause: str) -> None:
    entries = {"/a": entry("good.tpl", "create"), "/b": entry("bad.tpl", "create"), "/c": entry("good.tpl", "create")}
    name = make(entries, {"good.tpl": "fine", "bad.tpl": template})
    lxc("start", name).failed(cause)
    assert lxc("config", "get", name, "volatile.apply_template").stdout == "create\n"
    lxc("file", "pull", f"{name}/a", "-").failed()
    lxc("config", "template", "edit", name, "bad.tpl", stdin="mended").ok()
    lxc("start", name).ok()
    assert lxc("file", "pull", f"{name}/b", "-").stdout == "mended"


def test_a_template_name_reaches_no_other_file(lxc: Lxc, make: Make) -> None:
    name = make({"/a": entry("../backup.yaml", "start")}, {"b.tpl": "b"})
    lxc("start", name).failed("Template '../backup.yaml': the instance has no such template")


def test_bytes_that_are_no_text_stay_as_they_are(lxc: Lxc, make: Make) -> None:
    name = make({"/a": entry("a.tpl", "start")}, {}, {"templates/a.tpl": b"\xff{{ container.name }}\xfe\n"})
    lxc("start", name).ok()
    assert lxc("exec", name, "--", "sh", "-c", "od -An -tx1 /a | tr -d ' \n'").stdout == (
        f"ff{name.encode().hex()}fe0a"
    )
