"""The writer's part of ClickHouse's HTTP interface in front of the engine that chDB embeds.

    server.py PORT FOLDER

Statements, types, formats and the texts of errors are ClickHouse's own. Statuses, headers and how connections behave are
an imitation, good enough to carry statements, and no evidence of what ClickHouse does.
"""

import gzip
import http.server
import os
import re
import sys
import tempfile
import threading
import urllib.parse
import zlib

import zstandard
from chdb import session

ENGINE = session.Session(sys.argv[2])
# The engine runs one statement at a time, with the settings of that request alone.
TURN = threading.Lock()

# Parameters of a request that are no settings of the engine.
OURS = {
    "query", "database", "user", "password", "default_format", "query_id", "session_id", "session_timeout", "compress",
    "decompress", "buffer_size", "wait_end_of_query", "quota_key",
}

# The codes of errors that a writer meets; every other is the server's fault.
STATUSES = {
    400: (6, 26, 27, 33, 36, 38, 41, 42, 43, 44, 53, 62, 63, 69, 70, 72, 117, 130, 131, 190, 440, 467),
    404: (46, 47, 48, 50, 60, 81, 218),
}
STATUS_OF = {code: status for status, codes in STATUSES.items() for code in codes}

INSERT = re.compile(
    r"(?is)\s*insert\s+into\s+(?P<target>.+?)(?P<settings>\s+settings\s+.+?)?\s+format\s+(?P<format>\w+)\s*;?\s*$"
)


def literal(value):
    """A setting's value as SQL: numbers bare, everything else quoted."""
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def inflate(body, coding):
    if coding in ("", "identity"):
        return body
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "deflate":
        return zlib.decompress(body)
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    raise ValueError(f"unknown coding {coding}")


def run(parameters, body):
    """One statement: the parameter `query`, else the body; an INSERT's data is the rest of the body."""
    query = parameters.get("query", "")
    insert = INSERT.match(query)
    if insert is None:
        text = query + ("\n" if query and body else "") + body.decode()
        return ENGINE.query(text, parameters.get("default_format", "TabSeparated")).bytes()
    # From a file, since a statement's text cannot hold binary formats.
    with tempfile.NamedTemporaryFile() as data:
        data.write(body)
        data.flush()
        settings = insert["settings"] or ""
        source = f"FROM INFILE {literal(data.name)}{settings} FORMAT {insert['format']}"
        return ENGINE.query(f"INSERT INTO {insert['target']} {source}").bytes()


def answer(parameters, body):
    """Status, headers and body."""
    settings = {name: value for name, value in parameters.items() if name not in OURS}
    with TURN:
        try:
            ENGINE.query("USE `" + parameters.get("database", "default").replace("`", "") + "`")
            for name, value in settings.items():
                ENGINE.query(f"SET {name} = {literal(value)}")
            return 200, {}, run(parameters, body) or b""
        except Exception as error:  # the engine has no narrower one
            text = str(error)
            found = re.search(r"Code: (\d+)", text)
            code = int(found[1]) if found else 0
            return STATUS_OF.get(code, 500), {"X-ClickHouse-Exception-Code": str(code)}, text.encode() + b"\n"
        finally:
            for name in settings:
                try:
                    ENGINE.query(f"SET {name} = DEFAULT")
                except Exception:  # unknown settings were never set
                    pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_request(b"")

    def do_POST(self):
        raw = self.read_body()
        try:
            body = inflate(raw, self.headers.get("Content-Encoding", "").strip().lower())
        except Exception as error:
            return self.reply(400, {}, f"{error}\n".encode())
        self.handle_request(body)

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def handle_request(self, body):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/ping":
            return self.reply(200, {}, b"Ok.\n")
        parameters = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        for name, header in [("database", "X-ClickHouse-Database"), ("default_format", "X-ClickHouse-Format")]:
            if header in self.headers:
                parameters.setdefault(name, self.headers[header])
        self.reply(*answer(parameters, body))

    def reply(self, status, headers, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
