"""CPU percentages are those of the time since they were last measured, and of no shorter one."""

import time
from pathlib import Path

from milepost.daemon.machine import MIN_CPU_WINDOW, Machine


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _work() -> None:
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass


def test_cpu_is_measured_over_a_window(tmp_path: Path) -> None:
    clock = Clock()
    machine = Machine(tmp_path, clock)
    first = machine.measure()
    assert (first[0].cpu_percent, first[1].cpu_percent) == (0.0, 0.0)
    _work()
    clock.now += MIN_CPU_WINDOW / 2
    assert machine.measure()[1].cpu_percent == 0.0
    clock.now += MIN_CPU_WINDOW / 2
    load, own = machine.measure()
    assert own.cpu_percent > 0.0
    assert 0.0 < load.cpu_percent <= 100.0
    assert machine.measure()[1].cpu_percent == own.cpu_percent
