"""Which jobs a verb means: those named, or those that a filter chooses."""

from collections.abc import AsyncIterator, Sequence

from milepost.common.client import Client
from milepost.core.errors import Code, MilepostError
from milepost.v1 import job_pb2
from milepost.v1.job_service_pb2 import GetJobRequest, ListJobsRequest

PAGE = 1000


async def list_jobs(client: Client, filter_text: str, limit: int = 0) -> AsyncIterator[job_pb2.Job]:
    """Newest first; `limit` 0 for all."""
    token, left = "", limit
    while True:
        size = min(left, PAGE) if limit else PAGE
        request = ListJobsRequest(filter=filter_text, page_size=size, page_token=token)
        page = await client.call(client.jobs.ListJobs, request)
        for job in page.jobs:
            yield job
        token, left = page.next_page_token, left - len(page.jobs)
        if not token or (limit and left <= 0):
            return


async def named_or_chosen(client: Client, names: Sequence[str], filter_text: str | None) -> list[str]:
    """References for requests: the names as they are, or the ids of the jobs that match.

    Raises MilepostError(INVALID_ARGUMENT) for both or neither.
    """
    if names and filter_text is not None:
        raise MilepostError(Code.INVALID_ARGUMENT, "Jobs and --filter do not go together.", "Leave one of them out.")
    if filter_text is None:
        if not names:
            raise MilepostError(Code.INVALID_ARGUMENT, "Which job?", "Name it (@last is the newest), or use --filter.")
        return list(names)
    if not filter_text.strip():
        raise MilepostError(
            Code.INVALID_ARGUMENT, "An empty filter would choose every job.", "Say so, as: --filter 'age > 0s'"
        )
    return [job.id async for job in list_jobs(client, filter_text)]


async def filter_of(client: Client, words: Sequence[str], filter_text: str | None) -> str:
    """A filter for jobs by name, or for words of a filter; a single word may be either."""
    parts = [f"({filter_text})"] if filter_text else []
    if words:
        parts.append(await _jobs_or_words(client, words))
    return " AND ".join(parts)


async def _jobs_or_words(client: Client, words: Sequence[str]) -> str:
    ids = []
    for word in words:
        try:
            found = await client.call(client.jobs.GetJob, GetJobRequest(job=word))
        except MilepostError as error:
            if error.code in (Code.JOB_NOT_FOUND, Code.JOB_AMBIGUOUS, Code.INVALID_ARGUMENT):
                return f"({' '.join(words)})"
            raise
        ids.append(found.job.id)
    return f"({' OR '.join(f'id = {job_id}' for job_id in ids)})"
