"""How the server begins, reloads and ends: notices, inherited sockets, SIGHUP, drain, two at once."""
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

import h2.connection
import hpack

from server import TARN, TOP, Server, case, context, equal, folder, holds, in_background, local, main, tarn, until

SLOW = "SELECT count(*) FROM range(400000000) t(x) WHERE hash(x) % 7 = 0"


def upload_begin(server, length=10, name="a.txt"):
    """A connection with the head of an upload and the first half of its body."""
    connection = socket.create_connection(("127.0.0.1", server.port()), timeout=60)
    connection.sendall(f"POST /v1/ingest?source=life&name={name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n"
                       f"Content-Type: application/octet-stream\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n".encode())
    first = connection.recv(4096)
    holds(first.startswith(b"HTTP/1.1 100"), f"the server takes the upload: {first[:100]}")
    connection.sendall(b"x" * (length // 2))
    return connection


def in_flight(server):
    return int(re.search(rb"^tarn_http_in_flight (\d+)", server.once("GET", "/metrics")[2], re.M).group(1))


def rest_of(connection):
    out = b""
    while True:
        try:
            got = connection.recv(65536)
        except ConnectionResetError:
            return out + b"<reset>"
        if not got:
            return out
        out += got


@case
def ready_is_told_when_the_doors_are_open():
    server = Server()
    equal(server.once()[0], 200)
    server.signal(signal.SIGHUP)
    reloading = server.notice("RELOADING=1")
    holds(re.search(r"MONOTONIC_USEC=\d+", reloading), "the reload has its time")
    server.notice("READY=1")
    server.signal(signal.SIGTERM)
    server.notice("STOPPING=1")
    equal(server.process.wait(30), 0)


@case
def the_watchdog_hears_beats_while_the_loops_turn():
    server = Server(env={"WATCHDOG_USEC": "400000"})
    for _ in range(3):
        server.notice("WATCHDOG=1", 10)
    equal(server.stop(), 0)


@case
def a_watchdog_hears_them_too_of_a_process_that_is_interrupted():
    server, ends = Server(env={"WATCHDOG_USEC": "1000000"}), time.monotonic() + 20

    def interrupt():
        while time.monotonic() < ends:  # many times within a beat of 0.5 s
            server.signal(signal.SIGSTOP)
            server.signal(signal.SIGCONT)
            time.sleep(0.02)
    join = in_background(interrupt)
    try:
        for _ in range(3):
            server.notice("WATCHDOG=1", 10)
    finally:
        ends = 0
        join()
    equal(server.stop(), 0)


@case
def a_listening_socket_is_inherited():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = Server(sockets=[listener], names="http")
        equal(server.http, f"127.0.0.1:{port}")
        equal(server.once()[0], 200)
        equal(server.stop(), 0)
        # The port stays open while nobody serves: a client waits and is served by the next one.
        waiting = socket.create_connection(("127.0.0.1", port), timeout=30)
        waiting.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        again = Server(data=server.data, sockets=[listener], names="http")
        holds(rest_of(waiting).startswith(b"HTTP/1.1 200"), "the client that waited is served")
        equal(again.stop(), 0)


@case
def what_is_inherited_must_be_a_listening_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wrong:
        wrong.bind(("127.0.0.1", 0))
        server = Server(sockets=[wrong], names="http", ready=False)
        holds(server.process.wait(30) != 0, "the server refuses to start")


@case
def variables_of_another_process_are_not_believed():
    server = Server(env={"LISTEN_FDS": "1", "LISTEN_PID": "1"})
    equal(server.once()[0], 200)
    equal(server.stop(), 0)


@case
def a_drain_fails_no_request():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    server = Server("--set", "http.drain=60s")  # time for the query on a machine that does much else
    idle = [server.connection() for _ in range(2000)]
    for connection in idle:
        equal(server.ask(connection)[0], 200)
    uploads = [upload_begin(server, name=f"{i}.txt") for i in range(100)]
    query = in_background(lambda: server.once("POST", "/v1/sql", body=SLOW, headers={"Content-Type": "text/plain"}))
    until(lambda: in_flight(server) >= 102, what="the query, with the uploads and the one who asks,")
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    server.notice("STOPPING=1")
    for connection in idle:
        equal(connection.sock.recv(1), b"", "an idle connection is closed in order")
    for upload in uploads:
        upload.sendall(b"x" * 5)
    for upload in uploads:
        reply = rest_of(upload)
        holds(reply.startswith(b"HTTP/1.1 20"), f"an upload in flight ends well: {reply[:200]}")
        holds(b"connection: close" in reply.lower(), "the reply says that the connection closes")
    equal(query()[0], 200, "the query in flight")
    equal(server.process.wait(30), 0)
    holds(time.monotonic() - began < 62, "it ends within http.drain")


@case
def streams_in_flight_end_behind_a_goaway():
    data, ca = local()
    server = Server("--https", "127.0.0.1:0", "--set", "http.drain=60s", data=data)

    def open_stream():
        sock = socket.create_connection(("127.0.0.1", server.port(True)), timeout=60)
        sock = context(ca, alpn=["h2"]).wrap_socket(sock, server_hostname="localhost")
        wire = h2.connection.H2Connection()
        wire.initiate_connection()
        wire.send_headers(1, [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/v1/sql"),
                              ("authorization", f"Bearer {server.token}"), ("content-type", "text/plain")])
        wire.send_data(1, SLOW.encode(), end_stream=True)
        sock.sendall(wire.data_to_send())
        return sock, wire

    def frames_of(sock):
        """(type, flags, stream, payload) until the end; read by hand, because h2 takes nothing more behind a GOAWAY."""
        out, data = [], b""
        while got := sock.recv(65536):
            data += got
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                length = int.from_bytes(data[:3], "big")
                out.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:9 + length]))
                data = data[9 + length:]
        return out
    sock, wire = open_stream()
    until(lambda: in_flight(server) >= 2, what="the query")
    server.signal(signal.SIGTERM)
    frames = frames_of(sock)
    holds(any(kind == 7 for kind, *_ in frames), f"GOAWAY came: {frames}")
    holds(not any(kind == 3 for kind, *_ in frames), f"no stream was reset: {frames}")
    holds(any(stream == 1 and flags & 1 and kind in (0, 1) for kind, flags, stream, _ in frames), "the stream ended")
    head = next(payload for kind, _, stream, payload in frames if kind == 1 and stream == 1)
    equal(dict(hpack.Decoder().decode(head))[":status"], "200")
    equal(server.process.wait(30), 0)


