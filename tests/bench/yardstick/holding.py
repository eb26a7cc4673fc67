# SPDX-License-Identifier: PostgreSQL
"""Memory of sessions that do nothing. The proxy is fresh, so that nothing hides what a burst of load left, and the
node is tests/bench/node: only the proxy's own pages are counted, not the kernel's for its sockets. Where a process may not
have the descriptors for as many as are asked for, they are as many as it may have."""
import time

from .clients import ask_for_tls, close_all, log_in, receive, select_1
from .machine import Failed, descriptors
from .rows import possible


def idle_session(port, tls):
    s = log_in(port, tls)
    select_1(s)
    return s


def hold(row, asked, tls):
    """kB for each of so many sessions that have run a query, and how many of them answer when asked again."""
    held = []
    n = possible(row.name, asked)
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
        return {"kb": each, "asked": asked, "held": len(held), "part": len(held) / n}
    finally:
        close_all(held)


def silent(row, asked):
    """kB for each of so many connections that have asked for TLS, were told yes, and say no more."""
    n = min(asked, descriptors() - 300)
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
        return {"kb": (row.process.pss() - before) / n, "asked": asked, "held": len(held)}
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
