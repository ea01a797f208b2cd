"""PyIceberg reads what the server wrote by SQL: rows, schema, partitions, statistics. The same statements run in the engine's
Python package for the rows that are right. And a write that was killed is swept, with nothing that PyIceberg can reach."""
import datetime
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

from pyiceberg.conversions import from_bytes
from pyiceberg.io.pyarrow import _ConvertToIceberg
from pyiceberg.table import StaticTable

import lake_io
from lake import BUILD, Lake, case, equal, holds, main
from run import check_statistics, entries_of, micros

CACHE = tempfile.mkdtemp(prefix="tarn-iceberg-")
os.environ["PY_LAKE_ROOT"] = CACHE


class HttpIO(lake_io.LakeIO):
    """s3://bucket/key is what `GET /v1/objects/bucket/key` gives with the token; objects never change, so each comes once."""

    server = None

    def new_input(self, location):
        path = Path(lake_io.local(location))
        if not path.exists():
            reply = self.server.request("GET", "/v1/objects/" + location[5:], headers={"Accept": "*/*"})
            if reply.status != 200:
                raise FileNotFoundError(f"{location}: {reply.status} {reply.text[:200]}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(reply.body)
        return super().new_input(location)


sys.modules["http_io"] = sys.modules[__name__]  # PyIceberg loads the class by its name
IO = {"py-io-impl": "http_io.HttpIO"}


class World:
    """A lake and an oracle that hear the same statements."""

    def __init__(self):
        self.lake = Lake()
        HttpIO.server = self.lake
        self.oracle = duckdb.connect()
        self.oracle.execute("SET TimeZone = 'UTC'; SET ieee_floating_point_ops = false; CREATE SCHEMA i")
        self.lake.rows("CREATE NAMESPACE i")

    def both(self, text):
        self.lake.rows(text)
        self.oracle.execute(text)

    def table(self, name):
        address = self.lake.request("GET", f"/v1/datasets/i.{name}").json["metadata"]
        return StaticTable.from_metadata(address, IO)

    def wanted(self, name):
        return plain(self.oracle.execute(f"SELECT * FROM i.{name}").to_arrow_table())


_world = []


def world():
    if not _world:
        _world.append(World())
    return _world[0]


def value_of(value):
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, datetime.datetime) and value.tzinfo:
        return value.astimezone(datetime.timezone.utc)
    if isinstance(value, list):
        return [value_of(item) for item in value]
    if isinstance(value, dict):
        return {key: value_of(item) for key, item in value.items()}
    return value


def plain(table):
    rows = [value_of(row) for row in table.to_pylist()]
    for row in rows:
        if isinstance(row.get("u"), bytes):
            row["u"] = str(uuid.UUID(bytes=row["u"]))
    return sorted(rows, key=lambda row: row["id"])


def rows_agree(name):
    table = world().table(name)
    wanted = world().wanted(name)
    equal(plain(table.scan().to_arrow()), wanted, f"rows of {name}")
    snapshot = table.current_snapshot()
    if snapshot:
        equal(snapshot.summary["total-records"], str(len(wanted)), "total-records")
    equal(world().lake.rows(f"SELECT count(*) FROM i.{name}"), [[len(wanted)]])
    return table


def recount(table):
    """Counts and bounds of each file against its rows, by field id; nothing here trusts a footer."""
    fields = {field.field_id: field for field in table.schema().fields}
    for entry in entries_of(table):
        file = entry.data_file
        with table.io.new_input(file.file_path).open() as source:
            data = pq.read_table(source)
        equal(file.record_count, data.num_rows, "record_count")
        for number, column in enumerate(data.schema):
            field = int(column.metadata[b"PARQUET:field_id"])
            if pa.types.is_nested(column.type):
                continue
            values = data.column(number)
            equal(file.value_counts[field], data.num_rows, f"value count of {column.name}")
            equal(file.null_value_counts[field], values.null_count, f"null count of {column.name}")
            if field in file.lower_bounds and field in fields:
                bounds_hold(file, field, column.name, values.combine_chunks())


