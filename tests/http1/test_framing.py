"""What two readers could take differently is refused with the status that RFC 9112 asks, the connection is closed, no
handler sees it, and no byte behind it is taken for a request. Whole, in pieces, with a
request behind it, and over TLS."""
import sys
from concurrent.futures import ThreadPoolExecutor

import raw
from cases import HOST, all_rows
from checks import check, close
from good import CLOSES, KEEPS
from peers import Door, certificate

BEHIND = b"GET /fixed?behind HTTP/1.1\r\n" + HOST + b"\r\n"


def allowed(status):
    return status if isinstance(status, (set, tuple)) else {status}


def refused(address, name, wanted, data, piece, tls=False):
    got, ended = raw.ask(address, data, piece, tls=tls)
    try:
        replies = raw.take_replies(got)
    except raw.Broken as e:
        return check(name, False, e)
    statuses = [reply.status for reply in replies]
    return (check(name, len(statuses) == 1 and statuses[0] in allowed(wanted), f"{statuses or got[:100]}, wanted {wanted}")
            and check(f"{name}: closed", ended == "eof", f"the connection is {ended}")
            and check(f"{name}: says so", replies[0].field("connection") == "close", replies[0].fields))


def bad_row(address, tls_address, row):
    name, section, status, data, _ = row
    name = f"{name} ({section})"
    piece = 1 if len(data) < 2000 else 97
    refused(address, name, status, data, None)
    refused(address, f"{name}, by {piece} bytes", status, data, piece)
    refused(address, f"{name}, a request behind", status, data + BEHIND, None)
    refused(tls_address, f"{name}, over TLS, a request behind", status, data + BEHIND, None, True)


def bad(door):
    """Counts before and behind all rows: /fixed and /sink were entered by none whose head is wrong, and no body that is
    wrong came to its end."""
    for in_body, what in ((False, "entered"), (True, "ended")):
        before = door.counts()[what]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda row: bad_row(door.address(), door.address("https"), row), [row for row in all_rows() if row[4] == in_body]))
        check(f"nothing {what}", door.counts()[what] == before, f"{before} became {door.counts()[what]}")


def good_row(address, row, keeps):
    name, statuses, data, methods = (*row, ())[:4]
    statuses = statuses + ((200,) if keeps else ())
    for piece in (None, 1 if len(data) < 2000 else 97):
        got, ended = raw.ask(address, data + BEHIND, piece, seconds=5, half_close=True)
        try:
            replies = [reply.status for reply in raw.take_replies(got, methods)]
        except raw.Broken as e:
            check(name, False, e)
            continue
        check(name, len(replies) == len(statuses) and all(r in allowed(s) for r, s in zip(replies, statuses)),
              f"{replies}, wanted {statuses}")
        check(f"{name}: closed", ended == "eof", f"the connection is {ended}")


def good(door):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda row: good_row(door.address(), row, True), KEEPS))
        list(pool.map(lambda row: good_row(door.address(), row, False), CLOSES))


def main():
    with Door("--http", "127.0.0.1:0", "--https", "127.0.0.1:0", *certificate()) as door:
        good(door)
        bad(door)
        good(door)
    return close()


if __name__ == "__main__":
    sys.exit(main())
