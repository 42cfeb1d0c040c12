"""Jobs with the counts of their steps: insert, find, list, save."""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from milepost.core.definition import PipelineDefinition
from milepost.core.errors import Code, MilepostError
from milepost.core.model import ACTIVE_STATES, ENDED_STATES, Job, JobState, LabelCount, Outcome, StepCounts
from milepost.daemon.store import rows
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.queries import load

_QUERIES = load("jobs")
#: How many candidates an ambiguous reference names.
_CANDIDATES = 5
#: How many ended jobs of one uniqueness key are told that it was taken or is free again: the newest.
_TOLD_OF_KEY = 100


def insert(tx: Transaction, job: Job, definition: PipelineDefinition) -> Job:
    """The job, its steps and its root item, pending at step 0. `job.sequence`, `revision` and `steps` are given here.

    Returns the job as stored. Raises sqlite3.IntegrityError when another unfinished job holds the uniqueness key: ask
    `holder_of_key` first.
    """
    sequence = tx.execute(_QUERIES.insert, _columns(job) | {"revision": tx.revision}).lastrowid
    tx.executemany(_QUERIES.insert_label, [(sequence, name, value) for name, value in job.labels.items()])
    tx.executemany(
        _QUERIES.insert_step,
        [(sequence, step.position, step.name, int(step.line == 0), int(step.line == 0)) for step in definition.steps],
    )
    tx.execute(_QUERIES.insert_root, (sequence,))
    tx.touch(job.id)
    if job.state not in ENDED_STATES:
        _tell_of_key(tx, job)
    return get(tx.connection, job.id)


def save(tx: Transaction, job: Job) -> None:
    """Writes what lifecycle decisions change, and touches; counts and operation have other owners. Raises as `get`."""
    before = tx.execute(_QUERIES.state, (job.id,)).fetchone() if job.uniqueness_key is not None else None
    if tx.execute(_QUERIES.update, _changing_columns(job) | {"revision": tx.revision}).rowcount == 0:
        raise rows.job_not_found(job.id)
    tx.touched.add(job.id)
    if before is not None and (before["state"] in ENDED_STATES) != (job.state in ENDED_STATES):
        _tell_of_key(tx, job)


def _tell_of_key(tx: Transaction, job: Job) -> None:
    """This job took its uniqueness key or freed it, so others of that key, which ended, allow other actions now."""
    if job.uniqueness_key is not None:
        for row in tx.execute(_QUERIES.ended_of_key, (job.uniqueness_key, job.id, _TOLD_OF_KEY)).fetchall():
            tx.touch(row["id"])


def get(db: sqlite3.Connection, job_id: str) -> Job:
    """Raises MilepostError(JOB_NOT_FOUND)."""
    found = _select(db, "WHERE job.id = ?", (job_id,))
    if not found:
        raise rows.job_not_found(job_id)
    return found[0]


def resolve(db: sqlite3.Connection, reference: str) -> str:
    """Id of the job that a person means: an id, a unique prefix of one (with or without "j-"), a unique name, "@last".

    Raises MilepostError: JOB_NOT_FOUND, or JOB_AMBIGUOUS with the candidates in its remedy.
    """
    exact = db.execute(_QUERIES.last_id) if reference == "@last" else db.execute(_QUERIES.id_exists, (reference,))
    if (row := exact.fetchone()) is not None:
        return str(row["id"])
    if not reference or reference == "@last":
        raise rows.job_not_found(reference)
    limit = _CANDIDATES + 1
    candidates = db.execute(_QUERIES.by_name, (reference, limit)).fetchall()
    if not candidates:
        prefix = reference if reference.startswith("j-") else f"j-{reference}"
        candidates = db.execute(_QUERIES.by_prefix, {"prefix": prefix, "limit": limit}).fetchall()
    if not candidates:
        raise rows.job_not_found(reference)
    if len(candidates) > 1:
        raise _ambiguous(reference, candidates)
    return str(candidates[0]["id"])


def by_ids(db: sqlite3.Connection, job_ids: Iterable[str]) -> list[Job]:
    """Newest first; ids that are gone are left out. A fixed number of queries, however many jobs."""
    wanted = rows.dump(list(job_ids))
    return _select(db, "WHERE job.id IN (SELECT value FROM json_each(?)) ORDER BY job.sequence DESC", (wanted,))


def current(db: sqlite3.Connection, known: Sequence[Job]) -> list[Job]:
    """These jobs as they are now; only those that changed since they were read are read again."""
    wanted = rows.dump([job.id for job in known])
    revisions = {row["id"]: row["revision"] for row in db.execute(_QUERIES.revisions, (wanted,)).fetchall()}
    unchanged = [job for job in known if revisions.get(job.id) == job.revision]
    changed = revisions.keys() - {job.id for job in unchanged}
    return [*unchanged, *by_ids(db, changed)] if changed else unchanged


def page(
    db: sqlite3.Connection, clause: str, arguments: Sequence[Any], before_sequence: int | None, limit: int
) -> list[Job]:
    """Newest first. `clause`: SQL over the table `job` ("" for all) with its `?` arguments, from the filter."""
    before = (1 << 62) if before_sequence is None else before_sequence
    where = f"WHERE ({clause or '1'}) AND job.sequence < ? ORDER BY job.sequence DESC LIMIT ?"
    return _select(db, where, (*arguments, before, limit))


def count(db: sqlite3.Connection, clause: str, arguments: Sequence[Any]) -> int:
    """How many jobs the clause matches."""
    row = db.execute(f"{_QUERIES.count} WHERE {clause or '1'}", tuple(arguments)).fetchone()
    return int(row[0])


