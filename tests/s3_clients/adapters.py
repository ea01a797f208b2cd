"""Python clients as the script wants them: boto3, minio-py, pyarrow's S3 file system, obstore and OpenDAL."""
import io

from script import Client
from stand import REGION

NO_CALL = "the library has no call for it"


class Boto3(Client):
    name = "boto3"

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        import boto3
        self.s3 = boto3.session.Session().client(
            "s3", endpoint_url=place.url, region_name=REGION, aws_access_key_id=place.access, aws_secret_access_key=self.secret,
            verify=str(place.ca) if place.tls else None)

    def close(self):
        self.s3.close()

    def kind(self, error):
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
        return {"NoSuchKey": "missing", "404": "missing", "PreconditionFailed": "exists", "SignatureDoesNotMatch": "denied"}.get(code)

    def make_bucket(self, bucket):
        self.s3.create_bucket(Bucket=bucket)

    def buckets(self):
        return [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]]

    def put(self, bucket, key, body):
        self.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def put_large(self, bucket, key, body):
        self.s3.upload_fileobj(io.BytesIO(body), bucket, key)

    def get(self, bucket, key):
        if key != "large":
            return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        out = io.BytesIO()
        self.s3.download_fileobj(bucket, key, out)
        return out.getvalue()

    def size(self, bucket, key):
        return self.s3.head_object(Bucket=bucket, Key=key)["ContentLength"]

    def range(self, bucket, key, start, length):
        return self.s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + length - 1}")["Body"].read()

    def each_page(self, bucket, prefix, size=None, **more):
        pages = self.s3.get_paginator("list_objects_v2")
        return pages.paginate(Bucket=bucket, Prefix=prefix, PaginationConfig={"PageSize": size}, **more)

    def keys(self, bucket, prefix):
        return [item["Key"] for page in self.each_page(bucket, prefix) for item in page.get("Contents", [])]

    def folders(self, bucket, prefix):
        return [item["Prefix"] for page in self.each_page(bucket, prefix, Delimiter="/") for item in page["CommonPrefixes"]]

    def pages(self, bucket, prefix, size):
        return [len(page["Contents"]) for page in self.each_page(bucket, prefix, size)]

    def copy(self, bucket, key, target):
        self.s3.copy_object(Bucket=bucket, Key=target, CopySource={"Bucket": bucket, "Key": key})

    def put_with(self, bucket, key, body, kind, fields):
        self.s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind, Metadata=fields)

    def fields(self, bucket, key):
        head = self.s3.head_object(Bucket=bucket, Key=key)
        return head["ContentType"], head["Metadata"]

    def set_tags(self, bucket, key, tags):
        rows = [{"Key": name, "Value": value} for name, value in tags.items()]
        self.s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": rows})

    def tags_of(self, bucket, key):
        return {tag["Key"]: tag["Value"] for tag in self.s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}

    def put_once(self, bucket, key, body):
        self.s3.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")

    def delete_many(self, bucket, keys):
        done = self.s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
        if done.get("Errors"):
            raise AssertionError(f"not deleted: {done['Errors'][:2]}")


class Minio(Client):
    name = "minio-py"
    cannot = {"conditional": NO_CALL, "pages": "the client chooses the size of its pages"}

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        import minio
        import urllib3
        self.pool = urllib3.PoolManager(ca_certs=str(place.ca)) if place.tls else None
        self.s3 = minio.Minio(place.host, access_key=place.access, secret_key=self.secret, secure=place.tls, region=REGION,
                              http_client=self.pool)

    def kind(self, error):
        return {"NoSuchKey": "missing", "SignatureDoesNotMatch": "denied"}.get(getattr(error, "code", ""))

    def make_bucket(self, bucket):
        self.s3.make_bucket(bucket)

    def buckets(self):
        return [bucket.name for bucket in self.s3.list_buckets()]

    def put(self, bucket, key, body):
        self.s3.put_object(bucket, key, io.BytesIO(body), len(body))

    def put_large(self, bucket, key, body):
        self.s3.put_object(bucket, key, io.BytesIO(body), -1, part_size=5 << 20)

    def get(self, bucket, key, **more):
        reply = self.s3.get_object(bucket, key, **more)
        try:
            return reply.read()
        finally:
            reply.close()
            reply.release_conn()

    def size(self, bucket, key):
        return self.s3.stat_object(bucket, key).size

    def range(self, bucket, key, start, length):
        return self.get(bucket, key, offset=start, length=length)

    def keys(self, bucket, prefix):
        return [item.object_name for item in self.s3.list_objects(bucket, prefix, recursive=True)]

    def folders(self, bucket, prefix):
        return [item.object_name for item in self.s3.list_objects(bucket, prefix) if item.is_dir]

    def copy(self, bucket, key, target):
        from minio.commonconfig import CopySource
        self.s3.copy_object(bucket, target, CopySource(bucket, key))

    def put_with(self, bucket, key, body, kind, fields):
        self.s3.put_object(bucket, key, io.BytesIO(body), len(body), content_type=kind, metadata=fields)

    def fields(self, bucket, key):
        head = self.s3.stat_object(bucket, key)
        found = {name.lower()[len("x-amz-meta-"):]: value for name, value in head.metadata.items()
                 if name.lower().startswith("x-amz-meta-")}
        return head.content_type, found

    def set_tags(self, bucket, key, tags):
        from minio.commonconfig import Tags
        rows = Tags.new_object_tags()
        rows.update(tags)
        self.s3.set_object_tags(bucket, key, rows)

    def tags_of(self, bucket, key):
        return dict(self.s3.get_object_tags(bucket, key))

    def delete_many(self, bucket, keys):
        from minio.deleteobjects import DeleteObject
        wrong = list(self.s3.remove_objects(bucket, [DeleteObject(key) for key in keys]))
        if wrong:
            raise AssertionError(f"not deleted: {wrong[:2]}")


