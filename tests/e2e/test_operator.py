"""What an operator gets wrong: every verb of key, bucket, object, doctor, backup and config. Each refusal names the thing, the place and the
next command; each verb has its own help with an example."""
import atexit
import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from lake import Lake, TARN, case, equal, holds, main

lake = Lake()
work = Path(tempfile.mkdtemp(prefix="tarn-operator-"))
atexit.register(shutil.rmtree, work, ignore_errors=True)
(work / "f").write_text("bytes\n")
lake.cli("bucket", "create", "photos")
lake.cli("object", "put", work / "f", "photos/f")

VERBS = {
    "key": ["list", "create", "revoke", "principal list", "principal create", "principal set", "access list", "access create", "access rotate",
            "access expire", "access disable", "access enable", "access revoke"],
    "bucket": ["create", "ls", "usage", "rm", "versioning", "cors", "uploads"],
    "object": ["ls", "get", "put", "rm", "stat", "cp", "versions", "trash ls", "trash restore"],
    "backup": ["ls", "verify", "restore"],
    "model": ["list", "show", "load"],
    "table": ["list", "show"],
    "config": ["explain"],
}

@case
def a_port_in_use_names_its_option():
    lake.cli("cert")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        other = work / "other"
        shutil.copytree(lake.data / "tls", other / "tls")
        for option in ("--http", "--https", "--s3", "--s3-tls"):
            more = [] if option == "--http" else ["--http", "127.0.0.1:0"]
            out = subprocess.run([TARN, "serve", "--data", other, *more, option, address], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True, timeout=60)
            equal(out.returncode, 5, out.stderr)
            holds(address in out.stderr and f"`{option} off`" in out.stderr, out.stderr)


