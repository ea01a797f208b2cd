"""`tarn bucket` and `tarn object` as a person uses them, over the S3 door of a running server."""
import atexit
import json
import os
import pty
import random
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from lake import Lake, TARN, case, equal, holds, main

lake = Lake()
work = Path(tempfile.mkdtemp(prefix="tarn-objects-"))
atexit.register(shutil.rmtree, work, ignore_errors=True)
RANDOM = random.Random(7)
MIB = 1 << 20


def run(*words, stdin=None, env=None, status=0):
    out = subprocess.run([TARN, *words, "--data", lake.data], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         timeout=200, env={**os.environ, **(env or {})})
    equal(out.returncode, status, f"{words}: {out.stderr.decode(errors='replace')}")
    return out


def bucket(name, *more):
    run("bucket", "create", name, *more)
    return name


def items(*words):
    return json.loads(run(*words, "--json").stdout)["items"]


def write(name, bytes_):
    path = work / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes_)
    return path


@case
def buckets_come_and_go():
    bucket("first")
    bucket("counted", "--versioning")
    equal(run("bucket", "versioning", "counted").stdout, b"on\n")
    equal(run("bucket", "versioning", "first").stdout, b"never\n")
    run("bucket", "versioning", "counted", "suspend")
    equal(run("bucket", "versioning", "counted").stdout, b"suspended\n")
    names = [row["name"] for row in items("bucket", "ls")]
    holds({"first", "counted", "bronze"} <= set(names), names)
    run("bucket", "rm", "first")
    holds("first" not in [row["name"] for row in items("bucket", "ls")], "it is gone")
    holds(b"there already" in run("bucket", "create", "counted", status=5).stderr, "the second time")
    holds(b"3 to 63" in run("bucket", "create", "No_Name", status=2).stderr, "a bad name")


@case
def a_file_goes_there_and_back():
    bucket("files")
    path = write("report.csv", b"a,b\n1,2\n")
    out = run("object", "put", path, "files/2026/report.csv")
    holds(b"put s3://files/2026/report.csv" in out.stderr, out.stderr)
    equal(run("object", "get", "files/2026/report.csv").stdout, b"a,b\n1,2\n")
    run("object", "get", "s3://files/2026/report.csv", work / "back")
    equal((work / "back").read_bytes(), b"a,b\n1,2\n")
    (work / "into").mkdir()
    run("object", "get", "files/2026/report.csv", work / "into")
    equal((work / "into/report.csv").read_bytes(), b"a,b\n1,2\n")
    stat = json.loads(run("object", "stat", "files/2026/report.csv", "--json").stdout)
    equal((stat["content-length"], stat["content-type"]), ("8", "text/csv"))
    equal([name for name in stat if not name.startswith(("content-", "x-amz-checksum-"))], ["etag", "last-modified"])
    holds(b"content-length" in run("object", "stat", "files/2026/report.csv").stdout, "for people")
    equal([(row["key"], row["size_bytes"]) for row in items("object", "ls", "files")], [("2026/report.csv", 8)])
    equal([row["key"] for row in items("object", "ls", "files", "--folders")], ["2026/"])
    run("object", "put", path, path, "files/", status=0)
    equal([row["key"] for row in items("object", "ls", "files/r")], ["report.csv"])
    out = run("object", "put", path, "files/report.csv", "--if-absent", status=5)
    holds(b"is there already" in out.stderr, out.stderr)
    run("object", "rm", "files/report.csv")
    holds(b"tarn object ls files" in run("object", "rm", "files/report.csv", status=3).stderr, "twice")
    holds(b"tarn object ls" in run("object", "get", "files/none", work / "none", status=3).stderr, "what is next")
    holds(not list(work.glob("none*")), "nothing is left of a fetch that failed")
    usage = items("bucket", "usage", "files")[0]
    equal((usage["versions"], usage["bytes"]), (1, 8))
    holds(b"tarn bucket ls" in run("bucket", "usage", "nowhere", status=3).stderr, "usage of none")


