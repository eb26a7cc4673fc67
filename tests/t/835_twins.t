#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Clients say what comes to their minds, each on a session of ours and on a connection of its own, and must read the same on both:
# settings, roles, transactions, temporary tables, locks, cursors, notifications, prepared statements, COPY, pipelines, cancels,
# much at once, and mistakes (Meridian::Test::Twins). In a transaction pool they share server connections; with a session pool,
# and without one, their sessions are moved between regions by REHOME; or they log in with the node themselves. They come by TCP,
# TLS, WebSocket and unix socket, to one worker or to two, while an administrator pauses, drains and reloads and a region is now
# nearer, now farther; one by one, or all at once, to one server connection, or as several users to two.
# TWINS=seed or TWINS=from-to plays others than the usual ones; TWINS_WAY='off on two' (a regular expression) only those ways,
# TWINS_STEPS=3 three times as long; TWINS_ALL=1 shows what all clients have said where one has parted, not that one's alone.
#
# timeout: 1800
use strict;
use warnings;
use Meridian::Test::Bridge;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Delay;
use Meridian::Test::Proxy;
use Meridian::Test::TwinActs;
use Meridian::Test::Twins;
use Meridian::Test::TwinWords qw(settings);
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($from, $to) = ($ENV{TWINS} // '1-2') =~ /^(\d+)(?:-(\d+))?$/ or die 'TWINS: a seed, or two with a hyphen between';
my $only = $ENV{TWINS_WAY} // '.';
my $factor = $ENV{TWINS_STEPS} // 1;

# ---------------------------------------------------------------- two databases alike

my ($node) = regional_clusters('us-east1', { tls => 1, conf => "max_connections = 150\n" });
my $west = Meridian::Test::Delay->new($node); # the same server, as another region has it

$node->safe_psql('postgres', 'CREATE ROLE reader; CREATE ROLE app LOGIN IN ROLE reader; ALTER ROLE app SET work_mem = \'5MB\'');
$node->safe_psql('postgres', "CREATE ROLE app$_ LOGIN IN ROLE app, reader; ALTER ROLE app$_ SET work_mem = '5MB'") for 1 .. 5;
my $settings = join ', ', map { "coalesce(current_setting('$_', true), '') AS \"$_\"" } settings();
my @databases = qw(own transaction session off through);
for my $database (@databases) {
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, <<"SQL");
CREATE VIEW settings AS SELECT $settings, current_user, session_user, current_schemas(false);
CREATE SCHEMA one;
CREATE TABLE public.t (who int, a int);
CREATE TABLE one.t (who int, a int);
CREATE TABLE public.locked (a int);
CREATE VIEW public.v AS SELECT 'public' AS v;
GRANT SELECT ON settings TO public;
GRANT ALL ON SCHEMA public, one TO app, reader;
GRANT ALL ON public.t, one.t, public.v, public.locked TO app;
GRANT SELECT ON public.t, one.t TO reader;
SQL
}

# A session of nobody's at the server itself.
my %direct = map { $_ => Meridian::Test::Wire->new(path => $node->host . '/.s.PGSQL.' . $node->port) } @databases;
$direct{$_}->login(database => $_, user => scalar getpwuid $<) for @databases;

# ---------------------------------------------------------------- the ways

my $cert = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');
my $databases = join '', "[database through]\nauth = passthrough\n", map { "[database $_]\npool = $_\n" } qw(transaction session off);

sub proxy
{
	my ($name, %set) = @_;
	my $proxy = Meridian::Test::Proxy->new($name,
		regions => [ 'us-east1' => $node, 'us-west1' => { nodes => $west, sslmode => 'require' } ],
		set     => { auth => 'trust', workers => 1, default_pool_size => 5, region => 'us-east1', http => 'on',
			tls => 'allow', tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key}, %set },
		conf    => $databases);
	$proxy->start;
	$proxy->wait_up(2);
	return $proxy;
}

# One plain worker; two with everything; one server connection for all; and two for pools of several users.
my %proxies = (
	plain => sub { proxy('plain', default_pool_size => 3) },
	two   => sub { proxy('two', workers => 2, default_pool_size => 8, max_prepared_statements => 2, query_wait_notify => 0) },
	alone => sub { proxy('alone', default_pool_size => 1, max_prepared_statements => 3, query_wait_notify => 0) },
	tight => sub { proxy('tight', workers => 2, max_db_connections => 2, query_wait_notify => 0) });

