"""What the matrix of clients shares: a door in clear and over TLS under a local authority, and the closing line."""
import atexit
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/http"))
from authority import authority  # noqa: E402
from harness import DEPS, Door, pattern  # noqa: E402

__all__ = ["DEPS", "TOP", "Door", "Stand", "Results", "pattern"]


class Stand:
    """A door with both kinds of listener."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tarn-clients-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.ca, cert, key = authority(self.folder)
        self.door = Door("--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--cert", cert, "--key", key)

    def url(self, tls):
        return "https://localhost:%d" % self.door.address("https")[1] if tls else "http://127.0.0.1:%d" % self.door.address()[1]

    def ended(self, name):
        return self.door.counts()["ended"].get(name, 0)

    def end(self):
        status, _ = self.door.stop()
        return status


class Results:
    """Counts `ok`, `FAIL` and `skip` lines; with an argument -v it also says what passed and how long it took."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def line(self, kind, name, text="", took=0.0):
        self.passed += kind == "ok"
        self.failed += kind == "FAIL"
        self.skipped += kind == "skip"
        if kind == "ok" and "-v" in sys.argv:
            print(f"ok   {name} ({took:.2f} s)", flush=True)
        if kind != "ok":
            print(f"{kind:4} {name}" + (f": {text}" if text else ""), flush=True)

    def read(self, label, output):
        """The lines of a client in another language: KIND NAME[: TEXT]."""
        seen = 0
        for line in output.splitlines():
            kind, _, rest = line.partition(" ")
            if kind in ("ok", "FAIL", "skip"):
                name, _, text = rest.strip().partition(": ")
                self.line(kind, f"{label}: {name}", text)
                seen += 1
        return seen

    def run(self, label, *words):
        """A client in another language, to its end."""
        try:
            done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=180)
            output, told, status = done.stdout, done.stderr, done.returncode
        except subprocess.TimeoutExpired as e:
            output, told, status = (e.stdout or b"").decode(), "no end within 180 s", 124
        if self.read(label, output) == 0 or status != 0:
            self.line("FAIL", f"{label}: the client ends with {status}", told[-500:])

    def close(self):
        print(f"{self.passed} passed, {self.failed} failed" if not self.skipped else
              f"{self.skipped} exchanges that a client cannot do were left out\n{self.passed} passed, {self.failed} failed")
        return 1 if self.failed else 0
