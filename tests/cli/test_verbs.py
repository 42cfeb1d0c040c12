"""Every verb against a real daemon: what it prints, its JSON, its exit status."""

import csv
import io
import signal

import pytest

from milepost.core.model import JobState
from milepost.v1 import job_pb2
from tests.support.cli import Finished, run_cli, start_cli
from tests.support.daemon import RealDaemon

JOB_FIELDS = {field.name for field in job_pb2.Job.DESCRIPTOR.fields}


class Cli:
    def __init__(self, daemon: RealDaemon) -> None:
        self.daemon = daemon

    async def __call__(self, *arguments: str) -> Finished:
        return await run_cli(self.daemon.environment, *arguments)


@pytest.fixture
def cli(daemon: RealDaemon) -> Cli:
    return Cli(daemon)


@pytest.fixture
async def completed(daemon: RealDaemon) -> job_pb2.Job:
    daemon.gate.touch()
    job = await daemon.submit(parameters={"failing": ["item-003"]}, name="first", labels={"team": "x"})
    return await daemon.wait_state(job.id, JobState.COMPLETED)


@pytest.fixture
async def held(daemon: RealDaemon) -> job_pb2.Job:
    """A job whose items stand in flight."""
    job = await daemon.submit(name="held", allow_duplicate=True)
    await daemon.wait_effects(1)
    return await daemon.wait_state(job.id, JobState.RUNNING)


async def test_ls(cli: Cli, completed: job_pb2.Job) -> None:
    plain = await cli("ls")
    assert plain.code == 0
    assert plain.out.splitlines()[0].split() == ["ID", "STATE", "PROGRESS", "AGE", "QUEUE", "NAME"]
    assert "! COMPLETED  20 of 20 processed, 1 failed" in plain.out
    [document] = (await cli("ls", "--json")).document["jobs"]
    assert set(document) == JOB_FIELDS
    assert (document["id"], document["state"]) == (completed.id, "COMPLETED")


@pytest.mark.parametrize(
    ("filter_text", "number"),
    [("state = COMPLETED AND failed > 0", 1), ("label.team = x", 1), ("first", 1), ("state = FAILED", 0)],
)
async def test_ls_by_filter(cli: Cli, completed: job_pb2.Job, filter_text: str, number: int) -> None:
    assert len((await cli("ls", filter_text, "--json")).document["jobs"]) == number
    assert len((await cli("ls", "--filter", filter_text, "--json")).document["jobs"]) == number
    assert len((await cli("ls", *filter_text.split(), "--json")).document["jobs"]) == number


async def test_show(cli: Cli, completed: job_pb2.Job) -> None:
    document = (await cli("show", "first", "--json")).document
    assert set(document) == JOB_FIELDS
    assert [step["name"] for step in document["steps"]] == ["items", "check", "work", "report"]
    counts = document["steps"][2]["counts"]
    parts = ("succeeded", "failed", "skipped", "upstream", "in_flight", "pending")
    assert sum(counts[part] for part in parts) == counts["total"] == 20
    allowed = {action["command"] for action in document["actions"] if action["allowed"]}
    assert "RETRY" in allowed
    plain = await cli("show", completed.id)
    assert f"milepost retry {completed.id}" in plain.out
    several = await cli("show", completed.id, "@last", "--json")
    assert len(several.document["jobs"]) == 2


async def test_path(cli: Cli, completed: job_pb2.Job) -> None:
    assert (await cli("path", "@last")).out.strip() == str(cli.daemon.state / "jobs" / completed.id)


async def test_items(cli: Cli, completed: job_pb2.Job) -> None:
    found = await cli("items", completed.id, "--state", "failed", "--json")
    [item] = found.document["items"]
    assert (item["key"], item["state"], item["step"]) == ("item-003", "FAILED", "work")
    assert "is no good" in item["failure"]["message"]
    plain = await cli("items", completed.id)
    assert len(plain.out.splitlines()) == 21
    one = await cli("items", completed.id, "--key", "item-001", "--full", "--json")
    assert one.document["items"][0]["tasks"]
    cut = await cli("items", completed.id, "-n", "5")
    assert len(cut.out.splitlines()) == 6
    assert "--limit 0" in cut.err


