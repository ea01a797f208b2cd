"""What may stand in the store after a crash, and the comparison with what does.

Every key belongs to one client, so its requests follow each other. A request has a start (before its first byte is sent) and an
end (its answer was read; None: no answer came), both on one clock: a counter for kill -9, the position in the block log for
power cuts. At a cut each request that ended before it must have happened, each that began after it must not have, and
the one between may have. A state is a tuple of (version, etag), the newest first; etag MARKER: a delete marker."""
import hashlib
import random
import threading
from collections import Counter

from s3wire import Refused

MARKER = "marker"
POOL = random.Random(7).randbytes(9 << 20)
NEVER = float("inf")


def body_of(seed, size):
    """Bytes that no other seed has (from 16 bytes on), without a random generator's cost."""
    head = hashlib.md5(seed.encode()).digest()[:size]
    at = hash(seed) % 1024 if size < 8 << 20 else 0
    return head + POOL[at:at + size - len(head)]


class Request:
    __slots__ = ("start", "end", "effect")

    def __init__(self, start, effect):
        self.start, self.end, self.effect = start, None, effect

    def done_at(self, cut):
        return self.end is not None and self.end <= cut


def settled():
    """A request of long ago."""
    request = Request(0, None)
    request.end = 0
    return request


def applied(state, effect, versions):
    kind, version, etag = effect
    if kind == "put":
        return ((version, etag),) + (state if versions else ())
    if kind == "delete":
        return ((version, MARKER),) + state if versions else ()
    return tuple(entry for entry in state if entry[0] != version)  # remove


class Model:
    def __init__(self, clock):
        self.clock = clock
        self.lock = threading.Lock()
        self.buckets = {}   # name -> whether it keeps versions
        self.states = {}    # (bucket, key) -> the state at the last look
        self.requests = {}  # (bucket, key) -> [Request] since
        self.bodies = {}    # etag -> bytes, or a list of etags of parts
        self.uploads = {}   # upload -> {bucket, key, parts {number: [etag, Request]}, begun, finished, ...}
        self.begun_unknown = 0  # uploads whose id did not come back
        self.races = {}     # (bucket, key) -> {"won": [etag], "open": [etag], "lost": n}
        self.counts = Counter()

    # ---- the writers' side ----
    def body(self, seed, size):
        data = body_of(seed, size)
        etag = hashlib.md5(data).hexdigest()
        with self.lock:
            self.bodies[etag] = data
        return data, etag

    def state(self, bucket, key):
        """As its only writer knows it."""
        state = self.states.get((bucket, key), ())
        for request in self.requests.get((bucket, key), ()):
            state = applied(state, request.effect, self.buckets[bucket])
        return state

    def begin(self, bucket, key, *effect):
        request = Request(self.clock(), effect)
        with self.lock:
            self.requests.setdefault((bucket, key), []).append(request)
        return request

    def ended(self, request, version=None):
        if version is not None and request.effect[0] != "remove":
            request.effect = (request.effect[0], version, request.effect[2])
        request.end = self.clock()
        self.counts[request.effect[0]] += 1

    def refused(self, bucket, key, request):
        with self.lock:
            self.requests[bucket, key].remove(request)

    # ---- after a crash ----
    def possible(self, bucket, key, cut=NEVER):
        states = {self.states.get((bucket, key), ())}
        for request in self.requests.get((bucket, key), ()):
            if request.start >= cut:
                break
            after = {applied(state, request.effect, self.buckets[bucket]) for state in states}
            states = after if request.done_at(cut) else states | after
        return states

    def parts_of(self, etag):
        data = self.bodies.get(etag)
        return None if data is None else data if isinstance(data, bytes) else b"".join(self.bodies[part] for part in data)

    def settle(self, seen, uploads):
        """What was seen is durable: from here on it is the model."""
        self.states = {name: state for name, state in seen.items() if state}
        self.requests, self.begun_unknown, self.races = {}, 0, {}
        kept = {}
        for (bucket, key, upload), parts in uploads.items():
            old = self.uploads.get(upload, {"owner": None, "parts": {}})
            kept[upload] = {"bucket": bucket, "key": key, "begun": settled(), "finished": None, "finish": "", "owner": old["owner"],
                            "parts": {number: [etag, settled()] for number, etag in parts.items()}}
        self.uploads = kept
        used = {etag for state in self.states.values() for _, etag in state}
        used |= {etag for upload in kept.values() for etag, _ in upload["parts"].values()}
        for etag in list(used):
            parts = self.bodies.get(etag)
            used |= set(parts) if isinstance(parts, list) else set()
        self.bodies = {etag: data for etag, data in self.bodies.items() if etag in used}


def agrees(seen, state):
    return len(seen) == len(state) and all(
        etag == wanted and (version == known or known is None) for (version, etag), (known, wanted) in zip(seen, state))


class Report:
    """Findings by kind; each is a bug in the store, none is expected."""

    def __init__(self):
        self.findings, self.looked = [], Counter()

    def add(self, kind, text):
        self.findings.append((kind, text))

    def counts(self):
        return Counter(kind for kind, _ in self.findings)


def judge(report, name, seen, possible):
    if any(agrees(seen, state) for state in possible):
        return
    text = f"{name}: seen {seen}, possible {sorted(map(str, possible))[:4]}"
    visible = {bool(state) and state[0][1] != MARKER for state in possible}
    shown = bool(seen) and seen[0][1] != MARKER
    if not shown and visible == {True}:
        report.add("lost write", text)
    elif shown and visible == {False}:
        report.add("resurrected delete", text)
    elif len(seen) < min(map(len, possible)):
        report.add("lost write", text)
    else:
        report.add("wrong version", text)


