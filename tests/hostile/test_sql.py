"""Statements that must be refused, bounded or explained: each with its code, place or hint; the server stays up."""
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import CASES, Lake, case, equal, holds, main

lake = Lake()
lake.rows("CREATE NAMESPACE shop")
lake.rows("CREATE TABLE shop.orders AS SELECT i AS id, i % 7 AS kind, 'order ' || i AS note FROM range(1000) t(i)")

REFUSED = [  # text, words that the problem must hold
    ("SELECT 1; SELECT 2", "one statement"),
    ("COPY shop.orders TO '/tmp/x.csv'", "COPY"),
    ("COPY (SELECT 1) TO 's3://lake/x.parquet'", "COPY"),
    ("ATTACH '/tmp/x.db'", "ATTACH"),
    ("PRAGMA version", "PRAGMA"),
    ("INSTALL httpfs", "INSTALL"),
    ("LOAD httpfs", "LOAD"),
    ("SET threads = 1", "SET"),
    ("CALL pragma_version()", "CALL"),
    ("EXPLAIN ANALYZE COPY shop.orders TO '/tmp/x.csv'", ""),
    ("PREPARE p AS COPY shop.orders TO '/tmp/x.csv'", "PREPARE"),
    ("EXPORT DATABASE '/tmp/x'", "EXPORT"),
    ("SELECT * FROM '/etc/passwd'", ""),
    ("SELECT * FROM read_csv('/etc/passwd')", "s3://"),
    ("SELECT * FROM read_text('/etc/passwd')", "read_text"),
    ("SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')", "s3://"),
    ("SELECT * FROM read_csv('s3://bronze/../../etc/passwd')", ""),
    ("SELECT * FROM glob('/etc/*')", "glob"),
    ("SELECT * FROM duckdb_settings()", "duckdb_settings"),
    ("SELECT * FROM pragma_table_info('x')", "pragma_table_info"),
    ("SELECT current_setting('memory_limit')", "current_setting"),
    ("SELECT getvariable('x')", "getvariable"),
    ("SELECT * FROM query('SELECT 1')", "query"),
    ("SELECT * FROM query_table('shop.orders')", "query_table"),
    ("SELECT * FROM shop.order", "shop.orders"),
    ("SELECT * FROM shp.orders", ""),
    ("SELECT nte FROM shop.orders", "note"),
    ("SELECT * FROM", ""),
    ("SELEC 1", ""),
    ("", ""),
    ("SELECT " + "(" * 100000 + "1" + ")" * 100000, ""),
    ("SELECT repeat('x', 2000000000)", ""),
    ("SELECT length(lpad('x', 2000000000, 'y'))", ""),
    ("SELECT sum(CAST(CASE WHEN i = 2999999 THEN 'oops' ELSE '1' END AS BIGINT)) FROM range(3000000) t(i)", "oops"),
    ("INSERT INTO shop.orders SELECT 'x', 1, 'y'", ""),
    ("INSERT INTO shop.nothing SELECT 1", "shop."),
    ("CREATE TABLE shop.orders AS SELECT 1 AS a", "exists"),
    ("CREATE TABLE nowhere.t AS SELECT 1 AS a", "nowhere"),
    ("CREATE NAMESPACE system", ""),
    ("CREATE TABLE tarn.x AS SELECT 1 AS a", ""),
    ("DROP TABLE shop.nothing", "shop."),
    ("DROP NAMESPACE shop", ""),
    ("UPDATE shop.orders SET id = 1", "UPDATE"),
]


def refused(text, words):
    started = time.monotonic()
    reply = lake.sql(text, timeout=60)
    holds(reply.status >= 400, f"{text[:80]!r} is refused, but: {reply.status} {reply.text[:200]}")
    holds(reply.status != 500, f"{text[:80]!r}: {reply.text[:500]}")
    problem = reply.json
    holds(words.lower() in (problem["detail"] + " " + problem.get("hint", "")).lower(), f"{words!r} in {problem}")
    holds(time.monotonic() - started < 30, "within 30 s")
    holds(lake.alive(), "the server stays up")


def add(number, text, words):
    function = lambda: refused(text, words)
    function.__name__ = f"refused_{number:02}_{''.join(c if c.isalnum() else '_' for c in text[:40])}"
    CASES.append(function)


for number, (text, words) in enumerate(REFUSED):
    add(number, text, words)


@case
def the_error_has_its_place():
    problem = lake.sql("SELECT id,\n       nte\nFROM shop.orders").json
    equal((problem["position"]["line"], problem["position"]["column"]), (2, 8), "place")


@case
def a_cast_that_fails_behind_sent_rows_says_so_at_the_end():
    reply = lake.sql("SELECT CAST(CASE WHEN i = 2999999 THEN 'oops' ELSE '1' END AS BIGINT) FROM range(3000000) t(i)")
    equal((reply.status, reply.whole), (200, False), "the answer is cut off")
    holds("oops" in reply.json["error"]["detail"], "its end says why")
    equal(reply.json["error"]["position"]["line"], 1)
    out = lake.cli("sql", "-c", "SELECT CAST(CASE WHEN i = 2999999 THEN 'oops' ELSE '1' END AS BIGINT) FROM range(3000000) t(i)")
    holds(out.returncode != 0 and "oops" in out.stderr, out.stderr)


@case
def division_by_zero_is_null_or_an_error_not_a_crash():
    reply = lake.sql("SELECT 1 / 0, 1 // 0, 1 % 0")
    holds(reply.status in (200, 400), reply.text)


@case
def an_endless_join_ends_with_its_time():
    reply = lake.request("POST", "/v1/sql", b'{"sql":"SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c '
                         b'WHERE a.range + b.range = c.range * 7","timeout_ms":1500}', {"Content-Type": "application/json"})
    equal(reply.status, 504, reply.text[:300])


@case
def a_client_that_goes_away_frees_its_slot():
    host, port = lake.address.rsplit(":", 1)
    import http.client
    for _ in range(12):
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        connection.request("POST", "/v1/sql", b"SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = 7",
                           {"Authorization": f"Bearer {lake.token}", "Content-Type": "text/plain"})
        time.sleep(0.05)
        connection.close()
    equal(lake.rows("SELECT 1"), [[1]])


@case
def a_view_does_not_read_the_names_of_its_reader():
    lake.rows("CREATE VIEW shop.few AS SELECT id FROM shop.orders WHERE id < 3")
    lake.rows("CREATE VIEW shop.own AS WITH orders AS (SELECT 7 AS id) SELECT * FROM orders")
    equal(lake.rows("WITH orders AS (SELECT 99 AS id) SELECT count(*) FROM shop.few, orders"), [[3]])
    equal(lake.rows("WITH orders AS (SELECT 99 AS id) SELECT * FROM shop.own"), [[7]])
    equal(lake.rows("SELECT max(a.id), max(b.id) FROM shop.own a, shop.orders b"), [[7, 999]])
    reply = lake.sql("CREATE VIEW shop.bare AS SELECT * FROM orders")
    equal(reply.status, 404, "a bare name in a view would be the reader's")
    holds("shop.orders" in reply.json["hint"], reply.text)


@case
def nothing_changed():
    equal(lake.rows("SELECT count(*), sum(id) FROM shop.orders"), [[1000, 499500]])
    equal(lake.stop(), 0)


if __name__ == "__main__":
    main()
