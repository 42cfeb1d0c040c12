"""One drill: a scenario is played on a real daemon while one process is killed at an edge, and what must hold is
checked with everything that is shown on the way, and with the store file at the end."""

import asyncio
import os
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from milepost.common.client import is_listening
from milepost.core.errors import Code, MilepostError
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support.daemon import RealDaemon, daemon_to_be
from tests.support.wait import DEADLINE, wait_until

#: What a daemon that has been killed, and comes back, makes a client see.
AWAY = frozenset({Code.DAEMON_UNREACHABLE, Code.DAEMON_STOPPING})
TEMPORARY = (".partial", ".new", ".old", ".unfinished")

#: (key of the item, step) -> what is recorded of that task
Records = dict[tuple[str, str], tuple[str, str, int, int]]


@dataclass(frozen=True)
class Kill:
    """The `number`-th passing of a place like `daemon.store.commit:before` in a drill."""

    place: str
    number: int

    @property
    def process(self) -> str:
        return self.place.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.place}:{self.number}"


class Drill:
    """Plays on `daemon`; without kills it only counts."""

    def __init__(self, daemon: RealDaemon, *kills: Kill) -> None:
        self.daemon = daemon
        self.kills = kills
        self.record = daemon.folder / "record"
        self.record.mkdir()
        daemon.settings["MILEPOST_KILL_RECORD"] = str(self.record)
        daemon.settings["MILEPOST_KILL"] = ",".join(map(str, kills))
        self.passed: dict[str, int] = {}
        self.shown: Records = {}
        self.archived: Records = {}
        self.shown_before_the_kill: Records = {}
        self.is_stopped = self.is_over = False

    @property
    def passings(self) -> dict[str, int]:
        return {file.name: file.stat().st_size for file in sorted(self.record.iterdir())}

    @property
    def fired(self) -> list[Kill]:
        passed = self.passed or self.passings
        return [kill for kill in self.kills if passed.get(kill.place, 0) >= kill.number]

    # --- the daemon ---

    async def keep_up(self) -> None:
        """The daemon is started, and again when it was killed. Ends with the daemon that was told to end."""
        while True:
            process = self.daemon.spawn()
            code = await asyncio.to_thread(process.wait)
            if self.is_over or (self.is_stopped and code == 0):
                return
            assert code == -signal.SIGKILL, f"the daemon ended with {code}:\n{self.daemon.log()[-3000:]}"
            assert self.fired, "the daemon was killed, but not by this drill"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """A daemon serves within this block; it is told to end at its end."""
        self.is_stopped = False
        keeping = asyncio.create_task(self.keep_up())
        try:
            await self._until_serving(keeping)
            yield
            await self._end_daemon(keeping)
        finally:
            if not keeping.done():
                self.is_over = True
                self.daemon.kill()
                await asyncio.wait({keeping})

    async def _end_daemon(self, keeping: "asyncio.Task[None]") -> None:
        self.is_stopped = True
        while not keeping.done():
            pid = self.daemon.pid
            os.kill(pid, signal.SIGTERM)
            await asyncio.wait({keeping}, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        await keeping

    async def _until_serving(self, keeping: "asyncio.Task[None]") -> None:
        async def listening() -> bool:
            if keeping.done():
                await keeping
            return is_listening(self.daemon.socket)

        await wait_until(listening, "the daemon serves")

    async def ask(self, method: Any, request: Any) -> Any:  # Any: of a method and of its messages
        """As often as a crash makes it necessary, with one request id."""
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    return await self.daemon.client.call(method, request)
                except MilepostError as error:
                    describing = error.code is Code.INTERPRETER_UNUSABLE and self.fired
                    if error.code not in AWAY and not describing:
                        raise
                    await asyncio.sleep(0.05)

    # --- what is shown ---

    async def observe(self, job_id: str) -> job_pb2.Job:
        """The job as clients see it now: the counts add up, and nothing that was shown before is gone or changed."""
        jobs = self.daemon.client.jobs
        job: job_pb2.Job = (await self.ask(jobs.GetJob, pb.GetJobRequest(job=job_id))).job
        request = pb.ListItemsRequest(job=job_id, full=True, page_size=1000)
        items = (await self.ask(jobs.ListItems, request)).items
        for counts in (job.counts, *(step.counts for step in job.steps)):
            assert counts.processed == counts.succeeded + counts.failed + counts.skipped
            assert counts.processed + counts.upstream + counts.in_flight + counts.pending == counts.total, counts
        everything = {(item.key, record.step): _recorded(record) for item in items for record in item.tasks}
        records = {place: record for place, record in everything.items() if self.archived.get(place) != record}
        lost = {place: record for place, record in self.shown.items() if records.get(place) != record}
        assert not lost, f"shown before, and now other or gone: {lost}"
        self.shown = records
        if not self.fired:
            self.shown_before_the_kill = dict(records)
        return job

    async def until(self, job_id: str, condition: Callable[[job_pb2.Job], object], what: str) -> job_pb2.Job:
        last: job_pb2.Job | None = None

        async def fulfilled() -> job_pb2.Job | None:
            nonlocal last
            last = await self.observe(job_id)
            return last if condition(last) else None

        try:
            return await wait_until(fulfilled, what)
        except (AssertionError, TimeoutError) as error:
            logs = f"{self.daemon.log()[-4000:]}\n{self.daemon.run_log(job_id)[-4000:]}"
            raise AssertionError(f"{error}\n{last}\n{logs}\n{self.daemon.processes()}") from error

    def forget(self, *steps: str) -> None:
        """What these steps recorded is to be archived and done again."""
        self.archived |= {place: record for place, record in self.shown.items() if place[1] in steps}
        for records in (self.shown, self.shown_before_the_kill):
            for place in [place for place in records if place[1] in steps]:
                del records[place]

    # --- what has happened ---

    def effects(self) -> Counter[tuple[str, str]]:
        """How often each (key, step) was executed."""
        file = self.daemon.effects_file
        lines = file.read_text().splitlines() if file.exists() else []
        return Counter((key, step) for step, _, key in (line.partition(" ") for line in lines))

    def check_executions(self, expected: Counter[tuple[str, str]]) -> None:
        """Nothing less than expected; once more at most where the kill took a worker away, and never what was known."""
        executed = self.effects()
        spare = sum(kill.process != "daemon" for kill in self.fired)
        assert executed.keys() == expected.keys(), executed.keys() ^ expected.keys()
        for place, number in expected.items():
            most = number + (0 if place in self.shown_before_the_kill else spare)
            assert number <= executed[place] <= most, f"{place} was executed {executed[place]} times, not {number}"

    async def check_nothing_runs(self) -> None:
        async def none() -> bool:
            return not self.daemon.processes()

        await wait_until(none, f"no process is left: {self.daemon.processes()}")

    def check_no_litter(self) -> None:
        """Once the daemon has ended: no temporary file, and the store in one piece."""
        litter = [
            str(path.relative_to(self.daemon.state))
            for path in self.daemon.state.rglob("*")
            if path.name.endswith(TEMPORARY) or path.name.startswith((".new", ".old"))
        ]
        assert litter == []

    @contextmanager
    def store(self) -> Iterator[sqlite3.Connection]:
        """The store file of a daemon that has ended."""
        db = sqlite3.connect(f"file:{self.daemon.state / 'store.db'}?mode=ro", uri=True)
        db.row_factory = sqlite3.Row
        try:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
            yield db
        finally:
            db.close()

    def check_store(self, job_id: str, outcomes: Counter[tuple[str, str]]) -> None:
        """One outcome for each task, `outcomes` by (step, outcome); every run closed; nothing half done."""
        with self.store() as db:
            assert [row["id"] for row in db.execute("SELECT id FROM job")] == [job_id]
            recorded = db.execute("SELECT step.name, outcome FROM task JOIN step ON step.position = task.step")
            assert Counter(tuple(row) for row in recorded) == outcomes
            runs = db.execute("SELECT number, mark, end FROM run ORDER BY number").fetchall()
            assert [run["number"] for run in runs] == list(range(1, len(runs) + 1))
            assert all(run["end"] for run in runs)
            attempts = db.execute("SELECT step, item, number FROM attempt").fetchall()
            assert len({tuple(attempt) for attempt in attempts}) == len(attempts)
            for left in ("saved", "operation"):
                assert db.execute(f"SELECT count(*) FROM {left}").fetchone()[0] == 0
            kinds = Counter(row["kind"] for row in db.execute("SELECT kind FROM event"))
            assert kinds["SUBMITTED"] == 1
            assert kinds["RUN_STARTED"] == kinds["RUN_ENDED"] == len(runs)
            for (folder,) in db.execute("SELECT folder FROM task WHERE folder <> ''"):
                assert list((self.daemon.state / "jobs" / job_id / folder).iterdir())


def _recorded(record: Any) -> tuple[str, str, int, int]:  # Any: a TaskRecord
    return (job_pb2.Outcome.Name(record.outcome), record.label, record.attempt, record.start_time.ToMicroseconds())


@asynccontextmanager
async def drill(*kills: Kill, **settings: str) -> AsyncIterator[Drill]:
    async with daemon_to_be(**settings) as daemon:
        yield Drill(daemon, *kills)
