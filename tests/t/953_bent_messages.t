#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What 143 does, with 5000 sessions.
# timeout: 1800
use strict;
use warnings;

$ENV{MERIDIAN_TEST_SEED}     //= 1000;
$ENV{MERIDIAN_TEST_SESSIONS} //= 5000;
do "$ENV{MERIDIAN_SRCDIR}/tests/t/143_bent_messages.t" or die $@ || $!;
