"""os/fetch.h against servers that are slow, cut replies, lie, redirect and hide behind proxies. Every server is a thread of this
script; the client is BUILD/tests/fetch/fetch_driver."""
import atexit
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from email.utils import formatdate
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import BUILD, TARN, case, equal, holds, main

DRIVER = BUILD / "tests/fetch/fetch_driver"
WORK = Path(tempfile.mkdtemp(prefix="tarn-fetch-"))
atexit.register(shutil.rmtree, WORK, ignore_errors=True)


def fetch(*words, env=None, lines=False):
    done = subprocess.run([str(DRIVER), *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                          env={**os.environ, **(env or {})})
    equal(done.returncode, 0, f"exit of {words}: {done.stderr[-2000:]}")
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    return replies if lines else replies[0]


class Server:
    """`answer(conn, head, number)` is called for each request head; `heads` keeps them."""

    def __init__(self, answer, host="127.0.0.1", tls=None, backlog=64):
        self.answer, self.tls, self.heads, self.times, self.gone = answer, tls, [], [], threading.Event()
        self.socket = socket.create_server((host, 0), backlog=backlog)
        self.port = self.socket.getsockname()[1]
        self.host = host
        self.url = f"http{'s' if tls else ''}://{host}:{self.port}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                conn, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        try:
            conn.settimeout(30)
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            held = b""
            while True:
                while b"\r\n\r\n" not in held:
                    got = conn.recv(65536)
                    if not got:
                        self.gone.set()
                        return
                    held += got
                head, held = held.split(b"\r\n\r\n", 1)
                self.heads.append(head.decode("latin1"))
                self.times.append(time.monotonic())
                length = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                while length and len(held) < length[0]:
                    held += conn.recv(65536)
                self.body, held = (held[:length[0]], held[length[0]:]) if length else (b"", held)
                self.rest = held
                if self.answer(conn, self.heads[-1], len(self.heads)) == "close":
                    return
        except (OSError, ssl.SSLError):
            self.gone.set()
        finally:
            conn.close()


def reply(conn, body=b"fine", status="200 OK", *lines):
    conn.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{''.join(line + chr(13) + chr(10) for line in lines)}\r\n".encode()
                 + body)


def ok(conn, head, number):
    reply(conn)


def silent(conn, head, number):
    time.sleep(20)


# ---- time ----

@case
def a_server_that_says_nothing():
    server = Server(silent)
    got = fetch("--total", 300, server.url)
    equal(got["code"], "TIMEOUT")
    holds(250 <= got["ms"] < 2000, f"{got['ms']} ms of 300")


@case
def a_server_that_does_not_take_the_connection():
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(full.getsockname())
        waiting.append(s)
    got = fetch("--connect", 300, "--total", 20000, f"http://127.0.0.1:{full.getsockname()[1]}/")
    equal(got["code"], "TIMEOUT")
    holds(got["ms"] < 3000, f"{got['ms']} ms of 300")


@case
def a_server_that_stalls_in_the_body():
    def answer(conn, head, number):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        time.sleep(20)
    got = fetch("--stall", 1000, "--total", 30000, Server(answer).url)
    equal(got["code"], "TIMEOUT")
    holds(got["ms"] < 10000, f"{got['ms']} ms for a stall of 1,000, measured over five seconds")


@case
def a_body_that_drips():
    def answer(conn, head, number):
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            conn.sendall(b"x")
            time.sleep(0.05)
    got = fetch("--total", 500, Server(answer).url)
    equal(got["code"], "TIMEOUT")
    holds(got["ms"] < 3000, f"{got['ms']} ms of 500")


@case
def a_cancelled_request_lets_go():
    server = Server(lambda conn, head, number: conn.recv(1) or server.gone.set())
    got = fetch("--cancel", 100, server.url)
    equal(got["code"], "CANCELLED")
    holds(got["ms"] < 1500, f"{got['ms']} ms behind a cancel at 100")
    holds(server.gone.wait(5), "the server sees the end")


