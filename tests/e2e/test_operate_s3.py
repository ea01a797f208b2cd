"""docs/operate-s3.md as an operator types it: its lines run, its settings, metrics and numbers are the server's."""
import atexit
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lake import DEPS, Lake, TARN, TOP, case, equal, holds, main

PAGE = (TOP / "docs/operate-s3.md").read_text()
SETTINGS = re.findall(r'^SETTING\("([^"]+)"', (TOP / "src/main/settings.def").read_text(), re.M)
work = Path(tempfile.mkdtemp(prefix="tarn-page-"))
atexit.register(shutil.rmtree, work, ignore_errors=True)
lake = Lake(None, "--set", "maintenance.interval=1s", "--set", "store.space_alarm=1")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.M | re.S)


def lines(front):
    """Commands of the sh blocks, without their remarks."""
    for block in blocks("sh"):
        for line in block.splitlines():
            if line.startswith(front):
                yield shlex.split(line, comments=True)


def tarn(*words):
    return subprocess.run([TARN, *words, "--data", lake.data], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          cwd=work, timeout=60)


def first_key(name):
    return next(row["id"] for row in lake.request("GET", f"/v1/access-keys?principal={name}").json["items"]
                if row["state"] == "active")


def version_of(key):
    out = tarn("object", "versions", f"photos/{key}", "--json").stdout
    return re.findall(r'"version":"([^"]+)"', out)[-1]


def prepare():
    for name in ("holiday.jpg", "a.jpg"):
        (work / name).write_bytes(b"picture")
    (work / "rules.xml").write_text("<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET"
                                    "</AllowedMethod></CORSRule></CORSConfiguration>")


@case
def every_line_for_tarn_runs():
    prepare()
    ran = 0
    for words in lines("tarn "):
        if words[1] in ("serve", "cert", "init", "doctor"):
            equal(tarn(words[1], "--help").returncode, 0)
            continue
        words = [word for word in words[1:] if word not in ("--data", "./lake")]
        if words[:2] == ["bucket", "versioning"] and words[-1] == "on":
            for _ in range(2):
                equal(tarn("object", "put", "a.jpg", "photos/2026/a.jpg").returncode, 0)
        words = [first_key("loader") if word.startswith("TARNAB") else word for word in words]
        words = [version_of("2026/a.jpg") if word == "ID" else word for word in words]
        out = tarn(*words)
        equal(out.returncode, 0, f"{words}: {out.stderr}")
        ran += 1
    holds(ran >= 20, f"{ran} lines")


