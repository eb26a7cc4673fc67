# SPDX-License-Identifier: PostgreSQL
"""System calls and wake-ups. One client: strace -c, what 1,001 transactions make less what one makes, as strace sees
everything but slows the proxy down. Under load: perf, which does not."""
import collections
import re
import signal
import statistics
import subprocess
import time

from .clients import close_all, log_in, pgbench, psql, select_1
from .machine import Failed, find, slurp
from .speed import rows_of

MANY = 1500  # transactions of each of 16 clients
TIMES = 5  # under load, counts are a matter of who comes together with whom: the median


def strace(row, bench, work):
    """Calls by name that the proxy's workers make during work()."""
    out = f"{bench.dir}/strace.out"
    threads = [word for tid in row.process.workers() for word in ("-p", tid)]
    with subprocess.Popen(["strace", "-c", "-U", "calls,name", "-o", out, *threads],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tracer:
        if "attached" not in tracer.stderr.readline():
            raise Failed("strace may not look at it")
        try:
            work()
        finally:
            time.sleep(0.1)
            tracer.send_signal(signal.SIGINT)
            tracer.stderr.read()
    return collections.Counter({name: int(calls) for calls, name in re.findall(r"^\s*(\d+)\s+(\w+)$", slurp(out), re.M)
                                if name != "total"})


def perf(row, bench, work):
    """System calls during work(); nothing where perf may not look."""
    out = f"{bench.dir}/perf.out"
    with subprocess.Popen(["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o", out, "-t",
                           ",".join(row.process.workers())], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tracer:
        time.sleep(0.5)
        try:
            work()
        finally:
            time.sleep(0.1)
            tracer.send_signal(signal.SIGINT)
    counted = re.search(r"^(\d+),.*raw_syscalls:sys_enter", slurp(out), re.M)
    return int(counted.group(1)) if counted else None


def count(row, bench, work):
    """System calls during work(), by perf if possible."""
    seen = perf(row, bench, work) if find("perf") else None
    return strace(row, bench, work).total() if seen is None else seen


def of_one_client(row, bench):
    one, more = [strace(row, bench, lambda n=n: pgbench(row, "-c1", "-M", "simple", "-t", str(n))) for n in (1, 1001)]
    each = {name: (calls - one[name]) / 1000 for name, calls in more.items()}
    shown = sorted(((calls, name) for name, calls in each.items() if calls >= 0.005), reverse=True)
    return {"calls": sum(each.values()), "which": ", ".join(f"{name} {calls:.4g}" for calls, name in shown)}


def of_many_clients(row, bench):
    few, many = [count(row, bench, lambda n=n: pgbench(row, "-c16", "-j1", "-M", "prepared", "-t", str(n)))
                 for n in (1, MANY + 1)]
    return (many - few) / (16 * MANY)


def calls(row, bench):
    found = of_one_client(row, bench)
    found["calls16"] = statistics.median(of_many_clients(row, bench) for _ in range(TIMES))
    found["calls_mb"] = statistics.median(count(row, bench, lambda: psql(row, rows_of(bench.o.mb))) / bench.o.mb
                                          for _ in range(TIMES))
    return found


def wake_ups(row, bench):
    """A second, while 100 sessions sit idle."""
    held = []
    try:
        for _ in range(100):
            held.append(log_in(row.port))
            select_1(held[-1])
        time.sleep(1)
        before = row.process.wake_ups()
        time.sleep(10)
        return {"wake_ups": (row.process.wake_ups() - before) / 10}
    finally:
        close_all(held)
