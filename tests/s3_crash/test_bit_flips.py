"""Single bits flipped in the journal, in large objects and parts, in the index: `tarn doctor --hashes` has to find every one in a live byte, and no
read over S3 may give wrong bytes as a whole 200.

usage: test_bit_flips.py [FLIPS]     without a number as many of FLIPS_MAX as fit into SECONDS"""
import atexit
import hashlib
import itertools
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
from lake import TARN, Lake  # noqa: E402
from load import Client  # noqa: E402
from model import MARKER, Model, look  # noqa: E402
from s3wire import S3, Refused, Unknown  # noqa: E402

SECONDS, FLIPS_MAX, CLIENTS = 40, 60, 3
SETTINGS = ["--s3", "127.0.0.1:0", "--set", "http.access_log=off"]
SEGMENT_HEAD, SEGMENT_HEAD_USED, RECORD_HEAD = 4096, 64, 40  # journal_priv.h


def journal_live(path):
    """[(from, to)]: the header that is checked, every record but the last (the seal of the orderly end, which carries nothing)."""
    data, at, spans = path.read_bytes(), SEGMENT_HEAD, [(0, SEGMENT_HEAD_USED)]
    while data[at:at + 4] == b"TJR1":
        length = struct.unpack_from("<I", data, at + 4)[0]
        spans.append((at, at + RECORD_HEAD + length))
        at += (RECORD_HEAD + length + 7) // 8 * 8
    return spans[:-1]


def whole(path):
    return [(0, path.stat().st_size)]


def body_etag(path):
    """Of the body in a blob: the footer says how long it is."""
    data = path.read_bytes()
    return hashlib.md5(data[:struct.unpack_from("<Q", data, len(data) - 64 + 24)[0]]).hexdigest()


class Places:
    """Live bytes by kind of file, from which flips are drawn. What lies in the trash is not live, nor can it be told from a live copy."""

    def __init__(self, data, live):
        store = data / "store"
        bodies = {path: body_etag(path) for path in sorted((store / "objects").glob("*/*")) if path.is_file()}
        copies = Counter(bodies.values())
        self.kinds = {
            "journal": [(path, journal_live(path)) for path in sorted((store / "journal").glob("*.seg"))],
            "object": [(path, whole(path)) for path, etag in bodies.items() if etag in live and copies[etag] == 1],
            "index": [(path, whole(path)) for path in sorted((store / "index").iterdir())
                      if path.suffix == ".sst" or path.name.startswith(("MANIFEST", "CURRENT"))],
        }

    def draw(self, kind, dice):
        """(path, byte, bit); files by their number, not their size, so that small ones have their turn."""
        path, spans = dice.choice(self.kinds[kind])
        start, end = dice.choices(spans, [end - start for start, end in spans])[0]
        return path, dice.randrange(start, end), dice.randrange(8)


