"""Colours: four themes of our own, and what each status looks like in any theme."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from rich.style import Style
from textual.theme import Theme
from textual.widget import Widget

from milepost.tui.status import Glyphs, Status

if TYPE_CHECKING:
    from milepost.tui.app import MilepostApp

#: Colours of statuses on dark and on light ground; `amber` is a completed job with failed items.
DARK: Mapping[str, str] = {
    "stuck": "#ff9e3b",
    "waiting": "#e6c34a",
    "failed": "#ff5d62",
    "running": "#5fc9e8",
    "paused": "#e6c34a",
    "queued": "#8a8f98",
    "scheduled": "#8a8f98",
    "cancelled": "#c792ea",
    "completed": "#7bc96f",
    "amber": "#ffb454",
}
LIGHT: Mapping[str, str] = {
    "stuck": "#b35900",
    "waiting": "#8a6d00",
    "failed": "#c4161c",
    "running": "#006d8f",
    "paused": "#8a6d00",
    "queued": "#63676e",
    "scheduled": "#63676e",
    "cancelled": "#8331a7",
    "completed": "#1f7a1f",
    "amber": "#9a5b00",
}
#: Told apart with red-green blindness too: what is completed is blue, what failed is orange
#: (after Okabe and Ito, "Color Universal Design", 2008).
COLOUR_BLIND_DARK: Mapping[str, str] = {
    **DARK,
    "stuck": "#f0e442",
    "failed": "#e69f00",
    "running": "#e8e8e8",
    "completed": "#56b4e9",
    "cancelled": "#cc79a7",
    "amber": "#f0e442",
}
COLOUR_BLIND_LIGHT: Mapping[str, str] = {
    **LIGHT,
    "stuck": "#7a6a00",
    "failed": "#b34700",
    "running": "#303030",
    "completed": "#0072b2",
    "cancelled": "#a0457c",
    "amber": "#7a6a00",
}

#: For themes that are not ours: the grounds of their panels are nearer to the middle.
FOREIGN_DARK: Mapping[str, str] = {
    **DARK,
    "failed": "#ff8a8f",
    "queued": "#b4bac4",
    "scheduled": "#b4bac4",
    "cancelled": "#d3a6f0",
}
FOREIGN_LIGHT: Mapping[str, str] = {
    **LIGHT,
    "stuck": "#8f4700",
    "waiting": "#6b5500",
    "paused": "#6b5500",
    "completed": "#146114",
    "amber": "#7d4a00",
}
#: For themes in the terminal's own colours, which a person may have chosen for either ground.
ANSI: Mapping[str, str] = {
    "stuck": "ansi_yellow",
    "waiting": "ansi_yellow",
    "failed": "ansi_red",
    "running": "ansi_cyan",
    "paused": "ansi_yellow",
    "queued": "ansi_default",
    "scheduled": "ansi_default",
    "cancelled": "ansi_magenta",
    "completed": "ansi_green",
    "amber": "ansi_yellow",
}


def _variables(colours: Mapping[str, str]) -> dict[str, str]:
    return {f"status-{name}": colour for name, colour in colours.items()}


def _theme(name: str, colours: Mapping[str, str], *, dark: bool) -> Theme:
    return Theme(
        name=name,
        primary="#4fa3d1" if dark else "#1f6f9f",
        secondary="#7aa2c0" if dark else "#45687f",
        warning=colours["waiting"],
        error=colours["failed"],
        success=colours["completed"],
        accent=colours["running"],
        foreground="#d8dce2" if dark else "#1c1f23",
        background="#14171b" if dark else "#fbfbf9",
        surface="#1d2127" if dark else "#efefec",
        panel="#262b33" if dark else "#e2e3e0",
        dark=dark,
        variables=_variables(colours),
    )


THEMES = (
    _theme("milepost-dark", DARK, dark=True),
    _theme("milepost-light", LIGHT, dark=False),
    _theme("milepost-colour-blind-dark", COLOUR_BLIND_DARK, dark=True),
    _theme("milepost-colour-blind-light", COLOUR_BLIND_LIGHT, dark=False),
)
DEFAULT_THEME = THEMES[0].name


def default_variables(theme: Theme) -> dict[str, str]:
    """For themes that are not ours."""
    return _variables(ANSI if theme.ansi else FOREIGN_DARK if theme.dark else FOREIGN_LIGHT)


@dataclass(frozen=True)
class Look:
    """What widgets draw with."""

    glyphs: Glyphs
    statuses: Mapping[Status, Style]
    amber: Style
    dim: Style
    strong: Style
    accent: Style
    #: The word of a job that is stuck: no other word catches the eye first.
    stuck: Style


def look_of(widget: Widget) -> Look:
    return cast("MilepostApp", widget.app).look


_NAMES: Mapping[Status, str] = {
    status: {Status.PAUSING: "paused", Status.CANCELLING: "cancelled", Status.FAILED_ITEMS: "amber"}.get(
        status, status.word
    )
    for status in Status
}
_BOLD = frozenset({Status.STUCK, Status.FAILED, Status.WAITING})


@lru_cache(maxsize=8)
def make_look(glyphs: Glyphs, colours: tuple[tuple[str, str], ...], *, few_colours: bool) -> Look:
    """`colours`: (variable, colour) of every `status-…`, of `foreground` and of `accent`.

    `few_colours`: there is no grey to rely on, so that what is dim says so by its attribute.
    """
    by_name = {name: colour.removeprefix("ansi_") for name, colour in colours}

    def status_style(status: Status) -> Style:
        return Style(color=by_name[f"status-{_NAMES[status]}"], bold=status in _BOLD or None)

    return Look(
        glyphs=glyphs,
        statuses={status: status_style(status) for status in Status},
        amber=Style(color=by_name["status-amber"]),
        dim=Style(color=by_name["status-queued"], dim=few_colours or None),
        strong=Style(color=by_name["foreground"], bold=True),
        accent=Style(color=by_name["accent"]),
        stuck=status_style(Status.STUCK) + Style(reverse=True),
    )
