"""Errors survive the way over the bus, and secrets do not take it."""

from __future__ import annotations

import re

import msgspec
import pytest

from stratuslab.core.bus.problems import error_of, headers_of, problem_of
from stratuslab.core.errors import (
    NotFound,
    PermanentError,
    RequestError,
    StratusLabError,
    TooManyRequests,
    TransientError,
    Unavailable,
)


def travelled(error: Exception) -> StratusLabError:
    problem = problem_of(error)
    return error_of(headers_of(problem), msgspec.json.encode(problem))


def family(kind: type[StratusLabError]) -> list[type[StratusLabError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in family(child))]


@pytest.mark.parametrize(
    "kind", [each for each in family(StratusLabError) if each.__module__.endswith("core.errors")]
)
def test_every_error_comes_back_as_itself(kind: type[StratusLabError]) -> None:
    error = travelled(kind("What happened.", hint="Do that.", number=3))
    assert type(error) is kind
    assert (error.message, error.hint, error.details) == (
        "What happened.",
        "Do that.",
        {"number": 3},
    )


def test_the_wait_of_a_transient_error_travels() -> None:
    error = travelled(Unavailable("Not now.", retry_after_seconds=2.5))
    assert isinstance(error, Unavailable)
    assert error.retry_after_seconds == 2.5


def test_a_detail_that_shares_its_name_with_the_wait_does_no_harm() -> None:
    assert travelled(TooManyRequests("Slower.", retry_after_seconds=1)).code == "too-many-requests"


def test_what_was_not_raised_on_purpose_keeps_its_text() -> None:
    problem = problem_of(KeyError("sesame"))
    assert problem.code == "internal-error"
    assert b"sesame" not in msgspec.json.encode(problem)
    assert b"KeyError" not in msgspec.json.encode(problem)


def test_details_that_are_no_json_are_left_out() -> None:
    assert travelled(NotFound("No.", good=1, bad=object())).details == {"good": 1}


def test_headers_are_one_line_of_ascii() -> None:
    headers = headers_of(problem_of(NotFound("Größe\r\nNats-Evil: 1")))
    assert re.fullmatch(r"[\x20-\x7e]+", headers["Nats-Service-Error"])
    assert headers["Nats-Service-Error-Code"] == "404"


@pytest.mark.parametrize(
    ("status", "kind"), [(503, TransientError), (418, RequestError), (500, PermanentError)]
)
def test_a_code_from_the_future_is_known_by_its_status(
    status: int, kind: type[StratusLabError]
) -> None:
    body = msgspec.json.encode({"code": "of-tomorrow", "status": status, "message": "New."})
    assert type(error_of({}, body)) is kind


def test_an_error_of_somebody_elses_service_is_told_by_its_headers() -> None:
    error = error_of({"Nats-Service-Error": "out of coffee"}, b"no json")
    assert isinstance(error, TransientError)
    assert "out of coffee" in error.message
