"""RFC 7541: what a decoder must take and what is a decoding error (RFC 9113 4.3: COMPRESSION_ERROR)."""
import hpack
from cases import case, table
from hpack import INDEXED, NEVER, PLAIN, indexed, literal, resize, string

BAD = "COMPRESSION_ERROR"


def with_field(c, octets, stream=1):
    c.headers(stream, hpack.block(c.request()) + octets)


@table("7541", "a field is taken", {
    ("6.2.1 indexed name, kept", "generic/5/2"): literal(58, "h2spec", INDEXED),
    ("6.2.1 indexed name, kept, Huffman", "generic/5/3"): literal(58, "h2spec", INDEXED, True),
    ("6.2.1 new name, kept", "generic/5/4"): literal("x-test", "h2spec", INDEXED),
    ("6.2.1 new name, kept, Huffman", "generic/5/5"): literal("x-test", "h2spec", INDEXED, True),
    ("6.2.2 indexed name", "generic/5/6"): literal(58, "h2spec", PLAIN),
    ("6.2.2 indexed name, Huffman", "generic/5/7"): literal(58, "h2spec", PLAIN, True),
    ("6.2.2 new name", "generic/5/8"): literal("x-test", "h2spec", PLAIN),
    ("6.2.2 new name, Huffman", "generic/5/9"): literal("x-test", "h2spec", PLAIN, True),
    ("6.2.3 indexed name, never kept", "generic/5/10"): literal(58, "h2spec", NEVER),
    ("6.2.3 indexed name, never kept, Huffman", "generic/5/11"): literal(58, "h2spec", NEVER, True),
    ("6.2.3 new name, never kept", "generic/5/12"): literal("x-test", "h2spec", NEVER),
    ("6.2.3 new name, never kept, Huffman", "generic/5/13"): literal("x-test", "h2spec", NEVER, True),
    "5.2 an empty value": literal("x-test", ""), "5.2 an empty value, Huffman": b"\0" + string("x-test") + b"\x80",
    "5.2 every octet that a value may have, Huffman": literal("x-test", bytes([*range(33, 127), *range(128, 256)]), PLAIN, True),
    "5.1 a number in more octets than it needs": b"\0\x06x-test\x7f\x80\x00" + b"v" * 127})
def _(open, octets):
    with open() as c:
        with_field(c, octets)
        c.answered(1)


@case("7541 6.1", "an index of the static table", "generic/5/1")
def _(open):
    with open() as c:
        with_field(c, indexed(16))
        c.answered(1)


@case("7541 6.1", "a request of indexes alone")
def _(open):
    with open() as c:
        c.headers(1, indexed(2) + indexed(7 if c.tls else 6) + literal(4, "/fixed", INDEXED) + literal(1, c.authority, INDEXED))
        c.answered(1)
        c.headers(3, indexed(2) + indexed(7 if c.tls else 6) + indexed(63) + indexed(62))
        c.answered(3)


@case("7541 2.3.3", "the newest entry has the lowest index, over many streams")
def _(open):
    with open() as c:
        for i in range(20):
            with_field(c, literal("x-n", str(i), INDEXED), 1 + 2 * i)
            c.answered(1 + 2 * i)
        with_field(c, indexed(62 + 19), 101)
        c.answered(101)
        with_field(c, indexed(62 + 20), 103)
        c.connection_error(BAD)


