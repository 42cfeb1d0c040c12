"""What others wrote, in a line of the log."""

import pytest

from milepost.runner.text import MAX_QUOTED, printable


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("two\nlines", "two lines"),
        ("\r\n  indented\tmore \n", "indented more"),
        ("red \x1b[31m", "red ?[31m"),
        ("", ""),
    ],
)
def test_one_line_without_control_characters(text: str, told: str) -> None:
    assert printable(text) == told


def test_no_more_than_a_line_has_room_for() -> None:
    assert len(printable("x" * 10_000)) == MAX_QUOTED
