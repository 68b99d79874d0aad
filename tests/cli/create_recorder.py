#!/usr/bin/python3
"""A Docker engine that knows only how to create: what the client sends is kept in a file.

    create_recorder.py SOCKET FILE

Each body of POST /containers/create becomes a line of FILE, in its order, with the query's name and
platform put in as "name" and "platform"."""
import http.server
import json
import os
import socketserver
import sys
import urllib.parse


class Recorder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Api-Version", "1.50")
        self.send_header("Ostype", "linux")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self):
        self.answer(200, "OK")

    def do_GET(self):
        self.answer(200, {"Os": "linux", "OSType": "linux", "ApiVersion": "1.50"})

    def do_POST(self):
        address = urllib.parse.urlparse(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if not address.path.endswith("/containers/create"):
            self.answer(404, {"message": "only /containers/create is known here"})
            return
        document = json.loads(body)
        query = urllib.parse.parse_qs(address.query)
        for key in ("name", "platform"):
            if key in query:
                document[key] = query[key][0]
        with open(sys.argv[2], "a", encoding="utf-8") as out:
            out.write(json.dumps(document) + "\n")
        self.answer(201, {"Id": "0" * 64, "Warnings": []})

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


class Server(socketserver.UnixStreamServer):
    def get_request(self):
        connection, _ = super().get_request()
        return connection, ("unix", 0)


with Server(sys.argv[1], Recorder) as server:
    print("ready", flush=True)
    server.serve_forever()
