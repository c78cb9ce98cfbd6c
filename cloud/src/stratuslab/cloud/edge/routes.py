"""Which path leads to which service: one line each. Pure.

A service to come needs a line here, a setting that says where it listens, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    """Requests whose path is `prefix`, or lies below it, go to `service`.

    `service` is also the name of the setting that says where it listens.
    """

    prefix: str
    service: str
    about: str


ROUTES: tuple[Route, ...] = (Route("/cimi", "cimi", "CIMI, the native interface of this cloud"),)


def route_for(path: str, routes: tuple[Route, ...] = ROUTES) -> Route | None:
    """The route of a path, the longest prefix first."""
    fitting = [route for route in routes if _is_below(path, route.prefix)]
    return max(fitting, key=lambda route: len(route.prefix), default=None)


def _is_below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix if prefix == "/" else prefix + "/")
