"""Ten thousand parts, as many as an upload may have: sent, listed, completed, read, deleted; the server killed inside of the completion.

The parts have 16 KiB: the server takes that in test mode alone (TARN_PART_BYTES_MIN), else they would be 50 GB."""
import base64
import hashlib
import os
import re
import sys
import threading
import time
import xml.etree.ElementTree as ET
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import Lake, case, equal, holds, main  # noqa: E402
from raw import Raw  # noqa: E402

COUNT, SIZE, CLIENTS = 10_000, 16 << 10, 8
SPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
WORDS = ("--s3", "127.0.0.1:0", "--set", "http.access_log=off")


class Server:
    """One data directory, served again and again."""

    def __init__(self):
        self.lake = None
        self.start()

    def start(self, point=None):
        if self.lake:
            self.lake.kill()
        os.environ.update(TARN_TEST_MODE="1", TARN_PART_BYTES_MIN=str(SIZE))
        if point:
            os.environ["TARN_CRASH_AT"] = point
        self.lake = Lake(self.lake.data if self.lake else None, *WORDS)
        for name in ("TARN_TEST_MODE", "TARN_PART_BYTES_MIN", "TARN_CRASH_AT"):
            os.environ.pop(name, None)
        self.s3 = Raw(self.lake)


server = Server()
KEPT = {}


def ask(*words, **how):
    return server.s3.ask(*words, **how)


