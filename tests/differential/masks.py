"""What may differ between two servers without being a difference."""

import base64
import re

# Values that are another run's: identity, clocks, load, addresses.
HIDDEN = {
    "server_id", "version", "ver", "git_commit", "go", "client_id", "client_ip", "xkey", "nonce",
    "rtt", "cpu", "mem", "cores", "gomaxprocs", "gomemlimit", "uptime", "config_digest", "kernel",
    "_nats.ver", "leader_since", "id", "ack_time", "avg", "idle", "host_id", "raft_group",
}

PATTERNS = [
    (re.compile(r"(?!0001-01-01T00:00:00Z)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"\bN[A-Z2-7]{55}\b"), "<server>"),
    (re.compile(r"\bX[A-Z2-7]{55}\b"), "<xkey>"),
    (re.compile(r"_INBOX\.[0-9a-f]{16}(\.\d+)?"), "<inbox>"),
    (re.compile(r"\b1\d{18}\b"), "<nanos>"),
    (re.compile(r"\b[0-9A-Za-z]{22}\b"), "<nuid>"),
    (re.compile(r"/tmp/foreign-[^/\"]+"), "<dir>"),
    (re.compile(r"(Nats-Stream-Source: [^\r\n]*) \w{8}(?=\r|$)"), r"\1 <id>"),
    (re.compile(r"_R_\.\w{6}\.\w{6}"), "<service reply>"),
    (re.compile(r'"rtt":\d+'), '"rtt":0'),
    (re.compile(r"\$JS\.FC\.(\S+)\.\w+$"), r"$JS.FC.\1.<id>"),
]


class Masks:
    """Masks for one server and one scene."""

    def __init__(self, ports, hide=()):
        self.ports = ports
        self.hide = HIDDEN | set(hide)

    def text(self, text):
        """A text with its changing parts replaced."""
        for pattern, name in PATTERNS:
            text = pattern.sub(name, text)
        for port, name in self.ports.items():
            text = re.sub(rf"\b{port}\b", name, text)
        return text

    def value(self, value, key=""):
        """A JSON value, field by field."""
        if key in self.hide:
            return f"<{key}>"
        if key == "hdrs":
            value = base64.b64decode(value).decode("utf-8", "replace")
        if isinstance(value, dict):
            return {k: self.value(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.value(v, key) for v in value]
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int) and not isinstance(value, bool):
            if value in self.ports:
                return self.ports[value]
            if value > 10**18:
                return "<nanos>"
        return value


def shape(value):
    """Only keys and types; a list shows the shapes that occur in it."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        kinds = []
        for item in value:
            kind = shape(item)
            if kind not in kinds:
                kinds.append(kind)
        return sorted(kinds, key=repr)
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "null" if value is None else "text"


def compare(got, want, path="$"):
    """The differing paths: (path, got, want)."""
    if isinstance(got, dict) and isinstance(want, dict):
        out = []
        for key in sorted({*got, *want}):
            if key not in got:
                out.append((f"{path}.{key}", "(absent)", want[key]))
            elif key not in want:
                out.append((f"{path}.{key}", got[key], "(absent)"))
            else:
                out += compare(got[key], want[key], f"{path}.{key}")
        return out
    if isinstance(got, list) and isinstance(want, list) and len(got) == len(want):
        out = []
        for i, (g, w) in enumerate(zip(got, want)):
            out += compare(g, w, f"{path}[{i}]")
        return out
    same = got == want and isinstance(got, bool) == isinstance(want, bool)
    return [] if same else [(path, got, want)]
