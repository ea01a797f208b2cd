"""HTTP/1.1 against the test door: framing of replies, bodies both ways, pipelining, upgrade, the end of the server."""
import hashlib
import os
import socket
import threading
import time

from harness import Door, budget_used_up, case, pattern, run, soon

DOOR = Door("--loops", "2", "--limit", "request_ms_max=20000")
GET = "GET {} HTTP/1.1\r\nHost: door\r\n{}\r\n"


def check(truth, what=""):
    if not truth:
        raise AssertionError(what)


def equal(got, wanted):
    if got != wanted:
        raise AssertionError(f"{got!r:.600} instead of {wanted!r:.600}")


@case
def replies_keep_their_order_and_the_connection_lives():
    with DOOR.raw() as raw:
        raw.send("".join(GET.format(f"/bytes/{n}", "") for n in range(200)))
        for n in range(200):
            reply = raw.reply()
            equal((reply.status, reply.body), (200, pattern(0, n)))
        raw.send(GET.format("/fixed", ""))
        equal(len(raw.reply().body), 200)


@case
def pipelined_requests_of_workers_and_of_the_loop_keep_their_order():
    with DOOR.raw() as raw:
        raw.send(GET.format("/sleep/30", "") + GET.format("/fixed", "") + GET.format("/sleep/0", "") +
                 GET.format("/file", "Range: bytes=3-5\r\n") + GET.format("/headers", "X-N: 5\r\n"))
        equal([raw.reply().body[:6] for _ in range(4)], [b"slept\n", b'{"id":', b"slept\n", bytes([3, 4, 5])])
        check(["X-N", "5"] in raw.reply().json["fields"])


@case
def head_is_get_without_a_body():
    for target in ("/fixed", "/bytes/1000", "/file", "/trailers", "/bytes/10?length=no"):
        with DOOR.raw() as raw:
            raw.send(GET.format(target, ""))
            full = raw.reply()
            raw.send(f"HEAD {target} HTTP/1.1\r\nHost: door\r\n\r\n" + GET.format("/fixed", ""))
            head = raw.reply("HEAD")
            equal(head.status, 200)
            if full.field("Content-Length") and "length=no" not in target:
                equal(head.field("Content-Length"), full.field("Content-Length"))
            equal(len(raw.reply().body), 200)


@case
def statuses_without_a_body_have_none():
    with DOOR.raw() as raw:
        for status in (204, 304, 200, 404, 500):
            raw.send(GET.format(f"/status/{status}", ""))
            reply = raw.reply()
            equal(reply.status, status)
            equal(reply.body, b"" if status in (204, 304) else b"as asked\n")
            if status == 204:
                equal(reply.field("Content-Length"), None)


