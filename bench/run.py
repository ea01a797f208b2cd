#!/usr/bin/env python3
"""The benches of tarn, each beside its peer in the same run, as ratios. usage: bench/run.sh BUILD DEPS [NAME...]"""
import http.client
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BUILD, DEPS = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
TARN = BUILD / "tarn"
SKIES_RAW = ["airports.csv", "flights-3m.parquet", "birdstrikes.csv", "earthquakes.json", "weather.csv", "zipcodes.csv"]
ROUNDS = int(os.environ.get("ROUNDS", "3"))


class Server:
    def __init__(self, data, *more):
        self.data = Path(data)
        self.started = time.perf_counter()
        self.process = subprocess.Popen([TARN, "serve", "--data", data, "--http", "127.0.0.1:0", "--s3", "off", *more],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (self.data / "admin.json").unlink(missing_ok=True)
        while True:
            try:
                admin = json.loads((self.data / "admin.json").read_text())
                self.address, self.token = admin["http"], admin["token"]
                self.request("GET", "/v1/health")
                break
            except (OSError, ValueError, KeyError):
                if self.process.poll() is not None:
                    sys.exit("bench: the server ended")
                time.sleep(0.001)
        self.ready = time.perf_counter() - self.started

    def connection(self):
        host, port = self.address.rsplit(":", 1)
        return http.client.HTTPConnection(host, int(port), timeout=600)

    def request(self, method, path, body=None, headers=None, connection=None):
        c = connection or self.connection()
        c.request(method, path, body, {"Authorization": f"Bearer {self.token}", **(headers or {})})
        reply = c.getresponse()
        out = reply.read()
        if reply.status >= 400:
            sys.exit(f"bench: {method} {path}: {reply.status} {out[:500]!r}")
        return out

    def sql(self, text, connection=None):
        return self.request("POST", "/v1/sql", text.encode(), {"Content-Type": "text/plain"}, connection)

    def processes(self):
        """The server and its workers."""
        pids, found = [self.process.pid], []
        while pids:
            pid = pids.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                pids += [int(p) for p in task.read_text().split()]
        return found

    def cpu(self):
        return sum(process_cpu(pid) for pid in self.processes())

    def memory(self, key="VmRSS"):
        total = 0
        for pid in self.processes():
            try:
                text = Path(f"/proc/{pid}/status").read_text()
                total += int(text.split(key + ":")[1].split()[0]) * 1024
            except (OSError, IndexError):
                pass
        return total

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def process_cpu(pid):
    """CPU seconds of a process and of its children that ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0
    return sum(int(fields[i]) for i in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def timed(command, **more):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **more)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name, ours, peer, unit, bar, ratio=None):
    ratio = ratio if ratio is not None else ours / peer if peer else None
    shown = f"{ratio:.2f}" if ratio is not None else "-"
    print(f"| {name} | {ours:.3g} {unit} | {f'{peer:.3g} {unit}' if peer else '-'} | {shown} | {bar} |", flush=True)


def bench_skies():
    """The whole job against a plain DuckDB script that makes the same tables and checks."""
    walls, cpus, peer_walls, peer_cpus, peak = [], [], [], [], 0
    raw = [str(DEPS / "vega-datasets/data" / name) for name in SKIES_RAW]
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="tarn-bench-") as work:
            server = Server(work + "/data")
            cpu = server.cpu()
            wall_i, cpu_i = timed([TARN, "ingest", "--data", work + "/data", "--source", "skies", *raw])
            wall_r, cpu_r = timed([TARN, "run", TOP / "examples/skies", "--data", work + "/data", "--yes"])
            walls.append(wall_i + wall_r)
            cpus.append(server.cpu() - cpu + cpu_i + cpu_r)
            peak = max(peak, server.memory("VmHWM"))
            server.stop()
            wall, cpu = timed([sys.executable, TOP / "bench/skies/peer.py", DEPS / "vega-datasets/data", work + "/peer"])
            peer_walls.append(wall)
            peer_cpus.append(cpu)
    row("skies job, wall", statistics.median(walls), statistics.median(peer_walls), "s", "<= 1.5")
    row("skies job, CPU of all processes", statistics.median(cpus), statistics.median(peer_cpus), "s", "<= 1.5")
    row("skies job, peak resident memory of all processes", peak / 2**20, 0, "MiB", "<= 1536 MiB")


TPCH_TABLES = ["region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]


def tpch_tables(server, work):
    subprocess.run([DEPS / "venv/bin/tpchgen-cli", "parquet", "-s", "1", "-o", work + "/tpch"], check=True,
                   stdout=subprocess.DEVNULL)
    server.sql("CREATE NAMESPACE tpch")
    for name in TPCH_TABLES:
        answer = json.loads(subprocess.run([TARN, "ingest", "--json", "--data", str(server.data), "--source", "tpch",
                                            f"{work}/tpch/{name}.parquet"], check=True, stdout=subprocess.PIPE).stdout)
        server.sql(f"CREATE TABLE tpch.{name} AS SELECT * FROM read_parquet('{answer['address']}')")


def tpch_files(server, work):
    """The data files of our own tables, for the peer."""
    for name in TPCH_TABLES:
        folder = Path(work, "peer", name)
        folder.mkdir(parents=True)
        prefix = ""
        listing = json.loads(server.request("GET", f"/v1/objects/lake?limit=1000&prefix=tpch/{name}/{prefix}"))
        for item in listing["items"]:
            if item["key"].endswith(".parquet"):
                (folder / Path(item["key"]).name).write_bytes(
                    server.request("GET", "/v1/objects/lake/" + item["key"], headers={"Accept": "*/*"}))


def tpch_queries():
    """The 22 queries of the TPC-H extension, with the tables under their namespace."""
    import duckdb
    import duckdb_extension_tpch
    import re
    path = next(Path(duckdb_extension_tpch.__path__[0]).rglob("tpch.duckdb_extension"))
    connection = duckdb.connect()
    connection.execute(f"LOAD '{path}'")
    table = re.compile(r"(?<![.\w])(?<!AS )(" + "|".join(TPCH_TABLES) + r")(?=\s*(,|\n|\)|\bAS\b|$|[a-z]\w*\s*(,|\n)|\s(n1|n2|l1|l2|l3)\b))", re.I)
    for _, text in connection.execute("SELECT query_nr, query FROM tpch_queries() ORDER BY 1").fetchall():
        yield re.sub(r"\bFROM\b(.*?)(?=\bWHERE\b|\bGROUP\b|\bORDER\b|\bON\b|;|$)",
                     lambda found: "FROM" + table.sub(r"tpch.\1", found.group(1)), text, flags=re.I | re.S).rstrip().rstrip(";")


def bench_tpch():
    import duckdb
    queries = list(tpch_queries())
    with tempfile.TemporaryDirectory(prefix="tarn-bench-") as work:
        server = Server(work + "/data")
        tpch_tables(server, work)
        tpch_files(server, work)
        peer = duckdb.connect()
        peer.execute("CREATE SCHEMA tpch")
        for name in TPCH_TABLES:
            peer.execute(f"CREATE VIEW tpch.{name} AS SELECT * FROM read_parquet('{work}/peer/{name}/*.parquet')")
        connection, ratios = server.connection(), []
        for number, text in enumerate(queries, 1):
            ours, theirs = [], []
            for turn in range(ROUNDS + 1):
                start = time.perf_counter()
                server.sql(text, connection)
                middle = time.perf_counter()
                peer.execute(text).fetchall()
                end = time.perf_counter()
                if turn:
                    ours.append(middle - start)
                    theirs.append(end - middle)
            ratios.append(statistics.median(ours) / statistics.median(theirs))
            print(f"<!-- q{number}: {statistics.median(ours) * 1000:.0f} ms, DuckDB {statistics.median(theirs) * 1000:.0f} ms -->", flush=True)
        row("TPC-H SF1, 22 queries, geometric mean", statistics.geometric_mean(ratios), 0, "x", "<= 1.2 (goal 1.1)")
        server.stop()


def bench_small():
    with tempfile.TemporaryDirectory(prefix="tarn-bench-") as work:
        server = Server(work + "/data")
        connection = server.connection()
        times = []
        for _ in range(2000):
            start = time.perf_counter()
            server.sql("SELECT 1", connection)
            times.append(time.perf_counter() - start)
        times.sort()
        row("SELECT 1 through REST, p50", times[len(times) // 2] * 1000, 0, "ms", "< 2 ms")
        row("SELECT 1 through REST, p99", times[len(times) * 99 // 100] * 1000, 0, "ms", "-")
        row("idle, resident, all processes", server.memory() / 2**20, 0, "MiB", "< 150 MiB")
        server.stop()


def bench_start():
    with tempfile.TemporaryDirectory(prefix="tarn-bench-") as work:
        first = Server(work + "/data")
        first.stop()
        times = []
        for _ in range(20):
            server = Server(work + "/data")
            times.append(server.ready)
            server.stop()
        row("first start, with migrations", first.ready * 1000, 0, "ms", "< 500 ms")
        row("exec to first answer, median of 20", statistics.median(times) * 1000, 0, "ms", "< 100 ms")


def curl_upload(url, path, *headers):
    start = time.perf_counter()
    subprocess.run(["curl", "-sS", "--fail", "-o", "/dev/null", "-X", "POST", "-T", path, *headers, url], check=True)
    return time.perf_counter() - start


def page_frames(work):
    """A gibibyte of page frames that the machine has just freed. Under a host that gives memory on first touch, and takes
    it back soon, an upload costs up to a second more or less for what no program can help."""
    scratch = Path(work, "scratch.bin")
    block = bytes(1 << 20)
    with scratch.open("wb") as out:
        for _ in range(1280):
            out.write(block)
    scratch.unlink()


def plain_ingest(file, work):
    """One upload to the plain program, which writes a new file; seconds, CPU seconds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    plain = subprocess.Popen([BUILD / "ingest_plain", port, "plain.bin"], cwd=work)
    try:
        page_frames(work)
        return curl_upload(f"http://127.0.0.1:{port}/", file), process_cpu(plain.pid)
    finally:
        plain.kill()
        plain.wait()


def tarn_ingest(file, work):
    """The same to a server on a new directory; seconds, CPU seconds, growth of resident memory."""
    server = Server(work + "/data")
    cpu, memory = server.cpu(), server.memory()
    url = f"http://{server.address}/v1/ingest?source=bench&name=gib.bin"
    page_frames(work)
    wall = curl_upload(url, file, "-H", f"Authorization: Bearer {server.token}")
    out = wall, server.cpu() - cpu, server.memory("VmHWM") - memory
    server.stop()
    return out


def bench_ingest():
    """Each upload makes a new file in a directory of its own, which goes before the next. One round warms up."""
    walls, cpus, peer_walls, peer_cpus, growth = [], [], [], [], 0
    with tempfile.TemporaryDirectory(prefix="tarn-bench-", dir=os.environ.get("BENCH_DIR")) as work:
        file = Path(work, "gib.bin")
        with file.open("wb") as out:
            block = os.urandom(1 << 20)
            for i in range(1024):
                out.write(i.to_bytes(8, "little") + block[8:])
        for turn in range(ROUNDS + 1):
            with tempfile.TemporaryDirectory(dir=work) as here:
                theirs = plain_ingest(file, here)
            with tempfile.TemporaryDirectory(dir=work) as here:
                ours = tarn_ingest(file, here)
            growth = max(growth, ours[2])
            if turn:
                walls.append(ours[0])
                cpus.append(ours[1])
                peer_walls.append(theirs[0])
                peer_cpus.append(theirs[1])
    row("ingest of 1 GiB, rate", 1024 / statistics.median(walls), 1024 / statistics.median(peer_walls), "MiB/s", ">= 0.8")
    row("ingest of 1 GiB, CPU", statistics.median(cpus), statistics.median(peer_cpus), "s", "-")
    row("ingest, growth of resident memory", growth / 2**20, 0, "MiB", "flat")


BENCHES = {"skies": bench_skies, "tpch": bench_tpch, "small": bench_small, "ingest": bench_ingest, "start": bench_start}


def main():
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}; medians of {ROUNDS} rounds\n")
    print("| work | tarn | peer | ratio | bar |\n| --- | --- | --- | --- | --- |", flush=True)
    for name in sys.argv[3:] or BENCHES:
        BENCHES[name]()


if __name__ == "__main__":
    main()
