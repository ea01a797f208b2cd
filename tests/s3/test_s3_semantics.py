"""Corner cases of reads, conditions and lists, as AWS documents them; where peers differ (peers-s3.md 6), what AWS does."""
import base64
import hashlib
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import Lake, case, equal, holds, main  # noqa: E402
from raw import Raw, quote  # noqa: E402

lake = Lake(None, "--s3", "127.0.0.1:0")
s3 = Raw(lake)
SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
PAST, FUTURE = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
s3.ask("PUT", "/bkt")


def put(key, body=b"", **fields):
    reply = s3.ask("PUT", f"/bkt/{key}", body=body, fields={n.replace("_", "-"): v for n, v in fields.items()})
    equal(reply.status, 200, reply.body)
    return reply


def listed(query, bucket="bkt"):
    reply = s3.ask("GET", f"/{bucket}", query)
    equal(reply.status, 200, f"{query}: {reply.body[:200]!r}")
    root = ET.fromstring(reply.body)
    keys = [c.findtext(SPACE + "Key") for c in root.findall(SPACE + "Contents")]
    folded = [c.findtext(SPACE + "Prefix") for c in root.findall(SPACE + "CommonPrefixes")]
    return keys, folded, lambda name: root.findtext(SPACE + name)


@case
def conditions_of_reads():
    etag = put("c", b"0123456789").fields["etag"]
    for fields, wanted in (
            ({"If-Match": etag}, 200), ({"If-Match": etag.strip('"')}, 200), ({"If-Match": "*"}, 200), ({"If-Match": '"x"'}, 412),
            ({"If-Match": f'"a", {etag}'}, 200), ({"If-None-Match": etag}, 304), ({"If-None-Match": "W/" + etag}, 304),
            ({"If-None-Match": "*"}, 304), ({"If-None-Match": '"x"'}, 200), ({"If-Modified-Since": PAST}, 200),
            ({"If-Modified-Since": FUTURE}, 304), ({"If-Unmodified-Since": PAST}, 412), ({"If-Unmodified-Since": FUTURE}, 200),
            ({"If-Modified-Since": "yesterday"}, 200), ({"If-Unmodified-Since": "yesterday"}, 200),
            ({"If-Match": etag, "If-Unmodified-Since": PAST}, 200), ({"If-Match": '"x"', "If-Unmodified-Since": FUTURE}, 412),
            ({"If-None-Match": '"x"', "If-Modified-Since": FUTURE}, 200), ({"If-None-Match": etag, "If-Modified-Since": PAST}, 304),
            ({"If-Match": etag, "If-None-Match": etag}, 304), ({"If-Match": '"x"', "If-None-Match": etag}, 412)):
        for method in ("GET", "HEAD"):
            reply = s3.ask(method, "/bkt/c", fields=fields)
            equal(reply.status, wanted, f"{method} {fields}")
            equal(reply.code, "PreconditionFailed" if wanted == 412 and method == "GET" else "", fields)
            if wanted == 304:
                equal((reply.fields["etag"], "last-modified" in reply.fields), (etag, True), fields)
    for fields, wanted in (({"x-amz-copy-source-if-none-match": etag}, 412), ({"x-amz-copy-source-if-match": '"x"'}, 412),
                           ({"x-amz-copy-source-if-modified-since": FUTURE}, 412), ({"x-amz-copy-source-if-match": etag}, 200)):
        equal(s3.ask("PUT", "/bkt/copied", fields={"x-amz-copy-source": "bkt/c", **fields}).status, wanted, fields)
    for fields, wanted in (({"If-None-Match": "*"}, 412), ({"If-Match": '"x"'}, 412), ({"If-Match": etag}, 200)):
        equal(s3.ask("PUT", "/bkt/copied", fields={"x-amz-copy-source": "bkt/c", **fields}).status, wanted, f"of the target: {fields}")
    equal(s3.ask("PUT", "/bkt/copied-anew", fields={"x-amz-copy-source": "bkt/c", "If-None-Match": "*"}).status, 200)


