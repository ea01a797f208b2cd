"""Many requests on one connection: replies in their order however the bytes are cut, bodies that nobody wanted are never
taken for requests, what stands behind a last request is not read."""
import random
import socket
import sys
import time

import raw
from checks import check, close
from peers import Door

HOST = b"Host: door\r\n"
SMUGGLED = b"GET /fixed?smuggled HTTP/1.1\r\nHost: door\r\n\r\n"
LAST = b"GET /status/201 HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n"
SEED = 20261122


def get(target, *fields):
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"".join(f + b"\r\n" for f in fields) + b"\r\n"


def post(target, body, *fields):
    return b"POST " + target + b" HTTP/1.1\r\n" + HOST + b"".join(f + b"\r\n" for f in fields) + \
        b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(target, body, piece=7, trailers=b""):
    cut = b"".join(b"%x\r\n%s\r\n" % (len(body[at:at + piece]), body[at:at + piece]) for at in range(0, len(body), piece))
    return b"POST " + target + b" HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + cut + b"0\r\n" + trailers + b"\r\n"


# Bytes, method of the reply, status, what its body is.
MIXED = [
    (get(b"/status/200"), "GET", 200, b"as asked\n"), (b"HEAD /fixed HTTP/1.1\r\n" + HOST + b"\r\n", "HEAD", 200, b""),
    (get(b"/sleep/20"), "GET", 200, b"slept\n"), (get(b"/status/204"), "GET", 204, b""),
    (get(b"/status/304"), "GET", 304, b""), (post(b"/echo", b"abc"), "GET", 200, b"abc"),
    (chunked(b"/echo", SMUGGLED), "GET", 200, SMUGGLED), (post(b"/echo", SMUGGLED), "GET", 200, SMUGGLED),
    (get(b"/bytes/300"), "GET", 200, bytes(i % 251 for i in range(300))), (get(b"/bytes/9?length=no"), "GET", 200, bytes(range(9))),
    (get(b"/bytes/300", b"Range: bytes=5-8"), "GET", 206, bytes((5, 6, 7, 8))), (get(b"/nothing"), "GET", 404, None),
    (b"\r\n" + get(b"/status/202"), "GET", 202, b"as asked\n"), (chunked(b"/trailers", b"x", trailers=b"X: y\r\n"), "GET", 200, None),
    (b"PUT /fixed HTTP/1.1\r\n" + HOST + b"\r\n", "GET", 405, None), (get(b"/file", b"Range: bytes=0-3"), "GET", 206, b"\0\1\2\3"),
]


def in_order(door):
    """Rows in a random order, cut at random places; each reply is that of its row."""
    dice = random.Random(SEED)
    for turn in range(20):
        rows = [dice.choice(MIXED) for _ in range(60)]
        data = b"".join(row[0] for row in rows) + LAST
        with raw.connect(door.address()) as sock:
            at = 0
            while at < len(data):
                size = dice.choice((1, 2, 3, 17, 100, 1000, 20000))
                sock.sendall(data[at:at + size])
                at += size
            got, ended = raw.hear(sock, 20)
        try:
            replies = raw.take_replies(got, [row[1] for row in rows])
        except raw.Broken as e:
            check(f"pipeline {turn} (seed {SEED})", False, e)
            continue
        wanted = [row[2] for row in rows] + [201]
        statuses = [reply.status for reply in replies]
        check(f"pipeline {turn} (seed {SEED})", statuses == wanted and ended == "eof", f"{statuses}, wanted {wanted}, {ended}")
        wrong = [row[0][:40] for row, reply in zip(rows, replies) if row[3] is not None and reply.body != row[3]]
        check(f"pipeline {turn}: bodies (seed {SEED})", not wrong, wrong[:3])


