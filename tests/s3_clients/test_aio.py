"""aiobotocore and s3fs, with the botocore that they ask for, in front of the one of the other tests on the path."""
import asyncio
import sys

from stand import DEPS, REGION, Results, Stand

sys.path.insert(0, str(DEPS / "aio"))
from adapters import NO_CALL, Boto3, Client  # noqa: E402
from script import run  # noqa: E402


class Paginator:
    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def paginate(self, **more):
        async def all_pages():
            return [page async for page in self.owner.s3_async.get_paginator(self.name).paginate(**more)]
        return self.owner.loop.run_until_complete(all_pages())


class Waiting:
    """Calls of an aiobotocore client, each to its end; bodies are read."""

    def __init__(self, owner):
        self.owner = owner

    def get_paginator(self, name):
        return Paginator(self.owner, name)

    def __getattr__(self, name):
        async def call(**words):
            reply = await getattr(self.owner.s3_async, name)(**words)
            if "Body" in reply:
                async with reply["Body"] as stream:
                    reply["Body"] = Read(await stream.read())
            return reply
        return lambda **words: self.owner.loop.run_until_complete(call(**words))


class Read:
    def __init__(self, body):
        self.body = body

    def read(self):
        return self.body


class Aiobotocore(Boto3):
    name = "aiobotocore"

    def __init__(self, place, secret=None):
        Client.__init__(self, place, secret)
        from aiobotocore.session import get_session
        self.loop = asyncio.new_event_loop()
        self.context = get_session().create_client(
            "s3", endpoint_url=place.url, region_name=REGION, aws_access_key_id=place.access, aws_secret_access_key=self.secret,
            verify=str(place.ca) if place.tls else None)
        self.s3_async = self.loop.run_until_complete(self.context.__aenter__())
        self.s3 = Waiting(self)

    def close(self):
        self.loop.run_until_complete(self.context.__aexit__(None, None, None))
        self.loop.close()

    def get(self, bucket, key):
        return self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()

    def put_large(self, bucket, key, body):
        """In parts at the same time, as its users write it; parts carry a checksum, the upload names none."""
        async def go():
            begun = await self.s3_async.create_multipart_upload(Bucket=bucket, Key=key)
            words = {"Bucket": bucket, "Key": key, "UploadId": begun["UploadId"]}
            size = 6 << 20
            pieces = [body[start:start + size] for start in range(0, len(body), size)]
            done = await asyncio.gather(*(self.s3_async.upload_part(PartNumber=n, Body=piece, **words)
                                          for n, piece in enumerate(pieces, 1)))
            parts = [{"PartNumber": n, "ETag": part["ETag"]} for n, part in enumerate(done, 1)]
            await self.s3_async.complete_multipart_upload(MultipartUpload={"Parts": parts}, **words)
        self.loop.run_until_complete(go())


class S3fs(Client):
    """fsspec's S3 file system."""

    name = "s3fs"
    cannot = {"pages": "the client chooses the size of its pages", "conditional": NO_CALL, "a//b": "a path without empty segments"}

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        import s3fs
        more = {"verify": str(place.ca)} if place.tls else {}
        self.s3 = s3fs.S3FileSystem(key=place.access, secret=self.secret, endpoint_url=place.url, skip_instance_cache=True,
                                    use_listings_cache=False, client_kwargs={"region_name": REGION, **more})

    def close(self):
        from fsspec.asyn import sync
        sync(self.s3.loop, self.s3._s3creator.__aexit__, None, None, None)
        self.s3._s3 = None

    def kind(self, error):
        return "missing" if isinstance(error, FileNotFoundError) else "denied" if isinstance(error, PermissionError) else None

    def make_bucket(self, bucket):
        self.s3.mkdir(bucket)

    def buckets(self):
        return self.s3.ls("")

    def put(self, bucket, key, body, **more):
        with self.s3.open(f"{bucket}/{key}", "wb", **more) as out:
            out.write(body)

    put_large = put

    def get(self, bucket, key):
        return self.s3.cat_file(f"{bucket}/{key}")

    def size(self, bucket, key):
        return self.s3.info(f"{bucket}/{key}")["size"]

    def range(self, bucket, key, start, length):
        return self.s3.cat_file(f"{bucket}/{key}", start=start, end=start + length)

    def keys(self, bucket, prefix):
        return [path.split("/", 1)[1] for path in self.s3.find(f"{bucket}/{prefix}")]

    def folders(self, bucket, prefix):
        rows = self.s3.ls(f"{bucket}/{prefix}", detail=True)
        return [row["name"].split("/", 1)[1] + "/" for row in rows if row["type"] == "directory"]

    def copy(self, bucket, key, target):
        self.s3.copy(f"{bucket}/{key}", f"{bucket}/{target}")

    def put_with(self, bucket, key, body, kind, fields):
        self.put(bucket, key, body, ContentType=kind, Metadata=fields)

    def fields(self, bucket, key):
        path = f"{bucket}/{key}"
        return self.s3.info(path)["ContentType"], self.s3.metadata(path)

    def set_tags(self, bucket, key, tags):
        self.s3.put_tags(f"{bucket}/{key}", tags)

    def tags_of(self, bucket, key):
        return self.s3.get_tags(f"{bucket}/{key}")

    def delete_many(self, bucket, keys):
        for folder in sorted({key.split("/")[0] for key in keys}):
            self.s3.rm(f"{bucket}/{folder}", recursive=True)


def main():
    stand, results = Stand(), Results()
    for place in stand.places():
        run(results, Aiobotocore, place)
        run(results, S3fs, place)
    return stand.end(results)


if __name__ == "__main__":
    sys.exit(main())
