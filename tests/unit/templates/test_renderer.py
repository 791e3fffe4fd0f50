"""The process that renders: what it may, how it ends, and that an ended one is replaced."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from lightervisor.errors import Invalid
from lightervisor.templates import worker
from lightervisor.templates.renderer import Job, Renderer
from tests.harness.processes import eventually


@pytest.fixture
def renderer() -> Iterator[Renderer]:
    made = Renderer()
    yield made
    made.close()


def job(template: bytes, **variables: object) -> Job:
    return Job(name="a.tpl", template=template, variables=variables)


def children() -> list[int]:
    """The processes that render for this one. A child of a thread that ended is given to another thread later."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread or a child may end while it is looked at
            for pid in (task / "children").read_text().split():
                if b"templates.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
    return found


def test_jobs_are_rendered_in_their_order(renderer: Renderer) -> None:
    jobs = [job(b"{{ word }}-{{ config_get('a', '') }}", word=word) for word in ("x", "y")]
    assert renderer.render(jobs, {"a": "1"}, instance="c1") == [b"x-1", b"y-1"]


def test_bytes_that_are_no_text_survive(renderer: Renderer) -> None:
    assert renderer.render([job(b"\xff{{ word }}\xfe", word="\udc80")], {}, instance="c1") == [b"\xff\x80\xfe"]


def test_the_message_names_template_line_and_remedy(renderer: Renderer) -> None:
    with pytest.raises(Invalid) as caught:
        renderer.render([job(b"fine"), Job(name="b.tpl", template=b"\n{{ 1 + }}", variables={})], {}, instance="c1")
    assert caught.value.message() == (
        "Template 'b.tpl': line 2: expected a value, found the end (lxc config template edit c1 b.tpl)"
    )


def test_what_takes_too_long_is_ended_and_the_next_one_is_served(renderer: Renderer) -> None:
    endless = b'{% set a = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" %}' + b"{% for i in a %}" * 9 + b"{% endfor %}" * 9
    with pytest.raises(Invalid, match=f"takes longer than {worker.CPU_S} s"):
        renderer.render([job(endless)], {}, instance="c1")
    assert renderer.render([job(b"next")], {}, instance="c1") == [b"next"]


def test_memory_is_limited(renderer: Renderer) -> None:
    with pytest.raises(Invalid, match="needs more than 512 MiB of memory"):
        renderer.render([job(b'{% set a = "x" %}' + b"{% set a = a|add:a %}" * 40)], {}, instance="c1")


def test_it_is_nobody_and_one_process_serves_many(renderer: Renderer) -> None:
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(lambda n: renderer.render([job(b"{{ n }}", n=n)], {}, instance="c1"), range(40)))
    assert texts == [[str(n).encode()] for n in range(40)]
    (child,) = eventually(children, what="a process to render")
    status = Path(f"/proc/{child}/status").read_text()
    assert f"Uid:\t{worker.NOBODY}\t{worker.NOBODY}\t{worker.NOBODY}\t{worker.NOBODY}" in status
    assert "Groups:\t \n" in status
    descriptors = [str(path.readlink()) for path in Path(f"/proc/{child}/fd").iterdir()]
    errors = str(Path("/proc/self/fd/2").readlink())
    assert all(one.startswith("pipe:") or one == errors for one in descriptors), descriptors


def test_one_that_was_killed_is_replaced(renderer: Renderer) -> None:
    renderer.prepare()
    eventually(children, what="the process to be there")
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    assert renderer.render([job(b"still")], {}, instance="c1") == [b"still"]
    assert child not in children()


def test_it_ends_with_the_pipe(renderer: Renderer) -> None:
    renderer.render([job(b"x")], {}, instance="c1")
    (child,) = children()
    renderer.close()
    eventually(lambda: not Path(f"/proc/{child}").exists(), what="the process to end")


def test_a_fork_can_open_no_file_and_start_no_process() -> None:
    """What Python code that broke out of the sandbox would meet."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        worker.be_nobody()
        worker.limit()
        said = b""
        for name, attempt in (("open", lambda: os.open("/etc/passwd", os.O_RDONLY)), ("fork", os.fork)):
            try:
                attempt()
                said += name.encode()
            except OSError:
                said += b"-"
        os.write(writer, said)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"--"
    os.waitpid(child, 0)
