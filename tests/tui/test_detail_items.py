"""The tab of items: grid, list and card of a real daemon's job."""

from milepost.core.definition import RetryPolicy
from milepost.core.model import JobState, ReportKind
from milepost.v1 import job_pb2
from tests.support import factories
from tests.support.in_process import InProcessDaemon
from tests.tui.detail_app import WAITING, DetailApp, mixed_job, shown_detail


async def test_items_stand_below_the_grid_of_their_steps(daemon: InProcessDaemon) -> None:
    await mixed_job(daemon)
    async with shown_detail(daemon, "j-aaaaaaaa") as shown:
        await shown.until_seen("✓✓✗»○○", "cem", "network: No answer.", "filtered")
        assert "4/6 ✗1" in shown.text
        assert "1 ✗ failed 1" in shown.text
        assert "succeeded" in shown.line_with("ann")
        assert "added" in shown.line_with("ann")


async def test_each_outcome_alone(daemon: InProcessDaemon) -> None:
    await mixed_job(daemon)
    async with shown_detail(daemon, "j-aaaaaaaa") as shown:
        await shown.until_seen("fay")
        await shown.press("1")
        await shown.until_seen_without("cem", "ann")
        await shown.press("2")
        await shown.until_seen("No item matches.")
        await shown.press("5")
        await shown.until_seen_without("eve", "cem")
        await shown.press("escape")
        await shown.until_seen("ann", "fay")
        assert shown.app.said == []