# words, exit status, what the error has to name, what its hint has to name
WRONG = [
    ("bucket create", 2, "missing behind `tarn bucket create`", "create NAME"),
    ("bucket ls extra", 2, "'extra' is one word too many for `tarn bucket ls`", "tarn bucket ls"),
    ("bucket creat x", 2, "'creat'", "tarn bucket create"),
    ("bucket --bogus", 2, "'--bogus'", "tarn bucket --help"),
    ("bucket cors photos --origin", 2, "'--origin' wants a value", "tarn bucket --help"),
    ("bucket cors photos --origin --method GET", 2, "'--origin' wants a value", "tarn bucket --help"),
    ("bucket cors photos --method GET", 2, "--method goes with --origin", "tarn bucket cors photos --origin"),
    ("bucket cors photos --file /nothere", 3, "/nothere", "--origin URL"),
    ("bucket versioning photos maybe", 2, "'maybe'", "suspend"),
    ("bucket rm nothere", 3, "s3://nothere", "tarn bucket ls"),
    ("bucket usage nothere", 3, "'nothere'", "tarn bucket ls"),
    ("bucket versioning nothere on", 3, "s3://nothere", "tarn bucket ls"),
    ("bucket cors nothere", 3, "s3://nothere", "tarn bucket ls"),
    ("bucket uploads nothere", 3, "s3://nothere", "tarn bucket ls"),
    ("bucket create bronze", 5, "bronze", "tarn bucket usage bronze"),
    ("object ls nothere", 3, "s3://nothere", "tarn bucket ls"),
    ("object put WORK/f nothere/x", 3, "s3://nothere/x", "tarn bucket ls"),
    ("object put WORK/none photos/x", 3, "none", "path"),
    ("object put WORK/f", 2, "missing behind `tarn object put`", "FILE... BUCKET/KEY"),
    ("object get photos/none", 3, "s3://photos/none", "tarn object ls"),
    ("object get nothere/k", 3, "s3://nothere/k", "tarn bucket ls"),
    ("object get photos/f /nodir/x", 3, "/nodir/x: No such file", "name a file"),
    ("object get photos", 2, "BUCKET/KEY", "-r"),
    ("object stat photos/none", 3, "s3://photos/none", "tarn object ls photos"),
    ("object rm photos/none", 3, "s3://photos/none", "tarn object ls photos"),
    ("object rm photos/f --version abc", 2, "s3://photos/f", "tarn object versions photos/f"),
    ("object rm -r photos/", 2, "nothing was removed", "--yes"),
    ("object versions nothere", 3, "s3://nothere", "tarn bucket ls"),
    ("object cp a b", 2, "'a'", "s3://BUCKET/KEY"),
    ("object trash ls nothere", 3, "'nothere'", "tarn bucket ls"),
    ("object trash restore photos/none", 3, "s3://photos/none", "tarn object trash ls photos"),
    ("object trash restore photos/f --version 12", 2, "'12'", "tarn object trash ls"),
    ("object trash empty photos", 2, "'empty'", "ls restore"),
    ("object ls photos --url http://127.0.0.1:1", 2, "http://127.0.0.1:1 is no S3 door", "--endpoint"),
    ("key", 2, "`tarn key`", "access"),
    ("key crate x", 2, "'crate'", "tarn key create"),
    ("key create", 2, "missing behind `tarn key create`", "create NAME"),
    ("key create k --role boss", 2, "'boss'", "data_viewer"),
    ("key create k --expires soon", 2, "soon", "90d"),
    ("key revoke none", 3, "'none'", "tarn key list"),
    ("key revoke a b", 2, "'b'", "revoke ID"),
    ("key access create nobody", 3, "'nobody'", "--role"),
    ("key access list nobody", 3, "'nobody'", "tarn key principal list"),
    ("key access rotate", 2, "missing behind `tarn key access rotate`", "rotate ID"),
    ("key access rotate NONE", 3, "'NONE'", "tarn key access list"),
    ("key access rotate NONE --overlap x", 2, "--overlap x", "24h"),
    ("key access expire NONE", 2, "NONE", "--expires 7d"),
    ("key access expire NONE --expires 1h", 3, "'NONE'", "tarn key access list"),
    ("key access disable NONE", 3, "'NONE'", "tarn key access list"),
    ("key access enable NONE", 3, "'NONE'", "tarn key access list"),
    ("key access revoke NONE", 3, "'NONE'", "tarn key access list"),
    ("key principal create admin", 5, "'admin'", "tarn key principal list"),
    ("key principal set nobody --disable", 3, "'nobody'", "tarn key principal list"),
    ("key principal set admin", 2, "'admin'", "--role ROLE"),
    ("key principal create p --expires 1h", 2, "no option --expires", "principal create NAME [--role ROLE]"),
    ("key principal set admin --enable --disable", 2, "both", "one of them"),
    ("key revoke NONE --role admin", 2, "no option --role", "key revoke ID"),
    ("key principal crate x", 2, "'crate'", "tarn key principal create"),
    ("doctor x", 2, "'x'", "--data DIR"),
    ("doctor --set store.space_alarm=100 --set store.space_background=100 --set store.space_full=100", 7, "is in use", "stop its server"),
    ("backup", 2, "a directory", "tarn backup /mnt"),
    ("backup ls", 2, "missing behind `tarn backup ls`", "ls DIR"),
    ("backup ls /nothere", 3, "/nothere", "tarn backup DIR"),
    ("backup verify /nothere", 3, "/nothere", "tarn backup DIR"),
    ("backup restore /nothere x", 3, "/nothere", "tarn backup DIR"),
    ("backup WORK/bk --keep none", 2, "none", "--keep 7"),
    ("backup /dev/null/x", None, "/dev/null", "can write"),
    ("backup lst WORK", 2, "'lst'", "tarn backup ls"),
    ("config", 2, "`tarn config`", "tarn config explain"),
    ("ingest WORK/none --source x", 3, "none", "path"),
    ("serve WORK/lake", 2, "lake' is one word too many for `tarn serve`", "--data WORK/lake"),
    ("init WORK/lake", 2, "lake' is one word too many for `tarn init`", "--data WORK/lake"),
    ("serve --set x", 2, "'x'", "tarn config explain"),
    ("serve --set s3.lissten=x", 2, "s3.lissten", "s3.listen"),
    ("fetch", 2, "one URL", "tarn fetch https"),
    ("sql -f /nothere", 3, "/nothere", "path"),
    ("table", 2, "`tarn table`", "list show"),
    ("table show", 2, "missing behind `tarn table show`", "show NAMESPACE.NAME"),
    ("model shw x", 2, "'shw'", "tarn model show"),
    ("model show none", 3, "'none'", "tarn model list"),
    ("model load /nothere", 3, "/nothere", "models/*.sql"),
]

