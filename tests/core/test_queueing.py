"""Which queued jobs start."""

from dataclasses import replace

from milepost.core.queueing import Limits, Queued, in_order, next_to_start, wait_text

LIMITS = Limits(running=3, by_queue={"slow": 1}, other_queue=2)


def queued(job_id: str, queue: str = "default", priority: int = 0, time: float = 0.0, *, held: bool = False) -> Queued:
    return Queued(job_id, queue, priority, time, int(job_id), held)


def test_first_come_first_served_within_a_priority() -> None:
    jobs = [queued("1", time=9.0), queued("2", time=1.0), queued("3", priority=1, time=10.0), queued("4", time=1.0)]
    assert [job.job_id for job in in_order(jobs)] == ["3", "2", "4", "1"]


def test_limits_of_a_queue_and_in_all() -> None:
    jobs = [queued(str(n), "slow" if n % 2 else "default") for n in range(1, 9)]
    assert next_to_start(jobs, [], LIMITS) == ["1", "2", "4"]
    assert next_to_start(jobs, ["slow"], LIMITS) == ["2", "4"]
    assert next_to_start(jobs, ["a", "b", "c"], LIMITS) == []
    assert next_to_start(jobs, ["a", "b", "c", "d"], LIMITS) == []


def test_a_held_job_keeps_its_place_and_takes_no_slot() -> None:
    jobs = [queued("1", held=True), queued("2"), queued("3"), queued("4")]
    assert next_to_start(jobs, [], LIMITS) == ["2", "3"]


def test_a_job_that_is_being_started_has_its_slot() -> None:
    first = replace(queued("1"), starting=True)
    assert next_to_start([first, queued("2"), queued("3")], [], LIMITS) == ["2"]
    assert next_to_start([first, queued("2")], ["a", "b"], LIMITS) == []


def test_a_job_that_waits_says_where_for_which_limit_and_how_to_raise_it() -> None:
    jobs = [queued("1"), queued("2"), queued("3"), queued("4", "slow"), queued("5", "slow")]
    assert wait_text("2", jobs, [], LIMITS) == ""
    assert wait_text("3", jobs, [], LIMITS).startswith("queued at place 3: queue default runs 2 jobs at a time. ")
    more = wait_text("1", jobs, ["default", "default"], LIMITS)
    assert 'write queues = "slow=1,default=3" into the settings file' in more, "as a whole: the others keep theirs"
    assert "MILEPOST_QUEUES=slow=1,default=3" in more
    assert wait_text("5", jobs, [], LIMITS).startswith("queued at place 2: queue slow runs 1 job at a time. ")
    in_all = wait_text("1", jobs, ["a", "b", "c"], LIMITS)
    assert in_all.startswith("queued at place 1: the daemon runs 3 jobs at a time. ")
    assert "MILEPOST_MAX_RUNNING_JOBS=4" in in_all
    assert wait_text("9", jobs, [], LIMITS) == ""
    assert wait_text("1", [queued("1", held=True)], [], LIMITS) == ""
