"""Everything known of one item: every attempt that failed, what each step made of it, and its payload."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from milepost.core.model import ItemState
from milepost.tui import documents
from milepost.tui.clock import clock_of
from milepost.tui.status import Status
from milepost.tui.theme import Look, look_of
from milepost.tui.widgets.cells import LONG_LETTERS, Line, plain, wrapped
from milepost.tui.widgets.composed import ComposedLines
from milepost.tui.widgets.item_list import name_of
from milepost.tui.widgets.item_looks import item_glyph, item_style, state_of

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from milepost.tui.details import ItemHistory
    from milepost.v1.job_pb2 import Attempt, Failure, Item, TaskRecord


class ItemCard(ComposedLines):
    """`item_id` is of the item whose card it is; `history` is None until it has been read."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self.item_id = 0
        self.history: ItemHistory | None = None
        self._outdated = False

    @property
    def want(self) -> bool:
        return self._outdated

    def open(self, item: "Item") -> None:
        self.item_id, self.history, self._outdated = item.id, None, True
        self.say("loading …")
        self.cursor = 0
        self.show_count(0)

    def outdate(self) -> None:
        self._outdated = True

    def show_history(self, history: "ItemHistory | None") -> None:
        self.history, self._outdated = history, False
        if history is None:
            self.say("The item is gone: the step that made it ran again and gave others.")
        self.recompose_lines()

    def failed_to_read(self) -> None:
        self._outdated = False

    def compose_lines(self, width: int) -> Sequence[Line]:
        if self.history is None:
            return ()
        look, item, now = look_of(self), self.history.item, clock_of(self).now()
        lines = [_head(item, look, now)]
        if item.HasField("failure") and not self.history.attempts:
            lines += _failure(item.failure, width, look)
        for attempt in self.history.attempts:
            lines += _attempt(attempt, width, look, now)
        for record in item.tasks:
            lines += _record(record, width, look, now)
        lines += _block("payload", _pretty(item.payload_json), width, look)
        return lines


def _head(item: "Item", look: Look, now: float) -> Line:
    state = documents.item_state(item)
    style = item_style(state, look)
    label = f" ({plain(item.label)})" if item.label else ""
    where = f"  at {plain(item.step)}" if state is not ItemState.SUCCEEDED else ""
    tried = f", attempt {item.attempt}" if item.attempt else ""
    again = f", again at {documents.clock(item.next_attempt_time, now)}" if item.HasField("next_attempt_time") else ""
    return [
        Segment(f"{item_glyph(state, look.glyphs)} {state.lower()}{label}", style),
        Segment(f"  {name_of(item)}", look.strong),
        Segment(f"{where}{tried}{again}", look.dim),
    ]


def _record(record: "TaskRecord", width: int, look: Look, now: float) -> list[Line]:
    state = state_of(documents.outcome(record))
    label = f" ({plain(record.label)})" if record.label else ""
    words = f"{label}, attempt {record.attempt}{_times(record.start_time, record.end_time, now)}"
    head = [
        Segment(f"{item_glyph(state, look.glyphs)} ", item_style(state, look)),
        Segment(plain(record.step), look.strong),
        Segment(f" {state.lower()}{words}", look.dim),
    ]
    lines: list[Line] = [[], head]
    if record.folder:
        lines.append([Segment(f"  artefacts: {plain(record.folder)}", look.dim)])
    return [*lines, *_indented(_pretty(record.result_json), width, None)]


def _attempt(attempt: "Attempt", width: int, look: Look, now: float) -> list[Line]:
    words = f" attempt {attempt.attempt} failed in run {attempt.run}{_times(attempt.start_time, attempt.end_time, now)}"
    head = [
        Segment(f"{look.glyphs.failed} ", look.statuses[Status.FAILED]),
        Segment(plain(attempt.step), look.strong),
        Segment(words, look.dim),
    ]
    return [[], head, *_failure(attempt.failure, width, look)]


def _failure(failure: "Failure", width: int, look: Look) -> list[Line]:
    rule = f"  (rule: {plain(failure.rule)})" if failure.rule else ""
    lines: list[Line] = [
        [Segment(f"  {plain(failure.error_class)}", look.statuses[Status.FAILED]), Segment(rule, look.dim)]
    ]
    lines += _indented(failure.message, width, None)
    if failure.remedy:
        lines += _indented(f"What to do: {failure.remedy}", width, look.accent)
    return [*lines, *_indented(failure.traceback, width, look.dim)]


def _block(title: str, text: str, width: int, look: Look) -> list[Line]:
    return [[], [Segment(title, look.strong)], *_indented(text, width, None)] if text else []


def _indented(text: str, width: int, style: Style | None) -> list[Line]:
    return [[Segment(f"  {line}", style)] for line in wrapped(text, width - 2)] if text else []


def _times(start: "Timestamp", end: "Timestamp", now: float) -> str:
    if not start.seconds:
        return ""
    took = documents.took(documents.seconds_of(end) - documents.seconds_of(start))
    return f", {documents.clock(start, now)}, took {took}"


def _pretty(text: str) -> str:
    """JSON over several lines; what is long or not JSON as it came."""
    if not text or len(text) > LONG_LETTERS:
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
