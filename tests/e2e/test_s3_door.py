"""The S3 door's settings: TLS with the house's certificates, public names, several domains, inherited sockets."""
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

os.environ["TARN_S3_LISTEN"] = "127.0.0.1:0"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "life"))
from server import Server, folder  # noqa: E402
from lake import TARN, Lake, case, equal, holds, main  # noqa: E402


def client(admin, url, **more):
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=admin["access_key"],
                        aws_secret_access_key=admin["secret_key"],
                        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}), **more)


def asked(admin, host, path, address):
    """GET / signed for `host`, sent to `address` with the Host that a proxy would send."""
    request = AWSRequest("GET", f"http://{host}{path}")
    S3SigV4Auth(Credentials(admin["access_key"], admin["secret_key"]), "s3", "us-east-1").add_auth(request)
    fields = {name: value for name, value in request.headers.items()}
    fields["Host"] = "what.the.proxy.sends"
    plain = urllib.request.Request(f"http://{address}{path}", headers=fields)
    try:
        with urllib.request.urlopen(plain, timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@case
def over_tls_with_the_certificates_of_the_house():
    data = folder("s3tls") / "lake"
    made = subprocess.run([TARN, "cert", "--data", data, "localhost", "127.0.0.1"], capture_output=True, text=True,
                          timeout=60)
    equal(made.returncode, 0, made.stderr)
    lake = Lake(data, "--s3-tls", "127.0.0.1:0")
    holds(lake.admin["s3"] and lake.admin["s3_tls"], "both addresses")
    door = client(lake.admin, f"https://{lake.admin['s3_tls']}", verify=str(data / "tls/ca.pem"))
    door.create_bucket(Bucket="over-tls")
    door.put_object(Bucket="over-tls", Key="k", Body=b"x" * 300000)
    equal(door.get_object(Bucket="over-tls", Key="k")["Body"].read(), b"x" * 300000)
    clear = client(lake.admin, f"http://{lake.admin['s3']}")
    equal(clear.head_object(Bucket="over-tls", Key="k")["ContentLength"], 300000)
    out = lake.cli("object", "ls", "over-tls", env={"TARN_S3": f"https://{lake.admin['s3_tls']}"})
    holds(out.returncode == 0 and "300000" in out.stdout, out.stderr)
    out = lake.cli("object", "ls", "over-tls", "--endpoint", f"https://{lake.admin['s3_tls']}", "--ca", "/dev/null")
    holds(out.returncode == 7 and "--ca" in out.stderr, out.stderr)
    renewed = subprocess.run([TARN, "cert", "--data", data, "--renew", "localhost", "127.0.0.1"], capture_output=True,
                             text=True, timeout=60)
    equal(renewed.returncode, 0, renewed.stderr)
    os.kill(lake.process.pid, 1)  # SIGHUP
    again = client(lake.admin, f"https://{lake.admin['s3_tls']}", verify=str(data / "tls/ca.pem"))
    equal(again.list_objects_v2(Bucket="over-tls")["KeyCount"], 1)
    equal(lake.stop(), 0)


@case
def without_a_certificate_tls_says_what_to_do():
    data = folder("s3tls") / "lake"
    out = subprocess.run([TARN, "serve", "--data", data, "--http", "off", "--s3", "off", "--s3-tls", "127.0.0.1:0"],
                         capture_output=True, text=True, timeout=60)
    holds(out.returncode != 0 and "tarn cert" in out.stderr, out.stderr)


@case
def a_public_host_is_signed_in_place_of_the_own():
    lake = Lake(None, "--set", "s3.public_host=public.example.org")
    address = lake.admin["s3"]
    equal(asked(lake.admin, "public.example.org", "/", address)[0], 200)
    status, body = asked(lake.admin, "other.example.org", "/", address)
    equal(status, 403)
    holds(b"SignatureDoesNotMatch" in body, body)
    lake.stop()


@case
def several_domains_name_the_bucket():
    lake = Lake(None, "--set", "s3.domain=s3.test, files.test")
    door = client(lake.admin, f"http://{lake.admin['s3']}")
    door.create_bucket(Bucket="virtual")
    door.put_object(Bucket="virtual", Key="k", Body=b"found")
    for domain in ("s3.test", "files.test"):
        request = AWSRequest("GET", f"http://virtual.{domain}/k")
        S3SigV4Auth(Credentials(lake.admin["access_key"], lake.admin["secret_key"]), "s3", "us-east-1").add_auth(request)
        fields = {**dict(request.headers.items()), "Host": f"virtual.{domain}"}
        with urllib.request.urlopen(urllib.request.Request(f"http://{lake.admin['s3']}/k", headers=fields)) as reply:
            equal(reply.read(), b"found", domain)
    lake.stop()
    out = subprocess.run([TARN, "serve", "--data", folder("d") / "lake", "--http", "off", "--set", "s3.domain=a,,b"],
                         capture_output=True, text=True, timeout=60)
    holds(out.returncode != 0 and "s3.domain" in out.stderr, out.stderr)


@case
def a_public_host_is_not_signed_for_another_bucket():
    lake = Lake(None, "--set", "s3.public_host=public.example.org", "--set", "s3.domain=s3.test",
                "--set", "http.trusted_proxies=127.0.0.1")
    door = client(lake.admin, f"http://{lake.admin['s3']}")
    for name, key in (("meant", "k"), ("other", "meant/k")):
        door.create_bucket(Bucket=name)
        door.put_object(Bucket=name, Key=key, Body=name.encode())
    request = AWSRequest("GET", "http://public.example.org/meant/k")
    S3SigV4Auth(Credentials(lake.admin["access_key"], lake.admin["secret_key"]), "s3", "us-east-1").add_auth(request)
    for host, more, wanted in (("10.0.0.1", {}, (200, b"meant")), ("other.s3.test", {}, (403, None)),
                               ("10.0.0.1", {"X-Forwarded-Host": "other.s3.test"}, (200, b"meant"))):
        fields = {**dict(request.headers.items()), "Host": host, **more}
        try:
            with urllib.request.urlopen(urllib.request.Request(f"http://{lake.admin['s3']}/meant/k", headers=fields)) as reply:
                equal((reply.status, reply.read()), wanted, host)
        except urllib.error.HTTPError as error:
            equal((error.code, None), wanted, host)
    signed = AWSRequest("GET", f"http://{lake.admin['s3']}/meant/k")
    S3SigV4Auth(Credentials(lake.admin["access_key"], lake.admin["secret_key"]), "s3", "us-east-1").add_auth(signed)
    fields = {**dict(signed.headers.items()), "X-Forwarded-Host": "other.s3.test"}
    with urllib.request.urlopen(urllib.request.Request(signed.url, headers=fields)) as reply:
        equal(reply.read(), b"meant", "the host that was signed, though another was forwarded")
    lake.stop()


@case
def an_inherited_socket_called_s3_is_the_door():
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(sockets=[listener], names="s3", http="127.0.0.1:0")
    admin = json.loads((server.data / "admin.json").read_text())
    equal(admin["s3"], "%s:%d" % listener.getsockname())
    client(admin, f"http://{admin['s3']}").create_bucket(Bucket="inherited")
    equal(server.stop(), 0)


@case
def a_taken_port_names_the_setting():
    taken = socket.create_server(("127.0.0.1", 0))
    address = "%s:%d" % taken.getsockname()
    out = subprocess.run([TARN, "serve", "--data", folder("t") / "lake", "--http", "127.0.0.1:0", "--s3", address],
                         capture_output=True, text=True, timeout=60)
    equal(out.returncode != 0, True)
    holds(address in out.stderr and "--s3" in out.stderr, out.stderr)


if __name__ == "__main__":
    main()