async def test_items_by_class_and_stats(cli: Cli, completed: job_pb2.Job) -> None:
    found = (await cli("stats", "@last", "--json")).document
    executed = [step.counts.succeeded + step.counts.skipped for step in completed.steps]
    assert [step["executions"]["count"] for step in found["steps"]] == executed
    (failure,) = found["failures"]
    plain = await cli("stats", "@last")
    assert plain.out.splitlines()[0].split()[:3] == ["STEP", "EXECUTED", "MEAN"]
    assert f"milepost items @last --class {failure['error_class']}" in plain.err
    listed = await cli("items", "@last", "--class", failure["error_class"], "--json")
    assert [item["key"] for item in listed.document["items"]] == ["item-003"]
    assert (await cli("items", "@last", "--class", "nothing", "--json")).document["items"] == []


async def test_daemon_stats(cli: Cli) -> None:
    assert "cores, load" in (await cli("daemon", "stats")).out
    found = (await cli("daemon", "stats", "--json")).document
    assert found["machine"]["disk_free_bytes"] > 0
    assert found["daemon"]["cpu_percent"] >= 0


async def test_results(cli: Cli, completed: job_pb2.Job) -> None:
    lines = (await cli("results", completed.id)).documents
    assert len(lines) == 20
    added = [one for one in lines if one["label"] == "added"]
    assert len(added) == 17
    assert added[0]["results"]["work"] == {"number": 0}
    table = await cli("results", completed.id, "--format", "csv", "--outcome", "failed", "--outcome", "skipped")
    rows = list(csv.DictReader(io.StringIO(table.out)))
    assert sorted(row["outcome"] for row in rows) == ["FAILED", "SKIPPED", "SKIPPED"]


async def test_events_and_logs(cli: Cli, completed: job_pb2.Job) -> None:
    kinds = [event["to_state"] for event in (await cli("events", completed.id, "--json")).document["events"]]
    assert [kind for kind in kinds if kind != "UNSPECIFIED"] == ["QUEUED", "RUNNING", "COMPLETED"]
    assert "→ COMPLETED" in (await cli("events", completed.id)).out
    log = await cli("logs", completed.id, "-f")
    assert log.code == 0


async def test_pause_resume_and_their_documents(cli: Cli, daemon: RealDaemon, held: job_pb2.Job) -> None:
    paused = await cli("pause", held.id, "--json")
    assert (paused.code, paused.document["state"], paused.document["holding"]) == (0, "PAUSING", True)
    assert set(paused.document) > JOB_FIELDS
    again = await cli("pause", held.id, "--json")
    assert again.code == 3
    assert again.document["error"]["code"] == "NOT_ALLOWED"
    assert again.err.startswith("error: ")
    assert "\nnext: " in again.err
    now = await cli("pause", held.id, "--now", "--wait")
    assert now.code == 0, now
    assert "PAUSED" in now.out
    daemon.gate.touch()
    resumed = await cli("resume", held.id, "--wait", "--json")
    assert (resumed.code, resumed.document["state"]) == (0, "COMPLETED")


async def test_several_jobs_and_the_worst_of_what_came(cli: Cli, completed: job_pb2.Job, daemon: RealDaemon) -> None:
    daemon.gate.unlink()
    job = await daemon.submit(name="held", allow_duplicate=True)
    await daemon.wait_state(job.id, JobState.RUNNING)
    done = await cli("pause", completed.id, job.id, "j-22222222", "--now", "--json")
    assert done.code == 4
    assert [one["id"] for one in done.document["jobs"]] == [job.id]
    assert [one["error"]["code"] for one in done.document["errors"]] == ["NOT_ALLOWED", "JOB_NOT_FOUND"]


