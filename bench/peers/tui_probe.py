"""The real screen on the real terminal it was given, watched from within: probe.py SOCKET JOBS SECONDS REPORT.

Writes to REPORT: seconds until the list was complete, share of a core and p99 of the loop's lag while it ran, and what
filters and sorts of the whole list took.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from pathlib import Path

from milepost.common.settings import load_settings
from milepost.tui.app import MilepostApp
from milepost.tui.view import JobView, Order, Sort

STEP = 0.01
FILTERS = ("customers 77", "state = RUNNING failed < 1", "succeeded > 500 OR state = FAILED")


def timed(view: JobView, app: MilepostApp) -> float:
    begun = time.perf_counter()
    view.rebuild(app.store.rows, time.time())
    return (time.perf_counter() - begun) * 1e3


async def measure(app: MilepostApp, jobs: int, seconds: float, report: Path) -> None:
    begun = time.monotonic()
    while len(app.store.rows) < jobs or not app.store.complete:  # noqa: ASYNC110 - it is looked at from outside
        await asyncio.sleep(STEP)
    loaded = time.monotonic() - begun
    await asyncio.sleep(2.0)
    lags, cpu, start = [], time.process_time(), time.monotonic()
    while time.monotonic() - start < seconds:
        due = time.monotonic() + STEP
        await asyncio.sleep(STEP)
        lags.append(time.monotonic() - due)
    cpu_percent = 100 * (time.process_time() - cpu) / (time.monotonic() - start)
    probe_cost = 100 * await asyncio.to_thread(idle_probe_cost)
    view = JobView()
    filters = []
    for text in FILTERS * 5:
        view.filter(text)
        begun = time.perf_counter()
        view.matching(app.store.rows, time.time())
        filters.append((time.perf_counter() - begun) * 1e3)
    view.filter("")
    sorts = []
    for sort in (Sort.ATTENTION, Sort.NAME, Sort.PERCENT) * 3:
        view.order = Order(sort)
        sorts.append(timed(view, app))
    answer = {
        "loaded": loaded,
        "cpu": cpu_percent - probe_cost,
        "lag": sorted(lags)[int(len(lags) * 0.99)] * 1e3,
        "filter": statistics.median(filters),
        "sort": statistics.median(sorts),
        "rss": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20,
    }
    await asyncio.to_thread(report.write_text, json.dumps(answer))
    app.exit()


def idle_probe_cost() -> float:
    """Share of a core that the probe's own sleeping costs in an otherwise idle loop."""

    async def sleeps() -> None:
        for _ in range(100):
            await asyncio.sleep(STEP)

    begun, start = time.thread_time(), time.monotonic()
    asyncio.run(sleeps())
    return (time.thread_time() - begun) / (time.monotonic() - start)


def main() -> None:
    socket, jobs, seconds, report = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
    app = MilepostApp(load_settings({"socket": socket, "state_dir": str(report.parent)}, os.environ), os.environ)
    app.call_later(lambda: app.run_worker(measure(app, jobs, seconds, report)))
    app.run()


if __name__ == "__main__":
    main()
