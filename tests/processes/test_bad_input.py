"""Bad input gets a clear error with code, reason and next step; the daemon serves on; nothing is left half done."""

import asyncio
import base64
import hashlib
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support.cli import Finished, run_cli
from tests.support.daemon import PIPELINES, RealDaemon, real_daemon, state_of
from tests.support.wait import DEADLINE, wait_until

FIRST_LINE = "from milepost import Pipeline\n"
STEP = "@{0}.step\nasync def one_{0}(row, task): ...\n"
GOOD = FIRST_LINE + "good = Pipeline('good')\n" + STEP.format("good")

# --- helpers ---


async def submit(daemon: RealDaemon, file: Path | str, **more: Any) -> job_pb2.Job:  # Any: fields of the request
    request = pb.SubmitJobRequest(python_pipeline=pb.PythonPipeline(file=str(file)), **more)
    return (await daemon.client.call(daemon.client.jobs.SubmitJob, request)).job


async def refusal(daemon: RealDaemon, method: Any, request: Any) -> MilepostError:  # Any: the stubs' own types
    with pytest.raises(MilepostError) as refused:
        await daemon.client.call(method, request)
    assert refused.value.message
    assert refused.value.remedy, refused.value.message
    return refused.value


async def submit_refusal(daemon: RealDaemon, file: Path | str, **more: Any) -> MilepostError:
    request = pb.SubmitJobRequest(python_pipeline=pb.PythonPipeline(file=str(file)), **more)
    return await refusal(daemon, daemon.client.jobs.SubmitJob, request)


async def list_jobs(daemon: RealDaemon) -> list[job_pb2.Job]:
    return list((await daemon.client.call(daemon.client.jobs.ListJobs, pb.ListJobsRequest())).jobs)


async def assert_nothing_left(daemon: RealDaemon) -> None:
    """No row, no folder, no process; and a good job completes."""
    assert await list_jobs(daemon) == []
    jobs = daemon.state / "jobs"
    assert not jobs.exists() or not list(jobs.iterdir())
    assert daemon.processes() == {}
    await assert_serves(daemon)


