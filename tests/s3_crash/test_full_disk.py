"""A disk that fills up over S3, and becomes healthy again by deletes alone: writes are refused by S3's error, reads and deletes go on, after the
purge and compaction writes go on; nothing acknowledged is lost, and the server stays the same process."""
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from http.client import HTTPException
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "powercut"), str(HERE.parent / "e2e")]
from images import private_mounts  # noqa: E402
from lake import Lake, case, equal, holds, main  # noqa: E402
from s3wire import S3, Refused, Unknown  # noqa: E402

MIB, WAIT_SECONDS = 1 << 20, 60
ENDS = int(os.environ.get("FULL_ENDS", "3"))
SETTINGS = ["--s3", "127.0.0.1:0", "--set", "maintenance.interval=1s", "--set", "http.access_log=off"]
POOL = random.Random(3).randbytes(9 * MIB)


def bytes_of(number, size):
    return number.to_bytes(8, "little") + POOL[number % 512:number % 512 + size - 8]


class Disk:
    """A lake on a small file system of its own."""

    def __init__(self, mib):
        self.path = Path(tempfile.mkdtemp(prefix="tarn-full-s3-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", self.path], check=True)
        self.lake = Lake(self.path / "data", *SETTINGS)
        self.pid = self.lake.process.pid
        self.s3 = S3(json.loads((self.lake.data / "admin.json").read_text()))
        self.kept, self.number = {}, 0

    def put(self, size):
        """False: refused for space."""
        self.number += 1
        key, data = f"k{self.number:06}", bytes_of(self.number, size)
        try:
            self.s3.put("full", key, data)
        except Refused as why:
            equal((why.status, why.code), (507, "InsufficientStorage"), f"put {self.number}")
            return False
        self.kept[key] = (self.number, size)
        return True

    def fill(self, size):
        """Until three in a row are refused: a purge in between may have made room for one."""
        refused = 0
        while refused < 3:
            refused = 0 if self.put(size) else refused + 1
            holds(self.number < 20000, "the disk fills up")

    def look(self, keys=None):
        for key in keys or self.kept:
            number, size = self.kept[key]
            reply = self.s3.get("full", key)
            holds(reply.body == bytes_of(number, size), f"{key} has its bytes")
            equal(reply.etag, hashlib.md5(reply.body).hexdigest(), key)
        equal([key for key, _, _ in self.s3.list("full")], sorted(self.kept), "the list")

    def delete(self, keys):
        for key in keys:
            self.s3.delete("full", key)
            del self.kept[key]

    def again(self, size, count):
        """Seconds until `count` writes in a row were taken."""
        started, row = time.monotonic(), 0
        while row < count:
            row = row + 1 if self.put(size) else 0
            holds(time.monotonic() - started < WAIT_SECONDS, f"writes are taken again within {WAIT_SECONDS} s")
            if not row:
                time.sleep(0.2)
        return time.monotonic() - started

    def restart(self):
        self.s3.close()
        status = self.lake.stop()
        equal(status, 0, "the end: " + Path(self.lake.log.name).read_text()[-1500:] if status else "the end")
        self.lake = Lake(self.path / "data", *SETTINGS)
        self.s3 = S3(json.loads((self.lake.data / "admin.json").read_text()))

    def end(self):
        self.lake.kill()
        self.lake.log.close()
        subprocess.run(["umount", "-l", self.path])
        self.path.rmdir()


