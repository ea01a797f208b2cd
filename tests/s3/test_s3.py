"""The S3 door through boto3 as it comes, and what signed requests must not get away with."""
import hashlib
import io
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import Lake, case, equal, holds, main  # noqa: E402

os.environ.pop("AWS_CA_BUNDLE", None)
import boto3  # noqa: E402
from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError  # noqa: E402

lake = Lake(None, "--s3", "127.0.0.1:0")
ADMIN = json.loads((lake.data / "admin.json").read_text())
URL = f"http://{ADMIN['s3']}"


def client(access=None, secret=None, token=None, region="us-east-1"):
    config = Config(retries={"max_attempts": 1}, signature_version="s3v4", s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=URL, region_name=region, aws_access_key_id=access or ADMIN["access_key"],
                        aws_secret_access_key=secret or ADMIN["secret_key"], aws_session_token=token, config=config)


s3 = client()


def bucket(name, versions=False):
    s3.create_bucket(Bucket=name)
    if versions:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def code_of(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    return None, 200


@case
def keys_are_opaque():
    name = bucket("opaque-keys")
    keys = ["a//b", "..", "./z", "/lead", "p", "p/q", "ü ß+%25&", "x" * 1024, "a\tb", "~", "*", "a/../b"]
    for key in keys:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    for key in keys:
        equal(s3.get_object(Bucket=name, Key=key)["Body"].read(), key.encode(), key)
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket=name)["Contents"]]
    equal(listed, sorted(keys, key=lambda k: k.encode()))
    equal(code_of(s3.put_object, Bucket=name, Key="x" * 1025, Body=b""), ("KeyTooLongError", 400))


@case
def puts_and_reads():
    name = bucket("puts-and-reads")
    body = os.urandom(200_000)
    made = s3.put_object(Bucket=name, Key="k", Body=body, Metadata={"a": "b"}, ContentType="text/csv",
                         CacheControl="max-age=5", ChecksumAlgorithm="SHA256")
    equal(made["ETag"], f'"{hashlib.md5(body).hexdigest()}"')
    got = s3.get_object(Bucket=name, Key="k", ChecksumMode="ENABLED")
    equal((got["Body"].read(), got["Metadata"], got["ContentType"], got["CacheControl"]),
          (body, {"a": "b"}, "text/csv", "max-age=5"))
    holds("ChecksumSHA256" in got, "the checksum is given back")
    equal(s3.get_object(Bucket=name, Key="k", Range="bytes=-7")["Body"].read(), body[-7:])
    equal(code_of(s3.get_object, Bucket=name, Key="k", Range="bytes=200000-"), ("InvalidRange", 416))
    equal(code_of(s3.get_object, Bucket=name, Key="k", IfNoneMatch=made["ETag"])[1], 304)
    equal(code_of(s3.get_object, Bucket=name, Key="k", IfMatch='"0"'), ("PreconditionFailed", 412))
    equal(code_of(s3.put_object, Bucket=name, Key="k", Body=b"", IfNoneMatch="*"), ("PreconditionFailed", 412))
    s3.put_object(Bucket=name, Key="k", Body=b"2", IfMatch=made["ETag"])
    equal(code_of(s3.put_object, Bucket=name, Key="k", Body=b"3", IfMatch=made["ETag"]), ("PreconditionFailed", 412))
    equal(code_of(s3.get_object, Bucket=name, Key="none"), ("NoSuchKey", 404))
    equal(code_of(s3.get_object, Bucket="no-such-bucket-here", Key="k"), ("NoSuchBucket", 404))