class Arrow(Client):
    """AWS's C++ SDK inside pyarrow."""

    name = "pyarrow"
    cannot = {"tags": NO_CALL, "conditional": NO_CALL, "pages": "the client chooses the size of its pages",
              "metadata": "it has the fields that it knows, no others", "a//b": "a path without empty segments"}

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        from pyarrow import fs
        self.fs = fs
        more = {"tls_ca_file_path": str(place.ca)} if place.tls else {}
        self.s3 = fs.S3FileSystem(access_key=place.access, secret_key=self.secret, endpoint_override=place.host,
                                  scheme="https" if place.tls else "http", region=REGION, allow_bucket_creation=True, **more)

    def kind(self, error):
        if isinstance(error, FileNotFoundError):
            return "missing"
        return "denied" if "ACCESS_DENIED" in str(error) or "SIGNATURE_DOES_NOT_MATCH" in str(error) else None

    def make_bucket(self, bucket):
        self.s3.create_dir(bucket)

    def buckets(self):
        return [info.path for info in self.s3.get_file_info(self.fs.FileSelector(""))]

    def put(self, bucket, key, body, **more):
        with self.s3.open_output_stream(f"{bucket}/{key}", **more) as out:
            out.write(body)

    put_large = put

    def get(self, bucket, key):
        with self.s3.open_input_stream(f"{bucket}/{key}") as stream:
            return stream.read()

    def size(self, bucket, key):
        return self.s3.get_file_info(f"{bucket}/{key}").size

    def range(self, bucket, key, start, length):
        with self.s3.open_input_file(f"{bucket}/{key}") as file:
            file.seek(start)
            return file.read(length)

    def keys(self, bucket, prefix):
        select = self.fs.FileSelector(f"{bucket}/{prefix}", allow_not_found=True, recursive=True)
        return [info.path.split("/", 1)[1] for info in self.s3.get_file_info(select) if info.is_file]

    def folders(self, bucket, prefix):
        select = self.fs.FileSelector(f"{bucket}/{prefix}")
        return [info.path.split("/", 1)[1] + "/" for info in self.s3.get_file_info(select) if not info.is_file]

    def copy(self, bucket, key, target):
        self.s3.copy_file(f"{bucket}/{key}", f"{bucket}/{target}")

    def delete_many(self, bucket, keys):
        for folder in sorted({key.split("/")[0] for key in keys}):
            self.s3.delete_dir(f"{bucket}/{folder}")


