"""One HTTP/2 connection from the client's side, frame by frame; nothing is sent or repaired unasked."""
import socket
import ssl
import struct
import time

import hpack

TYPES = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"]
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
CODES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
         "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"]
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITY_FLAG = 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
ENABLE_CONNECT_PROTOCOL, NO_RFC7540_PRIORITIES = 8, 9
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WAIT_S = 4.0


class Mismatch(Exception):
    """What came instead."""


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    @property
    def code(self):
        at = 4 if self.kind == GOAWAY else 0
        code = struct.unpack(">I", self.payload[at:at + 4])[0]
        return CODES[code] if code < len(CODES) else hex(code)

    def __str__(self):
        name = TYPES[self.kind] if self.kind < 10 else f"type {self.kind}"
        if self.kind in (RST_STREAM, GOAWAY):
            return f"{name} {self.code}" + (f" on {self.stream}" if self.stream else "")
        ends = " END_STREAM" if self.kind in (DATA, HEADERS) and self.flags & END_STREAM else ""
        return f"{name}{ends}" + (f" on {self.stream}" if self.stream else "")


CLOSED = Frame(255, 0, 0, b"")


class Reply:
    def __init__(self):
        self.status, self.fields, self.body, self.trailers, self.interim = None, [], b"", None, []
        self.frames, self.ended, self.reset = [], False, None

    def field(self, name):
        return next((v.decode() for n, v in self.fields if n == name.encode()), None)


def frame(kind, flags=0, stream=0, payload=b"", length=None, reserved=0):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream | reserved << 31) + payload


def settings(*pairs, flags=0, stream=0):
    return frame(SETTINGS, flags, stream, b"".join(struct.pack(">HI", *p) for p in pairs))


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


TLS = tls_context()


