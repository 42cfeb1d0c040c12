"""`stats` and `daemon stats`: how long tasks take and what fails; how the machine and the daemon are."""

import asyncio

from milepost.cli.context import Context
from milepost.cli.documents import document
from milepost.cli.exit_codes import Exit
from milepost.cli.parser import Verbs, add_job
from milepost.cli.text import Cell
from milepost.common.client import Client
from milepost.common.text import safe, seconds_words
from milepost.v1 import daemon_service_pb2, job_service_pb2

#: The daemon measures CPU time over at least a second.
CPU_WINDOW = 1.1


def add_verbs(verbs: Verbs) -> None:
    parser = verbs.add(
        "stats",
        stats,
        "how long the tasks of each step take, and what attempts failed with",
        "milepost stats @last\nmilepost stats @last --json | jq '.steps[] | {step, p99: .executions.p99_seconds}'\n"
        "milepost stats @last --json | jq -c '.throughput[]'",
    )
    add_job(parser)


async def stats(context: Context) -> Exit:
    job = context.arguments.job
    async with context.client() as client:
        request = job_service_pb2.GetJobMetricsRequest(job=job)
        metrics = await client.call(client.jobs.GetJobMetrics, request)
    if context.json:
        context.out_json(document(metrics))
        return Exit.DONE
    heads = ["STEP", "EXECUTED", "MEAN", "MIN", "P50", "P90", "P99", "MAX", "FAILED ATTEMPTS"]
    context.out_table(heads, [_step_row(step) for step in metrics.steps])
    if metrics.failures:
        context.out("")
        rows: list[list[Cell | str]] = [
            [Cell(safe(failure.error_class), "red"), str(failure.count)] for failure in metrics.failures
        ]
        context.out_table(["FAILED WITH", "ATTEMPTS"], rows)
        command = f"milepost items {job} --error-class {safe(metrics.failures[0].error_class)}"
        context.say(context.as_called(f"Items that no later attempt has made good: {command}"))
    return Exit.DONE


def _step_row(step: job_service_pb2.StepMetrics) -> list[Cell | str]:
    found, failed = step.executions, step.failed_attempts
    seconds = (
        *(found.mean_seconds, found.min_seconds, found.p50_seconds, found.p90_seconds, found.p99_seconds),
        found.max_seconds,
    )
    told = [duration_words(value) if found.count else "—" for value in seconds]
    attempts = Cell(f"{failed.count}, {duration_words(failed.mean_seconds)} each", "red") if failed.count else ""
    return [safe(step.step), str(found.count), *told, attempts]


def duration_words(seconds: float) -> str:
    """Of an execution: as "3ms", "1.25s", "45s", "12m"."""
    if seconds < 1.0:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.3g}s" if seconds < 60 else seconds_words(seconds)


async def daemon_stats(context: Context, client: Client) -> Exit:
    request = daemon_service_pb2.GetStatsRequest()
    await client.call(client.daemon.GetStats, request)
    await asyncio.sleep(CPU_WINDOW)
    found = await client.call(client.daemon.GetStats, request)
    if context.json:
        context.out_json(document(found))
        return Exit.DONE
    machine, daemon = found.machine, found.daemon
    load = f"{machine.load_1m:.2f} {machine.load_5m:.2f} {machine.load_15m:.2f}"
    memory = f"{_size(machine.memory_used_bytes)} of {_size(machine.memory_total_bytes)} used"
    disk = f"{_size(machine.disk_free_bytes)} of {_size(machine.disk_total_bytes)} free"
    context.out(f"machine   {machine.cpu_percent:.0f} % of {machine.cores} cores, load {load}")
    context.out(f"  memory  {memory}")
    context.out(f"  disk    {disk}")
    context.out(f"daemon    {daemon.cpu_percent:.0f} % of a core, {_size(daemon.rss_bytes)} of memory")
    context.out(f"  open    {daemon.descriptors} descriptors, {daemon.threads} threads")
    context.out(f"  log     {_size(daemon.wal_bytes)} not yet in the database")
    context.out(f"  serves  {_number(found.runners, 'runner')}, {_number(found.watchers, 'watcher')}")
    return Exit.DONE


def _number(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def _size(number: int) -> str:
    value = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
