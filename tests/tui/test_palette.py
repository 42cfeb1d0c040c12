"""The palette finds everything, quickly, and shows texts of jobs as they are."""

from pathlib import Path

from textual.command import CommandList, CommandPalette

from milepost.core.model import JobState
from milepost.tui.palette import MOST_JOBS, found_jobs
from milepost.tui.row_making import row_for
from milepost.tui.rows import JobRow
from milepost.v1 import job_pb2
from tests.support.in_process import InProcessDaemon
from tests.support.tui import Ui, insert, open_ui


async def shown(ui: Ui, wanted: str, *typed: str) -> list[str]:
    """What the palette lists for this, once that is listed."""
    if not isinstance(ui.app.screen, CommandPalette):
        await ui.press(":")
        await ui.until(lambda: isinstance(ui.app.screen, CommandPalette), "the palette")
    await ui.press(*typed)

    def listed() -> list[str]:
        options = ui.app.screen.query_one(CommandList).options
        return [str(option.prompt) for option in options]

    await ui.until(lambda: any(wanted in line for line in listed()), f"{wanted} for {''.join(typed)}")
    return listed()


def head(ui: Ui) -> str:
    return ui.screen.query_one("#head").render_line(0).text


async def test_it_offers_what_the_chosen_job_allows_and_says_why_not(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-running", JobState.RUNNING)
    async with open_ui(daemon, tmp_path) as ui:
        offered = await shown(ui, "Pause")
        assert any(line.startswith("Pause  j-running: ") for line in offered)
        assert not any(line.startswith("Resume") for line in offered)
        searched = await shown(ui, "Resume", *"resume")
        assert any(line.startswith("Resume  not now: ") for line in searched)


async def test_enter_runs_the_command(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-running", JobState.RUNNING)
    async with open_ui(daemon, tmp_path) as ui:
        await shown(ui, "Sort by name", *"sort by name")
        await ui.press("enter")
        await ui.until(lambda: ui.screen.view.order.sort.value == "name", "sorted")


async def test_it_jumps_to_a_job_whose_name_is_no_markup(daemon: InProcessDaemon, tmp_path: Path) -> None:
    await insert(daemon, "j-one", JobState.RUNNING)
    await insert(daemon, "j-two", JobState.FAILED, name="[/a] [red]x[/red] 日本語")
    async with open_ui(daemon, tmp_path) as ui:
        await ui.type("nothing")
        await ui.until(lambda: not ui.screen.view.ids, "filtered")
        await ui.press("enter")
        await ui.until(lambda: ui.app.focused is ui.screen.table, "the list has the keys")
        found = await shown(ui, "j-two", *"[/a")
        assert "j-two [/a] [red]x[/red] 日本語  failed" in found
        await ui.press("enter")
        await ui.until(lambda: ui.screen.view.cursor_id == "j-two", "the cursor is there")
        assert not ui.screen.view.narrows


async def test_a_column_is_hidden_and_shown(daemon: InProcessDaemon, tmp_path: Path) -> None:
    async with open_ui(daemon, tmp_path) as ui:
        assert "RATE" in head(ui)
        await shown(ui, "Hide column RATE", *"column rate")
        await ui.press("enter")
        await ui.until(lambda: "RATE" not in head(ui), "hidden")
        await shown(ui, "Show column RATE", *"column rate")
        await ui.press("enter")
        await ui.until(lambda: "RATE" in head(ui), "shown")


async def test_a_theme_is_seen_while_it_is_chosen(daemon: InProcessDaemon, tmp_path: Path) -> None:
    async with open_ui(daemon, tmp_path) as ui:
        before = ui.app.theme
        await shown(ui, "Theme")
        dark = ui.app.screen.query_one(CommandList).background_colors
        await shown(ui, "Theme milepost-light", *"theme milepost-light")
        await ui.until(lambda: ui.app.theme == "milepost-light", "previewed")
        await ui.until(lambda: ui.app.screen.query_one(CommandList).background_colors != dark, "the palette as well")
        await ui.press("escape")
        await ui.until(lambda: ui.app.theme == before, "as it was")
        await shown(ui, "Theme milepost-light", *"theme milepost-light")
        await ui.press("enter")
        await ui.until(lambda: ui.app.chosen_theme == "milepost-light", "chosen")
        assert ui.app.theme == "milepost-light"


def rows(count: int) -> dict[str, JobRow]:
    return {f"j-{at}": row_for(job_pb2.Job(id=f"j-{at}", name=f"Import {at}")) for at in range(count)}


def test_jobs_are_found_by_name_and_id() -> None:
    held = rows(10_000)
    assert [job_id for job_id, _ in found_jobs(held, "IMPORT 4321")] == ["j-4321"]
    assert "j-99" in [job_id for job_id, _ in found_jobs(held, "j-99")]
    assert len(found_jobs(held, "import")) == MOST_JOBS
