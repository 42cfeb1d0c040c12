"""Command pipelines: a real runner, real commands, a scripted daemon."""

import json
import os
import resource
import signal
from collections import Counter
from pathlib import Path

import pytest

from milepost.common.processes import marked
from milepost.core.definition import command_pipeline, to_json
from milepost.core.model import PendingTask
from milepost.v1 import runner_service_pb2 as pb
from tests.support.fake_daemon import FakeDaemon, pending_task
from tests.support.runner_fixtures import Start, daemon, folder, start_runner

__all__ = ["daemon", "folder", "start_runner"]


def prepare(daemon: FakeDaemon, *command: str, concurrency: int = 16, timeout: float | None = None) -> None:
    daemon.welcome.definition_json = to_json(command_pipeline(command, concurrency, 3, timeout))
    daemon.welcome.environment.update({"PATH": os.environ["PATH"], "FOLDER": daemon.welcome.folder})


def root() -> PendingTask:
    return pending_task(1)


def items(count: int, line: str = "item-{}") -> list[PendingTask]:
    lines = [line.format(number) for number in range(count)]
    return [
        pending_task(10 + number, 1, text, position=number, payload_json=json.dumps({"line": text}))
        for number, text in enumerate(lines)
    ]


def failures(daemon: FakeDaemon) -> list[tuple[str, str]]:
    return [(report.failure.error_class, report.failure.message) for report in daemon.reports]


