"""The one-line parts of the jobs screen, as parts of text. Pure; time is an argument."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.style import Style

from milepost.common.text import seconds_words
from milepost.tui import figures
from milepost.tui.actions import Offered, Tone
from milepost.tui.link import Link, LinkState
from milepost.tui.status import Status
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
#: What a chip stands for beside its own status: what is on its way there.
ALSO: Mapping[Status, frozenset[Status]] = {
    Status.PAUSED: frozenset({Status.PAUSING}),
    Status.CANCELLED: frozenset({Status.CANCELLING}),
}
WIDE = 100
_BOLD = Style(bold=True)


def chip_statuses(chip: Status) -> frozenset[Status]:
    return ALSO.get(chip, frozenset()) | {chip}


def header(
    link: Link, store: JobStore, rates: Sequence[float], look: Look, width: int
) -> tuple[list[Part], list[Part]]:
    """Where one is and how things stand: connection, how many jobs, overall rate, time left, the machine."""
    left = [Part(" milepost ▸ Jobs" if look.glyphs.rule == "─" else " milepost > Jobs", look.strong)]
    right = [*_link_parts(link, store, look)]
    if store.rate > 0:
        right.append(Part(f"  {figures.levels(list(rates), look.glyphs)} {figures.rate(store.rate)}", look.accent))
        right.append(Part(f"  ETA {figures.seconds(store.eta)}"))
    if link.stats is not None and width >= WIDE:
        right.append(Part(_machine(link), look.dim))
    return left, [*right, Part(" ")]


def _link_parts(link: Link, store: JobStore, look: Look) -> list[Part]:
    jobs = f"{len(store.rows):,}"
    match link.state:
        case LinkState.LIVE:
            return [Part(f"{look.glyphs.connected} live", look.statuses[Status.COMPLETED]), Part(f"  {jobs} jobs")]
        case LinkState.LOADING:
            total = f"/{link.total:,}" if link.total else ""
            return [Part(f"{look.glyphs.connected} loading {jobs}{total}", look.accent)]
        case LinkState.LOST:
            return [Part(f"{look.glyphs.disconnected} lost", look.amber), Part(f"  {jobs} jobs", look.dim)]
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
    """Every status with its count; words where there is room, and the digit that chooses it."""
    wide = width >= WIDE
    parts = [_chip("0", "", f"All {len(store.rows)}", None if view.statuses else look.accent, wide)]
    for digit, status in enumerate(CHIPS, 1):
        held = sum(store.by_status[one] for one in chip_statuses(status))
        style = look.statuses[status] if held else look.dim
        chosen = status in view.statuses
        count = figures.count(held)
        text = f"{status.word} {count}" if wide else count
        parts.append(_chip(str(digit), look.glyphs.status[status], text, style, wide, chosen=chosen))
    return parts


def _chip(digit: str, glyph: str, text: str, style: Style | None, wide: bool, *, chosen: bool = False) -> Part:
    shown = style + Style(underline=True, bold=True) if style and chosen else style
    label = f" {digit} {glyph} {text}".replace("  ", " ") if wide else f" {glyph}{text}"
    return Part(label, shown, f"chip:{digit}")


def listing(view: JobView, look: Look) -> list[Part]:
    """What is marked, held still, and how the list is sorted."""
    parts = []
    if view.marks:
        parts.append(Part(f"{look.glyphs.mark} {len(view.marks)} marked  ", look.accent, "unmark"))
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
                f" Lost the daemon {seconds_words(now - link.since)} ago: what you see is of then. Commands are off; "
                "it reconnects by itself, ctrl+r tries now."
            )
        case LinkState.STARTING:
            return " No daemon answers: starting it."
        case _:
            return ""


def action_parts(found: Sequence[Offered], keys: Mapping[str, str], busy: frozenset[str], look: Look) -> list[Part]:
    """The allowed actions, recommended ones first; `busy`: commands that are on their way."""
    tones = {
        Tone.GO: look.statuses[Status.COMPLETED],
        Tone.CARE: look.statuses[Status.PAUSED],
        Tone.DANGER: look.statuses[Status.FAILED],
        Tone.PLAIN: look.strong,
    }
    parts = []
    for one in sorted((one for one in found if one.allowed), key=lambda one: not one.recommended):
        offer = one.offer
        key = keys.get(offer.command, "")
        sign = "…" if offer.command in busy else offer.glyph
        label = " ".join(part for part in (key, sign, offer.label) if part)
        style = tones[offer.tone]
        parts.append(Part(f" [{label}]", style + _BOLD if one.recommended else style, f"command:{offer.command}"))
    return parts
