"""Two hosts on one machine: network namespaces NAME-0 (10.77.0.1) and NAME-1 (10.77.0.2), whose packets go through this program:
network.py NAME DELAY_MS LOSS SEED. Says "ready"; "cut" on standard input drops everything from then on, "join" no longer.
Both are removed when standard input ends. Needs root, `ip` and /dev/net/tun."""

import collections
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time

name, delay, loss, seed = sys.argv[1], float(sys.argv[2]) / 1000, float(sys.argv[3]), int(sys.argv[4])
chance = random.Random(seed)
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def ip(*args):
    subprocess.run(["ip", *args], check=True)


def host(i):
    """The other end of the host's only network interface."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    device, space = f"tf{os.getpid()}{i}", f"{name}-{i}"
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
    ip("netns", "add", space)
    ip("link", "set", device, "netns", space)
    ip("-n", space, "link", "set", device, "name", "net0")
    ip("-n", space, "addr", "add", f"10.77.0.{i + 1}/24", "dev", "net0")
    ip("-n", space, "link", "set", "net0", "up")
    ip("-n", space, "link", "set", "lo", "up")
    return fd


try:
    ends = [host(0), host(1)]
    print("ready", flush=True)
    waiting = collections.deque()
    is_cut = False
    while True:
        pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select([*ends, 0], [], [], pause)
        if 0 in readable:
            line = os.read(0, 100)
            if not line:
                break
            is_cut = line.strip() == b"cut"
        for i, fd in enumerate(ends):
            if fd not in readable:
                continue
            packet = os.read(fd, 65536)
            if not is_cut and chance.random() >= loss:
                waiting.append((time.monotonic() + delay, ends[1 - i], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, fd, packet = waiting.popleft()
            if not is_cut:
                try:
                    os.write(fd, packet)
                except OSError:  # the interface's queue is full, or it is down
                    pass
finally:
    for i in (0, 1):
        subprocess.run(["ip", "netns", "del", f"{name}-{i}"], check=False, stderr=subprocess.DEVNULL)