@case
def new_connections_during_a_drain_are_refused_at_once():
    server = Server()
    upload = upload_begin(server)
    server.signal(signal.SIGTERM)
    server.notice("STOPPING=1")

    def refused():
        try:
            socket.create_connection(("127.0.0.1", server.port()), timeout=5).close()
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:  # it was in a queue as the listener closed: the next one is refused
            return False
    until(refused, what="a refusal")
    upload.sendall(b"x" * 5)
    holds(rest_of(upload).startswith(b"HTTP/1.1 20"), "the upload ends well")
    equal(server.process.wait(30), 0)


@case
def the_drain_has_an_end():
    server = Server("--set", "http.drain=400ms")
    upload = upload_begin(server)
    began = time.monotonic()
    equal(server.stop(), 0)
    holds(0.3 < time.monotonic() - began < 8, "http.drain is waited for, and not longer")
    rest_of(upload)
    holds("result=cut_off" in server.log(), "the log says that a request was cut off")


@case
def a_second_signal_ends_at_once():
    server = Server("--set", "http.drain=1h")
    upload = upload_begin(server)
    server.signal(signal.SIGTERM)
    server.notice("STOPPING=1")
    began = time.monotonic()
    server.signal(signal.SIGTERM)
    equal(server.process.wait(30), 0)
    holds(time.monotonic() - began < 8, "the hour is not waited for")
    rest_of(upload)
    again = Server(data=server.data)
    equal(again.once()[0], 200)
    status, _, body = again.once("GET", "/v1/objects/bronze")
    equal((status, b"a.txt" in body), (200, False), "nothing is left of the upload that was cut off")
    equal(again.stop(), 0)


