#!/usr/bin/env python3
"""Two WebSocket clients that we did not write go through one script against the test door: websockets (Python) and ws
(node), in clear and over TLS, compressed or not."""
import asyncio
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "http"))

from harness import DEPS, Door, case, certificate, run, soon, trusting_context  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402
from websockets.exceptions import ConnectionClosedError, InvalidStatus  # noqa: E402
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory  # noqa: E402

DOOR = Door("--http", "127.0.0.1:0", "--https", "127.0.0.1:0", *certificate())
KINDS = {"clear": "http", "TLS": "https"}
SIZES = (0, 1, 125, 126, 65535, 65536, 1 << 20, 5 << 20)


def url(path, kind):
    return DOOR.url(path, KINDS[kind]).replace("http", "ws", 1)


def python(path="/ws", kind="clear", **options):
    return connect(url(path, kind), ssl=trusting_context() if kind == "TLS" else None, max_size=None, proxy=None, **options)


def each(*rows):
    """A case for each row and for clear text and TLS."""
    def add(function):
        for kind in KINDS:
            for row in rows or (None,):
                def one(kind=kind, row=row):
                    asyncio.run(function(kind) if row is None else function(kind, row))
                one.__name__ = f"websockets {function.__name__} {'' if row is None else row} ({kind})"
                case(one)
        return function
    return add


@each("no compression", "compression", "small windows", "no takeover")
async def python_echo(kind, how):
    factory = {"small windows": dict(server_max_window_bits=9, client_max_window_bits=9),
               "no takeover": dict(server_no_context_takeover=True, client_no_context_takeover=True),
               "compression": dict(client_max_window_bits=True)}.get(how)
    extensions = [ClientPerMessageDeflateFactory(**factory)] if factory else None
    async with python(kind=kind, compression=None, extensions=extensions) as c:
        assert bool(c.protocol.extensions) == bool(factory), c.protocol.extensions
        for size in SIZES:
            for message in ("ö" * (size // 2), os.urandom(size)):
                await c.send(message)
                assert await c.recv() == message
        for _ in range(50):
            await c.send("the same words again and again, " * 20)
        for _ in range(50):
            assert await c.recv() == "the same words again and again, " * 20


@each()
async def python_fragments(kind):
    async with python(kind=kind) as c:
        await c.send(iter(["one ", "two ", "", "three"]))
        assert await c.recv() == "one two three"

        async def pieces():
            for i in range(100):
                yield bytes([i]) * 1000
        await c.send(pieces())
        assert await c.recv() == b"".join(bytes([i]) * 1000 for i in range(100))


@each()
async def python_pings(kind):
    async with python(kind=kind, ping_interval=0.05, ping_timeout=5) as c:
        waiters = [await c.ping(b"%d" % i) for i in range(10)]
        await asyncio.gather(*waiters)
        await asyncio.sleep(0.3)
        await c.send("still here")
        assert await c.recv() == "still here"


@each()
async def python_subprotocols(kind):
    async with python(kind=kind, subprotocols=["x", "graphql-transport-ws"]) as c:
        assert c.subprotocol == "graphql-transport-ws"
    async with python(kind=kind, subprotocols=["x"]) as c:
        assert c.subprotocol is None


@each((1000, ""), (1001, "going"), (4000, "ö" * 50))
async def python_closes(kind, how):
    async with python(kind=kind) as c:
        await c.send("x")
        await c.recv()
        await c.close(*how)
        assert c.close_code == how[0]
    assert soon(lambda: f"{how[0]} /ws {how[1]}" in DOOR.ask("GET", "/ws-closed").body.decode())


@each()
async def server_closes_python(kind):
    async with python("/ws/command", kind) as c:
        await c.send("close 4002 enough")
        try:
            await c.recv()
            raise AssertionError("no close")
        except ConnectionClosedError as e:
            assert (e.rcvd.code, e.rcvd.reason, e.rcvd_then_sent) == (4002, "enough", True), e


@each(("/ws", 16 << 20), ("/ws/small", 1 << 20))
async def python_is_too_big(kind, row):
    path, most = row
    c = await python(path, kind, compression=None)
    await c.send(b"x" * most)
    assert len(await c.recv()) == most
    try:
        await c.send(b"x" * (most + 1))  # it may be closed in the middle
        await c.recv()
    except (ConnectionClosedError, AttributeError):  # asyncio's of a transport that is gone
        pass
    await c.wait_closed()
    assert c.close_code == 1009, c.close_code


@each()
async def python_is_refused(kind):
    for path, origin, status in (("/ws/origin", "https://elsewhere.example", 403), ("/nowhere", None, 404), ("/fixed", None, 200)):
        try:
            async with python(path, kind, origin=origin):
                raise AssertionError(path)
        except InvalidStatus as e:
            assert e.response.status_code == status, (path, e)


@each()
async def fifty_at_once_of_python(kind):
    async def one(n):
        async with python(kind=kind) as c:
            for i in range(40):
                await c.send(f"{n} {i} " + "x" * 1000)
            for i in range(40):
                assert (await c.recv()).startswith(f"{n} {i} ")
    await asyncio.gather(*(one(n) for n in range(50)))


@each()
async def flood_to_python(kind):
    async with python("/ws/command", kind) as c:
        await c.send("flood 1000 50000")
        for _ in range(1000):
            assert len(await c.recv()) == 50000


def node_cases():
    """client.js runs all its cases and says one line of JSON for each."""
    for kind in KINDS:
        def one(kind=kind):
            done = subprocess.run(["node", HERE / "client.js", url("", kind)], capture_output=True, text=True, timeout=120,
                                  env={**os.environ, "NODE_PATH": str(DEPS / "ws/node_modules"), "NODE_TLS_REJECT_UNAUTHORIZED": "0",
                                       "NODE_NO_WARNINGS": "1"})
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            wrong = [line for line in lines if not line["ok"]]
            assert done.returncode == 0 and not wrong and len(lines) >= 14, (done.returncode, wrong, len(lines), done.stderr[-2000:])
            print(f"     {len(lines)} cases of client.js")
        one.__name__ = f"ws of node ({kind})"
        case(one)


node_cases()
run()
