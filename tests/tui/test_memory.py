"""What a person chose is there the next time, and a file that cannot be read hurts nobody."""

import json
import stat
from pathlib import Path

import pytest
from textual.widgets import Input

from milepost.core.model import JobState
from milepost.tui import app
from milepost.tui.memory import Memory, Remembered, recall
from milepost.tui.status import Status
from milepost.tui.view import JobView, Order, Sort
from tests.support.in_process import InProcessDaemon
from tests.support.tui import insert, open_ui, started

CHOSEN = Remembered("nord", "state = FAILED", ("FAILED", "STUCK"), "name", True, ("RATE",), 75)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "milepost" / "tui.json"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text)


def remember(environ: dict[str, str], chosen: Remembered) -> None:
    memory = Memory(environ)
    memory.now = chosen
    assert memory.save() == ""


def test_it_is_read_as_it_was_written(environ: dict[str, str], file: Path) -> None:
    assert Memory(environ).now == Remembered()
    remember(environ, CHOSEN)
    assert Memory(environ).now == CHOSEN
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [found.name for found in file.parent.iterdir()] == ["tui.json"]


def test_nothing_is_written_before_something_is_chosen(environ: dict[str, str], file: Path) -> None:
    assert Memory(environ).save() == ""
    assert not file.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": "x"}', "\0\1", "[[[[[["])
def test_a_damaged_file_is_told_and_made_anew(environ: dict[str, str], file: Path, text: str) -> None:
    write(file, text)
    memory = Memory(environ)
    assert memory.now == Remembered()
    assert "made anew" in memory.problem
    memory.change(theme="nord")
    assert memory.save() == ""
    assert Memory(environ).now == Remembered(theme="nord")


def test_a_newer_file_is_left_alone(environ: dict[str, str], file: Path) -> None:
    text = '{"version": 99, "theme": {"name": "nord"}}'
    write(file, text)
    memory = Memory(environ)
    assert memory.now == Remembered()
    assert "newer" in memory.problem
    memory.change(theme="nord")
    assert memory.save() == ""
    assert file.read_text() == text


def test_values_of_another_kind_are_left_out(environ: dict[str, str], file: Path) -> None:
    write(
        file, json.dumps({"version": 1, "theme": 7, "split": True, "statuses": ["FAILED", 3], "sort": "name", "x": 1})
    )
    memory = Memory(environ)
    assert (memory.now, memory.problem) == (Remembered(sort="name"), "")


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    memory = Memory({"XDG_STATE_HOME": str(tmp_path / "state")})
    memory.change(theme="nord")
    assert "not remembered" in memory.save()
    assert memory.save() == ""


def test_the_list_is_as_it_was() -> None:
    view = JobView()
    recall(CHOSEN, view)
    assert view.order == Order(Sort.NAME, reverse=True)
    assert view.statuses == {Status.FAILED, Status.STUCK}
    assert view.filter_text == "state = FAILED"


def test_what_a_version_does_not_know_is_left_out() -> None:
    view = JobView()
    recall(Remembered(filter="colour = red", statuses=("SLEEPING", "FAILED"), sort="colour"), view)
    assert (view.order, view.statuses, view.filter_text) == (Order(), frozenset({Status.FAILED}), "")


async def test_choices_come_back(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-one", JobState.RUNNING, name="alpha")
    await insert(daemon, "j-two", JobState.FAILED, name="beta")
    async with open_ui(daemon, tmp_path) as ui:
        await ui.type("bet")
        await ui.until(lambda: list(ui.screen.view.ids) == ["j-two"], "filtered")
        ui.screen.toggle_column("RATE")
        ui.screen.sort_by(Sort.NAME)
        ui.app.choose_theme("milepost-light")
    async with started(daemon, tmp_path) as ui:
        assert ui.app.theme == "milepost-light"
        assert ui.screen.view.order == Order(Sort.NAME)
        assert ui.screen.query_one("#filter", Input).value == "bet"
        await ui.until(lambda: list(ui.screen.view.ids) == ["j-two"], "filtered again")
        assert "RATE" not in ui.line_of("#head")


async def test_a_choice_is_written_down_however_late_the_screen_is(
    daemon: InProcessDaemon, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SAVE_AFTER", 0.0)  # by its time it is late always
    async with open_ui(daemon, tmp_path) as ui:
        file.unlink(missing_ok=True)
        ui.screen.sort_by(Sort.NAME)
        await ui.until(file.exists, "it is written down")
