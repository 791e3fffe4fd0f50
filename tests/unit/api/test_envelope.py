"""The seven keys."""

from __future__ import annotations

import json

from aiohttp import web

from lightervisor.api import envelope
from lightervisor.model.operation import Operation

KEYS = ["type", "status", "status_code", "operation", "error_code", "error", "metadata"]


def read(answer: web.Response) -> tuple[bytes, dict[str, object]]:
    assert isinstance(answer.body, bytes)
    return answer.body, json.loads(answer.body)


def test_every_kind_has_the_seven_keys_in_order() -> None:
    answers = [
        envelope.sync(),
        envelope.created("/x"),
        envelope.background(Operation(id="1")),
        envelope.failure(404, ""),
    ]
    assert [list(read(answer)[1]) for answer in answers] == [KEYS] * 4


def test_an_empty_answer_has_an_empty_object() -> None:
    assert read(envelope.sync())[1]["metadata"] == {}
    assert read(envelope.sync([]))[1]["metadata"] == []


def test_html_is_not_escaped_and_one_newline_ends_it() -> None:
    body, _ = read(envelope.sync("<&>"))
    assert b'"<&>"' in body
    assert body.endswith(b"}\n")


def test_what_was_created_is_told_in_the_location_alone() -> None:
    answer = envelope.created("/1.0/profiles/p")
    assert (answer.status, answer.headers["Location"]) == (201, "/1.0/profiles/p")
    assert read(answer)[1]["metadata"] is None
    assert read(answer)[1]["status_code"] == 200


def test_an_operation_is_told_with_its_url() -> None:
    answer = envelope.background(Operation(id="abc"))
    assert (answer.status, answer.headers["Location"]) == (202, "/1.0/operations/abc")
    assert read(answer)[1]["status_code"] == 100


def test_an_error_ends_with_two_newlines_and_is_not_sniffed() -> None:
    answer = envelope.failure(404, "not found")
    assert read(answer)[0].endswith(b"}\n\n")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert read(answer)[1]["error_code"] == 404
