"""What clients send without being told to, and what they need back: eleven rules, one case each; and the edge of HTTP."""
import atexit
import base64
import hashlib
import json
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import TARN, Lake, case, equal, holds, main  # noqa: E402
from raw import SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED, UNSIGNED_TRAILER, Raw, Wire  # noqa: E402

PROXIED = "public.example.org"
lake = Lake(None, "--s3", "127.0.0.1:0", "--set", f"s3.public_host={PROXIED}", "--set", "s3.domain=s3.example.org")
s3 = Raw(lake)
SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
s3.ask("PUT", "/bkt")


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def sha256(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def http_chunks(data, size):
    """Transfer-Encoding: chunked, cut without regard to what is inside."""
    cut = [data[at:at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n" % len(piece) + piece + b"\r\n" for piece in cut) + b"0\r\n\r\n"


def unsigned(*pieces, trailer):
    return b"".join(b"%x\r\n" % len(p) + p + b"\r\n" for p in pieces) + b"0\r\n" + trailer.encode() + b"\r\n\r\n"


@case
def rule_1_the_hash_alone_says_how_a_body_is_encoded():
    data, small = b"a" * 8192 + b"b" * 9000, b"tiny"
    for body in (data, small, b""):
        pieces = [body[:8192], body[8192:]] if len(body) > 8192 else [body] if body else []
        line = f"x-amz-checksum-crc32:{crc32(body)}"
        forms = {
            UNSIGNED: (lambda seed: body, {}),
            hashlib.sha256(body).hexdigest(): (lambda seed: body, {}),
            SIGNED_CHUNKS: (lambda seed: seed.body(*pieces), {}),
            SIGNED_TRAILER: (lambda seed: seed.body(*pieces, trailer=line), {"x-amz-trailer": "x-amz-checksum-crc32"}),
            UNSIGNED_TRAILER: (lambda seed: unsigned(*pieces, trailer=line), {"x-amz-trailer": "x-amz-checksum-crc32"}),
        }
        for payload, (make, fields) in forms.items():
            said = {} if payload in (UNSIGNED, hashlib.sha256(body).hexdigest()) else {"x-amz-decoded-content-length": str(len(body))}
            for encoding in ({}, {"Content-Encoding": "aws-chunked"}):
                where = f"{payload[:30]}, {len(body)} bytes, {encoding}"
                equal(s3.ask("PUT", "/bkt/one", payload=payload, body=make, fields=fields | said | encoding).both, (200, ""), where)
                got = s3.ask("GET", "/bkt/one")
                equal((got.body, got.fields["etag"]), (body, f'"{hashlib.md5(body).hexdigest()}"'), where)
                holds("content-encoding" not in got.fields, f"{where}: aws-chunked is no encoding of the object")
            for size in (1, 7, 8192, 100_000) if said else ():
                reply = s3.ask("PUT", "/bkt/one", payload=payload, body=lambda seed: http_chunks(make(seed), size),
                               fields=fields | said | {"Transfer-Encoding": "chunked"})
                equal(reply.both, (200, ""), f"{payload[:30]} in HTTP chunks of {size}")
                equal(s3.ask("GET", "/bkt/one").body, body, f"{payload[:30]} in HTTP chunks of {size}")
    looks = unsigned(b"a" * 10, trailer="x-amz-checksum-crc32:AAAAAA==")
    equal(s3.ask("PUT", "/bkt/one", payload=UNSIGNED, body=lambda seed: looks).status, 200)
    equal(s3.ask("GET", "/bkt/one").body, looks, "bytes that only look like chunks")
    reply = s3.ask("PUT", "/bkt/one", body=b"x", fields={"Content-Encoding": "aws-chunked,gzip"})
    equal((reply.status, s3.ask("GET", "/bkt/one").fields["content-encoding"]), (200, "gzip"))


@case
def rule_2_fields_of_a_put_on_a_get_and_expect():
    equal(s3.ask("PUT", "/bkt/two", body=b"22", fields={"x-amz-checksum-crc32": crc32(b"22")}).status, 200)
    for mode in ("ENABLED", "enabled"):
        got = s3.ask("GET", "/bkt/two", fields={"x-amz-checksum-mode": mode, "x-amz-checksum-crc32": "AAAAAA==", "x-amz-te": "append-md5",
                                                "Content-Type": "application/xml"})
        equal((got.status, got.body, got.fields.get("x-amz-checksum-crc32")), (200, b"22", crc32(b"22")), mode)
    for expect in ("200-ok", ""):
        equal(s3.ask("PUT", "/bkt/two", body=b"22", fields={"Expect": expect}).both, (200, ""), f"Expect: {expect}")
    for expect in ("100-continue", "100-Continue"):
        wire = s3.open()
        head, body = s3.head("PUT", "/bkt/two", body=b"22", fields={"Expect": expect})
        wire.send(head)
        equal(wire.head()[0], 100, expect)
        wire.send(body)
        equal(wire.reply().status, 200)


@case
def rule_3_queries_as_they_come():
    equal(s3.ask("PUT", "/bkt/dir/a", body=b"1").status, 200)
    for path in ("/bkt", "/bkt/"):
        for query in ("prefix=dir/&delimiter=/&list-type=2", "prefix=dir%2F&delimiter=%2F&list-type=2", "list-type=2&prefix=dir/&x-id=List",
                      "prefix=dir/", "delimiter=&prefix=dir/&max-keys=1000", "delimiter&list-type=2&prefix=dir%2f"):
            reply = s3.ask("GET", path, query)
            equal(reply.status, 200, f"{path}?{query}: {reply.body[:300]!r}")
            holds(b"<Key>dir/a</Key>" in reply.body, f"{path}?{query}")
    for query in ("uploads", "uploads=", "uploads&x-id=CreateMultipartUpload"):
        id_ = s3.ask("POST", "/bkt/three", query, body=b"").text("UploadId")
        holds(id_, query)
        equal(s3.ask("DELETE", "/bkt/three", f"x-id=AbortMultipartUpload&uploadId={id_}").status, 204)
    more = {"Accept-Encoding": "identity", "User-Agent": "a  b   c", "amz-sdk-request": "attempt=1; max=3", "amz-sdk-invocation-id": "u",
            "x-amz-user-agent": "aws-sdk-js/3", "x-amz-api-version": "2006-03-01", "Content-Length": "1"}
    signed = sorted([n.lower() for n in more] + ["host", "x-amz-content-sha256", "x-amz-date"])
    equal(s3.ask("PUT", "/bkt/three", "x-id=PutObject", body=b"3", fields=more, signed=signed).both, (200, ""))
    bare = s3.ask("GET", "/bkt/three", after=lambda f: f.update(Authorization=f["Authorization"].replace(", ", ",")))
    equal(bare.body, b"3", "a signature's list without blanks")


def begin(key, **fields):
    return s3.ask("POST", f"/bkt/{key}", "uploads", body=b"", fields={n.replace("_", "-"): v for n, v in fields.items()}).text("UploadId")


def part(key, id_, number, data, **fields):
    reply = s3.ask("PUT", f"/bkt/{key}", f"partNumber={number}&uploadId={id_}", body=data,
                   fields={n.replace("_", "-"): v for n, v in fields.items()})
    equal(reply.status, 200, reply.body)
    return reply.fields["etag"].strip('"')


def complete(key, id_, text, **fields):
    return s3.ask("POST", f"/bkt/{key}", f"uploadId={id_}", body=text.encode(), fields={n.replace("_", "-"): v for n, v in fields.items()})


@case
def rule_4_lists_of_parts_in_all_their_forms():
    for form in ("{e}", '"{e}"', "&quot;{e}&quot;", "&#34;{e}&#34;"):
        for root in ("CompleteMultipartUpload", 'CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'):
            id_ = begin("four")
            etag = part("four", id_, 2, b"second")
            text = f"<?xml version='1.0'?>\n<{root}>\n  <Part>\n    <ETag>{form.format(e=etag)}</ETag>\n    <PartNumber>2</PartNumber>\n  </Part>\n</CompleteMultipartUpload>\n"
            equal(complete("four", id_, text).both, (200, ""), f"{form} {root}")
            equal(s3.ask("GET", "/bkt/four").body, b"second", "begins at part 2")
    id_ = begin("four")
    etag = part("four", id_, 1, b"summed", x_amz_checksum_crc32=crc32(b"summed"))
    one = f"<Part><ETag>{etag}</ETag><PartNumber>1</PartNumber><ChecksumCRC32>%s</ChecksumCRC32></Part>"
    whole = "<CompleteMultipartUpload>%s</CompleteMultipartUpload>"
    equal(complete("four", id_, whole % (one % "AAAAAA==")).both, (400, "InvalidPart"), "a part's checksum is compared")
    equal(complete("four", id_, whole % (one % crc32(b"summed"))).both, (200, ""), "no algorithm was named at first")


@case
def rule_5_one_small_part_and_one_of_nothing():
    for data in (b"12345", b""):
        id_ = begin("five")
        etag = part("five", id_, 1, data)
        text = f"<CompleteMultipartUpload><Part><ETag>{etag}</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"
        equal(complete("five", id_, text).both, (200, ""), len(data))
        got = s3.ask("GET", "/bkt/five")
        equal((got.body, got.fields["etag"]), (data, f'"{hashlib.md5(hashlib.md5(data).digest()).hexdigest()}-1"'))
    id_ = begin("five")
    tags = [part("five", id_, n, b"small") for n in (1, 2)]
    text = "".join(f"<Part><ETag>{e}</ETag><PartNumber>{n}</PartNumber></Part>" for n, e in enumerate(tags, 1))
    reply = complete("five", id_, f"<CompleteMultipartUpload>{text}</CompleteMultipartUpload>")
    equal(reply.both, (400, "EntityTooSmall"), "small parts before the last")
    equal((reply.text("PartNumber"), reply.text("MinSizeAllowed")), ("1", "5242880"))


@case
def rule_6_batches_with_any_digest():
    body = b"<Delete><Quiet>false</Quiet><Object><Key>six</Key></Object></Delete>"
    right = {"Content-MD5": md5(body), "x-amz-checksum-crc32": crc32(body), "x-amz-checksum-sha256": sha256(body)}
    for names in (["Content-MD5"], ["x-amz-checksum-crc32"], ["x-amz-checksum-sha256"], ["Content-MD5", "x-amz-checksum-sha256"],
                  ["Content-MD5", "x-amz-checksum-crc32"], []):
        s3.ask("PUT", "/bkt/six", body=b"6")
        reply = s3.ask("POST", "/bkt", "delete", body=body, fields={name: right[name] for name in names})
        equal((reply.status, reply.text("Key")), (200, "six"), names)
        equal(s3.ask("GET", "/bkt/six").code, "NoSuchKey", names)
        s3.ask("PUT", "/bkt/six", body=b"6")
        for wrong in names:
            other = {"Content-MD5": md5(b""), "x-amz-checksum-crc32": crc32(b""), "x-amz-checksum-sha256": sha256(b"")}[wrong]
            fields = {name: other if name == wrong else right[name] for name in names}
            equal(s3.ask("POST", "/bkt", "delete", body=body, fields=fields).both, (400, "BadDigest"), f"{wrong} of {names}")
            equal(s3.ask("GET", "/bkt/six").status, 200, "nothing was deleted")


@case
def rule_7_questions_of_a_fresh_bucket():
    equal(s3.ask("PUT", "/fresh").status, 200)
    for query, *wanted in (("location", 200, ""), ("versioning", 200, ""), ("acl", 200, ""), ("uploads", 200, ""), ("versions", 200, ""),
                           ("ownershipControls", 200, ""), ("object-lock", 404, "ObjectLockConfigurationNotFoundError"),
                           ("policy", 404, "NoSuchBucketPolicy"), ("cors", 404, "NoSuchCORSConfiguration"), ("tagging", 404, "NoSuchTagSet"),
                           ("lifecycle", 404, "NoSuchLifecycleConfiguration"), ("website", 404, "NoSuchWebsiteConfiguration"),
                           ("encryption", 404, "ServerSideEncryptionConfigurationNotFoundError"),
                           ("replication", 404, "ReplicationConfigurationNotFoundError"), ("inventory", 501, "NotImplemented")):
        equal(s3.ask("GET", "/fresh", query).both, tuple(wanted), query)
    equal(s3.ask("GET", "/fresh", "versioning").text("Status"), None, "versions are not counted")
    equal(s3.ask("PUT", "/fresh", "acl", body=b"", fields={"x-amz-acl": "private"}).status, 200, "as it is")
    equal(s3.ask("PUT", "/fresh", "acl", body=b"", fields={"x-amz-acl": "public-read"}).both, (400, "AccessControlListNotSupported"))
    equal(s3.ask("PUT", "/fresh/k", body=b"", fields={"x-amz-acl": "public-read"}).both, (400, "AccessControlListNotSupported"))
    equal(s3.ask("PUT", "/fresh/k", body=b"", fields={"x-amz-acl": "bucket-owner-full-control"}).status, 200)
    equal(s3.ask("PUT", "/fresh/k", "acl", body=b"", fields={"x-amz-grant-read": "id=1"}).both, (400, "AccessControlListNotSupported"))


@case
def rule_8_parts_of_objects():
    pieces = [b"x" * (5 << 20), b"the end"]
    id_ = begin("eight", x_amz_checksum_algorithm="CRC32")
    lines = []
    for number, data in enumerate(pieces, 1):
        etag = part("eight", id_, number, data, x_amz_checksum_crc32=crc32(data))
        lines.append(f"<Part><ETag>{etag}</ETag><PartNumber>{number}</PartNumber><ChecksumCRC32>{crc32(data)}</ChecksumCRC32></Part>")
    equal(complete("eight", id_, f"<CompleteMultipartUpload>{''.join(lines)}</CompleteMultipartUpload>",
                   x_amz_mp_object_size=str(len(b"".join(pieces)))).both, (200, ""))
    for method in ("HEAD", "GET"):
        reply = s3.ask(method, "/bkt/eight", "partNumber=2", fields={"x-amz-checksum-mode": "ENABLED"})
        equal((reply.status, reply.fields["x-amz-mp-parts-count"], reply.fields["content-length"], reply.fields["content-range"]),
              (206, "2", "7", f"bytes {5 << 20}-{(5 << 20) + 6}/{(5 << 20) + 7}"), method)
        equal((reply.fields["x-amz-checksum-crc32"], reply.fields["x-amz-checksum-type"]), (crc32(pieces[1]), "COMPOSITE"), "the part's own")
    equal(reply.body, pieces[1])
    equal(s3.ask("GET", "/bkt/eight", "partNumber=3").both, (416, "InvalidPartNumber"))
    equal(s3.ask("GET", "/bkt/eight", "partNumber=0").both, (400, "InvalidArgument"))
    equal(s3.ask("GET", "/bkt/eight", "partNumber=1", fields={"Range": "bytes=0-1"}).both, (400, "InvalidRequest"))
    asked = s3.ask("GET", "/bkt/eight", "attributes", fields={"x-amz-object-attributes": "ETag,ObjectParts,ObjectSize,Checksum"})
    equal((asked.status, asked.text("PartsCount"), asked.text("ObjectSize")), (200, "2", str((5 << 20) + 7)))
    equal([int(p.findtext(SPACE + "Size")) for p in ET.fromstring(asked.body).iter(SPACE + "Part")], [5 << 20, 7])
    s3.ask("PUT", "/bkt/eight", body=b"whole")
    reply = s3.ask("GET", "/bkt/eight", "partNumber=1")
    equal((reply.status, reply.body, "x-amz-mp-parts-count" in reply.fields), (206, b"whole", False), "an object that is not in parts")


@case
def rule_9_a_bucket_made_again():
    location = b'<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>%s</LocationConstraint></CreateBucketConfiguration>'
    equal(s3.ask("PUT", "/again", body=location % b"us-east-1").status, 200)
    equal(s3.ask("PUT", "/again/kept", body=b"9").status, 200)
    for body in (b"", location % b"us-east-1"):
        equal(s3.ask("PUT", "/again", body=body).both, (200, ""), "as AWS in us-east-1")
    equal(s3.ask("GET", "/again/kept").body, b"9")
    north = Lake(None, "--s3", "127.0.0.1:0", "--set", "s3.region=eu-north-1")
    other = Raw(north)
    other.region = "eu-north-1"
    equal(other.ask("PUT", "/again", body=location % b"eu-north-1").status, 200)
    equal(other.ask("PUT", "/again/kept", body=b"9").status, 200)
    for body in (b"", location % b"eu-north-1"):
        equal(other.ask("PUT", "/again", body=body).both, (409, "BucketAlreadyOwnedByYou"), "as AWS in every other region")
    equal(other.ask("GET", "/again/kept").body, b"9")
    north.kill()
    equal(s3.ask("PUT", "/elsewhere", body=location % b"eu-north-1").both, (400, "InvalidLocationConstraint"))


@case
def rule_10_buckets_made_in_all_forms():
    for number, how in enumerate(({"payload": UNSIGNED}, {}, {"fields": {"x-amz-acl": "private"}}, {"fields": {"Content-Type": "application/xml"}},
                                  {"fields": {"Content-Length": None}}, {"fields": {"x-amz-bucket-object-lock-enabled": "false"}})):
        for path in (f"/made-{number}", f"/made-{number}-with/"):
            reply = s3.ask("PUT", path, **{"body": b"", **how})
            equal(reply.status, 200, f"{path} {how}: {reply.body[:200]!r}")
            equal(s3.ask("HEAD", path).status, 200, path)


@case
def rule_11_chunks_that_are_too_small():
    pieces = [b"a" * 4096, b"b" * 4096, b"c"]
    reply = s3.ask("PUT", "/bkt/eleven", payload=SIGNED_CHUNKS, body=lambda seed: seed.body(*pieces),
                   fields={"x-amz-decoded-content-length": "8193"})
    equal(reply.both, (403, "InvalidChunkSizeError"))
    holds("8192" in reply.text("Message"), "the message says how large they have to be")
    equal(s3.ask("GET", "/bkt/eleven").code, "NoSuchKey")


# ---- the edge of HTTP ----


@case
def a_body_is_asked_for_only_when_it_is_wanted():
    s3.ask("PUT", "/bkt/there", body=b"1")
    other = Raw(lake)
    other.secret = "x" * 40
    large = {"Content-Length": str(1 << 30), "Expect": "100-continue"}
    for name, who, path, fields, wanted in (
            ("a bad signature", other, "/bkt/k", {}, (403, "SignatureDoesNotMatch")),
            ("no such bucket", s3, "/nothing-here/k", {}, (404, "NoSuchBucket")),
            ("a key that is too long", s3, "/bkt/" + "k" * 1025, {}, (400, "KeyTooLongError")),
            ("it is there", s3, "/bkt/there", {"If-None-Match": "*"}, (412, "PreconditionFailed")),
            ("it is another", s3, "/bkt/there", {"If-Match": '"x"'}, (412, "PreconditionFailed")),
            ("a checksum that is none", s3, "/bkt/k", {"x-amz-checksum-crc32": "?"}, (400, "InvalidRequest"))):
        wire = who.open()
        head, _ = who.head("PUT", path, payload=UNSIGNED, fields=large | fields)
        wire.send(head)
        reply = wire.reply("PUT")
        equal((reply.both, reply.interim), (wanted, []), name)
        holds(wire.closed(), f"{name}: a connection whose body was not read is closed")
    equal(s3.ask("GET", "/bkt/there").body, b"1")


@case
def many_small_reads_have_no_tails():
    wire = s3.open()
    for size in (100, 16_384, 20_000, 65_536, 65_537, 200_000):
        s3.ask("PUT", "/bkt/tail", body=b"t" * size)
        middles = []
        while len(middles) < 5 and not (middles and middles[-1] < 0.035):  # a busy machine is slow now and then, a delay stays
            times = []
            for _ in range(40):
                head, _ = s3.head("GET", "/bkt/tail")
                before = time.monotonic()
                wire.send(head)
                equal(len(wire.reply().body), size)
                times.append(time.monotonic() - before)
            middles.append(statistics.median(times))
        holds(middles[-1] < 0.035, f"{size} bytes in {middles[-1] * 1000:.1f} ms: a delayed acknowledgement")


@case
def pages_of_others_may_show_objects():
    equal(s3.ask("PUT", "/bkt/page", body=b"<p>", fields={"Content-Type": "text/html"}).status, 200)
    for method, path in (("GET", "/bkt/page"), ("HEAD", "/bkt/page"), ("GET", "/bkt/none")):
        got = s3.ask(method, path).fields
        for name in ("cross-origin-resource-policy", "referrer-policy", "content-security-policy", "x-frame-options", "x-content-type-options"):
            equal(got.get(name), None, f"{method} {path}: {name}")


@case
def names_behind_proxies():
    s3.ask("PUT", "/bkt/named", body=b"n")
    for name, host in (("the door's own", s3.address), ("the proxy's", PROXIED)):
        for sent in (s3.address, PROXIED):
            wanted = (200, "") if host in (sent, PROXIED) else (403, "SignatureDoesNotMatch")
            reply = s3.ask("GET", "/bkt/named", fields={"Host": host}, after=lambda fields: fields.update(Host=sent))
            equal(reply.both, wanted, f"signed for {name}, arrives with {sent}")
            reply = s3.plain("GET", "/bkt/named", s3.presign("GET", "/bkt/named", host=host), fields={"Host": sent})
            equal(reply.both, wanted, f"a URL of {name}, arrives with {sent}")
    for host in ("bkt.s3.example.org", "bkt.s3.example.org:9000"):
        equal(s3.ask("GET", "/named", fields={"Host": host}).body, b"n", f"the bucket is of the host {host}")
    equal(s3.ask("GET", "/bkt/named", fields={"Host": "s3.example.org"}).body, b"n", "the domain alone")
    equal(s3.ask("GET", "/bkt/named", fields={"Host": "[::1]:9000"}).body, b"n", "an address of IPv6")


@case
def the_same_door_over_tls():
    folder = Path(tempfile.mkdtemp(prefix="tarn-s3-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([TARN, "cert", "--data", folder / "data"], check=True, stdout=subprocess.DEVNULL)
    secure = Lake(folder / "data", "--s3", "127.0.0.1:0", "--s3-tls", "127.0.0.1:0")
    admin = json.loads((secure.data / "admin.json").read_text())
    context = ssl.create_default_context(cafile=secure.data / "tls" / "ca.pem")
    tls = Raw(secure, context)
    tls.address = admin["s3_tls"]
    clear = Raw(secure)
    equal(tls.ask("PUT", "/secret").both, (200, ""))
    data = b"s" * 100_000
    line = f"x-amz-checksum-crc32:{crc32(data)}"
    equal(tls.ask("PUT", "/secret/k", payload=UNSIGNED_TRAILER, body=lambda seed: http_chunks(unsigned(data, trailer=line), 5000),
                  fields={"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-decoded-content-length": "100000", "Transfer-Encoding": "chunked",
                          "Content-Encoding": "aws-chunked"}).both, (200, ""), "as boto3 sends it over TLS")
    equal(tls.ask("GET", "/secret/k").body, data)
    equal(clear.ask("GET", "/secret/k").body, data, "one store behind both")
    equal(tls.ask("GET", "/secret/none").code, "NoSuchKey")
    try:
        Wire(admin["s3_tls"], ssl.create_default_context())
        raise AssertionError("a certificate of nobody was taken")
    except ssl.SSLCertVerificationError:
        pass
    plain = socket.create_connection(("127.0.0.1", int(admin["s3_tls"].rsplit(":", 1)[1])), timeout=10)
    plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    holds(plain.recv(100).startswith(b"HTTP/1.1 400"), "clear text on the port of TLS is told so")
    equal(secure.stop(), 0)


main()
