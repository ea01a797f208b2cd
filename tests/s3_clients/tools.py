"""Programs as the script wants them: rclone, mc, s3cmd and awscli; each call is a process."""
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from script import Client
from stand import DEPS, REGION

CALL_MAX_S = 120
NO_COMMAND = "the program has no command for it"


class Failed(Exception):
    """A program that ended with an error; what it said."""


class Tool(Client):
    program = None

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        self.folder = Path(tempfile.mkdtemp(prefix="tarn-s3-tool-"))
        self.environment = {**os.environ, "HOME": str(self.folder)}
        if not place.tls:
            self.environment.pop("SSL_CERT_FILE", None)

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *words, body=None):
        done = subprocess.run([str(self.program), *map(str, words)], input=body, capture_output=True, timeout=CALL_MAX_S,
                              env=self.environment, cwd=self.folder, check=False)
        if done.returncode:
            raise Failed((done.stderr + done.stdout).decode(errors="replace")[-600:])
        return done.stdout

    def lines(self, *words):
        return self.run(*words).decode().splitlines()

    def file(self, body):
        path = self.folder / "body"
        path.write_bytes(body)
        return path

    def tree(self, bodies):
        """A folder with a file for each key."""
        base = Path(tempfile.mkdtemp(dir=self.folder))
        for key, body in bodies.items():
            (base / key).parent.mkdir(parents=True, exist_ok=True)
            (base / key).write_bytes(body)
        return base


class Rclone(Tool):
    cannot = {"tags": NO_COMMAND, "conditional": NO_COMMAND, "pages": "the program chooses the size of its pages",
              "metadata": NO_COMMAND, "a//b": "a path without empty segments"}

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        self.environment |= {
            "RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_T_TYPE": "s3", "RCLONE_CONFIG_T_PROVIDER": "Other",
            "RCLONE_CONFIG_T_ENDPOINT": place.url, "RCLONE_CONFIG_T_REGION": REGION, "RCLONE_CONFIG_T_ACCESS_KEY_ID": place.access,
            "RCLONE_CONFIG_T_SECRET_ACCESS_KEY": self.secret, "RCLONE_RETRIES": "1"}
        if place.tls:
            self.environment["RCLONE_CA_CERT"] = str(place.ca)

    def kind(self, error):
        text = str(error)
        return "missing" if "not found" in text or "doesn't exist" in text else "denied" if "SignatureDoesNotMatch" in text or "403" in text else None

    def make_bucket(self, bucket):
        self.run("mkdir", f"t:{bucket}")

    def buckets(self):
        return [line.rstrip("/") for line in self.lines("lsf", "t:")]

    def put(self, bucket, key, body):
        self.run("copyto", self.file(body), f"t:{bucket}/{key}")

    def put_many(self, bucket, bodies):
        self.run("copy", self.tree(bodies), f"t:{bucket}")

    def put_large(self, bucket, key, body):
        """From a pipe: in parts."""
        self.run("rcat", f"t:{bucket}/{key}", body=body)

    def get(self, bucket, key):
        self.run("copyto", f"t:{bucket}/{key}", self.folder / "got")
        return (self.folder / "got").read_bytes()

    def size(self, bucket, key):
        return json.loads(self.run("lsjson", "--stat", f"t:{bucket}/{key}"))["Size"]

    def range(self, bucket, key, start, length):
        return self.run("cat", "--offset", start, "--count", length, f"t:{bucket}/{key}")

    def keys(self, bucket, prefix):
        return [prefix + line for line in self.lines("lsf", "-R", "--files-only", f"t:{bucket}/{prefix}")]

    def folders(self, bucket, prefix):
        return [prefix + line for line in self.lines("lsf", "--dirs-only", f"t:{bucket}/{prefix}")]

    def copy(self, bucket, key, target):
        self.run("copyto", f"t:{bucket}/{key}", f"t:{bucket}/{target}")

    def delete_many(self, bucket, keys):
        (self.folder / "names").write_text("".join(f"/{key}\n" for key in keys))
        self.run("delete", f"t:{bucket}", "--files-from-raw", self.folder / "names")


class RcloneOld(Rclone):
    name, program = "rclone-old", "/usr/bin/rclone"

    def keys(self, bucket, prefix):
        try:
            return super().keys(bucket, prefix)
        except Failed as error:  # a folder without a file is none
            if self.kind(error) == "missing":
                return []
            raise


class RcloneNew(RcloneOld):
    name, program = "rclone-new", DEPS / "venv/bin/rclone"
    cannot = {key: why for key, why in Rclone.cannot.items() if key != "metadata"}

    def put_with(self, bucket, key, body, kind, fields):
        more = [word for name, value in fields.items() for word in ("--metadata-set", f"{name}={value}")]
        self.run("copyto", self.file(body), f"t:{bucket}/{key}", "--metadata", "--metadata-set", f"content-type={kind}", *more)

    def fields(self, bucket, key):
        found = json.loads(self.run("lsjson", "--stat", "--metadata", f"t:{bucket}/{key}"))["Metadata"]
        return found.get("content-type"), found


