"""Connections that go wrong in unlucky moments, in clear and over TLS: half closed, reset, pipelined, byte by byte, in bursts. Whatever
they do, replies keep their order, objects are whole or not there, nothing stays in flight and no descriptor is left behind."""
import atexit
import os
import random
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "e2e")]
from lake import TARN, Lake, case, equal, holds, main  # noqa: E402
from raw import Raw  # noqa: E402

random.seed(5)
clear = Lake(None, "--s3", "127.0.0.1:0")
folder = Path(tempfile.mkdtemp(prefix="tarn-s3-unlucky-"))
atexit.register(shutil.rmtree, folder, ignore_errors=True)
subprocess.run([TARN, "cert", "--data", folder / "data"], check=True, stdout=subprocess.DEVNULL)
over_tls = Lake(folder / "data", "--s3", "127.0.0.1:0", "--s3-tls", "127.0.0.1:0")
s3, s3s = Raw(clear), Raw(over_tls, tls=ssl.create_default_context(cafile=over_tls.data / "tls" / "ca.pem"))
s3s.address = over_tls.admin["s3_tls"]
BOTH = ((clear, s3), (over_tls, s3s))
SMALL, LARGE = os.urandom(3000), os.urandom(9 << 20)

for _, raw in BOTH:
    equal(raw.ask("PUT", "/bkt").status, 200)
    equal(raw.ask("PUT", "/bkt/small", body=SMALL).status, 200)
    equal(raw.ask("PUT", "/bkt/large", body=LARGE).status, 200)


def at_rest(lake):
    """When all clients have gone nothing is in flight, no connection, and no file of a body is open."""
    values, end = {}, time.monotonic() + 60
    while time.monotonic() < end:
        text = lake.request("GET", "/metrics").text.splitlines()
        values = {line.split()[0]: float(line.split()[1]) for line in text if line.startswith("tarn_s3_")}
        if not any(values[f"tarn_s3_{name}"] for name in ("in_flight", "connections", "buffered_bytes", "waiting_requests")):
            break
        time.sleep(0.05)
    equal([values[f"tarn_s3_{name}"] for name in ("in_flight", "connections", "buffered_bytes", "waiting_requests")], [0] * 4, "what is left")
    folder = Path(f"/proc/{lake.process.pid}/fd")
    names = []
    for fd in folder.iterdir():
        try:
            names.append(os.readlink(fd))
        except FileNotFoundError:
            pass  # closed meanwhile
    equal([n for n in names if "/store/" in n and "/store/index" not in n and "/store/journal" not in n], [], "files of bodies")


def reset(wire):
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


def put(raw, name, body, **more):
    return b"".join(raw.head("PUT", f"/bkt/{name}", body=body, **more))


def get(raw, name, method="GET", **fields):
    return raw.head(method, f"/bkt/{name}", fields=fields)[0]


def whole_or_absent(raw, name, body):
    reply = raw.ask("GET", f"/bkt/{name}")
    holds((reply.status, reply.body) == (200, body) or reply.both == (404, "NoSuchKey"), f"{name} is whole or absent: {reply.status}")
    return reply.status == 200


@case
def a_side_that_ends_behind_its_put():
    """FIN right behind the last byte, while the PUT waits for its sync: the reply comes, and what it says is so."""
    for _, raw in BOTH[:1]:
        for number in range(20):
            wire = raw.open()
            wire.send(put(raw, f"half-{number}", SMALL))
            wire.socket.shutdown(socket.SHUT_WR)
            equal(wire.reply("PUT").status, 200)
            holds(wire.closed(), "closed behind it")
            wire.close()
            equal(raw.ask("GET", f"/bkt/half-{number}").body == SMALL, True)
        wire = raw.open()
        wire.send(get(raw, "large"))
        wire.socket.shutdown(socket.SHUT_WR)
        equal(wire.reply().body == LARGE, True, "a large GET of a side that has ended")
        wire.close()


@case
def resets_while_puts_wait_for_their_sync():
    for lake, raw in BOTH:
        for turn in range(3):
            wires = [raw.open() for _ in range(60)]
            for number, wire in enumerate(wires):
                body = put(raw, f"reset-{turn}-{number}", SMALL)
                wire.send(body if number % 3 else body[:-random.randrange(1, len(SMALL))])
            for wire in random.sample(wires, len(wires)):
                reset(wire)
        at_rest(lake)
        stored = [whole_or_absent(raw, f"reset-{turn}-{number}", SMALL) for turn in range(3) for number in range(60)]
        equal([n for n, there in enumerate(stored) if there and n % 60 % 3 == 0], [], "a body that was cut off is no object")


