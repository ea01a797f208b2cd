#!/usr/bin/env python3
"""gRPC against the test door: by grpcio, a client that we did not write, and by raw frames.

usage: tests/grpc/test_grpc.py [PART OF A CASE'S NAME]
"""
import itertools
import queue
import threading
import time

import grpc

from grpc_raw import TEST, Calls, field, fields, first, framed, message
from harness import Door, case, certificate, run, soon
from wire import DATA, HEADERS, Mismatch

CERTIFICATE = certificate()
DOOR = Door("--http", "127.0.0.1:0", "--https", "127.0.0.1:0", *CERTIFICATE)
WIDE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
LATER = ("", "Later")
Code = grpc.StatusCode


def channel(door=DOOR, tls=False, **more):
    address = "%s:%d" % door.address("https" if tls else "http")
    options = [*WIDE, *more.pop("options", ())]
    if not tls:
        return grpc.insecure_channel(address, options, **more)
    credentials = grpc.ssl_channel_credentials(CERTIFICATE[1].read_bytes())
    return grpc.secure_channel(address, credentials, [*options, ("grpc.ssl_target_name_override", "localhost")], **more)


def each(rows, name=None):
    rows = rows if isinstance(rows, dict) else {str(row): row for row in rows}

    def add(function):
        for label, row in rows.items():
            def one(row=row):
                function(row)
            one.__name__ = f"{function.__name__}: {label or name or 'on the loop'}"
            case(one)
        return function
    return add


def status_of(call):
    """(code, details) of the error that `call()` ends with."""
    try:
        call()
    except grpc.RpcError as e:
        return e.code(), e.details()
    raise AssertionError("no error")


def seen(door=DOOR):
    with channel(door) as c:
        reply = fields(c.unary_unary(TEST + "Seen")(b"", timeout=10))
    return {name: reply.get(number, [0])[0] for number, name in ((1, "begun"), (2, "cancelled"), (3, "freed"), (4, "messages"))}


def all_freed():
    assert soon(lambda: (now := seen())["freed"] == now["begun"]), seen()


# ---- grpcio: unary ----

@each({"clear": False, "TLS": True})
def echo_over(tls):
    with channel(tls=tls) as c:
        for method, size in itertools.product(("Echo", "EchoLater"), (0, 1, 1000, 100000, 4 << 20)):
            text = message("x" * max(0, size - 6))
            assert c.unary_unary(TEST + method)(text, timeout=20) == text


@each(LATER)
def message_too_large(later):
    with channel() as c:
        for size in ((4 << 20) + 1, 8 << 20):
            code, text = status_of(lambda: c.unary_unary(TEST + "Echo" + later)(b"x" * size, timeout=10))
            assert code == Code.RESOURCE_EXHAUSTED, (code, text)
        assert c.unary_unary(TEST + "Echo")(message("after"), timeout=5) == message("after")


@each(range(1, 17))
def status_from_the_method(status):
    with channel() as c:
        text = f"no. {status}: 100 % of größe\r\nand a line"
        code, got = status_of(lambda: c.unary_unary(TEST + "Fail")(message(status, text), timeout=5))
        assert code.value[0] == status and got == text, (code, got)


@each(LATER)
def bytes_that_are_no_message(later):
    with channel() as c:
        assert status_of(lambda: c.unary_unary(TEST + "Echo" + later)(b"\xff\xff", timeout=5))[0] == Code.INTERNAL


@case
def unknown_methods_are_unimplemented_at_once():
    with channel() as c:
        for path in (TEST + "Nothing", "/tarn.test.v1.Gone/Anything", "/no.such.Service/Method"):
            started = time.monotonic()
            code, text = status_of(lambda: c.unary_unary(path)(b"", timeout=20))
            assert code == Code.UNIMPLEMENTED and time.monotonic() - started < 5, (path, code, text)


@case
def method_that_gives_no_answer():
    with channel() as c:
        assert status_of(lambda: c.unary_unary(TEST + "Silent")(b"", timeout=5)) == (Code.INTERNAL, "the method gave no answer")
        assert status_of(lambda: c.unary_unary(TEST + "Silent")(b"x", timeout=5)) == (Code.INTERNAL, "the method did not send one message")


