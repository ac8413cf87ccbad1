"""TLS as an operator sees it through the real `nats` command line.

Every login is tried over TLS, every refusal is read as the command line words
it. The same checks pass against nats-server (GUST_BINARY=nats-server).
"""

import atexit
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from harness import CACHE, Server, Suite, equal, free_port, has, is_ours, server_binary, until

suite = Suite("tls")
NATS = os.environ.get("NATS_CLI", str(CACHE / "bin" / "nats"))
NSC = os.environ.get("NSC", str(CACHE / "bin" / "nsc"))
HOME = Path(tempfile.mkdtemp(prefix="tls-"))
atexit.register(shutil.rmtree, HOME, True)
ENV = dict(
    os.environ, HOME=str(HOME), XDG_CONFIG_HOME=str(HOME / "config"),
    XDG_DATA_HOME=str(HOME / "data"), NO_COLOR="1", NSC_NO_GIT_IGNORE="true",
)
ENV["PATH"] = f"{Path(NATS).parent}:{ENV['PATH']}"
OURS = is_ours(server_binary())


def shell(line, code=0, timeout=30):
    """Runs a line of shell in the suite's home; returns all it printed."""
    done = subprocess.run(
        ["bash", "-c", line], cwd=HOME, env=ENV, timeout=timeout,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    out = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode("utf-8", "replace"))
    if code is not None and done.returncode != code:
        raise AssertionError(f"`{line}` ended with {done.returncode}: {out[-700:]}")
    return out


# --- certificates ---------------------------------------------------------------------------

KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


def authority(name):
    """A certificate authority; `<name>.pem` and `<name>.key`."""
    shell(f"openssl req -x509 {KEY} -days 30 -subj '/O=Foreign/CN={name}' "
          f"-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign "
          f"-keyout {name}.key -out {name}.pem")


def certificate(name, subject, usage, names="", by="ca", days=30):
    """A certificate of an authority; `<name>.pem` and `<name>.key`."""
    extensions = f"extendedKeyUsage={usage}\n" + (f"subjectAltName={names}\n" if names else "")
    (HOME / f"{name}.ext").write_text(extensions)
    shell(f"openssl req {KEY} -subj '{subject}' -keyout {name}.key -out {name}.csr && "
          f"openssl x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial "
          f"-days {days} -extfile {name}.ext -out {name}.pem")


def expired(name, subject):
    """A client's certificate that ended yesterday."""
    (HOME / "db.txt").write_text("")
    (HOME / "db.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=db.txt\nrand_serial=yes\ndefault_md=sha256\n"
        "policy=p\nnew_certs_dir=.\n[p]\nO=optional\nCN=supplied\n")
    (HOME / f"{name}.ext").write_text("extendedKeyUsage=clientAuth\n")
    shell(f"openssl req {KEY} -subj '{subject}' -keyout {name}.key -out {name}.csr && "
          f"openssl ca -batch -config db.cnf -in {name}.csr -cert ca.pem -keyfile ca.key "
          f"-startdate 20200101000000Z -enddate 20200201000000Z -extfile {name}.ext "
          f"-notext -out {name}.pem")


def make_certificates():
    """All that the checks use."""
    authority("ca")
    authority("stranger")
    local = "IP:127.0.0.1,DNS:localhost"
    certificate("server", "/O=Foreign/CN=server", "serverAuth", local)
    certificate("fresh", "/O=Foreign/CN=fresh", "serverAuth", local, by="stranger")
    certificate("elsewhere", "/O=Foreign/CN=elsewhere", "serverAuth", "DNS:elsewhere.example")
    certificate("alice", "/O=Foreign/CN=alice", "clientAuth", "email:alice@example.com")
    certificate("bob", "/O=Foreign/OU=Ops/CN=bob", "clientAuth")
    certificate("carol", "/O=Foreign/CN=carol", "clientAuth")
    certificate("mallory", "/O=Foreign/CN=alice", "clientAuth", "email:alice@example.com",
                by="stranger")
    certificate("notclient", "/O=Foreign/CN=notclient", "serverAuth")
    expired("old", "/O=Foreign/CN=old")


def spki(name):
    """What a certificate is pinned by: the digest of its public key."""
    return shell(f"openssl x509 -in {name}.pem -pubkey -noout | "
                 "openssl pkey -pubin -outform der | sha256sum").split()[0]


def tls(more="", cert="server", ca="ca"):
    """A `tls` block."""
    return (f'tls {{ cert_file: "{HOME}/{cert}.pem", key_file: "{HOME}/{cert}.key", '
            f'ca_file: "{HOME}/{ca}.pem"{", " + more if more else ""} }}\n')


