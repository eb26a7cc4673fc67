#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# 583_regions_kill.t with the proxy killed both before and after every step.
# timeout: 600
use strict;
use warnings;

$ENV{KILL_EVERYWHERE} = 1;
do "$ENV{MERIDIAN_SRCDIR}/tests/t/583_regions_kill.t" or die $@ || $!;
