"""ceph/s3-tests against the S3 door: runs what is selected, one JSON line a test to --out; report.py makes results.md of it.

usage: measure.py --suite FOLDER [--python PYTHON] [--out FILE] [--bare] [PYTEST-WORDS...]
FOLDER is a checkout of github.com/ceph/s3-tests, PYTHON one with its requirements and pytest-timeout. --bare leaves public
canned ACLs away (translate.py)."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from lake import Lake  # noqa: E402

# What another server than Ceph's own can be asked: no formats, sites, queues, clouds, appends of its own, no old signatures.
NOT = ("fails_on_rgw", "s3select", "s3website", "s3website_routing_rules", "s3website_redirect_location", "sns", "bucket_logging",
       "bucket_logging_cleanup", "cloud_transition", "cloud_restore", "target_by_bucket", "append_object", "auth_aws2", "test_of_sts",
       "webidentity_test", "lifecycle_expiration", "lifecycle_transition")

CONF = """[DEFAULT]
host = {host}
port = {port}
is_secure = False
ssl_verify = False
[fixtures]
bucket prefix = tarn-{{random}}-
iam name prefix = s3-tests-
iam path prefix = /s3-tests/
[s3 main]
display_name = admin
user_id = {main_id}
email = main@example.com
api_name =
access_key = {main[0]}
secret_key = {main[1]}
[s3 alt]
display_name = alt
user_id = {alt_id}
email = alt@example.com
access_key = {alt[0]}
secret_key = {alt[1]}
[s3 tenant]
display_name = tenant
user_id = tenant
tenant = testx
email = tenant@example.com
access_key = {alt[0]}
secret_key = {alt[1]}
[iam]
display_name = iam
user_id = iam
email = iam@example.com
access_key = {main[0]}
secret_key = {main[1]}
[iam root]
user_id = root
email = root@example.com
access_key = {main[0]}
secret_key = {main[1]}
[iam alt root]
user_id = altroot
email = altroot@example.com
access_key = {alt[0]}
secret_key = {alt[1]}
[webidentity]
token = none
aud = none
sub = none
azp = none
user_token = none
thumbprint = none
KC_REALM = none
"""


def another(lake):
    """(id, access key, secret) of a principal that has what it makes, and reads the rest."""
    made = json.loads(lake.cli("key", "principal", "create", "alt", "--role", "data_scientist", "--json").stdout)
    key = json.loads(lake.cli("key", "access", "create", "alt", "--json").stdout)
    return made["id"], key["id"], key["secret"]


def admin_id(lake):
    rows = json.loads(lake.cli("key", "principal", "list", "--json").stdout)
    rows = rows if isinstance(rows, list) else next(value for value in rows.values() if isinstance(value, list))
    return next(row["id"] for row in rows if row["name"] == "admin")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--suite", type=Path, required=True)
    options.add_argument("--python", default=sys.executable)
    options.add_argument("--bare", action="store_true")
    options.add_argument("--out", type=Path, default=Path("s3_ceph.jsonl"))
    asked, words = options.parse_known_args()
    lake = Lake(None, "--s3", "127.0.0.1:0")
    admin = json.loads((lake.data / "admin.json").read_text())
    host, port = admin["s3"].rsplit(":", 1)
    key = (admin["access_key"], admin["secret_key"])
    other = another(lake)
    asked.out.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as conf:
        conf.write(CONF.format(host=host, port=port, main=key, alt=other[1:], main_id=admin_id(lake), alt_id=other[0]))
        conf.flush()
        environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
        environment |= {"S3TEST_CONF": conf.name, "S3_CEPH_OUT": str(asked.out.resolve()), "PYTHONPATH": str(HERE),
                        "S3_CEPH_BARE": "1" if asked.bare else ""}
        subprocess.run([asked.python, "-m", "pytest", "-p", "tell", "-p", "translate", "-p", "no:cacheprovider", "--timeout", "60",
                        "-q", "--tb=no", "-m", " and ".join(f"not {name}" for name in NOT), *(words or
                        ["s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py"])],
                       cwd=asked.suite, env=environment, check=False)
    print("the server is", "up" if lake.alive() else "down")


main()
