"""Hostile tabular files, made from nothing but the standard library and PyArrow. Each is (name, kind, bytes, wanted):
REFUSE: must be an error that names the object; TAKE: is odd but right, with the number of rows; EITHER: an error or rows,
but no crash, no hang, and the server goes on."""
import gzip
import io
import json
import os
import random
import struct
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

REFUSE, EITHER = "refuse", "either"


def good_csv(rows=1000):
    return "a,b,c\n" + "".join(f"{i},text {i},{i * 0.5}\n" for i in range(rows))


def good_parquet(rows=1000, **more):
    table = pa.table({"a": range(rows), "b": [f"text {i % 50}" for i in range(rows)], "c": [i * 0.5 for i in range(rows)]})
    out = io.BytesIO()
    pq.write_table(table, out, **more)
    return out.getvalue()


def gzip_bomb(gib):
    """`gib` GiB of zeros as members of 64 MiB each."""
    member = gzip.compress(b"0" * (64 << 20), 6)
    return member * (gib * 16)


def csv_cases():
    text = good_csv()
    gz = gzip.compress(text.encode())
    yield "ragged-long.csv", "csv", (text + "1,2,3,4,5\n" + good_csv(20)[6:]).encode(), REFUSE
    yield "ragged-short.csv", "csv", (text + "1\n" * 3 + good_csv(20)[6:]).encode(), REFUSE
    yield "unclosed-quote.csv", "csv", (text + '5,"never closed,1\n' + good_csv(1000)[6:]).encode(), REFUSE
    yield "text-behind-quote.csv", "csv", (text + '5,"x"y,1\n').encode(), REFUSE
    yield "invalid-utf8.csv", "csv", text.encode() + b"7,\xff\xfe\xc3\x28,1\n", REFUSE
    yield "latin1.csv", "csv", "a,b\n1,M\xfcnchen\n".encode("latin-1"), REFUSE
    yield "utf16-no-bom.csv", "csv", text.encode("utf-16-le"), REFUSE
    yield "utf16-bom.csv", "csv", text.encode("utf-16"), REFUSE
    yield "utf32.csv", "csv", text.encode("utf-32"), REFUSE
    yield "nul.csv", "csv", text.encode() + b"1,a\0b,2\n", REFUSE
    yield "nul-only.csv", "csv", b"\0" * 100000, REFUSE
    yield "empty.csv", "csv", b"", REFUSE
    yield "newline-only.csv", "csv", b"\n\n\n", EITHER
    yield "header-only.csv", "csv", b"a,b,c\n", 0
    yield "bom.csv", "csv", b"\xef\xbb\xbf" + text.encode(), 1000
    yield "crlf.csv", "csv", text.replace("\n", "\r\n").encode(), 1000
    yield "no-last-newline.csv", "csv", text.rstrip("\n").encode(), 1000
    yield "quoted-newline.csv", "csv", b'a,b\n1,"x\ny"\n2,"z"\n', 2
    yield "million-columns.csv", "csv", b",".join(b"c%d" % i for i in range(10**6)) + b"\n" + b",".join([b"1"] * 10**6) + b"\n", REFUSE
    yield "one-64MiB-field.csv", "csv", b"a,b\n1," + b"x" * (64 << 20) + b"\n", REFUSE
    yield "one-32MiB-line.csv", "csv", b"a,b\n" + b"1" * (32 << 20), REFUSE
    yield "one-64MiB-quoted.csv", "csv", b'a,b\n1,"' + b"x,\n" * (22 << 20) + b'"\n', REFUSE
    yield "cut.csv.gz", "csv", gz[:len(gz) * 3 // 4], REFUSE
    yield "cut-in-trailer.csv.gz", "csv", gz[:-3], REFUSE
    yield "wrong-crc.csv.gz", "csv", gz[:-8] + struct.pack("<I", zlib.crc32(b"x")) + gz[-4:], REFUSE
    yield "wrong-length.csv.gz", "csv", gz[:-4] + struct.pack("<I", 7), REFUSE
    yield "garbage-behind.csv.gz", "csv", gz + b"garbage" * 20, REFUSE
    yield "two-members.csv.gz", "csv", gz + gzip.compress(good_csv(10)[6:].encode()), 1010
    yield "bomb-10GiB.csv.gz", "csv", gzip_bomb(10), REFUSE
    yield "empty.csv.gz", "csv", gzip.compress(b""), REFUSE
    yield "zip-as.csv", "csv", b"PK\x03\x04" + os.urandom(1000), REFUSE
    yield "png-as.csv", "csv", b"\x89PNG\r\n\x1a\n" + os.urandom(1000), REFUSE
    yield "parquet-as.csv", "csv", good_parquet(), REFUSE
    yield "random.csv", "csv", random.Random(1).randbytes(100000), REFUSE


def json_cases():
    rows = "\n".join(json.dumps({"a": i, "b": f"t{i}"}) for i in range(1000)) + "\n"
    yield "deep-array.json", "json", b"[" * 10**5 + b"]" * 10**5, REFUSE
    yield "deep-object.json", "json", b'{"a":' * 10**5 + b"1" + b"}" * 10**5, REFUSE
    yield "deep-unclosed.json", "json", b"[" * 10**6, REFUSE
    yield "deep-in-row.json", "json", (rows + '{"a":' + "[" * 5000 + "]" * 5000 + "}\n").encode(), REFUSE
    yield "nan.json", "json", b'[{"a":NaN},{"a":1}]', REFUSE
    yield "infinity.json", "json", b'{"a":Infinity}\n{"a":1}\n', REFUSE
    yield "scalars.json", "json", b"1\n2\n3\n", REFUSE
    yield "scalar-array.json", "json", b"[1,2,3]", REFUSE
    yield "cut.json", "json", b'[{"a":1},{"a":2},{"a"', REFUSE
    yield "trailing-comma.json", "json", b'[{"a":1},]', REFUSE
    yield "single-quotes.json", "json", b"[{'a':1}]", REFUSE
    yield "comment.json", "json", b'[{"a":1} /* x */]', REFUSE
    yield "broken-row.json", "json", (rows + '{"a": oops}\n' + rows).encode(), REFUSE
    yield "invalid-utf8.json", "json", b'{"a":"\xff\xfe"}\n', REFUSE
    yield "lone-surrogate.json", "json", b'{"a":"\\ud800"}\n', EITHER
    yield "control-in-string.json", "json", b'{"a":"x\ny"}\n', REFUSE
    yield "empty.json", "json", b"", REFUSE
    yield "spaces.json", "json", b"   \n  \n", REFUSE
    yield "empty-array.json", "json", b"[]", EITHER
    yield "200k-keys.json", "json", json.dumps({f"k{i}": i for i in range(200000)}).encode(), REFUSE
    yield "64MiB-string.json", "json", b'{"a":"' + b"x" * (64 << 20) + b'"}', REFUSE
    yield "huge-number.json", "json", b'{"a":1e400}\n', EITHER
    yield "long-number.json", "json", b'{"a":' + b"9" * 100000 + b"}\n", EITHER
    yield "mixed-types.json", "json", b'{"a":1}\n{"a":"x"}\n{"a":[1]}\n', EITHER
    yield "duplicate-keys.json", "json", b'{"a":1,"a":2}\n', EITHER
    yield "rows.json", "json", rows.encode(), 1000
    yield "rows-crlf.json", "json", rows.replace("\n", "\r\n").encode(), 1000
    yield "rows-two-on-a-line.json", "json", b'{"a":1}{"a":2}', EITHER
    yield "cut.json.gz", "json", gzip.compress(rows.encode())[:-20], REFUSE
    yield "wrong-crc.json.gz", "json", gzip.compress(rows.encode())[:-8] + b"\0" * 8, REFUSE
    yield "text-behind.json", "json", b'[{"a":1}] and more', REFUSE
    yield "random.json", "json", random.Random(2).randbytes(100000), REFUSE


def deep_parquet_schema(levels):
    """A footer of nested groups, `levels` deep, in Thrift's compact protocol."""
    def varint(n):
        out = b""
        while n >= 0x80:
            out += bytes([n & 0x7F | 0x80])
            n >>= 7
        return out + bytes([n])
    group = lambda name, children: b"\x35\x00\x18" + varint(len(name)) + name + b"\x15" + varint(children * 2) + b"\x00"
    leaf = b"\x15\x02\x25\x00\x18\x01x\x00"
    elements = b"\x48" + b"\x06schema" + b"\x15\x02\x00" + group(b"g", 1) * (levels - 1) + leaf
    count = levels + 1
    footer = b"\x15\x04\x19\xfc" + varint(count) + elements + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def parquet_cases():
    good = good_parquet()
    footer_len = struct.unpack("<I", good[-8:-4])[0]
    footer_at = len(good) - 8 - footer_len
    yield "good.parquet", "parquet", good, 1000
    yield "empty.parquet", "parquet", b"", REFUSE
    yield "magic-only.parquet", "parquet", b"PAR1", REFUSE
    yield "magic-twice.parquet", "parquet", b"PAR1PAR1", REFUSE
    yield "cut.parquet", "parquet", good[:len(good) // 2], REFUSE
    yield "cut-last-byte.parquet", "parquet", good[:-1], REFUSE
    yield "footer-too-long.parquet", "parquet", good[:-8] + struct.pack("<I", 0x7FFFFFFF) + b"PAR1", REFUSE
    yield "footer-of-zero.parquet", "parquet", good[:-8] + struct.pack("<I", 0) + b"PAR1", REFUSE
    yield "footer-a-byte-short.parquet", "parquet", good[:-8] + struct.pack("<I", footer_len - 1) + b"PAR1", REFUSE
    yield "encrypted-magic.parquet", "parquet", good[:-4] + b"PARE", REFUSE
    yield "deep-schema.parquet", "parquet", deep_parquet_schema(50000), REFUSE
    yield "data-cut-out.parquet", "parquet", good[:4] + good[footer_at:], REFUSE
    yield "footer-zeros.parquet", "parquet", good[:footer_at] + b"\0" * footer_len + good[-8:], REFUSE
    yield "csv-as.parquet", "parquet", good_csv().encode(), REFUSE
    yield "thrift-bomb.parquet", "parquet", b"PAR1" + b"\x15\x04\x19\xfc\xff\xff\xff\xff\x07" + struct.pack("<I", 9) + b"PAR1", REFUSE
    yield "zero-pages.parquet", "parquet", good[:4] + b"\0" * (footer_at - 4) + good[footer_at:], REFUSE
    dice = random.Random(3)
    for i in range(16):
        damaged = bytearray(good)
        at = footer_at + dice.randrange(footer_len)
        damaged[at] ^= 1 << dice.randrange(8)
        yield f"footer-flip-{i}.parquet", "parquet", bytes(damaged), EITHER
    for i in range(8):
        damaged = bytearray(good)
        for _ in range(20):
            damaged[4 + dice.randrange(footer_at - 4)] ^= 1 << dice.randrange(8)
        yield f"page-flips-{i}.parquet", "parquet", bytes(damaged), EITHER


def all_cases():
    yield from csv_cases()
    yield from json_cases()
    yield from parquet_cases()
