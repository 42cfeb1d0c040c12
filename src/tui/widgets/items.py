"""The tab of items: the grid of steps, which outcomes are listed, the list, and the card of one item."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from rich.style import Style
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from milepost.common.text import brief
from milepost.common.text import width as cells_of
from milepost.core.model import ItemState
from milepost.tui import documents, figures
from milepost.tui.parts import Part
from milepost.tui.shelf import Kept
from milepost.tui.theme import Look, look_of
from milepost.tui.widgets.cells import plain
from milepost.tui.widgets.click_line import ClickLine
from milepost.tui.widgets.composed import Wanted
from milepost.tui.widgets.item_card import ItemCard
from milepost.tui.widgets.item_list import ItemList, WindowWanted, name_of, why_no_items
from milepost.tui.widgets.item_looks import item_glyph, item_style
from milepost.tui.widgets.lines import LineList
from milepost.tui.widgets.step_grid import StepGrid
from milepost.tui.windows import ItemFilter

if TYPE_CHECKING:
    from milepost.tui.details import ItemHistory
    from milepost.v1.job_pb2 import Item, Job
    from milepost.v1.job_service_pb2 import GetJobGridResponse

#: In the order of their digits; None: all items.
CHIPS = (None, ItemState.FAILED, ItemState.RETRY, ItemState.SKIPPED, ItemState.SUCCEEDED, ItemState.PENDING)
#: Lines from which on there is room for what the signs mean.
TALL = 12
_CHOSEN = Style(bold=True, underline=True)


@dataclass(frozen=True)
class CardWanted:
    item_id: int


@dataclass(frozen=True)
class GridWanted:
    columns: int


@dataclass(frozen=True)
class PlaceWanted:
    """The line of this item, or with `failed` of the next failed one after it."""

    filter: ItemFilter
    item_id: int
    failed: bool = False


Want = CardWanted | GridWanted | PlaceWanted | WindowWanted


class Items(Widget):
    """What is to be read for it says `want`; the answers come to the methods `show_…`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(
                str(digit),
                f"state({digit})",
                f"{state.capitalize() if state else 'All'} items",
                show=False,
                id=f"items.state_{digit}",
            )
            for digit, state in enumerate(CHIPS)
        ),
        Binding("f", "next_failed", "Next failed item", id="items.next_failed", show=False),
        Binding("c", "error_class", "Only this class of error", id="items.error_class", show=False),
        Binding("L", "logs", "Log of the item", id="items.logs", show=False),
        Binding("t", "retry", "Retry item", id="items.retry", show=False),
    ]
    DEFAULT_CSS = """
    Items {
        & > StepGrid { height: 1; }
        & > ItemList, & > ItemCard { height: 1fr; }
        & > ItemCard { display: none; }
        & > #items-legend { display: none; }
        &.-tall > #items-legend { display: block; }
        &.-card > StepGrid, &.-card > ItemList, &.-card > ClickLine { display: none; }
        &.-card > ItemCard { display: block; }
    }
    """

    class RetryChosen(Message):
        """A person wants this item executed again."""

        def __init__(self, item: "Item") -> None:
            super().__init__()
            self.item = item

    class LogsChosen(RetryChosen):
        """A person wants to see what this item printed."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self.grid = StepGrid(id="items-grid")
        self.legend = ClickLine(id="items-legend")
        self.line = ClickLine(id="items-filter")
        self.list = ItemList(id="items-list")
        self.card = ItemCard(id="items-card")
        self._job: Job | None = None
        self._place: PlaceWanted | None = None

    def compose(self) -> ComposeResult:
        yield self.grid
        yield self.legend
        yield self.line
        yield self.list
        yield self.card

    # --- what others call ---

    def clear(self) -> None:
        """Another job is shown."""
        self._job = self._place = None
        self.close_card()
        self.grid.clear()
        self.list.clear(ItemFilter())

    @property
    def kept(self) -> Kept:
        """What has been read of them, for when they are shown again."""
        return Kept(self.grid.grid, None if self.list.filter.narrows else self.list.window)

    def recall(self, kept: Kept | None) -> None:
        """As they were when they were last shown, until they are read."""
        if kept is not None:
            self.grid.recall(kept.grid)
            self.list.recall(kept.items)
            self._show_legend()

    def show_job(self, job: "Job") -> None:
        steps_before = len(self._job.steps) if self._job else 0
        self._job = job
        self.grid.show_job(job)
        self.list.show_job(job)
        if len(job.steps) != steps_before:
            self._fit_grid()
        self._show_line()

    def outdate(self) -> None:
        """The job has changed: what is in sight is to be read again."""
        self.grid.outdate()
        self.list.outdate()
        if self.card_is_open:
            self.card.outdate()

    def choose(self, wanted: ItemFilter) -> None:
        if wanted != self.list.filter:
            self._place = None
            self.list.clear(wanted)
            self._show_line()
            self.post_message(Wanted(self))

    @property
    def want(self) -> Want | None:
        """What comes first: what a person asked for, then what is in sight."""
        if self._place is not None:
            return self._place
        if self.card_is_open:
            return CardWanted(self.card.item_id) if self.card.want else None
        if self.list.want is not None:
            return self.list.want
        return GridWanted(self.grid.want) if self.grid.want else None

    def show_grid(self, columns: int, grid: "GetJobGridResponse") -> None:
        self.grid.show_grid(columns, grid)
        self._show_legend()

    def show_window(self, wanted: WindowWanted, items: "list[Item]", total: int) -> None:
        self.list.show_window(wanted, items, total)
        self.list.say(self._why_empty())
        self._show_line()

    def show_place(self, wanted: PlaceWanted, line: int | None) -> None:
        if wanted != self._place:
            return
        self._place = None
        if line is None:
            self.notify("No item failed here." if wanted.failed else "The item is not in the list.", markup=False)
        else:
            self.list.jump(line)

    def show_history(self, history: "ItemHistory | None") -> None:
        self.card.show_history(history)

    def failed_to_read(self, words: str) -> None:
        self._place = None
        self.list.say(words, failed=True)
        self.card.say(words, failed=True)
        self.card.failed_to_read()
        self.grid.failed_to_read()

    @property
    def card_is_open(self) -> bool:
        return self.has_class("-card")

    def close_card(self) -> bool:
        """False when none was open."""
        if not self.card_is_open:
            return False
        had_focus = self.card.has_focus
        self.remove_class("-card")
        if had_focus:
            self.list.focus()
        return True

    @property
    def focus_target(self) -> Widget:
        return self.card if self.card_is_open else self.list

    # --- the line above the list ---

    def _show_line(self) -> None:
        if self._job is None:
            return
        look, wanted = look_of(self), self.list.filter
        place = Part(f" {self.list.cursor + 1}/{self.list.total} " if self.list.total else "", look.dim)
        hint = [Part("f next failed ", look.dim, "next_failed")] if self._job.counts.failed else []
        chosen = []
        if wanted.step:
            chosen.append(Part(f"  step {plain(wanted.step)} x", look.accent, "step"))
        if wanted.error_class:
            chosen.append(Part(f"  class {plain(wanted.error_class)} x", look.accent, "class"))
        for form in ("{digit} {glyph} {word} {number}", "{digit} {glyph}{number}", "{glyph}{number}"):
            parts = [*(self._chip(digit, state, look, form) for digit, state in enumerate(CHIPS)), *chosen]
            if sum(cells_of(part.text) for part in (*parts, place)) <= self.size.width:
                break
        used = sum(cells_of(part.text) for part in (*parts, *hint, place))
        self.line.show(parts, [*hint, place] if used <= self.size.width else [place])

    def _chip(self, digit: int, state: ItemState | None, look: Look, form: str) -> Part:
        count = self._count_of(state)
        glyph, word = (item_glyph(state, look.glyphs), state.lower()) if state else ("all ", "")
        style = look.strong if state is None else item_style(state, look) if count else look.dim
        text = " ".join(form.format(digit=digit, glyph=glyph, word=word, number=figures.count(count)).split())
        return Part(f" {text} ", style + _CHOSEN if state is self.list.filter.state else style, f"state:{digit}")

    def _count_of(self, state: ItemState | None) -> int:
        assert self._job is not None
        counts, retry = self._job.counts, self._job.retry_count
        return {
            None: counts.total,
            ItemState.FAILED: counts.failed,
            ItemState.RETRY: retry,
            ItemState.SKIPPED: counts.skipped,
            ItemState.SUCCEEDED: counts.succeeded,
            ItemState.PENDING: max(0, counts.pending + counts.in_flight - retry),
        }[state]

    def _why_empty(self) -> str:
        if self.list.filter.narrows:
            return "No item matches. Press 0 for all of them."
        return f"There are {why_no_items(self._job)}." if self._job else "loading …"

    # --- keys and mouse ---

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 - as every handler
        self.set_class(self.size.height >= TALL, "-tall")
        self._fit_grid()
        self._show_line()
        self._show_legend()

    def _fit_grid(self) -> None:
        """All steps where there is room, never more than a third of the height."""
        steps = len(self._job.steps) if self._job else 0
        self.grid.styles.height = max(1, min(steps, self.size.height // 3))

    @on(ClickLine.Clicked, "#items-filter")
    def _filter_clicked(self, event: ClickLine.Clicked) -> None:
        event.stop()
        what, _, digit = event.target.partition(":")
        match what:
            case "state":
                self.action_state(int(digit))
            case "next_failed":
                self.action_next_failed()
            case "step":
                self.choose(replace(self.list.filter, step=""))
            case "class":
                self.choose(replace(self.list.filter, error_class=""))

    def on_step_grid_cell_chosen(self, event: StepGrid.CellChosen) -> None:
        event.stop()
        self.close_card()
        self.choose(ItemFilter())
        item_id = event.item_id - 1 if event.failed else event.item_id
        self._place = PlaceWanted(self.list.filter, item_id, event.failed)
        self.list.focus()
        self.post_message(Wanted(self))

    @on(LineList.Opened, "#items-list")
    def _item_opened(self, event: LineList.Opened) -> None:
        event.stop()
        if self.list.item is not None:
            self.card.open(self.list.item)
            self.add_class("-card")
            self.card.focus()
            self.post_message(Wanted(self))

    @on(LineList.Moved)
    def _moved(self, event: LineList.Moved) -> None:
        event.stop()
        if event.control is self.list:
            self._show_line()
        else:
            self._show_legend()

    def on_descendant_focus(self) -> None:
        self._show_legend()

    def on_descendant_blur(self) -> None:
        self._show_legend()

    def _show_legend(self) -> None:
        self.legend.show(self.grid.legend(self.size.width))

    @on(LineList.Opened)
    def _opened(self, event: LineList.Opened) -> None:
        event.stop()

    def action_state(self, digit: int) -> None:
        self.close_card()
        self.choose(self.list.filter.with_state(CHIPS[digit]))

    def action_next_failed(self) -> None:
        self.close_card()
        if self.list.filter.state not in (None, ItemState.FAILED):
            self.choose(self.list.filter.with_state(None))
        item = self.list.item
        self._place = PlaceWanted(self.list.filter, item.id if item else 0, failed=True)
        self.post_message(Wanted(self))

    def action_error_class(self) -> None:
        """The class of the item at the cursor; again: of all classes."""
        if self.list.filter.error_class:
            self.choose(replace(self.list.filter, error_class=""))
            return
        item = self.list.item
        if item is None or documents.item_state(item) not in (ItemState.FAILED, ItemState.RETRY):
            self.notify("This item has no error: choose one that failed.", markup=False)
            return
        self.choose(replace(self.list.filter, error_class=item.failure.error_class))

    def action_retry(self) -> None:
        if self._item is None:
            return
        if self.list.slid_unseen and not self.card_is_open:
            words = f"Another item has come under the cursor. Press it again if you mean {name_of(self._item)}."
            self.notify(brief(words), severity="warning", markup=False)
        else:
            self.post_message(self.RetryChosen(self._item))

    def action_logs(self) -> None:
        if self._item is not None:
            self.post_message(self.LogsChosen(self._item))

    @property
    def _item(self) -> "Item | None":
        """That of the card, else the one under the cursor."""
        return self.card.history.item if self.card_is_open and self.card.history else self.list.item
