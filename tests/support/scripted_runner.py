"""A runner that says just what a test wants it to say, to a real daemon's store and dispatch."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from grpc import aio

from milepost.common.wire import runner as wire
from milepost.core.definition import PipelineDefinition
from milepost.core.model import JobState, PendingTask, TaskRef
from milepost.daemon.dispatch import token_hash
from milepost.daemon.store import runs
from milepost.v1 import runner_service_pb2 as pb
from milepost.v1.runner_service_pb2_grpc import RunnerServiceStub
from tests.support import factories
from tests.support.factories import NOW
from tests.support.in_process import InProcessDaemon

JOB = "j-aaaaaaaa"
TOKEN = "the token of run 1"


async def running_job(daemon: InProcessDaemon, definition: PipelineDefinition) -> None:
    """A job that runs, as far as the store knows; its runner has not said hello."""
    await daemon.insert(JOB, definition, state=JobState.RUNNING, queue_time=None, start_time=NOW, run_count=1)
    run = factories.run(JOB, token_hash=token_hash(TOKEN))
    await daemon.store.write(lambda tx: runs.insert(tx, run))


class ScriptedRunner:
    """One stream. Pages that come while something else is awaited are kept in `tasks`."""

    def __init__(self, stream: Any) -> None:  # Any: gRPC's own type has no place for the stub's
        self._stream = stream
        self.welcome = pb.Welcome()
        self.tasks: list[PendingTask] = []

    async def say(self, **message: Any) -> None:
        await self._stream.write(pb.AttachRequest(**message))

    async def report(self, sequence: int, *reports: pb.Report, **more: Any) -> None:
        await self.say(batch=pb.Batch(sequence=sequence, reports=reports, **more))

    async def until(self, condition: Callable[[pb.AttachResponse], object]) -> pb.AttachResponse:
        """The first message for which it holds. Raises AioRpcError when the stream is refused."""
        while True:
            message = await self._stream.read()
            assert isinstance(message, pb.AttachResponse), "the daemon closed the stream"
            self.tasks.extend(_tasks(message.page))
            if condition(message):
                return message

    async def acknowledged(self, sequence: int) -> pb.Ack:
        return (await self.until(lambda message: message.ack.sequence >= sequence)).ack

    async def handed_out(self, step: int, items: Iterable[int]) -> dict[int, PendingTask]:
        """The tasks of this step, when all these items have come."""
        wanted = set(items)
        found = {task.item: task for task in self.tasks if task.step == step}
        while not wanted <= set(found):
            await self.until(lambda message: message.page.items)
            found = {task.item: task for task in self.tasks if task.step == step}
        return found

    async def refused(self) -> aio.AioRpcError:
        """How the daemon ended the stream."""
        try:
            await self.until(lambda _: False)
        except aio.AioRpcError as error:
            return error
        raise AssertionError("it was not refused")


@asynccontextmanager
async def attached(
    socket: Path,
    *,
    job: str = JOB,
    run: int = 1,
    token: str = TOKEN,
    held: Iterable[TaskRef] = (),
    protocol: int = wire.PROTOCOL,
    admitted: bool = True,
) -> AsyncIterator[ScriptedRunner]:
    """A runner that has said hello, and was welcomed if it is to be `admitted`. The stream breaks at the end."""
    async with aio.insecure_channel(f"unix:{socket}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stream = RunnerServiceStub(channel).Attach()
        runner = ScriptedRunner(stream)
        hello = pb.Hello(
            job_id=job, run=run, token=token, pid=1, process_start_ticks=1, boot_id="none",
            held=[wire.ref_to_proto(ref) for ref in held], protocol=protocol,
        )  # fmt: skip
        await runner.say(hello=hello)
        if admitted:
            runner.welcome = (await runner.until(lambda message: message.WhichOneof("message") == "welcome")).welcome
        yield runner
        stream.cancel()


def report(kind: str, step: int, item: int, epoch: int = 0, **values: Any) -> pb.Report:
    """`kind`: as in ReportKind, without its prefix."""
    if kind == "FAILED":
        values.setdefault("failure", pb.TaskFailure(error_class="network", message="no answer"))
    return pb.Report(
        task=pb.TaskRef(step=step, item=item, epoch=epoch),
        kind=pb.ReportKind.Value(f"REPORT_KIND_{kind}"),
        start_us=1,
        end_us=2,
        **values,
    )


def _tasks(page: pb.Page) -> Iterable[PendingTask]:
    histories = {history.index: history for history in page.histories}
    columns = zip(page.items, page.epochs, page.keys, page.positions, page.payloads_json, strict=True)
    for index, (item, epoch, key, position, payload_json) in enumerate(columns):
        history = histories.get(index, pb.History())
        yield PendingTask(
            page.step,
            item,
            epoch,
            key,
            position,
            payload_json,
            history.attempts_used,
            history.lost,
            tuple((earlier.step, earlier.result_json) for earlier in history.previous),
            history.saved_json,
        )
