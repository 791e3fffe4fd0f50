import gzip
import os
import random
import subprocess

import pytest

from lightervisor.images.formats.format import format_named
from lightervisor.images.gzip_program import BLOCK, WINDOW
from lightervisor.images.sandbox import confined

TEXT = b"".join(b"line %d of a file that has many\n" % (number * 7919 % 10007) for number in range(60_000))


def packed(data: bytes, level: str = "", cores: str = "0-9999") -> subprocess.CompletedProcess[bytes]:
    """Compressed where backups and images are."""
    kind = format_named("gzip")
    words = confined(["taskset", "--cpu-list", cores, *kind.packer(level)], shown=kind.packer_sees())
    return subprocess.run(words, input=data, capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("size", [0, 1, WINDOW, BLOCK - 1, BLOCK, BLOCK + 1, len(TEXT)])
def test_gzip_reads_what_is_written(size: int) -> None:
    done = packed(TEXT[:size])
    assert done.returncode == 0, done.stderr
    assert gzip.decompress(done.stdout) == TEXT[:size]
    plain = subprocess.run(["gzip", "-dc"], input=done.stdout, capture_output=True, check=True)
    assert (plain.stdout, plain.stderr) == (TEXT[:size], b"")


def test_what_cannot_be_compressed_does_not_grow_much() -> None:
    data = random.Random(5).randbytes(3 * BLOCK + 5)
    done = packed(data)
    assert gzip.decompress(done.stdout) == data
    assert len(done.stdout) < len(data) * 1.001 + 100


def test_the_bytes_do_not_depend_on_the_cores() -> None:
    one = min(os.sched_getaffinity(0))
    assert packed(TEXT, cores=str(one)).stdout == packed(TEXT).stdout


def test_about_as_small_as_gzip_and_a_higher_level_is_smaller() -> None:
    sizes = [len(packed(TEXT, level).stdout) for level in ("-1", "", "-9")]
    assert sizes[0] > sizes[1] >= sizes[2]
    assert sizes[1] < len(gzip.compress(TEXT, 6)) * 1.05


def test_a_level_that_gzip_does_not_have_is_named() -> None:
    done = packed(b"x", "-12")
    assert done.returncode != 0
    assert done.stderr.decode().strip() == "gzip has levels from 1 to 9, not 12"
