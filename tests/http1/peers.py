"""The servers that these tests ask: the test door of tests/http, and nginx for the differences."""
import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests/http"))
from harness import Door, certificate  # noqa: E402

__all__ = ["Door", "certificate", "nginx"]


def folder():
    path = Path(tempfile.mkdtemp(prefix="tarn-http1-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports(count):
    taken = [socket.socket() for _ in range(count)]
    for sock in taken:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in taken]
    for sock in taken:
        sock.close()
    return ports


NGINX = """daemon off; pid {path}/pid; error_log {path}/error.log; worker_processes 1; {user}
events {{ worker_connections 512; }}
http {{
    access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/f;
    uwsgi_temp_path {path}/u; scgi_temp_path {path}/s; client_max_body_size 0; client_header_buffer_size 32k;
    large_client_header_buffers 4 48k; lingering_timeout 1s;
    server {{
        listen 127.0.0.1:{front} default_server;
        location = /fixed {{ return 200 "fixed"; }}
        location = /sink {{ proxy_pass http://127.0.0.1:{back}/up; }}
    }}
    server {{ listen 127.0.0.1:{back}; location = /up {{ return 200 "up"; }} }}
}}
"""


def nginx():
    """Its address. A body of /sink is read to its end before the reply, because it is passed on whole."""
    path = folder()
    os.chmod(path, 0o755)
    front, back = free_ports(2)
    user = "user root;" if os.geteuid() == 0 else ""
    (path / "conf").write_text(NGINX.format(path=path, front=front, back=back, user=user))
    process = subprocess.Popen(["nginx", "-p", path, "-c", path / "conf", "-e", path / "error.log"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(end, process)
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", front), 1).close()
            return "127.0.0.1", front
        except OSError:
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError("nginx did not start: " + (path / "error.log").read_text()[-500:])
            time.sleep(0.02)
