"""Looks at running jobs again and again, so that what only time changes is noticed, told to watchers, and recorded.

Reconcile calls `look` for each open run at each of its looks, at least once a second. What the runner says of itself is
taken from its last heartbeat; what it means is core's matter (`core.findings`). Nothing here is durable but the events:
a new daemon notices anew.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from milepost.common import processes
from milepost.core import findings as rules
from milepost.core.clocks import Awake, Clocks
from milepost.core.definition import PipelineDefinition, StepDefinition, from_json
from milepost.core.findings import Evidence, ExecutingTask, Finding, Patience
from milepost.core.model import ACTIVE_STATES, Event, FindingKind, Job, JobState, Reason, Run
from milepost.daemon.live import Live, RunningTask
from milepost.daemon.store import durations, events
from milepost.daemon.store.group_commit import Transaction
from milepost.daemon.store.store import Store

#: Seconds until it is looked up again how long tasks of a step take.
LEARNED_AGAIN = 60.0
#: Seconds until a running job is told again though nothing happened: how long it ran, its rate and its ETA are others.
TOLD_AGAIN = 2.0


def read_clocks() -> Clocks:
    return Clocks(time.clock_gettime(time.CLOCK_MONOTONIC), time.clock_gettime(time.CLOCK_BOOTTIME))


@dataclass
class _Watched:
    """What is remembered of a run between two looks.

    `heard`: its last heartbeat, or the first look; `told`: when its job was last told because time passes (monotonic).
    """

    heard: float
    told: float
    pid: int = 0
    stopped: bool = False
    #: By step: the longest duration, and when it was looked up (monotonic).
    longest: dict[int, float | None] = field(default_factory=dict)
    learned: dict[int, float] = field(default_factory=dict)
    found: tuple[Finding, ...] = ()
    #: Of the last heartbeat: its tasks, and how long the one was quiet that was it longest.
    tasks: Sequence[RunningTask] = ()
    quiet: float = 0.0
    #: Codes that documents have had since the last look.
    shown: set[str] = field(default_factory=set)


class Vigil:
    """`live`: the last heartbeat of a job's run; `tell(job_id)`: watchers are to see the job again."""

    def __init__(
        self,
        store: Store,
        live: Callable[[str], Live],
        tell: Callable[[str], None],
        patience: Patience,
        clocks: Callable[[], Clocks] = read_clocks,
    ) -> None:
        self._store = store
        self._live = live
        self._tell = tell
        self._patience = patience
        self._clocks = clocks
        self._awake = Awake(-math.inf, clocks())
        self._watched: dict[str, _Watched] = {}
        self._shortest_limit = rules.LEARNED_MINIMUM if patience.progress is None else patience.progress

    def findings(self, job: Job, definition: PipelineDefinition) -> tuple[Finding, ...]:
        """As of now, for a document of the job."""
        if job.state not in ACTIVE_STATES:
            return ()
        now = self.look_at_clocks()  # a daemon that was stopped may be asked before it looks at the runs
        found = rules.findings(job, self._evidence(job, definition, now), time.time(), self._patience)
        if found and job.id in self._watched:
            self._watched[job.id].shown |= _codes(found)
        return found

    def noticed(self) -> dict[FindingKind, list[str]]:
        """Which jobs have findings of which kind, as of the last look."""
        found: dict[FindingKind, list[str]] = defaultdict(list)
        for job_id, watched in self._watched.items():
            unrecorded = self._live(job_id).unrecorded
            for kind in {finding.kind for finding in (*watched.found, *([unrecorded] if unrecorded else ()))}:
                found[kind].append(job_id)
        return found

    def tell(self, job_id: str) -> None:
        """Watchers are to see the job again, though its row has not changed."""
        self._tell(job_id)

    def look_at_clocks(self) -> float:
        """Before the runs are looked at. Returns the monotonic one."""
        clocks = self._clocks()
        self._awake = self._awake.looked(clocks)
        return clocks.monotonic

    def silence(self, job_id: str) -> float:
        """Seconds since the runner was heard, or since its run was first asked about or looked at."""
        return self._silence(job_id, self._watched_run(job_id), self._clocks().monotonic)

    async def look(self, job: Job, run: Run) -> None:
        """Records what begins and what ends, and has watchers see what changed. Raises what the store raises."""
        watched = self._watched_run(job.id)
        definition = from_json(job.definition_json)
        watched.pid = run.pid or 0
        watched.heard = self._heard(job.id, watched)
        watched.stopped = _is_stopped(watched.pid)
        await self._learn(job.id, definition, watched)
        shown, watched.shown = watched.shown, set()
        before, found = watched.found, self.findings(job, definition)
        if _codes(before) != _codes(found):
            await self._record(job.id, before, found)
        elif shown - _codes(found) or _reasons(before) != _reasons(found) or self._is_out_of_date(watched):
            watched.told = self._clocks().monotonic
            self._tell(job.id)
        watched.found = found

    def last_events(self, job_id: str, now: float) -> list[Event]:
        """What ends with the run."""
        watched = self._watched.get(job_id)
        return [_ended(finding, now) for finding in watched.found] if watched is not None else []

    def forget(self, job_id: str) -> None:
        """Its run is closed."""
        self._watched.pop(job_id, None)

    def _watched_run(self, job_id: str) -> _Watched:
        now = self._clocks().monotonic
        return self._watched.setdefault(job_id, _Watched(heard=now, told=now))

    def _is_out_of_date(self, watched: _Watched) -> bool:
        return self._clocks().monotonic - watched.told >= TOLD_AGAIN

    def _evidence(self, job: Job, definition: PipelineDefinition, now: float) -> Evidence:
        """`now`: monotonic. Without the tasks where no finding could name one: there may be a hundred."""
        live, watched, steps = self._live(job.id), self._watched.get(job.id), definition.steps
        any_named = job.state is not JobState.RUNNING or live.silent_workers
        if watched is None:
            tasks = live.tasks if any_named else ()
            return Evidence(tasks=[ExecutingTask(_name(task, steps), 0.0, task.worker) for task in tasks])
        named = live.tasks if any_named or self._longest_quiet(live, watched, now) >= self._shortest_limit else ()
        return Evidence(
            runner=watched.pid,
            silence=self._silence(job.id, watched, now),
            stopped=watched.stopped,
            silent_workers=[
                rules.SilentWorker(worker.pid, self._age(live, worker.silence, now), worker.tasks, worker.starting)
                for worker in live.silent_workers
            ],
            tasks=[
                ExecutingTask(
                    _name(task, steps),
                    self._age(live, task.quiet, now),
                    task.worker,
                    self._limit(definition, task.step, watched),
                )
                for task in named
            ],
        )

    def _longest_quiet(self, live: Live, watched: _Watched, now: float) -> float:
        if watched.tasks is not live.tasks:
            watched.tasks = live.tasks
            watched.quiet = max((task.quiet for task in live.tasks), default=0.0)
        return self._age(live, watched.quiet, now)

    def _silence(self, job_id: str, watched: _Watched, now: float) -> float:
        return self._awake.bounded(now - self._heard(job_id, watched), now)

    def _heard(self, job_id: str, watched: _Watched) -> float:
        """A runner that is not attached any more was heard when it was."""
        heard = self._live(job_id).heard
        return watched.heard if heard is None else heard

    def _age(self, live: Live, seconds: float, now: float) -> float:
        """Of something that the last heartbeat said lasted so long; `now`: monotonic."""
        return self._awake.bounded(seconds + now - (now if live.heard is None else live.heard), now)

    def _limit(self, definition: PipelineDefinition, step: int, watched: _Watched) -> float | None:
        limit = rules.progress_limit(definition.steps[step], watched.longest.get(step), self._patience)
        # Not before it is known how long its step usually takes.
        return limit if self._patience.progress is not None or step in watched.learned else None

    async def _learn(self, job_id: str, definition: PipelineDefinition, watched: _Watched) -> None:
        """Looks up how long tasks usually take, where one takes long enough for that to matter."""
        live, now = self._live(job_id), self._clocks().monotonic
        if self._patience.progress is not None:
            return
        old = {task.step for task in live.tasks if self._age(live, task.quiet, now) >= rules.LEARNED_MINIMUM}
        for step in old:
            if definition.steps[step].timeout is None and now - watched.learned.get(step, -math.inf) >= LEARNED_AGAIN:
                watched.longest[step] = await self._longest(job_id, step)
                watched.learned[step] = now

    async def _longest(self, job_id: str, step: int) -> float | None:
        return await self._store.read(lambda db: durations.longest(db, job_id, step))

    async def _record(self, job_id: str, before: Sequence[Finding], found: Sequence[Finding]) -> None:
        """The commit tells the watchers, too."""
        now = time.time()
        changes = [_began(finding, now) for finding in found if finding.reason.code not in _codes(before)]
        changes += [_ended(finding, now) for finding in before if finding.reason.code not in _codes(found)]

        def append(tx: Transaction) -> None:
            for event in changes:
                events.append(tx, job_id, event)
            tx.touch(job_id)

        await self._store.write(append)


def _codes(found: Sequence[Finding]) -> set[str]:
    return {finding.reason.code for finding in found}


def _reasons(found: Sequence[Finding]) -> list[Reason]:
    return [finding.reason for finding in found]


def _began(finding: Finding, now: float) -> Event:
    return Event("FINDING_BEGAN", now, "daemon", message=f"{finding.reason.code}: {finding.reason.message}")


def _ended(finding: Finding, now: float) -> Event:
    lasted = max(0.0, now - finding.since)
    return Event("FINDING_ENDED", now, "daemon", message=f"{finding.reason.code}: over, {lasted:.0f} s after it began.")


def _name(task: RunningTask, steps: Sequence[StepDefinition]) -> str:
    return f"{steps[task.step].name} {task.key}".strip()


def _is_stopped(pid: int) -> bool:
    found = processes.status(pid) if pid else None
    return found is not None and found.state in "Tt"
