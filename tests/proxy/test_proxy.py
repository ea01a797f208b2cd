"""Behind nginx and haproxy, as docs/behind-nginx.md configures them: who the client is, through what; and who may say so."""
import hashlib
import http.client
import json
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "http"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "life"))
from proxies import Haproxy, Nginx, header_v2, settings_of  # noqa: E402
from harness import Door, Raw  # noqa: E402
from server import Authority, Server, case, context, equal, folder, holds, local, main, until  # noqa: E402

CLIENT = "127.0.0.9"  # where tests connect from, so that it differs from the proxy's own address
MADE_UP = [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"),
           ("Forwarded", "for=203.0.113.8;proto=https;host=evil.example")]


def seen_through(nginx, fields=(), source=CLIENT):
    """What GET /headers of the door behind it says of the request."""
    with nginx.connect(nginx.context(), source) as sock:
        raw = Raw(sock)
        lines = ["GET /headers HTTP/1.1", "Host: lake.example.org", "Connection: close", *(f"{n}: {v}" for n, v in fields)]
        raw.send("\r\n".join(lines) + "\r\n\r\n")
        return raw.reply().json


def address(door):
    host, port = door.address()
    return f"{host}:{port}"


def host_of(peer):
    return peer.rsplit(":", 1)[0] if peer.count(":") == 1 else peer


@case
def nginx_tells_who_asks():
    with Door("--trusted", "127.0.0.1") as door:
        nginx = Nginx(address(door))
        seen = seen_through(nginx)
        equal((host_of(seen["client"]), seen["scheme"], seen["host"]), (CLIENT, "https", "lake.example.org"))
        seen = seen_through(nginx, MADE_UP)
        equal((host_of(seen["client"]), seen["scheme"], seen["host"]), (CLIENT, "https", "lake.example.org"),
              "what the client makes up does not pass nginx")
        nginx.stop()


@case
def nobody_is_believed_who_is_not_trusted():
    for trusted in ((), ("--trusted", "10.0.0.0/8")):
        with Door(*trusted) as door:
            seen = door.ask("GET", "/headers", MADE_UP, host="lake.example.org").json
            equal((host_of(seen["client"]), seen["scheme"], seen["host"]), ("127.0.0.1", "http", "lake.example.org"))
            nginx = Nginx(address(door))
            seen = seen_through(nginx)
            equal((host_of(seen["client"]), seen["scheme"]), ("127.0.0.1", "http"), "an nginx that is not trusted")
            nginx.stop()


@case
def exchanges_with_a_lake_behind_nginx():
    log = folder() / "access.log"
    server = Server(*settings_of(0), "--http", "127.0.0.1:0", "--set", "http.access_log=json", "--set",
                    f"http.access_log_file={log}")
    nginx = Nginx(server.http)

    def ask(method, path, body=None, **fields):
        connection = http.client.HTTPSConnection("lake.example.org", nginx.port, timeout=60, context=nginx.context())
        connection.sock = nginx.connect(nginx.context(), CLIENT)
        connection.request(method, path, body, {"Authorization": f"Bearer {server.token}", **fields})
        reply = connection.getresponse()
        out = reply.status, reply.read(), dict(reply.getheaders())
        connection.close()
        return out
    equal(ask("GET", "/v1/health")[0], 200)
    whole = bytes(range(256)) * 40960  # 10 MiB
    status, body, _ = ask("POST", "/v1/ingest?source=proxy&name=a.bin", whole, **{"Content-Type": "application/octet-stream"})
    equal(status, 200, body[:300])
    target = json.loads(body)["address"] if "address" in json.loads(body) else "bronze/proxy/a.bin"
    path = "/v1/objects/" + target.split("://")[-1]
    status, body, _ = ask("GET", path)
    equal((status, hashlib.sha256(body).hexdigest()), (200, hashlib.sha256(whole).hexdigest()), "the download")
    status, body, _ = ask("GET", path, Range="bytes=1000-1999")
    equal((status, body), (206, whole[1000:2000]), "the range")
    status, body, _ = ask("POST", "/v1/sql", b"SELECT sum(x) AS s FROM range(1000) t(x)", **{"Content-Type": "text/plain"})
    equal((status, json.loads(body)["rows"]), (200, [[499500]]) if status == 200 and isinstance(json.loads(body)["rows"][0], list)
          else (200, json.loads(body)["rows"]))
    status, body, _ = ask("POST", "/v1/sql", b"SELECT x FROM range(300000) t(x)", **{"Content-Type": "text/plain"})
    equal(status, 200)
    equal(len(json.loads(body)["rows"]) > 0, True, "a long answer")
    equal(ask("GET", "/v1/nowhere")[0], 404)
    status, body, _ = ask("GET", "/v1/openapi.json")
    equal((status, json.loads(body)["servers"]), (200, [{"url": "https://lake.example.org"}]), "links have the public name")
    equal(ask("GET", "/v1/datasets", Authorization="Bearer wrong")[0], 401)
    lines = until(lambda: log.exists() and log.read_text().count("\n") >= 6 and log.read_text(), what="the access log")
    for line in map(json.loads, lines.splitlines()):
        holds(CLIENT in json.dumps(line), f"the access log has the client's address: {line}")
    nginx.stop()
    equal(server.stop(), 0)


