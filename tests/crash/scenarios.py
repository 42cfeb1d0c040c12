"""What is played while something is killed. A scenario passes every edge that it can, and says what must come of it."""

import json
from collections import Counter

import pytest

from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.crash import brief as pipeline_of_brief
from tests.crash import pipeline
from tests.crash.drill import Drill, Kill, drill
from tests.support.daemon import counts_of, state_of

LINES = ("a", "b", "c", "d")
COMMAND = """
echo run {} >> effects
while [ ! -e gate ]; do sleep 0.02; done
echo done {}
"""


async def brief(here: Drill) -> None:
    """A single item, from submit to the end."""
    jobs = here.daemon.client.jobs
    async with here.serving():
        source = pb.PythonPipeline(file=pipeline_of_brief.__file__)
        request = pb.SubmitJobRequest(
            python_pipeline=source,
            parameters_json=json.dumps({"effects": str(here.daemon.effects_file)}),
        )
        job = (await here.ask(jobs.SubmitJob, request)).job.id
        await here.until(job, _is_completed, "it is completed")
        await here.check_nothing_runs()
    here.check_no_litter()
    here.check_executions(Counter({("", "only"): 1}))
    here.check_store(job, Counter({("only", "SUCCEEDED"): 1}))


async def journey(here: Drill) -> None:
    """A pipeline in Python: submitted, paused, resumed, completed, restarted from a step, completed."""
    jobs = here.daemon.client.jobs
    async with here.serving():
        parameters = {"effects": str(here.daemon.effects_file), "gate": str(here.daemon.gate)}
        source = pb.PythonPipeline(file=pipeline.__file__)
        request = pb.SubmitJobRequest(python_pipeline=source, parameters_json=json.dumps(parameters))
        job = (await here.ask(jobs.SubmitJob, request)).job.id
        await here.until(job, lambda found: _is_at_the_gate(here, found), "two tasks wait at the gate")
        await here.ask(jobs.PauseJob, pb.PauseJobRequest(job=job))
        here.daemon.gate.touch()
        await here.until(job, lambda found: state_of(found) is JobState.PAUSED, "it is paused")
        await here.ask(jobs.ResumeJob, pb.ResumeJobRequest(job=job))
        await here.until(job, _is_completed, "it is completed")
        here.forget("cut", "report")
        await here.ask(jobs.RestartJob, pb.RestartJobRequest(job=job, from_step="cut"))
        await here.until(job, _is_completed, "it is completed again")
        await here.check_nothing_runs()
    here.check_no_litter()
    items = [f"item-{number}" for number in range(pipeline.ITEMS)]
    pieces = ["item-1/2", *(f"{item}/1" for item in items[1:])]
    here.check_executions(
        Counter({("", "rows"): 1, ("", "report"): 2})
        + Counter((item, "fetch") for item in (*items, "item-2"))
        + Counter((item, "split") for item in items[1:])
        + Counter((piece, "cut") for piece in pieces * 2)
    )
    outcomes = {("items", "SUCCEEDED"): 1, ("fetch", "SKIPPED"): 1, ("fetch", "SUCCEEDED"): 5}
    more = {("split", "SUCCEEDED"): 5, ("cut", "SUCCEEDED"): 6, ("report", "SUCCEEDED"): 1}
    here.check_store(job, Counter(outcomes | more))


async def spooled(here: Drill) -> None:
    """A command for each line: the daemon stays away past the lease, comes back; restarted from scratch, and
    force-cancelled."""
    jobs = here.daemon.client.jobs
    source = here.daemon.folder / "lines"
    source.write_text("".join(f"{line}\n" for line in LINES))
    async with here.serving():
        request = pb.SubmitJobRequest(
            command_pipeline=pb.CommandPipeline(argv=["sh", "-c", COMMAND], concurrency=2),
            input_path=str(source),
            working_directory=str(here.daemon.folder),
        )
        job = (await here.ask(jobs.SubmitJob, request)).job.id
        request.request_id = ""
        with pytest.raises(MilepostError) as refusal:
            await here.ask(jobs.SubmitJob, request)
        assert refusal.value.code is Code.DUPLICATE_JOB
        # In flight by a runner that is attached: one that no daemon has welcomed yet waits for one, for a minute.
        await here.until(
            job, lambda found: _executes(here, 2) and counts_of(found, "run").in_flight == 2, "two execute"
        )
        await here.ask(jobs.InspectJob, pb.InspectJobRequest(job=job))
    here.daemon.gate.touch()
    await here.check_nothing_runs()
    async with here.serving():
        await here.until(job, _is_completed, "it is completed")
        here.check_executions(Counter((line, "run") for line in LINES))
        here.daemon.gate.unlink()
        here.forget("run")
        executed = sum(here.effects().values())
        await here.ask(jobs.RestartJob, pb.RestartJobRequest(job=job, from_scratch=True))
        await here.until(
            job,
            lambda found: _executes(here, executed + 1) and counts_of(found, "items").succeeded,
            "it executes again, and that its items are complete is recorded",
        )
        await here.ask(jobs.ForceCancelJob, pb.ForceCancelJobRequest(job=job))
        await here.until(job, lambda found: state_of(found) is JobState.CANCELLED, "it is cancelled")
        assert here.daemon.processes() == {}
    here.check_no_litter()
    here.check_store(job, Counter({("items", "SUCCEEDED"): 1}))


def _is_at_the_gate(here: Drill, job: job_pb2.Job) -> bool:
    """Any two of the three that wait there: what was lost with a worker runs again, behind others."""
    executed = here.effects()
    waiting = [number for number in range(3, pipeline.ITEMS) if executed[f"item-{number}", "fetch"]]
    return len(waiting) >= 2 and counts_of(job, "fetch").in_flight == 2


def _executes(here: Drill, number: int) -> bool:
    return sum(here.effects().values()) >= number


def _is_completed(job: job_pb2.Job) -> bool:
    return state_of(job) is JobState.COMPLETED


#: The quickest first.
SCENARIOS = {"brief": brief, "journey": journey, "spooled": spooled}


async def play(scenario: str, *kills: Kill, module: str = "milepost.daemon.main") -> Drill:
    """The whole drill, on a daemon of its own (started as this module), with everything checked."""
    settings = {"MILEPOST_RUNNER_LEASE": "1"} if scenario == "spooled" else {}
    async with drill(*kills, **settings) as played:
        played.daemon.module = module
        await SCENARIOS[scenario](played)
        played.passed = played.passings
    return played
