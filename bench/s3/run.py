#!/usr/bin/env python3
"""The S3 door beside versitygw and MinIO (nginx for large files) on the same cores, in turns; whoever is not measured is paused.
usage: bench/run.sh BUILD DEPS s3 [ROW...]; rows: put get first large list delimiter versions memory keys; SECONDS each, ROUNDS,
PEERS=versitygw,minio,nginx, LIST_KEYS, KEYS. A peer that cannot be had, or fails, is left out and said so; a row in which tarn fails says so
and the next one begins. Progress goes to standard error."""
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

os.environ.pop("AWS_CA_BUNDLE", None)
import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402

BUILD = Path(sys.argv[1]).resolve()
ROUNDS, SECONDS = int(os.environ.get("ROUNDS", "3")), int(os.environ.get("SECONDS", "2"))
PEERS = os.environ.get("PEERS", "versitygw,minio,nginx").split(",")
LIST_KEYS, KEYS = int(os.environ.get("LIST_KEYS", "100000")), int(os.environ.get("KEYS", "1000000"))
PEER_LIST_KEYS = 20000  # they take a minute for 100,000; what a page of 1,000 costs is the same
LOAD_SECONDS, REST_SECONDS, BEGAN = 180, 10, time.monotonic()
SMALL, LARGE = 16 << 10, 64 << 20


def show(x):
    return "-" if x is None else f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


class Failed(RuntimeError):
    """A server did not do what a row asks of it."""

    def __init__(self, server, why):
        super().__init__(f"{server.name}: {why}")
        self.server = server


