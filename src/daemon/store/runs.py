"""Runs: the lives of a job's runner. At most one of a job is open."""

import sqlite3

from milepost.core.model import Run, RunEnd
from milepost.daemon.store.store import Transaction


def insert(tx: Transaction, run: Run) -> None:
    raise NotImplementedError


def get(db: sqlite3.Connection, job_id: str, number: int) -> Run | None:
    raise NotImplementedError


def open_runs(db: sqlite3.Connection) -> list[Run]:
    """Runs not yet closed: a process may live for each."""
    raise NotImplementedError


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
    raise NotImplementedError


def close(tx: Transaction, job_id: str, number: int, end: RunEnd, now: float) -> None:
    """The run's process tree is gone. Its time is added to the job's elapsed; a closed run stays as it is."""
    raise NotImplementedError
