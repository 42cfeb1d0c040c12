"""The verbs that only read, and mistakes: what they print, their JSON, their exit status. One job is there for all."""

import csv
import io
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from milepost.core.model import JobState
from milepost.v1 import job_pb2
from tests.support.cli import Cli
from tests.support.daemon import RealDaemon, real_daemon

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOB_FIELDS = {field.name for field in job_pb2.Job.DESCRIPTOR.fields}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon() -> AsyncIterator[RealDaemon]:
    async with real_daemon() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def completed(daemon: RealDaemon) -> job_pb2.Job:
    """The only job there is."""
    daemon.gate.touch()
    job = await daemon.submit(parameters={"failing": ["item-003"]}, name="first", labels={"team": "x"})
    return await daemon.wait_state(job.id, JobState.COMPLETED)


@pytest.fixture
def cli(daemon: RealDaemon) -> Cli:
    return Cli(daemon)


async def test_ls(cli: Cli, completed: job_pb2.Job) -> None:
    plain = await cli("ls")
    assert plain.code == 0
    assert plain.out.splitlines()[0].split() == ["ID", "STATE", "PROCESSED", "AGE", "QUEUE", "NAME"]
    assert "△ COMPLETED  20 of 20, 1 failed" in plain.out
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
    words = (await cli("items", completed.id, "--key", "item-003", "--full")).out
    assert words.startswith("✗ FAILED  item-003  at work, attempt 1\n  error ")
    assert 'payload     {"key":"item-003"' in words
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
    assert f"no later attempt has made good: milepost items @last --error-class {failure['error_class']}" in plain.err
    listed = await cli("items", "@last", "--error-class", failure["error_class"], "--json")
    assert [item["key"] for item in listed.document["items"]] == ["item-003"]
    none = await cli("items", "@last", "--error-class", "timeout")
    assert none.err.startswith("No item matches.\nnote: an item that succeeded at a later attempt has no error")


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
