"""Sessions of STS with inline policies: each verb by its own right, nothing told to whom may not list, no form half understood."""
import hashlib
import json
import sys
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import Lake, case, equal, holds, main  # noqa: E402
from raw import Raw  # noqa: E402

lake = Lake(None, "--s3", "127.0.0.1:0")
s3 = Raw(lake)
ASSUME = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::0:role/x", "RoleSessionName": "trial"}
s3.ask("PUT", "/bkt")
s3.ask("PUT", "/bkt", "versioning", body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")


def sts(form):
    body = form if isinstance(form, bytes) else urllib.parse.urlencode(form).encode()
    return s3.ask("POST", "/", body=body, payload=hashlib.sha256(body).hexdigest(), service="sts",
                  fields={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})


def session(*actions, resources=("arn:aws:s3:::bkt/*",), deny=()):
    statements = [{"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}]
    if deny:
        statements.append({"Effect": "Deny", "Action": list(deny), "Resource": "*"})
    reply = sts({**ASSUME, "Policy": json.dumps({"Version": "2012-10-17", "Statement": statements})})
    equal(reply.status, 200, reply.body)
    narrow = Raw(lake)
    narrow.access, narrow.secret, narrow.token = (reply.text(n) for n in ("AccessKeyId", "SecretAccessKey", "SessionToken"))
    return narrow


def put(key, body=b"x"):
    reply = s3.ask("PUT", f"/bkt/{key}", body=body)
    equal(reply.status, 200, reply.body)
    return reply.fields["x-amz-version-id"]


def deletes(*objects):
    rows = "".join(f"<Object><Key>{key}</Key>{f'<VersionId>{version}</VersionId>' if version else ''}</Object>"
                   for key, version in objects)
    return f"<Delete>{rows}</Delete>".encode()


DENIED = (403, "AccessDenied")


@case
def a_batch_is_judged_by_its_keys():
    put("in/a"), put("out/a")
    narrow = session("s3:DeleteObject", resources=("arn:aws:s3:::bkt/in/*",))
    reply = narrow.ask("POST", "/bkt", "delete", body=deletes(("in/a", None), ("out/a", None)))
    equal(reply.status, 200, reply.body)
    equal(reply.body.count(b"<Deleted>"), 1, reply.body)
    equal((reply.text("Error") or "").count("AccessDenied"), 1, reply.body)
    equal((s3.ask("GET", "/bkt/in/a").status, s3.ask("GET", "/bkt/out/a").status), (404, 200))


@case
def a_version_has_rights_of_its_own():
    version = put("v")
    objects = session("s3:GetObject", "s3:DeleteObject", "s3:PutObject", "s3:GetObjectTagging")
    equal(objects.ask("GET", "/bkt/v").status, 200)
    equal(objects.ask("GET", "/bkt/v", "tagging").status, 200)
    for method, query in (("GET", ""), ("HEAD", ""), ("DELETE", ""), ("GET", "tagging&")):
        reply = objects.ask(method, "/bkt/v", f"{query}versionId={version}")
        equal(reply.status, 403, f"{method} {query}")
    equal(objects.ask("PUT", "/bkt/copy", fields={"x-amz-copy-source": f"bkt/v?versionId={version}"}).both, DENIED)
    equal(objects.ask("PUT", "/bkt/copy", fields={"x-amz-copy-source": "bkt/v"}).status, 200)
    reply = objects.ask("POST", "/bkt", "delete", body=deletes(("v", version)))
    holds(b"AccessDenied" in reply.body, reply.body)
    equal(s3.ask("GET", "/bkt/v", f"versionId={version}").status, 200, "it is still there")
    versions = session("s3:*", deny=("s3:DeleteObjectVersion",), resources=("arn:aws:s3:::bkt/*", "arn:aws:s3:::bkt"))
    equal(versions.ask("GET", "/bkt/v", f"versionId={version}").status, 200)
    equal(versions.ask("DELETE", "/bkt/v", f"versionId={version}").both, DENIED)
    equal(versions.ask("DELETE", "/bkt/v").status, 204)


@case
def what_is_missing_is_told_to_those_who_may_list():
    version = put("there")
    put("covered")
    s3.ask("DELETE", "/bkt/covered")
    blind = session("s3:Get*", "s3:PutObject", "s3:DeleteObject*")
    seeing = session("s3:Get*", "s3:PutObject", "s3:ListBucket", resources=("arn:aws:s3:::bkt/*", "arn:aws:s3:::bkt"))
    other = version[:-1] + ("0" if version[-1] != "0" else "1")
    holds(other != version, "another version")
    for path, query in (("/bkt/none", ""), ("/bkt/covered", ""), ("/bkt/none", "tagging"), ("/bkt/covered", "tagging"),
                        ("/bkt/none", "attributes")):
        fields = {"x-amz-object-attributes": "ETag"} if query == "attributes" else {}
        reply = blind.ask("GET", path, query, fields=fields)
        equal((reply.both, "x-amz-delete-marker" in reply.fields), (DENIED, False), f"{path}?{query}")
        equal(seeing.ask("GET", path, query, fields=fields).both, (404, "NoSuchKey"), f"{path}?{query}")
    equal((blind.ask("HEAD", "/bkt/none").status, seeing.ask("HEAD", "/bkt/none").status), (403, 404))
    for narrow, wanted in ((blind, DENIED), (seeing, (404, "NoSuchKey"))):
        equal(narrow.ask("PUT", "/bkt/to", fields={"x-amz-copy-source": "bkt/none"}).both, wanted)
        equal(narrow.ask("PUT", "/bkt/none", body=b"x", fields={"If-Match": '"e"'}).both, wanted)


@case
def rights_that_come_with_a_field_or_a_question():
    plain = session("s3:PutObject", "s3:GetObject", "s3:GetObjectAttributes")
    tagging = session("s3:PutObject*", "s3:GetObject*")
    tagged = {"x-amz-tagging": "a=b"}
    for narrow, wanted in ((plain, 403), (tagging, 200)):
        equal(narrow.ask("PUT", "/bkt/t", body=b"x").status, 200, "without tags")
        equal(narrow.ask("PUT", "/bkt/t", body=b"x", fields=tagged).status, wanted, "a put with tags")
        equal(narrow.ask("POST", "/bkt/t", "uploads", fields=tagged).status, wanted, "an upload with tags")
        s3.ask("PUT", "/bkt/of", body=b"x", fields=tagged)
        equal(narrow.ask("PUT", "/bkt/t", fields={"x-amz-copy-source": "bkt/of"}).status, wanted, "a copy of tags")
        equal(narrow.ask("PUT", "/bkt/t", fields={"x-amz-copy-source": "bkt/of", "x-amz-tagging-directive": "REPLACE"}).status, 200)
    asked = {"x-amz-object-attributes": "ETag"}
    version = put("t")
    for actions, query, wanted in ((("s3:GetObjectAttributes",), "attributes", 403), (("s3:GetObject",), "attributes", 403),
                                   (("s3:GetObject", "s3:GetObjectAttributes"), "attributes", 200),
                                   (("s3:GetObject", "s3:GetObjectAttributes"), f"attributes&versionId={version}", 403),
                                   (("s3:GetObjectVersion", "s3:GetObjectVersionAttributes"), f"attributes&versionId={version}", 200)):
        equal(session(*actions).ask("GET", "/bkt/t", query, fields=asked).status, wanted, f"{actions} {query}")
    equal(plain.ask("GET", "/").both, DENIED, "the names of buckets")
    equal(session("s3:ListAllMyBuckets", resources=("*",)).ask("GET", "/").status, 200)


@case
def forms_that_are_not_understood_make_no_session():
    for name, form in (("policies by name", {**ASSUME, "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}),
                       ("an empty policy", {**ASSUME, "Policy": ""}),
                       ("variables", {**ASSUME, "Policy": json.dumps({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*/${aws:username}"}})}),
                       ("an escape that is none", urllib.parse.urlencode(ASSUME).encode() + b"&Policy=%zz")):
        equal(sts(form).both, (400, "ValidationError"), name)
    equal(sts({**ASSUME, "Tags": "x" * 70000}).both, (400, "MaxMessageLengthExceeded"), "a form that is too large")
    equal(sts({**ASSUME, "Tags": "x" * 60000}).status, 200, "a large one")
    equal(sts(ASSUME).status, 200, "a session with all rights of its principal")


main()
