"""What joining small files saves a query: bronze.objects after so many landings of one object each, with and without it in turns.

usage: TARN_BUILD=build bench/tables/small_files.py [LANDINGS]"""
import re
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests/e2e"))
from lake import Lake

LANDINGS = int(sys.argv[1]) if len(sys.argv) > 1 else 1440
QUERY = "SELECT count(*), min(event_time), max(event_time) FROM bronze.objects"


def landings(lake):
    return int(float(re.search(r"^tarn_feed_landing_commits_total (\S+)$", lake.request("GET", "/metrics").text, re.M)[1]))


def filled(files):
    """`files`: so many small ones are joined."""
    lake = Lake(None, "--set", "objects.interval=10ms", "--set", "maintenance.interval=1s", "--set",
                f"maintenance.compact_files={files}")
    for number in range(LANDINGS):
        lake.ingest("day", f"{number}.txt", str(number).encode())
        while landings(lake) < number + 1:
            time.sleep(0.002)
    time.sleep(3)
    return lake


def timed(lake):
    begin = time.monotonic()
    if lake.rows(QUERY)[0][0] != LANDINGS:
        raise SystemExit("a row is missing")
    return (time.monotonic() - begin) * 1000


lakes = {"joined": filled(32), "as they landed": filled(10000)}
times = {name: [] for name in lakes}
for _ in range(15):
    for name, lake in lakes.items():
        times[name].append(timed(lake))
for name, lake in lakes.items():
    joins = lake.rows("SELECT count(*) FROM tarn.snapshots WHERE table_name = 'objects' AND operation = 'replace'")[0][0]
    print(f"{name}: {LANDINGS} landings, joined {joins} times: {statistics.median(times[name]):.0f} ms (median of {len(times[name])}) for {QUERY}")
