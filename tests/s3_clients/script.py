"""The exchanges that every client goes through, over the few things that a client does. An adapter derives from Client and
leaves out what its library has no call for."""
import hashlib
import inspect
import random
import time
import traceback

SMALL = b"bronze, silver, gold\n"
LARGE = 20 << 20
ODD_KEYS = ("a b", "ü ß/日本", "p+q", "a//b", "100%25 & ?x=1;y#z", "dots.. and ~*'()!", "deep/" * 30 + "end")


class Client:
    """What an adapter has: each call by the client's ordinary means; kind(error) says "missing", "exists" or "denied"."""

    name = "client"
    cannot = {}  # an exchange, "list buckets" or an odd key: why

    def __init__(self, place, secret=None):
        self.place, self.secret = place, secret or place.secret

    def close(self):
        pass

    def put_many(self, bucket, bodies):
        for key, body in bodies.items():
            self.put(bucket, key, body)


def refused(client, kind, call, *words, **more):
    try:
        call(*words, **more)
    except Exception as error:  # noqa: BLE001, any client has its own
        got = client.kind(error)
        if got != kind:
            raise AssertionError(f"refused as {got}, wanted {kind}: {error!r}"[:300]) from error
        return
    raise AssertionError(f"is not refused, wanted {kind}")


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what} is {got!r}, wanted {wanted!r}"[:400])


def large_body():
    return random.Random(7).randbytes(LARGE)


class Script:
    """One client in one place; its bucket is its own."""

    def __init__(self, client, bucket):
        self.client, self.bucket = client, bucket

    def buckets(self):
        self.client.make_bucket(self.bucket)
        if "list buckets" not in self.client.cannot:
            equal(self.bucket in self.client.buckets(), True, "the bucket among the buckets")

    def small(self):
        self.client.put(self.bucket, "small", SMALL)
        equal(self.client.get(self.bucket, "small"), SMALL)
        equal(self.client.size(self.bucket, "small"), len(SMALL))
        self.client.put(self.bucket, "empty", b"")
        equal(self.client.get(self.bucket, "empty"), b"")

    def large(self):
        body = large_body()
        self.client.put_large(self.bucket, "large", body)
        equal(self.client.size(self.bucket, "large"), LARGE)
        equal(hashlib.sha256(self.client.get(self.bucket, "large")).hexdigest(), hashlib.sha256(body).hexdigest(), "hash")

    def ranges(self):
        equal(self.client.range(self.bucket, "small", 8, 6), SMALL[8:14])

    def odd_keys(self):
        keys = [key for key in ODD_KEYS if key not in self.client.cannot]
        for key in keys:
            self.client.put(self.bucket, "odd/" + key, key.encode())
        for key in keys:
            equal(self.client.get(self.bucket, "odd/" + key), key.encode(), key)
        equal(sorted(self.client.keys(self.bucket, "odd/")), sorted("odd/" + key for key in keys))

    def lists(self):
        names = [f"list/{n // 10}/{n:03}" for n in range(25)]
        self.client.put_many(self.bucket, {name: b"1" for name in names})
        equal(sorted(self.client.keys(self.bucket, "list/")), names)
        equal(sorted(self.client.folders(self.bucket, "list/")), ["list/0/", "list/1/", "list/2/"])

    def pages(self):
        equal(self.client.pages(self.bucket, "list/", 10), [10, 10, 5])

    def copies(self):
        self.client.copy(self.bucket, "small", "copied/small ü+")
        equal(self.client.get(self.bucket, "copied/small ü+"), SMALL)

    def metadata(self):
        self.client.put_with(self.bucket, "meta", SMALL, "text/csv", {"colour": "blue", "city": "Koeln 50%"})
        kind, fields = self.client.fields(self.bucket, "meta")
        equal(kind, "text/csv", "content type")
        equal({key: fields.get(key) for key in ("colour", "city")}, {"colour": "blue", "city": "Koeln 50%"}, "metadata")

    def tags(self):
        self.client.set_tags(self.bucket, "small", {"owner": "me + you @ home", "cost-centre": "7+1"})
        equal(self.client.tags_of(self.bucket, "small"), {"owner": "me + you @ home", "cost-centre": "7+1"})

    def conditional(self):
        self.client.put_once(self.bucket, "once", b"first")
        refused(self.client, "exists", self.client.put_once, self.bucket, "once", b"second")
        equal(self.client.get(self.bucket, "once"), b"first")

    def missing(self):
        refused(self.client, "missing", self.client.get, self.bucket, "nobody/has/this")

    def wrong_key(self):
        other = type(self.client)(self.client.place, secret="0" * 40)
        try:
            refused(other, "denied", other.get, self.bucket, "small")
        finally:
            other.close()

    def deletes(self):
        names = [f"list/{n // 10}/{n:03}" for n in range(25)]
        self.client.delete_many(self.bucket, names)
        equal(self.client.keys(self.bucket, "list/"), [])
        self.client.delete_many(self.bucket, ["odd/" + key for key in ODD_KEYS if key not in self.client.cannot])
        equal(self.client.keys(self.bucket, "odd/"), [])


EXCHANGES = ("buckets", "small", "large", "ranges", "odd_keys", "lists", "pages", "copies", "metadata", "tags", "conditional",
             "missing", "wrong_key", "deletes")


def run(results, make, place, exchanges=EXCHANGES):
    """Every exchange of a client in a place; what it cannot do is left out and said so."""
    client = make(place)
    script = Script(client, f"{client.name.lower()}-{place.slug}")
    for name in exchanges:
        label = f"{client.name}, {place.name}: {name}"
        if name in client.cannot:
            results.line("skip", label, client.cannot[name])
            continue
        started = time.monotonic()
        try:
            getattr(script, name)()
            results.line("ok", label, took=time.monotonic() - started)
        except Exception as error:  # noqa: BLE001
            where = traceback.extract_tb(error.__traceback__)[-1]
            results.line("FAIL", label, f"{type(error).__name__}: {error}"[:500].replace("\n", " ") + f" [{where.name}:{where.lineno}]")
            if name == "buckets":
                break
    client.close()


assert all(inspect.isfunction(getattr(Script, name)) for name in EXCHANGES)
