"""A `tarn serve` whose life is watched: told when it is ready by its own notices (a socket of ours stands in for the
service manager), ended by its process id. Also what tests of TLS and proxies share: certificates, sockets."""
import atexit
import datetime
import http.client
import ipaddress
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
os.environ.setdefault("TARN_S3_LISTEN", "off")  # these tests count descriptors, loops and listeners
from lake import BUILD, DEPS, TARN, TOP, case, equal, holds, main  # noqa: E402,F401


def folder(what="life"):
    path = Path(tempfile.mkdtemp(prefix=f"tarn-{what}-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def until(truth, seconds=20, what="it"):
    """Asks again and again until it is true; the bound is only for failures."""
    end = time.monotonic() + seconds
    while True:
        value = truth()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {seconds} s")
        time.sleep(0.02)


class Server:
    """`tarn serve OPTIONS` in a fresh data directory, listening in clear unless `http` says otherwise."""

    def __init__(self, *options, data=None, http="127.0.0.1:0", env=None, sockets=(), names="", ready=True, prefix=()):
        self.data = Path(data) if data else folder() / "lake"
        self.log_path = self.data.parent / f"{self.data.name}.log"
        self.notices = []
        self.notify_path = str(folder("n") / "notify")
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.notify_path)
        words = [str(TARN), "serve", "--data", str(self.data), *(["--http", http] if http else []), *options]
        environment = {**os.environ, "NOTIFY_SOCKET": self.notify_path, **(env or {})}
        if sockets:
            words = self.inheriting(words, environment, sockets, names)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*prefix, *words], stdout=subprocess.PIPE, stderr=log, env=environment,
                                            pass_fds=[s.fileno() for s in sockets])
        atexit.register(self.kill)
        if ready:
            self.wait_ready()

    @staticmethod
    def inheriting(words, environment, sockets, names):
        """As a service manager does it: descriptors from 3 on, LISTEN_PID the process that execs."""
        environment.update(LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=names)
        moves = " ".join(f"{3 + i}<&{s.fileno()}" for i, s in enumerate(sockets))
        return ["bash", "-c", f'exec {moves}; LISTEN_PID=$$ exec "$@"', "serve", *words]

    def notice(self, wanted, seconds=30):
        """Waits for the next notice that has the line `wanted`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.notify.settimeout(0.2)
            try:
                text = self.notify.recv(4096).decode()
            except TimeoutError:
                if self.process.poll() is not None:
                    raise AssertionError(f"the server ended with {self.process.returncode} before {wanted}: {self.log()[-1500:]}")
                continue
            self.notices.append(text)
            if wanted in text.split("\n"):
                return text
        raise AssertionError(f"no notice {wanted}: {self.notices}, log: {self.log()[-1500:]}")

    def wait_ready(self):
        self.notice("READY=1")
        self.admin = json.loads((self.data / "admin.json").read_text())
        self.token, self.http, self.https = self.admin["token"], self.admin["http"], self.admin["https"]

    def log(self):
        return self.log_path.read_text(errors="replace")

    def port(self, secure=False):
        return int((self.https if secure else self.http).rsplit(":", 1)[1])

    def connection(self, secure=None, host="127.0.0.1", source=None, timeout=60):
        if secure:
            return http.client.HTTPSConnection(host, self.port(True), context=secure, timeout=timeout,
                                               source_address=source)
        return http.client.HTTPConnection(host, self.port(), timeout=timeout, source_address=source)

    def ask(self, connection, method="GET", path="/v1/health", body=None, headers=None):
        connection.request(method, path, body, {"Authorization": f"Bearer {self.token}", **(headers or {})})
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()

    def once(self, *words, secure=None, source=None, **more):
        connection = self.connection(secure, source=source)
        try:
            return self.ask(connection, *words, **more)
        finally:
            connection.close()

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self):
        self.signal(signal.SIGHUP)
        self.notice("READY=1")

    def stop(self, seconds=60):
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)


def tarn(*words, env=None, data=None):
    return subprocess.run([TARN, *words, *(["--data", data] if data else [])], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}, timeout=120)


# ---- certificates that `tarn cert` would not make: of other authorities, expired, for another use ----

class Authority:
    def __init__(self, name="tests"):
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        self.cert = (x509.CertificateBuilder().subject_name(self.name).issuer_name(self.name).public_key(self.key.public_key())
                     .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                     .not_valid_after(now + datetime.timedelta(days=100))
                     .add_extension(x509.BasicConstraints(True, None), True)
                     .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
                     .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
                     .sign(self.key, hashes.SHA256()))

    def issue(self, path, *names, days=30, use="server"):
        """PATH.pem and PATH.key; `days` below zero: it expired so long ago."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        usage = x509.oid.ExtendedKeyUsageOID
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        cert = (x509.CertificateBuilder().issuer_name(self.name).public_key(key.public_key())
                .subject_name(x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, names[0])]))
                .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=99))
                .not_valid_after(now + datetime.timedelta(days=days))
                .add_extension(x509.BasicConstraints(False, None), True)
                .add_extension(x509.ExtendedKeyUsage([usage.SERVER_AUTH if use == "server" else usage.CLIENT_AUTH]), False)
                .add_extension(x509.SubjectAlternativeName([alternative(x509, n) for n in names]), False)
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
                .sign(self.key, hashes.SHA256()))
        Path(f"{path}.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        Path(f"{path}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                                         serialization.NoEncryption()))
        return f"{path}.pem", f"{path}.key"

    def save(self, path):
        from cryptography.hazmat.primitives import serialization
        Path(path).write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))
        return str(path)


def alternative(x509, name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def context(ca, cert=None, alpn=None, least=None, most=None):
    made = ssl.create_default_context(cafile=str(ca))
    if cert:
        made.load_cert_chain(*cert)
    if alpn:
        made.set_alpn_protocols(alpn)
    if least:
        made.minimum_version = least
    if most:
        made.maximum_version = most
    return made


def local(*words):
    """A data directory with what `tarn cert` makes for a first secure start."""
    data = folder("tls") / "lake"
    made = tarn("cert", *words, data=data)
    equal(made.returncode, 0, made.stderr)
    return data, data / "tls/ca.pem"


def in_background(work):
    box = {}

    def run():
        try:
            box["value"] = work()
        except Exception as error:  # noqa: BLE001
            box["error"] = error
    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def join(seconds=60):
        thread.join(seconds)
        if thread.is_alive():
            raise AssertionError("it still runs")
        if "error" in box:
            raise box["error"]
        return box.get("value")
    return join