@case
def sighup_takes_settings_that_can_change():
    data = folder() / "lake"
    data.mkdir()
    (data / "tarn.yaml").write_text("cors:\n  origins: https://one.example\n")
    server = Server(data=data)

    def allowed(origin):
        return server.once(headers={"Origin": origin})[1].get("Access-Control-Allow-Origin")
    equal((allowed("https://one.example"), allowed("https://two.example")), ("https://one.example", None))
    (data / "tarn.yaml").write_text("cors:\n  origins: https://two.example\nhttp:\n  loops: 7\n")
    kept = server.connection()
    equal(server.ask(kept)[0], 200)
    server.reload()
    equal((allowed("https://one.example"), allowed("https://two.example")), (None, "https://two.example"))
    equal(server.ask(kept)[0], 200, "the connection from before")
    holds("setting=http.loops" in server.log(), "the log names the setting that waits for a start")
    (data / "tarn.yaml").write_text("cors:\n  origins: https://three.example\nhttp:\n  lops: 7\n")
    server.reload()
    equal(allowed("https://two.example"), "https://two.example", "a bad file changes nothing")
    holds("kept_as_it_was" in server.log() and "lops" in server.log(), "the log says what was wrong")
    (data / "tarn.yaml").write_text("cors:\n  origins: not an origin\n")
    server.reload()
    equal(allowed("https://two.example"), "https://two.example", "a value that is none changes nothing")
    equal(server.stop(), 0)


@case
def sighup_opens_the_access_log_again():
    data = folder() / "lake"
    log = data.parent / "access.log"
    server = Server("--set", "http.access_log=json", "--set", f"http.access_log_file={log}", data=data)
    server.once("GET", "/v1/health?first")
    until(lambda: log.exists() and "first" in log.read_text(), what="the first line")
    log.rename(log.with_suffix(".1"))
    server.reload()
    server.once("GET", "/v1/health?second")
    until(lambda: log.exists() and "second" in log.read_text(), what="the second line")
    holds("second" not in log.with_suffix(".1").read_text(), "the old file gets no more")
    equal(server.stop(), 0)


@case
def many_sighups_under_load_fail_no_request():
    server = Server()
    ends = time.monotonic() + 3

    def work():
        connection, count = server.connection(), 0
        while time.monotonic() < ends:
            equal(server.ask(connection)[0], 200)
            count += 1
        return count
    workers = [in_background(work) for _ in range(4)]
    for _ in range(10):
        server.reload()
    holds(sum(join() for join in workers) > 100, "requests were made")
    equal(server.stop(), 0)


@case
def two_servers_never_share_a_data_directory():
    server = Server()
    second = tarn("serve", "--http", "127.0.0.1:0", data=server.data)
    holds(second.returncode != 0, "the second one ends")
    holds(f"process {server.process.pid}" in second.stderr, f"the error names the process: {second.stderr}")
    equal(server.once()[0], 200)
    equal(server.stop(), 0)


@case
def two_servers_never_share_a_port():
    server = Server()
    second = tarn("serve", "--http", server.http, data=folder() / "lake")
    holds(second.returncode != 0, "the second one ends")
    holds(server.http in second.stderr, f"the error names the address: {second.stderr}")
    for _ in range(20):
        equal(server.once()[0], 200)
    equal(server.stop(), 0)


@case
def a_lock_of_a_process_that_was_killed_is_free():
    server = Server()
    server.kill()
    again = Server(data=server.data)
    equal(again.once()[0], 200)
    equal(again.stop(), 0)


@case
def units_are_what_systemd_reads():
    if not shutil.which("systemd-analyze"):
        print("     no systemd-analyze here: skipped")
        return
    place = folder("units")
    for unit in (TOP / "deploy").iterdir():
        (place / unit.name).write_text(unit.read_text().replace("/usr/local/bin/tarn", str(TARN.resolve())))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, place.iterdir())], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
    findings = [line for line in done.stdout.splitlines() if "tarn" in line]
    equal(findings, [], "findings")
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=20", str(place / "tarn.service")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    equal(done.returncode, 0, done.stdout[-300:])


if __name__ == "__main__":
    main()
