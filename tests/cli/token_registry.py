"""A registry that sends its clients for a token, on 127.0.0.1:PORT: token_registry.py PORT

The token server knows user "carol" with password "token secret", and gives her the refresh token
"refresh-1", which it takes too. With user "mallory" it answers rubbish.
"""

import base64
import http.server
import json
import sys
import urllib.parse

PORT = int(sys.argv[1])


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, value, **fields):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in fields.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        given = self.headers.get("Authorization", "")
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/v2/":
            if given == "Bearer token-1":
                self.answer(200, {})
            else:
                challenge = f'Bearer realm="http://127.0.0.1:{PORT}/token",service="a&b"'
                self.answer(401, {}, WWW_Authenticate=challenge)
            return
        query = urllib.parse.parse_qs(url.query)
        user = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
        if user[0] == "mallory":
            self.answer(200, b'{"token": "a\\r\\nX-Injected: yes"}')
        elif user[2] != "token secret" or query.get("service") != ["a&b"]:
            self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "no\x1b[31m such user"}]})
        else:
            self.answer(200, {"token": "token-1", "refresh_token": "refresh-1"})

    def do_POST(self):
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        query = urllib.parse.parse_qs(form)
        if query.get("refresh_token") == ["refresh-1"] and query.get("service") == ["a&b"]:
            self.answer(200, {"access_token": "token-1"})
        else:
            self.answer(401, {})

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
