"""The REST door with a client that is not ours: formats, paging, ranges, idempotency, rights, problems, OpenAPI."""
import csv
import hashlib
import io
import json
import re
import subprocess
import threading

import pyarrow.ipc

from lake import Lake, case, equal, holds, main

lake = Lake()
lake.rows("CREATE NAMESPACE shop")
lake.rows("CREATE TABLE shop.orders AS SELECT i AS id, i % 7 AS kind, 'order, \"' || i || '\"' AS note, i * 0.25 AS price, "
          "CAST('2026-01-01' AS DATE) + CAST(i AS INTEGER) AS day FROM range(1000) t(i)")


@case
def health_needs_no_key_the_rest_does():
    import http.client
    host, port = lake.address.rsplit(":", 1)
    for path, wanted in (("/v1/health", 200), ("/livez", 200), ("/readyz", 200), ("/v1/datasets", 401), ("/metrics", 401)):
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request("GET", path)
        reply = connection.getresponse()
        equal(reply.status, wanted, path)
        reply.read()
        connection.close()
    equal(lake.request("GET", "/v1/datasets", token="tarn_" + "0" * 64).status, 401)


@case
def answers_come_in_four_forms():
    text = b"SELECT id, note, price, day FROM shop.orders WHERE id < 3 ORDER BY id"
    forms = {accept: lake.request("POST", "/v1/sql", text, {"Content-Type": "text/plain", "Accept": accept})
             for accept in ("application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream")}
    for accept, reply in forms.items():
        equal(reply.status, 200, accept)
    answer = forms["application/json"].json
    equal([c["name"] for c in answer["columns"]], ["id", "note", "price", "day"])
    equal(answer["rows"][1], [1, 'order, "1"', 0.25, "2026-01-02"])
    lines = [json.loads(line) for line in forms["application/x-ndjson"].text.splitlines()]
    equal(lines[2], {"id": 2, "note": 'order, "2"', "price": 0.5, "day": "2026-01-03"})
    rows = list(csv.reader(io.StringIO(forms["text/csv"].text)))
    equal(rows[0], ["id", "note", "price", "day"])
    equal(rows[2][1], 'order, "1"')
    table = pyarrow.ipc.open_stream(forms["application/vnd.apache.arrow.stream"].body).read_all()
    equal(table.column("id").to_pylist(), [0, 1, 2])
    equal(lake.request("POST", "/v1/sql", text, {"Content-Type": "text/plain", "Accept": "image/png"}).status, 406)


@case
def parameters_are_bound_not_pasted():
    reply = lake.request("POST", "/v1/sql", json.dumps({"sql": "SELECT count(*) FROM shop.orders WHERE note = $1 OR id = $2",
                                                        "params": ["' OR 1=1 --", 5]}).encode(), {"Content-Type": "application/json"})
    equal(reply.json["rows"], [[1]])


@case
def a_million_rows_stream():
    reply = lake.request("POST", "/v1/sql", b"SELECT range AS i FROM range(1000000)", {"Accept": "text/csv", "Content-Type": "text/plain"})
    equal(reply.body.count(b"\n"), 1000001)
    table = pyarrow.ipc.open_stream(lake.request("POST", "/v1/sql", b"SELECT range AS i, 'x' || range AS s FROM range(1000000)",
                                    {"Accept": "application/vnd.apache.arrow.stream", "Content-Type": "text/plain"}).body).read_all()
    equal((table.num_rows, table.column("s")[999999].as_py()), (1000000, "x999999"))


@case
def pages_pin_their_snapshot():
    seen, path = [], "/v1/datasets/shop.orders/query?select=id,kind&where=kind%3D3&order=-id&limit=40"
    first = path
    while path:
        page = lake.request("GET", path).json
        seen += [row[0] if isinstance(row, list) else row["id"] for row in page["rows"]]
        if len(seen) == 40:
            lake.rows("INSERT INTO shop.orders SELECT 5003, 3, 'late', 1.0, CAST('2026-01-01' AS DATE)")
        cursor = page.get("next_cursor")
        path = f"{first}&cursor={cursor}" if cursor else None
    equal(seen, [i for i in range(999, -1, -1) if i % 7 == 3], "pages do not shift")
    lake.rows("DELETE FROM shop.orders WHERE id = 5003")
    equal(lake.rows("SELECT count(*) FROM shop.orders"), [[1000]])


