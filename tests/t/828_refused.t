#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A pooled session that no node takes hears what the servers have said, and at once; one that waits
# for a server that does not come is told in the end why. What Meridian counts is what has happened.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my $full = "max_connections = 8\nsuperuser_reserved_connections = 2\nmax_wal_senders = 0\nmax_replication_slots = 0\n";
my %opt = (conf => $full, auth => "local all all trust\nhost all keyed all scram-sha-256\nhost all all all trust\n");
my @nodes = regional_clusters('us-east1', {%opt}, 'us-west1', {%opt}, 'europe-west1', {%opt});
$_->safe_psql('postgres', <<'SQL') for @nodes;
CREATE ROLE app LOGIN; CREATE ROLE few LOGIN CONNECTION LIMIT 0; CREATE ROLE keyed LOGIN; CREATE ROLE leaving LOGIN;
CREATE DATABASE shut; REVOKE CONNECT ON DATABASE shut FROM public;
SQL

for my $mode (qw(session transaction)) {
	my $proxy = Meridian::Test::Proxy->new($mode,
		regions => [ 'us-east1' => $nodes[0], 'us-west1' => $nodes[1], 'europe-west1' => $nodes[2] ],
		set     => { auth => 'trust', workers => 1, default_pool_size => 3, probe_interval => NEVER, probe_conninfo => '', region => 'us-east1',
			server_login_retry => '500ms', query_wait_timeout => NEVER },
		conf    => "[database *]\npool = $mode\n");
	$proxy->start;
	my $counted = sub { return { map { $_ => $proxy->counter($_) } qw(logins login_failures attempt_failures) } };
	my $wire = sub { my $w = Meridian::Test::Wire->new($proxy); $w->{seconds} = 90; return $w };
	my $begin = sub {
		my $w = $wire->();
		$w->send(startup(user => 'app', database => 'postgres', @_));
		return $w;
	};
	my $direct = sub {
		my ($node) = @_;
		my $d = Meridian::Test::Wire->new(path => $node->host . '/.s.PGSQL.' . $node->port);
		$d->login(user => 'app', database => 'postgres');
		return $d;
	};
	# All slots of a node; one that somebody is just leaving is tried again.
	my $fill = sub {
		my ($node, $hold) = @_;
		return wait_until(sub {
			my $d = $direct->($node);
			push @$hold, $d if $d->{parameters}{server_version};
			return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'") == 6;
		});
	};
	my $login_error = sub {
		my ($e) = map { error_fields($_) } grep { $_->[0] eq 'E' } $begin->(@_)->until('EZ');
		return $e // {};
	};

	# ------------------------------------------------------------ at the login

	$proxy->console('DRAIN REGION europe-west1');
	my $before = $counted->();
	my @cases = (
		[ 'a database that is not there', '3D000', database => 'nowhere' ],
		[ 'a role that is not there', '28000', user => 'nobody' ],
		[ 'no right to connect', '42501', database => 'shut' ],
		[ 'a setting that is none', '22023', DateStyle => 'nonsense' ],
		[ 'a parameter that is none', '42704', nonsense => 'x' ]);
	for my $case (@cases) {
		my ($name, $code, @param) = @$case;
		my $from = time;
		is($login_error->(@param)->{C}, $code, "$mode: $name");
		in_time($from, 30, "$mode: $name, at once");
	}
	my $e = $login_error->(user => 'few');
	is($e->{C}, '08006', "$mode: a role that may have no connection anywhere");
	like($e->{D}, qr/Tried us-east1 127\.0\.0\.1:\d+: too many connections for role "few" \(53300\); us-west1 127\.0\.0\.1:\d+: too many connections for role "few" \(53300\)\./,
		"$mode: each node that was asked, and what it said");
	like($e->{D}, qr/Region europe-west1: .*drain/, "$mode: each region that was not, and why");
	my $after = $counted->();
	is($after->{logins} - $before->{logins}, 0, "$mode: none has logged in");
	is($after->{login_failures} - $before->{login_failures}, @cases + 1, "$mode: each failure is counted");
	is($after->{attempt_failures} - $before->{attempt_failures}, 0, "$mode: and held against no node");
	my %errors = map { ("$_->{said_by} $_->{sqlstate}" => $_->{errors}) } grep { $_->{errors} ne '' } @{ $proxy->console('SHOW ERRORS') };
	is($errors{"meridian $_"}, 1, "$mode: SHOW ERRORS: $_ was said to a client once") for qw(3D000 28000 42501 22023 42704 08006);
	is_deeply([ map { $_->{state} } @{ $proxy->console('SHOW NODES FULL') } ], [ ('up') x 3 ], "$mode: all nodes are up");

	# ------------------------------------------------------------ behind it

	# What is known of the pool greets; then its role is gone.
	$_->safe_psql('postgres', 'CREATE ROLE leaving LOGIN') for grep { $_->safe_psql('postgres', "SELECT count(*) FROM pg_roles WHERE rolname = 'leaving'") eq '0' } @nodes;
	my $w = $begin->(user => 'leaving');
	$w->until('Z');
	is($w->ask('SELECT 1'), 1, "$mode: a session has a server");
	$w->send(terminate());
	ok($w->closed, "$mode: and leaves");
	$proxy->console('RECONNECT');
	$_->safe_psql('postgres', 'DROP ROLE leaving') for @nodes;
	$w = $begin->(user => 'leaving');
	$w->send(query('SELECT 2'));
	($e) = map { error_fields($_) } grep { $_->[0] eq 'E' } $w->until('E');
	is($e->{C}, '28000', "$mode: its role is gone: what the server says");
	like($e->{M}, qr/role "leaving" does not exist/, "$mode: in its words");

	# All connections of all nodes are in use: it waits, and in the end it hears why.
	$w = $begin->();
	$w->until('Z');
	is($w->ask('SELECT 1'), 1, "$mode: a pool is known");
	my $keeps = $begin->();    # it has no server, and keeps the pool
	$keeps->until('Z');
	$w->send(terminate());
	ok($w->closed, "$mode: its session leaves");
	$proxy->console('RECONNECT');
	my @hold;
	for my $node (@nodes) {
		$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'app'");
		ok($fill->($node, \@hold), "$mode: a node is full");
	}
	my ($first, $second) = map { $begin->() } 1 .. 2;
	$_->until('Z'), $_->send(query('SELECT 3')) for $first, $second;
	$proxy->wait_console('SHOW POOLS FULL DATABASE postgres USER app', sub { my $n = 0; $n += $_->{cl_waiting} for @{ $_[0] }; $n == 2 });
	$_->close for splice @hold, 0, 3;
	like($_->answer, qr/^3$/, "$mode: all nodes are full: a session waits, and is served when one is not") for $first, $second;
	$_->send(terminate()) && $_->closed for $first, $second;
	# one that is opened for who is served by another by then is not an old one
	$proxy->wait_console('SHOW POOLS FULL DATABASE postgres USER app', sub { !grep { $_->{sv_login} } @{ $_[0] } });
	$proxy->console('RECONNECT');
	$nodes[0]->poll_query_until('postgres', "SELECT count(*) = 3 FROM pg_stat_activity WHERE usename = 'app'");
	ok($fill->($nodes[0], \@hold), "$mode: full again");
	$proxy->reload(set => { auth => 'trust', workers => 1, default_pool_size => 3, probe_interval => NEVER, probe_conninfo => '', region => 'us-east1',
			server_login_retry => '500ms', query_wait_timeout => span(2) });
	for (1 .. 5) {    # a node may just have been asked once more, and not have answered
		$w = $begin->();
		$w->send(query('SELECT 4'));
		($e) = map { error_fields($_) } grep { $_->[0] eq 'E' } $w->until('E');
		last if ($e->{D} // '') !~ /no answer yet/;
	}
	is($e->{C}, '53300', "$mode: one that waits for too long is told");
	like($e->{D}, qr/Region us-\w+1, node 127\.0\.0\.1:\d+: .*connection slots.* \(53300\)\.$/, "$mode: and why");
	undef @hold;
	$proxy->stop;
}
done_testing();
