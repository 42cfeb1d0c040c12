"""Gives the panes of a detail what they want, until they want nothing: one question at a time, the newest need first.

The one place where a detail calls the daemon. Loaded when a detail is opened. Raises MilepostError.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from textual.widget import Widget

from milepost.tui import details
from milepost.tui.report import failure_report
from milepost.tui.widgets.item_list import WindowWanted
from milepost.tui.widgets.items import CardWanted, GridWanted, Items, PlaceWanted, Want
from milepost.tui.widgets.logs import Logs
from milepost.tui.widgets.metrics import Metrics
from milepost.tui.widgets.timeline import Timeline

if TYPE_CHECKING:
    from milepost.common.client import Client

#: Lines of a log that are taken in before the screen gets its turn, and seconds of that turn.
_BURST = 5000
_TURN = 0.05


async def read_items(client: "Client", job_id: str, items: Items) -> None:
    while (want := items.want) is not None:
        await _read_item_want(client, job_id, items, want)


async def _read_item_want(client: "Client", job_id: str, items: Items, want: Want) -> None:
    match want:
        case WindowWanted():
            window = await details.items_window(client, job_id, want.filter, want.skip, want.limit)
            items.show_window(want, list(window.items), window.total)
        case GridWanted():
            items.show_grid(want.columns, await details.grid(client, job_id, want.columns))
        case CardWanted():
            items.show_history(await details.item_history(client, job_id, want.item_id))
        case PlaceWanted():
            find = details.line_of_failed if want.failed else details.line_of
            items.show_place(want, await find(client, job_id, want.filter, want.item_id))


async def read_metrics(client: "Client", job_id: str, metrics: Metrics) -> None:
    while metrics.want:
        metrics.show_metrics(await details.metrics(client, job_id))


async def read_timeline(client: "Client", job_id: str, timeline: Timeline) -> None:
    while (want := timeline.want) is not None:
        timeline.show_events(want, await details.events(client, job_id, want.page_token))


async def follow_log(client: "Client", job_id: str, logs: Logs) -> None:
    """Until nothing more will be printed. What comes faster than it is drawn waits in the daemon."""
    # Of an empty log nothing comes: that the daemon answers is known first, so that what is held stays until then.
    await client.check_serving(details.DEADLINE)
    logs.begin()
    taken = 0
    async for lines in details.log(client, job_id, details.LOG_LINES, follow=True):
        logs.add(lines)
        taken += len(lines)
        if taken >= _BURST:
            taken = 0
            await asyncio.sleep(_TURN)
    logs.end()


async def read(client: "Client", job_id: str, pane: Widget) -> None:
    match pane:
        case Items():
            await read_items(client, job_id, pane)
        case Metrics():
            await read_metrics(client, job_id, pane)
        case Timeline():
            await read_timeline(client, job_id, pane)
        case Logs():
            await follow_log(client, job_id, pane)


async def report(client: "Client", job_id: str) -> str:
    """What failed, as a text to paste."""
    return failure_report(await details.evidence(client, job_id), time.time())
