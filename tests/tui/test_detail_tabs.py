"""The tabs of steps, logs, metrics and timeline, and what all of them say when there is nothing to show."""

from functools import partial

import pytest

from milepost.core.model import JobState
from milepost.daemon.store import events
from milepost.tui.widgets import reading
from milepost.tui.widgets.tab_bar import Tab
from milepost.tui.widgets.timeline import Timeline
from milepost.v1 import job_service_pb2 as pb
from tests.support import factories
from tests.support.in_process import InProcessDaemon
from tests.tui.detail_app import WAITING, Shown, mixed_job, shown_detail, write_log


async def test_what_is_wrong_and_what_to_do_stands_at_the_top(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon, state=JobState.WAITING, reason=WAITING)
    async with shown_detail(daemon, job.id) as shown:
        await shown.until_seen("Its input rows.csv is gone. Put it back, then: milepost resume j-aaaaaaaa.")
        assert "? j-aaaaaaaa creators" in shown.lines[0]


async def test_tabs_by_key_and_by_click(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    async with shown_detail(daemon, job.id) as shown:
        for tab in (Tab.STEPS, Tab.LOGS, Tab.METRICS, Tab.TIMELINE, Tab.ITEMS):
            await shown.press("right_square_bracket")
            assert shown.tab == tab
        await shown.press("left_square_bracket")
        assert shown.tab == "Timeline"
        await shown.pilot.click("#detail-tabs", offset=(shown.lines[0].index("Steps"), 0))
        await shown.until_seen("PROCESSED")
        assert shown.tab == "Steps"
        await shown.pilot.click("#detail-tabs", offset=(shown.lines[0].rindex("x"), 0))
        await shown.until(lambda: shown.app.said, "that it is closed")


async def test_steps_and_the_items_that_stand_at_one(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    async with shown_detail(daemon, job.id, tab=Tab.STEPS) as shown:
        await shown.until_seen("PROCESSED")
        assert shown.line_with("fetch").split()[:5] == ["✗", "fetch", "4/6", "66%", "1"]
        assert shown.line_with("score").split()[2:4] == ["2/4", "50%"]
        await shown.press("down", "down", "enter")
        await shown.until_seen("step score", "ann")
        await shown.until_seen_without("ann", "eve")


async def test_the_log_is_followed_until_a_person_looks_elsewhere(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    write_log(daemon, job.id, "".join(f"[fetch ann] line {number}\n" for number in range(100)))
    async with shown_detail(daemon, job.id, tab=Tab.LOGS) as shown:
        await shown.until_seen("line 99", "following")
        write_log(daemon, job.id, "[fetch bob] another\n")
        await shown.until_seen("[fetch bob] another", "101 lines")
        await shown.press("k")
        await shown.until_seen("F follows")
        write_log(daemon, job.id, "[fetch cem] one more\n" * 50)
        await shown.until_seen_without("151 lines", "one more")
        await shown.press("F")
        await shown.until_seen("one more", "following")


async def test_the_log_is_searched_and_narrowed_to_an_item(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    lines = [f"[fetch {key}] answer {number}" for number in range(60) for key in ("ann", "bob")]
    write_log(daemon, job.id, "\n".join(["[rows] start Here", *lines, "no tag"]) + "\n")
    async with shown_detail(daemon, job.id, tab=Tab.LOGS) as shown:
        await shown.until_seen("no tag")
        await shown.press("slash", *"here", "enter")
        await shown.until_seen("[rows] start Here", "/ here")
        await shown.press("j", "i")
        await shown.until_seen("item ann", "60 lines")
        assert "bob" not in shown.text
        await shown.press("escape")
        await shown.until_seen("bob")
        assert shown.app.said == []


async def test_a_job_that_goes_on_is_followed_again(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon, state=JobState.PAUSED)
    async with shown_detail(daemon, job.id, tab=Tab.LOGS) as shown:
        await shown.until_seen("The job has printed nothing.")
        await daemon.client.call(daemon.client.jobs.ResumeJob, pb.ResumeJobRequest(job=job.id))
        write_log(daemon, job.id, "[fetch ann] it goes on\n")
        shown.app.detail.show(await daemon.job(job.id))
        await shown.until_seen("it goes on", "live")


async def test_metrics_plot_durations_and_failures(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    async with shown_detail(daemon, job.id, tab=Tab.METRICS) as shown:
        await shown.until_seen("Duration of tasks", "Attempts that failed", "no usage reported")
        assert "1.0s" in shown.line_with("  fetch  █")
        await shown.press("G", "enter")
        await shown.until_seen("class network", "cem")
        await shown.until_seen_without("cem", "ann")


async def test_the_summary_stands_beside_where_there_is_room(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    async with shown_detail(daemon, job.id, size=(120, 20)) as shown:
        await shown.until_seen("cem", "ran for", "no usage reported")
        await shown.pilot.resize_terminal(80, 20)
        await shown.until_seen_without("cem", "no usage reported")


async def test_the_timeline_is_read_page_by_page(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    told = [factories.event(message=f"event {number}") for number in range(250)]
    await daemon.store.write(lambda tx: [events.append(tx, job.id, event) for event in told])
    async with shown_detail(daemon, job.id, tab=Tab.TIMELINE) as shown:
        await shown.until_seen("event 249", "ada (cli)")
        for page in (200, 250):
            await shown.press("G")
            await shown.until(partial(_holds, shown, page), f"{page} events")
        await shown.press("G")
        await shown.until_seen("event 0 ")


def _holds(shown: Shown, events: int) -> bool:
    return shown.app.query_one(Timeline).count >= events


@pytest.mark.parametrize("tab", [Tab.ITEMS, Tab.LOGS, Tab.METRICS, Tab.TIMELINE])
async def test_without_a_connection_each_tab_says_so_and_reads_when_there_is_one(
    daemon: InProcessDaemon, tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "TRY_AGAIN", 0.05)
    job = await mixed_job(daemon)
    async with shown_detail(daemon, job.id, tab=tab, connected=False) as shown:
        await shown.until_seen("no daemon answers")
        shown.app.client = daemon.client
        await shown.until_seen_without(job.id, "no daemon answers")


async def test_a_person_can_have_it_read_at_once(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    async with shown_detail(daemon, job.id, connected=False) as shown:
        await shown.until_seen("no daemon answers (ctrl+r starts it).")
        shown.app.client = daemon.client
        await shown.press("ctrl+r")
        await shown.until_seen_without("cem", "no daemon answers")


async def test_the_log_of_one_item(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon, state=JobState.PAUSED)
    write_log(daemon, job.id, "[fetch ann] of ann\n[fetch cem] of cem\n")
    async with shown_detail(daemon, job.id) as shown:
        await shown.until_seen("cem")
        await shown.press("f")
        await shown.until_cursor_at("✗ cem")
        await shown.press("L")
        await shown.until_seen("item cem", "of cem", "1 lines")
        assert "of ann" not in shown.text


async def test_what_could_not_be_read_is_told_with_its_reason(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    document = await daemon.job(job.id)
    document.id = "j-zzzzzzzz"
    async with shown_detail(daemon, job.id) as shown:
        shown.app.detail.show(document)
        await shown.until_seen("This could not be read:", "j-zzzzzzzz", "ctrl+r tries again.")
