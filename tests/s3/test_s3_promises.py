"""What a request does not say is not done in its place: sub-resources of other methods, fields whose promise would not be kept.

Behind each refusal the object, or the bucket, is looked at: it is as it was."""
import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from lake import Lake, case, equal, holds, main  # noqa: E402
from raw import Raw  # noqa: E402

lake = Lake(None, "--s3", "127.0.0.1:0", "--set", "s3.domain=lake.test")
s3 = Raw(lake)
s3.ask("PUT", "/bkt")


def put(key, body=b"old", **fields):
    reply = s3.ask("PUT", f"/bkt/{key}", body=body, fields=fields)
    equal(reply.status, 200, reply.body)
    return reply


@case
def a_sub_resource_of_another_method_is_not_left_out():
    for method in ("DELETE", "PUT", "POST"):
        for query in ("location", "versions", "uploads", "list-type=2", "delete" if method != "POST" else "location",
                      "versioning" if method != "PUT" else "location"):
            s3.ask("PUT", "/left")
            reply = s3.ask(method, "/left", query)
            equal((reply.both, s3.ask("HEAD", "/left").status), ((405, "MethodNotAllowed"), 200), f"{method} /left?{query}")
    put("o")
    for method in ("DELETE", "PUT", "POST"):
        for query, wanted in (("attributes", (405, "MethodNotAllowed")), ("uploads", (405, "MethodNotAllowed")),
                              ("retention", (501, "NotImplemented")), ("versioning", (400, "InvalidRequest")),
                              ("versions", (400, "InvalidRequest")), ("cors", (400, "InvalidRequest")),
                              ("delete", (400, "InvalidRequest")), ("location", (400, "InvalidRequest"))):
            if method == "POST" and (query == "uploads" or wanted[0] == 400):
                continue
            reply = s3.ask(method, "/bkt/o", query, body=b"new" if method == "PUT" else b"")
            equal((reply.both, s3.ask("GET", "/bkt/o").body), (wanted, b"old"), f"{method} /bkt/o?{query}")
    for path in ("//bkt/o", "//bkt"):
        equal(s3.ask("GET", path).both, (400, "InvalidURI"), f"{path} is not the list of buckets")
    equal(s3.ask("PUT", "/bkt/o", "versionId=null", body=b"new").both, (400, "InvalidArgument"), "a put of a version")
    equal(s3.ask("PUT", "/bkt/o", "x-id=PutObject", body=b"old").status, 200, "what is no sub-resource is passed over")
    equal(s3.ask("DELETE", "/bkt/o", "x-id=DeleteObject").status, 204)


@case
def fields_that_promise_other_bytes():
    put("k")
    refused = (501, "NotImplemented")
    for name, value in (("x-amz-write-offset-bytes", "3"), ("x-amz-server-side-encryption", "AES256"),
                        ("x-amz-server-side-encryption-customer-algorithm", "AES256"), ("x-amz-storage-class", "GLACIER")):
        equal(s3.ask("PUT", "/bkt/k", body=b"new", fields={name: value}).both, refused, name)
    customer = "x-amz-server-side-encryption-customer-algorithm"
    from_customer = "x-amz-copy-source-server-side-encryption-customer-algorithm"
    equal(s3.ask("PUT", "/bkt/k", fields={"x-amz-copy-source": "bkt/k", from_customer: "AES256"}).both[0], 400, "a copy to itself")
    equal(s3.ask("PUT", "/bkt/k2", fields={"x-amz-copy-source": "bkt/k", from_customer: "AES256"}).both, refused, "a copy")
    equal(s3.ask("GET", "/bkt/k2").status, 404)
    upload = s3.ask("POST", "/bkt/mp", "uploads").text("UploadId")
    equal(s3.ask("PUT", "/bkt/mp", f"partNumber=1&uploadId={upload}", body=b"x", fields={customer: "AES256"}).both, refused, "a part")
    holds(b"<Part>" not in s3.ask("GET", "/bkt/mp", f"uploadId={upload}").body, "no part came of it")
    for method in ("GET", "HEAD"):
        equal(s3.ask(method, "/bkt/k", fields={customer: "AES256"}).status, 400, f"{method} with a key for what has none")
    equal(s3.ask("GET", "/bkt/k").body, b"old")
    body = b"<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete></VersioningConfiguration>"
    equal(s3.ask("PUT", "/bkt", "versioning", body=body).both, refused, "a second factor that nobody would ask for")
    holds(b"Enabled" not in s3.ask("GET", "/bkt", "versioning").body, "nothing was switched on")


