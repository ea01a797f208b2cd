"""Power cuts on real file systems: the whole server works on a disk that remembers, and the disk is given back as a cut at many places would
have left it; then the server starts on it and has to have what it acknowledged before the cut, over S3, ingest and SQL.

usage: test_powercut.py [IMAGES]      60 without a number, half of them ext4, half XFS; TARN_SEED repeats a run's choices
A machine that cannot mount says so, and its images are not counted."""
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "s3_crash"), str(HERE.parent / "e2e")]
from images import KINDS, Images, Mounted, Recorder, private_mounts, why_not  # noqa: E402
from lake import TARN, Lake  # noqa: E402
from load import Client  # noqa: E402
from model import Model, Report, look  # noqa: E402
from s3wire import S3, Unknown  # noqa: E402

PER_RECORDING, CONTROL, CLIENTS, SECONDS = 30, 3, 3, 3.0
CHECK_SECONDS = 200  # a run without a number begins no further image behind it
SETTINGS = ["--s3", "127.0.0.1:0", "--set", "maintenance.interval=1s", "--set", "store.trash=1s", "--set", "http.access_log=off"]
ROWS = 50
LOSSES = ("lost write", "resurrected delete", "half object")


class OtherDoors(threading.Thread):
    """Files by ingest and rows by INSERT, with the place in the log before and after each."""

    def __init__(self, lake, place, stop, seed):
        super().__init__()
        self.lake, self.place, self.stopped, self.dice = lake, place, stop, random.Random(seed)
        self.files, self.inserts, self.why = [], [], None

    def run(self):
        number = 0
        while not self.stopped.is_set():
            number += 1
            data = self.dice.randbytes(self.dice.choice([200, 40_000, 300_000]))
            row = [self.place(), None, None, hashlib.sha256(data).hexdigest()]
            self.files.append(row)
            reply = self.lake.ingest("cut", f"f{number}.bin", data)
            if reply.status // 100 != 2:
                self.why = reply.text
                return
            row[1:3] = self.place(), reply.json["address"]
            row = [self.place(), None, number]
            self.inserts.append(row)
            reply = self.lake.sql(f"INSERT INTO cut.t SELECT {number}, i FROM range({ROWS}) t(i)")
            if reply.status != 200:
                self.why = reply.text
                return
            row[1] = self.place()

    def look(self, report, lake, cut):
        for start, end, address, digest in self.files:
            if end is not None and end <= cut:
                reply = lake.request("GET", "/v1/objects/" + address[5:], headers={"Accept": "*/*"})
                report.looked["files"] += 1
                if reply.status != 200:
                    report.add("lost write", f"ingest {address}: {reply.status}")
                elif hashlib.sha256(reply.body).hexdigest() != digest:
                    report.add("half object", f"ingest {address}: {len(reply.body)} bytes")
        found = dict(lake.rows("SELECT n, count(*) FROM cut.t GROUP BY n"))
        for start, end, number in self.inserts:
            report.looked["inserts"] += 1
            rows = found.pop(number, 0)
            if end is not None and end <= cut and rows == 0:
                report.add("lost write", f"INSERT {number}")
            elif rows not in (0, ROWS) or (start >= cut and rows):
                report.add("half object", f"INSERT {number}: {rows} rows")
        if found:
            report.add("half object", f"rows nobody wrote: {found}")


