"""Python's clients go through the script of tests/clients with nginx between, configured as docs/behind-nginx.md says (curl's
turn is tests/clients/test_nginx.py). Left out is what nginx does not pass on: trailers, the server's own answer to Expect,
its Connection: close; and the addresses of connections, which are nginx's."""
import sys
import tempfile
from http.client import RemoteDisconnected
from pathlib import Path

import httpx

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "clients"))
from proxies import Nginx  # noqa: E402
from script import go_through  # noqa: E402
from stand import Door, Results, Stand  # noqa: E402
from test_python import Httpx, Standard  # noqa: E402

NOT_THROUGH = {"trailers", "send trailers", "expect", "reuse", "close"}


class Patient:
    """nginx closes a connection whose last body it did not read to its end, after a reply that does not say so: a GET is
    sent again, as RFC 9110 9.2.2 lets a client do."""

    def ask(self, method, target, fields=(), body=None):
        try:
            return super().ask(method, target, fields, body)
        except (RemoteDisconnected, httpx.RemoteProtocolError) as error:
            if method != "GET" or "isconnected" not in type(error).__name__ + str(error):
                raise
            return super().ask(method, target, fields, body)


class PatientStandard(Patient, Standard):
    pass


class PatientHttpx(Patient, Httpx):
    pass


class Behind(Stand):
    """A door in clear, and nginx over TLS in front of it."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tarn-proxied-"))
        self.door = Door("--trusted", "127.0.0.1")
        host, port = self.door.address()
        self.nginx = Nginx(f"{host}:{port}")
        self.ca = self.nginx.ca

    def url(self, tls):
        return f"https://localhost:{self.nginx.port}"

    def end(self):
        self.nginx.stop()
        return super().end()


def main():
    stand, results = Behind(), Results()
    for client in (PatientStandard(stand, True), PatientHttpx(stand, True, False), Httpx(stand, True, True)):
        client.name = f"{client.name} through nginx"
        client.can = client.can - NOT_THROUGH
        go_through(client, stand, results)
    if stand.end() != 0:
        results.line("FAIL", "the door ends well")
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
