"""curl goes through the script, HTTP/1.1 and HTTP/2, in clear (prior knowledge) and over TLS (ALPN)."""
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from script import Answer, Beginning, Client, go_through
from stand import Results, Stand


class Curl(Client):
    can = {"begin", "abort upload", "cut", "odd"}

    def __init__(self, stand, tls, http2):
        self.name = f"curl HTTP/{2 if http2 else 1}, " + ("TLS" if tls else "clear")
        self.stand, self.url, self.http2 = stand, stand.url(tls), http2
        kind = ("--http2" if tls else "--http2-prior-knowledge") if http2 else "--http1.1"
        self.words = ["curl", "-sSq", kind, "--path-as-is", "-g", "--max-time", "60", "--cacert", str(stand.ca), "--noproxy", "*"]
        self.folder = tempfile.TemporaryDirectory(prefix="tarn-curl-")
        if not http2:  # over HTTP/2 curl does not wait for 100, and hears no trailers behind a body of known length
            self.can = self.can | {"expect", "trailers"}
        if not http2 or tls:
            # With prior knowledge 7.88 breaks when a connection is used again (nghttpd), and spoils an upload as soon as the
            # socket takes only a part of what it sends (nginx, nghttpd).
            self.can = self.can | {"reuse", "many", "parallel", "large upload", "upload"}

    def path(self, name):
        return Path(self.folder.name) / name

    def run(self, *words, data=None):
        done = subprocess.run([*self.words, *map(str, words)], input=data, capture_output=True, timeout=90)
        if done.returncode != 0:
            raise RuntimeError(f"curl ends with {done.returncode}: {done.stderr.decode()[-200:]}")
        return done.stdout

    def answer(self, *words, data=None):
        """Of one URL; its head and trailers as curl writes them."""
        told = self.run("-D", self.path("head"), "-o", self.path("body"), "-w", "%{json}", *words, data=data)
        told = json.loads(told)
        if told["http_version"] != ("2" if self.http2 else "1.1"):
            raise AssertionError(f"HTTP/{told['http_version']}")
        blocks = [block for block in self.path("head").read_bytes().decode("latin-1").split("\r\n\r\n") if block.strip()]
        heads = [number for number, block in enumerate(blocks) if block.startswith("HTTP/")]

        def fields(lines):
            return [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines if ":" in line)]
        body = self.path("body").read_bytes() if self.path("body").exists() else b""
        self.path("body").unlink(missing_ok=True)
        trailers = fields("\r\n".join(blocks[heads[-1] + 1:]).split("\r\n"))
        answer = Answer(told["response_code"], fields(blocks[heads[-1]].split("\r\n")[1:]), body, trailers)
        answer.told = told
        return answer

    def ask(self, method, target, fields=(), body=None):
        words = ["-I"] if method == "HEAD" else ["-X", method]
        for name, value in fields:
            words += ["-H", f"{name}: {value}"]
        if body is not None:
            self.path("upload").write_bytes(body)
            words += ["--data-binary", f"@{self.path('upload')}", "-H", "Content-Type: application/octet-stream"]
        answer = self.answer(*words, self.url + target)
        if method == "HEAD":
            answer.body = b""
        return answer

    def upload(self, target, pieces, trailers=()):
        return self.answer("-X", "POST", "-T", "-", self.url + target, data=b"".join(pieces))

    def expect(self, method, target, body):
        self.path("upload").write_bytes(body)
        answer = self.answer("-X", method, "-T", self.path("upload"), "-H", "Expect: 100-continue", "--expect100-timeout", 20,
                             self.url + target)
        return answer, answer.told["size_upload"]

    def begin(self, target):
        process = subprocess.Popen([*self.words, "-N", self.url + target], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

        def close():
            process.kill()
            process.wait()
            process.stdout.close()
        return Beginning(process.stdout.read, close)

    def abort_upload(self, target, length, piece):
        self.path("upload").write_bytes(piece.ljust(length, b"x"))
        before = self.stand.door.counts()["entered"].get("sinkPut", 0)
        process = subprocess.Popen([*self.words, "-X", "PUT", "-T", self.path("upload"), "--limit-rate", "50k", self.url + target],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while self.stand.door.counts()["entered"].get("sinkPut", 0) == before and time.monotonic() < until:
            pass
        process.kill()
        process.wait()

    def urls(self, targets, *more):
        lines = "".join(f'url = "{self.url}{target}"\noutput = "{self.path("many")}"\n' for target in targets)
        self.path("config").write_text(lines)
        return self.run("-w", "%{http_code} %{local_port} %{num_connects}\n", "-K", self.path("config"), *more).decode().split("\n")[:-1]

    def many(self, targets, at_once):
        return [int(line.split()[0]) for line in self.urls(targets, "--parallel", "--parallel-max", at_once)]

    def peers(self, count):
        return {line.split()[1] for line in self.urls(["/headers"] * count)}


def main():
    stand, results = Stand(), Results()
    for tls in (False, True):
        for http2 in (False, True):
            go_through(Curl(stand, tls, http2), stand, results)
    if stand.end() != 0:
        results.line("FAIL", "the door ends well")
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
