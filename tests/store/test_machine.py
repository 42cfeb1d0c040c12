"""Every command, report, crash and restart in any order, on core and a real store, beside a model of plain dicts (R1).

What runs is real but for the processes: no runner is started, and the rules of this machine say what it would report.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from milepost.core import progress
from milepost.core.definition import Gives, RetryPolicy, Takes
from milepost.core.errors import Code, MilepostError
from milepost.core.findings import Patience
from milepost.core.model import (
    ACTIVE_STATES,
    ENDED_STATES,
    Command,
    Completed,
    Job,
    JobState,
    Outcome,
    Report,
    ReportKind,
    Run,
    TaskRef,
)
from milepost.core.queueing import Limits
from milepost.daemon import reconcile
from milepost.daemon.commands import Asked, Commands
from milepost.daemon.dispatch import Dispatch
from milepost.daemon.reconcile import Reconcile, Rules
from milepost.daemon.records import Received, Told, record
from milepost.daemon.runners import Runners
from milepost.daemon.store import jobs, operations, runs, tasks
from milepost.daemon.store.reports import Source
from milepost.daemon.store.store import Store
from milepost.daemon.vigil import Vigil
from milepost.v1 import runner_service_pb2 as pb
from tests.support import factories

T = TypeVar("T")

#: Each run that is gone is looked for in all processes: seconds on a quiet machine, a minute and more on a busy one.
pytestmark = pytest.mark.timeout(600)

JOB = "j-aaaaaaaa"
RETRY = RetryPolicy(attempts=2, base=1, cap=1)
PIPELINE = factories.pipeline(
    factories.step("rows", gives=Gives.MANY, enumerates=True, retry=RETRY),
    factories.step("fetch", retry=RETRY),
    factories.step("score", retry=RETRY),
    factories.step("report", takes=Takes.ALL, retry=RETRY),
)
ROWS = 3
OUTCOMES = {ReportKind.SUCCEEDED: "SUCCEEDED", ReportKind.SKIPPED: "SKIPPED"}


class CoreAndStore(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.store: Store | None = None
        #: What the model knows: outcomes by (step, item), where reports must stand, what was seen last.
        self.records: dict[tuple[int, int], str] = {}
        self.epochs: dict[int, int] = {}
        self.attempts = 0
        self.revision = 0
        self.state = JobState.QUEUED
        self.held: dict[TaskRef, int] = {}
        self.sent: list[tuple[int, tuple[Report, ...]]] = []
        self.enumerations = 0

    def teardown(self) -> None:
        if self.store is not None:
            self.wait(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @property
    def opened(self) -> Store:
        assert self.store is not None
        return self.store

    @initialize()
    def submit(self) -> None:
        self.open()
        self.wait(self.opened.write(lambda tx: jobs.insert(tx, factories.job(JOB, PIPELINE), PIPELINE)))

    def open(self) -> None:
        async def parts() -> tuple[Store, Commands, Reconcile]:
            store = await Store.open(self.folder, "NORMAL")
            dispatch = Dispatch(store, self.folder, self.folder, 300.0, _ignore, _ignore)
            commands = Commands(store, self.folder, _changed, Limits(8, {}, 2))
            rules = Rules(Limits(8, {}, 2), 5)
            processes = Runners(self.folder, "", _ignore)
            vigil = Vigil(store, dispatch.live, _ignore, Patience(60.0, 30.0))
            return store, commands, Reconcile(store, self.folder, dispatch, commands, processes, vigil, rules)

        self.store, self.commands, self.reconcile = self.wait(parts())

    # --- what is asked ---

    @rule(command=st.sampled_from(Command), step=st.sampled_from(["rows", "fetch", "score", "report"]))
    def command(self, command: Command, step: str) -> None:
        before, revision = self.job(), self.opened.revision
        asked = Asked(command, "", "", "ada", "test", step=step if command is Command.RESTART_FROM_STEP else None)
        try:
            self.wait(self.commands.control(JOB, asked))
        except MilepostError as error:
            assert error.remedy
            assert (self.job(), self.opened.revision) == (before, revision), "a refused command changes nothing"
            return
        self.state = self.job().state
        if command in (Command.RESUME, Command.RETRY):  # a root that has failed waits again at once
            self.accept_archived()

    @precondition(lambda self: self.job().operation == "RETRY" or (self.job().operation and self.open_run() is None))
    @rule(limit=st.integers(1, 5))
    def operation_advances(self, limit: int) -> None:
        self.wait(self.opened.write(lambda tx: operations.advance(tx, JOB, PIPELINE, time.time(), limit)))
        self.accept_archived()

    # --- what happens ---

    @precondition(lambda self: self.open_run() is None)
    @rule()
    def start(self) -> None:
        before = self.job()
        mark = f"{id(self)}-{before.run_count}"
        run = self.wait(self.opened.write(lambda tx: reconcile._record_start(tx, JOB, mark, "0" * 64)))
        assert (run is not None) == (before.state is JobState.QUEUED and before.operation is None)
        self.state = self.job().state

    @precondition(lambda self: self.open_run() is not None)
    @rule(step=st.integers(0, 3))
    def hand_out(self, step: int) -> None:
        run = self.open_run()
        assert run is not None
        job = self.job()
        if not progress.is_open(PIPELINE, job.steps, step) or job.operation:
            return
        for task in self.wait(self.opened.read(lambda db: tasks.pending(db, JOB, PIPELINE, step, -1, 2))):
            self.held[task.ref] = run.number

    @precondition(lambda self: self.held)
    @rule(data=st.data(), kind=st.sampled_from(ReportKind))
    def report(self, data: st.DataObject, kind: ReportKind) -> None:
        ref = data.draw(st.sampled_from(sorted(self.held)))
        self.send(self.held.pop(ref), (factories.report(kind, *ref),))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def report_comes_again(self, data: st.DataObject) -> None:
        self.send(*data.draw(st.sampled_from(self.sent)))

    def send(self, number: int, sent: tuple[Report, ...]) -> None:
        """Counts exactly when the run is open and the item stands there with this epoch."""
        [report] = sent
        self.sent.append((number, sent))
        current, run = self.standing(report.ref), self.open_run()
        # In columns or one by one, as the runner likes: it comes to the same.
        in_columns = report.kind in OUTCOMES and len(self.sent) % 2 == 0
        completed = (Completed.of(sent),) if in_columns else ()
        received = Received(completed, () if in_columns else sent, self.children_of(report), ())
        write = self.opened.write_together(record, Told(Source(JOB, 1, number, PIPELINE), [received]))
        if run is None or run.number != number:
            try:
                self.wait(write)
            except MilepostError as error:
                assert error.code is Code.RUN_FENCED
                return
            raise AssertionError("a run that has ended was heard")
        superseded = self.wait(write).superseded
        assert (report.ref in superseded) == (not current)
        if current:
            self.expect(report)

    def children_of(self, report: Report) -> tuple[pb.Children, ...]:
        if report.ref.step != 0 or report.kind is not ReportKind.SUCCEEDED:
            return ()
        self.enumerations += 1
        given = pb.GivenItems(keys=map(str, range(ROWS)), payloads_json=["{}"] * ROWS)
        task = pb.TaskRef(step=0, item=0, epoch=report.ref.epoch)
        return (pb.Children(task=task, enumeration=self.enumerations, first_position=0, children=given),)

    def expect(self, report: Report) -> None:
        """Successes, skips and what was given up is recorded; the rest waits for its next attempt."""
        place = (report.ref.step, report.ref.item)
        if report.kind in OUTCOMES:
            self.records[place] = OUTCOMES[report.kind]
        elif report.kind is not ReportKind.RETURNED:
            stored = self.stored_records()
            assert stored.get(place, "FAILED") == "FAILED"
            if place in stored:
                self.records[place] = "FAILED"

    @rule()
    def retries_come_due(self) -> None:
        self.wait(self.opened.write(lambda tx: tasks.release_due(tx, time.time() + 10)))

    @precondition(lambda self: self.open_run() is not None)
    @rule()
    def runner_is_gone(self) -> None:
        run = self.open_run()
        assert run is not None
        self.wait(self.reconcile._reap(run))
        job = self.job()
        assert job.state not in ACTIVE_STATES
        assert job.stop is None
        if job.state is JobState.COMPLETED:
            assert progress.remaining(PIPELINE, job.steps) == 0
        self.state = job.state
        self.wait(self.reconcile._reap(run))
        assert self.job() == job, "a run is settled once"

    @rule()
    def daemon_restarts(self) -> None:
        before = self.job()
        self.wait(self.opened.close())
        self.open()
        assert self.job() == before

    # --- what always holds ---

    def job(self) -> Job:
        return self.wait(self.opened.read(lambda db: jobs.get(db, JOB)))

    def open_run(self) -> Run | None:
        found = self.wait(self.opened.read(runs.open_runs))
        assert len(found) <= 1
        return found[0] if found else None

    def standing(self, ref: TaskRef) -> bool:
        row = self.rows("SELECT step, epoch, state FROM item WHERE id = ?", ref.item)
        return bool(row) and row[0] == (ref.step, ref.epoch, "PENDING")

    def rows(self, sql: str, *arguments: object) -> list[tuple[Any, ...]]:  # Any: whatever SQLite stores
        return self.wait(self.opened.read(lambda db: [tuple(row) for row in db.execute(sql, arguments)]))

    def stored_records(self) -> dict[tuple[int, int], str]:
        return {(step, item): outcome for step, item, outcome in self.rows("SELECT step, item, outcome FROM task")}

    def accept_archived(self) -> None:
        """A command may take records back: into the archive, never away."""
        stored = self.stored_records()
        archived = set(self.rows("SELECT step, item FROM archive"))
        assert self.records.keys() - stored.keys() <= archived
        assert stored.items() <= self.records.items()
        self.records = stored

    @invariant()
    def every_task_has_the_outcome_that_counted(self) -> None:
        if self.store is None:
            return
        assert self.stored_records() == self.records

    @invariant()
    def counts_add_up(self) -> None:
        if self.store is None:
            return
        job = self.job()
        for step, counts in zip(job.steps, progress.step_counts(PIPELINE, job.steps, {}), strict=True):
            assert counts.processed + counts.upstream + counts.pending == counts.total
            found = [outcome for (position, _), outcome in self.records.items() if position == step.position]
            expected = tuple(found.count(name) for name in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SKIPPED))
            assert (step.succeeded, step.failed, step.skipped) == expected

    @invariant()
    def states_change_by_commands_and_runs_only(self) -> None:
        if self.store is None:
            return
        job = self.job()
        assert job.state is self.state
        assert (job.state in ACTIVE_STATES) == (self.open_run() is not None)
        assert (job.end_time is not None) == (job.state in ENDED_STATES)

    @invariant()
    def nothing_runs_backwards(self) -> None:
        if self.store is None:
            return
        revision, job = self.opened.revision, self.job()
        assert self.revision <= job.revision <= revision
        self.revision = job.revision
        attempts = self.rows("SELECT count(*) FROM attempt")[0][0]
        assert attempts >= self.attempts
        self.attempts = attempts
        epochs: dict[int, int] = dict(self.rows("SELECT id, epoch FROM item"))
        assert all(epochs.get(item, epoch) >= epoch for item, epoch in self.epochs.items())
        self.epochs = epochs


def _ignore(*_: object) -> None:
    return None


def _changed(_: Job) -> None:
    """No runner is attached."""


TestCoreAndStore = CoreAndStore.TestCase
TestCoreAndStore.settings = settings(
    max_examples=10, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
