#!/usr/bin/env python3
"""Raw frames against an HTTP/2 server, a case for each rule of RFC 9113 and RFC 7541 that a peer can break.

usage: test_h2.py [--against door|nginx|nghttpd] [--only TEXT] [--clear|--tls] [--list] [-v]
Against a peer the differences are listed; each must stand in differences.py with its reason.
"""
import argparse
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cases
import cases_frames  # noqa: F401
import cases_hpack  # noqa: F401
import cases_http  # noqa: F401
import cases_limits  # noqa: F401
import differences
import hpack
import peers
import wire

H2SPEC = (Path(__file__).resolve().parent / "h2spec.txt").read_text().split()
AT_ONCE = 16


def run(case, target, tls):
    """None: as expected; else what came instead."""
    def connect(*sends, hello=True):
        return wire.H2(target, tls, hello, sends)
    try:
        case.run(connect)
    except (wire.Mismatch, hpack.Broken) as what:
        return str(what)
    except Exception as what:  # a case that goes wrong is a failure like another
        return f"{type(what).__name__}: {what}"
    return None


def coverage():
    covered = {i for c in cases.CASES for i in c.h2spec}
    names = [c.name for c in cases.CASES]
    wrong = [f"h2spec {i} has no case" for i in H2SPEC if i not in covered]
    wrong += [f"{i} is none of h2spec's" for i in covered if i not in H2SPEC]
    return wrong + [f"two cases are called {n}" for n in set(names) if names.count(n) > 1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", default="door", choices=peers.KINDS)
    parser.add_argument("--only", default="")
    parser.add_argument("--clear", action="store_true")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    chosen = [c for c in cases.CASES if args.only in c.name and (args.against == "door" or not c.door_only)]
    if args.list:
        print("\n".join(c.name for c in chosen))
        return 0
    failures = coverage()
    target = peers.KINDS[args.against]()
    started = time.monotonic()
    jobs = [(c, tls) for tls in (False, True) for c in chosen if not (tls and (args.clear or c.clear_only)) and not (args.tls and not tls)]
    together = [j for j in jobs if not j[0].alone]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(zip(together, pool.map(lambda j: run(j[0], target, j[1]), together)))
    results += [(j, run(j[0], target, j[1])) for j in jobs if j[0].alone]
    known = differences.TABLE.get(args.against, [])
    used, passed = set(), 0
    for (case, tls), what in results:
        name = f"{case.name} ({'TLS' if tls else 'clear'})"
        found = next((d for d in known if re.match(d.pattern, case.name)), None)
        if what and found:
            used.add(found)
        if what and not found:
            failures.append(f"{name}: {what}")
        else:
            passed += 1
            if args.v:
                print("ok  ", name, f"-- {args.against}: {what}; {found.why}" if what else "")
    if not args.only:
        failures += [f"no difference any more: {d.pattern}" for d in known if d not in used and not d.why.startswith("sometimes")]
    if target.process.poll() is not None:
        failures.append(f"{target.name} ended with {target.process.returncode}")
    target.end()
    if args.against == "door" and target.process.returncode != 0:
        failures.append(f"the door ended with {target.process.returncode}: {target.log.read_text()[-3000:]}")
    for line in failures:
        print("FAIL", line)
    print(f"{len(chosen)} cases, {time.monotonic() - started:.1f} s against {target.name}")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
