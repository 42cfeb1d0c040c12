"""The verbs that change something, against a real daemon: what they print, their JSON, their exit status."""

import signal

import pytest

from milepost.core.model import JobState
from milepost.v1 import job_pb2
from tests.support.cli import Cli, start_cli
from tests.support.daemon import RealDaemon

JOB_FIELDS = {field.name for field in job_pb2.Job.DESCRIPTOR.fields}


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


async def test_pause_resume_and_their_documents(cli: Cli, daemon: RealDaemon, held: job_pb2.Job) -> None:
    paused = await cli("pause", held.id, "--json")
    assert (paused.code, paused.document["state"]) == (0, "PAUSING")
    assert paused.document["holding"] in (True, False)
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
    told = (await cli()).out
    assert "Needs you" not in told  # someone wants it to be paused
    assert "1 job is paused: milepost ls state = PAUSED" in told


async def test_alone_it_tells_what_changed_and_what_needs_you(cli: Cli, completed: job_pb2.Job) -> None:
    first = await cli()
    assert completed.id in first.out
    assert f"milepost retry {completed.id}" in first.out
    second = await cli("--json")
    assert second.document["changed"] == []
    assert [job["id"] for job in second.document["needs_you"]] == [completed.id]


async def test_what_pauses_everything_is_said_everywhere_with_how_to_lift_it(cli: Cli, daemon: RealDaemon) -> None:
    daemon.gate.touch()
    sentinel = daemon.state / "PAUSE"
    sentinel.touch()
    lines = daemon.folder / "lines"
    lines.write_text("a\n")
    queued = await cli("submit", "--each", str(lines), "--", "true", "{}")
    told = (queued, await cli("ls"), await cli("show", "@last"), await cli(), await cli("daemon", "status"))
    for one in told:
        assert f"The file {sentinel} pauses every job" in one.out + one.err, one
        assert f"(rm {sentinel})" in one.out + one.err, one
    assert (await cli("show", "@last", "--json")).document["reason"]["code"] == "PAUSE_FILE"
    watch = await start_cli(daemon.environment, "watch", "@last", "--json")
    await watch.wait_printed(lambda text: "PAUSE_FILE" in text, "the job as it is")
    sentinel.unlink()
    await watch.wait_printed(lambda text: "COMPLETED" in text, "it started")
    watch.process.send_signal(signal.SIGINT)
    await watch.end()
    assert "pauses every job" not in (await cli("daemon", "status")).out


async def test_version_and_config_need_no_daemon(cli: Cli, daemon: RealDaemon) -> None:
    daemon.terminate()
    assert (await cli("version", "--json")).document["daemon_version"] is None
    assert (await cli("version")).out.startswith((await cli("--version")).out.strip())
    settings = {one["name"]: one for one in (await cli("config", "--json")).document["settings"]}
    assert settings["state_dir"]["source"] == "environment"
    assert settings["pause_timeout"]["value"] == "60"
    assert not (daemon.socket).exists()
