"""What was deleted or replaced comes back: `tarn object trash` as docs/operate-s3.md shows it, over a restart too."""

import atexit
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lake import Lake, TARN, TOP, case, equal, holds, main

PAGE = (TOP / "docs/operate-s3.md").read_text()
COMMANDS = dict(re.findall(r"`tarn object trash (ls|restore) ([^`]+)`", PAGE))
work = Path(tempfile.mkdtemp(prefix="tarn-trash-"))
atexit.register(shutil.rmtree, work, ignore_errors=True)
SETTINGS = ("--set", "maintenance.interval=1s")
lake = Lake(None, *SETTINGS)
bucket, key = COMMANDS["restore"].split("/", 1)


def tarn(*words, status=0):
    run = subprocess.run([TARN, *words, "--data", lake.data], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         cwd=work, timeout=60)
    equal(run.returncode == 0, status == 0, f"{words}: {run.stdout}{run.stderr}")
    return run.stdout + run.stderr


def put(text):
    (work / "file").write_text(text)
    tarn("object", "put", "file", f"{bucket}/{key}")


def get():
    return tarn("object", "get", f"{bucket}/{key}", "-")


@case
def a_small_object_comes_back_as_the_page_says():
    tarn("bucket", "create", bucket)
    put("one\n")
    tarn("object", "rm", f"{bucket}/{key}")
    listed = tarn("object", "trash", "ls", COMMANDS["ls"])
    holds(key in listed, listed)
    equal(tarn("object", "trash", "restore", COMMANDS["restore"]), f"restored s3://{bucket}/{key}\n")
    equal(get(), "one\n")
    holds("trash has no" in tarn("object", "trash", "restore", COMMANDS["restore"], status=1), "a second time")


@case
def a_large_one_that_was_replaced_comes_back_over_a_restart():
    large = "x" * 300_000
    put(large)
    put("two\n")
    holds("would replace it" in tarn("object", "trash", "restore", COMMANDS["restore"], status=1), "a conflict")
    global lake
    lake.stop()
    lake = Lake(lake.data, *SETTINGS)
    tarn("object", "rm", f"{bucket}/{key}")
    rows = lake.request("GET", f"/v1/trash/{bucket}").json["items"]
    version = next(row["version"] for row in rows if row["size_bytes"] == len(large))
    tarn("object", "trash", "restore", COMMANDS["restore"], "--version", version)
    equal(get(), large)


@case
def other_words_are_refused():
    holds("ls" in tarn("object", "trash", "empty", bucket, status=1), "the verbs are named")


if __name__ == "__main__":
    main()
