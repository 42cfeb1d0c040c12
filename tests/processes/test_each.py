"""`--each FILE -- COMMAND {}`: any command, resumed and retried by item."""

import os
import signal
from pathlib import Path

from milepost.core.model import JobState
from milepost.v1 import job_pb2, job_service_pb2
from tests.support.daemon import RealDaemon

#: Appends its item to the effects file, waits for the gate from item 20 on, fails for items that end in 7.
SCRIPT = """
printf 'work %s\\n' "$1" >> "$EFFECTS"
n=${1#url-}
while [ "$n" -ge 20 ] && [ ! -e "$GATE" ]; do sleep 0.02; done
case $1 in *7) [ -e "$GATE.mended" ] || { echo "no answer from $1" >&2; exit 3; } ;; esac
printf 'done %s\\n' "$1" >> "$EFFECTS"
"""


async def submit(daemon: RealDaemon) -> job_pb2.Job:
    urls = daemon.folder / "urls.txt"
    urls.write_text("".join(f"url-{n}\n" for n in range(10, 50)) + "\n")
    request = job_service_pb2.SubmitJobRequest(
        command_pipeline=job_service_pb2.CommandPipeline(
            argv=["sh", "-c", SCRIPT, "fetch", "{}"], concurrency=4, attempts=1
        ),
        input_path=str(urls),
        environment={"EFFECTS": str(daemon.effects_file), "GATE": str(daemon.gate)},
        working_directory=str(daemon.folder),
    )
    return (await daemon.client.call(daemon.client.jobs.SubmitJob, request)).job


async def four_at_the_gate(daemon: RealDaemon) -> job_pb2.Job:
    """The ten before them are recorded."""
    job = await submit(daemon)
    await daemon.wait_effects(14)
    return await daemon.wait_for(
        job.id,
        lambda found: (found.counts.processed, found.counts.in_flight) == (10, 4),
        "ten are recorded, four are in flight at the gate",
    )


async def test_a_killed_run_goes_on_by_item_and_what_failed_is_retried(daemon: RealDaemon) -> None:
    job = await four_at_the_gate(daemon)
    done = daemon.effects("done")
    assert set(done) == {f"url-{n}" for n in range(10, 20) if n % 10 != 7}
    os.kill(daemon.runner_pid(job.id), signal.SIGKILL)
    await daemon.wait_for(job.id, lambda found: found.run_count == 2, "it goes on by itself")
    daemon.gate.touch()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert (completed.counts.total, completed.counts.failed, completed.counts.succeeded) == (40, 4, 36)
    effects = daemon.effects()
    assert {key: effects[key] for key in done} == dict.fromkeys(done, 1)
    assert set(daemon.effects("done").values()) == {1}

    request = job_service_pb2.ListItemsRequest(job=job.id, states=[job_pb2.ITEM_STATE_FAILED])
    failed = (await daemon.client.call(daemon.client.jobs.ListItems, request)).items
    assert [item.key for item in failed] == ["url-17", "url-27", "url-37", "url-47"]
    assert failed[0].failure.error_class == "command_failed"
    assert "3" in failed[0].failure.message
    assert "no answer from url-17" in failed[0].failure.message
    assert "[run url-17] no answer from url-17" in daemon.run_log(job.id)

    daemon.gate.with_name("gate.mended").touch()
    await daemon.client.call(daemon.client.jobs.RetryTasks, job_service_pb2.RetryTasksRequest(job=job.id))
    again = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert again.counts.failed == 0
    assert daemon.effects() - effects == {f"url-{n}": 1 for n in (17, 27, 37, 47)}


async def test_pause_completes_the_commands_in_flight(daemon: RealDaemon) -> None:
    job = await four_at_the_gate(daemon)
    await daemon.held(daemon.client.jobs.PauseJob, job_service_pb2.PauseJobRequest(job=job.id))
    daemon.gate.touch()
    await daemon.wait_state(job.id, JobState.PAUSED)
    assert sum(daemon.effects().values()) == 14
    assert sum(daemon.effects("done").values()) == 13


async def test_force_cancel_ends_the_commands(daemon: RealDaemon) -> None:
    job = await four_at_the_gate(daemon)
    assert len(daemon.processes("fetch")) >= 4, "their shells"
    await daemon.client.call(daemon.client.jobs.ForceCancelJob, job_service_pb2.ForceCancelJobRequest(job=job.id))
    await daemon.wait_state(job.id, JobState.CANCELLED)
    assert not daemon.processes()


async def test_the_folder_of_artefacts_is_private(daemon: RealDaemon) -> None:
    job = await submit(daemon)
    daemon.gate.touch()
    done = await daemon.wait_state(job.id, JobState.COMPLETED)
    modes = {path: path.stat().st_mode & 0o077 for path in [daemon.state, *Path(done.folder).parent.rglob("*")]}
    assert not {path: oct(mode) for path, mode in modes.items() if mode}
    assert not daemon.socket.stat().st_mode & 0o077
    assert not (daemon.state / "store.db").stat().st_mode & 0o077


async def test_commands_under_way_while_the_daemon_is_killed_run_once_and_are_recorded(daemon: RealDaemon) -> None:
    job = await submit(daemon)
    await daemon.wait_effects(14)
    runner = daemon.runner_pid(job.id)
    daemon.kill()
    await daemon.start()
    # Those still under way are the new daemon's, too.
    await daemon.wait_for(job.id, lambda found: found.counts.in_flight == 4, "the runner has attached again")
    assert daemon.runner_pid(job.id) == runner
    daemon.kill()
    daemon.gate.touch()
    # These end while no daemon is there.
    await daemon.wait_effects(9 + 4, "done")
    await daemon.start()
    completed = await daemon.wait_state(job.id, JobState.COMPLETED)
    assert daemon.effects() == dict.fromkeys((f"url-{n}" for n in range(10, 50)), 1)
    assert (completed.counts.succeeded, completed.counts.failed) == (36, 4)
    assert (completed.run_count, completed.resume_count) == (1, 0)


async def test_what_a_job_creates_has_the_modes_that_its_owner_is_used_to(daemon: RealDaemon) -> None:
    daemon.terminate()
    before = os.umask(0o027)
    try:
        await daemon.start()
    finally:
        os.umask(before)
    request = job_service_pb2.SubmitJobRequest(
        command_pipeline=job_service_pb2.CommandPipeline(argv=["sh", "-c", "umask; touch created", "{}"]),
        inline_items=job_service_pb2.InlineItems(items_json=['{"line": "once"}']),
        working_directory=str(daemon.folder),
    )
    job = (await daemon.client.call(daemon.client.jobs.SubmitJob, request)).job
    await daemon.wait_state(job.id, JobState.COMPLETED)
    assert "0027" in daemon.run_log(job.id)
    assert (daemon.folder / "created").stat().st_mode & 0o777 == 0o640
    private = [
        daemon.state / "store.db",
        daemon.state / "jobs" / job.id,
        *(daemon.state / "jobs" / job.id / "logs").iterdir(),
    ]
    assert [path.stat().st_mode & 0o077 for path in private] == [0] * len(private)