@case
def gets_behind_a_put_that_waits_see_it():
    """PUT, GET of it, GET of another, HEAD, DELETE, GET of what is gone: one send, replies in their order."""
    for _, raw in BOTH:
        wires, wanted = [raw.open() for _ in range(20)], []
        for number, wire in enumerate(wires):
            name, body = f"behind-{number}", os.urandom(100 + number * 200)
            wire.send(put(raw, name, body) + get(raw, name) + get(raw, "small") + get(raw, name, "HEAD") + put(raw, name, body[:50]) +
                      get(raw, name, Range="bytes=10-19") + raw.head("DELETE", f"/bkt/{name}")[0] + get(raw, name) + get(raw, "small"))
            wanted.append(body)
        for wire, body in zip(wires, wanted):
            got = [wire.reply(method) for method in ("PUT", "GET", "GET", "HEAD", "PUT", "GET", "DELETE", "GET", "GET")]
            equal([reply.status for reply in got], [200, 200, 200, 200, 200, 206, 204, 404, 200])
            equal([got[1].body == body, got[2].body == SMALL, got[3].fields["content-length"], got[5].body == body[10:20], got[8].body == SMALL],
                  [True, True, str(len(body)), True, True])
            wire.close()


@case
def close_notify_in_the_middle():
    """TLS that says goodbye inside of a body: no object; and inside of a reply: the server goes on."""
    for number in range(20):
        wire = s3s.open()
        body = put(s3s, f"bye-{number}", SMALL)
        wire.send(body[:-1 - number * 100])
        try:
            wire.socket.settimeout(5)
            wire.socket.unwrap()
        except OSError:
            pass  # it answers with its own, with a reset, or with what it has still to say
        wire.close()
        equal(s3s.ask("GET", f"/bkt/bye-{number}").both, (404, "NoSuchKey"))
    for _ in range(10):
        wire = s3s.open()
        wire.send(get(s3s, "large"))
        wire.head()
        try:
            wire.socket.settimeout(0.2)
            wire.socket.unwrap()
        except OSError:
            pass
        wire.close()
    at_rest(over_tls)


