"""A file system (FUSE) with one file, `access.log`, of which no read is answered while the reader lives. As
on NFS, a read ends when the reader is killed, and by no other signal.

Mounts itself at the path that it is given, as root. Prints a line when it is mounted, and one when a read
waits. All ends with this process.
"""

import ctypes
import os
import signal
import stat
import struct
import sys
import time

NAME = b"access.log"
SIZE = 100_000
LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH = 1, 2, 3, 14, 15, 17, 18, 25
INIT, OPENDIR, READDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 26, 27, 28, 29, 36, 42
ENOENT, EINTR, EAGAIN, ENOSYS = 2, 4, 11, 38


def attributes(node):
    mode = stat.S_IFDIR | 0o755 if node == 1 else stat.S_IFREG | 0o644
    size = 0 if node == 1 else SIZE
    return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode, node, body):
    """Returns the error and the body of an answer."""
    if opcode == INIT:
        return 0, struct.pack("<4I2H2I2H8I", 7, 31, 1 << 16, 0, 12, 9, 1 << 16, 1, 0, 0, *[0] * 8)
    if opcode == GETATTR:
        return 0, struct.pack("<Q2I", 1, 0, 0) + attributes(node)
    if opcode == LOOKUP:
        if body.rstrip(b"\0") != NAME:
            return ENOENT, b""
        return 0, struct.pack("<4Q2I", 2, 0, 1, 1, 0, 0) + attributes(2)
    if opcode in (OPEN, OPENDIR):
        return 0, struct.pack("<Q2I", 1, 0, 0)
    if opcode == READDIR:
        offset = struct.unpack_from("<Q", body, 8)[0]
        entry = struct.pack("<2Q2I", 2, 1, len(NAME), 8) + NAME
        return 0, b"" if offset else entry.ljust((len(entry) + 7) // 8 * 8, b"\0")
    if opcode == STATFS:
        return 0, struct.pack("<5Q10I", 0, 0, 0, 0, 0, 4096, 255, 4096, 0, *[0] * 6)
    if opcode in (RELEASE, RELEASEDIR, FLUSH):
        return 0, b""
    return ENOSYS, b""


def is_killed(thread):
    """Returns whether a thread is to end. A process that is gone is, too."""
    try:
        with open(f"/proc/{thread}/status") as status:
            pending = [line.split()[1] for line in status if line.startswith("SigPnd:")]
    except OSError:
        return True
    return bool(int(pending[0], 16) & 1 << signal.SIGKILL - 1)


def main(place):
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"hanging", place.encode(), b"fuse", 0, options.encode()) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    print("mounted", flush=True)
    readers = {}
    while True:
        request = os.read(device, 1 << 20)
        _, opcode, unique, node = struct.unpack_from("<2I2Q", request)
        if opcode == READ:
            readers[unique] = struct.unpack_from("<I", request, 32)[0]
            print("waiting", flush=True)
        elif opcode == INTERRUPT:
            interrupted = struct.unpack_from("<Q", request, 40)[0]
            if interrupted in readers and is_killed(readers[interrupted]):
                del readers[interrupted]
                os.write(device, struct.pack("<IiQ", 16, -EINTR, interrupted))
            else:
                time.sleep(0.01)
                os.write(device, struct.pack("<IiQ", 16, -EAGAIN, unique))  # asks for it again
        elif opcode not in (FORGET, BATCH_FORGET):
            error, body = answer(opcode, node, request[40:])
            os.write(device, struct.pack("<IiQ", 16 + len(body), -error, unique) + body)


main(sys.argv[1])
