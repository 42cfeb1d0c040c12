"""Every theme can be read, with and without colours, and in a terminal that has only ASCII."""

from pathlib import Path

import pytest
from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from milepost.core.model import JobState
from milepost.tui.filters import ascii_only
from milepost.tui.status import ASCII, UNICODE, Glyphs, glyphs_for
from milepost.tui.theme import THEMES, default_variables
from tests.support.in_process import InProcessDaemon
from tests.support.tui import insert, open_ui

SETS = {theme.name: theme for theme in (*THEMES, *BUILTIN_THEMES.values()) if not theme.ansi}


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, "contrast ratio"."""
    lighter, darker = sorted((_luminance(Color.parse(one)), _luminance(Color.parse(other))), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Color) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def drawn_with(theme: Theme) -> dict[str, str]:
    return {**default_variables(theme), **theme.to_color_system().generate()}


@pytest.mark.parametrize("theme", SETS.values(), ids=SETS)
def test_every_status_can_be_read_on_every_ground(theme: Theme) -> None:
    variables = drawn_with(theme)
    grounds = [variables[name] for name in ("background", "surface", "panel")]
    grounds.append(Color.parse(variables["background"]).blend(Color.parse(variables["primary"]), 0.2).hex)
    statuses = {name: colour for name, colour in variables.items() if name.startswith("status-")}
    weak = {
        (name, colour, ground): round(contrast(colour, ground), 1)
        for name, colour in statuses.items()
        for ground in grounds
        if contrast(colour, ground) < 3
    }
    assert not weak


@pytest.mark.parametrize(
    ("environ", "glyphs"),
    [
        ({}, UNICODE),
        ({"LANG": "de_DE.UTF-8"}, UNICODE),
        ({"LANG": "C.utf8"}, UNICODE),
        ({"LANG": "en_US.UTF-8", "LC_CTYPE": "C.UTF-8"}, UNICODE),
        ({"LANG": "C"}, ASCII),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, ASCII),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "POSIX"}, ASCII),
        ({"LANG": "de_DE.ISO-8859-1@euro"}, ASCII),
        ({"LANG": "en_US.UTF-8", "TERM": "linux"}, ASCII),
    ],
)
def test_letters_for_terminals_that_have_nothing_else(environ: dict[str, str], glyphs: Glyphs) -> None:
    assert glyphs_for(environ, "utf-8") is glyphs
    assert glyphs_for(environ, "latin-1") is ASCII


def test_every_cell_keeps_its_place_in_ascii() -> None:
    assert ascii_only("╭─ café 日本 …▅╮") == "+- cafe ???? .#+"
    assert ascii_only("e\u0301x") == "ex"


async def test_no_color_leaves_attributes(
    daemon: InProcessDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    await insert(daemon, "j-one", JobState.FAILED)
    await insert(daemon, "j-two", JobState.RUNNING)
    async with open_ui(daemon, tmp_path) as ui:
        styles = [segment.style for strip in ui.strips() for segment in strip if segment.style]
        assert not [style for style in styles if not _plain(style)]
        rows = [strip for strip in ui.strips() if "j-one" in strip.text or "j-two" in strip.text]
        assert [any(word in strip.text for word in ("failed", "running")) for strip in rows] == [True, True]
        assert [any(segment.style and segment.style.reverse for segment in strip) for strip in rows] == [True, False]


def _plain(style: Style) -> bool:
    return all(colour is None or colour.is_default for colour in (style.color, style.bgcolor))


async def test_ascii_terminals_get_only_ascii(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-one", JobState.FAILED, name="日本語 …")
    async with open_ui(daemon, tmp_path, more={"LANG": "C"}) as ui:
        assert ui.text().isascii()
        assert "F failed" in ui.text()
        await ui.press("?")
        await ui.until(lambda: "Keys" in ui.text(), "the help")
        assert ui.text().isascii()
