"""What is asked before a command is sent, and what came of it. Loaded when something is asked for the first time."""

from textual.app import App

from milepost.tui.actions import TYPE_THE_COUNT, Asks, Offered, Plan, offered
from milepost.tui.rows import JobRow
from milepost.tui.screens.dialogs import Choice, ChoiceDialog, ConfirmDialog, Question


async def confirmed(app: App[None], row: JobRow, one: Offered) -> bool:
    title = f"{one.offer.label}: {row.job.id} {row.job.name}"
    question = Question(title, f"It {one.effect}.", one.offer.label, one.offer.keep)
    return await app.push_screen_wait(ConfirmDialog(question))


async def chosen_restart(app: App[None], row: JobRow) -> tuple[str, str]:
    """The command and the step that it is for; ("", "") to leave the job as it is."""
    title = f"Restart {row.job.id} {row.job.name}"
    chosen = await app.push_screen_wait(ChoiceDialog(title, "Leave it as it is", _restart_choices(row)))
    command, _, step = chosen.partition(":")
    return command, step


def _restart_choices(row: JobRow) -> list[Choice]:
    """Every way in which this job may be started again now."""
    choices = []
    for one in offered(row):
        if not one.allowed or not one.offer.command.startswith("RESTART"):
            continue
        if one.offer.asks is Asks.STEP:
            names = [step.name for step in row.job.steps]
            effect = "archives the records from there on"
            choices += [Choice(f"{one.offer.command}:{name}", f"From {name}", effect) for name in names]
        else:
            choices.append(Choice(one.offer.command, one.offer.label, one.effect))
    return choices


async def confirmed_plan(app: App[None], planned: Plan) -> bool:
    """For many jobs; a person types how many where there are very many."""
    offer, count = planned.offer, len(planned.job_ids)
    question = Question(
        title=planned.words,
        consequence="Each job does what it would do if it were alone; what is recorded is kept.",
        do=offer.label,
        keep="Leave them as they are",
        count=count if count >= TYPE_THE_COUNT else 0,
    )
    return await app.push_screen_wait(ConfirmDialog(question))
