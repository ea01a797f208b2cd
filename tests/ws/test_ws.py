#!/usr/bin/env python3
"""WebSocket against the test door, frame by frame: the groups of cases that Autobahn covers, numbered as there, over
HTTP/1.1 and over HTTP/2; then what RFC 6455, 7692 and 8441 say beside them, and our limits.

usage: tests/ws/test_ws.py [PART OF A CASE'S NAME]
"""
import codecs
import itertools
import os
import random
import struct
import time

from ws_raw import (BINARY, CLOSE, CONT, PING, PONG, TEXT, Deflater, H1Pipe, Socket, Wrong, close, frame)
from harness import Door, case, certificate, run, soon
from utf8_rows import INVALID, VALID

TLS = certificate()
DOOR = Door("--http", "127.0.0.1:0", "--https", "127.0.0.1:0", *TLS)
BOTH = ("h1", "h2")
UNMASKED = {"mask": b"\0\0\0\0"}  # a mask of zeros: the bytes of large messages as they are


def each(number, rows, pipes=BOTH, **options):
    """A case for each row and transport: run(socket, row)."""
    rows = rows if isinstance(rows, dict) else {str(row): row for row in rows}

    def add(function):
        for (name, row), pipe in itertools.product(rows.items(), pipes):
            def one(row=row, pipe=pipe):
                with Socket(DOOR, pipe=pipe, **options) as s:
                    function(s, row)
            one.__name__ = f"{number} {function.__name__.strip('_')}: {name} ({pipe})"
            case(one)
        return function
    return add


def single(number, pipes=BOTH, **options):
    def add(function):
        for pipe in pipes:
            def one(pipe=pipe):
                with Socket(DOOR, pipe=pipe, **options) as s:
                    function(s)
            one.__name__ = f"{number} {function.__name__} ({pipe})"
            case(one)
        return function
    return add


# ---- 1: framing ----

SIZES = {str(n): (n, None) for n in (0, 1, 125, 126, 127, 128, 65535, 65536)} | {"65536 in packets of 997": (65536, 997)}


@each("1.1", SIZES)
def text_of(s, row):
    size, step = row
    s.send(frame(TEXT, b"*" * size), step=step).expect(("text", "*" * size)).leaves()


@each("1.2", SIZES)
def binary_of(s, row):
    size, step = row
    data = (b"\xfe" * size)
    s.send(frame(BINARY, data), step=step).expect(("binary", data)).leaves()


# ---- 2: pings and pongs ----

@each("2.1-4", {"empty": b"", "text": b"Hello, world!", "binary": b"\0\xff\xfe\xfd\xfc\xfb\0\xff", "125 bytes": b"\xfe" * 125})
def ping(s, payload):
    s.send(frame(PING, payload)).expect(("pong", payload)).leaves()


@single("2.5")
def ping_of_126_bytes(s):
    s.send(frame(PING, b"\xfe" * 126)).ends(("close", 1002))


@single("2.6")
def ping_byte_by_byte(s):
    s.send(frame(PING, b"\xfe" * 125), step=1).expect(("pong", b"\xfe" * 125)).leaves()


@each("2.7-8", {"empty": b"", "text": b"unsolicited"})
def pong_that_nobody_asked_for(s, payload):
    s.send(frame(PONG, payload)).leaves()


@single("2.9")
def pong_then_ping(s):
    s.send(frame(PONG, b"unsolicited"), frame(PING, b"our ping")).expect(("pong", b"our ping")).leaves()


@each("2.10-11", {"at once": None, "byte by byte": 1})
def ten_pings(s, step):
    s.send(*(frame(PING, b"payload-%d" % i) for i in range(10)), step=step)
    s.expect(*(("pong", b"payload-%d" % i) for i in range(10))).leaves()


# ---- 3: reserved bits, 4: opcodes ----

@each("3", {f"RSV {rsv} of {name}": (rsv, opcode) for rsv in range(1, 8)
            for name, opcode in (("text", TEXT), ("binary", BINARY), ("ping", PING), ("pong", PONG), ("close", CLOSE))})
def reserved_bits(s, row):
    rsv, opcode = row
    s.send(frame(TEXT, "before"), frame(opcode, b"" if opcode == CLOSE else b"Hello", rsv=rsv), frame(PING))
    s.ends(("text", "before"), ("close", 1002))


@each("3", {"whole": None, "byte by byte": 1})
def reserved_bits_of_a_continuation(s, step):
    s.send(frame(TEXT, "a", fin=False), frame(CONT, "b", rsv=4), step=step).ends(("close", 1002))


@each("4", [*range(3, 8), *range(11, 16)])
def reserved_opcode(s, opcode):
    s.send(frame(TEXT, "before"), frame(opcode, b"reserved opcode payload"), frame(PING)).ends(("text", "before"), ("close", 1002))