class H2:
    def __init__(self, target, tls=False, hello=True, sends=()):
        self.target, self.tls = target, tls
        host, port = (target.tls if tls else target.clear).rsplit(":", 1)
        self.authority, self.scheme = f"{host}:{port}", "https" if tls else "http"
        self.socket = socket.create_connection((host, int(port)), WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = TLS.wrap_socket(self.socket, server_hostname="localhost")
            if self.socket.selected_alpn_protocol() != "h2":
                raise Mismatch(f"ALPN chose {self.socket.selected_alpn_protocol()}")
        self.held, self.decoder, self.log, self.pings = b"", hpack.Decoder(), [], 0
        self.server = {}          # its settings
        self.server_window = 65535  # of the connection, ours to use
        self.opens_windows = False
        if hello:
            self.hello(*sends)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- out ----

    def raw(self, octets):
        try:
            self.socket.sendall(octets)
        except OSError:  # it may have closed already: what it said before is still to be read
            pass

    def frame(self, *args, **named):
        self.raw(frame(*args, **named))

    def settings(self, *pairs, **named):
        self.raw(settings(*pairs, **named))

    def hello(self, *pairs):
        """The preface, our settings, and both sides' acknowledged: the state most cases start in."""
        self.raw(PREFACE + settings(*pairs))
        seen_settings = seen_ack = False
        while not (seen_settings and seen_ack):
            f = self.next()
            if f.kind == SETTINGS and f.flags & ACK:
                seen_ack = True
            elif f.kind == SETTINGS:
                seen_settings = True
                self.settings(flags=ACK)
            elif f.kind != WINDOW_UPDATE:
                raise Mismatch(f"{f} in answer to the preface")
        for name, value in pairs:
            if name == HEADER_TABLE_SIZE:
                self.decoder.allow(value)
        return self

    def request(self, method="GET", path="/fixed", *more, scheme=None, authority=None):
        return [(":method", method), (":scheme", scheme or self.scheme), (":path", path),
                (":authority", authority or self.authority), *more]

    def post(self, *more, path="/sink"):
        return self.request("POST", path, *more)

    def headers(self, stream, fields=None, end=True, flags=END_HEADERS, kind=HEADERS):
        fields = self.request() if fields is None else fields
        octets = fields if isinstance(fields, bytes) else hpack.block(fields)
        self.frame(kind, flags | (END_STREAM if end and kind == HEADERS else 0), stream, octets)

    def data(self, stream, octets=b"test", end=True, flags=0):
        self.frame(DATA, flags | (END_STREAM if end else 0), stream, octets)

    def window(self, stream, by):
        self.frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", by))

    def rst(self, stream, code=8):
        self.frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    # ---- in ----

    def receive(self, count, until):
        while len(self.held) < count:
            left = until - time.monotonic()
            if left <= 0:
                raise Mismatch("nothing more" + self.past())
            self.socket.settimeout(left)
            try:
                octets = self.socket.recv(1 << 16)
            except (TimeoutError, socket.timeout):
                raise Mismatch("nothing more" + self.past()) from None
            except OSError:
                octets = b""
            if not octets:
                return None
            self.held += octets
        octets, self.held = self.held[:count], self.held[count:]
        return octets

    def past(self):
        return " after " + ", ".join(str(f) for f in self.log[-4:]) if self.log else ""

    def next(self, wait_s=WAIT_S):
        """The next frame, CLOSED at the end; Mismatch when nothing comes in time."""
        until = time.monotonic() + wait_s
        head = self.receive(9, until)
        if head is None:
            self.log.append(CLOSED)
            return CLOSED
        payload = self.receive(int.from_bytes(head[:3], "big"), until)
        if payload is None:
            self.log.append(CLOSED)
            return CLOSED
        f = Frame(head[3], head[4], struct.unpack(">I", head[5:])[0] & 0x7fffffff, payload)
        self.log.append(f)
        if len(payload) > 16384:
            raise Mismatch(f"{f} of {len(payload)} octets")
        if f.kind == SETTINGS and not f.flags & ACK:
            self.server.update(struct.unpack(">HI", payload[i:i + 6]) for i in range(0, len(payload), 6))
        if f.kind == WINDOW_UPDATE and f.stream == 0:
            self.server_window += struct.unpack(">I", payload)[0]
        if f.kind == DATA and self.opens_windows and payload:
            self.window(0, len(payload))
            if not f.flags & END_STREAM:
                self.window(f.stream, len(payload))
        return f

    def until(self, wanted, wait_s=WAIT_S):
        end = time.monotonic() + wait_s
        while True:
            f = self.next(max(0.01, end - time.monotonic()))
            if wanted(f):
                return f
            if f is CLOSED:
                raise Mismatch("closed" + self.past())

    # ---- what is expected ----

    def barrier(self):
        """Everything before it has been dealt with, and the connection lives."""
        self.pings += 1
        octets = struct.pack(">Q", 0x7461726e00000000 + self.pings)
        self.frame(PING, 0, 0, octets)
        seen = []

        def answer(f):
            if f.kind == GOAWAY:
                raise Mismatch(str(f))
            seen.append(f)
            return f.kind == PING and f.flags & ACK and f.payload == octets
        self.until(answer)
        return seen[:-1]

    def connection_error(self, *codes, stream_too=None):
        """GOAWAY with one of the codes, then the end. `stream_too`: an error of that stream will do as well."""
        def is_error(f):
            return f.kind == GOAWAY and f.code != "NO_ERROR" or stream_too and f.kind == RST_STREAM and f.stream == stream_too
        f = self.until(is_error)
        if f.code not in codes:
            raise Mismatch(str(f))
        if f.kind == RST_STREAM:
            self.barrier()
            return f
        try:
            self.until(lambda f: f is CLOSED)
        except Mismatch:
            raise Mismatch(f"{f} and stays open") from None
        return f

    def closed(self, *codes):
        """The end, with or without a GOAWAY before it."""
        while True:
            f = self.next()
            if f is CLOSED:
                return
            if f.kind == GOAWAY and codes and f.code not in codes:
                raise Mismatch(str(f))

    def stream_error(self, stream, *codes):
        """RST_STREAM with one of the codes; no reply before it; the connection lives."""
        def is_end(f):
            if f.kind == GOAWAY:
                raise Mismatch(str(f))
            if f.kind in (HEADERS, DATA) and f.stream == stream:
                reply = f" {dict(self.decoder.decode(f.payload)).get(b':status', b'').decode()}" if f.kind == HEADERS else ""
                raise Mismatch(f"{f}{reply}")
            return f.kind == RST_STREAM and f.stream == stream
        f = self.until(is_end)
        if f.code not in codes:
            raise Mismatch(str(f))
        self.barrier()

    def reply(self, stream=1, wait_s=WAIT_S):
        """The whole reply of a stream; its frames are checked on the way."""
        r, block, ends = Reply(), None, False
        while not r.ended and not r.reset:
            f = self.next(wait_s)
            if f is CLOSED or f.kind == GOAWAY and f.code != "NO_ERROR":
                raise Mismatch("closed" + self.past() if f is CLOSED else str(f))
            if block is not None and (f.kind != CONTINUATION or f.stream != stream):
                raise Mismatch(f"{f} inside a header block")
            if f.kind == HEADERS and f.stream != stream:
                self.decoder.decode(f.payload)
                continue
            if f.stream != stream:
                continue
            r.frames.append(f)
            if f.kind == RST_STREAM:
                r.reset = f.code
            elif f.kind == DATA:
                if r.status is None or r.trailers is not None:
                    raise Mismatch("DATA outside of a reply's body")
                pad = f.payload[0] + 1 if f.flags & PADDED else 0
                r.body += f.payload[1:len(f.payload) - pad + 1] if pad else f.payload
                r.ended = bool(f.flags & END_STREAM)
            elif f.kind in (HEADERS, CONTINUATION):
                block = (block or b"") + f.payload
                ends = bool(f.flags & END_STREAM) if f.kind == HEADERS else ends
                if f.flags & END_HEADERS:
                    self.took(r, self.decoder.decode(block))
                    r.ended, block = ends, None
        return r

    def took(self, r, fields):
        for name, _ in fields:
            if name != name.lower() or name in (b"connection", b"transfer-encoding", b"keep-alive", b"upgrade"):
                raise Mismatch(f"the field {name.decode()} in a reply")
        if r.status is not None:
            r.trailers = fields
            return
        if fields[0][0] != b":status" or any(n.startswith(b":") for n, _ in fields[1:]):
            raise Mismatch("a reply whose first field is not :status alone")
        status = int(fields[0][1])
        if status < 200:
            r.interim.append(status)
        else:
            r.status, r.fields = status, fields

    def answered(self, stream=1, *statuses):
        r = self.reply(stream)
        if r.reset and not r.ended:
            raise Mismatch(f"RST_STREAM {r.reset} on {stream}")
        if r.status not in (statuses or (200,)):
            raise Mismatch(f"{r.status} on {stream}")
        length = r.field("content-length")
        if length is not None and r.body and int(length) != len(r.body):
            raise Mismatch(f"content-length {length}, a body of {len(r.body)}")
        return r

    def refused(self, stream=1, *statuses):
        """A reply with 4xx that says so; or the stream error that RFC 9113 8.1.1 asks for."""
        r = self.reply(stream)
        if r.reset not in (None, "NO_ERROR", "PROTOCOL_ERROR") or r.status is None and r.reset != "PROTOCOL_ERROR":
            raise Mismatch(f"RST_STREAM {r.reset}")
        if r.status is not None and r.status not in (statuses or (400,)):
            raise Mismatch(f"{r.status} on {stream}")
        self.barrier()
        return r
