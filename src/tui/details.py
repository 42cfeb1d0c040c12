"""What the detail of a job reads: documents of the API, and nothing drawn. Loaded when a detail is opened."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from milepost.common.wire.enums import ITEM_STATES
from milepost.core.errors import MilepostError
from milepost.core.model import ItemState
from milepost.tui.report import Evidence
from milepost.tui.windows import ItemFilter
from milepost.v1 import daemon_service_pb2, job_pb2
from milepost.v1 import job_service_pb2 as pb

if TYPE_CHECKING:
    from milepost.common.client import Client

#: Seconds for an answer that a person waits for.
DEADLINE = 15.0
#: Lines of the log that a detail begins with.
LOG_LINES = 2000
EVENTS = 100
#: What a report holds at most.
REPORT_ITEMS = 5
REPORT_EVENTS = 15
REPORT_LINES = 40


@dataclass(frozen=True)
class ItemsWindow:
    """`items` from a line on; `total` is of the whole list."""

    items: Sequence[job_pb2.Item]
    total: int


@dataclass(frozen=True)
class ItemHistory:
    """An item with its payload and records, and its failed attempts, newest first."""

    item: job_pb2.Item
    attempts: Sequence[job_pb2.Attempt]


async def job_named(client: "Client", reference: str) -> job_pb2.Job:
    """By id, unique prefix of one, unique name, or "@last". Raises MilepostError."""
    return (await client.call(client.jobs.GetJob, pb.GetJobRequest(job=reference), DEADLINE)).job


async def items_window(
    client: "Client", job_id: str, wanted: ItemFilter, skip: int, limit: int, *, full: bool = False
) -> ItemsWindow:
    request = pb.ListItemsRequest(
        job=job_id,
        states=[ITEM_STATES[wanted.state]] if wanted.state else [],
        step=wanted.step,
        error_class=wanted.error_class,
        page_size=limit,
        skip=skip,
        full=full,
    )
    answer = await client.call(client.jobs.ListItems, request, DEADLINE)
    return ItemsWindow(answer.items, answer.total_size)


async def line_of(client: "Client", job_id: str, wanted: ItemFilter, item_id: int) -> int | None:
    """The line of the first item of the list with this id or a later one; None when there is none.

    Items are listed by id, so it halves the list; ids mostly follow each other, so that one or two questions do.
    """
    first = await items_window(client, job_id, wanted, 0, 1)
    low, high = 0, first.total
    guess = item_id - first.items[0].id if first.items else 0
    while low < high:
        middle = guess if low <= guess < high else (low + high) // 2
        two = (await items_window(client, job_id, wanted, max(0, middle - 1), 2)).items
        here = two[-1] if middle else two[0]
        if here.id < item_id:
            low = middle + 1
        elif middle == 0 or two[0].id < item_id:
            return middle
        else:
            high = middle
        guess = middle + item_id - here.id
    return low if low < first.total else None


async def line_of_failed(client: "Client", job_id: str, wanted: ItemFilter, after_id: int) -> int | None:
    """The line of the next failed item after this one, from the beginning again when there is none after it."""
    failed = ItemFilter(ItemState.FAILED, wanted.error_class, wanted.step)
    place = await line_of(client, job_id, failed, after_id + 1)
    found = (await items_window(client, job_id, failed, place or 0, 1)).items
    return await line_of(client, job_id, wanted, found[0].id) if found else None


async def item_history(client: "Client", job_id: str, item_id: int) -> ItemHistory | None:
    """None when the item is gone. By its id: items of different lines may have the same key."""
    line = await line_of(client, job_id, ItemFilter(), item_id)
    found = (await items_window(client, job_id, ItemFilter(), line, 1, full=True)).items if line is not None else ()
    if not found or found[0].id != item_id:
        return None
    request = pb.ListAttemptsRequest(job=job_id, item_key=found[0].key)
    attempts = (await client.call(client.jobs.ListAttempts, request, DEADLINE)).attempts
    return ItemHistory(found[0], [attempt for attempt in attempts if attempt.item_id == item_id])


async def grid(client: "Client", job_id: str, columns: int) -> pb.GetJobGridResponse:
    request = pb.GetJobGridRequest(job=job_id, columns=columns)
    return await client.call(client.jobs.GetJobGrid, request, DEADLINE)


async def metrics(client: "Client", job_id: str) -> pb.GetJobMetricsResponse:
    return await client.call(client.jobs.GetJobMetrics, pb.GetJobMetricsRequest(job=job_id), DEADLINE)


async def events(client: "Client", job_id: str, page_token: str, limit: int = EVENTS) -> pb.ListEventsResponse:
    """Newest first."""
    request = pb.ListEventsRequest(job=job_id, page_size=limit, page_token=page_token, newest_first=True)
    return await client.call(client.jobs.ListEvents, request, DEADLINE)


async def log(client: "Client", job_id: str, lines: int, *, follow: bool) -> AsyncIterator[Sequence[str]]:
    """Lines as they come, from the last `lines` on."""
    request = pb.TailLogRequest(job=job_id, lines=lines, follow=follow)
    async for answer in client.stream(client.jobs.TailLog, request):
        yield answer.lines


async def evidence(client: "Client", job_id: str) -> Evidence:
    """What a failure report tells of a job. A log that cannot be read is told as that."""
    job = (await client.call(client.jobs.GetJob, pb.GetJobRequest(job=job_id), DEADLINE)).job
    info = await client.call(client.daemon.GetInfo, daemon_service_pb2.GetInfoRequest(), DEADLINE)
    failed = await items_window(client, job.id, ItemFilter(ItemState.FAILED), 0, REPORT_ITEMS)
    newest = await events(client, job.id, "", REPORT_EVENTS)
    lines: list[str] = []
    try:
        async for some in log(client, job.id, REPORT_LINES, follow=False):
            lines.extend(some)
    except MilepostError as error:
        lines = [f"(the log could not be read: {error})"]
    return Evidence(job, info, failed.items, failed.total, newest.events, lines[-REPORT_LINES:])
