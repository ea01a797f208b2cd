"""What the suites of HTTP share: a test door of their own on loopback, raw sockets to it, checks, the closing line.

    door = Door("--limit", "head_ms_max=500")           # --http 127.0.0.1:0 unless a listener is among the options
    reply = door.ask("GET", "/fixed")                   # one request, one connection
    raw = door.raw()                                    # a socket: raw.send(b"..."), raw.reply(), raw.all(), raw.closed()
    tls = Door("--https", "127.0.0.1:0", *certificate())
    raw = tls.raw(tls=True, alpn=["h2"])
"""
import atexit
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("TARN_BUILD", TOP / "build"))
DOOR = BUILD / "tests/http/door"
DEPS = Path(os.environ.get("TARN_DEPS_DIR", Path.home() / ".cache/tarn/deps"))
# Suites have thousands of sockets; the door takes the limit along.
SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (max(SOFT, min(HARD, 65536)), HARD))
PATTERN = bytes(i % 251 for i in range(251))


def pattern(start, length):
    """What GET /bytes/{n} and GET /file send from byte number `start` on."""
    first = start % 251
    return (PATTERN * ((first + length) // 251 + 1))[first:first + length]


class Reply:
    def __init__(self, status, fields, body=b"", trailers=(), whole=True, version="HTTP/1.1"):
        self.status, self.fields, self.body, self.whole, self.version = status, fields, body, whole, version
        self.trailers = list(trailers)

    def field(self, name):
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.fields} {self.body[:200]!r}"


class Raw:
    """A socket that speaks what it is told; replies are read by the framing rules of HTTP/1.1."""

    def __init__(self, sock):
        self.sock, self.kept = sock, b""

    def send(self, data):
        try:
            self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass  # refused in the middle: the reply tells
        return self

    def more(self, most=1 << 16):
        """The next bytes; empty at the end."""
        if self.kept:
            out, self.kept = self.kept[:most], self.kept[most:]
            return out
        try:
            return self.sock.recv(most)
        except (ConnectionResetError, ssl.SSLEOFError):
            return b""

    def until(self, mark):
        data = b""
        while mark not in data:
            piece = self.more()
            if not piece:
                return data, False
            data += piece
        at = data.index(mark) + len(mark)
        self.kept = data[at:] + self.kept
        return data[:at], True

    def exactly(self, length):
        data = b""
        while len(data) < length:
            piece = self.more(length - len(data))
            if not piece:
                break
            data += piece
        return data

    def _fields(self, lines):
        return [tuple(part.strip() for part in line.split(":", 1)) for line in lines if line]

    def _chunks(self):
        body = b""
        while True:
            line, whole = self.until(b"\r\n")
            if not whole:
                return body, [], False
            size = int(line.split(b";")[0], 16)
            if size == 0:
                break
            piece = self.exactly(size + 2)
            body += piece[:size]
            if len(piece) < size + 2:
                return body, [], False
        trailers = []
        while True:
            line, whole = self.until(b"\r\n")
            if not whole or line == b"\r\n":
                return body, self._fields(trailers), whole
            trailers.append(line[:-2].decode("latin-1"))

    def reply(self, method="GET", informational=False):
        """The next reply (100 is skipped unless asked for); None: the connection ended instead."""
        head, whole = self.until(b"\r\n\r\n")
        if not whole:
            return None
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        version, status = first.split(" ")[:2]
        reply = Reply(int(status), self._fields(lines), version=version)
        if reply.status == 100 and not informational:
            return self.reply(method)
        if method == "HEAD" or reply.status in (101, 204, 304) or reply.status < 200:
            return reply
        if (reply.field("Transfer-Encoding") or "").lower() == "chunked":
            reply.body, reply.trailers, reply.whole = self._chunks()
        elif reply.field("Content-Length") is not None:
            length = int(reply.field("Content-Length"))
            reply.body = self.exactly(length)
            reply.whole = len(reply.body) == length
        else:
            reply.body = self.all()
        return reply

    def all(self):
        data = b""
        while piece := self.more():
            data += piece
        return data

    def closed(self, seconds=10):
        """True: the server ends the connection within the time without another byte."""
        self.sock.settimeout(seconds)
        try:
            return self.more(1) == b""
        except socket.timeout:
            return False

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes so that the peer gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Door:
    def __init__(self, *options, env=None):
        if not any(option in ("--http", "--https") for option in options):
            options = ("--http", "127.0.0.1:0", *options)
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([os.environ.get("TARN_DOOR", DOOR), *map(str, options)], stdout=subprocess.PIPE,
                                        stderr=self.log, text=True, env={**os.environ, **(env or {})})
        atexit.register(self.kill)
        self.listeners = []
        for line in self.process.stdout:
            words = line.split()
            if words[1] == "ready":
                break
            self.listeners.append((words[1], words[2]))
        else:
            raise RuntimeError(f"the door ended with {self.process.wait()}: {self.said()}")

    def said(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def address(self, kind="http", nth=0):
        host, port = [address for what, address in self.listeners if what == kind][nth].rsplit(":", 1)
        return host.strip("[]"), int(port)

    def url(self, path="/", kind="http", host=None):
        address = self.address(kind)
        return f"{kind}://{host or address[0]}:{address[1]}{path}"

    def connect(self, kind="http", nth=0, timeout=20, receive=None):
        sock = socket.socket(socket.AF_INET6 if ":" in self.address(kind, nth)[0] else socket.AF_INET)
        sock.settimeout(timeout)
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.connect(self.address(kind, nth))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def raw(self, tls=False, alpn=None, context=None, name="localhost", **more):
        sock = self.connect("https" if tls else "http", **more)
        if tls:
            context = context or trusting_context(alpn)
            sock = context.wrap_socket(sock, server_hostname=name)
        return Raw(sock)

    def ask(self, method, target, fields=(), body=None, tls=False, host="door", timeout=20):
        head = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in (fields.items() if hasattr(fields, "items") else fields)]
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
        with self.raw(tls=tls, timeout=timeout) as raw:
            raw.send("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + (body or b""))
            return raw.reply(method)

    def counts(self):
        return self.ask("GET", "/counts").json

    def memory_kib(self, name="VmRSS"):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
        return 0

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self, wait=30):
        """SIGTERM; the exit status and what was said at the end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        rest = self.process.stdout.read()
        return self.process.wait(wait), rest

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            status, _rest = self.stop()
            if status != 0:
                raise AssertionError(f"the door ended with {status}: {self.said()[-2000:]}")
        else:
            self.kill()


def trusting_context(alpn=None):
    """A TLS client that asks for no name and no authority: the suites of tests/tls judge those."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def certificate(names="localhost,127.0.0.1"):
    """Options of the door for a fresh self-signed certificate."""
    folder = Path(tempfile.mkdtemp(prefix="tarn-door-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    alternatives = ",".join(("IP:" if name[0].isdigit() else "DNS:") + name for name in names.split(","))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "30", "-subj",
                    "/CN=" + names.split(",")[0], "-addext", "subjectAltName=" + alternatives],
                   check=True, capture_output=True)
    return "--cert", folder / "cert.pem", "--key", folder / "key.pem"


def soon(check, seconds=10):
    """Waits until `check()` is true, at most so long; what it gave last."""
    end = time.monotonic() + seconds
    while not (result := check()) and time.monotonic() < end:
        time.sleep(0.005)
    return result


def budget_used_up(door):
    """Clients of a small budget that read nothing: two, or more, since what each holds is what the sockets' buffers left."""
    stuck = []
    while len(stuck) < 50:
        stuck.append(door.raw(receive=4096).send("GET /bytes/90000000 HTTP/1.1\r\nHost: door\r\n\r\n"))
        if len(stuck) > 1 and soon(lambda: door.ask("GET", "/bytes/300000").status == 503, 0.5):
            return stuck
    raise AssertionError("the budget is never used up")


CASES = []


def case(function):
    CASES.append(function)
    return function


def run():
    """Runs the cases whose name contains the argument, prints the closing line, ends the process."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    failed = passed = 0
    for function in CASES:
        if wanted not in function.__name__:
            continue
        started = time.monotonic()
        try:
            function()
            passed += 1
            print(f"ok   {function.__name__} ({time.monotonic() - started:.2f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL {function.__name__}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