@case
def datasets_tell_their_schema():
    names = [item["name"] for item in lake.request("GET", "/v1/datasets").json["items"]]
    holds("orders" in names, names)
    columns = lake.request("GET", "/v1/datasets/shop.orders/schema").json["columns"]
    equal([c["name"] for c in columns], ["id", "kind", "note", "price", "day"])
    equal(lake.request("GET", "/v1/datasets/shop.order").status, 404)
    holds("shop.orders" in lake.request("GET", "/v1/datasets/shop.order").json.get("hint", ""), "nearest name")
    equal(len(lake.request("GET", "/v1/datasets/shop.orders/preview?limit=5").json["rows"]), 5)


@case
def objects_have_ranges():
    body = bytes(range(256)) * 2000
    reply = lake.ingest("bin", "a.bin", body)
    path = "/v1/objects/" + reply.json["address"][5:]
    equal(reply.json["sha256"], hashlib.sha256(body).hexdigest())
    whole = lake.request("GET", path)
    equal(whole.body, body)
    for value, wanted in (("bytes=0-0", body[:1]), ("bytes=100-299", body[100:300]), ("bytes=-7", body[-7:]), ("bytes=511990-", body[511990:])):
        part = lake.request("GET", path, headers={"Range": value})
        equal((part.status, part.body), (206, wanted), value)
    equal(lake.request("GET", path, headers={"Range": "bytes=900000-"}).status, 416)
    head = lake.request("HEAD", path)
    equal((head.status, head.body, head.headers["Content-Length"]), (200, b"", str(len(body))))
    equal(lake.request("GET", path, headers={"If-None-Match": whole.headers["ETag"]}).status, 304)
    equal(lake.request("GET", "/v1/objects/bronze/none").status, 404)


@case
def the_same_bytes_are_one_object():
    first = lake.ingest("dup", "a.txt", b"hello").json
    again = lake.ingest("dup", "b.txt", b"hello").json
    equal((again["duplicate"], again["address"]), (True, first["address"]))
    other = lake.ingest("dup", "a.txt", b"other").json
    holds(re.search(r"/a~[0-9a-f]{8}\.txt$", other["address"]), other["address"])
    equal(lake.rows("SELECT count(*) FROM bronze.objects WHERE source = 'dup'"), [[2]])


