"""A submit makes a whole job or nothing, and says what is wrong with a pipeline, an interpreter or an input."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from milepost.common import processes
from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.daemon import describe
from milepost.daemon.inputs import verify_input
from milepost.daemon.sdk_copy import copy_sdk
from milepost.daemon.store import jobs
from milepost.daemon.submit import remove_orphan_folders
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support.in_process import InProcessDaemon
from tests.support.wait import wait_until

PIPELINE = """
from milepost import Pipeline
creators = Pipeline("creators", key="handle")

@creators.items
def rows(job):
    yield {"handle": "a"}

@creators.step
async def fetch(row, task):
    return 1
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    file = tmp_path / "creators.py"
    file.write_text(PIPELINE)
    return file


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.csv"
    file.write_text("handle\na\nb\n")
    return file


def _python(file: Path, **values: Any) -> pb.SubmitJobRequest:
    return pb.SubmitJobRequest(python_pipeline=pb.PythonPipeline(file=str(file)), **values)


def _command(*argv: str, **values: Any) -> pb.SubmitJobRequest:
    return pb.SubmitJobRequest(command_pipeline=pb.CommandPipeline(argv=argv), **values)


async def _submit(daemon: InProcessDaemon, request: pb.SubmitJobRequest) -> pb.SubmitJobResponse:
    # The client writes its request id into what it sends.
    sent = pb.SubmitJobRequest()
    sent.CopyFrom(request)
    return await daemon.client.call(daemon.client.jobs.SubmitJob, sent)


async def _assert_nothing_left(daemon: InProcessDaemon) -> None:
    assert await daemon.store.read(lambda db: jobs.count(db, "", ())) == 0
    assert list(daemon.folder.glob("jobs/*")) == []


async def test_a_python_pipeline(daemon: InProcessDaemon, pipeline: Path, rows: Path) -> None:
    answer = await _submit(
        daemon,
        _python(
            pipeline,
            input_path=str(rows),
            parameters_json='{"limit": 3}',
            labels={"team": "x"},
            priority=2,
            environment={"A": "b"},
        ),
    )
    job = answer.job
    assert (job.state, job.name, job.pipeline, job.queue_position) == (
        job_pb2.JOB_STATE_QUEUED,
        "creators",
        "creators",
        1,
    )
    assert [(step.name, step.takes, step.gives) for step in job.steps] == [
        ("items", "each", "many"),
        ("fetch", "each", "one"),
    ]
    assert (job.python, job.working_directory) == (sys.executable, str(pipeline.parent))
    assert job.pipeline_source == str(pipeline)
    assert (job.parameters_json, dict(job.labels), job.priority) == ('{"limit": 3}', {"team": "x"}, 2)
    assert "queued at place 1" in answer.message
    assert "2 steps" in answer.message
    folder = Path(job.folder)
    assert (folder / "input").read_bytes() == rows.read_bytes()
    assert job.input.digest == hashlib.sha256(rows.read_bytes()).hexdigest()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "input").stat().st_mode) == 0o600
    (event,) = (await daemon.client.call(daemon.client.jobs.ListEvents, pb.ListEventsRequest(job=job.id))).events
    assert (event.kind, event.client, event.to_state) == ("SUBMITTED", "test", job_pb2.JOB_STATE_QUEUED)


async def test_a_command_pipeline(daemon: InProcessDaemon, rows: Path) -> None:
    job = (await _submit(daemon, _command("sh", "-c", "echo {}", input_path=str(rows)))).job
    assert (job.pipeline, list(job.command)) == ("sh", ["sh", "-c", "echo {}"])
    assert [step.name for step in job.steps] == ["items", "run"]
    stored = await daemon.store.read(lambda db: jobs.get(db, job.id))
    assert json.loads(stored.definition_json)["steps"][1]["concurrency"] == len(os.sched_getaffinity(0))


