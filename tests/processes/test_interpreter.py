"""A pipeline runs in its own interpreter, with its own packages, from its own folder."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from milepost.core.errors import Code, MilepostError
from milepost.core.model import JobState
from milepost.v1 import job_service_pb2
from tests.support.daemon import RealDaemon

PIPELINE = """
import sys
from pathlib import Path
import google.protobuf
import helper
from milepost import Pipeline

own = Pipeline("own")

@own.step
def look(row, task):
    return {
        "python": sys.version.split()[0],
        "prefix": sys.prefix,
        "protobuf": google.protobuf.__version__,
        "helper": helper.ANSWER,
        "relative": Path("data/words.txt").read_text(),
        "grpc": "grpc" in sys.modules,
    }
"""


def another_python() -> str:
    """An interpreter of another version than ours that works here, or else our own."""
    ours = ".".join(map(str, sys.version_info[:2]))
    homes = [Path(sys.base_prefix).parent] if Path(sys.base_prefix).parent.name == "versions" else []
    found = [str(python) for home in homes for python in sorted(home.glob("3.*/bin/python3"))]
    found += [path for minor in (13, 12, 10, 9) if (path := shutil.which(f"python3.{minor}"))]
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    for python in found:
        answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        version = answer.stdout.strip()
        if answer.returncode == 0 and version != ours and tuple(map(int, version.split("."))) >= (3, 9):
            return python
    return sys.executable


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a virtual environment that holds another protobuf, on another Python where the machine has one."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "words.txt").write_text("relative to the pipeline's own folder")
    (tmp_path / "helper.py").write_text("ANSWER = 42\n")
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    environment = tmp_path / ".venv"
    subprocess.run([another_python(), "-m", "venv", "--without-pip", str(environment)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment), "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-compile", "protobuf==4.25.8"], check=True, stderr=subprocess.DEVNULL)
    return tmp_path


@pytest.mark.timeout(180)
async def test_another_python_and_another_protobuf(daemon: RealDaemon, project: Path) -> None:
    python = str(project / ".venv/bin/python")
    request = job_service_pb2.SubmitJobRequest(
        python_pipeline=job_service_pb2.PythonPipeline(file=str(project / "pipeline.py")), python=python
    )
    job = (await daemon.client.call(daemon.client.jobs.SubmitJob, request)).job
    await daemon.wait_state(job.id, JobState.COMPLETED)
    results = job_service_pb2.ListItemsRequest(job=job.id, full=True)
    [root] = (await daemon.client.call(daemon.client.jobs.ListItems, results)).items
    found = json.loads(root.tasks[0].result_json)
    assert found["protobuf"] == "4.25.8"
    assert found["prefix"] == str(project / ".venv")
    assert (found["helper"], found["relative"]) == (42, "relative to the pipeline's own folder")
    assert not found["grpc"]
    assert job.python == python
    assert job.working_directory == str(project)


async def test_an_import_that_fails_is_reported_at_submit_with_the_interpreter(daemon: RealDaemon) -> None:
    broken = daemon.folder / "broken.py"
    broken.write_text("import milepost\n\nimport no_such_package\n")
    request = job_service_pb2.SubmitJobRequest(
        python_pipeline=job_service_pb2.PythonPipeline(file=str(broken)), python=sys.executable
    )
    with pytest.raises(MilepostError) as refused:
        await daemon.client.call(daemon.client.jobs.SubmitJob, request)
    assert refused.value.code is Code.PIPELINE_NOT_IMPORTABLE
    text = str(refused.value)
    assert "no_such_package" in text
    assert f"{broken}:3" in text or ("line 3" in text and str(broken) in text)
    assert sys.executable in text
    listed = await daemon.client.call(daemon.client.jobs.ListJobs, job_service_pb2.ListJobsRequest())
    assert not listed.jobs
    assert not list((daemon.state / "jobs").glob("*"))
