# SPDX-License-Identifier: PostgreSQL
"""Workloads in which bytes pass."""
import os
import time

from .clients import Times, copy_in, pgbench, psql, read
from .machine import Failed, write
from .rows import FAR_MS


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


def transactions(row, bench, *args, sampled=0.25, **kw):
    with Times() as times:
        before = row.cpu()
        tps, done = pgbench(row, "-T", str(bench.o.seconds), "-M", "prepared", f"--sampling-rate={sampled}", *times.args, *args,
                            **kw)
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


# ---- reads nearby ----

AID = "\\set aid random(1, 100000 * :scale)\n"
READ = "SELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
WRITE = "UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n"


def nearby(row, bench, mode, statements=READ, reads=1, **kw):
    """16 clients of a row that reads nearby, or at home beside it: from a pool that is warm, and once its probes have told
    it what its nodes are. So many of a transaction's statements are reads."""
    args = ("-c16", "-j1", "-M", mode)
    script = ("-f", write(f"{row.dir}/script", AID + statements), "-s", str(bench.o.scale))
    end = time.monotonic() + 20
    while read(row, "SELECT current_setting('port')") != str(row.answers):
        if time.monotonic() > end:
            raise Failed("it does not read where it should")
    pgbench(row, *args, "-t", "3", script=script)
    time.sleep(10 * FAR_MS / 1000)  # what is done to server connections behind their clients
    before = read_nearby(row)
    found = transactions(row, bench, *args, script=script, **kw)
    seen = read_nearby(row) - before
    wanted = bench.o.seconds * found["tps"] * reads if row.answers == bench.standby_port else 0
    if not 0.9 * wanted <= seen <= 1.1 * wanted:
        raise Failed(f"{seen} reads nearby, and not {wanted:.0f}")
    return found


def read_nearby(row):
    """How many transactions so far."""
    return sum(int(transactions) for _, _, runs, _, transactions, *_ in row.console("SHOW READS") if runs == "near")


def near_simple(row, bench):
    return nearby(row, bench, "simple")


def near_prepared(row, bench):
    return nearby(row, bench, "prepared")


# By the simple protocol: pgbench prepares the statements of its clients one after the other, each a round trip.
def far_read(row, bench):
    return nearby(row, bench, "simple", sampled=1)


def far_write(row, bench):
    return nearby(row, bench, "simple", statements=WRITE, reads=0, sampled=1)


def far_write_read(row, bench):
    return nearby(row, bench, "simple", statements=WRITE + READ, sampled=1)
