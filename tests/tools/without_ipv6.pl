#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# without_ipv6.pl COMMAND …
#
# Runs it as on a kernel that was booted with ipv6.disable=1: no socket of AF_INET6 can be made
# (EAFNOSUPPORT), by a filter of seccomp(2). Exits with 77 where it knows the machine's calls not.
use strict;
use warnings;
use POSIX  qw(uname);
use Socket qw(AF_INET6);

# linux/audit.h, asm/unistd.h: the architecture, prctl, socket
my %machines = (x86_64 => [ 0xc000003e, 157, 41 ], aarch64 => [ 0xc00000b7, 167, 198 ]);
my ($arch, $prctl, $socket) = @{ $machines{ (uname)[4] } || exit 77 };
my ($EAFNOSUPPORT, $PR_SET_SECCOMP, $PR_SET_NO_NEW_PRIVS, $SECCOMP_MODE_FILTER) = (97, 22, 38, 2);
my ($LOAD, $UNLESS, $RETURN) = (0x20, 0x15, 0x06);    # linux/bpf_common.h: ld abs, jeq, ret

# struct sock_filter: what, how far where it is so, and where not, operand
my @filter = map { pack 'S C C L', @$_ } (
	[ $LOAD,   0, 0, 4 ], [ $UNLESS, 0, 5, $arch ],
	[ $LOAD,   0, 0, 0 ], [ $UNLESS, 0, 3, $socket ],
	[ $LOAD,   0, 0, 16 ], [ $UNLESS, 0, 1, AF_INET6 ],
	[ $RETURN, 0, 0, 0x00050000 | $EAFNOSUPPORT ],
	[ $RETURN, 0, 0, 0x7fff0000 ]);
my $code = join '', @filter;
my $program = pack 'S x![P] P', scalar @filter, $code;

syscall($prctl, $PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 or die "prctl: $!\n";
syscall($prctl, $PR_SET_SECCOMP, $SECCOMP_MODE_FILTER, $program, 0, 0) == 0 or die "prctl: $!\n";
exec @ARGV or die "$ARGV[0]: $!\n";
