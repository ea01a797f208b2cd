"""The same bytes to nginx: its answers are those of the table, but for the differences that differences.py explains.
A difference that is gone fails as well."""
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import raw
from cases import HOST, all_rows
from checks import check, close
from differences import BARE, DIFFERENCES, GOOD_DIFFERENCES, TAKES, WAITS, by_name
from good import CLOSES, KEEPS
from peers import nginx

LAST = b"GET /fixed HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


def answers(address, data, methods=()):
    got, ended = raw.ask(address, data, seconds=1)
    try:
        return [reply.status for reply in raw.take_replies(got, methods)], ended
    except raw.Broken:
        return BARE, ended


def what_it_does(statuses):
    if statuses == BARE:
        return BARE
    if not statuses:
        return WAITS
    if len(statuses) == 1 and statuses[0] >= 400:
        return statuses[0]
    return TAKES if statuses[-1] == 200 else f"takes, then {statuses[-1]}"


def bad_row(address, row):
    name, section, wanted, data, _ = row
    statuses, _ = answers(address, data + LAST)
    did, explained = what_it_does(statuses), by_name(DIFFERENCES).get(name)
    if explained is None:
        check(f"{name} ({section})", did in (wanted if isinstance(wanted, set) else {wanted}),
              f"nginx gives {statuses}, the table {wanted}, and no difference is explained")
    else:
        check(name, did == explained, f"nginx {did} ({statuses}), explained is {explained}")


def good_row(address, row):
    name, wanted, data, methods = (*row, ())[:4]
    keeps = row in KEEPS
    statuses, _ = answers(address, data + (LAST if keeps else b""), methods)
    explained = by_name(GOOD_DIFFERENCES).get(name)
    if explained is not None:
        check(name, statuses == explained, f"nginx gives {statuses}, explained is {explained}")
        return
    wanted = list(wanted) + ([200] if keeps else [])
    check(name, len(statuses) == len(wanted) and all(s in w if isinstance(w, tuple) else s == w
                                                     for s, w in zip(statuses, wanted)),
          f"nginx gives {statuses}, the table {wanted}")


def main():
    names = {row[0] for row in all_rows()}
    check("differences name rows", set(by_name(DIFFERENCES)) <= names, set(by_name(DIFFERENCES)) - names)
    if not shutil.which("nginx"):
        print("nginx is not installed: nothing to compare with")
        return close()
    address = nginx()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda row: bad_row(address, row), all_rows()))
        list(pool.map(lambda row: good_row(address, row), KEEPS + CLOSES))
    return close()


if __name__ == "__main__":
    sys.exit(main())
