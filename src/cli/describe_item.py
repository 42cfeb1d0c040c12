"""An item in full, for a person: what `items --full` prints."""

from milepost.cli.context import Context
from milepost.cli.text import item_state_cell
from milepost.common.text import safe, safe_lines, seconds_words
from milepost.common.words import unix_seconds
from milepost.v1 import job_pb2


def describe_item(context: Context, item: job_pb2.Item) -> None:
    """Its error, the record of each step, its payload; nothing of them is cut."""
    cell = item_state_cell(job_pb2.ItemState.Name(item.state).removeprefix("ITEM_STATE_"))
    label = f" ({safe(item.label)})" if item.label else ""
    attempt = f", attempt {item.attempt}" if item.attempt else ""
    where = f"  at {safe(item.step)}{attempt}" if item.step else ""
    key = context.paint("bold", safe(item.key) or "(the job)")
    context.out(f"{context.paint(cell.colour, cell.text)}{label}  {key}{where}")
    if item.HasField("failure"):
        for label, text in _failure(item.failure):
            _out_block(context, label, text)
    for record in item.tasks:
        _out_block(context, safe(record.step), _record(record))
    _out_block(context, "payload", item.payload_json)


def _failure(failure: job_pb2.Failure) -> list[tuple[str, str]]:
    rule = f" (rule: {failure.rule})" if failure.rule else ""
    words = [("error", f"{failure.error_class}{rule}\n{failure.message}"), ("traceback", failure.traceback)]
    return [*words, ("what to do", failure.remedy)]


def _record(record: job_pb2.TaskRecord) -> str:
    outcome = job_pb2.Outcome.Name(record.outcome).removeprefix("OUTCOME_").lower()
    label = f" ({record.label})" if record.label else ""
    took = seconds_words(unix_seconds(record.end_time) - unix_seconds(record.start_time))
    words = f"{outcome}{label}, attempt {record.attempt}, took {took}"
    more = [f"artefacts in {record.folder}"] if record.folder else []
    return "\n".join([words, *more, *([record.result_json] if record.result_json else [])])


def _out_block(context: Context, label: str, text: str) -> None:
    if text:
        indented = safe_lines(text).rstrip().replace("\n", f"\n{' ' * 14}")
        context.out(f"  {label:<12}{indented}" if len(label) < 12 else f"  {label}\n{' ' * 14}{indented}")
