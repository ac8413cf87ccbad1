"""Plays a script against one server and collects the answers."""

import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from masks import Masks, shape
from rawnats import Client, Closed, Raw, TimedOut

SILENCE = 0.7


@dataclass
class Scene:
    """A title and its commands."""

    title: str
    lines: list = field(default_factory=list)
    hide: list = field(default_factory=list)


@dataclass
class Script:
    """One topic."""

    name: str
    config: str
    scenes: list


def parse(path):
    """Reads a script file."""
    config, scenes = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("== "):
            scenes.append(Scene(line[3:].strip()))
        elif line.startswith("config "):
            config.append(line[len("config "):])
        elif not scenes:
            raise SystemExit(f"{path.name}:{number}: a command before the first scene")
        elif line.startswith("hide "):
            scenes[-1].hide += line.split()[1:]
        else:
            scenes[-1].lines.append(line)
    return Script(path.stem, "\n".join(config), scenes)


def expand(text, escapes=False):
    """`{{x*5}}` becomes xxxxx; escapes become their bytes."""
    text = re.sub(r"\{\{(.+?)\*(\d+)\}\}", lambda m: m[1] * int(m[2]), text)
    if not escapes:
        return text.encode()
    codes = {"r": "\r", "n": "\n", "t": "\t", "\\": "\\"}
    code = lambda m: codes.get(m[1]) or chr(int(m[1][1:], 16))
    return re.sub(r"\\(r|n|t|\\|x[0-9a-f]{2})", code, text).encode("latin-1")


