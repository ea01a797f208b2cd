"""kill -9 under mixed load over the S3 door, again and again on one data directory: nothing acknowledged is lost, nothing deleted
comes back, no object is half, lists and usage are the model's.

In two of three rounds the server ends itself at a named place of the store (src/store/crash_points.def), else at any moment.

usage: test_kill_s3.py [ROUNDS]     without a number: as many of ROUNDS_MAX as fit into SECONDS"""
import atexit
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
from lake import TARN, Lake, holds  # noqa: E402
from load import Client  # noqa: E402
from model import MARKER, Model, look  # noqa: E402
from s3wire import S3  # noqa: E402

SECONDS, ROUNDS_MAX, CLIENTS = 45, 12, 4
POINTS = re.findall(r"^CRASH_POINT\((\w+)", (HERE.parent.parent / "src/store/crash_points.def").read_text(), re.M)
SETTINGS = ["--s3", "127.0.0.1:0", "--set", "maintenance.interval=1s", "--set", "store.trash=1s", "--set", "http.access_log=off"]


class Kill:
    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.data = Path(tempfile.mkdtemp(prefix="tarn-kill-s3-")) / "data"
        atexit.register(shutil.rmtree, self.data.parent, ignore_errors=True)
        ticks = itertools.count(1)
        self.model = Model(lambda: next(ticks))
        self.findings, self.looked, self.early = [], Counter(), 0
        self.points, self.reached = self.dice.sample(POINTS, len(POINTS)), Counter()
        self.points.sort(key=lambda name: name != "journal_unsynced")  # the first one: each write gets there
        self.start()
        s3 = S3(self.admin)
        for bucket, versions in (("plain", False), ("kept", True)):
            s3.create_bucket(bucket, versions)
            self.model.buckets[bucket] = versions
        s3.close()

    def start(self):
        self.lake = Lake(self.data, *SETTINGS)
        self.admin = json.loads((self.data / "admin.json").read_text())

    def start_armed(self, number):
        """A server that ends at a named place, the n-th time it gets there. The name, or None: it ended there already."""
        name = self.points[(number - number // 3 - 1) % len(self.points)]  # every third round has none
        often = 1 + int(self.dice.expovariate(0.3 if re.match("journal|put|blob", name) else 1.5))
        self.lake.kill()
        os.environ.update(TARN_TEST_MODE="1", TARN_CRASH_AT=f"{name}:{often}")
        self.lake = Lake(self.data, *SETTINGS, wait=False)
        del os.environ["TARN_TEST_MODE"], os.environ["TARN_CRASH_AT"]
        try:
            self.lake.wait()
            self.admin = json.loads((self.data / "admin.json").read_text())
        except RuntimeError:
            self.reached[name] += 1
            return None
        return name

    def load(self, number, name=None, least=0):
        """`least`: so many deletes are acknowledged before the end, also on a machine where that takes a while."""
        enough, until = self.model.counts["delete"] + least, time.monotonic() + 60
        clients = [Client(self.model, self.admin, f"c{i}", self.dice.random(), 0.04, number) for i in range(CLIENTS)]
        stop = threading.Event()
        threads = [threading.Thread(target=client.run, args=(stop,)) for client in clients]
        for thread in threads:
            thread.start()
        while self.model.counts["delete"] < enough and time.monotonic() < until and any(thread.is_alive() for thread in threads):
            time.sleep(0.01)
        try:
            self.lake.process.wait(2.5 if name else self.dice.uniform(0.05, 1.0))
            self.reached[name] += 1
        except subprocess.TimeoutExpired:
            self.lake.process.kill()
            self.lake.process.wait()
        stop.set()
        for thread in threads:
            thread.join()
        if self.lake.process.returncode != -9:
            self.findings.append(("end", f"round {number}: the server ended with {self.lake.process.returncode}"))
        self.findings += [("wrong answer", f"round {number}: {text}") for client in clients for text in client.wrong]
        self.findings += [("server error", f"round {number}: {client.answered}") for client in clients if client.answered]

    def restart(self):
        """Sometimes killed once more while it starts."""
        while self.dice.random() < 0.25:
            lake = Lake(self.data, *SETTINGS, wait=False)
            time.sleep(self.dice.uniform(0.01, 0.3))
            lake.kill()
            self.early += 1
        self.start()

    def look(self, number):
        s3 = S3(self.admin)
        report, states, uploads = look(s3, self.model, self.dice)
        self.findings += [(kind, f"round {number}: {text}") for kind, text in report.findings]
        self.looked += report.looked
        self.usage(number, states)
        self.model.settle(states, uploads)
        races = [name for name in self.model.states if name[1].startswith("race/")]
        for at in range(0, len(races), 500):
            s3.delete_many("plain", [key for _, key in races[at:at + 500]])
        for name in races:
            del self.model.states[name]
        s3.close()

    def usage(self, number, states):
        """What the server says that each bucket has is what was listed and read."""
        said = {row["name"]: (row["versions"], row["bytes"]) for row in self.lake.request("GET", "/v1/objects").json["items"]}
        for bucket in self.model.buckets:
            etags = [etag for (where, _), state in states.items() if where == bucket for _, etag in state if etag != MARKER]
            seen = (len(etags), sum(len(self.model.parts_of(etag) or b"") for etag in etags))
            if said[bucket] != seen:
                self.findings.append(("usage", f"round {number}: {bucket} has {seen} (versions, bytes), {said[bucket]} are said"))
            self.looked["usage"] += 1

    def control(self):
        """The same on yesterday's bytes has to be found out, or nothing here can fail."""
        self.lake.stop()
        old = self.data.parent / "old"
        shutil.copytree(self.data, old)
        self.start()
        self.load(0, least=60)
        shutil.rmtree(self.data)
        old.rename(self.data)
        self.start()
        before, self.findings = self.findings, []
        self.look(0)
        found = Counter(kind for kind, _ in self.findings)
        print(f"control, the bytes from before the round: {dict(found)}")
        self.findings = before
        if not found["lost write"] + found["wrong version"] or not found["resurrected delete"]:
            self.findings.append(("control", f"old bytes were not found out: {dict(found)}"))

    def end(self):
        self.lake.stop()
        out = subprocess.run([TARN, "doctor", "--data", self.data, "--hashes", "--deep"], stdout=subprocess.PIPE, text=True,
                             timeout=300)
        if out.returncode:
            self.findings.append(("doctor", out.stdout[-1500:]))


def main():
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    kill = Kill(int(os.environ.get("TARN_SEED", time.time_ns() % 1000000)))
    started, done = time.monotonic(), 0
    while done < (wanted or ROUNDS_MAX) and (wanted or time.monotonic() - started < SECONDS):
        name = kill.start_armed(done) if done % 3 else "any moment"
        if name:
            kill.load(done, name if done % 3 else None)
        kill.restart()
        kill.look(done)
        done += 1
        if wanted and done % 20 == 0:
            print(f"{done} rounds, {len(kill.findings)} findings, {time.monotonic() - started:.0f} s", flush=True)
    kill.control()
    kill.end()
    if done > 5 and not set(kill.reached) - {None}:
        kill.findings.append(("named places", "none was reached: is TARN_CRASH_AT read?"))
    counts, kinds = kill.model.counts, Counter(kind for kind, _ in kill.findings)
    print(f"{done} rounds, {kill.early} more kills at start; acknowledged: {counts['put']} puts ({counts['completed']} in parts), "
          f"{counts['delete']} deletes, {counts['remove']} versions removed; compared after restarts: {kill.looked['objects']} "
          f"objects, {kill.looked['keys']} keys, {kill.looked['races']} races, {kill.looked['uploads']} uploads, {kill.looked['usage']} times a bucket's usage")
    named = {name for name in kill.reached if name}
    print(f"ended at {sum(kill.reached[name] for name in named)} named places, {len(named)} of {len(POINTS)} different ones; not reached: "
          f"{' '.join(sorted(set(POINTS) - named))}")
    for name in ("lost write", "resurrected delete", "half object"):
        print(f"{name}: {kinds[name]}")
    for wrong in kinds:
        for text in [text for kind, text in kill.findings if kind == wrong][:5]:
            print(f"FAIL {wrong} ({kinds[wrong]}): {text}")
    holds(counts["put"] > 0, "puts were acknowledged")
    print(f"{done if not kill.findings else 0} passed, {len(kill.findings)} failed")
    sys.exit(1 if kill.findings else 0)


if __name__ == "__main__":
    main()
