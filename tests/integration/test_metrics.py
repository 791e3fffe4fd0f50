"""/1.0/metrics: what is told, whether it is true, and to whom."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightervisor.model.metrics import FAMILIES
from tests.harness.certificates import Identity, make
from tests.harness.client_lxc import Lxc
from tests.harness.daemon import Answer, Daemon
from tests.harness.network import LOOPBACK, Network, free_port, on_network

prometheus: Any = pytest.importorskip("prometheus_client.parser")

METRICS = "/1.0/metrics"
Values = dict[tuple[str, str], float]


def read(answer: Answer, name: str, label: str = "") -> Values:
    """The samples of an instance: its value by family and another label."""
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].partition(";")[0] == "text/plain"
    assert answer.body.endswith(b"# EOF\n")
    found: Values = {}
    for family in prometheus.text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            assert sample.name in FAMILIES
            if sample.labels.get("name") == name:
                found[sample.name, sample.labels.get(label, "")] = sample.value
    return found


@pytest.fixture
def network(daemon: Daemon) -> Iterator[Network]:
    """The daemon on the network."""
    with on_network(daemon) as network:
        yield network


@pytest.fixture
def reader(daemon: Daemon, lxc: Lxc, network: Network, tmp_path: Path) -> Identity:
    """One who may read the metrics."""
    identity = make("prometheus")
    file = identity.write(tmp_path, "prometheus")[0]
    lxc("config", "trust", "add", str(file), "--name", "prometheus", "--type", "metrics").ok()
    return identity


@pytest.fixture
def metrics_only(daemon: Daemon, network: Network) -> Network:
    """The address that tells metrics and nothing else."""
    port = free_port()
    answer = daemon.request("PATCH", "/1.0", {"config": {"core.metrics_address": f"{LOOPBACK}:{port}"}})
    assert answer.status == 200, answer.error
    return Network(port)


def test_what_is_told_of_an_instance_is_true(fresh_daemon: Daemon, fresh_image: str, name: str) -> None:
    daemon = fresh_daemon
    body = {"name": name, "source": {"type": "image", "alias": fresh_image}, "config": {"limits.memory": "64MiB"}}
    assert daemon.operation("POST", "/1.0/instances", body)["err"] == ""
    assert read(daemon.request("GET", METRICS), name) == {}
    state = f"/1.0/instances/{name}/state"
    assert daemon.operation("PUT", state, {"action": "start", "timeout": 30})["err"] == ""
    daemon.restart()  # so that nothing is kept
    told = read(daemon.request("GET", METRICS), name)
    now = daemon.request("GET", state).metadata
    assert told["lxd_memory_MemTotal_bytes", ""] == 64 << 20
    assert 0 < told["lxd_memory_RSS_bytes", ""] < 64 << 20
    free, available = told["lxd_memory_MemFree_bytes", ""], told["lxd_memory_MemAvailable_bytes", ""]
    assert 0 < free <= available <= 64 << 20
    assert told["lxd_procs_total", ""] >= 1
    spent = sum(read(daemon.request("GET", METRICS), name, "cpu")["lxd_cpu_seconds_total", str(cpu)] for cpu in (0,))
    assert 0 <= spent <= now["cpu"]["usage"] / 1e9
    devices = read(daemon.request("GET", METRICS), name, "device")
    assert {device for family, device in devices if family.startswith("lxd_network_")} == {"lo", "eth0"}
    received = devices["lxd_network_receive_bytes_total", "eth0"]
    assert received <= now["network"]["eth0"]["counters"]["bytes_received"]
    mounts = read(daemon.request("GET", METRICS), name, "mountpoint")
    pool = daemon.request("GET", "/1.0/storage-pools/default/resources").metadata["space"]
    assert mounts["lxd_filesystem_size_bytes", "/"] == pool["total"]


def test_all_families_of_lxd_are_known(daemon: Daemon, running: str) -> None:
    answer = daemon.request("GET", METRICS)
    told = {line.split()[2] for line in answer.body.decode().splitlines() if line.startswith("# TYPE")}
    optional = {family for family in FAMILIES if "Hugepages" in family or "lxd_disk" in family}
    assert told | optional == set(FAMILIES)
    assert read(answer, running) or daemon.request("GET", METRICS).body


def test_it_is_kept_for_a_moment(fresh_daemon: Daemon) -> None:
    first, second = (fresh_daemon.request("GET", METRICS).body.decode() for _ in range(2))
    instances = [[line for line in text.splitlines() if line.startswith("lxd_instances")] for text in (first, second)]
    assert instances[0] == instances[1]
    assert fresh_daemon.request("GET", f"{METRICS}?project=default").body.count(b"process_") == 0
    assert fresh_daemon.request("GET", f"{METRICS}?project=nope").status == 404


def test_a_metrics_certificate_reads_and_nothing_else(
    daemon: Daemon, network: Network, metrics_only: Network, reader: Identity
) -> None:
    for place in (network, metrics_only):
        assert place.request(reader, "GET", METRICS).status == 200
        assert place.request(None, "GET", METRICS).status == 403
        assert place.request(make("stranger"), "GET", METRICS).status == 403
    assert network.request(reader, "GET", "/1.0/instances").status == 403
    assert metrics_only.request(reader, "GET", "/1.0").metadata["auth"] == "untrusted"


def test_the_metrics_address_serves_nothing_else(
    daemon: Daemon, network: Network, metrics_only: Network, reader: Identity
) -> None:
    admin = make("root@admin")
    body = {"type": "client", "name": "admin", "certificate": base64.b64encode(admin.der).decode()}
    assert daemon.request("POST", "/1.0/certificates", body).status == 201
    assert network.request(admin, "GET", "/1.0/instances").status == 200
    for path in ("/1.0/instances", "/1.0/certificates", "/1.0/images", "/internal/ready", "/1.0/metrics/"):
        assert metrics_only.request(admin, "GET", path).status == 404, path
    assert metrics_only.request(admin, "POST", "/1.0/instances", {"name": "x"}).status == 404
    assert metrics_only.request(admin, "GET", METRICS).status == 200


def test_a_restricted_client_reads_its_projects(daemon: Daemon, network: Network) -> None:
    for projects, status in ((["default"], 200), ([], 403)):
        client = make("narrow")
        body = {
            "type": "client", "name": f"narrow-{status}", "certificate": base64.b64encode(client.der).decode(),
            "restricted": True, "projects": projects,
        }  # fmt: skip
        assert daemon.request("POST", "/1.0/certificates", body).status == 201
        answer = network.request(client, "GET", METRICS)
        assert answer.status == status
        assert b"process_" not in answer.body


def test_without_authentication_everybody_reads(daemon: Daemon, network: Network, metrics_only: Network) -> None:
    answer = daemon.request("PATCH", "/1.0", {"config": {"core.metrics_authentication": "false"}})
    assert answer.status == 200, answer.error
    assert metrics_only.request(None, "GET", METRICS).status == 200
    assert network.request(None, "GET", "/1.0/instances").status == 403
    daemon.request("PATCH", "/1.0", {"config": {"core.metrics_authentication": ""}})
    assert metrics_only.request(None, "GET", METRICS).status == 403


def test_the_address_follows_its_key(daemon: Daemon, network: Network, metrics_only: Network) -> None:
    taken = daemon.request("PATCH", "/1.0", {"config": {"core.metrics_address": network.address}})
    assert "address already in use" in taken.error
    assert metrics_only.request(None, "GET", "/1.0").status == 200
    assert daemon.request("PATCH", "/1.0", {"config": {"core.metrics_address": ""}}).status == 200
    with pytest.raises(OSError, match="refused"):
        metrics_only.request(None, "GET", "/1.0")
