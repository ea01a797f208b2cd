"""nginx and haproxy in front of a server, with exactly the configurations of docs/behind-nginx.md: only addresses, ports and
paths of files are replaced, and each replacement must have found something."""
import atexit
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "life"))
from server import TOP, Authority, folder  # noqa: E402

PAGE = TOP / "docs/behind-nginx.md"


def block(language, nth=0):
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    return found[nth]


def settings_of(nth):
    """The tarn.yaml of the page as --set words."""
    words, section = [], ""
    for line in block("yaml", nth).splitlines():
        if line.startswith("#"):
            continue
        key, _, value = line.partition(":")
        if not line.startswith(" "):
            section = key
        else:
            words += ["--set", f"{section}.{key.strip()}={value.strip()}"]
    return words


def replaced(text, changes):
    for old, new in changes.items():
        if old not in text:
            raise AssertionError(f"the configuration has no {old!r}")
        text = text.replace(old, new)
    return text


def free_port():
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """A program in front: `port` is where it listens, over TLS with a certificate for lake.example.org."""

    def start(self, *words):
        log = open(self.place / "log", "ab")
        self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd=self.place)
        atexit.register(self.stop)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"{words[0]} does not start: {self.said()}") from None
                time.sleep(0.02)

    def said(self):
        return "".join(path.read_text(errors="replace")[-1500:] for path in self.place.glob("*log"))

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    def connect(self, context, source="127.0.0.1", alpn=None):
        if alpn:
            context.set_alpn_protocols(alpn)
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=60, source_address=(source, 0))
        return context.wrap_socket(raw, server_hostname="lake.example.org")


class Nginx(Proxy):
    """Of the page's nth block; `site` is the name there, `server` the address behind it there."""

    def __init__(self, upstream, nth=0, site="lake.example.org", server="127.0.0.1:8080", listen="443 ssl http2", changes=None, port=0):
        self.place, self.port = folder("nginx"), port or free_port()
        authority = Authority()
        self.ca = authority.save(self.place / "ca.pem")
        authority.issue(self.place / "site", site, f"*.{site}", "localhost")
        text = replaced(block("nginx", nth), {
            f"server {server};": f"server {upstream};", f"listen {listen};": f"listen 127.0.0.1:{self.port} {listen.split(' ', 1)[1]};",
            f"/etc/ssl/{site}.pem": f"{self.place}/site.pem", f"/etc/ssl/{site}.key": f"{self.place}/site.key", **(changes or {})})
        temporary = "".join(f"{kind}_temp_path {self.place}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.place / "nginx.conf").write_text(
            ("user root;\n" if os.geteuid() == 0 else "") +
            f"daemon off;\npid {self.place}/pid;\nerror_log {self.place}/error.log;\nworker_processes 1;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{temporary}{text}}}\n")
        self.start("nginx", "-p", str(self.place), "-e", str(self.place / "error.log"), "-c", str(self.place / "nginx.conf"))

    def context(self):
        return ssl.create_default_context(cafile=self.ca)


class Haproxy(Proxy):
    def __init__(self, upstream):
        self.place, self.port = folder("haproxy"), free_port()
        text = replaced(block("haproxy"), {"bind :443": f"bind 127.0.0.1:{self.port}", "127.0.0.1:8443": upstream})
        (self.place / "haproxy.cfg").write_text(text)
        self.start("haproxy", "-f", str(self.place / "haproxy.cfg"), "-db")


def header_v2(source, target=("127.0.0.1", 443), command=0x21):
    """PROXY protocol version 2, TCP over IPv4 or IPv6."""
    six = ":" in source[0]
    kind = socket.AF_INET6 if six else socket.AF_INET
    body = (socket.inet_pton(kind, source[0]) + socket.inet_pton(kind, "::1" if six else target[0]) +
            source[1].to_bytes(2, "big") + target[1].to_bytes(2, "big"))
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, 0x21 if six else 0x11]) + len(body).to_bytes(2, "big") + body
