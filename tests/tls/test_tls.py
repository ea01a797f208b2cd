"""The door over TLS: certificates by `tarn cert` and by name, client certificates, versions, reload, resumption, and what
testssl.sh and sslyze find."""
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "life"))
from server import (DEPS, Authority, Server, case, context, equal, folder, holds, in_background, local, main, tarn,  # noqa: E402
                    until)

HTTPS = ("--https", "127.0.0.1:0")
UNSAFE_LEVELS = {"LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"}


def curl(*words):
    return subprocess.run(["curl", "-sS", "-m", "20", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)


def openssl(*words, text=""):
    return subprocess.run(["openssl", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          input=text, timeout=30)


def handshake(server, made, name="localhost"):
    """The connection, or the error that ended it; with TLS 1.3 a refusal comes with the first read."""
    raw = socket.create_connection(("127.0.0.1", server.port(True)), timeout=20)
    try:
        secure = made.wrap_socket(raw, server_hostname=name)
        secure.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        first = secure.recv(64)
        if not first:
            return "closed"
        return secure
    except (ssl.SSLError, ConnectionResetError) as error:
        raw.close()
        return error


def refused(result):
    return not isinstance(result, ssl.SSLSocket)


def name_of(server, ca, name):
    """The first name in the certificate that the server shows to clients that ask for `name`."""
    made = context(ca)
    made.check_hostname = False
    with socket.create_connection(("127.0.0.1", server.port(True)), timeout=20) as raw:
        with made.wrap_socket(raw, server_hostname=name) as secure:
            return secure.getpeercert()["subjectAltName"][0][1]


# ---- tarn cert ----

@case
def a_first_secure_start_is_two_commands():
    data, ca = local()
    server = Server(*HTTPS, data=data, http="off")
    equal(server.http, None)
    done = curl("--cacert", ca, f"https://localhost:{server.port(True)}/v1/health", "--resolve", f"localhost:{server.port(True)}:127.0.0.1")
    equal(done.returncode, 0, done.stderr)
    holds(json.loads(done.stdout), "an answer")
    holds(curl(f"https://localhost:{server.port(True)}/v1/health").returncode == 60, "without the authority curl refuses")
    done = tarn("sql", "-c", "SELECT 41 + 1 AS answer", "--csv", data=data)
    equal((done.returncode, done.stdout.split()), (0, ["answer", "42"]), done.stderr)
    equal(server.stop(), 0)


@case
def files_of_tarn_cert():
    data, ca = local()
    tls = data / "tls"
    equal(sorted(path.name for path in tls.iterdir()), ["ca.key", "ca.pem", "server.key", "server.pem"])
    for path in tls.iterdir():
        equal(stat.S_IMODE(path.stat().st_mode), 0o600, str(path))
    equal(stat.S_IMODE(tls.stat().st_mode), 0o700)
    done = openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", ca, tls / "server.pem")
    equal(done.returncode, 0, done.stdout + done.stderr)
    text = openssl("x509", "-in", tls / "server.pem", "-noout", "-text").stdout
    for part in ("DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1", "CA:FALSE", "TLS Web Server Authentication"):
        holds(part in text, f"{part} in the certificate")
    holds("CA:TRUE" in openssl("x509", "-in", ca, "-noout", "-text").stdout, "the authority is one")


@case
def tarn_cert_replaces_nothing_unasked():
    data, _ = local()
    files = {path: path.read_bytes() for path in (data / "tls").iterdir()}
    again = tarn("cert", data=data)
    holds(again.returncode != 0 and "--renew" in again.stderr, f"it refuses and says what to do: {again.stderr}")
    equal({path: path.read_bytes() for path in (data / "tls").iterdir()}, files)
    client = tarn("cert", "--client", "alice", data=data)
    equal(client.returncode, 0, client.stderr)
    done = openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", data / "tls/ca.pem", data / "tls/client-alice.pem")
    equal(done.returncode, 0, done.stdout + done.stderr)
    holds(tarn("cert", "--client", "alice", data=data).returncode != 0, "nor a client's")
    renewed = tarn("cert", "--renew", "localhost", "lake.example.org", data=data)
    equal(renewed.returncode, 0, renewed.stderr)
    equal((data / "tls/ca.pem").read_bytes(), files[data / "tls/ca.pem"], "the authority stays")
    holds((data / "tls/server.pem").read_bytes() != files[data / "tls/server.pem"], "the server's is new")


@case
def bad_words_of_tarn_cert():
    data = folder() / "lake"
    for words in (["--client", "../x"], ["--client", ""], ["--days", "0"], ["--days", "x"], ["--days", "99999"], ["bad name!"]):
        done = tarn("cert", *words, data=data)
        holds(done.returncode != 0 and "Traceback" not in done.stderr, f"{words} is refused")
    out = tarn("cert", "--out", str(folder() / "a/b"), "one.example", data=data)
    equal(out.returncode, 0, out.stderr)
    holds("tls.certificates=" in out.stdout, "the next command names the files")


@case
def https_without_a_certificate_says_what_to_do():
    done = tarn("serve", *HTTPS, data=folder() / "lake")
    holds(done.returncode != 0 and "tarn cert" in done.stderr, done.stderr)
    place = folder()
    pair = Authority().issue(place / "a", "localhost")
    other = Authority().issue(place / "b", "localhost")
    for text in (f"{pair[0]} {other[1]}", f"{pair[0]} /nonexistent.key", f"{pair[1]} {pair[1]}", pair[0]):
        done = tarn("serve", *HTTPS, "--set", f"tls.certificates={text}", data=folder() / "lake")
        holds(done.returncode != 0 and not done.returncode < 0, f"{text} is refused: {done.stderr}")


# ---- versions, names, ALPN ----

@case
def the_oldest_version_is_1_3_unless_a_setting_says_1_2():
    data, ca = local()
    old = {"most": ssl.TLSVersion.TLSv1_2}
    server = Server(*HTTPS, data=data)
    equal(handshake(server, context(ca)).version(), "TLSv1.3")
    holds(refused(handshake(server, context(ca, **old))), "1.2 is refused")
    equal(server.stop(), 0)
    server = Server(*HTTPS, "--set", "tls.min=1.2", data=data)
    secure = handshake(server, context(ca, **old))
    equal(secure.version(), "TLSv1.2")
    holds(secure.cipher()[0].startswith("ECDHE-") and ("GCM" in secure.cipher()[0] or "CHACHA20" in secure.cipher()[0]),
          f"the suite {secure.cipher()}")
    for suite in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "DHE-RSA-AES128-GCM-SHA256"):
        made = context(ca, **old)
        made.set_ciphers(suite + ":@SECLEVEL=0")
        holds(refused(handshake(server, made)), f"{suite} is refused")
    for version in ("-tls1", "-tls1_1"):
        done = openssl("s_client", "-connect", f"127.0.0.1:{server.port(True)}", version, "-cipher", "ALL:@SECLEVEL=0")
        holds("Cipher is (NONE)" in done.stdout, f"{version} is refused")
    equal(server.stop(), 0)


@case
def alpn_chooses_the_protocol():
    data, ca = local()
    server = Server(*HTTPS, data=data)
    for offered, wanted in ((["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (None, None)):
        made = context(ca, alpn=offered)
        with socket.create_connection(("127.0.0.1", server.port(True))) as raw:
            with made.wrap_socket(raw, server_hostname="localhost") as secure:
                equal(secure.selected_alpn_protocol(), wanted)
    for words, wanted in ((["--http1.1"], "1.1"), (["--http2"], "2")):
        done = curl("--cacert", ca, *words, "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
                    f"https://127.0.0.1:{server.port(True)}/v1/health")
        equal(done.stdout, f"{wanted} 200", done.stderr)
    equal(server.stop(), 0)


@case
def the_name_that_is_asked_for_chooses_the_certificate():
    place, authority = folder(), Authority()
    ca = authority.save(place / "ca.pem")
    one = authority.issue(place / "one", "one.example", "www.one.example")
    two = authority.issue(place / "two", "*.two.example")
    server = Server(*HTTPS, "--set", f"tls.certificates={one[0]} {one[1]}, {two[0]} {two[1]}")
    for asked, wanted in (("one.example", "one.example"), ("www.one.example", "one.example"), ("a.two.example", "*.two.example"),
                          ("A.TWO.EXAMPLE", "*.two.example"), ("a.b.two.example", "one.example"), ("unknown.example", "one.example")):
        equal(name_of(server, ca, asked), wanted, asked)
    equal(server.stop(), 0)


@case
def what_is_not_tls_is_closed():
    data, ca = local()
    server = Server(*HTTPS, data=data)
    for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00" * 400, b"\x16\x03\x01\xff\xff" + b"\xff" * 300, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01"):
        with socket.create_connection(("127.0.0.1", server.port(True)), timeout=30) as raw:
            raw.sendall(garbage)
            raw.shutdown(socket.SHUT_WR)
            try:
                while raw.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    equal(server.once(secure=context(ca))[0], 200)
    equal(server.stop(), 0)


# ---- client certificates ----

@case
def client_certificates_when_required():
    data, ca = local()
    for name in ("alice", "bob"):
        equal(tarn("cert", "--client", name, data=data).returncode, 0)
    place, other = folder(), Authority("others")
    server = Server(*HTTPS, "--set", "tls.client=required", data=data, http="off")
    good = (data / "tls/client-alice.pem", data / "tls/client-alice.key")
    holds(not refused(handshake(server, context(ca, good))), "a good one is let in")
    holds(refused(handshake(server, context(ca))), "none is refused")
    holds(refused(handshake(server, context(ca, other.issue(place / "w", "alice", use="client")))), "of another authority")
    holds(refused(handshake(server, context(ca, (data / "tls/server.pem", data / "tls/server.key")))), "one for servers")
    done = tarn("sql", "-c", "SELECT 1 AS n", "--csv", "--cert", str(good[0]), "--key", str(good[1]), data=data)
    equal((done.returncode, done.stdout.split()), (0, ["n", "1"]), done.stderr)
    holds(tarn("sql", "-c", "SELECT 1", data=data).returncode != 0, "the command line without one is refused")
    equal(server.stop(), 0)


@case
def client_certificates_that_are_expired_or_forged():
    place, authority, other = folder(), Authority("mine"), Authority("mine")
    ca = authority.save(place / "ca.pem")
    pair = authority.issue(place / "server", "localhost")
    expired = authority.issue(place / "old", "alice", days=-1, use="client")
    forged = other.issue(place / "forged", "alice", use="client")
    good = authority.issue(place / "good", "alice", use="client")
    options = [*HTTPS, "--set", f"tls.certificates={pair[0]} {pair[1]}", "--set", f"tls.client_ca={ca}"]
    for mode in ("required", "optional"):
        server = Server(*options, "--set", f"tls.client={mode}")
        holds(not refused(handshake(server, context(ca, good))), f"{mode}: a good one")
        holds(refused(handshake(server, context(ca, expired))), f"{mode}: an expired one")
        holds(refused(handshake(server, context(ca, forged))), f"{mode}: one of an authority of the same name")
        equal(refused(handshake(server, context(ca))), mode == "required", f"{mode}: none is refused")
        equal(server.stop(), 0)
    done = tarn("serve", *HTTPS, "--set", f"tls.certificates={pair[0]} {pair[1]}", "--set", "tls.client=required",
                data=folder() / "lake")
    holds(done.returncode != 0, "without an authority of clients there is no start")


# ---- reload ----

@case
def a_reload_keeps_open_connections():
    place, authority = folder(), Authority()
    ca = authority.save(place / "ca.pem")
    authority.issue(place / "server", "old.example", "localhost")
    server = Server(*HTTPS, "--set", f"tls.certificates={place}/server.pem {place}/server.key")
    kept = server.connection(context(ca), host="localhost")
    equal(server.ask(kept)[0], 200)
    before = kept.sock
    ends = time.monotonic() + 3

    def load():
        connection, count = server.connection(context(ca), host="localhost"), 0
        while time.monotonic() < ends:
            equal(server.ask(connection)[0], 200)
            equal(server.once(secure=context(ca), source=None)[0], 200)
            count += 1
        return count
    server.connection = localhost(server.connection)
    workers = [in_background(load) for _ in range(2)]
    authority.issue(place / "server", "new.example", "localhost")
    server.reload()
    equal(name_of(server, ca, "localhost"), "new.example", "a new connection")
    equal(server.ask(kept)[0], 200)
    holds(kept.sock is before, "the open connection is the same")
    equal(kept.sock.getpeercert()["subjectAltName"][0][1], "old.example", "its certificate")
    holds(sum(join() for join in workers) > 5, "no request failed meanwhile")
    equal(server.stop(), 0)


def localhost(connect):
    def changed(secure=None, host="localhost", **more):
        return connect(secure, host=host, **more)
    return changed


@case
def a_bad_file_leaves_the_old_certificate():
    place, authority = folder(), Authority()
    ca = authority.save(place / "ca.pem")
    authority.issue(place / "server", "old.example", "localhost")
    server = Server(*HTTPS, "--set", f"tls.certificates={place}/server.pem {place}/server.key")
    (place / "server.pem").write_text("nonsense")
    server.reload()
    equal(name_of(server, ca, "localhost"), "old.example")
    holds("kept_as_it_was" in server.log() and f"{place}/server.pem" in server.log(), "the log names the file")
    Authority("other").issue(place / "other", "localhost")
    authority.issue(place / "server", "new.example")
    shutil.copy(place / "other.key", place / "server.key")
    server.reload()
    equal(name_of(server, ca, "localhost"), "old.example", "a key that does not match")
    authority.issue(place / "server", "good.example", "localhost")
    server.reload()
    equal(name_of(server, ca, "localhost"), "good.example")
    equal(server.stop(), 0)


@case
def curl_goes_on_through_a_reload():
    data, ca = local()
    server = Server(*HTTPS, data=data)
    url = f"https://localhost:{server.port(True)}/v1/health"
    for words in ("--http1.1", "--http2"):
        process = subprocess.Popen(["curl", "-sS", words, "--cacert", ca, "--rate", "600/m", "-w", "%{http_code} %{num_connects}\n",
                                    *[word for _ in range(12) for word in ("-o", "/dev/null", url)]],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3):
            equal(tarn("cert", "--renew", data=data).returncode, 0)
            server.reload()
        out, error = process.communicate(timeout=60)
        lines = out.split("\n")[:-1]
        equal((process.returncode, len(lines)), (0, 12), error)
        holds(all(line.startswith("200") for line in lines), f"every answer is 200: {lines}")
        equal(sum(int(line.split()[1]) for line in lines), 1, f"{words}: connections")
    equal(server.stop(), 0)


# ---- resumption ----

def session_of(server, made, session=None):
    with socket.create_connection(("127.0.0.1", server.port(True)), timeout=20) as raw:
        with made.wrap_socket(raw, server_hostname="localhost", session=session) as secure:
            secure.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while secure.recv(4096):
                pass
            return secure.session, secure.session_reused


@case
def sessions_resume_also_after_a_reload():
    data, ca = local()
    server = Server(*HTTPS, "--set", "tls.min=1.2", data=data)
    for most in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        made = context(ca, most=most)
        session, reused = session_of(server, made)
        equal(reused, False)
        again, reused = session_of(server, made, session)
        equal(reused, True, f"{most}: resumed")
        server.reload()
        _, reused = session_of(server, made, again)
        equal(reused, True, f"{most}: resumed after a reload")
    equal(server.stop(), 0)
    fresh = Server(*HTTPS, data=data)
    made = context(ca)
    session, _ = session_of(fresh, made)
    equal(fresh.stop(), 0)
    third = Server(*HTTPS, data=data)
    _, reused = session_of(third, made, session)
    equal(reused, False, "tickets of another process are not believed")
    equal(third.stop(), 0)


# ---- what others find ----

def testssl(server, *words):
    out = folder() / "findings.json"
    subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--jsonfile", str(out), *words,
                    f"127.0.0.1:{server.port(True)}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=600,
                   env={**os.environ, "TERM": "dumb"})
    return json.loads(out.read_text())


@case
def testssl_finds_nothing():
    data, ca = local()
    server = Server(*HTTPS, "--set", "http.hsts=8760h", data=data)
    findings = testssl(server, "-p", "-s", "-f", "-S", "-U", "--add-ca", str(ca))
    holds(len(findings) > 30, f"{len(findings)} findings of all kinds")
    # The first is of the tool's openssl; an authority of one's own publishes no list of revoked certificates; the last
    # one's client ends before a slow server's ticket has come (a case of ours is sessions_resume_also_after_a_reload).
    own = {"engine_problem", "cert_revocation", "sessionresumption_ticket"}
    equal([(f["id"], f["severity"], f["finding"]) for f in findings if f["severity"] in UNSAFE_LEVELS and f["id"] not in own],
          [], "findings above info")
    equal(server.stop(), 0)


@case
def sslyze_finds_nothing():
    data, ca = local("--days", "89")  # what it is held against wants certificates of less than 90 days
    server = Server(*HTTPS, data=data)
    out = folder() / "sslyze.json"
    done = subprocess.run([sys.executable, "-m", "sslyze", "--mozilla_config", "modern", "--certinfo_ca_file", str(ca), f"--json_out={out}",
                           "--resum", "--heartbleed", "--openssl_ccs", "--robot", "--fallback", "--reneg", "--early_data",
                           "--compression", "--elliptic_curves", f"localhost:{server.port(True)}"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
                          env={**os.environ, "PYTHONPATH": str(DEPS / "sslyze")})
    results = json.loads(out.read_text())["server_scan_results"]
    equal(len(results), 1)
    equal(results[0]["scan_status"], "COMPLETED", done.stdout[-1500:])
    scan = results[0]["scan_result"]
    for old in ("ssl_2_0_cipher_suites", "ssl_3_0_cipher_suites", "tls_1_0_cipher_suites", "tls_1_1_cipher_suites", "tls_1_2_cipher_suites"):
        equal(scan[old]["result"]["accepted_cipher_suites"], [], old)
    holds(len(scan["tls_1_3_cipher_suites"]["result"]["accepted_cipher_suites"]) >= 2, "suites of TLS 1.3")
    equal(scan["heartbleed"]["result"]["is_vulnerable_to_heartbleed"], False)
    equal(scan["openssl_ccs_injection"]["result"]["is_vulnerable_to_ccs_injection"], False)
    equal(scan["tls_compression"]["result"]["supports_compression"], False)
    equal(scan["tls_1_3_early_data"]["result"]["supports_early_data"], False)
    equal(scan["session_renegotiation"]["result"]["is_vulnerable_to_client_renegotiation_dos"], False)
    deployment = scan["certificate_info"]["result"]["certificate_deployments"][0]
    equal(len(deployment["received_certificate_chain"]) >= 1, True)
    holds("localhost:" in done.stdout and "OK - Compliant" in done.stdout, f"it complies: {done.stdout[-900:]}")
    equal([line for line in done.stdout.split("\n") if "VULNERABLE" in line and "NOT VULNERABLE" not in line.upper()], [])
    equal(server.stop(), 0)


if __name__ == "__main__":
    main()
