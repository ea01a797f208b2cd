"""The servers of the S3 bench, on loopback: ours, versitygw, MinIO, and nginx for large files. Peers are installed by name through the
Go module proxy into ~/.cache/tarn/peers; one that cannot be built is left out, and said so."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "http"))
from servers import Server, free_port  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tarn/peers"
DEPS = Path(os.environ.get("TARN_DEPS_DIR", CACHE.parent / "deps"))  # `make interop` puts versitygw and a Go there
GO = DEPS / "go/bin/go"
GO = str(GO) if GO.exists() else "go"
GO_LEAST = (1, 25)
INSTALL_SECONDS, SETTLE_SECONDS = 600, 20
MODULES = {"versitygw": "github.com/versity/versitygw/cmd/versitygw@v1.8.0",
           "minio": "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"}
KEY, SECRET = "BENCHBENCHBENCHBENCH", "bench-secret-0123456789-bench-secret"


def go_version():
    try:
        text = subprocess.run([GO, "env", "GOVERSION"], stdout=subprocess.PIPE, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.match(r"go(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def install(name):
    """Its path, or why there is none. VERSITYGW and MINIO name a built one."""
    given = os.environ.get(name.upper())
    path = Path(given) if given else DEPS / "bin" / name
    path = path if given or path.exists() else CACHE / name
    if path.exists():
        return path, None
    version = go_version()
    if not version or version < GO_LEAST:
        return None, f"{name} wants Go {GO_LEAST[0]}.{GO_LEAST[1]}; here is {'none' if not version else '%d.%d' % version}"
    CACHE.mkdir(parents=True, exist_ok=True)
    print(f"installing {MODULES[name]} into {CACHE}", file=sys.stderr, flush=True)
    try:
        done = subprocess.run([GO, "install", MODULES[name]], env={**os.environ, "GOBIN": str(CACHE), "GOFLAGS": "-p=2"},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        return None, f"{name} was not built within {INSTALL_SECONDS} s"
    return (path, None) if path.exists() else (None, f"{name} cannot be built: {' '.join(done.stdout.splitlines()[-1:])}")


class S3Server(Server):
    access, secret, syncs = KEY, SECRET, "none"

    def signal_all(self, number):
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it ended by itself

    def pause(self):
        self.signal_all(signal.SIGSTOP)

    def resume(self):
        self.signal_all(signal.SIGCONT)

    def kill(self):
        if self.process.poll() is None:
            self.resume()
        super().kill()

    def stop(self):
        if self.process.poll() is None:
            self.resume()
        return super().stop()

    def settle(self):
        """Nothing goes on behind its answers."""

    def another(self, folder):
        """One more server of its kind, that has done nothing yet."""
        folder.mkdir()
        return type(self)(self.program, folder)


class Tarn(S3Server):
    name, syncs = "tarn", "fdatasync"

    def __init__(self, build, work):
        self.program, self.data = build, work / "tarn"
        self.open()

    def open(self):
        log = open(self.data.parent / "tarn.log", "ab")
        self.start([self.program / "src/main/tarn", "serve", "--data", self.data, "--http", "127.0.0.1:0", "--s3", "127.0.0.1:0",
                    "--set", "http.access_log=off"], stdout=subprocess.PIPE, stderr=log, text=True)
        for line in self.process.stdout:
            words = line.split()
            if words[1:2] == ["http"]:
                self.rest = words[2]
            if words[1:2] == ["s3"]:
                self.http = words[2]
                break
        else:
            raise RuntimeError(f"tarn ended with {self.process.wait()}")
        admin = json.loads((self.data / "admin.json").read_text())
        self.access, self.secret, self.token = admin["access_key"], admin["secret_key"], admin["token"]

    def metrics(self):
        ask = urllib.request.Request(f"http://{self.rest}/metrics", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(ask, timeout=30) as reply:
            return reply.read().decode()

    def settle(self):
        """Until bronze.objects has what was put, so that its landing is not counted to what comes next."""
        end = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end and not re.search(r"^tarn_feed_lag_changes 0$", self.metrics(), re.M):
            time.sleep(0.2)

    def times(self, operation):
        """[(bound in us, requests within it)] of an operation so far, by the server's own clock."""
        text = self.metrics()
        found = re.findall(r'tarn_s3_request_seconds_bucket{operation="%s",le="([^"]+)"} (\d+)' % operation, text)
        return [(float(bound) * 1e6, int(count)) for bound, count in found]


class Versitygw(S3Server):
    name = "versitygw"

    def __init__(self, path, work):
        self.program, self.http = path, f"127.0.0.1:{free_port()}"
        data, versions = work / "versitygw", work / "versitygw-versions"
        data.mkdir()
        versions.mkdir()
        self.start([path, "-a", KEY, "-s", SECRET, "--keep-alive", "--port", self.http, "posix", "--versioning-dir", versions, data],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for(self.http)


class Minio(S3Server):
    name, syncs = "MinIO", "fdatasync of files, not of folders"

    def __init__(self, path, work):
        self.program, self.http = path, f"127.0.0.1:{free_port()}"
        environment = {**os.environ, "MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, "CI": "on"}
        self.start([path, "server", "--quiet", "--address", self.http, "--console-address", f"127.0.0.1:{free_port()}",
                    work / "minio"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait_for(self.http)


CONF = """daemon off; worker_processes 2; error_log /dev/null; pid @DIR@/nginx.pid;
events { worker_connections 4096; }
http {
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; server_tokens off;
    client_body_temp_path @DIR@/t1; proxy_temp_path @DIR@/t2; fastcgi_temp_path @DIR@/t3; uwsgi_temp_path @DIR@/t4;
    scgi_temp_path @DIR@/t5;
    server { listen 127.0.0.1:@HTTP@ reuseport; root @DIR@/www; }
}
"""


class Nginx(S3Server):
    """Static files below WORK/www."""
    name = "nginx"

    def __init__(self, work):
        self.http = f"127.0.0.1:{free_port()}"
        conf = work / "nginx.conf"
        conf.write_text(CONF.replace("@DIR@", str(work)).replace("@HTTP@", self.http.split(":")[1]))
        self.start([shutil.which("nginx") or "/usr/sbin/nginx", "-c", conf, "-p", work], stderr=subprocess.DEVNULL)
        self.wait_for(self.http)
