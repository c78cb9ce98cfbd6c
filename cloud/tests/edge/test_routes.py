from __future__ import annotations

import msgspec

from stratuslab.cloud.edge.routes import ROUTES, Route, route_for
from stratuslab.cloud.edge.settings import EdgeSettings

TABLE = (Route("/", "dashboard", ""), Route("/cimi", "cimi", ""), Route("/cimi/x", "other", ""))


def service(path: str) -> str | None:
    route = route_for(path, TABLE)
    return route.service if route else None


def test_the_longest_fitting_prefix_decides() -> None:
    assert service("/cimi") == "cimi"
    assert service("/cimi/machines/1") == "cimi"
    assert service("/cimi/x") == "other"
    assert service("/cimi/x/y") == "other"
    assert service("/cimi/xy") == "cimi"
    assert service("/cimix") == "dashboard"
    assert service("/") == "dashboard"


def test_a_path_without_a_service_has_none() -> None:
    assert route_for("/elsewhere", (Route("/cimi", "cimi", ""),)) is None


def test_every_route_has_a_setting_that_says_where_its_service_is() -> None:
    settings = {field.name for field in msgspec.structs.fields(EdgeSettings)}
    assert {route.service for route in ROUTES} <= settings
