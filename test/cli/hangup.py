"""Runs a shell command on a pseudo-terminal and closes the terminal once FILE holds TEXT: hangup.py FILE TEXT COMMAND.
The kernel then sends SIGHUP to what runs there. Ends when the command has, with its exit code."""

import os
import pty
import subprocess
import sys
import time

path, text, command = sys.argv[1:]
main, other = pty.openpty()
child = subprocess.Popen(
    # The terminal is to be the command's own, as that of a login is.
    ["setsid", "--ctty", "--wait", "sh", "-c", command],
    stdin=other,
    stdout=other,
    stderr=other,
)
os.close(other)
os.set_blocking(main, False)
while child.poll() is None:
    try:
        os.read(main, 65536)
    except (BlockingIOError, OSError):
        pass
    if os.path.exists(path) and text in open(path).read():
        break
    time.sleep(0.02)
os.close(main)
code = child.wait()
print(code)
