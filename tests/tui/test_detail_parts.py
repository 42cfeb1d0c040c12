"""What the detail is made of, without a screen: windows of a list, lines of a log, plots, and the failure report."""

from rich.cells import cell_len

from milepost.core.model import ItemState
from milepost.tui.report import Evidence, failure_report
from milepost.tui.row_making import row_for
from milepost.tui.status import ASCII, UNICODE
from milepost.tui.widgets import log_lines, plots
from milepost.tui.widgets.cells import wrapped
from milepost.tui.widgets.log_lines import LogLines, tag_of
from milepost.tui.widgets.metrics import facts, rest_after
from milepost.tui.windows import KEEP, PAGE, ItemFilter, Window
from milepost.v1 import daemon_service_pb2, job_pb2
from tests.tui.detail_app import LOOK

# --- windows ---


def _filled(window: Window[int], first: int, count: int, total: int) -> None:
    window.put(first, range(first, first + count), total, window.age)


def test_what_is_not_held_is_missing() -> None:
    window: Window[int] = Window()
    assert window.missing(0, 20) == 0
    _filled(window, 0, PAGE, 1000)
    assert window.missing(0, 99) is None
    assert window.missing(90, 110) == 100
    assert window.missing(550, 560) == 500, "asked for from the beginning of its page"
    assert window.missing(990, 2000) == 900
    assert (window.at(5), window.at(500)) == (5, None)


def test_a_page_that_was_cut_short_is_asked_for_from_there() -> None:
    window: Window[int] = Window()
    _filled(window, 0, 30, 1000)
    assert window.missing(10, 40) == 30


def test_what_is_outdated_is_missing_and_shown_meanwhile() -> None:
    window: Window[int] = Window()
    _filled(window, 0, PAGE, PAGE)
    age = window.age
    window.outdate()
    assert window.missing(0, 20) == 0
    assert window.at(5) == 5
    window.put(0, range(PAGE), PAGE, age)
    assert window.missing(0, 20) == 0, "the answer to a question of before says nothing of now"
    _filled(window, 0, PAGE, PAGE)
    assert window.missing(0, 20) is None


def test_an_empty_list_is_asked_for_once_each_time() -> None:
    window: Window[int] = Window()
    _filled(window, 0, 0, 0)
    assert window.missing(0, 20) is None
    window.outdate()
    assert window.missing(0, 20) == 0


def test_a_list_that_got_shorter_forgets_its_end() -> None:
    window: Window[int] = Window()
    _filled(window, 0, PAGE, 150)
    _filled(window, 100, 50, 150)
    _filled(window, 100, 0, 150)
    assert window.total == 100
    assert window.at(120) is None


def test_only_what_is_near_is_held() -> None:
    window: Window[int] = Window()
    for first in range(0, 20_000, PAGE):
        _filled(window, first, PAGE, 200_000)
    assert len(window.held) <= KEEP
    assert window.at(19_999) == 19_999


def test_a_class_of_errors_goes_with_outcomes_that_have_errors() -> None:
    chosen = ItemFilter(ItemState.FAILED, error_class="bug")
    assert chosen.with_state(ItemState.RETRY).error_class == "bug"
    assert chosen.with_state(ItemState.SUCCEEDED).error_class == ""


# --- lines of a log ---


def test_the_tag_of_a_line_names_step_and_item() -> None:
    tag = tag_of("[fetch row 7] text")
    assert tag is not None
    assert (tag.step, tag.key, tag.text) == ("fetch", "row 7", "[fetch row 7] ")
    alone = tag_of("[rows] text")
    assert alone is not None
    assert (alone.step, alone.key) == ("rows", "")
    failed = tag_of("milepost: fetch row 7 failed, attempt 2: network: No answer.")
    assert failed is not None
    assert (failed.step, failed.key, failed.text) == ("fetch", "row 7", "milepost: ")
    assert tag_of("plain [fetch a] text") is None


def test_the_oldest_lines_fall_out() -> None:
    lines = LogLines()
    lines.show_only("a")
    for number in range(30):
        lines.add([f"[s {'a' if number % 2 else 'b'}] {number}"] * 1000)
    assert len(lines.shown) <= log_lines.MOST_LINES
    assert lines.shown[-1] == "[s a] 29"
    lines.show_only("")
    assert len(lines.shown) <= log_lines.MOST_LINES * 1.1


