#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# One address is configured, and the standbys of that server are found, in their regions: while the
# proxy runs, behind a promotion, with a role that may not see them. What is gone is drained, not cut;
# what loses half of its nodes at once is not believed.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire;
use PostgreSQL::Test::Utils ();
use Test::More;

my ($home) = regional_clusters('us-east1', { streaming => 1 });
$home->safe_psql('postgres', 'CREATE ROLE blind LOGIN');

# A standby that streams over TCP and is called so by its primary.
sub standby
{
	my ($name, $application_name, $from) = @_;
	my $node = regional_standby($home, $name);
	streams_from($node, $from // $home, $application_name // '127.0.0.1:' . $node->port);
	return $node;
}

sub streams_from
{
	my ($node, $from, $application_name) = @_;
	$node->append_conf('postgresql.conf', 'primary_conninfo = ' . (defined $from
		? "'host=127.0.0.1 port=" . $from->port . " user=postgres application_name=$application_name'" : "''") . "\n");
	$node->reload;
	return;
}

sub name { return '127.0.0.1:' . $_[0]->port }

# ---------------------------------------------------------------- found, and in which region

my $paris = standby('europe-west1', 'paris');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $home, cities => 'new york', discover => 'replication' },
		'europe-west1' => { nodes => '', cities => 'paris' } ],
	set => { auth => 'trust', workers => 1, region => 'us-east1', probe_interval => '100ms', probe_conninfo => 'user=postgres',
		failback_delay => 0, discover_interval => '100ms', discover_grace => span(0.5), address_map => 'paris=' . name($paris),
		locality_map => "paris=europe-west1, 127.0.0.1:@{[ $paris->port ]}=us-east1" },
	conf => "[database postgres]\npool = transaction\nreads = nearest\n[database template1]\naccess = any\n");
$proxy->start;

# What became of a node that was told of, "" where no source tells of it.
sub verdict
{
	my ($rows, $node) = @_;
	my ($row) = grep { $_->{node} eq name($node) } @$rows;
	return $row ? $row->{verdict} : '';
}

sub becomes
{
	my ($node, $verdict, $what) = @_;
	ok($proxy->wait_console('SHOW DISCOVERY', sub { verdict($_[0], $node) eq $verdict }), $what);
	return;
}

sub node
{
	my ($of) = @_;
	my ($row) = grep { $_->{node} eq name($of) } @{ $proxy->console('SHOW NODES FULL') };
	return $row;
}

sub lands
{
	my ($city) = @_;
	return $proxy->psql_from({ city => $city }, 'template1', q{SELECT current_setting('cluster_name')});
}

becomes($paris, 'used', 'the standby is found, probed and used');
is(node($paris)->{region}, 'europe-west1', 'in the region of the first pattern that matches');
is(node($paris)->{origin}, 'replication of ' . name($home), 'with its origin');
is(node($paris)->{role}, 'standby', 'as what it is');
is(node($home)->{origin}, 'configured', 'the other one is configured');
is(lands('paris'), 'europe-west1', 'a caller in Paris lands there, where any node will do');
is(lands('new york'), 'us-east1', 'a caller in New York at home');
my ($row) = grep { $_->{node} eq name($paris) } @{ $proxy->console("EXPLAIN ROUTE CITY 'paris' DATABASE template1") };
like($row->{reason}, qr/found by replication of @{[ name($home) ]}$/, 'EXPLAIN ROUTE says who has told of it');
my $w = Meridian::Test::Wire->session($proxy, options => '-c meridian.city=paris');
$w->ask('SELECT 1');
ok(wait_until(sub { $w->ask(q{SELECT current_setting('cluster_name')}) eq 'europe-west1' }, 'a read nearby'), 'it is read nearby');

# ---------------------------------------------------------------- what comes later

my $second = standby('us-east1-b');
becomes($second, 'used', 'a standby that comes later, and says where it is');
is(node($second)->{region}, 'us-east1', 'without a pattern, in the region of the one that told of it');

my $session = Meridian::Test::Wire->session($proxy, database => 'template1', options => '-c meridian.city=paris');
is($session->ask(q{SELECT current_setting('cluster_name')}), 'europe-west1', 'a session at the one in Paris');

# ---------------------------------------------------------------- what looks like a standby

# A program that follows the WAL, called like an address at which no server answers; and one that decodes it.
sub follows
{
	my ($slot, @command) = @_;
	$home->safe_psql('postgres', "SELECT pg_create_$slot('$slot'" . ($slot =~ /logical/ ? ", 'test_decoding')" : ')'));
	return IPC::Run::start([ @command, '-S', $slot, '-d', 'host=127.0.0.1 port=' . $home->port . ' user=postgres dbname=postgres application_name=127.0.0.1:1' ],
		'>', '/dev/null', '2>', '/dev/null', run_limit(120));
}

