#!/usr/bin/env python3
"""HTTP/2 tools that others wrote against the test door: curl, nghttp, h2load."""
import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import peers

passed, failed = 0, []


def run(*command, data=None, timeout=100):
    done = subprocess.run([str(c) for c in command], input=data, capture_output=True, timeout=timeout)
    return done.stdout


def check(name, ok, what=""):
    global passed
    if ok:
        passed += 1
    else:
        failed.append(name)
        print("FAIL", name, str(what)[-500:])


def curl_cases(name, url, how, body):
    def curl(path, *more, data=None):
        out = run("curl", "-sk", *how, "-w", "\n%{http_code} %{http_version}", *more, url + path, data=data)
        text, _, tail = out.rpartition(b"\n")
        return text, tail.decode().split()

    def expect(title, got, status, proof=lambda text: True):
        text, tail = got
        check(f"{name}: {title}", tail == [str(status), "2"] and proof(text), f"{tail} {text[:200]}")

    expect("GET", curl("/fixed"), 200, lambda t: len(t) >= 200)
    expect("HEAD", curl("/fixed", "-I"), 200, lambda t: b"content-length" in t)
    expect("an upload", curl("/sink", "-T", "-", data=body), 200, lambda t: hashlib.sha256(body).hexdigest().encode() in t)
    expect("a body sent back", curl("/echo", "-X", "POST", "--data-binary", "@-", data=body), 200, lambda t: t == body)
    expect("a download", curl("/bytes/20000000"), 200, lambda t: len(t) == 20000000)
    expect("a file in part", curl("/file", "-r", "100-200099"), 206, lambda t: len(t) == 200000)
    expect("a refusal before the body", curl("/early", "-X", "POST", "--data-binary", "@-", data=body), 403)
    expect("Expect: 100-continue", curl("/sink", "-H", "Expect: 100-continue", "-X", "POST", "-d", "x"), 200)
    expect("a worker", curl("/sleep/20"), 200)
    expect("no such path", curl("/nothing"), 404)
    if "--http2" not in how:
        return  # 7.88 has one go of many over prior knowledge, against nginx too
    many = run("curl", "-sk", *how, "-Z", "--parallel-max", "50", "-o", "/dev/null", "-w", "%{http_code}\n", f"{url}/fixed?[1-200]")
    check(f"{name}: 200 at once", many.split() == [b"200"] * 200, many[:100])


def nghttp_cases(name, url, upload):
    out = run("nghttp", "-nvy", "-d", upload, "-H", ":method: PUT", "-H", "trailer: x-test", "--trailer", "x-test: 1", url + "/sink").decode("latin-1")
    check(f"{name}: nghttp uploads with trailers", ":status: 200" in out, out[-500:])
    out = run("nghttp", "-nvay", "--no-dep", "-w", "10", "-W", "12", url + "/bytes/300000").decode("latin-1")
    check(f"{name}: nghttp with windows of a kilobyte", ":status: 200" in out and out.count("END_STREAM") >= 2, out[-500:])
    out = run("nghttp", "-nsy", "-m", "50", url + "/fixed").decode("latin-1")
    check(f"{name}: nghttp 50 times", out.count("  200  200 ") == 50, out.count("  200  200 "))


def h2load_cases(name, url, upload):
    def load(title, *args):
        out = run("h2load", *args, timeout=200).decode()
        total = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed", out)
        check(f"{name}: h2load {title}", total and total[1] == total[2] and "3xx, 0 4xx, 0 5xx" in out, out[-600:])
    load("one connection, 1,000 in a row", "-n1000", "-c1", "-m1", url + "/fixed")
    load("20,000 of 20 connections", "-n20000", "-c20", "-m20", url + "/fixed")
    load("workers", "-n500", "-c5", "-m20", url + "/sleep/1")
    load("downloads", "-n100", "-c4", "-m10", url + "/bytes/1000000")
    load("uploads", "-n60", "-c4", "-m5", "-d", upload, "-H", ":method: PUT", url + "/sink")


def main():
    target = peers.door()
    body = bytes(i * 7 % 251 for i in range(3_000_000))
    with tempfile.NamedTemporaryFile() as upload:
        upload.write(body)
        upload.flush()
        clear, tls = f"http://{target.clear}", f"https://{target.tls}"
        # Without TLS curl 7.88 loses bytes of an upload when its socket is full (README.md): a small one.
        curl_cases("curl clear", clear, ["--http2-prior-knowledge"], body[:20000])
        curl_cases("curl TLS", tls, ["--http2"], body)
        for name, url in (("clear", clear), ("TLS", tls)):
            nghttp_cases(name, url, upload.name)
            h2load_cases(name, url, upload.name)
    target.end()
    check("the door ends", target.process.returncode == 0, target.log.read_text()[-2000:])
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
