"""SQL and predicate are the same filter: for any tree and any jobs they choose the same ones."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost.common.filter import FilterSubject, Node, matches, parse, select
from milepost.common.filter.tree import (
    COMPARISONS,
    FIELDS,
    TEXT_OPERATORS,
    And,
    FindingTest,
    Kind,
    LabelTest,
    Not,
    NumberTest,
    Or,
    StateTest,
    TextTest,
)
from milepost.core import progress
from milepost.core.definition import Executor, Gives, PipelineDefinition, StepDefinition, Takes, lines_for, to_json
from milepost.core.model import FindingKind, Job, JobState, Reason
from milepost.daemon.snapshot import subject
from milepost.daemon.store import filters, jobs
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.store import Store

NOW = 1_800_000_000.0
TEXTS = st.text(alphabet="aAbÉé%_'\"\\ -", max_size=3)
QUIET_STATES = (JobState.RUNNING, JobState.PAUSED, JobState.CANCELLED, JobState.FAILED, JobState.COMPLETED)


def step(name: str, takes: Takes = Takes.EACH, gives: Gives = Gives.ONE) -> StepDefinition:
    return StepDefinition(0, name, takes, gives, Executor.ASYNC, 0)


PIPELINES = (
    PipelineDefinition("single", lines_for([step("one"), step("two")])),
    PipelineDefinition(
        "items", lines_for([step("rows", gives=Gives.MANY), step("a"), step("b"), step("all", Takes.ALL)])
    ),
    PipelineDefinition(
        "nested",
        lines_for(
            [step("plan"), step("split", gives=Gives.MANY), step("a"), step("clips", gives=Gives.MANY), step("cut")]
        ),
    ),
    PipelineDefinition("barren", lines_for([step("rows", gives=Gives.MANY)])),
)


@dataclass(frozen=True)
class Described:
    """A job to be stored, with the counters of its steps: (more than the records, succeeded, failed, skipped)."""

    job: Job
    definition: PipelineDefinition
    counters: tuple[tuple[int, int, int, int], ...]
    findings: frozenset[FindingKind]


@st.composite
def described_jobs(draw: st.DrawFn) -> Described:
    definition = draw(st.sampled_from(PIPELINES))
    small = st.integers(0, 3)
    findings = draw(st.frozensets(st.sampled_from(FindingKind)))
    state = draw(st.sampled_from(QUIET_STATES))
    ended = state in (JobState.CANCELLED, JobState.FAILED, JobState.COMPLETED)
    create_time = NOW - draw(st.sampled_from([0.0, 59.5, 60.0, 3600.0, 1e6]))
    job = Job(
        id="",
        sequence=0,
        name=draw(TEXTS),
        state=state,
        pipeline=draw(TEXTS),
        source_json="{}",
        definition_json=to_json(definition),
        parameters_json="{}",
        queue=draw(TEXTS),
        priority=draw(st.integers(-2, 2)),
        create_time=create_time,
        activity_time=create_time + draw(st.sampled_from([0.0, 0.25])),
        revision=0,
        labels=draw(st.dictionaries(TEXTS, TEXTS, max_size=2)),
        reason=Reason("ASKED", "It was asked for."),
        end_time=create_time if ended else None,
    )
    return Described(
        job, definition, tuple(draw(st.tuples(small, small, small, small)) for _ in definition.steps), findings
    )


def numbers() -> st.SearchStrategy[Node]:
    fields = st.sampled_from([name for name, kind in FIELDS.items() if kind in (Kind.NUMBER, Kind.DURATION, Kind.TIME)])
    values = st.sampled_from([-2.0, 0.0, 1.0, 2.0, 4.0, 59.75, 60.0, 3600.0, NOW, NOW - 60])
    return st.builds(NumberTest, fields, st.sampled_from(list(COMPARISONS)), values)


LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(StateTest, st.sampled_from(QUIET_STATES)),
    st.builds(FindingTest, st.sampled_from(FindingKind)),
    st.builds(TextTest, st.sampled_from(["name", "pipeline", "queue"]), st.sampled_from(TEXT_OPERATORS), TEXTS),
    st.builds(LabelTest, TEXTS, st.sampled_from(TEXT_OPERATORS), TEXTS),
    numbers(),
)
NODES: st.SearchStrategy[Node] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, max_size=3).map(lambda nodes: And(tuple(nodes))),
        st.lists(inner, min_size=1, max_size=3).map(lambda nodes: Or(tuple(nodes))),
    ),
    max_leaves=6,
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path)
    yield opened
    await opened.close()


def subject_of(job: Job, described: Described) -> FilterSubject:
    definition = described.definition
    counts = progress.job_counts(definition, progress.step_counts(definition, job.steps, {}))
    return subject(job, counts, described.findings)


def store_job(tx: Transaction, number: int, described: Described) -> str:
    job = jobs.insert(tx, replace(described.job, id=f"j-{number:08d}"), described.definition)
    for position, (more, succeeded, failed, skipped) in enumerate(described.counters):
        tx.execute(
            "UPDATE step SET total = ?, succeeded = ?, failed = ?, skipped = ? WHERE job = ? AND position = ?",
            (more + succeeded + failed + skipped, succeeded, failed, skipped, job.sequence, position),
        )
    return job.id


def chosen(db: sqlite3.Connection, clause: filters.Clause) -> list[Job]:
    return jobs.page(db, clause.sql, clause.arguments, None, 100)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(described=st.lists(described_jobs(), min_size=1, max_size=6), nodes=st.lists(NODES, min_size=1, max_size=8))
async def test_sql_and_one_pass_choose_what_the_predicate_chooses(
    store: Store, described: list[Described], nodes: list[Node]
) -> None:
    def store_all(tx: Transaction) -> list[str]:
        tx.execute("DELETE FROM job")
        return [store_job(tx, number, one) for number, one in enumerate(described)]

    ids = await store.write(store_all)
    stored = {job.id: job for job in await store.read(lambda db: jobs.by_ids(db, ids))}
    subjects = [subject_of(stored[job_id], one) for job_id, one in zip(ids, described, strict=True)]
    noticed = {
        kind: [job_id for job_id, one in zip(ids, described, strict=True) if kind in one.findings]
        for kind in FindingKind
    }
    for node in nodes:
        clause = filters.to_clause(node, NOW, noticed)
        found = await store.read(partial(chosen, clause=clause))
        expected = [one for one in subjects if matches(node, one, NOW)]
        assert {job.id for job in found} == {one.id for one in expected}, node
        assert list(select(node, subjects, NOW)) == expected, node
        assert list(select(node, subjects, NOW, FilterSubject._fields)) == expected, node


@pytest.mark.parametrize(
    "text", ["\"x' OR '1'='1\"", '"; DROP TABLE job; --"', 'label:"a\'1"', 'name = "\'1" OR queue:_']
)
def test_values_never_become_sql(text: str) -> None:
    clause = filters.to_clause(parse(text), NOW)
    assert "DROP" not in clause.sql
    assert "'1" not in clause.sql
    assert clause.arguments
