#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Nodes that do what no server should (Meridian::Test::HostileServer): they say nothing, half of
# something, garbage, too much, what nobody asked for, and leave in the middle of it. The caller
# hears of it in PostgreSQL's words where any can be said, others notice nothing, and nothing is
# left behind. 952 does the same in every kind of session, again and again.
use strict;
use warnings;
use Meridian::Test::HostileServer;
use Test::More;

my $server = Meridian::Test::HostileServer->new;
$server->run($_, rounds => 1) for qw(passthrough transaction reset);
done_testing();