@case
def parts_become_an_object():
    name = bucket("in-parts")
    body = os.urandom(12 << 20)
    for algorithm in ("CRC32", "SHA1"):
        begun = s3.create_multipart_upload(Bucket=name, Key="big", ChecksumAlgorithm=algorithm)
        parts = []
        for number, at in ((3, 6 << 20), (1, 0)):
            part = s3.upload_part(Bucket=name, Key="big", UploadId=begun["UploadId"], PartNumber=number,
                                  Body=body[at:at + (6 << 20)], ChecksumAlgorithm=algorithm)
            parts.append({"PartNumber": number, "ETag": part["ETag"], f"Checksum{algorithm}": part[f"Checksum{algorithm}"]})
        parts.sort(key=lambda p: p["PartNumber"])
        equal([p["PartNumber"] for p in s3.list_parts(Bucket=name, Key="big", UploadId=begun["UploadId"])["Parts"]], [1, 3])
        done = s3.complete_multipart_upload(Bucket=name, Key="big", UploadId=begun["UploadId"],
                                            MultipartUpload={"Parts": parts})
        holds(done["ETag"].endswith('-2"'), done["ETag"])
        again = s3.complete_multipart_upload(Bucket=name, Key="big", UploadId=begun["UploadId"],
                                             MultipartUpload={"Parts": parts})
        equal(again["ETag"], done["ETag"], "a repeated completion")
        equal(s3.get_object(Bucket=name, Key="big")["Body"].read(), body)
        equal(s3.get_object(Bucket=name, Key="big", PartNumber=2)["Body"].read(), body[6 << 20:])
        equal(s3.get_object_attributes(Bucket=name, Key="big", ObjectAttributes=["ObjectParts"])["ObjectParts"]
              ["TotalPartsCount"], 2)
    begun = s3.create_multipart_upload(Bucket=name, Key="left")
    equal([u["Key"] for u in s3.list_multipart_uploads(Bucket=name)["Uploads"]], ["left"])
    equal(code_of(s3.complete_multipart_upload, Bucket=name, Key="left", UploadId=begun["UploadId"],
                  MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "x"}]}), ("InvalidPart", 400))
    s3.abort_multipart_upload(Bucket=name, Key="left", UploadId=begun["UploadId"])
    equal(code_of(s3.abort_multipart_upload, Bucket=name, Key="left", UploadId=begun["UploadId"]), ("NoSuchUpload", 404))


@case
def versions_and_markers():
    name = bucket("with-versions", versions=True)
    first = s3.put_object(Bucket=name, Key="v", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=name, Key="v", Body=b"22")["VersionId"]
    marker = s3.delete_object(Bucket=name, Key="v")
    holds(marker["DeleteMarker"], "a marker was made")
    equal(code_of(s3.get_object, Bucket=name, Key="v"), ("NoSuchKey", 404))
    equal(code_of(s3.get_object, Bucket=name, Key="v", VersionId=marker["VersionId"]), ("MethodNotAllowed", 405))
    equal(s3.get_object(Bucket=name, Key="v", VersionId=first)["Body"].read(), b"1")
    seen = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name, PaginationConfig={"PageSize": 1}):
        seen += page.get("Versions", []) + page.get("DeleteMarkers", [])
    equal([item["VersionId"] for item in seen], [marker["VersionId"], second, first])
    equal([item["IsLatest"] for item in seen], [True, False, False])
    s3.delete_object(Bucket=name, Key="v", VersionId=marker["VersionId"])
    equal(s3.get_object(Bucket=name, Key="v")["Body"].read(), b"22")
    out = s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "v", "VersionId": v} for v in (first, second)] +
                                                            [{"Key": "never"}]})
    equal(len(out["Deleted"]), 3)


@case
def lists_by_pages_and_delimiters():
    name = bucket("for-lists")
    keys = [f"d{i // 10}/k{i:03}" for i in range(60)] + ["top"]
    for key in keys:
        s3.put_object(Bucket=name, Key=key, Body=b"")
    for operation in ("list_objects_v2", "list_objects"):
        for size in (1, 7, 1000):
            found, prefixes = [], []
            for page in s3.get_paginator(operation).paginate(Bucket=name, Delimiter="/", PaginationConfig={"PageSize": size}):
                found += [item["Key"] for item in page.get("Contents", [])]
                prefixes += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
            equal((found, prefixes), (["top"], [f"d{i}/" for i in range(6)]), f"{operation} by {size}")


@case
def copies_tags_cors():
    name = bucket("copies")
    s3.put_object(Bucket=name, Key="from", Body=b"hello", Metadata={"a": "b"}, Tagging="x=1&y=2")
    equal(s3.copy_object(Bucket=name, Key="to", CopySource=f"{name}/from")["CopyObjectResult"]["ETag"],
          f'"{hashlib.md5(b"hello").hexdigest()}"')
    equal(s3.head_object(Bucket=name, Key="to")["Metadata"], {"a": "b"})
    equal(len(s3.get_object_tagging(Bucket=name, Key="to")["TagSet"]), 2)
    s3.copy_object(Bucket=name, Key="to", CopySource=f"{name}/from", MetadataDirective="REPLACE", Metadata={"c": "d"})
    equal(s3.head_object(Bucket=name, Key="to")["Metadata"], {"c": "d"})
    s3.delete_object_tagging(Bucket=name, Key="to")
    equal(s3.get_object_tagging(Bucket=name, Key="to")["TagSet"], [])
    equal(code_of(s3.get_bucket_cors, Bucket=name), ("NoSuchCORSConfiguration", 404))
    s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]})
    equal(s3.get_bucket_cors(Bucket=name)["CORSRules"][0]["AllowedMethods"], ["GET"])
    equal(code_of(s3.get_bucket_policy, Bucket=name), ("NoSuchBucketPolicy", 404))
    equal(code_of(s3.get_bucket_accelerate_configuration, Bucket=name), ("NotImplemented", 501))


