#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# 583_regions_kill.t with the proxy killed both before and after every step.
# timeout: 600
use strict;
use warnings;

$ENV{KILL_EVERYWHERE} = 1;
exec $^X, (map { "-I$_" } @INC), "$ENV{MERIDIAN_SRCDIR}/tests/t/583_regions_kill.t" or die "exec: $!";
