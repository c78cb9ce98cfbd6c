"""Backups: a copy of a living store, and what makes a restored copy safe to go on with.

A restored store knows less than the hosts have seen. Its epoch is raised, so that they notice,
and its sequence and counters go on above everything given out before, so that no revision and
no number is ever used twice.
"""

from __future__ import annotations

import os
from pathlib import Path

import apsw
import msgspec

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.store.sqlite.files import (
    DATABASE,
    FolderLock,
    open_for_reading,
    open_for_writing,
)
from stratuslab.core.store.sqlite.schema import read_meta

SKIPPED_SEQUENCE = 1_000_000
SKIPPED_NUMBERS = 1_000
SKIPPED_STARTS = 1_000_000
"""How far to skip when nobody knows how far the lost store had come."""


class StoreMarks(msgspec.Struct, frozen=True, rename="camel"):
    """How far a store had come: to be kept when a backup of it is put in its place."""

    cloud_id: str
    epoch: int
    sequence: int
    counters: dict[str, int]
    """By name the next number of each."""


def back_up(folder: Path, target: Path) -> None:
    """Copies the database in the folder, as of one moment, to a new file; the owner may run.

    Raises ConfigurationError when one of the files cannot be opened, or the target exists.
    """
    try:
        copy = os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"The backup {target} cannot be made: {error.strerror}.",
            hint="Name a file that does not exist, in a folder that does.",
        ) from error
    try:
        source = open_for_reading(folder)
        try:
            source.execute("PRAGMA query_only=0").fetchall()  # it is opened read-only all the same
            source.execute("VACUUM INTO ?", (str(target),)).fetchall()
        finally:
            source.close()
        os.fsync(copy)
    except apsw.Error as error:
        target.unlink(missing_ok=True)
        raise ConfigurationError(f"The store in {folder} cannot be copied: {error}.") from error
    finally:
        os.close(copy)


def read_marks(folder: Path) -> StoreMarks:
    """How far the store in the folder has come. Raises ConfigurationError."""
    try:
        connection = open_for_reading(folder)
        try:
            return _marks(connection)
        finally:
            connection.close()
    except apsw.Error as error:
        raise ConfigurationError(f"The store in {folder} cannot be read: {error}.") from error


def raise_epoch(folder: Path, seen: StoreMarks | None) -> StoreMarks:
    """Makes the restored database in the folder a new epoch of its cloud; returns its marks.

    `seen`: the marks of the store whose place it takes; None when that is lost, then everything
    is skipped by a generous step. No owner may run.
    Raises ConfigurationError when one does, or when the marks are of another cloud.
    """
    lock = FolderLock(folder)
    try:
        if not (folder / DATABASE).exists():
            raise ConfigurationError(f"There is no database in {folder}.")
        connection = open_for_writing(folder, None)
        try:
            with connection:
                _raise(connection, seen)
            return _marks(connection)
        finally:
            connection.close()
    except apsw.Error as error:
        raise ConfigurationError(f"The store in {folder} cannot be changed: {error}.") from error
    finally:
        lock.release()


def _raise(connection: apsw.Connection, seen: StoreMarks | None) -> None:
    found = _marks(connection)
    if seen is None:
        seen = StoreMarks(
            found.cloud_id,
            found.epoch,
            found.sequence + SKIPPED_SEQUENCE,
            {name: next + SKIPPED_NUMBERS for name, next in found.counters.items()},
        )
    if seen.cloud_id != found.cloud_id:
        raise ConfigurationError(
            "The backup is of another cloud than the store whose place it takes.",
            hint="Restore it into an empty folder instead.",
        )
    connection.execute(
        "UPDATE store_meta SET epoch = ?, lowest_sequence = ?, starts = starts + ?",
        (max(found.epoch, seen.epoch) + 1, max(found.sequence, seen.sequence), SKIPPED_STARTS),
    )
    for name in found.counters.keys() | seen.counters.keys():
        following = max(found.counters.get(name, 1), seen.counters.get(name, 1))
        connection.execute(
            "INSERT INTO store_counters VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET next = excluded.next",
            (name, following),
        )


def _marks(connection: apsw.Connection) -> StoreMarks:
    meta = read_meta(connection)
    rows = connection.execute("SELECT name, next FROM store_counters").fetchall()
    counters = {str(name): int(str(next)) for name, next in rows}
    return StoreMarks(meta.cloud_id, meta.epoch, meta.sequence, counters)
