"""Principals and access keys by `tarn key` and REST, and what they open at the S3 door at once."""
import json
import sqlite3
import time
from datetime import datetime

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lake import Lake, case, equal, holds, main

lake = Lake()


def s3(made):
    return boto3.client("s3", endpoint_url=f"http://{lake.admin['s3']}", region_name="us-east-1",
                        aws_access_key_id=made["id"], aws_secret_access_key=made["secret"],
                        config=Config(retries={"max_attempts": 1}))


def refusal(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


def key(*words):
    out = lake.cli("key", *words)
    equal(out.returncode, 0, out.stderr)
    return out.stdout


def access(*words):
    return json.loads(key("access", *words))


@case
def the_four_roles_may_what_they_may():
    made = {role: access("create", f"of-{role}", "--role", role)
            for role in ("data_viewer", "data_scientist", "data_engineer", "admin")}
    doors = {role: s3(one) for role, one in made.items()}
    doors["admin"].create_bucket(Bucket="house")
    doors["admin"].put_object(Bucket="house", Key="a", Body=b"x")
    for role, door in doors.items():
        equal(door.get_object(Bucket="house", Key="a")["Body"].read(), b"x", role)
        wanted = None if role in ("data_engineer", "admin") else "AccessDenied"
        equal(refusal(door.put_object, Bucket="house", Key=role, Body=b"y"), wanted, role)
    doors["data_scientist"].create_bucket(Bucket="of-the-scientist")
    doors["data_scientist"].put_object(Bucket="of-the-scientist", Key="k", Body=b"z")
    equal(refusal(doors["data_viewer"].create_bucket, Bucket="of-the-viewer"), "AccessDenied")


@case
def a_key_is_rotated_ended_and_revoked_at_once():
    first = access("create", "loader", "--role", "data_engineer")
    door = s3(first)
    equal(refusal(door.list_buckets), None)
    second = access("rotate", first["id"], "--overlap", "1h")
    equal((refusal(door.list_buckets), refusal(s3(second).list_buckets)), (None, None), "both while they overlap")
    key("access", "expire", first["id"], "--expires", "2020-01-01")
    holds(refusal(door.list_buckets) is not None, "the old one has ended")
    key("access", "disable", second["id"])
    holds(refusal(s3(second).list_buckets) is not None, "disabled")
    key("access", "enable", second["id"])
    equal(refusal(s3(second).list_buckets), None)
    key("access", "revoke", second["id"])
    holds(refusal(s3(second).list_buckets) is not None, "revoked")
    out = lake.cli("key", "access", "enable", second["id"])
    equal(out.returncode != 0, True, "a revoked key never comes back")
    listed = json.loads(lake.cli("key", "access", "list", "loader", "--json").stdout)["items"]
    equal([row["state"] for row in listed], ["expired", "revoked"])


@case
def a_principal_is_changed_and_disabled():
    made = access("create", "guest", "--role", "data_viewer")
    equal(refusal(s3(made).create_bucket, Bucket="guests"), "AccessDenied")
    key("principal", "set", "guest", "--role", "data_engineer")
    equal(refusal(s3(made).create_bucket, Bucket="guests"), None)
    key("principal", "set", "guest", "--disable")
    holds(refusal(s3(made).list_buckets) is not None, "disabled")
    key("principal", "set", "guest", "--enable")
    equal(refusal(s3(made).list_buckets), None)
    holds("guest" in key("principal", "list"), "listed")
    out = lake.cli("key", "principal", "set", "admin", "--role", "data_viewer")
    holds(out.returncode != 0 and "server's own" in out.stderr, out.stderr)


@case
def errors_name_the_next_command():
    out = lake.cli("key", "access", "create", "nobody")
    equal(out.returncode, 3, out.stderr)
    holds("--role" in out.stderr, out.stderr)
    out = lake.cli("key", "access", "create", "guest", "--role", "admin")
    holds(out.returncode != 0 and "key principal set guest" in out.stderr, out.stderr)
    out = lake.cli("key", "access", "rotat", "X")
    equal(out.returncode, 2, out.stderr)
    holds("key access rotate" in out.stderr, out.stderr)
    out = lake.cli("key", "access", "create", "guest", "--expires", "soon")
    equal(out.returncode, 2, out.stderr)
    holds("90d" in out.stderr, out.stderr)


@case
def every_change_is_audited_and_no_secret_is_kept():
    made = access("create", "audited", "--role", "data_viewer", "--expires", "90d")
    holds(made["expires"], "it ends")
    key("access", "rotate", made["id"])
    key("access", "revoke", made["id"])
    verbs = [row[0] for row in lake.rows(f"SELECT verb FROM tarn.audit WHERE target = '{made['id']}' ORDER BY recorded_at")]
    equal(verbs, ["access.create", "access.rotate", "access.revoke"])
    holds(made["secret"] not in lake.request("GET", "/v1/access-keys").text, "not in the list")
    files = [p for p in (lake.data / "meta").iterdir() if p.is_file()]
    for file in files + [lake.data.parent / (lake.data.name + ".log")]:
        holds(made["secret"].encode() not in file.read_bytes(), f"{file.name} does not hold the secret")
    with sqlite3.connect(f"file:{lake.data / 'meta/tarn.db'}?mode=ro", uri=True) as db:
        holds(db.execute("SELECT count(*) FROM access_keys").fetchone()[0] > 1, "the rows are there")


@case
def access_keys_survive_a_restart():
    global lake
    made = access("create", "stays", "--role", "data_viewer")
    gone = access("create", "goes", "--role", "data_viewer")
    key("access", "revoke", gone["id"])
    equal(lake.stop(), 0)
    lake = Lake(lake.data)
    equal(refusal(s3(made).list_buckets), None)
    holds(refusal(s3(gone).list_buckets) is not None, "still revoked")


def key_row(id_):
    rows = json.loads(key("access", "ls", "--json"))["items"]
    return next(row for row in rows if row["id"] == id_)


@case
def a_time_from_now_is_counted_by_the_server():
    """Its clock stands still at a floor, a day ahead of the machine's and of the client's."""
    global lake
    equal(lake.stop(), 0)
    floor = int((time.time() + 86_400) * 1_000_000)
    (lake.data / "clock").write_text(f"tarn clock 1 {floor} {9999999999999999 - floor}\n")
    lake = Lake(lake.data)
    made = access("create", "hourly", "--role", "data_engineer", "--expires", "1h")
    ends = datetime.fromisoformat(made["expires"].replace("Z", "+00:00")).timestamp()
    holds(floor / 1e6 + 3590 < ends < floor / 1e6 + 4200, (ends, floor))
    equal(refusal(s3(made).list_buckets), None, "it is good for an hour")
    key("access", "expire", made["id"], "--expires", "30m")
    equal(refusal(s3(made).list_buckets), None, "and for half an hour")
    bearer = json.loads(key("create", "reader", "--expires", "2h"))["key"]
    equal(lake.request("GET", "/v1/datasets", token=bearer).status, 200)
    equal(refusal(s3(access("rotate", made["id"], "--expires", "1h")).list_buckets), None)
    key("access", "expire", made["id"], "--expires", "0")
    equal(refusal(s3(made).list_buckets), "InvalidAccessKeyId", "0 is at once")
    equal(lake.stop(), 0)
    (lake.data / "clock").unlink()
    lake = Lake(lake.data)


@case
def when_a_key_was_used_last():
    global lake
    made = access("create", "seen", "--role", "data_engineer")
    idle = access("create", "idle", "--role", "data_engineer")
    equal([key_row(made["id"])[name] for name in ("last_used", "last_used_service", "last_used_region")], [None] * 3)
    wrong = s3({"id": made["id"], "secret": "not the secret"})
    equal(refusal(wrong.list_buckets), "SignatureDoesNotMatch")
    equal(key_row(made["id"])["last_used"], None, "what was not proven is no use")
    audited = lake.rows("SELECT count(*) FROM tarn.audit")
    before = time.time()
    equal(refusal(s3(made).list_buckets), None)
    row = key_row(made["id"])
    used = datetime.fromisoformat(row["last_used"].replace("Z", "+00:00")).timestamp()
    holds(before - 61 < used <= time.time(), row)
    equal((row["last_used_service"], row["last_used_region"]), ("s3", "us-east-1"))
    equal(key_row(idle["id"])["last_used"], None)
    equal(lake.rows("SELECT count(*) FROM tarn.audit"), audited, "no row of the audit")
    equal(lake.stop(), 0)
    lake = Lake(lake.data)
    equal(key_row(made["id"]), row, "after a restart")
    equal(key_row(idle["id"])["last_used"], None)


if __name__ == "__main__":
    main()
