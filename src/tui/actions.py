"""What may be done with jobs, as keys, buttons and previews. The daemon decides it; this only reads `Job.actions`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from milepost.common.text import safe
from milepost.tui.rows import JobRow

if TYPE_CHECKING:
    from milepost.v1.job_pb2 import Action

#: From so many jobs on a person types how many there are.
TYPE_THE_COUNT = 10


class Tone(Enum):
    """What a button warns of."""

    GO = "go"
    CARE = "care"
    DANGER = "danger"
    PLAIN = "plain"


class Asks(Enum):
    """What has to be asked before a command is sent."""

    NOTHING = "nothing"
    CONFIRMATION = "confirmation"
    STEP = "step"


@dataclass(frozen=True)
class Offer:
    """How a command looks. `keep` is the other answer of its confirmation: "Cancel" as a button would mean both."""

    command: str
    label: str
    glyph: str = ""
    tone: Tone = Tone.PLAIN
    asks: Asks = Asks.NOTHING
    keep: str = "Leave it as it is"


#: Commands that a person knows by a word and a colour. Any other that the daemon offers appears by its name.
OFFERS: Mapping[str, Offer] = {
    offer.command: offer
    for offer in (
        Offer("RESUME", "Resume", "▶", Tone.GO),
        Offer("RESTART", "Restart", "↻", Tone.CARE, Asks.CONFIRMATION, "Keep this run"),
        Offer("RESTART_FROM_STEP", "Restart from a step", "↻", Tone.CARE, Asks.STEP, "Keep the records"),
        Offer("RESTART_FROM_SCRATCH", "Restart from scratch", "↻", Tone.DANGER, Asks.CONFIRMATION, "Keep the records"),
        Offer("PAUSE", "Pause", "‖", Tone.CARE),
        Offer("PAUSE_NOW", "Pause now", "‖", Tone.DANGER, Asks.CONFIRMATION, "Let it complete"),
        Offer("RETRY", "Retry failed", "↻", Tone.GO),
        Offer("CANCEL", "Cancel job", "⊘", Tone.DANGER, Asks.CONFIRMATION, "Keep the job"),
        Offer("FORCE_CANCEL", "Force-cancel", "⊘", Tone.DANGER, Asks.CONFIRMATION, "Keep the job"),
    )
}


def offer_of(command: str) -> Offer:
    """Of a command that is not known here the label is its name, and it is confirmed."""
    known = OFFERS.get(command)
    words = command.replace("_", " ").capitalize()
    return known or Offer(command, words, tone=Tone.CARE, asks=Asks.CONFIRMATION)


@dataclass(frozen=True)
class Offered:
    """A command on one job now. `effect`: what it would do; or, when refused, `refusal` with what to do instead."""

    offer: Offer
    allowed: bool
    recommended: bool = False
    effect: str = ""
    refusal: str = ""


def offered(row: JobRow) -> list[Offered]:
    """Every command that the daemon told of, in its order."""
    return [_offered(action) for action in row.job.actions if action.command]


def offered_one(row: JobRow, commands: Sequence[str]) -> Offered:
    """The first of these commands that is allowed; else the refusal of the first."""
    action = _first(row, commands)
    if action is None:
        return Offered(offer_of(commands[0]), allowed=False, refusal="This daemon does not know the command.")
    return _offered(action)


def _first(row: JobRow, commands: Sequence[str]) -> "Action | None":
    """The action of `offered_one`, and no more: it is asked for every marked job."""
    told = {name: action for action in row.job.actions if (name := command_name(action.command)) in commands}
    found = [told[command] for command in commands if command in told]
    return next((action for action in found if action.allowed), found[0] if found else None)


def _offered(action: "Action") -> Offered:
    refusal = action.refusal
    return Offered(
        offer=offer_of(command_name(action.command)),
        allowed=action.allowed,
        recommended=action.recommended,
        effect=safe(action.effect),
        refusal=safe(f"{refusal.message} {refusal.remedy}".strip()),
    )


@cache
def command_name(number: int) -> str:
    from milepost.v1 import job_pb2

    known = job_pb2.Command.DESCRIPTOR.values_by_number.get(number)
    return known.name.removeprefix("COMMAND_") if known else f"COMMAND_{number}"


@dataclass(frozen=True)
class Plan:
    """One command for many jobs: whom it reaches, and why not the rest."""

    offer: Offer
    job_ids: tuple[str, ...]
    skipped: tuple[tuple[str, int], ...]

    @property
    def total(self) -> int:
        return len(self.job_ids) + sum(count for _, count in self.skipped)

    @property
    def words(self) -> str:
        """As "Resume 12 of 15; 3 skipped: 2 completed, 1 running"."""
        if not self.skipped:
            return f"{self.offer.label} {len(self.job_ids)} jobs"
        left = ", ".join(f"{count} {status}" for status, count in self.skipped)
        skipped = self.total - len(self.job_ids)
        return f"{self.offer.label} {len(self.job_ids)} of {self.total}; {skipped} skipped: {left}"


def plan(rows: Iterable[JobRow], commands: Sequence[str]) -> list[Plan]:
    """A plan for each of the commands that reaches someone; else one that reaches nobody."""
    reached: dict[str, list[str]] = {}
    skipped: Counter[str] = Counter()
    for row in rows:
        action = _first(row, commands)
        if action is not None and action.allowed:
            reached.setdefault(command_name(action.command), []).append(row.id)
        else:
            skipped[row.status.word] += 1
    left = tuple(skipped.most_common())
    if not reached:
        return [Plan(offer_of(commands[0]), (), left)]
    return [Plan(offer_of(command), tuple(ids), left) for command, ids in reached.items()]
