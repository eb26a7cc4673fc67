#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What 142 does, in every kind of session, and so often that memory which is not given back shows.
# MERIDIAN_TEST_MODES says in which.
# timeout: 1200
use strict;
use warnings;
use Meridian::Test::HostileServer;
use Test::More;

my $server = Meridian::Test::HostileServer->new;
my @modes  = split ' ', $ENV{MERIDIAN_TEST_MODES} // 'passthrough tls transaction session secure secure-pool reset';
$server->run($_, rounds => 4) for @modes;
done_testing();
