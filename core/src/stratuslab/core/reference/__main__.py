"""The command `python -m stratuslab.core.reference FOLDER [--check]`; `make docs` calls it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from stratuslab.core.reference.pages import pages


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the pages, or only compares; 1 when a page is not what the code says."""
    parser = argparse.ArgumentParser(prog="python -m stratuslab.core.reference")
    parser.add_argument("folder", type=Path, help="where the pages are, docs/reference")
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    options = parser.parse_args(arguments)
    folder: Path = options.folder
    stale = [
        (folder / name, text) for name, text in pages().items() if _text(folder / name) != text
    ]
    for path, text in stale:
        if options.check:
            print(f"{path} is not what the code says. Run: make docs", file=sys.stderr)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {path}")
    return 1 if options.check and stale else 0


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
