"""Pipelines in Python: a real runner, real workers with the SDK, a scripted daemon."""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from milepost.common.processes import marked
from milepost.core.definition import Executor, Gives, PipelineDefinition, StepDefinition, Takes, lines_for, to_json
from milepost.core.model import PendingTask
from milepost.v1 import job_pb2
from milepost.v1 import runner_service_pb2 as pb
from tests.support.fake_daemon import FakeDaemon, pending_task
from tests.support.runner_fixtures import Start, daemon, folder, start_runner
from tests.support.sdk_folder import make_sdk_folder

__all__ = ["daemon", "folder", "start_runner"]

HEAD = """
import asyncio, os, signal, subprocess, sys, time
from milepost import Pipeline
p = Pipeline("test")

def note(text):
    with open("effects", "a") as file: file.write(text + "\\n")
"""


def step(name: str, executor: Executor = Executor.ASYNC, **values: object) -> StepDefinition:
    fields = {"takes": Takes.EACH, "gives": Gives.ONE, **values}
    return StepDefinition(position=0, name=name, executor=executor, line=0, **fields)  # type: ignore[arg-type]


def prepare(daemon: FakeDaemon, folder: Path, code: str, *steps: StepDefinition) -> None:
    """`code` declares the steps on the pipeline `p`; `steps` say the same to the runner."""
    (folder / "pipeline.py").write_text(HEAD + code)
    daemon.welcome.definition_json = to_json(PipelineDefinition("test", lines_for(list(steps))))
    daemon.welcome.pipeline_source_json = json.dumps({"file": str(folder / "pipeline.py")})
    daemon.welcome.python = sys.executable
    daemon.welcome.sdk_folder = str(make_sdk_folder(folder / "sdk"))
    daemon.welcome.working_directory = str(folder)


def task(number: int, step: int = 0, lost: int = 0, **values: object) -> PendingTask:
    payload = json.dumps({"n": number, **values})
    return pending_task(number, step, f"key-{number}", position=number, payload_json=payload, lost=lost)


def kinds(daemon: FakeDaemon) -> dict[int, str]:
    return {report.task.item: pb.ReportKind.Name(report.kind).removeprefix("REPORT_KIND_") for report in daemon.reports}


def in_flight(daemon: FakeDaemon) -> int:
    return sum(daemon.heartbeats[-1].in_flight_by_step.values()) if daemon.heartbeats else 0


def effects(folder: Path) -> list[str]:
    return (folder / "effects").read_text().split() if (folder / "effects").exists() else []


async def finish(daemon: FakeDaemon) -> None:
    daemon.desire(pb.DESIRED_STATE_RUN, finished=True)


