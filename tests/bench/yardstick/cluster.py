# SPDX-License-Identifier: PostgreSQL
"""The throw-away PostgreSQL that everything stands in front of, a standby of it, and its stand-in."""
import signal
import subprocess
import time

from .machine import Process, as_service, free_port, own, write

DB = "bench"
TRUSTED = "bench"  # whom everybody trusts
PROVING = "visitor"  # who proves himself by SCRAM
PASSWORD = "wonder"

SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 500
shared_buffers = 256MB
huge_pages = off
fsync = off
full_page_writes = off
autovacuum = off
jit = off
max_parallel_workers_per_gather = 0
log_min_messages = error
password_encryption = 'scram-sha-256'
ssl = on
"""


def run(argv, **kw):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw).stdout


def certificate(folder, kind):
    """A key of that kind and its self-signed certificate."""
    cert, key = f"{folder}/{kind}.crt", f"{folder}/{kind}.key"
    algorithm = {"rsa": ["rsa:2048"], "ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]}[kind]
    run(["openssl", "req", "-new", "-x509", "-days", "3", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", cert,
         "-newkey", *algorithm])
    own(cert, 0o644)
    own(key, 0o600)
    return cert, key


class Cluster:
    def __init__(self, folder):
        self.dir, self.port = folder, free_port()
        self.certificates = {kind: certificate(folder, kind) for kind in ("rsa", "ecdsa")}
        self.users = f"{folder}/users.txt"

    def start(self, scale):
        data = f"{self.dir}/data"
        run(["initdb", "-D", data, "-U", TRUSTED, "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8"], cwd=self.dir,
            **as_service())
        cert, key = self.certificates["rsa"]
        with open(f"{data}/postgresql.conf", "a", encoding="utf-8") as f:
            f.write(f"{SETTINGS}port = {self.port}\nunix_socket_directories = '{self.dir}'\n"
                    f"ssl_cert_file = '{cert}'\nssl_key_file = '{key}'\n")
        write(f"{data}/pg_hba.conf", f"local all,replication all trust\nhost all {PROVING} 127.0.0.1/32 scram-sha-256\n"
              "host all all 127.0.0.1/32 trust\n", 0o600)
        self.process = Process(["postgres", "-D", data], f"{self.dir}/postgres.log", signal.SIGINT, self.dir)
        self.process.wait_port(self.port)
        while subprocess.run(["pg_isready", "-qh", self.dir, "-p", str(self.port)], check=False).returncode:
            time.sleep(0.05)
        self.fill(scale)
        return self

    def start_standby(self):
        """One that streams from it; its port."""
        data, port = f"{self.dir}/standby", free_port()
        run(["pg_basebackup", "-D", data, "-h", self.dir, "-p", str(self.port), "-U", TRUSTED, "-c", "fast", "--no-sync"],
            cwd=self.dir, **as_service())
        with open(f"{data}/postgresql.conf", "a", encoding="utf-8") as f:
            f.write(f"port = {port}\nprimary_conninfo = 'host={self.dir} port={self.port} user={TRUSTED}'\n")
        write(f"{data}/standby.signal", "")
        self.standby = Process(["postgres", "-D", data], f"{self.dir}/standby.log", signal.SIGINT, self.dir)
        self.standby.wait_port(port)
        return port

    def fill(self, scale):
        self.sql(f"CREATE DATABASE {DB}", "postgres")
        run(["pgbench", "-iq", "-s", str(scale), "-h", self.dir, "-p", str(self.port), "-U", TRUSTED, DB])
        self.sql("CREATE UNLOGGED TABLE sink (t text)")
        self.sql("VACUUM FREEZE ANALYZE")
        self.sql(f"CREATE ROLE {PROVING} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
        secret = self.sql(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{PROVING}'").strip()
        write(self.users, f'"{PROVING}" "{secret}"\n"{TRUSTED}" ""\n')

    def sql(self, text, db=DB):
        return run(["psql", "-XAtqh", self.dir, "-p", str(self.port), "-U", TRUSTED, "-d", db, "-c", text])

    def end_sessions(self):
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                 "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")

    def stop(self):
        for name in ("standby", "process"):
            if hasattr(self, name):
                getattr(self, name).stop()


def stand_in(folder, program):
    """tests/bench/node, which holds any number of sessions: (process, port)."""
    port = free_port()
    process = Process([program, str(port)], f"{folder}/node.log", cwd=folder)
    process.wait_port(port)
    return process, port
