#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Connections that a migration has opened where its database will be (prewarm, proxy/move/gate.h): nobody
# serves it there yet, and pools are looked after meanwhile. They stay, until the migration has let go.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Gate;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
$_->safe_psql('postgres', 'CREATE ROLE app LOGIN; CREATE DATABASE app OWNER app') for $east, $west;
my $gate  = Meridian::Test::Gate->new;
my $proxy = Meridian::Test::Proxy->new('main', $gate->proxy_options,
	regions => [ 'us-east1' => $east, 'us-west1' => $west ],
	# pools are looked at each second
	set  => { auth => 'trust', workers => 1, region => 'us-east1', server_idle_timeout => span(4) },
	conf => "[database app]\npool = transaction\n");
$proxy->start;
$proxy->wait_up(2);

sub order { my ($answer) = $gate->order(@_); return $answer }

my $admin = Meridian::Test::Wire->new(path => $proxy->socket_path);
$admin->login(database => 'meridian');

sub in_the_west
{
	$admin->send(query('SHOW SERVERS STATE idle REGION us-west1'));
	return scalar grep { $_->[0] eq 'D' } $admin->until('Z');
}

my $client = Meridian::Test::Wire->session($proxy, database => 'app', user => 'app');
order(qw(serve app us-east1 - 1));
is($client->ask('SELECT 1'), 1, 'a session has had a server in the east');
like(order('prewarm', 1, qw(app us-east1 us-west1 -), 3000), qr/^ok/, 'connections are opened in the west');

my $begun = time;
ok(stays(sub { in_the_west() == 1 }, 'they are there', sub { int passed($begun) }, 3), 'they stay, though nobody serves the database there');
is(order('resume', 1, qw(app us-east1)), 'ok', 'the migration has changed its mind');
ok(wait_until(sub { !in_the_west() }), 'they are closed');
is($client->ask('SELECT 1'), 1, 'the session has heard nothing of it');
$proxy->stop;
done_testing();
