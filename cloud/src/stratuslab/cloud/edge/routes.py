"""Which path leads to which service: one line each. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    """Requests whose path is `prefix`, or lies below it, go to `service`."""

    prefix: str
    service: str
    about: str


ROUTES: tuple[Route, ...] = (Route("/cimi", "cimi", "CIMI, the native interface of this cloud"),)


def route_for(path: str) -> Route | None:
    """The route of a path, the longest prefix first."""
    fitting = [
        route for route in ROUTES if path == route.prefix or path.startswith(route.prefix + "/")
    ]
    return max(fitting, key=lambda route: len(route.prefix), default=None)
