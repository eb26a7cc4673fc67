# SPDX-License-Identifier: PostgreSQL
"""Workloads in which bytes pass."""
import os
import time

from .clients import Times, copy_in, pgbench, psql
from .machine import Failed


def one_cpu(row, bench):
    """One client with client, proxy and server on one CPU: the CPU time of the whole path, which is what a
    query waits for, and not where the scheduler happens to put the three."""
    every = os.sched_getaffinity(0)
    processes = [bench.cluster.process, *row.processes()]
    try:
        for process in processes:
            process.pin({max(every)})
        os.sched_setaffinity(0, {max(every)})
        tps, _ = pgbench(row, "-T", str(bench.o.seconds), "-c1", "-M", "simple")
        return {"us": 1e6 / tps}
    finally:
        os.sched_setaffinity(0, every)
        for process in processes:
            process.pin(every)


def transactions(row, bench, *args, tls=False):
    with Times() as times:
        before = row.cpu()
        tps, done = pgbench(row, "-T", str(bench.o.seconds), "-M", "prepared", "--sampling-rate=0.25", *times.args, *args,
                            tls=tls)
        cpu = row.cpu() - before
        found = {"tps": tps}
        found.update(zip(("p50", "p99", "p999"), times.percentiles(0.5, 0.99, 0.999)))
    if row.process:
        found["cpu"] = cpu * 1e6 / done
    return found


def prepared(row, bench):
    return transactions(row, bench, "-c16", "-j1")


def over_tls(row, bench):
    return transactions(row, bench, "-c16", "-j1", tls=True)


def workers(row, bench):
    return transactions(row, bench, "-c32", f"-j{min(4, len(os.sched_getaffinity(0)))}")


def moved(row, mb, carry):
    """MB/s and CPU of a carry of so many MB."""
    before, begin = row.cpu(), time.monotonic()
    carry()
    took = time.monotonic() - begin
    found = {"mbs": mb / took}
    if row.process:
        found["cpu_gb"] = (row.cpu() - before) * 1000 / mb
    return found


def rows_of(mb):
    return f"COPY (SELECT repeat('x', 999) FROM generate_series(1, {mb * 1000})) TO STDOUT"


def copy_out(row, bench):
    return moved(row, bench.o.mb, lambda: psql(row, rows_of(bench.o.mb)))


def copy_in_rows(row, bench):
    return moved(row, bench.o.mb, lambda: copy_in(row, bench.o.mb))


def copy_in_tls(row, bench):
    return moved(row, bench.o.mb, lambda: copy_in(row, bench.o.mb, tls=True))


def copy_out_tls(row, bench):
    return moved(row, bench.o.mb, lambda: psql(row, rows_of(bench.o.mb), tls=True))


def big_row(row, bench):
    """One row of 100 MB; what the proxy's memory grew by meanwhile, at the most."""
    resident = 0
    if row.process:
        row.process.forget_peak()
        resident, _ = row.process.memory_now_and_peak()
    found = moved(row, 100, lambda: psql(row, "SELECT repeat('x', 100000000)"))
    if row.process:
        found["peak"] = (row.process.memory_now_and_peak()[1] - resident) / 1000
    return found


def pool(row, bench):
    """Many clients on few server connections; their logins are not counted."""
    o = bench.o
    mode = "prepared" if bench.pgbouncer_prepares else "extended"

    def clients(turns, *args):
        before = row.cpu()
        tps, done = pgbench(row, f"-c{o.clients}", "-j1", "-M", mode, "-t", str(turns), *args)
        return tps, row.cpu() - before, done

    with Times() as times:
        _, login_cpu, logins = clients(1)
        tps, cpu, done = clients(o.turns, *times.args)
        percentiles = times.percentiles(0.5, 0.99, 0.999)
    if done != o.clients * o.turns:
        raise Failed(f"{done} transactions of {o.clients * o.turns}")
    return {"tps": tps, "cpu": (cpu - login_cpu) * 1e6 / (done - logins), **dict(zip(("p50", "p99", "p999"), percentiles))}