@case
def a_class_is_one_that_there_is_and_is_told_alike():
    equal(s3.ask("PUT", "/bkt/c", body=b"x", fields={"x-amz-storage-class": "COLD"}).both, (400, "InvalidStorageClass"))
    put("c", **{"x-amz-storage-class": "STANDARD_IA"})
    equal(s3.ask("HEAD", "/bkt/c").fields["x-amz-storage-class"], "STANDARD_IA")
    for query in ("list-type=2&prefix=c", "prefix=c", "versions&prefix=c"):
        equal(s3.ask("GET", "/bkt", query).text("StorageClass"), "STANDARD_IA", query)
    equal(s3.ask("GET", "/bkt/c", "attributes", fields={"x-amz-object-attributes": "StorageClass"}).text("StorageClass"), "STANDARD_IA")
    for key, fields, wanted in (("d", {}, None), ("d", {"x-amz-storage-class": "ONEZONE_IA"}, "ONEZONE_IA"), ("c", {"x-amz-storage-class": "STANDARD"}, None)):
        equal(s3.ask("PUT", f"/bkt/{key}", fields={"x-amz-copy-source": "bkt/c", **fields}).status, 200, fields)
        equal(s3.ask("HEAD", f"/bkt/{key}").fields.get("x-amz-storage-class"), wanted, f"copied as {fields}")
        put("c", **{"x-amz-storage-class": "STANDARD_IA"})
    put("r", **{"x-amz-website-redirect-location": "/a", "x-amz-meta-a": "b"})
    equal(s3.ask("PUT", "/bkt/r", fields={"x-amz-copy-source": "bkt/r"}).both, (400, "InvalidRequest"), "to itself, unchanged")
    equal(s3.ask("PUT", "/bkt/r", fields={"x-amz-copy-source": "bkt/r", "x-amz-website-redirect-location": "/b"}).status, 200)
    fields = s3.ask("HEAD", "/bkt/r").fields
    equal((fields["x-amz-website-redirect-location"], fields["x-amz-meta-a"]), ("/b", "b"))


@case
def what_a_copy_misses_is_its_source():
    reply = s3.ask("PUT", "/bkt/to", fields={"x-amz-copy-source": "bkt/none"})
    equal((reply.both, reply.text("Key")), ((404, "NoSuchKey"), "none"))
    s3.ask("PUT", "/counted")
    s3.ask("PUT", "/counted", "versioning", body=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
    version = s3.ask("PUT", "/counted/a", body=b"1").fields["x-amz-version-id"]
    marker = s3.ask("DELETE", "/counted/a").fields["x-amz-version-id"]
    reply = s3.ask("PUT", "/bkt/to", fields={"x-amz-copy-source": f"bkt/none?versionId={version}"})
    equal((reply.both, reply.text("Key"), reply.text("VersionId")), ((404, "NoSuchVersion"), "none", version))
    equal(s3.ask("PUT", "/bkt/to", fields={"x-amz-copy-source": f"counted/a?versionId={marker}"}).both, (400, "InvalidRequest"), "a marker")
    equal(s3.ask("PUT", "/bkt/to", fields={"x-amz-copy-source": f"counted/a?versionId={version}"}).status, 200)


def one_part(key, fields=None):
    upload = s3.ask("POST", f"/bkt/{key}", "uploads").text("UploadId")
    equal(s3.ask("PUT", f"/bkt/{key}", f"partNumber=1&uploadId={upload}", body=b"x", fields=fields or {}).status, 200)
    return upload


def complete(key, upload, more=b"", **how):
    etag = hashlib.md5(b"x").hexdigest().encode()
    body = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>%s</ETag>%s</Part></CompleteMultipartUpload>" % (etag, more)
    return s3.ask("POST", how.pop("path", f"/bkt/{key}"), f"uploadId={upload}", body=body, **how)


@case
def a_checksum_of_a_part_is_compared_or_refused():
    for name, size in ((b"SHA256", 43), (b"CRC64NVME", 11), (b"CRC32C", 6)):
        upload = one_part("sum")
        element = b"<Checksum%s>%s</Checksum%s>" % (name, b"A" * size + (b"==" if name == b"CRC32C" else b"="), name)
        equal(complete("sum", upload, element).both, (400, "InvalidPart"), name)
        equal(s3.ask("GET", "/bkt/sum").status, 404)
    crc = s3.ask("HEAD", "/bkt/none")  # CRC64NVME is what a part without a checksum gets
    upload = one_part("sum")
    crc = put("x", b"x").fields["x-amz-checksum-crc64nvme"].encode()
    equal(complete("sum", upload, b"<ChecksumCRC64NVME>%s</ChecksumCRC64NVME>" % crc).status, 200)
    upload = one_part("sum")
    reply = s3.ask("GET", "/bkt/sum", f"uploadId={upload}&max-parts=0")
    equal((reply.text("MaxParts"), reply.text("IsTruncated"), reply.body.count(b"<Part>")), ("0", "false", 0))


@case
def the_location_is_where_the_object_is():
    upload = one_part("a%20b%26c/d")
    equal(complete("a%20b%26c/d", upload).text("Location"), f"http://{s3.address}/bkt/a%20b%26c/d")
    port = s3.address.rsplit(":", 1)[1]
    upload = one_part("v")
    reply = complete("v", upload, path="/v", fields={"Host": f"bkt.lake.test:{port}"})
    equal((reply.status, reply.text("Location")), (200, f"http://bkt.lake.test:{port}/v"), "the host names the bucket")


@case
def buckets_of_another_region_are_none_of_these():
    holds(b"<Name>bkt</Name>" in s3.ask("GET", "/", "bucket-region=us-east-1").body, "its own")
    holds(b"<Name>" not in s3.ask("GET", "/", "bucket-region=eu-west-1").body, "another's")


main()