def look_at_uploads(report, s3, model, bucket, cut):
    """{(bucket, key, upload): {number: etag}} that are there."""
    seen, strangers = {}, 0
    for upload, key in s3.list_uploads(bucket).items():
        seen[bucket, key, upload] = s3.list_parts(bucket, key, upload)
        known = model.uploads.get(upload)
        strangers += known is None
        if known and (known["begun"].start >= cut or known["finished"] and known["finished"].done_at(cut)):
            report.add("resurrected upload", f"{bucket}/{key} {upload} after {known['finish']}")
    if strangers > model.begun_unknown:
        report.add("unknown upload", f"{bucket}: {strangers} uploads, {model.begun_unknown} may be")
    for upload, known in model.uploads.items():
        if known["bucket"] != bucket or not known["begun"].done_at(cut):
            continue
        if known["finished"] and known["finished"].start < cut:
            continue
        report.looked["uploads"] += 1
        parts = seen.get((bucket, known["key"], upload))
        if parts is None:
            report.add("lost upload", f"{bucket}/{known['key']} {upload}")
            continue
        for number, (etag, request) in known["parts"].items():
            if request.done_at(cut) and parts.get(number) != etag:
                report.add("lost part", f"{bucket}/{known['key']} {number}: {parts.get(number)}, wanted {etag}")
    return seen


def look_at_bytes(report, s3, model, bucket, key, seen, versions):
    for at, (version, etag) in enumerate(seen):
        name = f"{bucket}/{key}" + (f"?{version}" if versions else "")
        try:
            reply = s3.get(bucket, key, version if versions else None)
        except Refused as why:
            if not (etag == MARKER and why.status in (404, 405)):
                report.add("half object", f"{name}: {why}")
            continue
        wanted = model.parts_of(etag)
        if etag == MARKER or wanted is None:
            report.add("half object", f"{name}: bytes nobody wrote, etag {etag}")
        elif reply.body != wanted or reply.etag != etag:
            report.add("half object", f"{name}: {len(reply.body)} bytes, etag {reply.etag}, wanted {len(wanted)}, {etag}")
        report.looked["objects"] += 1
    if seen and versions:
        try:
            reply = s3.get(bucket, key)
            if reply.version != seen[0][0]:
                report.add("listing", f"{bucket}/{key}: the newest is {reply.version}, listed {seen[0]}")
        except Refused as why:
            if seen[0][1] != MARKER or why.status != 404:
                report.add("half object", f"{bucket}/{key}: {why}, listed {seen[0]}")


def look_at_races(report, model, bucket, seen):
    for (where, key), race in model.races.items():
        if where != bucket:
            continue
        found = [etag for _, etag in seen.pop(key, ())]
        if len(race["won"]) > 1 or len(found) > 1:
            report.add("two winners", f"{bucket}/{key}: {race}, seen {found}")
        elif race["won"] and found != race["won"]:
            report.add("lost write", f"{bucket}/{key}: {race}, seen {found}")
        elif not race["won"] and race["lost"] and not found:
            report.add("lost write", f"{bucket}/{key}: refused as being there, {race}, and is not")
        elif found and found[0] not in race["won"] + race["open"]:
            report.add("wrong version", f"{bucket}/{key}: {race}, seen {found}")
        report.looked["races"] += 1


def look(s3, model, dice, cut=NEVER, sample=1.0):
    """Compares everything; returns (Report, states seen, uploads seen)."""
    report, states, uploads = Report(), {}, {}
    for bucket, versions in model.buckets.items():
        listed = s3.list_versions(bucket, dice.choice([7, 50, 1000]))
        current = s3.list(bucket, dice.choice([5, 50, 1000]))
        wanted = sorted((key, rows[0][1]) for key, rows in listed.items() if rows[0][1] is not None)
        if sorted((key, etag) for key, etag, _ in current) != wanted:
            report.add("listing", f"{bucket}: {len(current)} keys by ListObjectsV2, {len(wanted)} by ListObjectVersions")
        if [key for key, _, _ in current] != sorted((key for key, _, _ in current), key=str.encode):
            report.add("listing", f"{bucket}: not in order of keys")
        for key, etag, size in current:
            data = model.parts_of(etag)
            if data is not None and len(data) != size:
                report.add("half object", f"{bucket}/{key}: listed with {size} bytes of {len(data)}")
        seen = {}
        for key, rows in listed.items():
            seen[key] = tuple((version if versions else None, etag or MARKER) for version, etag, _ in rows)
            if [latest for _, _, latest in rows] != [True] + [False] * (len(rows) - 1):
                report.add("listing", f"{bucket}/{key}: IsLatest of {rows}")
        for key, state in seen.items():
            if dice.random() < sample:
                look_at_bytes(report, s3, model, bucket, key, state, versions)
        states |= {(bucket, key): state for key, state in seen.items()}
        look_at_races(report, model, bucket, seen)
        keys = {key for where, key in (*model.states, *model.requests) if where == bucket and (where, key) not in model.races}
        for key in keys | seen.keys():
            judge(report, f"{bucket}/{key}", seen.get(key, ()), model.possible(bucket, key, cut))
            report.looked["keys"] += 1
        uploads |= look_at_uploads(report, s3, model, bucket, cut)
    return report, states, uploads
