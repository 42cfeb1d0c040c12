"""Random reports, enumerations, retries and rewinds on a real file, beside a model of plain dicts (P1, R1, R2)."""

import shutil
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from milepost.core import progress
from milepost.core.definition import Gives, RetryPolicy, Takes
from milepost.core.grid import CellState, line_cells
from milepost.core.model import Child, Outcome, Report, ReportKind, TaskRef
from milepost.daemon.store import children, grid, items, jobs, migrate, operations, tasks
from milepost.daemon.store.group_commit import Transaction
from tests.support import factories
from tests.support.applying import apply

JOB = "j-aaaaaaaa"
RETRY = RetryPolicy(attempts=2, base=10, cap=10)
#: Lines: the root 0 (rows, report, mail), 1 (fetch, split), 2 (cut).
PIPELINE = factories.pipeline(
    factories.step("rows", gives=Gives.MANY, enumerates=True),
    factories.step("fetch", retry=RETRY),
    factories.step("split", gives=Gives.MANY, retry=RETRY),
    factories.step("cut", retry=RETRY),
    factories.step("report", takes=Takes.ALL, retry=RETRY),
    factories.step("mail", retry=RETRY),
)
FED_BY = {1: 0, 2: 2}


@dataclass(frozen=True)
class Item:
    line: int
    step: int
    state: str = "PENDING"
    epoch: int = 0
    attempts: int = 0
    lost: int = 0
    parent: int | None = None


class StoreBesideModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        path = Path(self.folder, "store.db")
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA foreign_keys = ON")
        self.db.execute("PRAGMA synchronous = OFF")
        migrate.migrate(self.db, path, "test")
        self.revision = 0
        self.now = factories.NOW
        self.items = {0: Item(0, 0)}
        self.records: dict[tuple[int, int], str] = {}
        self.archived: set[tuple[int, int, int]] = set()
        self.next_item = 1
        self.enumeration = 1
        self.position = 0
        self.keys: set[str] = set()
        self.operation: operations.Operation | None = None

    def teardown(self) -> None:
        self.db.close()
        shutil.rmtree(self.folder)

    def write(self) -> Transaction:
        self.revision += 1
        return Transaction(self.db, self.revision)

    @initialize()
    def submit(self) -> None:
        jobs.insert(self.write(), factories.job(JOB, PIPELINE), PIPELINE)

    # --- what runners send ---

    @precondition(lambda self: (self.items[0].step, self.items[0].state) == (0, "PENDING"))
    @rule(keys=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4), again=st.booleans())
    def enumerate_rows(self, keys: list[str], again: bool) -> None:
        chunk = [Child(key, "{}") for key in keys]
        ref = TaskRef(0, 0, self.items[0].epoch)
        for _ in range(2 if again else 1):
            wanted = children.add(self.write(), JOB, PIPELINE, ref, self.enumeration, self.position, chunk, self.now)
            assert wanted == self.position + len(keys)
        for key in keys:
            if key in self.keys:
                self.items[self.next_item] = Item(1, 1, "SKIPPED", parent=0)
                self.records[1, self.next_item] = "SKIPPED"
            else:
                self.items[self.next_item] = Item(1, 1, parent=0)
            self.keys.add(key)
            self.next_item += 1
        self.position = wanted

    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(sorted(self.items)), min_size=1, max_size=6))
        batch: list[Report] = []
        superseded = 0
        for item_id in chosen:
            item = self.items[item_id]
            stale = data.draw(st.integers(0, 4)) == 0
            kind = data.draw(st.sampled_from(list(ReportKind)))
            ref = TaskRef(item.step, item_id, item.epoch - 1 if stale else item.epoch)
            if any(report.ref.item == item_id for report in batch):
                continue
            given_children: tuple[Child, ...] = ()
            if kind is ReportKind.SUCCEEDED and item.step == 2:
                given_children = tuple(Child(key, "{}") for key in data.draw(st.sets(st.sampled_from("xyz"))))
            batch.append(factories.report(kind, ref.step, ref.item, ref.epoch, children=given_children))
        completed = [r for r in batch if r.kind in (ReportKind.SUCCEEDED, ReportKind.SKIPPED)]
        for one in sorted(completed, key=lambda r: r.ref.step) + [r for r in batch if r not in completed]:
            superseded += not self.expect(one)
        for _ in range(2):  # the second time, as after a lost answer, only what was given back still counts
            applied = apply(self.write(), JOB, 1, PIPELINE, batch, self.now, lambda _: 0.0)
            assert len(applied.superseded) == superseded
            superseded = len(batch) - sum(
                self.items[one.ref.item].epoch == one.ref.epoch
                and self.items[one.ref.item].step == one.ref.step
                and self.items[one.ref.item].state == "PENDING"
                for one in batch
                if one.kind is ReportKind.RETURNED
            )

    def expect(self, one: Report) -> bool:
        ref, item = one.ref, self.items[one.ref.item]
        if (item.step, item.epoch, item.state) != (ref.step, ref.epoch, "PENDING"):
            return False
        attempts = RETRY.attempts if ref.step else RetryPolicy.attempts
        match one.kind:
            case ReportKind.SUCCEEDED:
                following = PIPELINE.next_step(ref.step)
                self.records[ref.step, ref.item] = "SUCCEEDED"
                state = "SUCCEEDED" if following is None else "PENDING"
                step = ref.step if following is None else following
                self.items[ref.item] = replace(item, step=step, state=state, attempts=0, lost=0)
                for _ in one.children:
                    self.items[self.next_item] = Item(2, 3, parent=ref.item)
                    self.next_item += 1
            case ReportKind.SKIPPED:
                self.records[ref.step, ref.item] = "SKIPPED"
                self.items[ref.item] = replace(item, state="SKIPPED", attempts=0, lost=0)
            case ReportKind.FAILED if item.attempts + 1 < attempts:
                self.items[ref.item] = replace(item, state="RETRY", epoch=item.epoch + 1, attempts=item.attempts + 1)
            case ReportKind.LOST if item.lost < 2:
                self.items[ref.item] = replace(item, epoch=item.epoch + 1, lost=item.lost + 1)
            case ReportKind.FAILED | ReportKind.LOST:
                self.records[ref.step, ref.item] = "FAILED"
                self.items[ref.item] = replace(item, state="FAILED")
        return True

    # --- what the daemon does ---

    @rule(seconds=st.sampled_from([1.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        before = self.db.execute("SELECT count(*) FROM item WHERE state = 'RETRY' AND due <= ?", (self.now,))
        due = before.fetchone()[0]
        released = tasks.release_due(self.write(), self.now)
        assert released == ({JOB} if due else set())
        left = {row[0] for row in self.db.execute("SELECT id FROM item WHERE state = 'RETRY'").fetchall()}
        for item_id, item in self.items.items():
            if item.state == "RETRY" and item_id not in left:
                self.items[item_id] = replace(item, state="PENDING")

    @rule(step=st.integers(0, 5), limit=st.integers(1, 4))
    def rewind(self, step: int, limit: int) -> None:
        self.run(operations.Rewind(step), limit)
        fed = {line for line, feeder in FED_BY.items() if feeder >= step}
        for item_id, item in list(self.items.items()):
            target = next((s.position for s in PIPELINE.steps[step:] if s.line == item.line), None)
            if item.line in fed:
                del self.items[item_id]
            elif target is not None and item.step >= target:
                self.items[item_id] = Item(item.line, target, epoch=item.epoch + 1, parent=item.parent)
        self.records = {place: outcome for place, outcome in self.records.items() if place[0] < step}
        if 1 in fed:
            self.keys, self.position, self.enumeration = set(), 0, self.enumeration + 1

    @rule(limit=st.integers(1, 4))
    def retry(self, limit: int) -> None:
        failed = {item_id: item for item_id, item in self.items.items() if item.state == "FAILED"}
        assert operations.count_failed(self.db, JOB, operations.Retry()) == len(failed)
        self.run(operations.Retry(), limit)
        for item_id, item in failed.items():
            self.items[item_id] = replace(item, state="PENDING", epoch=item.epoch + 1, attempts=0, lost=0)
            del self.records[item.step, item_id]
        if any(item.step < 4 for item in failed.values()) and self.items[0].step >= 4:
            self.items[0] = Item(0, 4, epoch=self.items[0].epoch)
            self.records = {place: outcome for place, outcome in self.records.items() if place[0] < 4}

    def run(self, operation: operations.Operation, limit: int) -> None:
        records = self.stored_records()
        operations.begin(self.write(), JOB, operation, event=7)
        while True:
            done = operations.advance(self.write(), JOB, PIPELINE, self.now, limit)
            self.counts_add_up()
            if done:
                break
        assert jobs.get(self.db, JOB).operation is None
        gone = {place for place in records if place not in self.stored_records()}
        archived = self.db.execute("SELECT step, item FROM archive WHERE event = 7").fetchall()
        assert gone <= {(row["step"], row["item"]) for row in archived}

    # --- what always holds ---

    def stored_records(self) -> dict[tuple[int, int], str]:
        return {(row["step"], row["item"]): row["outcome"] for row in self.db.execute("SELECT * FROM task").fetchall()}

    @invariant()
    def counts_add_up(self) -> None:
        if not self.revision:
            return
        job = jobs.get(self.db, JOB)
        is_held = False
        for step, counts in zip(job.steps, progress.step_counts(PIPELINE, job.steps, {}), strict=True):
            line = PIPELINE.steps[step.position].line
            place = (step.position,)
            total = self.db.execute("SELECT count(*) FROM item WHERE line = ?", (line,)).fetchone()[0]
            by_outcome = dict(
                self.db.execute("SELECT outcome, count(*) FROM task WHERE step = ? GROUP BY outcome", place).fetchall()
            )
            assert step.total == total
            assert (step.succeeded, step.failed, step.skipped) == tuple(
                by_outcome.get(outcome, 0) for outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SKIPPED)
            )
            assert counts.processed + counts.upstream + counts.pending == counts.total
            arriving = self.db.execute(
                "SELECT count(*) FROM item WHERE line = ? AND step <= ? AND state IN ('PENDING', 'RETRY')",
                (line, step.position),
            ).fetchone()[0]
            assert counts.pending == arriving
            assert sum(label.count for label in step.labels) == counts.processed
            assert (step.end_time is not None) == (step.total_known and counts.pending == 0 and not is_held)
            is_held = is_held or (line == 0 and step.failed > 0)
        retries = self.db.execute("SELECT count(*), min(due) FROM item WHERE state = 'RETRY'").fetchone()
        assert (job.retry_count, job.next_retry_time) == tuple(retries)

    @invariant()
    def cells_and_windows_are_as_the_rows_say(self) -> None:
        if not self.revision:
            return
        counts = progress.step_counts(PIPELINE, jobs.get(self.db, JOB).steps, {})
        for columns in (1, 3, 100):
            lines = grid.standings(self.db, JOB, PIPELINE, columns)
            for step, count in zip(PIPELINE.steps, counts, strict=True):
                line = lines.get(step.line)
                steps = [other.position for other in PIPELINE.steps if other.line == step.line]
                cells = line_cells(steps, line.standings, {})[step.position] if line else []
                found = sum((Counter(cell.counts) for cell in cells), Counter[CellState]())
                assert found[CellState.SUCCEEDED] == count.succeeded
                assert found[CellState.FAILED] == count.failed
                assert found[CellState.SKIPPED] == count.skipped
                assert found[CellState.UPSTREAM] == count.upstream
                assert found[CellState.PENDING] + found[CellState.RETRY] == count.pending
                assert len(cells) == count.total if count.total <= columns else 0 < len(cells) <= columns
                ids = sorted(item for item, row in self.items.items() if row.line == step.line)
                starts = [ids.index(cell.first_item) for cell in cells]
                assert starts == [sum(cell.items for cell in cells[:number]) for number in range(len(cells))]
        listed = [item for item in sorted(self.items) if item or self.next_item == 1 or self.items[0].state == "FAILED"]
        assert items.total(self.db, JOB, items.EVERY_ITEM) == len(listed)
        for number, item in enumerate([*listed, None], 1):
            assert items.skip(self.db, JOB, items.EVERY_ITEM, -1, number) == item

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        if not self.revision:
            return
        stored = {
            row["id"]: Item(
                row["line"],
                row["step"],
                row["state"],
                row["epoch"],
                row["attempts_used"] if row["state"] in ("PENDING", "RETRY") else 0,
                row["lost"] if row["state"] != "FAILED" else 0,
                row["parent"],
            )
            for row in self.db.execute("SELECT * FROM item").fetchall()
        }
        ended = ("SUCCEEDED", "SKIPPED", "FAILED")
        assert stored == {
            item_id: replace(item, attempts=0, lost=0) if item.state in ended else item
            for item_id, item in self.items.items()
        }
        assert self.stored_records() == self.records


TestStoreBesideModel = StoreBesideModel.TestCase
TestStoreBesideModel.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
