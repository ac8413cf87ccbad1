"""The `nats` command line, as an operator types it.

Each check looks at what was printed, and at the stream behind it through the
raw client, not only at exit codes.
"""

import json
import os
import pty
import re
import select
import subprocess
import tempfile
import time
from pathlib import Path

from harness import CACHE, Server, Suite, equal, has, until
from rawnats import Client

suite = Suite("cli")
NATS = os.environ.get("NATS_CLI", str(CACHE / "bin" / "nats"))


class Shell:
    """Runs commands against one server from an empty home."""

    def __init__(self, server):
        self.server = server
        self.dir = Path(tempfile.mkdtemp(dir=server.dir))
        self.env = dict(
            os.environ, NATS_URL=server.url, HOME=str(self.dir),
            XDG_CONFIG_HOME=str(self.dir / "config"), NO_COLOR="1",
        )
        self.env["PATH"] = f"{Path(NATS).parent}:{self.env['PATH']}"

    def __call__(self, line, timeout=60, code=0):
        """Runs a line of shell; returns all it printed."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.dir, env=self.env, timeout=timeout,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        out = done.stdout.decode("utf-8", "replace")
        if code is not None and done.returncode != code:
            raise AssertionError(f"`{line}` ended with {done.returncode}: {out[-600:]}")
        return out

    def spawn(self, line):
        """Starts a line in the background, output to a pipe."""
        return subprocess.Popen(
            ["bash", "-c", "exec " + line], cwd=self.dir, env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def tty(self, line, keys, seconds=20):
        """Runs a line that wants a terminal and types keys when it waits."""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            os.execvpe("bash", ["bash", "-c", line], dict(self.env, TERM="xterm"))
        out, end = b"", time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([fd], [], [], 1.0)[0]:
                try:
                    chunk = os.read(fd, 65536)
                except OSError:
                    break
                if not chunk:
                    break
                out += chunk
                # A terminal that asks where the cursor is gets an answer.
                if b"\x1b[6n" in chunk:
                    os.write(fd, b"\x1b[1;1R")
            elif keys:
                os.write(fd, keys.pop(0))
        os.close(fd)
        os.waitpid(pid, 0)
        return out.decode("utf-8", "replace")


def follow(proc, want, seconds=15):
    """Reads a background command until a text appears."""
    out, end = b"", time.monotonic() + seconds
    while want.encode() not in out:
        left = end - time.monotonic()
        if left <= 0 or not select.select([proc.stdout], [], [], left)[0]:
            raise AssertionError(f"{want!r} did not appear in {out[-400:]!r}")
        chunk = os.read(proc.stdout.fileno(), 65536)
        if not chunk:
            raise AssertionError(f"ended without {want!r}: {out[-400:]!r}")
        out += chunk
    return out.decode("utf-8", "replace")


def field(text, name):
    """The value of a `Name: value` line."""
    found = re.search(rf"^\s*{re.escape(name)}: *(.*)$", text, re.M)
    if not found:
        raise AssertionError(f"no line {name!r} in {text[-600:]!r}")
    # Sequences are followed by the time they were stored at.
    return found.group(1).split(" @ ")[0].strip()


def fields(text, **want):
    """Checks several `Name: value` lines; underscores stand for blanks."""
    for name, value in want.items():
        equal(field(text, name.replace("_", " ")), value, name)


def row(table, name):
    """The cells of a table's row."""
    for line in table.splitlines():
        cells = [c.strip() for c in line.strip("│ ").split("│")]
        if cells[0] == name:
            return cells
    raise AssertionError(f"no row {name!r} in {table[-800:]!r}")


