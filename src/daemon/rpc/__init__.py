"""The API: thin servicers that check a request, ask the part that knows, and put its answer into a message.

Owns: what a request may contain (`checks`), page tokens (`pages`), the one place where errors become statuses
(`interceptor`), and the server on its socket (`server`). Every call passes the interceptor, so servicers raise
MilepostError and nothing else.

May not touch: the state of a job (that is `commands`), processes, SQL. No call holds a transaction while it waits: a
client that goes away cancels its call at any `await`.
"""
