"""Whatever a job writes is shown as text: it moves no cursor, has no markup, and breaks no line."""

import unicodedata

import pytest

from milepost.core.model import ReportKind
from milepost.tui import readers
from milepost.tui.widgets.tab_bar import Tab
from tests.support import factories
from tests.support.in_process import InProcessDaemon
from tests.tui.detail_app import Shown, mixed_job, shown_detail, write_log

HOSTILE = (
    "[/a] [red]no[/red] [@click=app.bell]x[/]",
    "\x1b[31mred\x1b[2J\x1b]0;title\x07",
    "\u202etfel ot thgir",
    "👩‍👩‍👧 人工知能 é\u0301\u0301 ﷽",
    "x" * 10_000,
    "a\u0300" * 5_000,
    "nul\x00 bell\x07 back\x08 feed\x0c return\r tab\t",
)


def _assert_clean(shown: Shown) -> None:
    width = shown.app.size.width
    for strip in shown.app.screen._compositor.render_strips():
        assert strip.cell_length == width
    for line in shown.lines:
        assert _unsafe(line) == []


def _unsafe(text: str) -> list[str]:
    return [letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl")]


@pytest.mark.parametrize("text", HOSTILE, ids=["markup", "ansi", "rtl", "wide", "long", "combining", "control"])
async def test_hostile_text_everywhere(daemon: InProcessDaemon, text: str) -> None:
    # The API takes no control characters in names and keys that people give; rows of the input may have them.
    keys = [f"{text[:300]}{number}" for number in range(6)]
    job = await mixed_job(daemon, keys, name=text)
    broken = factories.failure("bug", message=text, traceback=f"Traceback\n  {text}\n{text}", remedy=text, rule=text)
    await daemon.report(job, factories.report(ReportKind.FAILED, 1, 5, failure=broken))
    write_log(daemon, job.id, f"[fetch {text[:100]}] {text}\n{text}\nthe end\n")
    async with shown_detail(daemon, job.id, size=(72, 24)) as shown:
        await shown.until_seen("bug: ")
        _assert_clean(shown)
        await shown.press("down", "down", "down", "down", "enter")
        await shown.until_seen("fetch attempt 1 failed in run 1")
        _assert_clean(shown)
        shown.app.detail.open_tab(Tab.LOGS)
        await shown.until_seen("the end")
        _assert_clean(shown)
        await shown.press("right", "slash", *"e", "enter")
        await shown.pilot.pause(0)
        _assert_clean(shown)
    report = await readers.report(daemon.client, job.id)
    assert "## Failed items: 2" in report
    assert _unsafe(report.replace("\n", "").replace("\t", "")) == []