async def test_313_lines_become_items_and_commands(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    keys = [f"https://example.org/{number} ünïcode 'x' $HOME" for number in range(313)]
    (folder / "input").write_text("\ufeff" + "\r\n\n".join(keys) + "\n \n")
    daemon.welcome.input_file = "input"
    prepare(daemon, "sh", "-c", 'echo "$1" >> effects; echo "out $MILEPOST_ATTEMPT"', "sh", "{}")
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([root()])
    await daemon.until(lambda: daemon.reports)
    assert [child.key for child in daemon.children] == keys
    daemon.hand_out(
        pending_task(10 + number, 1, child.key, position=number, payload_json=child.payload_json)
        for number, child in enumerate(daemon.children)
    )
    await daemon.until(lambda: len(daemon.reports) == 314)
    daemon.desire(pb.DESIRED_STATE_RUN, finished=True)
    assert await runner.ended() == 0
    assert Counter(report.kind for report in daemon.reports) == {pb.REPORT_KIND_SUCCEEDED: 314}
    assert Counter(report.task.item for report in daemon.reports) == dict.fromkeys([1, *range(10, 323)], 1)
    assert sorted((folder / "effects").read_text().splitlines()) == sorted(keys)
    assert f"[run {keys[0]}] out 1" in runner.log.read_text().splitlines()
    assert daemon.hellos[0].token == "secret"


async def test_each_end_of_a_command_has_its_class(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    prepare(daemon, "sh", "-c", "{}", concurrency=1, timeout=1.5)
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    slow = "sleep 600 & sleep 600; echo went on >> effects"
    scripts = ["echo no such user; exit 3", "exit 75", "no-such-program", "kill -9 $$", slow, "true"]
    daemon.hand_out(
        pending_task(number, 1, script, position=number, payload_json=json.dumps({"line": script}))
        for number, script in enumerate(scripts)
    )
    await daemon.until(lambda: len(daemon.reports) == len(scripts))
    assert failures(daemon) == [
        ("command_failed", "sh exited with 3. Its last output: no such user"),
        ("transient", "sh exited with 75."),
        ("missing_dependency", daemon.reports[2].failure.message),
        ("command_killed", "sh was killed by SIGKILL."),
        ("timeout", "sh did not end within 1.5 s."),
        ("", ""),
    ]
    assert daemon.reports[-1].result_json == '{"exit_code":0}'
    # Nothing of the command that timed out went on, nothing of it is left, though the runner goes on.
    assert not (folder / "effects").exists()
    assert [process.pid for process in marked(runner.mark)] == [runner.process.pid]


async def test_what_a_command_is_started_with(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    questions = (
        "pwd",
        "ls /proc/$$/fd | tr '\\n' ' '; readlink /proc/$$/fd/0",
        "grep SigIgn /proc/$$/status",
        "ps -o pgid= $$",
        "echo $$",
    )
    prepare(daemon, "sh", "-c", f"({'; '.join(questions)}) > said", "{}")
    daemon.welcome.working_directory = str(folder / "here")
    (folder / "here").mkdir()
    start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(1))
    await daemon.until(lambda: daemon.reports)
    assert failures(daemon) == [("", "")]
    where, descriptors, ignored, group, own = (folder / "here" / "said").read_text().splitlines()
    assert where == str(folder / "here")
    assert descriptors.split() == ["0", "1", "2", os.devnull], "no descriptor of the runner is inherited"
    of_python = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    assert int(ignored.split()[1], 16) & of_python == 0, (
        "the runner ignores them as every Python does, its commands not"
    )
    assert group.strip() == own, "it leads a group of its own"


@pytest.mark.parametrize(
    ("command", "line", "error_class"),
    [
        ("./absent", "x", "missing_dependency"),
        ("echo", "nul \0 inside", "corrupt_source"),
        ("echo", "x" * 200_000, "corrupt_source"),
    ],
    ids=["absent", "nul", "long"],  # an id is in the environment of the runner, and that has its limits
)
async def test_what_cannot_be_started(
    daemon: FakeDaemon, start_runner: Start, command: str, line: str, error_class: str
) -> None:
    prepare(daemon, command)
    start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(1, line))
    await daemon.until(lambda: daemon.reports)
    assert daemon.reports[0].failure.error_class == error_class
    assert command in daemon.reports[0].failure.message


@pytest.mark.parametrize(
    ("content", "error_class", "message"),
    [
        (b"one\ntwo \xff\n", "corrupt_source", "Line 2 of the input is not UTF-8: byte 0xff at its position 5."),
        (b"one\n" + b"x" * 200_000, "corrupt_source", "Line 2 of the input is longer than 131,072 bytes."),
        (None, "transient", "The copy of the input cannot be read: No such file or directory."),
    ],
    ids=["not UTF-8", "long", "gone"],
)
async def test_an_input_that_is_not_lines(
    daemon: FakeDaemon, folder: Path, start_runner: Start, content: bytes | None, error_class: str, message: str
) -> None:
    prepare(daemon, "true")
    daemon.welcome.input_file = "input"
    if content is not None:
        (folder / "input").write_bytes(content)
    start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([root()])
    await daemon.until(lambda: daemon.reports)
    assert failures(daemon) == [(error_class, message)]


async def test_hold_completes_what_runs_and_starts_nothing(
    daemon: FakeDaemon, folder: Path, start_runner: Start
) -> None:
    # Each command says that it began and waits for the gate.
    prepare(daemon, "sh", "-c", 'echo "$1" >> began; read _ < gate', "sh", "{}")
    os.mkfifo(folder / "gate")
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(100))
    await daemon.until(lambda: daemon.heartbeats and daemon.heartbeats[-1].in_flight_by_step[1] == 16)
    revision = daemon.desire(pb.DESIRED_STATE_HOLD, "paused")
    await daemon.until(lambda: daemon.heartbeats[-1].holding)
    held = daemon.heartbeats[-1]
    assert (held.desired_revision, held.drained, len(held.in_flight)) == (revision, False, 16)
    gate = os.open(folder / "gate", os.O_RDWR)
    os.write(gate, b"\n" * 100)
    assert await runner.ended() == 0
    os.close(gate)
    assert daemon.heartbeats[-1].drained
    assert [report.kind for report in daemon.reports] == [pb.REPORT_KIND_SUCCEEDED] * 16
    assert len((folder / "began").read_text().splitlines()) == 16


