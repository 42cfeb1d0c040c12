"""Many clients at a time on a real daemon: all are answered, nobody waits for another one, and nothing is left behind.

`MILEPOST_LOAD_PROFILE=long` loads it for two minutes, otherwise for a few seconds.
"""

import asyncio
import gc
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import grpc
import pytest

from milepost.common.client import Client, Disconnected
from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.daemon.store.store import CHECKPOINT_SIZE
from milepost.v1 import job_service_pb2 as pb
from tests.support.daemon import RealDaemon, real_daemon
from tests.support.footprint import Footprint, footprint
from tests.support.wait import wait_until

LONG = os.environ.get("MILEPOST_LOAD_PROFILE") == "long"
#: Seconds of mixed load, and of the same before it: that fills what is filled once.
LOAD, WARM_UP = (120.0, 20.0) if LONG else (5.0, 2.0)
#: Items of a job that is done before: their rows fill the caches of SQLite, which grow up to what they may hold.
FILLING = 120_000
#: For a whole test, and for what must come to rest after it.
TIMEOUT, REST = (400, 120.0) if LONG else (120, 60.0)

CALLS, CHANNELS = 5000, 8
WATCHERS, TURNS = 100, 6
MB = 1024 * 1024

pytestmark = pytest.mark.timeout(TIMEOUT)


@pytest.fixture
async def daemon() -> AsyncIterator[RealDaemon]:
    async with real_daemon(MILEPOST_QUEUES="held=1") as running:
        yield running


async def submit(daemon: RealDaemon, client: Client, command: str, number: int = 0, queue: str = "") -> str:
    """A job of one command."""
    request = pb.SubmitJobRequest(
        command_pipeline=pb.CommandPipeline(argv=["sh", "-c", command]),
        inline_items=pb.InlineItems(items_json=['{"line": "one"}']),
        working_directory=str(daemon.folder),
        parameters_json=json.dumps({"number": number, "padding": "x" * 2000}),
        queue=queue,
        allow_duplicate=True,
    )
    return (await client.call(client.jobs.SubmitJob, request)).job.id


async def with_queued_jobs(daemon: RealDaemon, count: int) -> list[str]:
    """They stay QUEUED behind a job that runs."""
    first = await submit(daemon, daemon.client, "sleep 600", queue="held")
    await daemon.wait_state(first, JobState.RUNNING)
    return [await submit(daemon, daemon.client, "true", number, "held") for number in range(count)]


async def test_5000_calls_at_a_time_are_all_answered(daemon: RealDaemon) -> None:
    ids = await with_queued_jobs(daemon, 2)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(daemon.socket, "load")) for _ in range(CHANNELS)]

        async def call(number: int) -> list[str]:
            jobs = clients[number % CHANNELS].jobs
            # Straight to gRPC, and once: the client library would send again what is lost.
            if number % 10:
                return [(await jobs.GetJob(pb.GetJobRequest(job=ids[number % 2]), timeout=TIMEOUT)).job.id]
            return [job.id for job in (await jobs.ListJobs(pb.ListJobsRequest(page_size=2), timeout=TIMEOUT)).jobs]

        answers = await asyncio.gather(*(call(number) for number in range(CALLS)), return_exceptions=True)
    assert [answer for answer in answers if isinstance(answer, BaseException)] == []
    assert answers == [[ids[number % 2]] if number % 10 else ids[::-1] for number in range(CALLS)]


@dataclass
class Watcher:
    """What a client has been sent. `revisions`: the newest of each job."""

    client: Client
    revisions: dict[str, int] = field(default_factory=dict)
    documents: int = 0
    caught_up: bool = False

    async def watch(self, call: "grpc.aio.UnaryStreamCall[pb.WatchJobsRequest, pb.WatchJobsResponse]") -> None:
        async for message in call:
            for job in message.jobs:
                assert job.revision >= self.revisions.get(job.id, 0), "never an older state after a newer one"
                self.revisions[job.id] = job.revision
                self.documents += 1
            self.caught_up |= message.caught_up