# ---- cuts and retries ----

def cut(conn, head, number):
    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    return "close"


def cut_chunks(conn, head, number):
    conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    return "close"


def nothing(conn, head, number):
    return "close"


def reset(conn, head, number):
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    return "close"


@case
def cut_replies_are_errors_and_tried_again():
    for bad in (cut, cut_chunks, nothing, reset):
        server = Server(bad)
        equal(fetch("--retry", 1, server.url)["code"], "UNAVAILABLE", bad.__name__)
        equal(len(server.heads), 1, bad.__name__)
        equal(fetch("--retry", 1, "--tries", 3, server.url)["code"], "UNAVAILABLE", bad.__name__)
        equal(len(server.heads), 4, bad.__name__)
        server = Server(lambda conn, head, number: bad(conn, head, number) if number < 3 else reply(conn))
        got = fetch("--retry", 1, "--tries", 3, server.url)
        equal((got["code"], got["body"], got["tries"]), ("OK", "fine", 3), bad.__name__)


@case
def a_post_is_not_sent_twice():
    for bad in (cut, nothing, reset):
        server = Server(bad)
        equal(fetch("--retry", 1, "--tries", 5, "--method", "POST", "--body", "x", server.url)["code"], "UNAVAILABLE")
        equal(len(server.heads), 1, bad.__name__)
        server = Server(bad)
        fetch("--retry", 1, "--tries", 3, "--method", "POST", "--body", "x", "--header", "Idempotency-Key:k", server.url)
        equal(len(server.heads), 3, bad.__name__)


@case
def what_was_never_sent_is_tried_again():
    """A POST too: nobody has taken the connection."""
    for wait in (0.4, 2, 10):  # where the driver takes longer than that to begin, nothing was shown
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))  # held, and refuses until it listens
            port = bound.getsockname()[1]

            def later():
                time.sleep(wait)
                bound.listen()
                conn, _ = bound.accept()
                conn.recv(65536)
                reply(conn)
            threading.Thread(target=later, daemon=True).start()
            got = fetch("--method", "POST", "--body", "x", "--tries", 10, "--retry", int(wait * 500), "--retry-max",
                        int(wait * 1000), f"http://127.0.0.1:{port}/")
        equal((got["code"], got.get("body")), ("OK", "fine"))
        if got["tries"] > 1:
            return
    raise AssertionError("one try, each time")


@case
def statuses_that_ask_for_another_try():
    for status in (408, 425, 429, 502, 503, 504):
        server = Server(lambda conn, head, number: reply(conn, b"no", f"{status} X") if number < 3 else reply(conn))
        got = fetch("--tries", 3, "--retry", 1, server.url)
        equal((got["status"], got["tries"], got["body"]), (200, 3, "fine"), status)
    for status in (400, 401, 404, 409, 500, 501):
        server = Server(lambda conn, head, number: reply(conn, b"no", f"{status} X"))
        equal(fetch("--tries", 3, "--retry", 1, server.url)["status"], status)
        equal(len(server.heads), 1, status)


@case
def retry_after_is_waited_for():
    for value in (lambda: "1", lambda: formatdate(time.time() + 3, usegmt=True)):
        server = Server(lambda conn, head, number: reply(conn, b"", "503 X", "Retry-After: " + value()) if number < 2 else reply(conn))
        equal(fetch("--tries", 2, "--retry", 1, server.url)["status"], 200)
        holds(server.times[1] - server.times[0] >= 0.8, f"{server.times[1] - server.times[0]:.2f} s behind Retry-After: {value()}")
    server = Server(lambda conn, head, number: reply(conn, b"", "503 X", "Retry-After: 3600"))
    got = fetch("--tries", 5, server.url)
    equal((got["status"], got["tries"]), (503, 1))
    server = Server(lambda conn, head, number: reply(conn, b"", "503 X", "Retry-After: 2"))
    got = fetch("--tries", 5, "--total", 1000, server.url)  # there is no time for it
    equal((got["status"], got["tries"]), (503, 1))