def main_job(sh, raw):
    """The commands of the main job, in order; each builds on the last."""
    config = lambda s: raw.api(f"STREAM.INFO.{s}")["config"]

    def add_events():
        out = sh('nats stream add EVENTS --subjects "events.>" --storage file '
                 "--retention limits --max-msgs=-1 --max-age=168h --defaults")
        has(out, "Stream EVENTS was created")
        fields(out, Subjects="events.>", Storage="File", Retention="Limits",
               Maximum_Age="7d0h0m0s", Maximum_Messages="unlimited", Duplicate_Window="2m0s")
        equal(field(out, "Required API Level"), "0 hosted at level 5")
        equal(config("EVENTS")["max_age"], 168 * 3600 * 10**9)

    def add_orders():
        out = sh('nats stream add ORDERS --subjects "orders.>" --storage file --retention limits '
                 "--max-age 720h --max-bytes 50GB --discard old --dupe-window 2m --defaults")
        has(out, "Stream ORDERS was created")
        fields(out, Maximum_Bytes="50 GiB", Maximum_Age="30d0h0m0s", Discard_Policy="Old")
        equal(config("ORDERS")["max_bytes"], 50 << 30)

    def add_workers():
        out = sh('nats consumer add ORDERS workers --pull --filter "orders.created.>" '
                 "--ack explicit --max-deliver 5 --replay instant --defaults")
        fields(out, Pull_Mode="true", Filter_Subject="orders.created.>", Ack_Policy="Explicit",
               Ack_Wait="30.00s", Maximum_Deliveries="5", Max_Ack_Pending="1,000")

    def publish():
        out = sh("""nats pub orders.created.eu '{"id":1}' --count 1000""")
        has(out, "1.00K")
        until(lambda: raw.api("STREAM.INFO.ORDERS")["state"]["messages"] == 1000, "1000 are stored")

    def consume():
        out = sh("nats consumer next ORDERS workers --count 1000 --ack")
        equal(out.count('{"id":1}'), 1000, "payloads")
        equal(out.count("Acknowledged message"), 1000, "acks")
        seqs = [int(n) for n in re.findall(r"str seq: (\d+)", out)]
        equal(seqs, list(range(1, 1001)), "stream sequences")
        has(out, "subj: orders.created.eu / tries: 1 / cons seq: 1000 / str seq: 1000 / pending: 0")
        info = lambda: raw.api("CONSUMER.INFO.ORDERS.workers")
        until(lambda: info()["ack_floor"]["stream_seq"] == 1000, "all acks arrived")
        equal((info()["num_ack_pending"], info()["num_pending"]), (0, 0), "pending")

    suite.run("stream add EVENTS", add_events)
    suite.run("stream add ORDERS with 50GB", add_orders)
    suite.run("consumer add workers", add_workers)
    suite.run("pub 1000", publish)
    suite.run("consumer next 1000 with ack", consume)


def key_value(sh):
    """kv add, put, get, watch, and the rest of its commands."""

    def add():
        out = sh("nats kv add SESSIONS --ttl=24h")
        fields(out, Bucket_Name="SESSIONS", Maximum_Age="1d0h0m0s", JetStream_Stream="KV_SESSIONS")

    def put_get():
        equal(sh("""nats kv put SESSIONS user.42 '{"role":"admin"}'""").strip(), '{"role":"admin"}')
        out = sh("nats kv get SESSIONS user.42")
        has(out, "SESSIONS > user.42 revision: 1 ", '{"role":"admin"}')
        equal(sh("nats kv get SESSIONS user.42 --raw").strip(), '{"role":"admin"}')

    def watch():
        proc = sh.spawn("nats kv watch SESSIONS")
        try:
            follow(proc, """PUT SESSIONS > user.42: {"role":"admin"}""")
            sh("nats kv put SESSIONS user.43 later")
            follow(proc, "PUT SESSIONS > user.43: later")
            sh("nats kv del SESSIONS user.43 -f")
            follow(proc, "DELETE SESSIONS > user.43")
        finally:
            proc.kill()
            proc.wait()

    def revisions():
        sh("nats kv add CAS --history 5")
        sh("nats kv create CAS k one")
        has(sh("nats kv create CAS k again", code=1), "key exists")
        sh("nats kv update CAS k two 1")
        has(sh("nats kv update CAS k three 1", code=1), "wrong last sequence: 2")
        out = sh("nats kv history CAS k")
        has(out, "one", "two")
        equal(sh("nats kv ls CAS").strip(), "k")
        sh("nats kv purge CAS k -f")
        has(sh("nats kv get CAS k", code=1), "key not found")
        has(sh("nats kv ls"), "CAS", "SESSIONS")
        sh("nats kv rm CAS -f")

    suite.run("kv add with ttl", add)
    suite.run("kv put and get", put_get)
    suite.run("kv watch", watch)
    suite.run("kv revisions and history", revisions)


