#!/usr/bin/env python3
"""Writes what each case of the suite says, without reading the answers, as inputs of fuzz/fuzz_h2.c.

usage: make_corpus.py FOLDER
"""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import cases
import cases_frames  # noqa: F401
import cases_hpack  # noqa: F401
import cases_http  # noqa: F401
import cases_limits  # noqa: F401
import wire

BYTES_MAX = 3000
OWN = {wire.INITIAL_WINDOW_SIZE: 1 << 20, wire.MAX_CONCURRENT_STREAMS: 256}


class Silent(wire.H2):
    """A connection to nobody: everything that is asked of the server is taken as given."""

    def __init__(self, sends, hello):
        self.said, self.authority, self.scheme, self.tls = b"", "127.0.0.1:80", "http", False
        self.log, self.pings, self.server, self.server_window = [], 0, dict(OWN), 4 << 20
        self.opens_windows = False
        self.decoder = wire.hpack.Decoder()
        self.socket = self
        if hello and sends:
            self.settings(*sends)

    def raw(self, octets):
        self.said += octets
        if len(self.said) > BYTES_MAX:
            raise wire.Mismatch("enough")

    sendall = raw

    def close(self):
        pass

    def settimeout(self, _):
        pass

    def until(self, wanted, wait_s=0):
        return wire.Frame(wire.DATA, wire.END_STREAM, 1, b"\0")

    def next(self, wait_s=0):
        raise wire.Mismatch("nobody answers")

    def connection_error(self, *codes, stream_too=None):
        return wire.Frame(wire.GOAWAY, 0, 0, bytes(8))

    def reply(self, stream=1, wait_s=0):
        r = wire.Reply()
        r.status, r.ended = 200, True
        return r

    answered = refused = reply

    def stream_error(self, stream, *codes):
        self.barrier()

    def barrier(self):
        self.frame(wire.PING, 0, 0, b"barrier!")
        return []


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    seen = set()
    for at, case in enumerate(cases.CASES):
        made = []

        def connect(*sends, hello=True):
            made.append((Silent(sends, hello), hello))
            return made[-1][0]
        try:
            case.run(connect)
        except Exception:  # what was said so far is an input as well
            pass
        for connection, hello in made:
            octets = bytes([(1 if hello else 0) | (at % 128) << 1]) + connection.said[:BYTES_MAX]
            if octets[1:] in seen:
                continue
            seen.add(octets[1:])
            (folder / re.sub(r"[^a-z0-9]+", "-", case.name.lower())[:80].strip("-")).write_bytes(octets)
    print(f"{len(seen)} inputs")


if __name__ == "__main__":
    main()
