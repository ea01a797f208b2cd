"""RFC 9113 sections 3 to 7: the preface, frames, streams, flow control. `open()` is a connection whose preface
and settings are exchanged; what a case's first line sends is what its title says."""
import struct

import hpack
from cases import case, table
from wire import (ACK, CLOSED, CONTINUATION, DATA, ENABLE_CONNECT_PROTOCOL, ENABLE_PUSH, END_HEADERS, END_STREAM, GOAWAY,
                  HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE,
                  NO_RFC7540_PRIORITIES, PADDED, PING, PREFACE, PRIORITY, PRIORITY_FLAG, PUSH_PROMISE, RST_STREAM, SETTINGS,
                  WINDOW_UPDATE, Mismatch, frame, settings)

PROTOCOL, SIZE, FLOW, STREAM_CLOSED = "PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "FLOW_CONTROL_ERROR", "STREAM_CLOSED"
DEPENDENCY = struct.pack(">IB", 0, 255)


# ---- 3: starting ----

@case("9113 3.4", "the server's first frame is SETTINGS", "generic/1/1", "http2/3.5/1")
def _(open):
    with open(hello=False) as c:
        c.raw(PREFACE + settings((INITIAL_WINDOW_SIZE, 65535)))
        f = c.next()
        if f.kind != SETTINGS or f.flags & ACK:
            raise Mismatch(str(f))


@case("9113 3.4", "a preface that is none ends the connection", "http2/3.5/2")
def _(open):
    with open(hello=False) as c:
        c.raw(b"INVALID CONNECTION PREFACE\r\n\r\n")
        c.closed()


@table("9113 3.4", "a preface whose end is wrong ends the connection", {
    "SN instead of SM": PREFACE[:-6] + b"SN\r\n\r\n", "an LF alone": PREFACE[:-4] + b"\n\n\r\n"})
def _(open, preface):
    with open(hello=False) as c:
        c.raw(preface + settings() + frame(PING, 0, 0, b"12345678"))
        c.closed()


@table("9113 3.4", "a preface that no SETTINGS follows", {
    "PING": frame(PING, 0, 0, b"12345678"), "an acknowledgement of SETTINGS": settings(flags=ACK),
    "HEADERS": frame(HEADERS, 5, 1, b"\x82\x87\x84\x01\x01h"), "an unknown frame": frame(0x16, 0, 0, b"1234")})
def _(open, octets):
    with open(hello=False) as c:
        c.raw(PREFACE + octets)
        c.connection_error(PROTOCOL)


@case("9113 3.4", "a preface that comes octet by octet")
def _(open):
    with open(hello=False) as c:
        for i in range(len(PREFACE)):
            c.raw(PREFACE[i:i + 1])
        c.settings()
        c.barrier()


@case("9113 3.4", "preface, SETTINGS and a request in one write")
def _(open):
    with open(hello=False) as c:
        c.raw(PREFACE + settings() + frame(HEADERS, END_HEADERS | END_STREAM, 1, hpack.block(c.request())))
        c.answered(1)


@case("9113 3.2", "an HTTP/1.1 upgrade to h2c is not taken", clear_only=True)
def _(open):
    with open(hello=False) as c:
        c.raw(f"GET /fixed HTTP/1.1\r\nHost: {c.authority}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
              "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n".encode())
        if (head := c.socket.recv(12)) != b"HTTP/1.1 200":
            raise Mismatch(head.decode("latin-1"))


@case("9113 6.5.2", "the server's own settings are within their bounds")
def _(open):
    with open() as c:
        s = c.server
        if s.get(ENABLE_PUSH, 0) or s.get(INITIAL_WINDOW_SIZE, 0) > 2**31 - 1 or not 2**14 <= s.get(MAX_FRAME_SIZE, 2**14) < 2**24:
            raise Mismatch(str(s))
        if s.get(MAX_CONCURRENT_STREAMS, 2**31) > 1000:
            raise Mismatch("no bound of streams")


# ---- 4: frames ----

@table("9113 4.1", "is ignored", {
    ("a frame of unknown type", "http2/4.1/1", "http2/5.5/1"): frame(0x16, 0, 0, bytes(8)),
    "a frame of unknown type with every flag on a stream": frame(0xfe, 0xff, 1, bytes(8)),
    "a frame of unknown type with 16,384 octets": frame(0x16, 0, 0, bytes(16384)),
    ("an undefined flag", "http2/4.1/2"): frame(PING, 0x16, 0, bytes(8)),
    ("the reserved bit", "http2/4.1/3"): frame(PING, 0x16, 0, bytes(8), reserved=1),
    "the reserved bit of WINDOW_UPDATE": frame(WINDOW_UPDATE, 0, 0, b"\x80\0\0\1"),
    "ALTSVC, which is a server's": frame(0xa, 0, 0, b"\0\1hh3"),
    "ORIGIN, which is a server's": frame(0xc, 0, 0, b"\0\1h")})