def objects(sh, server):
    """A 50 MB object there and back."""
    blob = server.dir / "firmware.bin"
    blob.write_bytes(os.urandom(50_000_000))

    def put():
        fields(sh("nats object add FIRMWARE"), Bucket_Name="FIRMWARE", Storage="File")
        out = sh(f"nats object put FIRMWARE {blob} --name v1.bin --no-progress", 120)
        has(out, "Object information for FIRMWARE > v1.bin")
        equal(field(out, "Chunks"), "382")

    def get():
        out = sh("nats object get FIRMWARE v1.bin --output back.bin --no-progress", 120)
        has(out, "Wrote: 48 MiB")
        if (sh.dir / "back.bin").read_bytes() != blob.read_bytes():
            raise AssertionError("the object came back different")

    def rest():
        has(sh("nats object info FIRMWARE v1.bin"), "SHA-256")
        has(sh("nats object ls FIRMWARE"), "v1.bin", "48 MiB")
        sh("nats object del FIRMWARE v1.bin -f")
        has(sh("nats object info FIRMWARE v1.bin", code=1), "not found")
        sh("nats object seal FIRMWARE -f")
        has(sh("nats object info FIRMWARE"), "Sealed: true")

    suite.run("object put 50 MB", put)
    suite.run("object get 50 MB, identical", get)
    suite.run("object info, ls, del, seal", rest)


def reports(sh):
    """info, report, view, account."""

    def info():
        fields(sh("nats stream info EVENTS"), Messages="0", Subjects="events.>", First_Sequence="0")
        fields(sh("nats stream info ORDERS"), Messages="1,000", Last_Sequence="1,000",
               Bytes="54 KiB", Active_Consumers="1")
        fields(sh("nats consumer info ORDERS workers"), Unprocessed_Messages="0",
               Waiting_Pulls="0 of maximum 512")

    def report():
        table = sh("nats stream report")
        equal(row(table, "ORDERS")[1:6], ["File", "", "1", "1,000", "54 KiB"])
        equal(row(table, "EVENTS")[1:6], ["File", "", "0", "0", "0 B"])
        equal(row(sh("nats consumer report ORDERS"), "workers")[1:8],
              ["Pull", "Explicit", "30.00s", "0", "0", "0", "1,000"])

    def view():
        out = sh.tty("nats stream view ORDERS", [b"q\r", b"q\r", b"\x03"])
        has(out, '{"id":1}', "orders.created.eu")
        has(sh("nats stream get ORDERS 7"), "Item: ORDERS#7", '{"id":1}')
        has(sh("nats stream subjects ORDERS"), "orders.created.eu")
        has(sh("nats stream ls -n"), "ORDERS", "EVENTS")

    def account():
        out = sh("nats account info")
        fields(out, Account="$G ($G)", Headers_Supported="true", Maximum_Payload="1.0 MiB",
               System_Account="false", TLS_Connection="no")
        has(out, "JetStream Account Information", "50 GiB reserved", "4 of Unlimited")

    suite.run("stream and consumer info", info)
    suite.run("stream and consumer report", report)
    suite.run("stream view, get, subjects, ls", view)
    suite.run("account info", account)


