"""What is copied inside tmux reaches tmux."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from milepost.tui.clipboard import copy_by_tmux

TEXT = "j-one: é [red] 日本語\nsecond line"


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux")
    path = tmp_path / "t"
    tmux = ["tmux", "-S", str(path), "-f", "/dev/null"]
    subprocess.run([*tmux, "new-session", "-d", "sleep 60"], check=True, env=without_tmux())
    yield path
    subprocess.run([*tmux, "kill-server"], check=True, env=without_tmux())


def without_tmux() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "TMUX"}


async def test_tmux_has_it(socket: Path) -> None:
    assert await copy_by_tmux(TEXT, {**os.environ, "TMUX": f"{socket},1,0"})
    shown = subprocess.run(
        ["tmux", "-S", str(socket), "show-buffer"], check=True, capture_output=True, env=without_tmux()
    )
    assert shown.stdout.decode() == TEXT


async def test_without_tmux_it_says_so(tmp_path: Path) -> None:
    assert not await copy_by_tmux(TEXT, {"PATH": str(tmp_path), "TMUX": "/nowhere,1,0"})
