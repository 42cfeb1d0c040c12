"""Plots out of letters, in the width there is."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style

from milepost.tui.status import Glyphs, Status
from milepost.tui.theme import Look
from milepost.tui.widgets.cells import Line

#: From this ratio of longest to shortest on a scale is logarithmic: otherwise the short ones are not to be seen.
_WIDE_RANGE = 30.0


def columns(values: Sequence[float], cells: int) -> list[float]:
    """The values, as the means of neighbours where there are more than cells."""
    if len(values) <= cells:
        return list(values)
    edges = [round(at * len(values) / cells) for at in range(cells + 1)]
    return [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]


def tower_rows(values: Sequence[float], rows: int, glyphs: Glyphs) -> list[str]:
    """Towers of up to `rows` lines, the highest line first; what is more than nothing shows."""
    top, steps = max(values, default=0.0), len(glyphs.levels) - 1
    if top <= 0:
        return [" " * len(values)] * (rows - 1) + [glyphs.levels[1] * len(values)]
    heights = [max(1, round(value / top * rows * steps)) if value > 0 else 0 for value in values]
    return [
        "".join(glyphs.levels[max(0, min(steps, height - row * steps))] for height in heights)
        for row in range(rows - 1, -1, -1)
    ]


@dataclass(frozen=True)
class Scale:
    """From a number to cells."""

    low: float
    high: float
    cells: int

    @property
    def is_logarithmic(self) -> bool:
        return self.low > 0 and self.high / self.low >= _WIDE_RANGE

    def at(self, value: float) -> int:
        if self.high <= 0 or value <= 0:
            return 0
        if self.is_logarithmic:
            low = self.low / 2  # so that the shortest is to be seen
            share = math.log(max(value, low) / low) / math.log(self.high / low)
        else:
            share = value / self.high
        return max(1, min(self.cells, round(share * self.cells)))


def box(p50: float, p90: float, longest: float, scale: Scale, look: Look) -> Line:
    """Thick up to the median, thinner up to nine tenths, a thread up to the longest."""
    first, second, third = scale.at(p50), scale.at(p90), scale.at(longest)
    glyphs = look.glyphs
    return [
        Segment(glyphs.levels[-1] * first, look.statuses[Status.RUNNING]),
        Segment(glyphs.bar_full * (second - first), look.statuses[Status.RUNNING]),
        Segment(glyphs.bar_empty * (third - second), look.dim),
        Segment(" " * (scale.cells - third)),
    ]


def bar(value: float, highest: float, cells: int, style: Style, look: Look) -> Line:
    full = max(1, round(value / highest * cells)) if highest > 0 and value > 0 else 0
    return [Segment(look.glyphs.bar_full * full, style), Segment(" " * (cells - full))]