def _(open, octets):
    with open() as c:
        c.raw(octets)
        if any(f.kind in (RST_STREAM, GOAWAY) for f in c.barrier()):
            raise Mismatch(str(c.log[-2]))


@case("9113 4.2", "DATA of 16,384 octets is taken", "http2/4.2/1")
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.data(1, bytes(16384))
        c.answered(1)


@case("9113 4.2", "DATA of 16,385 octets", "http2/4.2/2")
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.data(1, bytes(16385))
        c.connection_error(SIZE, stream_too=1)


@case("9113 4.2", "HEADERS of 16,385 octets", "http2/4.2/3")
def _(open):
    with open() as c:
        block = hpack.block(c.request())
        c.headers(1, block + b"".join(hpack.literal("x", "a" * 100) for _ in range(170))[:16385 - len(block)])
        c.connection_error(SIZE)


@table("9113 4.2", "longer than 16,384 octets", {
    "CONTINUATION": CONTINUATION, "SETTINGS": SETTINGS, "PING": PING, "GOAWAY": GOAWAY, "an unknown type": 0x20})
def _(open, kind):
    with open() as c:
        stream = 0
        if kind == CONTINUATION:
            c.headers(1, flags=0)
            stream = 1
        c.frame(kind, 0, stream, bytes(16386))
        c.connection_error(SIZE)


@case("9113 4.2", "a length of 2^24-1 is refused before its payload comes")
def _(open):
    with open() as c:
        c.frame(DATA, 0, 1, b"", length=2**24 - 1)
        c.connection_error(SIZE, PROTOCOL)


@case("9113 4.3", "a header block that breaks off", "http2/4.3/1")
def _(open):
    with open() as c:
        c.headers(1, b"\x40")
        c.connection_error("COMPRESSION_ERROR")


@table("9113 4.3", "inside a header block", {
    ("PRIORITY", "http2/4.3/2", "http2/6.2/1"): frame(PRIORITY, 0, 1, DEPENDENCY),
    ("HEADERS of another stream", "http2/4.3/3", "http2/6.2/2"): frame(HEADERS, 5, 3, b"\x82\x87\x84"),
    "HEADERS of the same stream": frame(HEADERS, 5, 1, b"\x82\x87\x84"),
    "DATA of the same stream": frame(DATA, 0, 1, b"test"),
    "PING": frame(PING, 0, 0, bytes(8)),
    "SETTINGS": settings(),
    "WINDOW_UPDATE": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "RST_STREAM": frame(RST_STREAM, 0, 1, b"\0\0\0\x08"),
    "GOAWAY": frame(GOAWAY, 0, 0, bytes(8)),
    ("a frame of unknown type", "http2/5.5/2"): frame(0x16, 0, 0, bytes(8)),
    "CONTINUATION of another stream": frame(CONTINUATION, END_HEADERS, 3, b""),
    ("CONTINUATION of stream 0", "http2/6.10/3"): frame(CONTINUATION, END_HEADERS, 0, b"")})
def _(open, octets):
    with open() as c:
        c.headers(1, flags=0)
        c.raw(octets + frame(CONTINUATION, END_HEADERS, 1, hpack.literal("x", "y")))
        c.connection_error(PROTOCOL)


@case("9113 4.3", "a request that is refused still moves the table")
def _(open):
    with open() as c:
        c.headers(1, hpack.block(c.request()) + hpack.literal("X-Upper", "first", hpack.INDEXED))
        c.stream_error(1, PROTOCOL)
        c.headers(3, hpack.block(c.request()) + hpack.literal("x-lower", "second", hpack.INDEXED))
        c.answered(3)
        c.headers(5, hpack.block(c.request()) + hpack.indexed(62))
        c.answered(5)
        c.headers(7, hpack.block(c.request()) + hpack.indexed(63))
        c.stream_error(7, PROTOCOL)


@case("9113 4.3", "a block behind RST_STREAM still moves the table")
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.raw(frame(RST_STREAM, 0, 1, struct.pack(">I", 8)) +
              frame(HEADERS, END_HEADERS | END_STREAM, 3, hpack.block(c.request()) + hpack.literal("x-kept", "1", hpack.INDEXED)))
        c.answered(3)
        c.headers(5, hpack.block(c.request()) + hpack.indexed(62))
        c.answered(5)


