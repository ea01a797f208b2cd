"""RFC 9113 section 8: requests and replies; RFC 8441. A malformed request is a stream error of type PROTOCOL_ERROR;
where the text lets the server answer first (8.1.1), the case takes a 400 as well and says so with `refused`."""
import struct

import hpack
from cases import case, table
from wire import (DATA, ENABLE_CONNECT_PROTOCOL, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM, Mismatch,
                  frame)

PROTOCOL = "PROTOCOL_ERROR"


def malformed(open, fields, end=True):
    with open() as c:
        c.headers(1, fields(c), end=end)
        c.stream_error(1, PROTOCOL)


# ---- 8.1: exchanges ----

@table("9113 8.1", "a request", {
    "GET": ("GET", None), ("HEAD", "generic/4/2"): ("HEAD", None), ("POST", "generic/4/3"): ("POST", b"test")})
def _(open, row):
    with open() as c:
        c.headers(1, c.request(row[0], "/sink" if row[1] else "/fixed"), end=not row[1])
        if row[1]:
            c.data(1, row[1])
        r = c.answered(1)
        if row[0] == "HEAD" and any(f.kind == DATA and f.payload for f in r.frames):
            raise Mismatch("a body of HEAD")


@case("9113 8.1", "a request with trailers", "generic/4/4")
def _(open):
    with open() as c:
        c.headers(1, c.post(("trailer", "x-test")), end=False)
        c.data(1, end=False)
        c.headers(1, [("x-test", "ok")])
        c.answered(1)


@case("9113 8.1", "trailers that no DATA comes before")
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.headers(1, [("x-test", "ok")])
        c.answered(1)


@case("9113 8.1", "second HEADERS without END_STREAM", "http2/8.1/1")
def _(open):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.data(1, end=False)
        c.headers(1, [("x-test", "ok")], end=False)
        c.stream_error(1, PROTOCOL)


@table("9113 8.1", "trailers that hold", {
    ("a pseudo field", "http2/8.1.2.1/3"): (":method", "POST"), "a status": (":status", "200"), "an upper-case name": ("X-Test", "ok"),
    "connection": ("connection", "close"), "a line feed": ("x-test", "a\nb")})
def _(open, field):
    with open() as c:
        c.headers(1, c.post(), end=False)
        c.data(1, end=False)
        c.headers(1, [field])
        c.stream_error(1, PROTOCOL)


@case("9113 8.1", "a HEAD reply carries no DATA and the length of GET")
def _(open):
    with open() as c:
        c.headers(1)
        length = len(c.answered(1).body)
        c.headers(3, c.request("HEAD"))
        r = c.answered(3)
        if r.body or r.field("content-length") not in (None, str(length)):
            raise Mismatch(f"content-length {r.field('content-length')} of {length}")


@case("9113 8.1", "a hundred requests at once are all answered")
def _(open):
    with open((INITIAL_WINDOW_SIZE, 1 << 20)) as c:
        c.window(0, 1 << 24)
        octets = hpack.block(c.request())
        c.raw(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * i, octets) for i in range(100)))
        left = set(range(1, 200, 2))
        while left:
            f = c.until(lambda f: f.kind in (DATA, HEADERS, RST_STREAM))
            if f.kind == RST_STREAM:
                raise Mismatch(str(f))
            if f.flags & END_STREAM:
                left.remove(f.stream)


@case("9113 5.1.1", "a thousand requests one after another")
def _(open):
    with open() as c:
        c.opens_windows = True
        for i in range(1000):
            c.headers(1 + 2 * i)
            c.answered(1 + 2 * i)


# ---- 8.2: fields ----

BAD_NAMES = {("in upper case", "http2/8.1.2/1"): "X-TEST", "with one upper-case letter": "x-tEst", "that is empty": "",
             "with a space": "x test", "with a space behind": "x-test ", "with a colon inside": "x:test", "with NUL": "x\0test",
             "with a tab": "x\ttest", "with CR": "x\rtest", "with LF": "x\ntest", "with DEL": "x\x7ftest",
             "with an octet above 127": b"x\xe9test", "with a parenthesis": "x(test)"}


@table("9113 8.2.1", "a field's name", BAD_NAMES)
def _(open, name):
    malformed(open, lambda c: c.request("GET", "/fixed", (name, "ok")))


@table("9113 8.2.1", "a field's value", {
    "with NUL": "a\0b", "with CR": "a\rb", "with LF": "a\nb", "with CR LF and a field": "a\r\nx-evil: 1",
    "that ends with a space": "ab ", "that begins with a space": " ab", "that begins with a tab": "\tab", "that ends with a tab": "ab\t"})
