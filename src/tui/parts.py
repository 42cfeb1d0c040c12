"""The one-line parts of the jobs screen, as parts of text. Pure; time is an argument."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from rich.style import Style

from milepost.common.text import safe, safe_lines, seconds_words
from milepost.common.text import width as cells_of
from milepost.tui import figures
from milepost.tui.actions import Offered, Tone
from milepost.tui.link import Link, LinkState
from milepost.tui.status import ATTENTION, RANKS, UNICODE, Status
from milepost.tui.store import JobStore
from milepost.tui.theme import Look
from milepost.tui.view import JobView


@dataclass(frozen=True)
class Part:
    """A piece of a line. `target`: what a click on it means; empty when nothing."""

    text: str
    style: Style | None = None
    target: str = ""


#: Chips in the order of their digits; `All` is 0.
CHIPS: Sequence[Status] = (
    Status.RUNNING,
    Status.STUCK,
    Status.PAUSED,
    Status.QUEUED,
    Status.FAILED,
    Status.COMPLETED,
    Status.CANCELLED,
    Status.WAITING,
    Status.SCHEDULED,
)
#: What a chip stands for beside its own status: what is on its way there, or there but for items that failed.
ALSO: Mapping[Status, frozenset[Status]] = {
    Status.PAUSED: frozenset({Status.PAUSING}),
    Status.CANCELLED: frozenset({Status.CANCELLING}),
    Status.COMPLETED: frozenset({Status.FAILED_ITEMS}),
}
WIDE = 100
_BOLD = Style(bold=True)


def chip_statuses(chip: Status) -> frozenset[Status]:
    return ALSO.get(chip, frozenset()) | {chip}


def header(
    link: Link, store: JobStore, rates: Sequence[float], eta: float | None, look: Look, width: int
) -> tuple[list[Part], list[Part]]:
    """Where one is and how things stand: connection, how many jobs, overall rate, time left, the machine.

    `rates`: items a second of all jobs, one for each of the last seconds; `eta` in seconds.
    """
    left = [Part(" milepost ▸ Jobs" if look.glyphs.rule == "─" else " milepost > Jobs", look.strong)]
    right = [*_link_parts(link, store, look)]
    if rates[-1] > 0:
        right.append(Part(f"  {figures.levels(list(rates), look.glyphs)} {figures.rate(rates[-1])}", look.accent))
        right.append(Part(f"  ETA {figures.seconds(eta)}"))
    if link.stats is not None and width >= WIDE:
        right.append(Part(_machine(link), look.dim))
    return left, [*right, Part(" ")]


def _link_parts(link: Link, store: JobStore, look: Look) -> list[Part]:
    count = f"{len(store.rows):,}"
    jobs = f"  {count} job{'' if count == '1' else 's'}"
    match link.state:
        case LinkState.LIVE:
            return [Part(f"{look.glyphs.connected} live", look.statuses[Status.COMPLETED]), Part(jobs)]
        case LinkState.LOADING:
            total = f"/{link.total:,}" if link.total else ""
            return [Part(f"{look.glyphs.connected} loading {count}{total}", look.accent)]
        case LinkState.LOST | LinkState.NOT_STARTED:
            return [Part(f"{look.glyphs.disconnected} {link.state.value}", look.amber), Part(jobs, look.dim)]
        case _:
            return [Part(f"{look.glyphs.disconnected} {link.state.value}", look.dim)]


def _machine(link: Link) -> str:
    assert link.stats is not None
    machine = link.stats.machine
    memory = machine.memory_used_bytes / machine.memory_total_bytes if machine.memory_total_bytes else 0.0
    return (
        f"  CPU {machine.cpu_percent:.0f}%  mem {100 * memory:.0f}%  disk {figures.size(machine.disk_free_bytes)} free"
    )


def chips(store: JobStore, view: JobView, look: Look, width: int) -> list[Part]:
    """Every status with its count, and the digit that chooses it; what needs attention first gets its word, too."""
    held = {chip: sum(store.by_status[status] for status in chip_statuses(chip)) for chip in CHIPS}
    total = len(store.rows)
    drawn = _chips(held, total, view, look, frozenset())
    words: frozenset[Status] = frozenset()
    for chip in sorted((chip for chip in CHIPS if held[chip]), key=RANKS.__getitem__):
        wider = _chips(held, total, view, look, words | {chip})
        if _cells(wider) <= width:
            drawn, words = wider, words | {chip}
    return drawn if _cells(drawn) <= width else [part for part in drawn if part.style is not look.dim]


def _cells(drawn: Sequence[Part]) -> int:
    return sum(len(part.text) for part in drawn)


def _chips(held: Mapping[Status, int], total: int, view: JobView, look: Look, words: frozenset[Status]) -> list[Part]:
    drawn = [Part(" 0", look.dim, "chip:0")]
    drawn.append(Part(f" All {figures.count(total)} ", _chosen(look.strong, not view.statuses), "chip:0"))
    for digit, chip in enumerate(CHIPS, 1):
        style = look.statuses[chip] if held[chip] else look.dim
        word = f" {chip.word}" if chip in words else ""
        text = f" {look.glyphs.status[chip]}{word} {figures.count(held[chip])} "
        drawn += [
            Part(f" {digit}", look.dim, f"chip:{digit}"),
            Part(text, _chosen(style, chip in view.statuses), f"chip:{digit}"),
        ]
    return drawn


def _chosen(style: Style, is_chosen: bool) -> Style:
    return style + Style(underline=True, bold=True) if is_chosen else style


def listing(view: JobView, look: Look) -> list[Part]:
    """What is marked, held still, and how the list is sorted."""
    parts = []
    if view.marks:
        unlisted = f", {len(view.unlisted_marks)} not listed" if view.unlisted_marks else ""
        parts.append(Part(f"{look.glyphs.mark} {len(view.marks)} marked{unlisted}  ", look.accent, "unmark"))
    if view.frozen:
        parts.append(Part("frozen  ", look.amber, "freeze"))
    arrow = look.glyphs.descending if view.order.reverse else look.glyphs.ascending
    parts.append(Part(f"sort: {view.order.sort.value} {arrow} ", None, "sort"))
    return parts


def banner(link: Link, now: float) -> str:
    """Empty while all is well."""
    match link.state:
        case LinkState.LOST:
            return (
                f" Lost the daemon {_age(link, now)} ago; it is live again once one runs (ctrl+r starts it). "
                "This is how it was; commands are off."
            )
        case LinkState.STARTING:
            return " No daemon answers: starting it."
        case LinkState.NOT_STARTED:
            return f" The daemon does not start; it is tried again by itself. {safe(link.message)}"
        case _:
            return ""


def outdated(link: Link, now: float) -> str:
    """In the place of the actions of a job, while they are off: how old it is what is shown."""
    if link.state is LinkState.LOST:
        return f" lost {_age(link, now)} ago: this is how it was (ctrl+r starts the daemon)"
    return f" {link.state.value}: this is how it was {_age(link, now)} ago"


def _age(link: Link, now: float) -> str:
    return seconds_words(now - link.since)


def why_empty(link: Link, store: JobStore, view: JobView, wrong: str) -> str:
    """Why no job is listed, and what to do. `wrong`: why what a person types is no filter."""
    if not store.complete:
        more = f"\n\n{safe_lines(link.message)}" if link.message else ""
        return f"{link.state.value.capitalize()} …{more}"
    if wrong:
        return f"{safe_lines(wrong)}\n\nEsc clears the filter."
    if view.statuses == frozenset(ATTENTION) and not view.filter_text:
        return "Nothing needs you: no job is stuck or waits, and nothing has failed.\n\nEsc shows all jobs."
    if view.narrows:
        return "No job matches.\n\nEsc clears the filter."
    return (
        "There is no job yet.\n\nSubmit one:\n\nmilepost run pipeline.py --input rows.csv\n"
        "milepost run --each urls.txt -- curl -sfO {}"
    )


@dataclass(frozen=True)
class Button:
    """`target` of a click; `key`: what a person presses instead; `busy`: it was sent and has not been answered."""

    offered: Offered
    target: str
    key: str
    busy: bool


def action_parts(buttons: Sequence[Button], look: Look, width: int, marked: int = 0) -> list[Part]:
    """Side by side, in the colour of what they do; without their signs, then by one word, where they would not fit.

    `marked`: how many jobs they are for, where a person marked some.
    """
    if not buttons:
        return [Part(" nothing to do here: only details", look.dim)]
    before = [Part(f" {marked:,} marked:", look.accent)] if marked > 1 and width >= WIDE else []
    drawn: list[Part] = []
    for signs, whole in ((look.glyphs is UNICODE, True), (False, True), (False, False)):
        drawn = [*before, *(_action_part(button, look, signs=signs, whole=whole) for button in buttons)]
        if sum(cells_of(part.text) for part in drawn) <= width:
            break
    return drawn


def _action_part(button: Button, look: Look, *, signs: bool, whole: bool) -> Part:
    offer = button.offered.offer
    sign = "…" if button.busy else offer.glyph if signs else ""
    label = offer.label if whole else offer.label.split()[0]
    tones = {
        Tone.GO: look.statuses[Status.COMPLETED],
        Tone.CARE: look.statuses[Status.PAUSED],
        Tone.DANGER: look.statuses[Status.FAILED],
        Tone.PLAIN: look.strong,
    }
    text = " ".join(piece for piece in (button.key, sign, label) if piece)
    style = tones[offer.tone]
    return Part(f" [{text}]", style + _BOLD if button.offered.recommended else style, button.target)


@dataclass(frozen=True)
class _Hint:
    """The bindings that it is of, their keys without settings, and what a click on it does.

    `spare`: it is left out where there is no room.
    """

    bindings: Sequence[str]
    keys: Sequence[str]
    word: str
    action: str = ""
    spare: bool = False


_MOVE = _Hint(("list.down", "list.up"), ("j", "k"), "move")
_MARK = _Hint(("jobs.mark",), ("space",), "mark", "mark")
_FILTER = _Hint(("jobs.filter",), ("/",), "filter", "filter")
_PANE = _Hint(("detail.next_pane",), ("tab",), "pane", "pane(1)")
_TABS = _Hint(("detail.previous_tab", "detail.next_tab"), ("[", "]"), "tabs")
_BACK = _Hint(("detail.back",), ("esc",), "back")
_REPORT = _Hint(("command.copy_report",), ("Y",), "copy report", "copy_report", spare=True)
_PALETTE = _Hint(("app.palette",), (":",), "command", "app.command_palette", spare=True)
_HELP = _Hint(("app.help",), ("?",), "help", "app.help")
_QUIT = _Hint(("app.quit",), ("q",), "quit", "app.quit")


class Hints(Enum):
    """The keys that a person needs first: in the list alone, in the one beside a detail, among items, in other tabs."""

    LIST = (
        _MOVE,
        _MARK,
        _FILTER,
        _Hint(("jobs.attention",), ("!",), "attention", "attention"),
        _PALETTE,
        _HELP,
        _QUIT,
    )
    BESIDE = (
        _MOVE,
        _PANE,
        _Hint(("list.open",), ("enter",), "whole screen", spare=True),
        _MARK,
        _FILTER,
        _PALETTE,
        _HELP,
        _QUIT,
    )
    ITEMS = (
        _PANE,
        _TABS,
        _Hint(("items.next_failed",), ("f",), "next failed"),
        _Hint(("items.retry",), ("t",), "retry item"),
        _Hint(("items.logs",), ("L",), "its log", spare=True),
        _REPORT,
        _BACK,
        _PALETTE,
        _HELP,
    )
    DETAIL = (_PANE, _TABS, _REPORT, _BACK, _PALETTE, _HELP)


def hints(which: Hints, remapped: Mapping[str, str], look: Look, width: int) -> list[Part]:
    """`remapped`: the setting `keys`."""
    shown = list(which.value)
    drawn = _drawn(shown, remapped, look)
    while _cells(drawn) > width and any(hint.spare for hint in shown):
        shown.remove([hint for hint in shown if hint.spare][-1])
        drawn = _drawn(shown, remapped, look)
    return drawn


def _drawn(shown: Sequence[_Hint], remapped: Mapping[str, str], look: Look) -> list[Part]:
    drawn = []
    for hint in shown:
        keys = [remapped.get(binding, key).split()[0] for binding, key in zip(hint.bindings, hint.keys, strict=True)]
        drawn.append(Part(f" {'/'.join(keys)}", look.accent, f"action:{hint.action}"))
        drawn.append(Part(f" {hint.word} ", look.dim))
    return drawn