@case
def ranges():
    put("r", b"0123456789")
    put("empty")
    for text, wanted, body in (
            ("bytes=0-0", 206, b"0"), ("bytes=0-", 206, b"0123456789"), ("bytes=9-", 206, b"9"), ("bytes=9-100", 206, b"9"), ("bytes=-1", 206, b"9"),
            ("bytes=-100", 206, b"0123456789"), ("bytes=10-", 416, b""), ("bytes=-0", 416, b""), ("bytes=18446744073709551615-", 416, b""),
            ("bytes=18446744073709551616-", 416, b""), ("bytes=3-18446744073709551616", 206, b"3456789"), ("bytes=3-" + "9" * 40, 206, b"3456789"),
            ("bytes=-" + "9" * 40, 206, b"0123456789"), ("bytes=" + "9" * 40 + "-" + "9" * 41, 416, b""), ("bytes=" + "9" * 41 + "-" + "9" * 40, 200, None),
            ("bytes=5-4", 200, None), ("bytes=a-b", 200, None), ("bytes=", 200, None), ("bytes", 200, None), ("lines=1-2", 200, None),
            ("bytes=0-1,3-4", 200, None), ("bytes=--1", 200, None), ("bytes=1-2-3", 200, None), ("bytes=-", 200, None)):
        reply = s3.ask("GET", "/bkt/r", fields={"Range": text})
        equal(reply.status, wanted, text)
        if wanted == 416:
            equal((reply.code, reply.text("RangeRequested"), reply.text("ActualObjectSize"), reply.fields["content-range"]),
                  ("InvalidRange", text, "10", "bytes */10"), text)
        else:
            equal(reply.body, b"0123456789" if body is None else body, text)
            first = b"0123456789".index(reply.body)
            equal(reply.fields.get("content-range"), f"bytes {first}-{first + len(reply.body) - 1}/10" if wanted == 206 else None, text)
        head = s3.ask("HEAD", "/bkt/r", fields={"Range": text})
        equal((head.status, head.fields.get("content-range")), (reply.status, reply.fields.get("content-range")), f"HEAD {text}")
    equal(s3.ask("GET", "/bkt/empty", fields={"Range": "bytes=0-"}).both, (416, "InvalidRange"))
    for method in ("GET", "HEAD"):
        for query, fields in (("", {"Range": "bytes=-5"}), ("partNumber=1", {})):  # an empty range has no place to name
            reply = s3.ask(method, "/bkt/empty", query, fields=fields)
            equal((reply.status, reply.body, reply.fields.get("content-range")), (200, b"", None), f"{method} {query} {fields}")
    etag = s3.ask("HEAD", "/bkt/r").fields["etag"]
    equal(s3.ask("GET", "/bkt/r", fields={"Range": "bytes=0-1", "If-Range": etag}).body, b"01")
    equal(s3.ask("GET", "/bkt/r", fields={"Range": "bytes=0-1", "If-Range": '"x"'}).body, b"0123456789")
    asked = "response-content-type=text%2Fx&response-cache-control=no-cache&response-content-disposition=a%3B%20b"
    reply = s3.ask("GET", "/bkt/r", asked)
    equal([reply.fields[n] for n in ("content-type", "cache-control", "content-disposition")], ["text/x", "no-cache", "a; b"])


