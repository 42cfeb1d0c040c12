"""Between the values of `core` and the messages of `v1`: translation and nothing else.

Owns what both ends of the API must agree on: `errors` has the one table of codes and gRPC statuses. Decides nothing,
does no I/O; a message from the other side is checked here and refused with a MilepostError, so that beyond this package
values are sound.
"""