def _(open, value):
    malformed(open, lambda c: c.request("GET", "/fixed", ("x-test", value)))


@table("9113 8.2.2", "a field of the connection", {
    ("connection", "http2/8.1.2.2/1"): ("connection", "keep-alive"), "connection: close": ("connection", "close"),
    "keep-alive": ("keep-alive", "timeout=5"), "proxy-connection": ("proxy-connection", "keep-alive"),
    "transfer-encoding": ("transfer-encoding", "chunked"), "transfer-encoding: identity": ("transfer-encoding", "identity"),
    "upgrade": ("upgrade", "websocket"), "upgrade: h2c": ("upgrade", "h2c"),
    ("te: trailers, deflate", "http2/8.1.2.2/2"): ("te", "trailers, deflate"), "te: gzip": ("te", "gzip"), "te that is empty": ("te", "")})
def _(open, field):
    malformed(open, lambda c: c.request("GET", "/fixed", field))


@case("9113 8.2.2", "te: trailers is taken")
def _(open):
    with open() as c:
        c.headers(1, c.request("GET", "/fixed", ("te", "trailers")))
        c.answered(1)


@case("9113 8.2.3", "cookies in pieces are one field", door_only=True)
def _(open):
    with open() as c:
        c.headers(1, c.request("GET", "/headers", ("cookie", "a=1"), ("x-test", "between"), ("cookie", "b=2"), ("cookie", "c=3")))
        if b"a=1; b=2; c=3" not in c.answered(1).body:
            raise Mismatch("not joined")


# ---- 8.3: pseudo fields ----

@table("9113 8.3", "a pseudo field", {
    ("that is unknown", "http2/8.1.2.1/1"): (":test", "ok"), ("of replies", "http2/8.1.2.1/2"): (":status", "200"),
    "without a name": (":", "x"), "in upper case": (":Method", "GET"), ":protocol without CONNECT": (":protocol", "websocket")})
def _(open, field):
    malformed(open, lambda c: [*c.request(), field])


@case("9113 8.3", "a pseudo field behind a field", "http2/8.1.2.1/4")
def _(open):
    malformed(open, lambda c: [("x-test", "ok"), *c.request()])


@table("9113 8.3.1", "without", {
    (":method", "http2/8.1.2.3/2"): ":method", (":scheme", "http2/8.1.2.3/3"): ":scheme", (":path", "http2/8.1.2.3/4"): ":path"})
def _(open, name):
    malformed(open, lambda c: [f for f in c.request() if f[0] != name])


@table("9113 8.3.1", "twice", {
    (":method", "http2/8.1.2.3/5"): 0, (":scheme", "http2/8.1.2.3/6"): 1, (":path", "http2/8.1.2.3/7"): 2, ":authority": 3})
def _(open, at):
    malformed(open, lambda c: [*c.request(), c.request()[at]])


@table("9113 8.3.1", "a :path", {
    ("that is empty", "http2/8.1.2.3/1"): "", "that does not begin with a slash": "fixed", "* of a GET": "*",
    "with a space": "/fi xed", "with LF": "/fixed\nx", "with NUL": "/fixed\0"})
def _(open, path):
    malformed(open, lambda c: c.request("GET", path))


@table("9113 8.3.1", "refused with 400 or as malformed, a :path", {
    "with a fragment": "/fixed#part", "with a whole address": "http://other.example/fixed", "with an octet above 127": b"/fix\xe9d",
    "with DEL": "/fixed\x7f", "with a tab": "/fixed\tx"})
def _(open, path):
    with open() as c:
        c.headers(1, c.request("GET", path))
        c.refused(1)


@table("9113 8.3.1", "refused with 400 or as malformed, an :authority", {
    "with user information": "user@localhost", "with user and password": "a:b@localhost:80", "with a space": "local host",
    "with a path": "localhost/x", "with a query": "localhost?x", "with a fragment": "localhost#x", "with LF": "local\nhost",
    "that is empty": "", "with a port that is none": "localhost:x", "with a list": "a,b", "with a backslash": "a\\b"})
def _(open, authority):
    with open() as c:
        c.headers(1, [(":method", "GET"), (":scheme", c.scheme), (":path", "/fixed"), (":authority", authority)])
        c.refused(1)


@table("9113 8.3.1", "refused with 400 or as malformed, a method", {
    "with a space": "GE T", "that is empty": "", "with a control": "GE\x01T", "with a colon": "GET:", "of 4,000 letters": "G" * 4000})