def bounds_hold(file, field, name, values):
    kind = values.type
    if kind == pa.float32() or kind == pa.float64():
        values = values.filter(pc.invert(pc.is_nan(values)))
    values = [micros(value) for value in values.drop_null().to_pylist()]
    if isinstance(values[0], uuid.UUID):
        values = [value.bytes for value in values]
    lower, upper = file.lower_bounds[field], file.upper_bounds[field]
    if isinstance(values[0], str):
        values = [value.encode() for value in values]
    elif isinstance(values[0], bytes):
        pass
    else:
        stored = _ConvertToIceberg().primitive(kind)
        lower, upper = from_bytes(stored, lower), from_bytes(stored, upper)
    holds(lower <= min(values) and max(values) <= upper, f"bounds of {name}: {lower} <= {min(values)}, {max(values)} <= {upper}")
    if not isinstance(lower, bytes):
        equal((lower, upper), (min(values), max(values)), f"bounds of {name}")


def partitions_agree(table, count=None):
    """Every row of a file has the file's partition, by PyIceberg's own transforms."""
    seen = set()
    for entry in entries_of(table):
        file = entry.data_file
        with table.io.new_input(file.file_path).open() as source:
            data = pq.read_table(source)
        place = {int(column.metadata[b"PARQUET:field_id"]): number for number, column in enumerate(data.schema)}
        for number, part in enumerate(table.specs()[file.spec_id].fields):
            source_type = table.schema().find_field(part.source_id).field_type
            transform = part.transform.transform(source_type)
            for value in set(data.column(place[part.source_id]).to_pylist()):
                equal(micros(file.partition[number]), micros(transform(micros(value) if value is not None else None)),
                      f"{part.name} of {value!r}")
        seen.add(tuple(file.partition[number] for number in range(len(table.specs()[file.spec_id].fields))))
    if count:
        equal(len(seen), count, "partitions")


EVERY = """SELECT i AS id, CASE WHEN i % 10 <> 9 THEN i % 2 = 0 END AS b, CASE WHEN i % 10 <> 9 THEN (i - 50)::INTEGER END AS i,
 CASE WHEN i % 10 <> 9 THEN (i / 4 + 1)::FLOAT END AS f, CASE WHEN i % 10 <> 9 THEN -i / 8 - 1 END AS d,
 CASE WHEN i % 10 <> 9 THEN (i / 100 - 3)::DECIMAL(9,2) END AS n,
 CASE WHEN i % 10 <> 9 THEN '12345678901234567890.5'::DECIMAL(38,4) + i END AS n38, (i - 5)::SMALLINT AS small,
 CASE WHEN i % 10 <> 9 THEN DATE '1969-12-01' + i::INTEGER END AS day,
 CASE WHEN i % 10 <> 9 THEN make_time(i % 24, i % 60, 1.000007 + i % 50) END AS t,
 CASE WHEN i % 10 <> 9 THEN TIMESTAMP '1969-06-01 00:00:00.000001' + to_hours(i::INTEGER * 7) END AS ts,
 CASE WHEN i % 10 <> 9 THEN to_timestamp(i * 100000.25 - 900000) END AS tz,
 CASE WHEN i % 10 <> 9 THEN repeat('aé€😀z', (i % 9)::INTEGER) || i END AS s,
 CASE WHEN i % 10 <> 9 THEN md5(i::VARCHAR)::UUID END AS u,
 CASE WHEN i % 10 <> 9 THEN unhex(md5(i::VARCHAR) || md5((i + 1)::VARCHAR)) END AS x,
 CASE WHEN i % 10 <> 9 THEN {'a': i::INTEGER, 'b': {'c': i::VARCHAR}} END AS st,
 CASE WHEN i % 10 <> 9 THEN [i::INTEGER, NULL, (i + 1)::INTEGER] END AS l,
 CASE WHEN i % 10 <> 9 THEN MAP {'k': i / 2, 'q': NULL} END AS m FROM range(%d, %d) r(i)"""