async def assert_serves(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    job = await daemon.submit(parameters={"count": 2}, queue="good", allow_duplicate=True)
    await daemon.wait_state(job.id, JobState.COMPLETED)
    assert "Traceback" not in daemon.log()


def assert_told(done: Finished, exit_code: int, *words: str, code: Code | None = None) -> None:
    """What a person reads: what happened, and what to do next; no traceback."""
    assert done.code == exit_code, done
    assert done.err.startswith("error: "), done
    assert "\nnext: " in done.err, done
    assert "Traceback" not in done.err, done
    for word in words:
        assert word in done.err, done
    if code is not None:
        assert done.document["error"]["code"] == code, done
        assert done.document["error"]["message"]
        assert done.document["error"]["remedy"]


# --- pipelines ---

#: name -> (text of the file, code, what is said, line that is named)
BROKEN: dict[str, tuple[str, Code, str, int]] = {
    "no import": (FIRST_LINE + "\nimport not_there\n", Code.PIPELINE_NOT_IMPORTABLE, "not_there", 3),
    "error": (FIRST_LINE + "1 / 0\n", Code.PIPELINE_NOT_IMPORTABLE, "ZeroDivisionError", 2),
    "syntax": (FIRST_LINE + "def broken(:\n", Code.PIPELINE_NOT_IMPORTABLE, "SyntaxError", 2),
    "exit": (FIRST_LINE + "import sys\nsys.exit(3)\n", Code.PIPELINE_NOT_IMPORTABLE, "__main__", 3),
    "no pipeline": (FIRST_LINE, Code.PIPELINE_INVALID, "no pipeline", 0),
    "two": (
        GOOD + "other = Pipeline('other')\n" + STEP.format("other"),
        Code.PIPELINE_INVALID,
        "several pipelines: good, other",
        0,
    ),
    "no step": (FIRST_LINE + "empty = Pipeline('empty')\n", Code.PIPELINE_INVALID, "no step", 2),
    "wrong step": (GOOD.replace(".step", ".step(timeout='soon')"), Code.PIPELINE_INVALID, "not a duration", 3),
    "null character": (FIRST_LINE + "\0\n", Code.PIPELINE_NOT_IMPORTABLE, "null bytes", 0),
    "empty": ("", Code.PIPELINE_INVALID, "no pipeline", 0),
}


async def test_pipelines_that_are_none(daemon: RealDaemon) -> None:
    for name, (text, code, said, line) in BROKEN.items():
        file = daemon.folder / f"{name.replace(' ', '_')}_pipeline.py"
        file.write_text(text)
        error = await submit_refusal(daemon, file)
        assert error.code is code, name
        assert said in error.message, name
        assert (f"{file}:{line}: " if line else str(file)) in error.message, name
        assert f"{sys.executable} (Python 3" in error.message, name
    await assert_nothing_left(daemon)


async def test_pipelines_that_cannot_even_be_asked(daemon: RealDaemon) -> None:
    end = daemon.folder / "ends.py"
    end.write_text("import os\nprint('that was it', flush=True)\nos._exit(9)\n")
    error = await submit_refusal(daemon, end)
    assert error.code is Code.INTERPRETER_UNUSABLE
    for word in (str(end), "status 9", "that was it"):
        assert word in error.message
    latin = daemon.folder / "latin.py"
    latin.write_bytes(GOOD.encode() + b"name = 'caf\xe9'\n")
    error = await submit_refusal(daemon, latin)
    assert error.code is Code.PIPELINE_NOT_IMPORTABLE
    assert str(latin) in error.message
    for path in (daemon.folder / "none.py", daemon.folder):
        error = await submit_refusal(daemon, path)
        assert (error.code, str(path) in error.message) == (Code.PIPELINE_NOT_IMPORTABLE, True)
    module = pb.SubmitJobRequest(python_pipeline=pb.PythonPipeline(module="not_there.pipelines"))
    error = await refusal(daemon, daemon.client.jobs.SubmitJob, module)
    assert error.code is Code.PIPELINE_NOT_IMPORTABLE
    assert "not_there" in error.message
    error = await submit_refusal(daemon, PIPELINES / "work.py", python="/bin/true")
    assert (error.code, "/bin/true" in error.message) == (Code.INTERPRETER_UNUSABLE, True)
    await assert_nothing_left(daemon)


async def test_a_pipeline_that_a_person_got_wrong(daemon: RealDaemon) -> None:
    file = daemon.folder / "creators.py"
    file.write_text(FIRST_LINE + "import not_there\n")
    done = await run_cli(daemon.environment, "run", "--json", str(file))
    assert_told(done, 2, f"{file}:2: ", "not_there", "pip install", "--python", code=Code.PIPELINE_NOT_IMPORTABLE)
    file.write_text(GOOD)
    done = await run_cli(daemon.environment, "submit", "--json", f"{file}:other")
    assert_told(done, 2, "'other'", "Its pipelines are: good", code=Code.PIPELINE_INVALID)
    done = await run_cli(daemon.environment, "submit", "--json", str(file), "--python", "/nowhere/python")
    assert_told(done, 2, "/nowhere/python", code=Code.INTERPRETER_UNUSABLE)
    await assert_nothing_left(daemon)


async def test_a_slow_import_holds_nobody_up(daemon: RealDaemon) -> None:
    began, gate = daemon.folder / "began", daemon.folder / "import-gate"
    file = daemon.folder / "slow.py"
    file.write_text(
        f"import pathlib, time\npathlib.Path({str(began)!r}).touch()\n"
        f"while not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.01)\n" + GOOD
    )
    slow = asyncio.create_task(submit(daemon, file, queue="slow"))

    async def importing() -> bool:
        return began.exists()

    await wait_until(importing, "the import has begun")
    await assert_serves(daemon)
    assert not slow.done()
    gate.touch()
    await daemon.wait_state((await slow).id, JobState.COMPLETED)


# --- the input ---


async def test_inputs_that_cannot_be_copied(daemon: RealDaemon) -> None:
    pipe = daemon.folder / "pipe"
    os.mkfifo(pipe)
    loop = daemon.folder / "loop"
    loop.symlink_to(loop)
    cases = {
        daemon.folder / "none.csv": "No such file",
        daemon.folder: "not a regular file",
        pipe: "not a regular file",
        Path("/dev/zero"): "not a regular file",
        Path("/proc/self/mem"): "Input/output error",
        loop: "symbolic links",
    }
    for path, said in cases.items():
        error = await submit_refusal(daemon, PIPELINES / "rows.py", input_path=str(path))
        assert error.code is Code.INPUT_UNREADABLE, path
        assert said in error.message, path
        assert str(path) in error.message, path
    error = await submit_refusal(daemon, PIPELINES / "rows.py", input_path="rows.csv")
    assert (error.code, "input_path" in error.message) == (Code.INVALID_ARGUMENT, True)
    await assert_nothing_left(daemon)


async def test_an_input_that_a_person_got_wrong(daemon: RealDaemon) -> None:
    for path in (daemon.folder / "none.csv", daemon.folder):
        done = await run_cli(daemon.environment, "run", "--json", str(PIPELINES / "rows.py"), "--input", str(path))
        assert_told(done, 2, str(path), code=Code.INPUT_UNREADABLE)
        done = await run_cli(daemon.environment, "run", "--json", "--each", str(path), "--", "true", "{}")
        assert_told(done, 2, str(path), code=Code.INPUT_UNREADABLE)
    await assert_nothing_left(daemon)


async def _submit_rows(daemon: RealDaemon, content: bytes, **more: Any) -> job_pb2.Job:
    file = daemon.folder / "rows.csv"
    file.write_bytes(content)
    parameters = json.dumps({"effects": str(daemon.effects_file), "gate": str(daemon.gate)})
    return await submit(daemon, PIPELINES / "rows.py", input_path=str(file), parameters_json=parameters, **more)


async def test_a_csv_without_rows_is_a_job_without_items(daemon: RealDaemon) -> None:
    jobs = [await _submit_rows(daemon, content) for content in (b"", b"key\n", b"\xef\xbb\xbfkey\r\n", b"\n\n")]
    for job in jobs:
        completed = await daemon.wait_state(job.id, JobState.COMPLETED)
        assert (completed.counts.total, completed.counts.total_known, completed.progress.percent) == (0, True, 100.0)
    said = "Its input rows.csv had no items: nothing was processed."
    assert said in (await run_cli(daemon.environment, "show", jobs[0].id)).out
    file, more = str(daemon.folder / "rows.csv"), ("--allow-duplicate", "--param", f'effects="{daemon.effects_file}"')
    done = await run_cli(daemon.environment, "run", str(PIPELINES / "rows.py"), "--input", file, *more)
    assert done.code == 0, "whether that is a mistake, only the person knows"
    assert said in done.out


CORRUPT = "corrupt_source"
#: name -> (content, error class, what is said, what is to be done)
NO_CSV: dict[str, tuple[bytes, str, str, str]] = {
    "binary": (b"\x89PNG\r\n\x1a\n\0\0\xff\xfe", CORRUPT, "rows.csv is not UTF-8: byte 0x89 in line 1", "iconv"),
    "encoding": (b"key\na\nb\ncaf\xe9\n", CORRUPT, "rows.csv is not UTF-8: byte 0xe9 in line 4", "iconv"),
    "no key": (b"name\na\n", CORRUPT, "no field 'key' to be known by (its fields: name)", "key="),
    "long key": (b"key\n" + b"x" * 2000 + b"\n", CORRUPT, "in its key field 'key'", "1 to 1000 characters"),
    "large row": (b"key,text\na," + b"x" * 70_000 + b"\n", "result_too_large", "Item 1 is 68 KiB", "file"),
}


async def test_a_csv_that_is_none(daemon: RealDaemon) -> None:
    jobs = {name: await _submit_rows(daemon, content) for name, (content, *_) in NO_CSV.items()}
    for name, (_, error_class, said, next_step) in NO_CSV.items():
        failed = await daemon.wait_state(jobs[name].id, JobState.FAILED)
        is_of_input = error_class == CORRUPT
        assert failed.reason.code == ("INPUT_UNUSABLE" if is_of_input else "TASK_FAILED"), name
        assert said in failed.reason.message, name
        assert next_step in failed.reason.remedy, name
        request = pb.ListAttemptsRequest(job=failed.id)
        [attempt] = (await daemon.client.call(daemon.client.jobs.ListAttempts, request)).attempts
        assert (attempt.step, attempt.failure.error_class) == ("items", error_class), name
        shown = await run_cli(daemon.environment, "show", failed.id)
        assert said in shown.out, name
        assert next_step in shown.out, name
        again = f"milepost submit {PIPELINES / 'rows.py'} --input rows.csv --param effects={daemon.effects_file}"
        assert (again in shown.out) == is_of_input, name
    overview = await run_cli(daemon.environment)
    assert overview.out.count("milepost submit") == 4, "what a resume cannot mend"
    assert overview.out.count("milepost resume") == 1
    assert not daemon.effects()
    await assert_serves(daemon)


OWN = """
import csv
from milepost import Pipeline
own = Pipeline("own", key="key")
@own.items
def rows(job): return list(csv.DictReader(job.open_input({})))
@own.step
def use(row, task): pass
"""


async def test_a_run_over_a_bad_csv_ends_with_the_reason(daemon: RealDaemon) -> None:
    file = daemon.folder / "rows.csv"
    file.write_bytes(b"key\ncaf\xe9\n")
    done = await run_cli(daemon.environment, "run", str(PIPELINES / "rows.py"), "--input", str(file))
    assert done.code == 1, done
    assert "byte 0xe9 in line 2" in done.out
    assert "iconv" in done.out
    assert f"next      milepost submit {PIPELINES / 'rows.py'} --input rows.csv\n" in done.out
    assert "milepost resume" not in done.out, "it would read the same copy"


async def test_a_job_whose_pipeline_was_mended_for_its_input_is_resumed(daemon: RealDaemon) -> None:
    pipeline, file = daemon.folder / "own.py", daemon.folder / "rows.csv"
    pipeline.write_text(OWN.format(""))
    file.write_bytes(b"key\ncaf\xe9\n")
    job = await submit(daemon, pipeline, input_path=str(file))
    failed = await daemon.wait_state(job.id, JobState.FAILED)
    [resume] = [action for action in failed.actions if action.command == job_pb2.COMMAND_RESUME]
    assert (resume.allowed, resume.recommended) == (True, False)
    pipeline.write_text(OWN.format('encoding="cp1252"'))
    await daemon.client.call(daemon.client.jobs.ResumeJob, pb.ResumeJobRequest(job=job.id))
    assert (await daemon.wait_state(job.id, JobState.COMPLETED)).counts.succeeded == 1


@pytest.mark.parametrize("each", [False, True], ids=["no input", "each"])
async def test_what_to_submit_instead(daemon: RealDaemon, each: bool) -> None:
    file = daemon.folder / "bad lines.txt"
    file.write_bytes(b"a\n\xff\n")
    given = ["--each", str(file), "--", "echo", "a b", "{}"] if each else [str(PIPELINES / "rows.py")]
    done = await run_cli(daemon.environment, "run", *given)
    assert done.code == 1, done
    instead = "--each 'bad lines.txt' -- echo 'a b' {}" if each else f"{PIPELINES / 'rows.py'} --input FILE"
    assert f"next      milepost submit {instead}\n" in done.out


# --- the input, after the submit ---


async def test_the_original_may_be_altered_and_deleted(daemon: RealDaemon) -> None:
    job = await _submit_rows(daemon, b"key\na\nb\nc\n")
    await daemon.wait_effects(2)
    (daemon.folder / "rows.csv").write_text("key\nother\n")
    await daemon.client.call(daemon.client.jobs.PauseJob, pb.PauseJobRequest(job=job.id, now=True))
    await daemon.wait_state(job.id, JobState.PAUSED)
    (daemon.folder / "rows.csv").unlink()
    await daemon.client.call(daemon.client.jobs.ResumeJob, pb.ResumeJobRequest(job=job.id))
    daemon.gate.touch()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert completed.counts.succeeded == 3
    assert set(daemon.effects()) == {"a", "b", "c"}


async def test_a_damaged_copy_makes_the_job_wait_until_it_is_restored(daemon: RealDaemon) -> None:
    content = b"key\na\nb\nc\n"
    jobs = {}
    for damage in ("deleted", "altered", "a folder"):
        job = await _submit_rows(daemon, content, queue=damage.replace(" ", "-"), allow_duplicate=True)
        await daemon.wait_for(job.id, lambda found: found.counts.in_flight, "it executes")
        await daemon.client.call(daemon.client.jobs.PauseJob, pb.PauseJobRequest(job=job.id, now=True))
        await daemon.wait_state(job.id, JobState.PAUSED)
        jobs[damage] = job
    executed = daemon.effects()
    for damage, job in jobs.items():
        copy = Path(job.folder) / "input"
        copy.unlink()
        if damage == "a folder":
            copy.mkdir()
        elif damage != "deleted":
            copy.write_bytes(b"key\na\nx\nc\n")
        await _assert_it_waits(daemon, job.id, copy, hashlib.sha256(content).hexdigest())
        assert daemon.effects() == executed, "nothing is guessed"
        if copy.is_dir():
            copy.rmdir()
        copy.write_bytes(content)
    daemon.gate.touch()
    for damage, job in jobs.items():
        await daemon.client.call(daemon.client.jobs.ResumeJob, pb.ResumeJobRequest(job=job.id))
        gone_on = await daemon.wait_state(job.id, JobState.COMPLETED)
        assert gone_on.counts.succeeded == 3, damage


async def _assert_it_waits(daemon: RealDaemon, job_id: str, copy: Path, digest: str) -> None:
    """Each resume looks at the copy again; none starts a run."""
    resumed = await run_cli(daemon.environment, "resume", job_id, "--wait", "--json")
    assert resumed.code == 1, resumed
    waiting = await daemon.job(job_id)
    assert (state_of(waiting), waiting.reason.code) == (JobState.WAITING, "INPUT_LOST")
    assert str(copy) in waiting.reason.message
    assert digest in waiting.reason.remedy
    assert waiting.counts.processed == 0
    shown = await run_cli(daemon.environment, "show", job_id)
    assert str(copy) in shown.out
    assert digest in shown.out
    await daemon.client.call(daemon.client.jobs.ResumeJob, pb.ResumeJobRequest(job=job_id))
    again = await daemon.wait_for(job_id, lambda found: found.revision > waiting.revision + 1, "it was looked at again")
    await daemon.wait_state(job_id, JobState.WAITING)
    assert again.run_count == waiting.run_count


# --- results ---

GOOD_RESULTS = {"good-1", "good-2"}
RESULT_CLASSES = {
    "object": ("invalid_result", "holds a object at ['list'][1], which is not JSON data"),
    "bytes": ("invalid_result", "bytes"),
    "not-a-number": ("invalid_result", "holds nan at ['score']"),
    "infinite": ("invalid_result", "holds inf at [0]"),
    "circle": ("invalid_result", "Circular"),
    "surrogate": ("invalid_result", "not valid Unicode"),
    "tuple-key": ("invalid_result", "tuple"),
    "large": ("result_too_large", "68 KiB of JSON"),
    "large-in-utf-8": ("result_too_large", "78 KiB of JSON"),
    "deep": ("invalid_result", "cannot be written as JSON"),
}


async def test_results_that_cannot_be_kept_fail_their_item_alone(daemon: RealDaemon) -> None:
    done = await run_cli(daemon.environment, "run", str(PIPELINES / "results.py"), "--json")
    assert done.code == 6, done
    [job] = await list_jobs(daemon)
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert (completed.counts.failed, completed.counts.succeeded) == (len(RESULT_CLASSES), len(GOOD_RESULTS))
    listed = await daemon.client.call(daemon.client.jobs.ListItems, pb.ListItemsRequest(job=job.id, page_size=100))
    items = {item.key: item for item in listed.items}
    for key in GOOD_RESULTS:
        assert items[key].state == job_pb2.ITEM_STATE_SUCCEEDED
    for key, (error_class, said) in RESULT_CLASSES.items():
        failure = items[key].failure
        assert (items[key].state, items[key].step) == (job_pb2.ITEM_STATE_FAILED, "make"), key
        assert failure.error_class == error_class, key
        assert said in failure.message, key
        assert failure.remedy, key
        assert items[key].attempt == 1, "another attempt would not mend it"
    await assert_serves(daemon)


# --- the request ---


async def test_requests_that_are_too_large(daemon: RealDaemon) -> None:
    for size in (1_100_000, 2_000_000):
        parameters = json.dumps({"text": "x" * size})
        error = await submit_refusal(daemon, PIPELINES / "work.py", parameters_json=parameters)
        assert error.code is Code.TOO_LARGE, size
        assert "input file" in error.remedy
    huge = json.dumps({"text": "x" * 20_000_000})  # more than the server takes in at all
    error = await submit_refusal(daemon, PIPELINES / "work.py", parameters_json=huge)
    assert error.code is Code.TOO_LARGE
    # One argument can have 128 KiB.
    many = [part for number in range(12) for part in ("--param", f"p{number}={'x' * 120_000}")]
    done = await run_cli(daemon.environment, "submit", "--json", str(PIPELINES / "work.py"), *many)
    assert_told(done, 2, "input file", code=Code.TOO_LARGE)
    await assert_nothing_left(daemon)


async def test_parameters_of_a_wrong_type(daemon: RealDaemon) -> None:
    texts = ("[1]", '"text"', "1", "null", "{", '{"a": NaN}', '{"a": Infinity}', "{'a': 1}", "[" * 100_000)
    for parameters in texts:
        error = await submit_refusal(daemon, PIPELINES / "work.py", parameters_json=parameters)
        assert error.code is Code.INVALID_ARGUMENT, parameters
        assert error.metadata["field"] == "parameters_json", parameters
        assert '{"key": "value"}' in error.remedy, parameters
    await assert_nothing_left(daemon)


async def test_text_that_is_not_utf_8(daemon: RealDaemon) -> None:
    bad = os.fsdecode(b"caf\xe9")
    file = str(PIPELINES / "work.py")
    for arguments in (
        ["submit", file, "--name", bad],
        ["submit", file, "--label", f"team={bad}"],
        ["submit", file, "--param", f"a={bad}"],
        ["submit", f"/nowhere/{bad}.py"],
        ["run", "--each", bad, "--", "true"],
        ["run", "--each", file, "--", "echo", bad],
        ["show", bad],
        ["ls", bad],
    ):
        done = await run_cli(daemon.environment, arguments[0], "--json", *arguments[1:])
        assert_told(done, 2, "not UTF-8", code=Code.INVALID_ARGUMENT)
        assert "caf" in done.err
    await assert_nothing_left(daemon)


async def test_an_unknown_step(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    job = await daemon.submit(parameters={"count": 2})
    before = await daemon.wait_state(job.id, JobState.COMPLETED)
    stub = daemon.client.jobs
    for method, request in (
        (stub.RestartJob, pb.RestartJobRequest(job=job.id, from_step="wrok")),
        (stub.ListItems, pb.ListItemsRequest(job=job.id, step="wrok")),
    ):
        error = await refusal(daemon, method, request)
        assert error.code is Code.UNKNOWN_STEP
        assert "wrok" in error.message
        assert "items, check, work, report" in error.remedy
    done = await run_cli(daemon.environment, "restart", "--json", job.id, "--from", "wrok")
    assert done.code == 2
    assert "items, check, work, report" in done.err
    done = await run_cli(daemon.environment, "items", "--json", job.id, "--step", "wrok")
    assert_told(done, 2, "items, check, work, report", code=Code.UNKNOWN_STEP)
    assert (await daemon.job(job.id)).revision == before.revision


async def test_jobs_that_are_not_there_or_are_several(daemon: RealDaemon) -> None:
    for arguments in (["show", "j-22222222"], ["cancel", "j-22222222"], ["items", "nothing"], ["logs", "@last"]):
        done = await run_cli(daemon.environment, arguments[0], "--json", *arguments[1:])
        assert done.code == 4, done
        assert "error: " in done.err
        assert "next: " in done.err
        assert Code.JOB_NOT_FOUND in done.out
    await assert_nothing_left(daemon)
    other = await daemon.submit(parameters={"count": 1}, name="twin", allow_duplicate=True)
    twin = await daemon.submit(parameters={"count": 1}, name="twin", allow_duplicate=True)
    ids = [job.id for job in await list_jobs(daemon)]
    for reference in ("j-", "twin"):
        done = await run_cli(daemon.environment, "show", "--json", reference)
        assert_told(done, 4, other.id, twin.id, code=Code.JOB_AMBIGUOUS)
        done = await run_cli(daemon.environment, "force-cancel", "--json", reference)
        assert done.code == 4
    assert [job.id for job in await list_jobs(daemon)] == ids
    for job in (other, twin):
        await daemon.wait_state(job.id, JobState.COMPLETED)


async def test_page_tokens(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    made = [(await daemon.submit(parameters={"count": 1, "n": n}, name=f"job-{n}")).id for n in range(3)]
    for job in made:
        await daemon.wait_state(job, JobState.COMPLETED)
    stub = daemon.client.jobs
    page = await daemon.client.call(stub.ListJobs, pb.ListJobsRequest(page_size=1))
    items = await daemon.client.call(stub.ListItems, pb.ListItemsRequest(job=made[0], page_size=1))
    events = await daemon.client.call(stub.ListEvents, pb.ListEventsRequest(job=made[0], page_size=1))
    daemon.terminate()
    await daemon.start()

    next_page = pb.ListJobsRequest(page_token=page.next_page_token)
    rest = await daemon.client.call(stub.ListJobs, next_page)
    assert [job.id for job in (*page.jobs, *rest.jobs)] == made[::-1], "a token outlives the daemon"

    text = base64.urlsafe_b64decode(page.next_page_token).decode()
    altered = base64.urlsafe_b64encode(text.replace(".", "!", 1).encode()).decode()
    async with real_daemon() as stranger:
        for _ in range(2):
            await stranger.submit(parameters={"count": 1}, allow_duplicate=True)
        foreign = await stranger.client.call(stranger.client.jobs.ListJobs, pb.ListJobsRequest(page_size=1))
    for method, request in (
        (stub.ListJobs, pb.ListJobsRequest(filter="job-1", page_token=page.next_page_token)),
        (stub.ListJobs, pb.ListJobsRequest(page_token=items.next_page_token or "x")),
        (stub.ListJobs, pb.ListJobsRequest(page_token="malformed")),
        (stub.ListJobs, pb.ListJobsRequest(page_token=altered)),
        (stub.ListJobs, pb.ListJobsRequest(page_token=foreign.next_page_token)),
        (stub.ListEvents, pb.ListEventsRequest(job=made[1], page_token=events.next_page_token)),
        (stub.ListEvents, pb.ListEventsRequest(page_token=events.next_page_token)),
        (stub.ListItems, pb.ListItemsRequest(job=made[0], page_token=page.next_page_token)),
    ):
        error = await refusal(daemon, method, request)
        assert error.code is Code.INVALID_PAGE_TOKEN
        assert "begin without a token" in error.remedy
    await assert_serves(daemon)


# --- the state folder and the socket ---


@asynccontextmanager
async def no_daemon() -> AsyncIterator[RealDaemon]:
    """Its folder and environment, with the daemon ended."""
    async with real_daemon() as daemon:
        assert daemon.terminate() == 0
        yield daemon


async def milepostd(daemon: RealDaemon, *arguments: str) -> Finished:
    """A daemon that is expected to end by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "milepost.daemon.main",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=daemon.environment,
        cwd=daemon.folder,
    )
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), err.decode())


async def assert_does_not_start(daemon: RealDaemon, *words: str) -> None:
    """Neither by itself nor for a verb; either tells what is wrong and what to do."""
    alone = await milepostd(daemon)
    assert_told(alone, 2, *words)
    verb = await run_cli(daemon.environment, "ls", "--json")
    assert_told(verb, 5, *words)


async def test_a_second_daemon_on_the_same_folder(daemon: RealDaemon) -> None:
    second = await milepostd(daemon)
    assert_told(second, 3, str(daemon.state), "milepost daemon stop")
    await assert_serves(daemon)


async def test_a_daemon_that_is_told_to_stop_as_soon_as_it_listens() -> None:
    async with no_daemon() as daemon:
        for _ in range(3):
            await daemon.start()
            assert daemon.terminate() == 0
        await daemon.start()
        await assert_serves(daemon)


async def test_a_store_of_a_newer_schema() -> None:
    async with no_daemon() as daemon:
        store = daemon.state / "store.db"
        database = sqlite3.connect(store)
        version = database.execute("PRAGMA user_version").fetchone()[0]
        database.execute("PRAGMA user_version = 999")
        database.close()
        content = store.read_bytes()
        await assert_does_not_start(daemon, str(store), "schema 999", "newer", "--state-dir")
        assert store.read_bytes() == content
        database = sqlite3.connect(store)
        database.execute(f"PRAGMA user_version = {version}")
        database.close()
        await daemon.start()
        await assert_serves(daemon)


async def test_a_store_that_is_garbage() -> None:
    async with no_daemon() as daemon:
        store = daemon.state / "store.db"
        sound = store.read_bytes()
        for content in (b"this is a text, no database" * 1000, b"SQLite format 3\0" + os.urandom(8192)):
            store.write_bytes(content)
            await assert_does_not_start(daemon, str(store), "restore a backup")
            assert store.read_bytes() == content
        store.write_bytes(sound)
        await daemon.start()
        await assert_serves(daemon)


async def test_a_store_of_another_program() -> None:
    async with no_daemon() as daemon:
        store = daemon.state / "store.db"
        store.unlink()
        database = sqlite3.connect(store)
        database.execute("CREATE TABLE theirs (x)")
        database.commit()
        database.close()
        content = store.read_bytes()
        await assert_does_not_start(daemon, str(store), "another program", "--state-dir")
        assert store.read_bytes() == content


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
async def test_a_state_folder_of_another_user() -> None:
    async with no_daemon() as daemon:
        os.chown(daemon.state, 65534, 65534)
        before = sorted(entry.name for entry in daemon.state.iterdir())
        await assert_does_not_start(daemon, str(daemon.state), "another user (uid 65534)", "--state-dir")
        assert sorted(entry.name for entry in daemon.state.iterdir()) == before
        assert daemon.state.stat().st_uid == 65534
        os.chown(daemon.state, 0, 0)
        await daemon.start()
        await assert_serves(daemon)


async def test_a_state_folder_that_cannot_be_made() -> None:
    async with no_daemon() as daemon:
        file = daemon.folder / "file"
        file.touch()
        daemon.settings["MILEPOST_STATE_DIR"] = str(file / "state")
        await assert_does_not_start(daemon, str(file), "--state-dir")
        daemon.settings["MILEPOST_STATE_DIR"] = str(file)
        await assert_does_not_start(daemon, str(file), "--state-dir")


async def test_a_socket_path_that_is_too_long() -> None:
    async with no_daemon() as daemon:
        long = str(daemon.folder / ("x" * 120))
        alone = await milepostd(daemon, "--socket", long)
        assert_told(alone, 2, long, "100 are possible", "--socket")
        verb = await run_cli(daemon.environment, "ls", "--json", "--socket", long)
        assert_told(verb, 2, long, "100 are possible", code=Code.SETTING_INVALID)
        assert not Path(long).exists()


async def test_a_long_state_folder_gets_a_short_socket() -> None:
    async with no_daemon() as daemon:
        state = daemon.folder / ("s" * 120)
        daemon.state.rename(state)
        environment = {**daemon.environment, "MILEPOST_STATE_DIR": str(state), "XDG_RUNTIME_DIR": ""}
        try:
            listed = await run_cli(environment, "ls", "--json")
            assert (listed.code, listed.document) == (0, {"jobs": []}), listed
            socket = Path((state / "socket").read_text().strip())
            assert len(os.fsencode(socket)) <= 100
            assert oct(socket.parent.stat().st_mode & 0o777) == "0o700"
            file = daemon.folder / "good.py"
            file.write_text(GOOD)
            done = await run_cli(environment, "run", str(file))
            assert done.code == 0, done
        finally:
            await run_cli(environment, "daemon", "stop", "--leave")
        assert not socket.exists()