@case
def conditional_deletes():
    etag = put("d", b"1").fields["etag"]
    when = s3.ask("HEAD", "/bkt/d").fields["last-modified"]
    for fields in ({"If-Match": '"x"'}, {"x-amz-if-match-size": "2"}, {"x-amz-if-match-last-modified-time": PAST},
                   {"If-Match": etag, "x-amz-if-match-size": "2"}):
        equal(s3.ask("DELETE", "/bkt/d", fields=fields).both, (412, "PreconditionFailed"), fields)
    for fields in ({"x-amz-if-match-size": "some"}, {"x-amz-if-match-last-modified-time": "yesterday"}):
        equal(s3.ask("DELETE", "/bkt/d", fields=fields).both, (400, "InvalidArgument"), fields)
    equal(s3.ask("GET", "/bkt/d").body, b"1")
    batch = "<Delete><Object><Key>d</Key><ETag>%s</ETag></Object><Object><Key>e</Key></Object></Delete>"
    put("e", b"2")
    reply = s3.ask("POST", "/bkt", "delete", body=(batch % '"x"').encode())
    equal((reply.status, reply.text("Code"), s3.ask("GET", "/bkt/d").status, s3.ask("GET", "/bkt/e").status),
          (200, "PreconditionFailed", 200, 404), "one of a batch")
    reply = s3.ask("POST", "/bkt", "delete", body=(batch % etag).encode())
    equal((reply.status, reply.text("Code"), s3.ask("GET", "/bkt/d").status), (200, None, 404))
    put("d", b"1")
    equal(s3.ask("DELETE", "/bkt/d", fields={"If-Match": etag, "x-amz-if-match-size": "1",
                                             "x-amz-if-match-last-modified-time": s3.ask("HEAD", "/bkt/d").fields["last-modified"]}).status, 204)
    holds(when, "a time was told")


@case
def one_winner():
    def race(number):
        return s3.ask("PUT", "/bkt/once", body=b"%d" % number, fields={"If-None-Match": "*"}).status

    with ThreadPoolExecutor(16) as pool:
        equal(sorted(pool.map(race, range(32))), [200] + [412] * 31)
    etag = s3.ask("HEAD", "/bkt/once").fields["etag"]

    def swap(number):
        return s3.ask("PUT", "/bkt/once", body=b"next %d" % number, fields={"If-Match": etag}).status

    with ThreadPoolExecutor(16) as pool:
        equal(sorted(pool.map(swap, range(32))), [200] + [412] * 31)
    equal(s3.ask("PUT", "/bkt/never", body=b"", fields={"If-Match": etag}).both, (404, "NoSuchKey"))
    equal(s3.ask("PUT", "/bkt/once", body=b"", fields={"If-None-Match": etag}).both, (501, "NotImplemented"))


NAMES = ["a/1", "a/2", "b", "c/1/x", "c/2", "d e", "z", "ü"]


@case
def lists():
    for name in NAMES:
        put("l/" + urllib.parse.quote(name))
    keys, folded, of = listed("list-type=2&prefix=l/&delimiter=/&encoding-type=url")
    equal((keys, folded, of("KeyCount"), of("Prefix"), of("Delimiter"), of("EncodingType")),
          (["l/b", "l/d%20e", "l/z", "l/%C3%BC"], ["l/a/", "l/c/"], "6", "l/", "/", "url"))
    for version, token, start in (("list-type=2&", "continuation-token", "NextContinuationToken"), ("", "marker", "NextMarker")):
        for most in range(1, 8):
            after, all_keys, all_folded = "", [], []
            for _ in range(20):
                keys, folded, of = listed(f"{version}prefix=l/&delimiter=/&max-keys={most}" + (f"&{token}={quote(after)}" if after else ""))
                equal(len(keys) + len(folded) <= most, True)
                all_keys, all_folded, after = all_keys + keys, all_folded + folded, of(start)
                equal(of("IsTruncated"), "true" if after else "false")
                if not after:
                    break
            equal((all_keys, all_folded), (["l/b", "l/d e", "l/z", "l/ü"], ["l/a/", "l/c/"]), f"pages of {most}, {token}")
    equal(listed("list-type=2&prefix=l/&start-after=l/c/1/x")[0], ["l/c/2", "l/d e", "l/z", "l/ü"])
    equal(listed("list-type=2&prefix=l/&delimiter=/&start-after=l/c/")[1], [], "a prefix at the start itself is over")
    equal(listed("list-type=2&prefix=l/&delimiter=%2F1")[1], ["l/a/1", "l/c/1"], "a delimiter of two bytes")
    equal(listed("list-type=2&prefix=l/&delimiter=")[0], ["l/" + name for name in NAMES], "an empty delimiter is none")
    equal(listed("list-type=2&prefix=none")[:2], ([], []))
    for version in ("list-type=2&", "", "versions&"):
        reply = s3.ask("GET", "/bkt", version + "max-keys=0")
        root = ET.fromstring(reply.body)
        equal([root.findtext(SPACE + n) for n in ("MaxKeys", "IsTruncated")] + [len(root.findall(SPACE + "Contents"))], ["0", "false", 0], version)
        for most in ("-1", "x", "1e3", "99999999999"):
            equal(s3.ask("GET", "/bkt", f"{version}max-keys={most}").both, (400, "InvalidArgument"), f"{version}{most}")
        equal(listed(version + "max-keys=100000")[2]("MaxKeys"), "1000", version)
        equal(s3.ask("GET", "/bkt", version + "encoding-type=base64").both, (400, "InvalidArgument"))
    equal(s3.ask("GET", "/bkt", "uploads&encoding-type=base64").both, (400, "InvalidArgument"))
    for token in ("%21%21", "abc", "A" * 3000):
        equal(s3.ask("GET", "/bkt", f"list-type=2&continuation-token={token}").both, (400, "InvalidArgument"), token[:20])
    made_up = quote(base64.b64encode(b"l/c\xff\x00").decode())
    equal(listed(f"list-type=2&prefix=l/&continuation-token={made_up}")[0], ["l/d e", "l/z", "l/ü"], "a token is a place, and no more than that")
    equal(listed("list-type=2&prefix=l/&continuation-token=&start-after=l/d")[0], ["l/d e", "l/z", "l/ü"], "an empty token is none")
    equal(s3.ask("GET", "/bkt", "list-type=3").both, (400, "InvalidArgument"))
    owners = [len(ET.fromstring(s3.ask("GET", "/bkt", q).body).findall(f"{SPACE}Contents/{SPACE}Owner"))
              for q in ("list-type=2&prefix=l/", "list-type=2&prefix=l/&fetch-owner=true", "list-type=2&prefix=l/&fetch-owner=false", "prefix=l/")]
    equal(owners, [0, len(NAMES), 0, len(NAMES)])


