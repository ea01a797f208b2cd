"""Bytes to a server and what comes back, without a library that would repair either."""
import socket
import ssl
import time

LIMIT = 1 << 20


class Reply:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def field(self, name):
        return next((value for key, value in self.fields if key == name.lower()), None)


class Broken(Exception):
    pass


def connect(address, timeout=10):
    sock = socket.create_connection(address, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def hear(sock, seconds):
    """All bytes until the server ends, and how: "eof", "reset" or "open" when the time is over."""
    got, until = bytearray(), time.monotonic() + seconds
    while len(got) < LIMIT:
        left = until - time.monotonic()
        if left <= 0:
            return bytes(got), "open"
        sock.settimeout(left)
        try:
            piece = sock.recv(65536)
        except TimeoutError:
            return bytes(got), "open"
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            return bytes(got), "reset"
        if not piece:
            return bytes(got), "eof"
        got += piece
    return bytes(got), "open"


def over_tls(sock):
    """Trusts anybody: the certificate is judged elsewhere. An end without close_notify is a reset."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)


def ask(address, data, piece=None, seconds=5, half_close=False, tls=False):
    """Sends `data` (in pieces of so many bytes) and hears the rest. A server may answer and close before all is
    sent: what it said counts."""
    with connect(address) as sock:
        if tls:
            sock = over_tls(sock)
        try:
            if piece is None:
                sock.sendall(data)
            else:
                for at in range(0, len(data), piece):
                    sock.sendall(data[at:at + piece])
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return hear(sock, seconds)


def take_line(data):
    line, end, rest = data.partition(b"\r\n")
    if not end:
        raise Broken(f"a line of the reply is not whole: {data[:80]!r}")
    return line, rest


def take_chunks(data):
    body = b""
    while True:
        line, data = take_line(data)
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        if data[size:size + 2] != b"\r\n":
            raise Broken("a chunk of the reply is not whole")
        body, data = body + data[:size], data[size + 2:]
    trailers = []
    while True:
        line, data = take_line(data)
        if not line:
            return body, trailers, data
        name, _, value = line.partition(b":")
        trailers.append((name.decode().lower(), value.strip().decode("latin-1")))


def take_reply(data, method="GET"):
    """The first reply in `data` and what follows it."""
    line, data = take_line(data)
    words = line.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise Broken(f"no status line: {line[:80]!r}")
    status, fields = int(words[1]), []
    while True:
        line, data = take_line(data)
        if not line:
            break
        name, _, value = line.partition(b":")
        fields.append((name.decode().lower(), value.strip().decode("latin-1")))
    reply = Reply(status, fields, b"")
    if status < 200 or status in (204, 304) or method == "HEAD":
        return reply, data
    if reply.field("transfer-encoding") == "chunked":
        reply.body, trailers, data = take_chunks(data)
        reply.fields += trailers
        return reply, data
    length = reply.field("content-length")
    size = len(data) if length is None else int(length)
    if len(data) < size:
        raise Broken(f"{len(data)} bytes of a body of {size}")
    reply.body = data[:size]
    return reply, data[size:]


def take_replies(data, methods=()):
    replies = []
    methods = list(methods)
    while data:
        method = methods[0] if methods else "GET"
        reply, data = take_reply(data, method)
        replies.append(reply)
        if reply.status >= 200 and methods:
            methods.pop(0)
    return replies
