"""The terminal UI over a real store and API, driven by keys and clicks; read back as the lines that it shows."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import Input

from milepost.common.settings import Settings, load_settings
from milepost.core.model import ENDED_STATES, Job, JobState, Reason, Stop
from milepost.daemon.store import jobs
from milepost.daemon.store.group_commit import Transaction
from milepost.tui.app import MilepostApp
from milepost.tui.clock import Clock
from milepost.tui.link import LinkState
from milepost.tui.screens.jobs import JobsScreen
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support import factories
from tests.support.factories import NOW
from tests.support.in_process import InProcessDaemon
from tests.support.wait import wait_until

T = TypeVar("T")
D = TypeVar("D", bound=Screen[Any])

#: Steps with a retry limit of one: what fails has failed for good.
PIPELINE = factories.creators(attempts=1)
NONE: Mapping[str, str] = MappingProxyType({})
_STOPS = {JobState.PAUSING: JobState.PAUSED, JobState.CANCELLING: JobState.CANCELLED}


async def insert(daemon: InProcessDaemon, job_id: str, state: JobState, *, failed: int = 1, **values: object) -> Job:
    """A job of three items in this state; its first `failed` items have failed, and all when it is completed."""
    running = await daemon.insert(job_id, PIPELINE, state=JobState.RUNNING, queue_time=None, run_count=1, **values)
    await daemon.add_items(running, ["a", "b", "c"])
    await daemon.report(running, *(factories.failed(1, item) for item in range(1, failed + 1)))
    if state is JobState.COMPLETED:
        left = range(failed + 1, 4)
        await daemon.report(running, *(factories.succeeded(step, item) for step in (1, 2) for item in left))
        await daemon.report(running, factories.succeeded(3, 0))
    if state is JobState.RUNNING:
        return running
    return await daemon.store.write(lambda tx: _saved(tx, job_id, state))


def _saved(tx: Transaction, job_id: str, state: JobState) -> Job:
    job = replace(jobs.get(tx.connection, job_id), **_values_of(state))  # type: ignore[arg-type] # fields of Job
    jobs.save(tx, job)
    return jobs.get(tx.connection, job_id)


def _values_of(state: JobState) -> Mapping[str, object]:
    """What the row of a job in this state must have."""
    reason = Reason("ASKED", "It was asked for.")
    target = _STOPS.get(state)
    return {
        "state": state,
        "reason": reason if state in (JobState.WAITING, JobState.FAILED) else None,
        "stop": Stop(target, False, "ada", reason, NOW) if target else None,
        "end_time": NOW + 60 if state in ENDED_STATES else None,
        "queue_time": NOW if state is JobState.QUEUED else None,
        "scheduled_time": NOW + 1e9 if state is JobState.SCHEDULED else None,
    }


async def commands_of(daemon: InProcessDaemon, job_id: str) -> list[str]:
    """The commands that were recorded for a job, oldest first."""
    request = pb.ListEventsRequest(job=job_id, page_size=100)
    recorded = (await daemon.client.call(daemon.client.jobs.ListEvents, request)).events
    return [event.kind.removesuffix("_REQUESTED") for event in recorded if event.kind.endswith("_REQUESTED")]


@dataclass
class StillClock:
    """Stands until a test moves it."""

    time: float = NOW + 3600

    def pass_by(self, seconds: float) -> None:
        self.time += seconds

    def read(self) -> float:
        return self.time


@dataclass
class Ui:
    app: MilepostApp
    pilot: Pilot[None]
    clock: StillClock

    @property
    def screen(self) -> JobsScreen:
        found = self.app.screen_stack[0]
        assert isinstance(found, JobsScreen)
        return found

    async def until(self, condition: Callable[[], T], what: str) -> T:
        """The first result that is true, once all that was under way is on the screen."""

        async def holds() -> T:
            await self.settle()
            return condition()

        return await wait_until(holds, what, 15.0)

    async def settle(self) -> None:
        """Until every widget has handled what it was sent, and drawn it."""
        await self.pilot.pause(0)

    async def press(self, *keys: str) -> None:
        """One after the other, each handled before the next. Quicker than the pilot's, which waits for an idle CPU."""
        for key in keys:
            letter = key if len(key) == 1 else None
            named = _character_to_key(key) if letter and not key.isalnum() else key
            self.app.post_message(events.Key(named, " " if key == "space" else letter))
            await self.settle()
        await self.settle()  # what the last one led to: messages, and a focus that moves

    async def click(self, selector: str, words: str) -> None:
        """On these words of a widget's first line."""
        widget = self.app.screen.query_one(selector)
        text = widget.render_line(0).text
        assert words in text, f"{words!r} is not in {text!r}"
        await self.pilot.click(selector, offset=(text.index(words) + 1, 0))
        await self.settle()

    async def go_to(self, job_id: str) -> None:
        """The cursor onto this job, by keys; the list may be put in order anew meanwhile."""
        view = self.screen.view
        await self.until(lambda: job_id in view.ids, f"{job_id} is listed")

        async def arrived() -> bool:
            by = view.ids.index(job_id) - self.screen.table.cursor
            await self.press(*(["j" if by > 0 else "k"] * abs(by)))
            await self.settle()
            return view.cursor_id == job_id

        await wait_until(arrived, f"the cursor is on {job_id}", 15.0)

    async def dialog(self, kind: type[D]) -> D:
        """The one that asks now, ready for keys."""

        def asks() -> D | None:
            screen = self.app.screen
            return screen if isinstance(screen, kind) and screen.focused is not None else None

        found = await self.until(asks, f"a {kind.__name__} asks")
        assert found is not None
        return found

    async def type(self, text: str) -> None:
        await self.press("/")
        assert isinstance(self.app.focused, Input)
        await self.press(*text)

    def job(self, job_id: str) -> job_pb2.Job:
        """As the screen was last told."""
        return self.app.store.rows[job_id].job

    async def tell(self, *documents: job_pb2.Job) -> None:
        """As if the daemon had told of these jobs."""
        self.app.store.apply(pb.WatchJobsResponse(jobs=documents))
        self.app._on_change()
        told = [document.id for document in documents]
        await self.until(lambda: set(told) <= {*self.screen.view.ids}, "they are listed")
        await self.all_is_told()

    async def all_is_told(self) -> None:
        """And what was told has been taken in: it comes to screens as a message."""
        await self.until(lambda: not self.app._changed.is_set(), "all is told")
        await self.settle()

    def strips(self) -> list[Strip]:
        return self.app.screen._compositor.render_strips()

    def lines(self) -> list[str]:
        """The whole screen, as text."""
        return [strip.text for strip in self.strips()]

    def text(self) -> str:
        return "\n".join(self.lines())

    def line_of(self, selector: str) -> str:
        """The first line of a widget."""
        return self.app.screen.query_one(selector).render_line(0).text

    def toasts(self) -> list[str]:
        """Title and text of the toasts in sight, oldest first."""
        return [f"{toast.title} {toast.message}".strip() for toast in self.app._notifications]

    def clear_toasts(self) -> None:
        self.app.clear_notifications()


