#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Sessions that end before their time, by a limit or because one side leaves: what the client is
# told, and that nothing stays behind on the node.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($node) = regional_clusters('us-east1', { users => { alice => 'secret' } });
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $node ], set => { probe_conninfo => undef });
$proxy->start;

sub session
{
	my $w = Meridian::Test::Wire->new($proxy);
	$w->login(database => 'postgres', @_);
	return $w;
}

sub ask
{
	my ($w, $sql) = @_;
	$w->send(query($sql));
	return ($w->until('Z'))[-1][1];
}

# The last words of a session: SQLSTATE and text.
sub ends
{
	my ($w, $state, $text, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $e = error_fields(($w->until('E'))[-1]);
	is_deeply([ @$e{qw(S C M)} ], [ 'FATAL', $state, $text ], $what);
	ok($w->closed, 'and closed');
	return;
}

sub nobody_left
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->poll_query_until('postgres',
			"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"),
		'nothing is left on the node');
}

# ---------------------------------------------------------------- idle

# A long query is followed by the whole of the limit, not by the end of the session.
for my $case (
	[ 'client_idle_timeout',      '',        'I', '57P05' ],
	[ 'idle_transaction_timeout', 'BEGIN; ', 'T', '25P03' ])
{
	my ($option, $first, $status, $state) = @$case;
	my ($active, $idle) = (session(), session());
	my $holder = $node->background_psql('postgres');
	$holder->query_safe('SELECT pg_advisory_lock(1)');
	$active->send(query("${first}SELECT pg_advisory_xact_lock(1)"));
	$idle->send(query("${first}SELECT 1"));
	$idle->until('Z');
	$proxy->reload(set => { client_idle_timeout => undef, idle_transaction_timeout => undef, $option => '3s' });    # time: the option ends a session
	ends($idle, $state, "terminating connection due to $option", "$option, of a session that was there");
	$holder->quit;
	is(($active->until('Z'))[-1][1], $status, 'a query that runs longer is not idle');
	ok($active->silent, 'and when it has ended the time begins');
	is(ask($active, 'SELECT 1'), $status, 'so that the session can go on');
	ends($active, $state, "terminating connection due to $option", 'until it asks no more');
}
$proxy->reload(set => { idle_transaction_timeout => undef });
nobody_left();

# ---------------------------------------------------------------- logins

$proxy->reload(set => { client_login_timeout => '4s' });    # time: client_login_timeout ends a login
my $w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => 'alice', database => 'postgres'));
is(unpack('N', $w->message->[1]), 10, 'asked for SCRAM');
ends($w, '08P01', 'login took too long', 'who does not answer the node');
nobody_left();
$node->safe_psql('postgres', "ALTER SYSTEM SET post_auth_delay = 8; SELECT pg_reload_conf()");
$w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => (getpwuid $>)[0], database => 'postgres'));
ends($w, '08P01', 'login took too long', 'a node that takes too long');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET post_auth_delay; SELECT pg_reload_conf()');
$proxy->reload(set => { client_login_timeout => undef });
nobody_left();
is(ask(session(), 'SELECT 1'), 'I', 'and the next one gets in');

# ---------------------------------------------------------------- clients that are gone

for my $how (qw(close abort)) {
	$w = session();
	$w->send(query("SELECT pg_sleep(600), '$how'"));
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%$how%' AND wait_event = 'PgSleep'"),
		'a query runs');
	$w->$how;
	nobody_left();
	$w = session();
	ask($w, 'BEGIN');
	$w->$how;
	nobody_left();
	$w = Meridian::Test::Wire->new($proxy);
	$w->send(startup(user => 'alice', database => 'postgres'));
	$w->message;
	$w->$how;
	nobody_left();
}
is($proxy->console('SHOW NODES FULL')->[0]{sessions}, 0, 'nor in the proxy\'s books');
$proxy->stop;
done_testing();
