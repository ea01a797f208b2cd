"""Slow clients beside fast ones: each slow one is closed at its bound, the fast ones do not notice. Bodies that stop,
clients that go away in the middle."""
import multiprocessing
import resource
import socket
import sys
import time

import raw
from checks import check, close
from peers import Door
from slow import CHUNKED, KINDS, Crowd, fast

HEAD_MS, WINDOW_MS, IDLE_MS = 3000, 2000, 3000
EACH = 400  # of five kinds: 2,000
OPTIONS = [word for name, value in (("head_ms_max", HEAD_MS), ("rate_window_ms", WINDOW_MS), ("rate_bytes_min", 1024),
                                    ("idle_ms_max", IDLE_MS), ("connections_an_address", 0))
           for word in ("--limit", f"{name}={value}")]
SLACK = 3.0  # what a machine that is busy may add


def p99(times):
    return sorted(times)[len(times) * 99 // 100] if times else float("inf")


def with_fast(address, seconds, beside=None):
    """The fast clients' times while `beside` runs."""
    results = multiprocessing.Queue()
    process = multiprocessing.Process(target=fast, args=(address, 64, seconds, results))
    process.start()
    if beside:
        beside()
    times, failures = results.get(timeout=seconds + 30)
    process.join()
    return times, failures


def judge(crowd):
    # A rate counts from the second window in which bytes were due; a reply fills the socket's buffers first.
    bounds = {"head": HEAD_MS / 1000, "body": 3 * WINDOW_MS / 1000, "chunks": 3 * WINDOW_MS / 1000,
              "trailer": 3 * WINDOW_MS / 1000, "reply": 3 * WINDOW_MS / 1000}
    for kind in KINDS:
        slows = crowd.of(kind)
        late = [slow for slow in slows if slow.ended is None or slow.ended > bounds[kind] + SLACK]
        check(f"slow {kind}: closed at the bound", not late,
              f"{len(late)} of {len(slows)} not within {bounds[kind]} s: {[slow.ended for slow in late[:5]]}")
        early = [slow for slow in slows if slow.ended is not None and slow.ended < WINDOW_MS / 1000 - 0.5]
        check(f"slow {kind}: not before", not early, f"{len(early)}: {[slow.ended for slow in early[:5]]}")
        if kind != "reply":
            others = {slow.status() for slow in slows} - {408}
            check(f"slow {kind}: 408", not others, others)


def crowd_beside_fast(door):
    alone, failures = with_fast(door.address(), 2)
    check("fast alone", not failures and len(alone) > 100, f"{failures} of {len(alone)}")
    ended, crowd = door.counts()["ended"].get("sinkPut", 0), Crowd(door.address(), list(KINDS), EACH)
    beside, failures = with_fast(door.address(), 10, lambda: crowd.run(20))
    crowd.close()
    judge(crowd)
    again, _ = with_fast(door.address(), 2)  # what else the machine does comes and goes
    alone = max(alone, again, key=p99)
    check("fast beside slow", not failures and len(beside) > 100, f"{failures} of {len(beside)}")
    check("fast beside slow: p99", p99(beside) < max(1.5 * p99(alone), p99(alone) + 0.1),
          f"{p99(alone) * 1000:.1f} ms alone, {p99(beside) * 1000:.1f} ms beside")
    check("no slow body came to its end", door.counts()["ended"].get("sinkPut", 0) == ended)
    print(f"     64 fast clients: p99 {p99(alone) * 1000:.1f} ms alone, {p99(beside) * 1000:.1f} ms beside {len(crowd.all)} slow ones")


def quiet_and_stopped(door):
    """A connection that says nothing is closed without a word; a body that stops gets 408 and has no effect."""
    before, began = door.counts()["ended"], time.monotonic()
    idle = raw.connect(door.address())
    half = raw.connect(door.address())
    half.sendall(b"GET /fixed HT")
    stopped = [raw.connect(door.address()) for _ in range(3)]
    stopped[0].sendall(b"PUT /sink HTTP/1.1\r\nHost: door\r\nContent-Length: 1000\r\n\r\nhello")
    stopped[1].sendall(CHUNKED + b"5\r\nhel")
    stopped[2].sendall(b"POST /small HTTP/1.1\r\nHost: door\r\nContent-Length: 1000\r\n\r\nhello")
    for number, sock in enumerate(stopped):
        got, how = raw.hear(sock, 3 * WINDOW_MS / 1000 + SLACK)
        check(f"a body that stops ({number})", got.startswith(b"HTTP/1.1 408 ") and how == "eof", (got[:60], how))
    check("a head that stops", raw.hear(half, SLACK)[0].startswith(b"HTTP/1.1 408 "))
    check("an idle connection", raw.hear(idle, SLACK) == (b"", "eof"))
    check("in time", time.monotonic() - began < 3 * WINDOW_MS / 1000 + SLACK)
    check("a body that stops has no effect", door.counts()["ended"] == before, door.counts())


def slow_but_fit(door):
    """Just above the minimum rate, in both directions, over several windows: served."""
    sender, reader = raw.connect(door.address()), socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(door.address())
    sender.sendall(b"PUT /sink HTTP/1.1\r\nHost: door\r\nConnection: close\r\nContent-Length: 20480\r\n\r\n")
    reader.sendall(b"GET /bytes/50000000 HTTP/1.1\r\nHost: door\r\n\r\n")
    reader.settimeout(5)
    taken, ended = 0, ""
    for number in range(24):  # the time between is the test: 4 KiB/s, three windows
        if number < 20:
            sender.sendall(b"x" * 1024)
        try:
            taken += len(reader.recv(1024))
        except OSError as e:
            ended = str(e)
            break
        time.sleep(0.25)
    got, how = raw.hear(sender, 5)
    check("a slow sender above the rate", got.startswith(b"HTTP/1.1 200 "), (got[:60], how))
    check("a slow reader above the rate", not ended and taken > 20 * 1024, f"{ended or 'served'} after {taken} bytes")
    reader.close()


def gone_in_the_middle(door):
    """Clients that reset or leave at every place of an exchange: the door goes on."""
    exchanges = [b"GET /fixed HTTP/1.1\r\nHost: door\r\n\r\n" * 3, CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
                 b"GET /bytes/30000000 HTTP/1.1\r\nHost: door\r\n\r\n",
                 b"POST /echo HTTP/1.1\r\nHost: door\r\nContent-Length: 40\r\n\r\n" + b"x" * 40,
                 b"GET /sleep/30 HTTP/1.1\r\nHost: door\r\n\r\n", b"GET /park/nobody HTTP/1.1\r\nHost: door\r\n\r\n"]
    for data in exchanges:
        for at in range(1, len(data) + 1, 7):
            for reset in (False, True):
                sock = raw.connect(door.address())
                sock.sendall(data[:at])
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()
    check("after clients that went away", raw.ask(door.address(), b"GET /fixed HTTP/1.0\r\n\r\n")[0].startswith(b"HTTP/1.1 200 "))


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    with Door(*OPTIONS) as door:
        gone_in_the_middle(door)
        quiet_and_stopped(door)
        slow_but_fit(door)
        crowd_beside_fast(door)
        gone_in_the_middle(door)
    return close()


if __name__ == "__main__":
    sys.exit(main())
