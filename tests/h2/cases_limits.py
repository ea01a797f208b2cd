"""What RFC 9113 10.5 calls denial of service: each flood ends the connection (ENHANCE_YOUR_CALM or what the
text names) or costs the server nothing. The counts are those of docs/limits.md with room to spare."""
import struct

import hpack
from cases import case, table
from wire import (CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING, PRIORITY, RST_STREAM,
                  SETTINGS, Mismatch, frame, settings)

CALM = "ENHANCE_YOUR_CALM"


def flood(c, octets, times, batch=200):
    """Without reading: the server's answers pile up on its side."""
    c.socket.settimeout(2)
    try:
        for _ in range(times // batch):
            c.socket.sendall(octets * batch)
    except OSError:
        pass


@case("9113 10.5", "rapid reset: requests that are taken back at once (CVE-2023-44487)", alone=True)
def _(open):
    with open() as c:
        octets = hpack.block(c.request())
        for i in range(5000):
            c.raw(frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * i, octets) + frame(RST_STREAM, 0, 1 + 2 * i, struct.pack(">I", 8)))
        c.connection_error(CALM, "INTERNAL_ERROR")


@case("9113 10.5", "resets that the server is made to send (CVE-2025-8671)", alone=True)
def _(open):
    with open() as c:
        octets = hpack.block(c.post())
        for i in range(5000):
            c.raw(frame(HEADERS, END_HEADERS, 1 + 2 * i, octets) + frame(8, 0, 1 + 2 * i, bytes(4)))
        c.connection_error(CALM, "INTERNAL_ERROR", "PROTOCOL_ERROR")


@table("9113 10.5", "a flood whose answers nobody reads ends the connection", {
    "PING (CVE-2019-9512)": frame(PING, 0, 0, bytes(8)), "SETTINGS (CVE-2019-9515)": settings()}, alone=True)
def _(open, octets):
    with open() as c:
        flood(c, octets, 1000000)
        c.connection_error(CALM, "INTERNAL_ERROR")


@case("9113 10.5", "SETTINGS with too many values (CVE-2020-11080)", alone=True)
def _(open):
    with open() as c:
        for _ in range(20):
            c.settings(*[(INITIAL_WINDOW_SIZE, 65535)] * 2000)
        c.connection_error(CALM)


@case("9113 10.5", "CONTINUATION without end (CVE-2024-24549)", alone=True)
def _(open):
    with open() as c:
        c.headers(1, flags=0)
        octets = frame(CONTINUATION, 0, 1, hpack.literal("x-flood", "a" * 1000))
        flood(c, octets, 2000, 10)
        c.connection_error(CALM, "INTERNAL_ERROR", "PROTOCOL_ERROR")


@case("9113 10.5", "empty CONTINUATION without end", alone=True)
def _(open):
    with open() as c:
        c.headers(1, flags=0)
        flood(c, frame(CONTINUATION, 0, 1), 20000)
        c.connection_error(CALM, "INTERNAL_ERROR", "PROTOCOL_ERROR")


@case("9113 10.5.1", "a field list above 32 KiB is refused, not the connection", alone=True)
def _(open):
    with open() as c:
        octets = hpack.block(c.request()) + b"".join(hpack.literal("x-large", "a" * 1000) for _ in range(40))
        c.frame(HEADERS, END_STREAM, 1, octets[:16000])
        c.frame(CONTINUATION, 0, 1, octets[16000:32000])
        c.frame(CONTINUATION, END_HEADERS, 1, octets[32000:])
        c.refused(1, 431)


@case("9113 10.5.1", "a small block that grows by indexes (HPACK bomb) is refused", alone=True)
def _(open):
    with open() as c:
        c.headers(1, hpack.block(c.request()) + hpack.literal("x-bomb", "a" * 3900, hpack.INDEXED) + hpack.indexed(62) * 10000)
        r = c.reply(1)
        if r.status not in (None, 431, 400) or r.status is None and r.reset not in ("PROTOCOL_ERROR", "REFUSED_STREAM", CALM):
            raise Mismatch(f"{r.status} {r.reset}")


@case("9113 10.5", "too many fields are refused", alone=True)
def _(open):
    with open() as c:
        c.headers(1, hpack.block(c.request()) + hpack.literal("a", "") * 3000)
        c.refused(1, 431, 400)


@case("9113 10.5", "PRIORITY without end (CVE-2019-9513)", alone=True)
def _(open):
    with open() as c:
        flood(c, b"".join(frame(PRIORITY, 0, 1 + 2 * i, struct.pack(">IB", 0 if i == 0 else 2 * i - 1, 255)) for i in range(100)), 200, 1)
        c.connection_error(CALM)


@case("9113 10.5", "empty DATA without end (CVE-2019-9518)", alone=True)
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        flood(c, frame(DATA, 0, 1), 200000)
        f = c.until(lambda f: f.kind in (GOAWAY, RST_STREAM))
        if f.code not in (CALM, "PROTOCOL_ERROR", "INTERNAL_ERROR"):
            raise Mismatch(str(f))


@case("9113 10.5", "names and values of nothing (CVE-2019-9516)", alone=True)
def _(open):
    with open() as c:
        c.headers(1, hpack.block(c.request()) + b"\0\0\0" * 3000)
        c.refused(1, 431, 400)


@case("9113 10.5", "streams that are never ended stay within the limit", alone=True)
def _(open):
    with open() as c:
        octets = hpack.block(c.post())
        for i in range(400):
            c.raw(frame(HEADERS, END_HEADERS, 1 + 2 * i, octets))
        for _ in range(400 - c.server[3]):
            f = c.until(lambda f: f.kind in (GOAWAY, RST_STREAM))
            if f.kind == GOAWAY or f.code != "REFUSED_STREAM":
                raise Mismatch(str(f))
        c.barrier()


@case("9113 10.5", "windows of nothing hold the connection, other streams' frames go on", alone=True, door_only=True)
def _(open):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        for i in range(100):
            c.headers(1 + 2 * i, c.request("GET", "/bytes/1000000"))
        c.headers(999, c.request("HEAD"))
        c.answered(999)
