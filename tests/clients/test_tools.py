"""nghttp, h2load and wrk: many streams, uploads, trailers, windows, pipelines; in clear and over TLS."""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from stand import Results, Stand

PIPELINE = """
init = function(args)
    local one = wrk.format("GET", "/fixed", {["Host"] = "door"})
    all = string.rep(one, 16)
end
request = function() return all end
"""


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, timeout=90)
    return done.stdout.decode("latin-1") + done.stderr.decode("latin-1")


def holds(results, name, text, *patterns):
    missing = [pattern for pattern in patterns if not re.search(pattern, text)]
    results.line("FAIL" if missing else "ok", name, f"no {missing[0]!r} in ...{text[-600:]!r}" if missing else "")


def nghttp(stand, results, tls, upload):
    url, name = stand.url(tls), "nghttp, " + ("TLS" if tls else "clear")
    holds(results, f"{name}: small", run("nghttp", "-v", "-y", url + "/fixed"), r":status: 200", r"\{\"|\{ ?\"")
    holds(results, f"{name}: HEAD", run("nghttp", "-v", "-y", "-H:method: HEAD", url + "/fixed"), r":status: 200",
          r"recv HEADERS frame <length=\d+, flags=0x05")
    holds(results, f"{name}: trailers received", run("nghttp", "-v", "-y", url + "/trailers"), r"x-check: whole")
    holds(results, f"{name}: trailers sent", run("nghttp", "-v", "-y", "--trailer=x-sum: 12", "-d", __file__, url + "/trailers"),
          r":status: 200", r'\["x-sum", ?"12"\]')
    holds(results, f"{name}: upload", run("nghttp", "-v", "-y", "-d", upload, "-H:method: PUT", url + "/sink"),
          r":status: 200", r'"bytes": ?3000000')
    holds(results, f"{name}: 100-continue", run("nghttp", "-v", "-y", "--expect-continue", "-d", upload, "-H:method: PUT", url + "/sink"),
          r":status: 100", r":status: 200", r'"bytes": ?3000000')
    holds(results, f"{name}: 100-continue refused",
          run("nghttp", "-v", "-y", "--expect-continue", "-d", upload, url + "/early"), r":status: 403", r"recv HEADERS")
    holds(results, f"{name}: a small window", run("nghttp", "-s", "-n", "-y", "-w", 10, "-W", 12, url + "/bytes/1000000"),
          r"\b200 +97[67]K|\b200 +1000000|\b200\b")
    holds(results, f"{name}: 100 at once on one connection", run("nghttp", "-s", "-n", "-y", "-m", 100, url + "/bytes/10000"), r"\b200\b")
    holds(results, f"{name}: continuation", run("nghttp", "-v", "-y", "--continuation", "-n", url + "/fixed"), r":status: 200",
          r"continuation-test-6")
    holds(results, f"{name}: padding", run("nghttp", "-v", "-y", "-b", 200, "-d", upload, "-H:method: PUT", url + "/sink"),
          r'"bytes": ?3000000')
    holds(results, f"{name}: no push asked for", run("nghttp", "-v", "-y", "--no-push", "-n", url + "/fixed"), r":status: 200")


def h2load(stand, results, tls, upload):
    url, name = stand.url(tls), "h2load, " + ("TLS" if tls else "clear")
    for title, words, count in (
            ("1,000 streams on one connection", ("-c", 1, "-m", 100), 1000), ("64 connections", ("-c", 64, "-m", 1), 2000),
            ("8 by 32", ("-c", 8, "-m", 32), 4000), ("HTTP/1.1", ("--h1", "-c", 32), 2000)):
        holds(results, f"{name}: {title}", run("h2load", "-n", count, *words, url + "/fixed"),
              rf"{count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout", rf"status codes: {count} 2xx")
    for title, words in (("HTTP/2", ("-c", 4, "-m", 8)), ("HTTP/1.1", ("--h1", "-c", 8))):
        holds(results, f"{name}: uploads over {title}", run("h2load", "-n", 32, *words, "-d", upload, url + "/sink"), r"32 succeeded, 0 failed",
              r"status codes: 32 2xx")
        holds(results, f"{name}: downloads over {title}", run("h2load", "-n", 32, *words, url + "/bytes/2000000"),
              r"32 succeeded, 0 failed", r"status codes: 32 2xx")
    holds(results, f"{name}: small windows", run("h2load", "-n", 64, "-c", 2, "-m", 16, "-w", 10, "-W", 12, url + "/bytes/100000"),
          r"64 succeeded, 0 failed")


def wrk(stand, results, tls, folder):
    url, name = stand.url(tls), "wrk, " + ("TLS" if tls else "clear")
    (folder / "pipeline.lua").write_text(PIPELINE)
    for title, words in (("64 connections", ("-c", 64)), ("pipelined by 16", ("-c", 16, "-s", folder / "pipeline.lua"))):
        text = run("wrk", "-t", 1, "-d", "1s", *words, url + "/fixed")
        holds(results, f"{name}: {title}", text, r"\d+ requests in")
        bad = re.search(r"Socket errors.*|Non-2xx.*", text)
        results.line("FAIL" if bad else "ok", f"{name}: {title}, without errors", bad.group() if bad else "")


def main():
    stand, results = Stand(), Results()
    with tempfile.TemporaryDirectory(prefix="tarn-tools-") as folder:
        folder = Path(folder)
        (folder / "upload").write_bytes(b"x" * 3000000)
        for tls in (False, True):
            nghttp(stand, results, tls, folder / "upload")
            h2load(stand, results, tls, folder / "upload")
            wrk(stand, results, tls, folder)
    if stand.end() != 0:
        results.line("FAIL", "the door ends well")
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
