#!/usr/bin/env python3
"""The S3 door beside versitygw and MinIO (nginx for large files) on the same cores, in turns; whoever is not measured is paused.
usage: bench/run.sh BUILD DEPS s3 [ROW...]; rows: put get large list delimiter versions memory keys; SECONDS each, ROUNDS,
PEERS=versitygw,minio,nginx, LIST_KEYS, KEYS."""
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from peers import Minio, Nginx, Tarn, Versitygw, install

os.environ.pop("AWS_CA_BUNDLE")
import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402

BUILD = Path(sys.argv[1]).resolve()
ROUNDS, SECONDS = int(os.environ.get("ROUNDS", "3")), int(os.environ.get("SECONDS", "2"))
PEERS = os.environ.get("PEERS", "versitygw,minio,nginx").split(",")
LIST_KEYS, KEYS = int(os.environ.get("LIST_KEYS", "100000")), int(os.environ.get("KEYS", "1000000"))
SMALL, LARGE = 16 << 10, 64 << 20


def show(x):
    return "-" if x is None else f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


class Bench:
    def __init__(self, work):
        self.work, self.made, self.first = work, set(), {}
        (work / "www/bench").mkdir(parents=True)
        os.chmod(work, 0o755)  # nginx drops its rights
        self.tarn, self.others, self.nginx = Tarn(BUILD, work), [], None
        for name, kind in (("versitygw", Versitygw), ("minio", Minio)):
            path, why = install(name) if name in PEERS else (None, f"{name} was not asked for")
            if path:
                self.others.append(kind(path, work))
            else:
                print(f"{why}\n", flush=True)
        if "nginx" in PEERS:
            self.nginx = Nginx(work)
        for server in self.all():
            server.pause()

    def all(self):
        return [self.tarn, *self.others, *([self.nginx] if self.nginx else [])]

    def stop(self):
        for server in self.all():
            server.stop()

    def bucket(self, server, name, versions=False):
        if server is self.nginx or (server, name) in self.made:
            return
        self.made.add((server, name))
        config = Config(retries={"max_attempts": 5}, s3={"addressing_style": "path"})
        client = boto3.client("s3", endpoint_url=f"http://{server.http}", region_name="us-east-1", aws_access_key_id=server.access,
                              aws_secret_access_key=server.secret, config=config)
        client.create_bucket(Bucket=name)
        if versions:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})

    def load(self, server, verb, bucket, *words, versions=False):
        """What the load says, and `cpu`: seconds of the server. The server runs only meanwhile."""
        server.resume()
        try:
            self.bucket(server, bucket, versions)
            plain = ["plain"] if server is self.nginx else []
            before = server.cpu()
            done = subprocess.run([BUILD / "bench/s3_load", verb, server.http, server.access, server.secret, bucket,
                                   *map(str, words), *plain], stdout=subprocess.PIPE, text=True)
            cpu = server.cpu() - before
        finally:
            server.pause()
        if not done.stdout:
            raise RuntimeError(f"{server.name}: the load ended with {done.returncode}")
        got = json.loads(done.stdout)
        if got["errors"]:
            raise RuntimeError(f"{server.name}: {got['errors']} errors, first: {got['first_error']}")
        return {**got, "cpu": cpu, "rate": got["requests"] / got["us"] * 1e6, "cpu_us": cpu / got["requests"] * 1e6,
                "mb_s": got["bytes"] / got["us"] * 1e6 / 2**20}

    def turns(self, servers, measure):
        """measure(server, turn) -> dict, of each server in each round; medians. The first round warms up."""
        found = {server: [] for server in servers}
        for turn in range(ROUNDS + 1):
            for server in servers:
                got = measure(server, turn)
                if turn:
                    found[server].append(got)
        return {server: {key: statistics.median(got[key] for got in values) for key in values[0] if key != "first_error"}
                for server, values in found.items()}

    def table(self, work, found, columns, bar):
        """A line a figure; the ratio is tarn to the peer that is best in it."""
        for key, name, scale, pick in columns:
            ours = found[self.tarn][key] * scale
            theirs = {server.name: got[key] * scale for server, got in found.items() if server is not self.tarn}
            peer = (max if pick == "more" else min)(theirs.values()) if theirs else None
            beside = "; ".join(f"{name} {show(value)}" for name, value in theirs.items()) or "-"
            ratio = f"{ours / peer:.2f}" if peer else "-"
            print(f"| {work}, {name} | {show(ours)} | {beside} | {ratio} | {bar.get(key, '-')} |", flush=True)


