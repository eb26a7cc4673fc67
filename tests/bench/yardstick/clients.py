# SPDX-License-Identifier: PostgreSQL
"""Who asks: pgbench, psql, and sessions that are spoken by hand where those would be the slowest part."""
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile

from .cluster import DB, PASSWORD, TRUSTED
from .machine import Failed

SSL_REQUEST = struct.pack("!II", 8, 80877103)
SELECT_1 = b"Q" + struct.pack("!I", 13) + b"select 1\0"


def environment(tls=False):
    return dict(os.environ, PGSSLMODE="require" if tls else "disable", PGGSSENCMODE="disable", PGHOST="127.0.0.1",
                PGDATABASE=DB, PGPASSWORD=PASSWORD, PGCONNECT_TIMEOUT="10")


def pgbench(row, *args, user=TRUSTED, tls=False, timeout=120, script=("-S",)):
    """(transactions a second, transactions)"""
    try:
        run = subprocess.run(["pgbench", *script, "-n", "-p", str(row.port), "-U", user, *args], env=environment(tls),
                             timeout=timeout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    except subprocess.TimeoutExpired as late:
        raise Failed("pgbench hangs") from late
    tps = re.search(r"^tps = ([\d.]+)", run.stdout, re.M)
    done = re.search(r"actually processed: (\d+)", run.stdout)
    if run.returncode or not tps:
        raise Failed((run.stderr.strip().splitlines() or ["pgbench failed"])[-1][:200])
    return float(tps.group(1)), int(done.group(1))


class Times:
    """A folder for pgbench's log of each transaction, and what stands there."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.args = ["-l", f"--log-prefix={self.dir}/l"]
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def percentiles(self, *wanted):
        """In us; nothing where there are no times."""
        times = []
        for name in os.listdir(self.dir):
            with open(f"{self.dir}/{name}", encoding="ascii") as f:
                times += [int(line.split(" ", 3)[2]) for line in f if line.count(" ") >= 3]
        times.sort()
        return [times[min(int(len(times) * part), len(times) - 1)] for part in wanted] if times else []


def psql(row, sql, tls=False, timeout=300):
    run = subprocess.run(["psql", "-Xqp", str(row.port), "-U", TRUSTED, "-c", sql], env=environment(tls), timeout=timeout,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        raise Failed(run.stderr.strip()[-200:])


def read(row, sql):
    """One value, as text."""
    run = subprocess.run(["psql", "-XAtqp", str(row.port), "-U", TRUSTED, "-c", sql], env=environment(), timeout=60,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        raise Failed(run.stderr.strip()[-200:])
    return run.stdout.strip()


def receive(s, n):
    got = b""
    while len(got) < n:
        more = s.recv(n - len(got))
        if not more:
            raise Failed("connection closed: " + got[-100:].decode(errors="replace"))
        got += more
    return got


def until(s, wanted):
    """Read messages up to one of that type."""
    while True:
        kind, length = struct.unpack("!cI", receive(s, 5))
        body = receive(s, length - 4)
        if kind == b"E":
            raise Failed(body[:150].replace(b"\0", b" ").decode(errors="replace"))
        if kind == wanted:
            return


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), 30)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def ask_for_tls(port):
    """A connection that has asked for TLS; what it is told is not read yet."""
    s = connect(port)
    s.sendall(SSL_REQUEST)
    return s


def any_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


ANY_CERTIFICATE = any_certificate()


def log_in(port, tls=False, resume=None):
    """A session that has been told ReadyForQuery; `resume` is the TLS session that it offers to resume."""
    s = ask_for_tls(port) if tls else connect(port)
    if tls:
        if receive(s, 1) != b"S":
            raise Failed("TLS is refused")
        s = ANY_CERTIFICATE.wrap_socket(s, session=resume)
    words = f"user\0{TRUSTED}\0database\0{DB}\0application_name\0bench\0\0".encode()
    s.sendall(struct.pack("!II", 8 + len(words), 196608) + words)
    until(s, b"Z")
    return s


def select_1(s):
    s.sendall(SELECT_1)
    until(s, b"Z")


def close_all(connections):
    for s in connections:
        s.close()


def copy_in(row, mb, tls=False):
    """So many MB into a COPY whose rows are not kept."""
    piece = (b"x" * 999 + b"\n") * 64
    message = b"d" + struct.pack("!I", 4 + len(piece)) + piece
    s = log_in(row.port, tls)
    try:
        sql = b"COPY sink FROM STDIN WHERE false\0"
        s.sendall(b"Q" + struct.pack("!I", 4 + len(sql)) + sql)
        until(s, b"G")
        for _ in range(mb * 1000000 // len(piece)):
            s.sendall(message)
        s.sendall(b"c" + struct.pack("!I", 4))
        until(s, b"Z")
    finally:
        s.close()
