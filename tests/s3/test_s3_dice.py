"""Requests that are signed right and mixed at random: fields, sub-resources, bodies that belong to other operations.

Nothing of it may end the server, be answered by a 5xx other than 501, or by an error that is none of S3's XML.

usage: test_s3_dice.py [SECONDS]     TARN_SEED repeats a run; CI takes the same each time"""
import hashlib
import os
import random
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import Lake, case, equal, holds, main  # noqa: E402
from raw import SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED, UNSIGNED_TRAILER, Raw  # noqa: E402

SECONDS = float(sys.argv.pop(1)) if len(sys.argv) > 1 else 12
SEED = os.environ.get("TARN_SEED") or ("1" if os.environ.get("CI") == "true" else str(time.time_ns() % 1000000))  # as tools/fuzz.sh
dice = random.Random(SEED)
lake = Lake(None, "--s3", "127.0.0.1:0", "--set", "http.access_log=off")
s3 = Raw(lake)
KEYS = ["a", "b", "d/e", "d/", "%00", "%ff%fe", "..", "%C3%BC", "e" * 300]
ETAG = hashlib.md5(b"one").hexdigest()
versions, uploads = ["null"], ["00" * 16]


def one(*texts):
    return lambda: dice.choice(texts)


def source():
    return f"{dice.choice(['plain', 'kept', 'kept', 'nope'])}/{dice.choice(KEYS[:3])}" + dice.choice(["", "", f"?versionId={dice.choice(versions)}"])


ETAGS = one('"x"', "*", f'"{ETAG}"')
FIELDS = {
    "x-amz-copy-source-range": one("bytes=0-0", "bytes=0-2", "bytes=5-1", "x"), "x-amz-metadata-directive": one("COPY", "REPLACE", "x"),
    "x-amz-tagging-directive": one("COPY", "REPLACE"), "x-amz-tagging": one("a=b", "k=v&l=w", "a=b&a=c", "", "=x", "a=%zz"),
    "If-Match": ETAGS, "If-None-Match": ETAGS, "x-amz-copy-source-if-match": ETAGS, "x-amz-copy-source-if-none-match": ETAGS,
    "Range": one("bytes=0-0", "bytes=-1", "bytes=100-", "bytes=1-,2-"), "x-amz-checksum-mode": one("ENABLED"),
    "x-amz-checksum-algorithm": one("CRC32", "SHA256", "CRC64NVME", "XXHASH3", "SHA512", "x"), "x-amz-checksum-type": one("COMPOSITE", "FULL_OBJECT", "x"),
    "x-amz-checksum-crc32": one("AAAAAA==", "x", ""), "x-amz-sdk-checksum-algorithm": one("CRC32"), "Content-MD5": one("x", "1B2M2Y8AsgTpgAmY7PhCfg=="),
    "x-amz-object-attributes": one("ETag,Checksum,ObjectParts,StorageClass,ObjectSize", "x"), "x-amz-max-parts": one("1", "x"),
    "x-amz-part-number-marker": one("0", "1", "99999999999"), "x-amz-meta-a": one("b", "", "x" * 2100), "x-amz-storage-class": one("STANDARD", "STANDARD_IA", "x"),
    "x-amz-acl": one("private", "public-read"), "x-amz-mp-object-size": one("3", "-1", "x"), "Origin": one("http://a"),
    "Content-Type": one("text/plain", "x" * 300, "multipart/form-data; boundary=q"), "Content-Encoding": one("aws-chunked", "aws-chunked,gzip"),
    "x-amz-trailer": one("x-amz-checksum-crc32"), "x-amz-if-match-size": one("3"), "x-amz-expected-bucket-owner": one("x"),
    "x-amz-website-redirect-location": one("/x"), "x-amz-decoded-content-length": one("0", "3", "x"), "x-amz-write-offset-bytes": one("3"),
}
QUERIES = ["uploads", "tagging", "acl", "attributes", "versions", "list-type=2", "max-keys=0", "max-keys=1", "max-keys=-1", "prefix=d", "prefix=%ff",
           "delimiter=/", "delimiter=d", "key-marker=a", "start-after=a", "continuation-token=YQ==", "continuation-token=x", "encoding-type=url",
           "max-parts=0", "max-parts=1", "part-number-marker=1", "max-uploads=0", "max-uploads=1", "delete", "retention", "cors", "versioning", "location",
           "policy", "response-content-type=a%0a", "fetch-owner=true", "object-lock", "replication", "x-id=1", "partNumber=1", "partNumber=0"]
PART = "<Part><PartNumber>%s</PartNumber><ETag>%s</ETag>%s</Part>"
BODIES = [b"", b"one", b"two" * 30000, b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>", b"<Tagging/>", b"\xff\xfe<",
          b"<Delete><Object><Key>a</Key></Object><Object><Key>a</Key></Object><Object><Key>b</Key><VersionId>null</VersionId></Object></Delete>",
          b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>", b"<CompleteMultipartUpload/>",
          b"<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>"]