class Mc(Tool):
    name, program = "mc", DEPS / "bin/mc"
    cannot = {"ranges": NO_COMMAND, "pages": "the program chooses the size of its pages", "conditional": NO_COMMAND,
              "a//b": "a path without empty segments"}

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        scheme = "https" if place.tls else "http"
        self.environment |= {"MC_HOST_t": f"{scheme}://{place.access}:{self.secret}@{place.host}", "MC_CONFIG_DIR": str(self.folder / "mc")}
        if place.tls:
            (self.folder / "mc/certs/CAs").mkdir(parents=True)
            shutil.copy(place.ca, self.folder / "mc/certs/CAs/ca.pem")

    def run(self, *words, body=None):
        return super().run("--quiet", "--disable-pager", *words, body=body)

    def kind(self, error):
        text = str(error)
        return "missing" if "does not exist" in text else "denied" if "signature" in text.lower() or "Denied" in text else None

    def rows(self, *words):
        return [json.loads(line) for line in self.lines("--json", *words)]

    def make_bucket(self, bucket):
        self.run("mb", f"t/{bucket}")

    def buckets(self):
        return [row["key"].rstrip("/") for row in self.rows("ls", "t")]

    def put(self, bucket, key, body):
        self.run("cp", self.file(body), f"t/{bucket}/{key}")

    def put_many(self, bucket, bodies):
        self.run("cp", "--recursive", f"{self.tree(bodies)}/", f"t/{bucket}/")

    def put_large(self, bucket, key, body):
        self.run("pipe", f"t/{bucket}/{key}-piped", body=body)
        self.put(bucket, key, body)
        if self.get(bucket, f"{key}-piped") != body:
            raise AssertionError("what was piped differs")

    def get(self, bucket, key):
        return self.run("cat", f"t/{bucket}/{key}")

    def size(self, bucket, key):
        return self.rows("stat", f"t/{bucket}/{key}")[0]["size"]

    def keys(self, bucket, prefix):
        return [prefix + row["key"] for row in self.rows("ls", "--recursive", f"t/{bucket}/{prefix}")]

    def folders(self, bucket, prefix):
        return [prefix + row["key"] for row in self.rows("ls", f"t/{bucket}/{prefix}") if row["type"] == "folder"]

    def copy(self, bucket, key, target):
        self.run("cp", f"t/{bucket}/{key}", f"t/{bucket}/{target}")

    def put_with(self, bucket, key, body, kind, fields):
        more = ";".join([f"Content-Type={kind}", *(f"{name}={value}" for name, value in fields.items())])
        self.run("cp", "--attr", more, self.file(body), f"t/{bucket}/{key}")

    def fields(self, bucket, key):
        found = {name.lower(): value for name, value in self.rows("stat", f"t/{bucket}/{key}")[0]["metadata"].items()}
        return found.get("content-type"), {name.removeprefix("x-amz-meta-"): value for name, value in found.items()}

    def set_tags(self, bucket, key, tags):
        from urllib.parse import quote
        self.run("tag", "set", f"t/{bucket}/{key}", "&".join(f"{name}={quote(value)}" for name, value in tags.items()))

    def tags_of(self, bucket, key):
        return self.rows("tag", "list", f"t/{bucket}/{key}")[0]["tagset"]

    def delete_many(self, bucket, keys):
        self.run("rm", "--force", "--stdin", body="".join(f"t/{bucket}/{key}\n" for key in keys).encode())


class S3cmd(Tool):
    name, program = "s3cmd", "/usr/bin/s3cmd"
    cannot = {"ranges": NO_COMMAND, "pages": "the program chooses the size of its pages", "conditional": NO_COMMAND, "tags": NO_COMMAND}

    def run(self, *words, body=None):
        door = ["--ssl", f"--ca-certs={self.place.ca}"] if self.place.tls else ["--no-ssl"]
        return super().run("--config=/dev/null", f"--access_key={self.place.access}", f"--secret_key={self.secret}", f"--region={REGION}",
                           f"--host={self.place.host}", f"--host-bucket={self.place.host}", "--no-progress", *door, *words, body=body)

    def kind(self, error):
        text = str(error)
        return "missing" if "does not exist" in text else "denied" if "SignatureDoesNotMatch" in text or "403" in text else None

    def make_bucket(self, bucket):
        self.run("mb", f"s3://{bucket}")

    def buckets(self):
        return [line.split("s3://")[1] for line in self.lines("ls")]

    def put(self, bucket, key, body):
        self.run("put", self.file(body), f"s3://{bucket}/{key}")

    put_large = put

    def put_many(self, bucket, bodies):
        self.run("sync", f"{self.tree(bodies)}/", f"s3://{bucket}/")

    def get(self, bucket, key):
        self.run("get", "--force", f"s3://{bucket}/{key}", self.folder / "got")
        return (self.folder / "got").read_bytes()

    def information(self, bucket, key):
        return [line.strip() for line in self.lines("info", f"s3://{bucket}/{key}")]

    def size(self, bucket, key):
        return next(int(line.split()[-1]) for line in self.information(bucket, key) if line.startswith("File size"))

    def keys(self, bucket, prefix):
        start = f"s3://{bucket}/"
        return [line.split(start)[1] for line in self.lines("ls", "--recursive", start + prefix)]

    def folders(self, bucket, prefix):
        start = f"s3://{bucket}/"
        return [line.split(start)[1] for line in self.lines("ls", start + prefix) if line.strip().startswith("DIR")]

    def copy(self, bucket, key, target):
        self.run("cp", f"s3://{bucket}/{key}", f"s3://{bucket}/{target}")

    def put_with(self, bucket, key, body, kind, fields):
        more = [f"--add-header=x-amz-meta-{name}:{value}" for name, value in fields.items()]
        self.run("put", f"--mime-type={kind}", *more, self.file(body), f"s3://{bucket}/{key}")

    def fields(self, bucket, key):
        rows = dict(line.split(":", 1) for line in self.information(bucket, key) if ":" in line)
        return rows["MIME type"].strip(), {name.removeprefix("x-amz-meta-"): value.strip() for name, value in rows.items()}

    def delete_many(self, bucket, keys):
        self.run("rm", *(f"s3://{bucket}/{key}" for key in keys))


