"""What the matrix of S3 clients shares: a lake with its S3 door in clear (and over TLS under a local authority), keys, counts."""
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path[1:1] = [str(TOP / "tests/e2e"), str(TOP / "tests/clients")]
from authority import authority  # noqa: E402
from lake import DEPS, Lake  # noqa: E402

REGION = "us-east-1"
SECONDS_MAX = 240  # for a client in a process of its own
# What a user's own shell would bring along; a client gets end point, region and key from the test alone.
FOREIGN = ("AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY",
           "http_proxy", "https_proxy", "REQUESTS_CA_BUNDLE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
for name in FOREIGN:
    os.environ.pop(name, None)
os.environ.update(AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null", AWS_EC2_METADATA_DISABLED="true")


class Place:
    """Where a client goes: one way to the door."""

    def __init__(self, name, url, admin, ca):
        self.name, self.url, self.ca, self.tls = name, url, ca, url.startswith("https:")
        self.host = url.split("//")[1]
        self.slug = name.lower().replace(" ", "-")  # for names of buckets
        self.access, self.secret = admin["access_key"], admin["secret_key"]

    def environment(self):
        """For clients in processes of their own."""
        more = {"AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION}
        if self.tls:
            more |= {"AWS_CA_BUNDLE": str(self.ca), "SSL_CERT_FILE": str(self.ca), "NODE_EXTRA_CA_CERTS": str(self.ca)}
        return {**os.environ, **more}


class Stand:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tarn-s3-clients-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.ca, cert, key = authority(self.folder)
        self.lake = Lake(None, "--s3", "127.0.0.1:0", "--s3-tls", "127.0.0.1:0", "--set", f"tls.certificates={cert} {key}")
        self.admin = json.loads((self.lake.data / "admin.json").read_text())

    def places(self):
        port = self.admin["s3_tls"].rsplit(":", 1)[1]
        os.environ["SSL_CERT_FILE"] = str(self.ca)  # where the clients in Rust look for authorities
        return [Place("clear", f"http://{self.admin['s3']}", self.admin, None),
                Place("TLS", f"https://localhost:{port}", self.admin, self.ca)]

    def end(self, results):
        """Everything was answered when the server has ended well."""
        if self.lake.stop() != 0:
            results.line("FAIL", "the server ends well")
        return results.close()


class Results:
    """Counts `ok`, `FAIL` and `skip` lines; with an argument -v it also says what passed and how long it took."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def line(self, kind, name, text="", took=0.0):
        self.passed += kind == "ok"
        self.failed += kind == "FAIL"
        self.skipped += kind == "skip"
        if kind != "ok" or "-v" in sys.argv:
            print(f"{kind:4} {name}" + (f": {text}" if text else "") + (f" ({took:.2f} s)" if took else ""), flush=True)

    def client(self, label, words, environment=None, cwd=None):
        """A client in another language, to its end; it prints KIND NAME[: TEXT] a line."""
        started, seen = time.monotonic(), 0
        try:
            done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=SECONDS_MAX,
                                  env=environment, cwd=cwd, errors="replace")
            output, told, status = done.stdout, done.stderr, done.returncode
        except subprocess.TimeoutExpired as late:
            output, told, status = (late.stdout or b"").decode(), f"no end within {SECONDS_MAX} s", 124
        for text in output.splitlines():
            kind, _, rest = text.partition(" ")
            if kind in ("ok", "FAIL", "skip"):
                name, _, why = rest.strip().partition(": ")
                self.line(kind, f"{label}: {name}", why)
                seen += 1
        if not seen or status:
            self.line("FAIL", f"{label}: the client ends with {status} after {time.monotonic() - started:.0f} s", told[-800:])

    def close(self):
        if self.skipped:
            print(f"{self.skipped} exchanges that a client cannot do were left out")
        print(f"{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


__all__ = ["DEPS", "HERE", "REGION", "TOP", "Place", "Results", "Stand", "authority"]
