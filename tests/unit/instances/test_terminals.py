"""Messages that change a terminal or a program, as clients send them."""

import pytest

from lightervisor.instances import terminals


@pytest.mark.parametrize("frame", ["[1]", "{", '{"signal": 99999999999999999}', b"\xff", '{"args": {"width": 80}}'])
def test_what_is_no_message_is_none(frame: str | bytes) -> None:
    assert terminals.message(frame) is None


def test_a_signal_is_understood() -> None:
    message = terminals.message('{"command": "signal", "signal": 15}')
    assert message is not None
    assert (message.command, message.signal) == ("signal", 15)
