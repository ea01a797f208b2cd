"""What SIGHUP takes of the settings of S3 and of the store, and what waits: the log and `tarn config explain` say the same, at each SIGHUP."""
import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from lake import Lake, TARN, case, equal, holds, main

data = Path(tempfile.mkdtemp(prefix="tarn-settings-")) / "lake"
data.mkdir()
atexit.register(shutil.rmtree, data.parent, ignore_errors=True)
FILE = data / "tarn.yaml"
OTHER = {"s3.listen": "127.0.0.1:1", "s3.listen_tls": "127.0.0.1:2", "s3.region": "eu-north-1", "s3.domain": "s3.example.org",
         "s3.public_host": "s3.example.org", "store.trash": "2h", "store.space_alarm": 86, "store.space_background": 91, "store.space_full": 96,
         "store.reserve": "200M", "store.scrub_interval": "8d", "store.scrub_rate": "1M", "store.feed_journal": "2G"}


def write(settings):
    sections = {}
    for key, value in settings.items():
        section, name = key.split(".")
        sections.setdefault(section, []).append(f"  {name}: {value}\n")
    FILE.write_text("".join(f"{section}:\n{''.join(lines)}" for section, lines in sections.items()))


def explain(*more, status=0):
    out = subprocess.run([TARN, "config", "explain", "--data", data, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    equal(out.returncode, status, out.stderr)
    return out


def rows():
    return {row["key"]: row for row in json.loads(explain("--json").stdout)["items"]}


def reload(lake):
    """The lines that the log got by it."""
    log = Path(lake.log.name)
    before = len(log.read_bytes())
    lake.process.send_signal(signal.SIGHUP)
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        text = log.read_bytes()[before:].decode()
        if "event=reload result=" in text:
            return text
        time.sleep(0.02)
    raise AssertionError("no reload")


def told(text):
    return dict(re.findall(r"setting=(\S+) value=\"[^\"]*\" takes effect (now|at the next start)", text))


for name in [name for name in os.environ if name.startswith("TARN_STORE_")]:
    del os.environ[name]  # the file alone says it here
lake = Lake(data)


@case
def every_setting_says_when_it_is_read():
    for key, row in rows().items():
        holds(row["read"] in ("start", "start, SIGHUP"), row)
    holds({key for key in rows() if key.startswith(("s3.", "store."))} == set(OTHER), "the test has them all")
    text = explain("--no-color").stdout
    equal(text.count("Read at start only.") + text.count("Also read at SIGHUP."), len(rows()))
    holds(re.search(r"store\.trash = 1h.*\n.*Read at start only\.", text), text)
    holds(re.search(r"log\.level = info.*\n.*Also read at SIGHUP\.", text), text)


@case
def what_waits_is_told_at_each_sighup_until_it_is_put_back():
    kinds = {key: "now" if "SIGHUP" in row["read"] else "at the next start" for key, row in rows().items()}
    write({**OTHER, "rate.failures": 61})
    wanted = {key: kinds[key] for key in [*OTHER, "rate.failures"]}
    del wanted["s3.listen"]  # the environment of this server has it
    equal(told(reload(lake)), wanted)
    del wanted["rate.failures"]
    equal(told(reload(lake)), wanted, "again")
    write({"store.trash": "60m", "store.scrub_rate": "32M"})
    equal(told(reload(lake)), {"rate.failures": "now"}, "as they were, in other words")


@case
def what_the_next_start_would_refuse_is_refused_by_both():
    for settings, what in (({"store.space_full": 80}, "store.space_full is 80"), ({"s3.domain": "a.example,,b.example"}, "s3.domain"),
                           ({"store.trash": "soon"}, "tarn.yaml:2"), ({"store.thrash": "1h"}, "store.thrash")):
        write(settings)
        text = reload(lake)
        holds("kept_as_it_was" in text and what in text, text)
        holds(what in explain(status=2).stderr, what)
    FILE.unlink()
    holds("result=ok" in reload(lake), "without a file")


if __name__ == "__main__":
    main()
