"""Megabytes that idle processes need: a gRPC server, and asyncio with JSON. Prints one line of JSON."""

import json
import subprocess
import sys

_RSS = "print(int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20)"
_SERVER = f"""
import asyncio, grpc, grpc.aio
async def main():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    {_RSS}
    await server.stop(None)
asyncio.run(main())
"""
_WORKER = f"import asyncio, json\n{_RSS}"


def megabytes(program: str) -> float:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    print(json.dumps({"server": megabytes(_SERVER), "worker": megabytes(_WORKER)}))