# ---- 5: streams ----

@table("9113 5.1", "on an idle stream", {
    ("DATA", "http2/5.1/1"): (frame(DATA, END_STREAM, 1, b"test"), (PROTOCOL, STREAM_CLOSED)),
    ("RST_STREAM", "http2/5.1/2", "http2/6.4/2"): (frame(RST_STREAM, 0, 1, b"\0\0\0\x08"), (PROTOCOL,)),
    ("WINDOW_UPDATE", "http2/5.1/3"): (frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x64"), (PROTOCOL,)),
    ("CONTINUATION", "http2/5.1/4"): (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), (PROTOCOL,)),
    "DATA behind a higher stream of the server": (frame(DATA, END_STREAM, 2, b"test"), (PROTOCOL, STREAM_CLOSED)),
    "WINDOW_UPDATE of a server's stream": (frame(WINDOW_UPDATE, 0, 2, b"\0\0\0\x64"), (PROTOCOL,)),
    "RST_STREAM of a server's stream": (frame(RST_STREAM, 0, 2, b"\0\0\0\x08"), (PROTOCOL,))})
def _(open, row):
    with open() as c:
        c.raw(row[0])
        c.connection_error(*row[1])


@table("9113 5.1", "half-closed (remote)", {
    ("DATA", "http2/5.1/5", "http2/6.1/2"): (frame(DATA, END_STREAM, 1, b"test"), (STREAM_CLOSED,)),
    ("HEADERS", "http2/5.1/6"): (frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x82\x87\x84"), (STREAM_CLOSED,)),
    ("CONTINUATION", "http2/5.1/7"): (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), (STREAM_CLOSED, PROTOCOL))})
def _(open, row):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        c.headers(1)
        c.raw(row[0])
        c.connection_error(*row[1], stream_too=1)


@table("9113 5.1", "closed by our RST_STREAM", {
    ("DATA", "http2/5.1/8"): (frame(DATA, END_STREAM, 1, b"test"), (STREAM_CLOSED,)),
    ("HEADERS", "http2/5.1/9"): (frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x82\x87\x84"), (STREAM_CLOSED,)),
    ("CONTINUATION", "http2/5.1/10"): (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), (STREAM_CLOSED, PROTOCOL))})
def _(open, row):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.rst(1)
        c.raw(row[0])
        c.connection_error(*row[1], stream_too=1)


@table("9113 5.1", "closed by END_STREAM of both sides", {
    ("DATA", "http2/5.1/11"): (frame(DATA, END_STREAM, 1, b"test"), (STREAM_CLOSED,)),
    ("HEADERS", "http2/5.1/12"): (frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x82\x87\x84"), (STREAM_CLOSED,)),
    ("CONTINUATION", "http2/5.1/13"): (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), (STREAM_CLOSED, PROTOCOL))})
def _(open, row):
    with open() as c:
        c.headers(1)
        c.answered(1)
        c.raw(row[0])
        c.connection_error(*row[1], stream_too=1 if row[0][3] == DATA else None)


@table("9113 5.1", "may still come for a stream that is closed", {
    ("PRIORITY", "generic/2/5"): frame(PRIORITY, 0, 1, DEPENDENCY),
    "WINDOW_UPDATE": frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x64"),
    "RST_STREAM": frame(RST_STREAM, 0, 1, b"\0\0\0\x08")})
def _(open, octets):
    with open() as c:
        c.headers(1)
        c.answered(1)
        c.raw(octets)
        c.barrier()


@table("9113 5.1", "may come for a stream that is half-closed (remote)", {
    ("WINDOW_UPDATE", "generic/2/2"): b"",
    ("PRIORITY", "generic/2/3"): frame(PRIORITY, 0, 1, DEPENDENCY)})
def _(open, octets):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        c.headers(1)
        c.raw(octets)
        c.window(1, 1)
        if len(c.until(lambda f: f.kind == DATA).payload) != 1:
            raise Mismatch(str(c.log[-1]))


@case("9113 5.1", "RST_STREAM may come for a stream that is half-closed (remote)", "generic/2/4")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        c.headers(1)
        c.rst(1)
        c.barrier()


@case("9113 5.1", "PRIORITY may come for an idle stream", "generic/2/1")
def _(open):
    with open() as c:
        c.frame(PRIORITY, 0, 1, DEPENDENCY)
        c.barrier()


@table("9113 5.1.1", "a stream's number", {
    ("an even one", "http2/5.1.1/1"): (2,), ("lower than the last one", "http2/5.1.1/2"): (5, 3),
    "one that a higher one has closed": (7, 9, 1)})
