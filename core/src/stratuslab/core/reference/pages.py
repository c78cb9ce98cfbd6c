"""All generated pages by file name."""

from __future__ import annotations

from collections.abc import Callable

from stratuslab.core.reference.discovery import import_everything
from stratuslab.core.reference.errors_page import errors_page
from stratuslab.core.reference.kinds_page import kinds_page
from stratuslab.core.reference.machine_states_page import machine_states_page
from stratuslab.core.reference.metrics_page import metrics_page
from stratuslab.core.reference.settings_page import settings_page
from stratuslab.core.reference.subjects_page import subjects_page

PAGES: dict[str, Callable[[], str]] = {
    "errors.md": errors_page,
    "kinds.md": kinds_page,
    "machine-states.md": machine_states_page,
    "metrics.md": metrics_page,
    "settings.md": settings_page,
    "subjects.md": subjects_page,
}

HEADER = "<!-- Written by `make docs` from the code: change the code, not this page. -->\n\n"


def pages() -> dict[str, str]:
    """The text of each page as the installed code has it."""
    import_everything()
    return {name: HEADER + page().rstrip() + "\n" for name, page in PAGES.items()}
