"""What a mistyped command line is told: what was wrong with it, and the line to write instead."""

import pytest

from milepost.cli.main import main


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run --each f echo {}", "Write: milepost run --each f -- echo {}"),
        ("run --each curl -j 3 curl -sfO {}", "Write: milepost run --each curl -j 3 -- curl -sfO {}"),
        ("--state-dir a submit --each=f echo", "Write: milepost --state-dir a submit --each=f -- echo"),
        ("run p.py --each f", "A pipeline and --each do not go together"),
        ("run p.py extra", "milepost run has no argument extra."),
        ("run --ecah f", "Did you mean --each?"),
        ("ls --limt=3", "Did you mean --limit?"),
        ("rstart", "Did you mean milepost restart?"),
        ("daemon restrat", "Did you mean restart?"),
        ("run p.py --on-runner-lost holt", "Did you mean hold?"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(line: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert told in capsys.readouterr().err


def test_the_command_to_write_keeps_its_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--each", "my urls", "sh", "-c", "echo $1", "{}"]) == 2
    assert "Write: milepost run --each 'my urls' -- sh -c 'echo $1' {}" in capsys.readouterr().err
