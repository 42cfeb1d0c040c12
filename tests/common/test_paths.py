"""Daemon and clients find the same socket, however long its path; nobody else's folder is used."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from milepost.common import paths
from milepost.core.errors import Code, MilepostError


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    paths.ensure_private_folder(folder)
    return folder


@pytest.fixture
def long_state(tmp_path: Path) -> Path:
    folder = tmp_path / ("x" * 100) / "state"
    paths.ensure_private_folder(folder)
    return folder


def test_the_socket_lies_in_the_state_folder(state: Path) -> None:
    assert paths.place_socket(state, None, {}) == paths.find_socket(state, None) == state / "daemon.sock"


def test_a_long_path_gets_a_short_private_place(long_state: Path, tmp_path: Path) -> None:
    runtime = tmp_path / "r"
    runtime.mkdir()
    placed = paths.place_socket(long_state, None, {"XDG_RUNTIME_DIR": str(runtime)})
    if len(os.fsencode(runtime)) <= paths.MAX_SOCKET_PATH - 40:
        assert placed.is_relative_to(runtime)
    assert len(os.fsencode(placed)) <= paths.MAX_SOCKET_PATH
    assert stat.S_IMODE(placed.parent.stat().st_mode) == 0o700
    assert paths.find_socket(long_state, None) == placed


def test_two_long_state_folders_have_two_sockets(long_state: Path) -> None:
    other = long_state.parent / "other"
    paths.ensure_private_folder(other)
    assert paths.place_socket(long_state, None, {}) != paths.place_socket(other, None, {})


def test_clients_find_a_socket_that_only_the_daemon_was_told(state: Path, tmp_path: Path) -> None:
    given = tmp_path / "s"
    assert paths.place_socket(state, given, {}) == given
    assert paths.find_socket(state, None) == given
    paths.place_socket(state, None, {})
    assert paths.find_socket(state, None) == state / "daemon.sock"


def test_a_given_path_that_is_too_long_is_refused(state: Path) -> None:
    given = state / ("y" * 120)
    refusals: list[Callable[[], object]] = [
        lambda: paths.find_socket(state, given),
        lambda: paths.place_socket(state, given, {}),
    ]
    for refused in refusals:
        with pytest.raises(MilepostError) as caught:
            refused()
        assert caught.value.code is Code.SETTING_INVALID
        assert "--socket" in caught.value.remedy


def test_the_state_folder_is_private_from_its_first_moment(tmp_path: Path) -> None:
    paths.ensure_private_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


@pytest.fixture
def foreign(state: Path) -> Path:
    if os.geteuid() != 0:
        return Path("/usr")
    os.chown(state, 12345, -1)
    return state


def test_a_folder_of_another_user_is_refused(foreign: Path) -> None:
    refusals: list[Callable[[], object]] = [
        lambda: paths.ensure_private_folder(foreign),
        lambda: paths.find_socket(foreign, None),
    ]
    for refused in refusals:
        with pytest.raises(MilepostError) as caught:
            refused()
        assert caught.value.code is Code.STATE_FOLDER_FOREIGN
        assert "another user" in caught.value.message


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MilepostError) as caught:
        paths.ensure_private_folder(tmp_path / "file" / "state")
    assert caught.value.code is Code.STATE_FOLDER_FOREIGN
