"""
A TCP proxy that delays each direction by half of SECONDS: `python -m benchmarks.proxy SECONDS TARGET…`.

TARGET is HOST:PORT or the path of a socket. A line on standard output has the ports, in order, as JSON. It adds
latency, but does not limit the bandwidth.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


async def pump(reader: Reader, writer: Writer, delay: float) -> None:
    """Forward data after *delay* seconds until the end of the stream."""
    clock = asyncio.get_running_loop().time
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take() -> None:
        data = b"begin"
        while data:
            try:
                data = await reader.read(65_536)
            except ConnectionError:
                data = b""
            waiting.put_nowait((clock() + delay, data))

    taking = asyncio.create_task(take())
    with contextlib.suppress(ConnectionError):  # one end has closed, so close the other
        while True:
            due, data = await waiting.get()
            if (rest := due - clock()) > 0:
                await asyncio.sleep(rest)
            if not data:
                break
            writer.write(data)
            await writer.drain()
    taking.cancel()
    writer.close()


def serving(target: str, delay: float) -> Callable[[Reader, Writer], Awaitable[None]]:
    """Return a handler that connects a client to the target, also delaying the opening of the connection."""

    async def serve(reader: Reader, writer: Writer) -> None:
        await asyncio.sleep(delay)
        try:
            if target.startswith("/"):
                there = await asyncio.open_unix_connection(target)
            else:
                host, _, port = target.rpartition(":")
                there = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, there[1], delay / 2), pump(there[0], writer, delay / 2))

    return serve


async def main(delay: float, targets: list[str]) -> None:
    servers = [await asyncio.start_server(serving(target, delay), "127.0.0.1", 0) for target in targets]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(float(sys.argv[1]), sys.argv[2:]))