@case
def metadata_both_ways():
    data = bytes(range(256))
    with channel() as c:
        reply, call = c.unary_unary(TEST + "Metadata").with_call(b"", timeout=5, metadata=[("x-text", "some text"), ("x-data-bin", data)])
        assert first(reply, 1) == b"text=some text bytes=256 peer=1 left=1", reply
        trailers = dict(call.trailing_metadata())
        assert trailers["x-text"] == "some text" and trailers["x-data-bin"] == data, trailers
        code, text = status_of(lambda: c.unary_unary(TEST + "Metadata")(b"x" * 1001, timeout=5))
        assert code == Code.RESOURCE_EXHAUSTED, (code, text)


@each(LATER)
def compressed_messages_are_refused(later):
    with channel(compression=grpc.Compression.Gzip) as c:
        code, text = status_of(lambda: c.unary_unary(TEST + "Echo" + later)(message("x" * 10000), timeout=5))
        assert code == Code.UNIMPLEMENTED, (code, text)


@each({"one channel": 1, "eight channels": 8})
def a_thousand_at_once(channels):
    opened = [channel(options=[("grpc.channel_id", i)]) for i in range(channels)]
    calls = [opened[i % channels].unary_unary(TEST + ("Echo" if i & 1 else "EchoLater")).future(message(f"number {i}"), timeout=60)
             for i in range(1000)]
    for i, call in enumerate(calls):
        assert call.result() == message(f"number {i}")
    for c in opened:
        c.close()


# ---- grpcio: deadlines and cancellation ----

@case
def deadline_of_the_client():
    before = seen()
    with channel() as c:
        c.unary_unary(TEST + "Echo")(b"", timeout=20)  # the connection stands: the call reaches the server in its time
        started = time.monotonic()
        code, _ = status_of(lambda: c.unary_unary(TEST + "Sleep")(message(10000), timeout=0.5))
        assert code == Code.DEADLINE_EXCEEDED and time.monotonic() - started < 5
        assert c.unary_unary(TEST + "Sleep")(message(10), timeout=5) == message("slept")
    assert soon(lambda: seen()["cancelled"] > before["cancelled"]), seen()
    all_freed()


@case
def cancelled_by_the_client():
    before = seen()
    with channel() as c:
        calls = [c.unary_unary(TEST + "Sleep").future(message(10000), timeout=30) for _ in range(10)]
        assert soon(lambda: seen()["messages"] >= before["messages"] + 10)
        for call in calls:
            call.cancel()
        assert soon(lambda: seen()["cancelled"] >= before["cancelled"] + 10, 8), seen()  # the calls sleep for 10 s
        assert c.unary_unary(TEST + "Echo")(message("after"), timeout=5) == message("after")
    all_freed()


@each(LATER)
def stream_cancelled_in_the_middle(later):
    with channel() as c:
        for _ in range(20):
            call = c.unary_stream(TEST + "Count" + later)(message(1000000, 1000), timeout=30)
            for _, number in zip(range(10), call):
                assert first(number, 1) > 0
            call.cancel()
        assert c.unary_unary(TEST + "Echo")(message("after"), timeout=5) == message("after")
    all_freed()


@case
def deadline_of_a_chat():
    with channel() as c:
        c.unary_unary(TEST + "Echo")(b"", timeout=20)  # the connection stands
        asked = queue.Queue()
        call = c.stream_stream(TEST + "Chat")(iter(asked.get, None), timeout=1.5)
        asked.put(message("hello"))
        assert next(call) == message("hello")
        assert status_of(lambda: next(call))[0] == Code.DEADLINE_EXCEEDED
        asked.put(None)
    all_freed()


# ---- grpcio: streams ----

@each(LATER)
def count(later):
    with channel() as c:
        for count, padding in ((0, 0), (1, 0), (10000, 0), (3000, 1000), (40, 1 << 20)):
            numbers = [(first(n, 1), len(first(n, 2, b""))) for n in c.unary_stream(TEST + "Count" + later)(message(count, padding), timeout=60)]
            assert numbers == [(i + 1, padding) for i in range(count)], (count, padding, len(numbers))


