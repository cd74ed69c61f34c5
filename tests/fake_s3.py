"""A store that speaks as much of S3 as reading takes, on the loopback: list, head, get ranges."""

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

XML = '<?xml version="1.0" encoding="UTF-8"?>'
PAGE = 2


class FakeS3:
    """One bucket's objects in memory; lists come in pages, so that the rest is to be asked for."""

    def __init__(self, bucket: str, objects: dict[str, bytes]):
        self.bucket, self.objects = bucket, objects
        self.requests: list[str] = []
        self.refuses = False
        handler = type("Handler", (_Handler,), {"store": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> "FakeS3":
        threading.Thread(target=self.server.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    store: FakeS3
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        query = {name: each[0] for name, each in parse_qs(url.query).items()}
        self.store.requests.append(f"{self.command} {key} {self.headers.get('Range', '')}")
        if self.store.refuses:
            return self.fault(403, "AccessDenied", "Access Denied")
        if bucket != self.store.bucket:
            return self.fault(404, "NoSuchBucket", "The specified bucket does not exist")
        if not key:
            return self.listed(query)
        if key not in self.store.objects:
            return self.fault(404, "NoSuchKey", "The specified key does not exist.")
        raw, status = self.store.objects[key], 200
        about = {"ETag": '"e"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(wanted[1]), min(int(wanted[2] or len(raw)), len(raw) - 1)
            about["Content-Range"] = f"bytes {start}-{end}/{len(raw)}"
            raw, status = raw[start : end + 1], 206
        return self.answer(status, raw, about)

    do_HEAD = do_GET

    def listed(self, query: dict[str, str]) -> None:
        prefix, end = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token", "")
        names: dict[str, str] = {}
        for key in sorted(self.store.objects):
            if key.startswith(prefix):
                below = key[len(prefix) :]
                folder = prefix + below.partition(end)[0] + end if end and end in below else ""
                names[folder or key] = "CommonPrefixes" if folder else "Contents"
        rest = [name for name in names if name > after]
        page = rest[:PAGE]
        told = [f"<Name>{self.store.bucket}</Name><KeyCount>{len(page)}</KeyCount>"]
        told.append(f"<IsTruncated>{str(len(rest) > PAGE).lower()}</IsTruncated>")
        if len(rest) > PAGE:
            told.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
        for name in page:
            if names[name] == "CommonPrefixes":
                told.append(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>")
            else:
                about = f"<Key>{escape(name)}</Key><Size>{len(self.store.objects[name])}</Size>"
                about += '<LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"e"</ETag>'
                told.append(f"<Contents>{about}<StorageClass>STANDARD</StorageClass></Contents>")
        body = f"{XML}<ListBucketResult>{''.join(told)}</ListBucketResult>"
        self.answer(200, body.encode(), {"Content-Type": "application/xml"})

    def fault(self, status: int, code: str, message: str) -> None:
        body = f"{XML}<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        self.answer(status, body.encode(), {"Content-Type": "application/xml"})

    def answer(self, status: int, raw: bytes, about: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(raw))} | about).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)