def _(open, streams):
    with open() as c:
        for stream in streams:
            c.headers(stream)
        c.connection_error(PROTOCOL, STREAM_CLOSED)


@case("9113 5.1.1", "the highest number is a stream, and none may follow")
def _(open):
    with open() as c:
        c.headers(2**31 - 1)
        c.answered(2**31 - 1)
        c.headers(1)
        c.connection_error(PROTOCOL, STREAM_CLOSED)


@case("9113 5.1.1", "numbers may be left out")
def _(open):
    with open() as c:
        for stream in (1, 7, 1001):
            c.headers(stream)
            c.answered(stream)


@case("9113 5.1.2", "one stream more than the server allows is a stream error", "http2/5.1.2/1")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        most = c.server[MAX_CONCURRENT_STREAMS]
        octets = hpack.block(c.request())
        c.raw(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * i, octets) for i in range(most + 1)))
        f = c.until(lambda f: f.kind in (GOAWAY, RST_STREAM))
        if f.kind != RST_STREAM or f.stream != 1 + 2 * most or f.code not in (PROTOCOL, "REFUSED_STREAM"):
            raise Mismatch(str(f))
        c.rst(1)
        c.headers(3 + 2 * most, octets)
        c.until(lambda f: f.kind == HEADERS and f.stream == 3 + 2 * most)


@table("7540 5.3.1", "a stream that depends on itself (the rule is gone from RFC 9113: taken or refused)", {
    ("HEADERS", "http2/5.3.1/1"): HEADERS, ("PRIORITY", "http2/5.3.1/2"): PRIORITY})
def _(open, kind):
    with open() as c:
        own = struct.pack(">IB", 1, 255)
        if kind == PRIORITY:
            c.frame(PRIORITY, 0, 1, own)
        else:
            c.frame(HEADERS, END_HEADERS | END_STREAM | PRIORITY_FLAG, 1, own + hpack.block(c.request()))
        c.connection_error(PROTOCOL, stream_too=1)


@table("9113 5.4.1", "a connection error", {
    ("closes the connection", "http2/5.4.1/1"): False, ("says GOAWAY with the last stream first", "http2/5.4.1/2"): True})
def _(open, says):
    with open() as c:
        c.headers(1)
        c.answered(1)
        c.frame(PING, 0, 3, bytes(8))
        f = c.connection_error(PROTOCOL)
        if says and struct.unpack(">I", f.payload[:4])[0] != 1:
            raise Mismatch(f"last stream {struct.unpack('>I', f.payload[:4])[0]}")


@case("9113 5.4.2", "RST_STREAM is not answered by RST_STREAM")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        c.headers(1)
        c.rst(1)
        c.rst(1)
        if any(f.kind == RST_STREAM for f in c.barrier()):
            raise Mismatch("RST_STREAM in answer")


# ---- 6.1 to 6.4 ----

@table("9113", "a frame of stream 0", {
    ("6.1 DATA", "http2/6.1/1"): frame(DATA, END_STREAM, 0, b"test"),
    ("6.2 HEADERS", "http2/6.2/3"): frame(HEADERS, END_HEADERS | END_STREAM, 0, b"\x82\x87\x84"),
    ("6.3 PRIORITY", "http2/6.3/1"): frame(PRIORITY, 0, 0, DEPENDENCY),
    ("6.4 RST_STREAM", "http2/6.4/1"): frame(RST_STREAM, 0, 0, b"\0\0\0\x08"),
    "6.10 CONTINUATION": frame(CONTINUATION, END_HEADERS, 0, b"\x82")})
def _(open, octets):
    with open() as c:
        c.raw(octets)
        c.connection_error(PROTOCOL)


@table("9113", "a frame of a stream that belongs to the connection", {
    ("6.5 SETTINGS", "http2/6.5/2"): settings((MAX_CONCURRENT_STREAMS, 100), stream=1),
    ("6.7 PING", "http2/6.7/3"): frame(PING, 0, 1, bytes(8)),
    ("6.8 GOAWAY", "http2/6.8/1"): frame(GOAWAY, 0, 1, bytes(8))})
def _(open, octets):
    with open() as c:
        c.raw(octets)
        c.connection_error(PROTOCOL)