@each(LATER)
def count_that_fails(later):
    with channel() as c:
        call = c.unary_stream(TEST + "Count" + later)(message(1000, 10, 500), timeout=20)
        got = []
        code, text = status_of(lambda: got.extend(call))
        assert len(got) == 500 and (code, text) == (Code.DATA_LOSS, "a number is lost"), (len(got), code, text)
        assert dict(call.trailing_metadata())["x-place"] == "here"


@each(LATER)
def reader_that_is_slow(later):
    """500 MB wait for a reader who takes 1 MB a round: the door's memory stays flat."""
    with channel() as c:
        call = c.unary_stream(TEST + "Count" + later)(message(5000, 100000), timeout=60)
        next(call)
        time.sleep(0.3)
        before = DOOR.memory_kib()
        for _ in range(5):
            for _ in range(10):
                next(call)
            time.sleep(0.05)
        assert DOOR.memory_kib() - before < 20 << 10, (before, DOOR.memory_kib())
        call.cancel()
    all_freed()


@each(LATER)
def sum_of_a_stream(later):
    with channel() as c:
        for count, padding in ((0, 0), (1, 0), (5000, 0), (200, 100000)):
            reply = c.stream_unary(TEST + "Sum" + later)((message(i, b"x" * padding) for i in range(count)), timeout=60)
            assert first(reply, 1) == sum(range(count)), (count, padding)


@each(LATER)
def sum_that_is_refused_in_the_middle(later):
    """The answer comes while the client still sends."""
    def numbers():
        for i in range(100000):
            yield message(-1 if i == 100 else i)
    with channel() as c:
        assert status_of(lambda: c.stream_unary(TEST + "Sum" + later)(numbers(), timeout=20)) == (Code.INVALID_ARGUMENT, "a number below zero")
        assert c.unary_unary(TEST + "Echo")(message("after"), timeout=5) == message("after")
    all_freed()


@each(LATER)
def chat_in_turns(later):
    with channel() as c:
        asked = queue.Queue()
        call = c.stream_stream(TEST + "Chat" + later)(iter(asked.get, None), timeout=30)
        for i in range(300):
            asked.put(message(f"line {i}"))
            assert next(call) == message(f"line {i}")
        asked.put(None)
        assert list(call) == [message("goodbye")]


@each(LATER)
def chat_at_once(later):
    with channel() as c:
        lines = [message(f"line {i} " + "x" * (i % 5000)) for i in range(3000)]
        assert list(c.stream_stream(TEST + "Chat" + later)(iter(lines), timeout=60)) == [*lines, message("goodbye")]


@case
def chat_that_the_server_ends():
    with channel() as c:
        asked = queue.Queue()
        call = c.stream_stream(TEST + "Chat")(iter(asked.get, None), timeout=10)
        asked.put(message("bye"))
        assert list(call) == [] and call.code() == Code.OK
        asked.put(None)


