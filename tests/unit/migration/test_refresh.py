"""What a refresh notes: templates are due in a copy, not in what is the same instance on its way."""

from __future__ import annotations

import pytest

from lightervisor.db.instances import InstanceRow
from lightervisor.migration.refresh import noted
from lightervisor.model.instance import InstanceSource, InstancesPost
from lightervisor.model.times import EPOCH

UUID, OTHER = "0b6f0b5c-6d3c-4a0e-9d36-1f6cb7f6f0a1", "1c6f0b5c-6d3c-4a0e-9d36-1f6cb7f6f0a2"


@pytest.mark.parametrize(
    ("posted", "pending", "changes"),
    [
        (UUID, "", {}),
        (UUID, "create", {}),
        (OTHER, "", {"volatile.apply_template": "copy"}),
        ("", "", {"volatile.apply_template": "copy"}),
        (OTHER, "create", {"volatile.apply_template": "create"}),
    ],
)
def test_templates_are_due_where_the_identity_is_another(posted: str, pending: str, changes: dict[str, str]) -> None:
    config = {"volatile.uuid": UUID, **({"volatile.apply_template": pending} if pending else {})}
    row = InstanceRow(
        project="default", name="c1", architecture="x86_64", created_at=EPOCH, last_used_at=EPOCH, config=config
    )
    post = InstancesPost(
        name="c1",
        source=InstanceSource(type="migration", base_image="f00"),
        config={"volatile.uuid": posted} if posted else {},
    )
    assert noted(row, post) == {**changes, "volatile.base_image": "f00"}
