"""Many at once while http.buffered_max is small: pages of lists and rows of queries wait for room and are not refused, whoever reads
slowly holds up only itself, and the memory stays bounded."""
import json
import re
import selectors
import socket
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "e2e")]
from lake import BUILD, Lake, case, equal, holds, main  # noqa: E402
from raw import Raw, Wire  # noqa: E402

KEYS, CLIENTS = 1000, 1000
lake = Lake(None, "--s3", "127.0.0.1:0", "--set", "http.buffered_max=4M", "--set", "http.requests_per_client=2000")
s3 = Raw(lake)


def fill(s3, keys):
    equal(s3.ask("PUT", "/bkt").status, 200)
    wires = [s3.open() for _ in range(16)]
    for at in range(0, keys, len(wires)):
        names = [f"/bkt/{n:04}-{'long' * 40}" for n in range(at, min(at + len(wires), keys))]
        for wire, name in zip(wires, names):
            wire.send(b"".join(s3.head("PUT", name, body=b"x")))
        for wire, _ in zip(wires, names):
            equal(wire.reply("PUT").status, 200)
    for wire in wires:
        wire.close()


def wire_from(source, address, receives=None):
    """A connection of another client: all of 127.0.0.0/8 is this machine."""
    host, port = address.rsplit(":", 1)
    wire = Wire.__new__(Wire)
    wire.ahead = b""
    wire.socket = socket.socket()
    if receives:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    wire.socket.bind((source, 0))
    wire.socket.settimeout(60)
    wire.socket.connect((host, int(port)))
    return wire