async def test_the_class_of_an_error_narrows_the_list(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    await daemon.report(job, factories.failed(1, 5, error_class="bug"))
    async with shown_detail(daemon, job.id) as shown:
        await shown.until_seen("eve")
        await shown.press("f")
        await shown.until_cursor_at("✗ cem")
        await shown.press("c")
        await shown.until_seen("class network")
        await shown.until_seen_without("cem", "eve")
        await shown.press("c")
        await shown.until_seen("eve")


async def test_f_goes_from_one_failed_item_to_the_next_and_round(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    await daemon.report(job, factories.failed(1, 6))
    async with shown_detail(daemon, job.id) as shown:
        await shown.until_seen("fay")
        for key in ("cem", "fay", "cem"):
            await shown.press("f")
            await shown.until_cursor_at(f"✗ {key}")


async def test_a_cell_of_the_grid_leads_to_its_item(daemon: InProcessDaemon) -> None:
    await mixed_job(daemon)
    async with shown_detail(daemon, "j-aaaaaaaa") as shown:
        await shown.until_seen("✓✓✗»○○", "fay")
        y = next(y for y, line in enumerate(shown.lines) if "✓✓✗»○○" in line)
        x = shown.lines[y].index("»")
        await shown.pilot.click("#items-grid", offset=(x, 1))
        await shown.until_cursor_at("» dan")


async def test_the_grid_says_what_its_cells_mean(daemon: InProcessDaemon) -> None:
    await mixed_job(daemon)
    async with shown_detail(daemon, "j-aaaaaaaa") as shown:
        await shown.until_seen(" a cell is an item:  ✗ failed ↻ retry ▶ running ○ pending ✓ done » skipped ─ gone")
        await shown.press("shift+tab", "j", "l", "l")
        await shown.until_seen("cem: failed; Enter goes there")


async def test_a_cell_may_be_many_items_of_which_the_worst_shows(daemon: InProcessDaemon) -> None:
    await mixed_job(daemon, keys=[f"item-{number:03}" for number in range(300)])
    async with shown_detail(daemon, "j-aaaaaaaa", size=(120, 30)) as shown:
        await shown.until_seen(" cell = worst of 5-6 items  ✗failed ↻retry ▶running ○pending ✓done »skipped ─gone")
        await shown.press("shift+tab", "j")
        await shown.until_seen("5 items from item-000 on: 1 failed, 1 pending, 2 done, 1 skipped; Enter goes there")


async def test_a_narrow_grid_says_how_few_items_a_cell_may_be(daemon: InProcessDaemon) -> None:
    await mixed_job(daemon, keys=[f"o-{number:03}" for number in range(1, 51)])
    async with shown_detail(daemon, "j-aaaaaaaa", size=(80, 24)) as shown:
        await shown.until_seen(" cell = 1-2 items  ✗failed ↻retry ▶running ○pending ✓done »skipped ─gone")


async def test_the_card_has_everything_of_an_item(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    async with shown_detail(daemon, job.id) as shown:
        await shown.until_seen("ann")
        await shown.press("enter")
        await shown.until_seen('"handle": "ann"', '"followers": 17', "score succeeded (added)")
        await shown.press("escape", "f")
        await shown.until_cursor_at("✗ cem")
        await shown.press("enter")
        await shown.until_seen("✗ failed  cem  at fetch, attempt 1", "network  (rule: default)", "No answer.")
        await shown.press("escape")
        await shown.until_seen("fay")
        assert shown.app.said == []


async def test_t_retries_the_item_under_the_cursor(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    async with shown_detail(daemon, job.id) as shown:
        await shown.until_seen("cem")
        await shown.press("t")
        await shown.until(lambda: "Only a failed item" in shown.toasts, "a toast")
        await shown.press("f")
        await shown.until_cursor_at("✗ cem")
        await shown.press("t")
        await shown.until(lambda: shown.app.said, "a message")
        (retry,) = shown.app.said
        assert (retry.job_id, retry.item_key) == (job.id, "cem")


async def test_a_retry_that_the_job_refuses_says_why(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon, state=JobState.WAITING, reason=WAITING)
    async with shown_detail(daemon, job.id) as shown:
        await shown.until_seen("cem")
        refusal = next(
            action.refusal for action in (await daemon.job(job.id)).actions if action.command == job_pb2.COMMAND_RETRY
        )
        await shown.press("f")
        await shown.until_cursor_at("✗ cem")
        await shown.press("t")
        await shown.until(lambda: refusal.message in shown.toasts, "a toast")
        assert shown.app.said == []


async def test_only_what_is_in_sight_of_a_large_job_is_held(daemon: InProcessDaemon) -> None:
    keys = [f"row-{number:05d}" for number in range(6000)]
    job = await mixed_job(daemon, keys)
    async with shown_detail(daemon, job.id, size=(80, 20)) as shown:
        await shown.until_seen("row-00000", "1/6000")
        await shown.press("G")
        await shown.until_seen("row-05999")
        app: DetailApp = shown.app
        app.detail.items.list.jump(3000)
        await shown.until_seen("row-03000")
        held = app.detail.items.list.held
        assert 0 < len(held) <= 400
        assert {3000, 5999} <= set(held)
        await shown.press("f")
        await shown.until_cursor_at("✗ row-00002")


async def test_a_change_of_the_job_is_read_again(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon)
    async with shown_detail(daemon, job.id) as shown:
        await shown.until_seen("fay")
        await daemon.report(job, factories.failed(1, 6, error_class="rate_limited"))
        shown.app.detail.show(await daemon.job(job.id))
        await shown.until_seen("rate_limited: No answer.", "✓✓✗»○✗", "1 ✗ failed 2")


async def test_a_job_that_has_not_begun_says_so(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa")
    async with shown_detail(daemon, job.id) as shown:
        await shown.until_seen("(the job)", "no items yet: the job has not started")


async def test_the_card_of_a_job_without_items(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa", factories.pipeline(factories.step("plan", retry=RetryPolicy(attempts=1))))
    await daemon.report(job, factories.failed(0, 0))
    async with shown_detail(daemon, job.id) as shown:
        await shown.until_seen("(the job)", "network: No answer.")
        await shown.press("enter")
        await shown.until_seen("✗ failed  (the job)  at plan", "(rule: default)")


async def test_a_line_that_is_cut_says_so_beside_the_scrollbar(daemon: InProcessDaemon) -> None:
    job = await mixed_job(daemon, [f"row-{number}" for number in range(100)])
    long = factories.failure("bug", message="word " * 100)
    await daemon.report(job, factories.report(ReportKind.FAILED, 1, 5, failure=long))
    async with shown_detail(daemon, job.id, size=(80, 20)) as shown:
        await shown.until_seen("bug: word")
        assert shown.line_with("bug: word")[:79].endswith("…")
