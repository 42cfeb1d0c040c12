"""Hostile text in every field that comes from outside: nothing of it reaches the terminal, and the columns hold."""

import unicodedata
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual import events
from textual.widgets import Input

from milepost.tui.screens.dialogs import ChoiceDialog, ConfirmDialog
from milepost.tui.widgets.job_table import JobTableHead, columns_for
from milepost.v1 import job_pb2
from tests.support.factories import NOW
from tests.support.in_process import InProcessDaemon
from tests.support.tui import Ui, open_ui

TEXTS = [
    "[/a]",
    "[red on blue]x[/] [@click=app.quit]quit[/]",
    "\\[",
    "\x1b[31mred\x1b]0;title\x07\x9b2J",
    "\x1b]52;c;AAAA\x1b\\",
    "line\nbreak\r\n\ttab\v\f\b",
    "a\0b",
    "\u202egnp.exe\u2066x\u200e",
    "שלום עולם مرحبا",
    "日本語の長い名前が続く" * 3,
    "👩\u200d👩\u200d👧 🇩🇪 ❤\ufe0f 👍🏽",
    "e" + "\u0301" * 300,
    "\u200b\ufeff\u00ad\u2028\u2029",
    "\ue000\U000e0041\ufffe",
    "ﷺ𒐫",
    "x" * 10_000,
    "漢" * 10_000,
    "",
]
RUNNING, PAUSED, FAILED = job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_PAUSED, job_pb2.JOB_STATE_FAILED


def hostile(number: int, text: str, state: "job_pb2.JobState.ValueType") -> job_pb2.Job:
    """A job that says this text wherever it may say something; its id is its own."""
    reason = job_pb2.Reason(code=text, message=text, remedy=text)
    counts = job_pb2.Counts(total=2_000_000_000, failed=1_999_999_999, processed=1_999_999_999)
    job = job_pb2.Job(
        id=f"j-{number:02}{text}",
        name=text,
        state=state,
        reason=reason,
        pipeline=text,
        pipeline_source=text,
        labels={"label": text, text: "value"},
        queue=text,
        counts=counts,
        outcomes=[job_pb2.OutcomeCount(outcome=job_pb2.OUTCOME_FAILED, label=text, count=1)],
        progress=job_pb2.Progress(percent=99.99, rate=1e9),
        steps=[job_pb2.Step(name=text, position=at, counts=counts) for at in range(12)],
        findings=[job_pb2.Finding(kind=job_pb2.FINDING_KIND_STUCK, reason=reason)] if state == RUNNING else [],
        submitted_by=text,
        folder=text,
        parameters_json=text,
        command=[text],
        in_flight=[job_pb2.InFlightTask(step=text, item_key=text)],
    )
    job.create_time.seconds = int(NOW) - number
    job.progress.eta.seconds = 10**9
    for command in job_pb2.Command.values()[1:]:
        allowed = command != job_pb2.COMMAND_CANCEL
        job.actions.add(command=command, allowed=allowed, effect=text, refusal=None if allowed else reason)
    return job


def shows_nothing_harmful(ui: Ui) -> None:
    width = ui.app.size.width
    for strip in ui.strips():
        for segment in strip:
            assert segment.control is None
            harmful = [letter for letter in segment.text if unicodedata.category(letter)[0] == "C"]
            assert not harmful, f"{harmful!r} in {segment.text!r}"
        assert strip.cell_length == width
        assert cell_len(strip.text) == width


def columns_hold(ui: Ui) -> None:
    """Each column stands where its title does, with a blank before it, in every line."""
    table, head = ui.screen.table, ui.screen.query_one("#head", JobTableHead)
    top, width = table.region.y, table.line_width
    titles = head.render_line(0)
    lines = ui.strips()[top : top + min(table.size.height, table.count)]
    for column, start, cells in columns_for(width):
        title = titles.crop(start, start + cells).text.strip(" ▲▼…")
        assert (title and column.title.startswith(title)) or not column.title or not head.display
        for strip in lines:
            assert strip.crop(start - 1, start).text == " ", f"before {start}: {strip.text!r}"
            assert cell_len(strip.crop(start, start + cells).text) == min(cells, width - start)


@pytest.mark.parametrize("size", [(120, 40), (80, 20), (40, 30)])
async def test_hostile_text_in_the_list(daemon: InProcessDaemon, tmp_path: Path, size: tuple[int, int]) -> None:
    states = (RUNNING, PAUSED, FAILED)
    documents = [hostile(number, text, states[number % 3]) for number, text in enumerate(TEXTS)]
    async with open_ui(daemon, tmp_path, size) as ui:
        await ui.tell(*documents)
        shows_nothing_harmful(ui)
        columns_hold(ui)
        assert "[/a]" in ui.text()
        assert not any("red on blue" not in line and "[@click" in line for line in ui.lines())


async def test_hostile_text_in_dialogs_and_toasts(daemon: InProcessDaemon, tmp_path: Path) -> None:
    together = "".join(text[:40] for text in TEXTS)
    async with open_ui(daemon, tmp_path, (80, 24)) as ui:
        for number, text in enumerate((together, "x" * 10_000, "漢" * 10_000)):
            job = hostile(number, text, PAUSED)
            await ui.tell(job)
            await ui.go_to(job.id)
            await ui.press("X")
            await ui.dialog(ConfirmDialog)
            shows_nothing_harmful(ui)
            await ui.press("escape", "R")
            await ui.dialog(ChoiceDialog)
            shows_nothing_harmful(ui)
            await ui.press("escape", "x")
            await ui.until(ui.toasts, "it is refused")
            await ui.settle()
            shows_nothing_harmful(ui)
            ui.clear_toasts()
            await ui.press("r")  # the daemon does not know it: its words have the id in them
            await ui.until(ui.toasts, "the daemon refuses it")
            await ui.settle()
            shows_nothing_harmful(ui)
            ui.clear_toasts()
            await ui.press("y")
            await ui.until(ui.toasts, "the id is copied")
            await ui.settle()
            shows_nothing_harmful(ui)
            ui.clear_toasts()


async def test_what_is_pasted_into_the_filter(daemon: InProcessDaemon, tmp_path: Path) -> None:
    async with open_ui(daemon, tmp_path, (80, 24)) as ui:
        field = ui.screen.query_one("#filter", Input)
        await ui.press("/")
        await ui.until(lambda: ui.app.focused is field, "the filter has the focus")
        for text in TEXTS:
            field.value = ""
            ui.app.post_message(events.Paste(f"<{text}>"))
            await ui.until(lambda: "<" in field.value, "it is pasted")
            await ui.settle()
            shows_nothing_harmful(ui)
