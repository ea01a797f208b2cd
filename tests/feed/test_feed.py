"""bronze.objects: every change of objects over S3 stands in it exactly once, while kill -9 ends the server again and again,
whether its row lies in a file of the table or still in the feed."""
import atexit
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import Lake, case, equal, holds, main  # noqa: E402

os.environ.pop("AWS_CA_BUNDLE", None)
import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402

ROUNDS = int(os.environ.get("FEED_ROUNDS", "5"))
dice = random.Random(int(os.environ.get("TARN_SEED", "1")))
PART = random.Random(7).randbytes(5 << 20)


def folder():
    work = Path(tempfile.mkdtemp(prefix="tarn-feed-"))
    atexit.register(shutil.rmtree, work, ignore_errors=True)
    return work


def serve(work):
    os.environ["TARN_OBJECTS_INTERVAL"] = "50ms"
    os.environ["TARN_MAINTENANCE_INTERVAL"] = "1s"  # files are joined beside the landing, and killed with it
    os.environ["TARN_MAINTENANCE_COMPACT_FILES"] = "4"
    os.environ["TARN_MAINTENANCE_RECLAIM"] = "0"
    lake = Lake(work / "data", "--s3", "127.0.0.1:0")
    config = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, connect_timeout=10, read_timeout=30)
    lake.s3 = boto3.client("s3", endpoint_url=f"http://{lake.admin['s3']}", region_name="us-east-1", config=config,
                           aws_access_key_id=lake.admin["access_key"], aws_secret_access_key=lake.admin["secret_key"])
    return lake


