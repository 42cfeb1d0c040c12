"""A detail of a job alone on a screen, over a real daemon in the test's own process."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from textual.app import App, ComposeResult
from textual.pilot import Pilot

from milepost.common.client import Client
from milepost.core.model import Job, JobState, Reason, ReportKind
from milepost.tui.clock import Clock
from milepost.tui.shelf import Shelf
from milepost.tui.status import UNICODE
from milepost.tui.theme import DARK, Look, make_look
from milepost.tui.widgets.detail import JobDetail
from milepost.tui.widgets.tab_bar import Tab
from tests.support import factories
from tests.support.in_process import InProcessDaemon
from tests.support.wait import wait_until

_COLOURS = {f"status-{name}": colour for name, colour in DARK.items()}
LOOK = make_look(
    UNICODE, tuple(sorted({**_COLOURS, "foreground": "#d8dce2", "accent": "#5fc9e8"}.items())), few_colours=False
)


class DetailApp(App[None]):
    """`said`: the messages of the detail. `client` may be taken away."""

    def __init__(self, client: Client | None) -> None:
        super().__init__()
        self.client = client
        self.said: list[Any] = []  # Any: messages of several classes
        self.look: Look = LOOK
        self.clock = Clock()

    def compose(self) -> ComposeResult:
        yield JobDetail(lambda: self.client, Shelf())

    @property
    def detail(self) -> JobDetail:
        return self.query_one(JobDetail)

    def on_job_detail_item_retry(self, event: JobDetail.ItemRetry) -> None:
        self.said.append(event)

    def on_job_detail_closed(self, event: JobDetail.Closed) -> None:
        self.said.append(event)


@dataclass
class Shown:
    """A detail on a screen, and how to look at it."""

    app: DetailApp
    pilot: Pilot[None]
    daemon: InProcessDaemon

    @property
    def lines(self) -> list[str]:
        """The screen as text."""
        return ["".join(segment.text for segment in strip) for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def tab(self) -> str:
        return self.app.detail.tab.value

    @property
    def toasts(self) -> str:
        return "\n".join(toast.message for toast in self.app._notifications)

    def line_with(self, text: str) -> str:
        return next(line for line in self.lines if text in line)

    @property
    def cursor_line(self) -> str:
        return next((line for line in self.lines if line.startswith("> ")), "")

    async def until(self, condition: Callable[[], object], what: str) -> None:
        async def holds() -> bool:
            await self.pilot.pause(0)
            return bool(condition())

        try:
            await wait_until(holds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None

    async def until_seen(self, *texts: str) -> None:
        await self.until(lambda: all(text in self.text for text in texts), f"to see {texts}")

    async def until_seen_without(self, seen: str, hidden: str) -> None:
        await self.until(lambda: seen in self.text and hidden not in self.text, f"to see {seen!r} without {hidden!r}")

    async def until_cursor_at(self, start: str) -> None:
        await self.until(lambda: self.cursor_line.startswith(f"> {start}"), f"the cursor at {start!r}")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)


@asynccontextmanager
async def shown_detail(
    daemon: InProcessDaemon,
    job_id: str,
    size: tuple[int, int] = (90, 30),
    tab: Tab = Tab.ITEMS,
    connected: bool = True,
) -> AsyncIterator[Shown]:
    app = DetailApp(daemon.client if connected else None)
    document = await daemon.job(job_id)
    async with app.run_test(size=size, notifications=True) as pilot:
        app.detail.open_tab(tab)
        app.detail.show(document)
        app.detail.focus_tab()
        yield Shown(app, pilot, daemon)


async def mixed_job(daemon: InProcessDaemon, keys: Sequence[str] = (), **values: Any) -> Job:
    """Rows a to f: two through all steps, c failed for good, d skipped as filtered, e and f wait."""
    values = {"state": JobState.RUNNING, "queue_time": None, "name": "creators", **values}
    job = await daemon.insert("j-aaaaaaaa", factories.creators(attempts=1), **values)
    await daemon.add_items(job, list(keys or ["ann", "bob", "cem", "dan", "eve", "fay"]))
    await daemon.report(job, *(factories.succeeded(1, item, result_json='{"followers":17}') for item in (1, 2)))
    await daemon.report(job, *(factories.succeeded(2, item, label="added") for item in (1, 2)))
    await daemon.report(job, factories.failed(1, 3), factories.report(ReportKind.SKIPPED, 1, 4, label="filtered"))
    return job


def write_log(daemon: InProcessDaemon, job_id: str, text: str, run: int = 1) -> None:
    folder = daemon.folder / "jobs" / job_id / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"run-{run}.log").open("a") as stream:
        stream.write(text)


WAITING = Reason("INPUT_LOST", "Its input rows.csv is gone.", "Put it back, then: milepost resume j-aaaaaaaa.")
