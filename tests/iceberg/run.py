#!/usr/bin/env python3
"""PyIceberg reads what tarn writes, and tarn plans what PyIceberg writes.

    run.py TABLE_TOOL [NAME...]      cases whose name contains NAME; ends with `N passed, N failed`
"""
import datetime
import decimal
import json
import os
import random
import subprocess
import sys
import tempfile
import traceback
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.expressions import And, EqualTo, GreaterThan, GreaterThanOrEqual, In, IsNull, LessThan, NotEqualTo, NotNull, StartsWith
from pyiceberg.io.pyarrow import (compute_statistics_plan, data_file_statistics_from_parquet_metadata,
                                  parquet_path_to_id_mapping, schema_to_pyarrow)
from pyiceberg.manifest import ManifestEntryStatus
from pyiceberg.schema import Schema
from pyiceberg.table import StaticTable
from pyiceberg.transforms import parse_transform
from pyiceberg.types import NestedField, LongType, StringType, DateType, DoubleType, IntegerType
from pyiceberg.partitioning import PartitionField, PartitionSpec

from lake_io import MemoryCatalog

CASES = []


def case(function):
    CASES.append(function)
    return function


class Tarn:
    """The tool in a directory of its own, and a view of its objects as files."""

    def __init__(self, tool, root):
        self.tool, self.root, self.out = tool, root, os.path.join(root, "out")
        os.environ["PY_LAKE_ROOT"] = self.out
        self.process = subprocess.Popen([tool, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.serial = 0

    def run(self, op, **arguments):
        self.process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def ok(self, op, **arguments):
        answer = self.run(op, **arguments)
        assert "error" not in answer, answer
        return answer

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0

    def table(self, ns, name):
        """The newest state as PyIceberg sees it."""
        self.ok("export", dir=self.out)
        plan = self.ok("plan", ns=ns, name=name)
        return StaticTable.from_metadata(plan["metadata"], {"py-io-impl": "lake_io.LakeIO"})

    def write(self, ns, name, rows, columns=None):
        """Rows as one Parquet file with the table's field ids; gives its address."""
        table = self.table(ns, name)
        schema = schema_to_pyarrow(table.schema())
        if columns:
            schema = pa.schema([schema.field(c) for c in columns])
        self.serial += 1
        path = os.path.join(self.root, f"f{self.serial}.parquet")
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=50, compression="zstd")
        address = f"{table.location()}/data/f{self.serial}.parquet"
        self.ok("put", address=address, file=path)
        return address

    def append(self, ns, name, rows, values=(), kind="append", remove=()):
        files = [{"address": self.write(ns, name, rows), "values": list(values)}] if rows else []
        return self.ok("commit", ns=ns, name=name, kind=kind, files=files, remove=list(remove))["snapshot"]


def rows_of(scan):
    return scan.to_arrow().to_pylist()


def by(rows, key="id"):
    return sorted(rows, key=lambda row: row[key])


def entries_of(table, deleted=False):
    snapshot = table.current_snapshot()
    return [entry for manifest in (snapshot.manifests(table.io) if snapshot else [])
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=not deleted)]


EVERY = [("id", "BIGINT"), ("b", "BOOLEAN"), ("i", "INTEGER"), ("f", "FLOAT"), ("d", "DOUBLE"), ("n", "DECIMAL(9,2)"),
         ("n38", "DECIMAL(38,4)"), ("day", "DATE"), ("t", "TIME"), ("ts", "TIMESTAMP"), ("tz", "TIMESTAMPTZ"), ("s", "VARCHAR"),
         ("u", "UUID"), ("x", "BLOB"), ("st", "STRUCT(a INTEGER, b STRUCT(c VARCHAR))"), ("l", "INTEGER[]"),
         ("m", "MAP(VARCHAR, DOUBLE)")]


