#!/usr/bin/env python3
"""Runs every test and closes with `N passed, N failed`: tidy, the unit runner of each folder, replay of the fuzz
corpora, the scripts of tests/e2e against the real binary.

usage: tools/check.py [--units | --tsan | --interop] BUILD-DIR DEPS-DIR      or: tools/check.py --tsan-targets
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LINE = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
FINDING = re.compile(r"runtime error: |(ERROR|WARNING): (Address|Leak|Thread)Sanitizer")  # also in a process that a test forked
TSAN_FOLDERS = ("base", "os", "format", "journal", "store", "meta", "table", "front", "flow", "source", "govern", "api")
SECONDS_MAX = 900


def run(name, command, env=None):
    """(passed, failed) of one runner; a runner without a closing line failed as a whole."""
    started, late = time.monotonic(), ""
    with tempfile.TemporaryFile() as file:  # no pipe: who is left behind may have it open
        process = subprocess.Popen(command, cwd=TOP, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stdout=file,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            process.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            late = "\nout of time"
        finally:  # whoever it left running would disturb the next one
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            status = process.wait()
        file.seek(0)
        out = file.read().decode(errors="replace") + late
    found = LINE.findall(out)
    passed, failed = (int(found[-1][0]), int(found[-1][1])) if found else (0, 1) if status else (1, 0)
    if not failed and (status or FINDING.search(out)):
        failed = 1
    print(f"{'ok  ' if not failed else 'FAIL'} {name}: {passed} passed, {failed} failed ({time.monotonic() - started:.1f} s)",
          flush=True)
    if failed:
        lines = out.splitlines()
        shown = {at + near for at, line in enumerate(lines) if line.startswith("FAIL") for near in range(-10, 15)}
        shown = sorted(at for at in shown if 0 <= at < len(lines) - 60)
        print("\n".join("    " + line for line in [lines[at] for at in shown][:400] + lines[-60:]), flush=True)
    return passed, failed


def unit_runners(build, folders=None):
    for path in sorted(build.glob("src/**/*_test")) + sorted(build.glob("fuzz/fuzz_replay")):
        if path.is_file() and os.access(path, os.X_OK) and (not folders or path.name[:-5] in folders):
            yield path.name, [str(path)] + (["fuzz/corpus"] if path.name == "fuzz_replay" else [])


def main(arguments):
    lane = arguments.pop(0) if arguments[0].startswith("--") else "--all"
    if lane == "--tsan-targets":
        print(*(f"src/{folder}/{folder}_test" for folder in TSAN_FOLDERS if (TOP / "src" / folder / "meson.build").exists()))
        return 0
    build, deps = Path(arguments[0]).resolve(), Path(arguments[1])
    os.environ.update(TARN_BUILD=str(build), TARN_DEPS_DIR=str(deps),
                      ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
                      UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1",
                      TSAN_OPTIONS=f"halt_on_error=0:die_after_fork=0:suppressions={TOP}/tools/tsan.supp:external_symbolizer_path=/usr/bin/addr2line")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the runner at work too
    jobs = []
    if lane == "--all":
        jobs.append(("tidy", [sys.executable, "tools/tidy"]))
    if lane != "--interop":
        jobs += unit_runners(build, TSAN_FOLDERS if lane == "--tsan" else None)
    python = str(deps / "venv/bin/python")
    if lane == "--interop":
        for script in sorted((TOP / "tests").glob("*/interop_*.py")):
            jobs.append((str(script.relative_to(TOP)), [python, str(script)]))
    if lane == "--all":
        for script in sorted((TOP / "tests").glob("*/test_*.py")):
            jobs.append((str(script.relative_to(TOP)), [python, str(script)]))
        for script in sorted((TOP / "tests/e2e").glob("*.sh")):
            jobs.append((str(script.relative_to(TOP)), ["sh", str(script)]))
    total_passed = total_failed = 0
    for name, command in jobs:
        passed, failed = run(name, command)
        total_passed += passed
        total_failed += failed
    print(f"{total_passed} passed, {total_failed} failed")
    return 1 if total_failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
