"""What must not get through the S3 door: signatures, bodies, trailers, XML, uploads that are left behind.

Each row has S3's own code; behind each that failed the key is looked for: nothing half visible."""
import atexit
import base64
import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
import urllib.parse
import xml.etree.ElementTree as ET
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import Lake, case, equal, holds, main  # noqa: E402
from raw import SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED, UNSIGNED_TRAILER, Raw  # noqa: E402

lake = Lake(None, "--s3", "127.0.0.1:0")
s3 = Raw(lake)
SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
NOW = time.time()


def worked():
    """Processor seconds of the server: what it takes on a busy machine too."""
    fields = Path(f"/proc/{lake.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answers(rows, bucket="bkt"):
    """(name, call, status, code): each answers in S3's XML, with a request id, and leaves no object behind."""
    for name, call, *wanted in rows:
        reply = call()
        equal(reply.both, tuple(wanted), f"{name}: {reply.body[:300]!r}: answer")
        if reply.status >= 400 and reply.body:
            root = ET.fromstring(reply.body)
            equal(root.tag, "Error", f"{name}: root of the answer")
            equal(reply.fields["content-type"], "application/xml", f"{name}: type")
            holds(root.findtext("Message") and root.findtext("RequestId"), f"{name}: a message and an id")
        left = s3.ask("GET", f"/{bucket}/k")
        equal(left.both, (404, "NoSuchKey"), f"{name}: what is left behind")


def change(field, pattern, to):
    """Of a field, after the signature was made."""
    def act(fields):
        fields[field] = re.sub(pattern, to, fields[field])
    return act


def put(**fields):
    def act(given):
        for name, value in fields.items():
            given[name.replace("_", "-")] = value
    return act


def signed(**how):
    return lambda: s3.ask("PUT", "/bkt/k", body=b"x", **how)


def shifted(seconds):
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW + seconds))


@case
def bad_signatures():
    equal(s3.ask("PUT", "/bkt").status, 200)
    other = Raw(lake)
    other.secret = "x" * 40
    mismatch, malformed = (403, "SignatureDoesNotMatch"), (400, "AuthorizationHeaderMalformed")
    hexadecimal = hashlib.sha256(b"x").hexdigest()
    answers([
        ("another secret", lambda: other.ask("PUT", "/bkt/k", body=b"x"), *mismatch),
        ("an access key that is none", signed(access="TARNNONE"), 403, "InvalidAccessKeyId"),
        ("the date changed", signed(after=put(x_amz_date=shifted(60 if NOW % 86_400 < 43_200 else -60))), *mismatch),  # on the same day
        ("the host changed", signed(after=put(Host="elsewhere")), *mismatch),
        ("a field that is not signed", signed(after=put(x_amz_meta_a="b")), 403, "AccessDenied"),
        ("the host is not signed", signed(signed=["x-amz-content-sha256", "x-amz-date"]), 403, "AccessDenied"),
        ("another region", signed(region="eu-west-1"), *malformed),
        ("another service", signed(service="ec2"), *malformed),
        ("another end of the scope", signed(terminal="aws5_request"), *malformed),
        ("another day", signed(day="20200101"), *malformed),
        ("16 minutes ago", signed(when=NOW - 960), 403, "RequestTimeTooSkewed"),
        ("16 minutes ahead", signed(when=NOW + 960), 403, "RequestTimeTooSkewed"),
        ("1970", signed(when=1), 403, "RequestTimeTooSkewed"),
        ("no date", signed(after=put(x_amz_date=None)), 403, "AccessDenied"),
        ("no such date", signed(after=put(x_amz_date="yesterday")), 403, "AccessDenied"),
        ("version 2", signed(after=put(Authorization="AWS abc:def=")), 400, "InvalidRequest"),
        ("a bearer", signed(after=put(Authorization="Bearer abc")), 400, "InvalidArgument"),
        ("empty", signed(after=put(Authorization="")), 400, "InvalidArgument"),
        ("its name alone", signed(after=put(Authorization="AWS4-HMAC-SHA256")), 400, "InvalidArgument"),
        ("no credential", signed(after=change("Authorization", "Credential=[^,]*, ", "")), *malformed),
        ("no list of fields", signed(after=change("Authorization", "SignedHeaders=[^,]*, ", "")), *malformed),
        ("no signature", signed(after=change("Authorization", ", Signature=.*", "")), *malformed),
        ("a digit too few", signed(after=change("Authorization", ".$", "")), *mismatch),
        ("a digit that is none", signed(after=change("Authorization", ".$", "z")), *mismatch),
        ("a digit changed", signed(after=lambda f: f.update(
            Authorization=f["Authorization"][:-1] + ("1" if f["Authorization"][-1] == "0" else "0"))), *mismatch),
        ("nobody", signed(after=put(Authorization=None)), 403, "AccessDenied"),
        ("a hash that is none", signed(payload="nonsense"), 400, "InvalidArgument"),
        ("no hash", signed(after=put(x_amz_content_sha256=None)), 400, "InvalidRequest"),
        ("other bytes", lambda: s3.ask("PUT", "/bkt/k", body=lambda seed: b"y", payload=hexadecimal),
         400, "XAmzContentSHA256Mismatch"),
        ("other bytes, none", lambda: s3.ask("PUT", "/bkt/k", body=b"", payload=hexadecimal), 400, "XAmzContentSHA256Mismatch"),
        ("a token that is none", signed(fields={"x-amz-security-token": "garbage"}), 400, "InvalidToken"),
        ("twice: field and query", lambda: s3.ask("PUT", "/bkt/k", s3.presign("PUT", "/bkt/k"), body=b"x"), 400, "InvalidArgument"),
    ])


