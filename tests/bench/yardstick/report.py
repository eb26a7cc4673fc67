# SPDX-License-Identifier: PostgreSQL
"""The figures as markdown: the targets first, then a table for each workload."""
import os
import statistics
import time

from .rows import OTHER
from .targets import TARGETS, judge
from .works import MEASURES, WORKS

HEAD = """# Performance

What Meridian costs beside no proxy at all, a relay that understands nothing (`floor`: what every relay in user space must
cost), PgBouncer and HAProxy, measured in one run on one machine.
`make bench BENCH="--write doc/performance.md"` has written this file.

How: everything is on loopback, in front of one throw-away PostgreSQL (where memory is measured: in front of
tests/bench/node.c, which holds any number of sessions). In each round each row does the same work in turn, in every other
round in the opposite order; who is not in turn is stopped. Figures are medians of the rounds with [least – most]; ratios are
medians of the ratios of each round. CPU is that of the proxy alone, all its threads, from /proc; it holds the work that the
kernel does in the proxy's calls, on loopback also the receiver's part of what it sends. Absolute numbers say something about
this machine only: targets are counts, sizes, and ratios to another row of the same round. A target is met where the interval of
its rounds touches it.

Reads nearby: `pooled-home` and `pooled-near`, `far-home` and `far-near` have two nodes, a primary at home and a standby of it
that is nearer to the clients; of a home that is far, the relay tests/tools/delay is what is between.

COPY: `direct`, `floor`, `haproxy` and `meridian` open a server connection for each; poolers keep theirs, whose receive buffer
the kernel has grown by then (seen: 1 to 13 MB beside 33 MB), so that PostgreSQL need not wait for who reads.

Poolers also lend server processes that are warm from the run before, where the others begin each run with new ones: it shows
in p99. `pooled-session` is what compares with `pgbouncer`, `meridian` with `haproxy`."""


def number(x):
    if isinstance(x, str):
        return x
    if x == int(x):
        return f"{x:,.0f}"
    return f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.1f}" if abs(x) >= 100 else f"{x:.2f}"


def spread(values, form=number):
    """The median, and from where to where where that says more."""
    if not values:
        return "-"
    if isinstance(values[0], str):
        return values[0]
    middle = form(statistics.median(values))
    if len(values) == 1 or form(min(values)) == form(max(values)):
        return middle
    return f"{middle} [{form(min(values))} – {form(max(values))}]"


def ratio(x):
    return f"{x:.2f}"


def middle(values):
    return ratio(statistics.median(values)) if values else "-"


def line(cells):
    return "| " + " | ".join(cells) + " |"


def targets(results, works):
    yield "\n## Targets\n"
    yield line(["what", "of", "beside", "target", "here", "rounds", "met"])
    yield "|---|---|---|---|---|---|---|"
    for target in [target for target in TARGETS if target.work in works]:
        middle, least, most, verdict = judge(target, results)
        bound = ("≤ " if target.most else "≥ ") + number(target.bound)
        cells = ["-", "-"]
        if middle is not None:
            form = ratio if target.beside else number
            cells = [form(middle), f"{form(least)} – {form(most)}" if least < most else ""]
        unit = " " + target.unit if target.unit else " ×" if target.beside else ""
        yield line([target.what, f"`{target.row}`", f"`{target.beside}`" if target.beside else "", bound + unit, cells[0],
                    cells[1], verdict])


def values_of(results, row, work, measure):
    return [found[measure] for found in results.get((row, work), []) if found and measure in found]


def ratios(results, row, base, work, measure):
    pairs = zip(results.get((row, work), []), results.get((base, work), []))
    return [a[measure] / b[measure] for a, b in pairs if a and b and measure in a and b.get(measure)]


