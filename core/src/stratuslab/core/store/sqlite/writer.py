"""Carries out write requests on the database: many in one transaction, each all or nothing.

Owns the writing connection. The group shares one commit and so one flush to the disk; what it
answered is on the disk. It knows nothing of sockets; the owner calls it, one group at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw
import structlog

from stratuslab.core.documents.kinds import Kind
from stratuslab.core.errors import Ambiguous, PermanentError, StratusLabError, Unavailable
from stratuslab.core.store.sqlite.files import BUSY_MILLISECONDS, WAL_LIMIT_BYTES
from stratuslab.core.store.sqlite.rows import Marks, Rows
from stratuslab.core.store.sqlite.schema import Meta
from stratuslab.core.store.sqlite.wire import (
    Answer,
    Apply,
    Done,
    Failed,
    Published,
    TakeNumbers,
    WriteRequest,
    failed,
)
from stratuslab.core.store.writes import EncodedWrite

log = structlog.get_logger()

PRUNED_AT_ONCE = 1000
TIDY_MILLISECONDS = 200


class Writer:
    """The writing side of one database. Not for several threads."""

    def __init__(
        self,
        connection: apsw.Connection,
        kinds: Iterable[Kind[Any]],
        meta: Meta,
        *,
        clock: Callable[[], float],
        kept_changes: int,
        kept_seconds: float,
    ) -> None:
        self._connection = connection
        self._rows = Rows(connection, kinds, meta, clock)
        self._clock = clock
        self._kept_changes = kept_changes
        self._kept_seconds = kept_seconds
        self._pruned_at = 0

    def execute(self, requests: Sequence[WriteRequest]) -> list[Answer]:
        """Carries the requests out and answers each, in order; it raises nothing.

        When the group as a whole fails, each request is tried alone, so that none suffers for
        another. Without requests: only what has expired or may be forgotten is removed.
        """
        try:
            return self._transaction(requests)
        except CommitUncertain as error:
            return [failed(request.number, error) for request in requests]
        except Exception as error:
            if len(requests) > 1:
                return [answer for each in requests for answer in self.execute([each])]
            if not isinstance(error, apsw.Error):
                log.exception("store.write_failed")
            return [failed(request.number, _as_failure(error)) for request in requests]

    @property
    def sequence(self) -> int:
        """How far the change log reaches."""
        return self._rows.marks.sequence

    @property
    def due(self) -> bool:
        """Whether something has expired."""
        return self._rows.due

    def tidy(self) -> None:
        """Empties the write-ahead log when slow readers have made it grow beyond its limit."""
        try:
            log_bytes = Path(self._connection.filename_wal).stat().st_size
        except FileNotFoundError:
            return
        if log_bytes <= WAL_LIMIT_BYTES:
            return
        self._connection.set_busy_timeout(TIDY_MILLISECONDS)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.Error as error:
            log.info("store.log_not_emptied", bytes=log_bytes, error=str(error))
        finally:
            self._connection.set_busy_timeout(BUSY_MILLISECONDS)

    def close(self) -> None:
        """Closes the database; on a failing disk its log is left for the next start to read."""
        try:
            self._connection.close()
        except apsw.Error as error:
            log.error("store.close_failed", error=str(error))

    # One transaction

    def _transaction(self, requests: Sequence[WriteRequest]) -> list[Answer]:
        marks = self._rows.marks
        try:
            self._rows.run("BEGIN IMMEDIATE")
            self._rows.remove_expired()
            answers = [self._answer(request) for request in requests]
            self._prune()
        except BaseException:
            self._roll_back(marks)
            raise
        try:
            self._rows.run("COMMIT")
        except apsw.Error as error:
            self._roll_back(marks)
            raise _commit_failure(error) from error
        return answers

    def _roll_back(self, marks: Marks) -> None:
        self._rows.marks = marks
        if self._connection.in_transaction:
            self._rows.run("ROLLBACK")

    def _answer(self, request: WriteRequest) -> Answer:
        try:
            if isinstance(request, Apply):
                if len(request.writes) == 1:
                    return Done(request.number, [self._rows.write(request.writes[0])])
                return Done(request.number, self._write_group(request.writes))
            if isinstance(request, TakeNumbers):
                return Done(request.number, [self._take(request.counter, request.block)])
            return self._confirm(request)
        except StratusLabError as error:
            return failed(request.number, error)

    def _write_group(self, writes: Sequence[EncodedWrite]) -> list[str | int]:
        marks = self._rows.marks
        self._rows.run("SAVEPOINT one_group")
        try:
            revs: list[str | int] = [self._rows.write(write) for write in writes]
        except StratusLabError:
            self._rows.run("ROLLBACK TO one_group")
            self._rows.marks = marks
            raise
        finally:
            self._rows.run("RELEASE one_group")
        return revs

    def _take(self, counter: str, block: int) -> int:
        following: int = self._rows.run(
            "INSERT INTO store_counters VALUES (?1, ?2 + 1)"
            " ON CONFLICT (name) DO UPDATE SET next = next + ?2 RETURNING next",
            (counter, block),
        )[0][0]
        return following - block

    def _confirm(self, request: Published) -> Answer:
        self._rows.run(
            "UPDATE store_changes SET events = NULL WHERE events IS NOT NULL AND sequence <= ?",
            (request.sequence,),
        )
        return Done(request.number, [])

    # What may be forgotten

    def _prune(self) -> None:
        """Removes the oldest lines of the change log, never one with unpublished events."""
        if self.sequence - self._pruned_at < PRUNED_AT_ONCE:
            return
        self._pruned_at = self.sequence
        [[unpublished]] = self._rows.run(
            "SELECT min(sequence) FROM store_changes WHERE events IS NOT NULL"
        )
        # The newest line stays: from it an owner knows how far the store has come.
        end = self.sequence - 1 if unpublished is None else unpublished - 1
        oldest = self._rows.run(
            "SELECT sequence, at FROM store_changes WHERE sequence <= ? ORDER BY sequence LIMIT ?",
            (end, 2 * PRUNED_AT_ONCE),
        )
        too_old = self._clock() - self._kept_seconds
        last = self.sequence - self._kept_changes
        gone = [sequence for sequence, at in oldest if sequence <= last or at < too_old]
        if gone:
            self._rows.run("DELETE FROM store_changes WHERE sequence <= ?", (gone[-1],))


class CommitUncertain(Ambiguous):
    """The disk failed while a commit was being flushed: it may be found after a restart."""


def is_uncertain(answer: Answer) -> bool:
    """Whether the answer says that the database must be opened anew."""
    return isinstance(answer, Failed) and answer.code == CommitUncertain.code


_NOT_WRITTEN = {apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_TRUNCATE}


def _commit_failure(error: apsw.Error) -> Exception:
    """A commit that failed before its last page was written did not happen.

    One whose flush failed may come back from the log; only opening the file anew tells.
    """
    extended: int = getattr(error, "extendedresult", 0)
    if not isinstance(error, apsw.IOError) or extended in _NOT_WRITTEN:
        return error
    return CommitUncertain(f"The disk failed while the store was writing: {error}.")


def _as_failure(error: Exception) -> StratusLabError:
    if isinstance(error, StratusLabError):
        return error
    if isinstance(error, apsw.FullError):
        return Unavailable(
            "The disk of the document store is full.", hint="Make room; nothing was lost."
        )
    if isinstance(error, apsw.Error):
        return Unavailable(f"The document store cannot write: {error}.")
    return PermanentError(f"The document store could not carry out a write: {error!r}.")
