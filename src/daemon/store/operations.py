"""Rewriting many rows of a job, in commits of bounded size that survive a crash in between."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from milepost.core.definition import PipelineDefinition, Takes
from milepost.core.errors import Code, MilepostError
from milepost.core.model import ItemState, Outcome
from milepost.daemon.store import counters, rows
from milepost.daemon.store.counters import Deltas
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load

_QUERIES = load("operations")


@dataclass(frozen=True)
class Rewind:
    """Archives every record of this step and later ones; items start there anew."""

    step: int


@dataclass(frozen=True)
class Retry:
    """Failed items wait at their step again: those with these keys, of this class of error, or all."""

    keys: tuple[str, ...] = ()
    error_class: str = ""


Operation = Rewind | Retry


def begin(tx: Transaction, job_id: str, operation: Operation, event: int) -> None:
    """Records the intent: `Job.operation` is "REWIND" or "RETRY" from here on. `event`: the one that asked for it.

    Raises MilepostError(JOB_CHANGING) while another one is under way.
    """
    sequence = rows.sequence_of(tx.connection, job_id)
    kind = "REWIND" if isinstance(operation, Rewind) else "RETRY"
    if tx.execute(_QUERIES.begin, (sequence, kind, rows.dump(asdict(operation)), event)).rowcount != 1:
        raise MilepostError(
            Code.JOB_CHANGING,
            f"The records of {job_id} are being rewritten.",
            "Try again in a moment.",
            {"job": job_id},
        )
    tx.touch(job_id)


def advance(tx: Transaction, job_id: str, definition: PipelineDefinition, now: float, limit: int = 5000) -> bool:
    """Does the next part, of at most `limit` items. True when nothing is left; `Job.operation` is None then."""
    sequence = rows.sequence_of(tx.connection, job_id)
    row = tx.execute(_QUERIES.get, (sequence,)).fetchone()
    if row is None:
        return True
    part = Part(tx, sequence, definition, row["event"])
    arguments = json.loads(row["arguments_json"])
    if row["kind"] == "REWIND":
        rewind = Rewind(**arguments)
        items = tx.execute(_QUERIES.items, (sequence, row["cursor"], limit)).fetchall()
        part.rewind(rewind.step, items)
    else:
        retry = Retry(tuple(arguments["keys"]), arguments["error_class"])
        place = {"cursor": row["cursor"], "limit": limit}
        query = f"{_QUERIES.failed_items} {_of_keys(retry)} {_QUERIES.in_order}"
        items = tx.execute(query, _chosen(sequence, retry) | place).fetchall()
        part.retry(items)
    if len(items) < limit:
        tx.execute(_QUERIES.finish, (sequence,))
        if row["kind"] == "REWIND":
            tx.execute(_QUERIES.forget_start, (sequence, arguments["step"]))
    else:
        tx.execute(_QUERIES.set_cursor, (items[-1]["id"], sequence))
    counters.add(tx, job_id, sequence, definition, part.deltas, now)
    return len(items) < limit


def reopen_root(tx: Transaction, job_id: str, definition: PipelineDefinition, event: int, now: float) -> bool:
    """If the root's task has failed, it waits again (a resume of a failed job does this at once). True if it had."""
    sequence = rows.sequence_of(tx.connection, job_id)
    root = tx.execute(_QUERIES.root, (sequence,)).fetchone()
    if root["state"] != ItemState.FAILED:
        return False
    part = Part(tx, sequence, definition, event)
    part.retry([root])
    counters.add(tx, job_id, sequence, definition, part.deltas, now)
    return True


def count_failed(db: sqlite3.Connection, job_id: str, retry: Retry) -> int:
    """How many items the retry would run again."""
    query = f"{_QUERIES.count_failed} {_of_keys(retry)}"
    row = db.execute(query, _chosen(rows.sequence_of(db, job_id), retry)).fetchone()
    return int(row[0])


def _chosen(sequence: int, retry: Retry) -> dict[str, int | str]:
    return {"job": sequence, "error_class": retry.error_class, **rows.named("key", retry.keys)}


