"""The server's clock jumps, back and forth, by an hour and by a day, while it runs and over restarts (faketime).

What is judged by the wall clock follows it: signatures, presigned requests. What has ended stays so: sessions, keys, tokens. What is not
judged by it does not follow: the order of versions, lists and uploads, the trash, requests that are under way."""
import calendar
import hashlib
import json
import os
import re
import sys
import time
import urllib.parse
import xml.etree.ElementTree as ET
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import Lake, case, equal, holds, main  # noqa: E402
from raw import Raw  # noqa: E402

HOUR, DAY = 3600, 86_400
JUMPS = (HOUR, -HOUR, DAY, -DAY)
SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
FAKER = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
WORDS = ("--s3", "127.0.0.1:0", "--set", "maintenance.interval=1s", "--set", "store.trash=1h")


class Server:
    """A lake whose clock a file sets; its monotonic one is left alone, as by a jump."""

    def __init__(self):
        holds(FAKER, "deps/debian.txt has faketime")
        self.lake, self.shift = None, 0
        self.start()

    def start(self, shift=0, forget=False):
        if self.lake:
            equal(self.lake.stop(), 0)
            if forget:  # as an operator does
                (self.lake.data / "clock").unlink()
        else:
            self.lake = Lake(None, *WORDS)  # makes its folder
            equal(self.lake.stop(), 0)
        self.clock = self.lake.data.parent / "clock"
        self.jump(shift)
        os.environ.update(LD_PRELOAD=str(FAKER), FAKETIME_TIMESTAMP_FILE=str(self.clock), FAKETIME_NO_CACHE="1",
                          FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1")
        try:
            self.lake = Lake(self.lake.data, *WORDS)
        finally:
            del os.environ["LD_PRELOAD"]
        self.raw = Raw(self.lake)

    def jump(self, seconds):
        """To so many seconds from what the clock of the machine says."""
        new = self.clock.with_suffix(".new")
        new.write_text(f"{seconds:+d}s")
        new.rename(self.clock)  # never half of it
        self.shift = seconds

    def ask(self, *words, **how):
        how.setdefault("when", time.time() + self.shift)
        return self.raw.ask(*words, **how)


server = Server()
ask = server.ask
equal([ask("PUT", "/bkt").status, ask("PUT", "/kept").status], [200, 200])
ask("PUT", "/kept", "versioning", body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")


def listed(bucket, query="list-type=2", each="Key"):
    return [e.text for e in ET.fromstring(ask("GET", f"/{bucket}", query).body).iter(SPACE + each)]


@case
def signatures_are_judged_by_the_wall_clock():
    for jump in JUMPS:
        server.jump(jump)
        equal(ask("PUT", "/bkt/k", body=b"x").both, (200, ""), jump)
        for wrong in (0, 2 * jump):
            reply = ask("PUT", "/bkt/k", body=b"x", when=time.time() + wrong)
            equal(reply.both, (403, "RequestTimeTooSkewed"), f"{jump}, signed at {wrong}")
        holds(abs(jump) < DAY or reply.text("ServerTime")[:10] == time.strftime("%Y-%m-%d", time.gmtime(time.time() + jump)), reply.body)
        early, late = (server.raw.presign("GET", "/bkt/k", expires=600, when=time.time() + jump + by) for by in (0, -700))
        equal([server.raw.plain("GET", "/bkt/k", query).status for query in (early, late)], [200, 403], f"{jump}: presigned")
        server.jump(0)
        stale = server.raw.plain("GET", "/bkt/k", early)
        equal(stale.status, 403, f"{jump}: what was signed then is {'not yet' if jump > 0 else 'no longer'} good")


def session():
    """Signs with the keys of a session of a quarter of an hour."""
    body = urllib.parse.urlencode({"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::0:role/x",
                                   "RoleSessionName": "clock", "DurationSeconds": "900"}).encode()
    made = ask("POST", "/", body=body, payload=hashlib.sha256(body).hexdigest(), service="sts",
               fields={"Content-Type": "application/x-www-form-urlencoded"})
    equal(made.status, 200, made.body)
    raw = Raw(server.lake)
    raw.access, raw.secret, raw.token = (made.text(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
    return raw


def asked(raw):
    """As its holder asks, over the door that stands now."""
    raw.address = server.raw.address
    return raw.ask("GET", "/bkt/k", when=time.time() + server.shift).both


def keys(until):
    """A bearer token and an access key that end then."""
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until))
    def request(method, path, body):
        return server.lake.request(method, path, json.dumps(body))

    name = f"ends-{until:.0f}"
    token = request("POST", "/v1/keys", {"name": name, "role": "data_viewer", "expires": ends})
    equal(token.status, 201, token.text)
    equal(request("POST", "/v1/principals", {"name": name, "role": "admin"}).status, 201)
    made = request("POST", "/v1/access-keys", {"principal": name, "expires": ends})
    equal(made.status, 201, made.text)
    raw = Raw(server.lake)
    raw.access, raw.secret = made.json["id"], made.json["secret"]
    return token.json, raw


def token_asked(token):
    return server.lake.request("GET", "/v1/datasets", token=token["key"]).status


@case
def what_has_ended_stays_ended_when_the_clock_is_set_back():
    over = (400, "ExpiredToken")
    server.start(forget=True)
    ask("PUT", "/bkt/k", body=b"x")
    first = session()
    token, key = keys(time.time() + HOUR)
    equal([asked(first), token_asked(token), asked(key)], [(200, ""), 200, (200, "")])
    server.jump(DAY)
    equal([asked(first), token_asked(token), asked(key)], [over, 401, (403, "InvalidAccessKeyId")], "a day later")
    for shift, again in ((0, False), (-HOUR, False), (0, True), (HOUR, True)):
        server.start(shift) if again else server.jump(shift)
        when = f"{shift} {'after a restart' if again else 'running'}"
        equal([asked(first), token_asked(token), asked(key)], [over, 401, (403, "InvalidAccessKeyId")], when)
        equal(ask("PUT", "/bkt/k", body=b"x").both, (200, ""), f"{when}: keys without an end are good")
        equal(ask("PUT", "/bkt/k", body=b"x", when=time.time() + shift + DAY).both, (403, "RequestTimeTooSkewed"),
              f"{when}: signatures are judged by the wall clock")
        holds(server.raw.plain("GET", "/bkt/k", server.raw.presign("GET", "/bkt/k", expires=600, when=time.time() + shift)).status == 200,
              f"{when}: presigned requests too")
        later = session()
        equal(asked(later), (200, ""), f"{when}: a new session works at once")
    server.jump(DAY + HOUR)
    equal(asked(later), over, "and ends when the clock has caught up")
    server.start(forget=True)
    equal([token_asked(token), asked(key)], [200, (200, "")], "an operator's word: it was never an hour later")
    equal(asked(first), (200, ""))


@case
def a_damaged_floor_is_begun_anew():
    equal(server.lake.stop(), 0)
    path = server.lake.data / "clock"
    path.write_bytes(path.read_bytes()[:-9])
    server.lake = Lake(server.lake.data, *WORDS)
    server.start()
    holds(b"event=clock state=lost" in Path(server.lake.log.name).read_bytes(), "it is said")
    raw = session()
    equal(asked(raw), (200, ""))
    server.jump(HOUR)
    equal(asked(raw), (400, "ExpiredToken"), "and holds again")
    server.jump(0)
    equal(asked(raw), (400, "ExpiredToken"))
    holds(until_said(b"event=clock state=behind"), "told")


def until_said(text):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if text in Path(server.lake.log.name).read_bytes():
            return True
        time.sleep(0.2)
    return False


@case
def versions_and_lists_keep_their_order():
    wanted = []
    for number, jump in enumerate((0, DAY, -DAY, HOUR, -HOUR, 0)):
        server.jump(jump)
        body = b"%d" % number
        wanted.insert(0, ask("PUT", "/kept/v", body=body).fields["x-amz-version-id"])
        equal(ask("PUT", f"/bkt/list/{number}", body=body).status, 200)
        equal(ask("GET", "/kept/v").body, body, f"{jump}: the newest is the one that was written last")
        equal(listed("kept", "versions", "VersionId"), wanted, f"{jump}: newest first")
        said = ask("HEAD", "/kept/v").fields["last-modified"]
        holds(abs(calendar.timegm(time.strptime(said, "%a, %d %b %Y %H:%M:%S GMT")) - time.time() - jump) < 60, said)
    wanted.insert(0, ask("DELETE", "/kept/v").fields["x-amz-version-id"])
    server.jump(-DAY)
    equal(ask("GET", "/kept/v").both, (404, "NoSuchKey"), "its marker is the newest")
    equal(listed("kept", "versions", "VersionId"), wanted, "its marker among them")
    equal(listed("bkt", "list-type=2&prefix=list/"), [f"list/{n}" for n in range(6)])
    for jump in (0, DAY, -DAY):
        server.start(jump)
        equal(listed("bkt", "list-type=2&prefix=list/"), [f"list/{n}" for n in range(6)], f"a restart at {jump}")
        root = ET.fromstring(ask("GET", "/kept", "versions").body)
        newest = [v.findtext(SPACE + "VersionId") for v in root if v.findtext(SPACE + "IsLatest") == "true"]
        equal(newest, wanted[:1], f"a restart at {jump}")
        equal([ask("GET", "/kept/v", f"versionId={v}").body for v in wanted[1:]], [b"%d" % n for n in range(5, -1, -1)])
        again = ask("PUT", "/bkt/again", body=b"%d" % jump)
        equal((again.status, ask("GET", "/bkt/again").body), (200, b"%d" % jump), "it goes on")
    server.start()


@case
def uploads_outlive_jumps():
    ids = []
    for jump in (0, -DAY, DAY):
        server.jump(jump)
        ids.append(ask("POST", "/bkt/up", "uploads", body=b"").text("UploadId"))
    server.jump(-HOUR)
    etag = ask("PUT", "/bkt/up", f"partNumber=1&uploadId={ids[0]}", body=b"part").fields["etag"]
    seen, query = [], "uploads&max-uploads=1"
    for _ in range(4):  # page by page, each once
        root = ET.fromstring(ask("GET", "/bkt", query).body)
        seen += [e.text for e in root.iter(SPACE + "UploadId")]
        if root.findtext(SPACE + "IsTruncated") == "false":
            break
        query = f"uploads&max-uploads=1&key-marker=up&upload-id-marker={root.findtext(SPACE + 'NextUploadIdMarker')}"
    equal(sorted(seen), sorted(ids))
    server.start(DAY)
    body = f"<CompleteMultipartUpload><Part><ETag>{etag}</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>".encode()
    equal(ask("POST", "/bkt/up", f"uploadId={ids[0]}", body=body).both, (200, ""))
    server.jump(0)
    equal(ask("POST", "/bkt/up", f"uploadId={ids[0]}", body=body).both, (200, ""), "the same again, by another clock")
    equal(ask("GET", "/bkt/up").body, b"part")
    equal([ask("DELETE", "/bkt/up", f"uploadId={i}").status for i in ids[1:]], [204, 204])


def metric(name):
    found = re.search(rf"^{name}(?:{{[^}}]*}})? (\d+)", server.lake.request("GET", "/metrics").text, re.M)
    return int(found[1]) if found else None


@case
def the_trash_is_not_emptied_early():
    server.start()
    size, before = 2 << 20, metric("tarn_store_trash_bytes")
    equal([ask("PUT", "/bkt/large", body=b"l" * size).status, ask("DELETE", "/bkt/large").status], [200, 204])
    holds(metric("tarn_store_trash_bytes") >= before + size, "it is in the trash")
    for jump in JUMPS:
        server.jump(jump)
        until = time.monotonic() + 2.5  # two looks of the upkeep at least
        while time.monotonic() < until:
            holds(metric("tarn_store_trash_bytes") >= before + size, f"{jump}: an hour has not gone by")
            time.sleep(0.2)
    server.start()


@case
def what_is_under_way_is_not_cut():
    head, body = server.raw.head("PUT", "/bkt/slow", body=b"s" * 100_000, when=time.time(), fields={"Expect": "100-continue"})
    wire = server.raw.open()
    wire.send(head)
    equal(wire.head()[0], 100, "its signature was looked at")
    wire.send(body[:1000])
    for jump in JUMPS:
        server.jump(jump)
        wire.send(body[1000:1010])
        body = body[:1000] + body[1010:]
        equal(ask("GET", "/bkt/k").status, 200, "others are served")
    wire.send(body[1000:])
    equal(wire.reply().status, 200, "its signature was good when it came")
    server.jump(0)
    head, _ = server.raw.head("GET", "/bkt/slow", when=time.time())
    wire.send(head)
    equal(len(wire.reply().body), 100_000, "its connection too")
    wire.close()


main()
