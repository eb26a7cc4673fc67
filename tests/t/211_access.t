#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Which node of a region, and which region because of its nodes: roles and access wishes, lag, drains,
# what is learnt from logins where there is no probe role.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Cluster;
use Test::More;

# A primary in us-east1, its standby in europe-west1.
my ($primary) = regional_clusters('primary', { conf => "hot_standby_feedback = off\n" });
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "cluster_name = 'standby'\nlisten_addresses = '127.0.0.1'\nport = "
	  . $standby->port . "\nunix_socket_directories = '" . $standby->host . "'\n");
$standby->start;
$primary->wait_for_catchup($standby);
my ($p, $s) = map { '127.0.0.1:' . $_->port } $primary, $standby;
my @apart = ('us-east1' => $p, 'europe-west1' => $s);
my $proxy = Meridian::Test::Proxy->new('main', regions => [@apart],
	set  => { region => 'us-east1', probe_interval => '100ms', failback_delay => 0 },
	conf => join "\n", map { "[database $_]\ndbname = postgres\naccess = $_\n" }
	  qw(any read-write read-only primary standby prefer-standby));
$proxy->start;

# Where a session of this kind lands: 'primary', 'standby', or an SQLSTATE.
sub lands
{
	my (%param) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	my $m = ($w->login(database => 'postgres', %param))[-1];
	return error_fields($m)->{C} if $m->[0] ne 'Z';
	$w->send(query("SELECT CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END"));
	return row_values(($w->until('Z'))[1])->[0];
}
my @paris = ('meridian.city' => 'paris');
my @ny    = ('meridian.city' => 'new york');
my @words = qw(any read-write read-only primary standby prefer-standby);

ok($proxy->wait_console('SHOW NODES FULL', sub { "$_[0][0]{role} $_[0][1]{role}" eq 'primary standby' }), 'the prober knows the roles');

# ---------------------------------------------------------------- the wish decides

my %from_paris = (any => 'standby', 'read-write' => 'primary', 'read-only' => 'standby', primary => 'primary',
	standby => 'standby', 'prefer-standby' => 'standby');
my %from_ny = (%from_paris, any => 'primary');
$from_ny{'prefer-standby'} = lands(@ny, 'meridian.access' => 'prefer-standby');
for my $wish (@words) {
	is(lands(@paris, 'meridian.access' => $wish), $from_paris{$wish}, "paris, meridian.access = $wish");
	is(lands(@ny, 'meridian.access' => $wish), $from_ny{$wish}, "new york, meridian.access = $wish");
	is(lands(@paris, options => "-c meridian.access=$wish"), $from_paris{$wish}, 'inside options');
	is(lands(@paris, database => $wish), $from_paris{$wish}, "paris, access = $wish of the database");
}
is(lands(@paris), 'primary', 'by default a node that takes writes');
is(lands(@paris, database => 'standby', 'meridian.access' => 'read-write'), 'primary', 'the client\'s wish comes before the database\'s');
is(lands(@paris, 'meridian.access' => 'READ-ONLY'), 'standby', 'in any case');
for my $attrs (qw(any read-write read-only primary standby prefer-standby)) {
	is($proxy->safe_psql('postgres', 'SELECT 1', connstr => $proxy->connstr('postgres', target_session_attrs => $attrs,
				options => "-c meridian.access=$attrs -c meridian.city=paris")),
		'1', "libpq's own target_session_attrs = $attrs agrees");
}

# Both in one region.
$proxy->reload(regions => [ 'us-east1' => "$p, $s" ]);
$proxy->wait_console('SHOW NODES FULL', sub { !grep { $_->{state} ne 'up' } @{ $_[0] } });
for my $wish (grep { $_ ne 'any' } @words) {
	is(lands(@paris, 'meridian.access' => $wish), $from_paris{$wish}, "both in one region, $wish");
}

# Ten sessions at once: how many nodes they are spread over.
sub spread
{
	my (%param) = @_;
	my @v = map { my $v = Meridian::Test::Wire->new($proxy); $v->login(database => 'postgres', %param); $v } 1 .. 10;
	my %node = map { $_->{node} => 1 } grep { $_->{database} eq 'postgres' } @{ $proxy->console('SHOW SESSIONS FULL') };
	return scalar keys %node;
}
is(spread('meridian.access' => 'any'), 2, 'any uses both');
is(spread(), 1, 'read-write only one');

# A primary that is read-only by default takes no read-write session.
$primary->safe_psql('postgres', "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()");
$proxy->wait_console('SHOW NODES FULL', sub { $_[0] && lands(@paris, 'meridian.access' => 'read-write') eq '08006' });
is(lands('meridian.access' => 'primary'), 'primary', 'read-only by default: still the primary');
$proxy->wait_console('SHOW NODES FULL', sub { spread('meridian.access' => 'read-only') == 2 });
pass('and now one of those that are read-only');
my $w = Meridian::Test::Wire->new($proxy);
my $e = error_fields(($w->login(database => 'postgres'))[-1]);
like($e->{D}, qr/us-east1: no node with the wanted access|us-east1 \S+: the node is read-only/, 'the reason is told');
$primary->safe_psql('postgres', "SET transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only");
$primary->reload;
$proxy->wait_console('SHOW NODES FULL', sub { lands(@paris) eq 'primary' });
$proxy->reload(regions => [@apart]);
is(lands(@paris), 'primary', 'it takes writes again');