async def test_a_hold_is_revoked_until_it_is_drained(daemon: FakeDaemon, folder: Path, start_runner: Start) -> None:
    prepare(daemon, "sh", "-c", 'read _ < gate; echo "$1" >> effects', "sh", "{}", concurrency=2)
    os.mkfifo(folder / "gate")
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(6))
    await daemon.until(lambda: daemon.heartbeats and daemon.heartbeats[-1].in_flight_by_step[1] == 2)
    daemon.desire(pb.DESIRED_STATE_HOLD)
    await daemon.until(lambda: daemon.heartbeats[-1].holding)
    daemon.desire(pb.DESIRED_STATE_RUN)
    await daemon.until(lambda: not daemon.heartbeats[-1].holding)
    gate = os.open(folder / "gate", os.O_RDWR)
    os.write(gate, b"\n" * 6)
    await daemon.until(lambda: len(daemon.reports) == 6)
    os.close(gate)
    daemon.desire(pb.DESIRED_STATE_RUN, finished=True)
    assert await runner.ended() == 0
    assert len((folder / "effects").read_text().splitlines()) == 6


async def test_stop_kills_and_hands_back(daemon: FakeDaemon, start_runner: Start) -> None:
    prepare(daemon, "sh", "-c", "setsid sleep 600 & sleep 600; echo {}", concurrency=4)
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(10))
    await daemon.until(lambda: daemon.heartbeats and daemon.heartbeats[-1].in_flight_by_step[1] == 4)
    daemon.desire(pb.DESIRED_STATE_STOP)
    assert await runner.ended() == 0
    assert [report.kind for report in daemon.reports] == [pb.REPORT_KIND_RETURNED] * 4
    assert marked(runner.mark) == []


async def test_void_tasks_are_ended_or_dropped_and_not_reported(daemon: FakeDaemon, start_runner: Start) -> None:
    prepare(daemon, "sleep", concurrency=1)
    runner = start_runner()
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out([*items(2, "600"), *items(3, "0")[2:]])
    await daemon.until(lambda: daemon.heartbeats and daemon.heartbeats[-1].in_flight_by_step[1] == 1)
    daemon.send(ack=pb.Ack(void=[pb.TaskRef(step=1, item=10), pb.TaskRef(step=1, item=11)]))
    await daemon.until(lambda: daemon.reports)
    daemon.desire(pb.DESIRED_STATE_RUN, finished=True)
    assert await runner.ended() == 0
    assert [(report.task.item, report.kind) for report in daemon.reports] == [(12, pb.REPORT_KIND_SUCCEEDED)]


async def test_how_a_command_ended_is_known_where_the_starter_ignored_sigchld(
    daemon: FakeDaemon, start_runner: Start
) -> None:
    prepare(daemon, "sh", "-c", "exit 3")
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        start_runner()
    finally:
        signal.signal(signal.SIGCHLD, before)
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(1))
    await daemon.until(lambda: daemon.reports)
    assert failures(daemon) == [("command_failed", "sh exited with 3.")]


async def test_no_more_commands_run_than_the_limit_of_open_files_leaves_room_for(
    daemon: FakeDaemon, start_runner: Start
) -> None:
    prepare(daemon, "sh", "-c", 'while [ ! -e "$FOLDER/gate" ]; do sleep 0.05; done', concurrency=80)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    try:
        runner = start_runner()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    await daemon.until(lambda: daemon.hellos)
    daemon.hand_out(items(80))
    await daemon.until(lambda: daemon.heartbeats and daemon.heartbeats[-1].in_flight_by_step.get(1) == 18)
    assert "18 commands run at a time, not 80" in runner.log.read_text()
    Path(daemon.welcome.folder, "gate").touch()
    await daemon.until(lambda: len(daemon.reports) == 80)
    assert {report.kind for report in daemon.reports} == {pb.REPORT_KIND_SUCCEEDED}
