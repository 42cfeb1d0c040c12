"""Runs: the lives of a job's runner. At most one of a job is open."""

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict

from milepost.core.model import Run, RunEnd
from milepost.core.progress import Span
from milepost.daemon.store import rows
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load

_QUERIES = load("runs")


def insert(tx: Transaction, run: Run) -> None:
    """Raises sqlite3.IntegrityError while another run of the job is open."""
    tx.execute(_QUERIES.insert, asdict(run) | {"job": rows.sequence_of(tx.connection, run.job_id)})
    tx.touch(run.job_id)


def get(db: sqlite3.Connection, job_id: str, number: int) -> Run | None:
    """None when there is no such run."""
    row = db.execute(_QUERIES.get, (job_id, number)).fetchone()
    return None if row is None else rows.run(row)


def open_among(db: sqlite3.Connection, told: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of these runs that are open; each is (sequence of its job, number)."""
    return {(job, number) for job, number in db.execute(_QUERIES.open_among, (rows.dump(told),))}


def open_runs(db: sqlite3.Connection) -> list[Run]:
    """Runs not yet closed: a process may live for each."""
    return [rows.run(row) for row in db.execute(_QUERIES.open).fetchall()]


def ended_spans(db: sqlite3.Connection, job_ids: Sequence[str]) -> dict[str, list[Span]]:
    """By job, from when to when each of its ended runs went on."""
    spans: dict[str, list[Span]] = {}
    for row in db.execute(_QUERIES.ended_spans, (rows.dump(job_ids),)).fetchall():
        spans.setdefault(row["job_id"], []).append(Span(row["create_time"], row["end_time"]))
    return spans


def open_since(db: sqlite3.Connection) -> dict[str, float]:
    """When each open run was created, by job."""
    return dict(db.execute(_QUERIES.open_since).fetchall())


def identify(
    tx: Transaction,
    job_id: str,
    number: int,
    pid: int,
    process_start_ticks: int,
    boot_id: str,
    hello_time: float | None = None,
) -> None:
    """Which process the run is; with `hello_time` also that it has said hello (the first time counts)."""
    tx.execute(
        _QUERIES.identify,
        {
            "job": rows.sequence_of(tx.connection, job_id),
            "number": number,
            "pid": pid,
            "process_start_ticks": process_start_ticks,
            "boot_id": boot_id,
            "hello_time": hello_time,
        },
    )


def close(tx: Transaction, job_id: str, number: int, end: RunEnd, now: float) -> None:
    """The run's process tree is gone. Its time is added to the job's elapsed; a closed run stays as it is."""
    sequence = rows.sequence_of(tx.connection, job_id)
    closed = tx.execute(_QUERIES.close, (end, now, sequence, number)).fetchall()
    for row in closed:
        tx.execute(_QUERIES.add_elapsed, (max(0.0, now - row["create_time"]), sequence))
        tx.touch(job_id)