@case
def a_pipe_stays_a_pipe():
    bucket("pipes")
    run("object", "put", "-", "pipes/k", stdin=b"through")
    fifo = work / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    run("object", "get", "pipes/k", fifo)
    holds(fifo.is_fifo(), "as /dev/null would stay a device")
    equal(os.read(reader, 100), b"through")
    os.close(reader)
    holds(not list(work.glob("fifo.*")), "nothing beside it")


@case
def a_tree_with_a_pipe_in_it_ends():
    bucket("odd")
    write("odd/file", b"x")
    os.mkfifo(work / "odd/fifo")
    out = run("object", "put", "-r", work / "odd", "odd/", status=2)
    holds(b"odd/fifo" in out.stderr and b"no file" in out.stderr, out.stderr)
    equal([row["key"] for row in items("object", "ls", "odd")], ["file"])


@case
def keys_are_opaque():
    bucket("opaque")
    keys = ["a//b", "..", "./z", "/lead", "p", "p/q", "\u00fc \u00df+%25&?#", "x" * 1024, "~", "*"]
    for key in keys:
        run("object", "put", "-", f"opaque/{key}", stdin=key.encode())
    for key in keys:
        equal(run("object", "get", f"opaque/{key}").stdout, key.encode(), key)
    equal([row["key"] for row in items("object", "ls", "opaque")], sorted(keys, key=str.encode))
    out = run("object", "get", "-r", "opaque", work / "opaque", status=2)
    holds(b"no path of a file" in out.stderr, out.stderr)
    holds(not (work / "z").exists() and (work / "opaque/*").read_bytes() == b"*", "only what is a path")
    run("object", "rm", "-r", "--yes", "opaque")
    equal(items("object", "ls", "opaque"), [])


