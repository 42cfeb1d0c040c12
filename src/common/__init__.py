"""What every side of Milepost shares to talk, and to know processes.

Owns: the two-way tables between model and proto, errors and gRPC status (`wire`); the client library (`client`); the
filter language (`filter`); settings (`settings`); the identity and the ending of processes (`processes`); the file in
which a runner leaves what it could not deliver (`spool`).

May not touch: the store, a job's state, user code. It serves daemon, runner and clients and imports none of them. What
it does is asked for by its caller: nothing here runs in the background on its own account.
"""