@case
def fifty_streams_at_once():
    with channel() as c:
        totals = []

        def one(n):
            method = "Count" + LATER[n % 2]
            totals.append(sum(len(x) for x in c.unary_stream(TEST + method)(message(300, 5000), timeout=60)))
        threads = [threading.Thread(target=one, args=(n,)) for n in range(50)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(totals) == 50 and len(set(totals)) == 1, totals


# ---- raw: framing ----

@each(LATER)
def message_in_pieces(later):
    text = message("hello, pieces")
    with Calls(DOOR) as h2:
        for i, pieces in enumerate((1, 2, 3, 4, 5, 6, 7, 100)):
            got = h2.call("Echo" + later, framed(text), stream=2 * i + 1, pieces=pieces)
            assert got.status == 0 and got.messages == [text], (pieces, got)


@each(LATER)
def messages_in_one_frame(later):
    lines = [message(f"line {i}") for i in range(200)]
    with Calls(DOOR) as h2:
        got = h2.call("Chat" + later, b"".join(framed(line) for line in lines))
        assert got.status == 0 and got.messages == [*lines, message("goodbye")], got
        got = h2.call("Chat" + later, b"".join(framed(line) for line in lines), stream=3, pieces=7)
        assert got.status == 0 and got.messages == [*lines, message("goodbye")], got


@case
def end_of_the_stream_in_a_frame_of_its_own():
    with Calls(DOOR) as h2:
        h2.begin("Echo")
        h2.data(1, framed(message("x")), end=False)
        h2.data(1, b"", end=True)
        got = h2.outcome()
        assert got.status == 0 and got.messages == [message("x")], got


@case
def shape_of_a_reply():
    with Calls(DOOR) as h2:
        got = h2.call("Echo", framed(message("x")))
        kinds = [(f.kind, f.flags & 1) for f in got.reply.frames]
        assert kinds[0] == (HEADERS, 0) and kinds[-1] == (HEADERS, 1) and {k for k in kinds[1:-1]} == {(DATA, 0)}, kinds
        head = dict(got.reply.fields)
        assert head[b"content-type"] == b"application/grpc" and b"grpc-status" not in head and head[b"grpc-accept-encoding"] == b"identity", head
        assert b"content-length" not in head and dict(got.reply.trailers) == {b"grpc-status": b"0"}, got.reply.trailers


@case
def shape_of_trailers_only():
    """An error that is known at the head is one HEADERS frame."""
    with Calls(DOOR) as h2:
        got = h2.begin("Nothing").outcome()
        assert [f.kind for f in got.reply.frames if f.kind in (HEADERS, DATA)] == [HEADERS] and got.trailers_only and got.reply.ended, got
        assert got.http == 200 and got.status == 12 and dict(got.reply.fields)[b"content-type"] == b"application/grpc", got


REFUSED = {
    "no message": (b"", (), 12), "two messages": (framed(b"") * 2, (), 12),
    "cut prefix": (b"\0\0\0", (), 13), "cut message": (framed(b"abc", length=4), (), 13),
    "flag 2": (framed(b"", 2), (), 13), "flag 255": (framed(b"", 255), (), 13),
    "flag 1, no encoding": (framed(b"x", 1), (), 13), "flag 1, identity": (framed(b"x", 1), (("grpc-encoding", "identity"),), 13),
    "flag 1, gzip": (framed(b"x", 1), (("grpc-encoding", "gzip"),), 12), "flag 1, unknown": (framed(b"x", 1), (("grpc-encoding", "zzz"),), 12),
    "a byte too large": (framed(b"", length=(4 << 20) + 1), (), 8), "4 GiB": (framed(b"", length=0xffffffff), (), 8),
    "timeout without a unit": (framed(b""), (("grpc-timeout", "1"),), 13), "timeout of 9 digits": (framed(b""), (("grpc-timeout", "123456789S"),), 13),
    "timeout below zero": (framed(b""), (("grpc-timeout", "-1S"),), 13), "timeout in h": (framed(b""), (("grpc-timeout", "1h"),), 13),
    "timeout that is over": (framed(b""), (("grpc-timeout", "0S"),), 4),
}


@each({f"{name}, Echo{later}": (*row, later) for name, row in REFUSED.items() for later in LATER})
def refused(row):
    body, more, status, later = row
    with Calls(DOOR) as h2:
        got = h2.call("Echo" + later, body, *more)
        assert got.http == 200 and got.status == status and not got.messages, got
        assert h2.call("Echo", framed(message("after")), stream=3).status == 0
    all_freed()


@each(("99999999H", "1M", "5S", "9999m", "99999999u"))
def timeout_that_is_long_enough(timeout):
    with Calls(DOOR) as h2:
        assert h2.call("EchoLater", framed(b""), ("grpc-timeout", timeout)).status == 0


@each({"gzip, but not this message": ("grpc-encoding", "gzip"), "accepts gzip": ("grpc-accept-encoding", "gzip, identity")})
def encodings_that_do_not_matter(more):
    with Calls(DOOR) as h2:
        assert h2.call("Echo", framed(b""), more).status == 0


@case
def content_types():
    for type, status in {"application/json": 415, "": 415, "application/grpc-web": 415, "application/grpc": 200,
                         "application/grpc+proto": 200, "application/grpc;charset=utf-8": 200}.items():
        with Calls(DOOR) as h2:
            got = h2.call("Echo", framed(b""), type=type)
            assert got.http == status, (type, got)



@case
def no_http2_no_grpc():
    reply = DOOR.ask("POST", TEST + "Echo", {"Content-Type": "application/grpc"}, framed(b""))
    assert reply.status == 505, reply
    assert DOOR.ask("GET", TEST + "Echo").status == 405


@each({"200m": 0.2, "1100m": 1.1, "15000u": 0.015})
def deadline_to_the_millisecond(seconds):
    """The trailers come when the time is over, not when the worker is back."""
    with Calls(DOOR) as h2:
        started = time.monotonic()
        got = h2.call("Sleep", framed(message(5000)), ("grpc-timeout", f"{int(seconds * 1e6)}u"))
        took = time.monotonic() - started
        assert got.status == 4 and seconds * 0.9 <= took < seconds + 0.5, (got, took)
    all_freed()


@each({"before a message": b"", "inside of a message": framed(b"abc", length=100), "inside of a prefix": b"\0\0"})
def reset_by_the_client(body):
    before = seen()
    with Calls(DOOR) as h2:
        for method in ("Chat", "ChatLater", "SumLater", "EchoLater"):
            stream = 2 * ("Chat", "ChatLater", "SumLater", "EchoLater").index(method) + 1
            h2.begin(method, stream=stream)
            if body:
                h2.data(stream, body, end=False)
            h2.barrier()
            h2.rst(stream)
        h2.barrier()
        assert soon(lambda: seen()["cancelled"] >= before["cancelled"] + 4, 3), (before, seen())
    all_freed()


@case
def connection_that_breaks():
    before = seen()
    h2 = Calls(DOOR)
    for i in range(20):
        h2.begin("Sleep", stream=2 * i + 1)
        h2.data(2 * i + 1, framed(message(20000)))
    assert soon(lambda: seen()["messages"] >= before["messages"] + 16)  # as many as there are workers
    h2.close()
    assert soon(lambda: seen()["cancelled"] >= before["cancelled"] + 20, 5), (before, seen())
    all_freed()


@each(LATER)
def window_that_is_closed(later):
    """Nothing is sent without a window, what waits is bounded, and it goes on when the window opens."""
    with Calls(DOOR, window=0) as h2:
        before = DOOR.memory_kib()
        h2.begin("Count" + later)
        h2.data(1, framed(message(20000, 1000)))
        time.sleep(0.3)
        seen_frames = h2.barrier()
        assert not [f for f in seen_frames if f.kind == DATA], seen_frames
        assert DOOR.memory_kib() - before < 8 << 10
        h2.back = seen_frames
        h2.window(1, 1 << 30)
        h2.opens_windows = True
        got = h2.outcome()
        assert got.status == 0 and len(got.messages) == 20000, got


@case
def fifty_closed_windows():
    """50 streams of which nothing is read: 16 MiB at most for all of them."""
    with Calls(DOOR, window=0) as h2:
        before = DOOR.memory_kib()
        for i in range(50):
            h2.begin("Count" + LATER[i & 1], stream=2 * i + 1)
            h2.data(2 * i + 1, framed(message(1000000, 1000)))
        time.sleep(0.5)
        h2.barrier()
        grown = DOOR.memory_kib() - before
        assert grown < 32 << 10, grown
    all_freed()


@case
def client_that_never_reads_is_not_read():
    """A chat whose answers are not taken: the window of the client's side closes too."""
    with Calls(DOOR, window=0) as h2:
        h2.begin("Chat")
        sent, room = 0, h2.server.get(4, 65535)
        line = framed(message("x" * 16000))
        try:
            while sent < 64 << 20:
                size = min(16384, room, h2.server_window, len(line))
                if size < len(line):
                    f = h2.next(1)
                    if f.kind == 8 and f.stream == 1:
                        room += int.from_bytes(f.payload, "big")
                    continue
                h2.data(1, line, end=False)
                sent, room, h2.server_window = sent + size, room - size, h2.server_window - size
        except Mismatch:
            pass
        assert sent < 8 << 20, sent
    all_freed()


# ---- Health and reflection ----

HEALTH = "/grpc.health.v1.Health/"


@case
def health_is_checked():
    with channel() as c:
        check = c.unary_unary(HEALTH + "Check")
        assert check(b"", timeout=5) == message(1) and check(message(""), timeout=5) == message(1)
        assert status_of(lambda: check(message("tarn.test.v1.Nothing"), timeout=5))[0] == Code.NOT_FOUND
        assert status_of(lambda: check(b"\x0a\xff", timeout=5))[0] == Code.INTERNAL
        for serving in (2, 1):
            assert DOOR.ask("PUT", "/health/tarn.test.v1.Test", body=b"%d" % serving).status == 204
            assert check(message("tarn.test.v1.Test"), timeout=5) == message(serving)


@case
def health_is_watched():
    with channel() as c:
        watch = c.unary_stream(HEALTH + "Watch")
        watches = [watch(message("watched"), timeout=20) for _ in range(20)]
        other = watch(b"", timeout=20)
        for w in watches:
            assert next(w) == message(3)
        assert next(other) == message(1)
        for serving in (1, 2, 1):
            assert DOOR.ask("PUT", "/health/watched", body=b"%d" % serving).status == 204
            for w in watches:
                assert next(w) == message(serving)
        for w in watches[:10]:
            w.cancel()
        assert DOOR.ask("PUT", "/health/watched", body=b"2").status == 204
        for w in watches[10:]:
            assert next(w) == message(2)
            w.cancel()
        other.cancel()


@case
def health_while_watchers_come_and_go():
    stop = threading.Event()

    def turn():
        n = 0
        while not stop.is_set():
            n += 1
            DOOR.ask("PUT", "/health/busy", body=b"%d" % (1 + n % 2))
    thread = threading.Thread(target=turn)
    thread.start()
    with channel() as c:
        for _ in range(100):
            w = c.unary_stream(HEALTH + "Watch")(message("busy"), timeout=20)
            next(w)
            w.cancel()
    stop.set()
    thread.join()


def reflect(version, *asked):
    """The answers to requests of {field: value}."""
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    with channel() as c:
        return [fields(answer) for answer in c.stream_stream(path)(iter([field(*a) for a in asked]), timeout=10)]


@each(("v1", "v1alpha"))
def reflection_of_services(version):
    answer, = reflect(version, (7, "*"))
    names = [first(service, 1).decode() for service in fields(answer[6][0])[1]]
    assert names == ["tarn.test.v1.Test", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                     "grpc.reflection.v1alpha.ServerReflection"], names


@each(("v1", "v1alpha"))
def reflection_of_files(version):
    asked = [(3, "test.proto"), (4, "tarn.test.v1.Test"), (4, "tarn.test.v1.Test.Echo"), (4, "tarn.test.v1.Text"),
             (4, "grpc.health.v1.HealthCheckResponse.ServingStatus"), (3, "nothing.proto"), (4, "tarn.test.v1.Nothing"),
             (5, field(1, "tarn.test.v1.Text") + field(2, 1)), (6, "tarn.test.v1.Text"), (1, "host only")]
    answers = reflect(version, *asked)
    for (number, value), answer in zip(asked, answers):
        assert first(answer[2][0], number) == (value if isinstance(value, bytes) else value.encode()), answer
    files = [first(first(answer[4][0], 1), 1).decode() if 4 in answer else None for answer in answers]
    assert files == ["test.proto"] * 4 + ["health.proto"] + [None] * 5, files
    errors = [first(answer[7][0], 1) if 7 in answer else None for answer in answers]
    assert errors == [None] * 5 + [5, 5, 5, None, 3], errors
    assert first(answers[8][5][0], 1) == b"tarn.test.v1.Text"


# ---- the end of the server ----

@case
def drain():
    """What is under way ends well, an open chat is told, new calls are not taken."""
    with Door() as door:
        with channel(door) as c:
            sleeping = c.unary_unary(TEST + "Sleep").future(message(700), timeout=20)
            asked = queue.Queue()
            chat = c.stream_stream(TEST + "Chat")(iter(asked.get, None), timeout=20)
            asked.put(message("hello"))
            assert next(chat) == message("hello")
            assert soon(lambda: seen(door)["messages"] >= 2)
            door.process.terminate()
            assert status_of(lambda: next(chat)) == (Code.UNAVAILABLE, "the server ends")
            asked.put(None)
            assert status_of(lambda: c.unary_unary(TEST + "Echo")(b"", timeout=10))[0] == Code.UNAVAILABLE
            assert sleeping.result() == message("slept")


@case
def nothing_is_left():
    all_freed()
    assert field(1, "x") == b"\n\x01x"


run()
