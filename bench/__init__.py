"""What Milepost reaches, beside what it is to be measured against: `scripts/bench`.

Every row is a ratio of two figures from one run on one machine, in rounds that alternate between ours and the peer, so
that what else the machine does meets both. A group of rows is a module with `measure(effort)`; the table, and
RESULTS.md with what limits each group, are made from what it returns. The daemon is the tests' own RealDaemon.
"""
