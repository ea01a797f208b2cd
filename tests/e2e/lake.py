"""What the end-to-end tests share: a server of their own on loopback, requests, checks, the closing line."""
import atexit
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("TARN_BUILD", TOP / "build"))
DEPS = Path(os.environ.get("TARN_DEPS_DIR", Path.home() / ".cache/tarn/deps"))
TARN = BUILD / "tarn"
VEGA = DEPS / "vega-datasets/data"
os.environ.setdefault("TARN_S3_LISTEN", "127.0.0.1:0")  # the door's own port may be taken
for name in [name for name in os.environ if name.startswith("AWS_") or name.lower() in ("http_proxy", "https_proxy", "all_proxy")]:
    del os.environ[name]  # a user's own: clients here get end point, region and key from the test, and nothing leaves the machine
DISK = shutil.disk_usage(tempfile.gettempdir())
if 0.75 < DISK.used / (DISK.used + DISK.free):  # this machine's, not the lake's: no finding of doctor until writes are refused
    os.environ.update(TARN_STORE_SPACE_ALARM="95", TARN_STORE_SPACE_BACKGROUND="95")


class Reply:
    def __init__(self, status, headers, body, whole=True):
        self.status, self.headers, self.body, self.whole = status, headers, body, whole

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self):
        return self.body.decode()


class Lake:
    """A `tarn serve` on a free port; ended by its own process id."""

    def __init__(self, data=None, *more, wait=True):
        self.data = Path(data) if data else Path(tempfile.mkdtemp(prefix="tarn-e2e-")) / "data"
        if not data:
            atexit.register(shutil.rmtree, self.data.parent, ignore_errors=True)
        self.log = open(self.data.parent / (self.data.name + ".log"), "ab")
        self.process = subprocess.Popen([TARN, "serve", "--data", self.data, "--http", "127.0.0.1:0", *more],
                                        stdout=subprocess.PIPE, stderr=self.log, text=True)
        atexit.register(self.kill)
        self.lines = []
        if wait:
            self.wait()

    def wait(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if line.startswith("tarn: http "):
                self.address = line.split()[2]
                break
        else:
            raise RuntimeError(f"the server ended with {self.process.wait()}: " +
                               Path(self.log.name).read_text()[-2000:])
        self.admin = json.loads((self.data / "admin.json").read_text())
        self.token = self.admin["token"]

    def request(self, method, path, body=None, headers=None, token=None, timeout=120):
        host, port = self.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        connection.request(method, path, body, {"Authorization": f"Bearer {token or self.token}", **(headers or {})})
        reply = connection.getresponse()
        try:
            body, whole = reply.read(), True
        except http.client.IncompleteRead as cut:
            body, whole = cut.partial, False
        out = Reply(reply.status, dict(reply.getheaders()), body, whole)
        connection.close()
        return out

    def sql(self, text, **more):
        return self.request("POST", "/v1/sql", text.encode(), {"Content-Type": "text/plain"}, **more)

    def rows(self, text):
        reply = self.sql(text)
        if reply.status != 200:
            raise AssertionError(f"{text}: {reply.status} {reply.text[:800]}")
        return reply.json["rows"]

    def ingest(self, source, name, body, **more):
        return self.request("POST", f"/v1/ingest?source={source}&name={name}", body,
                            {"Content-Type": "application/octet-stream"}, **more)

    def cli(self, *words, env=None, stdin=None):
        return subprocess.run([TARN, *words, "--data", self.data], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env={**os.environ, **(env or {})}, input=stdin, timeout=300)

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


CASES = []


def case(function):
    CASES.append(function)
    return function


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what or 'value'} is {got!r}, wanted {wanted!r}")


def holds(truth, what):
    if not truth:
        raise AssertionError(f"{what} does not hold")


def main():
    passed = failed = 0
    wanted = sys.argv[1:]
    for function in CASES:
        if wanted and not any(word in function.__name__ for word in wanted):
            continue
        try:
            function()
            passed += 1
            print(f"ok   {function.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL {function.__name__}\n{traceback.format_exc(limit=-3)}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
