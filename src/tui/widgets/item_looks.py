"""How the state of an item looks: glyph, word and style."""

from collections.abc import Mapping

from rich.style import Style

from milepost.core.model import ItemState, Outcome
from milepost.tui.status import Glyphs, Status
from milepost.tui.theme import Look

#: The status of a job whose colour an item of this state has.
_COLOURS: Mapping[ItemState, Status] = {
    ItemState.SUCCEEDED: Status.COMPLETED,
    ItemState.FAILED: Status.FAILED,
    ItemState.SKIPPED: Status.QUEUED,
    ItemState.RETRY: Status.WAITING,
    ItemState.PENDING: Status.QUEUED,
}


def item_glyph(state: ItemState, glyphs: Glyphs) -> str:
    return {
        ItemState.SUCCEEDED: glyphs.done,
        ItemState.FAILED: glyphs.failed,
        ItemState.SKIPPED: glyphs.skipped,
        ItemState.RETRY: glyphs.retry,
        ItemState.PENDING: glyphs.pending,
    }[state]


def item_style(state: ItemState, look: Look) -> Style:
    return look.statuses[_COLOURS[state]]


def state_of(outcome: Outcome) -> ItemState:
    """The state in which an item is that ended so."""
    return ItemState(outcome.value)
