"""The language of filters: a subset of AIP-160, as a syntax tree and as a predicate.

    state = FAILED AND label.team = "x" AND failed > 0
    creators -state:COMPLETED
    (state = PAUSED OR state = WAITING) age > 2h

Bare words and quoted text match the job's name. Terms side by side must all hold, as with AND; `NOT` and `-` negate;
as AIP-160 has it, OR binds tighter than AND. Fields and what they take are in `FIELDS`.

What is noticed about a job, as in `finding = stuck`, is so now: it is not stored, and whoever asks brings it along.

Case: `:` (contains) and bare words match the letters A to Z in either case, `=` is exact (`state` and `finding` in
either case). A label that a job does not have equals no value, so `label.team != "x"` holds for it.

The store makes SQL of the same tree (`daemon.store.filters`); that both agree is a tested promise, so whatever changes
here changes there.
"""

from milepost.common.filter.parser import parse
from milepost.common.filter.select import select
from milepost.common.filter.tree import EVERYTHING, Filterable, FilterSubject, Node, fold, matches, uses_time

__all__ = ["EVERYTHING", "FilterSubject", "Filterable", "Node", "fold", "matches", "parse", "select", "uses_time"]
