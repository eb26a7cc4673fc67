#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What 143 does, with 5000 sessions. MERIDIAN_TEST_SEED says which, MERIDIAN_TEST_SESSIONS how many.
# timeout: 1800
use strict;
use warnings;
use Meridian::Test::Bent;
use Test::More;

my $seed = $ENV{MERIDIAN_TEST_SEED}     // 1000;
my $many = $ENV{MERIDIAN_TEST_SESSIONS} // 5000;
compare_bent($seed .. $seed + $many - 1);
done_testing();
