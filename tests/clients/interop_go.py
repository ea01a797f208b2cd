"""Go's net/http goes through the script, HTTP/1.1 and HTTP/2, in clear and over TLS."""
import os
import shutil
import subprocess
import sys

from stand import Results, Stand, TOP


def main():
    stand, results = Stand(), Results()
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not go:
        print("go is not installed: nothing to run")
        return results.close()
    program = stand.folder / "go-client"
    environment = {"GOCACHE": str(stand.folder / "cache"), "GOPATH": str(stand.folder / "go"), **os.environ, "GOFLAGS": "-mod=mod",
                   "GOTOOLCHAIN": "local", "GOPROXY": "off", "CGO_ENABLED": "0"}
    subprocess.run([go, "build", "-o", program, "."], cwd=TOP / "tests/clients/go", env=environment, check=True, timeout=600)
    for tls in (False, True):
        for version in ("1", "2"):
            label = f"go HTTP/{version}, " + ("TLS" if tls else "clear")
            results.run(label, program, stand.url(tls), stand.ca, version)
    if stand.end() != 0:
        results.line("FAIL", "the door ends well")
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
