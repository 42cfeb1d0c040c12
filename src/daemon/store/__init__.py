"""The store: everything durable, in one SQLite file, behind one writer.

Owns: the file `store.db` in the state folder, its schema (`sql/migrations`), all SQL (`sql/*.sql`, one file a module of
functions), the writer (`store`, `group_commit`), the readers, and the rows' counters.

How it is used. `Store.write(function)` runs a plain function with a `Transaction` in the writer's thread; everything
that was asked for since the last commit becomes one commit (`group_commit`: adaptive, no timer), and callers are
answered when it is durable. `Store.write_together` is for what many ask for at a time: one call, and the same few
statements, for all runners that reported since the last commit. `Store.read(function)` runs a plain function on a
reader, in one snapshot. The modules `jobs`, `runs`, `tasks`, `reports` (with `recording`), `children`, `saved`,
`operations`, `events`, `requests` and `items` are such functions: they take a connection (`db`) to read, a
`Transaction` (`tx`) to write, and compose freely within one transaction.

Invariants. At every commit `succeeded + failed + skipped + upstream + pending = total` for each step, because counters
change by delta together with the rows they count. A report applies only while its item stands PENDING at the report's
step with its epoch. Whatever returns a task to be executed again (a failed or lost execution, retry, rewind) raises the
epoch, so that nothing is counted twice, however often a runner sends it. Records are archived before they are replaced.
Ids of items and events, and revisions, are never used twice. States restate `core.lifecycle` as CHECKs.

May not touch: processes, sockets, the clock (time is an argument), the rules (they are `core`'s). A second connection
never writes nor checkpoints: SQLite before 3.51.3 can corrupt a WAL then. Nobody may open and close `store.db` or its
`-wal` and `-shm` by other means within the daemon: closing any descriptor drops SQLite's locks on the file.
"""