@case
def bad_signed_urls():
    def of(path="/bkt/k", method="GET", to=None, **how):
        return lambda: s3.plain(method, to or path, s3.presign("GET", path, **how))

    query = "AuthorizationQueryParametersError"
    answers([
        ("over", of(when=NOW - 100), 403, "AccessDenied"),
        ("not yet", of(when=NOW + 1000), 403, "AccessDenied"),
        ("ends before it begins", of(expires=-1), 400, query),
        ("more than a week", of(expires=604801), 400, query),
        ("an end that is none", of(expires="soon"), 400, query),
        ("another key", of(to="/bkt/other"), 403, "SignatureDoesNotMatch"),
        ("another method", of(method="DELETE"), 403, "SignatureDoesNotMatch"),
        ("another host", of(host="elsewhere"), 403, "SignatureDoesNotMatch"),
        ("a parameter more", lambda: s3.plain("GET", "/bkt/k", s3.presign("GET", "/bkt/k") + "&versionId=null"),
         403, "SignatureDoesNotMatch"),
        ("a parameter less", lambda: s3.plain("GET", "/bkt/k", s3.presign("GET", "/bkt/k").replace("X-Amz-Date", "X-Amz-Dat")),
         400, query),
        ("version 2", lambda: s3.plain("GET", "/bkt/k", "AWSAccessKeyId=a&Expires=1&Signature=b"), 400, "InvalidRequest"),
        ("an access key that is none", of(access="TARNNONE"), 403, "InvalidAccessKeyId"),
    ])


A, B = b"a" * 8192, b"b" * 100