def backup(sh, raw):
    """Backup, delete, restore."""

    def there_and_back():
        before = raw.api("STREAM.INFO.ORDERS")["state"]
        has(sh("nats stream backup ORDERS ./orders.tgz --no-progress"), "ORDERS")
        meta = json.loads((sh.dir / "orders.tgz" / "backup.json").read_text())
        equal(meta["config"]["name"], "ORDERS")
        sh("nats stream rm ORDERS -f")
        equal(raw.request("$JS.API.STREAM.INFO.ORDERS").json()["error"]["err_code"], 10059)
        has(sh("nats stream info ORDERS", code=1), "no Stream name supplied")
        has(sh("nats stream restore ./orders.tgz --no-progress"), 'Restored stream "ORDERS"')
        after = raw.api("STREAM.INFO.ORDERS")["state"]
        for key in ("messages", "first_seq", "last_seq", "first_ts", "last_ts", "consumer_count"):
            equal(after[key], before[key], key)
        consumer = raw.api("CONSUMER.INFO.ORDERS.workers")
        equal(consumer["ack_floor"]["stream_seq"], 1000, "ack floor")
        has(sh("nats stream get ORDERS 1000"), '{"id":1}')

    suite.run("stream backup and restore", there_and_back)


BENCHES = [
    ("js pub sync", "js pub sync bench.js --create --purge --msgs 2000", "JetStream synchronous publisher stats"),
    ("js pub async", "js pub async bench.js --create --purge --msgs 20000", "JetStream asynchronous publisher stats"),
    ("js consume", "js consume --msgs 20000", "JetStream durable consumer (callback) stats"),
    ("js fetch", "js fetch --consumer fetcher --msgs 20000", "JetStream durable consumer (fetch) stats"),
    ("js ordered", "js ordered --msgs 20000", "JetStream ordered ephemeral consumer stats"),
    ("js get sync", "js get sync --msgs 1000", "stats: "),
    ("js get batch", "js get batch --msgs 20000", "stats: "),
    ("js pub batch", "js pub batch bench.js --create --purge --msgs 2000", "JetStream batched publisher stats"),
    ("kv put", "kv put --msgs 5000", "JetStream KV putter stats"),
    ("kv get", "kv get --msgs 5000", "JetStream KV getter stats"),
]


def benches(sh, raw):
    """nats bench with small counts: it must end by itself, without errors."""

    def one(line, want):
        if "fetcher" in line:
            config = {"durable_name": "fetcher", "ack_policy": "explicit", "max_ack_pending": 10000}
            raw.api("CONSUMER.CREATE.benchstream.fetcher",
                    {"stream_name": "benchstream", "config": config})
        out = sh(f"nats bench {line} --no-progress", 90)
        has(out, want)
        has(out, "msgs/sec")

    def core():
        proc = sh.spawn("nats bench sub bench.core --msgs 20000 --no-progress")
        follow(proc, "expecting 20,000 messages")
        until(lambda: raw_interest(raw, "bench.core"), "the subscriber is there")
        has(sh("nats bench pub bench.core --msgs 20000 --no-progress"), "publisher stats")
        out, _ = proc.communicate(timeout=30)
        has(out.decode(), "Core NATS subscriber stats")

    def service():
        proc = sh.spawn("nats bench service serve bench.svc --no-progress")
        try:
            until(lambda: raw_interest(raw, "bench.svc"), "the service is there")
            has(sh("nats bench service request bench.svc --msgs 2000 --no-progress"), "msgs/sec")
        finally:
            proc.kill()
            proc.wait()

    suite.run("bench pub and sub", core)
    suite.run("bench service", service)
    for name, line, want in BENCHES:
        suite.run(f"bench {name}", one, line, want)


def raw_interest(raw, subject):
    """Whether somebody listens: a publish without listeners answers 503."""
    try:
        return not raw.request(subject, b"", timeout=0.2).status.startswith("503")
    except Exception:
        return True


def checks(sh):
    """nats server check …: what monitoring systems run."""
    lines = [
        ("connection", "nats server check connection", "OK Connection OK:connected"),
        ("jetstream", "nats server check jetstream", "OK JetStream"),
        ("stream", "nats server check stream --stream ORDERS", "OK ORDERS"),
        ("consumer", "nats server check consumer --stream ORDERS --consumer workers",
         "OK ORDERS_workers | ack_pending=0 pull_waiting=0 pending=0 redelivered=0"),
        ("kv", "nats server check kv --bucket SESSIONS --key user.42", "OK:key user.42 found"),
        ("message", "nats server check message --stream ORDERS --subject orders.created.eu",
         "OK:Valid message"),
    ]
    for name, line, want in lines:
        suite.run(f"server check {name}", lambda l=line, w=want: has(sh(l), w))


