"""The store of the screen beside a plain dict that is told the same."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.common.wire.enums import JOB_STATES
from milepost.core.attention import Concern
from milepost.core.model import JobState
from milepost.tui.row_making import row_for
from milepost.tui.status import ATTENTION, Status
from milepost.tui.store import JobStore
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb

IDS = [f"j-{letter}" for letter in "abcde"]
MOVING = {Status.STUCK, Status.RUNNING, Status.PAUSING, Status.CANCELLING}
STUCK = job_pb2.Finding(kind=job_pb2.FINDING_KIND_STUCK)
SLOW = job_pb2.Finding(kind=job_pb2.FINDING_KIND_SLOW)

documents = st.builds(
    lambda job_id, state, findings, rate: job_pb2.Job(
        id=job_id, state=JOB_STATES[state], findings=findings, progress=job_pb2.Progress(rate=rate)
    ),
    st.sampled_from(IDS),
    st.sampled_from(JobState),
    st.lists(st.sampled_from([STUCK, SLOW]), max_size=2),
    st.sampled_from([0.0, 1.5]),
)
updates = st.builds(
    pb.WatchJobsResponse,
    jobs=st.lists(documents, max_size=3),
    deleted=st.lists(st.sampled_from(IDS), max_size=2),
    left_filter=st.lists(st.sampled_from(IDS), max_size=1),
    resync=st.booleans(),
    caught_up=st.booleans(),
)
#: True: the watch is lost.
histories = st.lists(updates | st.just(True), max_size=12)


@dataclass
class Model:
    jobs: dict[str, job_pb2.Job] = field(default_factory=dict)
    told: set[str] | None = field(default_factory=set)

    def apply(self, update: pb.WatchJobsResponse) -> None:
        if update.resync:
            self.told = set()
        for job in update.jobs:
            self.jobs[job.id] = job
            if self.told is not None:
                self.told.add(job.id)
        gone = {*update.deleted, *update.left_filter}
        self.jobs = {job_id: job for job_id, job in self.jobs.items() if job_id not in gone}
        if update.caught_up and self.told is not None:
            self.jobs = {job_id: job for job_id, job in self.jobs.items() if job_id in self.told}
            self.told = None

    def lose(self) -> None:
        self.told = set() if self.told is not None else None

    @property
    def statuses(self) -> Mapping[str, str]:
        return {job_id: status_word(job) for job_id, job in self.jobs.items()}


def status_word(job: job_pb2.Job) -> str:
    word = job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_")
    return "STUCK" if word in ("RUNNING", "PAUSING", "CANCELLING") and STUCK in job.findings else word


@settings(max_examples=100, deadline=None)
@given(histories)
def test_as_a_dict_that_is_told_the_same(history: list[pb.WatchJobsResponse | bool]) -> None:
    store, model, caught_up = JobStore(), Model(), False
    store.begin_anew()
    for update in history:
        before = dict(model.jobs)
        if isinstance(update, bool):
            store.interrupt()
            model.lose()
        else:
            store.apply(update)
            model.apply(update)
            caught_up = caught_up or update.caught_up
        assert {job_id: row.job for job_id, row in store.rows.items()} == model.jobs
        assert {job_id: row.status.value for job_id, row in store.rows.items()} == model.statuses
        assert +store.by_status == Counter(Status(word) for word in model.statuses.values())
        assert store.moving == {job_id for job_id, row in store.rows.items() if row.status in MOVING}
        assert store.complete == caught_up
        assert store.rate == sum(model.jobs[job_id].progress.rate for job_id in store.moving)
        tells_of_everything(store, before, model.jobs)


def tells_of_everything(store: JobStore, before: Mapping[str, job_pb2.Job], after: Mapping[str, job_pb2.Job]) -> None:
    changes = store.take_changes()
    assert {job_id for job_id, job in after.items() if before.get(job_id) != job} <= changes.dirty
    if {job_id: status_word(job) for job_id, job in before.items()} != {
        job_id: status_word(job) for job_id, job in after.items()
    }:
        assert changes.moved
    assert not store.take_changes()


def test_a_state_of_a_newer_daemon_wants_a_look() -> None:
    store = JobStore()
    store.apply(pb.WatchJobsResponse(jobs=[job_pb2.Job(id="j-a", state=99)]))  # type: ignore[arg-type] # a newer one
    assert store.rows["j-a"].status is Status.WAITING


def test_the_time_left_is_that_of_the_last_running_job() -> None:
    store = JobStore()
    assert store.eta is None
    for job_id, state, seconds in (("j-a", "RUNNING", 90), ("j-b", "RUNNING", 30), ("j-c", "PAUSED", 500)):
        job = job_pb2.Job(id=job_id, state=JOB_STATES[JobState(state)])
        job.progress.eta.seconds = seconds
        store.apply(pb.WatchJobsResponse(jobs=[job]))
    assert store.eta == 90


def test_what_needs_attention_is_what_the_rule_says() -> None:
    assert [status.value for status in ATTENTION] == [needs.value for needs in Concern]
    some = job_pb2.Job(id="j-a", state=JOB_STATES[JobState.COMPLETED], counts=job_pb2.Counts(failed=3))
    assert row_for(some).status is Status.FAILED_ITEMS
    assert Status.FAILED_ITEMS.word == "completed"
