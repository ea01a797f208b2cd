"""No byte of a request ends a line of the log or a field in it, and none ends a field of the reply."""
import json
import re
import sys
import tempfile
from pathlib import Path

import raw
from checks import check, close
from peers import Door

FORGED = "203.0.113.9"
REQUESTS = [
    b"GET /fixed?a=%0d%0a" + FORGED.encode() + b"%20-%20- HTTP/1.1\r\nHost: door\r\n",
    b'GET /fixed?"%20200%201%20"' + FORGED.encode() + b' HTTP/1.1\r\nHost: door\r\n',
    b"GET /fixed?\\\"}{\"client\":\"" + FORGED.encode() + b"\" HTTP/1.1\r\nHost: door\r\n",
    b"GET /nothing%00%1b[2J HTTP/1.1\r\nHost: door\r\n",
    b"GET /fixed HTTP/1.1\r\nHost: door\r\nUser-Agent: \" 200 1 \"" + FORGED.encode() + b"\\\r\n",
    b"GET /fixed HTTP/1.1\r\nHost: door\r\nUser-Agent: \xe2\x80\xa8\xc2\x85\xff\xfe\x80\tx\r\n",
    b"GET /fixed HTTP/1.1\r\nHost: door\r\nReferer: \x9b31m\\n\\u000a\r\n",
    b"GET /fixed HTTP/1.1\r\nHost: door\r\nX-Request-Id: a b\\n\"" + FORGED.encode() + b"\r\n",
    b"GET /fixed HTTP/1.1\r\nHost: door\r\ntraceparent: 00-\"\r\n",
    b"GET /fixed HTTP/1.1\r\nHost: door\r\nX-Forwarded-For: " + FORGED.encode() + b"\r\nForwarded: for=" + FORGED.encode() + b"\r\n",
    b"GET /fixed HTTP/1.1\r\nHost: door\r\nUser-Agent: " + b"\"" * 5000 + b"\r\n",
    b"GET /fixed?" + b"\"" * 5000 + b" HTTP/1.1\r\nHost: door\r\n",
    b"!#$%&'*+-.^_`|~ /fixed HTTP/1.1\r\nHost: door\r\n",
]
REFUSED = [
    b"GET /fixed HTTP/1.1\r\nHost: door\r\nUser-Agent: a\n" + FORGED.encode() + b"\r\n",
    b"GET /fixed\n" + FORGED.encode() + b" HTTP/1.1\r\nHost: door\r\n",
    b"GET /fixed HTTP/1.1\r\nHost: door\r\nX-Request-Id: a\r" + FORGED.encode() + b"\r\n",
    b"\x1b[2J\n" + FORGED.encode() + b" / HTTP/1.1\r\nHost: door\r\n",
]
COMBINED = re.compile(r'127\.0\.0\.1 - \S+ \[[^\]"]+\] "[^"\\]*(?:\\.[^"\\]*)*" \d{3} (?:\d+|-) "[^"\\]*(?:\\.[^"\\]*)*" "[^"\\]*(?:\\.[^"\\]*)*"')


def log_of(kind, requests):
    """The lines of the access log and of the process after these requests."""
    with tempfile.TemporaryDirectory(prefix="tarn-forging-") as folder:
        path = Path(folder) / "access"
        with Door("--access", f"{kind}:{path}", "--log") as door:
            for request in requests:
                got, _ = raw.ask(door.address(), request + b"Connection: close\r\n\r\n")
                check(f"{kind}: {request[:50]!r} answered", got.startswith(b"HTTP/1.1 "), got[:80])
                check(f"{kind}: {request[:50]!r} once", got.count(b"HTTP/1.1 ") == 1, got[:200])
        return path.read_bytes().split(b"\n"), door.said().splitlines()


def each_line(kind, lines):
    check(f"{kind}: ends with a line end", lines[-1] == b"", lines[-1][:100])
    lines = lines[:-1]
    for line in lines:
        text = line.decode("utf-8", errors="surrogateescape")
        check(f"{kind}: printable", text.isprintable() or text.isascii() and not re.search(r"[\x00-\x1f\x7f]", text), line[:200])
        check(f"{kind}: the client is not forged", FORGED not in text.split('"GET')[0].split('"method"')[0]
              or json.loads(text).get("client") != FORGED, text[:200])
    return lines


def main():
    lines, said = log_of("json", REQUESTS + REFUSED)
    lines = each_line("json", lines)
    asked = len(REQUESTS + REFUSED)
    check("json: one line for each request", len(lines) == asked, f"{len(lines)} for {asked}")
    for line in lines:
        try:
            entry = json.loads(line)
            check("json: is an object", isinstance(entry, dict) and FORGED not in str(entry.get("client")), line[:200])
        except ValueError as e:
            check("json: parses", False, f"{e}: {line[:200]}")
    check("the log of the process", not any(line.startswith(FORGED) for line in said), said)
    lines = each_line("combined", log_of("combined", REQUESTS)[0])
    check("combined: one line for each request", len(lines) == len(REQUESTS), f"{len(lines)} for {len(REQUESTS)}")
    for line in lines:
        check("combined: has its shape", COMBINED.fullmatch(line.decode("latin-1")), line[:300])
    return close()


if __name__ == "__main__":
    sys.exit(main())
