"""Creators from a CSV: validate, fetch their profiles over HTTP, score them, store them, and report on all.

    milepost run examples/creators/pipeline.py --input examples/creators/creators.csv

Parameters (`--param NAME=VALUE`):
    server     address of a running `profiles.py`; without it each worker that fetches starts one of its own
    slowdown   how many times slower than the fastest the service answers; 10 gives a person time to watch
    effects    a file to which each task appends "STEP KEY" when it really executes: the witness of the tests
"""

import asyncio
import csv
import functools
import os
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import httpx
import page

from milepost import Job, Persistent, Pipeline, Results, Retry, Task, Transient, labelled, skipped

COLUMNS = ("handle", "name", "platform", "followers", "bio")
SURPLUS = "surplus"  # what a row has beyond the header's columns: a comma that was not quoted
RESAMPLES = 600

Creator = dict[str, Any]  # Any: JSON data

creators = Pipeline("creators", key="handle")


@creators.items
def rows(job: Job) -> Iterator[Creator]:
    with job.open_input() as file:
        yield from read_creators(file)


@creators.step
def validate(creator: Creator, task: Task) -> object:
    note_execution(task)
    if surplus := creator.get(SURPLUS):
        raise Persistent(
            f"The row has {len(surplus)} more fields than the header.", remedy="Quote the field that holds a comma."
        )
    return skipped("filtered") if not creator["handle"] else None


@creators.step(retry=Retry(attempts=4, base="200ms", cap="2s"), timeout="4s", concurrency=16)
async def fetch(creator: Creator, task: Task) -> Creator:
    note_execution(task)
    address = task.job.parameters.get("server") or await own_server.address(task.job.parameters.get("slowdown", 10))
    return await get_profile(client(), str(address), creator["handle"], task.attempt)


@creators.step(workers=2)
def score(creator: Creator, task: Task) -> Creator:
    note_execution(task)
    return engagement(creator["handle"], task.previous["fetch"])


@creators.step
def store(creator: Creator, task: Task) -> object:
    note_execution(task)
    return labelled("added", {"name": creator["name"], "platform": creator["platform"], **task.previous["score"]})


@creators.step(takes="all")
def report(results: Results, task: Task) -> dict[str, int]:
    note_execution(task)
    labels: Counter[str] = Counter()
    failures = []
    for row in results:
        labels[row.label or row.outcome.lower()] += 1
        if row.outcome == "FAILED":
            failures.append(page.Failure(row.key, row.step, row.error_class, row.error_message))
    (task.artefacts / "report.html").write_text(page.render(labels, failures), encoding="utf-8")
    return dict(labels)


def read_creators(file: TextIO) -> Iterator[Creator]:
    """The rows of a CSV with (at least) these columns, stripped; handles in one spelling; blank lines are no rows."""
    reader = csv.DictReader(file, restkey=SURPLUS, strict=True)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
        if missing:
            raise Persistent(
                f"The input has no column {', '.join(missing)}.",
                remedy=f"Its first line must name {','.join(COLUMNS)}.",
            )
        for row in reader:
            creator: Creator = {column: (row[column] or "").strip() for column in COLUMNS}
            creator["handle"] = creator["handle"].lstrip("@").lower()
            if any(creator.values()):
                yield {**creator, SURPLUS: row[SURPLUS]} if SURPLUS in row else creator
    except csv.Error as error:
        raise Persistent(
            f"The input is not a CSV: {error}, in the row that starts in line {reader.line_num + 1}.",
            remedy="Look there for a quote that is not closed.",
        ) from None


async def get_profile(http: httpx.AsyncClient, address: str, handle: str, attempt: int) -> Creator:
    """Raises what Milepost's rules know: httpx's errors by status, with their Retry-After, and its network errors."""
    response = await http.get(f"{address}/profiles/{quote(handle, safe='')}", headers={"X-Attempt": str(attempt)})
    response.raise_for_status()
    if not response.content:
        raise Transient("The profile service answered with nothing.")
    profile: Creator = response.json()
    return profile


def engagement(handle: str, profile: Creator) -> Creator:
    """The median share of followers that react to a post, in percent, with a 90 % interval by resampling."""
    followers = max(profile["followers"], 1)
    rates = [100 * (post["likes"] + post["comments"]) / followers for post in profile["posts"]]
    draw = random.Random(handle)
    medians = sorted(statistics.median(draw.choices(rates, k=len(rates))) for _ in range(RESAMPLES))
    low, high = medians[RESAMPLES // 20], medians[-RESAMPLES // 20]
    return {"score": round(statistics.median(rates), 3), "low": round(low, 3), "high": round(high, 3)}


class OwnServer:
    """The profile service as a child of this worker: started when first needed, and again should it have died.

    It ends when its standard input does, so it goes with the worker however that goes.
    """

    def __init__(self) -> None:
        self._starting = asyncio.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._address = ""

    async def address(self, slowdown: object) -> str:
        async with self._starting:
            if self._process is None or self._process.poll() is not None:
                self._address = await asyncio.to_thread(self._start, str(slowdown))
            return self._address

    def _start(self, slowdown: str) -> str:
        program = Path(__file__).with_name("profiles.py")
        self._process = subprocess.Popen(
            [sys.executable, program, slowdown], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        address = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not address:
            raise Transient("The profile service did not start; its own words are in the run's log.")
        return address


own_server = OwnServer()


@functools.cache
def client() -> httpx.AsyncClient:
    """One for all tasks of this worker. The step's timeout is the only one; a proxy would be asked for the loopback."""
    return httpx.AsyncClient(timeout=None, trust_env=False)  # noqa: S113


def note_execution(task: Task) -> None:
    effects = task.job.parameters.get("effects") or os.environ.get("EFFECTS_FILE")
    if effects:
        descriptor = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{task.step} {task.key}\n".encode())  # one write: lines of several workers never mix
        finally:
            os.close(descriptor)
