"""The daemon: the one process that knows which jobs there are and what shall become of them.

Owns: the store (`store`), the processes of runs (`reconcile`), the streams of runners (`dispatch`), which job starts
next (`queue`), what clients watch (`watch`), the servicers (`rpc`), and their wiring (`main`).

One way through: a command goes to `core`, which decides; one transaction of the store makes it durable; the commit's
revision wakes watchers and reconcile. The row is intent, the process is evidence: reconcile compares them again and
again, at boot, after a crash and in steady state alike.

May not touch: a pipeline's code (only a worker imports it), the state of a job except through `core`, rows except
through `store`. Imports `core`, `common` and `v1`; neither the runner's nor the clients' code.
"""
