"""What a process holds: memory, descriptors, threads."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Footprint:
    """`memory` in resident bytes."""

    memory: int
    descriptors: int
    threads: int


def footprint(pid: int) -> Footprint:
    process = Path("/proc", str(pid))
    return Footprint(
        memory=int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        descriptors=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
    )