# By what a client comes to a proxy: where it connects to.
sub fronts
{
	my ($proxy) = @_;
	my @bridges = map { Meridian::Test::Bridge->new($proxy, @$_) } [ plain => 1, tls => 1 ], [], [ tls => 1 ];
	return ([ port => $proxy->port ], [ path => $proxy->socket_path ], map { [ port => $_->port, bridge => $_ ] } @bridges);
}

my %all = (on => 'two', fronts => 1, others => 0.1);
my @ways = (
	[ transaction => on => 'plain', steps => 300 ],
	[ session     => on => 'plain', steps => 300, moves => 0.2 ],
	[ off         => on => 'plain', steps => 300, moves => 0.2 ],
	[ transaction => %all, steps => 200, moves => 0.1 ],
	[ session     => %all, steps => 120, moves => 0.2 ],
	[ off         => %all, steps => 120, moves => 0.2 ],
	[ through     => %all, steps => 120 ],
	[ session     => %all, steps => 60, moves => 0.3, may => { crowd => 1 } ],
	[ off         => %all, steps => 60, moves => 0.3, may => { crowd => 1 } ],
	[ transaction => %all, steps => 100, moves => 0.1, may => { crowd => 1 } ],
	[ transaction => %all, on => 'alone', steps => 100, moves => 0.1, may => { crowd => 1, shares => 1 } ],
	[ transaction => %all, on => 'tight', steps => 100, users => 1, may => { crowd => 1, shares => 1 } ]);

my (%running, %fronts, %did);

sub login
{
	my ($user, $database, $where, %param) = @_;
	my $wire = Meridian::Test::Wire->new(@$where);
	my ($end) = reverse $wire->login(database => $database, user => $user, %param);
	$end && $end->[0] eq 'Z' or die 'login: ' . ($end ? error_fields($end)->{M} : 'closed');
	return $wire;
}

# Until a client's locks that last as long as a session are gone.
sub left
{
	my ($database, $number) = @_;
	my $keys = join ' UNION ALL ', map { "SELECT pg_advisory_lock($number$_), pg_advisory_unlock($number$_)" } 0, 1;
	$direct{$_}->ask($keys) for 'own', $database;
	return;
}

sub play
{
	my ($seed, $database, %way) = @_;
	my $proxy = $running{ $way{on} } //= $proxies{ $way{on} }->();
	my $fronts = $fronts{ $way{on} } //= [ $way{fronts} ? fronts($proxy) : [ port => $proxy->port ] ];
	my $user = sub { $database eq 'transaction' && !$way{users} ? 'app' : "app$_[0]" };
	my $acts = Meridian::Test::TwinActs->new(proxy => $proxy, database => $database, user => $user, regions => [ 'us-east1', 'us-west1' ],
		moves => $way{moves} // 0, others => $way{others} // 0, shares => ($way{may} || {})->{shares},
		direct => $direct{own}, west => $west);
	$direct{$_}->ask('TRUNCATE public.t, one.t', 'SELECT lo_unlink(oid) FROM pg_largeobject_metadata') for 'own', $database;
	my $twins = Meridian::Test::Twins->new(
		seed    => $seed,
		clients => $way{may} ? 4 : 3,
		own     => sub { my $n = shift; login($user->($n), 'own', [ path => $node->host . '/.s.PGSQL.' . $node->port ], @_) },
		shared  => sub { my $n = shift; login($user->($n), $database, $fronts->[ ($seed + $n) % @$fronts ], @_) },
		left    => sub { left($database, @_) },
		acts    => $acts,
		may     => { moves => $database ne 'transaction', %{ $way{may} || {} } });
	my $steps = $way{steps} * $factor;
	my $how = $way{may} ? 'all at once' : 'one by one';
	is($twins->play($steps), undef, "$database on $way{on}, $how, seed $seed: the same for $steps steps");
	$acts->calm;
	$did{"$database on $way{on}"}{$_} += $acts->{did}{$_} for keys %{ $acts->{did} };
	return;
}

for my $way (@ways) {
	my ($database, %way) = @$way;
	next unless "$database on $way{on}" =~ /$only/;
	play($_, $database, %way) for $from .. $to // $from;
}
unless ($ENV{TWINS_WAY}) {
	cmp_ok($did{"$_ on plain"}{rehome} // 0, '>', 10, "sessions were moved ($_)") for qw(session off);
	for my $act (qw(pause reconnect drain option reload kill rehome)) {
		my $times = grep { $_->{$act} } values %did;
		cmp_ok($times, '>', 0, "there was $act");
	}
	cmp_ok($running{two}->counter($_), '>', 0, "clients came by $_") for qw(tls_handshakes http_websockets);
}
diag(explain \%did) if $ENV{TWINS};

done_testing();
