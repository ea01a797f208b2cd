#!/usr/bin/env python3
"""What one client, and all together, may take: rates, connections, requests in flight, buffered bytes; who the client
is behind proxies; CORS, security fields, compression, the access log. Drives the test door (tests/http/door.c)."""
import atexit
import gzip
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import zstandard

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "http"))
from harness import BUILD, Door, Raw, budget_used_up, case, certificate, run, soon  # noqa: E402

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
FOLDER = Path(tempfile.mkdtemp(prefix="tarn-limit-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what} {got!r:.800} instead of {wanted!r:.800}")


def check(truth, what="does not hold"):
    if not truth:
        raise AssertionError(what)


def raw_from(door, source, kind="http"):
    """A connection whose client has another address: all of 127.0.0.0/8 is this machine."""
    return Raw(socket.create_connection(door.address(kind), 20, (source, 0)))


def ask_from(door, source, target, fields=""):
    with raw_from(door, source) as raw:
        raw.send(f"GET {target} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n{fields}\r\n")
        return raw.reply()


def item(value):
    """One item of a structured list: its string and its integer parameters."""
    match = re.fullmatch(r'"([a-z0-9._-]+)"((?:;[a-z]+=[0-9]+)+)', value)
    check(match, f"not an item: {value!r}")
    return match[1], dict((key, int(number)) for key, number in re.findall(r";([a-z]+)=([0-9]+)", match[2]))


def unzstd(data):
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


# ---- rates ----

@case
def a_tier_is_announced_counted_down_and_ends_in_429():
    with Door("--tier", "low:5:60") as door:
        for left in (4, 3, 2, 1, 0):
            reply = door.ask("GET", "/fixed")
            equal(reply.status, 200)
            equal(item(reply.field("RateLimit-Policy")), ("low", {"q": 5, "w": 60}))
            name, values = item(reply.field("RateLimit"))
            equal((name, values["r"]), ("low", left))
            check(0 < values["t"] <= 60)
        for _ in range(3):
            reply = door.ask("GET", "/fixed")
            equal(reply.status, 429)
            name, values = item(reply.field("RateLimit"))
            equal((name, values["r"]), ("low", 0))
            check(int(reply.field("Retry-After")) >= values["t"] >= 1)
            equal(reply.field("Content-Type"), "application/problem+json")
            problem = reply.json
            equal((problem["status"], problem["code"], problem["retriable"], problem["violated-policies"]),
                  (429, "RATE", True, ["low"]))
        equal(door.ask("GET", "/health").status, 200)
        check(door.ask("GET", "/health").field("RateLimit") is None)
        equal(door.ask("GET", "/no-such-path").status, 429)
        equal(ask_from(door, "127.0.0.9", "/counts").json["entered"]["fixed"], 5)


@case
def a_quota_comes_back_after_what_retry_after_says():
    replies = []
    with Door("--tier", "quick:2:1") as door:
        equal([door.ask("GET", "/fixed").status for _ in range(2)], [200, 200])
        check(soon(lambda: (reply := door.ask("GET", "/fixed")).status == 429 and replies.append(reply) is None))
        reply = replies[0]
        time.sleep(int(reply.field("Retry-After")))
        equal(door.ask("GET", "/fixed").status, 200)


@case
def addresses_and_keys_have_their_own_buckets():
    with Door("--tier", "low:2:60", "--tier", "high:4:60", "--tier-address", "0") as door:
        def statuses(count, source, fields="", target="/key"):
            return [ask_from(door, source, target, fields).status for _ in range(count)]
        equal(statuses(3, "127.0.0.1", target="/fixed"), [200, 200, 429])
        equal(statuses(3, "127.0.0.2", target="/fixed"), [200, 200, 429])
        equal(statuses(3, "127.0.0.1", "Authorization: Bearer 0-anna\r\n"), [200, 200, 429])
        equal(statuses(3, "127.0.0.3", "Authorization: Bearer 0-anna\r\n"), [429] * 3, "a key is one client from anywhere")
        equal(statuses(5, "127.0.0.1", "Authorization: Bearer 1-bert\r\n"), [200] * 4 + [429])
        equal(statuses(9, "127.0.0.1", "Authorization: Bearer x-root\r\n"), [200] * 9)
        equal(statuses(3, "127.0.0.4", "Authorization: Bearer anonymous\r\n"), [200, 200, 429])
        reply = ask_from(door, "127.0.0.1", "/key", "Authorization: Bearer 1-carl\r\n")
        equal(item(reply.field("RateLimit")), ("high", {"r": 3, "t": 15}))
        check(ask_from(door, "127.0.0.1", "/key", "Authorization: Bearer x-root\r\n").field("RateLimit") is None)


@case
def keys_that_open_nothing_are_guessed_so_often_and_no_more():
    with Door("--limit", "failures_a_minute=3") as door:
        bad = "Authorization: Bearer bad\r\n"
        equal([ask_from(door, "127.0.0.1", "/key", bad).status for _ in range(5)], [401, 401, 401, 429, 429])
        reply = ask_from(door, "127.0.0.1", "/key", "Authorization: Bearer good\r\n")
        equal((reply.status, reply.json["violated-policies"]), (429, ["failures"]))
        equal(ask_from(door, "127.0.0.1", "/fixed").status, 200, "without a key nothing is guessed")
        equal(ask_from(door, "127.0.0.2", "/key", "Authorization: Bearer good\r\n").status, 200)


@case
def without_tiers_nothing_is_announced_or_refused():
    with Door() as door:
        with door.raw() as raw:
            raw.send("GET /fixed HTTP/1.1\r\nHost: door\r\n\r\n" * 500)
            replies = [raw.reply() for _ in range(500)]
        equal({reply.status for reply in replies}, {200})
        check(replies[0].field("RateLimit") is None and replies[0].field("RateLimit-Policy") is None)


# ---- connections and requests in flight ----

@case
def connections_of_one_address():
    with Door("--limit", "connections_an_address=3") as door:
        held = [raw_from(door, "127.0.0.1") for _ in range(3)]
        for raw in held:
            raw.send("GET /fixed HTTP/1.1\r\nHost: door\r\n\r\n")
            equal(raw.reply().status, 200)
        with raw_from(door, "127.0.0.1") as more:
            reply = more.reply()
            check(reply is None or reply.status == 503, f"one too many: {reply}")
        with raw_from(door, "127.0.0.2") as other:
            other.send("GET /fixed HTTP/1.1\r\nHost: door\r\n\r\n")
            equal(other.reply().status, 200)
        held.pop().close()

        def again():
            with raw_from(door, "127.0.0.1") as raw:
                raw.send("GET /fixed HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n")
                reply = raw.reply()
                return reply is not None and reply.status == 200
        check(soon(again), "a closed connection is given back")
        for raw in held:
            raw.close()


@case
def requests_in_flight_of_one_address_and_of_all():
    with Door("--limit", "requests_an_address=2", "--limit", "requests_max=3") as door:
        def park(source, name):
            raw = raw_from(door, source)
            raw.send(f"GET /park/{name} HTTP/1.1\r\nHost: door\r\n\r\n")
            return raw
        held = [park("127.0.0.1", "a"), park("127.0.0.1", "b")]
        check(soon(lambda: ask_from(door, "127.0.0.1", "/fixed").status == 429))
        reply = ask_from(door, "127.0.0.1", "/fixed")
        equal((reply.status, reply.json["code"], reply.field("Retry-After")), (429, "RATE", "1"))
        equal(ask_from(door, "127.0.0.2", "/fixed").status, 200)
        held.append(park("127.0.0.2", "c"))
        check(soon(lambda: ask_from(door, "127.0.0.3", "/fixed").status == 503))
        reply = ask_from(door, "127.0.0.3", "/fixed")
        equal((reply.json["code"], reply.json["retriable"], reply.field("Retry-After")), ("UNAVAILABLE", True, "1"))
        equal(ask_from(door, "127.0.0.3", "/health").status, 200, "health answers when the server is full")
        for raw in held:
            raw.reset()
        check(soon(lambda: ask_from(door, "127.0.0.1", "/fixed").status == 200), "what is gone is given back")
        equal([ask_from(door, "127.0.0.1", "/fixed").status for _ in range(20)], [200] * 20)


# ---- memory ----

@case
def two_thousand_slow_bodies_beyond_the_budget_leave_memory_flat():
    with Door("--limit", "bytes_max=33554432", "--limit", "rate_window_ms=600000") as door:
        equal(door.ask("POST", "/collect", body=b"x" * 100000).body, b"100000")
        before = door.memory_kib()
        socks, head = [], b"POST /collect HTTP/1.1\r\nHost: door\r\nContent-Length: 1000000\r\n\r\n"
        for n in range(2000):
            sock = socket.create_connection(door.address(), 20, (f"127.0.{n // 250}.2", 0))
            sock.setblocking(False)
            socks.append(sock)
        for sock in socks:
            try:
                sock.send(head)
            except BlockingIOError:
                pass
        piece = b"x" * 16384
        peak, said = 0, {}
        for turn in range(8):  # 256 MiB altogether, eight times the budget
            for sock in socks:
                try:
                    sock.send(piece)
                except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                    pass
            peak = max(peak, door.memory_kib())
        for sock in socks:
            try:
                said_now = sock.recv(16).split(b" ")[1:2]
            except (BlockingIOError, ConnectionResetError):
                said_now = []
            key = said_now[0].decode() if said_now else "waits"
            said[key] = said.get(key, 0) + 1
        grown = (peak - before) // 1024
        print(f"     grown by {grown} MiB at most; {said}")
        most = 32 * 2 + 2000 * 33 // 1024 + 40
        check(grown < most * (4 if "san" in str(BUILD) else 1), f"grown by {grown} MiB")
        check(set(said) <= {"waits", "503", "429"}, said)
        for sock in socks:
            sock.close()
        check(soon(lambda: door.ask("POST", "/collect", body=b"x" * 1000000).status == 200), "the budget comes back")


@case
def a_stream_that_asks_how_much_it_may_have_waits_for_its_reader_and_is_not_refused():
    with Door("--limit", "bytes_max=600000") as door:
        stuck = budget_used_up(door)
        before = door.memory_kib()
        raws = [door.raw(receive=4096) for _ in range(100)]
        for raw in raws:
            raw.send("GET /bytes/3000000?asks= HTTP/1.1\r\nHost: door\r\n\r\n")
        for raw in raws:
            head, whole = raw.until(b"\r\n\r\n")
            check(whole and head.startswith(b"HTTP/1.1 200 "), head[:200])
        grown = door.memory_kib() - before
        check(grown < 100 * 40 * (4 if "san" in str(BUILD) else 1), f"{grown} KiB more with 100 that wait")
        equal(len(door.ask("GET", "/bytes/3000000?asks=").body), 3000000)
        for raw in raws + stuck:
            raw.reset()


# ---- behind proxies ----

@case
def forwarded_fields_count_from_trusted_proxies_only():
    fields = ("X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: lake.example\r\n"
              "Forwarded: for=198.51.100.1;proto=https;host=evil.example\r\n")
    with Door() as door:
        base, peer = ask_from(door, "127.0.0.1", "/base", fields).body.decode().split("\n")[:2]
        equal(base, "http://door")
        check(peer.startswith("127.0.0.1:"), peer)
    with Door("--trusted", "127.0.0.1") as door:
        base, peer = ask_from(door, "127.0.0.1", "/base", fields).body.decode().split("\n")[:2]
        equal(base, "https://lake.example")
        check(peer.startswith("203.0.113.7"), peer)
        base, peer = ask_from(door, "127.0.0.2", "/base", fields).body.decode().split("\n")[:2]
        equal(base, "http://door")
        check(peer.startswith("127.0.0.2:"), peer)
        left = "X-Forwarded-For: 127.0.0.1, 192.0.2.1, 203.0.113.7\r\n"
        check(ask_from(door, "127.0.0.1", "/base", left).body.decode().split("\n")[1].startswith("203.0.113.7"))
        reply = ask_from(door, "127.0.0.1", "/headers", fields).json
        check(reply["scheme"] == "https" and "203.0.113.7" in json.dumps(reply), reply)
    with Door("--trusted", "127.0.0.1", "--forwarded", "forwarded", "--public-url", "https://lake.example.org/") as door:
        base, peer = ask_from(door, "127.0.0.1", "/base", fields).body.decode().split("\n")[:2]
        equal(base, "https://lake.example.org")
        check(peer.startswith("198.51.100.1"), peer)


@case
def limits_count_the_client_and_not_its_proxy():
    with Door("--trusted", "127.0.0.1", "--tier", "low:2:60", "--limit", "connections_an_address=2",
              "--limit", "requests_an_address=1") as door:
        def statuses(client, count):
            return [ask_from(door, "127.0.0.1", "/fixed", f"X-Forwarded-For: {client}\r\n").status for _ in range(count)]
        equal(statuses("203.0.113.7", 3), [200, 200, 429])
        equal(statuses("203.0.113.8", 3), [200, 200, 429])
        equal(statuses("1.2.3.4, 203.0.113.8", 1), [429], "a forged address to the left gives no new bucket")
        equal(statuses("2001:db8:1:2::1", 2) + statuses("2001:db8:1:2:ffff::9", 1), [200, 200, 429], "IPv6 by its /64")
        equal(statuses("2001:db8:1:3::1", 1), [200])
        held = [raw_from(door, "127.0.0.1") for _ in range(6)]
        for raw in held:
            raw.send("GET /health HTTP/1.1\r\nHost: door\r\n\r\n")
            equal(raw.reply().status, 200, "a proxy has connections of many clients")
            raw.close()
        for n in range(5):
            equal(ask_from(door, "127.0.0.9", "/fixed", f"X-Forwarded-For: 203.0.113.{n}\r\n").status,
                  200 if n < 2 else 429, "an untrusted address cannot name its clients")


@case
def a_proxy_header_names_the_client_too():
    with Door("--proxy", "--trusted", "127.0.0.1", "--http", "127.0.0.1:0", "--tier", "low:2:60") as door:
        def ask(client):
            block = socket.inet_aton(client) + socket.inet_aton("127.0.0.1") + (4000).to_bytes(2, "big") + (80).to_bytes(2, "big")
            with raw_from(door, "127.0.0.1") as raw:
                raw.send(b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + len(block).to_bytes(2, "big") + block)
                raw.send("GET /base HTTP/1.1\r\nHost: door\r\nConnection: close\r\nX-Forwarded-For: 9.9.9.9\r\n\r\n")
                return raw.reply()
        reply = ask("203.0.113.7")
        check(reply.body.decode().split("\n")[1].startswith("203.0.113.7"), reply)
        equal([ask("203.0.113.7").status for _ in range(2)], [200, 429])
        equal(ask("203.0.113.8").status, 200)


# ---- names of requests ----

@case
def request_ids_and_traces():
    with Door() as door:
        first, second = door.ask("GET", "/fixed"), door.ask("GET", "/fixed")
        check(re.fullmatch(r"[0-9a-f]{16}-[0-9a-zA-Z_-]{13}", first.field("X-Request-Id")), first)
        check(first.field("X-Request-Id") != second.field("X-Request-Id"))
        begun = [reply.field("traceparent") for reply in (first, second)]
        check(all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", parent) for parent in begun), begun)
        check(begun[0][3:35] != begun[1][3:35] and begun[0][36:52] != begun[1][36:52], "each request has a trace of its own")
        equal(door.ask("GET", "/fixed", {"X-Request-Id": "my.id-7_A"}).field("X-Request-Id"), "my.id-7_A")
        for bad in ("a b", "a\"b", "<x>", "x" * 129, ""):
            check(door.ask("GET", "/fixed", {"X-Request-Id": bad}).field("X-Request-Id") != bad)
        reply = door.ask("GET", "/base", {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=1,b=2"})
        parent = reply.field("traceparent")
        check(parent.startswith(f"00-{TRACE}-") and parent.endswith("-01") and SPAN not in parent, parent)
        equal(reply.body.decode().split("\n")[3:5], [parent, "a=1,b=2"])
        for bad in (f"00-{TRACE}-{SPAN}", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE.upper()}-{SPAN}-01",
                    f"00-{TRACE}-{SPAN}-01-x"):
            reply = door.ask("GET", "/base", {"traceparent": bad, "tracestate": "a=1"})
            parent = reply.field("traceparent")
            check(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", parent) and TRACE not in parent, bad)
            equal(reply.body.decode().split("\n")[3:5], [parent, ""], "a trace that begins here has no state of others")
        twice = [("traceparent", f"00-{TRACE}-{SPAN}-01")] * 2
        check(TRACE not in door.ask("GET", "/fixed", twice).field("traceparent"))
        ids = {door.ask("GET", "/fixed").field("traceparent") for _ in range(400)}
        equal(len(ids), 400)


# ---- fields of replies ----

@case
def security_fields_stand_in_every_reply():
    with Door("--http", "127.0.0.1:0", "--https", "127.0.0.1:0", *certificate(), "--hsts", "3600") as door:
        for target, status in (("/fixed", 200), ("/none", 404), ("/status/204", 204), ("/key", 401), ("/file", 200)):
            reply = door.ask("GET", target)
            if target != "/status/204":
                equal(reply.status, status)
            equal((reply.field("X-Content-Type-Options"), reply.field("Referrer-Policy"), reply.field("Cross-Origin-Resource-Policy")),
                  ("nosniff", "no-referrer", "same-origin"), target)
            check(reply.field("Strict-Transport-Security") is None)
            check(reply.field("Content-Security-Policy") is None)
        equal(door.ask("GET", "/fixed", tls=True).field("Strict-Transport-Security"), "max-age=3600")
        page = door.ask("GET", "/html")
        check("frame-ancestors 'none'" in page.field("Content-Security-Policy"))
        equal(page.field("X-Frame-Options"), "DENY")
        equal(door.ask("GET", "/html?policy=x").all("Content-Security-Policy"), ["x"])
        good = {"Authorization": "Bearer anna"}
        equal(door.ask("GET", "/key", good).field("Cache-Control"), "no-store")
        equal(door.ask("GET", "/key").field("Cache-Control"), "no-store")
        equal(door.ask("GET", "/key-open", good).field("Cache-Control"), None)
        equal(door.ask("GET", "/fixed").field("Cache-Control"), None)


@case
def cors_for_named_origins():
    with Door("--cors", "https://app.example", "--cors", "https://*.example.com", "--credentials", "yes") as door:
        def fields(origin, method="GET", target="/fixed", **more):
            return door.ask(method, target, {**({"Origin": origin} if origin else {}), **more})
        for origin in ("https://app.example", "https://a.example.com"):
            reply = fields(origin)
            equal(reply.field("Access-Control-Allow-Origin"), origin)
            equal(reply.field("Access-Control-Allow-Credentials"), "true")
            check("RateLimit" in reply.field("Access-Control-Expose-Headers"))
            check("Origin" in reply.all("Vary"))
        for origin in (None, "https://evil.example", "https://app.example.evil", "null", "https://app.example:444", "http://app.example"):
            reply = fields(origin)
            equal((reply.status, reply.field("Access-Control-Allow-Origin")), (200, None), origin)
            check("Origin" in reply.all("Vary"), "a cache must tell the replies apart")
        equal(fields("https://app.example", target="/none").field("Access-Control-Allow-Origin"), "https://app.example")
        ask = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization,x-request-id"}
        reply = fields("https://app.example", "OPTIONS", "/key", **ask)
        equal(reply.status, 204)
        methods = set(reply.field("Access-Control-Allow-Methods").replace(" ", "").split(","))
        check({"GET", "DELETE"} <= methods, methods)
        equal((reply.field("Access-Control-Allow-Headers"), reply.field("Access-Control-Max-Age")), ("authorization,x-request-id", "600"))
        equal(reply.field("Access-Control-Allow-Origin"), "https://app.example")
        reply = fields("https://evil.example", "OPTIONS", "/key", **ask)
        equal((reply.status, reply.field("Access-Control-Allow-Methods"), reply.field("Access-Control-Allow-Origin")), (204, None, None))
        check("DELETE" in reply.field("Allow"), "OPTIONS stays with the routes")
        bad = {**ask, "Access-Control-Request-Headers": "x y"}
        equal(fields("https://app.example", "OPTIONS", "/key", **bad).field("Access-Control-Allow-Headers"), None)
        equal(fields("https://app.example", "OPTIONS", "/none", **ask).status, 404)
    with Door("--cors", "*") as door:
        reply = door.ask("GET", "/fixed", {"Origin": "https://any.example"})
        equal((reply.field("Access-Control-Allow-Origin"), reply.field("Access-Control-Allow-Credentials"), reply.all("Vary")), ("*", None, []))
    with Door() as door:
        reply = door.ask("GET", "/fixed", {"Origin": "https://any.example"})
        check(not [name for name, _ in reply.fields if name.startswith("Access-Control")])


# ---- compression ----

def decoded(reply):
    coding = reply.field("Content-Encoding")
    return gzip.decompress(reply.body) if coding == "gzip" else unzstd(reply.body) if coding == "zstd" else reply.body


@case
def bodies_are_encoded_as_the_client_likes_best():
    with Door() as door:
        plain = door.ask("GET", "/text/100000")
        equal((plain.field("Content-Encoding"), plain.all("Vary"), len(plain.body)), (None, ["Accept-Encoding"], 100000))
        for accept, coding in (("gzip", "gzip"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"), ("zstd;q=0.1, gzip", "gzip"),
                               ("br", None), ("gzip;q=0", None), ("identity, gzip;q=0.5", None), ("*", "zstd")):
            for target in ("/text/100000", "/rows/5000", "/text/1024"):
                reply = door.ask("GET", target, {"Accept-Encoding": accept})
                equal((reply.status, reply.field("Content-Encoding"), reply.all("Vary")), (200, coding, ["Accept-Encoding"]), accept + target)
                equal(decoded(reply), door.ask("GET", target).body, accept + target)
                check(coding is None or len(reply.body) < len(decoded(reply)) / 2, "it becomes smaller")


@case
def what_must_not_be_encoded_is_not():
    with Door() as door:
        accept = {"Accept-Encoding": "gzip, zstd"}
        for target in ("/text/1023", "/text/0", "/text/5000?type=image/png", "/text/5000?encoding=gzip", "/secret/5000",
                       "/text/5000?cache=no-transform", "/file", "/text/5000?type=application/octet-stream", "/rows/20"):
            reply = door.ask("GET", target, accept)
            wanted = "gzip" if "encoding=" in target else None
            equal(reply.field("Content-Encoding"), wanted, target)
            equal(reply.body, door.ask("GET", target).body, target)
        reply = door.ask("GET", "/file", {**accept, "Range": "bytes=0-4999"})
        equal((reply.status, reply.field("Content-Encoding"), len(reply.body)), (206, None, 5000))
        head = door.ask("HEAD", "/text/5000", accept)
        equal((head.status, head.field("Content-Encoding"), head.field("Content-Length")), (200, None, "5000"))
        large = door.ask("GET", "/loop-text/1000000", accept)
        equal((large.field("Content-Encoding"), len(large.body)), (None, 1000000), "a loop is not held up")
        equal(door.ask("GET", "/loop-text/20000", accept).field("Content-Encoding"), "zstd")
    with Door("--compress-off") as door:
        reply = door.ask("GET", "/text/5000", {"Accept-Encoding": "gzip"})
        equal((reply.field("Content-Encoding"), reply.all("Vary")), (None, []))


@case
def a_strong_tag_becomes_a_weak_one():
    with Door() as door:
        equal(door.ask("GET", "/text/5000?etag=abc", {"Accept-Encoding": "gzip"}).field("ETag"), 'W/"abc"')
        equal(door.ask("GET", "/text/5000?etag=abc").field("ETag"), '"abc"')


@case
def events_arrive_at_once_through_an_encoder():
    with Door() as door:
        for coding, step in (("gzip", zlib.decompressobj(31)), ("zstd", zstandard.ZstdDecompressor().decompressobj())):
            with door.raw() as raw:
                raw.send(f"GET /events/4 HTTP/1.1\r\nHost: door\r\nAccept-Encoding: {coding}\r\n\r\n")
                head, _ = raw.until(b"\r\n\r\n")
                check(b"Content-Encoding: " + coding.encode() in head, head)
                seen, text = [], b""
                while b"row 3" not in text:
                    size = int(raw.until(b"\r\n")[0], 16)
                    check(size > 0)
                    text += step.decompress(raw.exactly(size + 2)[:-2])
                    seen.append(text.count(b"data: "))
                equal(seen[:4], [1, 2, 3, 4], "each event can be read before the next one is made")


@case
def a_stream_that_is_cut_off_is_seen_as_cut():
    with Door() as door:
        reply = door.ask("GET", "/rows-cut/5000", {"Accept-Encoding": "gzip"})
        check(not reply.whole, "the framing says so")
        text = zlib.decompressobj(31).decompress(reply.body)
        equal(text.count(b"data: "), 5000, "what came before can be read")


@case
def curl_reads_every_coding():
    with Door() as door:
        plain = door.ask("GET", "/text/200000").body
        for coding in ("gzip", "zstd"):
            out = subprocess.run(["curl", "-s", "--compressed", "-H", f"Accept-Encoding: {coding}", door.url("/text/200000")],
                                 capture_output=True, timeout=60)
            if out.returncode == 61:  # this curl was built without it
                continue
            equal((out.returncode, out.stdout == plain), (0, True), coding)


@case
def without_budget_streams_go_out_as_they_are():
    with Door("--limit", "bytes_max=1200000") as door:
        reply = door.ask("GET", "/rows/5000", {"Accept-Encoding": "zstd"})
        equal((reply.status, reply.field("Content-Encoding"), reply.body.count(b"data: ")), (200, None, 5000))
        equal(door.ask("GET", "/rows/5000", {"Accept-Encoding": "gzip"}).field("Content-Encoding"), "gzip")
        equal(door.ask("GET", "/rows/5000", {"Accept-Encoding": "gzip"}).field("Content-Encoding"), "gzip", "given back")


# ---- the access log ----

def lines_of(path, count):
    soon(lambda: path.exists() and path.read_bytes().count(b"\n") >= count)
    return path.read_bytes().decode().splitlines()


@case
def a_line_for_each_request_with_what_happened():
    path = FOLDER / "json.log"
    with Door("--access", "json", "--access-file", path, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", *certificate()) as door:
        fields = {"Referer": "https://from.example/", "User-Agent": "suite/1", "X-Request-Id": "one", "Authorization": "Bearer anna",
                  "traceparent": f"00-{TRACE}-{SPAN}-01"}
        door.ask("GET", "/key?x=1&token=hidden", fields)
        door.ask("POST", "/collect", body=b"x" * 1000)
        door.ask("GET", "/none")
        door.ask("GET", "/fixed", tls=True)
        lines = [json.loads(line) for line in lines_of(path, 4)]
        equal(len(lines), 4)
        lines.sort(key=lambda line: line["time"])  # loops write side by side
        first = lines[0]
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first["time"]))
        equal({key: first[key] for key in ("client", "method", "target", "protocol", "host", "status", "out", "route", "principal",
                                           "request_id", "trace_id", "referer", "agent")},
              {"client": "127.0.0.1", "method": "GET", "target": "/key?x=1&token=***", "protocol": "HTTP/1.1", "host": "door",
               "status": 200, "out": 6, "route": "key", "principal": "anna", "request_id": "one", "trace_id": TRACE,
               "referer": "https://from.example/", "agent": "suite/1"})
        equal((lines[1]["in"], lines[1]["status"], lines[2]["status"], "route" in lines[2]), (1000, 200, 404, False))
        equal((lines[3]["tls"], "tls" in first), ("TLSv1.3", False))
        check(0 <= first["us"] < 10_000_000)


@case
def heads_that_were_none_have_their_line_too():
    path = FOLDER / "refused.log"
    with Door("--access", "json", "--access-file", path) as door:
        with door.raw() as raw:
            raw.send(b"GET /fixed HTTP/1.2\r\nHost: door\r\n\r\n")
            equal(raw.reply().status, 505)
        for field in ("X-Long: " + "x" * 8100, "Expect: 200-ok"):
            fields = [part for _ in range(5 if "Long" in field else 1) for part in ("-H", field)]
            done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", "--http2-prior-knowledge", *fields,
                                   "http://%s:%d/fixed" % door.address("http")], capture_output=True, text=True, timeout=20)
            equal(done.stdout, "2 431" if "Long" in field else "2 417")
        lines = [json.loads(line) for line in lines_of(path, 3)]
        equal(sorted(line["status"] for line in lines), [417, 431, 505])
        check(all(line["refused"] and line["client"] == "127.0.0.1" for line in lines), lines)


@case
def no_header_forges_a_line():
    evil = [b'a" 200 0 "-" "-"', b"\\x0a", b"\xff\xfe", b"caf\xc3\xa9", b'","status":200,"x":"', b"\xe2\x80\xa8", b"\xc2\x85next", b"\t tab"]
    for form in ("json", "combined"):
        path = FOLDER / f"forged-{form}.log"
        with Door("--access", form, "--access-file", path) as door:
            for text in evil:
                with door.raw() as raw:
                    raw.send(b"GET /fixed?q=" + b"".join(bytes([byte]) if 32 < byte < 127 else b"%%%02x" % byte for byte in text) + b" HTTP/1.1\r\nHost: door\r\n"
                             b"Connection: close\r\nUser-Agent: " + text + b"\r\nReferer: " + text + b"\r\n\r\n")
                    raw.reply()
            for text in (b"GET /a\r\n127.0.0.1 - - HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: a\rb\r\n\r\n"):
                with door.raw() as raw:
                    raw.send(text)
                    raw.all()
            lines = lines_of(path, len(evil) + 2)
        equal(len(lines), len(evil) + 2)
        for line in path.read_bytes().splitlines():
            if form == "json":
                entry = json.loads(line)
                check(entry["status"] == 200 or (entry["status"] == 400 and entry["refused"]), line)
            else:
                check(re.fullmatch(rb'127\.0\.0\.1 - - \[[^\]]+\] "(GET [^" ]+ HTTP/1\.1" 200|- - -" 400) \d+ "[^"]*" "[^"]*"', line), line)
            check(b"\n" not in line and (form == "json" or all(32 <= byte < 127 for byte in line)))


@case
def the_file_is_reopened_and_no_line_is_lost():
    path = FOLDER / "turn.log"
    with Door("--access", "combined", "--access-file", path) as door:
        with door.raw() as raw:
            for n in range(3):
                raw.send("GET /fixed HTTP/1.1\r\nHost: door\r\n\r\n" * 200)
                for _ in range(200):
                    raw.reply()
                path.rename(FOLDER / f"turn.log.{n}")
                door.hang_up()
                check(soon(path.exists))
            raw.send("GET /fixed HTTP/1.1\r\nHost: door\r\n\r\n")
            raw.reply()
    total = sum(file.read_bytes().count(b"\n") for file in FOLDER.glob("turn.log*"))
    equal(total, 601)


@case
def a_client_that_leaves_is_logged_too():
    path = FOLDER / "gone.log"
    with Door("--access", "json", "--access-file", path) as door:
        with door.raw() as raw:
            raw.send("GET /never HTTP/1.1\r\nHost: door\r\n\r\n")
            check(soon(lambda: door.counts()["entered"].get("never")))
            raw.reset()
        check(soon(lambda: path.exists() and '"/never"' in path.read_text()))
        line = next(json.loads(line) for line in path.read_text().splitlines() if '"/never"' in line)
        equal(line["status"], 499)


# ---- the table of limits ----

@case
def settings_have_the_defaults_that_the_table_of_limits_tells():
    top = Path(__file__).resolve().parent.parent.parent
    settings = dict(re.findall(r'^SETTING\("([^"]+)",\s*\w+,\s*"([^"]*)"', (top / "src/main/settings.def").read_text(), re.M))
    rows = re.findall(r'^LIMIT\("([^"]+)", "([^"]+)", (\w+), "([^"]*)", "([^"]*)"', (top / "src/front/limits.def").read_text(), re.M)
    check(len(rows) > 40, "the table is read")
    for of, what, constant, value, setting in rows:
        if constant == "SETTING":
            equal(settings.get(setting), value, f"{of}, {what}: {setting}")
        else:
            check(not setting or setting in settings, setting)


run()
