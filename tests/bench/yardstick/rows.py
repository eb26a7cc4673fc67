# SPDX-License-Identifier: PostgreSQL
"""What is measured: no proxy, a floor, the peers, and Meridian. One thread each unless it says otherwise.

A function of a row gets (bench, row, site) and writes its configuration into row.dir; it returns the command.
"""
import dataclasses
import os
import re
import signal
import subprocess
import time

from .cluster import DB, PROVING, TRUSTED
from .machine import Failed, Process, as_service, descriptors, find, free_port, own, slurp, write

FAR_MS = 40  # one way


@dataclasses.dataclass
class Site:
    """Where a row is to lead, and how many sessions it must hold."""
    port: int
    sessions: int = 100
    key: str = "rsa"


def floor(bench, row, site):
    return [bench.program("tests/bench/floor"), str(row.port), str(site.port)]


def haproxy(bench, row, site):
    return ["haproxy", "-db", "-f", write(f"{row.dir}/haproxy.cfg", f"""
global
    nbthread 1
    maxconn {min(site.sessions + 300, descriptors() // 2 - 50)}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen pg
    bind 127.0.0.1:{row.port} backlog 4096
    server pg 127.0.0.1:{site.port}
""")]


def knows_prepared(program):
    """Whether this PgBouncer knows prepared statements in transactions: since 1.21."""
    if not find(program):
        return True
    said = subprocess.run([program, "-V"], stdout=subprocess.PIPE, text=True, check=False).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    return bool(version) and tuple(map(int, version.groups())) >= (1, 21)


