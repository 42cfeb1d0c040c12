"""Commands as calls of the API. Loaded after the first paint."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import Message

from milepost.common.client import Client
from milepost.core.errors import Code, MilepostError
from milepost.v1 import job_service_pb2 as pb


class Answer(Protocol):
    """What the responses of all commands have in common."""

    @property
    def message(self) -> str: ...


@dataclass(frozen=True)
class _Call:
    """An RPC and what its request says beside the job."""

    method: str
    values: Mapping[str, bool]


#: Commands that are not an RPC of their own name.
_CALLS: Mapping[str, _Call] = {
    "PAUSE_NOW": _Call("PauseJob", {"now": True}),
    "RESTART_FROM_STEP": _Call("RestartJob", {}),
    "RESTART_FROM_SCRATCH": _Call("RestartJob", {"from_scratch": True}),
    "RETRY": _Call("RetryTasks", {}),
}


@dataclass(frozen=True)
class Order:
    """One command on one job. `step`: where a restart begins; `item_keys`: what a retry is limited to."""

    command: str
    job_id: str
    step: str = ""
    item_keys: tuple[str, ...] = ()


def request_for(order: Order) -> tuple[str, Message]:
    """The name of the RPC and its request. Raises MilepostError for a command that has no RPC here."""
    call = _CALLS.get(order.command) or _Call(f"{order.command.title().replace('_', '')}Job", {})
    kind = getattr(pb, f"{call.method}Request", None)
    if kind is None:
        raise MilepostError(
            Code.INVALID_ARGUMENT,
            f"This screen cannot send {order.command}: the daemon is newer.",
            "Close it and start it again, or use the command line.",
        )
    request: Message = kind(job=order.job_id, **call.values)
    if order.step and isinstance(request, pb.RestartJobRequest):
        request.from_step = order.step
    if order.item_keys and isinstance(request, pb.RetryTasksRequest):
        request.item_keys.extend(order.item_keys)
    return call.method, request


async def send(client: Client, order: Order) -> str:
    """What the daemon says that it did. Raises MilepostError."""
    method, request = request_for(order)
    stub: Callable[[Message], Awaitable[Answer]] = getattr(client.jobs, method)
    answer: Answer = await client.call(stub, request)  # type: ignore[arg-type] # the RPC was found by its name
    return answer.message
