"""Lists come in pages that neither miss nor repeat, and their tokens fit nothing else."""

import base64
from typing import Any

import pytest

from milepost.core.errors import Code
from milepost.core.model import Job, JobState, ReportKind
from milepost.daemon.live import Live
from milepost.v1 import job_pb2
from milepost.v1 import job_service_pb2 as pb
from tests.support import factories
from tests.support.in_process import InProcessDaemon


async def _all_pages(daemon: InProcessDaemon, **query: Any) -> tuple[list[str], int]:
    ids: list[str] = []
    token, pages = "", 0
    while True:
        page = await daemon.client.call(daemon.client.jobs.ListJobs, pb.ListJobsRequest(page_token=token, **query))
        ids += [job.id for job in page.jobs]
        pages += 1
        token = page.next_page_token
        if not token:
            return ids, pages


async def test_pages_of_jobs_newest_first(daemon: InProcessDaemon) -> None:
    ids = [f"j-aaaaaa{letter}{digit}" for letter in "ab" for digit in "234567"]
    for number, job_id in enumerate(ids):
        await daemon.insert(job_id, name="even" if number % 2 == 0 else "odd")
    assert await _all_pages(daemon, page_size=5) == (ids[::-1], 3)
    assert await _all_pages(daemon, page_size=6) == (ids[::-1], 2)
    assert await _all_pages(daemon, page_size=4, filter="odd") == (ids[1::2][::-1], 2)
    listed = await daemon.client.call(daemon.client.jobs.ListJobs, pb.ListJobsRequest(page_size=1, filter="odd"))
    assert listed.total_size == 6


async def test_a_page_of_large_jobs_ends_early(daemon: InProcessDaemon) -> None:
    for digit in "2345":
        await daemon.insert(f"j-aaaaaaa{digit}", parameters_json='{"text":"' + "x" * 600_000 + '"}')
    ids, pages = await _all_pages(daemon)
    assert (len(ids), pages) == (4, 4)