def all_have_seen(watchers: Sequence[Watcher], newest: Mapping[str, int]) -> bool:
    return all(
        watcher.revisions.get(job_id, 0) >= revision for watcher in watchers for job_id, revision in newest.items()
    )


async def test_a_watcher_that_does_not_read_costs_the_99_others_nothing(daemon: RealDaemon) -> None:
    ids = await with_queued_jobs(daemon, 20)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        clients = [await stack.enter_async_context(Client(daemon.socket, "load")) for _ in range(WATCHERS)]
        stalled, *reading = [Watcher(client) for client in clients]
        calls = {client: client.jobs.WatchJobs(pb.WatchJobsRequest()) for client in clients}
        tasks = [group.create_task(watcher.watch(calls[watcher.client])) for watcher in reading]
        await until(lambda: all(watcher.caught_up for watcher in reading), "99 have caught up")
        before = footprint(daemon.pid).memory
        for turn in range(TURNS):
            newest = await (resume_all if turn % 2 else pause_all)(daemon.client, ids)
            # Nothing goes on before each of them has seen each job in its newest state.
            await until(partial(all_have_seen, reading, newest), f"turn {turn} is seen")
        assert footprint(daemon.pid).memory - before < 64 * MB
        # The last one is some buffered messages behind; then it is told of the newest state, not of the past.
        tasks.append(group.create_task(stalled.watch(calls[stalled.client])))
        await until(partial(all_have_seen, [stalled], newest), "the one that did not read has caught up, too")
        assert stalled.documents < reading[0].documents / 2
        for task in tasks:
            task.cancel()


async def pause_all(client: Client, ids: Sequence[str]) -> dict[str, int]:
    """Their revisions afterwards."""
    answers = [await client.call(client.jobs.PauseJob, pb.PauseJobRequest(job=job_id)) for job_id in ids]
    return {answer.job.id: answer.job.revision for answer in answers}


async def resume_all(client: Client, ids: Sequence[str]) -> dict[str, int]:
    answers = [await client.call(client.jobs.ResumeJob, pb.ResumeJobRequest(job=job_id)) for job_id in ids]
    return {answer.job.id: answer.job.revision for answer in answers}


async def until(condition: Callable[[], bool], what: str) -> None:
    async def fulfilled() -> bool:
        return condition()

    await wait_until(fulfilled, what)


async def fill_caches(daemon: RealDaemon) -> None:
    job = await daemon.submit(parameters={"count": FILLING, "effects": "", "gate": ""})
    await daemon.wait_state(job.id, JobState.COMPLETED, deadline=REST)


