"""The store in one SQLite file: one process owns and writes it, all on the host read it directly.

SQLite itself (apsw) is known to `schema`, `writer`, `reader`, `files` and `restore` only.
"""

from stratuslab.core.store.sqlite.owner import SqliteOwner
from stratuslab.core.store.sqlite.store import SqliteStore

__all__ = ["SqliteOwner", "SqliteStore"]
