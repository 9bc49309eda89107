"""Runs a program on a pseudo-terminal of COLUMNS columns and copies what it writes: terminal.py COLUMNS PROGRAM ARG...
Ends with the program's exit code."""

import fcntl
import os
import pty
import struct
import sys
import termios

columns, program = int(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    os.execvp(program[0], program)
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:  # Linux's way to say that the other side is closed
        break
    if not data:
        break
    os.write(1, data)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