class Mix:
    """What many clients do at a time, for as long as `run` lasts. Any refusal but those that are asked for fails it."""

    def __init__(self, daemon: RealDaemon, client: Client, ids: Sequence[str]) -> None:
        self._daemon = daemon
        self._client = client
        self._ids = ids
        self._random = random.Random(313)
        self.done: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + seconds

        async def repeat(action: Callable[[], Awaitable[None]]) -> None:
            while clock() < end:
                await action()
                self.done[action.__name__] += 1

        actions = [self.submit, *[self.watch] * 4, *[self.look] * 4, self.pause_and_resume, self.fail, self.vanish]
        async with asyncio.TaskGroup() as group:
            for action in actions:
                group.create_task(repeat(action))

    async def submit(self) -> None:
        job = await submit(self._daemon, self._client, "true", self.done["submit"])
        await self._daemon.wait_state(job, JobState.COMPLETED, deadline=REST)

    async def watch(self) -> None:
        """On a connection of its own: some messages, then it goes on where it was, then it is gone."""
        async with Client(self._daemon.socket, "load") as client:
            token = ""
            for _ in range(2):
                async with aclosing(client.watch(self._random.choice(["", "state = PAUSED", "one"]), token)) as updates:
                    async for update in updates:
                        assert not isinstance(update, Disconnected), update.error
                        token = update.watch_token or token
                        if token or update.caught_up:
                            break

    async def look(self) -> None:
        jobs, job = self._client.jobs, self._random.choice(self._ids)
        await self._client.call(jobs.GetJob, pb.GetJobRequest(job=job))
        await self._client.call(jobs.ListJobs, pb.ListJobsRequest(filter="state = COMPLETED", page_size=20))
        await self._client.call(jobs.ListItems, pb.ListItemsRequest(job=job))
        await self._client.call(jobs.ListEvents, pb.ListEventsRequest(job=job))

    async def pause_and_resume(self) -> None:
        await pause_all(self._client, self._ids)
        await resume_all(self._client, self._ids)

    async def fail(self) -> None:
        jobs = self._client.jobs
        nowhere = pb.PythonPipeline(file="/nowhere/pipeline.py")
        asked: list[tuple[Any, Any, Code]] = [  # Any: each request fits its method
            (jobs.GetJob, pb.GetJobRequest(job="j-nobody22"), Code.JOB_NOT_FOUND),
            (jobs.ListJobs, pb.ListJobsRequest(filter="state = NONSENSE"), Code.INVALID_FILTER),
            (jobs.SubmitJob, pb.SubmitJobRequest(python_pipeline=nowhere), Code.PIPELINE_NOT_IMPORTABLE),
            (jobs.ResumeJob, pb.ResumeJobRequest(job=self._ids[0], request_id="x" * 1000), Code.INVALID_ARGUMENT),
        ]
        for method, request, code in asked:
            with pytest.raises(MilepostError) as caught:
                await self._client.call(method, request)
            assert caught.value.code is code

    async def vanish(self) -> None:
        """Calls whose caller does not wait for the answer, on a connection that breaks off."""
        async with Client(self._daemon.socket, "load") as client:
            calls = [client.jobs.ListJobs(pb.ListJobsRequest()) for _ in range(10)]
            watch = client.jobs.WatchJobs(pb.WatchJobsRequest())
            await watch.read()
            for call in calls[::2]:
                call.cancel()


async def test_mixed_load_leaves_the_daemon_as_it_was(daemon: RealDaemon) -> None:
    async with Client(daemon.socket, "load") as client:
        if LONG:
            await fill_caches(daemon)
        ids = await with_queued_jobs(daemon, 10)
        quiet = footprint(daemon.pid)
        mix = Mix(daemon, client, ids)
        await mix.run(WARM_UP)
        # Threads come as they are needed, and each of the store's readers opens its files then.
        warm = await at_rest(daemon, replace(quiet, descriptors=quiet.descriptors + 8, threads=quiet.threads + 16))
        await mix.run(LOAD)
        loaded = await at_rest(daemon, replace(warm, descriptors=warm.descriptors + 2, threads=warm.threads + 2))
    if LONG:
        print(f"\n{dict(mix.done)}\nquiet  {quiet}\nwarm   {warm}\nloaded {loaded}")
    assert mix.done.keys() >= {"submit", "watch", "look", "pause_and_resume", "fail", "vanish"}
    assert loaded.memory - warm.memory < 16 * MB
    assert (daemon.state / "store.db-wal").stat().st_size < 2 * CHECKPOINT_SIZE
    assert "Traceback" not in daemon.log()


async def at_rest(daemon: RealDaemon, most: Footprint) -> Footprint:
    """When no more than this is held, memory excepted: what nobody needs any more has gone."""
    gc.collect()  # a channel of gRPC that was closed keeps its connection until then

    async def rested() -> Footprint | None:
        now = footprint(daemon.pid)
        return now if now.descriptors <= most.descriptors and now.threads <= most.threads else None

    return await wait_until(rested, f"the daemon holds no more than {most}")
