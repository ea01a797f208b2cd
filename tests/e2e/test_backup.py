"""`tarn backup`: of a lake that is written to, again over an older one, killed, on a full disk, damaged, without a server;
restored and compared with what was acknowledged."""
import atexit
import http.server
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import boto3
from botocore.config import Config

from lake import TARN, TOP, Lake, case, equal, holds, main

MIB = 1 << 20
work = Path(tempfile.mkdtemp(prefix="tarn-backup-"))
atexit.register(shutil.rmtree, work, ignore_errors=True)
lake = Lake(work / "lake", "--set", "maintenance.interval=1s", "--set", "store.trash=1s")
target = work / "bk"


def client(of):
    return boto3.client("s3", endpoint_url=f"http://{of.admin['s3']}", region_name="us-east-1",
                        aws_access_key_id=of.admin["access_key"], aws_secret_access_key=of.admin["secret_key"],
                        config=Config(retries={"max_attempts": 1}, connect_timeout=20, read_timeout=60))


def tarn(*words, data=lake.data, status=0, env=None):
    words = [TARN, *words, *(["--data", data] if data else [])]
    out = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=280,
                         env={**os.environ, **(env or {})})
    equal(out.returncode, status, f"{words}: {out.stdout} {out.stderr}")
    return out


def backup(*more, to=target, **how):
    return json.loads(tarn("backup", to, "--json", *more, **how).stdout)


