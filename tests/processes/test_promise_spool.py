"""A spool that was altered on disk is refused or taken exactly once, and its job goes on.

What else can be wrong with the file, and that nothing is read of it from there on: tests/common/test_spool.py.
"""

import struct
from collections.abc import Callable
from pathlib import Path

from milepost.common.spool import read_spool, spool_path, write_spool
from milepost.core.model import JobState
from milepost.v1 import job_pb2
from milepost.v1 import runner_service_pb2 as pb
from tests.support.daemon import RealDaemon, counts_of, real_daemon
from tests.support.fake_daemon import reports_of
from tests.support.promise import let_pass, recorded, submit
from tests.support.wait import wait_until

#: Of each job: 4 items are in flight when the daemon goes, and are spooled, each in a record of its own.
COUNT = 8
SPOOLED = [f"item-{number:03}" for number in range(4)]

Alter = Callable[[Path], None]


def rewritten(change: Callable[[bytes, list[int]], bytes]) -> Alter:
    """`change` is given the file and where its records begin, and gives what it is to be."""

    def alter(path: Path) -> None:
        whole = path.read_bytes()
        places = [whole.index(b"\n") + 1]
        while places[-1] < len(whole):
            places.append(places[-1] + 8 + struct.unpack_from(">I", whole, places[-1])[0])
        path.write_bytes(change(whole, places))

    return alter


def add_nonsense(path: Path) -> None:
    """Well-formed, of this run, and impossible to record."""
    *_, folder, _spool, _run = path.parts
    batches = read_spool(path, folder, 1).batches
    root = pb.TaskRef(step=0, item=0)
    two = pb.GivenItems(keys=["", ""], payloads_json=["", ""])
    unknown_kind = pb.Report.FromString(b"\x0a\x04\x08\x02\x10\x05\x10\x63")  # 99, of step 2 and item 5
    nonsense = [
        pb.Batch(reports=[unknown_kind]),
        pb.Batch(reports=[pb.Report(task=pb.TaskRef(step=77, item=-5, epoch=-1), kind=pb.REPORT_KIND_SUCCEEDED)]),
        pb.Batch(children=[pb.Children(task=root, first_position=2**63 - 1, children=two)]),
    ]
    write_spool(path, folder, 1, [*batches, *nonsense])


def leave(path: Path) -> None:
    """Nothing is done to it here."""


def replace_by_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


#: What is done to a spool -> how many of its records count.
ALTERATIONS: dict[str, tuple[Alter, int]] = {
    "unaltered": (leave, 4),
    "truncated": (rewritten(lambda whole, places: whole[: places[3] + 5]), 3),
    "all records doubled": (rewritten(lambda whole, places: whole + whole[places[0] :]), 4),
    "nonsense": (add_nonsense, 4),
    "a link": (replace_by_link, 0),
    "another job's": (leave, 0),
}


async def test_an_altered_spool_is_refused_or_taken_once() -> None:
    limits = {"MILEPOST_MAX_RUNNING_JOBS": "20", "MILEPOST_QUEUES": "default=20"}
    async with real_daemon(MILEPOST_RUNNER_LEASE="1", **limits) as daemon:
        let_pass(daemon, 0)
        effects = {name: daemon.folder / f"effects.{number}" for number, name in enumerate(ALTERATIONS)}
        jobs = {name: await submit(daemon, "work4", count=COUNT, effects=str(effects[name])) for name in ALTERATIONS}
        for job in jobs.values():
            await recorded(daemon, job.id, 0, 4)
            await daemon.wait_for(job.id, all_prepared, "no more is to be reported")
        daemon.kill()
        await wait_until(lambda: all_hold(daemon, jobs), "their leases have run out")
        let_pass(daemon, 4)
        await wait_until(lambda: all_gone(daemon), "the runners have spooled and ended")
        for name, (alter, _) in ALTERATIONS.items():
            path = spool_path(daemon.state / "jobs" / jobs[name].id, 1)
            one_record_each(path, jobs[name].id)
            alter(path)
        foreign, other = (
            spool_path(daemon.state / "jobs" / jobs[name].id, 1) for name in ("another job's", "unaltered")
        )
        foreign.write_bytes(other.read_bytes())
        let_pass(daemon, 0)
        await daemon.start()
        found = {name: counts_of(await daemon.job(job.id), "work").succeeded for name, job in jobs.items()}
        assert found == {name: intact for name, (_, intact) in ALTERATIONS.items()}
        let_pass(daemon, COUNT)
        for name, job in jobs.items():
            completed = await daemon.wait_state(job.id, JobState.COMPLETED)
            assert (completed.counts.succeeded, completed.counts.total) == (COUNT, COUNT)
            damage = [event.message for event in await daemon.events(job.id) if "could not be read" in event.message]
            assert bool(damage) == (name != "unaltered"), (name, damage)
            daemon.effects_file = effects[name]
            again = {key for key, times in daemon.effects("done").items() if times > 1}
            assert again == set(SPOOLED[found[name] :]), name


def one_record_each(path: Path, job_id: str) -> None:
    """As if each report had been in a batch of its own, in the order of the items."""
    reports = [report for batch in read_spool(path, job_id, 1).batches for report in reports_of(batch)]
    reports.sort(key=lambda report: report.task.item)
    assert len(reports) == len(SPOOLED)
    write_spool(path, job_id, 1, [pb.Batch(sequence=n, reports=[report]) for n, report in enumerate(reports, 1)])


def all_prepared(job: job_pb2.Job) -> bool:
    return counts_of(job, "prepare").succeeded == COUNT


async def all_hold(daemon: RealDaemon, jobs: dict[str, job_pb2.Job]) -> bool:
    return all("hold: The daemon has been away" in daemon.run_log(job.id) for job in jobs.values())


async def all_gone(daemon: RealDaemon) -> bool:
    return not daemon.processes()