def identity(name):
    """The flags of a client with a certificate."""
    return f"--tlscert {name}.pem --tlskey {name}.key"


# --- servers --------------------------------------------------------------------------------

class Node(Server):
    """A server whose greeting may come after the handshake only."""

    def __init__(self, config, jetstream=False, first=False):
        super().__init__(config=config, jetstream=jetstream, name="tls-node")
        self.first = first

    def start(self, wait=30.0):
        if not self.first:
            return super().start(wait)
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                [self.binary, "-c", str(self.conf)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        until(lambda: self.proc.poll() is not None or opens(self.port), "the port is open", wait)
        if self.proc.poll() is not None:
            raise RuntimeError("it did not start:\n" + self.log_tail())
        return self

    def nats(self, line, code=0, ca="ca", url=None):
        """The command line against this server, which it believes."""
        ca = f"--tlsca {ca}.pem " if ca else ""
        return shell(f"nats --timeout 3s -s {url or self.url} {ca}{line}", code)

    def works(self, flags="", **more):
        """A message is published with these flags; the server confirms it."""
        has(self.nats(f"{flags} pub a.probe x", **more), "Published")

    def refused(self, flags, *texts, **more):
        """No connection, and the command line says why: one of the texts."""
        out = self.nats(f"{flags} pub a.probe x", code=1, **more)
        if not any(text in out for text in texts):
            raise AssertionError(f"none of {texts} is in {out[-500:]!r}")

    def log_has(self, text):
        """Our log names the check that refused; the reference words it in its way."""
        if OURS:
            until(lambda: text in self.log.read_text(errors="replace"), f"the log says {text!r}")

    def monitor_doc(self, path):
        """A monitoring document."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}{path}") as r:
            return json.load(r)

    def hold(self, flags, name, subject="held"):
        """A client that stays; returns its process and what /connz says of it."""
        proc = subprocess.Popen(
            ["bash", "-c", f"exec nats -s {self.url} --tlsca ca.pem {flags} "
             f"--connection-name {name} sub {subject}"],
            cwd=HOME, env=ENV, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        found = lambda: [c for c in self.monitor_doc("/connz?auth=1&subs=1")["connections"]
                         if name in c.get("name", "") and c["subscriptions"] > 0]
        return proc, until(found, f"{name} is connected")[0]


def opens(port):
    """Whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        time.sleep(0.02)
        return False


def end(proc):
    """Ends a client that was held."""
    proc.terminate()
    proc.wait(10)


# --- checks ---------------------------------------------------------------------------------

UNKNOWN_CA = "x509: certificate signed by unknown authority"
# The server ends the connection while the command line already writes. Ours
# waits until its alert is read; the reference may not.
RACE = () if OURS else ("connection closed by remote after TLS handshake",)
NO_CERTIFICATE = ("tls: certificate required", *RACE)


def server_is_believed():
    with Node(tls()) as node:
        node.works()
        node.works(url=f"tls://localhost:{node.port}")
        out = node.nats("account tls")
        has(out, "CN=server", "BEGIN CERTIFICATE")
        has(node.nats("server check connection"), "OK Connection")
        proc, seen = node.hold("", "plain-tls")
        has(seen["tls_version"], "1.3")
        has(seen["tls_cipher_suite"], "TLS_")
        end(proc)


def server_is_not_believed():
    with Node(tls()) as node:
        node.refused("", UNKNOWN_CA, ca="stranger")
        node.refused("", UNKNOWN_CA, ca=None)
        node.works()
    with Node(tls(cert="elsewhere")) as node:
        node.refused("", "x509:", "cannot validate certificate for 127.0.0.1")
        node.refused("", "certificate is valid for elsewhere.example, not localhost",
                     url=f"tls://localhost:{node.port}")
    with Node("") as node:
        node.refused("", "secure connection not available", url=f"tls://127.0.0.1:{node.port}",
                     ca=None)


def mutual_tls():
    with Node(tls("verify: true")) as node:
        node.works(identity("alice"))
        proc, seen = node.hold(identity("alice"), "with-cert")
        has(seen["tls_peer_certs"][0]["subject"], "CN=alice")
        equal(seen["tls_peer_certs"][0]["spki_sha256"], spki("alice"), "digest in /connz")
        end(proc)
        node.refused("", *NO_CERTIFICATE)
        # The command line does not even show a certificate of another authority
        # than those the server names.
        node.refused(identity("mallory"), *NO_CERTIFICATE)
        node.refused(identity("old"), "tls: expired certificate", *RACE)
        node.refused(identity("notclient"), "tls: bad certificate",
                     "tls: unsupported certificate", *RACE)
        node.works(identity("bob"))
        node.log_has("TLS handshake error")


def users_by_certificate():
    users = """authorization { users: [
      { user: "alice@example.com", permissions: { publish: "a.>", subscribe: ["a.>", "_INBOX.>"] } }
      { user: "CN=bob,OU=Ops,O=Foreign" }
    ] }\n"""
    with Node(users + tls("verify_and_map: true")) as node:
        node.works(identity("bob"))
        proc, seen = node.hold(identity("alice"), "mapped", "a.held")
        equal(seen["authorized_user"], "alice@example.com", "user")
        end(proc)
        out = node.nats(f"{identity('alice')} pub b.1 x", code=None)
        has(out, 'Permissions Violation for Publish to "b.1"')
        node.nats(f"{identity('alice')} pub a.1 x")
        node.refused(identity("carol"), "Authorization Violation")
        node.refused("", *NO_CERTIFICATE)
        node.refused(identity("mallory"), *NO_CERTIFICATE)
        node.log_has("CN=carol")


def handshake_first():
    with Node(tls("handshake_first: true"), first=True) as node:
        node.works("--tlsfirst")
        # Both wait for the other to begin, until the handshake's time is over.
        node.refused("", "i/o timeout", "EOF", "INFO not received")
    with Node(tls('handshake_first: "200ms"')) as node:
        node.works("--tlsfirst")
        node.works()
    with Node(tls()) as node:
        node.refused("--tlsfirst", "first record does not look like a TLS handshake")
        node.works()


def pinned_certificates():
    pins = f'verify: true, pinned_certs: ["{spki("alice")}"]'
    with Node(tls(pins)) as node:
        node.works(identity("alice"))
        node.refused(identity("bob"), "EOF", "connection reset", "broken pipe", "tls:",
                     "Authorization Violation")
        node.log_has("pinned")
        node.works(identity("alice"))


def passwords_and_tokens():
    with Node('authorization { user: "ann", password: "s3cr3t" }\n' + tls()) as node:
        node.works("--user ann --password s3cr3t")
        node.works(url=f"tls://ann:s3cr3t@127.0.0.1:{node.port}")
        node.refused("--user ann --password wrong", "Authorization Violation")
        node.refused("", "Authorization Violation")
    with Node('authorization { token: "t0k3n" }\n' + tls()) as node:
        node.works("--token t0k3n")
        node.refused("--token other", "Authorization Violation")
        log = node.log.read_text()
        equal("t0k3n" in log, False, "the token is in the log")


def nkeys():
    for name in ("nk", "other"):
        shell(f"nats auth nkey gen user > {name}.seed")
    public = shell("nats auth nkey show nk.seed").split()[-1]
    with Node(f"authorization {{ users: [ {{ nkey: {public} }} ] }}\n" + tls()) as node:
        node.works("--nkey nk.seed")
        node.refused("--nkey other.seed", "Authorization Violation")
        node.refused("", "Authorization Violation")
    # A key and a certificate, both asked for.
    with Node(f"authorization {{ users: [ {{ nkey: {public} }} ] }}\n" + tls("verify: true")) as node:
        node.works(f"--nkey nk.seed {identity('carol')}")
        node.refused("--nkey nk.seed", *NO_CERTIFICATE)


def credentials():
    nsc = f"{NSC} --all-dirs {HOME}/nsc "
    shell(f"{nsc} add operator --name OP --sys && {nsc} add account A && "
          f"{nsc} add user --account A --name ann && {nsc} add account B && "
          f"{nsc} add user --account B --name eve && "
          f"{nsc} generate creds --account A --name ann --output-file ann.creds && "
          f"{nsc} generate creds --account B --name eve --output-file eve.creds && "
          f"{nsc} delete account B --force && "
          f"{nsc} generate config --mem-resolver --config-file resolver.conf")
    with Node((HOME / "resolver.conf").read_text() + "\n" + tls()) as node:
        node.works("--creds ann.creds")
        has(node.nats("--creds ann.creds account info"), "ann")
        node.refused("--creds eve.creds", "Authorization Violation")
        node.refused("", "Authorization Violation")


def stores():
    with Node(tls("verify: true"), jetstream=True) as node:
        nats = lambda line: node.nats(f"{identity('alice')} {line}")
        has(nats("stream add EVENTS --subjects 'events.>' --defaults"), "Stream EVENTS was created")
        nats("pub events.a hello --count 500")
        nats("consumer add EVENTS c --pull --defaults")
        has(nats("stream info EVENTS"), "Messages: 500")
        equal(nats("consumer next EVENTS c --count 500 --raw --ack").count("hello"), 500, "messages")
        nats("kv add CFG --history 3")
        nats("kv put CFG a one")
        nats("kv put CFG a two")
        equal(nats("kv get CFG a --raw").strip(), "two", "value")
        has(nats("kv history CFG a"), "one", "two")
        nats("object add FILES")
        (HOME / "big.bin").write_bytes(os.urandom(3 << 20))
        nats("object put FILES big.bin --force --no-progress")
        nats("object get FILES big.bin --output back.bin --force --no-progress")
        shell("cmp big.bin back.bin")


def websocket():
    port = free_port()
    block = tls("verify: true").strip()
    with Node(f"websocket {{ listen: 127.0.0.1:{port}\n {block} }}\n" + tls()) as node:
        url = f"wss://127.0.0.1:{port}"
        node.works(identity("alice"), url=url)
        node.refused("", *NO_CERTIFICATE, url=url)
        node.refused(identity("alice"), UNKNOWN_CA, url=url, ca=None)


def reload():
    shell("cp server.pem now.pem; cp server.key now.key")
    users = """accounts {
      SYS: { users: [ { user: admin, password: admin } ] }
      A: { users: [ { user: ann, password: ann } ] }
    }
    system_account: SYS\n"""
    with Node(users + tls(cert="now")) as node:
        ann, admin = "--user ann --password ann", "--user admin --password admin"
        proc, before = node.hold(ann, "stays")
        shell("cp fresh.pem now.pem; cp fresh.key now.key")
        server_id = node.monitor_doc("/varz")["server_id"]
        again = f"{admin} server config reload {server_id} --force"
        has(node.nats(again), "tls-node")
        has(node.nats(f"{ann} account tls", ca="stranger"), "CN=fresh")
        node.refused(ann, UNKNOWN_CA)
        node.works(ann, ca="stranger")
        # A connection with the old certificate goes on and gets messages.
        node.nats(f"{ann} pub held still-here", ca="stranger")
        has(read_until(proc, "still-here"), "still-here")
        end(proc)
        # What cannot be loaded changes nothing.
        (HOME / "now.pem").write_text("not a certificate\n")
        ask = f"{admin} request '$SYS.REQ.SERVER.{server_id}.RELOAD' ''"
        answer = json.loads(re.search(r"^{.*}$", node.nats(ask, ca="stranger"), re.M).group(0))
        equal(answer["error"]["code"], 500, "code of a reload that fails")
        node.works(ann, ca="stranger")
        # Certificates asked for from now on; a signal this time.
        shell("cp fresh.pem now.pem")
        node.conf.write_text(node.conf.read_text().replace(
            f'ca_file: "{HOME}/ca.pem"', f'ca_file: "{HOME}/ca.pem", verify: true'))
        node.proc.send_signal(signal.SIGHUP)
        until(lambda: "certificate required" in node.nats(f"{ann} pub a.probe x", ca="stranger", code=None),
              "certificates are asked for")
        node.works(f"{ann} {identity('alice')}", ca="stranger")


def read_until(proc, want, seconds=10):
    """Reads a held client until a text appears."""
    out, deadline = b"", time.monotonic() + seconds
    while want.encode() not in out:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([proc.stdout], [], [], left)[0]:
            raise AssertionError(f"{want!r} did not appear in {out[-400:]!r}")
        chunk = os.read(proc.stdout.fileno(), 65536)
        if not chunk:
            raise AssertionError(f"it ended without {want!r}: {out[-400:]!r}")
        out += chunk
    return out.decode("utf-8", "replace")


def context():
    with Node(tls("verify: true")) as node:
        shell(f"nats context save secure -s {node.url} --tlsca {HOME}/ca.pem "
              f"--tlscert {HOME}/alice.pem --tlskey {HOME}/alice.key")
        shell("nats --context secure rtt")
        has(shell("nats context validate --connect"), "OK")


make_certificates()
for check in (server_is_believed, server_is_not_believed, mutual_tls, users_by_certificate,
              handshake_first, pinned_certificates, passwords_and_tokens, nkeys, credentials,
              stores, websocket, reload, context):
    suite.run(check.__name__, check)
suite.done()
