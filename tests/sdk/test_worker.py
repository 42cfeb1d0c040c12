"""A worker under its runner: results, errors, printing, cancelling, ending."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from milepost import labelled, skipped
from tests.sdk.conftest import Open
from tests.support.worker import DEADLINE, row

KINDS = """
    def returned(item):
        return {
            "value": {"a": [1, 2.5, None, True, "ö"]},
            "none": None,
            "skipped": skipped("filtered"),
            "labelled": labelled("added", 7),
        }[item["what"]]

    @p.step
    async def on_loop(item, task): return returned(item)

    @p.step
    def in_thread(item, task): return returned(item)
"""


@pytest.mark.parametrize("step", ["on_loop", "in_thread"])
def test_kinds_of_result(worker: Open, step: str) -> None:
    with worker(KINDS) as process:
        assert process.start()["type"] == "ready"
        shown = {what: process.run(step, {"what": what})[1:4] for what in ("value", "none", "skipped", "labelled")}
        assert shown == {
            "value": ["SUCCEEDED", "", '{"a":[1,2.5,null,true,"ö"]}'],
            "none": ["SUCCEEDED", "", ""],
            "skipped": ["SKIPPED", "filtered", ""],
            "labelled": ["SUCCEEDED", "added", "7"],
        }
        process.end()


@pytest.mark.parametrize("label", ["a\0b", "two\nlines", "x" * 65, 7])
def test_what_is_not_a_label_is_refused_where_it_is_given(label: Any) -> None:
    for give in (labelled, skipped):
        with pytest.raises(ValueError, match="is not a label"):
            give(label)


def test_times_are_unix_microseconds_of_the_execution(worker: Open) -> None:
    with worker("@p.step\nasync def a(item, task):\n    import time; return time.time_ns() // 1000") as process:
        process.start()
        ended = process.run("a")
        assert ended[4] <= int(ended[3]) <= ended[5]


WHAT_A_TASK_KNOWS = """
    @p.step
    def a(item, task):
        assert task.previous["fetch"] == {"n": 1} and "other" not in task.previous and len(task.previous) == 1
        return [task.key, task.attempt, task.idempotency_key, task.item_id, task.step, item, task.job.parameters]
"""


def test_what_a_task_knows(worker: Open) -> None:
    with worker(WHAT_A_TASK_KNOWS) as process:
        process.start(parameters={"limit": 3})
        ended = process.run("a", {"x": 1}, key="anna", item_id=17, attempt=2, previous={"fetch": '{"n":1}'})
        assert json.loads(ended[3]) == ["anna", 2, "j-1/a/17", 17, "a", {"x": 1}, {"limit": 3}]


UNUSABLE = """
    import asyncio, math
    values = {
        "object": {"a": [1, {"b": object()}]},
        "nan": {"x": math.nan},
        "infinity": [math.inf],
        "key": {(1, 2): 3},
        "surrogate": ["\\udc80"],
        "large": "x" * 70_000,
        "wide": "ö" * 40_000,
    }
    values["circle"] = circle = []
    circle.append(circle)

    @p.step
    def a(item, task): return asyncio.sleep(0) if item["what"] == "coroutine" else values[item["what"]]
"""


@pytest.mark.parametrize(
    ("what", "error_class", "message", "remedy"),
    [
        ("object", "invalid_result", "a object at ['a'][1]['b']", "Return plain data"),
        ("nan", "invalid_result", "nan at ['x']", "None in its place"),
        ("infinity", "invalid_result", "inf at [0]", "None in its place"),
        ("key", "invalid_result", "tuple at [(1, 2)]", "Return plain data"),
        ("surrogate", "invalid_result", "a text at [0] that is not valid Unicode", "errors="),
        ("circle", "invalid_result", "Circular reference", "Return plain data"),
        ("coroutine", "invalid_result", "The result holds a coroutine", "`await` is missing"),
        ("large", "result_too_large", "68 KiB of JSON; at most 64 KiB", "task.artefacts"),
        ("wide", "result_too_large", "78 KiB of JSON", "task.artefacts"),
    ],
)
def test_result_that_cannot_be_kept(worker: Open, what: str, error_class: str, message: str, remedy: str) -> None:
    with worker(UNUSABLE, PYTHONWARNINGS="ignore") as process:
        process.start()
        ended = process.run("a", {"what": what})
        failure = ended[7]
        assert (ended[1], failure["error_class"]) == ("FAILED", error_class)
        assert message in failure["message"]
        assert remedy in failure["remedy"]


def test_a_result_that_cannot_be_kept_does_no_harm_to_the_next_one(worker: Open) -> None:
    text = """
    value = [1, object()]

    @p.step
    async def a(item, task):
        if task.attempt == 2:
            value.pop()
        return [value, value]
