"""Programs go through the script against the S3 door: awscli, rclone old and new, mc, s3cmd; restic backs up; s3fs mounts."""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from adapters import Boto3
from script import equal, large_body, run
from stand import Results, Stand
from tools import Aws, Failed, Mc, RcloneNew, RcloneOld, S3cmd, Tool


class Restic(Tool):
    name, program = "restic", "/usr/bin/restic"

    def __init__(self, place, secret=None):
        super().__init__(place, secret)
        self.environment = {**place.environment(), "AWS_SECRET_ACCESS_KEY": self.secret, "HOME": str(self.folder),
                            "RESTIC_PASSWORD": "x", "RESTIC_REPOSITORY": f"s3:{place.url}/restic-{place.slug}/a/b"}

    def run(self, *words, body=None):
        more = [f"--cacert={self.place.ca}"] if self.place.tls else []
        return super().run(*more, "--no-cache", *words, body=body)

    def backs_up(self):
        tree = self.tree({"one": large_body(), "deep/two ü": b"2", "deep/three": b"3" * 100_000})
        self.run("init")
        self.run("backup", tree)
        (tree / "four").write_bytes(b"4")
        self.run("backup", tree)
        self.run("check", "--read-data")
        self.run("forget", "--keep-last", "1", "--prune")
        self.run("restore", "latest", "--target", self.folder / "back")
        base = self.folder / "back" / tree.relative_to("/")
        equal({str(path.relative_to(base)): hashlib.sha256(path.read_bytes()).hexdigest() for path in base.rglob("*") if path.is_file()},
              {str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest() for path in tree.rglob("*") if path.is_file()})

    def wrong_key(self):
        try:
            Restic(self.place, "0" * 40).run("snapshots")
        except Failed as error:
            equal("signature" in str(error).lower() or "Denied" in str(error), True, f"refusal in {error}")
        else:
            raise AssertionError("a wrong key reads")


class S3fuse:
    """s3fs mounts a bucket; a machine without /dev/fuse, or one that lets nobody mount, is said so."""

    def __init__(self, place):
        self.place, self.folder = place, Path(tempfile.mkdtemp(prefix="tarn-s3fs-"))
        self.at = self.folder / "at"
        self.at.mkdir()
        (self.folder / "key").write_text(f"{place.access}:{place.secret}")
        (self.folder / "key").chmod(0o600)
        Boto3(place).make_bucket(f"s3fs-{place.slug}-fuse")
        self.process = subprocess.Popen(
            ["s3fs", f"s3fs-{place.slug}-fuse", self.at, "-f", "-o", f"url={place.url}", "-o", "use_path_request_style", "-o",
             f"passwd_file={self.folder / 'key'}"], env={**os.environ, "CURL_CA_BUNDLE": str(place.ca or "")} if place.tls else None,
            stdout=open(self.folder / "log", "wb"), stderr=subprocess.STDOUT)
        self.mounted = False
        for _ in range(600):
            if self.at.is_mount():
                self.mounted = True
                break
            if self.process.poll() is not None:
                break
            time.sleep(0.1)

    def why(self):
        return (self.folder / "log").read_text(errors="replace")[-300:].strip().replace("\n", " ")

    def works(self):
        at, body = self.at, large_body()
        (at / "folder").mkdir()
        (at / "folder/small ü+.txt").write_bytes(b"small")
        (at / "large").write_bytes(body)
        equal(hashlib.sha256((at / "large").read_bytes()).hexdigest(), hashlib.sha256(body).hexdigest(), "hash")
        (at / "large").rename(at / "folder/renamed")
        equal(sorted(path.name for path in (at / "folder").iterdir()), ["renamed", "small ü+.txt"])
        equal((at / "folder/renamed").stat().st_size, len(body))
        with open(at / "folder/small ü+.txt", "ab") as out:
            out.write(b" and more")
        equal((at / "folder/small ü+.txt").read_bytes(), b"small and more")
        shutil.rmtree(at / "folder")
        equal(list(at.iterdir()), [])

    def close(self):
        if self.mounted:
            subprocess.run(["fusermount", "-u", self.at], capture_output=True, check=False)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=self.mounted)


def one(results, label, call):
    started = time.monotonic()
    try:
        call()
        results.line("ok", label, took=time.monotonic() - started)
    except Exception as error:  # noqa: BLE001
        results.line("FAIL", label, f"{type(error).__name__}: {error}"[:600])


def main():
    stand, results = Stand(), Results()
    for place in stand.places():
        for make in (RcloneOld, RcloneNew, Mc, S3cmd, Aws):
            run(results, make, place)
        restic = Restic(place)
        one(results, f"restic, {place.name}: backs up, checks, forgets, restores", restic.backs_up)
        one(results, f"restic, {place.name}: wrong key", restic.wrong_key)
        restic.close()
        fuse = S3fuse(place)
        label = f"s3fs-fuse, {place.name}: mounts, writes, renames, appends, removes"
        if fuse.mounted:
            one(results, label, fuse.works)
        else:
            may = os.access("/dev/fuse", os.R_OK | os.W_OK) and not any(word in fuse.why() for word in ("permitted", "denied"))
            results.line("FAIL" if may else "skip", label, fuse.why() or "no /dev/fuse")
        fuse.close()
    return stand.end(results)


if __name__ == "__main__":
    sys.exit(main())
