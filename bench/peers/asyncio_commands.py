"""The loop anybody would write: `true ITEM` for each of COUNT items, CONCURRENCY at a time, nothing recorded.

`asyncio_commands.py COUNT CONCURRENCY` prints one line of JSON.
"""

import asyncio
import json
import sys
import time


async def main(count: int, concurrency: int) -> None:
    items = iter(range(count))

    async def work() -> None:
        for item in items:
            process = await asyncio.create_subprocess_exec("true", str(item), stdin=asyncio.subprocess.DEVNULL)
            if await process.wait():
                raise RuntimeError("true is not true")

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    print(json.dumps({"per_second": count / (time.perf_counter() - begun)}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
