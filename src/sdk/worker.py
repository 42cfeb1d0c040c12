"""The worker process: `describe FD` tells what a pipeline is, `work FD` executes its tasks."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

from milepost import __version__
from milepost.sdk import output
from milepost.sdk.channel import MAX_FRAME_BYTES, Channel, Frame, open_socket, read_first, to_line
from milepost.sdk.definition import definition_of
from milepost.sdk.edges import edge
from milepost.sdk.errors import Mistake
from milepost.sdk.job import Job
from milepost.sdk.loading import load, mistake_frame
from milepost.sdk.session import Session

if TYPE_CHECKING:
    import socket

    from milepost.sdk.pipeline import Step

PROTOCOL = 2


def main(arguments: list[str]) -> None:
    if len(arguments) != 2 or arguments[0] not in ("describe", "work") or not arguments[1].isdigit():
        sys.exit("usage: PYTHON SDK_FOLDER describe|work DESCRIPTOR (the runner and the daemon start workers)")
    sock = open_socket(int(arguments[1]))
    streams = output.install()
    _prepare_signals()
    first = read_first(sock)
    if arguments[0] == "describe":
        _answer(sock, _describe(first))
    else:
        _work(sock, first, streams)


@edge("answer")
def _answer(sock: socket.socket, frame: Frame) -> None:
    sock.sendall(to_line(frame))


def _describe(frame: Frame) -> Frame:

    source = frame.get("source") or frame
    try:
        definition = definition_of(load(source), inline=bool(frame.get("inline") or source.get("inline")))
    except BaseException as error:  # noqa: BLE001 (whatever the author's module raises is the author's mistake)
        return mistake_frame(error, source)
    return {"type": "definition", "definition": definition}


def _work(sock: socket.socket, start: Frame, streams: tuple[output.TaggedStream, ...]) -> None:

    # Made before the pipeline is imported: on Python 3.9 a lock at its top level belongs to the loop of that moment.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        steps = _load_steps(start)
    except BaseException as error:  # noqa: BLE001 (as above)
        _answer(sock, mistake_frame(error, start["source"]))
        return
    _prepare_logger()
    _prepare_collector()
    _run(loop, _serve(loop, sock, start, steps, streams))
    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _load_steps(start: Frame) -> list[Step]:
    if start.get("protocol") != PROTOCOL:
        raise Mistake(
            f"The runner speaks protocol {start.get('protocol')}, this SDK {PROTOCOL}: "
            "they are of different versions of Milepost. Restart the job."
        )
    return load(start["source"]).steps(inline=bool(start["job"].get("inline")))


def _run(loop: asyncio.AbstractEventLoop, serving: Any) -> None:  # Any: a coroutine
    main_task = loop.create_task(serving)
    while not main_task.done():
        try:
            loop.run_until_complete(main_task)
        except (SystemExit, KeyboardInterrupt) as error:  # noqa: PERF203 (rare, and each must be caught)
            # Raised in a task that the author's code started itself, these stop the loop; other tasks must go on.
            text = f"milepost: a background task of the pipeline raised {type(error).__name__}, which ends nothing"
            print(text, file=sys.stderr)


async def _serve(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    start: Frame,
    steps: list[Step],
    streams: tuple[output.TaggedStream, ...],
) -> None:

    reader, writer = await asyncio.open_connection(sock=sock, limit=MAX_FRAME_BYTES)
    channel = Channel(loop)
    threads = int(start.get("threads") or 1)
    session = Session(Job(start["job"]), steps, channel, streams, loop, start["run"], threads)
    channel.send(to_line({"type": "ready", "pid": os.getpid(), "version": __version__}))
    reading = loop.create_task(_read(reader, session))
    writing = loop.create_task(channel.write_all(writer))
    ending = loop.create_task(session.ended.wait())
    await asyncio.wait({reading, writing, ending}, return_when=asyncio.FIRST_COMPLETED)
    if not ending.done():
        await _leave(reading, writing)
    writer.transport.set_write_buffer_limits(high=0)  # so that draining means written
    channel.close()
    await asyncio.wait({writing})
    if writing.exception() is not None:
        await _leave(reading, writing)
    writer.close()


async def _read(reader: asyncio.StreamReader, session: Session) -> None:
    while True:
        line = await reader.readline()
        if not line.endswith(b"\n"):
            return  # the runner is gone
        session.handle(line)
        await asyncio.sleep(0)  # what came runs before more is made: many tasks at once do not fit a processor's cache


async def _leave(*ours: asyncio.Task[None]) -> NoReturn:
    """The runner is gone, or cannot be understood: the tree is to end, and nobody reads results any more."""

    status = 0
    for task in ours:
        error = task.exception() if task.done() else None
        if error is not None and not isinstance(error, ConnectionError):
            traceback.print_exception(type(error), error, error.__traceback__)
            status = 70
    threading.Timer(1.0, os._exit, (status,)).start()  # clean-up code that blocks does not keep the process
    for other in asyncio.all_tasks() - {asyncio.current_task()}:
        other.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    os._exit(status)


def _prepare_signals() -> None:
    # A handler, not SIG_IGN: programs that a task starts would inherit that, and a task may want to interrupt them.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    faulthandler.enable(file=2)
    name = os.environ.get("MILEPOST_STACKS")
    stacks = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600) if name else 2
    faulthandler.register(signal.SIGUSR1, file=stacks, all_threads=True)


def _prepare_logger() -> None:

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("milepost.task")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _prepare_collector() -> None:
    # Thousands of tasks in flight look like garbage to be to a collector that wakes at every 700 objects: that took a
    # fifth of a worker's time. What the import made is there to stay.
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