@case
def waits_grow_and_differ():
    server = Server(lambda conn, head, number: reply(conn, b"", "503 X"))
    for _ in range(4):
        fetch("--tries", 4, "--retry", 60, server.url)
    gaps = [[server.times[4 * i + k + 1] - server.times[4 * i + k] for i in range(4)] for k in range(3)]
    for k, most in enumerate((0.06, 0.12, 0.24)):
        holds(sorted(gaps[k])[1] < most + 0.25, f"waits {k + 1} of {sorted(gaps[k])} s")  # half of them: a machine can stand still
    holds(len({round(gap, 3) for gap in gaps[2]}) > 1, "waits that differ")


@case
def a_connection_that_was_closed_meanwhile():
    server = Server(lambda conn, head, number: reply(conn) or "close")
    for got in fetch("--repeat", 3, server.url, lines=True):
        equal((got["code"], got.get("body")), ("OK", "fine"))


# ---- replies that are too large, or none ----

@case
def replies_have_a_maximum():
    equal(fetch("--max", 4, Server(ok).url)["body"], "fine")
    equal(fetch("--max", 3, Server(ok).url)["code"], "LIMIT")

    def endless(conn, head, number):
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            conn.sendall(b"1000\r\n" + bytes(4096) + b"\r\n")
    server = Server(endless)
    equal(fetch("--max", 100000, server.url)["code"], "LIMIT")
    holds(server.gone.wait(5), "the connection is closed")

    def large_head(conn, head, number):
        conn.sendall(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"y" * 1000) for i in range(100)) + b"\r\n")
    equal(fetch(Server(large_head).url)["code"], "LIMIT")

    def endless_head(conn, head, number):
        conn.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            conn.sendall(b"X-Y: " + b"z" * 1000 + b"\r\n")
    holds(fetch(Server(endless_head).url)["code"] in ("LIMIT", "UNAVAILABLE"), "an error")


@case
def packed_replies_stay_packed():
    server = Server(lambda conn, head, number: reply(conn, b"\x1f\x8bbomb", "200 OK", "Content-Encoding: gzip"))
    equal(fetch(server.url)["bytes"], 6)
    holds("accept-encoding" not in server.heads[0].lower(), "nothing packed is asked for")


@case
def what_is_no_http():
    for text in (b"hello\r\n", b"\0\0\0\0", b"SSH-2.0-x\r\n", b"HTTP/9.9 200 OK\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"):
        def answer(conn, head, number):
            conn.sendall(text)
            return "close"
        got = fetch(Server(answer).url)
        holds(got["code"] != "OK", f"{text} gave {got}")


@case
def heads_before_the_last():
    def answer(conn, head, number):
        conn.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        reply(conn, b"fine", "200 OK", "X-Last: yes")
    got = fetch(Server(answer).url)
    equal((got["status"], got["body"]), (200, "fine"))
    holds("X-Last" in got["head"] and "Link" not in got["head"], "the last head alone")


@case
def streams_and_pulled_bodies():
    def big(conn, head, number):
        reply(conn, bytes(3 << 20))
    equal(fetch("--stream", Server(big).url)["bytes"], 3 << 20)

    def take(conn, head, number):
        got = server.rest
        while not got.endswith(b"0\r\n\r\n"):
            got += conn.recv(65536)
        reply(conn, str(got.count(b"p")).encode())
    server = Server(take)
    equal(fetch("--method", "PUT", "--pull", 2 << 20, server.url)["body"], str(2 << 20))
    holds("Transfer-Encoding: chunked" in server.heads[0] and "Expect" not in server.heads[0], "chunks at once")


# ---- what a user may reach ----

