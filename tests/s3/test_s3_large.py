"""Large objects over HTTP/1.1, in clear: what the page cache has goes out from there, verified right before. Whole, by range, by part, over
connections that are used again; a cold file; a flipped byte and a file that somebody cut off break the reply before the bytes that are not as
they were written."""
import hashlib
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import Lake, case, equal, holds, main  # noqa: E402
from raw import Raw  # noqa: E402

PART, BLOCK = 5 << 20, 64 << 10
lake = Lake(None, "--s3", "127.0.0.1:0", "--set", "http.access_log=off")
s3 = Raw(lake)


def noise(seed, size):
    return hashlib.shake_128(str(seed).encode()).digest(size)


WHOLE = noise("whole", 20 * 1000 * 1000 + 7)
PARTS = [noise(i, PART + i * 4321) for i in range(3)]
PARTED = b"".join(PARTS)


def new_files(before=()):
    return {path for path in (lake.data / "store/objects").glob("*/*") if path.is_file()} - set(before)


def say(wire, key, fields=(), query=""):
    wire.send(s3.head("GET", f"/large/{key}", query, fields=dict(fields))[0])


def get(key, fields=(), query="", wire=None):
    once = wire or s3.open()
    say(once, key, fields, query)
    reply = once.reply()
    if not wire:
        once.close()
    return reply


def put(key, body):
    before = new_files()
    equal(s3.ask("PUT", f"/large/{key}", body=body).status, 200)
    (made,) = new_files(before)
    return made


def cut_off(key):
    """What came of a reply that broke off."""
    wire = s3.open()
    try:
        say(wire, key)
        status, fields = wire.head()
        got = wire.ahead
        while len(got) < int(fields["content-length"]) and (more := wire.socket.recv(1 << 20)):
            got += more
        return status, int(fields["content-length"]), got
    finally:
        wire.close()


@case
def whole_and_ranges():
    equal(s3.ask("PUT", "/large").status, 200)
    put("whole", WHOLE)
    wire = s3.open()
    holds(get("whole", wire=wire).body == WHOLE, "the whole object")
    size = len(WHOLE)
    for first, last in ((0, 0), (1, size - 1), (BLOCK - 1, 2 * BLOCK), (70001, 9000000), (size - 300000, size - 1), (BLOCK, size - BLOCK)):
        reply = get("whole", {"Range": f"bytes={first}-{last}"}, wire=wire)
        equal(reply.status, 206)
        holds(reply.body == WHOLE[first:last + 1], f"{first}-{last}")
    holds(get("whole", wire=wire).body == WHOLE, "the whole object once more, on the same connection")
    wire.close()


@case
def parts():
    upload = s3.ask("POST", "/large/parted", "uploads").text("UploadId")
    etags = [s3.ask("PUT", "/large/parted", f"partNumber={i + 1}&uploadId={upload}", body=body).fields["etag"] for i, body in enumerate(PARTS)]
    text = "".join(f"<Part><PartNumber>{i + 1}</PartNumber><ETag>{etag}</ETag></Part>" for i, etag in enumerate(etags))
    body = f"<CompleteMultipartUpload>{text}</CompleteMultipartUpload>".encode()
    equal(s3.ask("POST", "/large/parted", f"uploadId={upload}", body=body).status, 200)
    holds(get("parted").body == PARTED, "all parts")
    for i, part in enumerate(PARTS):
        holds(get("parted", query=f"partNumber={i + 1}").body == part, f"part {i + 1}")
    for first, last in ((PART - 1, PART + 1), (1000, len(PARTED) - 1000), (PART + 4321 - 300000, 2 * PART + 400000)):
        holds(get("parted", {"Range": f"bytes={first}-{last}"}).body == PARTED[first:last + 1], f"{first}-{last}")


@case
def cold_files():
    for path in new_files():
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
    holds(get("whole").body == WHOLE, "an object that is on the disk alone")
    holds(get("parted").body == PARTED, "parts that are on the disk alone")


@case
def a_flipped_byte_is_never_sent():
    path = put("flipped", WHOLE)
    for at in (11111111, 300000, 19999999):
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([WHOLE[at] ^ 16]))
        status, length, got = cut_off("flipped")
        equal((status, length), (200, len(WHOLE)))
        holds(len(got) <= at // BLOCK * BLOCK, f"{len(got)} bytes before the one at {at}")
        holds(got == WHOLE[:len(got)], "what came before is right")
        holds(len(got) >= (at // BLOCK - 16) * BLOCK or at < 1 << 20, f"{len(got)} bytes of those before {at}")
        holds(get("flipped", {"Range": f"bytes={at + BLOCK}-{len(WHOLE) - 1}"}).body == WHOLE[at + BLOCK:] if at + BLOCK < len(WHOLE) else True,
              "behind it")
        with path.open("r+b") as file:
            file.seek(at)
            file.write(WHOLE[at:at + 1])
    holds(get("flipped").body == WHOLE, "as it was")
    log = Path(lake.log.name).read_text()
    holds(re.search(r"reply cut off .*code=CORRUPT", log), "the log says that the reply was cut off")


@case
def a_file_that_was_cut_off_ends_the_reply():
    path = put("short", WHOLE)
    size = path.stat().st_size
    wire = s3.open()
    say(wire, "short")
    wire.head()
    os.truncate(path, 15000000)  # while the reader has it open
    got = len(wire.ahead)
    try:
        while more := wire.socket.recv(1 << 20):
            got += len(more)
    except ConnectionError:
        pass
    wire.close()
    holds(got < len(WHOLE), "the reply is not whole")
    holds(path.stat().st_size < size and lake.alive(), "the server lives")
    holds(get("whole").body == WHOLE, "others are served")


main()
