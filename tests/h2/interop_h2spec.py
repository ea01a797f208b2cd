#!/usr/bin/env python3
"""h2spec, in strict mode, against the test door: in clear and over TLS, every case that it has."""
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import peers  # noqa: E402

DEPS = Path(os.environ.get("TARN_DEPS_DIR", Path.home() / ".cache/tarn/deps"))
CASES = 146  # of h2spec 2.2.1, the last one that is a Go module


def main():
    target, failed = peers.door(), []
    for name, address, more in (("clear", target.clear, []), ("TLS", target.tls, ["-t", "-k"])):
        host, port = address.rsplit(":", 1)
        out = subprocess.run([DEPS / "bin/h2spec", "-S", "-P", "/headers", "-h", host, "-p", port, *more], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240).stdout
        found = re.search(r"(\d+) tests, (\d+) passed, 0 skipped, 0 failed", out)
        if found and found[1] == found[2] == str(CASES):
            print(f"ok   h2spec {name}: {CASES} of {CASES}")
        else:
            failed.append(name)
            print(f"FAIL h2spec {name}\n{out[-3000:]}")
    target.end()
    if target.process.returncode != 0:
        failed.append("end")
        print("FAIL the door ends\n" + target.log.read_text()[-2000:])
    print(f"{3 - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
