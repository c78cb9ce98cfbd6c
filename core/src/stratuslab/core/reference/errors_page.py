"""The page of errors: every code, its HTTP status, what it means."""

from __future__ import annotations

from stratuslab.core.errors import StratusLabError
from stratuslab.core.reference.discovery import errors, service_of
from stratuslab.core.reference.field_docs import first_paragraph
from stratuslab.core.reference.markdown import code, table

INTRODUCTION = """# Errors

Every error has a stable code, a sentence that says what happened, and mostly a hint what to do
next. The code is the same in the answers of the API, in replies on the bus and in logs.

* 4xx: change the request, then send it again.
* 429 and 503: send the same request again later; `Retry-After` says when.
* 500: trying again changes nothing.
* An error without a status of its own stops a service or a command before it answers anybody.

"""


def errors_page() -> str:
    """The page."""
    rows = [
        (
            code(error.code),
            str(error.http_status) if _answered(error) else "",
            error.__name__,
            first_paragraph(error),
            service_of(error.__module__),
        )
        for error in errors()
        if "code" in vars(error) and error is not StratusLabError
    ]
    general = (
        code(StratusLabError.code),
        "500",
        "",
        "A mistake in the cloud; its log has more.",
        "",
    )
    head = ("Code", "Status", "Class", "Meaning", "Declared in")
    return INTRODUCTION + table(head, [*sorted(rows), general])


def _answered(error: type[StratusLabError]) -> bool:
    """Whether it can be the answer to a request."""
    return not any(base.__name__ == "ConfigurationError" for base in error.__mro__)