def say(text):
    """How far the bench is, for who waits for it."""
    print(f"{time.monotonic() - BEGAN:6.0f} s  {text}", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, work):
        self.work, self.made, self.failed = work, set(), []
        (work / "www/bench").mkdir(parents=True)
        os.chmod(work, 0o755)  # nginx drops its rights
        self.tarn, self.others, self.nginx = Tarn(BUILD, work), [], None
        for name, kind in (("versitygw", Versitygw), ("minio", Minio)):
            path, why = install(name) if name in PEERS else (None, f"{name} was not asked for")
            server = path and self.peer(lambda: kind(path, work), name)
            if server:
                self.others.append(server)
            elif why:
                self.left_out(why)
        if "nginx" in PEERS:
            self.nginx = self.peer(lambda: Nginx(work), "nginx")
        for server in self.all():
            server.pause()

    def left_out(self, why):
        print(f"{why}\n", flush=True)

    def peer(self, start, name):
        try:
            return start()
        except (OSError, RuntimeError) as error:
            self.left_out(f"{name} is left out, it does not start: {error}")
            return None

    def all(self):
        return [self.tarn, *self.others, *([self.nginx] if self.nginx else [])]

    def stop(self):
        for server in self.all():
            server.stop()

    def drop(self, failed, row):
        """A peer that failed has no figure in this row; one that ended has none from here on."""
        why = f"{row}: left out, {' '.join(str(failed).split())[:300]}"
        say(why)
        self.failed.append(why)
        if failed.server.process.poll() is not None:
            self.others = [server for server in self.others if server is not failed.server]
            self.nginx = None if failed.server is self.nginx else self.nginx

    def bucket(self, server, name, versions=False):
        if server is self.nginx or (server, name) in self.made:
            return
        config = Config(retries={"max_attempts": 5}, s3={"addressing_style": "path"}, connect_timeout=20, read_timeout=60)
        client = boto3.client("s3", endpoint_url=f"http://{server.http}", region_name="us-east-1", aws_access_key_id=server.access,
                              aws_secret_access_key=server.secret, config=config)
        try:
            client.create_bucket(Bucket=name)
            if versions:
                client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        except (BotoCoreError, ClientError) as error:
            raise Failed(server, f"bucket {name}: {error}") from error
        self.made.add((server, name))

    def load(self, server, verb, bucket, *words, versions=False):
        """What the load says, and `cpu`: seconds of the server. The server runs only meanwhile."""
        if server.process.poll() is not None:
            raise Failed(server, f"it ended with {server.process.returncode}")
        server.resume()
        try:
            self.bucket(server, bucket, versions)
            plain = ["plain"] if server is self.nginx else []
            before = server.cpu()
            done = subprocess.run([BUILD / "bench/s3_load", verb, server.http, server.access, server.secret, bucket,
                                   *map(str, words), *plain], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  timeout=LOAD_SECONDS)
            cpu = server.cpu() - before
        except subprocess.TimeoutExpired as error:
            raise Failed(server, f"{verb} {' '.join(map(str, words))} took longer than {LOAD_SECONDS} s") from error
        except OSError as error:  # its processes are not there any more
            raise Failed(server, error) from error
        finally:
            server.pause()
        if not done.stdout:
            raise Failed(server, f"the load ended with {done.returncode}: {done.stderr.strip()}")
        got = json.loads(done.stdout)
        if got["errors"]:
            raise Failed(server, f"{got['errors']} errors, first: {got['first_error']}")
        return {**got, "cpu": cpu, "rate": got["requests"] / got["us"] * 1e6, "cpu_us": cpu / got["requests"] * 1e6,
                "mb_s": got["bytes"] / got["us"] * 1e6 / 2**20}

    def times(self, server, operation):
        """The histogram of a server that has one; else None."""
        if server is not self.tarn:
            return None
        server.resume()
        try:
            return server.times(operation)
        except OSError as error:
            raise Failed(server, f"its metrics: {error}") from error
        finally:
            server.pause()

    def each(self, servers, row, measure):
        """{server: measure(server)}; a peer that fails is not in it."""
        found = {}
        for server in servers:
            try:
                found[server] = measure(server)
            except Failed as failed:
                if failed.server is self.tarn:
                    raise
                self.drop(failed, row)
        return found

    def turns(self, servers, row, measure):
        """measure(server, turn) -> dict, of each server in each round; medians. The first round warms up."""
        found = {server: [] for server in servers}
        for turn in range(ROUNDS + 1):
            say(f"{row}: round {turn} of {ROUNDS}")
            got = self.each(list(found), row, lambda server: measure(server, turn))
            found = {server: found[server] + ([value] if turn else []) for server, value in got.items()}
        return {server: {key: statistics.median(got[key] for got in values) for key in values[0] if not key.endswith("first_error")}
                for server, values in found.items()}

    def table(self, work, found, columns, bar):
        """A line a figure; the ratio is tarn to the peer that is best in it."""
        for key, name, scale, pick in columns:
            ours = found[self.tarn][key] * scale
            theirs = {server.name: got[key] * scale for server, got in found.items() if server is not self.tarn and key in got}
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
        found = bench.turns([bench.tarn, *bench.others], f"put {word}", measure)
        bench.table(f"PUT 16 KiB, 64 connections, {word} payload", found, [RATE, CPU, P50, P99],
                    {"rate": ">= 20,000", "cpu_us": f"<= {most}"})


def get(bench):
    servers = bench.each([bench.tarn, *bench.others], "get",
                         lambda server: bench.load(server, "put", "bench", "prefix=get-", "keys=10000", f"size={SMALL}"))
    for verb in ("get", "head"):
        found = bench.turns(servers, verb, lambda server, turn: bench.load(server, verb, "bench", "prefix=get-", "keys=10000",
                                                                           f"seconds={SECONDS}", f"size={SMALL}"))
        bench.table(f"{verb.upper()} 16 KiB, 64 connections", found, [RATE, CPU, P50, P99, P999],
                    {"cpu_us": "<= 0.5", "p999_us": "no 40 ms tails"} if verb == "get" else {})


def first(bench):
    """Each key is put, then read once, then once more."""
    for keys in (1000, 10000):
        def measure(server, turn):
            words = [f"prefix=first-{keys}-{turn}-", f"keys={keys}", f"requests={keys}", f"size={SMALL}"]
            bench.load(server, "put", "bench", *words)
            server.resume()
            server.settle()
            once, again = (bench.load(server, "get", "bench", *words) for _ in range(2))
            return {**again, **{"first_" + key: value for key, value in once.items()}}
        found = bench.turns([bench.tarn, *bench.others], f"first {keys}", measure)
        named = [("first_" + key, "first " + name, *more) for key, name, *more in (CPU, P50, P99)]
        bench.table(f"GET of {keys:,} objects of 16 KiB right behind their PUT, 64 connections", found, [*named, CPU, P50, P99],
                    {"first_cpu_us": "<= 2 of the second", "first_p50_us": "<= 2 of the second"})


