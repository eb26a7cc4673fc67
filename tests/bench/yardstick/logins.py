# SPDX-License-Identifier: PostgreSQL
"""Workloads of new sessions."""
import statistics
import subprocess
import time

from .clients import ask_for_tls, close_all, log_in, pgbench, receive
from .cluster import DB, PASSWORD, PROVING, TRUSTED
from .machine import Failed


def new_sessions(row, bench, user=TRUSTED, tls=False):
    """A new session for each transaction, four at a time."""
    before = row.cpu()
    rate, done = pgbench(row, "-C", "-c4", "-j1", "-M", "simple", "-T", str(bench.o.seconds), user=user, tls=tls)
    found = {"rate": rate}
    if row.process:
        found["cpu"] = (row.cpu() - before) * 1e6 / done
    return found


def trusted(row, bench):
    return new_sessions(row, bench)


def proving(row, bench):
    return new_sessions(row, bench, user=PROVING)


def shaking_hands(row, bench):
    return new_sessions(row, bench, tls=True)


def resuming(row, bench):
    """New sessions, one at a time, each of which offers to resume the TLS session of the one before it; `resumed`: the
    part that was. No proxy can resume at PostgreSQL, which gives no tickets."""
    last, resumed, done, before, begin = None, 0, 0, row.cpu(), time.monotonic()
    while time.monotonic() - begin < bench.o.seconds:
        s = log_in(row.port, tls=True, resume=last)
        resumed += s.session_reused
        last = s.session
        s.close()
        done += 1
    took = time.monotonic() - begin
    return {"rate": done / took, "cpu": (row.cpu() - before) * 1e6 / done, "resumed": resumed / done}


def storm_once(row, bench, rate):
    before = row.cpu()
    argv = [bench.program("tests/tools/storm"), str(rate), str(bench.o.seconds), str(row.port), PROVING, PASSWORD, DB]
    run = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                         timeout=60)
    if run.returncode:
        raise Failed(run.stderr.strip())
    words = run.stdout.split()
    said = dict(zip(words[::2], map(int, words[1::2])))
    said["cpu"] = row.cpu() - before
    return said


def storm(row, bench):
    """SCRAM logins, so many a second, beside a session that runs SELECT 1."""
    quiet, loud = storm_once(row, bench, 0), storm_once(row, bench, bench.o.rate)
    if loud["refused"]:
        raise Failed(f"{loud['refused']} logins were refused")
    return {"logins": loud["logins"], "cpu": (loud["cpu"] - quiet["cpu"]) * 1e6 / loud["logins"],
            "login": loud["login_p50_us"], "quiet": quiet["query_p99_us"], "p99": loud["query_p99_us"]}


def time_logins(row, turns=300):
    """us of one in the middle."""
    took = []
    for _ in range(turns):
        begin = time.monotonic()
        log_in(row.port).close()
        took.append((time.monotonic() - begin) * 1e6)
    return statistics.median(took)


def beside_silent(row, bench):
    """How long a login takes, and how long while many connections say nothing behind their SSLRequest."""
    silent = []
    try:
        time_logins(row)
        alone = time_logins(row)
        silent = [ask_for_tls(row.port) for _ in range(bench.o.silent)]
        for s in silent:
            receive(s, 1)
        beside = time_logins(row)
        return {"alone": alone, "beside": beside, "grown": beside / alone}
    finally:
        close_all(silent)
