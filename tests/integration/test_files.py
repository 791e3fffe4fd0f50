"""Files of a container, running or not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.client_pylxd import Pylxd
from tests.harness.daemon import Daemon
from tests.harness.terminal import Terminal


def test_what_is_pushed_is_pulled(client: Client, running: str) -> None:
    data = os.urandom(300_000)
    client.push(running, "/root/blob", data)
    assert client.pull(running, "/root/blob") == data


def test_files_of_a_stopped_instance_are_reachable(client: Client, image: str, name: str) -> None:
    client.create(image, name)
    client.push(name, "/root/note", b"kept\n")
    assert client.pull(name, "/root/note") == b"kept\n"


def test_a_missing_file_is_not_found(client: Client, running: str) -> None:
    with pytest.raises(ClientFailure, match=r"(?i)not found|no such file|not exist"):
        client.pull(running, "/root/nothing")


def test_owner_and_mode_are_as_asked(either: Lxc, running: str, tmp_path: Path) -> None:
    local = tmp_path / "note"
    local.write_text("x")
    either("file", "push", "--uid", "1000", "--gid", "1000", "--mode", "0640", local, f"{running}/tmp/note").ok()
    assert either("exec", running, "--", "stat", "-c", "%u %g %a", "/tmp/note").ok().stdout == "1000 1000 640\n"


def test_a_tree_goes_there_and_back(either: Lxc, running: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "leaf").write_text("leaf")
    (tree / "link").symlink_to("deep/er/leaf")
    (tree / "deep" / "program").write_text("#!/bin/sh\n")
    (tree / "deep" / "program").chmod(0o755)
    either("file", "push", "-r", tree, f"{running}/root").ok()
    back = tmp_path / "back"
    back.mkdir()
    either("file", "pull", "-r", f"{running}/root/tree", back).ok()
    assert (back / "tree/deep/er/leaf").read_text() == "leaf"
    assert (back / "tree/link").readlink() == Path("deep/er/leaf")
    assert (back / "tree/deep/program").stat().st_mode & 0o777 == 0o755


def test_missing_folders_are_made_on_request(either: Lxc, running: str, tmp_path: Path) -> None:
    local = tmp_path / "note"
    local.write_text("x")
    either("file", "push", local, f"{running}/root/a/b/note").failed()
    either("file", "push", "-p", local, f"{running}/root/a/b/note").ok()
    assert either("exec", running, "--", "cat", "/root/a/b/note").ok().stdout == "x"


def test_dash_is_standard_input_and_output(either: Lxc, running: str) -> None:
    either("file", "push", "-", f"{running}/root/note", stdin="typed").ok()
    assert either("file", "pull", f"{running}/root/note", "-").ok().stdout == "typed"


def test_a_folder_is_pulled_only_recursively(either: Lxc, running: str, tmp_path: Path) -> None:
    either("file", "pull", f"{running}/etc", tmp_path).failed("Can't pull a directory without --recursive")


def test_delete_removes_the_file(either: Lxc, running: str) -> None:
    either("file", "push", "-", f"{running}/root/note", stdin="x").ok()
    either("file", "delete", f"{running}/root/note").ok()
    either("file", "pull", f"{running}/root/note", "-").failed()


def test_edit_keeps_owner_and_mode(either: Lxc, running: str, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho edited >"$1"\n')
    editor.chmod(0o755)
    either("file", "push", "--uid", "1000", "--gid", "1000", "--mode", "0600", "-", f"{running}/tmp/n", stdin="x").ok()
    either("file", "edit", f"{running}/tmp/n", stdin="edited\n", env={"EDITOR": str(editor)}).ok()
    shown = either("exec", running, "--", "sh", "-c", "cat /tmp/n; stat -c '%u %a' /tmp/n").ok().stdout
    assert shown == "edited\n1000 600\n"


def test_an_editor_is_given_the_file(either: Lxc, running: str, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/old/new/ "$1"\n')
    editor.chmod(0o755)
    either("file", "push", "--uid", "7", "--gid", "8", "--mode", "0600", "-", f"{running}/tmp/n", stdin="old\n").ok()
    words = [str(either.program), "file", "edit", f"{running}/tmp/n"]
    assert Terminal(words, {**either.env, "EDITOR": str(editor)}).end() == 0
    shown = either("exec", running, "--", "sh", "-c", "cat /tmp/n; stat -c '%u %g %a' /tmp/n").ok().stdout
    assert shown == "new\n7 8 600\n"


def test_a_link_of_the_guest_never_leads_to_the_host(daemon: Daemon, lxc: Lxc, running: str, vault: Path) -> None:
    secret = vault / "secret"
    secret.write_text("the host's")
    lxc("exec", running, "--", "ln", "-s", str(secret), "/root/link").ok()
    lxc("exec", running, "--", "ln", "-s", f"/proc/1/root{secret}", "/root/magic").ok()
    for link in ("link", "magic"):
        answer = daemon.request("GET", f"/1.0/instances/{running}/files?path=/root/{link}")
        assert b"the host's" not in answer.body
    daemon.request("POST", f"/1.0/instances/{running}/files?path=/root/link", b"overwritten")
    assert secret.read_text() == "the host's"


def test_the_api_tells_type_owner_and_mode(daemon: Daemon, running: str) -> None:
    answer = daemon.request("GET", f"/1.0/instances/{running}/files?path=/etc/passwd")
    assert answer.headers["x-lxd-type"] == "file"
    assert (answer.headers["x-lxd-uid"], answer.headers["x-lxd-gid"]) == ("0", "0")
    assert answer.headers["x-lxd-mode"] == "0644"
    folder = daemon.request("GET", f"/1.0/instances/{running}/files?path=/etc")
    assert folder.headers["x-lxd-type"] == "directory"
    assert "passwd" in folder.metadata
    assert daemon.request("GET", f"/1.0/instances/{running}/files").error == "Missing path argument"


def test_a_part_of_a_file_can_be_asked_for(daemon: Daemon, running: str) -> None:
    url = f"/1.0/instances/{running}/files?path=/etc/hostname"
    for wanted, status, part in [
        ("bytes=2-4", 206, b"syb"),
        ("bytes=-3", 206, b"ox\n"),
        ("bytes=0-1000", 206, b"busybox\n"),
        ("bytes=0-1,3-4", 200, b"busybox\n"),
        ("nonsense", 200, b"busybox\n"),
    ]:
        answer = daemon.request("GET", url, headers={"Range": wanted})
        assert (answer.status, answer.body) == (status, part)
    assert daemon.request("GET", url, headers={"Range": "bytes=100-"}).status == 416


def test_a_slash_at_the_end_asks_for_a_folder(daemon: Daemon, running: str) -> None:
    url = f"/1.0/instances/{running}/files?path="
    for method, path, text in [
        ("GET", "/etc/passwd/", 'sftp: "lstat /etc/passwd/: not a directory" (SSH_FX_FAILURE)'),
        ("POST", "/root/new/", 'sftp: "open /root/new/: is a directory" (SSH_FX_FAILURE)'),
        ("DELETE", "/etc/passwd/", 'sftp: "remove /etc/passwd/: not a directory" (SSH_FX_FAILURE)'),
        ("DELETE", "/", 'sftp: "remove /: device or resource busy" (SSH_FX_FAILURE)'),
        ("DELETE", "/etc", 'sftp: "remove /etc: directory not empty" (SSH_FX_FAILURE)'),
        ("POST", "/root/no/new", "Not Found"),
    ]:
        assert daemon.request(method, url + path).error == text
    assert daemon.request("GET", f"{url}/etc/").headers["x-lxd-type"] == "directory"


def test_head_tells_what_get_would(daemon: Daemon, running: str) -> None:
    for path in ("/etc/passwd", "/usr", "/bin/sh"):  # which the boot does not change
        url = f"/1.0/instances/{running}/files?path={path}"
        shown, told = daemon.request("GET", url), daemon.request("HEAD", url)
        assert (told.status, told.body) == (200, b"")
        kinds = ("x-lxd-type", "x-lxd-uid", "x-lxd-gid", "x-lxd-mode", "x-lxd-modified")
        assert [told.headers[kind] for kind in kinds] == [shown.headers[kind] for kind in kinds]


def test_append_keeps_what_is_there_and_overwrite_keeps_owner_and_mode(daemon: Daemon, running: str) -> None:
    url = f"/1.0/instances/{running}/files?path=/root/note"
    daemon.request("POST", url, b"one", headers={"X-LXD-uid": "7", "X-LXD-gid": "8", "X-LXD-mode": "0600"})
    daemon.request("POST", url, b"two", headers={"X-LXD-write": "append"})
    assert daemon.request("GET", url).body == b"onetwo"
    daemon.request("POST", url, b"new", headers={"X-LXD-uid": "1", "X-LXD-mode": "0777"})
    answer = daemon.request("GET", url)
    told = [answer.headers[f"x-lxd-{key}"] for key in ("uid", "gid", "mode")]
    assert (answer.body, told) == (b"new", ["7", "8", "0600"])


def test_names_may_hold_any_byte(either: Lxc, daemon: Daemon, running: str) -> None:
    for name in ("with space", "ünï", "a+b&c=d%41;#?", "new\nline", os.fsdecode(b"latin-\xe4")):
        either("file", "push", "-", f"{running}/root/{name}", stdin="content").ok()
        there = either("exec", running, "--", "sh", "-c", "cat /root/*; cd /root; printf %s * | od -An -v -tx1").ok()
        assert bytes.fromhex(there.stdout.removeprefix("content")) == os.fsencode(name)
        assert either("file", "pull", f"{running}/root/{name}", "-").ok().stdout == "content"
        either("file", "delete", f"{running}/root/{name}").ok()
        either("file", "delete", f"{running}/root/{name}").failed("Not Found")
    url = f"/1.0/instances/{running}/files?path=/etc/passwd/%E4"
    assert daemon.request("GET", url).error == 'sftp: "lstat /etc/passwd/\ufffd: not a directory" (SSH_FX_FAILURE)'


def test_a_pipe_is_no_file_to_push(either: Lxc, running: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mkfifo(tree / "pipe")
    either("file", "push", "-r", tree, f"{running}/root").failed("isn't a supported file type")


def test_a_tree_is_pulled_into_the_folder_that_is_named(either: Lxc, running: str, tmp_path: Path) -> None:
    either("file", "pull", "-r", f"{running}/usr", tmp_path / "made").ok()
    assert (tmp_path / "made/usr/bin").is_dir()
    either("file", "pull", f"{running}/etc/passwd", f"{running}/etc/group", tmp_path / "both").ok()
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["group", "passwd"]


def test_pylxd_knows_folders_trees_and_owners(daemon: Daemon, lxc: Lxc, running: str, tmp_path: Path) -> None:
    files = Pylxd(daemon.state).client.instances.get(running).files
    tree = tmp_path / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/leaf").write_text("leaf")
    files.mk_dir("/root/made", mode=0o700, uid=5, gid=6)
    files.put("/root/made/note", b"x", mode=0o640, uid=7, gid=8)
    shown = lxc("exec", running, "--", "stat", "-c", "%a %u %g", "/root/made", "/root/made/note").ok().stdout
    assert shown == "700 5 6\n640 7 8\n"
    files.recursive_put(str(tree), "/root/tree")
    files.recursive_get("/root/tree", str(tmp_path / "back"))
    assert (tmp_path / "back/deep/leaf").read_text() == "leaf"
    assert files.delete_available()
    files.delete("/root/made/note")
    assert daemon.request("GET", f"/1.0/instances/{running}/files?path=/root/made").metadata == []


def test_owners_are_the_guests_whatever_lies_below(daemon: Daemon, lxc: Lxc, whatever_lies_below: str) -> None:
    name = whatever_lies_below
    for state in ("stopped", "running"):
        if state == "running":
            lxc("start", name).ok()
        lxc("file", "push", "--uid=7", "--gid=8", "--mode=0640", "-", f"{name}/root/{state}", stdin=state).ok()
        answer = daemon.request("GET", f"/1.0/instances/{name}/files?path=/root/{state}")
        assert [answer.headers[f"x-lxd-{key}"] for key in ("uid", "gid", "mode")] == ["7", "8", "0640"]
    shown = lxc("exec", name, "--", "sh", "-c", "cd /root; stat -c '%n %u %g' *").ok().stdout
    assert shown == "running 7 8\nstopped 7 8\n"


def test_a_snapshot_can_be_pulled_from(lxc: Lxc, daemon: Daemon, running: str, tmp_path: Path) -> None:
    script = "cd /root; mkdir d; echo then >d/note; ln -s d/note l; chown 7:8 d/note; chmod 604 d/note"
    lxc("exec", running, "--", "sh", "-c", script).ok()
    lxc("snapshot", running, "snap").ok()
    lxc("exec", running, "--", "sh", "-c", "echo now >/root/d/note; mkdir /snap2; echo own >/snap2/x").ok()
    lxc("snapshot", running, "snap2").ok()
    assert lxc("file", "pull", f"{running}/snap/root/d/note", "-").ok().stdout == "then\n"
    assert lxc("file", "pull", f"{running}/snap/root/l", "-").ok().stdout == "then\n"
    assert lxc("file", "pull", "--snapshot", "snap", f"{running}/root/d/note", "-").ok().stdout == "then\n"
    assert lxc("file", "pull", f"{running}/root/d/note", "-").ok().stdout == "now\n"
    assert lxc("file", "pull", f"{running}/snap2/x", "-").ok().stdout == "own\n"
    lxc("file", "pull", "-r", f"{running}/snap/root", tmp_path).ok()
    assert (tmp_path / "root/d/note").read_text() == "then\n"
    assert (tmp_path / "root/d/note").stat().st_mode & 0o777 == 0o604
    lxc("file", "pull", f"{running}/snap/none", "-").failed("Not Found")
    lxc("file", "pull", f"{running}/none/none", "-").failed("Not Found")
    lxc("file", "pull", "--snapshot", "none", f"{running}/root/l", "-").failed("not found")
    url = f"/1.0/instances/{running}/snapshots/snap/files?path=/root/d/note"
    told = daemon.request("HEAD", url)
    assert [told.headers[f"x-lxd-{key}"] for key in ("uid", "gid", "mode")] == ["7", "8", "0604"]
    assert daemon.request("POST", url, b"x").status == 501
