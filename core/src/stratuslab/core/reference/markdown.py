"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty columns are left out, without rows there is none."""
    lines = [list(row) for row in rows]
    kept = [index for index in range(len(head)) if any(line[index] for line in lines)]
    if not lines:
        return ""
    written = [_row(head, kept), _row(["---"] * len(head), kept)]
    written += [_row(line, kept) for line in lines]
    return "\n".join(written) + "\n"


def code(text: object) -> str:
    """As code; nothing for nothing."""
    return f"`{text}`" if text not in ("", None) else ""


def _row(cells: Sequence[str], kept: Sequence[int]) -> str:
    return "| " + " | ".join(_escaped(cells[index]) for index in kept) + " |"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
