"""SQL text: one file for each module of functions, sections headed `-- name: …`; see `store.queries`."""
