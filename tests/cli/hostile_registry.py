"""A registry whose repositories each have a fault: hostile_registry.py PORT LOG [LAYER]

It has one image, tag "1", of three layers that it makes: a small one, one of 2 MiB that doesn't
compress, and LAYER if that is given. REPOSITORY is the fault's name; what is behind a dash tells
several uses of the same fault apart. Every request is a line in LOG:

    METHOD PATH RANGE AUTHORIZATION STATUS

with "-" for what wasn't there. A second port, PORT + 1, is "elsewhere": it gives any blob, and its
lines begin with "elsewhere ". A third, PORT + 2, is a token server.
"""

import collections
import gzip
import hashlib
import http.server
import io
import itertools
import json
import random
import sys
import tarfile
import threading
import time

PORT = int(sys.argv[1])
LOG = open(sys.argv[2], "w", buffering=1)
LAYER = sys.argv[3] if len(sys.argv) > 3 else None
OCI = "application/vnd.oci.image."


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class Image:
    def __init__(self):
        plain = [
            make_tar({"hello": b"hello\n"}),
            make_tar({"random": random.Random(1).randbytes(2 << 20)}),
        ]
        packed = [gzip.compress(tar, mtime=0) for tar in plain]
        self.big = digest_of(packed[1])
        diff_ids = [digest_of(tar) for tar in plain]
        types = ["layer.v1.tar+gzip"] * 2
        if LAYER:
            packed.append(open(LAYER, "rb").read())
            diff_ids.append("sha256:" + "0" * 64)
            types.append("layer.v1.tar+zstd")
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/hello"]},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            }
        ).encode()
        self.blobs = {digest_of(data): data for data in packed + [config]}
        self.manifest = {
            "schemaVersion": 2,
            "mediaType": OCI + "manifest.v1+json",
            "config": self.describe("config.v1+json", config),
            "layers": [self.describe(*pair) for pair in zip(types, packed)],
        }

    @staticmethod
    def describe(media_type, data):
        return {"mediaType": OCI + media_type, "digest": digest_of(data), "size": len(data)}


IMAGE = Image()
seen = collections.Counter()  # requests so far, by what distinguishes them
lock = threading.Lock()


def count(*key):
    with lock:
        seen[key] += 1
        return seen[key]


