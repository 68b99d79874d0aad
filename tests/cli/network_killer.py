"""Kills commands about networks at random instants, and looks whether anything stays that the next
reconcile doesn't take away.

    network_killer.py CLIENT DIRECTORY ROUNDS SEED KEEPER

CLIENT is network_client, DIRECTORY its directory; KEEPER is the id of a container that is attached
all the time, to a network "kept" with a published port, and must keep what it has."""
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time

client, directory, rounds, seed, keeper = sys.argv[1:]
random.seed(int(seed))
victim = "b" * 64
host = os.readlink("/proc/self/ns/net")


def run(*arguments, check=True):
    return subprocess.run([client, directory, *arguments], check=check, capture_output=True,
                          text=True, timeout=60)


def kill_after(seconds, *arguments):
    """True: it was killed; else it had ended before."""
    process = subprocess.Popen([client, directory, *arguments], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, start_new_session=True)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.stderr.close()
        process.wait()
        return True
    message = process.stderr.read()
    assert process.returncode == 0, (arguments, message)
    return False


def helpers(name):
    """Processes of that name in this host's namespace that aren't zombies."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                if file.read().strip() == name and os.readlink(f"/proc/{pid}/ns/net") == host:
                    found.append(pid)
        except OSError:
            pass
    return found


def leftovers():
    pins = set(os.listdir(f"{directory}/run/network/ns")) - {keeper}
    links = re.findall(r": (hv\w+)", subprocess.run(["ip", "-o", "link"], capture_output=True,
                                                    text=True, check=True).stdout)
    database = sqlite3.connect(f"{directory}/hull.db")
    rows = {table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("network_container", "network_endpoint", "network_port",
                          "network_removed")}
    database.close()
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True,
                           check=True).stdout
    published = re.findall(r"(?:tcp|udp) \. (\d+) :", rules)
    return {
        "pins": pins,
        "links": len(links) - 1,
        "rows": rows,
        "published": [port for port in published if port != "7000"],
        "ports": len(helpers("hull-port")) - 1,
        "resolver": len(helpers("hull-dns")) - 2,
    }


CLEAN = {"pins": set(), "links": 0, "published": [], "ports": 0, "resolver": 0,
         "rows": {"network_container": 1, "network_endpoint": 1, "network_port": 2,
                  "network_removed": 0}}


def expect_clean(what):
    deadline = time.monotonic() + 5
    while (found := leftovers()) != CLEAN:
        # processes that were killed are on their way out
        if time.monotonic() > deadline:
            sys.exit(f"{what}: left {found}")
        time.sleep(0.02)


attach = ("attach", victim, "-N", "victim", "-n", "kept", "-n", "bridge", "-p", "7001:80")
killed = 0
for number in range(int(rounds)):
    kind = random.choice(("attach", "detach", "connect", "disconnect", "remove"))
    delay = random.uniform(0.002, 0.060)
    if kind == "attach":
        killed += kill_after(delay, *attach)
    elif kind == "detach":
        run(*attach)
        killed += kill_after(delay / 2, "detach", victim)
    elif kind == "connect":
        run("attach", victim, "-p", "7001:80")
        killed += kill_after(delay, "connect", victim, "-n", "kept")
    elif kind == "disconnect":
        run(*attach)
        killed += kill_after(delay, "disconnect", victim, "kept")
    else:
        run("create", "fleeting")
        run("attach", victim, "-n", "fleeting")
        run("detach", victim)
        killed += kill_after(delay / 2, "remove", "fleeting")
    run("reconcile", keeper)
    run("remove", "fleeting", check=False)
    expect_clean(f"round {number}, {kind} killed after {delay * 1000:.1f} ms")
    # what was killed can be done
    if number % 5 == 0:
        run(*attach)
        run("detach", victim)
        run("reconcile", keeper)
        expect_clean(f"round {number}, after a whole attach")
print(f"{killed} of {rounds} killed")
assert killed > int(rounds) // 4
