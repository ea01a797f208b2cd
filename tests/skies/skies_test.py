#!/usr/bin/env python3
"""The demo project on its real files must give the answers of expected.json; its twin must be held back.

    skies_test.py TOOL DATA_DIR     TOOL: build/src/flow/skies_inprocess

DATA_DIR is package/data of the npm package vega-datasets 3.2.1. Standard library only."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent.parent
passed = failed = 0


def check(what, found, wanted):
    global passed, failed
    good = found == wanted
    passed, failed = passed + good, failed + (not good)
    print(("ok   " if good else "FAIL ") + what + ("" if good else f": {found!r}, wanted {wanted!r}"))


def run(tool, project, data):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([tool, str(ROOT / "examples" / project), data, f"{folder}/lake"],
                              stdout=subprocess.PIPE, text=True, timeout=600)
    answers = dict(line.split(" ", 1) for line in done.stdout.splitlines()
                   if re.match(r"(silver|gold|quarantine)\.\w+ \d", line))
    reports = {m[1]: m[2] for m in re.finditer(r"^(\w+\.\w+) +([a-z_]+ in .*)$", done.stdout, re.M)}
    return done.returncode, answers, reports


def main():
    tool, data = sys.argv[1:3]
    wanted = json.loads((ROOT / "tests/skies/expected.json").read_text())
    code, answers, reports = run(tool, "skies", data)
    check("skies: exit status", code, 0)
    check("silver.flights", answers.get("silver.flights"), " ".join(map(str, wanted["silver"]["flights"][:3])))
    check("silver.strikes", answers.get("silver.strikes"), " ".join(map(str, wanted["silver"]["strikes"])))
    check("silver.quakes", answers.get("silver.quakes"), " ".join(map(str, wanted["silver"]["quakes"])))
    for name, gold in wanted["gold"].items():
        check(f"gold.{name}", answers.get(f"gold.{name}"), f"{gold['rows']} {gold['md5']}")
    for name, rows in wanted["quarantine"].items():
        check(f"quarantine.{name}", answers.get(f"quarantine.{name}", "").split(" ")[0], str(rows))
    flights = reports.get("silver.flights", "")
    check("flights: duplicates and rejected rows", "dup 191 bad 3 " in flights, True)
    check("flights: one incomplete day", " days 181/1 " in flights, True)
    check("strikes: duplicates and rejected rows", "dup 24 bad 15 " in reports.get("silver.strikes", ""), True)

    code, answers, reports = run(tool, "skies-gate", data)
    check("skies-gate: exit status", code, 6)
    check("skies-gate: held back", reports.get("gold.strikes_by_airport", "")[:6], "gated ")
    check("skies-gate: not published", "gold.strikes_by_airport" in answers, False)
    check("skies-gate: the others publish", sorted(k for k in answers if k.startswith("gold.")),
          ["gold.daily", "gold.delay_by_airport_hour", "gold.route"])
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
