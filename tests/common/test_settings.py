"""Settings come from four places, and a wrong one is refused with its name and place."""

from pathlib import Path

import pytest

from milepost.common.settings import DESCRIPTIONS, Settings, load_settings
from milepost.core.errors import Code, MilepostError


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }


def write_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config" / "milepost" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    return file


def source_of(settings: Settings, name: str) -> str:
    return next(setting.source for setting in settings.described() if setting.name == name)


def test_defaults(environ: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings({}, environ)
    assert settings.state_dir == tmp_path / "state" / "milepost"
    assert settings.queues == {"default": 2}
    assert settings.timeouts == {"processing": 3600, "generation": 1800, "api": 300, "file": 120}
    assert {setting.source for setting in settings.described()} == {"default"}


def test_each_place_beats_the_one_before(environ: dict[str, str], tmp_path: Path) -> None:
    file = write_file(tmp_path, 'log_level = "error"\nmax_running_jobs = 3\npause_timeout = 7\n[queues]\nslow = 1\n')
    environ |= {"MILEPOST_MAX_RUNNING_JOBS": "4", "MILEPOST_PAUSE_TIMEOUT": "8"}
    settings = load_settings({"pause_timeout": "9", "log_level": None}, environ)
    assert (settings.log_level, settings.max_running_jobs, settings.pause_timeout) == ("error", 4, 9.0)
    assert settings.queues == {"default": 2, "slow": 1}
    assert source_of(settings, "log_level") == str(file)
    assert source_of(settings, "max_running_jobs") == "environment"
    assert source_of(settings, "pause_timeout") == "flag"
    assert source_of(settings, "runner_lease") == "default"


def test_queues_from_the_environment(environ: dict[str, str]) -> None:
    settings = load_settings({}, environ | {"MILEPOST_QUEUES": "default=5, nightly=1"})
    assert settings.queues == {"default": 5, "nightly": 1}


def test_every_setting_is_described() -> None:
    assert all(DESCRIPTIONS.values())
    assert set(DESCRIPTIONS) == set(Settings.__dataclass_fields__) - {"sources"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MILEPOST_MAX_RUNNING_JOBS", "0"),
        ("MILEPOST_MAX_RUNNING_JOBS", "many"),
        ("MILEPOST_QUEUES", "default"),
        ("MILEPOST_QUEUES", "default=0"),
        ("MILEPOST_RUNNER_LEASE", "nan"),
        ("MILEPOST_LOG_LEVEL", "loud"),
        ("MILEPOST_STORE_SYNCHRONOUS", "OFF"),
    ],
)
def test_a_wrong_value_is_refused(environ: dict[str, str], variable: str, value: str) -> None:
    with pytest.raises(MilepostError) as caught:
        load_settings({}, environ | {variable: value})
    assert caught.value.code is Code.SETTING_INVALID
    assert variable in caught.value.message
    assert caught.value.remedy.startswith("It takes")


@pytest.mark.parametrize(
    "text", ["log_level = ", "surprise = 1", 'max_running_jobs = "x"', "max_running_jobs = true", "\x00"]
)
def test_a_wrong_file_is_refused(environ: dict[str, str], tmp_path: Path, text: str) -> None:
    file = write_file(tmp_path, text)
    with pytest.raises(MilepostError) as caught:
        load_settings({}, environ)
    assert caught.value.code is Code.SETTING_INVALID
    assert str(file) in caught.value.message


def test_keys_of_the_terminal_ui(environ: dict[str, str], tmp_path: Path) -> None:
    write_file(tmp_path, '[keys]\n"command.pause" = "P"\nlist.down = "j,  f5"\nlist.up = "k"\n')
    assert load_settings({}, environ).keys == {"command.pause": "P", "list.down": "j f5", "list.up": "k"}
    settings = load_settings({}, environ | {"MILEPOST_KEYS": "command.pause=P, jobs.sort=="})
    assert settings.keys == {"command.pause": "P", "jobs.sort": "="}


@pytest.mark.parametrize(
    "text", ['keys = "P"', '[keys]\n"command.pause" = ""', '[keys]\n"command.pause" = 3', "keys = 7"]
)
def test_keys_that_are_none(environ: dict[str, str], tmp_path: Path, text: str) -> None:
    write_file(tmp_path, f"{text}\n")
    with pytest.raises(MilepostError, match="keys") as raised:
        load_settings({}, environ)
    assert raised.value.code is Code.SETTING_INVALID