def large(bench):
    """64 MiB over 4 connections; the load compares every byte that comes."""
    words = [f"size={LARGE}", "connections=4", f"seconds={SECONDS}"]
    servers = [bench.tarn, *bench.others]
    for name, more in (("signed", []), ("unsigned", ["unsigned"])):
        found = bench.turns(servers, f"large put {name}", lambda server, turn: bench.load(server, "put", "bench", "prefix=large-",
                                                                                          "keys=8", *words, *more))
        bench.table(f"PUT 64 MiB, 4 connections, {name} payload", found,
                    [("mb_s", "MiB/s", 1, "more"), ("cpu_us", "CPU a request, ms", 1e-3, "less")], {})
    if bench.nginx:
        for i in range(4):
            with (bench.work / f"www/bench/large-{i:09}").open("wb") as out:
                subprocess.run([BUILD / "bench/s3_load", "file", "127.0.0.1:1", "-", "-", "-", f"size={LARGE}", f"first={i}"],
                               stdout=out, check=True)
    found = bench.turns(bench.all(), "large get", lambda server, turn: bench.load(server, "get", "bench", "prefix=large-", "keys=4",
                                                                                  *words))
    bench.table("GET 64 MiB, 4 connections", found, [("mb_s", "MiB/s", 1, "more"), ("cpu_us", "CPU a request, ms", 1e-3, "less")],
                {"mb_s": ">= 0.9 of nginx"})


def within(before, after, part):
    """The bound of the histogram below which `part` of the requests between two looks at it lie; us."""
    counts = dict(before)
    grown = [(bound, count - counts.get(bound, 0)) for bound, count in after]
    return next(bound for bound, count in grown if count >= part * grown[-1][1])


def pages(bench, work, bucket, operation, words, bar, versions=False, connections=4):
    """The load's clock, and the server's beside it: the load shares two cores with who it measures."""
    def keys_of(server):
        return LIST_KEYS if server is bench.tarn else min(LIST_KEYS, PEER_LIST_KEYS)

    def fill(server):
        if (server, bucket + "-full") not in bench.made:
            bench.load(server, "put", bucket, "prefix=l", f"keys={keys_of(server)}", "fold=1000", "size=16", versions=versions)
            bench.made.add((server, bucket + "-full"))

    def measure(server, turn):
        before = bench.times(server, operation)
        got = bench.load(server, "list", bucket, "prefix=l", f"keys={keys_of(server)}", "fold=1000", f"connections={connections}",
                         f"seconds={SECONDS}", *words)
        times = {f"server_p{part * 100:.0f}_us": within(before, bench.times(server, operation), part)
                 for part in (0.5, 0.99)} if before is not None else {}
        return {**got, **times, "items_s": got["items"] / got["us"] * 1e6, "items_cpu": got["items"] / got["cpu"]}
    servers = bench.each([bench.tarn, *bench.others], f"fill {bucket}", fill)
    found = bench.turns(servers, f"list {bucket} {' '.join(words)}", measure)
    bench.table(work, found, [("items_s", "items/s", 1, "more"), ("items_cpu", "items per CPU-second", 1, "more"), P50, P99,
                              ("server_p50_us", "p50 by the server's clock, ms, at most", 1e-3, "less"),
                              ("server_p99_us", "p99 by the server's clock, ms, at most", 1e-3, "less")], bar)


def list_(bench):
    pages(bench, f"LIST {LIST_KEYS:,} keys, pages of 1,000, 4 connections", "lists", "ListObjectsV2", [],
          {"items_cpu": ">= 1,000,000", "p99_us": "< 5", "server_p99_us": "< 5"})


def delimiter(bench):
    pages(bench, f"LIST with a delimiter over {LIST_KEYS:,} keys in folders of 1,000, 1 connection", "lists", "ListObjectsV2",
          ["delimiter"], {"p50_us": "< 2", "server_p50_us": "< 2"}, connections=1)