async def test_by_filter(cli: Cli, daemon: RealDaemon, held: job_pb2.Job) -> None:
    cancelled = await cli("force-cancel", "--filter", "state = RUNNING AND held", "--wait", "--json")
    assert cancelled.code == 0, cancelled
    assert [job["state"] for job in cancelled.document["jobs"]] == ["CANCELLED"]
    none = await cli("resume", "--filter", "state = FAILED")
    assert (none.code, none.err.strip()) == (0, "No job matches.")
    assert (await cli("cancel")).code == 2
    assert (await cli("cancel", held.id, "--filter", "held")).code == 2
    assert (await cli("cancel", "--filter", " ")).code == 2


async def test_cancel_restart_retry(cli: Cli, daemon: RealDaemon, completed: job_pb2.Job) -> None:
    daemon.gate.with_name("gate.mended").touch()
    retried = await cli("retry", completed.id, "--wait", "--json")
    assert (retried.code, retried.document["retried"], retried.document["counts"]["failed"]) == (0, 1, 0)
    assert (await cli("retry", completed.id)).code == 3
    again = await cli("restart", completed.id, "--from", "report", "--wait")
    assert again.code == 0, again
    assert sum(daemon.effects("report").values()) == 3
    assert (await cli("restart", completed.id, "--from", "nowhere")).code == 2
    assert (await cli("cancel", completed.id)).code == 3


async def test_inspect(cli: Cli, held: job_pb2.Job) -> None:
    found = await cli("inspect", held.id, "--json")
    assert found.code == 0, found
    roles = {process["role"].split()[0] for process in found.document["processes"]}
    assert {"runner", "worker"} <= roles
    assert any("most recent call" in process["stacks"] for process in found.document["processes"])
    assert "stacks of" in (await cli("inspect", held.id)).out


async def test_watch_tells_each_change_as_a_line(cli: Cli, daemon: RealDaemon, held: job_pb2.Job) -> None:
    watching = await start_cli(daemon.environment, "watch", held.id, "--json")
    await watching.wait_printed(lambda text: '"RUNNING"' in text, "the state of now")
    await cli("pause", held.id, "--now")
    await watching.wait_printed(lambda text: '"state": "PAUSED"' in text, "the change")
    watching.process.send_signal(signal.SIGINT)
    done = await watching.end()
    assert done.code == 0
    assert {document["id"] for document in done.documents} == {held.id}


async def test_alone_it_tells_what_changed_and_what_needs_you(cli: Cli, completed: job_pb2.Job) -> None:
    first = await cli()
    assert completed.id in first.out
    assert f"milepost retry {completed.id}" in first.out
    second = await cli("--json")
    assert second.document["changed"] == []
    assert [job["id"] for job in second.document["needs_you"]] == [completed.id]


async def test_version_and_config_need_no_daemon(cli: Cli, daemon: RealDaemon) -> None:
    daemon.terminate()
    assert (await cli("version", "--json")).document["daemon_version"] is None
    assert (await cli("version")).out.startswith((await cli("--version")).out.strip())
    settings = {one["name"]: one for one in (await cli("config", "--json")).document["settings"]}
    assert settings["state_dir"]["source"] == "environment"
    assert settings["pause_timeout"]["value"] == "60"
    assert not (daemon.socket).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["show", "nothing"], 4, "no job"),
        (["ls", "state = BROKEN"], 2, "States:"),
        (["show"], 2, "required"),
        (["fly"], 2, "--help"),
        (["resum", "@last"], 2, "Did you mean milepost resume?"),
        (["run", "/nowhere/pipeline.py"], 2, "/nowhere/pipeline.py"),
        (["run", "--each", "/nowhere/lines", "--", "true"], 2, "/nowhere/lines"),
        (["ls", "--socket", "/" + "x" * 120], 2, "100"),
    ],
)
async def test_errors_say_what_happened_and_what_to_do(cli: Cli, arguments: list[str], code: int, told: str) -> None:
    done = await cli(*arguments[:1], "--json", *arguments[1:])
    assert done.code == code, done
    assert done.err.startswith("error: ")
    assert "\nnext: " in done.err
    assert told in done.err
    assert done.document["error"]["remedy"]