def pgbouncer(bench, row, site, mode="session", sslmode="disable"):
    cert, key = bench.cluster.certificates[site.key]
    size = site.sessions if mode == "session" else bench.o.pool
    prepared = "max_prepared_statements = 200" if mode == "transaction" and bench.pgbouncer_prepares else ""
    write(f"{row.dir}/hba", f"host all {PROVING} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
    return [bench.pgbouncer, "-q", write(f"{row.dir}/pgbouncer.ini", f"""
[databases]
* = host=127.0.0.1 port={site.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {row.port}
listen_backlog = 4096
unix_socket_dir =
auth_type = hba
auth_hba_file = {row.dir}/hba
auth_file = {bench.cluster.users}
pool_mode = {mode}
max_client_conn = {site.sessions + 8000}
default_pool_size = {size}
client_login_timeout = 600
query_wait_timeout = 0
client_tls_sslmode = allow
client_tls_cert_file = {cert}
client_tls_key_file = {key}
server_tls_sslmode = {sslmode}
log_connections = 0
log_disconnections = 0
log_stats = 0
{prepared}
""")]


def meridian(bench, row, site, workers=1, pool=None, sslmode="disable"):
    cert, key = bench.cluster.certificates[site.key]
    write(f"{row.dir}/hba", f"host all {PROVING} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
    login = f"auth = hba\nhba_file = {row.dir}/hba\nauth_file = {bench.cluster.users}\n" if pool else ""
    size = site.sessions if pool == "session" else bench.o.pool
    return [bench.program("meridian" + OTHER if row.name.endswith(OTHER) else "meridian"), write(f"{row.dir}/meridian.conf", f"""
[meridian]
listen = 127.0.0.1:{row.port}
listen_backlog = 4096
workers = {workers}
gazetteer = off
http = {"on" if row.name in BRIDGED else "off"}
max_client_conn = {site.sessions + 8000}
client_login_timeout = 600s
default_pool_size = {size}
query_wait_timeout = 0
tls_cert_file = {cert}
tls_key_file = {key}
log_connections = no
log_disconnections = no
{login}
[database {DB}]
pool = {pool or "off"}

[region here]
nodes = 127.0.0.1:{site.port}
location = 0, 0
sslmode = {sslmode}
""")]


def nearby(bench, row, site, reads, far=False):
    """A pool of transactions whose home is another node than the standby beside it, for clients that are where that is."""
    home = bench.far_port if far else site.port
    row.answers = bench.standby_port if reads == "nearest" else site.port
    return [bench.program("meridian" + OTHER if row.name.endswith(OTHER) else "meridian"), write(f"{row.dir}/meridian.conf", f"""
[meridian]
listen = 127.0.0.1:{row.port}, {row.dir}
listen_port = {row.port}
workers = 1
gazetteer = off
auth = trust
default_pool_size = {bench.o.pool}
query_wait_timeout = 0
region = nearby
probe_conninfo = user={TRUSTED} dbname={DB}
log_connections = no
log_disconnections = no

[database {DB}]
pool = transaction
reads = {reads}

[region home]
nodes = 127.0.0.1:{home}
location = 50, 0
sslmode = disable

[region nearby]
nodes = 127.0.0.1:{bench.standby_port}
location = 0, 0
sslmode = disable
""")]


def of(function, **kw):
    return lambda bench, row, site: function(bench, row, site, **kw)


ROWS = {
    "direct": (None, "no proxy"),
    "floor": (floor, "tests/bench/floor.c: epoll, recv, send; knows nothing of what passes"),
    "haproxy": (haproxy, "mode tcp, one thread"),
    "pgbouncer": (pgbouncer, "pool_mode = session"),
    "meridian": (meridian, "one worker, no pools: a server connection for each session"),
    "meridian-2": (of(meridian, workers=2), "the same with two workers"),
    "meridian-4": (of(meridian, workers=4), "the same with four workers"),
    "pgbouncer-tx": (of(pgbouncer, mode="transaction"), "pool_mode = transaction"),
    "pooled": (of(meridian, pool="transaction"), "Meridian, one worker, pool = transaction"),
    "pooled-session": (of(meridian, pool="session"), "Meridian, one worker, pool = session"),
    "pgbouncer-tls": (of(pgbouncer, sslmode="require"), "`pgbouncer` with TLS to the node: server_tls_sslmode = require"),
    "meridian-tls": (of(meridian, sslmode="require"), "`meridian` with TLS to the node: sslmode = require"),
    "pooled-tls": (of(meridian, pool="transaction", sslmode="require"), "`pooled` with TLS to the node"),
    "pooled-session-tls": (of(meridian, pool="session", sslmode="require"), "`pooled-session` with TLS to the node"),
    "pooled-home": (of(nearby, reads="home"), "`pooled` between a primary and a standby that is nearer: reads = home"),
    "pooled-near": (of(nearby, reads="nearest"), "the same with reads = nearest"),
    "far-home": (of(nearby, reads="home", far=True), f"`pooled-home` whose home is {FAR_MS} ms away, each way (tests/tools/delay)"),
    "far-near": (of(nearby, reads="nearest", far=True), "the same with reads = nearest"),
    "bridged": (meridian, "Meridian behind tests/tools/bridge, which carries the bytes as they are"),
    "websocket": (meridian, "the same, which carries them in the frames of a WebSocket"),
}
# The same by another build, the program in OTHER: what a change costs is a ratio of one run.
OTHER = "-other"
if os.environ.get("OTHER"):
    ROWS.update({name + OTHER: (ROWS[name][0], f"`{name}` by the build in OTHER")
                 for name in ("meridian", "pooled", "pooled-session", "meridian-tls", "pooled-session-tls", "pooled-home",
                              "pooled-near", "far-home", "far-near")})
NEARBY = ["pooled-home", "pooled-near", "far-home", "far-near"]  # they need a standby
BRIDGED = {"bridged": ["--plain"], "websocket": []}


def kind(name):
    """The row that this one is, by whichever build."""
    return name.removesuffix(OTHER)


def possible(name, n):
    """So many sessions, or those for which there are descriptors: in a pool of transactions one each, else two."""
    return min(n, (descriptors() - 300) // (1 if kind(name) in ("pgbouncer-tx", "pooled") else 2))


class Row:
    def __init__(self, name, bench):
        self.name, self.bench = name, bench
        self.function, self.note = ROWS[name]
        self.dir = f"{bench.dir}/{name}"
        self.process = self.bridge = self.argv = None
        os.makedirs(self.dir, exist_ok=True)
        own(self.dir, 0o755)

    def start(self, site):
        """Start it, in front of that site."""
        if not self.function:
            self.port = site.port
            return
        self.port = free_port()
        self.argv = self.function(self.bench, self, site)
        stop = signal.SIGINT if "pgbouncer" in self.argv[0] else signal.SIGTERM
        self.process = Process(self.argv, f"{self.dir}/log", stop, self.dir)
        self.process.wait_port(self.port)
        if self.name in BRIDGED:
            self.start_bridge()
        time.sleep(0.2)

    def start_bridge(self):
        log = f"{self.dir}/bridge.log"
        self.bridge = Process([self.bench.program("tests/tools/bridge"), *BRIDGED[self.name], f"127.0.0.1:{self.port}"],
                              log, cwd=self.dir)
        for _ in range(500):
            said = re.match(r"port (\d+)\n", slurp(log))
            if said:
                self.port = int(said.group(1))
                return
            time.sleep(0.02)
        raise Failed("the bridge did not start")

    def console(self, command):
        """What the console of one that has a unix socket says: its rows, as lists."""
        said = subprocess.run(["psql", "-XAtq", "-F|", "-h", self.dir, "-p", str(self.port), "-d", "meridian", "-c", command],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **as_service())
        if said.returncode:
            raise Failed(said.stderr.strip()[-200:])
        return [line.split("|") for line in said.stdout.splitlines()]

    def processes(self):
        return [p for p in (self.process, self.bridge) if p]

    def cpu(self):
        return self.process.cpu() if self.process else 0.0

    def pause(self):
        """Who is not in turn must not take any CPU."""
        for process in self.processes():
            process.pause()

    def resume(self):
        for process in self.processes():
            process.resume()
        if self.process:
            time.sleep(0.15)  # for what has fallen due meanwhile

    def stop(self):
        for process in reversed(self.processes()):
            process.stop()
        self.process = self.bridge = None

    def version(self):
        if not self.argv or "floor" in self.name:
            return ""
        said = subprocess.run([self.argv[0], "-v" if self.name == "haproxy" else "--version"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False).stdout
        found = re.search(r"\d+\.\d+[\w.~-]*", said)
        return found.group(0) if found else ""
