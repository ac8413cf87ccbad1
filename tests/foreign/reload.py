"""Every option changed alone: what a reload does, here and in nats-server.

Both servers run side by side. A row is live if the reload works, refused if it is
refused as a whole. Rows where both differ are listed with the reason; one that is
not listed, or no longer differs, fails. What a reload does to connections is in
tests/tests/e2e/reload*.rs. With RELOAD_TABLE=1 the whole table is printed instead.
"""

import concurrent.futures
import hashlib
import http.server
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from harness import ROOT, Suite, equal, free_port, reference_binary, server_binary, until

suite = Suite("reload")
OURS, THEIRS = server_binary(), reference_binary() or shutil.which("nats-server")
DIR = Path(tempfile.mkdtemp(prefix="reload-"))


def openssl(*args):
    subprocess.run(["openssl", *args], cwd=DIR, check=True, capture_output=True)


def pki():
    """Two server certificates of one authority, and another authority."""
    for ca in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2",
                "-subj", f"/CN={ca}", "-addext", "basicConstraints=critical,CA:TRUE")
    (DIR / "san").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name in ("a", "b"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "san")


def tls(more="", cert="a"):
    return f'tls {{ cert_file: "{DIR}/{cert}.pem", key_file: "{DIR}/{cert}.key"\n{more} }}\n'


pki()
SAMPLE = (ROOT / "config/samples/operator-memory.conf").read_text()
OPERATOR = re.search(r"^operator: .*\nsystem_account: .*\n", SAMPLE, re.M).group(0)
PRELOAD = SAMPLE[SAMPLE.index("resolver_preload"):]
PORTS = [free_port() for _ in range(8)]
PIN, OTHER_PIN = (hashlib.sha256(c).hexdigest() for c in (b"a", b"b"))
KEY = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
ISSUER = "ABJHLOVMPA4CI6R5KLNGOB4GSLNIY7IOUPAJC4YFNDLQVIOBYQGUWVLA"
ROWS = []


def row(name, before, after, differs="", both=""):
    """One change; `both` stands in both files."""
    ROWS.append((name, before + "\n" + both, after + "\n" + both, differs))


def option(name, before, after, differs="", both=""):
    """A key with two values; empty: not there."""
    def line(v):
        return f"{name}: {v}" if v != "" else ""
    row(f"{name} {before or '-'}>{after or '-'}", line(before), line(after), differs, both)


def block(outer, name, before, after, differs="", inner="", both=""):
    """A key inside a block that has `inner` as well."""
    def text(v):
        return f"{outer} {{ {inner}\n {name}: {v}\n }}" if v != "" else f"{outer} {{ {inner} }}"
    row(f"{outer}.{name} {before or '-'}>{after or '-'}", text(before), text(after), differs, both)


def top_level():
    option("host", "127.0.0.1", "localhost")
    option("client_advertise", "", '"a.example.com:1"')
    option("client_advertise", "", '"no port:x"')
    option("server_tags", "[a]", "[b]")
    option("server_metadata", "{a: b}", "{a: c}")
    option("feature_flags", "", "{js_ack_fc_v2: true}")
    option("max_connections", "100", "50")
    option("max_subscriptions", "", "5")
    option("max_sub_tokens", "", "5")
    option("max_control_line", "4096", "8192")
    option("max_payload", "1MB", "100")
    option("max_pending", "64MB", "32MB")
    option("ping_interval", '"2m"', '"1m"')
    option("ping_max", "2", "3")
    option("write_deadline", '"10s"', '"5s"')
    option("write_timeout", "default", "close")
    option("lame_duck_duration", '"2m"', '"1m"')
    option("lame_duck_grace_period", '"10s"', '"5s"')
    option("no_fast_producer_stall", "false", "true")
    option("disable_sublist_cache", "false", "true")
    option("no_header_support", "false", "true")
    option("max_closed_clients", "", "5")
    for name in ("debug", "trace", "trace_verbose", "trace_headers", "logtime", "logtime_utc"):
        option(name, "false", "true")
    option("log_file", "", f'"{DIR}/x.log"')
    option("log_size_limit", "", "10MB")
    option("log_max_num", "", "5")
    option("max_traced_msg_len", "", "64")
    option("pid_file", "", f'"{DIR}/x.pid"')
    option("ports_file_dir", "", f'"{DIR}"')
    option("prof_port", "", str(PORTS[0]))
    option("prof_block_rate", "", "5")
    option("http_base_path", "", '"/x"')
    option("https_port", "", str(PORTS[1]), both=tls())
    option("proxy_protocol", "false", "true")
    option("connect_error_reports", "5", "6")
    option("reconnect_error_reports", "5", "6")
    option("default_js_domain", "", "{B: hub}")
    option("no_system_account", "false", "true")
    option("system_account", "", '"$SYS"', both="accounts { $SYS {}, B {} }")
    option("system_account", "", "B", both="accounts { $SYS {}, B {} }")
    option("system_account", '"$SYS"', "", both="accounts { $SYS {}, B {} }")
    option("ocsp_cache", "", "false")
    row("server_name", "server_name: other", "server_name: another")


