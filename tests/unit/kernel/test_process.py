"""Programs of the host that are killed."""

from __future__ import annotations

import os
import select

from lightervisor.kernel import process


def test_what_a_killed_program_has_started_goes_with_it() -> None:
    child = process.spawn(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=process.PIPE)
    assert child.stdout is not None
    with child.stdout:
        other = os.pidfd_open(int(child.stdout.readline()))
        child.kill()
        child.wait()
        assert select.select([other], [], [], 10)[0]
        os.close(other)
