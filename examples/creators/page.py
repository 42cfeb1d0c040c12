"""The report's page: how many creators ended how, as a bar each, and those that failed, with the reason."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

WIDTH = 420  # of the longest bar, in pixels
ROW = 30
COLOURS = {"added": "#2e7d32", "failed": "#c62828"}
OTHER_COLOUR = "#90a4ae"

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Creators</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 46rem; color: #222 }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: left; vertical-align: top }}
</style>
<h1>{total} creators</h1>
{chart}
<h2>{failed} failed</h2>
{table}
</html>
"""


class Failure(NamedTuple):
    key: str
    step: str
    error_class: str
    message: str


def render(labels: Mapping[str, int], failures: Sequence[Failure]) -> str:
    return PAGE.format(total=sum(labels.values()), chart=chart(labels), failed=len(failures), table=table(failures))


def chart(labels: Mapping[str, int]) -> str:
    longest = max(labels.values(), default=1)
    bars = [
        f'<text x="90" y="{row * ROW + 19}" text-anchor="end">{escape(label)}</text>'
        f'<rect x="100" y="{row * ROW + 4}" width="{max(1, round(WIDTH * count / longest))}" height="{ROW - 10}"'
        f' fill="{COLOURS.get(label, OTHER_COLOUR)}"/>'
        f'<text x="{106 + max(1, round(WIDTH * count / longest))}" y="{row * ROW + 19}">{count}</text>'
        for row, (label, count) in enumerate(sorted(labels.items(), key=lambda entry: -entry[1]))
    ]
    size = f'width="{WIDTH + 160}" height="{len(bars) * ROW}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} font-size="14">{"".join(bars)}</svg>'


def table(failures: Sequence[Failure]) -> str:
    if not failures:
        return "<p>None.</p>"
    rows = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in failure)}</tr>" for failure in failures)
    return f"<table><tr><th>handle</th><th>step</th><th>class</th><th>error</th></tr>{rows}</table>"