@case
def its_lines_for_awscli_run():
    data = work / "own" / "data"
    equal(subprocess.run([TARN, "cert", "--data", data, "localhost"], stdout=subprocess.DEVNULL).returncode, 0)
    own = Lake(data, "--s3", "127.0.0.1:0", "--s3-tls", "127.0.0.1:0")
    equal(own.cli("bucket", "create", "photos").returncode, 0)
    (work / "big.tar").write_bytes(b"tar" * (3 << 20))  # more than awscli sends in one piece
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env |= {"HOME": str(work), "AWS_ACCESS_KEY_ID": own.admin["access_key"], "AWS_SECRET_ACCESS_KEY": own.admin["secret_key"],
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://{own.admin['s3']}"}
    own_names = {"https://localhost:9443": "https://localhost:" + own.admin["s3_tls"].rsplit(":", 1)[1], "./lake/tls/ca.pem": str(data / "tls/ca.pem")}
    said = []
    for words in lines("aws "):
        out = subprocess.run([DEPS / "venv/bin/aws", *(own_names.get(word, word) for word in words[1:])], env=env, cwd=work,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        equal(out.returncode, 0, f"{words}: {out.stdout}")
        said.append(out.stdout)
    holds(len(said) >= 2 and "photos" in said[0], said)
    equal(own.cli("object", "get", "photos/big.tar", work / "back").returncode, 0)
    holds((work / "back").read_bytes() == (work / "big.tar").read_bytes(), "what was copied")
    own.kill()


@case
def its_settings_are_there():
    named = set(re.findall(r"`((?:s3|store|http|maintenance|tls|init)\.[a-z_]+)", PAGE)) - {"s3.example"}
    holds(len(named) > 10 and named <= set(SETTINGS), named - set(SETTINGS))
    missing = {name for name in SETTINGS if name.startswith(("s3.", "store."))} - named
    equal(missing, set(), "settings that the page leaves out")


@case
def its_metrics_are_there():
    shown = lake.request("GET", "/metrics").text
    for name in set(re.findall(r"`(tarn_[a-z_]+)`", PAGE)):
        holds(re.search(rf"^{name}[ {{]", shown, re.M) or name == "tarn_tls_expires_seconds", name)
    holds(re.search(r"^tarn_store_space_free_bytes [1-9]", shown, re.M), "free bytes")
    disk = shutil.disk_usage(lake.data)
    if disk.used * 100 >= disk.total * 2:  # else nothing is above the alarm that this server was given
        holds(re.search(r"^tarn_store_space_level [123]$", shown, re.M), "above the alarm")
        holds("event=space level=" in Path(lake.log.name).read_text(), "the log says so")


@case
def its_python_runs():
    start = f"""
import boto3, os
ID, SECRET = {lake.admin['access_key']!r}, {lake.admin['secret_key']!r}
os.environ.update(AWS_ACCESS_KEY_ID=ID, AWS_SECRET_ACCESS_KEY=SECRET)
"""
    end = """
s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:9000", region_name="us-east-1", aws_access_key_id=ID,
                  aws_secret_access_key=SECRET)
keys = made["Credentials"]
s3.create_bucket(Bucket="pages")
s3.put_object(Bucket="photos", Key="2026/in", Body=b"in")
s3.put_object(Bucket="photos", Key="out", Body=b"out")
narrow = boto3.client("s3", endpoint_url="http://127.0.0.1:9000", region_name="us-east-1",
                      aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
                      aws_session_token=keys["SessionToken"])
assert narrow.get_object(Bucket="photos", Key="2026/in")["Body"].read() == b"in"
try:
    narrow.get_object(Bucket="photos", Key="out")
    raise SystemExit("the policy is not heeded")
except s3.exceptions.ClientError as error:
    assert error.response["Error"]["Code"] == "AccessDenied", error
assert "photos" in [info.base_name for info in fs.get_file_info(pyarrow.fs.FileSelector(""))]
"""
    text = (start + "\n".join(blocks("python")) + end).replace("127.0.0.1:9000", lake.admin["s3"])
    out = subprocess.run([sys.executable, "-"], input=text, text=True, capture_output=True, timeout=120)
    equal(out.returncode, 0, out.stderr)


@case
def its_sql_runs_in_duckdb():
    import duckdb
    import duckdb_extension_httpfs
    folder = Path(duckdb_extension_httpfs.__file__).parent
    extension = next(folder.glob(f"extensions/v{duckdb.__version__}/httpfs.duckdb_extension"))
    equal(lake.ingest("skies", "airports.csv", b"iata,city\nOSL,Oslo\nBGO,Bergen\n").status // 100, 2)
    base = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    base.execute(f"LOAD '{extension}'")
    (text,) = blocks("sql")
    text = text.replace("KEY_ID '...'", f"KEY_ID '{lake.admin['access_key']}'")
    text = text.replace("SECRET '...'", f"SECRET '{lake.admin['secret_key']}'").replace("127.0.0.1:9000", lake.admin["s3"])
    equal(base.execute(text).fetchall(), [(2,)])


def constant(header, name):
    """The value of an enumerator or macro."""
    text = (TOP / "src" / header).read_text()
    found = re.search(rf"(?:#define {name}|\b{name} =)\s+([^,/}}\n]+)", text)
    return eval(re.sub(r"(\d)(?:ull|u|LL)\b", r"\1", found.group(1).replace("(uint64_t)", "")))  # noqa: S307


@case
def its_numbers_are_those_of_the_code():
    rows = {
        "| object | 1 TiB; one PUT 5 GiB": [("store/object.h", "STORE_OBJECT_MAX", 1 << 40),
                                            ("front/s3/s3_priv.h", "S3_OBJECT_BYTES_MAX", 5 << 30)],
        "| parts | 10,000 of 5 MiB": [("store/object.h", "STORE_PARTS_MAX", 10000), ("front/s3/s3_priv.h", "S3_PART_BYTES_MIN", 5 << 20)],
        "| key | 1,024 bytes": [("store/object.h", "STORE_KEY_MAX", 1024)],
        "| bucket name | 3 to 63": [("store/object.h", "STORE_BUCKET_MIN", 3), ("store/object.h", "STORE_BUCKET_MAX", 63)],
        "| metadata of an object | 2 KiB": [("front/s3/s3_priv.h", "S3_META_BYTES_MAX", 2048)],
        "| tags | 10 an object, 50 a bucket": [("front/s3/s3_priv.h", "S3_TAGS_MAX", 10), ("front/s3/s3_priv.h", "S3_BUCKET_TAGS_MAX", 50)],
        "rows of one list | 1,000": [("store/object.h", "STORE_LIST_MAX", 1000), ("store/object.h", "STORE_DELETE_MAX", 1000)],
        "| clock of a client | 15 minutes": [("front/s3/sigv4.h", "SIG_SKEW_S", 900)],
        "| session, presigned URL | 12 hours, 7 days": [("govern/access.h", "SESSION_S_MAX", 43200), ("front/s3/sigv4.h", "SIG_EXPIRES_S_MAX", 604800)],
        "temporary keys of 900 to 43,200 seconds": [("govern/access.h", "SESSION_S_MIN", 900)],
    }
    for text, constants in rows.items():
        holds(text in PAGE, text)
        for header, name, value in constants:
            equal(constant(header, name), value, name)


if __name__ == "__main__":
    main()
