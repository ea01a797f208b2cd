"""versitygw's conformance suite (versitygw test, Go) against the S3 door: what versitygw.list says passes has to pass.

`--measure`: runs every listed test and writes what came to --out, one line each: PASS|FAIL group name why.
One process a test: a test that panics ends nothing else. A test that leaves a bucket behind gets a new server after it."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from lake import Lake  # noqa: E402

MODULE = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
GO_LEAST = (1, 25)  # what the module asks for; Debian 12's own is older
CACHE = Path(os.environ.get("TARN_INTEROP_CACHE", Path.home() / ".cache/tarn/interop"))


def go_version():
    """Of the compiler on the PATH; (0, 0): none."""
    try:
        text = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0, 0
    found = re.match(r"go(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def binary():
    """Where the suite is; built by name through the Go module proxy when it is not there. None: it cannot be built."""
    given = os.environ.get("VERSITYGW")
    path = Path(given) if given else CACHE / "bin" / "versitygw"
    if not path.exists():
        if go_version() < GO_LEAST:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["go", "install", MODULE], check=True, env=os.environ | {"GOBIN": str(path.parent), "GOFLAGS": "-p=1"})
    return path


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
        if self.lake:
            self.lake.kill()
        self.lake = Lake(None, "--s3", "127.0.0.1:0")
        self.admin = json.loads((self.lake.data / "admin.json").read_text())

    def test(self, suite, name, folder):
        command = [str(suite), "test", "-a", self.admin["access_key"], "-s", self.admin["secret_key"],
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


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--measure", action="store_true")
    options.add_argument("--only", default="")
    options.add_argument("--out", default="-")
    asked = options.parse_args()
    suite, passed, failed, groups = binary(), 0, 0, Counter()
    if suite is None:
        print(f"skip: versitygw wants Go {GO_LEAST[0]}.{GO_LEAST[1]} to be built; VERSITYGW=PATH names a built one")
        print("0 passed, 0 failed")
        return
    out = sys.stdout if asked.out == "-" else open(asked.out, "w", buffering=1)
    door = Door()
    with tempfile.TemporaryDirectory(prefix="tarn-versitygw-") as folder:
        for group, name, passes in listed():
            if not re.search(asked.only, f"{group} {name}") or not (passes or asked.measure):
                continue
            good, why = door.test(suite, name, folder)
            groups[group, good] += 1
            passed, failed = passed + good, failed + (not good)
            if asked.measure or not good:
                print("PASS" if good else "FAIL", group, name, why, file=out)
            if not good:
                door.renew()
    for group in sorted({group for group, _ in groups}):
        print(f"{group}: {groups[group, True]} of {groups[group, True] + groups[group, False]}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed and not asked.measure else 0)


main()