@case
def versions_in_pages():
    s3.ask("PUT", "/many")
    for key in ("a", "b"):
        s3.ask("PUT", f"/many/{key}", body=b"null")
    equal(s3.ask("PUT", "/many", "versioning", body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>").status, 200)
    for number in range(3):
        for key in ("a", "b"):
            s3.ask("PUT", f"/many/{key}", body=b"%d" % number)
    equal(s3.ask("DELETE", "/many/b").fields["x-amz-delete-marker"], "true")
    whole = None
    for most in (1000, 1, 2, 3, 5):
        seen, after = [], ""
        for _ in range(20):
            root = ET.fromstring(s3.ask("GET", "/many", f"versions&max-keys={most}{after}").body)
            seen += [(e.tag[len(SPACE):], e.findtext(SPACE + "Key"), e.findtext(SPACE + "VersionId"), e.findtext(SPACE + "IsLatest"))
                     for e in root if e.tag in (SPACE + "Version", SPACE + "DeleteMarker")]
            if root.findtext(SPACE + "IsTruncated") == "false":
                break
            marker = [quote(root.findtext(SPACE + n)) for n in ("NextKeyMarker", "NextVersionIdMarker")]
            after = f"&key-marker={marker[0]}&version-id-marker={marker[1]}"
        whole = whole or seen
        equal(seen, whole, f"pages of {most}")
    equal([(t, k, latest) for t, k, _, latest in whole],
          [("Version", "a", "true")] + [("Version", "a", "false")] * 3 + [("DeleteMarker", "b", "true")] + [("Version", "b", "false")] * 4)
    equal([v for _, _, v, _ in whole if v == "null"], ["null", "null"])
    marker = next(v for t, _, v, _ in whole if t == "DeleteMarker")
    for method in ("GET", "HEAD"):
        gone = s3.ask(method, "/many/b", f"versionId={marker}")
        equal((gone.status, gone.fields["x-amz-delete-marker"], "last-modified" in gone.fields), (405, "true", True), method)
        equal(s3.ask(method, "/many/b").status, 404, method)
    equal(s3.ask("GET", "/many/a", "versionId=" + whole[0][2][:-1] + "x").both, (400, "InvalidArgument"), "an id that is none")
    equal(s3.ask("DELETE", "/many/b", f"versionId={marker}").status, 204)
    equal(s3.ask("GET", "/many/b").body, b"2", "without its marker it is there again")


CHECKSUMS = {  # of "123456789"
    "crc32": "cbf43926", "crc32c": "e3069283", "crc64nvme": "ae8b14860a799888", "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": hashlib.sha256(b"123456789").hexdigest(), "sha512": hashlib.sha512(b"123456789").hexdigest(),
    "md5": "25f9e794323b453885f5181f1b624d0b", "xxhash64": "8cb841db40e6ae83", "xxhash3": "72dcb18b67a17dff",
    "xxhash128": "33119477ede5dcd5e9716427681d5860"}


@case
def every_checksum():
    for name, digits in CHECKSUMS.items():
        field, right = f"x-amz-checksum-{name}", base64.b64encode(bytes.fromhex(digits)).decode()
        wrong = base64.b64encode(bytes(len(digits) // 2)).decode()
        equal(s3.ask("PUT", "/bkt/sum", body=b"123456789", fields={field: right}).fields.get(field), right, name)
        equal(s3.ask("PUT", "/bkt/sum", body=b"123456789", fields={field: wrong}).both, (400, "BadDigest"), name)
        equal(s3.ask("PUT", "/bkt/sum", body=b"123456789", fields={field: "AA=="}).both, (400, "InvalidRequest"), name)
        head = s3.ask("HEAD", "/bkt/sum", fields={"x-amz-checksum-mode": "ENABLED"}).fields
        equal((head[field], head["x-amz-checksum-type"]), (right, "FULL_OBJECT"), name)
        trailed = s3.ask("PUT", "/bkt/sum", payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER", body=f"9\r\n123456789\r\n0\r\n{field}:{right}\r\n\r\n".encode(),
                         fields={"x-amz-trailer": field, "x-amz-decoded-content-length": "9", "Content-Encoding": "aws-chunked"})
        equal((trailed.status, trailed.fields.get(field)), (200, right), f"{name} in a trailer")
        copied = s3.ask("PUT", "/bkt/sum2", fields={"x-amz-copy-source": "bkt/r", "x-amz-checksum-algorithm": name.upper()})
        equal(copied.status, 200, name)
        composite = name != "crc64nvme"
        begun = s3.ask("POST", "/bkt/sum", "uploads", body=b"", fields={"x-amz-checksum-algorithm": name.upper()})
        equal(begun.fields["x-amz-checksum-type"], "COMPOSITE" if composite else "FULL_OBJECT", name)
        id_ = begun.text("UploadId")
        etag = s3.ask("PUT", "/bkt/sum", f"partNumber=1&uploadId={id_}", body=b"123456789", fields={field: right}).fields["etag"]
        element = f"Checksum{name.upper()}"
        row = f"<Part><ETag>{etag}</ETag><PartNumber>1</PartNumber><{element}>{right}</{element}></Part>"
        done = s3.ask("POST", "/bkt/sum", f"uploadId={id_}", body=f"<CompleteMultipartUpload>{row}</CompleteMultipartUpload>".encode())
        equal((done.status, done.text(element).endswith("-1")), (200, composite), f"{name}: {done.body[:300]!r}")
        got = s3.ask("GET", "/bkt/sum", "partNumber=1", fields={"x-amz-checksum-mode": "ENABLED"})
        equal((got.body, got.fields[field]), (b"123456789", right), f"{name}: of the part")


@case
def what_peers_get_wrong():
    equal(s3.ask("PUT", "/peers").status, 200)
    for key in ("a", "b", "c", "d"):
        equal(s3.ask("PUT", f"/peers/{key}", body=b"x").status, 200)
    pages, after = [], ""
    while after is not None:
        page = ET.fromstring(s3.ask("GET", "/peers", "list-type=2&max-keys=2" + (f"&continuation-token={quote(after)}" if after else "")).body)
        pages.append(len(list(page.iter(SPACE + "Key"))))
        after = page.findtext(SPACE + "NextContinuationToken")
    equal(pages, [2, 2], "no empty page behind the last")
    quiet = s3.ask("POST", "/peers", "delete", body=b"<Delete><Quiet>true</Quiet><Object><Key>a</Key></Object><Object><Key>none</Key></Object></Delete>")
    equal((quiet.status, list(ET.fromstring(quiet.body))), (200, []), "a quiet batch tells of errors alone")
    status = "<VersioningConfiguration><Status>%s</Status></VersioningConfiguration>"
    equal(s3.ask("PUT", "/peers", "versioning", body=(status % "Enabled").encode()).status, 200)
    kept = s3.ask("PUT", "/peers/b", body=b"kept").fields["x-amz-version-id"]
    equal(s3.ask("PUT", "/peers", "versioning", body=(status % "Suspended").encode()).status, 200)
    equal(s3.ask("PUT", "/peers/b", body=b"null").fields.get("x-amz-version-id", "null"), "null")
    gone = s3.ask("DELETE", "/peers/b")
    equal((gone.status, gone.fields["x-amz-version-id"], gone.fields["x-amz-delete-marker"]), (204, "null", "true"))
    equal(s3.ask("GET", "/peers/b", f"versionId={kept}").body, b"kept", "a version with an id of its own stays")
    found, query = [], "versions&max-keys=1&prefix=b"
    for _ in range(4):
        page = ET.fromstring(s3.ask("GET", "/peers", query).body)
        found += [v.findtext(SPACE + "VersionId") for v in page if v.find(SPACE + "VersionId") is not None]
        if page.findtext(SPACE + "IsTruncated") == "false":
            break
        query = f"versions&max-keys=1&prefix=b&key-marker=b&version-id-marker={page.findtext(SPACE + 'NextVersionIdMarker')}"
    equal(found, ["null", kept], "one by one, to an end")


@case
def tags_and_attributes():
    put("tagged", b"x", x_amz_tagging="a=b")
    for fields, wanted in (({}, b"<Key>a</Key>"), ({"x-amz-tagging-directive": "REPLACE", "x-amz-tagging": "c=d"}, b"<Key>c</Key>"),
                           ({"x-amz-tagging-directive": "REPLACE"}, b"<TagSet></TagSet>")):
        equal(s3.ask("PUT", "/bkt/tags-of", fields={"x-amz-copy-source": "bkt/tagged", **fields}).status, 200, fields)
        holds(wanted in s3.ask("GET", "/bkt/tags-of", "tagging").body, f"tags of a copy with {fields}")
    put("t", b"t", x_amz_tagging="z=1&a=&m=x%20y")
    for _ in range(2):
        reply = s3.ask("GET", "/bkt/t", "tagging")
        equal([(t.findtext(SPACE + "Key"), t.findtext(SPACE + "Value")) for t in ET.fromstring(reply.body).iter(SPACE + "Tag")],
              [("a", ""), ("m", "x y"), ("z", "1")], "in the order of their keys")
        equal(s3.ask("GET", "/bkt/t").fields["x-amz-tagging-count"], "3")
        text = "".join(f"<Tag><Key>{k}</Key><Value>{v}</Value></Tag>" for k, v in (("z", "1"), ("m", "x y"), ("a", "")))
        equal(s3.ask("PUT", "/bkt/t", "tagging", body=f"<Tagging><TagSet>{text}</TagSet></Tagging>".encode()).status, 200)
    id_ = s3.ask("POST", "/bkt/p", "uploads", body=b"", fields={"x-amz-checksum-algorithm": "SHA256"}).text("UploadId")
    digest = hashlib.sha256(b"p").digest()
    said = base64.b64encode(digest).decode()
    etag = s3.ask("PUT", "/bkt/p", f"uploadId={id_}&partNumber=1", body=b"p", fields={"x-amz-checksum-sha256": said}).fields["etag"]
    done = s3.ask("POST", "/bkt/p", f"uploadId={id_}", body=f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag>"
                  f"<ChecksumSHA256>{said}</ChecksumSHA256></Part></CompleteMultipartUpload>".encode())
    whole = base64.b64encode(hashlib.sha256(digest).digest()).decode() + "-1"
    equal((done.status, done.text("ChecksumSHA256")), (200, whole))
    equal(s3.ask("HEAD", "/bkt/p", fields={"x-amz-checksum-mode": "ENABLED"}).fields["x-amz-checksum-sha256"], whole)
    equal(s3.ask("GET", "/bkt/p", "attributes", fields={"x-amz-object-attributes": "Checksum"}).text("ChecksumSHA256"), whole)


@case
def names_of_buckets():
    for name in ("ab", "a" * 64, "UPPER", "under_score", "-dash", "dash-", ".dot", "dot.", "two..dots", "192.168.0.1", "white%20space"):
        equal(s3.ask("PUT", f"/{name}").both, (400, "InvalidBucketName"), name)
        equal(s3.ask("GET", f"/{name}").both, (404, "NoSuchBucket"), name)
    for name in ("abc", "a" * 63, "with.dots", "1.2.3.4.5", "0day"):
        equal(s3.ask("PUT", f"/{name}").both, (200, ""), name)


@case
def fields_that_are_kept():
    kept = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "max-age=1", "Content-Disposition": 'attachment; filename="a"',
            "Content-Encoding": "deflate, gzip", "Content-Language": "de", "Expires": FUTURE, "x-amz-meta-a": "b", "x-amz-meta-Upper": "C"}
    equal(s3.ask("PUT", "/bkt/f", body=b"f", fields=kept).status, 200)
    for method in ("GET", "HEAD"):
        reply = s3.ask(method, "/bkt/f")
        equal({n: reply.fields.get(n.lower()) for n in kept}, kept, method)
        equal((reply.fields["content-length"], reply.fields["accept-ranges"], reply.fields["etag"]),
              ("1", "bytes", f'"{hashlib.md5(b"f").hexdigest()}"'), method)
        holds(re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", reply.fields["last-modified"]), "a date of HTTP")
        holds(reply.fields["x-amz-request-id"], "a request's id")
    many = {f"x-amz-meta-n{i}": "v" for i in range(80)}
    equal(s3.ask("PUT", "/bkt/f", body=b"f", fields=many).status, 200)
    for method in ("GET", "HEAD"):
        equal({n: v for n, v in s3.ask(method, "/bkt/f").fields.items() if n.startswith("x-amz-meta-")}, many, method)
    missing = s3.ask("HEAD", "/bkt/none")
    equal((missing.status, missing.body), (404, b""), "an error of HEAD has no body")


@case
def a_client_with_many_connections_waits_and_is_not_refused():
    """All of http.buffered_max for one client is 1 MiB here, and 120 connections want more than 100 times as much."""
    small = Lake(None, "--s3", "127.0.0.1:0", "--set", "http.buffered_max=2M")
    raw = Raw(small)
    raw.ask("PUT", "/bkt")
    body = bytes(range(256)) * 4096
    sizes = {"large": len(body), "small": 50000}
    for name, size in sizes.items():
        equal(raw.ask("PUT", f"/bkt/{name}", body=body[:size]).status, 200)
    wires = [raw.open() for _ in range(120)]
    for name, size in sizes.items():
        for wire in wires:
            wire.send(raw.head("GET", f"/bkt/{name}")[0])
        for number, wire in enumerate(wires):
            reply = wire.reply()
            equal((reply.status, reply.code, reply.body == body[:size]), (200, "", True), f"GET {name} of connection {number}")
    heads = [raw.head("PUT", f"/bkt/put-{number}", body=body)[0] for number in range(len(wires))]
    for wire, head in zip(wires, heads):
        wire.send(head + body[:100000])
    for wire in wires:
        wire.send(body[100000:])
    for number, wire in enumerate(wires):
        equal(wire.reply("PUT").both, (200, ""), f"PUT of connection {number}")
        wire.close()
    holds(raw.ask("GET", "/bkt/put-7").body == body, "the bytes that were put")
    equal(small.stop(), 0)


main()