def settings_for(state_folder: Path, environ: Mapping[str, str] = NONE) -> Settings:
    return load_settings({"state_dir": str(state_folder)}, environ)


def environ_in(home: Path, more: Mapping[str, str] = NONE) -> Mapping[str, str]:
    """Of a person whose own files are below `home`."""
    environ = {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "TERM": "xterm-256color",
        "PATH": "/usr/bin:/bin",
    }
    return environ | dict(more)


@asynccontextmanager
async def started(
    daemon: InProcessDaemon, home: Path, size: tuple[int, int] = (120, 40), more: Mapping[str, str] = NONE
) -> AsyncIterator[Ui]:
    async with started_in(daemon.folder, home, size, more) as ui:
        yield ui


@asynccontextmanager
async def started_in(
    state_folder: Path, home: Path, size: tuple[int, int] = (120, 40), more: Mapping[str, str] = NONE
) -> AsyncIterator[Ui]:
    """As soon as there is a screen: nothing has been told yet. `more`: variables of the environment."""
    clock = StillClock()
    environ = environ_in(home, more)
    app = MilepostApp(settings_for(state_folder, environ), environ, clock=Clock(clock.read, clock.read))
    app.animation_level = "none"
    async with app.run_test(size=size) as pilot:
        ui = Ui(app, pilot, clock)
        await ui.until(lambda: bool(app.screen_stack), "the first screen is there")
        for field in app.screen.query(Input):
            field.cursor_blink = False
        yield ui


@asynccontextmanager
async def open_ui(
    daemon: InProcessDaemon, home: Path, size: tuple[int, int] = (120, 40), more: Mapping[str, str] = NONE
) -> AsyncIterator[Ui]:
    """With everything told and listed."""
    async with started(daemon, home, size, more) as ui:
        await ui.until(lambda: ui.app.link.state is LinkState.LIVE, "all jobs are told")
        await ui.until(lambda: len(ui.screen.view.ids) == len(ui.app.store.rows), "all jobs are listed")
        yield ui
