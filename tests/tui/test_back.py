"""Esc takes away what came last, one thing at a time, until there is just the list; and no toast covers a question."""

from functools import partialmethod
from pathlib import Path

import pytest

from milepost.core.model import JobState
from milepost.tui.app import MilepostApp
from milepost.tui.screens.dialogs import ChoiceDialog
from tests.support.in_process import InProcessDaemon
from tests.support.tui import insert, open_ui

TOAST = "an error that stays"


@pytest.fixture(autouse=True)
def _toasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Textual leaves them out of tests."""
    monkeypatch.setattr(MilepostApp, "run_test", partialmethod(MilepostApp.run_test, notifications=True))


async def test_esc_takes_one_thing_away_at_a_time(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.PAUSED)
    await insert(daemon, "j-bbbbbbbb", JobState.COMPLETED)
    async with open_ui(daemon, tmp_path) as ui:
        await ui.press("3", "space", "enter")
        ui.app.notify(TOAST, severity="error", timeout=86_400)

        def there_is() -> list[bool]:
            screen = ui.screen
            return [TOAST in ui.text(), screen.detail_pane.is_open, bool(screen.view.marks), screen.view.narrows]

        await ui.until(lambda: all(there_is()), "everything is there")
        for taken in range(1, 5):
            wanted = [False] * taken + [True] * (4 - taken)
            await ui.press("escape")
            await ui.until(lambda wanted=wanted: there_is() == wanted, f"{taken} are taken away")  # type: ignore[misc] # a lambda's default has no type
        await ui.press("escape")
        assert there_is() == [False] * 4
        assert "j-aaaaaaaa" in ui.text()
        assert "j-bbbbbbbb" in ui.text()


async def test_no_toast_covers_a_question(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-aaaaaaaa", JobState.RUNNING)
    async with open_ui(daemon, tmp_path, (80, 24)) as ui:
        for _ in range(4):
            ui.app.notify(TOAST, severity="error", timeout=86_400)
        await ui.until(lambda: TOAST in ui.text(), "the toast is there")
        await ui.press("R")
        dialog = await ui.dialog(ChoiceDialog)
        await ui.until(lambda: len(dialog.query("Toast")) == 4, "the dialog has them too")
        assert not [line for line in ui.lines() if "│" in line and "▌" in line]
        await ui.press("escape")
        await ui.until(lambda: TOAST in ui.text(), "the toast is there again")
