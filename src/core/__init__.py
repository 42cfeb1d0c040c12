"""The rules of Milepost: pure functions over frozen values.

Owns: the model (`model`), the pipeline's shape (`definition`), the one table of states and commands (`transitions`)
and what comes of it (`lifecycle`), what a person is offered and told (`actions`), counts and rates (`progress`), when
to try again (`retry`), what is noticed (`findings`), which job is next (`queueing`), and the errors everybody raises
(`errors`).

May not touch: files, processes, sockets, threads, the clock, randomness. Time (`now`, Unix seconds) and jitter are
arguments. Imports the standard library only. Functions return values; nothing here performs an effect.
"""
