"""http.client, httpx over HTTP/1.1 and HTTP/2, and aiohttp go through the script, in clear and over TLS."""
import asyncio
import http.client
import socket
import ssl
import struct
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import aiohttp
import httpx
import yarl
from script import Answer, Beginning, Client, go_through
from stand import Results, Stand


def trust(stand):
    return ssl.create_default_context(cafile=stand.ca)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Standard(Client):
    """http.client, a connection a thread."""
    can = {"large upload", "upload", "begin", "abort upload", "cut", "reuse", "close", "odd", "many", "parallel"}

    def __init__(self, stand, tls):
        self.name = "http.client, " + ("TLS" if tls else "clear")
        self.url, self.context = urlsplit(stand.url(tls)), trust(stand) if tls else None
        self.local = threading.local()

    def connect(self):
        if self.context:
            return http.client.HTTPSConnection(self.url.hostname, self.url.port, timeout=30, context=self.context)
        return http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=30)

    def connection(self):
        if not hasattr(self.local, "connection"):
            self.local.connection = self.connect()
        return self.local.connection

    def take(self, connection):
        reply = connection.getresponse()
        return Answer(reply.status, reply.getheaders(), reply.read(), version=reply.version)

    def ask(self, method, target, fields=(), body=None):
        connection = self.connection()
        try:
            connection.request(method, target, body, dict(fields))
            return self.take(connection)
        except Exception:
            connection.close()
            raise

    def upload(self, target, pieces, trailers=()):
        connection = self.connection()
        connection.request("POST", target, iter(pieces), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        return self.take(connection)

    def begin(self, target):
        connection = self.connect()
        connection.request("GET", target)
        reply = connection.getresponse()
        reply.close_connection = connection.close
        return Beginning(reply.read, lambda: (reply.close(), connection.close()))

    def abort_upload(self, target, length, piece):
        connection = self.connect()
        connection.putrequest("PUT", target)
        connection.putheader("Content-Length", str(length))
        connection.endheaders()
        connection.send(piece)
        connection.close()

    def many(self, targets, at_once):
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda target: self.ask("GET", target).status, targets))

    def close(self):
        self.connection().close()


class Httpx(Client):
    can = {"large upload", "upload", "begin", "abort upload", "cut", "reuse", "odd", "many", "parallel"}

    def __init__(self, stand, tls, http2):
        self.name = f"httpx HTTP/{2 if http2 else 1}, " + ("TLS" if tls else "clear")
        self.can = self.can - {"close"} if http2 else self.can | {"close"}
        self.url, self.http2 = stand.url(tls), http2
        self.more = {"verify": trust(stand)} if tls else {}
        self.client = self.connect()

    def connect(self):
        return httpx.Client(http1=not self.http2, http2=self.http2, timeout=30, base_url=self.url, **self.more)

    def request(self, client, method, target, **more):
        # The target goes out as it is written.
        return client.build_request(method, self.url, extensions={"target": target.encode()}, **more)

    def answer(self, reply):
        return Answer(reply.status_code, reply.headers.items(), reply.read(), version=reply.http_version)

    def ask(self, method, target, fields=(), body=None):
        reply = self.client.send(self.request(self.client, method, target, headers=dict(fields), content=body))
        if self.http2 and reply.http_version != "HTTP/2":
            raise AssertionError(reply.http_version)
        return self.answer(reply)

    def upload(self, target, pieces, trailers=()):
        return self.answer(self.client.send(self.request(self.client, "POST", target, content=iter(pieces))))

    def begin(self, target):
        client = self.connect()
        reply = client.send(self.request(client, "GET", target), stream=True)
        pieces, kept = reply.iter_raw(65536), bytearray()

        def read(size):
            while len(kept) < size:
                piece = next(pieces, b"")
                if not piece:
                    break
                kept.extend(piece)
            out = bytes(kept[:size])
            del kept[:size]
            return out
        return Beginning(read, lambda: (reply.close(), client.close()))

    def abort_upload(self, target, length, piece):
        def pieces():
            yield piece
            raise KeyboardInterrupt("goes away")
        with self.connect() as client:
            try:
                client.send(self.request(client, "PUT", target, headers={"Content-Length": str(length)}, content=pieces()))
            except KeyboardInterrupt:
                return
        raise AssertionError("the upload went through")

    def many(self, targets, at_once):
        if self.http2:
            return asyncio.run(self.streams(targets))
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda target: self.ask("GET", target).status, targets))

    async def streams(self, targets):
        """All at once over one connection. Not by threads: httpcore loses frames that two of them write (nghttpd sees it too)."""
        async with httpx.AsyncClient(http1=False, http2=True, timeout=30, limits=httpx.Limits(max_connections=1), **self.more) as client:
            replies = await asyncio.gather(*(client.get(self.url + target) for target in targets))
        return [reply.status_code for reply in replies]

    def close(self):
        self.client.close()