class Recording:
    """A load on a new file system, its log and what was acknowledged when."""

    def __init__(self, kind, seed, preload=None):
        self.kind, self.dice = kind, random.Random(seed)
        self.work = Path(tempfile.mkdtemp(prefix="tarn-powercut-"))
        self.recorder = Recorder(self.work, kind)
        self.model = Model(self.recorder.place)
        self.wrong = []
        lake = Lake(self.recorder.path / "data", *SETTINGS)
        s3 = S3(self.admin(lake))
        for bucket, versions in (("plain", False), ("kept", True)):
            s3.create_bucket(bucket, versions)
            self.model.buckets[bucket] = versions
        s3.close()
        lake.rows("CREATE NAMESPACE cut")
        lake.rows("CREATE TABLE cut.t (n BIGINT, i BIGINT)")
        if preload:
            lake.stop()
            lake.log.close()
            subprocess.run(["sync", "-f", self.recorder.path], check=True)
            os.environ["LD_PRELOAD"] = str(preload)
            lake = Lake(self.recorder.path / "data", *SETTINGS)
            del os.environ["LD_PRELOAD"]
        self.first = self.recorder.place()
        self.load(lake)
        lake.kill()
        lake.log.close()
        self.recorder.end()

    @staticmethod
    def admin(lake):
        return json.loads((lake.data / "admin.json").read_text())

    def load(self, lake):
        stop = threading.Event()
        clients = [Client(self.model, self.admin(lake), f"c{i}", self.dice.random(), 0.005, races=False) for i in range(CLIENTS)]
        self.doors = OtherDoors(lake, self.recorder.place, stop, self.dice.random())
        threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients] + [self.doors]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS)
        self.last = self.recorder.place()
        stop.set()
        for thread in threads:
            thread.join()
        self.wrong = [text for client in clients for text in client.wrong] + [why for why in (self.doors.why,) if why]
        self.wrong += [client.why for client in clients if client.why]

    def cuts(self, count):
        """Three of four right behind an acknowledgement, the others anywhere."""
        ends = {r.end for rows in self.model.requests.values() for r in rows if r.end is not None and r.end > self.first}
        ends |= {row[1] for row in self.doors.files + self.doors.inserts if row[1] is not None}
        ends = sorted(end for end in ends if end <= self.last)
        near = self.dice.sample(ends, min(len(ends), count * 3 // 4))
        return sorted(near + [self.dice.randint(self.first, self.last) for _ in range(count - len(near))])

    def end(self):
        shutil.rmtree(self.work, ignore_errors=True)


def look_at(recording, image, cut, thorough):
    """The server on one image: a Report."""
    report, mounted = Report(), Mounted(image, recording.kind)
    lake = Lake(mounted.path / "data", *SETTINGS, wait=False)
    try:
        lake.wait()
        s3 = S3(recording.admin(lake))
        report, _, _ = look(s3, recording.model, recording.dice, cut)
        recording.doors.look(report, lake, cut)
        s3.put("plain", "after", b"the store takes writes")
        if s3.get("plain", "after").body != b"the store takes writes":
            report.add("half object", "a write after the cut")
        s3.close()
    except (RuntimeError, Unknown, AssertionError, OSError) as why:
        report.add("lost write", f"the server does not start or answer: {str(why)[-600:]}")
    finally:
        lake.kill()
        lake.log.close()
    if thorough:
        out = subprocess.run([TARN, "doctor", "--data", mounted.path / "data", "--hashes"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, timeout=120)
        bad = [line for line in out.stdout.splitlines() if " BAD " in line and not line.endswith("MiB are free")]
        if bad or "ok   store" not in out.stdout:
            report.add("doctor", "; ".join(bad) or out.stdout[-600:])
    mounted.end()
    return report


class Sum:
    def __init__(self, until=None):
        self.until = until
        self.images, self.bad, self.unflushed, self.found, self.looked = Counter(), Counter(), Counter(), Counter(), Counter()
        self.texts = []


def replay(recording, count, total):
    images = Images(recording.work / "log", recording.work)
    for number, cut in enumerate(recording.cuts(count)):
        if total.until and time.monotonic() > total.until:
            break
        kind = KINDS[number % len(KINDS)]
        path, unflushed = images.at(cut, kind, recording.dice)
        report = look_at(recording, path, cut, number % 10 == 0)
        path.unlink()
        total.images[recording.kind] += 1
        total.unflushed[recording.kind] += unflushed > 0
        total.bad[recording.kind] += bool(report.findings)
        total.found += report.counts()
        total.looked += report.looked
        total.texts += [f"{recording.kind}, cut {cut}, {kind} of {unflushed}: {name}: {text}" for name, text in report.findings]
    images.end()


def control(kind, seed):
    """Without syncs acknowledged writes must get lost, or the images show nothing."""
    with tempfile.TemporaryDirectory(prefix="tarn-nosync-") as work:
        preload = Path(work) / "nosync.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", preload, HERE / "nosync.c"], check=True)
        recording, total = Recording(kind, seed, preload), Sum()
    replay(recording, CONTROL, total)
    recording.end()
    return total


def run(kind, count, seed, total):
    """How many checks failed."""
    failed = 0
    while count > 0 and not (total.until and time.monotonic() > total.until):
        recording = Recording(kind, f"{seed} {kind} {count}")
        now = min(count, PER_RECORDING)
        for text in recording.wrong:
            failed += 1
            print(f"FAIL {kind}: wrong answer while recording: {text}")
        replay(recording, now, total)
        recording.end()
        count -= now
        print(f"{kind}: {total.images[kind]} images, {total.bad[kind]} bad", flush=True)
    without = control(kind, f"{seed} control")
    print(f"{kind}, control without syncs: {without.bad[kind]} of {CONTROL} images lose: {dict(without.found)}", flush=True)
    if without.found["lost write"] == 0:
        failed += 1
        print(f"FAIL {kind}: the control run without syncs lost nothing; the images show nothing")
    return failed


def main():
    private_mounts()
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    seed, total, failed, controls = os.environ.get("TARN_SEED", str(time.time_ns() % 1000000)), Sum(), 0, 0
    asked = len(sys.argv) > 1
    for kind in ("ext4", "xfs"):
        why, started = why_not(kind), time.monotonic()
        if why:
            print(f"skip: 0 of {wanted // 2} images of {kind}: {why}", flush=True)
            continue
        total.until = None if asked else started + CHECK_SECONDS / 2
        failed += run(kind, wanted // 2, seed, total)
        controls += 1
        print(f"{kind}: {total.images[kind]} images ({total.unflushed[kind]} with writes that were not flushed), "
              f"{total.bad[kind]} bad, {time.monotonic() - started:.0f} s", flush=True)
    print(f"seed {seed}; compared: {dict(total.looked)}")
    for name in LOSSES:
        print(f"{name}: {total.found[name]}")
    for text in total.texts[:20]:
        print("FAIL", text)
    failed += sum(total.bad.values())
    print(f"{sum(total.images.values()) - sum(total.bad.values()) + controls} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