async def test_a_job_that_cannot_be_shown_keeps_no_other_from_being_listed(
    daemon: InProcessDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [f"j-aaaaaaa{digit}" for digit in "234567"]
    for job_id in ids:
        await daemon.insert(job_id)
    spoil = "UPDATE job SET definition_json = '{}' WHERE id IN ('j-aaaaaaa2', 'j-aaaaaaa4', 'j-aaaaaaa7')"
    await daemon.store.write(lambda tx: tx.execute(spoil))
    for size in (1, 2, 100):
        assert (await _all_pages(daemon, page_size=size))[0] == ["j-aaaaaaa6", "j-aaaaaaa5", "j-aaaaaaa3"]
    logged = [record.args for record in caplog.records if record.levelname == "ERROR"]
    assert sorted(map(str, logged)) == [f"('{job_id}',)" for job_id in (ids[0], ids[2], ids[5])]


async def test_what_was_listed_before_is_listed_as_it_is_now(daemon: InProcessDaemon) -> None:
    async def listed() -> dict[str, job_pb2.Job]:
        answer = await daemon.client.call(daemon.client.jobs.ListJobs, pb.ListJobsRequest())
        return {job.id: job for job in answer.jobs}

    first, second = [(await daemon.insert(f"j-aaaaaaa{digit}", queue_time=float(digit))).id for digit in "23"]
    job = await daemon.insert("j-aaaaaaa4", state=JobState.RUNNING, queue_time=None)
    runs = job.id
    await daemon.add_items(job, ["a", "b", "c"])
    before = await listed()
    assert [before[job].queue_position for job in (first, second)] == [1, 2]
    assert not before[runs].counts.in_flight
    await daemon.client.call(daemon.client.jobs.PauseJob, pb.PauseJobRequest(job=first))
    daemon.live[runs] = Live(in_flight={1: 3})
    daemon.hub.changed(runs)
    now = await listed()
    assert now[first].state == job_pb2.JOB_STATE_PAUSED
    assert now[second].queue_position == 1, "although nothing was written of it"
    assert now[runs].counts.in_flight == 3


@pytest.mark.parametrize(
    "token", ["x", "%%%", base64.urlsafe_b64encode(b"1.0123456789abcdef.5").decode(), "ÿ", "MS4uLg=="]
)
async def test_a_token_that_no_list_gave_out(daemon: InProcessDaemon, token: str) -> None:
    error = await daemon.refusal(daemon.client.jobs.ListJobs, pb.ListJobsRequest(page_token=token))
    assert error.code is Code.INVALID_PAGE_TOKEN


async def test_a_token_of_another_query(daemon: InProcessDaemon) -> None:
    for digit in "23":
        await daemon.insert(f"j-aaaaaaa{digit}")
    page = await daemon.client.call(daemon.client.jobs.ListJobs, pb.ListJobsRequest(page_size=1))
    assert page.next_page_token
    for method, request in (
        (daemon.client.jobs.ListJobs, pb.ListJobsRequest(filter="x", page_token=page.next_page_token)),
        (daemon.client.jobs.ListEvents, pb.ListEventsRequest(page_token=page.next_page_token)),
    ):
        assert (await daemon.refusal(method, request)).code is Code.INVALID_PAGE_TOKEN


async def _job_with_items(daemon: InProcessDaemon) -> Job:
    """a and b through fetch and score, c failed for good, d skipped as filtered; e and f wait."""
    job = await daemon.insert("j-aaaaaaaa", factories.creators(attempts=1), state=JobState.RUNNING, queue_time=None)
    await daemon.add_items(job, list("abcdef"))
    await daemon.report(job, *(factories.succeeded(1, item, result_json='{"n":1}') for item in (1, 2)))
    await daemon.report(job, *(factories.succeeded(2, item, label="added") for item in (1, 2)))
    await daemon.report(job, factories.failed(1, 3), factories.report(ReportKind.SKIPPED, 1, 4, label="filtered"))
    return job


async def test_items_by_state_step_label_and_key(daemon: InProcessDaemon) -> None:
    job = await _job_with_items(daemon)

    async def keys(**query: Any) -> list[str]:
        request = pb.ListItemsRequest(job=job.id, **query)
        answer = await daemon.client.call(daemon.client.jobs.ListItems, request)
        return [item.key for item in answer.items]

    assert await keys(states=[job_pb2.ITEM_STATE_FAILED]) == ["c"]
    assert await keys(label="filtered") == ["d"]
    assert await keys(item_keys=["b", "e"]) == ["b", "e"]
    assert [key for key in await keys(step="fetch") if key in "abcdef"] == ["c", "d", "e", "f"]


async def test_a_key_with_a_nul_is_looked_up_whole(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa", state=JobState.RUNNING, queue_time=None)
    await daemon.add_items(job, ["a", "a\0b"])
    for key in ("a", "a\0b"):
        answer = await daemon.client.call(
            daemon.client.jobs.ListItems, pb.ListItemsRequest(job=job.id, item_keys=[key], page_size=1)
        )
        assert ([item.key for item in answer.items], answer.total_size) == ([key], 1)


async def test_any_window_of_items(daemon: InProcessDaemon) -> None:
    job = await _job_with_items(daemon)

    async def window(**query: Any) -> pb.ListItemsResponse:
        return await daemon.client.call(daemon.client.jobs.ListItems, pb.ListItemsRequest(job=job.id, **query))

    def keys(answer: pb.ListItemsResponse) -> str:
        return "".join(item.key for item in answer.items)

    first = await window(page_size=2, skip=1)
    assert (keys(first), first.total_size) == ("bc", 6)
    further = await window(page_size=2, skip=1, page_token=first.next_page_token)
    assert (keys(further), further.total_size, further.next_page_token) == ("ef", 0, "")
    fetched = await window(step="fetch", skip=3, page_size=5)
    assert (keys(fetched), fetched.total_size) == ("f", 4)
    for beyond in (6, 2**31 - 1):
        answer = await window(skip=beyond)
        assert (keys(answer), answer.total_size, answer.next_page_token) == ("", 6, "")
    failed = await window(error_class="network")
    assert (keys(failed), failed.total_size) == ("c", 1)
    assert keys(await window(error_class="timeout")) == ""


@pytest.mark.parametrize("query", [{"skip": -1}, {"error_class": "x" * 65}, {"error_class": "a\nb"}])
async def test_a_window_that_cannot_be(daemon: InProcessDaemon, query: dict[str, Any]) -> None:
    job = await _job_with_items(daemon)
    error = await daemon.refusal(daemon.client.jobs.ListItems, pb.ListItemsRequest(job=job.id, **query))
    assert (error.code, error.metadata["field"]) == (Code.INVALID_ARGUMENT, next(iter(query)))


async def test_full_items_carry_their_records(daemon: InProcessDaemon) -> None:
    job = await _job_with_items(daemon)
    request = pb.ListItemsRequest(job=job.id, item_keys=["a", "c"], full=True)
    done, failed = (await daemon.client.call(daemon.client.jobs.ListItems, request)).items
    assert done.payload_json == '{"handle":"a"}'
    assert [(task.step, task.outcome, task.label, task.result_json) for task in done.tasks] == [
        ("fetch", job_pb2.OUTCOME_SUCCEEDED, "", '{"n":1}'),
        ("score", job_pb2.OUTCOME_SUCCEEDED, "added", ""),
    ]
    assert (failed.state, failed.step, failed.failure.error_class) == (job_pb2.ITEM_STATE_FAILED, "fetch", "network")


async def test_results_stream_every_item_that_ended(daemon: InProcessDaemon) -> None:
    job = await _job_with_items(daemon)

    async def keys(**query: Any) -> list[str]:
        stream = daemon.client.jobs.ListResults(pb.ListResultsRequest(job=job.id, **query))
        return [item.key async for answer in stream for item in answer.items if item.key in "abcdef"]

    assert await keys() == ["a", "b", "c", "d"]
    assert await keys(outcomes=[job_pb2.OUTCOME_FAILED]) == ["c"]
    assert await keys(label="added") == ["a", "b"]


async def test_results_come_in_messages_of_at_most_1_mb(daemon: InProcessDaemon) -> None:
    job = await daemon.insert("j-aaaaaaaa", state=JobState.RUNNING, queue_time=None)
    await daemon.add_items(job, [f"k{number}" for number in range(150)])
    large = '"' + "x" * 20_000 + '"'
    await daemon.report(job, *(factories.succeeded(1, item, result_json=large) for item in range(1, 151)))
    await daemon.report(job, *(factories.succeeded(2, item) for item in range(1, 151)))
    sizes, keys = [], set()
    async for answer in daemon.client.jobs.ListResults(pb.ListResultsRequest(job=job.id)):
        sizes.append(answer.ByteSize())
        keys |= {item.key for item in answer.items}
    assert max(sizes) <= 1024 * 1024 + 100
    assert len(keys & {f"k{number}" for number in range(150)}) == 150


async def test_failed_attempts_newest_first(daemon: InProcessDaemon) -> None:
    job = await _job_with_items(daemon)
    answer = await daemon.client.call(daemon.client.jobs.ListAttempts, pb.ListAttemptsRequest(job=job.id))
    assert [(attempt.item_key, attempt.step, attempt.attempt) for attempt in answer.attempts] == [("c", "fetch", 1)]


async def test_a_resumed_job_that_waits_for_a_slot_says_so(daemon: InProcessDaemon) -> None:
    for job_id in ("j-aaaaaaaa", "j-bbbbbbbb"):
        await daemon.insert(job_id)
    messages = []
    for job_id in ("j-bbbbbbbb", "j-cccccccc"):
        if job_id == "j-cccccccc":
            await daemon.insert(job_id)
        await daemon.client.call(daemon.client.jobs.PauseJob, pb.PauseJobRequest(job=job_id))
        answer = await daemon.client.call(daemon.client.jobs.ResumeJob, pb.ResumeJobRequest(job=job_id))
        messages.append(answer.message)
    assert "queued" not in messages[0]  # there is a slot for it
    assert "; queued at place 3: queue default runs 2 jobs at a time. To run more, write queues =" in messages[1]


async def test_events_newest_first(daemon: InProcessDaemon) -> None:
    for job_id in ("j-aaaaaaaa", "j-bbbbbbbb"):
        await daemon.insert(job_id)
        for _ in range(3):
            await daemon.client.call(daemon.client.jobs.PauseJob, pb.PauseJobRequest(job=job_id))
            await daemon.client.call(daemon.client.jobs.ResumeJob, pb.ResumeJobRequest(job=job_id))

    async def ids(**query: Any) -> list[int]:
        found: list[int] = []
        token = ""
        while True:
            request = pb.ListEventsRequest(page_size=4, page_token=token, **query)
            answer = await daemon.client.call(daemon.client.jobs.ListEvents, request)
            found += [event.id for event in answer.events]
            token = answer.next_page_token
            if not token:
                return found

    for job_id in ("", "j-bbbbbbbb"):
        newest = await ids(job=job_id, newest_first=True)
        assert len(newest) == (12 if not job_id else 6)
        assert newest == (await ids(job=job_id))[::-1]


async def test_events_say_who_and_from_where(daemon: InProcessDaemon) -> None:
    await daemon.insert("j-aaaaaaaa")
    request = pb.CancelJobRequest(job="j-aaaaaaaa", reason="not needed")
    await daemon.client.call(daemon.client.jobs.CancelJob, request)
    (event,) = (await daemon.client.call(daemon.client.jobs.ListEvents, pb.ListEventsRequest(job="aaaa"))).events
    assert event.client == "test"
    assert event.by
    assert "not needed" in event.message
    assert (event.from_state, event.to_state) == (job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_CANCELLED)
