"""gcs_server.py PORT FOLDER PUBLIC_KEY_MODULUS_HEX: stands in for Google Cloud Storage on loopback.

It speaks what storage.rs needs of the XML API, as Google documents it: objects with ranges, writes on the condition
that there is nothing (x-goog-if-generation-match: 0), lists in pages of a thousand, and requests signed by a service
account (a JWT with RS256, checked against that account's public key). Objects are files below FOLDER/BUCKET.
"""

import base64
import hashlib
import json
import os
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PORT, FOLDER, MODULUS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3], 16)
PAGE = 1000
EXPONENT = 65537
# PKCS #1 v1.5: what stands before a SHA-256 digest.
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
WRITING = threading.Lock()


def unpacked(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed(authorization):
    """Whether this is the account's own signature, and of now."""
    kind, _, token = authorization.partition(" ")
    parts = token.split(".")
    if kind != "Bearer" or len(parts) != 3:
        return False
    size = (MODULUS.bit_length() + 7) // 8
    found = pow(int.from_bytes(unpacked(parts[2]), "big"), EXPONENT, MODULUS).to_bytes(size, "big")
    ending = DIGEST_INFO + hashlib.sha256(f"{parts[0]}.{parts[1]}".encode()).digest()
    expected = b"\x00\x01" + b"\xff" * (size - 3 - len(ending)) + b"\x00" + ending
    claims = json.loads(unpacked(parts[1]))
    return found == expected and claims["iat"] - 60 <= time.time() < claims["exp"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code></Error>"
        self.answer(status, body.encode(), [("Content-Type", "application/xml")])

    def handle_request(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if not signed(self.headers.get("Authorization", "")):
            return self.refuse(401, "AuthenticationRequired")
        url = urlsplit(self.path)
        bucket, _, name = unquote(url.path).lstrip("/").partition("/")
        folder = os.path.join(FOLDER, bucket)
        if ".." in self.path or not os.path.isdir(folder):
            return self.refuse(404, "NoSuchBucket")
        if not name and self.command == "GET":
            return self.list(bucket, folder, parse_qs(url.query))
        path = os.path.join(folder, name)
        if self.command == "PUT":
            return self.put(path, body)
        if not os.path.isfile(path):
            return self.refuse(404, "NoSuchKey")
        if self.command == "DELETE":
            os.remove(path)
            return self.answer(204)
        return self.get(path)

    do_GET = do_HEAD = do_PUT = do_DELETE = handle_request

    def put(self, path, body):
        with WRITING:
            condition = self.headers.get("x-goog-if-generation-match")
            if condition == "0" and os.path.exists(path):
                return self.refuse(412, "PreconditionFailed")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path + ".part", "wb") as file:
                file.write(body)
            os.rename(path + ".part", path)
        return self.answer(200, headers=self.about(path))

    @staticmethod
    def about(path):
        told = os.stat(path)
        return [
            ("ETag", f'"{told.st_mtime_ns:x}"'),
            ("x-goog-generation", str(told.st_mtime_ns // 1000)),
            ("Last-Modified", formatdate(told.st_mtime, usegmt=True)),
        ]

    def get(self, path):
        size = os.path.getsize(path)
        first, last, status, headers = 0, size - 1, 200, self.about(path)
        asked = self.headers.get("Range")
        if asked:
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end) if end else size - 1, size - 1)
            if first >= size:
                return self.refuse(416, "InvalidRange")
            status = 206
            headers.append(("Content-Range", f"bytes {first}-{last}/{size}"))
        if self.command == "HEAD":
            return self.answer(status, headers=[*headers, ("Content-Length", str(size))])
        with open(path, "rb") as file:
            file.seek(first)
            return self.answer(status, file.read(last - first + 1), headers)

    def list(self, bucket, folder, query):
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        paths = (os.path.join(at, file) for at, _, files in os.walk(folder) for file in files)
        names = (os.path.relpath(path, folder) for path in paths)
        names = sorted(n for n in names if n.startswith(prefix) and n > after and not n.endswith(".part"))
        page, more = names[:PAGE], len(names) > PAGE
        body = f"<?xml version='1.0' encoding='UTF-8'?><ListBucketResult><Name>{escape(bucket)}</Name>"
        body += f"<Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
        body += f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        if more:
            body += f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
        for name in page:
            told = os.stat(os.path.join(folder, name))
            changed = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(told.st_mtime))
            body += f"<Contents><Key>{escape(name)}</Key><LastModified>{changed}</LastModified>"
            body += f"<ETag>{told.st_mtime_ns:x}</ETag><Size>{told.st_size}</Size></Contents>"
        self.answer(200, (body + "</ListBucketResult>").encode(), [("Content-Type", "application/xml")])


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", PORT), Handler).serve_forever()
