"""`items` and `results`: what became of each unit of input."""

import csv
import json
import shlex
import sys
from collections.abc import AsyncIterator, Iterable

from milepost.cli.context import Context
from milepost.cli.documents import Json, document, line
from milepost.cli.exit_codes import Exit
from milepost.cli.parser import Verbs, add_job, one_of, whole_number
from milepost.cli.text import Cell, cut_rows, item_state_cell
from milepost.common.client import Client
from milepost.common.text import safe
from milepost.v1 import job_pb2
from milepost.v1.job_service_pb2 import GetJobRequest, ListItemsRequest, ListResultsRequest

PAGE = 1000
_STATES = tuple(name.removeprefix("ITEM_STATE_").lower() for name in job_pb2.ItemState.keys()[1:])
_HEADS = ["KEY", "STATE", "STEP", "LABEL", "ATTEMPT", "ERROR"]
_OUTCOMES = tuple(name.removeprefix("OUTCOME_").lower() for name in job_pb2.Outcome.keys()[1:])


def add_verbs(verbs: Verbs) -> None:
    listing = verbs.add(
        "items",
        items,
        "list the items of a job: where each one stands, and its last error",
        "milepost items @last --state failed\nmilepost items @last --step fetch --state retry\n"
        "milepost items @last --error-class timeout\nmilepost items @last --key ann --full --json",
    )
    add_job(listing)
    listing.add_argument(
        "--state", action="append", default=[], type=one_of(*_STATES), help=f"{', '.join(_STATES)} (repeatable)"
    )
    listing.add_argument("--step", default="", help="only items that stand, or left the line, at this step")
    listing.add_argument("--label", default="", help="only items with this label")
    listing.add_argument(
        "--error-class",
        "--class",
        dest="error_class",
        default="",
        metavar="CLASS",
        help="only items that failed, or wait to be tried again, with this class of error, as timeout",
    )
    listing.add_argument("--key", action="append", default=[], help="only this item (repeatable)")
    listing.add_argument("--full", action="store_true", help="all of each: error, records of its steps, payload")
    listing.add_argument(
        "-n", "--limit", type=whole_number(0, 2**31 - 1), default=1000, metavar="N", help="at most N; 0 for all (1000)"
    )
    results_verb = verbs.add(
        "results",
        results,
        "print the result of every item that has ended, as JSON lines or CSV",
        "milepost results @last > results.jsonl\nmilepost results @last --format csv --outcome succeeded > added.csv",
    )
    add_job(results_verb)
    results_verb.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="jsonl unless given")
    results_verb.add_argument(
        "--outcome", action="append", default=[], type=one_of(*_OUTCOMES), help=f"{', '.join(_OUTCOMES)} (repeatable)"
    )
    results_verb.add_argument("--label", default="", help="only items with this label")


async def items(context: Context) -> Exit:
    limit = context.arguments.limit
    async with context.client() as client:
        found = [item async for item in _list_items(context, client, limit)]
    if context.json:
        context.out_json({"items": [document(item) for item in found]})
    elif found and context.arguments.full:
        from milepost.cli.describe_item import describe_item  # only these need so many words

        for item in found:
            describe_item(context, item)
    elif found:
        rows = [_row(item) for item in found]
        context.out_table(_HEADS, rows)
        _say_what_is_cut(context, found, rows)
    else:
        context.say("No item matches.")
        if context.arguments.error_class:
            context.say("note: an item that succeeded at a later attempt has no error; stats counts those attempts.")
    if limit and len(found) == limit:
        context.say(f"note: the first {limit}; --limit 0 lists all.")
    return Exit.DONE


def _say_what_is_cut(context: Context, found: list[job_pb2.Item], rows: list[list[Cell | str]]) -> None:
    cut = cut_rows(_HEADS, rows, context.columns)
    if any(cut):
        words = ["milepost", "items", context.arguments.job, "--key", found[cut.index(True)].key, "--full"]
        context.say(f"note: … is where a line is cut. All of an item:\n  {context.as_called(safe(shlex.join(words)))}")


async def _list_items(context: Context, client: Client, limit: int) -> AsyncIterator[job_pb2.Item]:
    arguments = context.arguments
    token, left = "", limit
    while True:
        request = ListItemsRequest(
            job=arguments.job,
            states=[job_pb2.ItemState.Value(f"ITEM_STATE_{name.upper()}") for name in arguments.state],
            step=arguments.step,
            label=arguments.label,
            error_class=arguments.error_class,
            item_keys=arguments.key,
            full=arguments.full,
            page_size=min(left, PAGE) if limit else PAGE,
            page_token=token,
        )
        page = await client.call(client.jobs.ListItems, request)
        for item in page.items:
            yield item
        token, left = page.next_page_token, left - len(page.items)
        if not token or (limit and left <= 0):
            return


def _row(item: job_pb2.Item) -> list[Cell | str]:
    state = job_pb2.ItemState.Name(item.state).removeprefix("ITEM_STATE_")
    failure = item.failure
    error = f"{failure.error_class}: {failure.message}" if item.HasField("failure") else ""
    return [
        safe(item.key),
        item_state_cell(state),
        safe(item.step),
        safe(item.label),
        str(item.attempt) if item.attempt else "",
        safe(error.replace("\n", " ")),
    ]


async def results(context: Context) -> Exit:
    arguments = context.arguments
    async with context.client() as client:
        job = (await client.call(client.jobs.GetJob, GetJobRequest(job=arguments.job))).job
        request = ListResultsRequest(
            job=job.id,
            outcomes=[job_pb2.Outcome.Value(f"OUTCOME_{name.upper()}") for name in arguments.outcome],
            label=arguments.label,
        )
        steps = [step.name for step in job.steps if (step.takes, step.gives) == ("each", "one")]
        writer = csv.writer(sys.stdout, lineterminator="\n") if arguments.format == "csv" else None
        if writer is not None:
            writer.writerow(["key", "outcome", "label", "step", "error_class", "error", "payload", *steps])
        async for page in client.stream(client.jobs.ListResults, request):
            for item in page.items:
                if writer is not None:
                    writer.writerow(csv_row(item, steps))
                else:
                    sys.stdout.write(f"{line(result_document(item))}\n")
    sys.stdout.flush()
    return Exit.DONE


def result_document(item: job_pb2.Item) -> dict[str, Json]:
    """One line of `results`: the outcome, and the result of each step as the pipeline gave it."""
    failure = item.failure
    return {
        "key": item.key,
        "outcome": job_pb2.ItemState.Name(item.state).removeprefix("ITEM_STATE_"),
        "label": item.label,
        "step": item.step,
        "payload": _loaded(item.payload_json),
        "results": {task.step: _loaded(task.result_json) for task in item.tasks},
        "error": {"error_class": failure.error_class, "message": failure.message, "remedy": failure.remedy}
        if item.HasField("failure")
        else None,
    }


def csv_row(item: job_pb2.Item, steps: Iterable[str]) -> list[str]:
    """Texts as they are, anything else as JSON; a column for each step's result."""
    found = result_document(item)
    error = found["error"] or {"error_class": "", "message": ""}
    start = [found["key"], found["outcome"], found["label"], found["step"], error["error_class"], error["message"]]
    return [*start, item.payload_json, *(_plain(found["results"].get(step)) for step in steps)]


def _loaded(text: str) -> Json:
    return json.loads(text) if text else None


def _plain(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
