"""A small web service with the manners of real ones: slow, rate limited, sometimes broken, sometimes silent.

    python profiles.py [SLOWDOWN]

Serves `GET /profiles/HANDLE` on a free port of the loopback, prints its address as its first line, and ends when its
standard input ends: whoever started it holds the other end, so it cannot outlive them, however they die.

What a handle gets is drawn from the handle itself, so any list of creators works and every start behaves alike. The
client says in `X-Attempt` which attempt this is (1, 2, …): nothing has to be remembered here, and a service that was
killed and started again in the middle of a job does not stumble over the same creators a second time.
"""

import asyncio
import random
import socket
import sys
import threading
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

#: Chosen so that exactly 11 creators of creators.csv fail for good.
SEED = 6991
RETRY_AFTER = 1  # seconds

#: What the first attempts get, and how often out of a thousand handles.
STUMBLES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (10, ("hang",)),
    (80, ("limit",)),
    (60, ("break",)),
    (30, ("break", "break")),
    (20, ("limit", "break")),
    (50, ("empty",)),
)
#: Statuses that never change, out of a thousand handles.
FOR_GOOD: tuple[tuple[int, int], ...] = ((16, 404), (10, 410), (13, 500))


@dataclass(frozen=True)
class Manners:
    """How the service treats one handle. `latency` in seconds; `for_good` is a status that every attempt gets, or 0."""

    latency: float
    for_good: int
    stumbles: tuple[str, ...]


def manners(handle: str, seed: int = SEED) -> Manners:
    draw = random.Random(f"{seed}:{handle}")
    latency = draw.uniform(0.005, 0.150)
    for_good = draw.choices([0, *(status for _, status in FOR_GOOD)], [1000 - _sum(FOR_GOOD), *_weights(FOR_GOOD)])[0]
    stumbles = draw.choices([(), *(what for _, what in STUMBLES)], [1000 - _sum(STUMBLES), *_weights(STUMBLES)])[0]
    return Manners(latency, for_good, () if for_good else stumbles)


def _weights(table: tuple[tuple[int, object], ...]) -> list[int]:
    return [weight for weight, _ in table]


def _sum(table: tuple[tuple[int, object], ...]) -> int:
    return sum(_weights(table))


def profile(handle: str) -> dict[str, object]:
    draw = random.Random(f"profile:{handle}")
    followers = int(draw.lognormvariate(9, 1.5)) + 10
    likes = [int(followers * draw.betavariate(1.2, 20)) for _ in range(draw.randint(12, 40))]
    posts = [{"likes": count, "comments": int(count * draw.uniform(0.01, 0.1))} for count in likes]
    return {"handle": handle, "followers": followers, "posts": posts}


def application(slowdown: float) -> Starlette:
    async def show(request: Request) -> Response:
        handle = request.path_params["handle"]
        attempt = int(request.headers.get("X-Attempt", "1"))
        treatment = manners(handle)
        await asyncio.sleep(treatment.latency * slowdown)
        if treatment.for_good:
            return Response(f"{handle}: not today, nor tomorrow\n", treatment.for_good)
        match treatment.stumbles[attempt - 1 : attempt]:
            case ("hang",):
                while (await request.receive())["type"] != "http.disconnect":
                    pass
            case ("limit",):
                return Response("slow down\n", 429, {"Retry-After": str(RETRY_AFTER)})
            case ("break",):
                return Response("something broke\n", 500)
            case ("empty",):
                return Response("", 200)
        return JSONResponse(profile(handle))

    return Starlette(routes=[Route("/profiles/{handle:path}", show)])


async def serve(slowdown: float) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(slowdown), log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)

    def end_with_standard_input() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=end_with_standard_input, daemon=True).start()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await server.serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))