TYPES = ["long", "boolean", "int", "float", "double", "decimal(9, 2)", "decimal(38, 4)", "int", "date", "time", "timestamp",
         "timestamptz", "string", "uuid", "binary", "struct<", "list<int>", "map<string, double>"]


@case
def table_tool_agrees_with_pyiceberg():
    out = subprocess.run([sys.executable, HERE / "run.py", BUILD / "src/table/table_tool"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=500)
    equal(out.returncode, 0, out.stdout[-3000:])
    holds("7 passed, 0 failed" in out.stdout, out.stdout)


@case
def every_type_by_create_as_and_insert():
    world().both("CREATE TABLE i.every AS " + EVERY.replace("%d, %d", "0, 200"))
    world().both("INSERT INTO i.every " + EVERY.replace("%d, %d", "200, 300"))
    table = rows_agree("every")
    equal(table.format_version, 2)
    for field, wanted in zip(table.schema().fields, TYPES, strict=True):
        holds(str(field.field_type).startswith(wanted), f"{field.name}: {field.field_type}, wanted {wanted}")
    entries = entries_of(table)
    equal([entry.data_file.record_count for entry in entries], [100, 200])
    for entry in entries:
        check_statistics(table, entry.data_file)
    recount(table)
    equal(len(table.scan(snapshot_id=table.snapshots()[0].snapshot_id).to_arrow()), 200)


PARTS = [("day(ts)", None), ("month(day)", None), ("year(tz)", None), ("hour(ts)", None), ("bucket(8, id)", 8), ("bucket(5, s)", 6),
         ("truncate(2, s)", None), ("truncate(50, id)", 2), ("i", None), ("b", 3), ("bucket(3, u)", 4),
         ("bucket(4, n)", 5), ("day(tz), bucket(2, id)", None)]


@case
def partitions_of_every_transform():
    for number, (spec, count) in enumerate(PARTS):
        name = f"p{number}"
        world().lake.rows(f"CREATE TABLE i.{name} PARTITIONED BY ({spec}) AS " + EVERY.replace("%d, %d", "0, 60"))
        world().oracle.execute(f"CREATE TABLE i.{name} AS " + EVERY.replace("%d, %d", "0, 60"))
        world().both(f"INSERT INTO i.{name} " + EVERY.replace("%d, %d", "60, 80"))
        table = rows_agree(name)
        partitions_agree(table, count)
        recount(table)


@case
def deletes_and_appends():
    world().lake.rows("CREATE TABLE i.del PARTITIONED BY (bucket(4, id)) AS " + EVERY.replace("%d, %d", "0, 100"))
    world().oracle.execute("CREATE TABLE i.del AS " + EVERY.replace("%d, %d", "0, 100"))
    for text in ("DELETE FROM i.del WHERE id % 7 = 3", "DELETE FROM i.del WHERE ts IS NULL",
                 "INSERT INTO i.del " + EVERY.replace("%d, %d", "500, 520"), "DELETE FROM i.del WHERE s LIKE 'a%' AND id < 30"):
        world().both(text)
        table = rows_agree("del")
        partitions_agree(table, 4)
        recount(table)
        for entry in entries_of(table):
            check_statistics(table, entry.data_file)
    first = table.snapshots()[0]
    equal(len(table.scan(snapshot_id=first.snapshot_id).to_arrow()), 100)
    world().both("DELETE FROM i.del")
    equal(len(rows_agree("del").scan().to_arrow()), 0)


@case
def columns_change():
    both = world().both
    both("CREATE TABLE i.alt (id INTEGER, s VARCHAR, f FLOAT, n DECIMAL(5,2))")
    both("INSERT INTO i.alt VALUES (1, 'x', 1.5, 1.25), (2, NULL, NULL, NULL)")
    both("ALTER TABLE i.alt ADD COLUMN d DATE")
    both("INSERT INTO i.alt VALUES (3, 'y', 2.5, 2.25, DATE '2020-01-01')")
    both("ALTER TABLE i.alt RENAME COLUMN s TO title")
    both("ALTER TABLE i.alt ALTER COLUMN id TYPE BIGINT")
    both("ALTER TABLE i.alt ALTER COLUMN f TYPE DOUBLE")
    both("ALTER TABLE i.alt ALTER COLUMN n TYPE DECIMAL(9,2)")
    both("INSERT INTO i.alt VALUES (1099511627776, 'z', 3.5, 1234567.25, NULL)")
    table = rows_agree("alt")
    equal([(f.name, str(f.field_type), f.field_id) for f in table.schema().fields],
          [("id", "long", 1), ("title", "string", 2), ("f", "double", 3), ("n", "decimal(9, 2)", 4), ("d", "date", 5)])
    both("DELETE FROM i.alt WHERE id = 1")
    both("ALTER TABLE i.alt DROP COLUMN title")
    rows_agree("alt")


@case
def empty_and_sorted_tables():
    world().both("CREATE TABLE i.empty (id BIGINT, s VARCHAR)")
    table = world().table("empty")
    equal(table.current_snapshot(), None)
    equal(table.scan().to_arrow().num_rows, 0)
    equal([field.name for field in table.schema().fields], ["id", "s"])
    world().lake.rows("CREATE TABLE i.none AS SELECT 1::BIGINT AS id WHERE false")
    equal(world().table("none").scan().to_arrow().num_rows, 0)
    world().lake.rows("CREATE TABLE i.sorted SORTED BY (s) AS SELECT i AS id, md5(i::VARCHAR) AS s FROM range(1000) r(i)")
    world().oracle.execute("CREATE TABLE i.sorted AS SELECT i AS id, md5(i::VARCHAR) AS s FROM range(1000) r(i)")
    table = rows_agree("sorted")
    equal(str(table.sort_order().fields[0].direction.value), "asc")
    with table.io.new_input(entries_of(table)[0].data_file.file_path).open() as source:
        words = pq.read_table(source).column("s").to_pylist()
    equal(words, sorted(words), "the file's order")


# ---- the sweep ----


def staged_rows(data):
    """Intents in the database of a server that is down; its files are copied, the lake's own are not touched."""
    copy = Path(tempfile.mkdtemp(prefix="tarn-meta-"))
    for path in (data / "meta").glob("tarn.db*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, copy)
    rows = sqlite3.connect(copy / "tarn.db").execute("SELECT run_id, address FROM staged_files WHERE run_id <> 'expired'").fetchall()
    shutil.rmtree(copy)
    return rows


def reachable(lake):
    """What PyIceberg comes to from the newest metadata of every table."""
    addresses = set()
    namespaces = ("i", "bronze")  # the other has the lake's own table of objects
    for dataset in [item for ns in namespaces for item in lake.request("GET", f"/v1/datasets?namespace={ns}").json["items"]]:
        about = lake.request("GET", f"/v1/datasets/{dataset['namespace']}.{dataset['name']}").json
        table = StaticTable.from_metadata(about["metadata"], IO)
        addresses |= {about["metadata"]} | {entry.metadata_file for entry in table.metadata.metadata_log}
        for snapshot in table.snapshots():
            addresses.add(snapshot.manifest_list)
            for manifest in snapshot.manifests(table.io):
                addresses.add(manifest.manifest_path)
                addresses |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return addresses


def listed(lake):
    addresses, cursor = set(), ""
    while True:
        page = lake.request("GET", f"/v1/objects/lake?limit=1000{cursor}").json
        addresses |= {"s3://lake/" + item["key"] for item in page["items"]}
        if not page.get("next_cursor"):
            return addresses
        cursor = "&cursor=" + page["next_cursor"]


def kept_small(lake, name, files_max):
    """Waits until maintenance has joined the files of a table and removed what nothing reaches; the table by PyIceberg."""
    until, before, seen = time.monotonic() + 180, None, "not looked at"
    while time.monotonic() < until:
        address = lake.request("GET", f"/v1/datasets/{name}").json["metadata"]
        try:
            table = StaticTable.from_metadata(address, IO)
            dead = {path for path in listed(lake) if path.startswith(table.location() + "/")} - reachable(lake)
            files = len(entries_of(table))
        except FileNotFoundError as gone:  # of a snapshot that went while it was looked at: nothing is kept for readers here
            before, seen = None, str(gone)
            continue
        seen = f"{files} files, {len(dead)} that nothing reaches: {sorted(dead)[:3]}"
        if files <= files_max and not dead and address == before:
            return table
        before = address
        time.sleep(2)  # a round of maintenance and more
    raise AssertionError(f"{name}: {seen}")


@case
def joined_files_and_expired_snapshots():
    work = Path(tempfile.mkdtemp(prefix="tarn-keep-"))
    HttpIO.server = lake = Lake(work / "data", "--set", "maintenance.interval=1s", "--set", "maintenance.compact_files=4",
                                "--set", "maintenance.reclaim=0", "--set", "objects.interval=20ms")
    lake.rows("CREATE NAMESPACE i")
    lake.rows("CREATE TABLE i.c (id BIGINT, day DATE, s VARCHAR) PARTITIONED BY (day) "
              "TBLPROPERTIES ('tarn.compact' = 'true', 'tarn.snapshots-max' = '5')")
    lake.rows("CREATE TABLE i.full (id BIGINT) TBLPROPERTIES ('tarn.snapshots-max' = '2')")
    for i in range(60):  # beside maintenance
        lake.rows(f"INSERT INTO i.c SELECT {i} * 10 + k, DATE '2026-01-01' + (k % 2)::INTEGER, 'n' || k FROM range(10) r(k)")
        equal(lake.ingest("k", f"{i}.txt", b"x" * (i + 1)).status // 100, 2)
        if i % 10 == 0:
            lake.rows("DELETE FROM i.full")
            lake.rows(f"INSERT INTO i.full SELECT range FROM range({i}, {i} + 100)")
    table = kept_small(lake, "i.c", 12)
    holds(any(snapshot.summary.operation.value == "replace" for snapshot in table.snapshots()), "a rewrite is a snapshot `replace`")
    equal(len(table.snapshots()), 5)
    equal(table.current_snapshot().summary["total-records"], "600")
    rows = table.scan().to_arrow().sort_by("id")
    equal(rows.column("id").to_pylist(), list(range(600)))
    equal(rows.column("s").to_pylist(), [f"n{i % 10}" for i in range(600)])
    equal(table.scan(row_filter="day = '2026-01-02'").to_arrow().num_rows, 300)
    newest = max(snapshot.sequence_number for snapshot in table.snapshots())
    for entry in entries_of(table):
        holds(0 < entry.sequence_number <= entry.file_sequence_number <= newest if hasattr(entry, "file_sequence_number")
              else 0 < entry.sequence_number <= newest, f"sequence number {entry.sequence_number}")
    equal(kept_small(lake, "i.full", 1).scan().to_arrow().num_rows, 100)
    objects = kept_small(lake, "bronze.objects", 12)
    keys = objects.scan(row_filter="bucket = 'bronze'").to_arrow().column("key").to_pylist()
    equal(sorted(key.split("/")[-1] for key in keys), sorted(f"{i}.txt" for i in range(60)))
    equal(lake.rows("SELECT count(*), count(DISTINCT key) FROM bronze.objects WHERE bucket = 'bronze'"), [[60, 60]])
    for snapshot in objects.snapshots():  # those of the last hour: all whole
        objects.scan(snapshot_id=snapshot.snapshot_id).to_arrow()
    equal(lake.stop(), 0)
    out = subprocess.run([BUILD / "tarn", "doctor", "--data", work / "data"], stdout=subprocess.PIPE, text=True)
    equal(out.returncode, 0, out.stdout)
    shutil.rmtree(work)


def write_until_killed(lake, number, acknowledged):
    texts = [f"INSERT INTO i.t SELECT {number}, i FROM range(100) r(i)", f"DELETE FROM i.t WHERE w = {number} AND i < 50"]
    try:
        for step in range(1000):
            if lake.sql(texts[step % 2 if number == 0 else 0], timeout=20).status == 200 and number:
                acknowledged[number] += 1
    except OSError:
        return


def sweeps_logged(lake):
    """Objects that the first round has swept; waits for its line."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        found = re.findall(r"step=sweep objects=(\d+)", Path(lake.log.name).read_text())
        if found:
            return int(found[-1])
        time.sleep(0.02)
    raise AssertionError("no sweep was logged")


@case
def a_killed_write_is_swept_and_nothing_reachable():
    work = Path(tempfile.mkdtemp(prefix="tarn-sweep-"))
    data, acknowledged = work / "data", {1: 0, 2: 0, 3: 0}
    lake = Lake(data)
    lake.rows("CREATE NAMESPACE i")
    lake.rows("CREATE TABLE i.t (w BIGINT, i BIGINT)")
    lake.stop()
    staged = []
    for round_ in range(20):
        lake = Lake(data)
        threads = [threading.Thread(target=write_until_killed, args=(lake, number, acknowledged)) for number in range(4)]
        for thread in threads:
            thread.start()
        threading.Timer(0.3 + 0.07 * round_, lake.process.kill).start()
        for thread in threads:
            thread.join()
        lake.process.wait()
        staged = staged_rows(data)
        if any(address.endswith(".parquet") for _, address in staged):
            break
    holds(any(address.endswith(".parquet") for _, address in staged), "a kill left intents of data files")
    Path(lake.log.name).write_text("")
    HttpIO.server = lake = Lake(data, "--set", "log.level=debug")
    equal(sweeps_logged(lake), 0, "objects swept before the grace")
    before, rows = listed(lake), lake.rows("SELECT w, count(*) FROM i.t GROUP BY w ORDER BY w")
    equal(lake.stop(), 0)
    equal(len(staged_rows(data)), len(staged), "intents before the grace")
    Path(lake.log.name).write_text("")
    HttpIO.server = lake = Lake(data, "--set", "log.level=debug", "--set", "maintenance.grace=0")
    swept, wanted = sweeps_logged(lake), reachable(lake)
    equal(len(before) - len(listed(lake)), swept, "objects swept")
    equal(sorted(wanted - listed(lake)), [], "reachable and gone")
    equal(sorted(listed(lake) - wanted), [], "orphans that stayed")
    equal(lake.rows("SELECT w, count(*) FROM i.t GROUP BY w ORDER BY w"), rows)
    for number, count in lake.rows("SELECT w, count(*) FROM i.t WHERE w > 0 GROUP BY w"):
        holds(count >= 100 * acknowledged[number], f"{count} rows of writer {number}, {acknowledged[number]} acknowledged")
    started = time.monotonic()
    equal(lake.stop(), 0)
    holds(time.monotonic() - started < 9, "the server ends promptly, before http.drain is over")
    equal(staged_rows(data), [], "intents")
    out = subprocess.run([BUILD / "tarn", "doctor", "--data", data], stdout=subprocess.PIPE, text=True)
    equal(out.returncode, 0, out.stdout)
    shutil.rmtree(work)


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(CACHE, ignore_errors=True)