def body(number, size):
    return (b"%08d" % number) * (size // 8)


def names(of):
    return [row["name"] for row in json.loads(tarn("backup", "ls", of, "--json", data=None).stdout)["items"]]


def restored(name, *more, of=target):
    to = work / name
    tarn("backup", "restore", of, to, *more, data=None)
    out = tarn("doctor", "--hashes", data=to)
    holds("all is well" in out.stdout, out.stdout)
    return Lake(to)


class Writers:
    """Small and large objects, replaced and deleted ones, rows of a table: with what was acknowledged, and when."""

    def __init__(self):
        self.ending, self.acknowledged, self.deleted, self.rows = threading.Event(), {}, {}, 0
        self.errors, self.threads = [], []
        for number in range(3):
            self.threads.append(threading.Thread(target=self.guard, args=(self.objects, number)))
        self.threads.append(threading.Thread(target=self.guard, args=(self.inserts,)))
        for thread in self.threads:
            thread.start()

    def guard(self, function, *args):
        try:
            function(*args)
        except Exception as why:
            self.errors.append(why)

    def objects(self, writer):
        s3, number = client(lake), 0
        while not self.ending.is_set():
            number += 1
            size = 300000 if number % 5 == 0 else 4000
            key = f"w{writer}/{number:05}"
            s3.put_object(Bucket="written", Key=key, Body=body(number, size))
            self.acknowledged[key] = (number, size)
            if number % 7 == 0:
                gone = f"w{writer}/{number - 5:05}"
                s3.delete_object(Bucket="written", Key=gone)
                self.deleted[gone] = True

    def inserts(self):
        while not self.ending.is_set():
            lake.rows(f"INSERT INTO silver.beside VALUES ({self.rows + 1}, 'row')")
            self.rows += 1

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()
        equal(self.errors, [], "the writers' errors")


@case
def a_lake_that_is_written_to():
    s3 = client(lake)
    s3.create_bucket(Bucket="written")
    lake.rows("CREATE SCHEMA silver")
    lake.rows("CREATE TABLE silver.beside (id BIGINT, name VARCHAR)")
    writers = Writers()
    try:
        while writers.rows < 3 or len(writers.acknowledged) < 60:
            time.sleep(0.05)
            equal(writers.errors, [], "the writers' errors")
        for turn in range(3):
            known, gone, rows = dict(writers.acknowledged), dict(writers.deleted), writers.rows
            made = backup()
            after = dict(writers.acknowledged)
            holds(len(after) > len(known), "writes went on beside it")
            copy = restored(f"turn{turn}")
            holds(copy.request("GET", "/v1/health").json["sequence"] >= made["sequence"], "the sequence")
            its = client(copy)
            pages = its.get_paginator("list_objects_v2").paginate(Bucket="written")
            keys = {row["Key"] for page in pages for row in page.get("Contents", [])}
            late = set(writers.deleted)
            equal(sorted(key for key in known if key not in keys and key not in late), [], "lost")
            equal(sorted(key for key in gone if key in keys), [], "deleted, and there again")
            for key in sorted(keys)[::7]:
                number = int(key.split("/")[1])
                size = 300000 if number % 5 == 0 else 4000
                holds(its.get_object(Bucket="written", Key=key)["Body"].read() == body(number, size), f"bytes of {key}")
            count, most = copy.rows("SELECT count(*), max(id) FROM silver.beside")[0]
            holds(count >= rows and count == most, f"{count} rows up to {most}, {rows} were acknowledged")
            copy.rows("INSERT INTO silver.beside VALUES (-1, 'restored')")
            its.put_object(Bucket="written", Key="new", Body=b"new")
            equal(copy.stop(), 0)
            shutil.rmtree(copy.data)
    finally:
        writers.end()


def last_metrics():
    return dict(re.findall(r"^tarn_(backup_last_\w+) (\d+)$", lake.request("GET", "/metrics").text, re.M))


@case
def metrics_tell_of_a_backup_when_it_was_verified():
    """Copied is not enough: what is copied may be read back damaged, or its disk be full."""
    backup()
    before = last_metrics()
    client(lake).put_object(Bucket="bronze", Key="behind/the/backup", Body=b"x")
    begun = json.loads(lake.request("POST", "/v1/backups", b"").text)
    holds(begun["sequence"] > int(before["backup_last_sequence"]), begun)
    equal(lake.request("DELETE", f"/v1/backups/{begun['id']}").status, 200)
    equal(last_metrics(), before, "copied, not verified")
    path = f"/v1/backups/{begun['id']}/verified"
    equal(lake.request("POST", path, b"").status, 400, "without a sequence")
    equal(lake.request("POST", f"{path}?sequence={begun['sequence'] + 10**6}", b"").status, 400, "of changes that are not there")
    equal(lake.request("POST", f"{path}?sequence={begun['sequence']}", b"").status, 200)
    equal(int(last_metrics()["backup_last_sequence"]), begun["sequence"], "verified")
    equal(lake.request("POST", f"{path}?sequence=1", b"").status, 200, "an older one that took longer")
    equal(int(last_metrics()["backup_last_sequence"]), begun["sequence"], "the newest stays")


class Deaf(http.server.BaseHTTPRequestHandler):
    """The server, but for the word that the copy was verified: as one that went down just before."""

    def forward(self):
        if self.path.partition("?")[0].endswith("/verified"):
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        reply = lake.request(self.command, self.path, b"" if self.command == "POST" else None)
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    do_POST = do_DELETE = forward

    def log_message(self, *_):
        pass


@case
def a_server_that_cannot_be_told_does_not_spoil_the_backup():
    front = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Deaf)
    threading.Thread(target=front.serve_forever, daemon=True).start()
    before = last_metrics()
    client(lake).put_object(Bucket="bronze", Key="before/the/deaf", Body=b"x")
    out = tarn("backup", target, "--json", "--url", f"http://127.0.0.1:{front.server_port}")
    front.shutdown()
    front.server_close()
    made = json.loads(out.stdout)
    holds("the backup is whole" in out.stderr and "tarn_backup_last_seconds" in out.stderr, out.stderr)
    holds(made["sequence"] > int(before["backup_last_sequence"]), made)
    equal(last_metrics(), before, "the metrics know nothing of it")
    tarn("backup", "verify", target, "--name", made["name"], data=None)


