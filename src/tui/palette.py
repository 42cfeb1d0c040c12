"""What the palette (`:`) finds: commands for the chosen jobs, all that a key does, sorts, columns, themes, and jobs.

Texts from jobs become `Content`, which is never parsed as markup.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import Command, CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.style import Style

from milepost.common.filter import fold
from milepost.common.text import safe, shorten
from milepost.tui.actions import command_name, offer_of, offered, plan
from milepost.tui.keys import area_of, bound_keys
from milepost.tui.rows import JobRow
from milepost.tui.screens.commanding import CommandScreen
from milepost.tui.screens.detailing import DetailingScreen
from milepost.tui.screens.jobs import JobsScreen
from milepost.tui.theme import THEMES
from milepost.tui.view import Sort
from milepost.tui.widgets.job_table import COLUMNS, NAME_LETTERS

if TYPE_CHECKING:
    from milepost.tui.app import MilepostApp

#: Jobs that are shown for what was typed.
MOST_JOBS = 50
_NAME_CELLS = 60
COPY_REPORT = "Copy failure report"
#: Bindings that are of no use here: commands are told with what they do, and keys that move need a list.
_LEFT_OUT = frozenset({"command", "list", "grid", "help", "dialog", ""})
_DIM = Style(dim=True, bold=False)
#: Scores, so that what has the typed letters side by side comes first, then jobs, then what only has them somewhere.
_CLOSE, _JOB = 10_000.0, 5_000.0


@dataclass(frozen=True)
class Choice:
    """`refused`: why it is not possible now; to choose it then tells that as a toast."""

    text: str
    do: Callable[[], object]
    about: str = ""
    refused: bool = False
    only_searched: bool = False

    def content(self, match: tuple[int, int] | None, match_style: Style | None) -> Content:
        shown = Content(self.text)
        if match and match_style:
            shown = shown.stylize(match_style, *match)
        if self.refused:
            shown = shown.stylize(_DIM)
        return Content.assemble(shown, "  ", Content(self.about).stylize(_DIM)) if self.about else shown


@dataclass(frozen=True)
class ChooseTheme:
    """While it is highlighted the app shows this theme."""

    app: "MilepostApp"
    name: str

    def __call__(self) -> None:
        self.app.choose_theme(self.name)


def highlighted_theme(event: CommandPalette.OptionHighlighted) -> str:
    """Empty when what is highlighted is no theme."""
    option = event.highlighted_event.option
    chosen = option.hit.command if isinstance(option, Command) else None
    return chosen.name if isinstance(chosen, ChooseTheme) else ""


def theme_names(app: "MilepostApp") -> list[str]:
    """Ours first."""
    ours = [theme.name for theme in THEMES]
    return [*ours, *sorted(app.available_themes.keys() - set(ours))]


class _Choices(Provider):
    """Lists and searches choices."""

    @property
    def milepost(self) -> "MilepostApp":
        return cast("MilepostApp", self.app)

    def choices(self) -> Iterator[Choice]:
        raise NotImplementedError

    async def discover(self) -> Hits:
        for choice in self.choices():
            if not choice.only_searched:
                yield DiscoveryHit(choice.content(None, None), choice.do, choice.text)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for choice in self.choices():
            at = choice.text.casefold().find(query.casefold())
            score = matcher.match(choice.text)
            if at >= 0:
                match = (at, at + len(query))
                yield Hit(_CLOSE + score, choice.content(match, self.match_style), choice.do, choice.text)
            elif score > 0:
                yield Hit(score, choice.content(None, None), choice.do, choice.text)


class Themes(_Choices):
    def choices(self) -> Iterator[Choice]:
        for name in theme_names(self.milepost):
            about = "now" if name == self.milepost.chosen_theme else ""
            yield Choice(name, ChooseTheme(self.milepost, name), about)


class Commands(_Choices):
    """Everything that can be done here, and every job."""

    async def startup(self) -> None:
        self._found = list(self._all())  # not at each letter: with thousands of marks it takes a while

    def choices(self) -> Iterator[Choice]:
        return iter(self._found)

    def _all(self) -> Iterator[Choice]:
        if isinstance(self.screen, CommandScreen):
            yield from _for_jobs(self.screen)
        yield from self._keys()
        yield Choice("Theme", self.app.search_themes, "as light, dark, for the colour-blind; seen while you choose")
        for name in theme_names(self.milepost):
            yield Choice(f"Theme {name}", ChooseTheme(self.milepost, name), only_searched=True)
        if isinstance(self.screen, JobsScreen):
            yield from _for_list(self.screen)

    def _keys(self) -> Iterator[Choice]:
        for bound in bound_keys(self.screen):
            if area_of(bound.id) not in _LEFT_OUT and bound.id != "app.palette" and bound.does != COPY_REPORT:
                run = partial(self.app.run_action, bound.active.binding.action, bound.active.node)
                digits = bound.id.rpartition("_")[2].isdigit()
                yield Choice(bound.does, run, "  ".join(bound.keys), only_searched=digits)

    async def search(self, query: str) -> Hits:
        async for hit in super().search(query):
            yield hit
        if isinstance(self.screen, CommandScreen):
            for place, (job_id, row) in enumerate(found_jobs(self.milepost.store.rows, query)):
                choice = _job_choice(job_id, row, partial(self.screen.go_to, job_id))
                score = 2 * _CLOSE if job_id == query else _JOB - place
                yield Hit(score, choice.content(None, None), choice.do, choice.text)


def found_jobs(rows: Mapping[str, JobRow], query: str) -> list[tuple[str, JobRow]]:
    """The jobs that have this in their id or name; of many those that need someone first."""
    wanted = fold(query)
    found = ((job_id, row) for job_id, row in rows.items() if wanted in row.folded_name or wanted in job_id)
    return heapq.nsmallest(MOST_JOBS, found, key=lambda pair: pair[1].attention)


def _job_choice(job_id: str, row: JobRow, do: Callable[[], object]) -> Choice:
    return Choice(f"{safe(job_id)} {shorten(safe(row.name[:NAME_LETTERS]), _NAME_CELLS)}", do, row.status.word)


def _for_jobs(screen: CommandScreen) -> Iterator[Choice]:
    """Of what is refused, only whoever searches for it learns why."""
    rows = screen.chosen_rows()
    if len(rows) == 1:
        of = safe(rows[0].job.id)
        for one in sorted(offered(rows[0]), key=lambda one: not one.recommended):
            do = partial(screen.command_for, (rows[0].id,), (one.offer.command,))
            about = f"{of}: {one.effect}" if one.allowed else f"not now: {one.refusal}"
            yield Choice(one.offer.label, do, about, refused=not one.allowed, only_searched=not one.allowed)
        if isinstance(screen, DetailingScreen):
            yield Choice(COPY_REPORT, partial(screen.copy_report, rows[0].id), of)
    elif rows:
        names = dict.fromkeys(command_name(action.command) for row in rows for action in row.job.actions)
        for name in names:
            planned = plan(rows, (name,))[0]
            nobody = not planned.job_ids
            text = offer_of(name).label if nobody else planned.words
            about = "not now for any of the marked jobs" if nobody else ""
            do = partial(screen.command_for, [row.id for row in rows], (name,))
            yield Choice(text, do, about, refused=nobody, only_searched=nobody)


def _for_list(screen: JobsScreen) -> Iterator[Choice]:
    for sort in Sort:
        yield Choice(f"Sort by {sort.value}", partial(screen.sort_by, sort))
    for column in COLUMNS:
        if column.title:
            verb = "Hide" if screen.shows_column(column.title) else "Show"
            do = partial(screen.toggle_column, column.title)
            yield Choice(f"{verb} column {column.title}", do)
