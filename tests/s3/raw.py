"""A client of S3 that can do everything wrong: requests are signed here, byte by byte, and sent over a bare socket.

    s3 = Raw(lake)                                                 # of tests/e2e/lake.py, with the S3 door open
    reply = s3.ask("PUT", "/bucket/key", body=b"bytes")            # signed by the letter
    reply = s3.ask("GET", "/bucket/key", "versionId=x", after=lambda fields: fields.update(Host="else"))
    reply = s3.ask("PUT", "/bucket/key", payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                   body=lambda seed: s3.chunks(seed, [b"a" * 8192, b"b"]))
    reply.status, reply.code (S3's), reply.fields, reply.body
"""
import hashlib
import hmac
import json
import re
import socket
import ssl
import time
import urllib.parse

EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def mac(key, text):
    return hmac.new(key, text if isinstance(text, bytes) else text.encode(), hashlib.sha256).digest()


def quote(text):
    return urllib.parse.quote(text, safe="-_.~")


class Reply:
    def __init__(self, status, fields, body, interim):
        self.status, self.fields, self.body, self.interim = status, fields, body, interim
        found = re.search(rb"<Code>(\w+)</Code>", body)
        self.code = found[1].decode() if found else ""

    @property
    def both(self):
        return self.status, self.code

    def text(self, name):
        found = re.search(rb"<%s>(.*?)</%s>" % (name.encode(), name.encode()), self.body, re.S)
        return found[1].decode() if found else None


class Wire:
    """One connection; replies are read by their length."""

    def __init__(self, address, tls=None, name=None):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=name or "localhost")
        self.ahead = b""

    def send(self, data):
        self.socket.sendall(data)

    def _line(self):
        while b"\r\n" not in self.ahead:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("closed inside of a head")
            self.ahead += more
        line, self.ahead = self.ahead.split(b"\r\n", 1)
        return line.decode("latin-1")

    def _bytes(self, count):
        got, missing = [self.ahead], count - len(self.ahead)
        while missing > 0:
            more = self.socket.recv(min(missing, 1 << 20) if missing > 65536 else 65536)
            if not more:
                raise ConnectionError("closed inside of a body")
            got.append(more)
            missing -= len(more)
        data = b"".join(got)
        self.ahead = data[count:]
        return data[:count] if self.ahead else data

    def head(self):
        status = int(self._line().split(" ", 2)[1])
        fields = {}
        while line := self._line():
            name, value = line.split(":", 1)
            fields[name.lower()] = value.strip()
        return status, fields

    def reply(self, method="GET"):
        interim = []
        status, fields = self.head()
        while status < 200:
            interim.append(status)
            status, fields = self.head()
        body = b""
        if fields.get("transfer-encoding") == "chunked":
            while size := int(self._line(), 16):
                body += self._bytes(size)
                self._line()
            self._line()
        elif method != "HEAD" and status not in (204, 304):
            body = self._bytes(int(fields.get("content-length", 0)))
        return Reply(status, fields, body, interim)

    def closed(self):
        """The server has ended the connection; what came before is dropped."""
        try:
            while self.socket.recv(65536):
                pass
        except (ConnectionError, ssl.SSLError):
            pass
        return True

    def close(self):
        self.socket.close()