def bytes_of(number):
    seed = hashlib.sha256(b"%d" % number).digest()
    return (seed * (SIZE // len(seed)))[:SIZE if number < COUNT else 777]


def send(upload, first, etags, wrong):
    """Every CLIENTS-th part, over one connection."""
    wire = server.s3.open()
    try:
        for number in range(first, COUNT + 1, CLIENTS):
            head, body = server.s3.head("PUT", "/parts/many", f"partNumber={number}&uploadId={upload}", body=bytes_of(number))
            wire.send(head + body)
            reply = wire.reply()
            if reply.status != 200:
                wrong.append((number, reply.status, reply.body))
                return
            etags[number] = reply.fields["etag"].strip('"')
    except Exception as broken:
        wrong.append((first, repr(broken)))
    finally:
        wire.close()


def pages(path, query="", fields=None, marker="part-number-marker", each=1000):
    """Part numbers with their sizes, page by page."""
    after, found, count = "0", [], 0
    while True:
        if fields is None:
            reply = ask("GET", path, f"max-parts={each}&{marker}={after}&{query}")
        else:
            reply = ask("GET", path, query, fields={**fields, "x-amz-max-parts": str(each), "x-amz-part-number-marker": after})
        equal(reply.status, 200, reply.body[:300])
        root = ET.fromstring(reply.body)
        count += 1
        found += [(int(p.findtext(SPACE + "PartNumber")), int(p.findtext(SPACE + "Size"))) for p in root.iter(SPACE + "Part")]
        if next(root.iter(SPACE + "IsTruncated")).text == "false":
            return found, count
        after = next(root.iter(SPACE + "NextPartNumberMarker")).text


def listing(etags):
    rows = "".join(f"<Part><ETag>{etags[n]}</ETag><PartNumber>{n}</PartNumber></Part>" for n in sorted(etags))
    return f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()


def sizes():
    return [(n, SIZE if n < COUNT else 777) for n in range(1, COUNT + 1)]


def whole_crc():
    """CRC-64/NVME is not in Python: the whole's CRC32 is compared, by reading it."""
    crc = 0
    for number in range(1, COUNT + 1):
        crc = zlib.crc32(bytes_of(number), crc)
    return crc


@case
def parts_are_taken_and_listed():
    equal(ask("PUT", "/parts").status, 200)
    upload = ask("POST", "/parts/many", "uploads", body=b"", fields={"x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FULL_OBJECT"}).text("UploadId")
    etags, wrong = {}, []
    began = time.monotonic()
    threads = [threading.Thread(target=send, args=(upload, 1 + i, etags, wrong)) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal((wrong[:3], len(etags)), ([], COUNT))
    print(f"     {COUNT} parts sent in {time.monotonic() - began:.1f} s")
    for each, wanted in ((1000, 10), (997, 11)):
        equal(pages("/parts/many", f"uploadId={upload}", each=each), (sizes(), wanted), f"pages of {each}")
    for number in (0, COUNT + 1):
        equal(ask("PUT", "/parts/many", f"partNumber={number}&uploadId={upload}", body=b"x").both, (400, "InvalidArgument"), number)
    KEPT.update(upload=upload, etags=etags)


@case
def a_list_of_one_too_many():
    more = {**KEPT["etags"], COUNT + 1: KEPT["etags"][1]}
    reply = ask("POST", "/parts/many", f"uploadId={KEPT['upload']}", body=listing(more))
    holds(reply.status == 400 and reply.code in ("MalformedXML", "InvalidPart"), reply.body[:300])
    short = re.sub(rb"<PartNumber>5000</PartNumber>", b"<PartNumber>4999</PartNumber>", listing(KEPT["etags"]))
    equal(ask("POST", "/parts/many", f"uploadId={KEPT['upload']}", body=short).both, (400, "InvalidPartOrder"))
    equal(ask("HEAD", "/parts/many").status, 404)


@case
def killed_inside_of_the_completion():
    path, query, body = "/parts/many", f"uploadId={KEPT['upload']}", listing(KEPT["etags"])
    server.start("complete_checked:1")
    for _ in range(2):  # not in the journal: as if it had not been asked
        try:
            reply = ask("POST", path, query, body=body)
            raise AssertionError(f"the server lived: {reply.status}")
        except (ConnectionError, OSError):
            pass
        equal(server.lake.process.wait(30), -9)
        server.start()
        equal(ask("HEAD", path).status, 404, "not there")
        equal(pages(path, query), (sizes(), 10), "every part is there still")
        server.start("complete_checked:1")
    server.start("complete_appended:1")
    try:
        reply = ask("POST", path, query, body=body)
        raise AssertionError(f"the server lived: {reply.status}")
    except (ConnectionError, OSError):
        pass
    equal(server.lake.process.wait(30), -9)
    server.start()
    there = ask("HEAD", path).status
    holds(there in (200, 404), "all of it or nothing")
    if there == 404:
        equal(pages(path, query), (sizes(), 10))
    began = time.monotonic()
    reply = ask("POST", path, query, body=body)
    equal(reply.status, 200, reply.body[:300])
    print(f"     completed in {(time.monotonic() - began) * 1000:.0f} ms, {'again' if there == 200 else 'then'}")
    equal(ask("POST", path, query, body=body).text("ETag"), reply.text("ETag"), "the same again has the same answer")
    joined = hashlib.md5(b"".join(bytes.fromhex(KEPT["etags"][n]) for n in range(1, COUNT + 1))).hexdigest()
    equal(reply.text("ETag").replace("&quot;", '"'), f'"{joined}-{COUNT}"')
    equal(reply.text("ChecksumCRC32"), base64.b64encode(whole_crc().to_bytes(4, "big")).decode(), "combined from ten thousand")


def read_back():
    path, size = "/parts/many", (COUNT - 1) * SIZE + 777
    head = ask("HEAD", path)
    equal((head.status, head.fields["content-length"]), (200, str(size)))
    whole = ask("GET", path).body
    equal(len(whole), size)
    equal(zlib.crc32(whole), whole_crc(), "every byte")
    for number in (1, 2, 5000, 9999, COUNT):
        for method in ("GET", "HEAD"):
            reply = ask(method, path, f"partNumber={number}")
            first = (number - 1) * SIZE
            equal((reply.status, reply.fields["x-amz-mp-parts-count"], reply.fields["content-range"]),
                  (206, str(COUNT), f"bytes {first}-{first + len(bytes_of(number)) - 1}/{size}"), number)
            equal(reply.body, bytes_of(number) if method == "GET" else b"", number)
    equal(ask("GET", path, f"partNumber={COUNT + 1}").both, (400, "InvalidArgument"))
    for first, last in ((0, 0), (SIZE - 1, SIZE), (4999 * SIZE - 3, 5000 * SIZE + 3), (size - 778, size + 99), (3 * SIZE, 60 * SIZE + 1)):
        reply = ask("GET", path, fields={"Range": f"bytes={first}-{last}"})
        equal((reply.status, reply.body), (206, whole[first:last + 1]), f"{first}-{last}")
    equal(ask("GET", path, fields={"Range": "bytes=-5"}).body, whole[-5:])
    asked = {"x-amz-object-attributes": "ObjectParts,ObjectSize"}
    for each, wanted in ((1000, 10), (3333, 10)):  # a thousand at most
        equal(pages(path, "attributes", asked, each=each), (sizes(), wanted), f"GetObjectAttributes by {each}")


@case
def read_by_range_and_by_part():
    read_back()
    equal(ask("GET", "/parts", "uploads").text("UploadId"), None, "no upload is left")


@case
def read_after_a_restart_and_copied():
    equal(server.lake.stop(), 0)
    server.start()
    read_back()
    equal(ask("PUT", "/parts/copy", fields={"x-amz-copy-source": "parts/many"}).status, 200)
    equal(zlib.crc32(ask("GET", "/parts/copy").body), whole_crc(), "one object of all of them")


@case
def deleted():
    for key in ("many", "copy"):
        equal(ask("DELETE", f"/parts/{key}").status, 204)
    equal(server.lake.stop(), 0)
    server.start()
    equal([ask("GET", f"/parts/{key}").both for key in ("many", "copy")], [(404, "NoSuchKey")] * 2)
    equal(ask("DELETE", "/parts").status, 204, "nothing is left in the bucket")


@case
def an_upload_that_names_no_algorithm():
    """Its parts bring CRC32, as boto3's do, the whole has CRC64NVME, as on AWS; also of parts that a journal brought back."""
    equal(ask("PUT", "/open").status, 200)
    upload = ask("POST", "/open/whole", "uploads", body=b"").text("UploadId")
    etags = {}
    for number in (1, 2, 3):
        if number == 3:
            server.start()  # killed: what it knows of the first two is in its journal
        data = bytes_of(number)
        reply = ask("PUT", "/open/whole", f"partNumber={number}&uploadId={upload}", body=data,
                    fields={"x-amz-checksum-crc32": base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()} if number < 3 else {})
        equal((reply.status, "x-amz-checksum-crc32" in reply.fields), (200, number < 3))
        etags[number] = reply.fields["etag"].strip('"')
    holds("<Checksum" not in ask("GET", "/open/whole", f"uploadId={upload}").body.decode(), "none was named, none is listed")
    body = listing(etags).replace(b"</PartNumber>", b"</PartNumber><ChecksumCRC32>AAAAAA==</ChecksumCRC32>", 1)
    equal(ask("POST", "/open/whole", f"uploadId={upload}", body=body).both, (400, "InvalidPart"), "a part's own is compared")
    done = ask("POST", "/open/whole", f"uploadId={upload}", body=listing(etags), fields={"x-amz-checksum-crc64nvme": "AAAAAAAAAAA="})
    equal(done.status, 200, "of the whole nothing was named")
    equal(ask("PUT", "/open/plain", body=b"".join(bytes_of(n) for n in (1, 2, 3))).status, 200)
    mode = {"x-amz-checksum-mode": "ENABLED"}
    wanted = ask("HEAD", "/open/plain", fields=mode).fields["x-amz-checksum-crc64nvme"]
    equal((done.text("ChecksumCRC64NVME"), done.text("ChecksumType")), (wanted, "FULL_OBJECT"))
    equal(ask("HEAD", "/open/whole", fields=mode).fields["x-amz-checksum-crc64nvme"], wanted)
    holds(not [f for f in ask("GET", "/open/whole", "partNumber=1", fields=mode).fields if f.startswith("x-amz-checksum")], "no part has one of its own")


@case
def in_the_clear_the_smallest_part_has_5_mib():
    os.environ["TARN_PART_BYTES_MIN"] = str(SIZE)  # not heard outside of test mode
    lake = Lake(None, *WORDS)
    del os.environ["TARN_PART_BYTES_MIN"]
    s3 = Raw(lake)
    equal(s3.ask("PUT", "/parts").status, 200)
    upload = s3.ask("POST", "/parts/few", "uploads", body=b"").text("UploadId")
    etags = {n: s3.ask("PUT", "/parts/few", f"partNumber={n}&uploadId={upload}", body=bytes_of(n)).fields["etag"] for n in (1, 2)}
    reply = s3.ask("POST", "/parts/few", f"uploadId={upload}", body=listing(etags))
    equal((reply.both, reply.text("MinSizeAllowed")), ((400, "EntityTooSmall"), str(5 << 20)))
    lake.kill()


main()