def versions(bench):
    pages(bench, f"LIST versions of {LIST_KEYS:,} keys, pages of 1,000", "versioned", "ListObjectVersions", ["versions"],
          {"items_cpu": ">= 1,000,000", "p99_us": "< 5", "server_p99_us": "< 5"}, versions=True)
    pages(bench, f"LIST versions with a delimiter over {LIST_KEYS:,} keys", "versioned", "ListObjectVersions",
          ["versions", "delimiter"], {"p50_us": "< 2", "server_p50_us": "< 2"}, versions=True, connections=1)


def memory(bench):
    """1,000 connections that put and get 1 MiB in turns; servers of their own, so that no peak is that of a row before."""
    def measure(server):
        fresh = None
        try:
            fresh = server.another(bench.work / f"memory-{server.name}")
            at_rest = fresh.memory("VmHWM")
            bench.load(fresh, "put", "bench", "prefix=memory-", "keys=1000", f"size={1 << 20}", "connections=16")
            got = bench.load(fresh, "mix", "bench", "prefix=memory-", "keys=1000", f"size={1 << 20}", "connections=1000",
                             "requests=4000")
            return {**got, "at_rest": at_rest, "peak": fresh.memory("VmHWM"), "anonymous": fresh.memory()}
        except (OSError, RuntimeError) as error:
            raise Failed(server, error) from error
        finally:
            if fresh:
                fresh.stop()
    say("memory")
    found = bench.each([bench.tarn, *bench.others], "memory", measure)
    bench.table("PUT and GET 1 MiB, 1,000 connections", found,
                [("at_rest", "peak memory of all processes at rest, MiB", 2**-20, "less"),
                 ("peak", "peak memory of all processes, MiB", 2**-20, "less"),
                 ("anonymous", "anonymous memory behind it, MiB", 2**-20, "less"), ("mb_s", "MiB/s", 1, "more")],
                {"peak": "< 256"})


def keys(bench):
    """Memory and start of a store with KEYS keys; what malloc and the landing of the changes hold for a moment may go first."""
    tarn = bench.tarn.another(bench.work / "keys-tarn")
    try:
        before = tarn.memory()
        step = 100000
        for first in range(0, KEYS, step):
            say(f"keys: {first:,} of {KEYS:,}")
            bench.load(tarn, "put", "many", "prefix=m", f"first={first}", f"keys={min(step, KEYS - first)}", "fold=1000", "size=16",
                       "unsigned")
        tarn.resume()
        full = tarn.memory()
        time.sleep(REST_SECONDS)
        rested = tarn.memory()
        tarn.stop()
        began = time.monotonic()
        tarn.open()
        took = time.monotonic() - began
        for text, value in ((f"{KEYS:,} keys: growth of anonymous memory, MiB", (full - before) / 2**20),
                            (f"the same, {REST_SECONDS} s later, MiB", (rested - before) / 2**20),
                            ("the same, after a restart, MiB", (tarn.memory() - before) / 2**20),
                                            ("the same, from exec to listening, s", took)):
            print(f"| {text} | {show(value)} | - | - | {'nothing per key' if 'MiB' in text else '-'} |", flush=True)
    finally:
        tarn.stop()


ROWS = {"put": put, "get": get, "first": first, "large": large, "list": list_, "delimiter": delimiter, "versions": versions, "memory": memory,
        "keys": keys}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the servers end too
    names = sys.argv[2:] or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        sys.exit(f"no row {', '.join(unknown)}; rows: {' '.join(ROWS)}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}; medians of {ROUNDS} "
          f"rounds of {SECONDS} s in turns\n")
    ours = 0
    with tempfile.TemporaryDirectory(prefix="tarn-bench-", dir=os.environ.get("BENCH_DIR")) as work:
        bench = Bench(Path(work))
        print("| work | tarn | peers | tarn / best peer | bar |\n| --- | --- | --- | --- | --- |", flush=True)
        try:
            for name in names:
                say(f"row {name}")
                try:
                    ROWS[name](bench)
                except Failed as failed:
                    ours += 1
                    print(f"| {name}: failed, {failed} | - | - | - | - |", flush=True)
        finally:
            bench.stop()
    for why in bench.failed:
        print(f"\n{why}")
    print(f"\nload at the end {os.getloadavg()[0]:.1f}; {time.monotonic() - BEGAN:.0f} s in all")
    sys.exit(ours > 0)


main()
