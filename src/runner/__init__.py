"""The runner: one process a job and run, between the daemon and what executes the job's tasks.

Owns: the stream to the daemon (`link`, `outbox`), what it was handed and what executes now (`pages`, `ledger`,
`schedule`, `attempts`), the processes below it (`children`, `workers`, `worker`, `pool`, `commands`), the lines of a
command pipeline's input (`lines`), the view into its process tree (`inspection`), and how a run ends (`run`, `main`).

The daemon judges, the runner measures: it decides no retry and no state of a job; it enforces time-outs, because only
it is near enough. It survives the daemon: output goes straight to the run's log, reports wait until they are durable
or, when the daemon stays away past the lease, go to the spool. No code of the pipeline's author runs in this process.

May not touch: the store, other jobs, anything of the daemon but its socket. All waits have a deadline or are cancelled
with the run; memory is bounded by the window of held tasks and by a limit on what is not yet delivered; a failure in
any background task ends the run with the traceback in its log. When a runner ends, nothing of its tree is left.

Exit codes: 0 told to end, or nothing was left; 3 the pipeline cannot be run (`logs/run-<N>.mistake.json` tells why);
4 the daemon refused this run; 5 the daemon never answered; 70 a failure of the runner itself.
"""