@case
def large_bodies_stream_in_flat_memory():
    bucket("large")
    piece = RANDOM.randbytes(MIB)
    size = 100
    put = subprocess.Popen([TARN, "object", "put", "-", "large/one", "--data", lake.data], stdin=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    for _ in range(size):
        put.stdin.write(piece)
    put.stdin.close()
    _, status, used = os.wait4(put.pid, 0)
    equal(status, 0, put.stderr.read().decode())
    holds(used.ru_maxrss < 80 * 1024, f"put took {used.ru_maxrss} KiB")
    with open(work / "large", "wb") as out:
        get = subprocess.Popen([TARN, "object", "get", "large/one", "--data", lake.data], stdout=out)
        _, status, used = os.wait4(get.pid, 0)
    equal(status, 0)
    holds(used.ru_maxrss < 60 * 1024, f"get took {used.ru_maxrss} KiB")
    equal((work / "large").stat().st_size, size * MIB)
    with open(work / "large", "rb") as file:
        holds(all(file.read(MIB) == piece for _ in range(size)), "the same bytes")
    run("object", "cp", "s3://large/one", "s3://large/two")
    equal(items("object", "ls", "large/two")[0]["size_bytes"], size * MIB)
    equal(items("bucket", "uploads", "large"), [])


@case
def trees_go_there_and_back_and_beside():
    bucket("trees")
    tree = work / "tree"
    wanted = {f"d{i % 3}/f{i}.txt": RANDOM.randbytes(i * 100) for i in range(12)}
    for name, bytes_ in wanted.items():
        write(f"tree/{name}", bytes_)
    run("object", "put", "-r", tree, "trees/here")
    equal([row["key"] for row in items("object", "ls", "trees")], sorted("here/" + name for name in wanted))
    run("object", "cp", "-r", "s3://trees/here/", "s3://trees/there/")
    run("object", "get", "-r", "trees/there/", work / "again")
    got = {str(p.relative_to(work / "again")): p.read_bytes() for p in (work / "again").rglob("*") if p.is_file()}
    equal(got == wanted, True, "the same tree")
    holds(b"never end" in run("object", "cp", "-r", "s3://trees/here/", "s3://trees/here/x/", status=2).stderr, "a loop")
    holds(b"-r" in run("object", "put", tree, "trees/x", status=2).stderr, "a directory")
    run("object", "cp", tree / "d0/f3.txt", "s3://trees/one")
    run("object", "cp", "s3://trees/one", work / "one")
    equal((work / "one").read_bytes(), wanted["d0/f3.txt"])
    holds(b"s3://" in run("object", "cp", "a", "b", status=2).stderr, "neither is in the lake")
    run("object", "rm", "-r", "--yes", "trees/here/")
    equal(len(items("object", "ls", "trees")), 13)


@case
def versions_are_shown_fetched_and_removed():
    bucket("kept", "--versioning")
    for text in (b"one", b"two"):
        run("object", "put", "-", "kept/k", stdin=text)
    run("object", "rm", "kept/k")
    rows = items("object", "versions", "kept")
    equal([row["state"] for row in rows], ["delete marker", "older", "older"])
    equal(run("object", "get", "kept/k", "--version", rows[2]["version"]).stdout, b"one")
    run("object", "cp", "s3://kept/k", "s3://kept/back", "--version", rows[1]["version"])
    equal(run("object", "get", "kept/back").stdout, b"two")
    run("object", "rm", "kept/k", "--version", rows[0]["version"])
    equal(run("object", "get", "kept/k").stdout, b"two")
    holds(b"--force" in run("bucket", "rm", "kept", status=5).stderr, "it is not empty")
    run("object", "rm", "-r", "--yes", "kept/k", "--all-versions")
    equal([row["key"] for row in items("object", "versions", "kept")], ["back"])
    run("bucket", "rm", "kept", "--force")


@case
def lists_have_a_limit_and_go_on():
    bucket("many")
    (work / "many").mkdir()
    for i in range(1105):
        (work / f"many/{i:04}").write_bytes(b"")
    run("object", "put", "-r", work / "many", "many")
    out = run("object", "ls", "many", "--limit", "3")
    holds(b"--after" in out.stderr, "there are more")
    equal([row["key"] for row in items("object", "ls", "many", "--limit", "2", "--after", "0499")], ["0500", "0501"])
    equal(len(items("object", "ls", "many", "--limit", "2000")), 1105)
    run("object", "rm", "-r", "--yes", "many")
    equal(items("object", "ls", "many"), [])


@case
def cors_and_uploads():
    bucket("web")
    holds(b"--origin" in run("bucket", "cors", "web", status=3).stderr, "none yet")
    run("bucket", "cors", "web", "--origin", "https://app.example.org", "--method", "PUT")
    shown = run("bucket", "cors", "web").stdout
    holds(b"https://app.example.org" in shown and b"PUT" in shown, shown)
    run("bucket", "cors", "web", "--off")
    run("bucket", "cors", "web", status=3)
    import boto3
    s3 = boto3.client("s3", endpoint_url=f"http://{lake.admin['s3']}", region_name="us-east-1",
                      aws_access_key_id=lake.admin["access_key"], aws_secret_access_key=lake.admin["secret_key"])
    for i in range(3):
        s3.create_multipart_upload(Bucket="web", Key=f"u {i}")
    equal([row["key"] for row in items("bucket", "uploads", "web")], ["u 0", "u 1", "u 2"])
    run("bucket", "uploads", "web", "--abort")
    equal(items("bucket", "uploads", "web"), [])


@case
def rights_and_errors_say_what_is_next():
    made = json.loads(run("key", "access", "create", "viewer", "--role", "data_viewer").stdout)
    env = {"TARN_S3": f"http://{lake.admin['s3']}", "TARN_ACCESS_KEY": made["id"], "TARN_SECRET_KEY": made["secret"]}
    holds(b"bronze" in run("bucket", "ls", env=env).stdout and b"bronze" in run("object", "ls", env=env).stdout, "named")
    holds(b"role" in run("bucket", "create", "mine", env=env, status=4).stderr, "a viewer")
    env["TARN_SECRET_KEY"] = "wrong"
    holds(b"TARN_SECRET_KEY" in run("object", "ls", "bronze", env=env, status=4).stderr, "a wrong secret")
    env["TARN_ACCESS_KEY"] = "TARNNOSUCHKEY"
    holds(b"key access list" in run("object", "ls", "bronze", env=env, status=4).stderr, "no such key")
    env["TARN_S3"] = "http://127.0.0.1:9"
    holds(b"tarn serve" in run("object", "ls", "bronze", env=env, status=7).stderr, "nobody there")
    holds(b"tarn bucket create" in run("object", "put", TARN, "nowhere/x", status=3).stderr, "no such bucket")
    holds(b"tarn bucket create" in run("bucket", "crate", "x", status=2).stderr, "the nearest")
    holds(b"tarn object versions" in run("object", "version", "x", status=2).stderr, "the nearest")
    holds(b"usage: tarn object put" in run("object", "put", "x", status=2).stderr, "too few words")
    holds(b"example:" in run("object", "--help").stdout and b"example:" in run("bucket", "--help").stdout, "help")


def on_terminal(*words):
    """What a command shows whose standard error is a terminal."""
    here, there = pty.openpty()
    seen = []

    def read():
        while True:
            try:
                part = os.read(here, 65536)
            except OSError:
                return
            if not part:
                return
            seen.append(part)
    reader = threading.Thread(target=read)
    reader.start()
    out = subprocess.run([TARN, *words, "--data", lake.data], stderr=there, stdout=subprocess.PIPE, timeout=200)
    os.close(there)
    reader.join(20)
    os.close(here)
    equal(out.returncode, 0)
    return b"".join(seen).decode(errors="replace")


@case
def long_work_shows_its_progress_on_a_terminal():
    bucket("shown")
    path = write("shown.bin", RANDOM.randbytes(40 * MIB))
    for words in (("put", path, "shown/one"), ("get", "shown/one", work / "again.bin")):
        text = on_terminal("object", *words)
        shares = [int(share) for share in re.findall(r" (\d+) % ", text)]
        holds("\u2588" in text and shares == sorted(shares) and shares[-1] == 100, text[-300:])
        holds(len(set(shares)) > 5, f"{words}: {shares}")
    quiet = run("object", "get", "shown/one", work / "quiet")
    holds("\u2588" not in quiet.stderr.decode(), "nothing of it in a log")


@case
def a_fetch_that_is_cut_off_leaves_nothing():
    resource_limit = 5 * MIB

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource_limit, resource_limit))
    run("object", "put", work / "shown.bin", "shown/two")
    out = subprocess.run([TARN, "object", "get", "shown/two", work / "cut", "--data", lake.data], capture_output=True,
                         timeout=100, preexec_fn=small, env={**os.environ})
    holds(out.returncode != 0, "the file cannot grow so far")
    holds(not (work / "cut").exists(), "no half file under the name")