NO_SERVER = ["key list", "bucket ls", "bucket usage", "object ls photos", "object trash ls photos", "sql SELECT\\ 1"]


def run(words, env=None, data=lake.data):
    words = [word.replace("\\ ", " ").replace("WORK", str(work)) for word in re.split(r"(?<!\\) ", words)]
    out = subprocess.run([TARN, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, timeout=60, env={**os.environ, "TARN_DATA": str(data), **(env or {})})
    return out.returncode, out.stderr


def told(words, status, thing, following, **how):
    """The hint stands in a line of its own; the rest is what happened and where."""
    got, text = run(words, **how)
    said, hint = text.partition("  hint: ")[::2]
    equal(got if status is not None else got != 0, status if status is not None else True, f"{words}: {text}")
    holds(thing in said, f"{words}: '{thing}' in what was said: {text}")
    following = following.replace("WORK", str(work))
    holds(following in hint, f"{words}: '{following}' in the hint: {text}")


@case
def what_is_wrong_is_named_with_the_next_command():
    for words, status, thing, following in WRONG:
        told(words, status, thing, following)


@case
def every_verb_has_its_own_help():
    for command, verbs in VERBS.items():
        for verb in verbs:
            out = lake.cli(command, *verb.split(), "--help").stdout
            usage, example = out.partition("example:")[::2]
            ways = re.findall(r"tarn (.+)", usage)
            holds(ways and all(way.startswith(f"{command} {verb}") for way in ways), f"{command} {verb}: {ways}")
            holds(f"tarn {command} {verb}" in example, f"{command} {verb}: {example}")
    whole = lake.cli("key", "--help").stdout
    for verb in VERBS["key"]:
        holds(f"tarn key {verb}" in whole, verb)


@case
def a_server_that_is_not_there():
    for words in NO_SERVER:
        told(words, 7, "/nothere/admin.json", "tarn serve --data /nothere", data="/nothere")
    for words in NO_SERVER:
        if words != "object ls photos":
            told(f"{words} --url http://127.0.0.1:1", 7, "http://127.0.0.1:1", "tarn serve")
    told("object ls photos --endpoint http://127.0.0.1:1", 7, "http://127.0.0.1:1", "S3 door")


@case
def a_key_that_is_wrong_is_told_from_which_place_it_came():
    url = lake.admin["http"]
    for words in ("key list", "bucket usage", "object trash ls photos", "backup WORK/bk", "sql SELECT\\ 1"):
        told(words, 4, "TARN_TOKEN", "admin.json", env={"TARN_TOKEN": "tarn_wrong", "TARN_URL": f"http://{url}"})
    told("object ls photos", 4, "TARNNONE", "tarn key access list", env={"TARN_ACCESS_KEY": "TARNNONE", "TARN_SECRET_KEY": "x"})
    told("object ls photos", 4, lake.admin["access_key"], "TARN_SECRET_KEY",
         env={"TARN_ACCESS_KEY": lake.admin["access_key"], "TARN_SECRET_KEY": "x"})
    told("object ls photos", 2, "TARN_SECRET_KEY is set without TARN_ACCESS_KEY", "set both", env={"TARN_SECRET_KEY": "x"})
    told("object ls photos", 2, "TARN_ACCESS_KEY is set without TARN_SECRET_KEY", "set both", env={"TARN_ACCESS_KEY": "TARNNONE"})


@case
def a_directory_that_cannot_be_written():
    for words in ("init", "serve"):
        told(words, None, "/dev/null", "can write", data="/dev/null/lake")


if __name__ == "__main__":
    main()