@case
def signatures_are_checked():
    equal(code_of(client(secret="wrong" * 8).list_buckets), ("SignatureDoesNotMatch", 403))
    equal(code_of(client(access="TARNNOSUCHKEY").list_buckets), ("InvalidAccessKeyId", 403))
    equal(code_of(client(region="eu-west-1").list_buckets)[0], "AuthorizationHeaderMalformed")
    equal(code_of(client(token="bm9uZQ==").list_buckets)[0], "InvalidToken")
    try:
        urllib.request.urlopen(URL + "/")
        holds(False, "nothing without a signature")
    except urllib.error.HTTPError as error:
        equal(error.code, 403)
        holds(b"<Code>AccessDenied</Code>" in error.read(), "S3's own XML")
    name = bucket("signed-urls")
    s3.put_object(Bucket=name, Key="k", Body=b"signed")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "k"}, ExpiresIn=60)
    equal(urllib.request.urlopen(url).read(), b"signed")
    try:
        urllib.request.urlopen(url.replace("signed-urls/k", "signed-urls/other"))
        holds(False, "a changed path is refused")
    except urllib.error.HTTPError as error:
        equal(error.code, 403)


@case
def bodies_are_compared():
    name = bucket("compared")
    url = s3.generate_presigned_url("put_object", Params={"Bucket": name, "Key": "k"}, ExpiresIn=60)
    request = urllib.request.Request(url, b"hello", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, method="PUT")
    try:
        urllib.request.urlopen(request)
        holds(False, "another MD5 is refused")
    except urllib.error.HTTPError as error:
        holds(b"<Code>BadDigest</Code>" in error.read(), "BadDigest")
    equal(code_of(s3.put_object, Bucket=name, Key="k", Body=b"hello", ChecksumCRC32="AAAAAA==")[0], "BadDigest")
    equal(s3.list_objects_v2(Bucket=name)["KeyCount"], 0, "nothing was kept")


