"""The two servers of the bench, on loopback, and what they cost: processor time and memory of all their processes."""
import atexit
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORES = sorted(os.sched_getaffinity(0))[:2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`http` and `https` are addresses; ended by its own process id."""
    name = "server"

    def start(self, command, **more):
        self.process = subprocess.Popen([str(word) for word in command], **more)
        atexit.register(self.kill)

    def processes(self):
        found, left = [], [self.process.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                left += [int(child) for child in task.read_text().split()]
        return found

    def cpu(self):
        """Seconds so far; its threads and processes are there from the start to the end."""
        total = 0
        for pid in self.processes():
            for task in Path(f"/proc/{pid}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def memory(self, key="RssAnon"):
        total = 0
        for pid in self.processes():
            total += int(Path(f"/proc/{pid}/status").read_text().split(key + ":")[1].split()[0]) * 1024
        return total

    def wait_for(self, address):
        host, port = address.rsplit(":", 1)
        for _ in range(500):
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"{self.name} ended with {self.process.returncode}")
                time.sleep(0.01)
        raise RuntimeError(f"{self.name} does not listen")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


class Door(Server):
    """The test door of tarn's HTTP server. It logs no requests, as the peer."""
    name = "tarn"

    def __init__(self, build, work, *more):
        self.start([build / "tests/http/door", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--cert", work / "cert.pem",
                    "--key", work / "key.pem", "--file", work / "www/gib.bin", "--access", "none", "--compress-off", *more],
                   stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            words = line.split()
            if words[1:2] == ["http"]:
                self.http = words[2]
            elif words[1:2] == ["https"]:
                self.https = words[2]
            elif words[1:2] == ["ready"]:
                break
        else:
            raise RuntimeError(f"the door ended with {self.process.wait()}")


class Nginx(Server):
    name = "nginx"

    def __init__(self, work, fixed, workers=len(CORES)):
        self.http, self.https = (f"127.0.0.1:{free_port()}" for _ in range(2))
        text = (HERE / "peer.conf").read_text()
        for key, value in {"DIR": work, "HTTP": self.http.split(":")[1], "HTTPS": self.https.split(":")[1],
                           "WORKERS": workers, "FIXED": fixed, "REUSE": "reuseport"}.items():
            text = text.replace(f"@{key}@", str(value))
        conf = work / "nginx.conf"
        conf.write_text(text)
        self.start(["nginx", "-c", conf, "-p", work], stderr=subprocess.DEVNULL)
        self.wait_for(self.http)
        self.wait_for(self.https)


def wrk(url, seconds, connections, pipeline=1, threads=1):
    """{requests, us, errors, p50_us, p99_us, max_us}"""
    done = subprocess.run(["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}", "--timeout", "20s", "-s", HERE / "wrk.lua", url],
                          stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, "PIPELINE": str(pipeline)})
    return json.loads(done.stdout.splitlines()[-1])


def h2load(url, seconds, connections, streams):
    """{requests, us, errors}"""
    done = subprocess.run(["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", url], stdout=subprocess.PIPE, text=True,
                          check=True)
    count = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed", done.stdout)
    return {"requests": int(count[3]), "us": seconds * 1e6, "errors": int(count[4])}
