"""boto3 and awscli go through nginx as docs/behind-nginx.md has it: signatures stay valid, by path and by bucket's host; and
through a proxy that changes the host, with s3.public_host."""
import json
import shutil
import socket
import sys
from pathlib import Path

from adapters import Boto3
from script import Client, run
from stand import REGION, Lake, Place, Results
from tools import Aws

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "proxy"))
from proxies import Nginx, free_port, settings_of  # noqa: E402

SITE = "s3.lake.example.org"
LIGHT = ("buckets", "small", "large", "odd_keys", "tags", "conditional", "wrong_key")
resolve = socket.getaddrinfo


def as_local(host, *more, **words):
    """The site and every bucket's host are here."""
    return resolve("127.0.0.1" if host == SITE or host.endswith("." + SITE) else host, *more, **words)


class VirtualHost(Boto3):
    name = "boto3-host"

    def __init__(self, place, secret=None):
        import boto3
        from botocore.config import Config
        Client.__init__(self, place, secret)
        self.s3 = boto3.session.Session().client(
            "s3", endpoint_url=place.url, region_name=REGION, aws_access_key_id=place.access, aws_secret_access_key=self.secret,
            verify=str(place.ca), config=Config(s3={"addressing_style": "virtual"}))


def behind(lake, name, url, proxy):
    admin = json.loads((lake.data / "admin.json").read_text())
    return Place(name, url, admin, proxy.ca)


def start(*more):
    lake = Lake(None, "--s3", "127.0.0.1:0", *more)
    return lake, json.loads((lake.data / "admin.json").read_text())["s3"]


def main():
    results = Results()
    if not shutil.which("nginx"):
        print("nginx is not installed: nothing to go through")
        return results.close()
    socket.getaddrinfo = as_local
    words = settings_of(2)
    lake, address = start(*(word for pair in zip(words[::2], words[1::2]) if "s3.listen=" not in pair[1] for word in pair))
    proxy = Nginx(address, 1, SITE, "127.0.0.1:9000", "443 ssl")
    site = behind(lake, "nginx", f"https://{SITE}:{proxy.port}", proxy)
    run(results, Boto3, site)
    run(results, VirtualHost, behind(lake, "nginx by host", f"https://{SITE}:{proxy.port}", proxy))
    run(results, Aws, behind(lake, "nginx", f"https://localhost:{proxy.port}", proxy), ("buckets", "small", "large", "tags", "wrong_key"))
    proxy.stop()
    if lake.stop() != 0:
        results.line("FAIL", "the server ends well")
    port = free_port()
    lake, address = start("--set", "http.trusted_proxies=127.0.0.1", "--set", f"s3.public_host={SITE}:{port}")
    proxy = Nginx(address, 1, SITE, "127.0.0.1:9000", "443 ssl", {"proxy_set_header Host              $http_host;": "",
                                                                "proxy_set_header X-Forwarded-Host  $http_host;": ""}, port)
    run(results, Boto3, behind(lake, "another host", f"https://{SITE}:{proxy.port}", proxy), LIGHT)
    proxy.stop()
    if lake.stop() != 0:
        results.line("FAIL", "the server ends well")
    return results.close()


if __name__ == "__main__":
    sys.exit(main())
