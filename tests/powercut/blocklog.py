"""A disk that remembers: one file by FUSE, written to a log block by block. A loop device over it carries a real file system; the log gives
the disk as a power cut at any place would leave it (what dm-log-writes does in the kernel).

usage: blocklog.py FILE SIZE LOG COUNTER [NAMESPACE]     FILE exists and becomes the disk, until it is unmounted
NAMESPACE: descriptor of the mount namespace to live in: when the mounts of a killed test end, this process must go on serving them.
LOG: records (place u64, length u32, bytes); length 0 is a flush. COUNTER: u64, how many records there are."""
import ctypes
import errno
import mmap
import os
import stat
import struct
import sys

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, RELEASE, FSYNC, FLUSH, INIT, INTERRUPT, DESTROY = 1, 2, 3, 4, 14, 15, 16, 18, 20, 25, 26, 36, 38
HEAD = struct.Struct("<IIQQIIIHH")
PLACE = struct.Struct("<QQIIQII")
RECORD = struct.Struct("<QI")
WRITE_MAX = 1 << 20
BIG_WRITES, MAX_PAGES, DIRECT_IO = 1 << 5, 1 << 22, 1
FLUSHED = b""


class Disk:
    def __init__(self, size, log, counter):
        self.size, self.log = size, open(log, "wb", 1 << 20)
        self.bytes = mmap.mmap(-1, size)
        with open(counter, "r+b") as file:
            self.counter = mmap.mmap(file.fileno(), 8)
        self.count = 0

    def remember(self, at, data):
        self.log.write(RECORD.pack(at, len(data)))
        self.log.write(data)
        self.count += 1
        self.counter[:8] = struct.pack("<Q", self.count)

    def attributes(self):
        return struct.pack("<QII", 3600, 0, 0) + struct.pack("<6Q10I", 1, self.size, self.size // 512, 0, 0, 0, 0, 0, 0,
                                                             stat.S_IFREG | 0o600, 1, 0, 0, 0, 4096, 0)

    def answer(self, opcode, body):
        """The reply's bytes, None for none; OSError's number is what the kernel is told."""
        if opcode == INIT:
            major, minor, ahead, _ = struct.unpack_from("<IIII", body)
            return struct.pack("<IIIIHHIIHHI28x", 7, min(minor, 31), ahead, BIG_WRITES | MAX_PAGES, 12, 9, WRITE_MAX, 1, WRITE_MAX // 4096, 0, 0)
        if opcode in (GETATTR, SETATTR):
            return self.attributes()
        if opcode == OPEN:
            return struct.pack("<QII", 1, DIRECT_IO, 0)
        if opcode == READ:
            _, at, size, *_ = PLACE.unpack_from(body)
            return self.bytes[at:min(at + size, self.size)]
        if opcode == WRITE:
            _, at, size, *_ = PLACE.unpack_from(body)
            data = body[PLACE.size:PLACE.size + size]
            self.bytes[at:at + size] = data
            self.remember(at, data)
            return struct.pack("<II", size, 0)
        if opcode == FSYNC:
            self.remember(0, FLUSHED)
            return b""
        if opcode in (FLUSH, RELEASE, DESTROY):
            return b""
        if opcode in (FORGET, INTERRUPT):
            return None
        raise OSError(errno.EOPNOTSUPP if opcode not in (LOOKUP,) else errno.ENOENT, "")

    def serve(self, fuse):
        while True:
            try:
                request = os.read(fuse, WRITE_MAX + 65536)
            except OSError as why:
                if why.errno in (errno.EINTR, errno.ENOENT):
                    continue
                if why.errno == errno.ENODEV:
                    break
                raise
            _, opcode, unique, *_ = HEAD.unpack_from(request)
            error, reply = 0, b""
            try:
                reply = self.answer(opcode, request[HEAD.size:])
            except OSError as why:
                error = -why.errno
            if reply is not None:
                os.write(fuse, struct.pack("<IiQ", 16 + len(reply), error, unique) + reply)
        self.log.close()


def main():
    path, size, log, counter = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    fuse = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fuse},rootmode=100000,user_id=0,group_id=0,max_read={WRITE_MAX}"
    if libc.mount(b"tarn-blocklog", path.encode(), b"fuse", 0, options.encode()):
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    disk = Disk(size, log, counter)
    if len(sys.argv) > 5 and libc.setns(int(sys.argv[5]), 0):
        sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")
    print("mounted", flush=True)
    disk.serve(fuse)


if __name__ == "__main__":
    main()