my $decoder = follows('logical_replication_slot', 'pg_recvlogical', '--start', '-f', '-');
ok(wait_until(sub { $home->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots WHERE active}) == 1 }, 'the decoder'), 'a subscriber');
my $receiver = follows('physical_replication_slot', 'pg_receivewal', '-D', PostgreSQL::Test::Utils::tempdir());
ok($proxy->wait_console('SHOW DISCOVERY', sub { grep { $_->{node} eq '127.0.0.1:1' && $_->{verdict} eq 'new' } @{ $_[0] } }), 'what follows the WAL is found');
ok($proxy->wait_console('SHOW NODES FULL', sub { grep { $_->{node} eq '127.0.0.1:1' && $_->{reason} =~ /refused/ } @{ $_[0] } }), 'but does not answer');
$receiver->signal('TERM');
$receiver->finish;
ok($proxy->wait_console('SHOW NODES FULL', sub { !grep { $_->{node} eq '127.0.0.1:1' } @{ $_[0] } }), 'it is forgotten at once, and the subscriber is none');
$decoder->signal('TERM');
$decoder->finish;

# ---------------------------------------------------------------- not all at once

streams_from($_, undef) for $paris, $second;
ok($proxy->wait_for_log(qr/discovery: replication of \S+: its answer has only 0 of the 2 nodes/), 'an answer without both is logged');
ok($proxy->wait_console('SHOW DISCOVERY', sub { grep { $_->{asked} eq name($home) && $_->{reason} =~ /discover_min_keep/ } @{ $_[0] } }), 'and shown');
is(lands('paris'), 'europe-west1', 'it changes nothing');
streams_from($second, $home, name($second));
becomes($second, 'used', 'half of them are believed');

# ---------------------------------------------------------------- gone, not cut

ok($proxy->wait_console('SHOW NODES FULL', sub { grep { $_->{node} eq name($paris) && $_->{reason} =~ /no source tells of it/ } @{ $_[0] } }),
	'what no source tells of any more is gone after a while');
is($session->ask(q{SELECT current_setting('cluster_name')}), 'europe-west1', 'its session goes on');
isnt(lands('paris'), 'europe-west1', 'new ones go elsewhere');
$session->close;
undef $w;
ok($proxy->wait_console('SHOW NODES FULL', sub { !grep { $_->{node} eq name($paris) } @{ $_[0] } }), 'without sessions it is forgotten');

streams_from($paris, $home, 'paris');
becomes($paris, 'used', 'it comes back');

# ---------------------------------------------------------------- a fail-over

# The standby of the one that is promoted must not have more than that has.
streams_from($second, $paris, name($second));
$paris->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'}) or die 'no cascade';
my $has = $second->safe_psql('postgres', 'SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())');
$paris->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() >= '$has'") or die "no $has";
$paris->promote;
$home->stop('immediate');
ok($proxy->wait_console('SHOW NODES FULL', sub { grep { $_->{node} eq name($paris) && $_->{role} eq 'primary' } @{ $_[0] } }),
	'the promoted one is known as the primary');
my $writer = Meridian::Test::Wire->session($proxy, options => '-c meridian.city=paris');
$writer->ask('BEGIN');
is($writer->ask(q{SELECT current_setting('cluster_name')}), 'europe-west1', 'what may write goes there');
$writer->close;
ok($proxy->wait_console('SHOW DISCOVERY', sub { grep { $_->{asked} eq name($paris) && $_->{node} eq name($second) } @{ $_[0] } }),
	'it tells of its standbys, though it was found itself');
$proxy->stop;

# ---------------------------------------------------------------- who may not see

streams_from($second, $paris, 'plain');
my $blind = Meridian::Test::Proxy->new('blind',
	regions => [ 'europe-west1' => { nodes => $paris, discover => 'auto' } ],
	set => { auth => 'trust', workers => 1, probe_interval => '100ms', probe_conninfo => 'user=blind dbname=postgres', discover_interval => '100ms',
		address_map => '127.0.0.1/32=' . name($second) });
$blind->start;
ok($blind->wait_console('SHOW DISCOVERY', sub { grep { $_->{node} eq 'plain' && $_->{verdict} eq 'no address' && $_->{reason} =~ /GRANT pg_monitor/ } @{ $_[0] } }),
	'a role that may not see where a standby is, is told so');
$paris->safe_psql('postgres', 'GRANT pg_monitor TO blind');
ok($blind->wait_console('SHOW DISCOVERY', sub { verdict($_[0], $second) eq 'used' }), 'and finds it when it may');
$blind->stop;

done_testing();
