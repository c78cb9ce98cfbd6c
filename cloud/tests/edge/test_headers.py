from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from stratuslab.cloud.edge.headers import (
    FORWARDING,
    HOP_BY_HOP,
    REQUEST_ID,
    Arrival,
    inward,
    outward,
)

STRANGER = Arrival("198.51.100.7", "cloud.example", "https")
PROXY = Arrival("127.0.0.1", "edge", "http", trusted=True)

names = st.sampled_from(
    sorted(HOP_BY_HOP | FORWARDING | {"accept", "x-hop", "authorization", "etag", "cookie"})
)
headers = st.lists(st.tuples(names, st.sampled_from(["a", "x-hop, close", "1.2.3.4"]))).map(
    CIMultiDict
)


@given(headers)
def test_what_a_stranger_says_about_his_way_here_is_never_believed(given: CIMultiDict[str]) -> None:
    passed = inward(given, STRANGER)
    assert passed.getall("X-Forwarded-For") == ["198.51.100.7"]
    assert passed.getall("X-Forwarded-Host") == ["cloud.example"]
    assert passed.getall("X-Forwarded-Proto") == ["https"]
    assert not {"forwarded", "x-real-ip", "x-forwarded-port"} & {name.lower() for name in passed}


@given(headers)
def test_nothing_that_concerns_one_connection_goes_further(given: CIMultiDict[str]) -> None:
    for passed in (inward(given, STRANGER), outward(given)):
        assert not HOP_BY_HOP & {name.lower() for name in passed}
        if any("x-hop" in value for value in given.getall("Connection", [])[:1]):
            assert "x-hop" not in passed


@given(headers)
def test_everything_else_goes_through_in_order(given: CIMultiDict[str]) -> None:
    kept = [pair for pair in given.items() if pair[0] in {"accept", "authorization", "cookie"}]
    passed = [pair for pair in inward(given, STRANGER).items() if pair in kept]
    assert passed == kept


def test_a_trusted_proxy_is_believed_and_added_to_the_way() -> None:
    said = CIMultiDict(
        {
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Host": "public.example",
            "X-Forwarded-Proto": "https",
        }
    )
    passed = inward(said, PROXY)
    assert passed["X-Forwarded-For"] == "203.0.113.9, 127.0.0.1"
    assert passed["X-Forwarded-Host"] == "public.example"
    assert passed["X-Forwarded-Proto"] == "https"


def test_a_request_id_is_kept_if_it_is_sensible_and_made_otherwise() -> None:
    assert inward(CIMultiDict({REQUEST_ID: "abc-1"}), STRANGER)[REQUEST_ID] == "abc-1"
    bad = ["", "a b", "x" * 65]
    made = [inward(CIMultiDict({REQUEST_ID: each}), STRANGER)[REQUEST_ID] for each in bad]
    assert len(set(made)) == 3
    assert all(len(each) == 16 for each in made)