@case
def only_what_is_new_is_copied():
    s3 = client(lake)
    for number in range(40):
        s3.put_object(Bucket="written", Key=f"large/{number}", Body=body(number, 400000))
    first = backup()
    s3.put_object(Bucket="written", Key="large/more", Body=body(99, 2 * MIB))
    told = json.loads(tarn("backup", target, "--dry-run", "--json").stdout)
    second = backup()
    segment = 64 * MIB  # the last one of the journal is copied again
    holds(2 * MIB < second["new_bytes"] < segment + 8 * MIB, second)
    holds(2 * MIB < told["new_bytes"] < 2 * segment, told)
    holds(second["files"] > 41 and first["files"] > 40, "both are whole")
    one, two = target / first["name"] / "data", target / second["name"] / "data"
    shared = [path for path in two.rglob("store/objects/*/*") if (one / path.relative_to(two)).exists()]
    holds(len(shared) >= 40, len(shared))
    for path in shared:
        equal(path.stat().st_ino, (one / path.relative_to(two)).stat().st_ino, "one file, two names")
    tarn("backup", "verify", target, "--all", data=None)
    rows = json.loads(tarn("backup", "ls", target, "--json", data=None).stdout)["items"]
    equal([row["name"] for row in rows][-2:], [first["name"], second["name"]])
    backup("--keep", "2")
    rows = json.loads(tarn("backup", "ls", target, "--json", data=None).stdout)["items"]
    equal(len(rows), 2)
    equal(rows[0]["name"], second["name"], "the oldest went")
    tarn("backup", "verify", target, "--all", data=None)


@case
def none_at_all_is_not_all_well():
    (work / "none").mkdir()
    for words in (["--all"], []):
        holds("no whole backup" in tarn("backup", "verify", work / "none", *words, data=None, status=3).stderr, words)


@case
def a_look_makes_nothing():
    away = work / "away"
    told = json.loads(tarn("backup", away, "--dry-run", "--json").stdout)
    equal(told["bytes"], told["new_bytes"])
    holds(told["bytes"] > 16 * MIB and not away.exists(), told)