@case
def a_users_request_stays_out_of_the_private_network():
    server = Server(ok)
    got = fetch("--user", "--tries", 3, server.url)
    equal(got["code"], "FORBIDDEN")
    for host in ("localhost", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0", "0"):
        equal(fetch("--user", f"http://{host}:{server.port}/")["code"], "FORBIDDEN", host)
    for host in ("10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fd00::1]", "[fe80::1]", "[::1]"):
        holds(fetch("--user", "--connect", 300, f"http://{host}/latest/meta-data/")["code"] == "FORBIDDEN", host)
    equal(len(server.heads), 0)
    equal(fetch("--user", "--network", "127.0.0.0/8", server.url)["body"], "fine")


@case
def a_name_that_moves_into_the_private_network():
    """What a name says before is nothing: the address of the connection counts."""
    server = Server(ok)
    got = fetch("--user", "--resolve", f"rebind.test:{server.port}:127.0.0.1", f"http://rebind.test:{server.port}/")
    equal(got["code"], "FORBIDDEN")
    got = fetch("--user", "--network", "127.0.0.9", "--resolve", f"rebind.test:{server.port}:127.0.0.9,127.0.0.1",
                f"http://rebind.test:{server.port}/")
    holds(got["code"] in ("FORBIDDEN", "UNAVAILABLE"), got)
    equal(len(server.heads), 0)


@case
def a_redirect_into_the_private_network():
    inner = Server(ok, "127.0.0.3")
    outer = Server(lambda conn, head, number: reply(conn, b"", "302 X", f"Location: {inner.url}/secret"), "127.0.0.2")
    got = fetch("--user", "--network", "127.0.0.2", "--redirects", 5, outer.url)
    equal(got["code"], "FORBIDDEN")
    equal(len(inner.heads), 0)
    equal(fetch("--user", "--network", "127.0.0.2/31", "--redirects", 5, outer.url)["body"], "fine")
    for target in ("file:///etc/passwd", "gopher://127.0.0.2/", "dict://127.0.0.2/", "ftp://127.0.0.2/"):
        server = Server(lambda conn, head, number: reply(conn, b"", "302 X", f"Location: {target}"))
        equal(fetch("--redirects", 5, server.url)["code"], "INVALID", target)


@case
def hosts_of_the_list():
    server = Server(ok)
    words = ("--user", "--network", "127.0.0.1", "--host", "*.data.test", "--resolve", f"a.data.test:{server.port}:127.0.0.1",
             "--resolve", f"b.test:{server.port}:127.0.0.1")
    equal(fetch(*words, f"http://a.data.test:{server.port}/")["body"], "fine")
    equal(fetch(*words, f"http://b.test:{server.port}/")["code"], "FORBIDDEN")
    outer = Server(lambda conn, head, number: reply(conn, b"", "302 X", f"Location: http://b.test:{server.port}/"))
    equal(fetch(*words, "--redirects", 1, "--resolve", f"c.data.test:{outer.port}:127.0.0.1",
                f"http://c.data.test:{outer.port}/")["code"], "FORBIDDEN")
    equal(len(server.heads), 1)


def tarn(url, *settings):
    words = [word for setting in settings for word in ("--set", setting)]
    return subprocess.run([TARN, "fetch", url, "--data", WORK / "none", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60)


@case
def the_settings_say_what_a_user_may_reach():
    server, proxy = Server(ok), Server(lambda conn, head, number: reply(conn, b"by proxy"))
    refused = tarn(server.url)
    holds(refused.returncode != 0 and not refused.stdout and len(server.heads) == 0, refused)
    allowed = tarn(server.url, "fetch.allow_private=127.0.0.0/8, ::1")
    equal((allowed.returncode, allowed.stdout), (0, "fine"), allowed.stderr)
    holds(allowed.stderr.startswith("HTTP/1.1 200"), allowed.stderr)
    refused = tarn(server.url, "fetch.allow_private=127.0.0.0/8", "fetch.allow_hosts=*.example.org")
    holds(refused.returncode != 0 and len(server.heads) == 1, refused)
    equal(tarn(server.url, "fetch.allow_private=127.0.0.0/8", "fetch.allow_hosts=x.test,127.0.0.1").stdout, "fine")
    equal(tarn("http://far.test/a", f"fetch.proxy={proxy.url}").stdout, "by proxy")
    holds(proxy.heads[0].startswith("GET http://far.test/a "), proxy.heads[0])
    for wrong in ("fetch.allow_private=10.0.0.0/33", "fetch.allow_private=a.test", "fetch.proxy=10.0.0.1:3128", "fetch.allow_hosts=a,,b"):
        refused = tarn("http://far.test/", wrong)
        holds(refused.returncode != 0 and wrong.split("=")[0] in refused.stderr, f"{wrong}: {refused.stderr}")


@case
def redirects_end():
    def answer(conn, head, number):
        reply(conn, b"", "302 X", f"Location: /{number}")
    server = Server(answer)
    equal(fetch("--redirects", 5, server.url)["code"], "LIMIT")
    equal(len(server.heads), 6)
    equal(fetch(server.url)["status"], 302)


@case
def secrets_stay_with_their_host():
    inner = Server(ok, "127.0.0.3")
    outer = Server(lambda conn, head, number: reply(conn, b"", "307 X", f"Location: {inner.url}/"), "127.0.0.2")
    fetch("--redirects", 1, "--header", "Authorization:Bearer s", "--header", "Cookie:a=s", "--secret", "X-Key:s", "--header", "X-Open:o",
          "--method", "POST", "--body", "b", outer.url)
    holds(all(word in outer.heads[0] for word in ("Authorization", "Cookie", "X-Key", "X-Open")), "all of it to the first")
    holds("X-Open" in inner.heads[0] and inner.body == b"b", "the rest and the body to the second")
    for word in ("Authorization", "Cookie", "X-Key"):
        holds(word not in inner.heads[0], f"no {word} to the second")


# ---- proxies ----

class Proxy(Server):
    def __init__(self):
        super().__init__(self.forward)

    def forward(self, conn, head, number):
        if not head.startswith("CONNECT"):
            reply(conn, b"by proxy")
            return None
        host, port = head.split()[1].rsplit(":", 1)
        there = socket.create_connection(("127.0.0.1", int(port)))
        conn.sendall(b"HTTP/1.1 200 Connected\r\nX-Proxy: yes\r\n\r\n")

        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
                b.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        threading.Thread(target=pump, args=(there, conn), daemon=True).start()
        pump(conn, there)
        return "close"


@case
def a_proxy_is_asked_when_it_is_set():
    proxy = Proxy()
    got = fetch("--proxy", proxy.url, "http://somewhere.test/path?q=1")
    equal(got["body"], "by proxy")
    holds(proxy.heads[0].startswith("GET http://somewhere.test/path?q=1 "), proxy.heads[0])
    server = Server(ok)
    got = fetch(server.url, env={"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"})
    equal(got["body"], "fine")


@case
def a_users_request_through_a_proxy():
    proxy = Proxy()
    for host in ("127.0.0.1", "127.1", "0x7f000001", "localhost", "localhost.", "[::1]", "10.0.0.1", "169.254.169.254"):
        equal(fetch("--user", "--proxy", proxy.url, f"http://{host}/")["code"], "FORBIDDEN", host)
    equal(len(proxy.heads), 0)
    equal(fetch("--user", "--proxy", proxy.url, "http://somewhere.test/")["body"], "by proxy")


# ---- TLS ----

def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=WORK)


def make_certs():
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-days", 2, "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
    for name, names in (("good", "DNS:localhost,IP:127.0.0.1"), ("other", "DNS:other.test"), ("client", "DNS:client")):
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (WORK / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", 2, "-extfile",
                f"{name}.ext", "-out", f"{name}.pem")
    openssl("x509", "-req", "-in", "good.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", 0, "-extfile",
            "good.ext", "-out", "late.pem")


def tls(cert="good", key="good", client_ca=False, most=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(WORK / f"{cert}.pem", WORK / f"{key}.key")
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(WORK / "ca.pem")
    if most:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, most
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


make_certs()
CA = ("--ca", WORK / "ca.pem")


@case
def a_private_authority():
    server = Server(ok, tls=tls())
    equal(fetch(*CA, server.url)["body"], "fine")
    equal(fetch(server.url)["code"], "FORBIDDEN")
    equal(fetch("--tries", 3, "--retry", 1, server.url)["code"], "FORBIDDEN")
    equal(fetch(*CA, Server(ok, tls=tls("other", "other")).url)["code"], "FORBIDDEN")
    time.sleep(1)
    equal(fetch(*CA, Server(ok, tls=tls("late")).url)["code"], "FORBIDDEN")
    equal(len(server.heads), 1)


@case
def old_tls_is_refused():
    server = Server(ok, tls=tls(most=ssl.TLSVersion.TLSv1_1))
    holds(fetch(*CA, server.url)["code"] in ("UNAVAILABLE", "FORBIDDEN"), "an error")
    equal(len(server.heads), 0)


@case
def a_client_certificate():
    server = Server(ok, tls=tls(client_ca=True))
    words = ("--cert", WORK / "client.pem", "--key", WORK / "client.key")
    equal(fetch(*CA, *words, server.url)["body"], "fine")
    holds(fetch(*CA, server.url)["code"] != "OK", "an error without it")
    elsewhere = Server(lambda conn, head, number: reply(conn, b"", "302 X", f"Location: {server.url}/"), tls=tls())
    holds(fetch(*CA, *words, "--redirects", 1, elsewhere.url.replace("127.0.0.1", "localhost"))["code"] != "OK",
          "it is not shown to another host")


@case
def no_way_from_https_to_http():
    plain = Server(ok)
    secure = Server(lambda conn, head, number: reply(conn, b"", "302 X", f"Location: {plain.url}/"), tls=tls())
    equal(fetch(*CA, "--redirects", 3, secure.url)["code"], "FORBIDDEN")
    equal(len(plain.heads), 0)


@case
def tls_through_a_proxy():
    proxy, server = Proxy(), Server(ok, tls=tls())
    got = fetch(*CA, "--proxy", proxy.url, "--header", "Authorization:Bearer s", server.url)
    equal(got["body"], "fine")
    holds("X-Proxy" not in got["head"], "the head is the server's")
    holds(proxy.heads[0].startswith("CONNECT") and "Bearer" not in proxy.heads[0], proxy.heads[0])


# ---- HTTP/2 ----

def nghttpd(*words):
    www = WORK / "www"
    www.mkdir(exist_ok=True)
    (www / "hello").write_text("by two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(["nghttpd", "-d", www, "-a", "127.0.0.1", str(port), *map(str, words)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    atexit.register(process.kill)
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return port
        except OSError:
            time.sleep(0.02)
    raise RuntimeError("nghttpd does not listen")


@case
def two_over_tls_and_in_clear():
    port = nghttpd(WORK / "good.key", WORK / "good.pem")
    got = fetch(*CA, f"https://127.0.0.1:{port}/hello")
    equal((got["version"], got["status"], got["body"]), (20, 200, "by two"))
    for got in fetch(*CA, "--repeat", 5, f"https://127.0.0.1:{port}/hello", lines=True):
        equal((got["version"], got["body"]), (20, "by two"))
    port = nghttpd("--no-tls")
    got = fetch("--http2", f"http://127.0.0.1:{port}/hello")
    equal((got["version"], got["body"]), (20, "by two"))
    server = Server(ok, tls=tls())
    equal(fetch(*CA, server.url)["version"], 11)
    equal(fetch("--user", "--http2", f"http://127.0.0.1:{port}/hello")["code"], "FORBIDDEN")


main()
