"""What an operator sees: lines, and on a terminal a progress line that renews itself.

Plain text where the output is no terminal or colours are unwanted (NO_COLOR). Everything an
operator's command prints goes through here or through `print`; logs are something else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TextIO

_ERASE_LINE = "\r\x1b[K"
_BOLD, _FAINT, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
PROGRESS_WIDTH = 100


class Terminal:
    """One stream of output."""

    def __init__(
        self, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        self._stream = stream or sys.stdout
        self._renews = self._stream.isatty()
        self._coloured = self._renews and not environ.get("NO_COLOR")
        self._progress = ""

    @property
    def interactive(self) -> bool:
        """Whether somebody may be watching who can press Ctrl-C."""
        return self._renews

    def line(self, text: str = "") -> None:
        """Whole lines, at once."""
        self.end_progress()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def progress(self, text: str) -> None:
        """What is being waited for; said again only when it changed."""
        text = text[:PROGRESS_WIDTH]
        if text == self._progress:
            return
        self._progress = text
        if self._renews:
            self._stream.write(f"{_ERASE_LINE}{self.faint(text)}")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def end_progress(self) -> None:
        """Nothing is waited for any more; the next words may come from somewhere else."""
        if self._progress and self._renews:
            self._stream.write(_ERASE_LINE)
            self._stream.flush()
        self._progress = ""

    def bold(self, text: str) -> str:
        """The text, standing out."""
        return f"{_BOLD}{text}{_PLAIN}" if self._coloured else text

    def faint(self, text: str) -> str:
        """The text, in the background."""
        return f"{_FAINT}{text}{_PLAIN}" if self._coloured else text
