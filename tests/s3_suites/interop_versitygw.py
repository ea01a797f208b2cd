"""versitygw's conformance suite (versitygw test, Go) against the S3 door: what versitygw.list says passes has to pass.

`--measure`: runs every listed test and writes what came to --out, one line each: PASS|FAIL group name why.
One process a test: a test that panics ends nothing else. A test that leaves a bucket behind gets a new server after it."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from queue import Empty, Queue

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from lake import DEPS, Lake  # noqa: E402

SUITE = Path(os.environ.get("VERSITYGW", DEPS / "bin/versitygw"))
AT_ONCE = 2  # servers, each with one test at a time


def listed():
    """(group, test, whether it passes) of versitygw.list; a line that begins with - does not pass."""
    for line in (HERE / "versitygw.list").read_text().splitlines():
        if line and not line.startswith("#"):
            words = line.lstrip("- ").split(None, 2)
            yield words[0], words[1], not line.startswith("-")


class Door:
    def __init__(self):
        self.lake = None
        self.renew()

    def renew(self):
        self.end()
        self.lake = Lake(None, "--s3", "127.0.0.1:0")
        self.admin = json.loads((self.lake.data / "admin.json").read_text())

    def end(self):
        if self.lake:
            self.lake.kill()
            shutil.rmtree(self.lake.data.parent, ignore_errors=True)

    def test(self, name, folder):
        command = [str(SUITE), "test", "-a", self.admin["access_key"], "-s", self.admin["secret_key"],
                   "-e", f"http://{self.admin['s3']}", name, "--versioning-enabled"]
        clean = {key: value for key, value in os.environ.items() if key != "AWS_CA_BUNDLE"}
        try:
            result = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=60)
        except subprocess.TimeoutExpired:
            return False, "no end within 60 s"
        text = re.sub(r"\x1b\[[0-9;]*m", "", result.stdout + result.stderr)
        why = re.search(r"FAIL\s+\w+:?\s*(.*)", text)
        if not why and re.search(r"PASS\s+\w+", text) and result.returncode == 0:
            return True, ""
        return False, (why.group(1) if why else text.strip()[-200:]).replace("\n", " ")


def work(tests, folder, tell):
    """Takes tests until none is left; a server is renewed behind each that fails."""
    door = Door()
    while True:
        try:
            group, name = tests.get_nowait()
        except Empty:
            door.end()
            return
        good, why = door.test(name, folder)
        tell(group, name, good, why)
        if not good:
            door.renew()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--measure", action="store_true")
    options.add_argument("--only", default="")
    options.add_argument("--out", default="-")
    asked = options.parse_args()
    out = sys.stdout if asked.out == "-" else open(asked.out, "w", buffering=1)
    tests, groups, lock = Queue(), Counter(), threading.Lock()
    for group, name, passes in listed():
        if re.search(asked.only, f"{group} {name}") and (passes or asked.measure):
            tests.put((group, name))

    def tell(group, name, good, why):
        with lock:
            groups[group, good] += 1
            if asked.measure or not good:
                print("PASS" if good else "FAIL", group, name, why, file=out)

    with tempfile.TemporaryDirectory(prefix="tarn-versitygw-") as folder:
        workers = [threading.Thread(target=work, args=(tests, folder, tell)) for _ in range(AT_ONCE)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    for group in sorted({group for group, _ in groups}):
        print(f"{group}: {groups[group, True]} of {groups[group, True] + groups[group, False]}")
    passed, failed = (sum(count for (_, good), count in groups.items() if good == truth) for truth in (True, False))
    failed += tests.qsize()  # a worker that broke off
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed and not asked.measure else 0)


main()
