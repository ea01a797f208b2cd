"""A plugin of pytest: one JSON line for each test, with its markers, how it ended and why."""
import json
import os
import re

import pytest

OUT = os.environ.get("S3_CEPH_OUT", "s3_ceph.jsonl")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when != "call" and report.passed:
        return
    why = ""
    if call.excinfo is not None:
        last = [entry for entry in call.excinfo.traceback if "s3tests" in str(entry.path)]
        line = str(last[-1].statement).strip().splitlines()[0] if last else ""
        why = re.sub(r"\s+", " ", f"{call.excinfo.typename}: {call.excinfo.value}")[:300] + (f" [{line[:120]}]" if line else "")
    row = {"test": item.name, "when": report.when, "outcome": report.outcome, "took": round(report.duration, 2),
           "marks": sorted({mark.name for mark in item.iter_markers()}), "why": why}
    with open(OUT, "a") as out:
        out.write(json.dumps(row) + "\n")