def _(open, method):
    with open() as c:
        c.headers(1, c.request(method))
        c.refused(1, 400, 501)


@table("9113 8.3.1", "refused with 400 or as malformed, a :scheme", {"that is empty": "", "with a space": "ht tp", "with a slash": "http/"})
def _(open, scheme):
    with open() as c:
        c.headers(1, [(":method", "GET"), (":scheme", scheme), (":path", "/fixed"), (":authority", c.authority)])
        c.refused(1)


@case("9113 8.3.1", "neither :authority nor Host: 400 or malformed")
def _(open):
    with open() as c:
        c.headers(1, c.request()[:3])
        c.refused(1)


@case("9113 8.3.1", "Host alone names the authority")
def _(open):
    with open() as c:
        c.headers(1, [*c.request()[:3], ("host", c.authority)])
        c.answered(1)


@case("9113 8.3.1", "Host that is as :authority")
def _(open):
    with open() as c:
        c.headers(1, c.request("GET", "/fixed", ("host", c.authority)))
        c.answered(1)


@table("9113 8.3.1", "refused with 400 or as malformed, Host", {
    "that differs from :authority": [("host", "other.example")], "twice": [("host", "a.example"), ("host", "a.example")],
    "that is empty beside :authority": [("host", "")]})
def _(open, fields):
    with open() as c:
        c.headers(1, c.request("GET", "/fixed", *fields))
        c.refused(1)


@case("9113 8.3.1", "OPTIONS * is a request")
def _(open):
    with open() as c:
        c.headers(1, c.request("OPTIONS", "*"))
        if c.reply(1).status is None:
            raise Mismatch("no reply")


# ---- 8.1.1: content-length ----

@table("9113 8.1.1", "a content-length of", {
    ("1 and DATA of 4", "http2/8.1.2.6/1"): ("1", [4]), ("1 and two DATA of 4", "http2/8.1.2.6/2"): ("1", [4, 4]),
    "8 and DATA of 4": ("8", [4]), "4 and no DATA": ("4", []), "0 and DATA of 4": ("0", [4]), "4 and an empty DATA": ("4", [0])})
def _(open, row):
    length, pieces = row
    with open() as c:
        c.headers(1, c.post(("content-length", length)), end=not pieces)
        for i, size in enumerate(pieces):
            c.data(1, bytes(size), end=i == len(pieces) - 1)
        c.stream_error(1, PROTOCOL)


@case("9113 8.1.1", "a content-length of 8, DATA of 4 and trailers")
def _(open):
    with open() as c:
        c.headers(1, c.post(("content-length", "8")), end=False)
        c.data(1, end=False)
        c.headers(1, [("x-test", "ok")])
        c.stream_error(1, PROTOCOL)


@table("9113 8.1.1", "refused with 400 or as malformed, a content-length", {
    "twice": [("content-length", "4"), ("content-length", "4")], "twice and different": [("content-length", "4"), ("content-length", "5")],
    "with a sign": [("content-length", "+4")], "below zero": [("content-length", "-4")], "of hexadecimal": [("content-length", "0x4")],
    "that is a list": [("content-length", "4, 4")], "that is empty": [("content-length", "")], "with a fraction": [("content-length", "4.0")],
    "above 64 bits": [("content-length", "18446744073709551620")], "with a space inside": [("content-length", "4 4")]})
def _(open, fields):
    with open() as c:
        c.headers(1, c.post(*fields), end=False)
        c.data(1)
        c.refused(1, 400, 413)


@case("9113 8.1.1", "a content-length of 0 with END_STREAM")
def _(open):
    with open() as c:
        c.headers(1, c.post(("content-length", "0")))
        c.answered(1)


@case("9113 8.1", "an early reply asks with NO_ERROR for no more of the body", door_only=True)
def _(open):
    with open() as c:
        c.headers(1, c.request("POST", "/early"), end=False)
        r = c.reply(1)
        if r.status != 403 or not r.ended:
            raise Mismatch(str(r.status))
        if c.until(lambda f: f.kind == RST_STREAM and f.stream == 1).code != "NO_ERROR":
            raise Mismatch(str(c.log[-1]))
        c.data(1)  # it may be on its way
        c.headers(3)
        c.answered(3)


@case("9113 8.1", "Expect: 100-continue is answered before the body", door_only=True)
def _(open):
    with open() as c:
        c.headers(1, c.request("POST", "/sink", ("expect", "100-continue"), ("content-length", "4")), end=False)
        f = c.until(lambda f: f.kind == HEADERS and f.stream == 1)
        if dict(c.decoder.decode(f.payload)).get(b":status") != b"100" or f.flags & END_STREAM:
            raise Mismatch("no 100")
        c.data(1)
        c.answered(1)