def peak_mib():
    status = Path(f"/proc/{lake.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def metric(name):
    return float(re.search(rf"^tarn_{name} (\S+)$", lake.request("GET", "/metrics").text, re.M)[1])


def list_head():
    return s3.head("GET", "/bkt", "list-type=2")[0]


def rows(body):
    return re.findall(rb"<Contents>.*?</Contents>", body, re.S)


def flat(body):
    """Each element below the root as its text: pieces say the same in another order."""
    return [ET.tostring(child) for child in ET.fromstring(body)]


def all_replies(wires):
    """Replies that are read as they come, as many clients do."""
    poll, left = selectors.DefaultSelector(), {wire: bytearray() for wire in wires}
    for wire in wires:
        poll.register(wire.socket, selectors.EVENT_READ, wire)
    replies, end = {}, time.monotonic() + 200
    while left:
        holds(time.monotonic() < end, f"{len(left)} of {len(wires)} are answered in time")
        for key, _ in poll.select(1):
            wire, got = key.data, left[key.data]
            more = key.fileobj.recv(1 << 18)
            got += more
            at = got.find(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", got[:max(at, 0)])
            if at > 0 and (int(length[1]) <= len(got) - at - 4 if length else got.endswith(b"\r\n0\r\n\r\n")) or not more:
                wire.ahead = bytes(left.pop(wire))
                poll.unregister(wire.socket)
                replies[wire] = wire.reply()
    return [replies[wire] for wire in wires]


fill(s3, KEYS)
PAGE = s3.ask("GET", "/bkt", "list-type=2").body
ROWS = rows(PAGE)
holds(len(PAGE) > 300000 and PAGE.count(b"<Contents>") == KEYS, "a page of a thousand keys")


@case
def a_thousand_that_list_at_the_same_time_are_all_answered():
    wires = [wire_from(f"127.0.0.{2 + n % 4}", s3.address) for n in range(CLIENTS)]
    head, before = list_head(), peak_mib()
    for wire in wires:
        wire.send(head)
    pieces = 0
    for number, reply in enumerate(all_replies(wires)):
        equal((reply.status, reply.code), (200, ""), f"the list of connection {number}")
        equal(rows(reply.body) == ROWS, True, f"what connection {number} was told")
        pieces += reply.fields.get("transfer-encoding") == "chunked"
        wires[number].close()
    grown = peak_mib() - before
    print(f"     {CLIENTS} lists of {len(PAGE) >> 10} KiB, {pieces} of them in pieces: {grown:.0f} MiB more at the peak, budget 4 MiB")
    holds(pieces > 0, "some found no room")
    holds(grown < (1000 if "san" in str(BUILD) else 150), f"bounded memory ({grown:.0f} MiB more)")


@case
def pieces_are_the_page():
    """What a list in pieces says is what it says whole, element by element: with versions, prefixes and cursors too."""
    first = Lake(None, "--s3", "127.0.0.1:0")
    raw = Raw(first)
    fill(raw, 300)
    equal(raw.ask("PUT", "/vbkt").status, 200)
    equal(raw.ask("PUT", "/vbkt", "versioning", body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>").status, 200)
    wire = raw.open()
    for method, path in [("PUT", "/vbkt/same")] * 80 + [
            (method, f"/vbkt/{'dir%02d/' % (n // 4) if n % 3 == 0 else ''}{n // 5:03}")
            for n in range(200) for method in (("PUT", "DELETE") if n % 7 == 0 else ("PUT",))]:
        wire.send(b"".join(raw.head(method, path, body=b"y" if method == "PUT" else b"")))
        equal(wire.reply(method).status, 200 if method == "PUT" else 204)
    wire.close()
    asked = ["list-type=2", "list-type=2&max-keys=101&prefix=&encoding-type=url&fetch-owner=true", "max-keys=110", "list-type=2&delimiter=%2F",
             "delimiter=%2F&max-keys=66", "list-type=2&start-after=dir05%2F", "versions", "versions&max-keys=77", "versions&delimiter=%2F&max-keys=90",
             "versions&key-marker=007", "list-type=2&max-keys=100&delimiter=0"]
    whole = {(b, q): raw.ask("GET", b, q) for b in ("/bkt", "/vbkt") for q in asked}
    equal(first.stop(), 0)
    second = Lake(first.data, "--s3", "127.0.0.1:0", "--set", "http.buffered_max=64k")
    raw = Raw(second)
    for (bucket, query), known in whole.items():
        reply = raw.ask("GET", bucket, query)
        equal((reply.status, "transfer-encoding" in known.fields), (200, False), f"{bucket}?{query}")
        equal("transfer-encoding" in reply.fields, len(re.findall(rb"<Key>|<CommonPrefixes>", known.body)) > 32, f"in pieces: {bucket}?{query}")
        equal(sorted(flat(reply.body)), sorted(flat(known.body)), f"{bucket}?{query}")
    equal(raw.ask("GET", "/none", "list-type=2").both, (404, "NoSuchBucket"))
    equal(second.stop(), 0)


@case
def who_does_not_read_holds_up_only_itself():
    lazy = [wire_from("127.0.0.9", s3.address, receives=4096) for _ in range(200)]
    for wire in lazy:
        wire.send(list_head() * 20)  # 20 pages each: more than sockets take
    time.sleep(0.5)  # the load is there; nothing is judged by it
    begun = time.monotonic()
    others = [wire_from(f"127.0.1.{n + 1}", s3.address) for n in range(20)]
    for wire in others:
        wire.send(list_head())
    for wire in others:
        reply = wire.reply()
        equal((reply.status, rows(reply.body) == ROWS), (200, True))
        wire.close()
    print(f"     20 others were answered in {time.monotonic() - begun:.2f} s beside 200 that do not read")
    for wire in lazy:
        wire.close()
    equal(rows(s3.ask("GET", "/bkt", "list-type=2").body) == ROWS, True)


@case
def pages_of_the_other_door_wait_and_rows_come_in_blocks():
    ask = f"Host: x\r\nAuthorization: Bearer {lake.token}\r\n"
    page_head = f"GET /v1/objects/bkt?limit=1000 HTTP/1.1\r\n{ask}\r\n".encode()
    page = lake.request("GET", "/v1/objects/bkt?limit=1000").json
    equal(len(page["items"]), KEYS)
    text = b"SELECT i, 'some text of a row ' || i AS t FROM range(20000) r(i)"
    head = f"POST /v1/sql HTTP/1.1\r\n{ask}Content-Type: text/plain\r\nAccept: text/csv\r\nContent-Length: {len(text)}\r\n\r\n".encode()
    pages = [wire_from(f"127.0.0.{2 + n % 4}", lake.address) for n in range(300)]
    queries = [wire_from(f"127.0.0.{2 + n % 4}", lake.address) for n in range(6)]
    for wire in pages:
        wire.send(page_head)
    for wire in queries:
        wire.send(head + text)
    equal({(reply.status, len(json.loads(reply.body)["items"])) for reply in all_replies(pages)}, {(200, KEYS)})
    for reply in all_replies(queries):
        equal((reply.status, reply.body.count(b"\n"), reply.body.endswith(b"some text of a row 19999\r\n")), (200, 20001, True))
    for wire in pages + queries:
        wire.close()
    equal(metric("http_waiting_requests"), 0)
    holds(lake.request("GET", "/metrics").status == 200, "whoever looks after the server is answered")


@case
def batches_of_deletes_wait_before_they_delete():
    keys = [f"{n:04}-{'long' * 40}" for n in range(KEYS)]
    wires = [wire_from("127.0.0.2", s3.address) for _ in range(300)]
    for wire in wires:
        wire.send(list_head())
    body = ("<Delete>" + "".join(f"<Object><Key>none-{key}</Key></Object>" for key in keys) + "</Delete>").encode()
    deletes = [wire_from("127.0.0.3", s3.address) for _ in range(20)]
    for wire in deletes:
        wire.send(b"".join(s3.head("POST", "/bkt", "delete", body=body)))
    equal({(reply.status, reply.body.count(b"<Deleted>")) for reply in all_replies(deletes)}, {(200, KEYS)})
    equal({reply.status for reply in all_replies(wires)}, {200})
    for wire in wires + deletes:
        wire.close()
    equal(metric("s3_waiting_requests"), 0)


@case
def calls_with_large_bodies_wait_for_room():
    """A hundred KiB each, of many at once: batches of deletes at one door, statements at the other."""
    keys = "".join(f"<Object><Key>none-{n:04}-{'long' * 40}</Key></Object>" for n in range(500))
    body = f"<Delete>{keys}</Delete>".encode()
    deletes = [wire_from(f"127.0.0.{2 + n % 4}", s3.address) for n in range(60)]
    for wire in deletes:
        wire.send(b"".join(s3.head("POST", "/bkt", "delete", body=body)))
    text = b"SELECT 42 AS answer /* " + b"long " * 20000 + b"*/"
    head = (f"POST /v1/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {lake.token}\r\nContent-Type: text/plain\r\n"
            f"Accept: text/csv\r\nContent-Length: {len(text)}\r\n\r\n").encode()
    calls = [wire_from(f"127.0.0.{2 + n % 4}", lake.address) for n in range(200)]
    for wire in calls:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)  # what waits to be read waits here
        wire.send(head + text[:50000])
    for wire in calls:
        wire.send(text[50000:])
    equal({(reply.status, reply.body[:100] if reply.status == 200 else b"") for reply in all_replies(calls)}, {(200, b"answer\r\n42\r\n")})
    equal({(reply.status, reply.body.count(b"<Deleted>")) for reply in all_replies(deletes)}, {(200, 500)})
    for wire in calls + deletes:
        wire.close()
    equal((metric("http_waiting_requests"), metric("s3_waiting_requests")), (0, 0))


@case
def it_ends_well():
    wires = [wire_from("127.0.0.9", s3.address, receives=4096) for _ in range(100)]
    for wire in wires:
        wire.send(list_head() * 20)
    for wire in wires[:50]:
        wire.close()
    equal(lake.stop(), 0)
    for wire in wires[50:]:
        wire.close()


main()