@table("7541", "a decoding error", {
    ("2.3.3 an index beyond the tables", "hpack/2.3.3/1"): b"\xc6",
    ("2.3.3 a name's index beyond the tables", "hpack/2.3.3/2"): b"\x7f\x07\x00",
    "2.3.3 index 62 of an empty table": indexed(62),
    ("6.1 index 0", "hpack/6.1/1"): b"\x80",
    ("4.2 a size update behind a field", "hpack/4.2/1"): b"\x21",
    "4.2 a size update between fields": b"\x21" + literal("x", "y"),
    "6.3 a size update above the setting behind a field": resize(4097),
    ("5.2 Huffman with more than 7 bits of padding", "hpack/5.2/1"): b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff",
    ("5.2 Huffman padded with zeros", "hpack/5.2/2"): b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90",
    ("5.2 Huffman with EOS", "hpack/5.2/3"): b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f",
    "5.2 Huffman of padding alone": b"\0\x01x\x81\xff",
    "5.2 Huffman that breaks off in a code": b"\0\x01x\x82\xff\xc0",
    "5.2 a name longer than the block": b"\0\x7f\x10abc",
    "5.2 a value longer than the block": b"\0\x01x\x20abc",
    "5.1 a number that breaks off": b"\0\x7f\xff",
    "5.1 a number above 32 bits": b"\0\x7f\xff\xff\xff\xff\x7f" + b"a",
    "5.1 a number above 64 bits": b"\0\x7f" + b"\xff" * 12 + b"\x01",
    "5.1 an index of 2^64": b"\xff" + b"\x80" * 10 + b"\x01"})
def _(open, octets):
    with open() as c:
        with_field(c, octets)
        c.connection_error(BAD)


@case("7541 6.3", "a size update above SETTINGS_HEADER_TABLE_SIZE", "hpack/6.3/1")
def _(open):
    with open() as c:
        c.headers(1, resize(c.server.get(1, 4096) + 1) + hpack.block(c.request()))
        c.connection_error(BAD)


@table("7541 6.3", "size updates that are taken", {
    ("one", "generic/5/14"): resize(128), ("two", "generic/5/15"): b"\x3f\x61\x3f\xe1\x1f", "to nothing": resize(0),
    "to nothing and back": resize(0) + resize(4096)})
def _(open, octets):
    with open() as c:
        c.headers(1, octets + hpack.block(c.request()))
        c.answered(1)


@table("7541", "an entry is gone", {
    "4.3 when the table shrinks to nothing": resize(0), "4.3 when it shrinks below the entry": resize(32),
    "4.3 when it shrinks and grows again": resize(0) + resize(4096)})
def _(open, octets):
    with open() as c:
        with_field(c, literal("x-test", "kept", INDEXED))
        c.answered(1)
        with_field(c, indexed(62), 3)
        c.answered(3)
        c.headers(5, octets + hpack.block(c.request()) + indexed(62))
        c.connection_error(BAD)


@case("7541 4.4", "an entry larger than the table empties it and is no error")
def _(open):
    with open() as c:
        with_field(c, literal("x-test", "kept", INDEXED))
        c.answered(1)
        with_field(c, literal("x-test", "v" * 4096, INDEXED), 3)
        c.answered(3)
        with_field(c, indexed(62), 5)
        c.connection_error(BAD)


@case("7541 4.4", "the oldest entries leave first")
def _(open):
    with open() as c:
        for i in range(3):
            with_field(c, literal("x-test", chr(97 + i) * 1500, INDEXED), 1 + 2 * i)
            c.answered(1 + 2 * i)
        with_field(c, indexed(62) + indexed(63), 11)
        c.answered(11)
        with_field(c, indexed(64), 13)
        c.connection_error(BAD)


@case("7541 4.4", "an entry may take its name from the one that it pushes out")
def _(open):
    with open() as c:
        with_field(c, literal("x-test", "a" * 3000, INDEXED))
        c.answered(1)
        with_field(c, literal(62, "b" * 3000, INDEXED), 3)
        c.answered(3)
        with_field(c, indexed(62), 5)
        c.answered(5)


@table("7541", "does not enter the table", {"6.2.2 a literal that is not kept": PLAIN, "6.2.3 a literal that is never kept": NEVER})
def _(open, kind):
    with open() as c:
        with_field(c, literal("x-test", "v", kind))
        c.answered(1)
        with_field(c, indexed(62), 3)
        c.connection_error(BAD)


@case("9113 4.3", "a block that breaks off between HEADERS and CONTINUATION is whole")
def _(open):
    with open() as c:
        octets = hpack.block(c.request()) + literal("x-test", "value", INDEXED, True)
        c.frame(1, 1, 1, octets[:-3])
        c.frame(9, 4, 1, octets[-3:])
        c.answered(1)
