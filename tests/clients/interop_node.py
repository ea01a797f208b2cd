"""undici of node goes through the script, HTTP/1.1 in clear and over TLS, HTTP/2 over TLS (it has no prior knowledge); node's
own HTTP/2 has the many streams."""
import shutil
import sys

from stand import DEPS, TOP, Results, Stand


def main():
    stand, results = Stand(), Results()
    node, undici = shutil.which("node"), DEPS / "undici/node_modules/undici"
    if not node or not undici.exists():
        print("node or undici is not installed: nothing to run")
        return results.close()
    for tls, version in ((False, "1"), (True, "1"), (True, "2")):
        label = f"undici HTTP/{version}, " + ("TLS" if tls else "clear")
        results.run(label, node, TOP / "tests/clients/node/client.mjs", undici, stand.url(tls), stand.ca, version)
    for tls in (False, True):
        results.run("node HTTP/2, " + ("TLS" if tls else "clear"), node, TOP / "tests/clients/node/streams.mjs", stand.url(tls), stand.ca)
    if stand.end() != 0:
        results.line("FAIL", "the door ends well")
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