async def test_inline_items_are_written_one_a_line(daemon: InProcessDaemon, pipeline: Path) -> None:
    items = pb.InlineItems(items_json=['{"handle":\n"a"}', '{"handle": "ü"}'])
    answer = await _submit(daemon, _python(pipeline, inline_items=items))
    lines = (Path(answer.job.folder) / "input").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"handle": "a"}, {"handle": "ü"}]
    assert "2 items" in answer.message


async def test_a_job_for_later(daemon: InProcessDaemon, pipeline: Path) -> None:
    request = _python(pipeline)
    request.start_time.FromJsonString("2100-01-01T00:00:00Z")
    job = (await _submit(daemon, request)).job
    assert job.state == job_pb2.JOB_STATE_SCHEDULED
    assert job.scheduled_time == request.start_time


async def test_its_own_interpreter_and_environment(daemon: InProcessDaemon, tmp_path: Path) -> None:
    """The pipeline names itself after what it sees."""
    (tmp_path / "helper.py").write_text("import os\nname = os.path.basename(os.getcwd()) + os.environ['WHERE']\n")
    file = tmp_path / "own.py"
    file.write_text(
        "from helper import name\nfrom milepost import Pipeline\np = Pipeline(name)\n@p.step\ndef a(i, t): ...\n"
    )
    interpreter = tmp_path / "python"
    interpreter.symlink_to(sys.executable)
    request = _python(file, python=str(interpreter), environment={"WHERE": "-here"})
    job = (await _submit(daemon, request)).job
    assert job.pipeline == f"{tmp_path.name}-here"
    assert job.python == str(interpreter)


@pytest.mark.parametrize(
    ("code", "content", "said"),
    [
        (Code.PIPELINE_NOT_IMPORTABLE, "import no_such_module\n", ["no_such_module", "bad.py:1", sys.executable]),
        (Code.PIPELINE_NOT_IMPORTABLE, "x = 1\ndef (\n", ["SyntaxError", "bad.py:2"]),
        (Code.PIPELINE_NOT_IMPORTABLE, "\n\n1 / 0\n", ["ZeroDivisionError", "bad.py:3"]),
        (Code.PIPELINE_INVALID, "x = 1\n", ["has no pipeline", "bad.py"]),
        (Code.PIPELINE_INVALID, PIPELINE.replace("@creators.step\n", "@creators.step(concurrency=-1)\n"), ["bad.py"]),
        (Code.INTERPRETER_UNUSABLE, "import os\nprint('last words')\nos._exit(7)\n", ["status 7", "last words"]),
    ],
)
async def test_mistakes_of_the_author(
    daemon: InProcessDaemon, tmp_path: Path, code: Code, content: str, said: list[str]
) -> None:
    file = tmp_path / "bad.py"
    file.write_text(content)
    error = await daemon.refusal(daemon.client.jobs.SubmitJob, _python(file))
    assert error.code is code
    for part in said:
        assert part in error.message
    assert error.remedy
    await _assert_nothing_left(daemon)


