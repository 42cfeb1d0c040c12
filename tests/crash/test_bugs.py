"""Bugs put in on purpose, each caught by a proof that holds without it: README.md says which."""

from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace

import grpc
import pytest

from milepost.common.wire.runner import PROTOCOL
from milepost.core.model import JobState
from milepost.daemon import dispatch
from milepost.daemon.dispatch import token_hash
from milepost.daemon.feed import Feed
from milepost.daemon.store import runs
from milepost.v1 import runner_service_pb2 as pb
from milepost.v1.runner_service_pb2_grpc import RunnerServiceStub
from tests.crash.drill import Kill
from tests.crash.scenarios import play
from tests.support import factories
from tests.support.in_process import InProcessDaemon, in_process_daemon

JOB = "j-aaaaaaaa"
#: The commit that records the only task: those before are the schema, the job, its run, its process and its hello.
ONLY_REPORT = Kill("daemon.store.commit:before", 6)


@pytest.fixture
async def daemon() -> AsyncIterator[InProcessDaemon]:
    """With a job of three items whose run 1 is open."""
    async with in_process_daemon() as running:
        job = await running.insert(JOB, state=JobState.RUNNING, queue_time=None, run_count=1, start_time=factories.NOW)
        await running.store.write(lambda tx: runs.insert(tx, replace(factories.run(JOB), token_hash=token_hash("own"))))
        await running.add_items(job, ["a", "b", "c"])
        yield running


async def attached(daemon: InProcessDaemon, hello: pb.Hello) -> AsyncIterator[pb.AttachResponse]:
    """What the daemon says to a runner that says hello."""
    async with grpc.aio.insecure_channel(f"unix:{daemon.client.socket}") as channel:
        stream = RunnerServiceStub(channel).Attach()
        await stream.write(pb.AttachRequest(hello=hello))
        async for response in stream:
            yield response


async def refuses_another_token(daemon: InProcessDaemon) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="this is not its runner"):
        await anext(attached(daemon, pb.Hello(job_id=JOB, run=1, token="another", protocol=PROTOCOL)))


async def hands_out_nothing_that_is_held(daemon: InProcessDaemon) -> None:
    held = [pb.TaskRef(step=1, item=1), pb.TaskRef(step=1, item=3)]
    async for response in attached(daemon, pb.Hello(job_id=JOB, run=1, token="own", held=held, protocol=PROTOCOL)):
        if response.WhichOneof("message") == "page":
            assert list(response.page.items) == [2]
            return


async def test_an_acknowledged_outcome_survives_a_kill_before_the_next_commit() -> None:
    await play("brief", ONLY_REPORT)


async def test_bug_an_ack_before_the_commit() -> None:
    with pytest.raises(AssertionError, match=r"\('', 'only'\) was executed 2 times"):
        await play("brief", ONLY_REPORT, module="tests.crash.bugs.early_ack")


async def test_a_runner_with_another_token_is_refused(daemon: InProcessDaemon) -> None:
    await refuses_another_token(daemon)


async def test_bug_no_token_check(daemon: InProcessDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "hmac", SimpleNamespace(compare_digest=lambda *_: True))
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await refuses_another_token(daemon)


async def test_nothing_that_a_runner_holds_is_handed_out(daemon: InProcessDaemon) -> None:
    await hands_out_nothing_that_is_held(daemon)


async def test_bug_a_page_before_the_hello_is_taken_in(
    daemon: InProcessDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "Feed", lambda store, definition, _held: Feed(store, definition, set()))
    with pytest.raises(AssertionError):
        await hands_out_nothing_that_is_held(daemon)