@table("9113", "a length that its type cannot have", {
    ("6.3 PRIORITY of 4", "http2/6.3/2"): (frame(PRIORITY, 0, 1, bytes(4)), 1),
    "6.3 PRIORITY of 6": (frame(PRIORITY, 0, 1, bytes(6)), 1),
    ("6.4 RST_STREAM of 3", "http2/6.4/3"): (frame(RST_STREAM, 0, 1, bytes(3)), None),
    "6.4 RST_STREAM of 5": (frame(RST_STREAM, 0, 1, bytes(5)), None),
    "6.4 RST_STREAM of 0": (frame(RST_STREAM, 0, 1), None),
    ("6.5 SETTINGS of 3", "http2/6.5/3"): (frame(SETTINGS, 0, 0, b"\0\3\0"), None),
    "6.5 SETTINGS of 7": (frame(SETTINGS, 0, 0, bytes(7)), None),
    ("6.5 SETTINGS that acknowledges with a payload", "http2/6.5/1"): (frame(SETTINGS, ACK, 0, b"\0"), None),
    "6.5 SETTINGS that acknowledges with a setting": (settings((MAX_CONCURRENT_STREAMS, 1), flags=ACK), None),
    ("6.7 PING of 6", "http2/6.7/4"): (frame(PING, 0, 0, bytes(6)), None),
    "6.7 PING of 9": (frame(PING, 0, 0, bytes(9)), None),
    "6.7 PING of 0": (frame(PING), None),
    "6.8 GOAWAY of 7": (frame(GOAWAY, 0, 0, bytes(7)), None),
    ("6.9 WINDOW_UPDATE of 3", "http2/6.9/3"): (frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), None),
    "6.9 WINDOW_UPDATE of 5": (frame(WINDOW_UPDATE, 0, 0, bytes(5)), None),
    "6.9 WINDOW_UPDATE of 5 on a stream": (frame(WINDOW_UPDATE, 0, 1, bytes(5)), None),
    "6.1 DATA that is padded without the pad's length": (frame(DATA, PADDED, 1), 1),
    "6.2 HEADERS with a priority of 4": (frame(HEADERS, END_HEADERS | PRIORITY_FLAG | END_STREAM, 3, bytes(4)), None),
    "6.2 HEADERS that is padded without the pad's length": (frame(HEADERS, END_HEADERS | PADDED | END_STREAM, 3), None)})
def _(open, row):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        c.headers(1, c.post(), end=False)
        c.raw(row[0])
        c.connection_error(SIZE, stream_too=row[1])


@table("9113 6.1", "DATA", {
    ("in one frame", "generic/3.1/1"): [frame(DATA, 1, 1, b"test")],
    ("in two frames", "generic/3.1/2"): [frame(DATA, 0, 1, b"test"), frame(DATA, 1, 1, b"test")],
    ("padded", "generic/3.1/3"): [frame(DATA, PADDED | 1, 1, b"\5test" + bytes(5))],
    "that is empty": [frame(DATA, 0, 1), frame(DATA, 1, 1)],
    "of padding alone": [frame(DATA, PADDED, 1, b"\xff" + bytes(255)), frame(DATA, PADDED | 1, 1, b"\0")]})
def _(open, frames):
    with open() as c:
        c.headers(1, c.post(), end=False)
        for octets in frames:
            c.raw(octets)
        c.answered(1)


@table("9113 6.1", "DATA whose padding is", {
    ("longer than the frame", "http2/6.1/3"): b"\6Test", "as long as the frame": b"\5Test", "255 of nothing": b"\xff"})
def _(open, octets):
    with open() as c:
        c.headers(1, c.post(("content-length", "4")), end=False)
        c.frame(DATA, PADDED | END_STREAM, 1, octets)
        c.connection_error(PROTOCOL)


@table("9113 6.2", "HEADERS whose padding is", {
    ("longer than the frame", "http2/6.2/4"): 2, "as long as the frame": 1, "255 octets too long": 200})
def _(open, over):
    with open() as c:
        block = hpack.block(c.request())
        c.frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, bytes([min(255, len(block) + over)]) + block)
        c.connection_error(PROTOCOL)


@table("9113 6.2", "HEADERS", {
    ("as they are", "generic/3.2/1", "generic/4/1"): (0, b"", b""),
    ("padded", "generic/3.2/2"): (PADDED, b"\x08", bytes(8)),
    ("with a priority", "generic/3.2/3"): (PRIORITY_FLAG, DEPENDENCY, b""),
    "padded and with a priority": (PADDED | PRIORITY_FLAG, b"\x08" + DEPENDENCY, bytes(8))})
def _(open, row):
    with open() as c:
        c.frame(HEADERS, END_HEADERS | END_STREAM | row[0], 1, row[1] + hpack.block(c.request()) + row[2])
        c.answered(1)


