"""What is said of a worker that ended: whether memory ran out is read from a file of the kernel's form."""

from pathlib import Path

from milepost.runner.endings import RECENT_LOOKS, MemoryKills


def test_a_worker_that_takes_some_seconds_to_die_of_it_still_died_for_its_memory(tmp_path: Path) -> None:
    counter = tmp_path / "vmstat"
    counter.write_text("oom_kill 4\nother 1\n")
    kills = MemoryKills(counter)
    told = [kills.happened]
    counter.write_text("oom_kill 5\nother 1\n")
    for _ in range(RECENT_LOOKS + 1):
        told.append(kills.happened)
        kills.look()
    assert told == [False, *[True] * RECENT_LOOKS, False], "what ended others long before is no reason"
