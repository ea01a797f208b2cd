"""A file system on a disk that remembers, and the disk as power cuts leave it."""
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from blocklog import RECORD

HERE = Path(__file__).resolve().parent
SIZE = 512 << 20
SECTOR = 4096
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F", "-E", "nodiscard"], "xfs": ["mkfs.xfs", "-q", "-f", "-K"]}
OUTSIDE = os.environ.get("TARN_POWERCUT_OUTSIDE")
KINDS = ["none", "all", "half of the writes", "half of the sectors"]


def call(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))}: {done.stdout.strip()[-300:]}")


def private_mounts():
    """Starts this program again where its mounts are its own and go away with it."""
    if OUTSIDE or os.geteuid() or not shutil.which("unshare"):
        return
    outside = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    os.set_inheritable(outside, True)
    os.environ["TARN_POWERCUT_OUTSIDE"] = str(outside)
    if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0:
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, *sys.argv])


def unmount(path):
    """Workers go a moment after their killed server, and who looks at a new disk of the machine has it open for a moment."""
    until = time.monotonic() + 60
    while True:
        try:
            return call("umount", path)
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


class Mounted:
    def __init__(self, image, kind):
        self.path = Path(tempfile.mkdtemp(prefix="mounted-", dir=image.parent))
        call("mount", "-o", "loop", "-t", kind, image, self.path)

    def end(self):
        unmount(self.path)
        self.path.rmdir()


class Recorder:
    """`path`: the mounted file system; `place()`: how many writes and flushes the disk has seen."""

    def __init__(self, work, kind):
        self.disk, self.log, counter = work / "disk", work / "log", work / "counter"
        self.disk.touch()
        counter.write_bytes(bytes(8))
        self.server = subprocess.Popen([sys.executable, HERE / "blocklog.py", self.disk, str(SIZE), self.log, counter,
                                        *([OUTSIDE] if OUTSIDE else [])], pass_fds=[int(OUTSIDE)] if OUTSIDE else [],
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = self.server.stdout.readline().strip()
        if said != "mounted":
            self.server.wait(10)
            raise OSError(f"FUSE: {said}")
        with open(counter, "r+b") as file:
            self.counter = mmap.mmap(file.fileno(), 8)
        self.mounted = None
        try:
            call(*MKFS[kind], self.disk)
            self.mounted = Mounted(self.disk, kind)
        except OSError:
            self.end()
            raise
        self.path = self.mounted.path

    def place(self):
        return struct.unpack("<Q", self.counter[:8])[0]

    def end(self):
        if self.mounted:
            self.mounted.end()
        unmount(self.disk)
        self.server.wait(60)


def why_not(kind):
    """Why this machine cannot make images of this file system; None: it can."""
    if os.geteuid():
        return "mounting wants root"
    if not shutil.which(MKFS[kind][0]):
        return f"there is no {MKFS[kind][0]}"
    work = Path(tempfile.mkdtemp(prefix="tarn-powercut-"))
    try:
        Recorder(work, kind).end()
    except OSError as why:
        return str(why)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return None


class Images:
    """Cuts are asked for in rising order."""

    def __init__(self, log, work):
        self.log, self.work = open(log, "rb"), work
        self.base = os.open(work / "base", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.ftruncate(self.base, SIZE)
        self.touched = set()  # 64 KiB pieces of the base that are no hole
        self.pending, self.count = [], 0

    def write(self, file, at, data):
        pieces = range(at >> 16, (at + len(data) + 65535) >> 16)
        if data.count(0) == len(data) and self.touched.isdisjoint(pieces):
            return
        self.touched.update(pieces)
        os.pwrite(file, data, at)

    def forward(self, cut):
        """What a flush before the cut made durable goes into the base, the rest waits."""
        while self.count < cut:
            head = self.log.read(RECORD.size)
            if len(head) < RECORD.size:
                return
            at, length = RECORD.unpack(head)
            self.count += 1
            if length:
                self.pending.append((at, self.log.read(length)))
                continue
            for place, data in self.pending:
                self.write(self.base, place, data)
            self.pending = []

    def at(self, cut, kind, dice):
        """(path of the image, writes that were not flushed)"""
        self.forward(cut)
        path = self.work / f"image-{cut}"
        call("cp", "--sparse=always", "--reflink=auto", self.work / "base", path)
        image = os.open(path, os.O_RDWR)
        for at, data in self.pending:
            if kind == "none" or (kind == "half of the writes" and dice.random() < 0.5):
                continue
            if kind != "half of the sectors":
                os.pwrite(image, data, at)
                continue
            for start in range(0, len(data), SECTOR):
                if dice.random() < 0.5:
                    os.pwrite(image, data[start:start + SECTOR], at + start)
        os.close(image)
        return path, len(self.pending)

    def end(self):
        os.close(self.base)
        self.log.close()
