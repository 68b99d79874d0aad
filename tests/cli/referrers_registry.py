"""A registry that lists referrers, whose repositories each have a way of doing so:
referrers_registry.py PORT LOG

Each has an image, tag "1", to which three manifests refer: two signatures and a bill of materials;
tag "several" is an index that has the image for linux/arm64, and one more refers to the index.
Every request is a line "METHOD PATH AUTHORIZATION STATUS" in LOG. A second server, on port
PORT * 10 + 1, whose address begins as the first's does, takes whoever comes; its lines begin with
"elsewhere ".

filters    one page; filters by type, and says so
ignores    one page; no filter
pages      one a page, with an empty one in between; the link is relative
elsewhere  sends for the second page, of referrers and of tags, to the other server
endless    a page that leads to itself
many       pages of 4000 new ones each, and no last
huge       a page of more than 4 MiB
page404    the second page isn't there
text       a page that is no JSON
null       no list where there is nothing
invalid    of what it lists, most can't be
control    types and annotations that move a terminal's cursor
denied     403
busy       503 for the first request, then as filters
tagged     knows no referrers, and has the index under the digest's tag
crowded    knows none, and has 11000 under that tag
image      knows none, and has an image under that tag
damaged    knows none, and has what is no index under that tag, and says it is
none       knows none, and has no such tag
failing    knows none, and answers 500 for that tag
old        answers 405, and has the index under the digest's tag
private    wants a password, as user:secret
"""

import hashlib
import http.server
import json
import sys
import threading
import urllib.parse

PORT = int(sys.argv[1])
ELSEWHERE = PORT * 10 + 1
LOG = open(sys.argv[2], "w", buffering=1)
OCI = "application/vnd.oci.image."
INDEX, MANIFEST = OCI + "index.v1+json", OCI + "manifest.v1+json"
lock = threading.Lock()
turns = set()


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def dump(document):
    return json.dumps(document).encode()


def describe(data, media_type=MANIFEST, **members):
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **members}


def manifest(**members):
    config = {"mediaType": OCI + "config.v1+json", "digest": digest_of(b"{}"), "size": 2}
    return dump({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [], **members})


def index(manifests):
    return dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


IMAGE = manifest()
SEVERAL = index([describe(IMAGE, platform={"os": "linux", "architecture": "arm64"})])
SIGNATURE, BILL = "application/vnd.example.signature+json", "application/spdx+json"


def refer(subject, kind, number, **annotations):
    annotations = {"org.opencontainers.image.created": "2024-05-01T12:34:56Z", "number": number, **annotations}
    data = manifest(subject=describe(subject), artifactType=kind, annotations=annotations)
    return describe(data, artifactType=kind, annotations=annotations)


OF_IMAGE = [refer(IMAGE, SIGNATURE, "one"), refer(IMAGE, BILL, "two"), refer(IMAGE, SIGNATURE, "three")]
OF_SEVERAL = [refer(SEVERAL, SIGNATURE, "four")]
MANY = [{"mediaType": MANIFEST, "digest": f"sha256:{n:064x}", "size": 1} for n in range(4000)]


def invalid():
    good = OF_IMAGE[0]
    strange = [{"digest": "sha512:00"}, {"digest": 7}, {"digest": "sha256:" + "A" * 64}, {"size": -1}, {"size": "3"}]
    strange += [{"artifactType": "x" * 300}, {"mediaType": []}, {"annotations": {"a": {}}}, {"annotations": "text"}]
    return [7, None, [], *({**OF_IMAGE[1], **members} for members in strange), good, good]