@table("9113 5.3.2", "PRIORITY before a request", {
    ("weight 1", "generic/3.3/1"): (1, 0, 0), ("weight 256", "generic/3.3/2"): (1, 0, 255),
    ("of a later stream that depends on this one", "generic/3.3/3"): (3, 1, 0),
    ("exclusive", "generic/3.3/4"): (1, 1 << 31, 0), ("of a later stream", "generic/3.3/5"): (3, 0, 255)})
def _(open, row):
    with open() as c:
        c.frame(PRIORITY, 0, row[0], struct.pack(">IB", row[1], row[2]))
        c.headers(1)
        c.answered(1)


@case("9113 6.4", "RST_STREAM of an open stream", "generic/3.4/1")
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.rst(1)
        c.barrier()


# ---- 6.5: settings ----

@table("9113 6.5.2", "a value that is not allowed", {
    ("ENABLE_PUSH 2", "http2/6.5.2/1"): (ENABLE_PUSH, 2, PROTOCOL),
    ("INITIAL_WINDOW_SIZE 2^31", "http2/6.5.2/2", "http2/6.9.2/3"): (INITIAL_WINDOW_SIZE, 2**31, FLOW),
    ("MAX_FRAME_SIZE 16,383", "http2/6.5.2/3"): (MAX_FRAME_SIZE, 16383, PROTOCOL),
    ("MAX_FRAME_SIZE 2^24", "http2/6.5.2/4"): (MAX_FRAME_SIZE, 2**24, PROTOCOL),
    "MAX_FRAME_SIZE 0": (MAX_FRAME_SIZE, 0, PROTOCOL),
    "ENABLE_CONNECT_PROTOCOL 2 (RFC 8441 3)": (ENABLE_CONNECT_PROTOCOL, 2, PROTOCOL),
    "NO_RFC7540_PRIORITIES 2 (RFC 9218 2.1)": (NO_RFC7540_PRIORITIES, 2, PROTOCOL)})
def _(open, row):
    with open() as c:
        c.settings(row[:2])
        c.connection_error(row[2])


@table("9113 6.5.2", "settings that are taken", {
    ("an unknown one", "http2/6.5.2/5"): [(0xff, 1)], "unknown ones only": [(0xffff, 2**32 - 1), (0, 0)],
    ("all at once", "generic/3.5/1"): [(1, 4096), (2, 1), (3, 100), (4, 65535), (5, 16384), (6, 100)],
    ("without effect", "http2/6.5.3/2"): [(ENABLE_PUSH, 0)], "none": [],
    "the largest frame": [(MAX_FRAME_SIZE, 2**24 - 1)], "no stream of the server": [(MAX_CONCURRENT_STREAMS, 0)],
    "the largest window": [(INITIAL_WINDOW_SIZE, 2**31 - 1)],
    "a table of 4 GiB": [(HEADER_TABLE_SIZE, 2**32 - 1)]})
def _(open, pairs):
    with open() as c:
        c.settings(*pairs)
        c.until(lambda f: f.kind == SETTINGS and f.flags & ACK)
        c.headers(1)
        c.answered(1)


@case("9113 6.5.3", "of two values the last one counts", "http2/6.5.3/1")
def _(open):
    with open() as c:
        c.settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1))
        c.headers(1)
        if len(c.until(lambda f: f.kind == DATA).payload) != 1:
            raise Mismatch(f"{len(c.log[-1].payload)} octets")


@case("9113 6.5.3", "each SETTINGS is acknowledged, in order")
def _(open):
    with open() as c:
        for _ in range(20):
            c.settings((INITIAL_WINDOW_SIZE, 65535))
        acks = [f for f in c.barrier() if f.kind == SETTINGS and f.flags & ACK]
        if len(acks) != 20 or any(f.payload for f in acks):
            raise Mismatch(f"{len(acks)} acknowledgements")


@table("9113 4.3.1", "replies keep within our table of", {"0": 0, "64": 64, "1024": 1024})
def _(open, size):
    with open((HEADER_TABLE_SIZE, size)) as c:
        for stream in (1, 3, 5):
            c.headers(stream)
            c.answered(stream)


@case("9113 6.5.2", "replies stay within MAX_FRAME_SIZE, which is 16,384 unless we raise it")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 1 << 20)) as c:
        c.window(0, 1 << 20)
        c.headers(1, c.request("GET", "/bytes/100000"))
        if len(c.answered(1).body) != 100000:
            raise Mismatch("another length")


# ---- 6.6 to 6.8 ----

@table("9113 6.6", "a client's PUSH_PROMISE", {
    ("on an open stream", "http2/8.2/1"): (1, b"\0\0\0\3\x82\x87\x84"), "that promises an even stream": (1, b"\0\0\0\2\x82\x87\x84"),
    "of stream 0": (0, b"\0\0\0\2\x82\x87\x84")})
