"""A server reads what it stores by itself: a flipped bit is logged with the object, counted, and kept for doctor."""
import re
import subprocess
import time
from pathlib import Path

import boto3

from lake import Lake, TARN, case, equal, holds, main

WAIT_S = 60


def s3_of(lake):
    return boto3.client("s3", endpoint_url=f"http://{lake.admin['s3']}", region_name="us-east-1",
                        aws_access_key_id=lake.admin["access_key"], aws_secret_access_key=lake.admin["secret_key"])


def metric(lake, name):
    text = lake.request("GET", "/metrics").text
    return int(re.search(rf"^tarn_{name} (\d+)$", text, re.M).group(1))


def until(what, said):
    end = time.monotonic() + WAIT_S
    while not what():
        holds(time.monotonic() < end, said)
        time.sleep(0.1)


def walked_after(lake, seconds):
    """A walk that began behind this second has ended."""
    until(lambda: metric(lake, "scrub_last_seconds") > seconds + 1, "a walk to the end")


def file_with(data, front):
    for path in (data / "store/objects").rglob("*"):
        if path.is_file() and path.read_bytes().startswith(front):
            return path
    raise AssertionError(f"no file begins with {front!r}")


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def doctor(data):
    return subprocess.run([TARN, "doctor", "--data", data], stdout=subprocess.PIPE, text=True, timeout=120).stdout


@case
def nothing_is_read_before_its_time():
    lake = Lake()
    equal(metric(lake, "scrub_last_seconds"), 0)
    equal(lake.stop(), 0)
    holds("read last" not in doctor(lake.data), "doctor says nothing of a walk that never was")


@case
def a_flipped_bit_is_found_without_a_reader():
    lake = Lake(None, "--set", "store.scrub_interval=1s", "--set", "store.scrub_rate=0")
    s3 = s3_of(lake)
    s3.create_bucket(Bucket="seen")
    s3.put_object(Bucket="seen", Key="good", Body=b"GOOD" * 100000)
    s3.put_object(Bucket="seen", Key="large", Body=b"LARGE" * 100000)
    walked_after(lake, int(time.time()))
    equal(metric(lake, "scrub_findings"), 0)
    holds(metric(lake, "scrub_bytes") >= 900000, "both bodies were read")
    flip(file_with(lake.data, b"LARGELARGE"), 70000)
    until(lambda: metric(lake, "scrub_findings") == 1, "the damage is counted")
    equal(lake.stop(), 0)
    log = Path(lake.log.name).read_text()
    line = next(line for line in log.splitlines() if "event=scrub result=damaged code=CORRUPT" in line)
    holds("object=s3://seen/large" in line and "advice=put the object again" in line, line)
    said = doctor(lake.data)
    holds(re.search(r"note every byte was read last at .*: 1 damaged, the first is s3://seen/large", said), said)


@case
def the_schedule_goes_on_over_a_restart():
    lake = Lake(None, "--set", "store.scrub_interval=1s")
    until(lambda: metric(lake, "scrub_last_seconds") > 0, "a first walk")
    equal(lake.stop(), 0)
    holds("all whole" in doctor(lake.data), "doctor tells of the last walk")
    again = Lake(lake.data)
    until(lambda: metric(again, "scrub_last_seconds") > 0, "what the run before has found is known")
    again.stop()


@case
def it_can_be_closed():
    lake = Lake(None, "--set", "store.scrub_interval=0s")
    equal(metric(lake, "scrub_last_seconds"), 0)
    equal(lake.stop(), 0)


main()