def bases_of(names, work):
    """Beside whom a workload's ratios are shown."""
    bases = ("direct", "floor", "pgbouncer", "pgbouncer-tx", "pgbouncer-tls", "pooled-home", "far-home")
    return [base for base in bases if base in names and (base != "pgbouncer-tx" or "pgbouncer" not in names)
            ] if len(names) > 1 and not WORKS[work].once else []


def columns_of(results, names, work):
    """[(heading, cell of a row)]"""
    seen = {measure for name in names for found in results[(name, work)] if found for measure in found}
    columns = []
    for measure, (heading, compared) in MEASURES.items():
        if measure not in seen:
            continue
        columns.append((heading, lambda name, m=measure: spread(values_of(results, name, work, m))))
        if not compared:
            continue
        for base in bases_of(names, work):
            if values_of(results, base, work, measure):
                columns.append((f"× {base}",
                                lambda name, m=measure, b=base: middle(ratios(results, name, b, work, m))))
    return columns


def table(results, names, work):
    names = [name for name in names if (name, work) in results]
    columns = columns_of(results, names, work)
    yield f"\n### {WORKS[work].title} (`{work}`)\n"
    yield line(["row"] + [heading for heading, _ in columns])
    yield "|" + "---|" * (len(columns) + 1)
    for name in names:
        yield line([f"`{name}`"] + [cell(name) for _, cell in columns])


def builds(results, names):
    """Each row beside the same by the other build: the ratios of the rounds."""
    pairs = [(name, name + OTHER) for name in names if name + OTHER in names]
    if not pairs:
        return
    yield "\n## This build beside the other\n"
    yield line(["workload", "row", "of", "× the other build"])
    yield "|---|---|---|---|"
    for work, measure, name, other in [(w, m, *pair) for w in WORKS for m in MEASURES for pair in pairs]:
        found = ratios(results, name, other, work, measure) if numeric(results, name, work, measure) else []
        if found:
            yield line([f"`{work}`", f"`{name}`", MEASURES[measure][0], spread(found, ratio)])


def numeric(results, row, work, measure):
    return all(isinstance(value, (int, float)) for value in values_of(results, row, work, measure))


def frames(results):
    """What the frames of a WebSocket cost, in words."""
    speed, cpu = [ratios(results, "websocket", "bridged", "copy-out", measure) for measure in ("mbs", "cpu_gb")]
    if speed and cpu:
        yield (f"\nThe frames of a WebSocket (`websocket` beside `bridged`): {statistics.median(speed):.2f} of the throughput "
               f"of COPY, {statistics.median(cpu):.2f} of the CPU.")


def conditions(bench, began):
    o = bench.o
    if bench.load > len(os.sched_getaffinity(0)) / 2:
        yield "\n**The machine was busy with other things: counts and memory hold, times and rates say little.**"
    day = time.strftime("%Y-%m-%d", time.gmtime(began))
    fine = ", ".join(f"`{name}`" for name in o.work if WORKS[name].fine)
    yield f"\n## Where and what\n\n{day}, {o.rounds} rounds of {o.seconds} s (twice as many of {fine}), COPY of {o.mb} MB:\n"
    yield from bench.machine
    for row in bench.rows:
        version = row.version()
        yield f"- `{row.name}`: {row.note}" + (f" ({version})" if version else "")
    yield (f"- pools of transactions have {o.pool} server connections; `pool`: {o.clients} clients; `storm`: {o.rate} logins a "
           f"second; some sessions: {o.sessions}, many: {o.idle}; beside a login {o.silent} say nothing")


def document(bench, began):
    names = [row.name for row in bench.rows]
    results = bench.results
    lines = [HEAD]
    lines += [*targets(results, bench.o.work), *builds(results, names), *conditions(bench, began), "\n## Figures"]
    for work in WORKS:
        if any((name, work) in results for name in names):
            lines += table(results, names, work)
    lines += frames(results)
    if bench.failures:
        lines += ["\n## What did not work\n"] + [f"- `{row}`, {work}: {text}" for row, work, text in bench.failures]
    return "\n".join(lines) + "\n"