def every_row(i):
    rand = random.Random(i)
    if i % 10 == 9:
        return {"id": i}
    ts = datetime.datetime(1969 + i % 60, 1 + i % 12, 1 + i % 28, i % 24, i % 60, 1, i)
    return {"id": i, "b": i % 2 == 0, "i": i - 50, "f": i / 4, "d": -i / 8, "n": decimal.Decimal(i) / 100,
            "n38": decimal.Decimal(10) ** 20 + i, "day": ts.date(), "t": ts.time(), "ts": ts,
            "tz": ts.replace(tzinfo=datetime.timezone.utc), "s": "".join(rand.choice("aé€\U0001F300z") for _ in range(i % 40)),
            "u": uuid.UUID(int=rand.getrandbits(128)).bytes, "x": rand.randbytes(i % 30), "st": {"a": i, "b": {"c": str(i)}},
            "l": [i, i + 1, None], "m": [("k", i / 2)]}


@case
def every_type_with_statistics(tarn):
    tarn.ok("create", ns="silver", name="every", columns=EVERY, sort=[["id", "desc"]])
    wanted = [every_row(i) for i in range(200)]
    tarn.append("silver", "every", wanted[:120])
    tarn.append("silver", "every", wanted[120:])
    table = tarn.table("silver", "every")
    got = by(rows_of(table.scan()))
    schema = schema_to_pyarrow(table.schema())
    assert got == pa.Table.from_pylist(wanted, schema=schema).to_pylist()
    assert [f.name for f in table.schema().fields] == [c[0] for c in EVERY]
    assert table.sort_order().fields[0].direction.value == "desc"
    assert table.format_version == 2
    entries = entries_of(table)
    assert len(entries) == 2
    for entry in entries:
        check_statistics(table, entry.data_file)
    summary = table.current_snapshot().summary
    assert summary["total-records"] == "200" and summary["total-data-files"] == "2", summary
    sizes = sum(e.data_file.file_size_in_bytes for e in entries)
    assert summary["total-files-size"] == str(sizes)


