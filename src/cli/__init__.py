"""The command line: `milepost VERB …`, for people on a terminal and for scripts.

Owns: the verbs and their exit codes (`exit_codes`), what is printed for a person (`text`, `tables`) and for a program
(`documents`), following a job with progress (`follow`), and Ctrl+C. Each verb is a small function over
`common.client`; what a command would do, whether it is allowed and why not comes from the daemon and is displayed.

May not touch: the store, processes of jobs, the code of a pipeline. Nothing heavy is imported unless it is needed:
`rich` only for progress bars on a terminal. Text that comes from jobs is shown with control characters escaped.

Results go to stdout, everything said about them to stderr; with `--json` stdout is one JSON document (one a line for
streams), in the field names of the `.proto`.
"""