@each("4", [*range(3, 8), *range(11, 16)])
def reserved_opcode_alone(s, opcode):
    s.send(frame(opcode)).ends(("close", 1002))


# ---- 5: fragments ----

@each("5.1-2", {"ping": PING, "pong": PONG, "close": CLOSE})
def control_frame_in_pieces(s, opcode):
    s.send(frame(opcode, b"frag", fin=False), frame(CONT, b"ment")).ends(("close", 1002))


@each("5.3-5", {"in one packet": None, "in two packets": 0, "byte by byte": 1})
def two_fragments(s, step):
    pieces = frame(TEXT, "fragment1", fin=False), frame(CONT, "fragment2")
    for piece in pieces if step == 0 else [b"".join(pieces)]:
        s.send(piece, step=step or None)
    s.expect(("text", "fragment1fragment2")).leaves()


@each("5.6-8", {"in one packet": None, "byte by byte": 1})
def ping_between_fragments(s, step):
    s.send(frame(TEXT, "fragment1", fin=False), frame(PING, b"ping payload"), frame(CONT, "fragment2"), step=step)
    s.expect(("pong", b"ping payload"), ("text", "fragment1fragment2")).leaves()


@each("5.9-14", {f"fin {fin}, in packets of {step}": (fin, step) for fin in (True, False) for step in (None, 1)})
def continuation_of_nothing(s, row):
    fin, step = row
    s.send(frame(CONT, "non-continuation payload", fin=fin), frame(TEXT, "Hello"), step=step).ends(("close", 1002))


@each("5.15", {"fin": True, "no fin": False})
def continuation_behind_a_message(s, fin):
    s.send(frame(TEXT, "fragment1", fin=False), frame(CONT, "fragment2"), frame(CONT, "fragment3", fin=fin), frame(TEXT, "f4"))
    s.ends(("text", "fragment1fragment2"), ("close", 1002))


@each("5.16-17", {"no fin": False, "fin": True})
def continuation_first_then_a_message(s, fin):
    s.send(frame(CONT, "fragment1", fin=fin), frame(TEXT, "fragment2", fin=False), frame(CONT, "fragment3")).ends(("close", 1002))


@each("5.18", {"text, text": (TEXT, TEXT), "text, binary": (TEXT, BINARY), "binary, text": (BINARY, TEXT), "binary, binary": (BINARY, BINARY)})
def message_inside_of_another(s, row):
    s.send(frame(row[0], "fragment1", fin=False), frame(row[1], "fragment2")).ends(("close", 1002))


@each("5.19-20", {"in one packet": None, "byte by byte": 1})
def five_fragments_and_pings(s, step):
    s.send(frame(TEXT, "fragment1", fin=False), frame(CONT, "fragment2", fin=False), frame(PING, b"pongme 1!"),
           frame(CONT, "fragment3", fin=False), frame(CONT, "fragment4", fin=False), frame(PING, b"pongme 2!"),
           frame(CONT, "fragment5"), step=step)
    s.expect(("pong", b"pongme 1!"), ("pong", b"pongme 2!"), ("text", "fragment1fragment2fragment3fragment4fragment5")).leaves()


@each("5", {"3": 3, "100": 100})
def empty_fragments(s, count):
    s.send(frame(BINARY, b"", fin=False), *(frame(CONT, b"", fin=False) for _ in range(count)), frame(CONT, b"x"))
    s.expect(("binary", b"x")).leaves()


# ---- 6: UTF-8 ----

@each("6.1-2", {"empty": "", "empty in three": None, "middle": "middle frame payload"})
def empty_texts(s, text):
    if text is None:
        s.send(frame(TEXT, "", fin=False), frame(CONT, "", fin=False), frame(CONT, "")).expect(("text", ""))
    else:
        s.send(frame(TEXT, "", fin=False), frame(CONT, text, fin=False), frame(CONT, "")).expect(("text", text))
    s.leaves()


@each("6", VALID)
def utf8_valid(s, text):
    """Whole, in frames of one byte, and with each byte a packet of its own."""
    s.send(frame(TEXT, text)).expect(("text", text.decode()))
    s.message(TEXT, text, 1).expect(("text", text.decode()))
    s.send(frame(TEXT, text), step=1).expect(("text", text.decode())).leaves()


@each("6", VALID)
def utf8_valid_cut_at_every_byte(s, text):
    for at in range(len(text) + 1):
        s.send(frame(TEXT, text[:at], fin=False), frame(PING, b"between"), frame(CONT, text[at:]))
        s.expect(("pong", b"between"), ("text", text.decode()))
    s.leaves()


@each("6", INVALID)
def utf8_invalid(s, data):
    s.send(frame(TEXT, data)).ends(("close", 1007))


