"""A small NATS client on plain sockets, so that the suites see every byte.

It never reconnects, never retries and answers PING by itself; all else is
handed to the caller in the order it came.
"""

import json
import os
import select
import socket
import time
from dataclasses import dataclass


class Closed(Exception):
    """The server closed the connection."""


class TimedOut(Exception):
    """Nothing came within the time allowed."""


@dataclass
class Op:
    """One operation from the server."""

    kind: str
    text: str = ""
    subject: str = ""
    sid: str = ""
    reply: str = ""
    header: bytes = b""
    data: bytes = b""

    @property
    def status(self):
        """Code and text of an inline status: `404 No Messages`."""
        first = self.header.split(b"\r\n", 1)[0].decode("utf-8", "replace")
        return first[len("NATS/1.0"):].strip() if first.startswith("NATS/1.0") else ""

    @property
    def headers(self):
        """Header lines in order, as pairs."""
        pairs = []
        for line in self.header.decode("utf-8", "replace").split("\r\n")[1:]:
            if ":" in line:
                name, value = line.split(":", 1)
                pairs.append((name, value.strip()))
        return pairs

    def get(self, name, default=None):
        """The first value of a header."""
        for key, value in self.headers:
            if key == name:
                return value
        return default

    def json(self):
        """The payload as JSON."""
        return json.loads(self.data)


def header_block(headers, status=""):
    """The bytes of a header block."""
    lines = ["NATS/1.0" + (" " + status if status else "")]
    items = headers.items() if isinstance(headers, dict) else headers
    lines += [f"{name}: {value}" for name, value in items]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Raw:
    """One connection, before CONNECT."""

    def __init__(self, port, host="127.0.0.1", timeout=5.0, auto_pong=True):
        self.timeout = timeout
        self.auto_pong = auto_pong
        self.sock = socket.create_connection((host, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = bytearray()
        self.closed = False

    def close(self):
        """Closes the socket."""
        self.sock.close()

    def send(self, data):
        """Writes bytes as they are."""
        try:
            self.sock.sendall(data.encode() if isinstance(data, str) else data)
        except OSError as e:
            raise Closed(str(e)) from e

    def _fill(self, deadline):
        wait = deadline - time.monotonic()
        if wait <= 0 or not select.select([self.sock], [], [], wait)[0]:
            raise TimedOut()
        try:
            chunk = self.sock.recv(1 << 18)
        except OSError:
            chunk = b""
        if not chunk:
            self.closed = True
            raise Closed("closed by the server")
        self.buf += chunk

    def _line(self, deadline):
        while True:
            end = self.buf.find(b"\r\n")
            if end >= 0:
                line = bytes(self.buf[:end])
                del self.buf[: end + 2]
                return line.decode("utf-8", "replace")
            self._fill(deadline)

    def _exactly(self, n, deadline):
        while len(self.buf) < n + 2:
            self._fill(deadline)
        data = bytes(self.buf[:n])
        tail = bytes(self.buf[n : n + 2])
        del self.buf[: n + 2]
        if tail != b"\r\n":
            raise AssertionError(f"payload is not followed by CRLF but by {tail!r}")
        return data

    def next(self, timeout=None):
        """The next operation; PING is answered and skipped."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            line = self._line(deadline)
            kind, _, rest = line.partition(" ")
            if kind == "PING" and self.auto_pong:
                self.send(b"PONG\r\n")
                continue
            if kind not in ("MSG", "HMSG"):
                return Op(kind, text=rest)
            args = rest.split()
            sizes = 2 if kind == "HMSG" else 1
            subject, sid = args[0], args[1]
            reply = args[2] if len(args) == 3 + sizes else ""
            total = int(args[-1])
            hdr = int(args[-2]) if kind == "HMSG" else 0
            # A torn payload must not lose its line: the deadline is the op's.
            data = self._exactly(total, deadline + self.timeout)
            return Op(kind, "", subject, sid, reply, data[:hdr], data[hdr:])


class Client(Raw):
    """A connection that has logged in."""

    def __init__(self, port, timeout=5.0, **options):
        super().__init__(port, timeout=timeout)
        self.info = json.loads(self.next().text)
        connect = {
            "verbose": False, "pedantic": False, "headers": True, "no_responders": True,
            "protocol": 1, "lang": "python-raw", "version": "1", "name": "raw",
        }
        connect.update(options)
        self.connect(connect)
        self.inbox = "_INBOX." + os.urandom(8).hex()
        self.n = 0
        self.next_sid = 100
        self.side = []
        self.send(f"SUB {self.inbox}.* 1\r\n")

    def connect(self, connect):
        """Sends CONNECT and PING and waits for the PONG."""
        self.send(b"CONNECT " + json.dumps(connect).encode() + b"\r\nPING\r\n")
        while True:
            op = self.next()
            if op.kind == "PONG":
                return
            if op.kind == "-ERR":
                raise Closed(op.text)

    def flush(self):
        """PING and PONG; what comes between is kept for `pull`."""
        self.send(b"PING\r\n")
        while True:
            op = self.next()
            if op.kind == "PONG":
                return
            self.side.append(op)

    def subscribe(self, subject, queue=""):
        """Subscribes and returns the sid."""
        self.next_sid += 1
        sid = str(self.next_sid)
        self.send(f"SUB {subject} {queue + ' ' if queue else ''}{sid}\r\n")
        return sid

    def publish(self, subject, data=b"", headers=None, reply=""):
        """Publishes one message."""
        data = data.encode() if isinstance(data, str) else data
        reply = reply + " " if reply else ""
        if headers is None:
            self.send(f"PUB {subject} {reply}{len(data)}\r\n".encode() + data + b"\r\n")
        else:
            block = header_block(headers) if not isinstance(headers, bytes) else headers
            size = f"{len(block)} {len(block) + len(data)}"
            self.send(f"HPUB {subject} {reply}{size}\r\n".encode() + block + data + b"\r\n")

    def pull(self, sid=None, timeout=None):
        """The next message, of one sid if given; -ERR raises."""
        for i, op in enumerate(self.side):
            if sid is None or op.sid == sid:
                return self.side.pop(i)
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            op = self.next(max(0.0, deadline - time.monotonic()))
            if op.kind == "-ERR":
                raise Closed(op.text)
            if op.kind not in ("MSG", "HMSG"):
                continue
            if sid is None or op.sid == sid:
                return op
            self.side.append(op)

    def new_inbox(self):
        """A reply subject covered by the connection's own subscription."""
        self.n += 1
        return f"{self.inbox}.{self.n}"

    def request(self, subject, data=b"", headers=None, timeout=None):
        """One request, its first answer."""
        if isinstance(data, (dict, list)):
            data = json.dumps(data)
        reply = self.new_inbox()
        self.publish(subject, data, headers, reply)
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        others = []
        try:
            while True:
                op = self.pull("1", max(0.0, deadline - time.monotonic()))
                if op.subject == reply:
                    return op
                others.append(op)
        finally:
            # What came for somebody else stays, in its order.
            self.side = others + self.side

    def api(self, subject, body=b"", timeout=None):
        """A JetStream API request whose error is raised."""
        out = self.request("$JS.API." + subject, body, timeout=timeout).json()
        if "error" in out:
            raise AssertionError(f"{subject}: {out['error']}")
        return out