def complete():
    return ("<CompleteMultipartUpload>" + PART % (dice.choice("12x"), dice.choice([ETAG, ETAG, "x"]), dice.choice(
        ["", "", "<ChecksumCRC32>AAAAAA==</ChecksumCRC32>", "<ChecksumSHA256>x</ChecksumSHA256>"])) + "</CompleteMultipartUpload>").encode()


def request():
    """Something that is mostly right, with something beside it that mostly is not: (method, path, query, fields, body)."""
    bucket, key, upload = dice.choice(["plain", "kept", "kept"]), dice.choice(KEYS[:3] + KEYS), dice.choice(uploads)
    version, path, copy = f"versionId={dice.choice(versions)}", f"/{bucket}/{key}", {"x-amz-copy-source": source()}
    method, path, query, fields, body = dice.choice([
        ("PUT", path, [], {}, b"one"), ("PUT", path, [], {}, b"one"), ("PUT", path, [], copy, b""), ("PUT", path, [], copy, b""), ("GET", path, [], {}, b""),
        ("GET", path, [version], {}, b""), ("HEAD", path, [version], {}, b""), ("DELETE", path, [], {}, b""), ("DELETE", path, [version], {}, b""),
        ("PUT", path, ["tagging"], {}, BODIES[3]), ("GET", path, ["tagging"], {}, b""), ("GET", path, ["attributes"], {"x-amz-object-attributes": "ETag,ObjectParts"}, b""),
        ("POST", path, ["uploads"], {}, b""), ("PUT", f"/{bucket}/a", [f"uploadId={upload}", "partNumber=1"], {}, b"one"),
        ("PUT", f"/{bucket}/a", [f"uploadId={upload}", "partNumber=2"], copy, b""), ("POST", f"/{bucket}/a", [f"uploadId={upload}"], {}, complete()),
        ("GET", f"/{bucket}/a", [f"uploadId={upload}"], {}, b""), ("DELETE", f"/{bucket}/a", [f"uploadId={upload}"], {}, b""), ("POST", f"/{bucket}", ["delete"], {}, BODIES[6]),
        ("GET", f"/{bucket}", ["list-type=2"], {}, b""), ("GET", f"/{bucket}", ["versions"], {}, b""), ("GET", f"/{bucket}", ["uploads"], {}, b""), ("GET", "/", [], {}, b""),
        (dice.choice(["GET", "PUT", "POST", "DELETE"]), dice.choice([path, "/nope", "/nope/a", "//a"]), [], {}, dice.choice(BODIES))])
    more = dice.choice([0, 0, 1, 1, 2, 3])
    fields = {**fields, **{name: FIELDS[name]() for name in dice.sample(list(FIELDS), more)}}
    query = query + dice.sample(QUERIES, dice.choice([0, 0, 0, 1, 2]))
    if copy["x-amz-copy-source"] in fields.values() and dice.random() < 0.5:  # what copies look at, more often
        fields.update({name: FIELDS[name]() for name in dice.sample(["x-amz-tagging-directive", "x-amz-metadata-directive", "x-amz-tagging"], 1)})
    return method, path, "&".join(query), fields, dice.choice(BODIES) if body and dice.random() < 0.1 else body


def ask(method, path, query, fields, body):
    how = {"fields": fields, "body": body}
    if dice.random() < 0.1:
        how["payload"] = dice.choice([UNSIGNED, UNSIGNED_TRAILER, SIGNED_CHUNKS, SIGNED_TRAILER])
    reply = s3.ask(method, path, query, **how)
    if reply.text("UploadId") and method == "POST":
        uploads[:] = uploads[-5:] + [reply.text("UploadId")]
    if "x-amz-version-id" in reply.fields:
        versions[:] = ["null"] + versions[-10:] + [reply.fields["x-amz-version-id"]]
    return reply


@case
def nothing_ends_the_server():
    seen, end = Counter(), time.monotonic() + SECONDS
    for bucket in ("plain", "kept"):
        equal(s3.ask("PUT", f"/{bucket}").status, 200)
    equal(s3.ask("PUT", "/kept", "versioning", body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>").status, 200)
    while time.monotonic() < end:
        wanted = request()
        try:
            reply = ask(*wanted)
        except (ConnectionError, OSError) as why:
            raise AssertionError(f"seed {SEED}: {wanted}: {why}; the server is {'up' if lake.alive() else 'gone'}") from why
        holds(reply.status < 500 or reply.status == 501, f"seed {SEED}: {wanted}: {reply.both} {reply.body[:300]!r}: no error of the server's own")
        if reply.status >= 400 and reply.body:
            holds(ET.fromstring(reply.body).findtext("Code") and reply.code, f"seed {SEED}: {wanted}: {reply.body[:300]!r}: S3's XML")
        seen[reply.status] += 1
    holds(lake.alive() and seen[200] > 100, f"seed {SEED}: {seen}: the server is up and did some of it")
    print(f"     seed {SEED}: {sum(seen.values())} requests, {dict(seen.most_common())}")


main()