class Obstore(Client):
    """Rust's object_store, which delta-rs has too."""

    name = "obstore"
    cannot = {"list buckets": "the library works within a bucket", "tags": "it sets tags and cannot read them", "a//b": "a path without empty segments",
              "dots.. and ~*'()!": "a path escapes some characters again"}

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        import obstore
        self.lib, self.stores = obstore, {}

    def close(self):
        self.stores.clear()

    def kind(self, error):
        wrong = self.lib.exceptions
        return ("missing" if isinstance(error, (wrong.NotFoundError, FileNotFoundError)) else
                "exists" if isinstance(error, wrong.AlreadyExistsError) else
                "denied" if isinstance(error, (wrong.PermissionDeniedError, wrong.UnauthenticatedError)) else None)

    def at(self, bucket):
        if bucket not in self.stores:
            from obstore.store import S3Store
            place = self.place
            more = {} if place.tls else {"client_options": {"allow_http": True}}
            if place.tls:
                more = {"client_options": {"root_certificate": place.ca.read_bytes()}}
            self.stores[bucket] = S3Store(bucket, endpoint=place.url, region=REGION, access_key_id=place.access,
                                          secret_access_key=self.secret, **more)
        return self.stores[bucket]

    def make_bucket(self, bucket):
        Boto3(self.place).make_bucket(bucket)

    def put(self, bucket, key, body, **more):
        self.lib.put(self.at(bucket), key, body, **more)

    put_large = put

    def get(self, bucket, key):
        return bytes(self.lib.get(self.at(bucket), key).bytes())

    def size(self, bucket, key):
        return self.lib.head(self.at(bucket), key)["size"]

    def range(self, bucket, key, start, length):
        return bytes(self.lib.get_range(self.at(bucket), key, start=start, length=length))

    def keys(self, bucket, prefix):
        return [item["path"] for page in self.lib.list(self.at(bucket), prefix.rstrip("/")) for item in page]

    def folders(self, bucket, prefix):
        return [name + "/" for name in self.lib.list_with_delimiter(self.at(bucket), prefix)["common_prefixes"]]

    def pages(self, bucket, prefix, size):
        return [len(page) for page in self.lib.list(self.at(bucket), prefix, chunk_size=size)]

    def copy(self, bucket, key, target):
        self.lib.copy(self.at(bucket), key, target)

    def put_with(self, bucket, key, body, kind, fields):
        self.put(bucket, key, body, attributes={"Content-Type": kind, **fields})

    def fields(self, bucket, key):
        found = {name.lower(): value for name, value in self.lib.get(self.at(bucket), key).attributes.items()}
        return found.get("content-type"), found

    def put_once(self, bucket, key, body):
        self.put(bucket, key, body, mode="create")

    def delete_many(self, bucket, keys):
        self.lib.delete(self.at(bucket), keys)


class OpenDal(Client):
    name = "OpenDAL"
    cannot = {"list buckets": "the library works within a bucket", "tags": NO_CALL, "pages": "the client chooses the size of its pages",
              "a//b": "a path without empty segments"}

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        import opendal
        self.lib, self.operators = opendal, {}

    def close(self):
        self.operators.clear()

    def kind(self, error):
        wrong = self.lib.exceptions
        return ("missing" if isinstance(error, wrong.NotFound) else "exists" if isinstance(error, wrong.ConditionNotMatch) else
                "denied" if isinstance(error, wrong.PermissionDenied) else None)

    def at(self, bucket):
        if bucket not in self.operators:
            self.operators[bucket] = self.lib.Operator("s3", bucket=bucket, endpoint=self.place.url, region=REGION,
                                                       access_key_id=self.place.access, secret_access_key=self.secret)
        return self.operators[bucket]

    def make_bucket(self, bucket):
        Boto3(self.place).make_bucket(bucket)

    def put(self, bucket, key, body, **more):
        self.at(bucket).write(key, body, **more)

    def put_large(self, bucket, key, body):
        with self.at(bucket).open(key, "wb", chunk=6 << 20) as out:
            for start in range(0, len(body), 1 << 20):
                out.write(body[start:start + (1 << 20)])

    def get(self, bucket, key):
        return bytes(self.at(bucket).read(key))

    def size(self, bucket, key):
        return self.at(bucket).stat(key).content_length

    def range(self, bucket, key, start, length):
        with self.at(bucket).open(key, "rb") as file:
            file.seek(start)
            return bytes(file.read(length))

    def keys(self, bucket, prefix):
        return [entry.path for entry in self.at(bucket).scan(prefix) if not entry.path.endswith("/")]

    def folders(self, bucket, prefix):
        return [entry.path for entry in self.at(bucket).list(prefix) if entry.path.endswith("/") and entry.path != prefix]

    def copy(self, bucket, key, target):
        self.at(bucket).copy(key, target)

    def put_with(self, bucket, key, body, kind, fields):
        self.put(bucket, key, body, content_type=kind, user_metadata=fields)

    def fields(self, bucket, key):
        found = self.at(bucket).stat(key)
        return found.content_type, dict(found.user_metadata or {})

    def put_once(self, bucket, key, body):
        self.put(bucket, key, body, if_not_exists=True)

    def delete_many(self, bucket, keys):
        for folder in sorted({key.split("/")[0] for key in keys}):
            self.at(bucket).remove_all(folder + "/")

