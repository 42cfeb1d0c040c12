"""The creators example by itself: its CSV, its profile service over real HTTP, and what its steps are made of."""

import importlib.util
import io
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from milepost import Persistent, Transient

EXAMPLE = Path(__file__).parents[2] / "examples" / "creators"


@pytest.fixture(scope="module", autouse=True)
def _on_path() -> Iterator[None]:
    """The pipeline imports its neighbours, as it does in a worker."""
    sys.path.insert(0, str(EXAMPLE))
    yield
    sys.path.remove(str(EXAMPLE))


@pytest.fixture(scope="module")
def pipeline(_on_path: None) -> ModuleType:
    return _module("pipeline")


@pytest.fixture(scope="module")
def profiles(_on_path: None) -> ModuleType:
    return _module("profiles")


@pytest.fixture(scope="module")
def page(_on_path: None) -> ModuleType:
    return _module("page")


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"creators_{name}", EXAMPLE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shipped(pipeline: ModuleType) -> list[dict[str, str]]:
    with (EXAMPLE / "creators.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(pipeline.read_creators(file))


@pytest.fixture
def service() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, EXAMPLE / "profiles.py", "0.1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        yield client


def address_of(service: subprocess.Popen[str]) -> str:
    assert service.stdout
    return service.stdout.readline().strip()


def handle_that(profiles: ModuleType, *, stumbles: tuple[str, ...] = (), for_good: int = 0) -> str:
    return next(
        f"handle{number}"
        for number in range(10_000)
        if (profiles.manners(f"handle{number}").stumbles, profiles.manners(f"handle{number}").for_good)
        == (stumbles, for_good)
    )


# The CSV


def test_the_generator_makes_the_file_that_is_shipped() -> None:
    made = _module("make_csv").csv_text(random.Random(313))
    assert made.encode("utf-8-sig") == (EXAMPLE / "creators.csv").read_bytes()


def test_the_file_has_the_dirt_of_real_ones() -> None:
    raw = (EXAMPLE / "creators.csv").read_bytes()
    text = raw.decode("utf-8-sig")
    assert raw.startswith(b"\xef\xbb\xbf")
    assert "\r\n\r\n" in text
    assert re.search(r'"[^"\r\n]*,[^"\r\n]*"', text)
    assert re.search(r'"[^"\r\n]*\n[^"]*"', text)
    assert not text.isascii()


def test_it_holds_313_rows_of_which_11_fail_for_good(shipped: list[dict[str, str]], profiles: ModuleType) -> None:
    handles = Counter(row["handle"] for row in shipped)
    without_handle = handles.pop("")
    failing = [handle for handle in handles if profiles.manners(handle).for_good]
    duplicates = handles.total() - len(handles)
    assert (len(shipped), without_handle, duplicates, len(failing)) == (313, 9, 21, 11)


def test_its_creators_meet_every_kind_of_trouble(shipped: list[dict[str, str]], profiles: ModuleType) -> None:
    manners = [profiles.manners(handle) for handle in {row["handle"] for row in shipped} - {""}]
    assert {treatment.stumbles for treatment in manners} == {(), *(what for _, what in profiles.STUMBLES)}
    assert {treatment.for_good for treatment in manners} == {0, *(status for _, status in profiles.FOR_GOOD)}
    assert all(len(treatment.stumbles) < 4 for treatment in manners), "the fetch step makes four attempts"


# Reading it


def read(pipeline: ModuleType, text: str) -> list[dict[str, object]]:
    return list(pipeline.read_creators(io.StringIO(text, newline="")))


def test_handles_get_one_spelling_and_blank_lines_are_no_rows(pipeline: ModuleType) -> None:
    rows = read(pipeline, "handle,name,platform,followers,bio\r\n\r\n @Ada ,Ada,x,,\r\n,,,,\r\n,Nobody,,,\r\n")
    assert [(row["handle"], row["name"]) for row in rows] == [("ada", "Ada"), ("", "Nobody")]


def test_columns_in_another_order_and_more_of_them(pipeline: ModuleType) -> None:
    assert read(pipeline, "bio,extra,handle,name,platform,followers\nb,e,h,n,p,1\n") == [
        {"handle": "h", "name": "n", "platform": "p", "followers": "1", "bio": "b"}
    ]


def test_a_short_row_is_filled_and_a_long_one_is_kept_for_validate(pipeline: ModuleType) -> None:
    short, long = read(pipeline, "handle,name,platform,followers,bio\nada\nbob,Bob,x,1,likes wine, cheese\n")
    assert short["bio"] == ""
    assert long[pipeline.SURPLUS] == [" cheese"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column handle, name"),
        ("name,platform,followers,bio\n", "no column handle"),
        ('handle,name,platform,followers,bio\nada,"Ada,x,1,\n', "not a CSV: .* starts in line 2"),
    ],
)
def test_a_malformed_file_is_refused_with_what_to_do(pipeline: ModuleType, text: str, said: str) -> None:
    with pytest.raises(Persistent, match=said) as refusal:
        read(pipeline, text)
    assert refusal.value.remedy