def unwanted(door):
    """A body that the route does not want, full of requests: dropped or the connection closed, never answered as requests."""
    targets = [(b"/early", {403}), (b"/nothing", {404}), (b"/fixed", {405}), (b"/small", {413}), (b"/status/200", {405})]
    bodies = [SMUGGLED, SMUGGLED * 200, b"x" * 10 + b"\r\n" + SMUGGLED * 3000]
    before = door.counts()["entered"].get("fixed", 0)
    for target, wanted in targets:
        for body in bodies:
            if target == b"/small" and len(body) <= 4096:
                continue
            forms = {"length": post(target, body), "chunked": chunked(target, body, 1000), "small chunks": chunked(target, body, 3),
                     "trailers": chunked(target, body, 50, b"X: y\r\n")}
            for form, data in forms.items():
                name = f"{target.decode()} with {len(body)} unwanted bytes, {form}"
                for piece in (None, 700):
                    got, ended = raw.ask(door.address(), data + LAST, piece, seconds=10)
                    try:
                        statuses = [reply.status for reply in raw.take_replies(got)]
                    except raw.Broken as e:
                        check(name, False, e)
                        continue
                    # Read away (then the last one is answered) or closed; a reset must not eat the reply.
                    check(name, statuses[:1] and statuses[0] in wanted and statuses[1:] in ([], [201]) and ended != "open",
                          f"{statuses}, {ended}")
    check("nothing of an unwanted body was answered", door.counts()["entered"].get("fixed", 0) == before)


def behind_the_last(door):
    """Nothing behind `Connection: close`, an HTTP/1.0 request or a refusal is read as a request."""
    before = door.counts()["entered"].get("fixed", 0)
    firsts = [(LAST, 201), (b"GET /status/201 HTTP/1.0\r\n\r\n", 201), (b"BAD\r\n\r\n", 400),
              (post(b"/echo", b"x", b"Connection: close"), 200), (get(b"/bytes/100000?length=no", b"Connection: close"), 200),
              (get(b"/sleep/50", b"Connection: close"), 200)]
    for first, status in firsts:
        got, ended = raw.ask(door.address(), first + SMUGGLED * 3, seconds=10)
        replies = raw.take_replies(got)
        check(f"behind {first[:30]!r}", [r.status for r in replies] == [status] and ended != "open", f"{got[:200]!r} {ended}")
    check("nothing behind the last was answered", door.counts()["entered"].get("fixed", 0) == before)


def many_unread(door):
    """200,000 requests before a reply is read: all are answered, and the door keeps little."""
    count, one = 200000, get(b"/status/200")
    before = door.memory_kib()
    with raw.connect(door.address(), 60) as sock:
        sock.setblocking(False)
        data, sent, quiet = memoryview(one * count + LAST), 0, 0
        while sent < len(data) and quiet < 20:  # until nobody takes more
            try:
                sent += sock.send(data[sent:sent + 65536])
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.05)
        check("requests wait while their replies are not read", sent < len(data), f"{sent} of {len(data)}")
        grown = door.memory_kib() - before
        check("little is kept for a client that does not read", grown < 4096, f"{grown} KiB")
        sock.setblocking(True)
        sock.settimeout(20)
        got = 0
        tail = b""
        while True:
            if sent < len(data):
                sock.setblocking(False)
                try:
                    sent += sock.send(data[sent:sent + 65536])
                except BlockingIOError:
                    pass
                sock.setblocking(True)
                sock.settimeout(20)
            piece = sock.recv(1 << 20)
            if not piece:
                break
            both = tail + piece
            got += both.count(b"as asked\n") - tail.count(b"as asked\n")
            tail = both[-8:]
        check("all were answered", got == count + 1, f"{got} of {count + 1}")


def half_closed(door):
    """A client that ends its side still gets what it asked for."""
    with raw.connect(door.address()) as sock:
        sock.sendall(get(b"/sleep/100") + get(b"/bytes/1000000") + get(b"/status/202"))
        sock.shutdown(socket.SHUT_WR)
        got, ended = raw.hear(sock, 10)
    replies = [(r.status, len(r.body)) for r in raw.take_replies(got)]
    check("half closed", replies == [(200, 6), (200, 1000000), (202, 9)] and ended == "eof", f"{replies} {ended}")


def main():
    with Door() as door:
        in_order(door)
        unwanted(door)
        behind_the_last(door)
        half_closed(door)
        many_unread(door)
    return close()


if __name__ == "__main__":
    sys.exit(main())
