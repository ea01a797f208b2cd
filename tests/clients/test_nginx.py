"""curl goes through the script with nginx between, configured exactly as docs/behind-nginx.md has it."""
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "proxy"))
from proxies import Nginx  # noqa: E402
from script import go_through  # noqa: E402
from stand import Door, Results  # noqa: E402
from test_curl import Curl  # noqa: E402


class Behind:
    """What a client needs of a stand: the address is the proxy's."""

    def __init__(self):
        self.door = Door("--trusted", "127.0.0.1/32")
        self.proxy = Nginx("%s:%d" % self.door.address())
        self.ca = self.proxy.ca

    def url(self, tls):
        return "https://lake.example.org"

    def ended(self, name):
        return self.door.counts()["ended"].get(name, 0)


class Through(Curl):
    def __init__(self, stand, http2):
        super().__init__(stand, True, http2)
        self.name = f"curl HTTP/{2 if http2 else 1} through nginx"
        self.words += ["--connect-to", f"lake.example.org:443:127.0.0.1:{stand.proxy.port}"]
        # nginx answers 100 by itself and passes no trailers.
        self.can = self.can - {"expect", "trailers"}


def main():
    results = Results()
    if not shutil.which("nginx"):
        print("nginx is not installed: nothing to go through")
        return results.close()
    stand = Behind()
    for http2 in (False, True):
        go_through(Through(stand, http2), stand, results)
    told = Through(stand, True).ask("GET", "/headers").json
    results.line("ok" if (told["scheme"], told["host"]) == ("https", "lake.example.org") else "FAIL", "scheme and host behind nginx",
                 str(told)[:200])
    stand.proxy.stop()
    if stand.door.stop()[0] != 0:
        results.line("FAIL", "the door ends well")
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
