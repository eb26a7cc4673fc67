#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What 144 does, also over TLS, and so often that memory which is not given back shows.
# timeout: 1800
use strict;
use warnings;
use Meridian::Test::HostileClient;
use Test::More;

Meridian::Test::HostileClient->new($_)->run(rounds => 4) for qw(passthrough passthrough-tls pool pool-tls);
done_testing();
