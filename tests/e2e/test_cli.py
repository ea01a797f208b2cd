"""The command line as a person uses it: init, serve, ingest, sql, table, object, key, config, doctor, version."""
import atexit
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from lake import Lake, TARN, TOP, case, equal, holds, main

lake = Lake()
work = Path(tempfile.mkdtemp(prefix="tarn-cli-"))
atexit.register(shutil.rmtree, work, ignore_errors=True)
(work / "cities.csv").write_text("city,people\nOslo,709037\nBergen,291940\n\u6771\u4eac,13960000\n")


def alone(*words):
    return subprocess.run([TARN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)


@case
def help_names_every_command():
    out = alone("help")
    equal(out.returncode, 0)
    for name in ("serve", "ingest", "sql", "run", "doctor"):
        holds(name in out.stdout, name)
    holds("example:" in alone("sql", "--help").stdout, "an example in the help")


@case
def help_names_every_exit_status():
    rows = re.findall(r'^CODE\((.*), *(\d+), *"[^"]*"\)', (TOP / "src/base/errors.def").read_text(), re.M)
    said = alone("help").stdout.split("Exit status:")[1]
    equal({status for _, status in rows} - set(re.findall(r"\b(\d+) ", said)), set())
    holds(len(rows) > 20, rows)


@case
def unknown_words_offer_the_nearest():
    out = alone("ingset")
    equal(out.returncode, 2)
    holds("ingest" in out.stderr, "nearest command")
    out = alone("ingest", "--sorce", "x")
    equal(out.returncode, 2)
    holds("--source" in out.stderr, "nearest option")


@case
def no_server_says_what_to_do():
    out = alone("sql", "-c", "SELECT 1", "--data", "/nonexistent")
    equal(out.returncode, 7)
    holds("tarn serve" in out.stderr, "hint")


@case
def first_start_prints_the_key_once():
    first = [line for line in lake.lines + [lake.process.stdout.readline().strip() for _ in range(2)] if "admin key" in line]
    equal(len(first), 1)
    holds(lake.token in first[0], "the key")
    equal(oct((lake.data / "admin.json").stat().st_mode & 0o777), "0o600")


@case
def ingest_then_ask():
    out = lake.cli("ingest", work / "cities.csv", "--source", "geo")
    equal(out.returncode, 0, out.stderr)
    holds(out.stdout.startswith("s3://bronze/geo/ingest_date="), out.stdout)
    again = lake.cli("ingest", work / "cities.csv", "--source", "geo", "--json")
    equal(json.loads(again.stdout)["duplicate"], True)
    address = json.loads(again.stdout)["address"]
    out = lake.cli("sql", "-c", f"SELECT city, people FROM read_csv('{address}') ORDER BY people DESC")
    equal(out.returncode, 0, out.stderr)
    holds("\u2502 \u6771\u4eac" in out.stdout and "13960000" in out.stdout, out.stdout)
    out = lake.cli("sql", "--csv", "-c", "SELECT name, size_bytes FROM bronze.objects")
    holds("cities.csv,54" in out.stdout.replace('"', ""), out.stdout)
    get = lake.cli("object", "get", address)
    equal(get.stdout, (work / "cities.csv").read_text())


@case
def errors_have_a_caret_and_an_exit_status():
    out = lake.cli("sql", "-c", "SELECT nme FROM bronze.objects")
    equal(out.returncode, 3, out.stderr)
    lines = out.stderr.splitlines()
    caret = next(line for line in lines if line.strip() == "^")
    text = lines[lines.index(caret) - 1]
    equal(text[caret.index("^"):][:3], "nme")
    out = lake.cli("sql", "-c", "SELECT * FROM bronze.object")
    equal(out.returncode, 3, out.stderr)
    holds("bronze.objects" in out.stderr, "nearest table")


@case
def a_word_is_a_statement_and_more_are_refused():
    out = lake.cli("sql", "--csv", "SELECT 40 + 2 AS answer")
    equal((out.returncode, out.stdout.split()), (0, ["answer", "42"]), out.stderr)
    for words in (("SELECT", "1"), ("-c", "SELECT 1", "SELECT 2")):
        out = lake.cli("sql", *words)
        equal((out.returncode, out.stdout), (2, ""), out.stderr)
        holds('tarn sql -c "SELECT 1"' in out.stderr, "an example")


@case
def shell_reads_statements_over_lines():
    out = lake.cli("sql", stdin="SELECT 40\n + 2 AS n;\n\\timing\nSELECT 'a;b' AS t;\n\\q\n")
    equal(out.returncode, 0, out.stderr)
    holds("42" in out.stdout and "a;b" in out.stdout and " ms" in out.stdout, out.stdout)


@case
def a_script_ends_at_the_first_error():
    out = lake.cli("sql", stdin="SELECT 1 AS one;\nSELECT nope;\nSELECT 40 + 2 AS behind;\n")
    holds(out.returncode != 0 and "nope" in out.stderr and "^" in out.stderr, (out.returncode, out.stderr))
    holds("one" in out.stdout and "behind" not in out.stdout, out.stdout)
    out = lake.cli("sql", stdin="SELECT 1 AS n WHERE 1 = 1\n" + "OR 1 = 2\n" * 120000 + ";\nSELECT 2 AS behind;\n")
    holds(out.returncode != 0 and out.stdout == "", f"a statement that is too long: not a part of it: {out.stdout[:99]}")


@case
def an_answer_that_cannot_be_written_is_an_error():
    for words in (("sql", "-c", "SELECT 1"), ("sql", "--csv", "-c", "SELECT 1"), ("table", "list"), ("version",)):
        with open("/dev/full", "w") as full:
            out = subprocess.run([TARN, *words, "--data", lake.data], stdout=full, stderr=subprocess.PIPE, text=True)
        holds(out.returncode == 1 and "could not be written" in out.stderr, (words, out.returncode, out.stderr))


@case
def closed_standard_files_are_not_the_lakes():
    """Or the first files that a server opens would be its standard output and its log."""
    data = Path(tempfile.mkdtemp(prefix="tarn-closed-")) / "data"
    atexit.register(shutil.rmtree, data.parent, ignore_errors=True)
    server = subprocess.Popen(["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", TARN, "serve", "--data", data, "--http", "127.0.0.1:0"])
    try:
        until = time.monotonic() + 60
        while not (data / "admin.json").exists() and server.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        names = [os.readlink(f"/proc/{server.pid}/fd/{number}") for number in range(3)]
        equal(names, ["/dev/null"] * 3)
    finally:
        server.terminate()
        equal(server.wait(60), 0)
    (data / "admin.json").unlink()
    with open("/dev/full", "w") as full:
        server = subprocess.Popen([TARN, "serve", "--data", data, "--http", "127.0.0.1:0"], stdout=full, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not (data / "admin.json").exists() and server.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    server.terminate()
    equal(server.wait(60), 0, "who started it does not read on, and it serves")


@case
def a_pipe_is_ingested_to_its_end():
    read, write = os.pipe()
    os.write(write, b"from a pipe\n")
    os.close(write)
    out = subprocess.run([TARN, "ingest", f"/dev/fd/{read}", "--source", "piped", "--name", "p.txt", "--json", "--data",
                          lake.data], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=(read,))
    os.close(read)
    equal(out.returncode, 0, out.stderr)
    equal(json.loads(out.stdout)["size_bytes"], 12)


@case
def keys_are_made_and_revoked():
    made = json.loads(lake.cli("key", "create", "dash", "--role", "reader").stdout)
    secret = made["key"]
    equal(lake.request("GET", "/v1/datasets", token=secret).status, 200)
    equal(lake.sql("CREATE NAMESPACE nope", token=secret).status, 403)
    equal(lake.cli("key", "revoke", made["id"]).returncode, 0)
    equal(lake.request("GET", "/v1/datasets", token=secret).status, 401)


@case
def config_explains_sources():
    out = subprocess.run([TARN, "config", "explain", "--http", "127.0.0.1:1"], stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "TARN_SQL_SLOTS": "3"})
    holds("http.listen = 127.0.0.1:1   (--http)" in out.stdout, "flag")
    holds("sql.slots = 3   (TARN_SQL_SLOTS)" in out.stdout, "environment")


@case
def an_empty_variable_is_none():
    out = subprocess.run([TARN, "config", "explain"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         env={**os.environ, "TARN_DATA": ""})
    holds("data.dir = tarn-data   (default)" in out.stdout, out.stdout[:200] + out.stderr)


@case
def a_directory_is_open_once():
    out = alone("serve", "--data", str(lake.data), "--http", "127.0.0.1:0")
    equal(out.returncode, 7, out.stderr)
    holds(f"is open in process {lake.process.pid}" in out.stderr, out.stderr)
    out = alone("doctor", "--data", str(lake.data))
    equal(out.returncode, 7, out.stderr)


@case
def term_drains_and_doctor_is_content():
    equal(lake.stop(), 0)
    out = alone("doctor", "--data", str(lake.data), "--hashes")
    equal(out.returncode, 0, out.stdout + out.stderr)
    holds("all is well" in out.stdout, out.stdout)
    again = Lake(lake.data)
    equal(again.token, lake.token, "the key of the last start")
    equal(again.rows("SELECT count(*) FROM bronze.objects"), [[2]])
    again.stop()


@case
def doctor_finds_what_is_missing():
    files = sorted(p for p in (lake.data / "store/journal").iterdir() if p.stat().st_size)
    damaged = files[0]
    bytes_ = bytearray(damaged.read_bytes())
    place = bytes_.find(b"Bergen")
    holds(place > 0, "the body lies in the journal")
    bytes_[place] ^= 1
    damaged.write_bytes(bytes_)
    out = alone("doctor", "--data", str(lake.data), "--hashes")
    holds(out.returncode != 0, "a flipped bit is found")
    bytes_[place] ^= 1
    damaged.write_bytes(bytes_)
    equal(alone("doctor", "--data", str(lake.data), "--hashes").returncode, 0)


if __name__ == "__main__":
    main()
