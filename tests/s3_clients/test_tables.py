"""What stands on objects: Delta tables by delta-rs with writers at the same time, and DuckDB's httpfs reading and writing Parquet."""
import sys
import threading
import time
import traceback
from pathlib import Path

from adapters import Boto3
from script import equal
from stand import REGION, Results, Stand

WRITERS, COMMITS = 4, 3


def delta(place):
    """Conditional puts alone keep the commits apart: each row of every writer is there."""
    import pyarrow
    from deltalake import DeltaTable, write_deltalake
    more = {"AWS_ENDPOINT_URL": place.url, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": place.access,
            "AWS_SECRET_ACCESS_KEY": place.secret, "AWS_ALLOW_HTTP": "true"}
    bucket, wrong = f"delta-{place.slug}", []
    Boto3(place).make_bucket(bucket)
    path = f"s3://{bucket}/table"

    def rows(writer, commit):
        return pyarrow.table({"writer": pyarrow.array([writer], pyarrow.int64()), "commit": pyarrow.array([commit], pyarrow.int64())})

    def write(writer):
        for commit in range(COMMITS):
            for _ in range(40):
                try:
                    write_deltalake(path, rows(writer, commit), mode="append", storage_options=more)
                    break
                except Exception as error:  # noqa: BLE001, its own retries can run out
                    text = str(error)
                    if "commit" not in text.lower() and "version" not in text.lower():
                        wrong.append(text)
                        return
            else:
                wrong.append("no commit in 40 tries")
    write_deltalake(path, rows(99, 0), storage_options=more)
    threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(wrong, [])
    found = DeltaTable(path, storage_options=more).to_pyarrow_table().to_pylist()
    equal(sorted((row["writer"], row["commit"]) for row in found),
          sorted([(99, 0)] + [(writer, commit) for writer in range(WRITERS) for commit in range(COMMITS)]))


def duckdb(place):
    import duckdb as engine
    import duckdb_extension_httpfs
    extension = next(Path(duckdb_extension_httpfs.__file__).parent.glob(f"extensions/v{engine.__version__}/httpfs.duckdb_extension"))
    bucket = f"duckdb-{place.slug}"
    Boto3(place).make_bucket(bucket)
    base = engine.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    base.execute(f"LOAD '{extension}'")
    if place.tls:
        base.execute(f"SET ca_cert_file = '{place.ca}'")
    base.execute(f"CREATE SECRET (TYPE s3, KEY_ID '{place.access}', SECRET '{place.secret}', ENDPOINT '{place.host}', REGION '{REGION}', "
                 f"USE_SSL {str(place.tls).lower()}, URL_STYLE 'path')")
    base.execute(f"COPY (SELECT i, i % 7 AS k, md5(i::VARCHAR) AS text FROM range(300000) t(i)) TO 's3://{bucket}/a/one.parquet'")
    base.execute(f"COPY (SELECT i, i % 3 AS k FROM range(1000) t(i)) TO 's3://{bucket}/parts' (FORMAT parquet, PARTITION_BY (k))")
    equal(base.execute(f"SELECT count(*), sum(i) FROM 's3://{bucket}/a/one.parquet' WHERE k = 3").fetchone(), (42857, 6428507143))
    equal(base.execute(f"SELECT count(*), count(DISTINCT k) FROM read_parquet('s3://{bucket}/parts/*/*.parquet')").fetchone(), (1000, 3))
    base.execute(f"COPY (SELECT 'ü +%' AS x) TO 's3://{bucket}/odd name+ü.csv'")
    equal(base.execute(f"SELECT x FROM read_csv('s3://{bucket}/odd name+ü.csv')").fetchone(), ("ü +%",))
    base.execute(f"CREATE OR REPLACE SECRET (TYPE s3, KEY_ID '{place.access}', SECRET 'wrong', ENDPOINT '{place.host}', "
                 f"REGION '{REGION}', USE_SSL {str(place.tls).lower()}, URL_STYLE 'path')")
    try:
        base.execute(f"SELECT count(*) FROM 's3://{bucket}/parts/k=0/data_0.parquet'")
    except engine.Error as error:
        equal("403" in str(error), True, f"403 in {error}")
    else:
        raise AssertionError("a wrong key reads")


def main():
    stand, results = Stand(), Results()
    for place in stand.places():
        for label, call in (("delta-rs: concurrent appends", delta), ("DuckDB httpfs: Parquet and CSV, read and written", duckdb)):
            started = time.monotonic()
            try:
                call(place)
                results.line("ok", f"{label}, {place.name}", took=time.monotonic() - started)
            except Exception as error:  # noqa: BLE001
                traceback.print_exc()
                results.line("FAIL", f"{label}, {place.name}", f"{type(error).__name__}: {error}"[:600])
    return stand.end(results)


if __name__ == "__main__":
    sys.exit(main())
