"""The tab of the timeline: what happened to the job, who did it and from where, newest first."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.widget import Widget

from milepost.common.text import safe, shorten
from milepost.common.text import width as cells_of
from milepost.tui import documents
from milepost.tui.clock import clock_of
from milepost.tui.theme import look_of
from milepost.tui.widgets.cells import cell, plain
from milepost.tui.widgets.composed import NotedList, Wanted
from milepost.tui.widgets.lines import LineList

if TYPE_CHECKING:
    from milepost.v1.job_pb2 import Event
    from milepost.v1.job_service_pb2 import ListEventsResponse

#: So many lines before the end of what is held older ones are asked for.
_AHEAD = 20


@dataclass(frozen=True)
class EventsWanted:
    """The page with this token; the newest when it is empty."""

    page_token: str


class Timeline(NotedList):
    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self._events: list[Event] = []
        self._next_token = ""
        self._outdated = True

    # --- what others call ---

    def clear(self) -> None:
        self._events, self._next_token, self._outdated = [], "", True
        self.cursor = 0
        self.say("loading …")
        self.show_count(0)

    def outdate(self) -> None:
        self._outdated = True

    @property
    def want(self) -> EventsWanted | None:
        if self._outdated:
            return EventsWanted("")
        near_end = self.sight[1] + _AHEAD >= self.count
        return EventsWanted(self._next_token) if self._next_token and near_end else None

    def show_events(self, wanted: EventsWanted, page: "ListEventsResponse") -> None:
        if wanted.page_token:
            self._events += page.events
            self._next_token = page.next_page_token
        else:
            self._put_newest(page)
        self.say("Nothing has happened yet.")
        self.show_count(len(self._events))

    def _put_newest(self, page: "ListEventsResponse") -> None:
        """Before those that are held, which stay in sight; from anew when there is a gap between them."""
        self._outdated = False
        newest = self._events[0].id if self._events else 0
        fresh = [event for event in page.events if event.id > newest]
        if not self._events or (len(fresh) == len(page.events) and page.next_page_token):
            self._events, self._next_token = list(page.events), page.next_page_token
            return
        self._events[:0] = fresh
        if self.scroll_offset.y or self.cursor:
            self.cursor += len(fresh)
            self.count = len(self._events)
            self.virtual_size = self.virtual_size.with_height(self.count)
            self.scroll_to(y=self.scroll_offset.y + len(fresh), animate=False, force=True, immediate=True)

    def failed_to_read(self, words: str) -> None:
        self._outdated = False
        self._next_token = ""
        self.say(words, failed=True)

    @property
    def focus_target(self) -> Widget:
        return self

    # --- drawing ---

    def draw(self, line: int, width: int) -> list[Segment]:
        look, event = look_of(self), self._events[line]
        client = f" ({safe(event.client)})" if event.client else ""
        segments = [
            Segment(f"{look.glyphs.cursor if self.points_at(line) else ' '} ", look.accent),
            Segment(f"{documents.clock(event.event_time, clock_of(self).now())}  ", look.dim),
        ]
        if width >= 70:
            segments += [cell(f"{plain(event.by)}{client}", min(24, width // 5), look.dim), Segment(" ")]
        what = plain(documents.event_line(event))
        if look.glyphs.rule == "-":
            what = what.replace("→", "->")
        segments.append(cell(what, min(24, max(cells_of(what), 22 if width >= 70 else 0)), look.strong))
        left = width - sum(cells_of(segment.text) for segment in segments) - 1
        return [*segments, Segment(" "), Segment(shorten(plain(event.message), max(1, left)))]

    # --- keys and mouse ---

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self.want is not None:
            self.post_message(Wanted(self))

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        event.stop()

    def on_line_list_opened(self, event: LineList.Opened) -> None:
        """The whole message: a line has room for its beginning."""
        event.stop()
        text = plain(self._events[event.line].message)
        self.notify(text or "No more is known of it.", markup=False)
