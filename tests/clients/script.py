"""The script of exchanges that every client goes through, written once over the few things that a client does.

A client gives `name`, `can` (names of what it can do) and:

    ask(method, target, fields=(), body=None) -> Answer
    upload(target, pieces, trailers=()) -> Answer             of a length that is not told
    begin(target) -> an object with read(n) and close()       close in the middle aborts
    abort_upload(target, length, piece)                       says the length, sends one piece, goes away
    expect(method, target, body) -> (Answer, bytes of the body that were sent)
    many(targets, at_once) -> [status]
    peers(count) -> the client addresses that so many requests one after another came from
    close()

What a client cannot do is left out and said so. Go, Java and node spell the same names in their own files."""
import hashlib
import json
import time

from stand import pattern

LARGE = 16 << 20
EXCHANGES = []


class Client:
    """What most of them have alike."""

    def peers(self, count):
        return {self.ask("GET", "/headers").json["client"] for _ in range(count)}

    def close(self):
        pass


class Beginning:
    """A reply of which only some was read."""

    def __init__(self, read, close):
        self.read, self.close = read, close


class Answer:
    def __init__(self, status, fields, body=b"", trailers=None, version=None):
        self.status, self.body, self.version = status, body, version
        self.fields = {name.lower(): value for name, value in fields}
        self.trailers = {name.lower(): value for name, value in (trailers or ())}

    @property
    def json(self):
        return json.loads(self.body)


def exchange(needs=None):
    def add(function):
        EXCHANGES.append((function.__name__, needs, function))
        return function
    return add


def same(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what} {str(got)[:300]!r}, wanted {str(wanted)[:300]!r}")


def is_fixed(answer):
    same(answer.status, 200, "status")
    same(len(answer.body), int(answer.fields.get("content-length", len(answer.body))), "length")
    assert answer.json["ok"] is True


@exchange()
def small(client, stand):
    is_fixed(client.ask("GET", "/fixed"))


@exchange()
def head(client, stand):
    whole, bare = client.ask("GET", "/fixed"), client.ask("HEAD", "/fixed")
    same((bare.status, bare.body), (200, b""), "HEAD")
    same(bare.fields["content-length"], str(len(whole.body)), "its length")


@exchange()
def large_download(client, stand):
    answer = client.ask("GET", f"/bytes/{LARGE}")
    same((answer.status, len(answer.body)), (200, LARGE))
    same(hashlib.sha256(answer.body).hexdigest(), hashlib.sha256(pattern(0, LARGE)).hexdigest(), "sha256")


@exchange()
def download_without_length(client, stand):
    answer = client.ask("GET", "/bytes/1000000?length=no")
    same((answer.status, answer.fields.get("content-length")), (200, None))
    same(answer.body == pattern(0, 1000000), True, "the bytes")


@exchange()
def small_upload(client, stand):
    body = pattern(0, 10000)
    answer = client.ask("PUT", "/sink", body=body)
    same((answer.status, answer.json["bytes"], answer.json["sha256"]), (200, len(body), hashlib.sha256(body).hexdigest()))


@exchange("large upload")
def large_upload(client, stand):
    body = pattern(0, LARGE)
    answer = client.ask("PUT", "/sink", body=body)
    same((answer.status, answer.json["bytes"], answer.json["sha256"]), (200, LARGE, hashlib.sha256(body).hexdigest()))


@exchange("upload")
def upload_without_length(client, stand):
    body = pattern(0, 5000000)
    answer = client.upload("/sink", [body[at:at + 70001] for at in range(0, len(body), 70001)])
    same((answer.status, answer.json["bytes"], answer.json["sha256"]), (200, len(body), hashlib.sha256(body).hexdigest()))


@exchange("large upload")
def echoed(client, stand):
    body = pattern(7, 300000)
    same(client.ask("POST", "/echo", body=body).body == body, True, "the echo")


@exchange()
def parts(client, stand):
    part = client.ask("GET", "/bytes/1000000", [("Range", "bytes=1000-1999")])
    same((part.status, part.fields["content-range"], part.body == pattern(1000, 1000)), (206, "bytes 1000-1999/1000000", True))
    same(client.ask("GET", "/file", [("Range", "bytes=-5")]).status, 206)
    beyond = client.ask("GET", "/bytes/1000", [("Range", "bytes=1000-")])
    same((beyond.status, beyond.fields["content-range"]), (416, "bytes */1000"))


@exchange()
def no_content_and_not_modified(client, stand):
    for status in (204, 304):
        answer = client.ask("GET", f"/status/{status}")
        same((answer.status, answer.body), (status, b""))
    is_fixed(client.ask("GET", "/fixed"))


