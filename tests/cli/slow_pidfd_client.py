"""Runs a command, and keeps it waiting when it hands over a pidfd:

    slow_pidfd_client.py SOCKET COMMAND...

A connection to SOCKET isn't made before a child of COMMAND has ended. Ends with COMMAND's status."""
import os
import socket
import subprocess
import sys
import time

path, command = sys.argv[1], sys.argv[2:]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(0)
# One connection is as many as may wait; the next has to until this is accepted.
first = socket.socket(socket.AF_UNIX)
first.connect(path)
process = subprocess.Popen(command)


def is_ended(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def ended_children():
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return [child for child in file.read().split() if is_ended(child)]


deadline = time.monotonic() + 20
while process.poll() is None and not ended_children() and time.monotonic() < deadline:
    time.sleep(0.005)
waited = process.poll() is None and bool(ended_children())
listener.settimeout(20)
listener.accept()
if process.poll() is None:
    connection, _ = listener.accept()
    _, descriptors, _, _ = socket.recv_fds(connection, 64, 1)
    os.close(descriptors[0])
status = process.wait()
sys.exit(status if waited else "the command waited for nobody's end")
