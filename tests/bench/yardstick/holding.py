# SPDX-License-Identifier: PostgreSQL
"""Memory of sessions that do nothing. The proxy is fresh, so that nothing hides what a burst of load left, and the
node is tests/bench/node: only the proxy's own pages are counted, not the kernel's for its sockets."""
import time

from .clients import ask_for_tls, close_all, log_in, receive, select_1
from .machine import Failed


def idle_session(port, tls):
    s = log_in(port, tls)
    select_1(s)
    return s


def hold(row, n, tls):
    """kB for each of n sessions that have run a query, and how many of them answer when asked again."""
    held = []
    try:
        for _ in range(3):
            idle_session(row.port, tls).close()
        time.sleep(0.3)
        before = row.process.pss()
        for _ in range(n):
            held.append(idle_session(row.port, tls))
        time.sleep(0.5)
        each = (row.process.pss() - before) / n
        for s in held:
            select_1(s)
        return {"kb": each, "held": len(held)}
    finally:
        close_all(held)


def silent(row, n):
    """kB for each of n connections that have asked for TLS, were told yes, and say no more."""
    held = []
    try:
        log_in(row.port, True).close()
        time.sleep(0.3)
        before = row.process.pss()
        held = [ask_for_tls(row.port) for _ in range(n)]
        for s in held:
            if receive(s, 1) != b"S":
                raise Failed("TLS is refused")
        time.sleep(0.3)
        return {"kb": (row.process.pss() - before) / n, "held": len(held)}
    finally:
        close_all(held)


def some(row, bench):
    return hold(row, bench.o.sessions, False)


def some_tls(row, bench):
    return hold(row, bench.o.sessions, True)


def some_silent(row, bench):
    return silent(row, bench.o.sessions)


def many(row, bench):
    return hold(row, bench.o.idle, False)


def many_tls(row, bench):
    return hold(row, bench.o.idle, True)


def many_silent(row, bench):
    return silent(row, bench.o.idle)
