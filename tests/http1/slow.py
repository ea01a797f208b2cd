"""Clients that send or read one byte a second, all in one thread."""
import errno
import select
import socket
import time

HEAD = b"GET /fixed HTTP/1.1\r\nHost: door\r\nX: "
LENGTH = b"PUT /sink HTTP/1.1\r\nHost: door\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"PUT /sink HTTP/1.1\r\nHost: door\r\nTransfer-Encoding: chunked\r\n\r\n"
REPLY = b"GET /bytes/50000000 HTTP/1.1\r\nHost: door\r\n\r\n"

# What each says at once, and what it goes on with, a byte a second; None: it reads a byte a second.
KINDS = {
    "head": (HEAD, b"abcdefgh" * 100),
    "body": (LENGTH, b"abcdefgh" * 100),
    "chunks": (CHUNKED, b"1\r\nx\r\n" * 100),
    "trailer": (CHUNKED + b"0\r\nX: ", b"abcdefgh" * 100),
    "reply": (REPLY, None),
}


class Slow:
    def __init__(self, address, kind):
        self.kind, (first, self.rest) = kind, KINDS[kind]
        self.sock = socket.socket()
        if self.rest is None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(address)
        self.sock.setblocking(False)
        self.sock.send(first)
        self.began = time.monotonic()
        self.at, self.ended, self.heard = 0, None, b""

    def tick(self):
        """A byte; what goes wrong is seen by the poll."""
        try:
            if self.rest is None:
                self.sock.recv(1)
            else:
                self.at += self.sock.send(self.rest[self.at:self.at + 1])
        except OSError as e:
            if e.errno not in (errno.EAGAIN, errno.EPIPE, errno.ECONNRESET):
                raise

    def end(self, now):
        self.ended = now - self.began
        try:
            self.heard = b"" if self.rest is None else self.sock.recv(4096)
        except OSError:
            pass
        self.sock.close()

    def status(self):
        return int(self.heard[9:12]) if self.heard.startswith(b"HTTP/1.1 ") else 0


class Crowd:
    """So many slow clients of each kind; `run` ends when all were closed, or the time is over."""

    def __init__(self, address, kinds, each):
        self.poll = select.epoll()
        self.by_fd = {}
        self.all = []
        for number in range(each):
            for kind in kinds:
                slow = Slow(address, kind)
                self.by_fd[slow.sock.fileno()] = slow
                self.all.append(slow)
                self.poll.register(slow.sock.fileno(), select.EPOLLRDHUP)
            if number % 10 == 0:
                self.hear(0)

    def run(self, seconds):
        until = time.monotonic() + seconds
        while self.by_fd and time.monotonic() < until:
            second = time.monotonic() + 1
            for slow in list(self.by_fd.values()):
                slow.tick()
            while self.by_fd and (left := second - time.monotonic()) > 0:
                self.hear(left)

    def hear(self, wait):
        for fd, _ in self.poll.poll(wait):
            self.poll.unregister(fd)
            self.by_fd.pop(fd).end(time.monotonic())

    def of(self, kind):
        return [slow for slow in self.all if slow.kind == kind]

    def close(self):
        for slow in self.by_fd.values():
            slow.sock.close()
        self.poll.close()


def fast(address, clients, seconds, results):
    """So many clients that ask for /fixed again as soon as they are answered: their times in seconds. Runs in a process of
    its own; puts (times, failures) into `results`."""
    request = b"GET /fixed HTTP/1.1\r\nHost: door\r\n\r\n"
    poll, socks, began = select.epoll(), {}, {}
    for _ in range(clients):
        sock = socket.create_connection(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        socks[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLIN)
    times, failures, until = [], 0, time.monotonic() + seconds
    for fd, sock in socks.items():
        began[fd] = time.monotonic()
        sock.send(request)
    while time.monotonic() < until:
        for fd, _ in poll.poll(0.1):
            got = socks[fd].recv(4096)
            if not got.startswith(b"HTTP/1.1 200"):
                failures += 1
                poll.unregister(fd)
                continue
            now = time.monotonic()
            times.append(now - began[fd])
            began[fd] = now
            socks[fd].send(request)
    failures += sum(time.monotonic() - when > 2 for when in began.values())
    results.put((times, failures))