def _(open, row):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.frame(PUSH_PROMISE, END_HEADERS, *row)
        c.connection_error(PROTOCOL)


@case("9113 6.7", "PING is answered with its octets", "generic/3.7/1", "http2/6.7/1")
def _(open):
    with open() as c:
        c.barrier()


@case("9113 6.7", "an acknowledgement is not answered", "http2/6.7/2")
def _(open):
    with open() as c:
        c.frame(PING, ACK, 0, b"unasked!")
        if any(f.kind == PING for f in c.barrier()):
            raise Mismatch("PING in answer")


@case("9113 6.8", "GOAWAY is taken, what runs goes on", "generic/3.8/1")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        c.headers(1)
        c.until(lambda f: f.kind == HEADERS)
        c.frame(GOAWAY, 0, 0, bytes(8) + b"bye")
        c.window(1, 1 << 20)
        c.until(lambda f: f.kind == DATA and f.flags & END_STREAM)


@case("9113 6.8", "behind GOAWAY a second one, and a PING", "http2/7/1")
def _(open):
    with open() as c:
        c.frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0xff))
        c.frame(PING, 0, 0, b"h2spec\0\0")
        c.until(lambda f: f is CLOSED or f.kind == PING and f.flags & ACK)


# ---- 6.9: flow control ----

@case("9113 6.9", "WINDOW_UPDATE of 0 for the connection", "http2/6.9/1")
def _(open):
    with open() as c:
        c.window(0, 0)
        c.connection_error(PROTOCOL)


@case("9113 6.9", "WINDOW_UPDATE of 0 for a stream", "http2/6.9/2")
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.window(1, 0)
        c.connection_error(PROTOCOL, stream_too=1)


@table("9113 6.9", "WINDOW_UPDATE is taken", {("for the connection", "generic/3.9/1"): 0, ("for a stream", "generic/3.9/2"): 1})
def _(open, stream):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.window(stream, 1)
        c.data(1)
        c.answered(1)


@case("9113 6.9.1", "not one octet more than the window goes out", "http2/6.9.1/1")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 1)) as c:
        c.headers(1)
        if len(c.until(lambda f: f.kind == DATA).payload) != 1:
            raise Mismatch(f"{len(c.log[-1].payload)} octets")
        if any(f.kind == DATA and f.payload for f in c.barrier()):
            raise Mismatch("more than the window")


@case("9113 6.9.1", "a window of the connection above 2^31-1", "http2/6.9.1/2")
def _(open):
    with open() as c:
        c.window(0, 2**31 - 1)
        c.window(0, 2**31 - 1)
        c.connection_error(FLOW)


@case("9113 6.9.1", "a window of a stream above 2^31-1", "http2/6.9.1/3")
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.window(1, 2**31 - 1)
        c.window(1, 2**31 - 1)
        c.stream_error(1, FLOW)


@case("9113 6.9.1", "the connection's window bounds streams that have their own")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 1 << 20)) as c:
        c.headers(1, c.request("GET", "/bytes/100000"))
        got = 0
        while got < 65535:
            f = c.until(lambda f: f.kind == DATA)
            got += len(f.payload)
        if got != 65535 or any(f.kind == DATA and f.payload for f in c.barrier()):
            raise Mismatch(f"{got} octets and more")
        c.window(0, 1 << 20)
        while not f.flags & END_STREAM:
            f = c.until(lambda f: f.kind == DATA)
            got += len(f.payload)
        if got != 100000:
            raise Mismatch(f"{got} octets")


@case("9113 6.9.1", "a window that opens octet by octet")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        c.headers(1)
        c.until(lambda f: f.kind == HEADERS)
        for _ in range(20):
            c.window(1, 1)
            if len(c.until(lambda f: f.kind == DATA).payload) != 1:
                raise Mismatch(f"{len(c.log[-1].payload)} octets")


@case("9113 6.9.2", "a new INITIAL_WINDOW_SIZE moves the streams that run", "http2/6.9.2/1")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        c.headers(1)
        c.until(lambda f: f.kind == HEADERS)
        c.settings((INITIAL_WINDOW_SIZE, 1))
        if len(c.until(lambda f: f.kind == DATA).payload) != 1:
            raise Mismatch(f"{len(c.log[-1].payload)} octets")


