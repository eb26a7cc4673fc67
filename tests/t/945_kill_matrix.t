#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# 590_kill_matrix.t with the proxy killed both before and after every step of a move, and gone on with
# both ways.
# timeout: 3000
use strict;
use warnings;

$ENV{KILL_EVERYWHERE} = 1;
exec $^X, (map { "-I$_" } @INC), "$ENV{MERIDIAN_SRCDIR}/tests/t/590_kill_matrix.t" or die "exec: $!";
