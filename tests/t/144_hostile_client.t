#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Clients that vanish at every moment of a session, in every way, and some that do worse
# (Meridian::Test::HostileClient). Others notice nothing, and nothing is left behind. 951 does the same
# over TLS too, again and again.
use strict;
use warnings;
use Meridian::Test::HostileClient;
use Test::More;

Meridian::Test::HostileClient->new($_)->run(rounds => 1) for qw(passthrough pool);
done_testing();
