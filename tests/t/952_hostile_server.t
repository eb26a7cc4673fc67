#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What 142 does, in every kind of session, and so often that memory which is not given back shows.
# timeout: 1200
use strict;
use warnings;
use Meridian::Test::HostileServer;
use Test::More;

my $server = Meridian::Test::HostileServer->new;
$server->run($_, rounds => 4) for qw(passthrough tls transaction session secure secure-pool);
done_testing();
