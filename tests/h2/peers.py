"""The servers that the suite runs against: tarn's test door, and nginx and nghttpd to prove the expectations."""
import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("TARN_BUILD", TOP / "build"))


class Target:
    def __init__(self, name, clear, tls, process=None):
        self.name, self.clear, self.tls, self.process = name, clear, tls, process

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()


def folder():
    path = Path(tempfile.mkdtemp(prefix="tarn-h2-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def certificate(path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", path / "key.pem",
                    "-out", path / "cert.pem"], check=True, capture_output=True)
    return path / "cert.pem", path / "key.pem"


def door(*more):
    path = folder()
    cert, key = certificate(path)
    process = subprocess.Popen([BUILD / "tests/http/door", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--cert", cert, "--key", key,
                                *more], stdout=subprocess.PIPE, stderr=open(path / "log", "wb"), text=True)
    found = {}
    for line in process.stdout:
        words = line.split()
        if line.startswith("door: http"):
            found[words[1]] = words[2]
        if len(found) == 2:
            break
    else:
        raise RuntimeError(f"the door ended with {process.wait()}: {(path / 'log').read_text()[-2000:]}")
    target = Target("door", found["http"], found["https"], process)
    target.log = path / "log"
    atexit.register(target.end)
    return target


def free_ports(count):
    taken = [socket.socket() for _ in range(count)]
    for s in taken:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in taken]
    for s in taken:
        s.close()
    return ports


def files(path):
    root = path / "root"
    (root / "bytes").mkdir(parents=True)
    (root / "fixed").write_text('{"a":"' + "x" * 190 + '"}\n')
    (root / "sink").write_text("taken\n")
    (root / "bytes/100000").write_bytes(bytes(100000))
    os.chmod(path, 0o755)
    return root


def wait_for(ports):
    for port in ports:
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)


def nginx():
    path = folder()
    cert, key = certificate(path)
    root = files(path)
    clear, tls, back = free_ports(3)
    (path / "nginx.conf").write_text(f"""
daemon off; master_process off; error_log {path}/error.log; pid {path}/pid; worker_rlimit_nofile 4096;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {path}/a; proxy_temp_path {path}/b; fastcgi_temp_path {path}/c; uwsgi_temp_path {path}/d;
  scgi_temp_path {path}/e; client_max_body_size 0; keepalive_requests 10000;
  server {{
    listen 127.0.0.1:{clear} http2; listen 127.0.0.1:{tls} ssl http2; server_name localhost;
    ssl_certificate {cert}; ssl_certificate_key {key}; root {root};
    location = /sink {{ proxy_pass http://127.0.0.1:{back}; }}
  }}
  server {{ listen 127.0.0.1:{back}; location / {{ return 200 "taken\\n"; }} }}
}}
""")
    process = subprocess.Popen(["/usr/sbin/nginx", "-p", path, "-c", path / "nginx.conf"], stderr=subprocess.DEVNULL)
    wait_for([clear, tls])
    target = Target("nginx", f"127.0.0.1:{clear}", f"127.0.0.1:{tls}", process)
    atexit.register(target.end)
    return target


def nghttpd():
    path = folder()
    cert, key = certificate(path)
    root = files(path)
    ports = free_ports(2)
    common = ["-d", root, "--echo-upload", "--address=127.0.0.1"]
    first = subprocess.Popen(["nghttpd", *common, "--no-tls", str(ports[0])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    second = subprocess.Popen(["nghttpd", *common, str(ports[1]), key, cert], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(ports)
    target = Target("nghttpd", f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}", first)
    atexit.register(target.end)
    atexit.register(second.terminate)
    return target


KINDS = {"door": door, "nginx": nginx, "nghttpd": nghttpd}
