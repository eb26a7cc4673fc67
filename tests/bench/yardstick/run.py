# SPDX-License-Identifier: PostgreSQL
"""Rows in turn: in each round each row does the work once, in every other round in the opposite order, and who is not
in turn is stopped. So whatever else the machine does meets all of them, and a round is one measurement of a ratio."""
import os
import shutil
import ssl
import subprocess

from . import cluster, rows
from .machine import Failed, Process, find, free_port, own, say
from .works import WORKS

# Copied to where the user that they run as can read them.
PROGRAMS = ["meridian", "tests/bench/floor", "tests/bench/node", "tests/tools/bridge", "tests/tools/delay", "tests/tools/storm"]
NEEDS_PLACE = 200  # sessions that a row must hold beyond those it is asked to


class Bench:
    def __init__(self, o, folder):
        self.o, self.dir = o, folder
        self.pgbouncer = os.environ.get("PGBOUNCER") or "pgbouncer"
        self.pgbouncer_prepares = rows.knows_prepared(self.pgbouncer)
        self.results, self.failures = {}, []
        for name in PROGRAMS:
            shutil.copy(f"{o.builddir}/{name}", self.program(name))
            own(self.program(name), 0o755)
        if os.environ.get("OTHER"):
            shutil.copy(os.environ["OTHER"], self.program("meridian" + rows.OTHER))
            own(self.program("meridian" + rows.OTHER), 0o755)
        self.cluster = cluster.Cluster(folder)
        self.rows = [rows.Row(name, self) for name in o.rows]

    def program(self, name):
        return f"{self.dir}/program-{os.path.basename(name)}"

    def run(self):
        self.cluster.start(self.o.scale)
        self.node, self.node_port = cluster.stand_in(self.dir, self.program("tests/bench/node"))
        if any(rows.kind(row.name) in rows.NEARBY for row in self.rows):
            self.start_nearby()
        shared = [name for name in self.o.work if not WORKS[name].fresh]
        if shared:
            wanted = {row for name in shared for row in WORKS[name].rows}
            self.start([row for row in self.rows if rows.kind(row.name) in wanted])
            for name in shared:
                self.rounds(name)
            self.stop_rows()
        for name in self.o.work:
            if WORKS[name].fresh:
                self.cluster.end_sessions()
                self.rounds(name)

    def start_nearby(self):
        """A standby, and the distance in front of the node that it streams from."""
        self.standby_port, self.far_port = self.cluster.start_standby(), free_port()
        self.distance = Process([self.program("tests/tools/delay"), "--listen", str(self.far_port), "--ms", str(rows.FAR_MS),
                                 f"127.0.0.1:{self.cluster.port}"], f"{self.dir}/delay.log", cwd=self.dir)
        self.distance.wait_port(self.far_port)

    def start(self, wanted):
        for row in wanted:
            try:
                row.start(rows.Site(self.cluster.port))
                row.pause()
            except (Failed, OSError) as problem:
                row.stop()
                self.fail(row, "start", problem)
        self.rows = [row for row in self.rows if row not in wanted or not row.function or row.process]

    def rounds(self, name):
        work = WORKS[name]
        took = [row for row in self.rows if rows.kind(row.name) in work.rows]
        if work.prepares and not self.pgbouncer_prepares:
            took = [row for row in took if row.name != "pgbouncer-tx"]
        for turn in range(1 if work.once else self.o.rounds * (2 if work.fine else 1)):
            say(f"{name}, round {turn + 1}")
            for row in took if turn % 2 == 0 else took[::-1]:
                found = (self.afresh if work.fresh else self.in_turn)(row, name, work)
                self.results.setdefault((row.name, name), []).append(found)
                if self.o.verbose:
                    say(f"  {row.name}: {found}")
            self.note_added(name)

    def note_added(self, name):
        """By how much the path through each row is longer than the direct one, in this round."""
        direct = self.results.get(("direct", name), [None])[-1]
        for row in self.rows:
            found = self.results.get((row.name, name), [None])[-1]
            if row.function and found and direct and "us" in found:
                found["added"] = found["us"] - direct["us"]

    def attempt(self, row, name, work):
        try:
            return work.run(row, self)
        except (Failed, OSError, ssl.SSLError, subprocess.SubprocessError) as problem:
            self.fail(row, name, problem)
            return None

    def in_turn(self, row, name, work):
        row.resume()
        found = self.attempt(row, name, work)
        row.pause()
        return found

    def afresh(self, row, name, work):
        """By a proxy that was just started, alone."""
        port = self.node_port if work.fresh == "node" else self.cluster.port
        sessions = getattr(self.o, work.sessions) if work.sessions else 100
        try:
            row.start(rows.Site(port, sessions + NEEDS_PLACE, work.key))
        except (Failed, OSError) as problem:
            self.fail(row, name, problem)
            return None
        found = self.attempt(row, name, work)
        row.stop()
        return found

    def fail(self, row, name, problem):
        text = " ".join(str(problem).split())[-300:] or type(problem).__name__
        if (row.name, name, text) not in self.failures:
            self.failures.append((row.name, name, text))
        say(f"  {row.name}: {text}")

    def stop_rows(self):
        for row in self.rows:
            row.stop()

    def stop(self):
        self.stop_rows()
        for name in ("node", "distance"):
            if hasattr(self, name):
                getattr(self, name).stop()
        self.cluster.stop()


def missing(names):
    """Rows whose program is not installed."""
    program = {"haproxy": "haproxy", "pgbouncer": os.environ.get("PGBOUNCER") or "pgbouncer"}
    return [name for name in names if name.split("-")[0] in program and not find(program[name.split("-")[0]])]
