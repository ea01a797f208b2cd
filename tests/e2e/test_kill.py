"""kill -9 in the middle of ingest, of SQL writes and of a model run, then start: nothing acknowledged is lost, no half table
is visible, the run resumes. And a disk that fills up in the middle."""
import atexit
import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from lake import TARN, TOP, VEGA, Lake, case, equal, holds, main

ROUNDS = int(os.environ.get("KILL_ROUNDS", "6"))
dice = random.Random(int(os.environ.get("TARN_SEED", "1")))


def folder():
    work = Path(tempfile.mkdtemp(prefix="tarn-kill-"))
    atexit.register(shutil.rmtree, work, ignore_errors=True)
    return work


def body(number):
    """Deterministic bytes: small ones travel in the journal, large ones are files."""
    size = [100, 50_000, 200_000, 3_000_000][number % 4]
    return random.Random(number).randbytes(size)


def ingest_until_killed(lake, start, acknowledged):
    number = start
    while True:
        data = body(number)
        try:
            reply = lake.ingest("kill", f"f{number}.bin", data, timeout=20)
        except OSError:
            return number
        if reply.status != 200 and reply.status != 201:
            return number
        acknowledged[reply.json["address"]] = hashlib.sha256(data).hexdigest()
        number += 1


@case
def ingest_survives_kill_9():
    work = folder()
    acknowledged, number, round_ = {}, 0, 0
    while round_ < ROUNDS or (len(acknowledged) <= ROUNDS and round_ < 10 * ROUNDS):  # more of them where the disk is slow
        round_ += 1
        lake = Lake(work / "data")
        threading.Timer(dice.uniform(0.05, 0.6), lake.process.kill).start()
        number = ingest_until_killed(lake, number + 1, acknowledged)
        lake.process.wait()
    lake = Lake(work / "data")
    holds(len(acknowledged) > ROUNDS, f"{len(acknowledged)} were acknowledged")
    for address, digest in acknowledged.items():
        reply = lake.request("GET", "/v1/objects/" + address[5:], headers={"Accept": "*/*"})
        equal(reply.status, 200, address)
        equal(hashlib.sha256(reply.body).hexdigest(), digest, address)
    listed = lake.rows("SELECT count(*) FROM bronze.objects")[0][0]
    holds(listed >= len(acknowledged), f"{listed} objects are listed, {len(acknowledged)} acknowledged")
    lake.stop()
    out = subprocess.run([TARN, "doctor", "--data", work / "data", "--hashes"], stdout=subprocess.PIPE, text=True)
    equal(out.returncode, 0, out.stdout)


@case
def tables_survive_kill_9():
    work = folder()
    lake = Lake(work / "data")
    lake.rows("CREATE NAMESPACE k")
    lake.rows("CREATE TABLE k.t (round BIGINT, i BIGINT)")
    lake.stop()
    done = acknowledged = round_ = 0
    while round_ < ROUNDS or (not acknowledged and round_ < 10 * ROUNDS):
        round_ += 1
        lake = Lake(work / "data")
        threading.Timer(dice.uniform(0.05, 0.5), lake.process.kill).start()
        try:
            while True:
                reply = lake.sql(f"INSERT INTO k.t SELECT {done + 1}, i FROM range(1000) t(i)", timeout=20)
                if reply.status != 200:
                    break
                done += 1
                acknowledged += 1
        except OSError:
            pass
        lake.process.wait()
        lake = Lake(work / "data")
        rows = lake.rows("SELECT count(*), max(round), count(DISTINCT round), min(n), max(n) FROM "
                         "(SELECT round, count(*) AS n FROM k.t GROUP BY round)")[0]
        there = rows[1] or 0  # the one in flight may be there, also before any was acknowledged
        holds(there in (done, done + 1), f"{there} inserts are there, {done} were acknowledged")
        if there:
            equal(rows[2], there, "each once")
            equal(rows[3:], [1000, 1000], "no half insert")
            done = there
        lake.stop()
    holds(acknowledged > 0, "inserts were acknowledged")


@case
def a_model_run_resumes_after_kill_9():
    work = folder()
    raw = [VEGA / name for name in ("airports.csv", "flights-3m.parquet", "birdstrikes.csv", "earthquakes.json",
                                    "weather.csv", "zipcodes.csv")]
    lake = Lake(work / "data")
    equal(lake.cli("ingest", *raw, "--source", "skies").returncode, 0)
    run = subprocess.Popen([TARN, "run", TOP / "examples/skies", "--yes", "--data", work / "data"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(dice.uniform(1.0, 3.0))
    lake.kill()
    run.wait(60)
    lake = Lake(work / "data")
    for ns, name in lake.rows("SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('silver', 'gold')"):
        lake.rows(f"SELECT count(*) FROM {ns}.{name}")
    out = lake.cli("run", TOP / "examples/skies", "--yes")
    equal(out.returncode, 0, out.stdout[-2000:] + out.stderr[-2000:])
    equal(lake.rows("SELECT count(*) FROM silver.flights"), [[2999806]])
    equal(lake.rows("SELECT count(*) FROM gold.route"), [[3399]])
    out = lake.cli("run", TOP / "examples/skies", "--yes")
    equal(out.returncode, 0)
    holds("nothing is missing" in out.stdout, out.stdout)
    lake.stop()


@case
def a_full_disk_refuses_and_recovers():
    work = Path(tempfile.mkdtemp(prefix="tarn-full-"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", work], stderr=subprocess.DEVNULL).returncode:
        work.rmdir()
        print("     skip: a small file system cannot be mounted here; nothing was tried")
        return
    try:
        lake = Lake(work / "data")
        kept = {}
        for number in range(40):
            data = random.Random(number).randbytes(16 << 20)
            reply = lake.ingest("full", f"f{number}.bin", data)
            if reply.status >= 400:
                break
            kept[reply.json["address"]] = hashlib.sha256(data).hexdigest()
        equal(reply.status, 507, reply.text[:300])
        reply = lake.sql("CREATE NAMESPACE f")
        reply = lake.sql("CREATE TABLE f.t AS SELECT i, random() AS r, uuid() AS u FROM range(5000000) t(i)")
        holds(reply.status in (507, 503, 500), f"a write is refused: {reply.status} {reply.text[:200]}")
        holds(lake.alive(), "the server stays up")
        for address, digest in kept.items():
            got = lake.request("GET", "/v1/objects/" + address[5:], headers={"Accept": "*/*"})
            equal(hashlib.sha256(got.body).hexdigest(), digest, address)
        lake.stop()
        subprocess.run(["mount", "-o", "remount,size=900m", work], check=True)
        lake = Lake(work / "data")
        equal(lake.ingest("full", "after.bin", b"x" * 1000).status // 100, 2)
        lake.sql("CREATE NAMESPACE f")
        lake.rows("CREATE TABLE f.t2 AS SELECT i FROM range(1000) t(i)")
        lake.stop()
    finally:
        subprocess.run(["umount", "-l", work])
        work.rmdir()


if __name__ == "__main__":
    main()