class Broken(Exception):
    """Ends the connection at once."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    prefix = ""

    def log(self, status):
        with lock:
            print(
                self.prefix + self.command,
                self.path,
                self.headers.get("Range", "-"),
                self.headers.get("Authorization", "-").replace(" ", ":"),
                status,
                file=LOG,
            )

    def start(self, status, fields):
        self.log(status)
        self.send_response(status)
        for name, text in fields.items():
            self.send_header(name, str(text))
        self.end_headers()

    def answer(self, status, body=b"", **fields):
        named = {name.replace("_", "-"): text for name, text in fields.items()}
        self.start(status, {"Content-Length": len(body), **named})
        if self.command != "HEAD":
            self.wfile.write(body)

    def break_off(self):
        self.close_connection = True
        self.wfile.flush()
        raise Broken

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        try:
            self.route()
        except (Broken, BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def route(self):
        if self.path == "/v2/":
            return self.answer(200, b"{}")
        parts = self.path.split("?")[0].split("/")
        if len(parts) != 5:
            return self.answer(404, b"{}")
        repository, kind, name = parts[2:]
        fault = repository.split("-")[0]
        if not self.may_go_on(fault, repository, kind):
            return None
        if kind == "manifests":
            return self.give_manifest(fault, name)
        data = IMAGE.blobs.get(name)
        if data is None:
            return self.answer(404, b"{}")
        return self.give_blob(fault, repository, name, data)

    # Whether the fault lets a request through; else it was answered.
    def may_go_on(self, fault, repository, kind):
        turn = count(repository, self.command, self.path)
        if fault == "busy" and turn == 1:
            self.answer(429, b'{"errors": [{"message": "slowly"}]}', Retry_After=1)
        elif fault == "limited":
            self.answer(429, b'{"errors": [{"message": "come back later"}]}', Retry_After=3600)
        elif fault == "broken" and turn <= 2:
            self.answer(500, b"{}")
        elif fault == "dead" and kind == "blobs":
            self.answer(503, json.dumps({"errors": [{"message": "\x1b[31mno disk"}]}).encode())
        elif fault in ("private", "tokenless", "expiring", "moody") and not self.is_allowed(fault):
            self.answer(
                401,
                b"{}",
                WWW_Authenticate=f'Bearer realm="http://127.0.0.1:{PORT + 2}/{fault}",'
                f'service="test",scope="repository:{repository}:pull"',
            )
        else:
            return True
        return False

    def is_allowed(self, fault):
        given = self.headers.get("Authorization", "")
        if not given.startswith("Bearer token-"):
            return False
        # A token of "expiring" is good for two requests.
        return fault != "expiring" or count("token", given) <= 2

    def give_manifest(self, fault, name):
        manifest = json.dumps(IMAGE.manifest).encode()
        if fault == "hugemanifest":
            manifest = json.dumps({**IMAGE.manifest, "annotations": {"a": "x" * (5 << 20)}}).encode()
        if fault == "longer":
            shown = json.loads(manifest)
            for layer in shown["layers"]:
                layer["size"] -= 1
            manifest = json.dumps(shown).encode()
        if fault == "foreign":
            shown = json.loads(manifest)
            shown["layers"][1]["urls"] = [
                "gopher://127.0.0.2/",
                f"http://127.0.0.2:{PORT + 1}/blob/{IMAGE.big}",
            ]
            manifest = json.dumps(shown).encode()
        digest = digest_of(manifest)
        if fault == "endlessmanifest" and self.command == "GET":
            return self.give_endless()
        if fault == "othermanifest":
            digest = digest_of(b"something else")
        if name.startswith("sha256:") and name != digest:
            return self.answer(404, b"{}")
        return self.answer(
            200,
            manifest,
            Docker_Content_Digest=digest,
            Content_Type=OCI + "manifest.v1+json",
        )

    def give_endless(self, data=b""):
        self.start(200, {"Transfer-Encoding": "chunked"})
        for piece in itertools.chain([data] if data else [], itertools.repeat(b" " * 65536, 10000)):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def first_byte(self):
        given = self.headers.get("Range", "")
        return int(given[len("bytes=") : -1]) if given.startswith("bytes=") else 0

    def give_part(self, data, first, upto):
        fields = {"Content-Length": len(data) - first}
        if first:
            fields["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self.start(206 if first else 200, fields)
        self.wfile.write(data[first:upto])

    def give_blob(self, fault, repository, name, data):
        first = self.first_byte()
        turn = count(repository, "blob", name)
        big = name == IMAGE.big
        half = len(data) // 2
        if fault == "drop" and big and turn == 1:
            self.give_part(data, 0, half)
            self.break_off()
        elif fault == "norange" and big:
            self.give_part(data, 0, half if turn == 1 else len(data))
            if turn == 1:
                self.break_off()
        elif fault == "dropping" and big:
            end = min(first + 300000, len(data))
            self.give_part(data, first, end)
            if end < len(data):
                self.break_off()
        elif fault == "never" and big:
            self.give_part(data, first, min(first + 10, len(data)))
            self.break_off()
        elif fault == "stall" and big and turn == 1:
            self.give_part(data, 0, half)
            self.wfile.flush()
            self.connection.settimeout(30)
            self.rfile.read(1)  # until the client goes
            self.break_off()
        elif fault == "otherpart" and big:
            if turn == 1:
                self.give_part(data, 0, half)
                self.break_off()
            self.start(206, {"Content-Length": 5, "Content-Range": f"bytes 0-4/{len(data)}"})
            self.wfile.write(data[:5])
        elif fault == "flipped" and big:
            self.give_part(data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :], first, len(data))
        elif fault == "endless" and big:
            self.give_endless(data)
        elif fault == "shorter" and big:
            self.answer(200, data[:half])
        elif fault == "slow":
            self.start(200, {"Content-Length": len(data)})
            for at in range(0, len(data), 131072):
                time.sleep(0.02)
                self.wfile.write(data[at : at + 131072])
        elif fault in ("redirect", "private"):
            self.answer(307, Location=f"http://127.0.0.2:{PORT + 1}/blob/{name}?signature=x")
        elif fault == "foreign" and big:
            self.answer(404, b"{}")
        elif fault == "loop":
            self.answer(307, Location=self.path)
        elif fault == "scheme":
            self.answer(307, Location="file:///etc/passwd")
        else:
            self.give_part(data, first, len(data))

    def log_message(self, *_):
        pass


class Elsewhere(Handler):
    prefix = "elsewhere "

    def route(self):
        data = IMAGE.blobs[self.path.split("/")[2].split("?")[0]]
        self.give_part(data, self.first_byte(), len(data))


class Tokens(Handler):
    prefix = "token "

    def route(self):
        if self.path.startswith("/tokenless"):
            return self.answer(500, b"{}")
        if self.path.startswith("/moody") and count("moody") <= 2:
            return self.answer(503, b"{}")
        return self.answer(200, json.dumps({"token": f"token-{count('tokens')}"}).encode())


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


servers = [
    Server(("127.0.0.1", PORT), Handler),
    Server(("127.0.0.2", PORT + 1), Elsewhere),
    Server(("127.0.0.1", PORT + 2), Tokens),
]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