@case
def http_1_0_closes_unless_asked():
    with DOOR.raw() as raw:
        raw.send("GET /fixed HTTP/1.0\r\n\r\n")
        reply = raw.reply()
        equal((len(reply.body), reply.field("Connection")), (200, "close"))
        check(raw.closed())
    with DOOR.raw() as raw:
        raw.send("GET /fixed HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        equal(raw.reply().field("Connection"), "keep-alive")
        raw.send("GET /bytes/700000?length=no HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        reply = raw.reply()
        equal((reply.field("Transfer-Encoding"), reply.field("Connection")), (None, "close"))
        equal(reply.body, pattern(0, 700000))
    with DOOR.raw() as raw:
        raw.send("POST /trailers HTTP/1.0\r\nContent-Length: 2\r\n\r\nab")
        reply = raw.reply()
        equal((reply.field("Transfer-Encoding"), reply.trailers), (None, []))
        equal(reply.json["bytes"], 2)


@case
def connection_options_are_tokens_of_a_list():
    for value, lives in (("close", False), ("Close", False), ("keep-alive, CLOSE", False), ("x, close ,y", False),
                         ("keep-alive", True), ("closed", True), ("x-close", True)):
        with DOOR.raw() as raw:
            raw.send(GET.format("/fixed", f"Connection: {value}\r\n"))
            equal(raw.reply().field("Connection"), None if lives else "close")
            if lives:
                raw.send(GET.format("/fixed", ""))
                equal(raw.reply().status, 200)
            else:
                check(raw.closed(), value)


@case
def trailers_go_both_ways():
    with DOOR.raw() as raw:
        raw.send("POST /trailers HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                 "5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: abc \r\nx-two:2\r\nContent-Type: text/plain\r\n\r\n" +
                 GET.format("/trailers", ""))
        reply = raw.reply()
        equal(reply.json, {"bytes": 6, "trailers": [["X-Sum", "abc"], ["x-two", "2"]]})
        equal(reply.field("Trailer"), "X-Check, X-Bytes")
        equal(dict(reply.trailers), {"X-Check": "whole", "X-Bytes": str(len(reply.body))})
        equal(raw.reply().trailers[0], ("X-Check", "whole"))


@case
def forbidden_trailers_are_refused():
    for field in ("Content-Length: 3", "Transfer-Encoding: chunked", "Host: other"):
        with DOOR.raw() as raw:
            raw.send("POST /trailers HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
                     f"{field}\r\n\r\n" + GET.format("/fixed", ""))
            equal(raw.reply().status, 400)
            check(raw.closed(), field)


@case
def expectations_are_met_when_the_head_is_accepted():
    with DOOR.raw() as raw:
        raw.send("POST /sink HTTP/1.1\r\nHost: door\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        equal(raw.reply(informational=True).status, 100)
        raw.send("hello")
        equal(raw.reply().json["sha256"], hashlib.sha256(b"hello").hexdigest())
    with DOOR.raw() as raw:
        raw.send("POST /early HTTP/1.1\r\nHost: door\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        reply = raw.reply(informational=True)
        equal((reply.status, reply.field("Connection")), (403, "close"))
        check(raw.closed())
    with DOOR.raw() as raw:
        raw.send("POST /small HTTP/1.1\r\nHost: door\r\nContent-Length: 5000\r\nExpect: 100-continue\r\n\r\n")
        equal(raw.reply(informational=True).status, 413)
    with DOOR.raw() as raw:
        raw.send("GET /fixed HTTP/1.1\r\nHost: door\r\nExpect: 100-continue\r\n\r\n")
        equal(raw.reply(informational=True).status, 200)


@case
def an_early_refusal_reaches_a_client_that_still_sends():
    for _ in range(20):
        with DOOR.raw() as raw:
            raw.send(b"POST /early HTTP/1.1\r\nHost: door\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3000000)
            equal(raw.reply().status, 403)


@case
def a_small_body_that_is_not_wanted_is_read_away():
    with DOOR.raw() as raw:
        for ask in ("POST /nowhere", "DELETE /fixed", "POST /early"):
            head = f"{ask} HTTP/1.1\r\nHost: door\r\nContent-Length: 60000\r\n\r\n".encode()
            raw.send(head + b"GET /fixed HTTP/1.1\r\nHost: hidden\r\n\r\n".ljust(30000))
            check(raw.reply().status in (403, 404, 405))
            raw.send(b"y" * 30000 + GET.format("/headers", "X-Own: 1\r\n").encode())
            equal(raw.reply().json["host"], "door")
    for fields, body in (("Content-Length: 70000", "x" * 70000), ("Transfer-Encoding: chunked", "0\r\n\r\n"),
                         ("Content-Length: 5\r\nExpect: 100-continue", "")):
        with DOOR.raw() as raw:
            raw.send(f"POST /nowhere HTTP/1.1\r\nHost: door\r\n{fields}\r\n\r\n{body}")
            equal(raw.reply().field("Connection"), "close")
            check(raw.closed())


@case
def uploads_by_length_and_by_chunks_arrive_whole():
    body = os.urandom(9 << 20)
    wanted = hashlib.sha256(body).hexdigest()
    for method in ("PUT", "POST"):
        reply = DOOR.ask(method, "/sink", body=body)
        equal(reply.json, {"bytes": len(body), "sha256": wanted})
    for size in (1, 700, 65536, 1 << 20, (1 << 20) + 1, 3 << 20):
        data = body[:50000] if size == 1 else body
        with DOOR.raw() as raw:
            raw.send("POST /sink HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\n\r\n")
            out = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece)
                           for piece in (data[at:at + size] for at in range(0, len(data), size)))
            raw.send(out + b"0\r\n\r\n" + GET.format("/fixed", "").encode())
            equal(raw.reply().json["sha256"], hashlib.sha256(data).hexdigest())
            equal(raw.reply().status, 200)


@case
def uploads_that_end_at_a_block():
    for length in ((1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20, 4 << 20):
        body = pattern(7, length)
        wanted = {"bytes": length, "sha256": hashlib.sha256(body).hexdigest()}
        with DOOR.raw() as raw:
            raw.send(b"PUT /sink HTTP/1.1\r\nHost: door\r\nContent-Length: %d\r\n\r\n%s" % (length, body))
            equal(raw.reply().json, wanted)
            raw.send(b"PUT /sink HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" %
                     (length, body))
            time.sleep(0.02)  # the last chunk comes by itself
            raw.send(b"0\r\n\r\n")
            equal(raw.reply().json, wanted)


@case
def bodies_over_the_limit_are_refused():
    with DOOR.raw() as raw:
        raw.send("POST /small HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\n\r\n" + "800\r\n" + "x" * 2048 +
                 "\r\n" + "801\r\n" + "x" * 2049 + "\r\n0\r\n\r\n" + GET.format("/fixed", ""))
        equal(raw.reply().status, 413)
        check(raw.closed())
    with DOOR.raw() as raw:
        raw.send("POST /small HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\n\r\n" + "1000\r\n" + "x" * 4096 +
                 "\r\n0\r\n\r\n" + GET.format("/fixed", ""))
        equal((raw.reply().status, raw.reply().status), (200, 200))


@case
def echo_streams_both_ways_with_back_pressure():
    body = os.urandom(24 << 20)
    for chunked in (False, True):
        with DOOR.raw(timeout=60) as raw:
            def send():
                if chunked:
                    raw.send("POST /echo HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for at in range(0, len(body), 100000):
                        piece = body[at:at + 100000]
                        raw.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                    raw.send("0\r\n\r\n")
                else:
                    raw.send(b"POST /echo HTTP/1.1\r\nHost: door\r\nContent-Length: %d\r\n\r\n" % len(body))
                    raw.send(body)
                raw.send(GET.format("/fixed", ""))
            sender = threading.Thread(target=send)
            sender.start()
            reply = raw.reply()
            sender.join()
            check(reply.body == body, "the echo differs")
            equal(len(raw.reply().body), 200)
    before = DOOR.memory_kib()
    with DOOR.raw() as raw:  # nothing is read: the door stops reading too
        raw.send(b"POST /echo HTTP/1.1\r\nHost: door\r\nContent-Length: 400000000\r\n\r\n")
        raw.sock.settimeout(0.5)
        sent = 0
        try:
            while sent < 300 << 20:
                sent += raw.sock.send(b"x" * 65536)
        except socket.timeout:
            pass
        check(sent < 100 << 20, f"{sent} bytes were taken")
        check(DOOR.memory_kib() - before < 16 << 10, f"{DOOR.memory_kib() - before} KiB more memory")


@case
def ranges_of_streams_and_files():
    for target, size in (("/bytes/100000", 100000), ("/file", 8 << 20)):
        rows = (("bytes=5-9", 206, 5, 5), ("bytes=-7", 206, size - 7, 7), (f"bytes={size - 3}-", 206, size - 3, 3),
                ("bytes=0-", 206, 0, size), (f"bytes={size}-", 416, 0, 0), ("bytes=1-2,4-5", 200, 0, size))
        with DOOR.raw() as raw:
            for value, status, start, length in rows:
                raw.send(GET.format(target, f"Range: {value}\r\n"))
                reply = raw.reply()
                equal(reply.status, status)
                check(reply.body == pattern(start, length), value)
                if status == 206:
                    equal(reply.field("Content-Range"), f"bytes {start}-{start + length - 1}/{size}")


@case
def a_slow_reader_of_files_and_streams_gets_all():
    for target in ("/file", f"/bytes/{8 << 20}", f"/bytes/{8 << 20}?length=no"):
        with DOOR.raw(receive=4096) as raw:
            raw.send(GET.format(target, "") + GET.format("/fixed", ""))
            time.sleep(0.05)
            check(raw.reply().body == pattern(0, 8 << 20), target)
            equal(len(raw.reply().body), 200)


@case
def a_reply_that_is_cut_is_seen_as_cut():
    for target in ("/bytes/9000000?cut=1000000", "/bytes/9000000?length=no&cut=1000000"):
        with DOOR.raw() as raw:
            raw.send(GET.format(target, ""))
            reply = raw.reply()
            check(not reply.whole and len(reply.body) >= 1000000, target)
            check(raw.closed())
    with DOOR.raw() as raw:
        raw.send("GET /bytes/90000000?length=no&cut=9000000 HTTP/1.0\r\n\r\n")
        try:
            while raw.sock.recv(65536):
                pass
            raise AssertionError("a body until the end of the connection was cut, and nobody can see it")
        except ConnectionResetError:
            pass


@case
def upgrade_gives_both_sides_to_the_handler():
    ask = GET.format("/raw", "Connection: Upgrade\r\nUpgrade: other, Echo\r\n")
    with DOOR.raw() as raw:
        raw.send(ask + "first")  # what follows the head belongs to the new protocol
        reply = raw.reply()
        equal((reply.status, reply.field("Upgrade"), reply.field("Content-Length")), (101, "echo", None))
        equal(raw.exactly(5), b"first")
        body = os.urandom(1 << 20)
        sender = threading.Thread(target=raw.send, args=(body,))
        sender.start()
        check(raw.exactly(len(body)) == body)
        sender.join()
        raw.half_close()
        check(raw.closed())
    for fields in ("", "Upgrade: echo\r\n", "Connection: upgrade\r\n", "Connection: upgrade\r\nUpgrade: other\r\n"):
        equal(DOOR.ask("GET", "/raw").status, 426)
        with DOOR.raw() as raw:
            raw.send(GET.format("/raw", fields))
            equal(raw.reply().status, 426)
            raw.send(GET.format("/fixed", ""))
            equal(raw.reply().status, 200)
    with DOOR.raw() as raw:
        raw.send("GET /raw HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        equal(raw.reply().status, 426)


@case
def parked_requests_are_resumed_by_name():
    parked = [DOOR.raw() for _ in range(50)]
    for at, raw in enumerate(parked):
        raw.send(GET.format(f"/park/p{at % 5}", "") + GET.format("/fixed", ""))
    check(soon(lambda: DOOR.counts()["entered"].get("park") == 50))
    equal(DOOR.ask("POST", "/resume/p3").json, {"resumed": 10})
    for at, raw in enumerate(parked):
        if at % 5 == 3:
            equal(raw.reply().body, b"resumed\n")
            equal(raw.reply().status, 200)
        else:
            raw.close()  # cancelled
    equal(soon(lambda: DOOR.ask("POST", "/resume/p1").json == {"resumed": 0}), True)


@case
def a_client_that_goes_is_noticed_in_each_phase():
    for ask in ("GET /never HTTP/1.1\r\nHost: door\r\n\r\n", "POST /sink HTTP/1.1\r\nHost: door\r\nContent-Length: 9\r\n\r\nab",
                "GET /bytes/900000000 HTTP/1.1\r\nHost: door\r\n\r\n", "GET /raw HTTP/1.1\r\nHost: d\r\nConnection: "
                "upgrade\r\nUpgrade: echo\r\n\r\n", "POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 9\r\n\r\nab"):
        for way in ("close", "reset"):
            raw = DOOR.raw()
            raw.send(ask)
            time.sleep(0.02)
            getattr(raw, way)()
    with Door() as door:
        for way in ("close", "reset"):
            raw = door.raw()
            raw.send(GET.format("/never", ""))
            soon(lambda: door.counts()["entered"].get("never"))
            getattr(raw, way)()
        status, said = door.stop()  # at once: nothing is in flight
        equal((status, said.strip()), (0, "door: drained"))


@case
def time_over_gives_504():
    with Door("--limit", "request_ms_max=50") as door:
        with door.raw() as raw:
            raw.send(GET.format("/never", ""))
            equal(raw.reply().status, 504)


@case
def slow_heads_bodies_and_readers_are_closed_at_their_bound():
    with Door("--limit", "head_ms_max=300", "--limit", "idle_ms_max=300", "--limit", "rate_window_ms=300",
              "--limit", "rate_bytes_min=100000") as door:
        def drip(first, piece, status):
            with door.raw() as raw:
                raw.send(first)
                raw.sock.settimeout(0.05)
                for _ in range(100):
                    raw.send(piece)
                    try:
                        reply = raw.sock.recv(4096)
                        equal(reply.split(b" ")[1], b"%d" % status)
                        return
                    except socket.timeout:
                        pass
                raise AssertionError("never closed")
        drip("GET /fixed HTTP/1.1\r\nX: ", "x", 408)
        drip("POST /sink HTTP/1.1\r\nHost: d\r\nContent-Length: 1000\r\n\r\n", "x", 408)
        drip("POST /small HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 408)
        with door.raw() as raw:
            check(raw.closed(5), "idle")
        with door.raw() as raw:
            raw.send(GET.format("/fixed", ""))
            raw.reply()
            check(raw.closed(5), "idle after a reply")
        for target in ("/bytes/100000000", "/file"):
            with door.raw(receive=4096) as raw:  # reads nothing
                raw.send(GET.format(target, "") * (1 if target[1] == "b" else 4))
                time.sleep(1.5)
                check(len(raw.all()) < 30 << 20, "the reply went on")


@case
def pipelining_stops_while_replies_wait():
    with DOOR.raw(receive=4096) as raw:
        raw.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        raw.send(GET.format("/bytes/20000", "") * 2000)
        time.sleep(0.1)
        check(DOOR.memory_kib() < 300 << 10)
        for _ in range(2000):
            equal(len(raw.reply().body), 20000)


@case
def drain_answers_what_has_begun():
    door = Door("--drain", "10000")
    idle, busy, streaming, uploading, raw_one = (door.raw() for _ in range(5))
    idle.send(GET.format("/fixed", ""))
    idle.reply()
    busy.send(GET.format("/sleep/400", "") + GET.format("/fixed", ""))
    streaming.send(GET.format(f"/bytes/{64 << 20}", ""))
    uploading.send("POST /sink HTTP/1.1\r\nHost: door\r\nContent-Length: 6\r\n\r\nabc")
    soon(lambda: door.counts()["entered"].get("sleep"))
    ended = []
    stopper = threading.Thread(target=lambda: ended.append(door.stop()))
    stopper.start()
    check(idle.closed(), "an idle connection lives on")
    uploading.send("def")
    reply = uploading.reply()
    equal((reply.json["bytes"], reply.field("Connection")), (6, "close"))
    reply = busy.reply()
    equal((reply.body, reply.field("Connection")), (b"slept\n", "close"))
    check(busy.closed(), "a second request was taken")
    reply = streaming.reply()
    check(reply.whole and len(reply.body) == 64 << 20)
    raw_one.close()
    stopper.join(20)
    equal(ended[0][0], 0)
    equal(ended[0][1].strip(), "door: drained")


@case
def drain_ends_hard_after_its_time():
    door = Door("--drain", "200")
    with door.raw() as raw:
        raw.send(GET.format("/never", ""))
        soon(lambda: door.counts()["entered"].get("never"))
        started = time.monotonic()
        status, said = door.stop()
        equal((status, said.strip()), (0, "door: cut off"))
        check(time.monotonic() - started < 5)


@case
def uploads_share_a_small_budget():
    body = os.urandom(6 << 20)
    wanted = hashlib.sha256(body).hexdigest()
    with Door("--limit", "bytes_max=600000") as door:
        got = []
        threads = [threading.Thread(target=lambda: got.append(door.ask("PUT", "/sink", body=body, timeout=60).json))
                   for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal(got, [{"bytes": len(body), "sha256": wanted}] * 12)
        stuck = budget_used_up(door)
        reply = door.ask("GET", "/bytes/90000000")
        equal(reply.status, 503)
        check(reply.field("Retry-After"))
        equal(door.ask("GET", "/fixed").status, 200)
        for raw in stuck:
            raw.reset()
        check(soon(lambda: door.ask("GET", "/bytes/9000000").status == 200))  # the budget was given back


@case
def options_of_the_server():
    with DOOR.raw() as raw:
        raw.send("OPTIONS * HTTP/1.1\r\nHost: door\r\n\r\n" + "OPTIONS /fixed HTTP/1.1\r\nHost: door\r\n\r\n" +
                 "DELETE /fixed HTTP/1.1\r\nHost: door\r\n\r\n")
        reply = raw.reply()
        check(reply.status == 204 and "PUT" in reply.field("Allow") and "GET" in reply.field("Allow"))
        for status in (204, 405):
            reply = raw.reply()
            equal((reply.status, reply.field("Allow")), (status, "GET, HEAD, OPTIONS"))


@case
def the_door_of_all_cases_ends_well():
    status, said = DOOR.stop()
    equal((status, said.strip(), DOOR.said()), (0, "door: drained", ""))


run()
