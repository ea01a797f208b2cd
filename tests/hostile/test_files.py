"""Every hostile file through ingest and a query: nothing crashes, hangs, or is taken that must be refused; good neighbours are read."""
import sys
import time
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from files import EITHER, REFUSE, all_cases
from lake import CASES, Lake, equal, holds, main

SECONDS_MAX = 40
lake = Lake()


def one(name, kind, body, wanted):
    reply = lake.ingest("hostile-" + kind + str(abs(hash(name)) % 10**6), quote(name), body)
    equal(reply.status // 100, 2, f"ingest keeps every byte as received: {reply.text[:300]}")
    address = reply.json["address"]
    started = time.monotonic()
    reply = lake.sql(f"SELECT count(*) FROM (SELECT COLUMNS(*) FROM read_{kind}('{address}'))", timeout=SECONDS_MAX + 20)
    seconds = time.monotonic() - started
    holds(lake.alive(), "the server stays up")
    holds(seconds < SECONDS_MAX, f"an answer within {SECONDS_MAX} s ({seconds:.1f})")
    if wanted == REFUSE:
        holds(reply.status >= 400, f"refused, but it answered {reply.status} {reply.text[:200]}")
        problem = reply.json
        holds(name in problem["detail"] + problem.get("place", ""), f"the error names the object: {problem}")
    elif wanted == EITHER:
        holds(reply.status in (200, 400, 413, 422, 501), f"an answer or a clear error, not {reply.status} {reply.text[:300]}")
    else:
        equal(reply.status, 200, reply.text[:500])
        equal(reply.json["rows"], [[wanted]], "rows")


def add(name, kind, body, wanted):
    function = lambda: one(name, kind, body, wanted)
    function.__name__ = "hostile_" + name.replace(".", "_").replace("-", "_")
    CASES.append(function)


for row in all_cases():
    add(*row)


def the_server_still_answers():
    equal(lake.rows("SELECT 40 + 2"), [[42]])
    equal(lake.stop(), 0)


CASES.append(the_server_still_answers)

if __name__ == "__main__":
    main()