def more(sh):
    """Editing, purging, deleting, messaging."""

    def edit():
        has(sh("nats stream edit EVENTS --max-msgs 5 -f"), "was updated")
        for n in range(7):
            sh(f"nats req events.n {n} --timeout 2s")
        fields(sh("nats stream info EVENTS"), Messages="5", First_Sequence="3", Last_Sequence="7")
        sh("nats stream rmm EVENTS 4 -f")
        fields(sh("nats stream info EVENTS"), Messages="4", Deleted_Messages="1")
        sh("nats stream purge EVENTS -f")
        fields(sh("nats stream info EVENTS"), Messages="0", First_Sequence="8", Last_Sequence="7")

    def pause():
        has(sh("nats consumer pause ORDERS workers 1h -f"), "Paused")
        has(sh("nats consumer info ORDERS workers"), "Paused Until")
        sh("nats consumer resume ORDERS workers -f")
        sh("nats consumer rm ORDERS workers -f")
        has(sh("nats consumer info ORDERS workers", code=1), "no Consumer name supplied")

    def request_reply():
        proc = sh.spawn("nats reply echo.it --echo")
        try:
            follow(proc, "Listening on")
            until(lambda: "hello" in sh("nats req echo.it hello --timeout 1s", code=None), "an echo")
        finally:
            proc.kill()
            proc.wait()

    def subscribe():
        proc = sh.spawn("nats sub 'sub.>' --count 2 --raw")
        # The subscription is there when something published arrives.
        for n in range(100):
            sh(f"nats pub sub.x m{n}")
            if proc.poll() is not None:
                break
        has(proc.communicate(timeout=10)[0].decode(), "m")
        equal(proc.returncode, 0, "exit code of nats sub")

    suite.run("stream edit, rmm, purge", edit)
    suite.run("consumer pause, resume, rm", pause)
    suite.run("request and reply", request_reply)
    suite.run("sub", subscribe)
    suite.run("rtt", lambda: has(sh("nats rtt"), "127.0.0.1"))


SYSTEM = """
accounts {
  $SYS: {users: [{user: sys, password: sys}]}
  A: {users: [{user: a, password: pa}], jetstream: enabled}
  B: {users: [{user: b, password: pb}]}
}
"""


def operator(server):
    """nats server …: what an operator does in the system account."""
    sh = Shell(server)
    address = f"127.0.0.1:{server.port}"
    sh.env["NATS_URL"] = f"nats://sys:sys@{address}"
    a = Client(server.port, user="a", **{"pass": "pa"}, name="worker")
    a.subscribe("orders")
    a.flush()

    def reports():
        table = sh("nats server report connections")
        has(table, "worker")
        equal(len(re.findall(r"│ +\$SYS +│", table)), 1, "rows of the system account")
        has(sh("nats server report accounts"), "│ A ")
        one = sh("nats server report accounts A")
        has(one, "│ A ")
        equal("$SYS" in one, False, "another account in the report of A")

    def info():
        text = sh("nats server info foreign")
        equal(field(text, "Auth Required"), "true")
        equal(field(text, "Version"), "2.15.1")
        has(sh("nats server list"), "foreign")
        has(sh("nats server check server --name foreign"), "OK foreign")
        has(sh("nats server account info A"), "Account")

    def requests():
        for what in ["variables", "connections", "subscriptions", "accounts", "jetstream",
                     "jetstream-health", "routes", "gateways", "leafnodes", "ipqueue", "raft"]:
            answer = json.loads(sh(f"nats server request {what}").splitlines()[0])
            equal(answer["server"]["name"], "foreign", f"{what}: name")
            has(json.dumps(answer), "data")

    def kick():
        identity = json.loads(sh("nats server request variables").splitlines()[0])["server"]["id"]
        rows = json.loads(sh("nats server request connections").splitlines()[0])
        cid = next(c["cid"] for c in rows["data"]["connections"] if c.get("name") == "worker")
        watch = sh.spawn("nats events --all")
        try:
            follow(watch, "Authentication Errors events")
            # What is watched has to come again until the watching has begun.
            until(lambda: sh("nats rtt", code=None) and seen(watch), "an event")
            sh(f"nats server request kick {cid} {identity}")
            follow(watch, "Reason: Kicked")
            sh(f"nats --server nats://a:wrong@{address} pub x y", code=1)
            follow(watch, "Authentication Failure")
        finally:
            watch.kill()
            watch.wait()
        has(sh(f"nats server request kick {cid} {identity}"), "no such client or leafnode id")

    def whoami():
        sh.env["NATS_URL"] = f"nats://a:pa@{address}"
        text = sh("nats account info")
        equal(field(text, "User"), "a")
        equal(field(text, "Account"), "A (A)")
        has(sh("nats account report connections"), "NATS CLI")
        has(sh("nats server list --timeout 1s", code=None), "no")

    suite.run("server report connections, accounts", reports)
    suite.run("server info, list, check", info)
    suite.run("server request …", requests)
    suite.run("server request kick, events --all", kick)
    suite.run("account info, report", whoami)


