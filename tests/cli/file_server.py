"""Gives one file over plain http, in ways of its own: file_server.py PORT FILE LOG. Each request is a line in LOG.

/whole      as it is, with its length
/chunked    without a length
/once       breaks off in the middle the first time
/always     breaks off in the middle each time
/endless    says that it is 100 TiB long
/growing    without a length, and without an end
/away       redirects to /whole
/round      redirects to itself
/busy       503 the first time
/stall      sends half, and then nothing
"""

import collections
import http.server
import sys
import time

PORT, FILE = int(sys.argv[1]), sys.argv[2]
LOG = open(sys.argv[3], "w", buffering=1)
turns = collections.Counter()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def do_GET(self):
        path = self.path.split("?")[0]
        LOG.write(path + "\n")
        turns[path] += 1
        first = turns[path] == 1
        with open(FILE, "rb") as file:
            data = file.read()
        if path == "/away" or path == "/round":
            self.answer(302, Location="/whole" if path == "/away" else "/round", Content_Length=0)
        elif path == "/busy" and first:
            self.answer(503, Content_Length=0)
        elif path == "/chunked":
            self.answer(200, Transfer_Encoding="chunked")
            self.chunk(data)
            self.chunk(b"")
        elif path == "/endless":
            self.answer(200, Content_Length=100 << 40)
            self.wfile.write(b"x")
        elif path == "/growing":
            self.answer(200, Transfer_Encoding="chunked")
            try:
                while True:
                    self.chunk(bytes(1 << 20))
            except OSError:
                self.close_connection = True
        elif path in ("/always", "/stall") or (path == "/once" and first):
            self.answer(200, Content_Length=len(data))
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            if path == "/stall":
                time.sleep(30)
            self.close_connection = True
        elif path in ("/whole", "/once", "/busy"):
            self.answer(200, Content_Length=len(data))
            self.wfile.write(data)
        else:
            self.answer(404, Content_Length=0)


http.server.ThreadingHTTPServer.daemon_threads = True
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
