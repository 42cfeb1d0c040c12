"""`run`, `attach`, Ctrl+C once and twice, a lost terminal (J14)."""

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost.core.model import JobState
from tests.support.cli import Running, run_cli, start_cli
from tests.support.daemon import PIPELINES, RealDaemon, counts_of


def work(daemon: RealDaemon, **parameters: object) -> list[str]:
    given = {"effects": str(daemon.effects_file), "gate": str(daemon.gate), "count": 20, **parameters}
    pairs = [f"{name}={json.dumps(value)}" for name, value in given.items()]
    return [str(PIPELINES / "work.py"), *(part for pair in pairs for part in ("--param", pair))]


def job_id_in(text: str) -> str:
    return str(re.findall(r"j-[a-z2-7]{8}", text)[0])


@pytest.fixture
async def running(daemon: RealDaemon) -> AsyncIterator[Running]:
    """`milepost run` of a job whose first 4 items pass; 14 more stand in flight at the gate."""
    verb = await start_cli(daemon.environment, "run", *work(daemon, open=4))
    await daemon.wait_effects(4, "done")
    await verb.wait_printed(lambda text: "RUNNING" in text, "it is seen to run")
    yield verb
    if verb.process.returncode is None:
        verb.process.kill()
    await verb.end()


async def test_it_follows_to_the_end_in_plain_lines(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    done = await run_cli(daemon.environment, "run", *work(daemon, failing=["item-003"]))
    assert done.code == 6, done
    assert "20 of 20 processed, 1 failed" in done.out
    assert "17 added" in done.out
    assert "2 skipped (filtered)" in done.out
    assert f"milepost retry {job_id_in(done.out)}" in done.out
    assert "\x1b" not in done.out + done.err


async def test_a_job_without_failures_is_done(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    done = await run_cli(daemon.environment, "run", *work(daemon), "--json")
    assert done.code == 0, done
    assert done.document["state"] == "COMPLETED"
    assert done.document["counts"]["processed"] == 20


async def test_ctrl_c_pauses_and_tells_how_to_go_on(daemon: RealDaemon, running: Running) -> None:
    job_id = job_id_in(running.out)
    running.process.send_signal(signal.SIGINT)
    await daemon.wait_state(job_id, JobState.PAUSING)
    await running.wait_printed(lambda text: "still in flight" in text, "what is in flight is told")
    assert f"milepost resume {job_id}" in running.err
    daemon.gate.touch()
    done = await running.end()
    assert done.code == 130, done
    job = await daemon.job(job_id)
    assert job.state == (await daemon.wait_state(job_id, JobState.PAUSED)).state
    assert counts_of(job, "work").in_flight == 0
    resumed = await run_cli(daemon.environment, "resume", job_id, "--wait")
    assert resumed.code == 0, resumed
    assert set(daemon.effects("done").values()) == {1}


async def test_sigterm_pauses_too(daemon: RealDaemon, running: Running) -> None:
    running.process.send_signal(signal.SIGTERM)
    await running.wait_printed(lambda text: "still in flight" in text, "what is in flight is told")
    daemon.gate.touch()
    assert (await running.end()).code == 130


async def test_a_second_ctrl_c_cancels_by_force(daemon: RealDaemon, running: Running) -> None:
    job_id = job_id_in(running.out)
    running.process.send_signal(signal.SIGINT)
    await daemon.wait_state(job_id, JobState.PAUSING)
    running.process.send_signal(signal.SIGINT)
    done = await running.end()
    assert done.code == 130, done
    await daemon.wait_state(job_id, JobState.CANCELLED)
    assert not daemon.processes()


async def test_a_lost_terminal_only_detaches(daemon: RealDaemon, running: Running) -> None:
    job_id = job_id_in(running.out)
    running.process.send_signal(signal.SIGHUP)
    done = await running.end()
    assert (done.code, done.err.count("Detached")) == (0, 0)
    daemon.gate.touch()
    await daemon.wait_state(job_id, JobState.COMPLETED)


async def test_leaving_an_attached_job_leaves_it_running(daemon: RealDaemon, running: Running) -> None:
    job_id = job_id_in(running.out)
    attached = await start_cli(daemon.environment, "attach", "@last")
    await attached.wait_printed(lambda text: "RUNNING" in text, "it is attached")
    attached.process.send_signal(signal.SIGINT)
    done = await attached.end()
    assert done.code == 0
    assert f"milepost attach {job_id}" in done.err
    daemon.gate.touch()
    await daemon.wait_state(job_id, JobState.COMPLETED)
    assert (await running.end()).code == 0


async def test_following_goes_on_after_the_daemon_was_killed(daemon: RealDaemon, running: Running) -> None:
    daemon.kill()
    await running.wait_printed(lambda text: "does not answer" in text, "the loss is told")
    await daemon.start()
    await running.wait_printed(lambda text: "is back" in text, "the return is told")
    daemon.gate.touch()
    done = await running.end()
    assert done.code == 0, done
    assert set(daemon.effects("done").values()) == {1}


async def test_a_command_for_each_line(daemon: RealDaemon, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("good\nbad\nbetter\n")
    command = ["--", "sh", "-c", f'echo "$1" >> {daemon.effects_file}; test "$1" != bad', "sh", "{}"]
    done = await run_cli(daemon.environment, "run", "--each", "lines.txt", "--attempts", "1", *command, cwd=tmp_path)
    assert done.code == 6, done
    listed = await run_cli(daemon.environment, "items", "@last", "--state", "failed", "--json")
    assert [item["key"] for item in listed.document["items"]] == ["bad"]
    assert sorted(daemon.effects_file.read_text().split()) == ["bad", "better", "good"]


async def test_input_from_a_pipe_is_taken(daemon: RealDaemon, tmp_path: Path) -> None:
    script = f"cat {tmp_path}/lines | milepost-cli run --each - --attempts 1 --json -- true {{}}"
    (tmp_path / "lines").write_text("a\nb\n")
    (tmp_path / "milepost-cli").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m milepost.cli.main "$@"\n')
    (tmp_path / "milepost-cli").chmod(0o700)
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", script, stdout=asyncio.subprocess.PIPE,
        env={**daemon.environment, "PATH": f"{tmp_path}:{daemon.environment['PATH']}"},
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out)["counts"]["total"] == 2


async def test_secrets_do_not_reach_the_job(daemon: RealDaemon) -> None:
    daemon.gate.touch()
    environment = {**daemon.environment, "MY_API_KEY": "hush-hush", "PLAIN": "seen"}
    done = await run_cli(environment, "run", *work(daemon), "--json")
    assert "MY_API_KEY" in done.err
    assert "hush-hush" not in done.err + done.out
    assert "MY_API_KEY" in done.document["omitted_variables"]
    for file in daemon.state.glob("store.db*"):
        assert b"hush-hush" not in file.read_bytes()