def transport():
    row("tls off>on", "", tls())
    row("tls on>off", tls(), "")
    row("tls.cert_file", tls(), tls(cert="b"))
    for name, before, after in [
        ("ca_file", f'"{DIR}/ca.pem"', f'"{DIR}/other.pem"'), ("verify", "false", "true"),
        ("verify_and_map", "false", "true"), ("timeout", "2", "3"),
        ("connection_rate_limit", "100", "200"), ("handshake_first", "false", "true"),
        ("handshake_first", "true", "auto"), ("min_version", '"1.2"', '"1.3"'),
        ("cipher_suites", "[TLS_AES_128_GCM_SHA256]", "[TLS_AES_256_GCM_SHA384]"),
        ("curve_preferences", "[X25519]", "[CurveP256]"),
        ("ocsp_peer", "", "true"), ("ocsp_peer", "true", "false"),
        ("pinned_certs", f'["{PIN}"]', f'["{OTHER_PIN}"]'), ("pinned_certs", "", f'["{PIN}"]'),
    ]:
        inner = f'ca_file: "{DIR}/ca.pem", ' if name != "ca_file" else "verify: true, "
        if name in ("pinned_certs", "ocsp_peer"):
            inner += "verify: true"
        def text(v, name=name, inner=inner):
            return tls(inner + (f"\n{name}: {v}" if v else ""))
        ours = {
            "verify_and_map": "connections look at their user again when rules change",
            "connection_rate_limit": "part of the settings that are replaced as a whole",
        }
        row(f"tls.{name} {before[:20] or '-'}>{after[:20]}", text(before), text(after),
            ours.get(name, ""))
    option("allow_non_tls", "false", "true", both=tls())
    ws = f"listen: 127.0.0.1:{PORTS[2]}"
    row("websocket off>on", "", f"websocket {{ {ws}, no_tls: true }}")
    for name, before, after in [
        ("same_origin", "false", "true"), ("allowed_origins", "", '["http://x"]'),
        ("compression", "false", "true"), ("handshake_timeout", '"2s"', '"3s"'),
        ("ping_interval", '"30s"', '"20s"'), ("headers", "", "{X: y}"),
        ("jwt_cookie", "", ""), ("user_cookie", "", "u"), ("pass_cookie", "", "p"),
        ("token_cookie", "", "t"), ("advertise", "", '"x:1"'), ("no_auth_user", "", "u"),
        ("authorization", "", "{timeout: 3}"),
    ]:
        users = "authorization { users [{user: u, password: p}] }"
        users = users if "no_auth" in name else ""
        block("websocket", name, before, after, inner=ws + ", no_tls: true", both=users)
    row("websocket.tls", f"websocket {{ {ws}\n{tls()} }}", f"websocket {{ {ws}\n{tls(cert='b')} }}")
    row("websocket.tls.pinned_certs", f"websocket {{ {ws}\n{tls()} }}",
        f"websocket {{ {ws}\n{tls(f'verify: true, ca_file: {DIR}/ca.pem')} }}")


