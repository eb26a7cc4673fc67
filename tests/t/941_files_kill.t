#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
# timeout: 1200
#
# tests/t/541_files_kill.t with 200 files, 40 kills, and a crash before and after each step.
use strict;
use warnings;

$ENV{KILL_EVERYWHERE} = 1;
exec $^X, (map { "-I$_" } @INC), "$ENV{MERIDIAN_SRCDIR}/tests/t/541_files_kill.t" or die "exec: $!";
