"""Finds what is declared anywhere in the installed packages: modules, errors, metrics.

A module that needs a library this machine lacks, a driver's for example, is left out; what a page
shows is therefore declared in modules that always load, and a test says so.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

import stratuslab
from stratuslab.core.errors import StratusLabError

NAMESPACE = "stratuslab."


def import_everything() -> list[str]:
    """Imports every module of every installed package but commands; the names of those left out."""
    left_out: list[str] = []
    for found in pkgutil.walk_packages(stratuslab.__path__, NAMESPACE, onerror=left_out.append):
        if found.name.endswith(".__main__"):
            continue
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith(NAMESPACE):
                raise
            left_out.append(found.name)
    return left_out


def modules() -> list[ModuleType]:
    """The modules imported so far, by name."""
    return [sys.modules[name] for name in sorted(sys.modules) if name.startswith(NAMESPACE)]


def errors() -> list[type[StratusLabError]]:
    """Every class of error, each after its base, siblings by name."""
    return list(_family(StratusLabError))


def _family(error: type[StratusLabError]) -> Iterator[type[StratusLabError]]:
    if error.__module__.startswith(NAMESPACE):
        yield error
    for child in sorted(error.__subclasses__(), key=lambda each: each.__name__):
        yield from _family(child)


@dataclass(frozen=True)
class DeclaredMetric:
    """A metric as Prometheus sees it: counters end in `_total`."""

    name: str
    type: str
    labels: tuple[str, ...]
    documentation: str
    module: str


def metrics() -> list[DeclaredMetric]:
    """Every metric, by name."""
    found: dict[str, DeclaredMetric] = {}
    for module in modules():
        for value in vars(module).values():
            if isinstance(value, MetricWrapperBase) and not value._labelvalues:  # noqa: SLF001
                metric = _metric(value, module.__name__)
                # A module that only imports it must not pass for the one that declares it.
                if metric.name not in found or module.__name__.endswith("metrics"):
                    found[metric.name] = metric
    return [found[name] for name in sorted(found)]


def _metric(metric: MetricWrapperBase, module: str) -> DeclaredMetric:
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = tuple(metric._labelnames)  # noqa: SLF001
    return DeclaredMetric(name, family.type, labels, family.documentation, module)


def service_of(module: str) -> str:
    """The package of a module, for people: `stratuslab.core.bus.metrics` is `core`."""
    return module.split(".")[1].replace("_", "-")