class Raw:
    def __init__(self, lake, tls=None):
        admin = json.loads((lake.data / "admin.json").read_text())
        self.address, self.access, self.secret = admin["s3"], admin["access_key"], admin["secret_key"]
        self.region, self.token, self.tls = "us-east-1", None, tls

    def open(self):
        return Wire(self.address, self.tls)

    def key(self, day, region=None, service="s3"):
        return mac(mac(mac(mac(b"AWS4" + self.secret.encode(), day), region or self.region), service), "aws4_request")

    def canonical_query(self, query):
        pairs = []
        for pair in filter(None, query.split("&")):
            name, _, value = pair.partition("=")
            pairs.append((quote(urllib.parse.unquote_to_bytes(name)), quote(urllib.parse.unquote_to_bytes(value))))
        return "&".join(f"{n}={v}" for n, v in sorted(pairs))

    def sign(self, method, path, query, fields, payload, signed=None, when=None, region=None, service="s3", **wrong):
        """Authorization of a request; gives it with the signature. `wrong` has parts that are not as they should be."""
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(when or time.time()))
        fields.setdefault("x-amz-date", date)
        if payload is not None:
            fields.setdefault("x-amz-content-sha256", payload)
        if self.token:
            fields.setdefault("x-amz-security-token", self.token)
        lower = {name.lower(): value for name, value in fields.items()}
        names = signed or sorted(n for n in lower if n == "host" or n.startswith("x-amz-") or n == "content-type")
        scope = f"{wrong.get('day') or date[:8]}/{region or self.region}/{service}/{wrong.get('terminal', 'aws4_request')}"
        canonical = "\n".join([method, path, self.canonical_query(query),
                               "".join(f"{n}:{' '.join(str(lower.get(n, '')).split())}\n" for n in names),
                               ";".join(names), payload or UNSIGNED])
        text = "\n".join(["AWS4-HMAC-SHA256", fields["x-amz-date"], scope, hashlib.sha256(canonical.encode("latin-1")).hexdigest()])
        signature = mac(self.key(wrong.get("day") or date[:8], region, service), text).hex()
        fields["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={wrong.get('access', self.access)}/{scope}, "
                                   f"SignedHeaders={';'.join(names)}, Signature={signature}")
        return Seed(self, signature, fields["x-amz-date"], scope)

    def head(self, method, path, query="", fields=None, body=b"", payload=None, after=None, **how):
        """The bytes of a signed request: its head, its body. `fields` None values are left away."""
        given = {n: v for n, v in {"Host": self.address, **(fields or {})}.items() if v is not None}
        if payload is None:
            payload = hashlib.sha256(body).hexdigest() if isinstance(body, bytes) else UNSIGNED
        seed = self.sign(method, path, query, given, payload, **how)
        if callable(body):
            body = body(seed)
        if "Content-Length" not in (fields or {}) and "Transfer-Encoding" not in given and (body or method in ("PUT", "POST")):
            given["Content-Length"] = str(len(body))
        if after:
            after(given)
        lines = [f"{method} {path}{'?' + query if query else ''} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in given.items() if value is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), body

    def ask(self, method, path, query="", **how):
        wire = how.pop("wire", None) or self.open()
        head, body = self.head(method, path, query, **how)
        try:
            wire.send(head + body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before the end: the answer is there
        reply = wire.reply(method)
        if "wire" not in how:
            wire.close()
        return reply

    def presign(self, method, path, expires=60, when=None, query="", **wrong):
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(when or time.time()))
        scope = f"{date[:8]}/{self.region}/s3/aws4_request"
        query += ("&" if query else "") + "&".join([
            "X-Amz-Algorithm=AWS4-HMAC-SHA256", f"X-Amz-Credential={quote(wrong.get('access', self.access) + '/' + scope)}",
            f"X-Amz-Date={date}", f"X-Amz-Expires={expires}", "X-Amz-SignedHeaders=host"])
        canonical = "\n".join([method, path, self.canonical_query(query), f"host:{wrong.get('host', self.address)}\n", "host", UNSIGNED])
        text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        return f"{query}&X-Amz-Signature={mac(self.key(date[:8]), text).hex()}"

    def plain(self, method, path, query="", fields=None, body=b""):
        """Nothing signed but what the query says."""
        wire = self.open()
        given = {"Host": self.address, "Content-Length": str(len(body)) if body or method in ("PUT", "POST") else None, **(fields or {})}
        lines = [f"{method} {path}{'?' + query if query else ''} HTTP/1.1", *(f"{n}: {v}" for n, v in given.items() if v is not None)]
        wire.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        reply = wire.reply(method)
        wire.close()
        return reply


class Seed:
    """The chain of chunk signatures that a request's signature begins."""

    def __init__(self, raw, signature, date, scope):
        self.key, self.last, self.date, self.scope = raw.key(scope[:8]), signature, date, scope

    def sign(self, data):
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", self.date, self.scope, self.last, EMPTY, hashlib.sha256(data).hexdigest()])
        self.last = mac(self.key, text).hex()
        return self.last

    def chunk(self, data):
        return f"{len(data):x};chunk-signature={self.sign(data)}\r\n".encode() + data + (b"\r\n" if data else b"")

    def body(self, *chunks, trailer=None):
        out = b"".join(self.chunk(data) for data in chunks) + self.chunk(b"")
        return out + (self.trailer(trailer) if trailer else b"") + b"\r\n"

    def trailer(self, line):
        text = "\n".join(["AWS4-HMAC-SHA256-TRAILER", self.date, self.scope, self.last, hashlib.sha256((line + "\n").encode()).hexdigest()])
        return f"{line}\r\nx-amz-trailer-signature:{mac(self.key, text).hex()}\r\n".encode()