RATE, CPU = ("rate", "/s", 1, "more"), ("cpu_us", "CPU a request, us", 1, "less")
P50, P99, P999 = (("p50_us", "p50, ms", 1e-3, "less"), ("p99_us", "p99, ms", 1e-3, "less"), ("p999_us", "p99.9, ms", 1e-3, "less"))


def put(bench):
    """Every request puts a key of its own; answered when durable (peers: as they do)."""
    count = 25000 * SECONDS
    for word, most in (("signed", 45), ("unsigned", 35)):
        def measure(server, turn):
            words = ["unsigned"] if word == "unsigned" else []
            return bench.load(server, "put", "bench", f"prefix=put-{word}-{turn}-", f"keys={count}", f"requests={count}",
                              f"seconds={SECONDS}", f"size={SMALL}", *words)
        found = bench.turns([bench.tarn, *bench.others], measure)
        bench.table(f"PUT 16 KiB, 64 connections, {word} payload", found, [RATE, CPU, P50, P99],
                    {"rate": ">= 20,000", "cpu_us": f"<= {most}"})


def get(bench):
    servers = [bench.tarn, *bench.others]
    for server in servers:
        bench.load(server, "put", "bench", "prefix=get-", "keys=10000", f"size={SMALL}")
    for verb, words in (("get", []), ("head", [])):
        found = bench.turns(servers, lambda server, turn: bench.load(server, verb, "bench", "prefix=get-", "keys=10000",
                                                                     f"seconds={SECONDS}", f"size={SMALL}", *words))
        bench.table(f"{verb.upper()} 16 KiB, 64 connections", found, [RATE, CPU, P50, P99, P999],
                    {"cpu_us": "<= 0.5", "p999_us": "no 40 ms tails"} if verb == "get" else {})


def large(bench):
    """64 MiB over 4 connections; the load compares every byte that comes."""
    words = [f"size={LARGE}", "connections=4", f"seconds={SECONDS}"]
    for name, more in (("signed", []), ("unsigned", ["unsigned"])):
        found = bench.turns([bench.tarn, *bench.others], lambda server, turn: bench.load(server, "put", "bench", "prefix=large-",
                                                                                         "keys=8", *words, *more))
        bench.table(f"PUT 64 MiB, 4 connections, {name} payload", found,
                    [("mb_s", "MiB/s", 1, "more"), ("cpu_us", "CPU a request, ms", 1e-3, "less")], {})
    if bench.nginx:
        for i in range(4):
            with (bench.work / f"www/bench/large-{i:09}").open("wb") as out:
                subprocess.run([BUILD / "bench/s3_load", "file", "127.0.0.1:1", "-", "-", "-", f"size={LARGE}", f"first={i}"],
                               stdout=out, check=True)
    found = bench.turns(bench.all(), lambda server, turn: bench.load(server, "get", "bench", "prefix=large-", "keys=4", *words))
    bench.table("GET 64 MiB, 4 connections", found, [("mb_s", "MiB/s", 1, "more"), ("cpu_us", "CPU a request, ms", 1e-3, "less")],
                {"mb_s": ">= 0.9 of nginx"})


