# SPDX-License-Identifier: PostgreSQL
"""Processes that we start, and what they cost. Each is stopped by its own pid."""
import contextlib
import os
import platform
import pwd
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = os.geteuid() == 0
SERVICE_USER = "postgres"  # PostgreSQL and PgBouncer refuse to run as root


class Failed(Exception):
    """A workload that a row cannot do, in words."""


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def find(*names):
    """The first of these programs that is there."""
    for name in names:
        if name and shutil.which(name):
            return shutil.which(name)
    return None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def own(path, mode=None):
    """Make it readable for the user that the programs run as."""
    if mode is not None:
        os.chmod(path, mode)
    if ROOT:
        user = pwd.getpwnam(SERVICE_USER)
        os.chown(path, user.pw_uid, user.pw_gid)
    return path


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return own(path, mode)


def as_service():
    """Arguments of subprocess.Popen that make a program run as that user."""
    if not ROOT:
        return {}
    user = pwd.getpwnam(SERVICE_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def raise_descriptors(wanted=65536):
    """As many descriptors as we may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(wanted, hard), hard):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            break


def descriptors():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def slurp(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


class Niceness:
    """Of everything we start, while it lasts. Where the scheduler groups processes by session, it weighs the groups."""

    now = 0

    def __init__(self, wanted):
        self.wanted = wanted

    def __enter__(self):
        if ROOT:
            os.nice(self.wanted)
            Niceness.now = self.wanted
            Niceness.of_group(os.getpid())

    def __exit__(self, *_):
        Niceness.now = 0
        Niceness.of_group(os.getpid())

    @staticmethod
    def of_group(pid):
        for _ in range(40 if ROOT else 0):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/autogroup", "r+", encoding="ascii") as f:
                f.write(str(Niceness.now))
                return
            time.sleep(0.05)  # the kernel takes ten a second


class Process:
    """A program in the foreground and, for pinning, its children."""

    def __init__(self, argv, log, stop=signal.SIGTERM, cwd="/"):
        self.stop_signal, self.log = stop, log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out, stderr=out, cwd=cwd,
                                          start_new_session=True, **as_service())
        self.pid = self.child.pid
        Niceness.of_group(self.pid)

    def wait_port(self, port):
        end = time.time() + 20
        while time.time() < end and self.child.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return self
            time.sleep(0.05)
        raise Failed(f"did not start: {slurp(self.log)[-500:]}")

    def alive(self):
        return self.child.poll() is None

    def threads(self):
        """Thread id -> name."""
        return {tid: slurp(f"/proc/{self.pid}/task/{tid}/comm").strip() for tid in os.listdir(f"/proc/{self.pid}/task")}

    def cpu(self):
        """Seconds of CPU of all its threads so far."""
        if not self.alive():
            raise Failed("it has died")
        return sum(int(slurp(f"/proc/{self.pid}/task/{tid}/schedstat").split()[0]) for tid in self.threads()) / 1e9

    def pss(self):
        """kB that are its own."""
        return int(re.search(r"^Pss:\s+(\d+)", slurp(f"/proc/{self.pid}/smaps_rollup"), re.M).group(1))

    def forget_peak(self):
        with contextlib.suppress(OSError), open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")

    def memory_now_and_peak(self):
        """kB resident, and the most since forget_peak()."""
        status = slurp(f"/proc/{self.pid}/status")
        return [int(re.search(rf"^{name}:\s+(\d+)", status, re.M).group(1)) for name in ("VmRSS", "VmHWM")]

    def workers(self):
        """The threads that carry sessions: all, where none is called worker/N."""
        names = self.threads()
        return [tid for tid, name in names.items() if name.startswith("worker/")] or list(names)

    def wake_ups(self):
        """How often its workers have slept."""
        return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", slurp(f"/proc/{self.pid}/task/{tid}/status"),
                                 re.M).group(1)) for tid in self.workers())

    def family(self):
        """Its pid and those of its children."""
        pids = [self.pid]
        for tid in self.threads():
            with contextlib.suppress(OSError):
                pids += map(int, slurp(f"/proc/{self.pid}/task/{tid}/children").split())
        return pids

    def pin(self, cpus):
        for pid in self.family():
            with contextlib.suppress(OSError):
                for tid in os.listdir(f"/proc/{pid}/task"):
                    os.sched_setaffinity(int(tid), cpus)

    def pause(self):
        self.child.send_signal(signal.SIGSTOP)

    def resume(self):
        self.child.send_signal(signal.SIGCONT)

    def stop(self):
        if not self.alive():
            return
        self.resume()
        self.child.send_signal(self.stop_signal)
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def describe():
    """The machine, in lines of markdown."""
    cpu = re.search(r"^model name\s*:\s*(.+)", slurp("/proc/cpuinfo"), re.M)
    memory = int(re.search(r"^MemTotal:\s+(\d+)", slurp("/proc/meminfo"), re.M).group(1))
    virtual = find("systemd-detect-virt")
    said = subprocess.run([virtual or "true", "--vm"], stdout=subprocess.PIPE, text=True, check=False).stdout
    kind = said.strip() or "none"
    release = re.search(r'^PRETTY_NAME="(.+)"', slurp("/etc/os-release"), re.M)
    return [f"- {len(os.sched_getaffinity(0))} CPUs ({cpu.group(1) if cpu else platform.machine()}"
            f"{', ' + kind if kind != 'none' else ''}), {memory / 2 ** 20:.0f} GB",
            f"- Linux {platform.release()}, {release.group(1) if release else '?'}",
            f"- load when it began: {os.getloadavg()[0]:.2f}"]