@case
def proxy_v2_is_the_only_word_about_the_client():
    with Door("--proxy", "--trusted", "127.0.0.1", "--http", "127.0.0.1:0") as door:
        def ask(first, source="127.0.0.1", fields=()):
            sock = socket.create_connection(door.address(), timeout=20, source_address=(source, 0))
            lines = ["GET /headers HTTP/1.1", "Host: x", "Connection: close", *(f"{n}: {v}" for n, v in fields)]
            with Raw(sock) as raw:
                raw.send(first + ("\r\n".join(lines) + "\r\n\r\n").encode())
                return raw.reply()
        equal(host_of(ask(header_v2(("198.51.100.4", 4711))).json["client"]), "198.51.100.4")
        holds("2001:db8::7" in ask(header_v2(("2001:db8::7", 4711))).json["client"], "IPv6")
        equal(host_of(ask(header_v2(("198.51.100.4", 4711), command=0x20)).json["client"]), "127.0.0.1", "LOCAL")
        equal(host_of(ask(header_v2(("198.51.100.4", 4711)), fields=MADE_UP).json["client"]), "198.51.100.4",
              "fields of a client that is no trusted proxy")
        equal(ask(b""), None, "without a header")
        equal(ask(b"PROXY TCP4 198.51.100.4 127.0.0.1 4711 80\r\n"), None, "version 1")
        reply = ask(header_v2(("198.51.100.4", 4711)), source=CLIENT)
        holds(reply is None or reply.status == 503, f"from an address that is not trusted: {reply}")
        equal(ask(header_v2(("198.51.100.4", 4711))[:12] + b"\xff" * 30), None, "a header that is none")
    with Door() as door:
        sock = socket.create_connection(door.address(), timeout=20)
        with Raw(sock) as raw:
            raw.send(header_v2(("198.51.100.4", 4711)) + b"GET /headers HTTP/1.1\r\nHost: x\r\n\r\n")
            reply = raw.reply()
            holds(reply is None or reply.status == 400, "nobody expects a header here: it is a bad request")


@case
def haproxy_in_front_of_tls():
    data, ca = local("lake.example.org")
    log = folder() / "access.log"
    words = settings_of(1)
    server = Server(*words, "--https", "127.0.0.1:0", "--set", "http.access_log=json", "--set", f"http.access_log_file={log}",
                    data=data, http="off")
    haproxy = Haproxy(server.https)
    with haproxy.connect(context(ca), CLIENT) as sock:
        raw = Raw(sock)
        raw.send("GET /v1/health HTTP/1.1\r\nHost: lake.example.org\r\nConnection: close\r\n\r\n")
        equal(raw.reply().status, 200)
    line = json.loads(until(lambda: log.exists() and log.read_text().strip(), what="the access log"))
    holds(CLIENT in json.dumps(line), f"the client's address: {line}")
    with socket.create_connection(("127.0.0.1", server.port(True)), timeout=20) as sock:
        sock.sendall(b"\x16\x03\x01\x00\x05hello")
        try:
            equal(sock.recv(100), b"", "a connection without the header")
        except ConnectionResetError:
            pass
    haproxy.stop()
    equal(server.stop(), 0)


if __name__ == "__main__":
    main()