@each("6", INVALID)
def utf8_invalid_in_frames_of_one_byte(s, data):
    s.message(TEXT, data, 1).ends(("close", 1007))


@each("6", INVALID, pipes=("h1",))
def utf8_invalid_byte_by_byte(s, data):
    s.send(frame(TEXT, data), step=1).ends(("close", 1007))


def first_wrong(data):
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(len(data)):
        try:
            decoder.decode(data[at:at + 1])
        except UnicodeDecodeError:
            return at
    return None


@each("6.4", {name: data for name, data in INVALID.items() if first_wrong(data) is not None})
def utf8_fails_at_the_first_wrong_byte(s, data):
    """The frame goes on and the message too, but what came cannot be mended."""
    at = first_wrong(data)
    whole = frame(TEXT, data + b"." * 10, fin=False)
    s.send(whole[:len(whole) - len(data) - 10 + at])
    s.pipe.send(whole[len(whole) - len(data) - 10 + at:len(whole) - len(data) - 10 + at + 1])
    s.ends(("close", 1007))


@single("6")
def a_character_over_two_messages(s):
    s.send(frame(TEXT, b"\xc3"), frame(TEXT, b"\xb6")).ends(("close", 1007))


@single("6")
def binary_need_not_be_utf8(s):
    s.send(*(frame(BINARY, data) for data in INVALID.values())).expect(*(("binary", data) for data in INVALID.values())).leaves()


# ---- 7: closing ----

@single("7.1.1")
def message_then_close(s):
    s.send(frame(TEXT, "Hello World!"), close(1000)).ends(("text", "Hello World!"), ("close", 1000))


@single("7.1.2")
def two_close_frames(s):
    s.send(close(1000), close(1000)).ends(("close", 1000))


@each("7.1.3-5", {"ping": frame(PING, b"x"), "text": frame(TEXT, "x"), "rest of a message": frame(CONT, "x"), "garbage": b"\xff" * 100})
def behind_close(s, data):
    s.send(frame(TEXT, "fragment1", fin=False) if data[0] == 0x80 else b"", close(1000), data).ends(("close", 1000))


@single("7.1.6")
def large_message_then_close(s):
    s.send(frame(TEXT, b"BAsd7&jh23" * 26214, **UNMASKED), close(1000), frame(PING)).ends(("text", "BAsd7&jh23" * 26214), ("close", 1000))


@each("7.3", {"no code": (close(), None), "one byte": (frame(CLOSE, b"\3"), 1002), "code": (close(1000), 1000),
              "code and text": (close(1000, "Hello World!"), 1000), "123 bytes of text": (close(1000, "*" * 123), 1000),
              "124 bytes of text": (close(1000, "*" * 124), 1002), "byte by byte": (close(1000, "*" * 123), 1000)})
def close_payload(s, row):
    s.send(row[0]).ends(("close", row[1]))


@each("7.5.1", INVALID, pipes=("h1",))
def close_with_a_text_that_is_none(s, data):
    s.send(close(1000, data)).ends(("close", 1007))


@each("7.7", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
def close_code(s, code):
    s.send(close(code)).ends(("close", code))


@each("7.9", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32768, 65535])
def close_code_that_must_not_be_sent(s, code):
    s.send(close(code)).ends(("close", 1002))


@single("7")
def close_masked_and_byte_by_byte(s):
    s.send(close(4000, "so long"), step=1).ends(("close", 4000))


# ---- 9: large and many ----

LARGE = [64 << 10, 256 << 10, 1 << 20, 4 << 20, 8 << 20, 16 << 20]


@each("9.1", LARGE)
def large_text(s, size):
    s.send(frame(TEXT, b"*" * size, **UNMASKED)).expect(("text", "*" * size)).leaves()


@each("9.2", LARGE)
def large_binary(s, size):
    data = os.urandom(1 << 16) * (size >> 16)
    s.send(frame(BINARY, data)).expect(("binary", data)).leaves()


@each("9.3", [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20])
def text_of_4_MiB_in_frames_of(s, size):
    s.message(TEXT, b"*" * (4 << 20), size, **UNMASKED).expect(("text", "*" * (4 << 20))).leaves()


@each("9.4", [64, 1 << 10, 64 << 10, 1 << 20])
def binary_of_4_MiB_in_frames_of(s, size):
    data = os.urandom(1 << 16) * 64
    s.message(BINARY, data, size).expect(("binary", data)).leaves()


@each("9.5-6", [64, 128, 256, 512, 1024, 2048], pipes=("h1",))
def a_mebibyte_in_packets_of(s, step):
    data = b"*" * (1 << 20 if step >= 512 else 1 << 17)
    s.send(frame(TEXT, data, **UNMASKED), step=step).expect(("text", data.decode())).leaves()


