"""`scripts/bench [GROUP…]`: measures the groups named, all by default, and prints the table."""

import argparse
import asyncio
import datetime
import os
import time
import tomllib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import uvloop

from bench import cancel, cli, commands, memory, pause, random_order, restart, throughput, tui, watch
from bench.measuring import HERE, Effort, say
from bench.table import Group, Row, as_json, as_markdown, show

GROUPS: Mapping[str, Callable[[Effort], Coroutine[Any, Any, list[Row]]]] = {
    "one-step": throughput.one_step,
    "three-steps": throughput.three_steps,
    "sync-step": throughput.sync_step,
    "random-order": random_order.measure,
    "commands": commands.measure,
    "pause": pause.measure,
    "cancel": cancel.measure,
    "watch": watch.measure,
    "restart": restart.measure,
    "memory": memory.measure,
    "cli": cli.measure,
    "tui": tui.measure,
}
#: What is measured is the daemon in this process, in its own loop; elsewhere this process is its client.
OF_THE_DAEMON = {"watch"}
QUICK = Effort(share=0.02, rounds=1)


def main() -> None:
    arguments = _parser().parse_args()
    names = arguments.group or list(GROUPS)
    effort = QUICK if arguments.quick else Effort()
    load = os.getloadavg()[0]
    groups = _measure(names, effort)
    if arguments.json:
        print(as_json(groups))
    else:
        show(groups)
    if arguments.write:
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        (HERE / "RESULTS.md").write_text(as_markdown(groups, date, load))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Ratios of ours and peers, measured in one run.")
    parser.add_argument("group", nargs="*", choices=[*GROUPS, []], metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md, with what limits each group")
    parser.add_argument("--quick", action="store_true", help="only see that everything works: the figures mean little")
    return parser


def _measure(names: Sequence[str], effort: Effort) -> list[Group]:
    limits = tomllib.loads((HERE / "limits.toml").read_text())
    groups = []
    begun = time.monotonic()
    for name in names:
        say(f"{name} (after {time.monotonic() - begun:.0f} s)")
        run = uvloop.run if name in OF_THE_DAEMON else asyncio.run
        groups.append(Group(name, limits[name], run(GROUPS[name](effort))))
    return groups


if __name__ == "__main__":
    main()