# The profile service


@pytest.mark.parametrize("handle", ["ada", "zoë.k", "東京散歩", "a/b?c#d"])
async def test_a_profile_is_fetched_under_any_handle(
    pipeline: ModuleType, profiles: ModuleType, service: subprocess.Popen[str], http: httpx.AsyncClient, handle: str
) -> None:
    attempt = len(profiles.manners(handle).stumbles) + 1
    profile = await pipeline.get_profile(http, address_of(service), handle, attempt)
    assert profile == profiles.profile(handle)


async def test_trouble_passes_with_the_attempts(
    pipeline: ModuleType, profiles: ModuleType, service: subprocess.Popen[str], http: httpx.AsyncClient
) -> None:
    address = address_of(service)
    limited = handle_that(profiles, stumbles=("limit", "break"))
    with pytest.raises(httpx.HTTPStatusError, match="429") as refusal:
        await pipeline.get_profile(http, address, limited, 1)
    assert refusal.value.response.headers["Retry-After"] == str(profiles.RETRY_AFTER)
    with pytest.raises(httpx.HTTPStatusError, match="500"):
        await pipeline.get_profile(http, address, limited, 2)
    assert (await pipeline.get_profile(http, address, limited, 3))["handle"] == limited

    empty = handle_that(profiles, stumbles=("empty",))
    with pytest.raises(Transient, match="nothing"):
        await pipeline.get_profile(http, address, empty, 1)
    assert (await pipeline.get_profile(http, address, empty, 2))["handle"] == empty


@pytest.mark.parametrize("status", [404, 410, 500])
async def test_some_fail_however_often_they_are_asked_for(
    pipeline: ModuleType, profiles: ModuleType, service: subprocess.Popen[str], http: httpx.AsyncClient, status: int
) -> None:
    address, handle = address_of(service), handle_that(profiles, for_good=status)
    for attempt in range(1, 6):
        with pytest.raises(httpx.HTTPStatusError, match=str(status)):
            await pipeline.get_profile(http, address, handle, attempt)


async def test_a_hang_outlasts_the_client_once(
    pipeline: ModuleType, profiles: ModuleType, service: subprocess.Popen[str]
) -> None:
    address, handle = address_of(service), handle_that(profiles, stumbles=("hang",))
    async with httpx.AsyncClient(timeout=0.5, trust_env=False) as impatient:
        with pytest.raises(httpx.ReadTimeout):
            await pipeline.get_profile(impatient, address, handle, 1)
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        assert (await pipeline.get_profile(client, address, handle, 2))["handle"] == handle


async def test_the_service_ends_when_the_one_who_started_it_is_gone(service: subprocess.Popen[str]) -> None:
    address_of(service)
    assert service.stdin
    service.stdin.close()
    assert service.wait(timeout=30) == 0


async def test_a_worker_starts_one_service_and_another_when_that_died(
    pipeline: ModuleType, http: httpx.AsyncClient
) -> None:
    own = pipeline.OwnServer()
    first = await own.address(0.1)
    assert await own.address(0.1) == first
    with own._process:
        own._process.kill()
        own._process.wait(timeout=30)
    second = await own.address(0.1)
    assert (await http.get(f"{second}/profiles/nobody", headers={"X-Attempt": "4"})).status_code != 0
    with own._process:
        own._process.kill()


# The steps' own work


def test_a_score_is_the_same_each_time_and_lies_in_its_interval(pipeline: ModuleType, profiles: ModuleType) -> None:
    profile = profiles.profile("ada")
    scored = pipeline.engagement("ada", profile)
    assert scored == pipeline.engagement("ada", profile)
    assert 0 < scored["low"] <= scored["score"] <= scored["high"] < 100


def test_the_score_is_work_for_a_processor(pipeline: ModuleType, profiles: ModuleType) -> None:
    profile = profiles.profile("ada")
    before = time.process_time()
    pipeline.engagement("ada", profile)
    assert time.process_time() > before


def test_the_page_shows_every_label_and_every_failure_as_text(page: ModuleType) -> None:
    failure = page.Failure("<script>", "fetch", "not_found", "404 & gone")
    html = page.render({"added": 272, "filtered": 9, "failed": 1}, [failure])
    assert "282 creators" in html
    assert html.count("<rect") == 3
    assert "&lt;script&gt;" in html
    assert "404 &amp; gone" in html
    assert "<script>" not in html
    widths = [int(width) for width in re.findall(r'<rect [^>]*?width="(\d+)"', html)]
    assert widths == sorted(widths, reverse=True)


def test_a_page_without_items_or_failures(page: ModuleType) -> None:
    html = page.render({}, [])
    assert "0 creators" in html
    assert "None." in html