def heeds_ctrl_c():
    """What a shell starts in the background ignores it, and so does what the tests start there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@case
def stopped_in_the_middle_nothing_is_half():
    bucket("stopped")
    process = subprocess.Popen([TARN, "object", "put", "-", "stopped/half", "--data", lake.data], stdin=subprocess.PIPE,
                               stderr=subprocess.PIPE, preexec_fn=heeds_ctrl_c)
    process.stdin.write(RANDOM.randbytes(40 * MIB))  # several parts are on the server
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    equal(process.wait(60), 130, "a put")
    holds(b"stopped" in process.stderr.read(), "it says so")
    process.stdin.close()
    process.stderr.close()
    equal(items("bucket", "uploads", "stopped"), [], "its parts were taken back")
    run("object", "stat", "stopped/half", status=3)
    big = write("big", b"")
    os.truncate(big, 512 * MIB)
    run("object", "put", big, "stopped/big")
    target = work / "fetched"
    target.mkdir()
    process = subprocess.Popen([TARN, "object", "get", "stopped/big", target / "big", "--data", lake.data],
                               stderr=subprocess.DEVNULL, preexec_fn=heeds_ctrl_c)
    while not list(target.iterdir()):
        equal(process.poll(), None, "it goes on")
    process.send_signal(signal.SIGINT)
    equal(process.wait(60), 130, "a get")
    equal(list(target.iterdir()), [], "what a stopped get leaves")
    run("bucket", "rm", "stopped", "--force")


@case
def removing_much_is_asked():
    bucket("asked")
    for key in ("a/1", "a/2", "b"):
        run("object", "put", "-", f"asked/{key}", stdin=b"x")
    holds(b"--yes" in run("object", "rm", "-r", "asked/a", status=2, stdin=b"y\n").stderr, "no terminal, no word")
    equal(len(items("object", "ls", "asked")), 3)
    for answer, left in ((b"n\n", 3), (b"y\n", 1)):
        master, slave = pty.openpty()
        process = subprocess.Popen([TARN, "object", "rm", "-r", "asked/a", "--data", lake.data], stdin=slave,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.close(slave)
        os.write(master, answer)
        holds(b"remove every object whose key begins so: s3://asked/a? [y/N]" in process.communicate(timeout=60)[1], "the question")
        os.close(master)
        equal(process.returncode, 0 if left == 1 else 2)
        equal(len(items("object", "ls", "asked")), left)


@case
def what_is_shown_is_text():
    bucket("as-text")
    for key in (b"bad\xff\xfekey", b"esc\x1b[31mred", b"plain \xc3\xa9"):
        out = run("object", "put", "-", b"as-text/" + key, stdin=b"x")
        holds(b"\x1b" not in out.stderr, "no control characters")
    holds(b"\x1b" not in run("object", "ls", "as-text").stdout, "in a list too")
    rows = json.loads(run("object", "ls", "as-text", "--json").stdout.decode())["items"]
    equal([row["key"] for row in rows], ["bad\ufffd\ufffdkey", "esc\x1b[31mred", "plain é"])
    equal([row.get("key_url") for row in rows], ["bad%FF%FEkey", None, None])
    equal(run("object", "get", b"as-text/bad\xff\xfekey", "-").stdout, b"x")
    row, = items("bucket", "usage", "as-text")
    equal((row["objects"], row["versions"], row["bytes"], row["uploads"]), (3, 3, 3, 0))


@case
def the_lakes_own_buckets_stay():
    for name in ("bronze", "lake"):
        for more in ([], ["--force"]):
            text = run("bucket", "rm", name, *more, status=4).stderr
            holds(b"the lake's own" in text, text)
    rows = {row["name"]: row["versions"] for row in items("bucket", "usage")}
    holds(rows["lake"] > 0, "nothing of it was removed")


@case
def lists_as_csv():
    bucket("lines")
    run("object", "put", "-", 'lines/a, "b"', stdin=b"x")
    lines = run("object", "ls", "lines", "--csv").stdout.decode().splitlines()
    equal(lines[0], "key,size_bytes,modified,etag")
    holds(lines[1].startswith('"a, ""b""",1,20') and len(lines) == 2, lines)
    equal(run("object", "ls", "lines/none", "--csv").stdout, b"key,size_bytes,modified,etag\n")


@case
def errors_name_the_object_and_the_next_command():
    bucket("errors")
    run("object", "put", "-", "errors/dir/a", stdin=b"x")
    for verb in ("stat", "rm"):
        text = run("object", verb, "errors/none", status=3).stderr
        holds(b"s3://errors/none" in text and b"tarn object ls errors" in text, text)
        holds(b"tarn object versions errors/dir/a" in run("object", verb, "errors/dir/a", "--version", "x", status=2).stderr, verb)
    text = run("object", "get", "errors/dir", status=3).stderr
    holds(b"tarn object ls errors/dir" in text and b"get -r" in text, text)
    out = run("object", "--help").stdout
    holds(b"\n       tarn object get -r BUCKET/PREFIX DIR\n" in out and b"tarn object put - " in out, out)


if __name__ == "__main__":
    main()