def crc(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


CRC_LINE = f"x-amz-checksum-crc32:{crc(A + B)}"


def chunked(body, length=8292, payload=SIGNED_CHUNKS, **fields):
    said = {"x-amz-decoded-content-length": None if length is None else str(length)}
    return lambda: s3.ask("PUT", "/bkt/k", payload=payload, body=body,
                          fields=said | {name.replace("_", "-"): value for name, value in fields.items()})


def trailed(body, length=8292, trailer="x-amz-checksum-crc32", payload=SIGNED_TRAILER, **fields):
    return chunked(body if callable(body) else lambda seed: body, length, payload, x_amz_trailer=trailer, **fields)


def unsigned(*pieces, trailer=b""):
    return b"".join(b"%x\r\n" % len(p) + p + b"\r\n" for p in pieces) + b"0\r\n" + trailer + b"\r\n"


@case
def bad_chunks():
    incomplete, mismatch = (400, "IncompleteBody"), (403, "SignatureDoesNotMatch")

    def bare(body, length=16):
        return trailed(body, length, payload=UNSIGNED_TRAILER)

    def swapped(seed):
        first, second = seed.chunk(A), seed.chunk(A[::-1].upper())
        return second + first + seed.chunk(b"") + b"\r\n"

    def flipped(seed):
        body = seed.body(A, B)
        return body[:30] + (b"0" if body[30:31] != b"0" else b"1") + body[31:]

    answers([
        ("a byte changed", chunked(lambda s: s.body(A, B).replace(b"bbb", b"bbc", 1)), *mismatch),
        ("a signature changed", chunked(flipped), *mismatch),
        ("chunks change places", chunked(swapped, 16384), *mismatch),
        ("a chunk left out", chunked(lambda s: (s.chunk(A), s.body(A))[1], 8192), *mismatch),
        ("no last chunk", chunked(lambda s: s.chunk(A) + s.chunk(B)), *incomplete),
        ("cut inside of a chunk", chunked(lambda s: s.body(A, B)[:5000]), *incomplete),
        ("cut inside of a chunk's head", chunked(lambda s: s.body(A, B)[:40]), *incomplete),
        ("nothing at all", chunked(lambda s: b""), *incomplete),
        ("more was said", chunked(lambda s: s.body(A, B), 8293), *incomplete),
        ("less was said", chunked(lambda s: s.body(A, B), 8291), *incomplete),
        ("a chunk says more", chunked(lambda s: s.body(A, B).replace(b"2000;", b"2001;")), *mismatch),
        ("nothing was said", chunked(lambda s: s.body(A, B), None), 411, "MissingContentLength"),
        ("no number was said", chunked(lambda s: s.body(A, B), "many"), 411, "MissingContentLength"),
        ("less than nothing", chunked(lambda s: s.body(A, B), -1), 411, "MissingContentLength"),
        ("more than an object", chunked(lambda s: s.body(A, B), (5 << 30) + 1), 400, "EntityTooLarge"),
        ("a size of C", bare(b"0x10\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n"), *incomplete),
        ("a size below nothing", bare(b"-10\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n"), *incomplete),
        ("a size with a sign", bare(b"+10\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n"), *incomplete),
        ("a size that wraps", bare(b"10000000000000010\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n"), *incomplete),
        ("a blank before the size", bare(b" 10\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n"), *incomplete),
        ("an extension", bare(b"10;a=b\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n"), *incomplete),
        ("lines that end in LF", bare(b"10\n" + b"a" * 16 + b"\n0\n\n"), *incomplete),
        ("small chunks before the last", bare(unsigned(B, A), 8292), 403, "InvalidChunkSizeError"),
        ("bytes behind the last chunk", chunked(lambda s: s.body(A, B) + b"GET / HTTP/1.1\r\n\r\n"), 400, "InvalidRequest"),
        ("chunks without signatures", chunked(lambda s: unsigned(A, B)), *incomplete),
        ("signatures that are not asked for", bare(b"", 8292), *incomplete),
        ("not in chunks at all", chunked(lambda s: A + B), *incomplete),
    ])


@case
def bad_trailers():
    malformed, invalid = (400, "MalformedTrailerError"), (400, "InvalidRequest")
    line = CRC_LINE.encode() + b"\r\n"

    def bare(end, **how):
        return trailed(unsigned(A, B, trailer=end), payload=UNSIGNED_TRAILER, **how)

    answers([
        ("its value changed", trailed(lambda s: s.body(A, B, trailer=CRC_LINE).replace(crc(A + B).encode(), b"AAAAAA==")),
         403, "SignatureDoesNotMatch"),
        ("its signature changed", trailed(lambda s: re.sub(b"(trailer-signature:.{9}).", rb"\1x", s.body(A, B, trailer=CRC_LINE))),
         403, "SignatureDoesNotMatch"),
        ("its signature missing", trailed(lambda s: s.body(A, B)[:-2] + line + b"\r\n"), 400, "IncompleteBody"),
        ("wrong, and signed", trailed(lambda s: s.body(A, B, trailer="x-amz-checksum-crc32:AAAAAA==")), 400, "BadDigest"),
        ("wrong", bare(b"x-amz-checksum-crc32:AAAAAA==\r\n"), 400, "BadDigest"),
        ("missing", bare(b""), *malformed),
        ("another one", bare(b"x-amz-checksum-sha1:AAAAAA==\r\n"), *malformed),
        ("twice", bare(line + line), *malformed),
        ("no base64", bare(b"x-amz-checksum-crc32:!!!\r\n"), *invalid),
        ("of another length", bare(b"x-amz-checksum-crc32:AAAA\r\n"), *invalid),
        ("two are announced", bare(line, trailer="x-amz-checksum-crc32,x-amz-checksum-sha1"), *invalid),
        ("one that there is not", bare(line, trailer="x-amz-meta-a"), *invalid),
        ("a header says it too", bare(line, x_amz_checksum_crc32=crc(A + B)), *invalid),
        ("not announced", chunked(lambda s: unsigned(A, B, trailer=line), payload=UNSIGNED_TRAILER), *malformed),
        ("longer than trailers are", bare(b"x-amz-checksum-crc32:" + b"A" * 9000 + b"\r\n"), *malformed),
    ])


@case
def bad_digests_and_lengths():
    def of(body=B, **fields):
        return lambda: s3.ask("PUT", "/bkt/k", body=body, fields={n.replace("_", "-"): v for n, v in fields.items()})

    sha = base64.b64encode(hashlib.sha256(B).digest()).decode()
    answers([
        ("the MD5 of others", of(Content_MD5=base64.b64encode(hashlib.md5(A).digest()).decode()), 400, "BadDigest"),
        ("an MD5 that is none", of(Content_MD5="abc"), 400, "InvalidDigest"),
        ("the checksum of others", of(x_amz_checksum_crc32=crc(A)), 400, "BadDigest"),
        ("a checksum that is none", of(x_amz_checksum_crc32="abc"), 400, "InvalidRequest"),
        ("two checksums", of(x_amz_checksum_crc32=crc(B), x_amz_checksum_sha256=sha), 400, "InvalidRequest"),
        ("one that is not served", of(x_amz_checksum_md4="AAAA"), 400, "InvalidRequest"),
        ("said and not sent", of(x_amz_sdk_checksum_algorithm="CRC32"), 400, "InvalidRequest"),
        ("no length", of(b"", Content_Length=None), 411, "MissingContentLength"),
        ("more than an object", lambda: s3.ask("PUT", "/bkt/k", payload=UNSIGNED, fields={"Content-Length": str((5 << 30) + 1)}),
         400, "EntityTooLarge"),
        ("a key too long", lambda: s3.ask("PUT", "/bkt/" + "k" * 1025, body=b"x"), 400, "KeyTooLongError"),
        ("too many words", of(**{f"x_amz_meta_{i}": "v" * 200 for i in range(12)}), 400, "MetadataTooLarge"),
    ])


@case
def requests_that_are_two():
    """Whatever frames a body in two ways is refused, and what stands behind it is not heard."""
    behind = b"GET /bkt/behind HTTP/1.1\r\nHost: x\r\n\r\n"
    for name, more in (("a length and chunks", {"Content-Length": "5", "Transfer-Encoding": "chunked"}),
                       ("a length that is none", {"Content-Length": "1e2"}), ("below nothing", {"Content-Length": "-1"}),
                       ("lists", {"Content-Length": "5, 6"}), ("an encoding that is none", {"Transfer-Encoding": "xchunked"}),
                       ("chunked not last", {"Transfer-Encoding": "chunked, identity"})):
        wire = s3.open()
        head, body = s3.head("PUT", "/bkt/k", body=b"0\r\n\r\n", fields=more)
        wire.send(head + body + behind)
        reply = wire.reply()
        holds(reply.code in ("BadRequest", "NotImplemented"), f"{name}: {reply.both}")
        ET.fromstring(reply.body)
        rest = b""
        try:
            while more_bytes := wire.socket.recv(65536):
                rest += more_bytes
        except ConnectionError:
            pass
        equal(wire.ahead + rest, b"", f"{name}: answers to what stands behind")
        equal(s3.ask("GET", "/bkt/k").code, "NoSuchKey", name)


@case
def what_is_no_request():
    def sent(data):
        wire = s3.open()
        wire.send(data)
        return wire.reply()

    for data, *wanted in (
            (b"GARBAGE\r\n\r\n", 400, "BadRequest"), (b"GET / HTTP/1.1\r\n\r\n", 400, "BadRequest"),
            (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "BadRequest"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 400, "RequestHeaderSectionTooLarge"),
            (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400, "InvalidURI"),
            (b"PATCH /bkt/k HTTP/1.1\r\nHost: a\r\n\r\n", 405, "MethodNotAllowed"),
            (b"PUT /bkt/k HTTP/1.1\r\nHost: a\r\nContent-Length: 7000000000\r\n\r\n", 400, "EntityTooLarge"),
            (b"GET /bkt/%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, None)):
        reply = sent(data)
        equal(reply.status, wanted[0], f"{data[:40]!r}: {reply.body[:200]!r}: status")
        equal(reply.fields["content-type"], "application/xml", f"{data[:40]!r}: type")
        equal(ET.fromstring(reply.body).findtext("Code"), wanted[1] or reply.code, f"{data[:40]!r}: code")


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


@case
def bad_documents():
    ask = "<Delete><Object><Key>%s</Key></Object></Delete>"
    documents = {
        "grows": b'<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;"><!ENTITY c "&b;&b;&b;">]>' + (ask % "&c;").encode(),
        "reads files": b'<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + (ask % "&a;").encode(),
        "parameters": b'<!DOCTYPE d [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]>' + (ask % "a").encode(),
        "an entity that is none": (ask % "&nbsp;").encode(), "a type": b"<!DOCTYPE Delete>" + (ask % "a").encode(),
        "deep": b"<Delete>" + b"<a>" * 20_000, "no UTF-8": ask.encode() % b"\xff", "NUL": ask.encode() % b"a\0b",
        "a reference to nothing": (ask % "&#x0;").encode(), "cut": (ask % "a").encode()[:-9], "another root": b"<Remove/>",
        "nothing": b"", "two roots": (ask % "a").encode() * 2, "no keys": b"<Delete/>", "an empty key": (ask % "").encode(),
        "1,001 keys": b"<Delete>" + b"<Object><Key>a</Key></Object>" * 1001 + b"</Delete>",
    }
    for name, body in documents.items():
        reply = s3.ask("POST", "/bkt", "delete", body=body, fields={"Content-MD5": md5(body)})
        equal(reply.both, (400, "MalformedXML"), f"{name}: {reply.body[:200]!r}")
    for query, method, path in (("tagging", "PUT", "/bkt"), ("cors", "PUT", "/bkt"), ("versioning", "PUT", "/bkt"), ("", "PUT", "/other")):
        for name in ("grows", "reads files", "deep", "cut", "another root", "no UTF-8"):
            reply = s3.ask(method, path, query, body=documents[name])
            equal(reply.both, (400, "MalformedXML"), f"{query or 'create'}, {name}")
    large = b"<Delete>" + b" " * (5 << 20) + b"</Delete>"
    equal(s3.ask("POST", "/bkt", "delete", body=large).both, (400, "MaxMessageLengthExceeded"), "a large one")
    attributes = b"<Delete " + b" ".join(b"a%d='b'" % i for i in range(150_000)) + b"/>"
    before = worked()
    equal(s3.ask("POST", "/bkt", "delete", body=attributes).both, (400, "MalformedXML"), "many attributes")
    holds(worked() - before < 3, "many attributes are refused at once")


def upload(key="k"):
    return s3.ask("POST", f"/bkt/{key}", "uploads", body=b"").text("UploadId")


def uploads():
    return [u.findtext(SPACE + "UploadId") for u in ET.fromstring(s3.ask("GET", "/bkt", "uploads").body).iter(SPACE + "Upload")]


def parts_xml(parts):
    return ("<CompleteMultipartUpload>" + "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in parts) +
            "</CompleteMultipartUpload>").encode()


@case
def uploads_left_behind():
    """At each step the client goes away; the upload is listed, can be aborted, and the key was never there."""
    def begun(id_):
        pass

    def half_a_part(id_):
        wire = s3.open()
        head, body = s3.head("PUT", "/bkt/k", f"partNumber=1&uploadId={id_}", body=A * 20)
        wire.send(head + body[:70_000])
        wire.close()

    def a_part(id_):
        equal(s3.ask("PUT", "/bkt/k", f"partNumber=1&uploadId={id_}", body=A).status, 200)

    def a_part_with_another_hash(id_):
        reply = s3.ask("PUT", "/bkt/k", f"partNumber=1&uploadId={id_}", body=lambda s: B, payload=hashlib.sha256(A).hexdigest())
        equal(reply.both, (400, "XAmzContentSHA256Mismatch"))

    def half_a_list(id_):
        a_part(id_)
        wire = s3.open()
        head, body = s3.head("POST", "/bkt/k", f"uploadId={id_}", body=parts_xml([(1, hashlib.md5(A).hexdigest())]))
        wire.send(head + body[:-5])
        wire.close()

    def a_wrong_list(id_):
        a_part(id_)
        for body, code in ((b"<CompleteMultipartUpload>", "MalformedXML"), (parts_xml([(1, "0" * 32)]), "InvalidPart"),
                           (parts_xml([(2, hashlib.md5(A).hexdigest())]), "InvalidPart"),
                           (parts_xml([(4294967297, hashlib.md5(A).hexdigest())]), "InvalidPart"),
                           (parts_xml([(0, hashlib.md5(A).hexdigest())]), "InvalidArgument"),
                           (parts_xml([(1, hashlib.md5(A).hexdigest())] * 2), "InvalidPartOrder")):
            equal(s3.ask("POST", "/bkt/k", f"uploadId={id_}", body=body).both, (400, code), body[:90])

    for step in (begun, half_a_part, a_part, a_part_with_another_hash, half_a_list, a_wrong_list):
        id_ = upload()
        step(id_)
        equal(s3.ask("GET", "/bkt/k").both, (404, "NoSuchKey"), f"{step.__name__}: the key")
        equal(uploads(), [id_], f"{step.__name__}: uploads")
        equal(s3.ask("GET", "/bkt/other", f"uploadId={id_}").both, (404, "NoSuchUpload"), "under another key")
        equal(s3.ask("DELETE", "/bkt/k", f"uploadId={id_}").status, 204)
        for method, query in (("GET", ""), ("PUT", "&partNumber=1"), ("POST", ""), ("DELETE", "")):
            reply = s3.ask(method, "/bkt/k", f"uploadId={id_}{query}", body=parts_xml([(1, "a")]) if method == "POST" else b"")
            equal(reply.both, (404, "NoSuchUpload"), f"{step.__name__}: {method} behind the abort")
    equal(uploads(), [])


@case
def bodies_that_break_off():
    for name, cut in (("inside of its head", -2), ("inside of its body", 50_000), ("before its last byte", 81_919)):
        wire = s3.open()
        head, body = s3.head("PUT", "/bkt/k", body=A * 10)
        wire.send(head[:cut] if cut < 0 else head + body[:cut])
        wire.close()
        equal(s3.ask("GET", "/bkt/k").both, (404, "NoSuchKey"), name)
    equal(s3.ask("PUT", "/bkt/k", body=B).status, 200)
    wire = s3.open()
    head, body = s3.head("PUT", "/bkt/k", body=A * 10)
    wire.send(head + body[:50_000])
    wire.close()
    equal(s3.ask("GET", "/bkt/k").body, B, "the object that it would have replaced")
    equal(s3.ask("DELETE", "/bkt/k").status, 204)


@case
def ten_thousand_parts():
    id_, count = upload(), 10_000

    def send(first):
        wire = s3.open()
        for number in range(first, count + 1, 8):
            head, body = s3.head("PUT", "/bkt/k", f"partNumber={number}&uploadId={id_}", body=b"%d" % number)
            wire.send(head + body)
            equal(wire.reply().status, 200, f"part {number}")
        wire.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(1, 9)))
    for number in (0, 10_001, "x"):
        equal(s3.ask("PUT", "/bkt/k", f"partNumber={number}&uploadId={id_}", body=b"x").both, (400, "InvalidArgument"), number)
    after, seen = 0, []
    while True:
        page = ET.fromstring(s3.ask("GET", "/bkt/k", f"uploadId={id_}&part-number-marker={after}").body)
        seen += [int(part.findtext(SPACE + "PartNumber")) for part in page.iter(SPACE + "Part")]
        after = page.findtext(SPACE + "NextPartNumberMarker")
        if page.findtext(SPACE + "IsTruncated") == "false":
            break
    equal(seen, list(range(1, count + 1)), "parts in their order")
    names = [(n, f"&quot;{hashlib.md5(b'%d' % n).hexdigest()}&quot;") for n in range(1, count + 1)]
    before = worked()
    equal(s3.ask("POST", "/bkt/k", f"uploadId={id_}", body=parts_xml(names)).both, (400, "EntityTooSmall"), "small ones")
    holds(worked() - before < 10, "10,000 parts are compared in one walk")
    equal(s3.ask("POST", "/bkt/k", f"uploadId={id_}", body=parts_xml(names + [(10_001, "a")])).both, (400, "MalformedXML"), "10,001")
    equal(s3.ask("POST", "/bkt/k", f"uploadId={id_}", body=parts_xml(names[:-1] + [(10_000, "a")])).both, (400, "InvalidPart"), "the last")
    equal(s3.ask("DELETE", "/bkt/k", f"uploadId={id_}").status, 204)
    equal(s3.ask("GET", "/bkt/k").both, (404, "NoSuchKey"))


KEYS = [b"a//b", b"..", b"../..", b"./z", b".", b"/lead", b"//", b"p", b"p/q", b"p/", b"%2F", b"%", b"a%00b", b"\n", b"a\r\nb", b"\xff\xfe",
        b"\x01\x7f", b"a\0b", "ü ß+&".encode(), b"?x=y", b"#f", b"x" * 1024, b"/".join([b"y" * 255] * 4), b" lead", b"trail ",
        b"<&>\"'", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xef\xbf\xbf", b"a" * 700 + b"/" + b"b" * 323]


def path_of(key):
    return "/keys/" + urllib.parse.quote_from_bytes(key, safe="/-_.~")


@case
def keys_are_bytes():
    s3.ask("PUT", "/keys")
    for key in KEYS:
        equal(s3.ask("PUT", path_of(key), body=key).both, (200, ""), key)
    for key in KEYS:
        equal(s3.ask("GET", path_of(key)).body, key, key)
        equal(s3.ask("HEAD", path_of(key)).fields["etag"], f'"{hashlib.md5(key).hexdigest()}"', key)
    listed, after = [], ""
    while after is not None:
        page = ET.fromstring(s3.ask("GET", "/keys", "encoding-type=url&list-type=2&max-keys=7" +
                                    (f"&continuation-token={urllib.parse.quote(after, safe='')}" if after else "")).body)
        listed += [urllib.parse.unquote_to_bytes(key.text.replace("+", " ")) for key in page.iter(SPACE + "Key")]
        after = page.findtext(SPACE + "NextContinuationToken")
    equal(listed, sorted(KEYS), "the list, in the order of bytes")
    plain = ET.fromstring(s3.ask("GET", "/keys", "list-type=2").body)
    equal(len(list(plain.iter(SPACE + "Key"))), len(KEYS), "a list that is not encoded is XML all the same")
    for key in KEYS:
        source = "keys/" + urllib.parse.quote_from_bytes(key, safe="")
        equal(s3.ask("PUT", "/keys/copy", fields={"x-amz-copy-source": source}).both, (200, ""), key)
        equal(s3.ask("GET", "/keys/copy").body, key, f"{key}: its copy")
        equal(s3.ask("DELETE", path_of(key)).status, 204, key)
    equal(s3.ask("GET", path_of(b"p")).both, (404, "NoSuchKey"))


def has_ids(reply, what):
    """Both of AWS's fields stand in every answer, those of the HTTP core too; the XML has them again."""
    ids = [reply.fields.get("x-amz-request-id"), reply.fields.get("x-amz-id-2")]
    holds(all(ids), f"{what}: {reply.fields}")
    if reply.status >= 400 and reply.body:
        root = ET.fromstring(reply.body)
        equal([root.findtext("RequestId"), root.findtext("HostId")], ids, what)


@case
def what_the_core_refuses_has_ids():
    line = b"PUT /bkt/k HTTP/1.1\r\nHost: x\r\n"
    for name, sent, status in (("no request", b"\x16\x03\x01 \r\n\r\n", 400), ("no version", b"GET / HTTP/9.1\r\nHost: x\r\n\r\n", 505),
                               ("two lengths", line + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
                               ("a coding that there is not", line + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
                               ("a target that is too long", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
                               ("a head that is too long", line + b"".join(b"X-%d: %s\r\n" % (i, b"v" * 900) for i in range(200)) + b"\r\n", 400),
                               ("a method that there is not", b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501)):
        wire = s3.open()
        try:
            wire.send(sent)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before the end
        reply = wire.reply()
        equal(reply.status, status, f"{name}: {reply.body[:300]!r}")
        equal(reply.fields["content-type"], "application/xml", name)
        has_ids(reply, name)
        wire.close()
    for path, query in (("/none/k", ""), ("/bkt", "acl=x&unknown"), ("/bkt", "")):
        has_ids(s3.ask("GET", path, query), path)
    has_ids(s3.plain("GET", "/bkt/k"), "not signed")
    has_ids(s3.ask("HEAD", "/bkt/none"), "without a body")


def served(*settings, data=None):
    words = [word for setting in settings for word in ("--set", setting)]
    made = Lake(data, "--s3", "127.0.0.1:0", *words)
    return made, Raw(made)


@case
def the_longest_keys_there_are():
    """Of zeros, in a bucket of the longest name: two uploads of one key stay two."""
    bucket, zeros = "b" * 63, "%00" * 1024
    equal(s3.ask("PUT", f"/{bucket}").status, 200)
    ids = [s3.ask("POST", f"/{bucket}/{zeros}", "uploads", body=b"").text("UploadId") for _ in range(2)]
    found = re.findall(rb"<UploadId>(\w+)</UploadId>", s3.ask("GET", f"/{bucket}", "uploads&encoding-type=url").body)
    equal(sorted(id_.decode() for id_ in found), sorted(ids), "listed")
    for id_ in ids:
        equal(s3.ask("DELETE", f"/{bucket}/{zeros}", f"uploadId={id_}").status, 204, id_)
    equal(s3.ask("PUT", f"/{bucket}/{zeros}", body=b"z").status, 200)
    equal(s3.ask("GET", f"/{bucket}/{zeros}").body, b"z")
    equal(s3.ask("DELETE", f"/{bucket}/{zeros}").status, 204)
    equal(s3.ask("DELETE", f"/{bucket}").status, 204)


@case
def who_takes_too_long():
    made, raw = served("http.head_timeout=300ms", "http.rate_window=1s", "http.rate_min=1k")
    raw.ask("PUT", "/bkt")
    head, body = raw.head("PUT", "/bkt/k", body=A * 12)
    for name, sent in (("inside of its head", head[:60]), ("inside of its body", head + body[:5000])):
        wire = raw.open()
        wire.send(sent)
        reply = wire.reply()
        equal((reply.both, ET.fromstring(reply.body).findtext("Code")), ((400, "RequestTimeout"), "RequestTimeout"), name)
        has_ids(reply, name)
        holds(wire.closed(), name)
    equal(raw.ask("GET", "/bkt/k").both, (404, "NoSuchKey"))
    made.kill()


@case
def more_than_the_server_takes():
    for setting in ("http.requests_max=2", "http.requests_per_client=2"):
        made, raw = served(setting)
        raw.ask("PUT", "/bkt")
        wires = []
        for _ in range(100):  # one that is answered may still count for a moment
            head, body = raw.head("PUT", f"/bkt/{len(wires)}", body=A * 12, fields={"Expect": "100-continue"})
            wires.append(raw.open())
            wires[-1].send(head)
            if wires[-1].head()[0] != 100:
                wires.pop().close()
            if len(wires) == 2:
                break
        equal(len(wires), 2, "two are let in")
        reply = raw.ask("GET", "/bkt")
        equal((reply.both, reply.fields["retry-after"], reply.fields["content-type"]), ((503, "SlowDown"), "1", "application/xml"), setting)
        has_ids(reply, setting)
        equal(raw.ask("HEAD", "/bkt").both, (503, ""), setting)
        for wire in wires:
            wire.send(body)
            equal(wire.reply().status, 200, "those that were let in")
        tries = [raw.ask("GET", "/bkt/0").body for _ in range(100)]
        holds(A * 12 in tries, "there is room again")
        made.kill()


@case
def a_disk_that_is_full():
    folder = Path(tempfile.mkdtemp(prefix="tarn-s3-full-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    disk = shutil.disk_usage(folder)
    if disk.used * 100 < disk.total * 2:
        print("     skip: this disk is empty: there is no level to set below what is used")
        return
    made, raw = served(data=folder / "data")
    equal([raw.ask("PUT", f"/bkt{path}", body=body).status for path, body in (("", b""), ("/a", B), ("/b", A * 40))], [200] * 3)
    id_ = raw.ask("POST", "/bkt/c", "uploads", body=b"").text("UploadId")
    etag = raw.ask("PUT", "/bkt/c", f"uploadId={id_}&partNumber=1", body=B).fields["etag"]
    equal(made.stop(), 0)
    made, raw = served("store.space_alarm=1", "store.space_background=1", "store.space_full=1", data=folder / "data")
    for size in (100, 20_000, 300_000):
        reply = raw.ask("PUT", "/bkt/new", body=b"n" * size)
        equal(reply.both, (507, "InsufficientStorage"), f"{size} bytes: {reply.body[:200]!r}")
        equal(raw.ask("GET", "/bkt/new").both, (404, "NoSuchKey"))
        equal(raw.ask("PUT", "/bkt/a", body=b"n" * size).both, (507, "InsufficientStorage"))
    equal(raw.ask("PUT", "/bkt/new", fields={"x-amz-copy-source": "bkt/b"}).both, (507, "InsufficientStorage"), "a copy")
    equal(raw.ask("PUT", "/bkt/c", f"uploadId={id_}&partNumber=2", body=A * 40).both, (507, "InsufficientStorage"), "a part")
    equal((raw.ask("GET", "/bkt/a").body, raw.ask("GET", "/bkt/b").body), (B, A * 40), "what was there is read")
    equal(raw.ask("DELETE", "/bkt/b").status, 204, "deletes go on")
    equal(raw.ask("POST", "/bkt", "delete", body=b"<Delete><Object><Key>a</Key></Object></Delete>").status, 200)
    equal(raw.ask("DELETE", "/bkt/c", f"uploadId={id_}").status, 204, "so do aborts")
    equal(made.stop(), 0)
    made, raw = served(data=folder / "data")
    equal(raw.ask("PUT", "/bkt/new", body=B).status, 200, "there is space again")
    equal([e.text for e in ET.fromstring(raw.ask("GET", "/bkt").body).iter(SPACE + "Key")], ["new"])
    holds(etag, "a part was there")
    made.kill()


main()