"""
    with worker(text) as process:
        process.start()
        assert process.run("a")[1] == "FAILED"
        assert process.run("a", attempt=2)[1:4] == ["SUCCEEDED", "", "[[1],[1]]"]
        process.end()


def test_lines_are_tagged_and_whole(worker: Open) -> None:
    text = """
        import asyncio, sys
        print("at import")

        @p.step
        async def a(item, task):
            print("one", end=" ")
            await asyncio.sleep(0)
            print("two\\nthree")
            sys.stderr.write("10%\\r20%\\r")
            print("no newline", end="")

        @p.step
        def b(item, task):
            print("in a thread")
            task.logger.info("logged")
    """
    with worker(text) as process:
        process.start()
        process.tasks(row(1, "a", key="x"), row(2, "a", key="y\x1b[31m"))
        process.result(1), process.result(2)
        process.run("b", number=3)
        lines = process.log().splitlines()  # before the end: nothing is held back in a buffer
        assert lines[0] == "at import"
        for tag in ("[a x] ", "[a y\\x1b[31m] "):
            mine = [line.removeprefix(tag) for line in lines if line.startswith(tag)]
            assert mine == ["one two", "three", "10%", "20%", "no newline"]
        assert lines[-2:] == ["[b k3] in a thread", "[b k3] INFO logged"]
        process.end()


SAVING = """
    @p.step
    async def on_loop(item, task):
        before = task.saved
        await task.save({"page": 7})
        return [before, task.saved]

    @p.step
    def in_thread(item, task):
        before = task.saved
        task.save({"page": 7})
        return [before, task.saved]
