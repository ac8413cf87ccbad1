"""Operator mode as an operator sees it: systems made by nsc from nothing.

The same checks pass against nats-server (GUST_BINARY=nats-server).
"""

import atexit
import http.server
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from harness import CACHE, Server, Suite, equal, free_port, has, is_ours, server_binary, until
from rawnats import Client

suite = Suite("operator")
NSC = os.environ.get("NSC", str(CACHE / "bin" / "nsc"))
NATS = os.environ.get("NATS_CLI", str(CACHE / "bin" / "nats"))

class Operator:
    """One operator with its accounts, in an nsc home of its own."""

    def __init__(self, *flags, port=0):
        self.dir = Path(tempfile.mkdtemp(prefix="operator-"))
        atexit.register(shutil.rmtree, self.dir, True)
        self.env = dict(
            os.environ, HOME=str(self.dir), XDG_CONFIG_HOME=str(self.dir / "config"),
            XDG_DATA_HOME=str(self.dir / "data"), NO_COLOR="1", NSC_NO_GIT_IGNORE="true",
        )
        self.port = port or free_port()
        self("add operator --name OP --sys " + " ".join(flags))
        self.url = f"nats://127.0.0.1:{self.port}"
        self(f"edit operator --service-url {self.url} --account-jwt-server-url {self.url}")

    def __call__(self, line, code=0):
        """Runs nsc; returns all it printed."""
        return self.run(f"{NSC} --all-dirs {self.dir / 'nsc'} {line}", code)

    def run(self, line, code=0, timeout=60):
        """Runs a line of shell in this home."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.dir, env=self.env, timeout=timeout,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        out = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode("utf-8", "replace"))
        if code is not None and done.returncode != code:
            raise AssertionError(f"`{line}` ended with {done.returncode}: {out[-700:]}")
        return out

    def account(self, name, *users):
        """An account with users; returns its key."""
        self(f"add account {name}")
        for user in users:
            self(f"add user --account {name} --name {user}")
        return self.key(name)

    def key(self, name):
        """The public key of an account."""
        return json.loads(self(f"describe account --name {name} --json"))["sub"]

    def jwt(self, name):
        """The token of an account."""
        return self(f"describe account --name {name} --raw").strip()

    def user_jwt(self, account, name):
        """The token of a user."""
        return self(f"describe user --account {account} --name {name} --raw").strip()

    def creds(self, account, user):
        """Path of a file with the credentials of a user."""
        path = self.dir / f"{account}.{user}.creds"
        self(f"generate creds --account {account} --name {user} --output-file {path}")
        return path

    def nats(self, account, user, line, code=0, timeout=60):
        """The nats command line as that user."""
        creds = self.creds(account, user)
        return self.run(f"{NATS} --server {self.url} --creds {creds} {line}", code, timeout)

    def config(self, kind="--nats-resolver"):
        """A server configuration as nsc writes it."""
        return self(f"generate config {kind}")


class Node:
    """A server of an operator. The configuration of nsc names a directory that
    is relative; it gets one of its own."""

    def __init__(self, op, text=None, jetstream=False, more=""):
        self.op = op
        text = op.config() if text is None else text
        self.server = Server(jetstream=jetstream)
        self.server.port = op.port
        self.jwts = self.server.dir / "jwt"
        text = text.replace("'./jwt'", f"'{self.jwts}'")
        conf = self.server.conf.read_text()
        conf = re.sub(r"listen: 127.0.0.1:\d+", f"listen: 127.0.0.1:{op.port}", conf)
        self.server.conf.write_text(conf + text + "\n" + more)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.remove()

    def restart(self, text=None):
        """Stops and starts, with another operator part if given."""
        self.server.stop()
        if text is not None:
            conf = self.server.conf.read_text()
            operator = re.search(r"^operator: .*$", text, re.M).group(0)
            self.server.conf.write_text(re.sub(r"^operator: .*$", operator, conf, flags=re.M))
        self.server.start()

    def monitor(self, path):
        """A monitoring endpoint."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.monitor}{path}") as r:
            return json.load(r)

    def named(self, name, state="open"):
        """Connections of that name."""
        found = self.monitor(f"/connz?state={state}&auth=1&limit=10000")["connections"]
        return [c for c in found if name in c.get("name", "")]

    def hold(self, account, user, name):
        """A client that stays connected; returns when the server knows it."""
        creds = self.op.creds(account, user)
        line = f"{NATS} --server {self.op.url} --creds {creds} --connection-name {name} sub 'held.>'"
        proc = subprocess.Popen(
            ["bash", "-c", "exec " + line], cwd=self.op.dir, env=self.op.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        until(lambda: self.named(name), f"{name} is connected")
        return proc

    def cut(self, name, reason, seconds=2.0):
        """Waits until the client of that name was closed for a reason."""
        closed = until(lambda: self.named(name, "closed"), f"{name} is cut", seconds)
        equal(closed[0]["reason"], reason, "reason")

    def log(self):
        """All it logged."""
        return self.server.log.read_text(errors="replace")


def works(op, account, user):
    """A user may publish and gets answers."""
    out = op.nats(account, user, "request --timeout 5s '$SYS.REQ.USER.INFO' ''")
    has(out, op.key(account))


def refused(op, account, user, timeout=30):
    """A user may not even log in."""
    out = op.nats(account, user, "pub refused x", code=1, timeout=timeout)
    has(out.lower(), "authorization violation")


# --- the system that nsc makes ----------------------------------------------------------


def push_and_pull():
    op = Operator()
    with Node(op) as node:
        a = op.account("A", "alice")
        refused(op, "A", "alice")
        out = op("push --all")
        has(out, "jwt updated", "sys")
        works(op, "A", "alice")
        stored = (node.jwts / f"{a}.jwt").read_text()
        equal(stored.strip().split(".")[1], token(op.jwt("A")).split(".")[1], "stored token")
        # Another home that only knows the operator gets the accounts back.
        op("edit account A --description changed --conns 7")
        op("push --account A")
        has(op("push --account A"), "jwt updated")
        op("edit account A --conns 9")
        has(op("pull --all --overwrite-newer"), "stored account \"A\"")
        claims = json.loads(op("describe account --name A --json"))
        equal(claims["nats"]["limits"]["conn"], 7, "connections after pull")
        listed = op("push --diff")
        has(listed, a)
        # Stored accounts survive a restart.
        node.restart()
        works(op, "A", "alice")


def token(text):
    """The token within what nsc prints."""
    return re.search(r"[\w-]+\.[\w-]+\.[\w-]+", text).group(0)


def publish_and_subscribe():
    op = Operator()
    op.account("A", "alice", "bob")
    op.account("B", "carol")
    with Node(op):
        op("push --all")
        sub = subprocess.Popen(
            ["bash", "-c", f"exec {NATS} --server {op.url} --creds {op.creds('A', 'bob')} "
             "reply help --count 1 'got it'"],
            cwd=op.dir, env=op.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        try:
            def asked():
                out = op.nats("A", "alice", "request --timeout 2s help me", code=None)
                return "got it" in out

            # Another account does not reach it.
            until(asked, "the request is answered", 20)
            out = op.nats("B", "carol", "request --timeout 1s help me", code=None)
            if "got it" in out:
                raise AssertionError("account B heard account A")
        finally:
            sub.kill()
            sub.wait()


def wrong_credentials():
    op = Operator()
    op.account("A", "alice")
    stranger = Operator(port=op.port)
    stranger.account("A", "alice")
    with Node(op) as node:
        op("push --all")
        works(op, "A", "alice")
        refused(stranger, "A", "alice")
        # A token with another user's key.
        op("add user --account A --name mallory")
        good, bad = op.creds("A", "alice").read_text(), op.creds("A", "mallory")
        text = bad.read_text()
        bad.write_text(text.replace(token(text), token(good)))
        out = op.run(f"{NATS} --server {op.url} --creds {bad} pub x y", code=1)
        has(out.lower(), "authorization violation")
        # A changed token.
        changed = token(good).split(".")
        changed[1] = changed[1][:-4] + ("AAAA" if changed[1][-4:] != "AAAA" else "BBBB")
        bad.write_text(good.replace(token(good), ".".join(changed)))
        op.run(f"{NATS} --server {op.url} --creds {bad} pub x y", code=1)
        # Nothing at all.
        out = op.run(f"{NATS} --server {op.url} pub x y", code=1)
        has(out.lower(), "authorization violation")
        # The strangers' system user is no system user here.
        has(stranger("push --all", code=None).lower(), "authorization violation")
        works(op, "A", "alice")
        if is_ours(server_binary()):
            seeds = re.findall(r"S[UAO][A-Z0-9]{56}", node.log())
            equal(seeds, [], "seeds in the log")


# --- changes while it runs ----------------------------------------------------------------


def revoked_users_are_cut():
    op = Operator()
    op.account("A", "alice", "bob")
    with Node(op) as node:
        op("push --all")
        alice, bob = node.hold("A", "alice", "hold-a"), node.hold("A", "bob", "hold-b")
        try:
            op.creds("A", "alice")
            op("revocations add-user --account A --name alice")
            op("push --account A")
            node.cut("hold-a", "Credentials Revoked")
            equal(len(node.named("hold-b")), 1, "bob")
            refused(op, "A", "alice")
            works(op, "A", "bob")
        finally:
            alice.kill(), bob.kill()


def limits_change_live():
    op = Operator()
    op.account("A", "alice", "bob")
    with Node(op) as node:
        op("push --all")
        held = node.hold("A", "alice", "hold")
        try:
            op("edit account A --conns 1")
            op("push --account A")
            out = op.nats("A", "bob", "pub x y", code=1)
            has(out.lower(), "maximum account active connections exceeded")
            op("edit account A --conns -1 --payload 64")
            op("push --account A")
            works_until(lambda: op.nats("A", "bob", "pub x y", code=None), "Published")
            out = op.nats("A", "bob", f"pub x {'y' * 100}", code=None)
            has(out.lower(), "maximum payload")
        finally:
            held.kill()


def works_until(run, wanted, seconds=10):
    """Repeats a command until it prints something."""
    return until(lambda: wanted in (out := run()) and out, f"it says {wanted}", seconds)


def account_signing_keys():
    op = Operator()
    op.account("A", "identity")
    op("edit account A --sk generate")
    op("add user --account A --name bykey -K " + signing_key(op, "A"))
    with Node(op) as node:
        op("push --all")
        works(op, "A", "bykey")
        works(op, "A", "identity")
        held = node.hold("A", "bykey", "hold")
        try:
            old = signing_key(op, "A")
            op(f"edit account A --rm-sk {old} --sk generate")
            op("push --account A")
            until(lambda: not node.named("hold"), "the user of the old key is cut", 3)
            refused(op, "A", "bykey")
            works(op, "A", "identity")
            op("add user --account A --name again -K " + signing_key(op, "A"))
            works(op, "A", "again")
        finally:
            held.kill()


def signing_key(op, account):
    """The one signing key of an account."""
    keys = json.loads(op(f"describe account --name {account} --json"))["nats"]["signing_keys"]
    return keys[0] if isinstance(keys[0], str) else keys[0]["key"]


def operator_signing_keys():
    op = Operator()
    op.account("A", "alice")
    with Node(op) as node:
        op("push --all")
        works(op, "A", "alice")
        op("edit operator --sk generate")
        key = json.loads(op("describe operator --json"))["nats"]["signing_keys"][0]
        # The server does not know the key yet: it stores the token, but goes on
        # with what it had.
        op(f"edit account A --tag new -K {key}")
        op("push --account A")
        works(op, "A", "alice")
        node.restart(op.config())
        works(op, "A", "alice")
        op.account("B", "bob")
        op("push --account B")
        works(op, "B", "bob")


def strict_operators():
    op = Operator("--generate-signing-key")
    op("edit operator --require-signing-keys")
    op("add account A")
    op("edit account A --sk generate")
    op("add user --account A --name alice -K " + signing_key(op, "A"))
    with Node(op) as node:
        op("push --all")
        works(op, "A", "alice")
        # The identity key may sign no accounts, wherever they come from.
        identity = json.loads(op("describe operator --json"))["sub"]
        weak = Operator(port=op.port)
        weak.account("A", "alice")
        (op.dir / "weak.jwt").write_text(token(weak.jwt("A")))
        has(identity, "O")
        out = op.nats("SYS", "sys", "request --timeout 5s '$SYS.REQ.CLAIMS.UPDATE' \"$(cat weak.jwt)\"")
        has(out, "jwt updated")
        refused(weak, "A", "alice")
        equal(node.monitor("/varz")["connections"], 0, "connections")


def deleted_accounts():
    op = Operator()
    op.account("A", "alice")
    a, b = op.key("A"), op.account("B", "bob")
    config = op.config().replace("allow_delete: false", "allow_delete: true")
    with Node(op, config) as node:
        op("push --all")
        alice, bob = node.hold("A", "alice", "hold-a"), node.hold("B", "bob", "hold-b")
        try:
            has(op(f"push --account-removal {a}"), "deleted 1 accounts")
            node.cut("hold-a", "Authentication Expired")
            refused(op, "A", "alice")
            equal((node.jwts / f"{a}.jwt").exists(), False, "file")
            equal((node.jwts / f"{a}.jwt.deleted").exists(), True, "renamed file")
            equal(len(node.named("hold-b")), 1, "bob")
            # It may come back; with nats-server only as a new token.
            if not is_ours(server_binary()):
                op("edit account A --tag back")
            op("push --account A")
            works(op, "A", "alice")
            op.creds("B", "bob")
            op("delete account B")
            has(op("push --prune --all"), "deleted 1 accounts")
            node.cut("hold-b", "Authentication Expired")
            equal((node.jwts / f"{b}.jwt").exists(), False, "file of B")
            works(op, "A", "alice")
        finally:
            alice.kill(), bob.kill()
    with Node(op) as node:
        op("push --all")
        has(op(f"push --account-removal {a}", code=None), "delete must be enabled in server config")
        works(op, "A", "alice")


# --- kinds of users -----------------------------------------------------------------------


def scoped_signing_keys():
    op = Operator()
    op.account("A")
    op("edit signing-key --account A --role team --sk generate --subs 3 "
       "--allow-pub 'out.{{name()}}.>' --allow-sub 'in.{{name()}}.>' --allow-sub '_INBOX.>' "
       "--allow-pub '$SYS.REQ.USER.INFO'")
    op("add user --account A --name dora -K team")
    with Node(op):
        op("push --all")
        works(op, "A", "dora")
        has(op.nats("A", "dora", "pub out.dora.x hi"), "Published")
        out = op.nats("A", "dora", "pub out.emil.x hi", code=None)
        has(out.lower(), "permissions violation")
        out = op.nats("A", "dora", "sub in.emil.x --count 1 --wait 1s", code=None)
        has(out.lower(), "permissions violation")
        # What the role may do changes without a new token.
        op("edit signing-key --account A --sk team --allow-pub 'out.emil.>'")
        op("push --account A")
        works_until(lambda: op.nats("A", "dora", "pub out.emil.x hi", code=None), "Published")


def bearer_users():
    op = Operator()
    op.account("A")
    op("add user --account A --name bea --bearer")
    op("add user --account A --name noah")
    with Node(op) as node:
        op("push --all")
        bearer, other = op.user_jwt("A", "bea"), op.user_jwt("A", "noah")
        client = Client(op.port, jwt=token(bearer))
        client.publish("x", b"y")
        client.flush()
        client.close()
        denied(op.port, token(other))
        equal(token(bearer) in node.log(), False, "a bearer token in the log")


def denied(port, jwt):
    """A client with this token and no signature is refused."""
    try:
        client = Client(port, jwt=jwt)
        client.flush()
    except Exception as e:
        if "authorization violation" not in str(e).lower():
            raise
        return
    raise AssertionError("it was let in")


# --- other resolvers ----------------------------------------------------------------------


def memory_resolver():
    op = Operator()
    a = op.account("A", "alice")
    text = op.config("--mem-resolver")
    op.account("B", "bob")
    with Node(op, text) as node:
        works(op, "A", "alice")
        refused(op, "B", "bob")
        # Updates reach accounts that are loaded, until the next start.
        held = node.hold("A", "alice", "hold")
        try:
            op.creds("A", "alice")
            op("revocations add-user --account A --name alice")
            (op.dir / "a.jwt").write_text(token(op.jwt("A")))
            out = op.nats("SYS", "sys", f"request --timeout 5s '$SYS.REQ.ACCOUNT.{a}.CLAIMS.UPDATE' "
                          "\"$(cat a.jwt)\"")
            has(out, "jwt updated", a)
            node.cut("hold", "Credentials Revoked")
        finally:
            held.kill()
        b = op.key("B")
        (op.dir / "b.jwt").write_text(token(op.jwt("B")))
        out = op.nats("SYS", "sys", f"request --timeout 5s '$SYS.REQ.ACCOUNT.{b}.CLAIMS.UPDATE' "
                      "\"$(cat b.jwt)\"")
        has(out, "jwt update skipped")
        refused(op, "B", "bob")


class Web(http.server.BaseHTTPRequestHandler):
    """Serves tokens by account key, like an account server."""

    tokens, asked = {}, []

    def do_GET(self):
        name = self.path.rsplit("/", 1)[1]
        Web.asked.append(name)
        body = Web.tokens.get(name, "") if name else "here"
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def url_resolver():
    op = Operator()
    a = op.account("A", "alice")
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    sys = op.key("SYS")
    Web.tokens = {sys: token(op.jwt("SYS")), a: token(op.jwt("A"))}
    operator = re.search(r"^operator: .*$", op.config(), re.M).group(0)
    base = f"http://127.0.0.1:{web.server_port}/jwt/v1/accounts/"
    text = f'{operator}\nsystem_account: {sys}\nresolver: URL("{base}")\n'
    with Node(op, text) as node:
        works(op, "A", "alice")
        works(op, "A", "alice")
        equal(Web.asked.count(a), 1, "requests for A")
        op.account("B", "bob")
        began = time.monotonic()
        refused(op, "B", "bob")
        if time.monotonic() - began > 10:
            raise AssertionError("the refusal took too long")
        Web.tokens[op.key("B")] = token(op.jwt("B"))
        time.sleep(1.1)
        works(op, "B", "bob")
        # The wrong account's token does not help.
        c = op.account("C", "carl")
        Web.tokens[c] = token(op.jwt("A"))
        refused(op, "C", "carl")
        out = op.nats("SYS", "sys", f"request --timeout 5s '$SYS.REQ.ACCOUNT.{a}.CLAIMS.UPDATE' "
                      f"'{token(op.jwt('A'))}'")
        has(out, "jwt updated")
        web.shutdown()
        web.server_close()
        works(op, "A", "alice")
        node.server.stop()
        try:
            node.server.start(wait=8)
        except RuntimeError as e:
            has(str(e), "could not fetch")
        else:
            raise AssertionError("it started without its account server")


def https_resolver():
    op = Operator()
    a = op.account("A", "alice")
    sys = op.key("SYS")
    Web.tokens = {sys: token(op.jwt("SYS")), a: token(op.jwt("A"))}
    for name in ("web", "other"):
        op.run(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
               f"-subj /CN={name} -addext subjectAltName=IP:127.0.0.1 "
               "-addext basicConstraints=CA:FALSE "
               f"-keyout {name}.key -out {name}.pem")
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(op.dir / "web.pem", op.dir / "web.key")
    web.socket = context.wrap_socket(web.socket, server_side=True)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    operator = re.search(r"^operator: .*$", op.config(), re.M).group(0)
    text = f'{operator}\nresolver: URL("https://127.0.0.1:{web.server_port}/jwt/v1/accounts")\n'
    with Node(op, text + f"resolver_tls {{ ca_file: '{op.dir}/web.pem' }}\n"):
        works(op, "A", "alice")
    for wrong in ("", f"resolver_tls {{ ca_file: '{op.dir}/other.pem' }}\n"):
        try:
            with Node(op, text + wrong):
                raise AssertionError("it believed a stranger")
        except RuntimeError as e:
            has(str(e), "could not fetch")
    web.shutdown()
    web.server_close()


def cache_resolver():
    op = Operator()
    a = op.account("A", "alice")
    op.account("B", "bob")
    text = op.config("--nats-resolver-cache")
    with Node(op, text) as node:
        node.jwts.mkdir(exist_ok=True)
        (node.jwts / f"{a}.jwt").write_text(token(op.jwt("A")))
        works(op, "A", "alice")
        refused(op, "B", "bob")
        op("edit account A --conns 5")
        (op.dir / "a.jwt").write_text(token(op.jwt("A")))
        update = f"request --timeout 5s '$SYS.REQ.ACCOUNT.{a}.CLAIMS.UPDATE' \"$(cat a.jwt)\""
        has(op.nats("SYS", "sys", update), "jwt updated cache")
        equal((node.jwts / f"{a}.jwt").read_text(), token(op.jwt("A")), "cached token")
        b = op.key("B")
        (op.dir / "a.jwt").write_text(token(op.jwt("B")))
        has(op.nats("SYS", "sys", update.replace(a, b)), "jwt update cache skipped")


# --- JetStream ------------------------------------------------------------------------------


def jetstream_limits():
    op = Operator()
    op.account("A", "alice")
    op.account("N", "nora")
    op("edit account A --js-disk-storage 10M --js-mem-storage 1M --js-streams 2 --js-consumer 5")
    with Node(op, jetstream=True) as node:
        op("push --all")
        out = op.nats("A", "alice", "account info")
        has(out, "of 9.5 MiB", "0 of 2", "of 977 KiB")
        op.nats("A", "alice", "stream add S1 --subjects 's1.>' --defaults")
        op.nats("A", "alice", "stream add S2 --subjects 's2.>' --defaults")
        out = op.nats("A", "alice", "stream add S3 --subjects 's3.>' --defaults", code=None)
        has(out.lower(), "maximum number of streams reached")
        has(op.nats("N", "nora", "account info", code=None).lower(), "jetstream")
        op.nats("N", "nora", "stream add S --subjects 's.>' --defaults", code=1)
        # More is allowed at once.
        op("edit account A --js-streams 3 --js-disk-storage 10M --js-mem-storage 1M")
        op("push --account A")
        op.nats("A", "alice", "stream add S3 --subjects 's3.>' --defaults")
        op.nats("A", "alice", "pub s1.x --count 20 hello")
        # Streams of accounts are there after a restart.
        node.restart()
        out = op.nats("A", "alice", "stream info S1 --json")
        equal(json.loads(out)["state"]["messages"], 20, "messages")
        # Without JetStream the account keeps its data and cannot reach it.
        op("edit account A --js-disable")
        op("push --account A")
        op.nats("A", "alice", "stream info S1 --json", code=1)
        op("edit account A --js-streams 3 --js-disk-storage 10M --js-mem-storage 1M")
        op("push --account A")
        works_until(lambda: op.nats("A", "alice", "stream info S1 --json", code=None), "20")


def jetstream_tiers():
    op = Operator()
    op.account("A", "alice")
    op("edit account A --js-tier 1 --js-disk-storage 10M --js-mem-storage 1M --js-streams 1")
    op("edit account A --js-tier 3 --js-disk-storage 5M --js-mem-storage 1M --js-streams 1")
    with Node(op, jetstream=True):
        op("push --all")
        out = op.nats("A", "alice", "account info")
        has(out, "Tier: R1", "Tier: R3")
        op.nats("A", "alice", "stream add S1 --subjects 's1.>' --defaults")
        out = op.nats("A", "alice", "stream add S2 --subjects 's2.>' --defaults", code=None)
        has(out.lower(), "maximum number of streams reached")


# --- operators of the nats command line --------------------------------------------------------


def nats_auth():
    op = Operator()

    def nats(line, user="root", code=0):
        login = f"--server {op.url} --creds {user}.creds"
        return op.run(f"{NATS} {login if user else ''} {line}", code)

    nats(f"auth operator add OX --no-signing-key --service {op.url} --account-server {op.url}", "")
    nats("auth account add ALPHA --operator OX --defaults --jetstream --js-disk 10MB "
         "--js-streams 2 --js-consumers 10 --js-memory 1MB", "")
    nats("auth user add ann ALPHA --operator OX --defaults --credential ann.creds", "")
    nats("auth user add root SYSTEM --operator OX --defaults --credential root.creds", "")
    # The operator comes from a file, and the system account's token is missing.
    path = op.dir / "data/nats/nsc/stores/OX/OX.jwt"
    text = f"operator: '{path}'\nresolver: {{ type: full, dir: './jwt' }}\n"
    with Node(op, text, jetstream=True) as node:
        has(nats("pub x y", "ann", code=1).lower(), "authorization violation")
        for account in ("SYSTEM", "ALPHA"):
            has(nats(f"auth account push {account} --operator OX"), "Update completed")
        equal(len(list(node.jwts.glob("*.jwt"))), 2, "stored tokens")
        has(nats("pub x y", "ann"), "Published")
        has(nats("account info", "ann"), "of 10 MiB", "0 of 2")
        has(nats("auth account query ALPHA --operator OX"), "ALPHA", "Maximum Streams: 2")
        has(nats("server list"), "foreign")
        nats("auth user add bob ALPHA --operator OX --defaults --credential bob.creds", "")
        has(nats("pub x y", "bob"), "Published")
        nats("auth user rm bob ALPHA --operator OX --force --revoke", "", code=None)
        nats("auth account push ALPHA --operator OX")
        out = nats("pub x y", "bob", code=None).lower()
        has(out, "authorization violation")
        has(nats("pub x y", "ann"), "Published")


suite.run("push and pull", push_and_pull)
suite.run("publish and subscribe", publish_and_subscribe)
suite.run("wrong credentials", wrong_credentials)
suite.run("revoked users are cut", revoked_users_are_cut)
suite.run("limits change live", limits_change_live)
suite.run("account signing keys", account_signing_keys)
suite.run("operator signing keys", operator_signing_keys)
suite.run("strict operators", strict_operators)
suite.run("deleted accounts", deleted_accounts)
suite.run("scoped signing keys", scoped_signing_keys)
suite.run("bearer users", bearer_users)
suite.run("memory resolver", memory_resolver)
suite.run("url resolver", url_resolver)
suite.run("https resolver", https_resolver)
suite.run("cache resolver", cache_resolver)
suite.run("jetstream limits", jetstream_limits)
suite.run("jetstream tiers", jetstream_tiers)
suite.run("nats auth", nats_auth)
suite.done()
