"""The least that a durable task costs with our means: worker, runner and daemon as three processes, JSON over a socket
pair, one gRPC stream with batches of up to 1,000, aiosqlite with FULL. No fencing, retries, states or watchers.

`runner.py FOLDER COUNT` prints how many tasks a second it came to; `daemon.py FOLDER COUNT` serves it.
"""
