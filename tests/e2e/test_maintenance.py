"""docs/maintenance.md as it stands: its lines run, its settings and properties are the server's, and the table of objects stays small."""
import re
import shlex
import subprocess
import time

from lake import Lake, TARN, TOP, case, equal, holds, main

PAGE = (TOP / "docs/maintenance.md").read_text()
SETTINGS = set(re.findall(r'^SETTING\("([^"]+)"', (TOP / "src/main/settings.def").read_text(), re.M))
lake = Lake(None, "--set", "maintenance.interval=1s", "--set", "store.trash=2s", "--set", "maintenance.reclaim=1s",
            "--set", "maintenance.compact_files=4", "--set", "objects.interval=10ms")


@case
def every_line_runs():
    ran = 0
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            out = subprocess.run([TARN, *words[1:], "--data", lake.data], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, timeout=60)
            equal(out.returncode, 0, f"{line}: {out.stderr}")
            ran += 1
    holds(ran >= 8, f"{ran} lines")


@case
def its_settings_and_properties_are_there():
    named = set(re.findall(r"`((?:maintenance|store|objects)\.[a-z_]+)`", PAGE))
    holds(len(named) >= 6 and named <= SETTINGS, named - SETTINGS)
    source = "".join(path.read_text() for folder in ("table", "source", "main") for path in (TOP / "src" / folder).glob("*.c"))
    for name in re.findall(r"^\| `((?:tarn|history|gc|write)\.[a-z.-]+)` \|", PAGE, re.M):
        holds(f'"{name}"' in source, name)


@case
def the_table_of_objects_stays_small():
    for number in range(40):
        equal(lake.ingest("few", f"{number}.txt", str(number).encode()).status // 100, 2)
        time.sleep(0.02)
    until = time.monotonic() + 60
    while not lake.rows("SELECT count(*) FROM tarn.snapshots WHERE table_name = 'objects' AND operation = 'replace'")[0][0]:
        holds(time.monotonic() < until, "files were joined")
        time.sleep(0.2)
    equal(lake.rows("SELECT count(*), count(DISTINCT name) FROM bronze.objects"), [[40, 40]])
    about = lake.request("GET", "/v1/datasets/bronze.objects").json
    metadata = lake.request("GET", "/v1/objects/" + about["metadata"][5:]).json
    equal((metadata["properties"]["tarn.compact"], metadata["properties"]["tarn.snapshots-thin"]), ("true", "true"))


def metric(name):
    return int(float(re.search(rf"^tarn_{name} (\S+)$", lake.request("GET", "/metrics").text, re.M)[1]))


def wait_until(what, check):
    until = time.monotonic() + 60
    while not check():
        holds(time.monotonic() < until, what)
        time.sleep(0.2)


@case
def the_metrics_tell_what_was_done():
    for name in re.findall(r"`tarn_([a-z_]+)`", PAGE):
        metric(name)
    holds(metric("maintenance_joined_files_total") >= 4, "files were joined")
    holds(metric("maintenance_joined_bytes_total") > 0, "and have bytes")
    holds(abs(metric("maintenance_last_seconds") - time.time()) < 60, "the last round")
    equal(metric("maintenance_failures_total"), 0)


@case
def a_dropped_table_leaves_nothing():
    lake.sql("CREATE TABLE silver.gone AS SELECT i AS id FROM range(1000) t(i)")
    lake.sql("INSERT INTO silver.gone VALUES (1000)")
    about = lake.request("GET", "/v1/datasets/silver.gone").json
    key = about["metadata"][5:]
    equal(lake.request("GET", "/v1/objects/" + key).status, 200)
    tables, files = metric("maintenance_removed_tables_total"), metric("maintenance_removed_files_total")
    lake.sql("DROP TABLE silver.gone")
    lake.sql("CREATE TABLE silver.gone AS SELECT 7 AS id")
    wait_until("its files are gone", lambda: lake.request("GET", "/v1/objects/" + key).status == 404)
    wait_until("it is counted", lambda: metric("maintenance_removed_tables_total") > tables)
    holds(metric("maintenance_removed_files_total") - files >= 7, "two data files, two manifests, two lists, metadata")
    holds(metric("maintenance_removed_bytes_total") > 0, "bytes")
    equal(lake.rows("SELECT id FROM silver.gone"), [[7]])
    equal(metric("maintenance_failures_total"), 0)


@case
def it_ends_well():
    equal(lake.stop(), 0)


main()