@case("9113 6.9.2", "a window below zero is remembered", "http2/6.9.2/2")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 3)) as c:
        c.headers(1)
        c.until(lambda f: f.kind == DATA)
        c.settings((INITIAL_WINDOW_SIZE, 2))
        c.until(lambda f: f.kind == SETTINGS)
        c.window(1, 1)
        if any(f.kind == DATA and f.payload for f in c.barrier()):
            raise Mismatch("more than the window")
        c.window(1, 1)
        if len(c.until(lambda f: f.kind == DATA).payload) != 1:
            raise Mismatch(f"{len(c.log[-1].payload)} octets")


@case("9113 6.9.2", "an INITIAL_WINDOW_SIZE that lifts a stream above 2^31-1")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 0)) as c:
        c.headers(1, c.post(), end=False)
        c.window(1, 2**31 - 1)
        c.settings((INITIAL_WINDOW_SIZE, 1))
        c.connection_error(FLOW, stream_too=1)


@case("9113 6.9.3", "the server opens its windows for a body that is larger than they are")
def _(open):
    with open() as c:
        c.opens_windows = True  # nghttpd sends it back
        size, sent = 3 << 20, 0
        windows = {0: c.server_window, 1: c.server.get(INITIAL_WINDOW_SIZE, 65535)}
        c.headers(1, c.post(("content-length", str(size))), end=False)
        while sent < size:
            count = min(16384, size - sent, windows[0], windows[1])
            if count <= 0:
                f = c.next()
                if f.kind == WINDOW_UPDATE:
                    windows[f.stream] = windows.get(f.stream, 0) + struct.unpack(">I", f.payload)[0]
                elif f is CLOSED or f.kind in (RST_STREAM, GOAWAY):
                    raise Mismatch(str(f))
                continue
            sent += count
            windows[0], windows[1] = windows[0] - count, windows[1] - count
            c.data(1, bytes(count), end=sent == size)
        c.answered(1)


@case("9113 6.9.1", "padding counts: the connection's window opens for padding alone")
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        window, sent = c.server_window, 0
        stream_window = c.server.get(INITIAL_WINDOW_SIZE, 65535)
        while sent + 256 <= min(window, stream_window) - 256 and sent < 8 << 20:
            c.raw(frame(DATA, PADDED, 1, b"\xff" + bytes(255)) * 64 if sent + 64 * 256 < min(window, stream_window) - 256
                  else frame(DATA, PADDED, 1, b"\xff" + bytes(255)))
            sent += 64 * 256 if sent + 64 * 256 < min(window, stream_window) - 256 else 256
        c.until(lambda f: f.kind == WINDOW_UPDATE and f.stream == 1)
        c.data(1)
        c.answered(1)


# ---- 6.10 ----

@table("9113 6.10", "a header block in pieces", {
    ("of two", "generic/3.10/1"): [5], ("of three", "generic/3.10/2"): [5, 10], "octet by octet": range(1, 40),
    "whose first is empty": [0], "whose last is empty": [1000], ("of three whole fields", "http2/6.10/1"): [20, 40]})
def _(open, cuts):
    with open() as c:
        octets = hpack.block(c.request("GET", "/fixed", ("x-test", "one"), ("x-test", "two")))
        cuts = sorted({min(cut, len(octets)) for cut in cuts})
        pieces = [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)])]
        c.frame(HEADERS, END_STREAM, 1, pieces[0])
        for i, piece in enumerate(pieces[1:], 2):
            c.frame(CONTINUATION, END_HEADERS if i == len(pieces) else 0, 1, piece)
        c.answered(1)


@table("9113 6.10", "in the wrong place", {
    ("another frame behind CONTINUATION", "http2/6.10/2"): [(HEADERS, 0), (CONTINUATION, 0), (DATA, END_STREAM)],
    ("CONTINUATION behind END_HEADERS", "http2/6.10/4"): [(HEADERS, END_HEADERS), (CONTINUATION, END_HEADERS)],
    ("CONTINUATION behind CONTINUATION with END_HEADERS", "http2/6.10/5"):
        [(HEADERS, 0), (CONTINUATION, END_HEADERS), (CONTINUATION, END_HEADERS)],
    ("CONTINUATION behind DATA", "http2/6.10/6"): [(HEADERS, END_HEADERS), (DATA, 0), (CONTINUATION, END_HEADERS)]})
def _(open, frames):
    with open() as c:
        for i, (kind, flags) in enumerate(frames):
            c.frame(kind, flags, 1, hpack.block(c.post()) if i == 0 else b"test" if kind == DATA else hpack.literal("x", "y"))
        c.connection_error(PROTOCOL)


@case("9113 7", "RST_STREAM with an unknown code", "http2/7/2")
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.rst(1, 0xff)
        c.barrier()
