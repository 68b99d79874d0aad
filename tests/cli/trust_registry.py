"""A registry over TLS that sends its clients to other hosts: trust_registry.py CERTIFICATE KEY LOG

On https://192.0.2.1:5443 it has one image, tag "1", without layers. The repository says where it
sends for what: "token-URL" for a token, "blob-URL" for blobs, where URL has dashes for ":" and "/",
as in "token-https---192.0.2.2-5444". Those servers are:

    https://192.0.2.1:5444, https://192.0.2.2:5444, http://192.0.2.1:5445, http://192.0.2.2:5445,
    http://127.0.0.1:5445

Each request is a line "ADDRESS PATH AUTHORIZATION" in LOG.
"""

import hashlib
import http.server
import json
import ssl
import sys
import threading

LOG = open(sys.argv[3], "w", buffering=1)
TYPE = "application/vnd.oci.image."
CONFIG = json.dumps(
    {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
).encode()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": TYPE + "manifest.v1+json",
        "config": {"mediaType": TYPE + "config.v1+json", "digest": digest_of(CONFIG), "size": len(CONFIG)},
        "layers": [],
    }
).encode()
ELSEWHERE = {
    "https---192.0.2.1-5444": "https://192.0.2.1:5444",
    "https---192.0.2.2-5444": "https://192.0.2.2:5444",
    "http---192.0.2.1-5445": "http://192.0.2.1:5445",
    "http---192.0.2.2-5445": "http://192.0.2.2:5445",
    "http---127.0.0.1-5445": "http://127.0.0.1:5445",
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        for name, text in fields.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        address, port = self.server.server_address[:2]
        given = self.headers.get("Authorization", "-").replace(" ", ":")
        print(f"{address}:{port}", self.path, given, file=LOG)
        parts = self.path.split("?")[0].split("/")
        if parts[1] == "token":
            self.answer(200, b'{"token": "good"}')
        elif parts[1] == "blob":
            self.answer(200, CONFIG)
        elif self.path == "/v2/":
            self.answer(200, b"{}")
        else:
            self.give(parts[2], parts[3], given)

    def give(self, repository, kind, given):
        use, _, name = repository.partition("-")
        if use == "token" and given != "Bearer:good":
            realm = ELSEWHERE[name] + "/token"
            self.answer(401, b"{}", WWW_Authenticate=f'Bearer realm="{realm}",service="x"')
        elif use == "blob" and kind == "blobs":
            self.answer(307, Location=ELSEWHERE[name] + "/blob")
        elif kind == "blobs":
            self.answer(200, CONFIG)
        else:
            self.answer(200, MANIFEST, Content_Type=TYPE + "manifest.v1+json")

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def serve(address, port, tls):
    server = Server((address, port), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    return thread


threads = [serve("192.0.2.1", 5443, True)]
threads += [serve(f"192.0.2.{n}", 5444, True) for n in (1, 2)]
threads += [serve(address, 5445, False) for address in ("192.0.2.1", "192.0.2.2", "127.0.0.1")]
for thread in threads:
    thread.join()
