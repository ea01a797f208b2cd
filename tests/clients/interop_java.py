"""Java's HttpClient goes through the script, HTTP/1.1 and HTTP/2, in clear (where it asks for h2c in vain) and over TLS."""
import shutil
import subprocess
import sys

from stand import TOP, Results, Stand


def main():
    stand, results = Stand(), Results()
    if not shutil.which("java") or not shutil.which("javac"):
        print("java is not installed: nothing to run")
        return results.close()
    subprocess.run(["javac", "-d", stand.folder, TOP / "tests/clients/java/Client.java"], check=True, timeout=120)
    for tls in (False, True):
        for version in ("1", "2"):
            label = f"java HTTP/{version}, " + ("TLS" if tls else "clear")
            results.run(label, "java", "-cp", stand.folder, "Client", stand.url(tls), stand.ca, version)
    if stand.end() != 0:
        results.line("FAIL", "the door ends well")
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
