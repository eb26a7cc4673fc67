#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# 897_reads_histories.t again and again for a quarter of an hour, or HISTORY_SECONDS, with longer histories.
# timeout: 7200
use strict;
use warnings;

$ENV{HISTORY_SECONDS} //= 900;
exec $^X, (map { "-I$_" } @INC), "$ENV{MERIDIAN_SRCDIR}/tests/t/897_reads_histories.t" or die "exec: $!";
