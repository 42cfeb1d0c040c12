"""Rows of the database as values of the model, and back."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import msgspec

from milepost.core.errors import Code, MilepostError
from milepost.core.model import (
    Event,
    Failure,
    InputFile,
    Job,
    JobState,
    Reason,
    Run,
    RunEnd,
    RunnerLostPolicy,
    StepCounts,
    Stop,
)
from milepost.daemon.store.queries import load

_QUERIES = load("rows")


def sequence_of(db: sqlite3.Connection, job_id: str) -> int:
    """The number that a job's rows carry. Raises MilepostError(JOB_NOT_FOUND)."""
    row = db.execute(_QUERIES.sequence, (job_id,)).fetchone()
    if row is None:
        raise job_not_found(job_id)
    return int(row[0])


def job_not_found(reference: str) -> MilepostError:
    if reference == "@last":
        return MilepostError(
            Code.JOB_NOT_FOUND, "There is no job yet.", "Submit one: milepost run --help.", {"job": reference}
        )
    return MilepostError(
        Code.JOB_NOT_FOUND,
        f"There is no job {reference!r}.",
        "List the jobs there are: milepost ls.",
        {"job": reference},
    )


def to_json(value: Reason | Stop | InputFile | Failure | None) -> str | None:
    return None if value is None else dump(asdict(value))


def dump(value: object) -> str:
    return msgspec.json.encode(value).decode()


def names(name: str, values: Sequence[str]) -> str:
    """As `(:key_0, :key_1)`, for texts that may hold a NUL, which SQLite's JSON would end them at; see `named`."""
    return f"({', '.join(f':{name}_{number}' for number in range(len(values)))})"


def named(name: str, values: Sequence[str]) -> dict[str, str]:
    """The values of `names`."""
    return {f"{name}_{number}": value for number, value in enumerate(values)}


def failure(text: str | None) -> Failure | None:
    return None if text is None else Failure(**json.loads(text))


def job(row: sqlite3.Row, steps: tuple[StepCounts, ...], labels: Mapping[str, str], next_retry: float | None) -> Job:
    """`row`: of `SELECT job.*, …, operation, retry_count`."""
    columns = dict(zip(row.keys(), row, strict=True))  # a row looks each name up from its first column on
    reason, stop, input_file = columns["reason_json"], columns["stop_json"], columns["input_json"]
    return Job(
        id=columns["id"],
        sequence=columns["sequence"],
        name=columns["name"],
        state=JobState(columns["state"]),
        pipeline=columns["pipeline"],
        source_json=columns["source_json"],
        definition_json=columns["definition_json"],
        parameters_json=columns["parameters_json"],
        queue=columns["queue"],
        priority=columns["priority"],
        create_time=columns["create_time"],
        activity_time=columns["activity_time"],
        revision=columns["revision"],
        steps=steps,
        labels=labels,
        reason=None if reason is None else Reason(**json.loads(reason)),
        stop=None if stop is None else _stop(json.loads(stop)),
        stop_revision=columns["stop_revision"],
        start_time=columns["start_time"],
        end_time=columns["end_time"],
        scheduled_time=columns["scheduled_time"],
        queue_time=columns["queue_time"],
        run_count=columns["run_count"],
        resume_count=columns["resume_count"],
        auto_resume_count=columns["auto_resume_count"],
        auto_resume_mark=columns["auto_resume_mark"],
        elapsed=columns["elapsed"],
        runner_lost_policy=RunnerLostPolicy(columns["runner_lost_policy"]),
        uniqueness_key=columns["uniqueness_key"],
        python=columns["python"],
        working_directory=columns["working_directory"],
        environment=_environment(columns["environment_json"]),
        omitted_variables=tuple(json.loads(columns["omitted_variables_json"])),
        input=None if input_file is None else InputFile(**json.loads(input_file)),
        submitted_by=columns["submitted_by"],
        operation=columns["operation"],
        retry_count=columns["retry_count"],
        next_retry_time=next_retry,
    )


@lru_cache(maxsize=100)
def _environment(text: str) -> Mapping[str, str]:
    """Kept, because a running job is read at each of its changes, and its environment may be large."""
    found: Mapping[str, str] = json.loads(text)
    return found


def run(row: sqlite3.Row) -> Run:
    return Run(
        job_id=row["job_id"],
        number=row["number"],
        mark=row["mark"],
        token_hash=row["token_hash"],
        create_time=row["create_time"],
        cgroup=row["cgroup"],
        pid=row["pid"],
        process_start_ticks=row["process_start_ticks"],
        boot_id=row["boot_id"],
        hello_time=row["hello_time"],
        end_time=row["end_time"],
        end=None if row["end"] is None else RunEnd(row["end"]),
    )


def event(row: sqlite3.Row) -> Event:
    return Event(
        kind=row["kind"],
        time=row["time"],
        by=row["by"],
        client=row["client"],
        message=row["message"],
        from_state=_state(row["from_state"]),
        to_state=_state(row["to_state"]),
        job_id=row["job_id"],
        id=row["id"],
        revision=row["revision"],
    )


def _stop(document: dict[str, Any]) -> Stop:  # Any: a JSON object that this module wrote
    return Stop(
        target=JobState(document["target"]),
        force=document["force"],
        by=document["by"],
        reason=Reason(**document["reason"]),
        time=document["time"],
    )


def _state(name: str | None) -> JobState | None:
    return None if name is None else JobState(name)
