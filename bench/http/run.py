#!/usr/bin/env python3
"""The HTTP server beside nginx on the same two cores, in turns: rates and processor time of each. usage: bench/run.sh BUILD DEPS http
[ROW...]; rows: small tls pipelined two bodies idle parked slow drain; SECONDS each, ROUNDS."""
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from servers import CORES, Door, Nginx, h2load, wrk

BUILD = Path(sys.argv[1]).resolve()
ROUNDS, SECONDS = int(os.environ.get("ROUNDS", "5")), int(os.environ.get("SECONDS", "3"))
GIB = 1 << 30


def row(work, ours, theirs, unit, bar, ratio=None):
    ratio = ours / theirs if ratio is None and theirs else ratio
    show = lambda x: "-" if x is None else f"{x:,.0f}" if x >= 100 else f"{x:.3g}"
    print(f"| {work} | {show(ours)} {unit} | {show(theirs)} {unit if theirs is not None else ''} | "
          f"{'-' if ratio is None else f'{ratio:.2f}'} | {bar} |", flush=True)


class Bench:
    def __init__(self, work):
        self.work = work
        (work / "www").mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", work / "key.pem",
                        "-out", work / "cert.pem"], check=True, stderr=subprocess.DEVNULL)
        with (work / "www/gib.bin").open("wb") as out:
            block = os.urandom(1 << 20)
            for i in range(GIB >> 20):
                out.write(i.to_bytes(8, "little") + block[8:])
        self.nginx, self.door = None, self.door_new()
        with urllib.request.urlopen(f"http://{self.door.http}/fixed") as reply:
            self.fixed = reply.read().decode()  # nginx gives the same bytes

    def door_new(self, *more):
        return Door(BUILD, self.work, "--loops", len(CORES), *more)

    def nginx_new(self):
        return Nginx(self.work, self.fixed)

    def both(self):
        self.door = self.door or self.door_new()
        self.nginx = self.nginx or self.nginx_new()
        return self.door, self.nginx

    def stop(self):
        for server in (self.door, self.nginx):
            if server:
                server.stop()
        self.door = self.nginx = None

    def turns(self, measure):
        """measure(server) -> tuple, of each server in each round; medians by place. One round warms up."""
        servers, found = self.both(), ([], [])
        for turn in range(ROUNDS + 1):
            for server, values in zip(servers, found):
                got = measure(server)
                if turn:
                    values.append(got)
        return [[statistics.median(column) for column in zip(*values)] for values in found]


def load(bench, what, url, bar_rate, bar_cpu, connections=64, pipeline=1):
    def measure(server):
        before = server.cpu()
        got = wrk(url(server), SECONDS, connections, pipeline)
        cpu = server.cpu() - before
        if got["errors"]:
            raise RuntimeError(f"{server.name}: {got['errors']} errors")
        return got["requests"] / got["us"] * 1e6, cpu / got["requests"] * 1e6, got["p99_us"]
    ours, theirs = bench.turns(measure)
    row(what + ", rate", ours[0], theirs[0], "/s", bar_rate)
    row(what + ", CPU a request", ours[1], theirs[1], "us", bar_cpu)
    row(what + ", p99", ours[2], theirs[2], "us", "-")


def small(bench):
    load(bench, "200-byte GET, 64 connections", lambda s: f"http://{s.http}/fixed", "-", "<= 1")


def tls(bench):
    load(bench, "the same over TLS", lambda s: f"https://{s.https}/fixed", "-", "<= 0.8")


def pipelined(bench):
    load(bench, "the same, pipelined by 16", lambda s: f"http://{s.http}/fixed", ">= 5", "-", pipeline=16)


def two(bench):
    """HTTP/2 over TLS: 16 connections with 16 streams each."""
    def measure(server):
        before = server.cpu()
        got = h2load(f"https://{server.https}/fixed", SECONDS, 16, 16)
        if got["errors"]:
            raise RuntimeError(f"{server.name}: {got['errors']} errors")
        return got["requests"] / got["us"] * 1e6, (server.cpu() - before) / got["requests"] * 1e6
    ours, theirs = bench.turns(measure)
    row("HTTP/2 over TLS, 16 connections, 16 streams each, rate", ours[0], theirs[0], "/s", "-")
    row("the same, CPU a request", ours[1], theirs[1], "us", "-")


# ---- bodies of 1 GiB ----