@case
def killed_in_the_middle():
    before = json.loads(tarn("backup", "ls", target, "--json", data=None).stdout)["items"]
    for number in range(50):
        client(lake).put_object(Bucket="written", Key=f"kill/{number}", Body=body(number, MIB)) if number < 20 else None
    for attempt in range(20):
        process = subprocess.Popen([TARN, "backup", target, "--data", lake.data], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until and process.poll() is None and not list(target.glob("*.part/data/store/journal/*")):
            time.sleep(0.001)
        time.sleep(0.01 * attempt % 0.05)
        process.kill()
        if process.wait() == -signal.SIGKILL and list(target.glob("*.part")):
            break
    else:
        raise AssertionError("it could not be killed in the middle")
    process.stdout.close()
    rows = json.loads(tarn("backup", "ls", target, "--json", data=None).stdout)["items"]
    equal(rows[:len(before)], before, "the older ones")
    tarn("backup", "verify", target, "--all", data=None)
    out = tarn("backup", target)
    holds("goes on with" in out.stderr, out.stderr)
    equal(list(target.glob("*.part")), [], "what was left")
    copy = restored("killed")
    for number in range(20):
        got = client(copy).get_object(Bucket="written", Key=f"kill/{number}")["Body"].read()
        holds(got == body(number, MIB), f"kill/{number}")
    copy.stop()


@case
def killed_while_an_older_one_is_removed():
    apart = work / "newest-alone"
    backup(to=apart)
    older = backup(to=apart)
    rest = apart / (older["name"] + ".gone")
    shutil.copytree(apart / older["name"], rest, copy_function=os.link)
    (rest / "backup.json").unlink()
    shutil.rmtree(rest / "data/meta")
    newest = backup("--keep", "1", to=apart)
    rows = json.loads(tarn("backup", "ls", apart, "--json", data=None).stdout)["items"]
    equal([row["name"] for row in rows], [newest["name"]])
    equal(sorted(p.name for p in apart.iterdir() if p.is_dir()), [newest["name"]], "no rest is left")
    tarn("backup", "verify", apart, "--all", data=None)


@case
def a_lake_with_thousands_of_changes_a_second():
    """While a large database of the metadata is copied; they are no files of tables, so that copy is good."""
    busy = Lake(work / "busy")
    equal(busy.stop(), 0)
    with closing(sqlite3.connect(busy.data / "meta/tarn.db")) as db, db:
        db.executemany("INSERT INTO audit (time_us, principal, verb, target, outcome, detail_json) VALUES (?, '', 'look', '', '', ?)",
                       ((int(time.time() * 1000000), "x" * 60000) for _ in range(2000)))
    busy = Lake(work / "busy")
    s3 = client(busy)
    s3.create_bucket(Bucket="busy")
    s3.put_bucket_versioning(Bucket="busy", VersioningConfiguration={"Status": "Enabled"})
    ending, rounds, errors = threading.Event(), [0], []

    def markers(writer):
        mine = client(busy)
        while not ending.is_set():
            rounds[0] += 1
            try:
                mine.delete_objects(Bucket="busy", Delete={"Quiet": True, "Objects": [
                    {"Key": f"{writer}/{rounds[0]}/{i}"} for i in range(1000)]})
            except Exception as why:
                errors.append(why)
                return

    threads = [threading.Thread(target=markers, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    try:
        while rounds[0] < 8 and not errors:
            time.sleep(0.05)
        backup(to=work / "of-busy", data=busy.data)
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    equal(errors, [], "the writers' errors")
    equal(busy.stop(), 0)


@case
def the_disk_of_the_backup_is_full():
    disk = Path(tempfile.mkdtemp(prefix="tarn-backup-full-"))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], stderr=subprocess.DEVNULL).returncode:
        disk.rmdir()
        print("     skip: a small file system cannot be mounted here; nothing was tried")
        return
    try:
        out = tarn("backup", disk / "bk", status=1)
        holds("No space left" in out.stderr and ".part" in out.stderr, out.stderr)
        out = tarn("backup", "verify", disk / "bk", data=None, status=3)
        holds("no whole backup" in out.stderr, out.stderr)
        subprocess.run(["mount", "-o", "remount,size=900m", disk], check=True)
        out = tarn("backup", disk / "bk")
        holds("goes on with" in out.stderr, out.stderr)
        tarn("backup", "verify", disk / "bk", data=None)
    finally:
        subprocess.run(["umount", "-l", disk])
        disk.rmdir()
    holds(lake.alive(), "the server does not care")


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@case
def damage_is_found():
    apart = work / "apart"
    made = backup(to=apart)
    tree = apart / made["name"] / "data"
    for path in (max(tree.rglob("store/objects/*/*"), key=lambda path: path.stat().st_size),
                 next(tree.rglob("store/journal/*.seg")), tree / "meta/tarn.db"):
        shutil.copy2(path, work / "kept")  # bodies may be other names of the lake's own
        os.unlink(path)
        shutil.copy2(work / "kept", path)
        flip(path, 5000)
        out = tarn("backup", "verify", apart, data=None, status=1)
        holds(str(path.relative_to(tree)) in out.stderr, out.stderr)
        tarn("backup", "restore", apart, work / "damaged", data=None, status=1)
        shutil.rmtree(work / "damaged")
        flip(path, 5000)
    tarn("backup", "verify", apart, data=None)
    path.rename(work / "kept")
    holds("is missing" in tarn("backup", "verify", apart, data=None, status=1).stderr, "a missing file")
    (work / "kept").rename(path)
    flip(apart / made["name"] / "files", 12)
    holds("list" in tarn("backup", "verify", apart, data=None, status=1).stderr, "the list")


@case
def damage_of_the_lake_is_told_and_all_else_copied():
    """A lake of its own: its damage would stay."""
    one = Lake(work / "sick")
    s3 = client(one)
    s3.create_bucket(Bucket="some")
    for number in range(5):
        s3.put_object(Bucket="some", Key=str(number), Body=body(number, 200000))
    victim = next((one.data / "store/objects").glob("*/*"))
    flip(victim, 70000)
    out = tarn("backup", work / "sick-bk", data=one.data, status=1)
    holds(victim.name in out.stderr and "tarn doctor --hashes" in out.stderr, out.stderr)
    rows = json.loads(tarn("backup", "ls", work / "sick-bk", "--json", data=None).stdout)["items"]
    equal(rows[0]["files"], 5 + 4, "FORMAT, clock, master key, database, a segment, four whole bodies")
    one.stop()


@case
def damage_of_the_lake_costs_no_older_backup():
    """A body that became shorter is taken from the backup before; one that no backup has keeps --keep from removing any."""
    one, apart = Lake(work / "hurt"), work / "hurt-bk"
    s3 = client(one)
    s3.create_bucket(Bucket="some")
    s3.put_object(Bucket="some", Key="old", Body=body(1, 200000))
    first = backup(to=apart, data=one.data)
    victim = next((one.data / "store/objects").glob("*/*"))
    kept = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(kept[:100000])
    out = tarn("backup", apart, "--keep", "1", "--json", data=one.data)
    holds(victim.name in out.stderr and "100000 bytes" in out.stderr, out.stderr)
    second = json.loads(out.stdout)["name"]
    equal(names(apart), [second])
    tarn("backup", "restore", apart, work / "hurt-again", data=None)
    equal(next((work / "hurt-again/store/objects").glob("*/*")).read_bytes(), kept, "as it was")
    s3.put_object(Bucket="some", Key="new", Body=body(2, 200000))
    victim = next(path for path in (one.data / "store/objects").glob("*/*") if path.name != victim.name)
    flip(victim, 70000)
    out = tarn("backup", apart, "--keep", "1", data=one.data, status=1)
    holds("no older backup is removed" in out.stderr and "damaged in the lake" in out.stderr, out.stderr)
    equal(names(apart)[0], second)
    equal(len(names(apart)), 2)
    one.stop()


@case
def without_a_server():
    one = Lake(work / "still")
    s3 = client(one)
    s3.create_bucket(Bucket="some")
    s3.put_object(Bucket="some", Key="k", Body=body(1, 200000))
    away = one.data / "admin.json"
    away.rename(work / "admin.json")
    out = tarn("backup", work / "still-bk", data=one.data, status=7)
    holds(f"process {one.process.pid}" in out.stderr, out.stderr)
    (work / "admin.json").rename(away)
    one.kill()
    made = backup(to=work / "still-bk", data=one.data)
    holds(made["files"] == 6, f"FORMAT, clock, master key, database, a segment, a body: {made}")
    floor = (one.data / "clock").read_bytes()
    copy = restored("still-copy", of=work / "still-bk")
    holds((copy.data / "clock").read_bytes() >= floor, "the clock goes on from that of the backup")
    holds(client(copy).get_object(Bucket="some", Key="k")["Body"].read() == body(1, 200000), "the bytes")
    copy.stop()


@case
def what_travels_of_the_secrets():
    made = json.loads(lake.request("POST", "/v1/keys", b'{"name":"traveller","role":"admin"}').text)
    full, bare = backup(to=work / "full-bk"), backup("--without-keys", to=work / "bare-bk")
    paths = {str(path.relative_to(work / "full-bk" / full["name"] / "data"))
             for path in (work / "full-bk" / full["name"] / "data").rglob("*") if path.is_file()}
    holds("keys/master" in paths and "admin.json" not in paths and "LOCK" not in paths, sorted(paths)[:9])
    equal((work / "full-bk" / full["name"] / "data/keys/master").stat().st_mode & 0o777, 0o600)
    holds(not (work / "bare-bk" / bare["name"] / "data/keys").exists(), "left out")
    copy = restored("with-keys", of=work / "full-bk")
    equal(copy.request("GET", "/v1/keys", token=made["key"]).status, 200, "a key of the old lake")
    holds(copy.token != lake.token, "but the server's own is new")
    its = boto3.client("s3", endpoint_url=f"http://{copy.admin['s3']}", region_name="us-east-1",
                       aws_access_key_id=lake.admin["access_key"], aws_secret_access_key=lake.admin["secret_key"])
    holds(its.list_buckets()["Buckets"], "an access key of the old lake")
    copy.stop()
    tarn("backup", "restore", work / "bare-bk", work / "bare", data=None)
    out = subprocess.run([TARN, "serve", "--data", work / "bare", "--http", "127.0.0.1:0"], stderr=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, timeout=60)
    holds(out.returncode and "keys/master is missing" in out.stderr, out.stderr)
    master = (lake.data / "keys/master").read_text().strip()
    env = {"TARN_MASTER_KEY": master}
    holds("all is well" in tarn("doctor", data=work / "bare", env=env).stdout, "with the key beside it")


@case
def a_lake_that_went_another_way():
    """Brought back to an older moment, it writes segments of the same names that hold other changes: none is shared."""
    one, apart = Lake(work / "ways"), work / "ways-bk"
    s3 = client(one)
    s3.create_bucket(Bucket="some")
    s3.put_object(Bucket="some", Key="first", Body=b"first")
    old = backup(to=apart, data=one.data)

    def fill(of, mark):
        its = client(of)
        for number in range(620):  # 120 KiB travel in the journal: more than a segment of 64 MiB
            its.put_object(Bucket="some", Key=f"{mark}/{number}", Body=mark.encode() * 120000)

    fill(one, "a")
    backup(to=apart, data=one.data)
    equal(one.stop(), 0)
    two = restored("ways-again", "--name", old["name"], of=apart)
    fill(two, "b")
    backup(to=apart, data=two.data)
    equal(two.stop(), 0)
    tarn("backup", "verify", apart, data=None)
    three = restored("ways-third", of=apart)
    its = client(three)
    for number in range(0, 620, 31):
        equal(its.get_object(Bucket="some", Key=f"b/{number}")["Body"].read(), b"b" * 120000, f"b/{number}")
    equal(its.list_objects_v2(Bucket="some", Prefix="a/").get("KeyCount"), 0, "of the other way")
    equal(three.stop(), 0)


@case
def a_clock_that_went_back():
    """The newest backup is the one that was made last, whatever the machine's clock said: --keep removes the others."""
    apart = work / "clock-bk"
    (apart / backup(to=apart)["name"]).rename(apart / "20991231T235959Z")
    made = backup("--keep", "1", to=apart)
    equal(names(apart), [made["name"]], "the one just made stays, the older goes")
    holds(made["name"] > "20991231T235959Z", made)
    second = backup("--keep", "1", to=apart)
    equal(names(apart), [second["name"]])
    tarn("backup", "verify", apart, data=None)


@case
def one_damaged_backup_does_not_spoil_the_others():
    """As a `rm -r` that was killed leaves it: without a head."""
    apart = work / "heads-bk"
    first, second, third = (backup(to=apart)["name"] for _ in range(3))
    (apart / first / "backup.json").unlink()
    (apart / second / "backup.json").write_text("{")
    equal(names(apart), [third])
    holds(first in tarn("backup", "ls", apart, data=None).stderr, "it is told")
    tarn("backup", "verify", apart, data=None)
    tarn("backup", "verify", apart, "--name", third, data=None)
    out = tarn("backup", "verify", apart, "--all", data=None, status=1)
    holds(first in out.stderr and second in out.stderr and third in out.stdout, out.stdout + out.stderr)
    tarn("backup", "verify", apart, "--name", first, data=None, status=1)
    out = tarn("backup", target.parent / "heads-bk", "--keep", "1", "--json")
    holds(first in out.stderr and second in out.stderr, out.stderr)
    fourth = json.loads(out.stdout)["name"]
    equal(names(apart), [fourth])
    holds((apart / first).exists() and (apart / second).exists(), "what is damaged is left to a person")
    restored("heads", of=apart).stop()
    (apart / fourth / "backup.json").write_text("{}")
    out = tarn("backup", "restore", apart, work / "heads-none", data=None, status=1)
    holds(fourth in out.stderr and "--name" in out.stderr, "the newest is damaged: an older one is asked for by name")


@case
def names_of_files_with_dots():
    (lake.data / "tls").mkdir(exist_ok=True)
    odd = lake.data / "tls/server..old.pem"
    odd.write_text("old")
    try:
        apart = work / "dots-bk"
        made = backup(to=apart)
        tarn("backup", "verify", apart, data=None)
        equal((apart / made["name"] / "data/tls" / odd.name).read_text(), "old")
        (lake.data / "tls/new\nline.pem").write_text("x")
        out = tarn("backup", apart, status=2)
        holds("name" in out.stderr and "line.pem" in out.stderr, out.stderr)
        equal(names(apart), [made["name"]])
    finally:
        shutil.rmtree(lake.data / "tls")


@case
def a_restore_that_was_not_finished_is_no_lake():
    apart, to = work / "half-bk", work / "half"
    made = backup(to=apart)
    victim = max((apart / made["name"] / "data").rglob("store/journal/*.seg"))
    kept = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(kept[:-1] + b"x")
    tarn("backup", "restore", apart, to, data=None, status=1)
    holds((to / "meta/tarn.db").exists(), "it is half there")
    out = subprocess.run([TARN, "serve", "--data", to, "--http", "127.0.0.1:0"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, timeout=60)
    holds(out.returncode == 5 and "was not finished" in out.stderr and "tarn backup restore" in out.stderr,
          (out.returncode, out.stderr))
    out = tarn("doctor", data=to, status=1)
    holds("was not finished" in out.stdout and "tarn backup restore" in out.stdout, out.stdout)
    holds("was not finished" in tarn("backup", work / "of-half", data=to, status=5).stderr, "nor copied")
    victim.write_bytes(kept)
    holds("not empty" in tarn("backup", "restore", apart, to, data=None, status=5).stderr, "not over it")
    shutil.rmtree(to)
    tarn("backup", "restore", apart, to, data=None)
    holds("all is well" in tarn("doctor", data=to).stdout, "whole")


def left_of(apart, made, change):
    """What a backup that was killed and a power cut may leave: `change` is done to the files of its bodies."""
    part = apart / (made["name"] + ".part")
    (apart / made["name"]).rename(part)
    (part / "backup.json").unlink()
    bodies = sorted(part.rglob("store/objects/*/*"))
    for path in bodies:
        bytes_of = path.read_bytes()
        path.unlink()
        path.write_bytes(change(bytes_of))
    return bodies


@case
def what_a_power_cut_leaves_of_a_killed_one():
    """Of the right length, but damaged: it is copied again, and the lake is not blamed for it."""
    one, apart = Lake(work / "cut"), work / "cut-bk"
    s3 = client(one)
    s3.create_bucket(Bucket="some")
    for number in range(3):
        s3.put_object(Bucket="some", Key=str(number), Body=body(number, 200000))
    for change in (lambda b: bytes(len(b)), lambda b: bytes(4096) + b[4096:]):
        made = backup(to=apart, data=one.data)
        equal(len(left_of(apart, made, change)), 3)
        out = tarn("backup", apart, data=one.data)
        holds("goes on with" in out.stderr and "damaged in the lake" not in out.stderr, out.stderr)
        tarn("backup", "verify", apart, data=None)
        copy = restored("cut-again", of=apart)
        for number in range(3):
            equal(client(copy).get_object(Bucket="some", Key=str(number))["Body"].read(), body(number, 200000))
        equal(copy.stop(), 0)
        shutil.rmtree(copy.data)
        shutil.rmtree(apart)
    equal(one.stop(), 0)


@case
def an_older_one_that_was_cut_off():
    """What is shared with it is looked at: a file that is shorter than it was is copied again."""
    one, apart = Lake(work / "short"), work / "short-bk"
    s3 = client(one)
    s3.create_bucket(Bucket="some")
    s3.put_object(Bucket="some", Key="k", Body=body(1, 200000))
    made = backup(to=apart, data=one.data)
    path = next((apart / made["name"]).rglob("store/objects/*/*"))
    kept = path.read_bytes()
    path.unlink()
    path.write_bytes(kept[:1000])
    backup(to=apart, data=one.data)
    tarn("backup", "verify", apart, data=None)
    equal(one.stop(), 0)


@case
def who_may_and_what_is_refused():
    left = set((lake.data / "tmp").iterdir())  # of the one that was killed, for a minute
    made = backup()
    reader = json.loads(lake.request("POST", "/v1/keys", b'{"name":"only","role":"data_viewer"}').text)["key"]
    equal(lake.request("POST", "/v1/backups", b"", token=reader).status, 403)
    equal(lake.request("POST", "/v1/backups/123", b"").status, 404)
    equal(lake.request("DELETE", "/v1/backups/123").status, 404)
    equal(lake.request("DELETE", "/v1/backups/x").status, 404)
    verbs = {row[0] for row in lake.rows("SELECT verb FROM tarn.audit WHERE verb LIKE 'backup%'")}
    equal(verbs, {"backup.begin", "backup.end", "backup.verified"}, "the audit")
    metrics = last_metrics()
    holds(time.time() - 60 < int(metrics["backup_last_seconds"]) <= time.time(), metrics)
    equal(int(metrics["backup_last_sequence"]), made["sequence"], "the metric")
    equal(set((lake.data / "tmp").iterdir()) - left, set(), "snapshots that were left")
    holds("lies in the lake" in tarn("backup", lake.data / "inside", status=2).stderr, "a target inside")
    holds("is a lake" in tarn("backup", work / "still", status=2).stderr, "a target that is a lake")
    holds("rclone" in tarn("backup", "s3://bucket/x", status=2).stderr, "a target that is no directory")
    (work / "round").symlink_to(work / "round")
    for words in (["backup", work / "round-bk"], ["doctor"]):
        holds("symbolic links" in tarn(*words, data=work / "round", status=1).stderr, "what the machine said")
    holds("no data directory" in tarn("backup", work / "nowhere-bk", data=work / "nowhere", status=3).stderr, "no lake")
    for words in ([], ["verify"], ["restore", target], ["ls", target, "x"], [target, "y"]):
        holds("tarn backup" in tarn("backup", *words, data=None, status=2).stderr, words)
    tarn("backup", target, "--keep", "0", status=2)
    holds("not empty" in tarn("backup", "restore", target, lake.data, data=None, status=5).stderr, "a target in use")
    newest = sorted(target.glob("2*Z"))[-1] / "data"
    out = subprocess.run([TARN, "serve", "--data", newest, "--http", "127.0.0.1:0"], stderr=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, timeout=60)
    holds(out.returncode == 5 and "tarn backup restore" in out.stderr, (out.returncode, out.stderr))
    tarn("backup", "verify", target, data=None)


@case
def the_page_runs_as_it_stands():
    """The commands of docs/backup.md, in order, with its directories and names replaced."""
    page = (TOP / "docs/backup.md").read_text()
    there = work / "page"
    there.mkdir()
    text = "\n".join(re.findall(r"```sh\n(.*?)```", page, re.S))
    for name, real in (("/mnt/backup", there / "mnt"), ("/var/lib/tarn-restored", there / "new"),
                       ("/var/lib/tarn", lake.data)):
        text = text.replace(name, str(real))
    script = f"set -eu\ntarn() {{ {TARN} \"$@\"; }}\n" + text
    out = subprocess.run(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=280)
    equal(out.returncode, 0, out.stdout + out.stderr)
    holds("all is well" in out.stdout and "all as they were copied" in out.stdout, out.stdout)


if __name__ == "__main__":
    main()
