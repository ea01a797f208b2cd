"""docs/maintenance.md as it stands: its lines run, its settings and properties are the server's, and the table of objects stays small."""
import re
import shlex
import subprocess
import time

from lake import Lake, TARN, TOP, case, equal, holds, main

PAGE = (TOP / "docs/maintenance.md").read_text()
SETTINGS = set(re.findall(r'^SETTING\("([^"]+)"', (TOP / "src/main/settings.def").read_text(), re.M))
lake = Lake(None, "--set", "maintenance.interval=1s", "--set", "maintenance.compact_files=4", "--set", "objects.interval=10ms")


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


@case
def it_ends_well():
    equal(lake.stop(), 0)


main()