def check_statistics(table, file):
    """What PyIceberg itself would have written for this Parquet file."""
    from lake_io import local
    metadata = pq.read_metadata(local(file.file_path))
    assert file.file_size_in_bytes == os.path.getsize(local(file.file_path))
    ours = data_file_statistics_from_parquet_metadata(
        parquet_metadata=metadata, stats_columns=compute_statistics_plan(table.schema(), table.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(table.schema()))
    assert file.record_count == ours.record_count
    assert dict(file.column_sizes) == ours.column_sizes
    assert dict(file.value_counts) == ours.value_counts
    assert dict(file.null_value_counts) == ours.null_value_counts
    assert list(file.split_offsets) == ours.split_offsets
    serialized = ours.to_serialized_dict()
    # PyIceberg keeps no bounds of fields inside structs; the reference (Java) and tarn do.
    top = {field.field_id for field in table.schema().fields}
    lower, upper = ({k: v for k, v in bounds.items() if k in top} for bounds in (file.lower_bounds, file.upper_bounds))
    assert lower == serialized["lower_bounds"], difference(lower, serialized["lower_bounds"])
    assert upper == serialized["upper_bounds"], difference(upper, serialized["upper_bounds"])


def difference(a, b):
    return {k: (a.get(k), b.get(k)) for k in set(a) | set(b) if a.get(k) != b.get(k)}


PARTITIONS = [("i", "identity"), ("i", "bucket[7]"), ("id", "bucket[16]"), ("id", "truncate[50]"), ("s", "truncate[2]"),
              ("s", "bucket[5]"), ("s", "identity"), ("day", "year"), ("day", "month"), ("day", "day"), ("ts", "hour"), ("ts", "day"), ("tz", "month"),
              ("n", "bucket[9]"), ("n", "truncate[10]"), ("n", "identity"), ("u", "bucket[11]"), ("x", "truncate[2]"),
              ("x", "identity"), ("b", "identity"), ("d", "identity"), ("f", "identity"), ("t", "identity"), ("ts", "identity"),
              ("tz", "identity"), ("u", "identity"), ("n38", "identity"), ("day", "identity"), ("i", "void")]


def text_of(value):
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return str(value)


@case
def partitions_of_every_transform(tarn):
    for number, (column, transform) in enumerate(PARTITIONS):
        name = f"p{number}"
        tarn.ok("create", ns="silver", name=name, columns=EVERY, partition=[[column, transform]])
        rows = [every_row(i) for i in (7, 88, 124)]
        if column == "u":
            texts = [str(uuid.UUID(bytes=row["u"])) for row in rows]
        else:
            texts = [text_of(row[column]) for row in rows]
        files = [{"address": tarn.write("silver", name, [row]), "values": [text]} for row, text in zip(rows, texts)]
        empty = {"address": tarn.write("silver", name, [{"id": 1000}]), "values": [None if column != "id" else "1000"]}
        tarn.ok("commit", ns="silver", name=name, kind="append", files=files + [empty])
        table = tarn.table("silver", name)
        spec = table.spec().fields[0]
        assert str(spec.transform) == transform, (spec, transform)
        source = table.schema().find_field(column).field_type
        function = parse_transform(transform).transform(source)
        got = {e.data_file.file_path: e.data_file.partition[0] for e in entries_of(table)}
        for row, file in zip(rows, files):
            value = row[column]
            wanted = internal(function, source, value)
            assert same(got[file["address"]], wanted), (column, transform, value, got[file["address"]], wanted)
        if column != "id":
            assert got[empty["address"]] is None
        assert len(rows_of(table.scan())) == 4
        # Pruning by the partition finds the row again.
        if column in ("i", "id", "day", "s"):
            row = rows[1]
            plan = tarn.ok("plan", ns="silver", name=name, where=[[column, "=", text_of(row[column])]])
            assert files[1]["address"] in [f["address"] for f in plan["files"]]
            theirs = {t.file.file_path for t in table.scan(row_filter=EqualTo(column, row[column] if column != "day" else str(row[column]))).plan_files()}
            assert {f["address"] for f in plan["files"]} == theirs, (column, transform)


EPOCH = datetime.datetime(1970, 1, 1)


def micros(value):
    """Iceberg's internal form: days, microseconds."""
    step = datetime.timedelta(microseconds=1)
    if isinstance(value, datetime.datetime):
        return ((value.astimezone(datetime.timezone.utc).replace(tzinfo=None) if value.tzinfo else value) - EPOCH) // step
    if isinstance(value, datetime.date):
        return (value - EPOCH.date()).days
    if isinstance(value, datetime.time):
        return (datetime.datetime.combine(EPOCH.date(), value) - EPOCH) // step
    return value


def internal(function, source, value):
    return function(uuid.UUID(bytes=value) if str(source) == "uuid" else micros(value))


def same(got, wanted):
    if isinstance(got, bytes) and isinstance(wanted, uuid.UUID):
        wanted = wanted.bytes
    return micros(got) == wanted


FILTERS = [([["id", "=", "42"]], EqualTo("id", 42)), ([["id", "<", "30"]], LessThan("id", 30)),
           ([["id", ">=", "170"]], GreaterThanOrEqual("id", 170)), ([["id", ">", "30"], ["id", "<", "35"]], And(GreaterThan("id", 30), LessThan("id", 35))),
           ([["id", "in", "1", "77", "5000"]], In("id", (1, 77, 5000))), ([["s", "starts", "k1"]], StartsWith("s", "k1")),
           ([["s", "null"]], IsNull("s")), ([["s", "not null"]], NotNull("s")), ([["id", "!=", "42"]], NotEqualTo("id", 42)),
           ([["day", "<", "2020-02-01"]], LessThan("day", "2020-02-01")), ([["day", "=", "2020-03-15"]], EqualTo("day", "2020-03-15"))]


@case
def pruning_agrees_with_pyiceberg(tarn):
    tarn.ok("create", ns="silver", name="pruned", columns=[("id", "BIGINT"), ("s", "VARCHAR"), ("day", "DATE")], partition=[["day", "month"]])
    wanted = []
    for part in range(10):
        day = datetime.date(2020, 1 + part % 4, 15)
        rows = [{"id": part * 20 + i, "s": f"k{part:02d}{i:03d}" if part != 3 else None, "day": day} for i in range(20)]
        wanted += rows
        tarn.append("silver", "pruned", rows, [str(day)])
    table = tarn.table("silver", "pruned")
    for where, expression in FILTERS:
        ours = {f["address"] for f in tarn.ok("plan", ns="silver", name="pruned", where=where)["files"]}
        theirs = {task.file.file_path for task in table.scan(row_filter=expression).plan_files()}
        assert ours == theirs, (where, len(ours), len(theirs))
    assert by(rows_of(table.scan())) == wanted


@case
def overwrite_delete_replace_and_time_travel(tarn):
    tarn.ok("create", ns="silver", name="t", columns=[("id", "BIGINT"), ("s", "VARCHAR")])
    first = tarn.append("silver", "t", [{"id": i, "s": "a"} for i in range(10)])
    second = tarn.append("silver", "t", [{"id": i, "s": "b"} for i in range(10, 20)])
    address = tarn.ok("plan", ns="silver", name="t")["files"][0]["address"]
    third = tarn.append("silver", "t", [{"id": i, "s": "c"} for i in range(5)], kind="overwrite", remove=[address])
    table = tarn.table("silver", "t")
    assert len(rows_of(table.scan())) == 15
    assert len(rows_of(table.scan(snapshot_id=first))) == 10 and len(rows_of(table.scan(snapshot_id=second))) == 20
    assert [s.snapshot_id for s in table.snapshots()] == [first, second, third]
    assert [s.summary.operation.value for s in table.snapshots()] == ["append", "append", "overwrite"]
    assert [s.sequence_number for s in table.snapshots()] == [1, 2, 3]
    removed = [e for e in entries_of(table, deleted=True) if e.status == ManifestEntryStatus.DELETED]
    assert [e.data_file.file_path for e in removed] == [address]
    assert "code" in tarn.run("commit", ns="silver", name="t", kind="delete", files=[], remove=[address])
    tarn.append("silver", "t", [{"id": 1, "s": "z"}], kind="replace")
    table = tarn.table("silver", "t")
    assert rows_of(table.scan()) == [{"id": 1, "s": "z"}]
    assert table.inspect.snapshots().num_rows == 4 and table.inspect.files().num_rows == 1
    assert len(table.metadata.metadata_log) == 4
    assert len(rows_of(table.scan(snapshot_id=third))) == 15


@case
def schema_evolution(tarn):
    tarn.ok("create", ns="silver", name="e", columns=[("id", "INTEGER"), ("s", "VARCHAR"), ("f", "FLOAT")])
    tarn.append("silver", "e", [{"id": 1, "s": "x", "f": 1.5}])
    tarn.ok("alter", ns="silver", name="e", changes=[["add", "n", "DECIMAL(9,2)"], ["rename", "s", "title"], ["widen", "id", "BIGINT"],
                                                     ["widen", "f", "DOUBLE"], ["first", "n"], ["after", "id", "title"]])
    tarn.append("silver", "e", [{"id": 2 ** 40, "title": "y", "f": 2.5, "n": decimal.Decimal("1.25")}])
    tarn.ok("alter", ns="silver", name="e", changes=[["drop", "title"]])
    table = tarn.table("silver", "e")
    assert [f.name for f in table.schema().fields] == ["n", "id", "f"]
    assert by(rows_of(table.scan())) == [{"n": None, "id": 1, "f": 1.5}, {"n": decimal.Decimal("1.25"), "id": 2 ** 40, "f": 2.5}]
    assert len(table.schemas()) == 3 and table.metadata.last_column_id == 4
    assert "code" in tarn.run("alter", ns="silver", name="e", changes=[["widen", "id", "INTEGER"]])


@case
def many_appends_merge_manifests(tarn):
    tarn.ok("create", ns="silver", name="many", columns=[("id", "BIGINT")])
    for i in range(60):
        tarn.append("silver", "many", [{"id": i}])
    table = tarn.table("silver", "many")
    assert by(rows_of(table.scan())) == [{"id": i} for i in range(60)]
    manifests = table.current_snapshot().manifests(table.io)
    assert len(manifests) <= 41, len(manifests)
    sequences = [e.sequence_number for e in entries_of(table)]
    assert sorted(sequences) == list(range(1, 61))


@case
def tarn_plans_what_pyiceberg_wrote(tarn):
    os.makedirs(tarn.out, exist_ok=True)
    catalog = MemoryCatalog("foreign", warehouse="s3://lake/foreign", **{"py-io-impl": "lake_io.LakeIO"})
    catalog.create_namespace("ns")
    schema = Schema(NestedField(1, "id", LongType(), required=False), NestedField(2, "s", StringType(), required=False),
                    NestedField(3, "day", DateType(), required=False), NestedField(4, "d", DoubleType(), required=False))
    spec = PartitionSpec(PartitionField(source_id=3, field_id=1000, transform=parse_transform("month"), name="day_month"),
                         PartitionField(source_id=1, field_id=1001, transform=parse_transform("bucket[4]"), name="id_bucket"))
    table = catalog.create_table("ns.t", schema, partition_spec=spec)
    rows = [{"id": i, "s": f"k{i}", "day": datetime.date(2020, 1 + i % 3, 5), "d": i / 3} for i in range(60)]
    for part in (rows[:30], rows[30:]):
        table.append(pa.Table.from_pylist(part, schema=schema_to_pyarrow(table.schema(), include_field_ids=False)))
    table.delete(EqualTo("id", 7))
    for folder, _, names in os.walk(tarn.out):
        for name in names:
            path = os.path.join(folder, name)
            tarn.ok("put", address="s3://" + os.path.relpath(path, tarn.out), file=path)
    tarn.ok("register", ns="foreign", name="t", location=table.location() + "/", metadata=table.metadata_location)
    for where, expression in [([], None), ([["id", "=", "33"]], EqualTo("id", 33)), ([["day", "<", "2020-02-01"]], LessThan("day", "2020-02-01")),
                              ([["d", "<", "0.5"]], LessThan("d", 0.5)), ([["s", "starts", "k5"]], StartsWith("s", "k5"))]:
        plan = tarn.ok("plan", ns="foreign", name="t", where=where)
        scan = table.scan(row_filter=expression) if expression is not None else table.scan()
        tasks = list(scan.plan_files())
        assert {f["address"] for f in plan["files"]} == {t.file.file_path for t in tasks}, where
        assert plan["records"] == sum(t.file.record_count for t in tasks)
    # And goes on writing it: PyIceberg reads the result.
    plan = tarn.ok("plan", ns="foreign", name="t")
    tarn.ok("commit", ns="foreign", name="t", kind="delete", files=[], remove=[plan["files"][0]["address"]])
    after = tarn.table("foreign", "t")
    assert len(rows_of(after.scan())) == 59 - plan["files"][0]["records"]


def main():
    tool, wanted = os.path.abspath(sys.argv[1]), sys.argv[2:]
    passed = failed = 0
    for function in CASES:
        if wanted and not any(word in function.__name__ for word in wanted):
            continue
        with tempfile.TemporaryDirectory(prefix="tarn-iceberg-") as root:
            tarn = Tarn(tool, root)
            try:
                function(tarn)
                tarn.close()
                passed += 1
                print(f"ok   {function.__name__}")
            except Exception:  # a case that breaks in any way has failed
                failed += 1
                print(f"FAIL {function.__name__}")
                traceback.print_exc()
                tarn.process.kill()
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main())
