import subprocess
import sys

from tests.support.daemon import ROOT

CODE = "import sys; from milepost.common.ending import end_process; print('said'); end_process(3)"


def test_what_was_said_is_written_before_the_end() -> None:
    environment = {"PYTHONPATH": str(ROOT)}  # without PYTHONUNBUFFERED
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\n", "")


def test_nobody_hears_of_a_reader_that_has_gone() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", f"input(); {CODE}"],
        env={"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, error = process.communicate(b"\n")
    assert (process.returncode, error) == (3, b"")