class Aws(Tool):
    name, program = "awscli", DEPS / "venv/bin/aws"

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        self.environment = {**place.environment(), "AWS_SECRET_ACCESS_KEY": self.secret, "HOME": str(self.folder)}

    def run(self, *words, body=None):
        return super().run("--endpoint-url", self.place.url, "--output", "json", *words, body=body)

    def api(self, command, bucket, key=None, *words):
        more = ["--key", key] if key else []
        return json.loads(self.run("s3api", command, "--bucket", bucket, *more, *words) or b"{}")

    def kind(self, error):
        text = str(error)
        return ("missing" if "404" in text or "NoSuchKey" in text else "exists" if "PreconditionFailed" in text else
                "denied" if "SignatureDoesNotMatch" in text or "403" in text else None)

    def make_bucket(self, bucket):
        self.run("s3", "mb", f"s3://{bucket}")

    def buckets(self):
        return [line.split()[-1] for line in self.lines("s3", "ls")]

    def put(self, bucket, key, body):
        self.run("s3", "cp", "-", f"s3://{bucket}/{key}", body=body)

    def put_many(self, bucket, bodies):
        self.run("s3", "cp", "--recursive", self.tree(bodies), f"s3://{bucket}/")

    def put_large(self, bucket, key, body):
        self.run("s3", "cp", self.file(body), f"s3://{bucket}/{key}")

    def get(self, bucket, key):
        return self.run("s3", "cp", f"s3://{bucket}/{key}", "-")

    def size(self, bucket, key):
        return self.api("head-object", bucket, key)["ContentLength"]

    def range(self, bucket, key, start, length):
        self.api("get-object", bucket, key, "--range", f"bytes={start}-{start + length - 1}", self.folder / "got")
        return (self.folder / "got").read_bytes()

    def keys(self, bucket, prefix):
        return [item["Key"] for item in self.api("list-objects-v2", bucket, None, "--prefix", prefix).get("Contents", [])]

    def folders(self, bucket, prefix):
        return [prefix + line.split()[-1] for line in self.lines("s3", "ls", f"s3://{bucket}/{prefix}") if " PRE " in f" {line} "]

    def pages(self, bucket, prefix, size):
        out, token = [], []
        while True:
            page = self.api("list-objects-v2", bucket, None, "--prefix", prefix, "--max-items", str(size), *token)
            out.append(len(page["Contents"]))
            if "NextToken" not in page:
                return out
            token = ["--starting-token", page["NextToken"]]

    def copy(self, bucket, key, target):
        self.run("s3", "cp", f"s3://{bucket}/{key}", f"s3://{bucket}/{target}")

    def put_with(self, bucket, key, body, kind, fields):
        self.api("put-object", bucket, key, "--body", self.file(body), "--content-type", kind, "--metadata", json.dumps(fields))

    def fields(self, bucket, key):
        found = self.api("head-object", bucket, key)
        return found["ContentType"], found["Metadata"]

    def set_tags(self, bucket, key, tags):
        rows = [{"Key": name, "Value": value} for name, value in tags.items()]
        self.api("put-object-tagging", bucket, key, "--tagging", json.dumps({"TagSet": rows}))

    def tags_of(self, bucket, key):
        return {row["Key"]: row["Value"] for row in self.api("get-object-tagging", bucket, key)["TagSet"]}

    def put_once(self, bucket, key, body):
        self.api("put-object", bucket, key, "--body", self.file(body), "--if-none-match", "*")

    def delete_many(self, bucket, keys):
        self.api("delete-objects", bucket, None, "--delete", json.dumps({"Objects": [{"Key": key} for key in keys]}))