def logins():
    a, b = "{user: a, password: a}", "{user: b, password: b}"
    row("users", f"authorization {{ users [{a}] }}", f"authorization {{ users [{b}] }}")
    row("users off>on", "", f"authorization {{ users [{a}] }}")
    row("nkeys", f"authorization {{ users [{{nkey: {KEY}}}] }}", f"authorization {{ users [{a}] }}")
    row("user", "authorization { user: a, password: a }", "authorization { user: b, password: b }")
    row("token", "authorization { token: a }", "authorization { token: b }")
    row("user>token", "authorization { user: a, password: a }", "authorization { token: b }")
    row("auth timeout", "authorization { token: a, timeout: 2 }",
        "authorization { token: a, timeout: 3 }")
    row("default_permissions", f"authorization {{ default_permissions {{publish: x}}, users [{a}] }}",
        f"authorization {{ default_permissions {{publish: y}}, users [{a}] }}")
    row("proxy_required", "authorization { token: a, proxy_required: false }",
        "authorization { token: a, proxy_required: true }")
    callout = f"auth_callout {{ issuer: {ISSUER}, auth_users: [a] }}"
    row("auth_callout", f"authorization {{ users [{a}] }}", f"authorization {{ users [{a}], {callout} }}")
    row("proxies", "", f"proxies {{ trusted: [ {{key: {KEY}}} ] }}", "nats-server panics")
    users = f"authorization {{ users [{a}, {b}] }}"
    option("no_auth_user", "", "a", both=users)
    option("no_auth_user", "a", "b", both=users)
    option("no_auth_user", "a", "", both=users)
    row("no_auth_user with its user", f"no_auth_user: a\n{users}",
        f"authorization {{ users [{b}] }}")
    for name, before, after in [
        ("users", f"[{a}]", f"[{b}]"), ("limits", "", "{max_conn: 5}"),
        ("mappings", "", "{x: y}"), ("exports", "", "[{stream: x}]"),
        ("default_permissions", "", "{publish: x}"), ("nkey", "", ISSUER),
        ("msg_trace", "", "{dest: t}"),
    ]:
        block("accounts", "A", "{" + (f"{name}: {before}" if before else "") + "}",
              f"{{ {name}: {after} }}", both="#" + name)
    exported = "A { exports [{stream: x}] }"
    row("imports", f"accounts {{ {exported}, B {{}} }}",
        f"accounts {{ {exported}, B {{ imports [{{stream: {{account: A, subject: x}}}}] }} }}")
    row("account goes", "accounts { A {}, B {} }", "accounts { A {} }")
    row("mappings of $G", "mappings { a: b }", "mappings { a: c }")


