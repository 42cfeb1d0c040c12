"""The lines around the list, as parts of text."""

from dataclasses import replace

import pytest

from milepost.common.text import width as cells_of
from milepost.tui.actions import Offered, offer_of
from milepost.tui.link import Link, LinkState, version_warning
from milepost.tui.parts import CHIPS, Button, action_parts, header
from milepost.tui.status import ASCII, UNICODE, Glyphs, Status
from milepost.tui.store import JobStore
from milepost.tui.theme import Look
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.tui.detail_app import LOOK

KEYS = {"PAUSE": "p", "RESTART": "R", "CANCEL": "x", "FORCE_CANCEL": "X", "RETRY": "t"}


def look_with(glyphs: Glyphs) -> Look:
    return replace(LOOK, glyphs=glyphs)


def buttons(busy: str = "") -> list[Button]:
    """All that a running job with failed tasks has."""
    return [Button(Offered(offer_of(name), allowed=True), "", key, name == busy) for name, key in KEYS.items()]


@pytest.mark.parametrize("columns", [81, 80, 70, 60])
def test_every_action_is_named_on_a_narrow_screen_too(columns: int) -> None:
    text = "".join(part.text for part in action_parts(buttons(), look_with(UNICODE), columns))
    assert ("‖" in text) is (columns == 81)
    assert ("Cancel job" in text) is (columns >= 80)
    assert all(f"[{key} " in text for key in KEYS.values())
    assert cells_of(text) <= columns


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_every_chip_has_a_sign_of_its_own_and_so_has_what_completed_with_failed_items(glyphs: Glyphs) -> None:
    signs = [glyphs.status[status] for status in (*CHIPS, Status.FAILED_ITEMS)]
    assert len({*signs}) == len(signs)
    assert all(cells_of(sign) == 1 for sign in glyphs.status.values())


def test_what_was_sent_is_marked_with_and_without_signs() -> None:
    for glyphs, columns in ((UNICODE, 200), (UNICODE, 80), (ASCII, 200)):
        drawn = [part.text for part in action_parts(buttons(busy="CANCEL"), look_with(glyphs), columns)]
        assert [text for text in drawn if "…" in text] == [" [x … Cancel job]"]


@pytest.mark.parametrize(("count", "words"), [(0, "0 jobs"), (1, "1 job "), (2, "2 jobs")])
def test_how_many_jobs_there_are(count: int, words: str) -> None:
    store = JobStore()
    store.apply(pb.WatchJobsResponse(jobs=[job_pb2.Job(id=f"j-{number}") for number in range(count)]))
    _, right = header(Link(LinkState.LIVE, 0.0), store, [0.0], None, look_with(UNICODE), 80)
    assert words in "".join(part.text for part in right)


@pytest.mark.parametrize(
    ("ours", "daemons", "told"),
    [
        ("0.10.0", "0.9.12", "The daemon 0.9.12 is older than this screen 0.10.0: milepost daemon restart"),
        ("0.9.12", "0.10.0", "This screen 0.9.12 is older than the daemon 0.10.0: q, then milepost tui"),
        ("0.2.0", "0.2.0rc1", "The daemon is 0.2.0rc1, this screen 0.2.0: milepost daemon restart"),
        ("0.2.0", "today's", "The daemon today's is older than this screen 0.2.0: milepost daemon restart"),
        ("0.2.0", "0.2.0", ""),
        ("0.2.0", "", ""),
    ],
)
def test_which_version_is_older_and_what_to_type(ours: str, daemons: str, told: str) -> None:
    warning = version_warning(ours, daemons)
    assert warning.strip() == told
    assert len(warning) <= 80