def pages(bench, work, bucket, words, bar, versions=False, connections=4):
    servers = [bench.tarn, *bench.others]
    for server in servers:
        if (server, bucket + "-full") not in bench.made:
            bench.load(server, "put", bucket, "prefix=l", f"keys={LIST_KEYS}", "fold=1000", "size=16", versions=versions)
            bench.made.add((server, bucket + "-full"))

    def measure(server, turn):
        got = bench.load(server, "list", bucket, "prefix=l", f"keys={LIST_KEYS}", "fold=1000", f"connections={connections}",
                         f"seconds={SECONDS}", *words)
        return {**got, "items_s": got["items"] / got["us"] * 1e6, "items_cpu": got["items"] / got["cpu"]}
    found = bench.turns(servers, measure)
    bench.table(work, found, [("items_s", "items/s", 1, "more"), ("items_cpu", "items per CPU-second", 1, "more"), P50, P99], bar)


def list_(bench):
    pages(bench, f"LIST {LIST_KEYS:,} keys, pages of 1,000, 4 connections", "lists", [],
          {"items_cpu": ">= 1,000,000", "p99_us": "< 5"})


def delimiter(bench):
    pages(bench, f"LIST with a delimiter over {LIST_KEYS:,} keys in folders of 1,000, 1 connection", "lists", ["delimiter"],
          {"p50_us": "< 2"}, connections=1)


def versions(bench):
    pages(bench, f"LIST versions of {LIST_KEYS:,} keys, pages of 1,000", "versioned", ["versions"],
          {"items_cpu": ">= 1,000,000", "p99_us": "< 5"}, versions=True)
    pages(bench, f"LIST versions with a delimiter over {LIST_KEYS:,} keys", "versioned", ["versions", "delimiter"],
          {"p50_us": "< 2"}, versions=True, connections=1)


def memory(bench):
    """1,000 connections that put and get 1 MiB in turns."""
    found = {}
    for server in (bench.tarn, *bench.others):
        bench.load(server, "put", "bench", "prefix=memory-", "keys=1000", f"size={1 << 20}", "connections=16")
        got = bench.load(server, "mix", "bench", "prefix=memory-", "keys=1000", f"size={1 << 20}", "connections=1000",
                         "requests=4000")
        found[server] = {**got, "peak": server.memory("VmHWM"), "anonymous": server.memory()}
    bench.table("PUT and GET 1 MiB, 1,000 connections", found,
                [("peak", "peak memory of all processes, MiB", 2**-20, "less"),
                 ("anonymous", "anonymous memory behind it, MiB", 2**-20, "less"), ("mb_s", "MiB/s", 1, "more")],
                {"peak": "< 256"})


def keys(bench):
    """Memory and start of a store with KEYS keys."""
    tarn = bench.tarn
    tarn.resume()
    before = tarn.memory()
    step = 100000
    for first in range(0, KEYS, step):
        bench.load(tarn, "put", "many", "prefix=m", f"first={first}", f"keys={step}", "fold=1000", "size=16", "unsigned")
    tarn.resume()
    grown = tarn.memory() - before
    tarn.stop()
    began = time.monotonic()
    tarn.open()
    took = time.monotonic() - began
    print(f"| {KEYS:,} keys: growth of anonymous memory, MiB | {show(grown / 2**20)} | - | - | nothing per key |")
    print(f"| the same, after a restart, MiB | {show((tarn.memory() - before) / 2**20)} | - | - | nothing per key |")
    print(f"| the same, from exec to listening, s | {show(took)} | - | - | - |", flush=True)
    tarn.pause()


ROWS = {"put": put, "get": get, "large": large, "list": list_, "delimiter": delimiter, "versions": versions, "memory": memory,
        "keys": keys}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the servers end too
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}; medians of {ROUNDS} "
          f"rounds of {SECONDS} s in turns\n")
    with tempfile.TemporaryDirectory(prefix="tarn-bench-", dir=os.environ.get("BENCH_DIR")) as work:
        bench = Bench(Path(work))
        print("| work | tarn | peers | tarn / best peer | bar |\n| --- | --- | --- | --- | --- |", flush=True)
        try:
            for name in sys.argv[2:] or ROWS:
                ROWS[name](bench)
        finally:
            bench.stop()
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")


main()
