"""`tarn doctor` finds each kind of damage, says what to do, and is content before and after."""
import atexit
import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path

import boto3

from lake import Lake, TARN, case, equal, holds, main

MIB = 1 << 20
work = Path(tempfile.mkdtemp(prefix="tarn-doctor-"))
atexit.register(shutil.rmtree, work, ignore_errors=True)
base = work / "base"


def build():
    """Small and large objects, versions, one in parts, a table, an access key."""
    lake = Lake(base)
    s3 = boto3.client("s3", endpoint_url=f"http://{lake.admin['s3']}", region_name="us-east-1",
                      aws_access_key_id=lake.admin["access_key"], aws_secret_access_key=lake.admin["secret_key"])
    s3.create_bucket(Bucket="seen")
    s3.put_bucket_versioning(Bucket="seen", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="seen", Key="small", Body=b"Small-Body-In-The-Journal")
    s3.put_object(Bucket="seen", Key="large", Body=b"LARGE" * 100000)
    upload = s3.create_multipart_upload(Bucket="seen", Key="parts")["UploadId"]
    parts = [{"PartNumber": i, "ETag": s3.upload_part(Bucket="seen", Key="parts", UploadId=upload, PartNumber=i,
                                                      Body=bytes([64 + i]) * 5 * MIB)["ETag"]} for i in (1, 2)]
    s3.complete_multipart_upload(Bucket="seen", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
    for page in range(4):  # rows of some MiB, so that the index has blocks that a start does not read
        s3.delete_objects(Bucket="seen", Delete={"Quiet": True, "Objects": [
            {"Key": f"never/{page}/{i}/{os.urandom(200).hex()}"} for i in range(1000)]})
    lake.ingest("geo", "cities.csv", b"city,people\nOslo,709037\n")
    equal(lake.sql("CREATE NAMESPACE d").status, 200)
    equal(lake.sql("CREATE TABLE d.t AS SELECT i FROM range(1000) r(i)").status, 200)
    equal(lake.stop(), 0)


def doctor(data, *more, env=None):
    out = subprocess.run([TARN, "doctor", "--data", data, "--hashes", *more], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, timeout=120, env={**os.environ, **(env or {})})
    return out.returncode, out.stdout + out.stderr


def flip(path, at=None, find=None):
    bytes_ = bytearray(path.read_bytes())
    at = bytes_.find(find) if find else at
    holds(0 <= at < len(bytes_), f"the place in {path.name}")
    bytes_[at] ^= 4
    path.write_bytes(bytes_)


def journal_with(data, text):
    return next(p for p in sorted((data / "store/journal").iterdir()) if text in p.read_bytes())


def file_with(data, front):
    for path in sorted((data / "store/objects").rglob("*")):
        if path.is_file():
            with open(path, "rb") as file:
                if file.read(len(front)) == front:
                    return path
    raise AssertionError(f"no file begins with {front!r}")


def small_body(data):
    flip(journal_with(data, b"Small-Body-In-The-Journal"), find=b"Small-Body-In-The-Journal")


def large_file(data):
    flip(file_with(data, b"LARGELARGE"), at=70000)


def large_file_end(data):
    path = file_with(data, b"LARGELARGE")
    os.truncate(path, path.stat().st_size - 100)


def large_file_gone(data):
    file_with(data, b"LARGELARGE").unlink()


def part_gone(data):
    file_with(data, b"B" * 1000).unlink()


def part_flipped(data):
    flip(file_with(data, b"A" * 1000), at=3 * MIB)


def meta_flipped(data):
    path = data / "meta/tarn.db"
    flip(path, at=path.stat().st_size // 2 // 4096 * 4096 + 1)
    flip(path, at=4096 + 3)


def meta_cut(data):
    os.truncate(data / "meta/tarn.db", 100)


def meta_gone(data):
    shutil.rmtree(data / "meta")


def meta_row(data):
    with sqlite3.connect(data / "meta/tarn.db") as db:
        db.execute("DELETE FROM principals")


def index_flipped(data):
    tables = sorted((data / "store/index").glob("*.sst"))
    holds(tables, "the index has a table")
    for path in tables:
        flip(path, at=path.stat().st_size // 4)


def index_block_flipped(data):
    path = max((data / "store/index").glob("*.sst"), key=lambda p: p.stat().st_size)
    flip(path, at=path.stat().st_size * 3 // 4)


def index_cut(data):
    for path in (data / "store/index").glob("MANIFEST-*"):
        os.truncate(path, path.stat().st_size // 2)


def journal_gone(data):
    shutil.rmtree(data / "store/journal")


def objects_gone(data):
    shutil.rmtree(data / "store/objects")


def master_gone(data):
    (data / "keys/master").unlink()


def master_other(data):
    (data / "keys/master").write_text("00" * 32 + "\n")


def master_cut(data):
    (data / "keys/master").write_text("abc")


def secret_readable(data):
    (data / "admin.json").chmod(0o644)


def key_folder_open(data):
    (data / "keys").chmod(0o755)


def database_read_only(data):
    (data / "meta/tarn.db").chmod(0o400)


def owner_changed(data):
    os.chown(data / "meta/tarn.db", 12345, 12345)


def layout_newer(data):
    (data / "FORMAT").write_text("tarn data directory, layout 99\n")


def layout_other(data):
    (data / "FORMAT").write_text("something else\n")


def clock_damaged(data):
    flip(data / "clock", at=15)


def clock_ahead(data):
    floor = int((time.time() + 86_400) * 1_000_000)
    (data / "clock").write_text(f"tarn clock 1 {floor} {9999999999999999 - floor}\n")


def certificate_damaged(data):
    (data / "tls").mkdir(exist_ok=True)
    (data / "tls/server.pem").write_text("not a certificate")
    (data / "tls/server.key").write_text("not a key")
    (data / "tls/server.key").chmod(0o600)


#         what is done      what is named                      what is to be done
DAMAGES = [
    (small_body,           "journal",                          "backup"),
    (large_file,           ", byte 65536)",                    "again from its source"),
    (large_file_end,       "s3://seen/large",                  "again from its source"),
    (large_file_gone,      "s3://seen/large",                  "bytes are missing"),
    (part_gone,            "s3://seen/parts",                  "bytes are missing"),
    (part_flipped,         "s3://seen/parts",                  "again from its source"),
    (meta_flipped,         "meta",                             "restore meta/"),
    (meta_cut,             "meta",                             "restore meta/"),
    (meta_gone,            "meta/tarn.db is missing",          "restore meta/"),
    (meta_row,             "principal",                        "restore meta/"),
    (index_flipped,        "",                                 "again from the journal"),
    (index_block_flipped,  "BAD  the index",                   "again from the journal"),
    (index_cut,            "",                                 "again from the journal"),
    (journal_gone,         "store/journal is missing",         "restore store/"),
    (objects_gone,         "store/objects is missing",         "restore store/"),
    (master_gone,          "keys/master is missing",           "init.new_master_key"),
    (master_other,         "another master key",               "keys/master back"),
    (master_cut,           "hexadecimal digits",               "from a backup"),
    (secret_readable,      "admin.json has the mode 644",      "chmod 600"),
    (key_folder_open,      "keys has the mode 755",            "chmod 700"),
    (database_read_only,   "tarn.db has the mode 400",         "chmod u+rw"),
    (owner_changed,        "belongs to user 12345",            "chown"),
    (layout_newer,         "layout 99",                        "which tarn wrote"),
    (layout_other,         "no data directory",                "from a backup"),
    (clock_damaged,        "clock is damaged",                 "see that the date is right"),
    (clock_ahead,          "seconds behind what the lake",     "remove DIR/clock"),
    (certificate_damaged,  "certificates",                     "tarn cert"),
]


@case
def a_whole_directory_is_well():
    build()
    status, text = doctor(base)
    equal(status, 0, text)
    holds("all is well" in text and "BAD" not in text, text)


@case
def every_row_of_the_index_is_as_the_journal_says():
    status, text = doctor(base, "--deep")
    equal(status, 0, text)
    holds("all is well" in text and "rows as the journal says" in text, text)
    holds(not (base / "store/index.shadow").exists(), "nothing is left of the second index")


def each(damage, named, advice):
    def run():
        data = work / damage.__name__
        shutil.copytree(base, data)
        try:
            damage(data)
            before = sorted((p, p.stat().st_size) for p in (data / "keys").iterdir())
            status, text = doctor(data)
            holds(status != 0 and "BAD" in text, f"found: {text}")
            holds(named in text, f"'{named}' is named: {text}")
            holds(advice in text, f"'{advice}' is advised: {text}")
            equal(sorted((p, p.stat().st_size) for p in (data / "keys").iterdir()), before, "doctor makes no keys")
        finally:
            shutil.rmtree(data)
    run.__name__ = damage.__name__ + "_is_found"
    return run


def can_give_away():
    """Root may, but not where only one user number is mapped."""
    probe = work / "probe"
    probe.write_bytes(b"")
    try:
        os.chown(probe, 12345, 12345)
    except OSError:
        return False
    return True


for row in DAMAGES:
    if row[0] is not owner_changed or can_give_away():
        case(each(*row))


@case
def a_lost_index_is_made_again():
    data = work / "index"
    shutil.copytree(base, data)
    shutil.rmtree(data / "store/index")
    status, text = doctor(data)
    equal(status, 0, text)
    shutil.rmtree(data)


@case
def a_lock_that_nobody_holds_is_free_and_another_one_is_named():
    data = work / "lock"
    shutil.copytree(base, data)
    (data / "LOCK").write_text("4194000\n")
    equal(doctor(data)[0], 0, "the number of a process that is gone")
    (data / "LOCK").write_text("4194000\n")
    with open(data / "LOCK", "r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        status, text = doctor(data)
        holds(status != 0 and "not by the process 4194000" in text and "fuser" in text, text)
    lake = Lake(data)
    status, text = doctor(data)
    holds(status != 0 and f"open in process {lake.process.pid}" in text and "stop that server" in text, text)
    lake.kill()
    equal(doctor(data)[0], 0, "the lock of a killed server")
    shutil.rmtree(data)


@case
def a_nearly_full_disk_is_told():
    disk = shutil.disk_usage(work)
    if disk.used * 100 >= disk.total * 2:  # else there is no level to set below what is used
        status, text = doctor(base, "--set", "store.space_alarm=1")
        holds(status != 0 and "% full" in text and "tarn bucket usage" in text, text)
    status, text = doctor(base, "--set", "store.space_full=80")
    holds(status != 0 and "settings: store.space_full is 80, below" in text and "they go up" in text, text)
    holds("restore" not in text and "metadata database: whole" in text, "a setting is no damage")
    status, text = doctor(base, "--set", "s3.domain=a.example,,b.example")
    holds(status != 0 and "settings: s3.domain" in text and "tables" in text, text)


@case
def a_lost_master_key_is_never_replaced_unasked():
    data = work / "master"
    shutil.copytree(base, data)
    old = json.loads((data / "admin.json").read_text())
    (data / "keys/master").unlink()
    out = subprocess.run([TARN, "serve", "--data", data, "--http", "127.0.0.1:0"], capture_output=True, text=True, timeout=60)
    holds(out.returncode != 0 and "init.new_master_key" in out.stderr and not (data / "keys/master").exists(), out.stderr)
    out = subprocess.run([TARN, "init", "--data", data, "--set", "init.new_master_key=true"], capture_output=True, text=True,
                         timeout=60)
    equal(out.returncode, 0, out.stderr)
    lake = Lake(data)
    holds(lake.admin["access_key"] != old["access_key"], "another access key")
    states = {row["id"]: row["state"] for row in lake.request("GET", "/v1/access-keys").json["items"]}
    equal((states[old["access_key"]], states[lake.admin["access_key"]]), ("revoked", "active"))
    equal(lake.stop(), 0)
    equal(doctor(data)[0], 0)
    shutil.rmtree(data)


if __name__ == "__main__":
    main()
