"""What pipeline authors import, and the worker that executes their steps.

It runs inside the job's own interpreter, from a copy: standard library only, Python 3.9 or later, nothing else of
Milepost. Two halves:

- for authors: `pipeline` (Pipeline, Retry), `task`, `job`, `rows` (what a step with takes="all" reads), `results`
  (skipped, labelled), `errors` (what to raise). Importing these must stay cheap.
- the worker: `worker` (its two commands, describe and work), `loading` (a source becomes a Pipeline, or the author's
  mistake), `definition` (a Pipeline becomes JSON), `channel` (frames to and from the runner), `session` (executes
  tasks), `execution` (one of them), `enumeration` (the items step), `artefacts`, `classification` (an exception becomes
  a failure, by rules that are data), `output` (tags what tasks print).

A worker executes and reports. It decides nothing: retries, time-outs, limits are the runner's and the daemon's.
"""
