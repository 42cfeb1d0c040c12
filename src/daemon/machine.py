"""How loaded the machine and the daemon are now."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

#: Seconds over which CPU time is measured at least: over less it says nothing.
MIN_CPU_WINDOW = 1.0


@dataclass(frozen=True)
class MachineLoad:
    """`cpu_percent`: 0 to 100, of all cores together. `load_average`: over 1, 5 and 15 minutes. The rest in bytes."""

    cpu_percent: float
    cores: int
    load_average: tuple[float, float, float]
    memory_used: int
    memory_total: int
    disk_free: int
    disk_total: int


@dataclass(frozen=True)
class DaemonLoad:
    """`cpu_percent`: 100 is one core. `rss` in bytes."""

    rss: int
    cpu_percent: float
    descriptors: int
    threads: int


class Machine:
    """Measures without waiting: CPU time is that since it was last measured, at least MIN_CPU_WINDOW seconds before.

    The first time there is nothing to compare with, and the CPU percentages are 0. `folder`: on the disk that counts.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._process: psutil.Process | None = None
        self._cpu_time = float("-inf")
        self._cpu_percent = self._own_cpu_percent = 0.0

    def measure(self) -> tuple[MachineLoad, DaemonLoad]:
        # Here, because it is loaded only when somebody asks: a daemon starts without it.
        import psutil

        if self._process is None:
            self._process = psutil.Process()
        self._measure_cpu(self._process)
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(self._folder))
        machine = MachineLoad(
            cpu_percent=self._cpu_percent,
            cores=psutil.cpu_count() or 1,
            load_average=os.getloadavg(),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_free=disk.free,
            disk_total=disk.total,
        )
        with self._process.oneshot():
            daemon = DaemonLoad(
                rss=self._process.memory_info().rss,
                cpu_percent=self._own_cpu_percent,
                descriptors=self._process.num_fds(),
                threads=self._process.num_threads(),
            )
        return machine, daemon

    def _measure_cpu(self, process: "psutil.Process") -> None:
        import psutil

        now = self._clock()
        if now - self._cpu_time < MIN_CPU_WINDOW:
            return
        machine, own = psutil.cpu_percent(interval=None), process.cpu_percent(interval=None)
        if self._cpu_time > float("-inf"):
            self._cpu_percent, self._own_cpu_percent = machine, own
        self._cpu_time = now