class Player:
    """One scene on one server."""

    def __init__(self, server, scene, jetstream):
        self.server, self.scene = server, scene
        self.masks = Masks({server.port: "<port>", server.monitor: "<monitor>"}, scene.hide)
        self.conns = {}
        self.helper = Client(server.port) if jetstream else None
        self.pulled, self.watched = [], []

    def play(self):
        """The answers, one per command that has one: (command, answer)."""
        out = []
        try:
            for line in self.scene.lines:
                answer = self.step(line)
                if answer is not None:
                    out.append((line, answer))
        finally:
            self.end()
        return out

    def end(self):
        """Closes the connections; the server goes with its scene."""
        for conn in [*self.conns.values(), *([self.helper] if self.helper else [])]:
            conn.close()

    def step(self, line):
        """One command."""
        raw = re.match(r"([A-Z])(>>?|<x?)(?: (.*))?$", line)
        if raw:
            return self.raw(*raw.groups())
        verb, _, rest = line.partition(" ")
        return getattr(self, "do_" + verb.replace("-", "_"))(rest)

    def raw(self, name, verb, rest):
        conn = self.conns[name]
        if verb.startswith(">"):
            try:
                conn.send(expand(rest or "", True) + (b"\r\n" if verb == ">" else b""))
            except Closed:
                pass
            return None
        if verb == "<x":
            return self.ops(conn, None, 3.0)
        if rest:
            return self.ops(conn, int(rest), 3.0)
        try:
            conn.send(b"PING\r\n")
        except Closed:
            pass
        return self.ops(conn, None, 3.0, until_pong=True)

    def ops(self, conn, count, timeout, until_pong=False):
        out = []
        while count is None or len(out) < count:
            try:
                op = conn.next(timeout)
            except Closed:
                out.append("(closed)")
                break
            except TimedOut:
                out.append("(silence)")
                break
            if until_pong and op.kind == "PONG":
                break
            out.append(self.op(op))
        return out

    def op(self, op):
        """An operation as a comparable value."""
        if op.kind == "INFO":
            return {"INFO": self.masks.value(json.loads(op.text))}
        if op.kind not in ("MSG", "HMSG"):
            return self.masks.text(f"{op.kind} {op.text}".strip())
        out = {"op": op.kind, "subject": self.masks.text(op.subject), "sid": op.sid}
        if op.reply:
            out["reply"] = self.masks.text(op.reply)
        return out | self.body(op)

    def body(self, op):
        """Header lines and payload, as JSON when it is."""
        out = {}
        if op.header:
            head = self.masks.text(op.header.decode("utf-8", "replace"))
            out["header"] = head.rstrip("\r\n").split("\r\n")
        try:
            value = json.loads(op.data)
            out["data"] = self.masks.value(value) if isinstance(value, (dict, list)) else value
        except ValueError:
            out["data"] = self.masks.text(op.data.decode("utf-8", "replace"))
        return out

    def do_open(self, name):
        self.conns[name] = conn = Raw(self.server.port)
        return self.ops(conn, 1, 3.0)

    def do_login(self, rest):
        name, _, options = rest.partition(" ")
        self.conns[name] = conn = Raw(self.server.port)
        conn.next(3.0)
        connect = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True,
                   "protocol": 1, "lang": "script", "version": "1"} | json.loads(options or "{}")
        conn.send(b"CONNECT " + json.dumps(connect).encode() + b"\r\nPING\r\n")
        return self.ops(conn, 2, 3.0)

    def parts(self, rest):
        """SUBJECT [h{json}] body."""
        subject, _, rest = rest.partition(" ")
        headers = None
        if rest.startswith("h{"):
            headers, end = json.JSONDecoder().raw_decode(rest[1:])
            headers = {k: expand(v).decode() for k, v in headers.items()}
            rest = rest[1 + end:].lstrip(" ")
        return subject, expand(rest), headers

    def request(self, rest, timeout=5.0):
        try:
            return self.body(self.helper.request(*self.parts(rest), timeout=timeout))
        except TimedOut:
            return "(silence)"

    def do_api(self, rest):
        return self.request("$JS.API." + rest)

    def do_req(self, rest):
        return self.request(rest)

    def do_silent(self, rest):
        return self.request(rest, SILENCE)

    def do_pub(self, rest):
        subject, data, headers = self.parts(rest)
        self.helper.publish(subject, data, headers)
        self.helper.flush()

    def do_fill(self, rest):
        count, _, rest = rest.partition(" ")
        for n in range(1, int(count) + 1):
            answer = self.request(rest.replace("%d", str(n)))
        return answer

    def do_pull(self, rest):
        stream, consumer, count, *body = rest.split(" ", 3)
        reply = self.helper.new_inbox()
        data = (body or [""])[0].encode()
        self.helper.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", data, None, reply)
        out, self.pulled = [], []
        while len(out) < int(count):
            try:
                op = self.helper.pull("1", 3.0)
            except TimedOut:
                out.append("(silence)")
                break
            self.pulled.append(op)
            shown = self.op(op)
            shown.pop("sid")
            if not op.status:
                shown["subject"] = self.masks.text(op.subject)
            out.append(shown)
            if op.status[:1] in "45" and op.status:
                break
        return out

    def do_ack(self, rest):
        number, _, payload = rest.partition(" ")
        op = self.pulled[int(number) - 1]
        return self.request(f"{op.reply} {payload}", SILENCE)

    def do_watch(self, subject):
        self.watched.append(self.helper.subscribe(subject))
        self.helper.flush()

    def do_seen(self, count):
        out = []
        end = time.monotonic() + 3.0
        while len(out) < int(count):
            mine = [op for op in self.helper.side if op.sid in self.watched]
            if mine:
                self.helper.side.remove(mine[0])
                out.append({"subject": self.masks.text(mine[0].subject)} | self.body(mine[0]))
                continue
            try:
                self.helper.side.append(self.helper.next(max(0.0, end - time.monotonic())))
            except TimedOut:
                out.append({"subject": "(silence)"})
                break
        return sorted(out, key=lambda o: o["subject"])

    def do_wait(self, rest):
        """`STREAM N` messages, or `STREAM CONSUMER N` pending."""
        *names, count = rest.split()
        kind = "STREAM" if len(names) == 1 else "CONSUMER"
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            info = self.helper.request(f"$JS.API.{kind}.INFO.{'.'.join(names)}").json()
            if info.get("num_pending", info.get("state", {}).get("messages")) == int(count):
                return None
            time.sleep(0.02)
        return f"{rest} is not reached"

    def http(self, path):
        url = f"http://127.0.0.1:{self.server.monitor}{path}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.headers, e.read().decode()

    def do_http(self, path):
        code, headers, text = self.http(path)
        try:
            body = self.masks.value(json.loads(text))
        except ValueError:
            body = self.masks.text(text)
        return {"code": code, "type": headers.get("Content-Type"),
                "cors": headers.get("Access-Control-Allow-Origin"), "body": body}

    def do_shape(self, path):
        code, headers, text = self.http(path)
        body = shape(json.loads(text))
        for name in self.scene.hide:
            forget(body, name)
        return {"code": code, "type": headers.get("Content-Type"), "body": body}


def forget(value, name):
    """Drops a key everywhere."""
    if isinstance(value, dict):
        value.pop(name, None)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        forget(item, name)