@each("9.7-8", [0, 16, 64, 256, 1024, 4096, 16384])
def a_thousand_round_trips_of(s, size):
    for i in range(1000 if size < 4096 else 300):
        s.send(frame(TEXT if i & 1 else BINARY, b"*" * size, **UNMASKED))
        got = s.frame()
        if len(got[1]) != size:
            raise Wrong(f"{len(got[1])} bytes in answer to {size}")
    s.leaves()


@each("9", [0, 16, 1024])
def ten_thousand_at_once_of(s, size):
    """More than either side keeps: while nobody reads, the server reads nothing either."""
    import threading
    data = b"".join(frame(BINARY, b"*" * size, **UNMASKED) for _ in range(10000))
    if isinstance(s.pipe, H1Pipe):
        sender = threading.Thread(target=s.send, args=(data,))
        sender.start()
        for _ in range(10000):
            assert len(s.frame()[1]) == size
        sender.join(20)
    else:
        for at in range(0, len(data), len(data) // 100):
            s.send(data[at:at + len(data) // 100])
        for _ in range(10000):
            assert len(s.frame()[1]) == size
    s.leaves()


# ---- 10 ----

@each("10.1", [1300, 1, 65535])
def text_of_65536_in_frames_of(s, size):
    s.message(TEXT, b"*" * 65536, size).expect(("text", "*" * 65536)).leaves()


# ---- 12, 13: permessage-deflate ----

OFFERS = {
    "plain": "permessage-deflate",
    "client bits": "permessage-deflate; client_max_window_bits",
    "client 9": "permessage-deflate; client_max_window_bits=9",
    "client 15": "permessage-deflate; client_max_window_bits=15",
    "server 9": "permessage-deflate; server_max_window_bits=9",
    "server 15": "permessage-deflate; server_max_window_bits=15",
    "no takeover": "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    "server forgets": "permessage-deflate; server_no_context_takeover",
    "client forgets": "permessage-deflate; client_no_context_takeover; client_max_window_bits",
    "all": "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9",
    "second offer": "permessage-deflate; server_max_window_bits=8, permessage-deflate; client_max_window_bits",
}
PATHS = {"small windows": "/ws", "wide": "/ws/wide", "forgets": "/ws/forgets"}
TEXTS = [b"Hello", b"", b"a", b"Hello" * 20, b"*" * 100000, b"{\"AutobahnPython\": [1,2,3]}" * 500, b"Hello" * 20]


def deflate_cases():
    for (how, offer), (kind, path), pipe in itertools.product(OFFERS.items(), PATHS.items(), BOTH):
        def one(offer=offer, path=path, pipe=pipe):
            with Socket(DOOR, path, pipe, offer=offer) as s:
                assert s.agreed, "the offer is not taken"
                deflater = Deflater(s.client_bits, s.client_keeps)
                shrunk = 0
                for pieces in (3, 1):
                    for text in TEXTS:
                        packed = deflater(text)
                        s.send(*deflated(TEXT, packed, pieces)).expect(("text", text.decode()))
                        shrunk += s.was_compressed
                assert shrunk >= 6, "the server hardly compresses"
                for size in (64, 1000, 60000):
                    data = random.Random(size).randbytes(size)
                    s.send(*deflated(BINARY, deflater(data), 2)).expect(("binary", data))
                    s.send(frame(BINARY, data)).expect(("binary", data))  # not every message need be compressed
                s.leaves()
        one.__name__ = f"12 deflate: {how}, {kind} ({pipe})"
        case(one)


def deflated(opcode, packed, pieces):
    """RSV1 stands in the first frame alone."""
    size = max(1, -(-len(packed) // pieces))
    parts = [packed[at:at + size] for at in range(0, len(packed), size)] or [b""]
    return [frame(opcode if i == 0 else CONT, part, fin=i == len(parts) - 1, rsv=4 if i == 0 else 0) for i, part in enumerate(parts)]


deflate_cases()
DEFLATE = {"offer": OFFERS["client bits"]}


@each("12", [0, 1, 6, 9], **DEFLATE)
def deflate_level(s, level):
    deflater = Deflater(s.client_bits, level=level)
    for size in (10, 1000, 100000):
        s.send(*deflated(TEXT, deflater(b"abcdefghij" * size), 4)).expect(("text", "abcdefghij" * size))
    s.leaves()


@single("12", **DEFLATE)
def deflate_with_final_blocks(s):
    deflater = Deflater(s.client_bits, finals=True)
    for _ in range(3):
        s.send(*deflated(TEXT, deflater("Hello" * 30), 1)).expect(("text", "Hello" * 30))
    s.leaves()


@single("12", **DEFLATE)
def deflate_of_nothing(s):
    s.send(frame(TEXT, b"\0", rsv=4), frame(TEXT, b"", rsv=4), frame(TEXT, b"", rsv=4, fin=False), frame(CONT, b""))
    s.expect(("text", ""), ("text", ""), ("text", "")).leaves()


@single("12", **DEFLATE)
def deflate_and_control_frames(s):
    packed = Deflater(s.client_bits)(b"Hello" * 100)
    s.send(frame(TEXT, packed[:5], fin=False, rsv=4), frame(PING, b"x"), frame(CONT, packed[5:]))
    s.expect(("pong", b"x"), ("text", "Hello" * 100)).leaves()


@each("12", {"byte by byte": 1, "in packets of 7": 7}, pipes=("h1",), **DEFLATE)
def deflate_slowly(s, step):
    s.send(*deflated(TEXT, Deflater(s.client_bits)(b"Hello" * 100), 3), step=step).expect(("text", "Hello" * 100)).leaves()


@each("12", {"RSV1 of a continuation": (frame(TEXT, b"\xf2\x48", fin=False, rsv=4) + frame(CONT, b"\xcd", rsv=4), 1002),
             "RSV1 of a plain one's continuation": (frame(TEXT, b"a", fin=False) + frame(CONT, b"\xcd", rsv=4), 1002),
             "RSV1 of a ping": (frame(PING, rsv=4), 1002), "RSV1 of a close": (frame(CLOSE, rsv=4), 1002),
             "RSV2": (frame(TEXT, b"\0", rsv=6), 1002), "RSV3": (frame(TEXT, b"\0", rsv=5), 1002),
             "block type 3": (frame(TEXT, b"\x06", rsv=4), 1007),
             "ends inside of a block": (frame(TEXT, b"\xf2\x48", rsv=4), 1007),
             "ends behind a final block": (frame(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00", rsv=4), 1007),
             "distance before the start": (frame(TEXT, b"\xf2\x00\x11\x00\x00", rsv=4), 1007),
             "stored lengths differ": (frame(TEXT, b"\x00\x05\x00\x00\x00Hello\x00", rsv=4), 1007),
             "no text": (frame(TEXT, Deflater()(b"Hello \xed\xa0\x80"), rsv=4), 1007),
             "no text, then damage": (frame(TEXT, Deflater()(b"\xff" * 10)[:-1] + b"\x06", rsv=4), 1007),
             "half a character": (frame(TEXT, Deflater()(b"\xc3"), rsv=4), 1007)}, **DEFLATE)
def deflate_damaged(s, row):
    s.send(row[0]).ends(("close", row[1]))


@single("12")
def deflate_not_agreed(s):
    s.send(frame(TEXT, Deflater()(b"Hello"), rsv=4)).ends(("close", 1002))


@single("12", **DEFLATE)
def deflate_bomb(s):
    """16 KiB that become 16 MiB and one byte."""
    s.send(*deflated(BINARY, Deflater(s.client_bits, level=9)(b"\0" * ((16 << 20) + 1)), 4)).ends(("close", 1009))


@single("12", path="/ws/wide", **DEFLATE)
def deflate_bombs_that_fit(s):
    for _ in range(4):
        s.send(*deflated(BINARY, Deflater(s.client_bits, keeps=False, level=9)(b"\0" * (1 << 20)), 1))
    for _ in range(4):
        assert len(s.frame()[1]) == 1 << 20
    s.leaves()


@each("13", [16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072], **DEFLATE)
def deflate_round_trips_of(s, size):
    deflater = Deflater(s.client_bits)
    words = [b"alpha ", b"beta ", b"gamma ", b"delta "]
    for i in range(100 if size < 65536 else 20):
        text = b"".join(random.Random(i).choices(words, k=size // 5 + 1))[:size]
        s.send(*deflated(TEXT, deflater(text), 1)).expect(("text", text.decode()))
    s.leaves()


# ---- the handshake ----

GOOD = {"Host": "door", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


def shake(method="GET", version="1.1", path="/ws", body=b"", **changes):
    fields = {**GOOD, **{k.replace("_", "-"): v for k, v in changes.items()}}
    head = f"{method} {path} HTTP/{version}\r\n"
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            head += f"{name}: {one}\r\n" if one is not None else ""
    with DOOR.raw() as raw:
        return raw.send(head.encode() + b"\r\n" + body).reply(method)


HANDSHAKES = {
    "as in the RFC": (101, {}), "any letters": (101, {"Connection": "keep-alive, uPgRaDe", "Upgrade": "WebSocket"}),
    "several upgrades": (101, {"Upgrade": "foo, websocket"}),
    "no Upgrade": (426, {"Upgrade": None}), "another Upgrade": (426, {"Upgrade": "h2c"}), "no Connection": (426, {"Connection": None}),
    "Connection: close": (426, {"Connection": "close"}), "HTTP/1.0": (426, {"version": "1.0"}),
    "POST": (405, {"method": "POST"}), "HEAD": (405, {"method": "HEAD"}),
    "no version": (426, {"Sec_WebSocket_Version": None}), "version 8": (426, {"Sec_WebSocket_Version": "8"}),
    "version 14": (426, {"Sec_WebSocket_Version": "14"}), "two versions": (426, {"Sec_WebSocket_Version": "13, 8"}),
    "version twice": (426, {"Sec_WebSocket_Version": ["13", "13"]}), "version 013": (426, {"Sec_WebSocket_Version": "013"}),
    "no key": (400, {"Sec_WebSocket_Key": None}), "empty key": (400, {"Sec_WebSocket_Key": ""}),
    "short key": (400, {"Sec_WebSocket_Key": "dGhlIHNhbXBsZQ=="}), "long key": (400, {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZSE="}),
    "key that is no base64": (400, {"Sec_WebSocket_Key": "!GhlIHNhbXBsZSBub25jZQ=="}),
    "two keys": (400, {"Sec_WebSocket_Key": ["dGhlIHNhbXBsZSBub25jZQ==", "AAAAAAAAAAAAAAAAAAAAAA=="]}),
    "a body": (400, {"Content_Length": "5", "body": b"Hello"}), "a chunked body": (400, {"Transfer_Encoding": "chunked", "body": b"0\r\n\r\n"}),
    "subprotocol no token": (400, {"Sec_WebSocket_Protocol": "a b"}), "subprotocol empty": (400, {"Sec_WebSocket_Protocol": "a,,b"}),
    "extension malformed": (400, {"Sec_WebSocket_Extensions": "permessage-deflate; ="}),
    "extension quote open": (400, {"Sec_WebSocket_Extensions": "a; b=\"c"}),
    "extension unknown": (101, {"Sec_WebSocket_Extensions": "x-webkit-deflate-frame, foo; bar=\"baz\""}),
    "extension value no token": (400, {"Sec_WebSocket_Extensions": "a; b=\"c d\""}),
    "origin where all may": (101, {"Origin": "https://elsewhere.example"}),
    "origin that may": (101, {"Origin": "https://a.example", "path": "/ws/origin"}),
    "second origin that may": (101, {"Origin": "https://b.example:8443", "path": "/ws/origin"}),
    "origin that may not": (403, {"Origin": "https://elsewhere.example", "path": "/ws/origin"}),
    "origin null": (403, {"Origin": "null", "path": "/ws/origin"}),
    "origin with another port": (403, {"Origin": "https://b.example", "path": "/ws/origin"}),
    "no origin": (101, {"path": "/ws/origin"}), "no such kind": (404, {"path": "/ws/nothing"}),
}


def handshake_cases():
    for name, (status, changes) in HANDSHAKES.items():
        def one(status=status, changes=changes):
            reply = shake(**changes)
            assert reply.status == status, reply
            if status == 426:
                assert reply.field("Upgrade") == "websocket", reply
            if status == 426 and "Sec_WebSocket_Version" in changes:
                assert reply.field("Sec-WebSocket-Version") == "13", reply
            if status == 101:
                assert reply.field("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", reply
                assert not reply.field("Content-Length") and not reply.field("Transfer-Encoding"), reply
        one.__name__ = f"4.2 handshake: {name}"
        case(one)


handshake_cases()


@case
def handshake_subprotocols():
    for asked, wanted in (("echo.tarn", "echo.tarn"), ("x, echo.tarn, graphql-transport-ws", "echo.tarn"), ("x", None),
                          ("graphql-transport-ws,echo.tarn", "graphql-transport-ws"), ("Echo.Tarn", None)):
        for pipe in BOTH:
            with Socket(DOOR, pipe=pipe, protocols=asked) as s:
                assert s.pipe.field("Sec-WebSocket-Protocol") == wanted, (asked, s.pipe.reply.fields)
                s.leaves()


@case
def handshake_declined_offers_go_on_without():
    for offer in ("permessage-deflate; server_max_window_bits=8", "permessage-deflate; unknown", "permessage-deflate; client_max_window_bits=16",
                  "permessage-deflate; server_no_context_takeover=1", "permessage-bzip2"):
        for pipe in BOTH:
            with Socket(DOOR, pipe=pipe, offer=offer) as s:
                assert s.agreed is None, s.agreed
                s.send(frame(TEXT, "Hello")).expect(("text", "Hello")).leaves()


@case
def frames_in_the_packet_of_the_handshake():
    with DOOR.raw() as raw:
        head = "GET /ws HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in GOOD.items()) + "\r\n"
        raw.send(head.encode() + frame(TEXT, "early") + close(1000))
        assert raw.reply().status == 101
        assert raw.all() == b"\x81\x05early\x88\x02\x03\xe8"


@case
def over_tls():
    for pipe in BOTH:
        with Socket(DOOR, pipe=pipe, tls=True, offer=OFFERS["client bits"]) as s:
            s.send(frame(TEXT, "Hello" * 50)).expect(("text", "Hello" * 50))
            s.send(frame(BINARY, b"x" * 3000000)).expect(("binary", b"x" * 3000000)).leaves()


# ---- masks, lengths, limits ----

@each("5.3 mask", {"text": TEXT, "ping": PING, "close": CLOSE})
def frame_without_a_mask(s, opcode):
    s.send(frame(opcode, b"" if opcode == CLOSE else b"Hello", mask=None)).ends(("close", 1002))


@each("5.3 mask", {"zeros": b"\0\0\0\0", "ones": b"\xff\xff\xff\xff", "mixed": b"\x01\x80\x7f\xfe"})
def any_mask(s, mask):
    for size in (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 1000):
        data = bytes(range(256)) * 4
        s.send(frame(BINARY, data[:size], mask=mask)).expect(("binary", data[:size]))
    s.leaves()


@each("5.2 length", {"5 in 16 bits": (5, 16, 1002), "125 in 16 bits": (125, 16, 1002), "5 in 64 bits": (5, 64, 1002),
                     "65535 in 64 bits": (65535, 64, 1002), "2^63": (1 << 63, 64, 1002), "2^64-1": ((1 << 64) - 1, 64, 1002),
                     "2^62": (1 << 62, 64, 1009), "16 MiB and 1": ((16 << 20) + 1, 64, 1009)})
def length(s, row):
    claimed, wide, code = row
    s.send(frame(BINARY, b"", length=claimed, wide=wide)).ends(("close", code))


@single("limit")
def message_too_big_in_fragments(s):
    s.send(*(frame(BINARY if i == 0 else CONT, b"x" * (1 << 20), fin=False, **UNMASKED) for i in range(16)))
    s.send(frame(CONT, b"x")).ends(("close", 1009))


@each("limit", {"text": TEXT, "binary": BINARY}, path="/ws/small")
def message_of_exactly_the_maximum(s, opcode):
    s.send(frame(opcode, b"x" * (1 << 20), **UNMASKED))
    assert len(s.frame()[1]) == 1 << 20
    s.send(frame(opcode, b"x" * ((1 << 20) + 1), **UNMASKED)).ends(("close", 1009))


@single("limit", path="/ws/small")
def fragments(s):
    s.message(BINARY, b"x" * 100, 1).expect(("binary", b"x" * 100))
    s.message(BINARY, b"x" * 101, 1).ends(("close", 1008))


@single("limit")
def sum_of_lengths_over_64_bits(s):
    s.send(frame(BINARY, b"x", fin=False), frame(CONT, b"", length=(1 << 63) - 1, wide=64)).ends(("close", 1009))


@single("limit", path="/ws/idle")
def idle_is_closed(s):
    for _ in range(3):
        time.sleep(0.5)  # of 1.2 s: three of them are more
        s.send(frame(TEXT, "here")).expect(("text", "here"))
    s.expect(("close", 1000)).send(close(1000)).ends()


@single("limit", path="/ws/quick")
def quiet_peer_is_pinged(s):
    for _ in range(4):
        s.expect(("ping", b"")).send(frame(PONG))
    s.send(frame(TEXT, "alive")).expect(("text", "alive")).leaves()


@single("limit", path="/ws/quick")
def peer_that_answers_no_ping_is_cut(s):
    started = time.monotonic()
    s.ends(("ping", b""))
    assert 0.6 < time.monotonic() - started < 10  # not by the first ping's time, 0.5 s
    saw("1006 /ws/quick")


# ---- the server closes ----

def saw(text):
    """The handler was told so."""
    assert soon(lambda: text in DOOR.ask("GET", "/ws-closed").body.decode()), DOOR.ask("GET", "/ws-closed").body.decode()


@each("close", [1000, 1001, 1011, 1013, 4999], path="/ws/command")
def server_says_goodbye(s, code):
    """What it sends behind its close frame does not go out; what we send is dropped until our answer."""
    s.send(frame(TEXT, f"close {code} so long")).expect(("close", code))
    s.send(frame(TEXT, "flood 10 10"), frame(PING, b"x"), close(code)).ends()


@single("close", path="/ws/command")
def server_that_gets_no_answer_ends(s):
    started = time.monotonic()
    s.send(frame(TEXT, "close 4321 bye")).ends(("close", 4321))
    assert 0.2 < time.monotonic() - started < 10
    saw("1006 /ws/command")


@single("close", path="/ws/command")
def server_pings(s):
    s.send(frame(TEXT, "ping are you there")).expect(("ping", b"are you there")).send(frame(PONG, b"are you there")).leaves()


@single("close")
def half_closed_without_a_close_frame(s):
    s.send(frame(TEXT, "Hello")).expect(("text", "Hello"))
    s.pipe.half_close()
    s.ends()
    saw("1006 /ws ")


@single("close")
def dropped_in_the_middle_of_a_frame(s):
    s.send(frame(TEXT, "Hello")).expect(("text", "Hello")).send(frame(TEXT, b"x" * 1000)[:500])
    s.pipe.drop()
    assert soon(lambda: DOOR.ask("GET", "/ws-closed").body.startswith(b"1006"))


@each("close", {"text": (close(4001, "grüße"), "4001 /ws grüße"), "none": (close(), "1005 /ws "), "broken": (frame(3), "1002 /ws a reserved opcode")})
def handler_is_told(s, row):
    s.send(row[0])
    assert s.next()[0] == "close"
    s.ends()
    saw(row[1])


# ---- both ways at once ----

@single("pressure", path="/ws/command")
def flood_as_the_client_takes(s):
    """200 MB leave the server at the client's pace; its memory stays flat."""
    before = DOOR.memory_kib()
    s.send(frame(TEXT, "flood 2000 100000"))
    time.sleep(0.2)
    for _ in range(2000):
        assert len(s.frame()[1]) == 100000
    assert DOOR.memory_kib() - before < 40 << 10, (before, DOOR.memory_kib())
    s.leaves()


@single("pressure", pipes=("h1",), path="/ws/command", receive=4096)
def pour_over_the_queue_is_cut(s):
    """The handler does not look at what waits: 40 MB are more than its 8 MiB."""
    s.send(frame(TEXT, "pour 400 100000"))
    heard = 0
    try:
        while s.frame():
            heard += 1
    except (Wrong, ConnectionError):
        pass
    assert heard < 400, heard
    saw("1006 /ws/command")


@single("pressure", pipes=("h1",), receive=4096)
def echo_to_a_client_that_does_not_read(s):
    """The server stops reading: what we can send is bounded by the buffers of the two sockets and its queue."""
    sock = s.pipe.raw.sock
    sock.settimeout(0.5)
    piece, sent = frame(BINARY, b"x" * 65536, **UNMASKED), 0
    try:
        while sent < 200 << 20:
            sent += sock.send(piece)
    except TimeoutError:
        pass
    assert sent < 30 << 20, sent


@single("pressure", path="/ws/command")
def handler_that_rests(s):
    started = time.monotonic()
    s.send(frame(TEXT, "rest 300"), frame(TEXT, "later"))
    s.expect(("text", "later"))
    assert time.monotonic() - started > 0.2
    s.leaves()


@case
def many_connections_rest_small():
    """1,000 open WebSockets that have spoken, compressed both ways."""
    sockets, before = [], DOOR.memory_kib()
    for _ in range(1000):
        s = Socket(DOOR, offer=OFFERS["client bits"])
        s.send(*deflated(TEXT, Deflater(s.client_bits)(b"Hello" * 40), 1)).expect(("text", "Hello" * 40))
        sockets.append(s)
    each_kib = (DOOR.memory_kib() - before) / 1000
    print(f"     {each_kib:.1f} KiB each with windows of 12 bits")
    for s in sockets:
        s.close()
    assert each_kib < 80, each_kib


@case
def drain_says_1001():
    for pipe in BOTH:
        with Door() as door:
            talks, silent = Socket(door, pipe=pipe), Socket(door, "/ws/command", pipe)  # which waits 0.3 s for an answer
            for s in (talks, silent):
                s.send(frame(TEXT, "Hello")).expect(("text", "Hello"))
            door.process.terminate()
            talks.expect(("close", 1001)).send(close(1001))
            talks.ends()
            silent.ends(("close", 1001))


@case
def random_frames_never_hang():
    """Random cuts of random frames: an echo, a close frame, or the end, and the door lives."""
    seed = int(os.environ.get("TARN_SEED", "1"))
    rng = random.Random(seed)
    for round in range(150):
        with Socket(DOOR, pipe="h1", offer=OFFERS["client bits"] if round & 1 else None) as s:
            data = b"".join(frame(rng.choice((0, 1, 2, 3, 8, 9, 10)), rng.randbytes(rng.choice((0, 1, 125, 200))),
                                  fin=rng.random() < 0.7, rsv=rng.choice((0, 0, 0, 4, 1)),
                                  mask=rng.choice((b"abcd", b"abcd", b"abcd", None))) for _ in range(rng.randint(1, 6)))
            for _ in range(rng.randint(0, 3)):
                at = rng.randrange(len(data))
                data = data[:at] + rng.randbytes(1) + data[at + 1:]
            s.send(data)
            s.pipe.half_close()
            while s.frame():
                pass
    assert DOOR.ask("GET", "/fixed").status == 200, seed


run()