def multipart(s3, key):
    upload = s3.create_multipart_upload(Bucket="users", Key=key)["UploadId"]
    parts = [{"PartNumber": n, "ETag": s3.upload_part(Bucket="users", Key=key, UploadId=upload, PartNumber=n, Body=body)["ETag"]}
             for n, body in ((1, PART), (2, b"tail"))]
    return s3.complete_multipart_upload(Bucket="users", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


def change(s3, there, number):
    """One change; what its row has to say: event, key, size, etag."""
    kind = dice.choice(["put", "put", "overwrite", "delete", "parts" if number % 25 == 0 else "put"])
    key = dice.choice(sorted(there)) if there and kind in ("overwrite", "delete") else f"k/{number}"
    if kind == "delete" and there:
        return ["delete", key, None, None], lambda: s3.delete_object(Bucket="users", Key=key)
    if kind == "parts":
        return ["put", key, len(PART) + 4, "?"], lambda: multipart(s3, key)
    body = dice.randbytes(dice.choice([0, 10, 3000, 200_000]))
    return ["put", key, len(body), "?"], lambda: s3.put_object(Bucket="users", Key=key, Body=body)


def changes_until_killed(s3, there, wanted, number):
    """Appends the acknowledged changes; the one in flight, which may have happened, comes back."""
    while True:
        number += 1
        row, call = change(s3, there, number)
        try:
            reply = call()
        except (ClientError, BotoCoreError, OSError):
            return row, number
        if row[0] == "delete":
            there.discard(row[1])
        else:
            row[3] = reply["ETag"].strip('"')
            there.add(row[1])
        wanted.append(row)


def rows_of(lake, after=0):
    return lake.rows("SELECT event, key, size_bytes, etag, sequence FROM bronze.objects WHERE bucket = 'users' "
                     f"AND sequence > {after} ORDER BY sequence")


def settle(lake, wanted, maybe, there):
    """The rows are the acknowledged changes in their order; the change in flight stands at the end or not at all."""
    got = rows_of(lake)
    plain = [row[:4] for row in got]
    equal(len({row[4] for row in got}), len(got), "numbers that differ")
    if maybe and len(plain) == len(wanted) + 1:
        equal(plain[-1][:3], maybe[:3], "the change in flight")
        wanted.append(plain[-1])
        (there.discard if maybe[0] == "delete" else there.add)(maybe[1])
    equal(plain, wanted)
    return got


@case
def every_change_stands_in_the_table_once():
    work = folder()
    lake = serve(work)
    lake.s3.create_bucket(Bucket="users")
    there, wanted, number = set(), [], 0
    for _ in range(ROUNDS):
        timer = threading.Timer(dice.uniform(0.4, 1.2), lake.process.kill)
        timer.start()
        maybe, number = changes_until_killed(lake.s3, there, wanted, number)
        lake.process.wait()
        lake = serve(work)
        settle(lake, wanted, maybe, there)
    holds(len(wanted) > 5 * ROUNDS, f"{len(wanted)} changes were acknowledged")
    for _ in range(600):  # the files of the table alone, when all has landed
        snapshot = lake.rows("SELECT snapshot_id FROM tarn.snapshots WHERE table_name = 'objects' AND is_current")
        landed = lake.rows(f"SELECT event, key, size_bytes, etag FROM bronze.objects FOR VERSION AS OF {snapshot[0][0]} "
                           "WHERE bucket = 'users' ORDER BY sequence") if snapshot else []
        if len(landed) >= len(wanted):
            break
        time.sleep(0.1)
    equal(landed, wanted, "what lies in files")
    for _ in range(600):  # a round of the maintenance too, however short the servers before lived
        commits = dict(lake.rows("SELECT operation, count(*) FROM tarn.snapshots WHERE table_name = 'objects' GROUP BY operation"))
        if commits.get("replace", 0):
            break
        time.sleep(0.1)
    holds(1 < commits["append"] < len(wanted), f"{commits} commits of {len(wanted)} changes")
    holds(commits.get("replace", 0) > 0, f"files were joined: {commits}")
    before = lake.rows("SELECT max(snapshot_id), count(*) FROM tarn.snapshots WHERE table_name = 'objects' AND operation = 'append'")
    time.sleep(0.5)
    equal(lake.rows("SELECT max(snapshot_id), count(*) FROM tarn.snapshots WHERE table_name = 'objects' AND operation = 'append'"),
          before, "snapshots while nothing happens: it does not feed on itself")
    equal([row[:4] for row in rows_of(lake)], wanted, "after files were joined")
    lake.stop()


@case
def versions_and_tags_are_events():
    work = folder()
    lake = serve(work)
    lake.s3.create_bucket(Bucket="users")
    lake.s3.put_bucket_versioning(Bucket="users", VersioningConfiguration={"Status": "Enabled"})
    first = lake.s3.put_object(Bucket="users", Key="k", Body=b"1", ContentType="text/csv")["VersionId"]
    second = lake.s3.put_object(Bucket="users", Key="k", Body=b"2")["VersionId"]
    lake.s3.put_object_tagging(Bucket="users", Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    marker = lake.s3.delete_object(Bucket="users", Key="k")["VersionId"]
    lake.s3.delete_object(Bucket="users", Key="k", VersionId=first)
    wanted = [["put", first, "text/csv"], ["put", second, "binary/octet-stream"], ["tags", second, None],
              ["delete_marker", marker, None], ["delete", first, None]]
    got = lake.rows("SELECT event, version, content_type FROM bronze.objects WHERE bucket = 'users' ORDER BY sequence")
    equal([row[:2] for row in got], [row[:2] for row in wanted])
    equal(got[0][2], "text/csv")
    now = lake.rows("SELECT key FROM bronze.objects WHERE bucket = 'users' AND event IN ('put', 'delete', 'delete_marker') "
                    "QUALIFY row_number() OVER (PARTITION BY bucket, key ORDER BY sequence DESC) = 1 AND event = 'put'")
    equal(now, [], "what lies there now")
    lake.stop()


def metrics(lake):
    """Every line parsed as Prometheus reads it; no series twice, each behind its TYPE."""
    values, types = {}, {}
    for line in lake.request("GET", "/metrics").text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line[7:].split()
            holds(name not in types, f"{name} has one TYPE")
            types[name] = kind
        elif not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            name = series.split("{")[0]
            for end in ("_bucket", "_sum", "_count"):
                name = name.removesuffix(end) if types.get(name.removesuffix(end)) == "histogram" else name
            holds(name in types and series not in values, series)
            values[series] = float(value)
    return values


@case
def metrics_say_what_the_doors_and_the_store_do():
    work = folder()
    lake = serve(work)
    before = metrics(lake)
    lake.s3.create_bucket(Bucket="users")
    for i in range(5):
        lake.s3.put_object(Bucket="users", Key=f"k{i}", Body=b"x" * 1000)
    lake.s3.get_object(Bucket="users", Key="k1")["Body"].read()
    try:
        lake.s3.get_object(Bucket="users", Key="none")
    except ClientError:
        pass
    after = metrics(lake)
    equal(after['tarn_s3_requests_total{operation="PutObject",code="200"}'], 5.0)
    equal(after['tarn_s3_requests_total{operation="GetObject",code="200"}'], 1.0)
    equal(after['tarn_s3_requests_total{operation="GetObject",code="404"}'], 1.0)
    equal(after['tarn_s3_request_seconds_count{operation="PutObject"}'], 5.0)
    equal(after['tarn_s3_request_seconds_bucket{operation="PutObject",le="+Inf"}'], 5.0)
    holds(after["tarn_s3_bytes_in_total"] - before["tarn_s3_bytes_in_total"] >= 5000, "bytes in")
    holds(after["tarn_s3_bytes_out_total"] - before["tarn_s3_bytes_out_total"] >= 1000, "bytes out")
    holds(after["tarn_store_commit_groups_total"] >= before["tarn_store_commit_groups_total"] + 6, "groups")
    equal(after["tarn_store_sync_seconds_count"], after["tarn_store_commit_groups_total"])
    equal(after["tarn_store_space_level"], 0.0)
    for _ in range(200):
        if metrics(lake)["tarn_feed_lag_changes"] == 0:
            break
        time.sleep(0.1)
    equal(metrics(lake)["tarn_feed_landed_rows_total"], 5.0)
    lake.s3.put_object(Bucket="users", Key="k0", Body=b"y" * 500_000)
    lake.s3.put_object(Bucket="users", Key="k0", Body=b"z")
    lake.s3.delete_object(Bucket="users", Key="k1")
    lake.s3.create_multipart_upload(Bucket="users", Key="later")
    wanted = {"objects": 4, "versions": 4, "bytes": 3001, "trash_bytes": 502_000, "uploads_open": 1}
    counted = metrics(lake)
    equal({name: counted[f'tarn_bucket_{name}{{bucket="users"}}'] for name in wanted}, wanted)
    equal(lake.rows(f"SELECT {', '.join(wanted)} FROM tarn.buckets WHERE bucket = 'users'"), [list(wanted.values())])
    lake.stop()


main()
