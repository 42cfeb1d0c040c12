"""The help is made of the bindings that work, as they are remapped."""

from pathlib import Path

from textual.widgets import Input

from milepost.tui.screens.help import HelpScreen
from milepost.tui.view import Sort
from tests.support.in_process import InProcessDaemon
from tests.support.tui import Ui, started


def shows(ui: Ui, *words: str) -> bool:
    """Whether one line has all of these."""
    return any(all(word in line for word in words) for line in ui.lines())


async def test_it_shows_keys_as_remapped_with_what_they_do(daemon: InProcessDaemon, tmp_path: Path) -> None:
    keys = {"MILEPOST_KEYS": "app.help=f1,command.pause=P,jobs.filter=ctrl+f"}
    async with started(daemon, tmp_path, more=keys) as ui:
        await ui.press("?")
        assert not isinstance(ui.app.screen, HelpScreen)
        await ui.press("f1")
        await ui.until(lambda: shows(ui, " P ", "Pause", "command.pause"), "the key that a person chose")
        await ui.until(lambda: shows(ui, "^f", "Filter", "jobs.filter"), "another one")
        await ui.press(*["space"] * 5)
        await ui.until(lambda: shows(ui, ":", "^p", "app.palette"), "both keys of the last area")
        await ui.press("escape")
        assert not isinstance(ui.app.screen, HelpScreen)


async def test_it_fits_small_screens(daemon: InProcessDaemon, tmp_path: Path) -> None:
    async with started(daemon, tmp_path, (44, 12)) as ui:
        await ui.press("?")
        await ui.until(lambda: shows(ui, " r ", "Resume") and shows(ui, "command.resume"), "key and id")
        assert max(len(line.rstrip()) for line in ui.lines()) <= 44


async def test_a_remapped_key_is_a_letter_while_a_person_types(daemon: InProcessDaemon, tmp_path: Path) -> None:
    async with started(daemon, tmp_path, more={"MILEPOST_KEYS": "app.quit=Q,jobs.sort=S"}) as ui:
        await ui.press("/", "Q", "S")
        field = ui.screen.query_one("#filter", Input)
        await ui.until(lambda: field.value == "QS", "typed")
        assert ui.screen.view.order.sort is Sort.ATTENTION
        await ui.press("escape", "S")
        await ui.until(lambda: ui.screen.view.order.sort is not Sort.ATTENTION, "the key of the list")
