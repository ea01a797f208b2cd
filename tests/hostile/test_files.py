"""Every hostile file through ingest and a query: nothing crashes, hangs, or is taken that must be refused; good neighbours are read."""
import http.client
import json
import os
import sys
import tempfile
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


MODELS = {  # name: (file, SELECT, rows of the table, what the quarantine must hold: reason, row, raw)
    "ragged": ("odd.csv", "SELECT id, n, _file, _row, _raw", [[1, 10], [6, 60]],
               [["record(number of fields)", 2, "2"], ["record(number of fields)", 3, "3,4,5"],
                ["record(text behind a quote)", 4, '4,"x"y'], ["cast(n)", 5, "5,many"]]),
    "constants": ("odd.csv", "SELECT coalesce(id, '0') AS id, '1' AS n", [[1, 1], [5, 1], [6, 1]],
                  [["record(number of fields)", 2, "2"], ["record(number of fields)", 3, "3,4,5"],
                   ["record(text behind a quote)", 4, '4,"x"y']]),
    "lines": ("odd.jsonl", "SELECT id, n, _file, _row, _raw", [[1, 10], [6, 60]],
              [["record(no JSON object)", 2, "7"], ["record(no JSON object)", 3, '{"id":'],
               ["record(no JSON object)", 4, '{"id":4,"n":NaN}'], ["cast(n)", 5, '{"id":5,"n":"many"}']]),
    "items": ("odd.json", "SELECT id, n, _file, _row, _raw", [[1, 10]],
              [["record(no JSON object)", 2, "7"], ["cast(n)", 3, '{"id":5,"n":[1]}']]),
}
INPUTS = {
    "odd.csv": b'id,n\n1,10\n2\n3,4,5\n4,"x"y\n5,many\n6,60\n',
    "odd.jsonl": b'{"id":1,"n":10}\n7\n{"id":\n{"id":4,"n":NaN}\n{"id":5,"n":"many"}\n{"id":6,"n":60}\n',
    "odd.json": b'[{"id":1,"n":10},7,{"id":5,"n":[1]}]',
}


def models_set_odd_records_aside():
    with tempfile.TemporaryDirectory(dir=lake.data.parent) as project:
        models = Path(project, "models")
        models.mkdir()
        for name, body in INPUTS.items():
            equal(lake.ingest("odd", name, body).status // 100, 2, name)
        for name, (file, select, _, _) in MODELS.items():
            (models / f"{name}.sql").write_text(f"MODEL (name silver.{name}, kind FULL, columns (id BIGINT, n BIGINT));\n"
                                                f"{select} FROM source('odd', '{file}')\n")
        done = lake.cli("run", project, "--yes")
        equal(done.returncode, 0, done.stdout + done.stderr)
    for name, (file, _, rows, wanted) in MODELS.items():
        equal(lake.rows(f"SELECT id, n FROM silver.{name} ORDER BY id"), rows, name)
        found = lake.rows(f"SELECT reason, _row, _raw, _file FROM quarantine.{name} ORDER BY _row")
        equal([row[:3] for row in found], wanted, f"the quarantine of {name}")
        holds(all(row[3].startswith("s3://") and row[3].endswith(file) for row in found), f"the files of {found}")


CASES.append(models_set_odd_records_aside)


def a_sparse_file_of_gigabytes_is_kept_and_not_read():
    """2 GiB, not 10: what a sender's hole costs here is every byte, hashed and written; 10 GiB took over a minute."""
    size = (2 << 30) + 4096
    with tempfile.NamedTemporaryFile(dir=lake.data.parent) as hole:
        os.truncate(hole.name, size)
        host, port = lake.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=300, blocksize=1 << 20)
        connection.request("POST", "/v1/ingest?source=hostile-sparse&name=hole.csv", hole,
                           {"Authorization": f"Bearer {lake.token}", "Content-Length": str(size)})
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        connection.close()
    equal(reply.status, 200, str(answer))
    equal(answer["size_bytes"], size, "every byte is kept")
    started = time.monotonic()
    reply = lake.sql(f"SELECT count(*) FROM read_csv('{answer['address']}')")
    equal(reply.json["code"], "LIMIT", reply.text[:300])
    holds(time.monotonic() - started < SECONDS_MAX, "an answer in time")


CASES.append(a_sparse_file_of_gigabytes_is_kept_and_not_read)


def the_server_still_answers():
    equal(lake.rows("SELECT 40 + 2"), [[42]])
    equal(lake.stop(), 0)


CASES.append(the_server_still_answers)

if __name__ == "__main__":
    main()