async def test_an_import_without_end_is_ended_with_all_it_started(daemon: InProcessDaemon, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    file = tmp_path / "slow.py"
    file.write_text(
        "import subprocess, time\n"
        f"child = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(1000)\n"
    )
    surroundings = describe.Surroundings(sys.executable, str(tmp_path), {})
    with pytest.raises(MilepostError, match="was not imported within 3 s") as caught:
        await describe.describe({"file": str(file)}, surroundings, copy_sdk(daemon.folder), inline=False, timeout=3.0)
    assert caught.value.code is Code.TIMED_OUT
    child = processes.status(int(pid_file.read_text()))
    assert child is None or child.is_dead


async def test_nobody_waits_for_who_escaped_from_an_import_and_holds_its_output(
    daemon: InProcessDaemon, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    file = tmp_path / "leaves.py"
    file.write_text(
        "import os\n"
        "print('said before', flush=True)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        os.execve('/bin/sh', ['sh', '-c', 'echo $$ > {pid_file}; exec /bin/sleep 1000'], {{}})\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        f"while not os.path.exists({str(pid_file)!r}) or not open({str(pid_file)!r}).read():\n"
        "    pass\n"
        "os._exit(3)\n"
    )
    surroundings = describe.Surroundings(sys.executable, str(tmp_path), {})
    try:
        async with asyncio.timeout(20.0):
            with pytest.raises(MilepostError, match=r"status 3.*said before"):
                await describe.describe({"file": str(file)}, surroundings, copy_sdk(daemon.folder), inline=False)
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("python", ["/nowhere/python", "/etc/hostname", "/bin/true", "/"])
async def test_interpreters_that_are_none(daemon: InProcessDaemon, pipeline: Path, python: str) -> None:
    error = await daemon.refusal(daemon.client.jobs.SubmitJob, _python(pipeline, python=python))
    assert error.code is Code.INTERPRETER_UNUSABLE
    assert python in error.message
    await _assert_nothing_left(daemon)


async def test_inputs_that_cannot_be_copied(daemon: InProcessDaemon, pipeline: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, said in (
        (tmp_path / "none.csv", "No such file"),
        (tmp_path, "not a regular file"),
        (pipe, "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
    ):
        error = await daemon.refusal(daemon.client.jobs.SubmitJob, _python(pipeline, input_path=str(path)))
        assert error.code is Code.INPUT_UNREADABLE
        assert said in error.message
        assert str(path) in error.message
    await _assert_nothing_left(daemon)


async def test_files_and_commands_that_are_not_there(daemon: InProcessDaemon, tmp_path: Path, rows: Path) -> None:
    missing = await daemon.refusal(daemon.client.jobs.SubmitJob, _python(tmp_path / "none.py"))
    assert missing.code is Code.PIPELINE_NOT_IMPORTABLE
    unknown = _command("no-such-command", "{}", input_path=str(rows))
    assert (await daemon.refusal(daemon.client.jobs.SubmitJob, unknown)).code is Code.PIPELINE_INVALID
    await _assert_nothing_left(daemon)


async def test_a_duplicate_is_refused_with_the_others_id(daemon: InProcessDaemon, pipeline: Path, rows: Path) -> None:
    request = _python(pipeline, input_path=str(rows), parameters_json='{"a":1, "b":2}')
    first = (await _submit(daemon, request)).job
    same = _python(pipeline, input_path=str(rows), parameters_json='{"b":2,"a":1}')
    error = await daemon.refusal(daemon.client.jobs.SubmitJob, same)
    assert (error.code, error.metadata["other_job"]) == (Code.DUPLICATE_JOB, first.id)
    assert [folder.name for folder in daemon.folder.glob("jobs/*")] == [first.id]
    same.allow_duplicate = True
    await _submit(daemon, same)
    await _submit(daemon, _python(pipeline, input_path=str(rows), parameters_json='{"a":2}'))
    rows.write_text("handle\nc\n")
    await _submit(daemon, request)


async def test_an_ended_job_gives_its_key_back(daemon: InProcessDaemon, pipeline: Path) -> None:
    request = _python(pipeline, uniqueness_key="nightly")
    first = (await _submit(daemon, request)).job
    assert (await daemon.refusal(daemon.client.jobs.SubmitJob, request)).code is Code.DUPLICATE_JOB
    await daemon.client.call(daemon.client.jobs.CancelJob, pb.CancelJobRequest(job=first.id))
    await _submit(daemon, request)


async def test_two_equal_submits_at_the_same_time_make_one_job(daemon: InProcessDaemon, pipeline: Path) -> None:
    requests = [_python(pipeline, request_id=f"r{number}") for number in range(4)]
    results = await asyncio.gather(*(_submit(daemon, request) for request in requests), return_exceptions=True)
    made = [result for result in results if isinstance(result, pb.SubmitJobResponse)]
    assert len(made) == 1
    assert [folder.name for folder in daemon.folder.glob("jobs/*")] == [made[0].job.id]


async def test_the_same_request_makes_one_job(daemon: InProcessDaemon, pipeline: Path) -> None:
    request = _python(pipeline, request_id="r1")
    answers = await asyncio.gather(*(_submit(daemon, request) for _ in range(3)))
    answers.append(await _submit(daemon, request))
    assert len({answer.job.id for answer in answers}) == 1
    assert len({answer.message for answer in answers}) == 1
    assert len(list(daemon.folder.glob("jobs/*"))) == 1
    other = _python(pipeline, request_id="r1", name="another")
    assert (await daemon.refusal(daemon.client.jobs.SubmitJob, other)).code is Code.REQUEST_ID_REUSED


async def test_a_client_that_goes_away_leaves_a_whole_job_or_none(daemon: InProcessDaemon, tmp_path: Path) -> None:
    gate, began = tmp_path / "gate", tmp_path / "began"
    file = tmp_path / "waits.py"
    file.write_text(
        f"import time, pathlib\npathlib.Path({str(began)!r}).touch()\n"
        f"while not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n" + PIPELINE
    )
    call = daemon.client.jobs.SubmitJob(_python(file))

    async def importing() -> bool:
        return began.exists()

    await wait_until(importing, "the import has begun")
    call.cancel()

    async def ended() -> bool:
        return not daemon.serving.interceptor.running

    await wait_until(ended, "the call has ended")
    await _assert_nothing_left(daemon)


async def test_folders_without_a_row_are_removed_at_the_start_unless_they_ran(
    daemon: InProcessDaemon, pipeline: Path
) -> None:
    job = (await _submit(daemon, _python(pipeline))).job
    folder = daemon.folder / "jobs"
    for name in (".new-j-aaaaaaaa", "j-bbbbbbbb", "j-cccccccc", "mine"):
        (folder / name / "logs").mkdir(parents=True)
    (folder / "j-cccccccc" / "logs" / "run-1.log").touch()
    assert sorted(await remove_orphan_folders(daemon.store, daemon.folder)) == [".new-j-aaaaaaaa", "j-bbbbbbbb"]
    assert {entry.name for entry in folder.iterdir()} == {job.id, "j-cccccccc", "mine"}


async def test_a_lost_or_altered_copy_of_the_input_is_found(
    daemon: InProcessDaemon, pipeline: Path, rows: Path
) -> None:
    job = (await _submit(daemon, _python(pipeline, input_path=str(rows)))).job
    stored = (await daemon.store.read(lambda db: jobs.get(db, job.id))).input
    assert stored is not None
    folder = Path(job.folder)
    content = (folder / "input").read_bytes()
    rows.unlink()
    assert verify_input(folder, stored) is None
    for altered in (content + b"c\n", content.replace(b"b", b"c")):
        (folder / "input").write_bytes(altered)
        reason = verify_input(folder, stored)
        assert reason is not None
        assert (reason.code, stored.digest in reason.remedy) == ("INPUT_LOST", True)
    (folder / "input").unlink()
    assert verify_input(folder, stored) is not None


def test_the_copy_of_the_sdk_is_whole_or_made_again(tmp_path: Path) -> None:
    copy = copy_sdk(tmp_path)
    assert (copy / "__main__.py").is_file()
    assert (copy / "milepost" / "__init__.py").is_file()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o700
    (copy / "milepost" / "__init__.py").write_text("raise SystemExit")
    assert copy_sdk(tmp_path) == copy
    assert "SystemExit" not in (copy / "milepost" / "__init__.py").read_text()
    shutil.rmtree(copy / "milepost" / "sdk")
    assert copy_sdk(tmp_path) == copy
    assert [entry.name for entry in copy.parent.iterdir()] == [copy.name]


async def test_a_paused_submit_waits_in_the_queue_of_its_own(daemon: InProcessDaemon, pipeline: Path) -> None:
    for name in ("a", "b"):
        await _submit(daemon, _python(pipeline, queue="slow", allow_duplicate=True, name=name))
    other = (await _submit(daemon, _python(pipeline, queue="quick", allow_duplicate=True))).job
    assert other.queue_position == 1
    assert (await daemon.job("b")).queue_position == 2
    assert (await daemon.store.read(lambda db: jobs.get(db, other.id))).state is JobState.QUEUED