"""


@pytest.mark.parametrize("step", ["on_loop", "in_thread"])
def test_save_returns_once_it_is_durable(worker: Open, step: str) -> None:
    with worker(SAVING) as process:
        process.start()
        process.tasks(row(1, step, saved='{"page":3}'))
        save = process.receive("save")
        assert (save["id"], json.loads(save["state"])) == (1, {"page": 7})
        process.send({"type": "ping", "n": 1})
        assert process.receive() == {"type": "pong", "n": 1}  # the task waits: nothing is done before the answer
        process.send({"type": "saved_ack", "request": save["request"]})
        assert json.loads(process.result(1)[3]) == [{"page": 3}, {"page": 7}]


def test_cancel_of_an_async_task(worker: Open) -> None:
    text = """
        import asyncio

        @p.step
        async def waits(item, task):
            print("waiting")
            await asyncio.Event().wait()

        @p.step
        async def finishes(item, task):
            print("waiting")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return task.should_stop()

        @p.step
        async def from_within(item, task):
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
    """
    with worker(text) as process:
        process.start()
        process.tasks(row(1, "waits"), row(2, "finishes"))
        process.send({"type": "ping", "n": 1})
        assert process.receive() == {"type": "pong", "n": 1}  # they have begun: what has not is cancelled unseen
        process.send({"type": "cancel", "ids": [1, 2, 99], "reason": "Time-out."})
        assert process.result(1)[1] == "RETURNED"
        assert process.result(2)[1:4] == ["SUCCEEDED", "", '"Time-out."']
        within = process.run("from_within", number=3)
        assert (within[1], within[7]["error_class"]) == ("FAILED", "bug")


def test_cancel_before_the_first_step_and_in_the_queue_of_threads(worker: Open) -> None:
    text = """
        import threading
        go = threading.Event()

        @p.step
        async def a(item, task): return "ran"

        @p.step
        def b(item, task): go.wait(); return "ran"

        @p.step
        async def release(item, task): go.set()
    """
    with worker(text) as process:
        process.start(threads=1)
        process.tasks(row(1, "b"), row(2, "b"))
        process.send({"type": "cancel", "ids": [2], "reason": "Pause."})
        assert process.result(2)[1] == "RETURNED"
        process.run("release", number=3)
        assert process.result(1)[1] == "SUCCEEDED"


def test_stopping_is_seen_by_every_task(worker: Open) -> None:
    text = """
        import asyncio, time

        @p.step
        async def a(item, task):
            while not task.should_stop():
                await asyncio.sleep(0.01)
            return task.should_stop()

        @p.step
        def b(item, task):
            while not task.should_stop():
                time.sleep(0.01)
            return task.should_stop()
    """
    with worker(text) as process:
        process.start()
        process.tasks(row(1, "a"), row(2, "b"))
        process.send({"type": "stopping", "reason": "The job is paused."})
        assert {process.result(1)[3], process.result(2)[3]} == {'"The job is paused."'}


def test_exits_of_an_author_do_not_end_the_worker(worker: Open) -> None:
    text = """
        import asyncio, sys

        @p.step
        async def a(item, task): sys.exit(4)

        @p.step
        def b(item, task): raise KeyboardInterrupt

        @p.step
        async def background(item, task):
            async def child(): sys.exit(5)
            await asyncio.wait({asyncio.ensure_future(child())})
            return "still here"
    """
    with worker(text) as process:
        process.start()
        process.process.send_signal(signal.SIGINT)
        for number, step in enumerate(("a", "b"), 1):
            ended = process.run(step, number=number)
            assert (ended[1], ended[7]["error_class"]) == ("FAILED", "bug")
        assert process.run("background", number=3)[3] == '"still here"'
        process.end()


def test_end_waits_for_what_is_running(worker: Open) -> None:
    text = """
        import asyncio
        @p.step
        async def a(item, task):
            while not task.should_stop(): await asyncio.sleep(0.01)
    """
    with worker(text) as process:
        process.start()
        process.tasks(row(1, "a"))
        process.send({"type": "end"})
        process.send({"type": "stopping", "reason": "x"})
        assert process.result(1)[1] == "SUCCEEDED"
        assert process.process.wait(DEADLINE) == 0


def test_a_dead_runner_ends_the_worker(worker: Open) -> None:
    text = """
        import asyncio, threading
        @p.step
        async def a(item, task):
            try:
                print("waiting"); await asyncio.Event().wait()
            finally:
                print("cleaned up")

        @p.step
        def b(item, task): threading.Event().wait()

        @p.step
        def c(item, task): ...
    """
    with worker(text) as process:
        process.start()
        process.tasks(row(1, "a"), row(2, "b"))
        process.run("c", number=3)
        process.hang_up()
        assert process.process.wait(DEADLINE) == 0
        assert "[a k1] cleaned up" in process.log()


def test_stacks_on_request(worker: Open, tmp_path: Path) -> None:
    text = """
        import signal
        @p.step
        def where(item, task): signal.raise_signal(signal.SIGUSR1)
    """
    with worker(text, MILEPOST_STACKS=str(tmp_path / "stacks")) as process:
        process.start()
        process.run("where")
        assert "in where" in (tmp_path / "stacks").read_text()
        assert (tmp_path / "stacks").stat().st_mode & 0o777 == 0o600


def test_children_of_a_task_do_not_hold_the_socket(worker: Open) -> None:
    text = """
        import os, subprocess, sys
        @p.step
        def sockets(item, task):
            return subprocess.run([sys.executable, "-c", "import os\\nfound=[]\\n"
                "for n in os.listdir('/proc/self/fd'):\\n"
                "  try: found += [n] if 'socket' in os.readlink('/proc/self/fd/'+n) else []\\n"
                "  except OSError: pass\\nprint(found)"], stdout=subprocess.PIPE, text=True, close_fds=False).stdout
    """
    with worker(text) as process:
        process.start()
        assert json.loads(process.run("sockets")[3]) == "[]\n"


def test_mistake_at_work_and_unknown_step(worker: Open) -> None:
    with worker("1 / 0") as process:
        assert process.start()["type"] == "mistake"
        assert process.process.wait(DEADLINE) == 0
    with worker("@p.step\ndef a(item, task): ...") as process:
        process.start()
        assert "has no step 'gone'" in process.run("gone")[7]["message"]


def test_a_runner_of_another_protocol_gets_no_work_done(worker: Open) -> None:
    with worker("open('imported', 'w').close()") as process:
        answer = process.start(protocol=3)
        assert answer["type"] == "mistake"
        assert "The runner speaks protocol 3, this SDK 2" in answer["message"]
        assert process.process.wait(DEADLINE) == 0
        assert not (process.folder / "imported").exists()


def test_twenty_thousand_tasks_in_one_frame(worker: Open) -> None:
    with worker("@p.step\nasync def a(item, task): return item['n']") as process:
        process.start()
        process.tasks(*(row(number, "a", {"n": number}) for number in range(20_000)))
        assert all(process.result(number)[3] == str(number) for number in range(20_000))
        process.end()


def test_results_beyond_a_frame_are_split(worker: Open) -> None:
    with worker("@p.step\nasync def a(item, task): return '\\\\' * 30_000") as process:
        process.start()
        process.tasks(*(row(number, "a") for number in range(300)))
        frames = rows = 0
        while rows < 300:
            rows += len(process.receive("done")["results"])
            frames += 1
        assert frames > 10


def modes(*paths: Path) -> list[int]:
    return [path.stat().st_mode & 0o777 for path in paths]


def test_failures_beyond_a_frame_are_split(worker: Open) -> None:
    with worker("@p.step\nasync def a(item, task): raise ValueError('x' * 9000)") as process:
        process.start()
        process.tasks(*[row(number, "a") for number in range(1, 2001)])
        failures = [process.result(number)[7] for number in range(1, 2001)]
        assert {len(failure["message"]) for failure in failures} == {2000}


def test_artefacts_appear_on_success_and_only_then(worker: Open, tmp_path: Path) -> None:
    text = """
        @p.step
        async def a(item, task):
            (task.artefacts / "deep").mkdir()
            (task.artefacts / "deep" / "x.txt").write_text("x")
            (task.artefacts / "link").symlink_to("/etc/passwd")
            (task.cache / "c").write_text("c")
            if item: raise Persistent("no")
    """
    with worker(text) as process:
        process.start()
        assert process.run("a")[6] == "items/1/a/1-1"
        final = tmp_path / "items/1/a/1-1"
        assert (final / "deep/x.txt").read_text() == "x"
        assert modes(final / "deep/x.txt", final / "deep", final) == [0o400, 0o500, 0o500]
        assert modes(final.parent, tmp_path / "items", tmp_path / "cache") == [0o700] * 3
        assert [path.name for path in final.parent.iterdir()] == ["1-1"]
        failed = process.run("a", {"fail": 1}, number=2)
        assert (failed[1], failed[6]) == ("FAILED", "")
        assert not (tmp_path / "items/2/a/1").exists()


def test_what_a_failed_execution_left_goes_with_the_next(worker: Open, tmp_path: Path) -> None:
    text = """
        @p.step
        async def a(item, task):
            (task.artefacts / "x.txt").write_text("x")
            if item: raise Persistent("no")
    """
    with worker(text) as process:
        process.start()
        process.run("a", {"fail": 1}, number=1, item_id=1)
        assert [path.name for path in (tmp_path / "items/1/a").iterdir()] == [".1-1.partial"]
        process.run("a", number=2, item_id=1)
        assert [path.name for path in (tmp_path / "items/1/a").iterdir()] == ["1-2"]


def test_modules_beside_the_file_and_processes_of_the_author(worker: Open, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def double(n): return 2 * n\n")
    text = """
        import helper, multiprocessing

        def square(n): return n * n

        @p.step(workers=1)
        def a(item, task):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return pool.map(square, [helper.double(3)])
    """
    with worker(text) as process:
        process.start()
        assert process.run("a")[3] == "[36]"
        process.end()
