#!/usr/bin/env python3
"""Runs a program on a pseudoterminal, and prints what it shows: terminal.py [--seconds N]
[--type TEXT]... [--wait PATTERN]... PROGRAM [ARGUMENT...]

Texts are typed in the order given, each after what the last --wait before it names was shown. The
exit status is the program's; after N seconds (60) it is interrupted."""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

arguments = sys.argv[1:]
steps, seconds = [], 60.0
while arguments and arguments[0].startswith("--"):
    if arguments[0] == "--seconds":
        seconds = float(arguments[1])
    else:
        steps.append((arguments[0][2:], arguments[1].encode().decode("unicode_escape").encode("latin1")))
    del arguments[:2]

pid, master = pty.fork()
if pid == 0:
    os.execvp(arguments[0], arguments)
columns = int(os.environ.get("COLUMNS", "80"))
fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
shown, unseen, end = b"", b"", time.monotonic() + seconds
while True:
    while steps and (steps[0][0] == "type" or steps[0][1] in unseen):
        kind, text = steps.pop(0)
        if kind == "type":
            os.write(master, text)
        else:
            unseen = unseen[unseen.index(text) + len(text):]
    left = end - time.monotonic()
    if left <= 0:
        os.kill(pid, signal.SIGINT)
        break
    if not select.select([master], [], [], left)[0]:
        continue
    try:
        data = os.read(master, 65536)
    except OSError:
        break
    if not data:
        break
    shown += data
    unseen += data
sys.stdout.buffer.write(shown)
sys.stdout.flush()
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(status if status >= 0 else 128 - status)
