"""What every suite shares: a freshly started server, and one line per check."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("FOREIGN_CACHE", ROOT / ".cache"))


def server_binary():
    """GUST_BINARY, else this workspace's release or debug build."""
    given = os.environ.get("GUST_BINARY")
    if given:
        return str(shutil.which(given) or given)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    for profile in ("release", "debug"):
        if (target / profile / "gust").exists():
            return str(target / profile / "gust")
    sys.exit("no server: set GUST_BINARY or run cargo build --release -p gust-server")


def reference_binary(version="2.15.1"):
    """The installed nats-server of a version, or None."""
    given = os.environ.get("REFERENCE_BINARY") if version == "2.15.1" else None
    if given:
        return given
    found = CACHE / "ref" / version / "bin" / "nats-server"
    return str(found) if found.exists() else None


def is_ours(binary):
    """Whether this workspace's server is tested, not the reference."""
    return Path(binary).name.startswith("gust")


def promises_durable_acks(binary):
    """Whether confirmed acks must survive kill -9 (the reference does not say so)."""
    return is_ours(binary)


def free_port():
    """A port nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server on free ports with a store of its own."""

    def __init__(self, binary=None, config="", jetstream=True, store=None, name="foreign"):
        self.binary = binary or server_binary()
        self.dir = Path(tempfile.mkdtemp(prefix="foreign-"))
        self.store = Path(store) if store else self.dir / "store"
        self.port, self.monitor = free_port(), free_port()
        lines = [
            f"server_name: {name}",
            f"listen: 127.0.0.1:{self.port}",
            f"http: 127.0.0.1:{self.monitor}",
        ]
        if jetstream:
            limits = "max_file: 100GB, max_mem: 1GB"
            lines.append(f'jetstream {{ store_dir: "{self.store}", {limits} }}')
        self.conf = self.dir / "server.conf"
        self.conf.write_text("\n".join(lines) + "\n" + config + "\n")
        self.log = self.dir / "log"
        self.proc = None

    @property
    def url(self):
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self, wait=30.0):
        """Starts the process and waits until it greets."""
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                [self.binary, "-c", str(self.conf)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            if self.proc.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                    s.settimeout(2)
                    if s.recv(5) == b"INFO ":
                        return self
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{self.binary} did not start:\n" + self.log_tail())

    def log_tail(self, lines=20):
        """The end of the server's log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def kill9(self):
        """Ends the process as a power cut of the process would."""
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()

    def stop(self):
        """Ends the process in order."""
        if self.proc and self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(15)
            except subprocess.TimeoutExpired:
                self.kill9()

    def remove(self):
        """Stops and forgets the store."""
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.remove()


class Suite:
    """Prints `ok NAME` or `FAIL NAME: why` and counts."""

    def __init__(self, name):
        self.name = name
        self.passed = self.failed = 0
        self.only = re.compile(os.environ.get("FOREIGN_ONLY", ""))

    def wanted(self, name):
        """FOREIGN_ONLY is a pattern of checks to run."""
        return bool(self.only.search(f"{self.name}/{name}"))

    def ok(self, name):
        """One check passed."""
        self.passed += 1
        print(f"ok {self.name}/{name}", flush=True)

    def fail(self, name, why):
        """One check failed."""
        self.failed += 1
        why = " ".join(str(why).split()) or "no reason given"
        print(f"FAIL {self.name}/{name}: {why[:700]}", flush=True)

    def later(self, name, reason):
        """One check that is not expected to pass yet, and does not."""
        print(f"later {self.name}/{name}: {reason}", flush=True)

    def expected_later(self, name, reason, failures):
        """Reports a check that needs what is not built yet: that it fails is
        right, and that it passes is a reason to take its mark away."""
        if failures or not is_ours(server_binary()):
            self.later(name, reason) if failures else self.ok(name)
        else:
            self.fail(name, f"it passes now; it is still marked as later: {reason}")

    @contextlib.contextmanager
    def check(self, name, later=""):
        """Runs the block as one check; its exception is the reason."""
        why = ""
        try:
            yield
        except (Exception, SystemExit) as e:
            why = f"{type(e).__name__}: {e} ({where(e)})"
        if later:
            self.expected_later(name, later, why)
        elif why:
            self.fail(name, why)
        else:
            self.ok(name)

    def run(self, name, function, *args):
        """A check that is a function."""
        if self.wanted(name):
            with self.check(name):
                function(*args)

    def done(self):
        """Ends the process with the suite's result."""
        sys.exit(1 if self.failed else 0)


def where(error):
    """File and line the reason came from, outside libraries when possible."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if str(ROOT / "tests") in f.filename] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"


def equal(got, want, what="value"):
    """Asserts equality and shows both."""
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def has(text, *parts):
    """Asserts that a text holds each part."""
    for part in parts:
        if part not in text:
            raise AssertionError(f"{part!r} is not in {text[-500:]!r}")


def until(condition, what, seconds=10.0):
    """Polls until the condition holds; returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out waiting until {what}")
        time.sleep(0.02)
