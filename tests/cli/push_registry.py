"""A registry that keeps what is pushed in memory, and whose repositories each have a way of their own:
push_registry.py PORT LOG. Every request is a line "METHOD PATH CONTENT-RANGE STATUS" in LOG.

good       takes everything
breaking   breaks the connection off in a layer's first chunk, of which it keeps the first 1000000 bytes
nochunks   takes no PATCH
busy       answers 503 to the first request of each kind
renaming   says that a manifest has another digest
readonly   takes nothing
subjects   knows what a subject is
"""

import collections
import hashlib
import http.server
import json
import sys
import threading
import urllib.parse

PORT = int(sys.argv[1])
LOG = open(sys.argv[2], "w", buffering=1)
blobs = collections.defaultdict(dict)  # by repository
manifests = collections.defaultdict(dict)
uploads = {}
turns = collections.Counter()
lock = threading.Lock()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", **fields):
        with lock:
            print(self.command, self.path, self.headers.get("Content-Range", "-"), status, file=LOG)
        self.send_response(status)
        for name, text in fields.items():
            self.send_header(name.replace("_", "-"), str(text))
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle_any(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        parts = url.path.strip("/").split("/")
        if parts == ["v2"]:
            return self.answer(200, b"{}")
        if parts[0] == "upload":
            return self.upload(parts[1], parts[2], query)
        repository, kind, name = parts[1], parts[2], parts[3]
        with lock:
            turns[repository, self.command, kind] += 1
            turn = turns[repository, self.command, kind]
        if repository == "busy" and turn == 1:
            self.body()
            return self.answer(503, b"{}")
        if repository == "readonly" and self.command not in ("GET", "HEAD"):
            self.body()
            return self.answer(403, json.dumps({"errors": [{"message": "read only"}]}).encode())
        if kind == "blobs" and name == "uploads":
            self.body()
            with lock:
                number = str(len(uploads) + 1)
                uploads[number] = b""
            # Relative, as the specification allows.
            return self.answer(202, Location=f"/upload/{repository}/{number}?state=a")
        if kind == "blobs":
            data = blobs[repository].get(name)
            return self.answer(404) if data is None else self.answer(200, data)
        return self.manifest(repository, name)

    def manifest(self, repository, name):
        if self.command != "PUT":
            data = manifests[repository].get(name)
            return self.answer(404, b"{}") if data is None else self.answer(200, data)
        data = self.body()
        manifests[repository][name] = data
        fields = {"Docker_Content_Digest": digest_of(data if repository != "renaming" else b"x")}
        subject = json.loads(data).get("subject")
        if repository == "subjects" and subject:
            fields["OCI_Subject"] = subject["digest"]
        return self.answer(201, **fields)

    def upload(self, repository, number, query):
        location = f"http://127.0.0.1:{PORT}/upload/{repository}/{number}?state=b"
        if self.command == "GET":
            return self.answer(204, Location=location, Range=f"0-{len(uploads[number]) - 1}")
        if self.command == "DELETE":
            return self.answer(204)
        if self.command == "PATCH" and repository == "nochunks":
            self.body()
            return self.answer(405)
        if self.command == "PATCH" and repository == "breaking" and not uploads[number]:
            uploads[number] = self.rfile.read(40000000)[:1000000]
            self.close_connection = True
            return None
        uploads[number] += self.body()
        if self.command == "PATCH":
            return self.answer(202, Location=location, Range=f"0-{len(uploads[number]) - 1}")
        digest = query["digest"][0]
        if digest_of(uploads[number]) != digest:
            return self.answer(400, json.dumps({"errors": [{"message": "digest"}]}).encode())
        blobs[repository][digest] = uploads[number]
        return self.answer(201)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


Server(("127.0.0.1", PORT), Handler).serve_forever()