def control():
    one = refer(IMAGE, SIGNATURE, "one\033[2J\r\nline", **{"key\033[H": "x"})
    return [one, {**OF_IMAGE[1], "artifactType": "text/x\033[2J"}]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one write: a second would wait for the first's acknowledgement

    def answer(self, status, body=b"", **fields):
        given = self.headers.get("Authorization", "-").replace(" ", ":")
        where = "elsewhere " if self.server.server_address[1] == ELSEWHERE else ""
        with lock:
            print(f"{where}{self.command} {self.path} {given} {status}", file=LOG)
        self.send_response(status)
        for name, text in fields.items():
            self.send_header(name.replace("_", "-"), str(text))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        self.query = {name: values[0] for name, values in urllib.parse.parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        if len(parts) < 4:
            return self.answer(200, b"{}")
        self.repository, kind, name = parts[1], parts[2], parts[3]
        if self.repository == "private" and self.headers.get("Authorization") != "Basic dXNlcjpzZWNyZXQ=":
            return self.answer(401, b"{}", WWW_Authenticate='Basic realm="x"')
        if kind == "referrers":
            listed = {digest_of(IMAGE): OF_IMAGE, digest_of(SEVERAL): OF_SEVERAL}.get(name, [])
            return self.referrers(listed)
        if kind == "tags":
            link = f'<http://127.0.0.1:{ELSEWHERE}/v2/x/tags/list>; rel="next"'
            return self.answer(200, dump({"name": self.repository, "tags": ["1"]}), Link=link)
        return self.manifest(name)

    do_HEAD = do_GET

    def manifest(self, name):
        by_name = {"1": IMAGE, "several": SEVERAL, digest_of(IMAGE): IMAGE, digest_of(SEVERAL): SEVERAL}
        tag = digest_of(IMAGE).replace(":", "-")
        if self.repository in ("tagged", "old"):
            by_name[tag] = index(OF_IMAGE)
        if self.repository == "crowded":
            by_name[tag] = index([{"digest": f"sha256:{n:064x}", "size": 1} for n in range(11000)])
        if self.repository == "image":
            by_name[tag] = IMAGE
        if self.repository == "damaged":
            by_name[tag] = dump({"mediaType": INDEX, "manifests": "none"})
        if self.repository == "failing" and name == tag:
            return self.answer(500, b"{}")
        data = by_name.get(name)
        if data is None:
            return self.answer(404, dump({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]}))
        fields = {"Content_Type": INDEX if b'"manifests"' in data else MANIFEST}
        return self.answer(200, data, Docker_Content_Digest=digest_of(data), **fields)

    def page(self, listed, following=None, **fields):
        if following is not None:
            fields["Link"] = f'<{following}>; rel="next"'
        return self.answer(200, index(listed), Content_Type=INDEX, **fields)

    def referrers(self, listed):
        way, wanted = self.repository, self.query.get("artifactType")
        number = int(self.query.get("page", 0))
        if way in ("tagged", "crowded", "image", "damaged", "none", "failing"):
            return self.answer(404, b"404 page not found")
        if way in ("old", "denied"):
            return self.answer(405 if way == "old" else 403, b"{}")
        if way == "text":
            return self.answer(200, b"<html>welcome</html>")
        if way == "null":
            return self.answer(200, dump({"schemaVersion": 2, "manifests": None}))
        if way == "huge":
            return self.answer(200, index([{"x": "x" * (5 << 20)}]))
        if way == "busy" and way not in turns:
            turns.add(way)
            return self.answer(503, b"{}")
        if way == "page404" and number:
            return self.answer(404, b"{}")
        if way == "endless":
            return self.page(listed, self.path)
        if way == "many":
            digests = [{**item, "digest": f"sha256:{number:02x}{item['digest'][9:]}"} for item in MANY]
            return self.page(digests, f"?page={number + 1}")
        if way == "elsewhere" and self.server.server_address[1] == PORT:
            return self.page(listed[:1], f"http://127.0.0.1:{ELSEWHERE}{self.path}")
        if way in ("pages", "page404"):
            pages = [listed[:1], [], listed[:2], listed[2:]]  # the first is there twice
            return self.page(pages[number], f"?page={number + 1}" if number < 3 else None)
        if way in ("invalid", "control"):
            return self.page(invalid() if way == "invalid" else control())
        if way != "ignores" and wanted:
            matching = [item for item in listed if item["artifactType"] == wanted]
            return self.page(matching, OCI_Filters_Applied="artifactType")
        return self.page(listed)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


threading.Thread(target=Server(("127.0.0.1", ELSEWHERE), Handler).serve_forever, daemon=True).start()
Server(("127.0.0.1", PORT), Handler).serve_forever()
