#!/usr/bin/env python3
"""What CI runs: the lanes one after another, as `make` has them. A lane that cannot end within the budget is not
begun, and said to be left out; `check` always runs. Closes with the sum of the lanes, `N passed, N failed`.

usage: tools/ci.py [LANE...]      lanes: check interop asan tsan fuzz
"""
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BUDGET = 78 * 60
LANES = {  # command, and the seconds that it takes on two cores from nothing
    "check": (["make", "check"], 0),
    "interop": (["make", "interop"], 16 * 60),
    "asan": (["make", "asan"], 15 * 60),
    "tsan": (["make", "tsan"], 12 * 60),
    "fuzz": (["make", "fuzz", "SECONDS_EACH=10"], 8 * 60),
}
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed\b")


def run(command, seconds):
    """(passed, failed) as the lane's last closing line says; a lane without one, or out of time, failed."""
    passed = failed = 0
    late = threading.Event()
    lane = subprocess.Popen(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            errors="replace", start_new_session=True)

    def end():
        late.set()
        try:
            os.killpg(lane.pid, signal.SIGTERM)  # check.py ends the runner at work, which has a session of its own
            time.sleep(5)
            os.killpg(lane.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    clock = threading.Timer(max(1, seconds), end)
    clock.start()
    try:
        for line in lane.stdout:
            print(line, end="", flush=True)
            found = CLOSING.match(line)
            if found:
                passed, failed = int(found.group(1)), int(found.group(2))
        status = lane.wait()
    finally:
        clock.cancel()
    if late.is_set():
        print("ci: out of time", flush=True)
    if (status or not passed) and not failed:
        failed = 1
    return passed, failed


def main(wanted):
    started = time.monotonic()
    totals, notes = [0, 0], []
    for name in wanted or LANES:
        command, expected = LANES[name]
        left = BUDGET - (time.monotonic() - started)
        if left < expected:
            notes.append(f"lane {name}: left out, {left / 60:.0f} minutes are left and it takes {expected // 60}")
            continue
        began = time.monotonic()
        passed, failed = run(command, left)
        notes.append(f"lane {name}: {passed} passed, {failed} failed ({(time.monotonic() - began) / 60:.1f} min)")
        print(notes[-1], flush=True)
        totals[0] += passed
        totals[1] += failed
    print("\n".join(["", *notes]))
    print(f"{totals[0]} passed, {totals[1]} failed", flush=True)
    return 1 if totals[1] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
