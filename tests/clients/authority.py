"""A local authority, and a certificate of it for this machine: what clients are given to trust."""
import subprocess

EXTENSIONS = """[ca]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
[leaf]
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost,DNS:*.localhost,IP:127.0.0.1
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def authority(path):
    """ca.pem, and cert.pem with leaf.key signed by it for localhost and 127.0.0.1."""
    (path / "extensions").write_text(EXTENSIONS)
    for name, subject in (("ca", "/CN=Tarn test authority"), ("leaf", "/CN=localhost")):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path / f"{name}.key")
        openssl("req", "-new", "-key", path / f"{name}.key", "-subj", subject, "-out", path / f"{name}.csr")
    more = ("-days", 30, "-extfile", path / "extensions")
    openssl("x509", "-req", "-in", path / "ca.csr", "-signkey", path / "ca.key", "-extensions", "ca", "-out", path / "ca.pem", *more)
    openssl("x509", "-req", "-in", path / "leaf.csr", "-CA", path / "ca.pem", "-CAkey", path / "ca.key", "-CAcreateserial",
            "-extensions", "leaf", "-out", path / "cert.pem", *more)
    return path / "ca.pem", path / "cert.pem", path / "leaf.key"
