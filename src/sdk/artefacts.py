"""A task's folder of files: invisible under its name until all of it is on the disk, then read-only."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from milepost.sdk.edges import edge

if TYPE_CHECKING:
    from milepost.sdk.execution import Execution


def folder_for(execution: Execution) -> Path:
    """The folder that the task writes to: beside its final place, of which it takes the name when the task succeeds."""
    if execution.partial_folder is None:
        final = execution.session.job.folder / execution.folder
        partial = final.with_name(f".{final.name}.partial")
        make_private(final.parent)
        for left in final.parent.glob(".*.partial"):  # by executions that failed, or were lost before their end
            _remove(left)
        partial.mkdir(mode=0o700)
        execution.partial_folder = partial
    return execution.partial_folder


def make_private(folder: Path) -> None:
    """Makes the folder and the missing ones above it, for their owner only from the first moment."""
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def publish(execution: Execution) -> str:
    """Makes the folder durable, gives it its final name and closes it to writing; its path relative to the job's.

    "" when the task made none. Raises OSError; then nothing has its final name.
    """
    partial = execution.partial_folder
    if partial is None:
        return ""
    final = execution.session.job.folder / execution.folder
    content = [(Path(folder), files) for folder, _, files in os.walk(partial, topdown=False)]
    for folder, files in content:
        for name in files:
            _sync_file(folder / name)
        _sync_folder(folder)
    _rename(partial, final)
    # The chain down to it is as new as the folder itself when this is the item's first.
    for above in (final.parent, final.parent.parent, final.parent.parent.parent):
        _sync_folder(above)
    for folder, files in content:
        _close_to_writing(final / folder.relative_to(partial), files)
    return execution.folder


@edge("artefacts.rename")
def _rename(partial: Path, final: Path) -> None:
    partial.rename(final)


@edge("artefacts.remove")
def _remove(partial: Path) -> None:
    shutil.rmtree(partial)


def _sync_file(path: Path) -> None:
    if stat.S_ISREG(path.lstat().st_mode):  # not through links, and a FIFO would block
        _sync(path, os.O_RDONLY | os.O_NOFOLLOW)


def _sync_folder(path: Path) -> None:
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


@edge("artefacts.sync")
def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _close_to_writing(folder: Path, files: list[str]) -> None:
    for name in files:
        path = folder / name
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            path.chmod(stat.S_IMODE(mode) & 0o500)
    folder.chmod(0o500)