def curl(url, cert, *more):
    """Seconds, bytes each way."""
    done = subprocess.run(["curl", "-sS", "--fail", "--http1.1", "--cacert", str(cert), "-H", "Expect:", "-o", "/dev/null", "-w",
                           "%{time_total} %{size_upload} %{size_download} %{http_code}", *map(str, more), url],
                          stdout=subprocess.PIPE, text=True, check=True)
    seconds, up, down, status = done.stdout.split()
    return float(seconds), int(up), int(down), status


def bodies(bench):
    """In: both read the body and drop it. Out: both send the same file (nginx by sendfile in clear); `made` is a body that the
    server makes as the socket drains, which nginx has nothing like."""
    file, cert = bench.work / "www/gib.bin", bench.work / "cert.pem"
    ways = [("in", "/drop", "/drop", ["-T", file]), ("out, a file", "/file", "/gib.bin", []),
            ("out, made", f"/bytes/{GIB}", "/gib.bin", [])]
    for scheme in ("http", "https"):
        for what, ours_path, theirs_path, more in ways:
            def measure(server):
                url = f"{scheme}://{getattr(server, scheme)}{ours_path if server.name == 'tarn' else theirs_path}"
                cpu, peak = server.cpu(), server.memory("VmHWM")
                seconds, up, down, _ = curl(url, cert, *more)
                if max(up, down) < GIB:
                    raise RuntimeError(f"{server.name}: {up} bytes went, {down} came")
                return GIB / seconds / 2**20, server.cpu() - cpu, (server.memory("VmHWM") - peak) / 2**20
            ours, theirs = bench.turns(measure)
            name = f"1 GiB {what}, {'TLS' if scheme == 'https' else 'clear'}"
            row(name + ", rate", ours[0], theirs[0], "MiB/s", ">= 0.9")
            row(name + ", CPU", ours[1], theirs[1], "s", "-")
            row(name + ", growth of the peak", ours[2], None, "MiB", "flat")


# ---- crowds ----

