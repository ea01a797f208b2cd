"""A client that puts, overwrites, copies, deletes, uploads in parts and lists, and tells the model of each request."""
import hashlib
import random

from model import MARKER, Request
from s3wire import S3, Refused, Unknown

SIZES = [0, 1, 17, 900, 4096, 20_000, 65_536, 65_537, 131_072, 131_073, 200_000, 700_000]
PART = 5 << 20
KEYS = 10
VERSIONS = 6  # of a key, roughly


class Wrong(Exception):
    """An answer that the model does not allow."""


class Client:
    def __init__(self, model, admin, name, seed, big=0.01, tag=0, races=True):
        self.model, self.s3, self.name, self.tag, self.why = model, S3(admin), name, tag, None
        self.answered = None  # an error of the server's own: it may have happened, and a kill is no excuse for it
        self.dice, self.number = random.Random(seed), 0
        self.wrong = []
        self.actions = [(self.put, 30), (self.put_if_absent, 8), (self.put_if_match, 8), (self.delete, 14), (self.delete_several, 4),
                        (self.delete_version, 6), (self.copy, 8), (self.read, 10), (self.lists, 3), (self.parts, 100 * big),
                        (self.parts_go_on, 100 * big), (self.race, 5 * races)]

    # ---- small helpers ----
    def bucket(self):
        return self.dice.choice(list(self.model.buckets))

    def key(self):
        return f"{self.name}/{self.dice.randrange(KEYS)}"

    def fresh(self, size=None):
        self.number += 1
        size = self.dice.choice(SIZES) if size is None else size
        return self.model.body(f"{self.name} {self.number} {self.dice.random()}", size)

    def there(self, bucket, key):
        """The etag of the key's object, or None."""
        state = self.model.state(bucket, key)
        return state[0][1] if state and state[0][1] != MARKER else None

    def write(self, bucket, key, effect, call, expected=None):
        """One request of one key. `expected`: the error that the model foresees, or None."""
        request = self.model.begin(bucket, key, *effect)
        try:
            reply = call()
        except Refused as why:
            if why.status >= 500:
                raise Unknown(str(why)) from why
            self.model.refused(bucket, key, request)
            if why.code != expected:
                raise Wrong(f"{bucket}/{key} {effect}: {why}, expected {expected}, state {self.model.state(bucket, key)}") from why
            return None
        self.model.ended(request, reply.version if self.model.buckets[bucket] else None)
        if expected:
            raise Wrong(f"{bucket}/{key} {effect}: taken, expected {expected}")
        return reply

    # ---- requests ----
    def put(self):
        bucket, key, (data, etag) = self.bucket(), self.key(), self.fresh()
        reply = self.write(bucket, key, ("put", None, etag),
                           lambda: self.s3.put(bucket, key, data, signed_body=self.dice.random() < 0.3))
        if reply.etag != etag:
            raise Wrong(f"{bucket}/{key}: etag {reply.etag}, sent {etag}")
        if len(self.model.state(bucket, key)) > VERSIONS:
            self.remove(bucket, key, self.model.state(bucket, key))

    def put_if_absent(self):
        bucket, key, (data, etag) = self.bucket(), self.key(), self.fresh()
        self.write(bucket, key, ("put", None, etag), lambda: self.s3.put(bucket, key, data, headers={"if-none-match": "*"}),
                   "PreconditionFailed" if self.there(bucket, key) else None)

    def put_if_match(self):
        bucket, key, (data, etag) = self.bucket(), self.key(), self.fresh()
        old = self.there(bucket, key)
        given = old if old and self.dice.random() < 0.7 else "0" * 32
        self.write(bucket, key, ("put", None, etag), lambda: self.s3.put(bucket, key, data, headers={"if-match": f'"{given}"'}),
                   "NoSuchKey" if not old else None if given == old else "PreconditionFailed")

    def delete(self):
        bucket, key = self.bucket(), self.key()
        self.write(bucket, key, ("delete", None, None), lambda: self.s3.delete(bucket, key))

    def delete_several(self):
        bucket = self.bucket()
        keys = self.dice.sample([f"{self.name}/{n}" for n in range(KEYS)], 3)
        requests = [self.model.begin(bucket, key, "delete", None, None) for key in keys]
        try:
            done = self.s3.delete_many(bucket, keys)
        except Refused as why:
            raise Unknown(str(why)) from why
        for key, request in zip(keys, requests):
            row = done.get(key)
            if row is None:
                raise Wrong(f"{bucket}/{key} is not in the answer of DeleteObjects")
            self.model.ended(request, row.findtext("{*}DeleteMarkerVersionId") if self.model.buckets[bucket] else None)

    def delete_version(self):
        buckets = [bucket for bucket, versions in self.model.buckets.items() if versions]
        if not buckets:
            return
        bucket, key = self.dice.choice(buckets), self.key()
        state = self.model.state(bucket, key)
        if state:
            self.remove(bucket, key, state)

    def remove(self, bucket, key, state):
        version = self.dice.choice(state)[0]
        self.write(bucket, key, ("remove", version, None), lambda: self.s3.delete(bucket, key, version))

    def copy(self):
        bucket, key, other, source = self.bucket(), self.key(), self.bucket(), self.key()
        old = self.there(other, source)
        if (bucket, key) == (other, source) or (old and "-" in old):
            return  # onto itself wants other metadata; of an object in parts the copy has an etag of its own
        got = []

        def call():
            reply, etag = self.s3.copy(bucket, key, other, source)
            got.append(etag)
            return reply
        self.write(bucket, key, ("put", None, old), call, None if old else "NoSuchKey")
        if old and got != [old]:
            raise Wrong(f"copy {other}/{source}: etag {got}, source {old}")

    def read(self):
        bucket, key = self.bucket(), self.key()
        old = self.there(bucket, key)
        try:
            reply = self.s3.get(bucket, key)
        except Refused as why:
            if why.status >= 500:
                raise Unknown(str(why)) from why
            if old or why.status != 404:
                raise Wrong(f"GET {bucket}/{key}: {why}, wanted {old}") from why
            return
        if reply.etag != old or reply.body != self.model.parts_of(old):
            raise Wrong(f"GET {bucket}/{key}: etag {reply.etag}, wanted {old}")

    def lists(self):
        bucket = self.bucket()
        mine = sorted(key for key, _, _ in self.s3.list(bucket) if key.startswith(self.name + "/"))
        wanted = sorted(f"{self.name}/{n}" for n in range(KEYS) if self.there(bucket, f"{self.name}/{n}"))
        if mine != wanted:
            raise Wrong(f"list of {bucket}: {mine}, wanted {wanted}")

    def race(self):
        """Everybody wants the same new key; one may have it."""
        bucket = next(name for name, versions in self.model.buckets.items() if not versions)
        key = f"race/{self.tag}/{self.number // 4}"
        data, etag = self.fresh(2000)
        with self.model.lock:
            race = self.model.races.setdefault((bucket, key), {"won": [], "open": [], "lost": 0})
            race["open"].append(etag)
            if (bucket, key) in self.model.states:
                return race["open"].remove(etag)
        try:
            self.s3.put(bucket, key, data, headers={"if-none-match": "*"})
        except Refused as why:
            if why.code not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise Unknown(str(why)) from why
            with self.model.lock:
                race["open"].remove(etag)
                race["lost"] += 1
            return
        with self.model.lock:
            race["open"].remove(etag)
            race["won"].append(etag)

    # ---- uploads ----
    def parts(self):
        bucket, key = self.bucket(), self.key()
        begun = Request(self.model.clock(), None)
        self.model.begun_unknown += 1
        upload = self.s3.upload_begin(bucket, key)
        self.model.begun_unknown -= 1
        begun.end = self.model.clock()
        row = {"bucket": bucket, "key": key, "parts": {}, "begun": begun, "finished": None, "finish": "", "owner": self.name}
        self.model.uploads[upload] = row
        for number, size in ((1, PART), (2, self.dice.choice(SIZES[1:]))):
            data, etag = self.fresh(size)
            request = Request(self.model.clock(), None)
            row["parts"][number] = [etag, request]
            got = self.s3.upload_part(bucket, key, upload, number, data)
            request.end = self.model.clock()
            if got != etag:
                raise Wrong(f"part {number} of {bucket}/{key}: etag {got}, sent {etag}")
        if self.dice.random() < 0.6:
            self.finish(upload)

    def parts_go_on(self):
        mine = [upload for upload, row in self.model.uploads.items() if row["owner"] == self.name and not row["finished"]]
        if mine:
            self.finish(self.dice.choice(mine))

    def finish(self, upload):
        row = self.model.uploads[upload]
        bucket, key = row["bucket"], row["key"]
        if 1 not in row["parts"] or any(request.end is None for _, request in row["parts"].values()) or self.dice.random() < 0.3:
            row["finished"], row["finish"] = Request(self.model.clock(), None), "abort"
            self.s3.upload_abort(bucket, key, upload)
            row["finished"].end = self.model.clock()
            return
        parts = sorted((number, etag) for number, (etag, _) in row["parts"].items())
        joined = b"".join(bytes.fromhex(etag) for _, etag in parts)
        etag = f"{hashlib.md5(joined).hexdigest()}-{len(parts)}"
        with self.model.lock:
            self.model.bodies[etag] = [part for _, part in parts]
        got = []

        def call():
            reply, answer = self.s3.upload_complete(bucket, key, upload, parts)
            got.append(answer)
            return reply
        row["finished"], row["finish"] = Request(self.model.clock(), None), "complete"
        self.write(bucket, key, ("put", None, etag), call)
        row["finished"].end = self.model.clock()
        self.model.counts["completed"] += 1
        if got != [etag]:
            raise Wrong(f"complete of {bucket}/{key}: etag {got}, wanted {etag}")

    def run(self, stop):
        """Until the server is gone or `stop` is set. Answers that cannot be are kept in `wrong`."""
        calls, weights = zip(*self.actions)
        try:
            while not stop.is_set():
                self.dice.choices(calls, weights)[0]()
        except Unknown as why:
            self.why = str(why)
            self.answered = self.why if isinstance(why.__cause__, Refused) else None
        except Wrong as why:
            self.wrong.append(str(why))
        except Exception as why:
            self.wrong.append(f"{type(why).__name__}: {why}")
        finally:
            self.s3.close()