def to_healthy(size, mib):
    disk = Disk(mib)
    try:
        disk.s3.create_bucket("full")
        for turn in range(3):
            disk.fill(size)
            full = len(disk.kept)
            holds(full * size > mib * MIB // 4, f"a good part of the disk was used: {full} objects")
            disk.look(random.Random(turn).sample(sorted(disk.kept), min(full, 60)))
            disk.delete(random.Random(turn).sample(sorted(disk.kept), full * 2 // 3))
            seconds = disk.again(size, max(3, full // 4))
            print(f"     {full} objects of {size} bytes filled {mib} MiB; {full * 2 // 3} deleted; {max(3, full // 4)} writes "
                  f"were taken {seconds:.1f} s later", flush=True)
        holds(disk.lake.alive() and disk.lake.process.pid == disk.pid, "the server is the same process")
        disk.look()
        disk.restart()
        disk.look()
    finally:
        disk.end()


@case
def large_objects_fill_and_go():
    to_healthy(4 * MIB, 640)


@case
def small_objects_fill_and_go():
    to_healthy(60_000, 640)


@case
def a_full_disk_from_outside():
    """Somebody else's file takes the space away, to the last block."""
    disk = Disk(512)
    try:
        disk.s3.create_bucket("full")
        for _ in range(20):
            holds(disk.put(MIB) and disk.put(30_000), "there is room")
        fill_up(disk.path)
        for size in (MIB, 30_000) * 5:
            disk.put(size)
        disk.fill(MIB)
        disk.look()
        disk.delete(sorted(disk.kept)[:10])
        disk.look()
        for ballast in disk.path.glob("ballast-*"):
            ballast.unlink()
        disk.again(MIB, 5)
        disk.again(30_000, 5)
        holds(disk.lake.alive() and disk.lake.process.pid == disk.pid, "the server is the same process")
        disk.restart()
        disk.look()
    finally:
        disk.end()


@case
def deletes_land_on_a_full_disk():
    """Rows of deletes reach the files of bronze.objects while every write is refused: the feed waits for nobody."""
    SETTINGS.extend(["--set", "objects.interval=50ms"])
    disk = Disk(512)
    try:
        disk.s3.create_bucket("full")
        for _ in range(20):
            holds(disk.put(1000), "there is room")
        for size in (4 * MIB, 100_000, 1000):
            disk.fill(size)
        gone = sorted(disk.kept)[:20]
        disk.delete(gone)  # of 1,000 bytes: they give nothing back
        until = time.monotonic() + WAIT_SECONDS
        while True:
            snapshot = disk.lake.rows("SELECT snapshot_id FROM tarn.snapshots WHERE table_name = 'objects' AND is_current")[0][0]
            landed = disk.lake.rows(f"SELECT key FROM bronze.objects FOR VERSION AS OF {snapshot} WHERE event = 'delete' ORDER BY key")
            if [key for key, in landed] == gone:
                break
            holds(time.monotonic() < until, f"{len(landed)} of {len(gone)} deletes have landed")
            time.sleep(0.2)
        holds(not disk.put(1000), "the disk is full all the time")
        disk.look()
    finally:
        disk.end()
        del SETTINGS[-2:]


@case
def what_arrived_waits_for_space():
    """A file came, then the disk got full, then the time of its run: the run begins when there is room again, once."""
    SETTINGS.extend(["--set", "flow.arrivals_quiet=3s"])
    disk = Disk(512)
    try:
        lake, project, ballast = disk.lake, disk.path / "project", disk.path / "ballast"
        (project / "models").mkdir(parents=True)
        (project / "models/n.sql").write_text("MODEL (name silver.n, on arrival, columns (id BIGINT)); "
                                              "SELECT id FROM source('t', 'a.csv', all := true)")
        equal(lake.cli("model", "load", project).returncode, 0)
        equal(lake.ingest("t", "a.csv", b"id\n1\n2\n").status // 100, 2)
        with open(ballast, "wb", 0) as file:  # at once: the quiet that the run waits for is short
            free = os.statvfs(disk.path)
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - 14 * MIB)
        started, log = time.monotonic(), Path(lake.log.name)
        while "waits=space" not in log.read_text():
            holds(time.monotonic() - started < WAIT_SECONDS, "it waits")
            time.sleep(0.1)
        time.sleep(3)
        equal(lake.rows("SELECT count(*) FROM tarn.runs"), [[0]], "runs on a full disk")
        ballast.unlink()
        while lake.rows("SELECT count(*) FROM tarn.runs WHERE model IS NULL AND state = 'published'") != [[1]]:
            holds(time.monotonic() - started < 2 * WAIT_SECONDS, "it runs")
            time.sleep(0.1)
        equal(lake.rows("SELECT count(*) FROM silver.n"), [[2]])
        time.sleep(4)
        equal(lake.rows("SELECT count(*) FROM tarn.runs WHERE model IS NULL"), [[1]], "runs")
    finally:
        disk.end()
        del SETTINGS[-2:]


def busy(lake, stop, number):
    """Writes of three kinds, rows of a table, until the server is gone; what is answered does not matter here."""
    s3, at = S3(lake.admin), 0
    while not stop.is_set():
        at += 1
        try:
            if number == 0:
                lake.sql("INSERT INTO d.t SELECT i FROM range(20000) r(i)", timeout=20)
            else:
                s3.put("full", f"{number}/{at}", bytes_of(at, (0, 60_000, 500, 3 * MIB)[number]))
        except (Refused, Unknown, OSError, HTTPException, ValueError):
            s3.close()
            time.sleep(0.005)


@case
def a_server_on_a_full_disk_ends_in_order():
    """By SIGTERM, with clients at work and not one block left: with status 0. And it starts again on that disk, or says why not."""
    work = Path(tempfile.mkdtemp(prefix="tarn-full-end-"))
    for turn in range(ENDS):
        dice, stop = random.Random(turn), threading.Event()
        disk = Path(tempfile.mkdtemp(prefix="tarn-full-s3-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", disk], check=True)
        (disk / "data").mkdir(mode=0o700)
        (work / f"{turn}").symlink_to(disk / "data")  # the log is written beside the name, where there is room
        lake = Lake(work / f"{turn}", *SETTINGS, "--set", "http.drain=1s")
        try:
            S3(lake.admin).create_bucket("full")
            equal((lake.sql("CREATE NAMESPACE d").status, lake.sql("CREATE TABLE d.t (i BIGINT)").status), (200, 200))
            threads = [threading.Thread(target=busy, args=(lake, stop, i)) for i in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(dice.uniform(0.3, 1))
            fill_up(disk)
            time.sleep(dice.uniform(2, 5))
            fill_up(disk)
            status = lake.stop()
            stop.set()
            for thread in threads:
                thread.join(60)
            equal(status, 0, Path(lake.log.name).read_text()[-1500:])
            fill_up(disk)
            again = Lake(work / f"{turn}", *SETTINGS, wait=False)
            time.sleep(2)
            status = again.stop() if again.alive() else again.process.wait(60)
            holds(status >= 0, f"{status}: " + Path(lake.log.name).read_text()[-1500:])
            again.log.close()
        finally:
            stop.set()
            lake.kill()
            lake.log.close()
            subprocess.run(["umount", "-l", disk])
            disk.rmdir()
    shutil.rmtree(work)


def fill_up(path):
    with open(path / f"ballast-{time.monotonic_ns()}", "wb", 0) as file:
        try:
            while file.write(POOL[:MIB]):
                pass
        except OSError:
            pass


def may_mount():
    with tempfile.TemporaryDirectory(prefix="tarn-full-s3-") as place:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            subprocess.run(["umount", place], check=True)
    return done.returncode == 0


if __name__ == "__main__":
    private_mounts()
    if not may_mount():
        print("skip: a small file system cannot be mounted here; nothing was tried\n0 passed, 0 failed")
        sys.exit(0)
    main()