class Crowd:
    """bench/http/crowd, told by lines; answers are lines of JSON."""

    def __init__(self, mode, address, count, *more):
        self.process = subprocess.Popen([BUILD / "bench/crowd", mode, address, str(count), *map(str, more)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the crowd ended with {self.process.wait()}")
        return json.loads(line)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self):
        self.tell("end")
        said = self.hear()
        self.process.wait(60)
        return said


IDLE = int(os.environ.get("IDLE", "17500"))
OPEN = ("--limit", "connections_max=19000", "--limit", "connections_an_address=200000", "--limit", "requests_an_address=200000",
        "--limit", "idle_ms_max=600000", "--limit", "requests_max=200000")


def idle(bench):
    """Every connection has been used once. User memory: anonymous pages of the process after six seconds of rest (tarn gives
    back what malloc keeps after five); each answers once more at the end."""
    for scheme, bar in (("http", "<= 512"), ("https", "<= 16384")):
        found = []
        bench.stop()
        for make in (lambda: bench.door_new(*OPEN), bench.nginx_new):
            server = make()
            try:
                wrk(f"{scheme}://{getattr(server, scheme)}/fixed", 1, 64)
                before = server.memory()
                crowd = Crowd("idle", getattr(server, scheme), IDLE, *(["tls"] if scheme == "https" else []))
                crowd.hear()
                time.sleep(6)
                found.append((server.memory() - before) / IDLE)
                crowd.tell("again")
                again = crowd.hear()
                if again["ok"] != IDLE:
                    raise RuntimeError(f"{server.name}: {again}")
                crowd.end()
            finally:
                server.stop()
        row(f"{IDLE:,} idle connections, {'TLS' if scheme == 'https' else 'clear'}, user memory each", found[0], found[1], "bytes", bar)


PARKED, CYCLES = int(os.environ.get("PARKED", "15000")), int(os.environ.get("CYCLES", "20000"))


def parked(bench):
    """Park and resume one request after the other, alone and beside PARKED parked ones."""
    bench.stop()
    server = bench.door_new(*OPEN)
    try:
        crowd = Crowd("park", server.http, 0)
        crowd.hear()

        def cycles(who):
            who.tell(f"cycle {CYCLES}")
            who.hear()
            before = server.cpu()
            who.tell("go")
            said = who.hear()
            return (server.cpu() - before) / (CYCLES * 2 + said["misses"]) * 1e6
        alone, among = [], []
        for turn in range(ROUNDS + 1):
            a = cycles(crowd)
            many = Crowd("park", server.http, PARKED)
            many.hear()
            time.sleep(1)
            b = cycles(crowd)
            if turn:
                alone.append(a)
                among.append(b)
            many.tell("wake")
            many.hear()
            for _ in range(50):
                many.tell("state")
                if many.hear()["ok"] == PARKED:
                    break
                time.sleep(0.1)
            end = many.end()
            if end["ok"] != PARKED or end["failed"]:
                raise RuntimeError(f"parked: {end}")
        crowd.end()
    finally:
        server.stop()
    alone, among = statistics.median(alone), statistics.median(among)
    row(f"CPU a request of park and resume, {PARKED:,} parked (right: none)", among, alone, "us", "no growth")


SLOW = int(os.environ.get("SLOW", "2000"))


def slow(bench):
    """p99 of 64 fast connections: without slow ones, while SLOW that send or take a byte a second come, and beside them; when those are
    closed. Bounds of the door: 10 s for a head, 1 KiB/s over 10 s for bodies and replies."""
    bounds = ("--limit", "head_ms_max=10000", "--limit", "rate_window_ms=10000", "--limit", "rate_bytes_min=1024")
    kinds = ("heads", "bodies", "chunks", "replies")
    for name, make, path in (("tarn", lambda: bench.door_new(*OPEN, *bounds), "/bytes/100000000"), ("nginx", bench.nginx_new, "/gib.bin")):
        bench.stop()
        server = make()
        found = [], [], []
        try:
            url = f"http://{server.http}/fixed"
            wrk(url, 1, 64)
            for turn in range(ROUNDS):
                found[0].append(wrk(url, SECONDS, 64)["p99_us"])
                crowd = Crowd("slow", server.http, SLOW, path)
                crowd.hear()
                found[1].append(wrk(url, SECONDS, 64)["p99_us"])
                found[2].append(wrk(url, SECONDS, 64)["p99_us"])
                if turn < ROUNDS - 1:
                    crowd.end()
            for _ in range(70 if name == "tarn" else 35):
                time.sleep(1)
                crowd.tell("state")
                state = crowd.hear()
                if state["cut"] == SLOW:
                    break
            crowd.end()
        finally:
            server.stop()
        without, coming, beside = (statistics.median(values) for values in found)
        bar = "<= 1.5" if name == "tarn" else "-"
        row(f"{name}: p99 of 64 fast while {SLOW:,} slow come (right: without)", coming, without, "us", bar)
        row(f"{name}: p99 of 64 fast beside them (right: without)", beside, without, "us", bar)
        ends = ", ".join(f"{k} {state[k]['last_s']:.0f} s" if not state[k]["open"] else f"{k}: {state[k]['open']} not" for k in kinds)
        print(f"| {name}: slow ones are closed within | {ends} | | | {'all' if name == 'tarn' else '-'} |", flush=True)


def drain(bench):
    """SIGTERM while 2,000 connections are idle and 100 ask for 50 ms of work again and again."""
    failed, took = 0, []
    bench.stop()
    for turn in range(ROUNDS):
        server = bench.door_new(*OPEN, "--drain", "10000")
        try:
            crowd = Crowd("drain", server.http, 2000, 100)
            crowd.hear()
            began = time.monotonic()
            server.stop()
            took.append(time.monotonic() - began)
            time.sleep(0.3)
            said = crowd.end()
            failed += said["failed"] + said["bad_status"]
        finally:
            server.kill()
    row("SIGTERM with 2,000 idle and 100 active: failed requests", failed, None, "", "0")
    row("the same: until the process has ended, longest", max(took), None, "s", "<= 10 s")


ROWS = {"small": small, "tls": tls, "pipelined": pipelined, "two": two, "bodies": bodies, "idle": idle, "parked": parked, "slow": slow,
        "drain": drain}


def main():
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}; medians of {ROUNDS} "
          f"rounds in turns\n")
    print("| work | tarn | nginx | ratio | bar |\n| --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="tarn-bench-", dir=os.environ.get("BENCH_DIR")) as work:
        os.chmod(work, 0o755)  # nginx drops its rights
        bench = Bench(Path(work))
        try:
            for name in sys.argv[2:] or ROWS:
                ROWS[name](bench)
        finally:
            bench.stop()


main()