@case("9113 8.1", "trailers of a reply come behind its body", door_only=True)
def _(open):
    with open() as c:
        c.headers(1, c.request("GET", "/trailers", ("te", "trailers")))
        r = c.answered(1)
        if not r.trailers:
            raise Mismatch("no trailers")


@case("9113 8.1", "trailers of a request reach the handler", door_only=True)
def _(open):
    with open() as c:
        c.headers(1, c.request("POST", "/trailers", ("te", "trailers")), end=False)
        c.data(1, end=False)
        c.headers(1, [("x-check", "seen-by-the-handler")])
        r = c.answered(1)
        if b"seen-by-the-handler" not in r.body + repr(r.trailers).encode():
            raise Mismatch(r.body.decode("latin-1"))


@case("9113 8.3.1", "the handler sees method, target, host, scheme, version", door_only=True)
def _(open):
    with open() as c:
        c.headers(1, c.request("GET", "/headers?a=%20b", ("x-test", "caf\u00e9"), authority="lake.example:8443"))
        body = c.answered(1).body.decode()
        for part in ("lake.example:8443", '"HTTP/2"', "/headers?a=%20b", f'"{c.scheme}"', "caf"):
            if part not in body:
                raise Mismatch(f"no {part} in {body}")


# ---- 8.5 CONNECT, RFC 8441 ----

@table("9113 8.5", "refused, CONNECT", {
    "with :path": [(":method", "CONNECT"), (":authority", "a.example:443"), (":path", "/")],
    "with :scheme": [(":method", "CONNECT"), (":authority", "a.example:443"), (":scheme", "http")],
    "without :authority": [(":method", "CONNECT")]})
def _(open, fields):
    malformed(open, lambda c: fields, end=False)


@case("9113 8.5", "CONNECT to somewhere else is not served")
def _(open):
    with open() as c:
        c.headers(1, [(":method", "CONNECT"), (":authority", "127.0.0.1:9")], end=False)
        r = c.reply(1)
        if r.status is not None and r.status < 400:
            raise Mismatch(str(r.status))
        c.barrier()


@case("8441 3", "ENABLE_CONNECT_PROTOCOL is announced", door_only=True)
def _(open):
    with open() as c:
        if c.server.get(ENABLE_CONNECT_PROTOCOL) != 1:
            raise Mismatch(str(c.server))


@table("8441 4", "malformed, :protocol", {
    "without :path": lambda c: [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", c.scheme), (":authority", c.authority)],
    "without :scheme": lambda c: [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/ws"), (":authority", c.authority)],
    "without :authority": lambda c: [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", c.scheme), (":path", "/ws")],
    "of a GET": lambda c: [*c.request("GET", "/ws"), (":protocol", "websocket")]}, door_only=True)
def _(open, fields):
    malformed(open, fields, end=False)


@case("8441 4", "a protocol that is not known is refused", door_only=True)
def _(open):
    with open() as c:
        c.headers(1, [*c.request("CONNECT", "/ws"), (":protocol", "nonsense")], end=False)
        r = c.reply(1)
        if r.status is None or r.status < 400:
            raise Mismatch(str(r.status))
        c.barrier()


@case("9113 8.4", "no PUSH_PROMISE comes though ENABLE_PUSH is 1")
def _(open):
    with open((2, 1)) as c:
        c.headers(1)
        c.answered(1)
        if any(f.kind == 5 for f in c.log):
            raise Mismatch("PUSH_PROMISE")


@table("9113 8.1", "a reply that has no body", {"304 or 204": 0}, door_only=True)
def _(open, _row):
    with open() as c:
        c.headers(1, c.request("OPTIONS", "/fixed"))
        r = c.reply(1)
        if r.status == 204 and (r.body or any(f.kind == DATA and f.payload for f in r.frames)):
            raise Mismatch("a body of 204")


@case("9113 8.1.1", "a client that resets its stream gets no more of it", door_only=True)
def _(open):
    with open((INITIAL_WINDOW_SIZE, 1000)) as c:
        c.headers(1, c.request("GET", "/bytes/100000"))
        c.until(lambda f: f.kind == DATA)
        c.rst(1)
        c.barrier()
        c.frame(8, 0, 0, struct.pack(">I", 100000))
        if any(f.kind == DATA and f.stream == 1 for f in c.barrier()):
            raise Mismatch("DATA behind RST_STREAM")