@case
def sessions_over_the_wire():
    config = Config(retries={"max_attempts": 1})
    sts = boto3.client("sts", endpoint_url=URL, region_name="us-east-1", aws_access_key_id=ADMIN["access_key"],
                       aws_secret_access_key=ADMIN["secret_key"], config=config)
    name = bucket("session-bucket")
    s3.put_object(Bucket=name, Key="in/a", Body=b"a")
    s3.put_object(Bucket=name, Key="out/a", Body=b"a")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/in/*"}]}
    made = sts.assume_role(RoleArn="arn:aws:iam::000000000000:role/any", RoleSessionName="trial", Policy=json.dumps(policy),
                           DurationSeconds=900)["Credentials"]
    narrow = client(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    equal(narrow.get_object(Bucket=name, Key="in/a")["Body"].read(), b"a")
    equal(code_of(narrow.get_object, Bucket=name, Key="out/a"), ("AccessDenied", 403))
    equal(code_of(narrow.put_object, Bucket=name, Key="in/b", Body=b""), ("AccessDenied", 403))
    wrong = boto3.client("sts", endpoint_url=URL, region_name="us-east-1", aws_access_key_id=ADMIN["access_key"],
                         aws_secret_access_key="x" * 40, config=config)
    equal(code_of(wrong.get_caller_identity), ("SignatureDoesNotMatch", 403))
    equal(code_of(sts.assume_role, RoleArn="arn:aws:iam::000000000000:role/any", RoleSessionName="trial", Policy="{}"),
          ("ValidationError", 400))
    holds(sts.get_caller_identity()["Arn"].startswith("arn:aws:iam"), "the caller has a name")


@case
def pages_of_other_origins():
    name = bucket("cors-bucket")
    s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": [
        {"AllowedOrigins": ["https://*.example.org"], "AllowedMethods": ["GET"], "AllowedHeaders": ["x-amz-*"], "MaxAgeSeconds": 60}]})
    s3.put_object(Bucket=name, Key="k", Body=b"k")

    def ask(origin, method, headers=""):
        request = urllib.request.Request(f"{URL}/{name}/k", method="OPTIONS", headers={
            "Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers})
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, reply.headers.get("Access-Control-Allow-Origin")
        except urllib.error.HTTPError as error:
            return error.code, None

    equal(ask("https://a.example.org", "GET", "x-amz-date"), (200, "https://a.example.org"))
    equal(ask("https://a.example.org", "PUT"), (403, None))
    equal(ask("https://example.com", "GET"), (403, None))
    equal(ask("https://a.example.org", "GET", "authorization"), (403, None))
    url = s3.generate_presigned_url("get_object", Params={"Bucket": name, "Key": "k"})
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Origin": "https://b.example.org"})) as reply:
        equal((reply.read(), reply.headers["Access-Control-Allow-Origin"]), (b"k", "https://b.example.org"))
    s3.create_multipart_upload(Bucket=name, Key="left")
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    bucket(name)
    equal(s3.list_multipart_uploads(Bucket=name).get("Uploads", []), [])


def form_of(fields, content, filename="f.txt"):
    mark = "tarn-form-mark"
    rows = [f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
    rows.append(f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n')
    return f"multipart/form-data; boundary={mark}", "".join(rows).encode() + content + f"\r\n--{mark}--\r\n".encode()


@case
def forms_of_pages():
    name = bucket("form-bucket")

    def post(fields, content=b"hello", filename="f.txt"):
        kind, body = form_of(fields, content, filename)
        request = urllib.request.Request(f"{URL}/{name}", data=body, method="POST", headers={"Content-Type": kind})
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, ""
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            return error.code, text[text.index("<Code>") + 6:text.index("</Code>")]

    def signed(key="up/${filename}", conditions=(), **fields):
        return s3.generate_presigned_post(name, key, Fields=dict(fields), Conditions=list(conditions))["fields"]

    equal(post(signed()), (204, ""))
    equal(s3.get_object(Bucket=name, Key="up/f.txt")["Body"].read(), b"hello")
    equal(post(signed(), b"path", filename="C:/of/a browser/g.txt"), (204, ""))
    equal(s3.get_object(Bucket=name, Key="up/g.txt")["Body"].read(), b"path", "its last part")
    named = signed(key="${filename}", conditions=[["starts-with", "$key", "foo"]])
    equal([post(named, filename=f) for f in ("foo.txt", "bar.txt")], [(204, ""), (403, "AccessDenied")], "what came of the name is judged")
    equal(post(signed(key="k") | {"key": "other"}), (403, "AccessDenied"))
    equal(post(signed(key="k") | {"x-amz-meta-a": "b"}), (403, "AccessDenied"))
    equal(post(signed(key="k", conditions=[["content-length-range", 1, 4]])), (400, "EntityTooLarge"))
    equal(post(signed(key="k", conditions=[["content-length-range", 9, 20]])), (400, "EntityTooSmall"))
    broken = signed(key="k")
    equal(post(broken | {"x-amz-signature": "0" * 64}), (403, "SignatureDoesNotMatch"))
    equal(post({"key": "k"}), (403, "AccessDenied"))
    equal(code_of(s3.head_object, Bucket=name, Key="k"), ("404", 404))
    good = signed(key="k", conditions=[{"success_action_status": "201"}, ["starts-with", "$x-amz-meta-a", "b"]], success_action_status="201")
    equal(post(good | {"x-amz-meta-a": "bc"}, b"z" * 300000), (201, ""))
    found = s3.head_object(Bucket=name, Key="k")
    equal((found["ContentLength"], found["Metadata"]), (300000, {"a": "bc"}))
    equal(post(good | {"x-amz-meta-a": "bc", "X-Amz-Meta-A": "else"}), (403, "AccessDenied"), "judged once, sent twice")
    for field in ("x-amz-meta-a", "Content-Type", "Content-Disposition", "success_action_redirect"):
        broken = signed(key="odd", conditions=[["starts-with", f"${field}", ""]]) | {field: "http://b\r\nX-Evil: y"}
        equal(post(broken), (400, "InvalidArgument"), f"a value of {field} that no header has")
    equal(code_of(s3.head_object, Bucket=name, Key="odd"), ("404", 404))
    odd = signed(key="odd", conditions=[["starts-with", "$x-amz-meta-a: b", ""]])
    equal(post(odd | {"x-amz-meta-a: b": "c"}), (400, "InvalidArgument"), "a name that no field has")


@case
def a_restart_keeps_keys_and_bytes():
    global lake, ADMIN, URL
    name = bucket("restarted")
    s3.upload_fileobj(io.BytesIO(b"x" * (9 << 20)), name, "big")
    data, before = lake.data, dict(ADMIN)
    equal(lake.stop(), 0)
    lake = Lake(data, "--s3", "127.0.0.1:0")
    ADMIN = json.loads((lake.data / "admin.json").read_text())
    URL = f"http://{ADMIN['s3']}"
    equal((ADMIN["access_key"], ADMIN["secret_key"]), (before["access_key"], before["secret_key"]))
    equal(len(client().get_object(Bucket=name, Key="big")["Body"].read()), 9 << 20)


if __name__ == "__main__":
    main()