def test_a_few_long_lines_fall_out_too() -> None:
    lines = LogLines()
    for _ in range(30):
        lines.add(["x" * 1_000_000])
    assert 1 <= len(lines.shown) <= 9


def test_found_round_the_end_in_both_directions() -> None:
    lines = LogLines()
    lines.add(["One", "two", "ONE more"])
    assert [lines.find("one", start, 1) for start in (0, 1, 3)] == [0, 2, 0]
    assert [lines.find("one", start, -1) for start in (1, 2, -1)] == [0, 2, 2]
    assert lines.find("three", 0, 1) is None


# --- plots ---


def test_towers_show_everything_that_is_more_than_nothing() -> None:
    assert plots.tower_rows([0, 1, 1000], 2, UNICODE) == ["  █", " ▁█"]
    assert plots.tower_rows([0, 0], 2, ASCII) == ["  ", ".."]


def test_a_box_is_as_wide_as_its_scale() -> None:
    for low, high in ((0.001, 100.0), (1.0, 2.0), (0.0, 0.0)):
        scale = plots.Scale(low, high, 40)
        segments = plots.box(low, (low + high) / 2, high, scale, LOOK)
        assert sum(len(segment.text) for segment in segments) == 40


def test_neighbours_are_joined_where_there_is_no_room() -> None:
    assert plots.columns([1, 3, 5, 7], 2) == [2, 6]
    assert plots.columns([1, 3], 5) == [1, 3]


def test_text_is_wrapped_by_cells() -> None:
    for text in ("word " * 50, "人工知能" * 40, "x" * 500, "a\u0300" * 300):
        assert all(cell_len(line) <= 30 for line in wrapped(text, 30))
    assert wrapped("a\n\n  b", 30) == ["a", "", "  b"]


# --- the report ---


def _evidence() -> Evidence:
    job = job_pb2.Job(
        id="j-aaaaaaaa",
        name="import",
        state=job_pb2.JOB_STATE_FAILED,
        pipeline="creators",
        parameters_json='{"key":"s3cret"}',
    )
    job.reason.code, job.reason.message, job.reason.remedy = "DISK_FULL", "The disk is full.", "Make room."
    job.steps.add(name="fetch|it").counts.total = 3
    item = job_pb2.Item(key="row-1", step="fetch|it", attempt=3, payload_json='{"token":"s3cret"}')
    item.failure.error_class, item.failure.message = "bug", "```\n# not a title"
    item.failure.traceback = "Traceback\n" + "x\n" * 10_000 + "ValueError: the end"
    event = job_pb2.Event(kind="COMMAND", by="ada", message="Asked.")
    daemon = daemon_service_pb2.GetInfoResponse(version="9.9", python_version="3.11", sqlite_version="3.45")
    return Evidence(job, daemon, [item], 41, [event], ["[fetch row-1] \x1b[31mred"])


def test_a_report_says_what_failed_and_no_secret() -> None:
    report = failure_report(_evidence(), 1_700_000_000.0)
    for wanted in (
        "# FAILED: import (j-aaaaaaaa)", "daemon 9.9", "The disk is full. Make room. [DISK_FULL]",
        "## Failed items: 41, the first 1", "### row-1 at fetch|it, attempt 3", "ValueError: the end", "Asked.",
        "| fetch\\|it |", "\\x1b[31mred",
    ):  # fmt: skip
        assert wanted in report, wanted
    assert "s3cret" not in report
    assert len(report) < 10_000


def test_code_in_a_report_ends_where_it_should() -> None:
    report = failure_report(_evidence(), 1_700_000_000.0)
    assert "````\n```\n# not a title\n````" in report


def test_metrics_that_take_long_are_read_less_often() -> None:
    assert [rest_after(took) for took in (0.01, 0.5, 60.0)] == [0.1, 5.0, 30.0]


def test_a_restart_is_no_resume() -> None:
    some = job_pb2.Job(run_count=4, resume_count=3)  # two resumes and a restart: they are not told apart
    assert ("runs", "4", None) in facts(row_for(some), LOOK, 0.0)


def test_the_summary_has_room_for_every_fact() -> None:
    job = job_pb2.Job(run_count=12)
    assert max(cell_len(text) for _, text, _ in facts(row_for(job), LOOK, 0.0)) <= 17  # of a quarter of 120 columns