def _of_keys(retry: Retry) -> str:
    return f"{_QUERIES.of_keys} {rows.names('key', retry.keys)}" if retry.keys else ""


@dataclass
class Part:
    """What one commit does to the rows of some items, given as (id, line, step, state); the caller adds the deltas."""

    tx: Transaction
    sequence: int
    definition: PipelineDefinition
    event: int
    deltas: Deltas = field(default_factory=Deltas)

    def rewind(self, step: int, items: Sequence[sqlite3.Row]) -> None:
        """Items of lines that this step or a later one feeds go; the others that had reached it start there anew."""
        fed = {shape.feeds for shape in self.definition.steps[step:] if shape.feeds is not None}
        target = {shape.line: shape.position for shape in reversed(self.definition.steps[step:])}
        gone = [row for row in items if row["line"] in fed]
        staying = [row for row in items if row["line"] in target and row["line"] not in fed]
        back = [row for row in staying if row["step"] >= target[row["line"]]]
        self._archive_from(step, gone + back)
        for line in {row["line"] for row in back}:
            self._reset(target[line], [row for row in back if row["line"] == line])
        self._delete(gone)

    def remove(self, items: Sequence[sqlite3.Row]) -> None:
        """The items go, their records are archived."""
        lines = {row["line"] for row in items}
        for shape in self.definition.steps:
            if shape.line in lines:
                self._archive(shape.position, [row["id"] for row in items if row["line"] == shape.line])
        self._delete(items)

    def retry(self, items: Sequence[sqlite3.Row]) -> None:
        """Failed items wait at their step again, and the root at the first gather that had not seen them."""
        by_step: dict[int, list[sqlite3.Row]] = defaultdict(list)
        for row in items:
            by_step[row["step"]].append(row)
        for step, failed in by_step.items():
            self._archive(step, [row["id"] for row in failed])
            self._reset(step, failed)
        if by_step:
            self._reopen_gather(after=min(by_step))

    def _reopen_gather(self, after: int) -> None:
        later = self.definition.steps[after + 1 :]
        gather = next((shape.position for shape in later if shape.takes is Takes.ALL), None)
        root = self.tx.execute(_QUERIES.root, (self.sequence,)).fetchone()
        if gather is not None and root["step"] >= gather:
            self._archive_from(gather, [root])
            self._reset(gather, [root])

    def _archive_from(self, step: int, items: Sequence[sqlite3.Row]) -> None:
        ids = [row["id"] for row in items]
        for shape in self.definition.steps[step:]:
            self._archive(shape.position, ids)

    def _archive(self, step: int, ids: Sequence[int]) -> None:
        place = {"job": self.sequence, "step": step, "items": rows.dump(ids)}
        for row in self.tx.execute(_QUERIES.count_records, place).fetchall():
            self.deltas.records[step, Outcome(row["outcome"]), row["label"]] -= row["count"]
        self.tx.execute(_QUERIES.archive, place | {"event": self.event})
        self.tx.execute(_QUERIES.delete_records, place)
        self.tx.execute(_QUERIES.delete_saved, place)

    def _reset(self, step: int, items: Sequence[sqlite3.Row]) -> None:
        self._no_longer_retrying(items)
        ids = rows.dump([row["id"] for row in items])
        self.tx.execute(_QUERIES.reset, {"job": self.sequence, "step": step, "items": ids})

    def _delete(self, items: Sequence[sqlite3.Row]) -> None:
        self._no_longer_retrying(items)
        ids = rows.dump([row["id"] for row in items])
        self.tx.execute(_QUERIES.delete_items, {"job": self.sequence, "items": ids})
        for row in items:
            for shape in self.definition.steps:
                if shape.line == row["line"]:
                    self.deltas.total[shape.position] -= 1

    def _no_longer_retrying(self, items: Sequence[sqlite3.Row]) -> None:
        for row in items:
            if row["state"] == ItemState.RETRY:
                self.deltas.retrying[row["step"]] -= 1