def account_server():
    """A web server with the sample's accounts; the resolver that names it."""
    tokens = dict(re.findall(r"\b(A[A-Z0-9]{55}): (\S+)", PRELOAD))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rsplit("/", 1)[1]
            self.send_response(200 if name in tokens or not name else 404)
            self.end_headers()
            self.wfile.write(tokens.get(name, "").encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"URL(http://127.0.0.1:{server.server_port}/accounts/)"


def operators():
    def with_(resolver, preload=PRELOAD):
        return f"{OPERATOR}\nresolver: {resolver}\n{preload}\n"
    full = "{{type: full, dir: \"{}\"}}".format
    cache = "{{type: cache, dir: \"{}\"}}".format
    url = account_server()
    kinds = [("MEMORY", lambda n: with_("MEMORY")), ("full", lambda n: with_(full(DIR / n))),
             ("cache", lambda n: with_(cache(DIR / n))), ("URL", lambda n: with_(url, ""))]
    for one, before in kinds:
        for two, after in kinds:
            if one != two:
                row(f"resolver {one}>{two}", before(f"{one}{two}1"), after(f"{one}{two}2"))
    row("resolver.url", with_(url, ""), with_(account_server(), ""))
    row("resolver.url nowhere", with_(url, ""), with_("URL(http://127.0.0.1:1/)", ""),
        "nobody could log in: a refusal is better than finding out")
    row("resolver.dir", with_(full(DIR / "d1")), with_(full(DIR / "d2")))
    row("resolver.limit", with_(full(DIR / "l1")),
        with_(f'{{type: full, dir: "{DIR}/l1", limit: 50}}'))
    row("resolver.allow_delete", with_(full(DIR / "l2")),
        with_(f'{{type: full, dir: "{DIR}/l2", allow_delete: true}}'))
    row("resolver.timeout", with_(full(DIR / "l3")),
        with_(f'{{type: full, dir: "{DIR}/l3", timeout: "1s"}}'))
    preload = PRELOAD.splitlines()
    first = next(i for i, l in enumerate(preload) if re.match(r"\s+A[A-Z0-9]{55}:", l))
    system = OPERATOR.split("system_account: ")[1].strip()
    if system in preload[first]:
        first = next(i for i, l in enumerate(preload)
                     if re.match(r"\s+A[A-Z0-9]{55}:", l) and i > first)
    fewer = "\n".join(preload[:first] + preload[first + 1:])
    row("resolver_preload", with_("MEMORY"), with_("MEMORY", fewer))
    row("operator goes", with_("MEMORY"), "")
    row("operator comes", "", with_("MEMORY"))
    row("default_sentinel", with_("MEMORY"), with_("MEMORY") + "resolver_pinned_accounts: []")
    option("trusted_keys", "", f'["{"OCPFWKYFAM5YNWQGH4RDSMFGNH2ASVSLMDXD3H7V5MZSUKM5VWX2BOCZ"}"]')


def jetstream():
    store = f'store_dir: "{DIR}/js"'
    sized = store + ", max_mem: 10MB, max_file: 10MB"
    row("jetstream off>on", "", f"jetstream {{ {sized} }}")
    row("jetstream on>off", f"jetstream {{ {sized} }}", "")
    row("jetstream on>disabled", f"jetstream {{ {sized} }}", f"jetstream {{ enabled: false, {sized} }}")
    row("jetstream dynamic on>off", f"jetstream {{ {store} }}", "")
    for name, before, after in [
        ("max_mem", "1MB", "2MB"), ("max_mem", "2MB", "1MB"), ("max_mem", "", "1MB"),
        ("max_mem", "1MB", ""), ("max_file", "1MB", "2MB"), ("max_file", "2MB", "1MB"),
        ("max_file", "", "1MB"), ("max_file", "1MB", ""), ("domain", "", "hub"),
        ("sync_interval", '"1m"', '"2m"'), ("sync_interval", '"1m"', "always"),
        ("strict", "true", "false"), ("unique_tag", "", '"az:"'),
        ("extension_hint", "", "no_extend"), ("max_outstanding_catchup", "", "32MB"),
        ("max_buffered_msgs", "", "1000"), ("max_buffered_size", "", "32MB"),
        ("request_queue_limit", "", "1000"), ("info_queue_limit", "", "1000"),
        ("meta_compact", "", "5"), ("meta_compact_size", "", "5MB"),
        ("meta_compact_sync", "", "true"), ("max_concurrent_io", "16", "32"),
        ("limits", "", "{max_ack_pending: 5}"), ("limits", "{max_ack_pending: 5}", "{max_ack_pending: 6}"),
        ("limits", "", "{duplicate_window: \"1m\"}"),
        ("limits", "", "{batch {max_msgs: 10}}"),
    ]:
        inner = store
        both = 'server_tags: ["az:a"]'
        block("jetstream", name, before, after, inner=inner, both=both)
    block("jetstream", "store_dir", f'"{DIR}/js1"', f'"{DIR}/js2"')
    block("jetstream", "store_dir", f'"{DIR}/js3"', "")
    js = f"jetstream {{ {sized} }}"
    row("jetstream of an account", f"{js}\naccounts {{ A {{}} }}",
        f"{js}\naccounts {{ A {{ jetstream: enabled }} }}")


def peers():
    cluster = f"name: c, listen: 127.0.0.1:{PORTS[3]}"
    row("cluster off>on", "", f"cluster {{ {cluster} }}")
    for name, before, after in [
        ("pool_size", "3", "4"), ("accounts", "", "[A]"), ("compression", "off", "s2_fast"),
        ("no_advertise", "false", "true"), ("advertise", "", '"x:1"'),
        ("connect_retries", "1", "2"), ("connect_backoff", "false", "true"),
        ("ping_interval", '"20s"', '"10s"'), ("ping_max", "2", "3"),
        ("write_deadline", '"10s"', '"5s"'), ("write_timeout", "retry", "close"),
        ("permissions", "", "{import: x}"), ("authorization", "", "{user: a, password: b}"),
        ("routes", "", f'["nats://127.0.0.1:{PORTS[7]}"]'),
    ]:
        block("cluster", name, before, after, inner=cluster, both="accounts { A {} }")
    row("cluster.name", f"cluster {{ {cluster} }}", f"cluster {{ {cluster.replace('name: c', 'name: d')} }}")
    gateway = f"name: g, listen: 127.0.0.1:{PORTS[4]}"
    row("gateway off>on", "", f"gateway {{ {gateway} }}")
    for name, before, after in [
        ("advertise", "", '"x:1"'), ("connect_retries", "1", "2"),
        ("connect_backoff", "false", "true"), ("reject_unknown_cluster", "false", "true"),
        ("write_deadline", '"10s"', '"5s"'), ("write_timeout", "retry", "close"),
        ("authorization", "", "{user: a, password: b}"),
    ]:
        block("gateway", name, before, after, inner=gateway)
    leaf = f"listen: 127.0.0.1:{PORTS[5]}"
    row("leafnodes off>on", "", f"leafnodes {{ {leaf} }}")
    remote = f'url: "nats://127.0.0.1:{PORTS[7]}"'
    for name, before, after in [
        ("advertise", "", '"x:1"'), ("no_advertise", "false", "true"),
        ("min_version", "", '"2.10.0"'), ("compression", "off", "s2_fast"),
        ("isolate_leafnode_interest", "false", "true"), ("reconnect", '"1s"', '"2s"'),
        ("write_deadline", '"10s"', '"5s"'), ("write_timeout", "retry", "close"),
        ("authorization", "", "{user: a, password: b}"), ("remotes", "", f"[{{ {remote} }}]"),
        ("remotes", f"[{{ {remote} }}]", f"[{{ {remote}, disabled: true }}]"),
        ("remotes", f"[{{ {remote} }}]", f"[{{ {remote}, hub: true }}]"),
    ]:
        block("leafnodes", name, before, after, inner=leaf)
    mqtt = f"listen: 127.0.0.1:{PORTS[6]}"
    js = f'server_name: m\njetstream {{ store_dir: "{DIR}/mqtt" }}'
    row("mqtt off>on", "", f"mqtt {{ {mqtt} }}", both=js)
    for name, before, after in [
        ("ack_wait", '"30s"', '"20s"'), ("max_ack_pending", "100", "50"),
        ("js_api_timeout", '"5s"', '"4s"'), ("stream_replicas", "1", "2"),
        ("consumer_memory_storage", "false", "true"), ("reject_qos2_publish", "false", "true"),
        ("consumer_inactive_threshold", '"5m"', '"4m"'), ("js_domain", "", "hub"),
        ("downgrade_qos2_subscribe", "false", "true"), ("authorization", "", "{timeout: 3}"),
        ("consumer_replicas", "", "1"),
    ]:
        block("mqtt", name, before, after, inner=mqtt, both=js)


def outcome(binary, name, before, after):
    """`live`, `refused: why`, or why it cannot be told."""
    home = Path(tempfile.mkdtemp(dir=DIR))
    # Each server has ports of its own, and its own directories for stores and accounts.
    port, http = free_port(), free_port()
    free = {str(p): str(free_port()) for p in PORTS}

    def whole(text):
        for old, new in free.items():
            text = text.replace(old, new)
        text = re.sub(rf'(dir: ")({DIR})/', rf"\1{home}/", text)
        named = "" if "server_name" in text else "server_name: x\n"
        listen = f"port: {port}\n" if "host:" in text.split("\n")[0] else f"listen: 127.0.0.1:{port}\n"
        return f"{named}{listen}http: 127.0.0.1:{http}\n{text}\n"

    conf, log = home / "conf", home / "log"
    conf.write_text(whole(before))
    with open(log, "ab") as out:
        proc = subprocess.Popen([binary, "-c", str(conf)], cwd=home, stdin=subprocess.DEVNULL,
                                stdout=out, stderr=out)
    try:
        def text():
            extra = DIR / "x.log"
            return log.read_text(errors="replace") + (
                extra.read_text(errors="replace") if name.startswith("log_file")
                and extra.exists() else "")
        try:
            until(lambda: "Server is ready" in text(), "it starts", 10)
        except AssertionError:
            return "does not start: " + " | ".join(text().splitlines()[-3:])
        conf.write_text(whole(after))
        proc.send_signal(signal.SIGHUP)
        ended = re.compile(r"Reloaded server configuration|Failed to reload server configuration: .*"
                           r"|\[FTL\].*")
        found = until(lambda: ended.search(text()), "the reload ends", 10).group(0)
        if found.startswith("Reloaded"):
            late = re.search(r"\[(WRN|ERR)\].*", text()[text().index("Server is ready"):])
            return "live" + (f" ({late.group(0)})" if late else "")
        return "refused: " + found.split(": ", 1)[-1]
    except AssertionError as e:
        return f"nothing: {e}: " + " | ".join(text().splitlines()[-3:])
    finally:
        proc.kill()
        proc.wait()
        shutil.rmtree(home, ignore_errors=True)


def compare(entry):
    name, before, after, differs = entry
    return entry, outcome(OURS, name, before, after), outcome(THEIRS, name, before, after)


def kind(text):
    return re.split(r":| \(", text)[0]


for group in (top_level, transport, logins, operators, jetstream, peers):
    group()
wanted = [r for r in ROWS if suite.wanted(r[0])]
verbose = os.environ.get("RELOAD_TABLE")
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for (name, _, _, differs), ours, theirs in pool.map(compare, wanted):
        if verbose:
            print("\t".join(repr(t[:200]) for t in (name, ours, theirs)), flush=True)
            continue
        with suite.check(name):
            if differs:
                equal(kind(ours) in ("live", "refused"), True, ours)
                equal(kind(ours) != kind(theirs), True, f"no longer different: {differs}")
            else:
                equal(kind(ours), kind(theirs), f"{ours} / {theirs}")
                equal(kind(ours) in ("live", "refused"), True, ours)
shutil.rmtree(DIR, ignore_errors=True)
suite.done()
