"""Files of a container, running or not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness.client import Client, ClientFailure
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Daemon


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


def test_a_link_of_the_guest_never_leads_to_the_host(daemon: Daemon, lxc: Lxc, running: str) -> None:
    secret = daemon.state / "secret"
    secret.write_text("the host's")
    lxc("exec", running, "--", "ln", "-s", str(secret), "/root/link").ok()
    lxc("exec", running, "--", "ln", "-s", f"/proc/1/root{secret}", "/root/magic").ok()
    for link in ("link", "magic"):
        answer = daemon.request("GET", f"/1.0/instances/{running}/files?path=/root/{link}")
        assert b"the host's" not in answer.body
    daemon.request("POST", f"/1.0/instances/{running}/files?path=/root/link", b"overwritten")
    assert secret.read_text() == "the host's"
    secret.unlink()


def test_the_api_tells_type_owner_and_mode(daemon: Daemon, running: str) -> None:
    answer = daemon.request("GET", f"/1.0/instances/{running}/files?path=/etc/passwd")
    assert answer.headers["x-lxd-type"] == "file"
    assert (answer.headers["x-lxd-uid"], answer.headers["x-lxd-gid"]) == ("0", "0")
    assert answer.headers["x-lxd-mode"] == "0644"
    folder = daemon.request("GET", f"/1.0/instances/{running}/files?path=/etc")
    assert folder.headers["x-lxd-type"] == "directory"
    assert "passwd" in folder.metadata
    assert daemon.request("GET", f"/1.0/instances/{running}/files").error == "Missing path argument"
