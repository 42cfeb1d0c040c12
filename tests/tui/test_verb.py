"""`milepost tui` where there is no terminal, with keys that cannot be, and what it loads before it paints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from milepost.common.settings import load_settings
from milepost.core.errors import Code, MilepostError
from milepost.tui.app import MilepostApp

#: What the verb imports until the first paint: all but the connection.
FIRST_PAINT = """
import sys
from milepost.cli.main import build_parser
build_parser(["tui_verb"])
from milepost.tui.app import MilepostApp
from milepost.tui.screens.jobs import JobsScreen
slow = {"grpc", "google", "sqlite3", "aiosqlite", "tenacity"}
print(sorted(slow & set(sys.modules)))
"""


def run(home: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    mine = {"HOME": str(home), "XDG_STATE_HOME": str(home), "XDG_CONFIG_HOME": str(home), "TERM": "xterm"}
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], **mine, **environ},
        timeout=60,
    )


def test_without_a_terminal_it_says_what_to_use(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "milepost.cli.main", "tui")
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert "milepost watch" in done.stderr
    assert not done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_first_paint_loads_no_grpc(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", FIRST_PAINT)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize(("keys", "told"), [("command.paus=P", "command.pause"), ("command.pause=j", "list.down")])
def test_a_wrong_key_is_told_before_the_screen_opens(tmp_path: Path, keys: str, told: str) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    settings = load_settings({}, environ | {"MILEPOST_KEYS": keys})
    with pytest.raises(MilepostError) as raised:
        MilepostApp(settings, environ)
    assert raised.value.code is Code.SETTING_INVALID
    assert told in f"{raised.value.message} {raised.value.remedy}"
