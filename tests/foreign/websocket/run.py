"""WebSocket clients: the checks of checks.mjs in Node and in a page of headless
Chromium, which is served here and posts what came out back."""

import http.server
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import CACHE, Server, free_port  # noqa: E402

WORK = CACHE / "websocket"
LIMIT = 240
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
USERS = """
authorization { users: [
  { user: web, password: w, allowed_connection_types: [WEBSOCKET]
    permissions { publish: ["node.>", "browser.>", "_INBOX.>"] } }
  { user: tcp, password: t, allowed_connection_types: [STANDARD] } ] }
"""


def certificate(folder):
    """A certificate for 127.0.0.1 that signs itself."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-keyout", f"{folder}/key.pem",
         "-addext", "subjectAltName=IP:127.0.0.1", "-out", f"{folder}/cert.pem"],
        check=True, capture_output=True,
    )
    return f'tls {{ cert_file: "{folder}/cert.pem", key_file: "{folder}/key.pem" }}'


def listener(port, how):
    """One WebSocket listener with the users of all checks."""
    return f"websocket {{ listen: \"127.0.0.1:{port}\", compression: true\n{how} }}\n{USERS}"


class Page(http.server.BaseHTTPRequestHandler):
    """The page, its script, its task, and the box for its reports."""

    script = task = b""
    reports = queue.Queue()

    def do_GET(self):
        """Everything the page asks for."""
        page = b'<!doctype html><title>checks</title><script type="module" src="/page.js"></script>'
        kinds = {
            "/": ("text/html", page),
            "/page.js": ("text/javascript", self.script),
            "/task": ("application/json", self.task),
        }
        kind, body = kinds.get(self.path, ("text/plain", b""))
        self.answer(200 if self.path in kinds else 404, kind, body)

    def do_POST(self):
        """A line of the page's report."""
        line = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.reports.put(line)
        self.answer(204, "text/plain", b"")

    def answer(self, status, kind, body):
        """Status, type, body."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing: the checks report."""


def in_browser(browser, site):
    """Opens the page and prints what it reports."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        proc = subprocess.Popen(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--ignore-certificate-errors", "--disable-dev-shm-usage",
             f"--user-data-dir={profile}", site],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        errors = threading.Thread(target=proc.stderr.read, daemon=True)
        errors.start()
        failed = False
        try:
            while (line := Page.reports.get(timeout=LIMIT)) != "done":
                print(line, flush=True)
                failed |= line.startswith("FAIL")
        except queue.Empty:
            print(f"FAIL websocket/browser: the page says nothing for {LIMIT} s", flush=True)
            failed = True
        finally:
            proc.terminate()
            proc.wait(20)
    return failed


def main():
    """Three listeners: as it should be, with TLS, and for another origin."""
    for name in ("checks.mjs", "node.mjs", "page.mjs"):
        shutil.copy(HERE / name, WORK / name)
    bundle = ["node_modules/.bin/esbuild", "page.mjs", "--bundle", "--format=esm",
              "--target=es2022", "--log-level=warning", "--outfile=page.js"]
    subprocess.run(bundle, cwd=WORK, check=True, timeout=120)
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{site.server_address[1]}"
    folder = tempfile.mkdtemp(prefix="foreign-")
    ports = [free_port() for _ in range(3)]
    allowed = f'allowed_origins: ["{origin}"]'
    cookies = 'user_cookie: "nats_user", pass_cookie: "nats_pass"'
    blocks = [
        f"no_tls: true, {allowed}, {cookies}",
        f"{allowed}\n{certificate(folder)}",
        'no_tls: true, allowed_origins: ["https://other.example"]',
    ]
    plain, secure, foreign = (
        Server(config=listener(port, how), jetstream=False, name="websocket")
        for port, how in zip(ports, blocks)
    )
    urls = {
        "plain": f"ws://127.0.0.1:{ports[0]}",
        "secure": f"wss://127.0.0.1:{ports[1]}",
        "foreign": f"ws://127.0.0.1:{ports[2]}",
    }
    Page.script = (WORK / "page.js").read_bytes()
    Page.task = json.dumps({"urls": urls, "only": os.environ.get("FOREIGN_ONLY")}).encode()
    try:
        with plain, secure, foreign:
            env = dict(os.environ, URLS=json.dumps(urls),
                       NODE_EXTRA_CA_CERTS=f"{folder}/cert.pem")
            node = subprocess.run(["node", "node.mjs"], cwd=WORK, env=env, timeout=LIMIT)
            failed = node.returncode != 0
            browser = next((b for b in map(shutil.which, BROWSERS) if b), None)
            if browser:
                failed |= in_browser(browser, origin + "/")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