async def test_an_item_goes_through_its_steps_without_asking(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    prepare(
        daemon,
        folder,
        """
@p.step
async def double(item, task): return item["n"] * 2
@p.step
def shout(item, task): return str(task.previous["double"]) + "!"
@p.step(workers=2)
def where(item, task):
    open(f"pid-{os.getpid()}", "w").close()
    while len([name for name in os.listdir() if name.startswith("pid-")]) < 2: time.sleep(0.01)
    return [task.previous["shout"], os.getpid()]
""",
        step("double"),
        step("shout", Executor.THREAD),
        step("where", Executor.PROCESS, workers=2),
    )
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(task(number) for number in range(50))
    await daemon.until(lambda: len(daemon.reports) == 150)
    await finish(daemon)
    assert await runner.ended() == 0
    assert Counter((report.task.step, report.kind) for report in daemon.reports) == {
        (number, pb.REPORT_KIND_SUCCEEDED): 50 for number in range(3)
    }
    results = {r.task.item: json.loads(r.result_json) for r in daemon.reports if r.task.step == 2}
    assert {item: text for item, (text, _) in results.items()} == {n: f"{2 * n}!" for n in range(50)}
    assert len({pid for _, pid in results.values()}) == 2


WAITS = """
@p.step(concurrency=16)
async def wait(item, task):
    note("began")
    if not item.get("until"): return os.getpid()
    while not os.path.exists(item["until"]) and not (item["until"] == "stop" and task.should_stop()):
        await asyncio.sleep(0.01)
    return task.should_stop() or os.getpid()
"""


async def test_a_killed_worker_costs_its_tasks_in_flight(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    prepare(daemon, folder, WAITS, step("wait", concurrency=16))
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(task(number, until="never" if number else "") for number in range(4))
    await daemon.until(lambda: daemon.reports and in_flight(daemon) == 3)
    os.kill(int(daemon.reports[0].result_json), signal.SIGKILL)
    await daemon.until(lambda: len(daemon.reports) == 4)
    assert kinds(daemon) == {0: "SUCCEEDED", 1: "LOST", 2: "LOST", 3: "LOST"}
    lost = daemon.reports[-1].failure
    assert (lost.error_class, lost.rule) == ("lost_worker", "signal 9")
    assert f"(process {daemon.reports[0].result_json}) was killed by SIGKILL with 3 tasks in flight" in lost.message
    daemon.hand_out([task(5, until="")])
    await daemon.until(lambda: len(daemon.reports) == 5)
    await finish(daemon)
    assert await runner.ended() == 0


@contextmanager
def little_memory() -> Iterator[Path | None]:
    """A control group in which memory runs out soon; None where this machine does not let us make one."""
    root = Path("/sys/fs/cgroup")
    where, limit = (root / "memory", "memory.limit_in_bytes") if (root / "memory").exists() else (root, "memory.max")
    group = where / f"milepost-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        (group / limit).write_text(str(64 * 1024 * 1024))
        yield group
    except OSError:
        yield None
    finally:
        group.rmdir()


async def test_a_worker_that_the_kernel_kills_for_its_memory_is_told_as_that(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    """Where no control group can be made, it kills itself, and is not told as that."""
    code = """
@p.step
async def grow(item, task):
    if not item["group"]: os.kill(os.getpid(), signal.SIGKILL)
    with open(item["group"] + "/cgroup.procs", "w") as procs: procs.write(str(os.getpid()))
    memory = []
    while True: memory.append(bytearray(1024 * 1024))
"""
    prepare(daemon, folder, code, step("grow"))
    with little_memory() as group:
        runner = start_runner()
        await daemon.until(lambda: daemon.hellos)
        daemon.hand_out([task(1, group=str(group or ""))])
        await daemon.until(lambda: daemon.reports)
        await finish(daemon)
        assert await runner.ended() == 0
    assert kinds(daemon) == {1: "LOST"}
    failure = daemon.reports[0].failure
    assert (failure.rule, "memory ran out" in failure.message) == (
        ("out of memory", True) if group is not None else ("signal 9", False)
    )
    assert "SIGKILL" in failure.message


async def test_what_is_in_a_worker_that_blocks_is_told(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    code = """
@p.step
async def block(item, task):
    if item["blocks"]:
        while not os.path.exists("gate"): time.sleep(0.01)
@p.step
def thread(item, task):
    while not os.path.exists("gate"): time.sleep(0.01)
"""
    prepare(daemon, folder, code, step("block"), step("thread", Executor.THREAD))
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([task(1, blocks=False)])
    await daemon.until(lambda: daemon.heartbeats and daemon.heartbeats[-1].in_flight_by_step[1] == 1)
    daemon.hand_out([task(2, blocks=True)])
    # A worker with little processor time may be silent before, too, or a heartbeat more recent than a task.
    await daemon.until(
        lambda: (
            [worker.task_count for worker in daemon.heartbeats[-1].silent_workers] == [2]
            and min(task.quiet_seconds for task in daemon.heartbeats[-1].in_flight) >= 1.0
        )
    )
    [silent], told = daemon.heartbeats[-1].silent_workers, daemon.heartbeats[-1].in_flight
    assert (silent.starting, silent.silent_seconds >= 1.0) == (False, True)
    assert {task.worker_pid for task in told} == {silent.pid}
    assert [task.item_key for task in told] == ["key-1", "key-2"]
    assert told[0].quiet_seconds > told[1].quiet_seconds
    (folder / "gate").touch()
    await daemon.until(lambda: not daemon.heartbeats[-1].silent_workers)
    await daemon.until(lambda: len(daemon.reports) == 4)
    await finish(daemon)
    assert await runner.ended() == 0


async def test_a_task_that_saves_is_not_quiet_and_a_worker_that_imports_owes_an_answer(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    code = """
while not os.path.exists("imported"): time.sleep(0.01)
@p.step
async def slow(item, task):
    while not os.path.exists("gate"):
        await task.save(time.time())
        await asyncio.sleep(0.01)
"""
    prepare(daemon, folder, code, step("slow"))
    runner = start_runner()
    await daemon.until(lambda: daemon.heartbeats and daemon.heartbeats[-1].silent_workers)
    assert daemon.heartbeats[-1].silent_workers[0].starting
    (folder / "imported").touch()
    daemon.hand_out([task(1)])
    # It began two heartbeats ago, at least.
    await daemon.until(lambda: sum(bool(heartbeat.in_flight) for heartbeat in daemon.heartbeats) >= 3)
    await daemon.until(
        lambda: daemon.heartbeats[-1].in_flight[0].quiet_seconds < 1.0 and not daemon.heartbeats[-1].silent_workers
    )
    (folder / "gate").touch()
    await daemon.until(lambda: daemon.reports)
    await finish(daemon)
    assert await runner.ended() == 0


async def test_a_new_daemon_finds_items_that_went_on(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    code = """
@p.step
async def first(item, task): note("first")
@p.step
async def second(item, task):
    note("second")
    while not os.path.exists("gate"): await asyncio.sleep(0.01)
"""
    prepare(daemon, folder, code, step("first"), step("second"))
    daemon.acknowledges = False
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([task(1)])
    await daemon.until(lambda: daemon.heartbeats and daemon.heartbeats[-1].in_flight_by_step[1] == 1)
    await daemon.stop()
    await daemon.start()
    await daemon.until(lambda: len(daemon.hellos) == 2)
    # The store may stand before the first report or after it: neither may make the second task void or run it twice.
    assert [(ref.step, ref.item) for ref in daemon.hellos[1].held] == [(0, 1), (1, 1)]
    daemon.hand_out([task(1, step=1)])
    (folder / "gate").touch()
    await daemon.until(lambda: len(daemon.reports) == 2)
    daemon.hand_out([task(1, step=1), task(2, step=1)])
    daemon.acknowledges = True
    daemon.send(ack=pb.Ack(sequence=max(daemon.received)))
    await daemon.until(lambda: 2 in kinds(daemon))
    await finish(daemon)
    assert await runner.ended() == 0
    assert effects(folder) == ["first", "second", "second"]
    assert [(report.task.step, report.task.item) for report in daemon.reports] == [(0, 1), (1, 1), (1, 2)]


async def test_a_suspect_task_takes_nobody_with_it(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    code = """
@p.step
async def poison(item, task):
    if item["kill"]: os.kill(os.getpid(), signal.SIGKILL)
    while not os.path.exists("gate"): await asyncio.sleep(0.01)
"""
    prepare(daemon, folder, code, step("poison"))
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([task(1, kill=False), task(2, kill=True, lost=1), task(3, kill=False)])
    await daemon.until(lambda: daemon.reports)
    (folder / "gate").touch()
    await daemon.until(lambda: len(daemon.reports) == 3)
    assert kinds(daemon) == {1: "SUCCEEDED", 2: "LOST", 3: "SUCCEEDED"}
    await finish(daemon)
    assert await runner.ended() == 0


async def test_hold_completes_16_in_flight_and_starts_none(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    prepare(daemon, folder, WAITS, step("wait", concurrency=16))
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(task(number, until="stop") for number in range(100))
    await daemon.until(lambda: in_flight(daemon) == 16)
    daemon.desire(pb.DESIRED_STATE_HOLD, "paused by ada")
    assert await runner.ended() == 0
    assert daemon.heartbeats[-1].drained
    assert [json.loads(report.result_json) for report in daemon.reports] == ["paused by ada"] * 16
    assert effects(folder) == ["began"] * 16
    assert marked(runner.mark) == []


async def test_a_revoked_hold_is_not_told_to_later_tasks(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    prepare(daemon, folder, WAITS, step("wait", concurrency=1))
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([task(1, until="gate"), task(2, until="gate")])
    await daemon.until(lambda: in_flight(daemon) == 1)
    daemon.desire(pb.DESIRED_STATE_HOLD, "paused")
    await daemon.until(lambda: daemon.heartbeats[-1].holding)
    daemon.desire(pb.DESIRED_STATE_RUN)
    await daemon.until(lambda: not daemon.heartbeats[-1].holding)
    (folder / "gate").touch()
    await daemon.until(lambda: len(daemon.reports) == 2)
    assert all(isinstance(json.loads(report.result_json), int) for report in daemon.reports)
    await finish(daemon)
    assert await runner.ended() == 0


async def test_stop_ends_also_what_detached_itself(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    code = """
@p.step
def escape(item, task):
    if os.fork() == 0:
        os.setsid()
        if os.fork(): os._exit(0)
        note(str(os.getpid()))
        os.execve("/bin/sleep", ["sleep", "600"], {})
    time.sleep(600)
"""
    prepare(daemon, folder, code, step("escape", Executor.THREAD))
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([task(1)])
    await daemon.until(lambda: effects(folder))
    daemon.desire(pb.DESIRED_STATE_STOP)
    assert await runner.ended() == 0
    assert kinds(daemon) == {1: "RETURNED"}
    assert not Path(f"/proc/{effects(folder)[0]}").exists()


@pytest.mark.parametrize(
    ("decorator", "function", "executor", "others"),
    [
        ("@p.step(timeout='0.5s')", "async def slow", Executor.ASYNC, "SUCCEEDED"),
        ("@p.step(timeout='0.5s')", "def slow", Executor.THREAD, "RETURNED"),
        ("@p.step(workers=2, timeout='0.5s')", "def slow", Executor.PROCESS, "SUCCEEDED"),
    ],
    ids=["async", "thread", "process"],
)
async def test_time_outs(
    daemon: FakeDaemon,
    folder: Path,
    start_runner: Start,
    decorator: str,
    function: str,
    executor: Executor,
    others: str,
) -> None:
    wait = "await asyncio.sleep" if executor is Executor.ASYNC else "time.sleep"
    code = f"""
{decorator}
{function}(item, task): {wait}(600)
@p.step
async def other(item, task):
    while not os.path.exists("gate"): await asyncio.sleep(0.01)
"""
    workers = 2 if executor is Executor.PROCESS else 0
    prepare(daemon, folder, code, step("slow", executor, timeout=0.5, workers=workers), step("other"))
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([task(2, step=1), task(1)])
    await daemon.until(lambda: 1 in kinds(daemon))
    (folder / "gate").touch()
    await daemon.until(lambda: len(daemon.reports) == 2)
    assert kinds(daemon) == {1: "FAILED", 2: others}
    failure = next(report.failure for report in daemon.reports if report.task.item == 1)
    assert (failure.error_class, failure.message) == ("timeout", "It did not end within 0.5 s.")
    await finish(daemon)
    assert await runner.ended() == 0


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def broken(:", "invalid syntax"),
        ("import no_such_module", "no_such_module"),
        ("os._exit(9)", "exited with 9 before it was ready, 3 times"),
    ],
)
async def test_a_pipeline_that_cannot_be_run(
    daemon: FakeDaemon, folder: Path, start_runner: Start, code: str, message: str
) -> None:
    prepare(daemon, folder, code, step("any"))
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(task(number) for number in range(3))
    assert await runner.ended() == 3
    mistake = json.loads((folder / "logs" / "run-1.mistake.json").read_text())
    assert message in mistake["message"]
    assert mistake["remedy"]
    assert set(mistake) == {"message", "remedy", "file", "line"}
    assert set(kinds(daemon).values()) <= {"RETURNED"}


#: A worker in no language of ours: the first one answers its task with a word that is none, the next one as it should.
STRANGER = """#!{python}
import json, os, socket, sys
channel = socket.socket(fileno=int(sys.argv[3])).makefile("rw")
channel.readline()
channel.write('{{"type":"ready","pid":1,"version":"1"}}\\n')
channel.flush()
for line in channel:
    frame = json.loads(line.partition("\x1e")[0])
    if frame["type"] == "tasks":
        number = frame["ids"][0]
        place = "items/%d/%s/1-%d" % (frame["items"][0], frame["folder"], number)
        right = '{{"type":"ended","tasks":[[%d,"SUCCEEDED","",1,2,"%s",null,null]]}}\x1e7' % (number, place)
        said = right if os.path.exists("wrong") else {wrong}
        open("wrong", "w").close()
        channel.write(said + "\\n")
    elif frame["type"] == "ping":
        channel.write('{{"type":"pong","n":%d}}\\n' % frame["n"])
    elif frame["type"] == "end":
        break
    channel.flush()
"""


@pytest.mark.parametrize(
    "wrong",
    [
        "'[' * 100_000",
        "right.replace('items/', 'items/../')",
        """'{"type":"save","request":1,"id":%d,"state":"%s"}' % (number, '1' * 70_000)""",
    ],
    ids=["too deep", "another folder", "a large state"],
)
async def test_a_worker_that_breaks_the_protocol_is_ended_and_the_run_goes_on(
    daemon: FakeDaemon, folder: Path, start_runner: Start, wrong: str
) -> None:
    prepare(daemon, folder, "", step("any"))
    stranger = folder / "stranger"
    stranger.write_text(STRANGER.format(python=sys.executable, wrong=wrong))
    stranger.chmod(0o700)
    daemon.welcome.python = str(stranger)
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([task(1)])
    await daemon.until(lambda: daemon.reports)
    assert kinds(daemon) == {1: "LOST"}
    assert "did not keep to the protocol" in runner.log.read_text()
    assert "did not keep to the protocol" in daemon.reports[0].failure.message
    daemon.hand_out([task(2)])
    await daemon.until(lambda: len(daemon.reports) == 2)
    assert kinds(daemon)[2] == "SUCCEEDED"
    assert daemon.reports[1].folder.startswith("items/2/any/")
    await finish(daemon)
    assert await runner.ended() == 0


async def test_a_mistake_that_cannot_be_written_ends_the_run_all_the_same(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    prepare(daemon, folder, "import no_such_module", step("any"))
    (folder / "logs" / "run-1.mistake.json").mkdir(parents=True)  # as on a full disk: nothing can be written there
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([task(1)])
    assert await runner.ended() == 3
    assert "no_such_module" in runner.log.read_text()


async def test_an_interpreter_that_is_not_there(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    prepare(daemon, folder, "", step("any"))
    daemon.welcome.python = "/no/such/python"
    runner = start_runner()
    assert await runner.ended() == 3
    mistake = json.loads((folder / "logs" / "run-1.mistake.json").read_text())
    assert mistake["message"] == "No worker can be started: /no/such/python: No such file or directory."


async def test_items_saved_states_and_gathers_pass_through(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    code = """
@p.items
def rows(job):
    for number in range(5000): yield {"n": number}
@p.step
def keep(item, task):
    task.save({"at": item["n"]})
    return task.saved
@p.step(takes="all")
def report(results, task): return [[row.item["n"], row.outcome, row.results["keep"]] for row in results]
"""
    steps = (
        step("items", Executor.THREAD, gives=Gives.MANY, enumerates=True),
        step("keep", Executor.THREAD),
        step("report", Executor.THREAD, takes=Takes.ALL),
    )
    prepare(daemon, folder, code, *steps)
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([pending_task(1)])
    await daemon.until(lambda: daemon.reports)
    assert [json.loads(child.payload_json)["n"] for child in daemon.children] == list(range(5000))
    daemon.hand_out([pending_task(2, 1, "k", payload_json='{"n":7}', saved_json='{"at":6}')])
    await daemon.until(lambda: len(daemon.reports) == 2)
    assert json.loads(daemon.reports[-1].result_json) == {"at": 7}
    assert [saved.state_json for batch in daemon.batches.values() for saved in batch.saved] == ['{"at":7}']
    daemon.hand_out([pending_task(1, 2)])
    await daemon.until(lambda: daemon.gathers)
    row = pb.GatherRow(item=2, key="k", payload_json='{"n":7}', outcome=job_pb2.OUTCOME_SUCCEEDED, step="keep")
    row.results.add(step=1, result_json='{"at":7}')
    await daemon.stop()  # the request is sent again
    await daemon.start()
    await daemon.until(lambda: len(daemon.gathers) == 2)
    daemon.send(gather=pb.GatherPage(request=daemon.gathers[-1].request, rows=[row]))
    await daemon.until(lambda: len(daemon.reports) == 3)
    assert json.loads(daemon.reports[-1].result_json) == [[7, "SUCCEEDED", {"at": 7}]]
    await finish(daemon)
    assert await runner.ended() == 0


async def test_inspect_shows_the_tree_with_stacks(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    code = """
@p.step
def deep_in_thought(item, task): subprocess.run(["sleep", "600"])
"""
    prepare(daemon, folder, code, step("deep_in_thought", Executor.THREAD))
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([task(1)])
    await daemon.until(lambda: in_flight(daemon) == 1)
    daemon.send(inspect=pb.Inspect(request=7))
    await daemon.until(lambda: daemon.inspections)
    assert daemon.inspections[0].request == 7
    by_role = {process.role: process for process in daemon.inspections[0].processes}
    assert by_role["runner"].pid == runner.process.pid
    assert "in deep_in_thought" in by_role["worker 1"].stacks
    assert by_role["worker 1"].parent_pid == runner.process.pid
    daemon.desire(pb.DESIRED_STATE_STOP)
    assert await runner.ended() == 0


async def test_texts_that_are_no_unicode_do_not_end_the_run(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    code = r"""
from milepost import labelled
@p.step
async def odd(item, task):
    if item["n"] == 1: raise RuntimeError("file \udcff is odd")
    return labelled("l\udcff", "r\udcff")
"""
    prepare(daemon, folder, code, step("odd"))
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([task(1), task(2)])
    await daemon.until(lambda: len(daemon.reports) == 2)
    failure = next(report.failure for report in daemon.reports if report.task.item == 1)
    assert "is odd" in failure.message
    await finish(daemon)
    assert await runner.ended() == 0


async def test_large_tasks_do_not_travel_to_the_worker_in_one_frame(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    prepare(daemon, folder, "@p.step\nasync def work(item, task): return len(item['text'])", step("work"))
    start_runner()
    await daemon.until(lambda: daemon.hellos)
    # In a text with JSON within JSON a quotation mark is four bytes.
    daemon.hand_out(task(number, text='"' * quotes) for number, quotes in ((1, 2_090_000), (2, 2_200_000)))
    await daemon.until(lambda: len(daemon.reports) == 2)
    assert kinds(daemon) == {1: "SUCCEEDED", 2: "SUCCEEDED"}
