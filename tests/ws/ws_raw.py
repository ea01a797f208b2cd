"""WebSocket from the client's side, frame by frame: over HTTP/1.1 by Upgrade, over HTTP/2 by an extended CONNECT
(RFC 8441). Nothing is sent, answered or repaired unasked."""
import base64
import hashlib
import os
import struct
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "http"), str(HERE.parent / "h2")]

import wire  # noqa: E402

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NAMES = {TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong", CONT: "continuation"}
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TAIL = b"\0\0\xff\xff"
WINDOW = 1 << 24  # what this side lets the server send before it has read


class Wrong(AssertionError):
    """What came instead."""


def masked(payload, mask):
    if not payload or mask == b"\0\0\0\0":
        return payload
    whole = (mask * (len(payload) // 4 + 1))[:len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(len(payload), "big")


def frame(opcode, payload=b"", fin=True, rsv=0, mask=b"\x12\x34\x56\x78", length=None, wide=None):
    """One frame of a client. `mask` None: not masked. `length` claims another one; `wide` 16 or 64: its form."""
    payload = payload.encode() if isinstance(payload, str) else payload
    claimed = len(payload) if length is None else length
    wide = wide or (64 if claimed > 65535 else 16 if claimed > 125 else 7)
    bit = 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    head += {7: lambda: bytes([bit | claimed]), 16: lambda: bytes([bit | 126]) + struct.pack(">H", claimed),
             64: lambda: bytes([bit | 127]) + struct.pack(">Q", claimed)}[wide]()
    return head + ((mask + masked(payload, mask)) if mask is not None else payload)


def close(code=None, reason=b"", **more):
    reason = reason.encode() if isinstance(reason, str) else reason
    return frame(CLOSE, (struct.pack(">H", code) if code is not None else b"") + reason, **more)


class Deflater:
    """The messages of one side, RFC 7692 section 7.2.1."""

    def __init__(self, bits=15, keeps=True, level=6, finals=False):
        self.bits, self.keeps, self.level, self.finals, self.z = bits, keeps, level, finals, None

    def __call__(self, message):
        message = message.encode() if isinstance(message, str) else message
        if self.finals:  # a final block and a byte behind it: section 7.2.3.4
            z = zlib.compressobj(self.level, zlib.DEFLATED, -self.bits)
            return z.compress(message) + z.flush(zlib.Z_FINISH) + b"\0"
        if not self.keeps or not self.z:
            self.z = zlib.compressobj(self.level, zlib.DEFLATED, -self.bits)
        out = self.z.compress(message) + self.z.flush(zlib.Z_SYNC_FLUSH)
        return out[:-4] if out else b"\0"


class H1Pipe:
    """The bytes behind a 101."""

    def __init__(self, door, path, fields, tls=False, receive=None):
        self.raw = door.raw(tls=tls, receive=receive)
        key = base64.b64encode(os.urandom(16))
        head = [f"GET {path} HTTP/1.1", "Host: door", "Connection: Upgrade", "Upgrade: websocket",
                "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key.decode()}"]
        self.raw.send("\r\n".join(head + [f"{k}: {v}" for k, v in fields]).encode() + b"\r\n\r\n")
        self.reply = self.raw.reply()
        if self.reply.status != 101:
            raise Wrong(f"{self.reply.status} in answer to the handshake: {self.reply!r}")
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        if self.reply.field("Sec-WebSocket-Accept") != accept or self.reply.field("Upgrade") != "websocket":
            raise Wrong(f"{self.reply!r}")

    def field(self, name):
        return self.reply.field(name)

    def send(self, data):
        self.raw.send(data)

    def more(self):
        return self.raw.more()

    def half_close(self):
        self.raw.half_close()

    def drop(self):
        self.raw.reset()

    def close(self):
        self.raw.close()


class H2Pipe:
    """DATA of stream 1 both ways; its windows are kept open as long as `reads`."""

    def __init__(self, door, path, fields, tls=False, receive=None):
        address = door.address("https" if tls else "http")
        where = f"{address[0]}:{address[1]}"
        self.h2 = wire.H2(SimpleNamespace(clear=where, tls=where), tls,
                          sends=((wire.INITIAL_WINDOW_SIZE, receive or WINDOW),))
        self.h2.window(0, WINDOW)
        self.h2.opens_windows = not receive
        if self.h2.server.get(wire.ENABLE_CONNECT_PROTOCOL) != 1:
            raise Wrong("no ENABLE_CONNECT_PROTOCOL in the settings")
        self.room = self.h2.server.get(wire.INITIAL_WINDOW_SIZE, 65535)
        self.kept, self.ended = b"", False
        self.h2.headers(1, self.fields(path, fields), end=False)
        self.reply = self.head()
        if self.reply.status != 200:
            raise Wrong(f"{self.reply.status} in answer to the CONNECT")

    def fields(self, path, fields):
        h2 = self.h2
        return [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", h2.scheme), (":path", path),
                (":authority", h2.authority), ("sec-websocket-version", "13"), *[(k.lower(), v) for k, v in fields]]

    def head(self):
        reply = wire.Reply()
        while reply.status is None:
            f = self.h2.next()
            self.look(f)
            if f.kind == wire.HEADERS:
                self.h2.took(reply, self.h2.decoder.decode(f.payload))
                self.ended = bool(f.flags & wire.END_STREAM)
            elif f.kind == wire.RST_STREAM or f is wire.CLOSED:
                raise Wrong(f"{f} in answer to the CONNECT")
        return reply

    def look(self, f):
        if f.kind == wire.WINDOW_UPDATE and f.stream == 1:
            self.room += struct.unpack(">I", f.payload)[0]

    def field(self, name):
        return self.reply.field(name.lower())

    def send(self, data):
        while data and not self.ended:
            size = min(len(data), 16384, self.room, self.h2.server_window)
            if size > 0:
                self.h2.data(1, data[:size], end=False)
                self.room -= size
                self.h2.server_window -= size
                data = data[size:]
            else:
                self.take(self.h2.next())

    def take(self, f):
        self.look(f)
        if f.kind == wire.DATA and f.stream == 1:
            self.kept += f.payload
            self.ended = bool(f.flags & wire.END_STREAM)
        elif f is wire.CLOSED or f.kind == wire.GOAWAY and f.code != "NO_ERROR":
            self.ended = True
        elif f.kind == wire.RST_STREAM and f.stream == 1:
            self.ended, self.reset = True, f.code

    def more(self):
        while not self.kept and not self.ended:
            self.take(self.h2.next(20))
        out, self.kept = self.kept, b""
        return out

    def half_close(self):
        self.h2.data(1, b"", end=True)

    def drop(self):
        self.h2.rst(1)

    def close(self):
        self.h2.close()


PIPES = {"h1": H1Pipe, "h2": H2Pipe}


class Socket:
    """A WebSocket in the state OPEN."""

    def __init__(self, door, path="/ws", pipe="h1", fields=(), offer=None, protocols=None, tls=False, receive=None):
        fields = list(fields)
        if offer:
            fields.append(("Sec-WebSocket-Extensions", offer))
        if protocols:
            fields.append(("Sec-WebSocket-Protocol", protocols))
        self.pipe = PIPES[pipe](door, path, fields, tls, receive)
        self.held = b""
        self.agreed = self.pipe.field("Sec-WebSocket-Extensions")
        parameters = {p.split("=")[0].strip(): p.partition("=")[2] for p in (self.agreed or "").split(";")}
        self.server_keeps = "server_no_context_takeover" not in parameters
        self.client_keeps = "client_no_context_takeover" not in parameters
        self.server_bits = int(parameters.get("server_max_window_bits") or 15)
        self.client_bits = int(parameters.get("client_max_window_bits") or 15)
        self.inflater = None

    # ---- out ----

    def send(self, *frames, step=None):
        """`step`: in pieces of so many bytes, each a packet of its own."""
        data = b"".join(frames)
        for at in range(0, len(data), step or len(data) or 1):
            self.pipe.send(data[at:at + step] if step else data)
        return self

    def message(self, opcode, payload, fragment=None, **more):
        """A message in frames of `fragment` bytes."""
        payload = payload.encode() if isinstance(payload, str) else payload
        pieces = [payload[at:at + fragment] for at in range(0, len(payload), fragment)] if fragment and payload else [payload]
        return self.send(*(frame(opcode if i == 0 else CONT, piece, fin=i == len(pieces) - 1, **more)
                           for i, piece in enumerate(pieces)))

    # ---- in ----

    def exactly(self, count):
        pieces, have = [self.held], len(self.held)
        while have < count:
            piece = self.pipe.more()
            if not piece:
                return None
            pieces.append(piece)
            have += len(piece)
        data = b"".join(pieces)
        self.held = data[count:]
        return data[:count]

    def frame(self):
        """(opcode, payload) of the next frame, its rules checked; None at the end."""
        head = self.exactly(2)
        if head is None:
            if self.held:
                raise Wrong(f"the server ends inside of a frame: {self.held!r}")
            return None
        opcode, rsv, length = head[0] & 15, head[0] >> 4 & 7, head[1] & 127
        if head[1] & 0x80:
            raise Wrong("a frame of the server is masked")
        if length > 125:
            wide = 2 if length == 126 else 8
            length = int.from_bytes(self.exactly(wide), "big")
            if length < (126 if wide == 2 else 65536):
                raise Wrong(f"a length of {length} in {wide} bytes")
        if opcode >= 8 and (length > 125 or not head[0] & 0x80):
            raise Wrong("a control frame too long or in pieces")
        if not head[0] & 0x80 or opcode not in NAMES or rsv & 3 or rsv & 4 and (opcode >= 8 or not self.agreed):
            raise Wrong(f"a frame {head.hex()}")
        payload = self.exactly(length)
        if payload is None:
            raise Wrong("the server ends inside of a frame")
        if rsv & 4:
            if not self.inflater or not self.server_keeps:
                self.inflater = zlib.decompressobj(-self.server_bits)
            payload = self.inflater.decompress(payload + TAIL)
            self.was_compressed = True
        else:
            self.was_compressed = False
        return opcode, payload

    def next(self):
        """As expect() names it: "text", "binary", "ping", "pong" with the payload; "close" with the code; "end"."""
        got = self.frame()
        if got is None:
            return ("end",)
        opcode, payload = got
        if opcode == CLOSE:
            if len(payload) >= 2:
                payload[2:].decode()
            return "close", int.from_bytes(payload[:2], "big") if payload else None
        return NAMES[opcode], payload.decode() if opcode == TEXT else payload

    def expect(self, *wanted):
        for want in wanted:
            got = self.next()
            if want != got:
                raise Wrong(f"{str(got)[:200]} instead of {str(want)[:200]}")
        return self

    def ends(self, *before):
        """After `before` only the end; then the client closes too."""
        self.expect(*before, ("end",))
        self.pipe.close()

    def leaves(self):
        """The closing handshake that the client begins."""
        self.send(close(1000)).ends(("close", 1000))

    def close(self):
        self.pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
