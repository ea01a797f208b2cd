"""What the suite of gRPC shares: messages of test.proto by hand, calls as raw frames of HTTP/2."""
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "http"), str(HERE.parent / "h2")]

import wire  # noqa: E402

TEST = "/tarn.test.v1.Test/"


# ---- protobuf, as much as test.proto needs ----

def varint(value):
    out, value = b"", value & (1 << 64) - 1
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value) if value else b""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value if value else b""


def message(*values):
    """Fields 1, 2, 3 ... of a message."""
    return b"".join(field(i + 1, value) for i, value in enumerate(values))


def fields(data):
    """{number: [values]} of a message."""
    out, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while at < len(data):
        key = number()
        if key & 7 == 0:
            value = number()
        else:
            length = number()
            value, at = data[at:at + length], at + length
        out.setdefault(key >> 3, []).append(value)
    return out


def first(data, number, default=0):
    return fields(data).get(number, [default])[0]


# ---- calls ----

def framed(data, flag=0, length=None):
    return bytes([flag]) + struct.pack(">I", len(data) if length is None else length) + data


def unframed(data):
    out = []
    while data:
        flag, length = struct.unpack(">BI", data[:5])
        assert flag == 0 and len(data) >= 5 + length, data[:20]
        out.append(data[5:5 + length])
        data = data[5 + length:]
    return out


def unescaped(text):
    out, at = b"", 0
    while at < len(text):
        if text[at:at + 1] == b"%":
            out, at = out + bytes([int(text[at + 1:at + 3], 16)]), at + 3
        else:
            out, at = out + text[at:at + 1], at + 1
    return out.decode()


class Outcome:
    """A reply as a client of gRPC reads it."""

    def __init__(self, reply):
        self.reply, self.http = reply, reply.status
        last = dict(reply.trailers if reply.trailers is not None else reply.fields)
        self.trailers_only = reply.trailers is None
        self.status = int(last[b"grpc-status"]) if b"grpc-status" in last else None
        self.text = unescaped(last.get(b"grpc-message", b""))
        self.trailers = last
        self.messages = unframed(reply.body) if self.status is not None else []

    def __repr__(self):
        return f"HTTP {self.http}, status {self.status} {self.text!r}, {len(self.messages)} messages, reset {self.reply.reset}"


class Calls(wire.H2):
    """A connection; streams are numbered by the caller."""

    def __init__(self, door, tls=False, window=None):
        address = "%s:%d" % door.address("https" if tls else "http")
        super().__init__(SimpleNamespace(clear=address, tls=address), tls,
                         sends=((wire.INITIAL_WINDOW_SIZE, window),) if window is not None else ())
        self.opens_windows = window is None

    back = ()  # frames to be read again

    def next(self, wait_s=wire.WAIT_S):
        if not self.back:
            return super().next(wait_s)
        f, self.back = self.back[0], self.back[1:]
        return f

    def begin(self, method, *more, stream=1, end=False, path=None, type="application/grpc"):
        self.headers(stream, [(":method", "POST"), (":scheme", self.scheme), (":path", path or TEST + method),
                              (":authority", self.authority), ("content-type", type), ("te", "trailers"), *more], end=end)
        return self

    def outcome(self, stream=1, wait_s=10):
        return Outcome(self.reply(stream, wait_s))

    def call(self, method, body, *more, stream=1, pieces=None, **named):
        """A whole call; `pieces`: the body in DATA frames of so many bytes."""
        self.begin(method, *more, stream=stream, **named)
        step = pieces or 16384
        parts = [body[at:at + step] for at in range(0, len(body), step)] or [b""]
        for i, part in enumerate(parts):
            self.data(stream, part, end=i == len(parts) - 1)
        return self.outcome(stream)