class Flips:
    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.work = Path(tempfile.mkdtemp(prefix="tarn-flips-"))
        atexit.register(shutil.rmtree, self.work, ignore_errors=True)
        self.good, self.data = self.work / "good", self.work / "data"
        ticks = itertools.count(1)
        self.model = Model(lambda: next(ticks))
        self.wrong, self.found, self.tried, self.reads = [], Counter(), Counter(), Counter()
        self.healed = 0
        self.fill()
        self.places = Places(self.good, self.model.bodies)

    def fill(self):
        lake = Lake(self.good, *SETTINGS)
        admin = json.loads((self.good / "admin.json").read_text())
        s3 = S3(admin)
        for bucket, versions in (("plain", False), ("kept", True)):
            s3.create_bucket(bucket, versions)
            self.model.buckets[bucket] = versions
        stop = threading.Event()
        clients = [Client(self.model, admin, f"c{i}", self.dice.random(), 0.02, races=False) for i in range(CLIENTS)]
        threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
        until = time.monotonic() + 60  # a slow machine has not written enough yet
        while self.model.counts["put"] < 150 and time.monotonic() < until and any(thread.is_alive() for thread in threads):
            time.sleep(0.05)
        stop.set()
        for thread in threads:
            thread.join()
        report, states, uploads = look(s3, self.model, self.dice)
        self.wrong += [str(finding) for finding in report.findings]
        self.wrong += [text for client in clients for text in (*client.wrong, client.answered) if text]
        self.model.settle(states, uploads)
        lake.stop()
        shutil.copytree(self.good, self.data)

    def restore(self):
        """The good bytes again: what differs in size or time is copied, what is new goes."""
        there = {path.relative_to(self.good): path for path in self.good.rglob("*") if path.is_file()}
        for path in self.data.rglob("*"):
            if path.is_file() and path.relative_to(self.data) not in there:
                path.unlink()
        for name, path in there.items():
            copy, wanted = self.data / name, path.stat()
            now = copy.stat() if copy.exists() else None
            if not now or (now.st_size, now.st_mtime_ns) != (wanted.st_size, wanted.st_mtime_ns):
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)

    def doctor(self):
        out = subprocess.run([TARN, "doctor", "--data", self.data, "--hashes"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, timeout=120)
        bad = [line for line in out.stdout.splitlines() if " BAD " in line and not line.endswith("MiB are free")]
        return out.returncode < 0, bool(bad) or ("ok   store" not in out.stdout), out.stdout

    def read(self, name):
        """Every object and version: its bytes, or no whole 200. True: all of them were right."""
        before = self.reads.copy()
        lake = Lake(self.data, *SETTINGS, wait=False)
        try:
            lake.wait()
        except RuntimeError:
            if "/index/" in name:
                self.wrong.append(f"{name}: no start, though the index can be made again")
            if lake.process.returncode < 0:
                self.wrong.append(f"{name}: the server ended with {lake.process.returncode}")
            self.reads["server refuses to start"] += 1
            return False
        s3 = S3(json.loads((self.data / "admin.json").read_text()))
        for (bucket, key), state in self.model.states.items():
            for version, etag in state:
                if etag == MARKER:
                    continue
                try:
                    reply = s3.get(bucket, key, version)
                except (Refused, Unknown) as why:
                    self.reads["read refused" if isinstance(why, Refused) else "read broken off"] += 1
                    continue
                self.reads["read right"] += 1
                if reply.body != self.model.parts_of(etag) or reply.etag != etag:
                    self.wrong.append(f"{name}: WRONG BYTES as 200: {bucket}/{key} {version}")
        if not lake.alive():
            self.wrong.append(f"{name}: the server ended with {lake.process.returncode}")
        s3.close()
        lake.kill()
        lake.log.close()
        return set(self.reads - before) == {"read right"}

    def flip(self, kind, read):
        path, byte, bit = self.places.draw(kind, self.dice)
        self.restore()
        target = self.data / path.relative_to(self.good)
        with open(target, "r+b") as file:
            file.seek(byte)
            old = file.read(1)[0]
            file.seek(byte)
            file.write(bytes([old ^ 1 << bit]))
        name = f"{path.relative_to(self.good)} byte {byte} of {path.stat().st_size} bit {bit}"
        self.tried[kind] += 1
        if read:
            self.read(name)
            self.restore()
            with open(target, "r+b") as file:
                file.seek(byte)
                file.write(bytes([old ^ 1 << bit]))
        crashed, found, text = self.doctor()
        self.found[kind] += found
        if not found and kind == "index" and self.read(name):
            self.healed += 1  # the end of the index's own log: the start took an older index and replayed the journal
            return
        if crashed or not found:
            self.wrong.append(f"{name}: {'doctor crashed' if crashed else 'not found'}: {' | '.join(text.splitlines()[-5:])}")


def main():
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    flips = Flips(os.environ.get("TARN_SEED", str(time.time_ns() % 1000000)))
    crashed, found, text = flips.doctor()
    if crashed or found:
        flips.wrong.append(f"without a flip doctor finds: {text}")
    started, number = time.monotonic(), 0
    while number < (wanted or FLIPS_MAX) and (wanted or time.monotonic() - started < SECONDS):
        flips.flip(("journal", "object", "index")[number % 3], number % 4 == 0)
        number += 1
    for kind in flips.tried:
        print(f"{kind}: {flips.found[kind]} of {flips.tried[kind]} flips found, in {len(flips.places.kinds[kind])} files")
    print(f"index: {flips.healed} more were healed by the start, from the journal, all reads right")
    print(f"reads beside: {dict(flips.reads)}")
    for text in flips.wrong[:20]:
        print("FAIL", text)
    print(f"{number - min(number, len(flips.wrong))} passed, {len(flips.wrong)} failed")
    sys.exit(1 if flips.wrong else 0)


if __name__ == "__main__":
    main()
