# SPDX-License-Identifier: PostgreSQL
"""What tests/bench/bench is made of.

machine    processes we start: CPU, memory, wake-ups of one; niceness, CPUs, descriptors
cluster    the throw-away PostgreSQL
rows       what stands in front of it: one function per proxy writes its configuration
clients    pgbench, psql, and sessions spoken by hand
speed      workloads in which bytes pass        } each returns
logins     workloads of new sessions            } {measure: number}
holding    memory of sessions that do nothing   } for one row
counting   system calls, wake-ups               } and one round
works      the table of workloads and of what is measured
run        rows in turn, round by round
targets    what the figures should be
report     markdown
"""
