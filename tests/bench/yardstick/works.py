# SPDX-License-Identifier: PostgreSQL
"""The table of workloads, and that of what they measure."""
import dataclasses
import typing

from . import counting, holding, logins, speed

SESSIONS = ["direct", "floor", "haproxy", "pgbouncer", "meridian"]
EVERY = SESSIONS + ["pgbouncer-tx", "pooled"]
PROXIES = EVERY[1:]
ENDING_TLS = ["pgbouncer", "meridian", "pgbouncer-tx", "pooled"]
FRAMES = ["bridged", "websocket"]
POOLS = ["pgbouncer-tx", "pooled"]
WITH_POOLS = EVERY + ["pooled-session"]
NEAR = ["pooled-home", "pooled-near"]
FAR = ["far-home", "far-near"]
NODE_TLS = ["pgbouncer-tls", "meridian-tls", "pooled-tls", "pooled-session-tls"]  # the far leg as it is in real life


@dataclasses.dataclass
class Work:
    title: str
    run: typing.Callable
    rows: list
    once: bool = False  # one round is enough
    fine: bool = False  # its targets are a matter of a few per cent: twice as many rounds
    fresh: str = ""  # each row is started anew for it, alone, in front of: node, cluster
    sessions: str = ""  # the option that says how many sessions the row must hold
    key: str = "rsa"
    prepares: bool = False  # statements, which an old PgBouncer does not know in a pool of transactions
    quick: bool = False


def held(title, run, rows, sessions, **kw):
    """Sessions or connections that do nothing."""
    return Work(title, run, rows, once=True, fresh="node", sessions=sessions, **kw)


WORKS = {
    "one-cpu": Work("One client, simple protocol; client, proxy and server on one CPU", speed.one_cpu, EVERY, fine=True,
                    quick=True),
    "prepared": Work("16 clients, prepared statements", speed.prepared, WITH_POOLS + FRAMES, fine=True, prepares=True,
                     quick=True),
    "tls": Work("16 clients, prepared statements, TLS (`floor` and `haproxy` leave it to PostgreSQL)", speed.over_tls,
                WITH_POOLS, fine=True, prepares=True, quick=True),
    "workers": Work("32 clients, prepared statements, more workers", speed.workers,
                    ["direct", "meridian", "meridian-2", "meridian-4"]),
    "copy-out": Work("COPY TO STDOUT", speed.copy_out, EVERY + FRAMES, quick=True),
    "copy-in": Work("COPY FROM STDIN", speed.copy_in_rows, EVERY),
    "copy-out-tls": Work("COPY TO STDOUT over TLS", speed.copy_out_tls, EVERY),
    "row": Work("One row of 100 MB", speed.big_row, EVERY),
    "login": Work("A new session for each transaction, 4 clients", logins.trusted, WITH_POOLS, fine=True, quick=True),
    "login-scram": Work("A new session by SCRAM (`floor`, `haproxy` and `meridian` leave it to PostgreSQL)", logins.proving,
                        WITH_POOLS),
    "login-rsa": Work("A new session over TLS, RSA key of 2,048 bits, no resumption", logins.shaking_hands, ENDING_TLS,
                      fresh="cluster"),
    "login-ecdsa": Work("A new session over TLS, ECDSA key (P-256), no resumption", logins.shaking_hands, ENDING_TLS,
                        fresh="cluster", key="ecdsa"),
    "one-cpu-node-tls": Work("One client on one CPU, TLS to the node", speed.one_cpu, ["direct"] + NODE_TLS, fine=True),
    "node-tls": Work("16 clients, prepared statements, TLS to the node", speed.prepared, NODE_TLS, fine=True),
    "both-tls": Work("16 clients, prepared statements, TLS on both legs", speed.over_tls, NODE_TLS, fine=True),
    "copy-out-node-tls": Work("COPY TO STDOUT, TLS to the node", speed.copy_out, NODE_TLS),
    "copy-out-both-tls": Work("COPY TO STDOUT, TLS on both legs", speed.copy_out_tls, NODE_TLS),
    "copy-in-node-tls": Work("COPY FROM STDIN, TLS to the node", speed.copy_in_rows, NODE_TLS),
    "copy-in-both-tls": Work("COPY FROM STDIN, TLS on both legs", speed.copy_in_tls, NODE_TLS),
    "login-node-tls": Work("A new session for each transaction, TLS to the node", logins.trusted, NODE_TLS, fine=True),
    "login-both-tls": Work("A new session over TLS, TLS to the node, no resumption", logins.shaking_hands, NODE_TLS),
    "login-resumed": Work("The same by clients that offer to resume their TLS session", logins.resuming, NODE_TLS),
    "storm": Work("SCRAM logins at a given rate beside a session that runs SELECT 1", logins.storm, POOLS),
    "pool": Work("Many clients on few server connections", speed.pool, POOLS),
    "near-simple": Work("16 clients read at home and nearby, simple protocol", speed.near_simple, NEAR, fine=True),
    "near-prepared": Work("16 clients read at home and nearby, prepared statements", speed.near_prepared, NEAR, fine=True),
    "far-read": Work("16 clients far from home read", speed.far_read, FAR),
    "far-write": Work("16 clients far from home write", speed.far_write, FAR),
    "far-write-read": Work("16 clients far from home write, and read at once what they have written", speed.far_write_read,
                           FAR),
    "calls": Work("System calls of the proxy", counting.calls, PROXIES + NODE_TLS[:3], once=True, quick=True),
    "wake-ups": Work("100 idle sessions", counting.wake_ups, PROXIES, once=True),
    "idle": held("Memory of some idle sessions", holding.some, PROXIES, "sessions", quick=True),
    "idle-tls": held("Memory of some idle sessions over TLS", holding.some_tls, ENDING_TLS, "sessions", quick=True),
    "silent": held("Memory of connections that say nothing behind their SSLRequest", holding.some_silent, ENDING_TLS,
                   "sessions", quick=True),
    "idle-many": held("Memory of many idle sessions", holding.many, PROXIES, "idle"),
    "idle-many-tls": held("Memory of many idle sessions over TLS", holding.many_tls, ENDING_TLS, "idle", key="ecdsa"),
    "silent-many": held("Memory of many connections that say nothing", holding.many_silent, ENDING_TLS, "idle"),
    "beside-silent": held("A login while connections say nothing behind their SSLRequest", logins.beside_silent, ENDING_TLS,
                          "silent"),
}

# name: (heading, whether the ratio to other rows is shown)
MEASURES = {
    "us": ("µs", True),
    "added": ("added, µs", True),
    "tps": ("transactions/s", True),
    "rate": ("sessions/s", True),
    "mbs": ("MB/s", True),
    "resumed": ("resumed", False),
    "cpu": ("CPU, µs each", True),
    "cpu_gb": ("CPU, s/GB", True),
    "p50": ("p50, µs", False),
    "p99": ("p99, µs", True),
    "p999": ("p999, µs", False),
    "peak": ("memory grew by, MB", False),
    "logins": ("logins", False),
    "login": ("a login takes, µs", False),
    "quiet": ("p99 of SELECT 1 alone, µs", False),
    "calls": ("1 client", False),
    "calls16": ("16 clients", False),
    "calls_mb": ("per MB of COPY", False),
    "which": ("1 client, which", False),
    "wake_ups": ("wake-ups/s", False),
    "kb": ("kB each", False),
    "asked": ("asked for", False),
    "held": ("held", False),
    "alone": ("alone, µs", False),
    "beside": ("beside them, µs", False),
    "grown": ("times", False),
}