@case
def one_byte_at_a_time_with_five_hundred_beside():
    for lake, raw in BOTH:
        text, slow = put(raw, "slow", SMALL[:600]), raw.open()
        slow.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wires = [raw.open() for _ in range(500 if raw is s3 else 100)]
        step = max(1, len(text) // len(wires) + 1)
        for number, wire in enumerate(wires):
            wire.send(put(raw, f"beside-{number}", SMALL[:number + 1]) + get(raw, f"beside-{number}"))
            for at in range(number * step, min((number + 1) * step, len(text))):
                slow.send(text[at:at + 1])
        for number, wire in enumerate(wires):
            equal((wire.reply("PUT").status, wire.reply().body == SMALL[:number + 1]), (200, True), f"beside {number}")
            wire.close()
        equal(slow.reply("PUT").status, 200)
        slow.close()
        equal(raw.ask("GET", "/bkt/slow").body == SMALL[:600], True)


@case
def heads_and_small_ones_around_a_large_file():
    """The large one leaves by sendfile in clear; what stands before and behind it in the pipe keeps its place."""
    for _, raw in BOTH:
        wire = raw.open()
        for _ in range(3):
            wire.send(get(raw, "large", "HEAD") + get(raw, "small") + get(raw, "large") + get(raw, "large", "HEAD") + get(raw, "small") +
                      get(raw, "large", Range="bytes=1000000-5000000") + get(raw, "none") + get(raw, "small", "HEAD"))
            got = [wire.reply(method) for method in ("HEAD", "GET", "GET", "HEAD", "GET", "GET", "GET", "HEAD")]
            equal([reply.status for reply in got], [200, 200, 200, 200, 200, 206, 404, 200])
            equal([got[1].body == SMALL, got[2].body == LARGE, got[4].body == SMALL, got[5].body == LARGE[1000000:5000001]], [True] * 4)
        wire.close()


@case
def resets_in_the_middle_of_large_replies():
    for lake, raw in BOTH:
        wires = [raw.open() for _ in range(40)]
        for wire in wires:
            wire.send(get(raw, "large") + get(raw, "small"))
        beside = raw.open()
        for number, wire in enumerate(wires):
            if number % 2:
                wire.head()
            reset(wire)
            beside.send(get(raw, "small"))
            equal(beside.reply().body == SMALL, True)
        beside.close()
        at_rest(lake)


@case
def ranges_of_small_ones_while_there_is_no_room():
    tight = Lake(None, "--s3", "127.0.0.1:0", "--set", "http.buffered_max=64k")
    raw, body = Raw(tight), os.urandom(40000)
    equal(raw.ask("PUT", "/bkt").status, 200)
    equal(raw.ask("PUT", "/bkt/o", body=body).status, 200)
    wires = [raw.open() for _ in range(200)]
    spans = [(n * 100, 39999 - n * 50) for n in range(len(wires))]
    for wire, (at, to) in zip(wires, spans):
        wire.send(get(raw, "o", Range=f"bytes={at}-{to}") + get(raw, "o", Range="bytes=-20000") + get(raw, "o", Range="bytes=40000-"))
    for wire, (at, to) in zip(wires, spans):
        got = [wire.reply() for _ in range(3)]
        equal([(r.status, r.body == b) for r, b in zip(got[:2], (body[at:to + 1], body[-20000:]))] + [got[2].both],
              [(206, True), (206, True), (416, "InvalidRange")])
        wire.close()
    at_rest(tight)
    equal(tight.stop(), 0)


@case
def a_thousand_that_wake_at_once():
    """Each connection has rested, then all ask in one moment: a GET, a PUT with Expect, two hundred GETs in one send."""
    wires = [s3.open() for _ in range(1000)]
    for wire in wires[::100]:
        wire.send(get(s3, "small"))
        equal(wire.reply().status, 200)
    many = b"".join(get(s3, "small") for _ in range(200))
    for number, wire in enumerate(wires):
        if number % 50 == 0:
            wire.send(many)
        elif number % 3 == 0:
            wire.send(put(s3, f"woken-{number}", SMALL, fields={"Expect": "100-continue"}))  # and does not wait for the 100
        else:
            wire.send(get(s3, "small"))
    for number, wire in enumerate(wires):
        for _ in range(200 if number % 50 == 0 else 1):
            is_put = number % 50 and number % 3 == 0
            reply = wire.reply("PUT" if is_put else "GET")
            equal((reply.status, is_put or reply.body == SMALL), (200, True), f"connection {number}")
        wire.close()
    equal(s3.ask("GET", "/bkt/woken-3").body == SMALL, True)


@case
def expect_and_then_something_else():
    """A client that asks for 100 and goes, ends its side, or sends no body but the next request's bytes."""
    for lake, raw in BOTH:
        for number in range(30):
            wire = raw.open()
            head, body = raw.head("PUT", f"/bkt/expect-{number}", body=SMALL, fields={"Expect": "100-continue"})
            wire.send(head)
            equal(wire.head()[0], 100)
            if number % 3 == 0:
                reset(wire)
            elif number % 3 == 1:
                wire.send(body[:1000])
                wire.close()
            else:
                wire.send(body + get(raw, f"expect-{number}"))
                equal((wire.reply("PUT").status, wire.reply().body == SMALL), (200, True))
                wire.close()
        at_rest(lake)
        equal([whole_or_absent(raw, f"expect-{number}", SMALL) for number in range(30)], [n % 3 == 2 for n in range(30)])


@case
def a_copy_that_nobody_waits_for_is_given_up():
    """Clients that try again after their own time limit do not fill the workers with copies."""
    size, absent = 64 << 20, 0
    equal(s3.ask("PUT", "/bkt/huge", body=os.urandom(1 << 20) * (size >> 20)).status, 200)
    for number in range(5):  # one may be over before its client is missed
        wire = s3.open()
        wire.send(b"".join(s3.head("PUT", f"/bkt/copy-{number}", fields={"x-amz-copy-source": "/bkt/huge"})))
        end = time.monotonic() + 20
        while "\ntarn_s3_in_flight 1" not in clear.request("GET", "/metrics").text and time.monotonic() < end:
            pass
        reset(wire)
        at_rest(clear)
        reply = s3.ask("HEAD", f"/bkt/copy-{number}")
        absent += reply.status == 404
        equal(reply.fields["content-length"] if reply.status == 200 else reply.status, str(size) if reply.status == 200 else 404)
        if absent:
            break
    holds(absent, "a copy whose client went away is not there")
    equal(s3.ask("PUT", "/bkt/copy", fields={"x-amz-copy-source": "/bkt/huge"}).status, 200)


@case
def both_end_well():
    for lake, raw in BOTH:
        wires = [raw.open() for _ in range(50)]
        for number, wire in enumerate(wires):
            wire.send((put(raw, f"last-{number}", SMALL), get(raw, "large"), put(raw, f"last-{number}", SMALL)[:-10], b"")[number % 4])
        for wire in wires:
            reset(wire)
        equal(lake.stop(), 0)


main()