class Aio(Client):
    """aiohttp on a loop in a thread of its own."""
    can = {"large upload", "upload", "begin", "abort upload", "cut", "reuse", "close", "odd", "many", "parallel", "expect"}

    def __init__(self, stand, tls):
        self.name = "aiohttp, " + ("TLS" if tls else "clear")
        self.url, self.ssl = stand.url(tls), trust(stand) if tls else None
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.session = self.wait(self.connect())

    def wait(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    async def connect(self):
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.ssl if self.ssl else True, limit=64),
                                     timeout=aiohttp.ClientTimeout(30), auto_decompress=False,
                                     headers={"Accept-Encoding": "identity"})

    def whole(self, target):
        return yarl.URL(self.url + target, encoded=True)

    async def asked(self, method, target, fields=(), body=None, **more):
        async with self.session.request(method, self.whole(target), headers=dict(fields), data=body, **more) as reply:
            return Answer(reply.status, reply.headers.items(), await reply.read())

    def ask(self, method, target, fields=(), body=None):
        return self.wait(self.asked(method, target, fields, body))

    def upload(self, target, pieces, trailers=()):
        async def give():
            for piece in pieces:
                yield piece
        return self.wait(self.asked("POST", target, body=give()))

    def expect(self, method, target, body):
        sent = 0

        async def give():
            nonlocal sent
            for at in range(0, len(body), 50000):
                sent += len(body[at:at + 50000])
                yield body[at:at + 50000]
        return self.wait(self.asked(method, target, body=give(), expect100=True)), sent

    def begin(self, target):
        async def start():
            session = await self.connect()
            return session, await session.get(self.whole(target))
        session, reply = self.wait(start())

        async def end():
            reply.close()
            await session.close()

        async def read(size):
            try:
                return await reply.content.readexactly(size)
            except asyncio.IncompleteReadError as e:
                return e.partial
        return Beginning(lambda size: self.wait(read(size)), lambda: self.wait(end()))

    def abort_upload(self, target, length, piece):
        async def go():
            async def give():
                yield piece
                raise ConnectionAbortedError("goes away")
            session = await self.connect()
            try:
                await session.put(self.whole(target), data=give(), headers={"Content-Length": str(length)})
            except Exception:
                return
            finally:
                await session.close()
            raise AssertionError("the upload went through")
        self.wait(go())

    def many(self, targets, at_once):
        async def go():
            room = asyncio.Semaphore(at_once)

            async def one(target):
                async with room:
                    return (await self.asked("GET", target)).status
            return await asyncio.gather(*map(one, targets))
        return self.wait(go())

    def close(self):
        self.wait(self.session.close())
        self.loop.call_soon_threadsafe(self.loop.stop)


def main():
    stand, results = Stand(), Results()
    for tls in (False, True):
        go_through(Standard(stand, tls), stand, results)
        go_through(Httpx(stand, tls, False), stand, results)
        go_through(Httpx(stand, tls, True), stand, results)
        go_through(Aio(stand, tls), stand, results)
    if stand.end() != 0:
        results.line("FAIL", "the door ends well")
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
