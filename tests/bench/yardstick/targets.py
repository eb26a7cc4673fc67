# SPDX-License-Identifier: PostgreSQL
"""What the figures should be. A target is a bound on one figure, or on the ratio of two in the same round."""
import dataclasses
import os
import statistics


@dataclasses.dataclass
class Target:
    what: str
    work: str
    measure: str
    row: str
    bound: float
    most: bool  # at most, or at least
    beside: str = ""  # the ratio to this row; else the figure itself
    added: bool = False  # both less what `direct` takes
    free_cpu: bool = False  # says something only where there are CPUs to spare
    unit: str = ""


def at_most(bound, what, work, measure, row="meridian", **kw):
    return Target(what, work, measure, row, bound, True, **kw)


def at_least(bound, what, work, measure, row="meridian", **kw):
    return Target(what, work, measure, row, bound, False, **kw)


TARGETS = [
    at_most(6, "system calls of a simple query, 1 client", "calls", "calls"),
    at_most(4.4, "system calls of a transaction, 16 clients", "calls", "calls16"),
    at_most(1.03, "the same", "calls", "calls16", beside="floor"),
    at_most(110, "system calls per MB of COPY", "calls", "calls_mb"),
    at_most(1.07, "the same", "calls", "calls_mb", beside="floor"),
    at_most(0, "wake-ups per second with 100 idle sessions", "wake-ups", "wake_ups"),
    at_most(0.97, "CPU per transaction", "prepared", "cpu", beside="pgbouncer"),
    at_most(1.08, "CPU per transaction", "prepared", "cpu", beside="floor"),
    at_most(0.97, "path added on one CPU", "one-cpu", "us", beside="pgbouncer", added=True),
    at_most(1.08, "path added on one CPU", "one-cpu", "us", beside="floor", added=True),
    at_most(0.93, "CPU per transaction, TLS", "tls", "cpu", beside="pgbouncer"),
    at_least(1, "transactions/s, TLS", "tls", "tps", beside="pgbouncer"),
    at_least(1, "transactions/s, 16 clients", "prepared", "tps", beside="pgbouncer"),
    at_least(1, "transactions/s, 16 clients", "prepared", "tps", beside="haproxy"),
    at_most(1, "p99, 16 clients", "prepared", "p99", beside="pgbouncer"),
    at_most(1, "p99, 16 clients", "prepared", "p99", beside="haproxy"),
    at_least(1, "transactions/s, 16 clients, pools", "prepared", "tps", row="pooled-session", beside="pgbouncer"),
    at_most(1, "p99, 16 clients, pools", "prepared", "p99", row="pooled-session", beside="pgbouncer"),
    at_most(0.97, "CPU per transaction, pools", "prepared", "cpu", row="pooled-session", beside="pgbouncer"),
    at_least(1, "transactions/s, two workers", "workers", "tps", row="meridian-2", beside="meridian", free_cpu=True),
    at_least(1.07, "MB/s of COPY out", "copy-out", "mbs", beside="direct"),
    at_most(0.97, "CPU per GB of COPY out", "copy-out", "cpu_gb", beside="pgbouncer"),
    at_least(0.95, "new sessions/s, no pools", "login", "rate", beside="direct"),
    at_most(1.04, "CPU of a new session, no pools", "login", "cpu", beside="floor"),
    at_least(1, "new sessions/s, pools", "login", "rate", row="pooled-session", beside="pgbouncer"),
    at_least(1, "new sessions/s, pools of transactions", "login", "rate", row="pooled", beside="pgbouncer-tx"),
    at_most(1, "CPU of a new session, pools", "login", "cpu", row="pooled-session", beside="pgbouncer"),
    at_most(0.44, "the same", "login", "cpu", row="pooled-session", beside="floor"),
    at_most(1, "CPU of a new session, pools of transactions", "login", "cpu", row="pooled", beside="pgbouncer-tx"),
    at_most(0.44, "the same", "login", "cpu", row="pooled", beside="floor"),
    at_most(1, "CPU of a SCRAM login that ends here", "login-scram", "cpu", row="pooled-session", beside="pgbouncer"),
    at_most(1, "CPU of a SCRAM login that ends here, many a second", "storm", "cpu", row="pooled", beside="pgbouncer-tx"),
    at_most(0.93, "CPU per transaction, TLS to the node", "node-tls", "cpu", row="meridian-tls", beside="pgbouncer-tls"),
    at_most(0.93, "CPU per transaction, TLS on both legs", "both-tls", "cpu", row="meridian-tls", beside="pgbouncer-tls"),
    at_most(0.93, "path added on one CPU, TLS to the node", "one-cpu-node-tls", "us", row="meridian-tls",
            beside="pgbouncer-tls", added=True),
    at_most(0.93, "CPU per GB of COPY out, TLS to the node", "copy-out-node-tls", "cpu_gb", row="meridian-tls",
            beside="pgbouncer-tls"),
    at_most(0.93, "the same, TLS on both legs", "copy-out-both-tls", "cpu_gb", row="meridian-tls", beside="pgbouncer-tls"),
    at_most(0.93, "CPU per GB of COPY in, TLS to the node", "copy-in-node-tls", "cpu_gb", row="meridian-tls",
            beside="pgbouncer-tls"),
    at_most(0.93, "the same, TLS on both legs", "copy-in-both-tls", "cpu_gb", row="meridian-tls", beside="pgbouncer-tls"),
    at_most(0.93, "CPU of a new session, pools, TLS to the node", "login-node-tls", "cpu", row="pooled-session-tls",
            beside="pgbouncer-tls"),
    at_most(0.93, "the same over TLS, no resumption", "login-both-tls", "cpu", row="pooled-session-tls",
            beside="pgbouncer-tls"),
    at_most(0.93, "the same over TLS that clients resume", "login-resumed", "cpu", row="pooled-session-tls",
            beside="pgbouncer-tls"),
    at_most(1.15, "CPU per read nearby", "near-prepared", "cpu", row="pooled-near", beside="pooled-home"),
    at_most(1.15, "the same, simple protocol, no text twice", "near-simple", "cpu", row="pooled-near", beside="pooled-home"),
    at_most(0.1, "p50 of a read far from home", "far-read", "p50", row="far-near", beside="far-home"),
    at_most(0.2, "p99 of a read far from home", "far-read", "p99", row="far-near", beside="far-home"),
    at_most(1.02, "p50 of a write far from home", "far-write", "p50", row="far-near", beside="far-home"),
    at_most(1.1, "p99 of a write far from home", "far-write", "p99", row="far-near", beside="far-home"),
    at_most(0.6, "p50 of a write far from home and a read of it", "far-write-read", "p50", row="far-near", beside="far-home"),
    at_most(0.7, "p99 of a write far from home and a read of it", "far-write-read", "p99", row="far-near", beside="far-home"),
    at_most(1.5, "memory of an idle session", "idle", "kb", unit="kB"),
    at_most(15, "memory of an idle session, TLS", "idle-tls", "kb", unit="kB"),
    at_most(3, "memory of a connection that is silent behind SSLRequest", "silent", "kb", unit="kB"),
    at_least(10000, "idle sessions held, pool of transactions", "idle-many", "held", row="pooled"),
    at_most(1.5, "memory of each of them", "idle-many", "kb", row="pooled", unit="kB"),
    at_least(1, "idle sessions held, of 10,000 or what the limit of descriptors allows", "idle-many", "part"),
    at_most(1.5, "memory of each of them", "idle-many", "kb", unit="kB"),
    at_least(1, "the same over TLS", "idle-many-tls", "part"),
    at_most(15, "memory of each of them, TLS", "idle-many-tls", "kb", unit="kB"),
    at_most(2, "a login beside 5,000 silent connections, times as long", "beside-silent", "grown"),
]


def figures(target, results):
    """Of each round in which there is one."""
    def of(row):
        return [found.get(target.measure) if found else None for found in results.get((row, target.work), [])]

    mine = of(target.row)
    if not target.beside:
        return [value for value in mine if value is not None]
    theirs = of(target.beside)
    none = of("direct") if target.added else [0] * len(mine)
    return [(a - c) / (b - c) for a, b, c in zip(mine, theirs, none) if None not in (a, b, c) and b > c]


def judge(target, results):
    """(median, least, most, verdict); no median where nothing was measured. A target is met where the interval of the
    rounds touches it: no median says more than the rounds differ by."""
    found = figures(target, results)
    if not found:
        return None, None, None, "not measured"
    found = [round(value, 2) for value in found]
    least, most = min(found), max(found)
    best, worst = (least, most) if target.most else (most, least)
    verdict = "yes" if within(target, best) else "**no**"
    if target.free_cpu and len(os.sched_getaffinity(0)) < 4:
        verdict = "no CPU to spare here"
    elif within(target, best) and not within(target, worst):
        verdict += ", within what the rounds differ by"
    return statistics.median(found), least, most, verdict


def within(target, value):
    return value <= target.bound if target.most else value >= target.bound