def changed_since(
    db: sqlite3.Connection,
    revision: int,
    limit: int,
    clause: str = "",
    arguments: Sequence[Any] = (),
    after_sequence: int = 1 << 62,
) -> list[Job]:
    """Jobs after (revision, after_sequence), in that order; with the default: changed after this revision."""
    where = (
        f"WHERE (job.revision, job.sequence) > (?, ?) AND ({clause or '1'}) ORDER BY job.revision, job.sequence LIMIT ?"
    )
    return _select(db, where, (revision, after_sequence, *arguments, limit))


def deleted_since(db: sqlite3.Connection, revision: int) -> list[str]:
    """Ids of the jobs removed after this revision."""
    return [row["job_id"] for row in db.execute(_QUERIES.deleted_since, (revision,)).fetchall()]


def in_states(db: sqlite3.Connection, states: Collection[JobState]) -> list[Job]:
    """Oldest first."""
    where = "WHERE job.state IN (SELECT value FROM json_each(?)) ORDER BY job.sequence"
    return _select(db, where, (rows.dump(list(states)),))


def unsettled(db: sqlite3.Connection, now: float) -> list[Job]:
    """Jobs that reconcile has something to do with: they run, their start time has come, or their records change."""
    where = (
        "WHERE job.state IN (SELECT value FROM json_each(?)) OR (job.state = ? AND job.scheduled_time <= ?)"
        " OR operation.kind IS NOT NULL ORDER BY job.sequence"
    )
    return _select(db, where, (rows.dump(list(ACTIVE_STATES)), JobState.SCHEDULED.value, now))


def count_by_state(db: sqlite3.Connection) -> dict[JobState, int]:
    """States that no job is in are left out."""
    return {JobState(state): number for state, number in db.execute(_QUERIES.count_by_state).fetchall()}


def holder_of_key(db: sqlite3.Connection, key: str, excluding: str = "") -> str | None:
    """Id of the unfinished job that holds this uniqueness key, other than `excluding`."""
    row = db.execute(_QUERIES.holder_of_key, (key, excluding)).fetchone()
    return None if row is None else str(row["id"])


def _changing_columns(job: Job) -> dict[str, Any]:  # Any: whatever SQLite stores
    columns = {name: getattr(job, name) for name in Job.__dataclass_fields__}
    return columns | {"reason_json": rows.to_json(job.reason), "stop_json": rows.to_json(job.stop)}


def _columns(job: Job) -> dict[str, Any]:  # Any: whatever SQLite stores
    return _changing_columns(job) | {
        "environment_json": rows.dump(dict(job.environment)),
        "omitted_variables_json": rows.dump(list(job.omitted_variables)),
        "input_json": rows.to_json(job.input),
    }


def _select(db: sqlite3.Connection, where: str, arguments: tuple[Any, ...]) -> list[Job]:
    """Jobs with their steps and labels: two queries, and two more where some have labels or wait for a retry."""
    found = db.execute(f"{_QUERIES.select} {where}", arguments).fetchall()
    steps = _steps(db, found)
    labels = _labels(db, [row for row in found if row["has_labels"]])
    next_retry = _next_retry(db, [row for row in found if row["retry_count"]])
    return [
        rows.job(row, tuple(steps[row["sequence"]]), labels.get(row["sequence"], {}), next_retry.get(row["sequence"]))
        for row in found
    ]


def _sequences(found: Sequence[sqlite3.Row]) -> tuple[str]:
    """The argument of a query for all of these jobs."""
    return (rows.dump([row["sequence"] for row in found]),)


def _labels(db: sqlite3.Connection, labelled: Sequence[sqlite3.Row]) -> Mapping[int, dict[str, str]]:
    labels: dict[int, dict[str, str]] = defaultdict(dict)
    for job, name, value in db.execute(_QUERIES.labels, _sequences(labelled)).fetchall() if labelled else ():
        labels[job][name] = value
    return labels


def _next_retry(db: sqlite3.Connection, retrying: Sequence[sqlite3.Row]) -> Mapping[int, float]:
    return dict(db.execute(_QUERIES.next_retry, _sequences(retrying)).fetchall()) if retrying else {}


def _steps(db: sqlite3.Connection, found: Sequence[sqlite3.Row]) -> Mapping[int, list[StepCounts]]:
    steps: dict[int, list[StepCounts]] = defaultdict(list)
    counted = db.execute(_QUERIES.steps, _sequences(found)).fetchall()
    for _, (first, *others) in groupby(counted, key=lambda row: row[:2]):
        job, position, name, total, known, succeeded, failed, skipped, start_time, end_time, outcome, _, _ = first
        labels = () if outcome is None else tuple(_label_count(row) for row in (first, *others))
        steps[job].append(
            StepCounts(position, name, total, bool(known), succeeded, failed, skipped, labels, start_time, end_time)
        )
    return steps


def _label_count(row: sqlite3.Row) -> LabelCount:
    return LabelCount(Outcome(row["outcome"]), row["label"], row["count"])


def _ambiguous(reference: str, candidates: Sequence[sqlite3.Row]) -> MilepostError:
    named = ", ".join(f"{row['id']} ({row['name']})" for row in candidates[:_CANDIDATES])
    more = " and more" if len(candidates) > _CANDIDATES else ""
    return MilepostError(
        Code.JOB_AMBIGUOUS,
        f"{reference!r} could mean several jobs.",
        f"Name one of them by its id: {named}{more}.",
        {"job": reference},
    )
