"""Texts that are UTF-8 and bytes that are not: the well-known stress test (Markus Kuhn) and the rows of Autobahn's group 6."""

KOSME = bytes.fromhex("cebae1bdb9cf83cebcceb5")

VALID = {
    "empty": b"",
    "kosme": KOSME,
    "ascii": b"Hello",
    "umlauts": "Hello-µ@ßöäüàá-UTF-8!!".encode(),
    "first of 1": b"\0", "first of 2": b"\xc2\x80", "first of 3": b"\xe0\xa0\x80", "first of 4": b"\xf0\x90\x80\x80",
    "last of 1": b"\x7f", "last of 2": b"\xdf\xbf", "last of 3": b"\xef\xbf\xbf", "last of 4": b"\xf4\x8f\xbf\xbf",
    "before the surrogates": b"\xed\x9f\xbf", "behind the surrogates": b"\xee\x80\x80",
    "replacement": b"\xef\xbf\xbd",
    "byte order mark": b"\xef\xbb\xbf",
    "noncharacter FFFE": b"\xef\xbf\xbe", "noncharacter FFFF": b"\xef\xbf\xbf", "noncharacter FDD0": b"\xef\xb7\x90",
    "noncharacters of the planes": b"".join(chr(plane << 16 | 0xFFFE).encode() + chr(plane << 16 | 0xFFFF).encode() for plane in range(17)),
    "every length": "aé水𝄞".encode() * 5,
    "chess": "♔♕♖♗♘♙".encode(),
}

SURROGATES = [b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf"]

INVALID = {
    "in the middle": KOSME + b"\xed\xa0\x80" + b"edited",
    "above the last": KOSME + b"\xf4\x90\x80\x80" + b"edited",
    "first of 5": b"\xf8\x88\x80\x80\x80", "first of 6": b"\xfc\x84\x80\x80\x80\x80",
    "last of 5": b"\xfb\xbf\xbf\xbf\xbf", "last of 6": b"\xfd\xbf\xbf\xbf\xbf\xbf", "last of 4": b"\xf7\xbf\xbf\xbf",
    "behind the last": b"\xf4\x90\x80\x80",
    "continuation 80": b"\x80", "continuation BF": b"\xbf",
    **{f"{n} continuations": (b"\x80\xbf" * 4)[:n] for n in range(2, 8)},
    "all continuations": bytes(range(0x80, 0xc0)),
    "lonely of 2": b"".join(bytes([c]) + b" " for c in range(0xc0, 0xe0)),
    "lonely of 3": b"".join(bytes([c]) + b" " for c in range(0xe0, 0xf0)),
    "lonely of 4": b"".join(bytes([c]) + b" " for c in range(0xf0, 0xf8)),
    "lonely of 5": b"".join(bytes([c]) + b" " for c in range(0xf8, 0xfc)),
    "lonely of 6": b"\xfc \xfd ",
    "cut 2": b"\xc2", "cut 3": b"\xe1\x80", "cut 3 at EF": b"\xef\xbf", "cut 4": b"\xf1\x80\x80", "cut 4 at F4": b"\xf4\x8f\xbf",
    "cuts in a row": b"\xc2\xe1\x80\xf1\x80\x80\xef\xbf",
    "FE": b"\xfe", "FF": b"\xff", "FE FE FF FF": b"\xfe\xfe\xff\xff",
    "slash in 2": b"\xc0\xaf", "slash in 3": b"\xe0\x80\xaf", "slash in 4": b"\xf0\x80\x80\xaf", "slash in 5": b"\xf8\x80\x80\x80\xaf",
    "longest overlong 2": b"\xc1\xbf", "longest overlong 3": b"\xe0\x9f\xbf", "longest overlong 4": b"\xf0\x8f\xbf\xbf",
    "longest overlong 5": b"\xf8\x87\xbf\xbf\xbf",
    "NUL in 2": b"\xc0\x80", "NUL in 3": b"\xe0\x80\x80", "NUL in 4": b"\xf0\x80\x80\x80",
    **{f"surrogate {s.hex()}": s for s in SURROGATES},
    **{f"pair {a.hex()} {b.hex()}": a + b for a in SURROGATES[:4] for b in (SURROGATES[4], SURROGATES[6])},
    "half a character at the end": "Hello ".encode() + "ö".encode()[:1],
}