# What only this role, or this client, makes read-only is served like any other.
my $reader = 'SET default_transaction_read_only = on';
$primary->safe_psql('postgres', "CREATE ROLE reader LOGIN; ALTER ROLE reader $reader");
$primary->wait_for_catchup($standby);
is(lands(user => 'reader'), 'primary', 'a role whose transactions are read-only');
is(lands(options => '-c default_transaction_read_only=on'), 'primary', 'a client that wants them so');
is(lands(), 'primary', 'which is no word on the node');

# ---------------------------------------------------------------- lag

$proxy->reload(set => { max_lag => '500ms' });    # time: max_lag decides who is asked
$proxy->wait_console('SHOW NODES FULL', sub { lands(@paris, 'meridian.access' => 'any') eq 'standby' });
pass('a standby that keeps up is used');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$primary->safe_psql('postgres', 'CREATE TABLE behind(a int)');
$proxy->wait_console("EXPLAIN ROUTE CITY 'paris' ACCESS any", sub {
		my ($row) = grep { $_->{region} eq 'europe-west1' } @{ $_[0] };
		$row->{verdict} eq 'rejected' && $row->{reason} =~ /lag/ });
is(lands(@paris, 'meridian.access' => 'any'), 'primary', 'over max_lag: any goes on to the primary');
is(lands(@paris, 'meridian.access' => 'standby'), '08006', 'and there is no standby');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
$proxy->wait_console('SHOW NODES FULL', sub { lands(@paris, 'meridian.access' => 'any') eq 'standby' });
pass('caught up: used again');
$proxy->reload(set => { max_lag => undef });

# ---------------------------------------------------------------- drains

my $there = Meridian::Test::Wire->new($proxy);
$there->login(database => 'any', @paris);
$proxy->console('DRAIN REGION europe-west1');
is(lands(@paris, database => 'any'), 'primary', 'a drained region takes no new sessions');
$there->send(query('SELECT 1'));
is(($there->until('Z'))[-1][0], 'Z', 'those that are there stay');
is(lands(@paris, database => 'standby'), '08006', 'not even where no other has what is wanted');
$proxy->console('UNDRAIN REGION europe-west1');
is(lands(@paris, database => 'any'), 'standby', 'undrained');
$proxy->console("DRAIN NODE '$s' DEADLINE '100ms'");    # time: as the command is given it
is(lands(@paris, database => 'any'), 'primary', 'a drained node takes none either');
$e = error_fields($there->message);
is_deeply([ @$e{qw(S C)} ], [ 'FATAL', '57P01' ], 'after the deadline its sessions end with 57P01');
ok($there->closed, 'and are closed');
$proxy->console("UNDRAIN NODE '$s'");
is(lands(@paris, database => 'any'), 'standby', 'undrained');

# ---------------------------------------------------------------- without a probe role

$proxy->stop;
$proxy->write_conf(set => { probe_conninfo => undef });
$proxy->start;
is_deeply([ map { $_->{role} } @{ $proxy->console('SHOW NODES FULL') } ], [ 'unknown', 'unknown' ], 'without a probe role no role is known');
is(lands(@ny, 'meridian.access' => 'read-only'), 'standby', 'read-only passes by a primary');
$proxy->stop;
$proxy->start;
is(lands(@paris), 'primary', 'a login that finds a standby moves on before the client is told anything');
my ($unfit) = grep { $_->{counter} eq 'attempts' } @{ $proxy->console('SHOW STATS') };
is($unfit->{value}, 2, 'in two attempts');
$proxy->wait_console('SHOW NODES FULL', sub { $_[0][1]{role} eq 'standby' });
is(lands(@paris), 'primary', 'and what was learnt is remembered');
($unfit) = grep { $_->{counter} eq 'attempts' } @{ $proxy->console('SHOW STATS') };
is($unfit->{value}, 3, 'in one attempt');
is(lands(@paris, 'meridian.access' => 'standby'), 'standby', 'a standby is found');
is(lands(@ny, 'meridian.access' => 'standby'), 'standby', 'from elsewhere too');
is(lands(@ny, user => 'reader'), 'primary', 'a role whose transactions are read-only');
is(lands(@ny), 'primary', 'which is no word on the node');
is_deeply([ map { $_->{state} } @{ $proxy->console('SHOW NODES FULL') } ], [ 'up', 'up' ], 'none of which counts against a node');

# The standby becomes a primary.
$proxy->reload(set => { probe_conninfo => 'dbname=postgres' });
$primary->stop('immediate');
is(lands(@paris, 'meridian.access' => 'any'), 'standby', 'the primary is gone');
$standby->promote;
$proxy->wait_console('SHOW NODES FULL', sub { $_[0][1]{role} eq 'primary' });
is(lands(@ny), 'primary', 'a promoted standby takes writes');
$proxy->stop;
done_testing();
