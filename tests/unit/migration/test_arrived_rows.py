"""What is stored of an instance, or a snapshot, that comes from another server: nothing that was of its host."""

from __future__ import annotations

from lightervisor.config.volatile_keys import of_no_host
from lightervisor.migration import descriptions
from lightervisor.migration.frames import Pair, Snapshot
from lightervisor.migration.target import arrived_row
from lightervisor.model.instance import InstanceSource, InstancesPost

OF_ITS_HOST = {
    "volatile.eth0.host_name": "veth0",
    "volatile.eth0.last_state.created": "true",
    "volatile.eth0.last_state.mtu": "1500",
    "volatile.eth0.last_state.hwaddr": "00:16:3e:00:00:01",
    "volatile.eth0.last_state.ip_addresses": "10.0.0.1",
    "volatile.last_state.power": "RUNNING",
    "volatile.idmap.base": "1000000",
}
ITS_OWN = {"volatile.eth0.hwaddr": "00:16:3e:00:00:02", "user.host_name": "x", "volatile.eth0.name": "eth0"}


def test_an_instance_names_no_interfaces_of_the_host_that_it_was_on() -> None:
    post = InstancesPost(name="c1", source=InstanceSource(type="migration"), config={**OF_ITS_HOST, **ITS_OWN})
    config = arrived_row("default", "c1", post).config
    assert not config.keys() & OF_ITS_HOST.keys()
    assert config.items() >= ITS_OWN.items()


def test_nor_does_a_snapshot_of_it() -> None:
    pairs = tuple(Pair(key=key, value=value) for key, value in {**OF_ITS_HOST, **ITS_OWN}.items())
    row = descriptions.kept(Snapshot(name="s1", config=pairs), "default", "c1", "x86_64")
    assert row.config == {**ITS_OWN, "volatile.last_state.idmap": "[]"}


def test_what_is_no_note_of_the_daemon_stays() -> None:
    assert of_no_host({**OF_ITS_HOST, **ITS_OWN}) == ITS_OWN