@exchange()
def error_documents(client, stand):
    for method, target, status in (("GET", "/nothing", 404), ("DELETE", "/fixed", 405), ("POST", "/early", 403)):
        answer = client.ask(method, target, body=b"x" if method == "POST" else None)
        same((answer.status, answer.fields["content-type"].split(";")[0]), (status, "application/problem+json"), target)
        same(answer.json["status"], status)


@exchange("expect")
def continue_accepted(client, stand):
    answer, sent = client.expect("PUT", "/sink", b"x" * 200000)
    same((answer.status, answer.json["bytes"], sent), (200, 200000, 200000))


@exchange("expect")
def continue_refused(client, stand):
    answer, sent = client.expect("POST", "/early", b"x" * 2000000)
    same((answer.status, sent), (403, 0))


@exchange("trailers")
def trailers_received(client, stand):
    answer = client.ask("GET", "/trailers")
    same((answer.status, answer.trailers.get("x-check")), (200, "whole"))


@exchange("send trailers")
def trailers_sent(client, stand):
    answer = client.upload("/trailers", [b"hello"], [("X-Sum", "12")])
    same((answer.status, answer.json["bytes"]), (200, 5))
    same([value for name, value in answer.json["trailers"] if name.lower() == "x-sum"], ["12"])


@exchange("begin")
def abort_of_a_download(client, stand):
    reply = client.begin(f"/bytes/{LARGE}")
    same(reply.read(100000) == pattern(0, 100000), True, "its beginning")
    reply.close()
    is_fixed(client.ask("GET", "/fixed"))


@exchange("abort upload")
def abort_of_an_upload(client, stand):
    before = stand.ended("sinkPut")
    client.abort_upload("/sink", 1 << 20, b"x" * 1000)
    is_fixed(client.ask("GET", "/fixed"))
    same(stand.ended("sinkPut"), before, "bodies that came to their end")


@exchange("begin")
def slow_reader(client, stand):
    reply, got = client.begin("/bytes/3000000"), b""
    while piece := reply.read(300000):
        got += piece
        time.sleep(0.01)  # a reader that takes its time is the case
    reply.close()
    same(got == pattern(0, 3000000), True, "the bytes")


@exchange("cut")
def a_reply_that_breaks_off(client, stand):
    try:
        answer = client.ask("GET", "/bytes/4000000?length=no&cut=1000000")
    except Exception:
        return  # that is how a client tells
    raise AssertionError(f"{len(answer.body)} bytes were taken for the whole")


@exchange("reuse")
def a_connection_is_used_again(client, stand):
    same(len(client.peers(50)), 1, "connections")


@exchange("close")
def the_server_closes(client, stand):
    first = client.ask("GET", "/headers", [("Connection", "close")])
    same(first.fields.get("connection"), "close")
    second = client.ask("GET", "/headers")
    same(first.json["client"] != second.json["client"], True, "another connection")


@exchange()
def a_large_header(client, stand):
    value = "".join(chr(33 + i % 90) for i in range(16000))
    got = dict(map(tuple, client.ask("GET", "/headers", [("X-Large", value)]).json["fields"]))
    same(next(text for name, text in got.items() if name.lower() == "x-large"), value)


@exchange("odd")
def odd_bytes_of_a_path(client, stand):
    for target, status in (("/status/20%30", 200), ("/status%2F200", 404), ("//status/200", 404), ("/status/./200", 404),
                           ("/status/../fixed", 404)):
        same(client.ask("GET", target).status, status, target)
    target = "/headers?a=%2F%zz;b=+,c&&=:@!$'()*"
    same(client.ask("GET", target).json["target"], target)


@exchange()
def compressed_reply(client, stand):
    fields = [("X-Filler", "filler " * 300 + "end"), ("Accept-Encoding", "gzip")]
    answer = client.ask("GET", "/headers", fields)
    same((answer.status, answer.fields.get("content-encoding")), (200, "gzip"))
    if answer.body[:2] == b"\x1f\x8b":
        import gzip
        answer.body = gzip.decompress(answer.body)
    same(answer.json["target"], "/headers")


@exchange("many")
def a_thousand_requests(client, stand):
    statuses = client.many([f"/fixed?{i}" for i in range(1000)], 32)
    same((len(statuses), set(statuses)), (1000, {200}))


@exchange("parallel")
def sixty_four_at_once(client, stand):
    began = time.monotonic()
    same(set(client.many(["/sleep/100"] * 64, 64)), {200})
    took = time.monotonic() - began
    assert took < 4, f"{took:.1f} s for 64 sleeps of 0.1 s"


def go_through(client, stand, results):
    for name, needs, function in EXCHANGES:
        label = f"{client.name}: {name}"
        if needs and needs not in client.can:
            results.line("skip", label, f"it cannot do it ({needs})")
            continue
        began = time.monotonic()
        try:
            function(client, stand)
            results.line("ok", label, took=time.monotonic() - began)
        except Exception as e:
            results.line("FAIL", label, f"{type(e).__name__}: {e}")
    client.close()
