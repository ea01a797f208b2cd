"""A client that goes away takes its work with it. Each case asks for something long, closes the connection in the middle and
counts the processor time that the server (with its workers) spends from then on: work that stops within 100 ms costs at most
that on each core, however busy the machine is."""
import os
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "h2"))
import wire
from lake import DEPS, Lake, VEGA, case, equal, holds, main

CORES = len(os.sched_getaffinity(0))
TICK = os.sysconf("SC_CLK_TCK")
STOP_S = 0.1 * CORES + 0.06  # 100 ms of every core; ticks, the connection's end and the metrics of the test
SETTLE_S = 0.6

lake = Lake()


def tree(pid):
    found, left = [], [pid]
    while left:
        pid = left.pop()
        found.append(pid)
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                left += [int(child) for child in task.read_text().split()]
            except OSError:
                pass
    return found


def cpu():
    """Seconds of the server, its workers, and those of its workers that have ended."""
    total = 0
    for pid in tree(lake.process.pid):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(x) for x in fields[11:15])
    return total / TICK


def metric(name):
    for line in lake.request("GET", "/metrics").text.splitlines():
        if line.startswith(name + " "):
            return int(line.split()[1])
    raise AssertionError(f"no metric {name}")


def ask(text, accept="application/json"):
    host, port = lake.address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), timeout=30)
    body = text.encode()
    sock.sendall((f"POST /v1/sql HTTP/1.1\r\nHost: {lake.address}\r\nAuthorization: Bearer {lake.token}\r\nAccept: {accept}\r\n"
                  f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)
    return sock


def wait_for(truth, what, seconds=20):
    end = time.monotonic() + seconds
    while not truth():
        holds(time.monotonic() < end, what)
        time.sleep(0.02)


def busy(before, seconds):
    wait_for(lambda: cpu() - before > seconds, f"{seconds} s of work")


def spent_after(leave):
    """Processor seconds from `leave` until the server is still: two looks in a row without a tick."""
    before = cpu()
    leave()
    last, end = before, time.monotonic() + 20
    time.sleep(SETTLE_S)
    while time.monotonic() < end:
        now = cpu()
        if now - last < 0.02:
            break
        last = now
        time.sleep(0.2)
    return cpu() - before


def stops(text, work_s=0.3, most_s=STOP_S):
    before = cpu()
    sock = ask(text)
    busy(before, work_s)
    spent = spent_after(sock.close)
    print(f"     {spent * 1000:.0f} ms behind the end of the client", flush=True)
    holds(spent <= most_s, f"{spent:.2f} s of work behind the client's end, at most {most_s:.2f}")


lake.rows("CREATE NAMESPACE big")
lake.rows("CREATE TABLE big.t AS SELECT i AS id, hash(i) % 1000000 AS h, 'row ' || hash(i * 7) AS txt FROM range(3000000) r(i)")
equal(lake.ingest("raw", "wide.csv", b"a,b,c\n" + b"".join(b"%d,text number %d,%f\n" % (i, i % 1000, i * 0.7)
                                                           for i in range(3000000))).status, 200)
equal(lake.ingest("raw", "flights.json", (VEGA / "flights-200k.json").read_bytes()).status, 200)
equal(lake.ingest("raw", "large.json", b"[" + b",".join(b'{"id":%d,"name":"n%d","list":[1,2,{"x":"%d"}]}' % (i, i % 77, i)
                                                        for i in range(1500000)) + b"]").status, 200)
equal(metric("tarn_sql_interrupts_late_total"), 0)


@case
def a_scan():
    stops("SELECT count(*) FROM range(100000000000) t(i) WHERE i % 7 = 3")


@case
def a_scan_of_files():
    stops("SELECT count(*) FROM big.t a, range(1000) r(k) WHERE a.txt LIKE '%' || k || '%' || k || '%'")


@case
def a_cross_join():
    stops("SELECT count(*) FROM big.t a, big.t b WHERE a.h + b.h = 77")


@case
def a_hash_join():
    stops("SELECT count(*) FROM (SELECT * FROM big.t, range(10)) a JOIN (SELECT * FROM big.t, range(10)) b ON a.txt = b.txt")


@case
def a_sort():
    stops("SELECT * FROM big.t a, range(20) r(k) ORDER BY a.txt, k")


@case
def groups():
    stops("SELECT txt || k, count(*) FROM big.t, range(20) r(k) GROUP BY ALL")


@case
def a_window():
    stops("SELECT sum(h) OVER (PARTITION BY h % 10 ORDER BY txt ROWS BETWEEN 1000 PRECEDING AND CURRENT ROW) FROM big.t")


@case
def a_recursion():
    stops("WITH RECURSIVE r(n) AS (SELECT 1::BIGINT UNION ALL SELECT n + 1 FROM r WHERE n < 1000000000) SELECT max(n) FROM r")


@case
def a_regular_expression():
    stops("SELECT count(*) FROM big.t a, range(1000) WHERE regexp_matches(a.txt || range, '(a|b|c)*9.*8.*7')")


@case
def a_table_that_a_select_fills():
    stops("CREATE TABLE big.never AS SELECT * FROM big.t, range(30) r(k) ORDER BY txt")
    equal(lake.sql("SELECT count(*) FROM big.never").status, 404)


@case
def rows_that_go_into_a_table():
    before = lake.rows("SELECT count(*) FROM big.t")
    stops("INSERT INTO big.t SELECT * FROM (SELECT t.* FROM big.t t, range(30))")
    equal(lake.rows("SELECT count(*) FROM big.t"), before)


@case
def a_scan_worker_over_text():
    stops("SELECT count(*) FROM source('raw', 'wide.csv') WHERE a = -5")


@case
def a_scan_worker_over_json():
    stops("SELECT count(*) FROM source('raw', 'flights.json') a, source('raw', 'flights.json') b WHERE a.delay + b.delay = -4000",
          work_s=0.1)


@case
def planning():
    """The types of a JSON object are found by a worker that reads it before anything is planned."""
    stops("SELECT count(*) FROM source('raw', 'large.json')", work_s=0.15)


@case
def rows_on_their_way():
    before = cpu()
    sock = ask("SELECT a.*, k FROM big.t a, range(1000) r(k)", "application/x-ndjson")
    got = 0
    while got < 8 << 20:
        got += len(sock.recv(1 << 20))
    busy(before, 0.1)
    spent = spent_after(sock.close)
    holds(spent <= STOP_S, f"{spent:.2f} s behind the end of the reader")
    wait_for(lambda: metric("tarn_http_in_flight") == 1, "the end of the request")


@case
def rows_that_nobody_takes():
    sock = ask("SELECT a.*, k FROM big.t a, range(1000) r(k)", "text/csv")
    sock.recv(1000)
    last = cpu()
    while True:  # the socket is full: the server waits
        time.sleep(0.2)
        now = cpu()
        if now - last < 0.02:
            break
        last = now
    equal(metric("tarn_http_in_flight"), 2)
    spent = spent_after(sock.close)
    holds(spent <= STOP_S, f"{spent:.2f} s behind the end of the reader")
    wait_for(lambda: metric("tarn_http_in_flight") == 1, "the end of the request")


@case
def a_reset_connection():
    before = cpu()
    sock = ask("SELECT count(*) FROM range(100000000000) t(i) WHERE i % 7 = 3")
    busy(before, 0.2)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    spent = spent_after(sock.close)
    holds(spent <= STOP_S, f"{spent:.2f} s behind the reset")


def two():
    """A connection of HTTP/2, and what asks on it for rows of a statement."""
    h2 = wire.H2(SimpleNamespace(clear=lake.address))

    def query(stream, text):
        h2.headers(stream, h2.request("POST", "/v1/sql", ("authorization", f"Bearer {lake.token}"), ("content-type", "text/plain")),
                   end=False)
        h2.data(stream, text.encode())
    return h2, query


@case
def a_stream_that_is_reset():
    h2, query = two()
    before = cpu()
    query(1, "SELECT count(*) FROM range(100000000000) t(i) WHERE i % 7 = 3")
    busy(before, 0.3)
    spent = spent_after(lambda: h2.rst(1))
    holds(spent <= STOP_S, f"{spent:.2f} s behind the reset of the stream")
    query(3, "SELECT 1")
    equal(h2.reply(3).status, 200)
    h2.close()


@case
def streams_of_a_connection_that_ends():
    h2, query = two()
    before = cpu()
    for i in range(6):
        query(2 * i + 1, f"SELECT count(*) FROM range(100000000000) t(i) WHERE i % {i + 5} = 3")
    query(13, "SELECT a.*, k FROM big.t a, range(1000) r(k)")
    busy(before, 0.4)
    spent = spent_after(h2.close)
    holds(spent <= STOP_S, f"{spent:.2f} s behind the end of the connection")
    wait_for(lambda: metric("tarn_http_in_flight") == 1, "the end of all requests")


@case
def a_page_of_a_dataset():
    before = cpu()
    host, port = lake.address.rsplit(":", 1)
    sock = socket.create_connection((host, int(port)), timeout=30)
    sock.sendall((f"GET /v1/datasets/big.t/query?order=-txt,h&where=levenshtein(txt%7C%7Cid,repeat(txt,9))%3E5 HTTP/1.1\r\n"
                  f"Host: {lake.address}\r\nAuthorization: Bearer {lake.token}\r\n\r\n").encode())
    busy(before, 0.3)
    spent = spent_after(sock.close)
    holds(spent <= STOP_S, f"{spent:.2f} s behind the end of the client")


@case
def many_clients_at_once():
    """Twelve that run or wait for a connection of the engine, sixty more that wait for a worker: no one of them is worked for."""
    before = cpu()
    queries = ("SELECT count(*) FROM range(100000000000) t(i) WHERE i % 7 = {}",
               "SELECT count(*) FROM big.t a, big.t b WHERE a.h + b.h = {}",
               "SELECT * FROM big.t a, range(20) r(k) ORDER BY a.txt, k + {}")
    socks = [ask(queries[i % 3].format(i)) for i in range(72)]
    busy(before, 0.6)
    spent = spent_after(lambda: [sock.close() for sock in socks])
    print(f"     {spent * 1000:.0f} ms behind the end of 72 clients", flush=True)
    holds(spent <= STOP_S + 0.15, f"{spent:.2f} s of work behind the end of all clients")
    wait_for(lambda: metric("tarn_http_in_flight") == 1, "the end of all requests")
    equal(lake.rows("SELECT 1"), [[1]])


@case
def clients_that_come_and_go():
    for turn in range(12):
        socks = [ask(f"SELECT count(*) FROM range(100000000000) t(i) WHERE i % {turn + i + 2} = 1") for i in range(10)]
        if turn % 3:
            time.sleep(0.01 * turn)
        for sock in socks:
            sock.close()
    wait_for(lambda: metric("tarn_http_in_flight") == 1, "the end of all requests")
    equal(lake.rows("SELECT 1"), [[1]])
    equal(metric("tarn_sql_interrupts_late_total"), 0)


@case
def a_call_that_runs_on_is_counted():
    """The engine looks at an interrupt between blocks of rows; one function over large values is such a block."""
    text = "SELECT sum(levenshtein(repeat('ab', {n}), repeat('ba', {n}) || i)) FROM range(1) t(i)"
    size, spent = 1000, 0
    while spent < 0.2:
        size *= 2
        began = cpu()
        lake.rows(text.format(n=size))
        spent = cpu() - began
    size = int(size * (5 / spent) ** 0.5)  # about five seconds of one core
    before = cpu()
    sock = ask(text.format(n=size))
    busy(before, 0.3)
    sock.close()
    wait_for(lambda: metric("tarn_sql_interrupts_late_total") == 1, "the count of the late call", 60)
    wait_for(lambda: metric("tarn_http_in_flight") == 1, "the end of the request", 120)
    equal(metric("tarn_sql_interrupts_late_total"), 1)
    lines = [line for line in Path(lake.log.name).read_text().splitlines() if "behind its interrupt" in line]
    equal(len(lines), 1)
    holds("levenshtein" in lines[0], "the text in the log line")


main()