@case
def multipart_and_rows():
    form = (b'--x\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\nform body\r\n--x--\r\n')
    reply = lake.request("POST", "/v1/ingest?source=form", form, {"Content-Type": "multipart/form-data; boundary=x"})
    equal(reply.status // 100, 2, reply.text)
    equal(lake.rows("SELECT name, size_bytes FROM bronze.objects WHERE source = 'form'"), [["f.txt", 9]])
    reply = lake.request("POST", "/v1/ingest?source=rows", b'{"a":1}\n{"a":2}\n', {"Content-Type": "application/x-ndjson"})
    equal(reply.status // 100, 2, reply.text)
    reply = lake.request("POST", "/v1/ingest?source=rows", b'{"a":1}\nnope\n', {"Content-Type": "application/x-ndjson"})
    equal(reply.status, 400, reply.text)
    holds("2" in reply.json["detail"] + reply.json.get("place", ""), "the line")


@case
def hostile_names_are_refused():
    for name in ("..", "a/../b", "%2e%2e/x", "/etc/passwd", "a%00b", "a%0ab", "x" * 1025, "a//b", "", "a%5Cb", "%ff"):
        reply = lake.request("POST", f"/v1/ingest?source=names&name={name}", b"x", {"Content-Type": "text/plain"})
        if name == "":
            continue
        equal(reply.status, 400, f"{name!r}: {reply.text[:200]}")
    equal(lake.request("POST", "/v1/ingest?source=..&name=a", b"x").status, 400)
    equal(lake.rows("SELECT count(*) FROM bronze.objects WHERE source = 'names' AND name LIKE '%..%'"), [[0]])


@case
def idempotency_keys_replay():
    headers = {"Content-Type": "text/plain", "Idempotency-Key": "k-1"}
    text = b"INSERT INTO shop.orders SELECT 9000, 1, 'once', 1.0, CAST('2026-01-01' AS DATE)"
    first = lake.request("POST", "/v1/sql", text, headers)
    again = lake.request("POST", "/v1/sql", text, headers)
    equal((again.status, again.body), (first.status, first.body))
    equal(lake.rows("SELECT count(*) FROM shop.orders WHERE id = 9000"), [[1]])
    equal(lake.request("POST", "/v1/sql", b"SELECT 1", headers).status, 422)
    lake.rows("DELETE FROM shop.orders WHERE id = 9000")


@case
def problems_follow_rfc_9457():
    reply = lake.sql("SELECT nte FROM shop.orders")
    equal(reply.headers["Content-Type"].split(";")[0], "application/problem+json")
    for key in ("type", "title", "status", "detail", "code", "request_id", "position"):
        holds(key in reply.json, key)
    equal(lake.request("GET", "/v1/nothing").status, 404)
    equal(lake.request("DELETE", "/v1/sql").status, 405)
    holds("POST" in lake.request("DELETE", "/v1/sql").headers.get("Allow", ""), "Allow")
    equal(lake.request("GET", "/v1/health", headers={"X-Request-Id": "abc-123"}).headers["X-Request-Id"], "abc-123")


@case
def openapi_names_every_route():
    api = lake.request("GET", "/v1/openapi.json").json
    holds(api["openapi"].startswith("3.1"), api["openapi"])
    for path in ("/v1/sql", "/v1/ingest", "/v1/datasets", "/v1/datasets/{id}/query", "/v1/runs", "/v1/keys"):
        holds(path in api["paths"], path)
    ids = [op["operationId"] for methods in api["paths"].values() for op in methods.values() if isinstance(op, dict) and "operationId" in op]
    equal(len(ids), len(set(ids)), "operation ids are unique")


@case
def metrics_are_prometheus_text():
    text = lake.request("GET", "/metrics").text
    holds("# TYPE" in text and "tarn_" in text, text[:300])


@case
def sixteen_clients_at_once():
    wrong = []

    def work(number):
        for i in range(10):
            if lake.rows(f"SELECT {number} * 100 + {i}, count(*) FROM shop.orders") != [[number * 100 + i, 1000]]:
                wrong.append((number, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(wrong, [])


@case
def concurrent_inserts_all_count():
    lake.rows("CREATE TABLE shop.log (w BIGINT, i BIGINT)")

    def work(number):
        for i in range(5):
            lake.rows(f"INSERT INTO shop.log VALUES ({number}, {i})")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(lake.rows("SELECT count(*), count(DISTINCT w * 100 + i) FROM shop.log"), [[40, 40]])


@case
def time_travel_and_schema_changes():
    lake.rows("CREATE TABLE shop.t AS SELECT 1 AS a")
    lake.rows("INSERT INTO shop.t VALUES (2)")
    lake.rows("ALTER TABLE shop.t ADD COLUMN b VARCHAR")
    lake.rows("INSERT INTO shop.t VALUES (3, 'x')")
    lake.rows("ALTER TABLE shop.t RENAME COLUMN a TO n")
    equal(lake.rows("SELECT n, b FROM shop.t ORDER BY n"), [[1, None], [2, None], [3, "x"]])
    versions = lake.rows("SELECT snapshot_id, added_rows, is_current FROM tarn.snapshots "
                         "WHERE table_namespace = 'shop' AND table_name = 't' ORDER BY total_rows")
    equal([v[1:] for v in versions], [[1, False], [1, False], [1, True]])
    equal([lake.rows(f"SELECT count(*) FROM shop.t FOR VERSION AS OF {v[0]}") for v in versions], [[[1]], [[2]], [[3]]])
    reply = lake.request("POST", "/v1/sql", b"SELECT * FROM shop.t FOR VERSION AS OF 17", {"Content-Type": "text/plain"})
    equal(reply.status, 404)
    holds("tarn.snapshots lists them" in reply.text, reply.text)


@case
def the_lake_about_itself_and_who_may_ask():
    equal([row[1] for row in lake.rows("SHOW TABLES FROM tarn")], ["audit", "buckets", "ledger", "lineage", "quality", "runs", "snapshots"])
    holds(lake.rows("SELECT count(*) > 0 FROM tarn.audit WHERE verb = 'sql' AND outcome = 'ok'")[0][0], "writes are in the audit")
    reader = lake.request("POST", "/v1/keys", b'{"name": "asks", "role": "reader"}', {"Content-Type": "application/json"}).json["key"]
    plain = {"Content-Type": "text/plain"}
    reply = lake.request("POST", "/v1/sql", b"SELECT count(*) FROM tarn.audit", plain, token=reader)
    equal(reply.status, 403)
    holds("tarn.audit" in reply.text, reply.text)
    equal(lake.request("GET", "/v1/datasets/tarn.audit/query", token=reader).status, 403)
    equal(lake.request("POST", "/v1/sql", b"SELECT count(*) FROM tarn.snapshots", plain, token=reader).status, 200)


@case
def curl_speaks_to_it():
    out = subprocess.run(["curl", "-sS", "--fail", "-H", f"Authorization: Bearer {lake.token}", "-H", "Accept: text/csv",
                          f"http://{lake.address}/v1/sql", "-d", "SELECT 42 AS answer"], stdout=subprocess.PIPE, text=True, check=True)
    equal(out.stdout.split(), ["answer", "42"])


@case
def it_ends_well():
    equal(lake.stop(), 0)


if __name__ == "__main__":
    main()
