"""The terminal UI: every job live, and one key for what it needs. A client of the public API like any other.

    watch (connection) → store (jobs, pure) → view (filter, order, marks, cursor, pure) → widgets (draw lines)

Owned here: `connection` holds the one channel, follows WatchJobs for ever and sends commands; `store` keeps what it
was told and says what changed; `view` decides what is listed and in which order; `actions` turns the `actions` of jobs
into keys, buttons and previews; `screens` put widgets together and wire messages to calls; `widgets` draw what they are
shown and nothing else: they get documents, never a channel. `theme`, `keys` and `memory` are what a person chose.

Not here: any decision about what a job may do (the daemon says it in `Job.actions`), and anything of the daemon's or
the CLI's. Text from jobs becomes `Strip` or `Text`, never markup. What the first paint does not need (grpc, protobuf)
is imported after it: `connection`, `requests` and `details` are loaded then, everything else names their types only.
"""