EXCHANGE = """
accounts {
  A: {
    users: [{user: a, password: pa}], jetstream: enabled
    exports: [
      {service: "$JS.API.>", response: stream}, {service: "$JS.ACK.>"}, {service: "help"}
      {stream: "deliver.>"}
    ]
  }
  B: {
    users: [{user: b, password: pb}]
    imports: [
      {service: {account: A, subject: "$JS.API.>"}, to: "A.API.>"}
      {service: {account: A, subject: "$JS.ACK.>"}}
      {service: {account: A, subject: "help"}, to: "a.help"}
      {stream: {account: A, subject: "deliver.>"}}
    ]
  }
}
"""


def exchange(server):
    """Streams, services and traces of another account."""
    sh = Shell(server)
    address = f"127.0.0.1:{server.port}"
    a, b = f"nats --server nats://a:pa@{address}", f"nats --server nats://b:pb@{address}"

    def consumers():
        sh(f"{a} stream add ORDERS --subjects 'orders.>' --defaults")
        sh(f"{a} pub orders.new one --count 3")
        there = f"{b} --js-api-prefix A.API"
        has(sh(f"{there} stream ls"), "ORDERS")
        sh(f"{there} consumer add ORDERS pull --pull --defaults")
        for _ in range(3):
            has(sh(f"{there} consumer next ORDERS pull --ack"), "one")
        text = sh(f"{there} consumer info ORDERS pull")
        equal(field(text, "Unprocessed Messages"), "0")
        equal(field(text, "Outstanding Acks"), "0 out of maximum 1,000")
        equal("ORDERS" in sh(f"{b} stream ls", code=None), False, "the stream of A in B")

    def services():
        proc = sh.spawn(f"{a} reply help answered")
        try:
            follow(proc, "help")
            until(lambda: "answered" in sh(f"{b} req a.help x", code=None), "an answer")
        finally:
            proc.kill()
            proc.wait()
        has(sh(f"{b} req a.help x", code=None), "No responders")

    def traces():
        text = sh(f"{a} trace orders.new")
        has(text, "ORDERS")

    suite.run("consumers of another account", consumers)
    suite.run("services of another account", services)
    suite.run("trace", traces)


def seen(proc):
    """Whether a background command has printed an event."""
    return bool(select.select([proc.stdout], [], [], 0.2)[0])


def main():
    """Everything against one server, and the system account of another."""
    with Server() as server:
        sh, raw = Shell(server), Client(server.port)
        main_job(sh, raw)
        key_value(sh)
        objects(sh, server)
        reports(sh)
        checks(sh)
        backup(sh, raw)
        benches(sh, raw)
        more(sh)
    with Server(config=SYSTEM) as server:
        operator(server)
    with Server(config=EXCHANGE) as server:
        exchange(server)
    suite.done()


if __name__ == "__main__":
    main()
