"""HPACK (RFC 7541) by hand: an encoder that can be told to be wrong, and a strict decoder for replies."""

# Appendix B: the code is canonical, so the lengths of the 256 octets and of EOS are enough.
LENGTHS = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30]
EOS = 256


def canonical():
    codes, code, last = {}, 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(LENGTHS)):
        code <<= length - last
        codes[symbol] = (code, length)
        code, last = code + 1, length
    return codes


CODES = canonical()
SYMBOLS = {(length, code): symbol for symbol, (code, length) in CODES.items()}

# Appendix A.
STATIC = [(b":authority", b""), (b":method", b"GET"), (b":method", b"POST"), (b":path", b"/"), (b":path", b"/index.html"),
          (b":scheme", b"http"), (b":scheme", b"https")] + [(b":status", s) for s in b"200 204 206 304 400 404 500".split()] + [
    (b"accept-charset", b""), (b"accept-encoding", b"gzip, deflate")] + [(n, b"") for n in (
        b"accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control "
        b"content-disposition content-encoding content-language content-length content-location content-range content-type "
        b"cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since "
        b"last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after "
        b"server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate").split()]
assert len(STATIC) == 61
PLAIN, NEVER, INDEXED = 0x00, 0x10, 0x40  # 6.2.2, 6.2.3, 6.2.1


def integer(value, bits, flags=0):
    """5.1"""
    top = (1 << bits) - 1
    if value < top:
        return bytes([flags | value])
    out = [flags | top]
    value -= top
    while value >= 128:
        out.append(0x80 | value & 0x7f)
        value >>= 7
    return bytes(out + [value])


def huffman(octets, pad=None):
    """5.2; `pad` replaces the right padding (a string of bits), None: the first bits of EOS."""
    bits = "".join(format(CODES[o][0], f"0{CODES[o][1]}b") for o in octets)
    bits += "1" * (-len(bits) % 8) if pad is None else pad
    assert len(bits) % 8 == 0, "padding"
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def string(octets, coded=False):
    octets = octets.encode() if isinstance(octets, str) else octets
    return integer(len(huffman(octets)), 7, 0x80) + huffman(octets) if coded else integer(len(octets), 7) + octets


def literal(name, value, kind=PLAIN, coded=False):
    """A new name, or the index of a name."""
    head = integer(name, 6 if kind == INDEXED else 4, kind) if isinstance(name, int) else bytes([kind]) + string(name, coded)
    return head + string(value, coded)


def indexed(index):
    return integer(index, 7, 0x80)


def resize(size):
    """6.3"""
    return integer(size, 5, 0x20)


def block(fields):
    """Literals that leave the tables alone; what is bytes already stands as it is."""
    return b"".join(f if isinstance(f, bytes) else literal(*f) for f in fields)


class Broken(Exception):
    pass


class Decoder:
    """Strict: a server that encodes wrongly fails the case."""

    def __init__(self, size_max=4096):
        self.table, self.size, self.size_max, self.allowed = [], 0, size_max, size_max
        self.must_shrink_to = None

    def allow(self, size):
        """Our SETTINGS_HEADER_TABLE_SIZE has been acknowledged: 4.2 asks for an update when it shrank."""
        if size < self.size_max:
            self.must_shrink_to = size
        self.allowed = size

    def evict(self, room):
        while self.table and self.size > room:
            name, value = self.table.pop()
            self.size -= len(name) + len(value) + 32

    def entry(self, index):
        if index == 0 or index > 61 + len(self.table):
            raise Broken(f"index {index}")
        return STATIC[index - 1] if index <= 61 else self.table[index - 62]

    def decode(self, data):
        at, fields = 0, []

        def number(bits):
            nonlocal at
            top = (1 << bits) - 1
            value, shift = data[at] & top, 0
            at += 1
            if value < top:
                return value
            while True:
                octet = data[at]
                at += 1
                value += (octet & 0x7f) << shift
                shift += 7
                if not octet & 0x80:
                    return value

        def text():
            nonlocal at
            coded = data[at] & 0x80
            length = number(7)
            if at + length > len(data):
                raise Broken("a string beyond the block")
            raw = data[at:at + length]
            at += length
            return unhuffman(raw) if coded else raw

        try:
            while at < len(data):
                first = data[at]
                if first & 0xe0 == 0x20:
                    size = number(5)
                    if fields or size > self.allowed:
                        raise Broken(f"size update {size}")
                    self.size_max, self.must_shrink_to = size, None
                    self.evict(size)
                    continue
                if self.must_shrink_to is not None and self.must_shrink_to < self.size_max:
                    raise Broken("no size update after the setting shrank")
                if first & 0x80:
                    fields.append(self.entry(number(7)))
                    continue
                keeps = bool(first & 0x40)
                index = number(6 if keeps else 4)
                name = self.entry(index)[0] if index else text()
                value = text()
                fields.append((name, value))
                if keeps:
                    size = len(name) + len(value) + 32
                    self.evict(self.size_max - size)
                    if size <= self.size_max:
                        self.table.insert(0, (name, value))
                        self.size += size
        except IndexError:
            raise Broken("a block that ends early") from None
        return fields


def unhuffman(raw):
    out, code, length = bytearray(), 0, 0
    for octet in raw:
        for bit in range(7, -1, -1):
            code, length = code << 1 | octet >> bit & 1, length + 1
            symbol = SYMBOLS.get((length, code))
            if symbol == EOS:
                raise Broken("EOS in a string")
            if symbol is not None:
                out.append(symbol)
                code = length = 0
    if length > 7 or code != (1 << length) - 1:
        raise Broken("padding")
    return bytes(out)


# RFC 7541 C.4.1 and C.6.1, so that a wrong table shows at once.
assert huffman(b"www.example.com").hex() == "f1e3c2e5f23a6ba0ab90f4ff"
assert unhuffman(bytes.fromhex("d07abe941054d444a8200595040b8166e082a62d1bff")) == b"Mon, 21 Oct 2013 20:13:21 GMT"
