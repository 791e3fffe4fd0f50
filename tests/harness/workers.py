"""Several workers share the tests (`pytest -n auto`): which tests stay together, and where their temporary files are.

The tests of a file stay together, as they share their module's fixtures. What takes long goes first, or the end of the
run would be one worker's alone.

The whole run's leak check is here too: a worker cannot tell what another one is using from what was left behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.harness import leaks

LEAST_WORKERS = 2  # many tests wait more than they compute
# They use what a host has once: the bridges' names that `lxd init` gives, ports of a fixed number, the system's lxcfs.
HOST = {
    "tests/integration/test_demo.py",
    "tests/integration/test_howtos.py",
    "tests/integration/test_init.py",
    "tests/integration/test_packaging.py",
    "tests/integration/test_proxy.py",
    "tests/integration/test_restart.py",
    "tests/seeds/test_a_setting_up.py",
}
PEERS = "tests/peers/"  # the whole package shares its daemons
# Seconds that a unit takes, roughly (of one run with --durations=0 --durations-min=0.02); any other takes less.
LONG_S = {
    "tests/faults/test_snapshots.py": 400,
    "host": 300,
    PEERS: 260,
    "tests/faults/test_steps.py": 200,
    "tests/integration/test_nesting.py": 140,
    "tests/integration/test_nesting_itself.py": 110,
    "tests/seeds/test_d_docker.py": 105,
    "tests/integration/test_debian.py": 140,
    "tests/faults/test_transfers.py": 120,
    "tests/faults/test_volume_copies.py": 75,
    "tests/integration/test_busy.py": 60,
    "tests/integration/test_refresh_attacks.py": 40,
    "tests/faults/test_volume_backups.py": 45,
    "tests/faults/test_volume_migration.py": 60,
    "tests/faults/test_volume_snapshots.py": 50,
    "tests/integration/test_volume_copies.py": 45,
    "tests/integration/test_volume_snapshots.py": 30,
    "tests/integration/test_volume_schedule.py": 60,
    "tests/integration/test_volume_places.py": 60,
    "tests/faults/test_rebuild.py": 110,
    "tests/faults/test_btrfs.py": 90,
    "tests/integration/test_host_reboot.py": 68,
    "tests/integration/test_btrfs_migration.py": 40,
    "tests/integration/test_btrfs_pools.py": 40,
    "tests/integration/test_zfs_pools.py": 120,
    "tests/integration/test_image_upkeep.py": 68,
    "tests/seeds/test_h_image_servers.py": 65,
    "tests/faults/test_crashes.py": 65,
    "tests/integration/test_bad_host.py": 55,
    "tests/integration/test_stateful.py": 115,
    "tests/integration/test_live_moves.py": 95,
    "tests/faults/test_live_moves.py": 120,
    "tests/integration/test_snapshot_memory.py": 80,
    "tests/fuzz/test_parsers.py": 45,
    "tests/integration/test_image_sources.py": 36,
    "tests/integration/test_image_servers.py": 35,
    "tests/integration/test_exec.py": 32,
    "tests/integration/test_image_round_trip.py": 32,
    "tests/integration/test_strangers.py": 31,
}
OWN_KEY = pytest.StashKey[Path]()


def unit_of(nodeid: str) -> str:
    """What runs in one worker, one after the other, with this test."""
    file = nodeid.partition("::")[0]
    if file in HOST:
        return "host"
    return PEERS if file.startswith(PEERS) else file


class Spread(LoadScopeScheduling):
    """Work in these units, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Producer | None) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer | None) -> Spread:
    """Whatever --dist says."""
    return Spread(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means."""
    return max(LEAST_WORKERS, len(os.sched_getaffinity(0)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; pytest's own order where there is one process, and within a unit."""
    if leaks.is_worker():
        items.sort(key=lambda item: -LONG_S.get(unit_of(item.nodeid), 0))


def pytest_configure(config: pytest.Config) -> None:
    """A directory for temporary files of this run, and in it one for each worker: what stays there was left behind."""
    # pytest's own stay where they were: it keeps those of the last three runs.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    if leaks.is_worker():
        own = Path(tempfile.gettempdir(), os.environ["PYTEST_XDIST_WORKER"])
        own.mkdir()
    else:
        own = Path(tempfile.mkdtemp(prefix=f"{leaks.RUN_PREFIX}{os.getpid()}-"))
    own.chmod(0o1777)
    os.environ["TMPDIR"] = tempfile.tempdir = str(own)
    config.stash[OWN_KEY] = own


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove it, unless something is mounted there."""
    own = config.stash.get(OWN_KEY, None)
    if own is not None and not leaks.mounts_below(own):
        shutil.rmtree(own, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Once all workers have ended, nothing may be left of anything that any of them made."""
    before = leaks.take()
    ran = yield
    if session.config.pluginmanager.has_plugin("dsession"):
        left = leaks.of_run(before, session.config.stash[OWN_KEY])
        if left:
            session.config.hook.pytest_runtest_logreport(report=_report("left behind:\n" + "\n".join(left)))
    return ran


def _report(problem: str) -> pytest.TestReport:
    """An error of no test's own, which the summary counts and shows as any other."""
    where = ("tests", None, "the whole run")
    name = "tests::nothing_is_left_behind"
    return pytest.TestReport(name, where, keywords={}, outcome="failed", longrepr=problem, when="teardown")
