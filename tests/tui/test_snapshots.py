"""The main screens as pictures; `pytest --snapshot-update tests/tui/test_snapshots.py` takes them anew.

Compared as pytest-textual-snapshot does it, but without its fixture: that runs the application in a loop of its own,
where the daemon of the test could not answer it.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion

import milepost
from milepost.core.model import JobState
from milepost.tui.link import LinkState
from milepost.tui.screens.dialogs import ConfirmDialog
from tests.support import factories
from tests.support.in_process import InProcessDaemon
from tests.support.tui import Ui, insert, open_ui

SIZES = [(120, 40), (80, 24), (40, 15)]
sizes = pytest.mark.parametrize("size", SIZES, ids=[f"{width}x{height}" for width, height in SIZES])


@pytest.fixture
def picture(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(SVGImageExtension)


async def jobs_in_every_state(daemon: InProcessDaemon) -> None:
    for number, state in enumerate(JobState):
        await insert(
            daemon, f"j-{number}a2b3c4d", state, name=f"{state.lower()} creators", create_time=factories.NOW - number
        )


async def stands_still(ui: Ui, state: LinkState = LinkState.LIVE) -> None:
    """Nothing moves any more, and nothing of this machine or day is left on the screen."""
    connection = ui.app.connection
    assert connection is not None
    ui.app.workers.cancel_group(ui.app, "connection")
    connection.link = replace(
        connection.link, state=state, since=ui.clock.time - 14, stats=None, daemon_version=milepost.__version__
    )
    ui.app._on_change()
    await ui.all_is_told()
    await ui.until(lambda: not ui.screen.listing.is_stale, "all is drawn")
    await ui.settle()


@sizes
async def test_jobs(daemon: InProcessDaemon, tmp_path: Path, size: tuple[int, int], picture: SnapshotAssertion) -> None:
    await jobs_in_every_state(daemon)
    async with open_ui(daemon, tmp_path, size) as ui:
        await stands_still(ui)
        assert ui.app.export_screenshot() == picture


@sizes
async def test_confirming(
    daemon: InProcessDaemon, tmp_path: Path, size: tuple[int, int], picture: SnapshotAssertion
) -> None:
    await jobs_in_every_state(daemon)
    async with open_ui(daemon, tmp_path, size) as ui:
        await ui.go_to("j-2a2b3c4d")
        await stands_still(ui)
        await ui.press("X")
        await ui.dialog(ConfirmDialog)
        await ui.settle()
        assert ui.app.export_screenshot() == picture


@sizes
async def test_no_job(
    daemon: InProcessDaemon, tmp_path: Path, size: tuple[int, int], picture: SnapshotAssertion
) -> None:
    async with open_ui(daemon, tmp_path, size) as ui:
        await stands_still(ui)
        await ui.until(lambda: "no job yet" in ui.text(), "it says so")
        assert ui.app.export_screenshot() == picture


@sizes
async def test_lost(daemon: InProcessDaemon, tmp_path: Path, size: tuple[int, int], picture: SnapshotAssertion) -> None:
    await jobs_in_every_state(daemon)
    async with open_ui(daemon, tmp_path, size) as ui:
        await stands_still(ui, LinkState.LOST)
        assert ui.app.export_screenshot() == picture
