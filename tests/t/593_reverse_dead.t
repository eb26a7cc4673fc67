#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The region that was left dies for good: behind the fence of the way back, where REVERSE FORCE (source) opens the side
# that serves again; or at any other time, where COMPLETE FORCE (source) gives up the way back without it.
use strict;
use warnings;
use Meridian::Test::Move qw(looked_at two_regions);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;

my ($agora, $osc, @config) = two_regions();
my $proxy = Meridian::Test::Proxy->new('main', @config, args => ['--crash-points'], env => { MERIDIAN_CRASH_AT => 'reverse_fence:after' });
$proxy->start;
$proxy->wait_up(2);
for my $db (qw(app idle)) {
	$agora->safe_psql('postgres', "CREATE DATABASE $db");
	$agora->safe_psql($db, 'CREATE TABLE t(id int PRIMARY KEY)');
	for my $sql ("CREATE MIGRATION $db OF DATABASE $db FROM agora-fr1 TO osc-fr1 WITH (max_lag = '1MB', attempts = 1, $UNHURRIED)", map { "RUN MIGRATION $db $_" } qw(PREPARE DATA FINALIZE)) {
		my ($status, undef, $err) = $proxy->console_raw($sql);
		is($status, 0, $sql) or diag $err;
	}
}

my $other;
sub state_of { return $other->console("SHOW MIGRATION $_[0]")->[0]{state} }

# Again while another executor is at work; what it says then.
sub said_of
{
	my ($sql) = @_;
	my ($status, undef, $err) = $other->console_when_free($sql);
	return ($status, $err);
}

# The marker of the way back does not arrive.
my $lock = $agora->background_psql('app');
$lock->query_safe('BEGIN; LOCK TABLE meridian.marker IN EXCLUSIVE MODE');
$proxy->console_raw('REVERSE MIGRATION app');
ok($proxy->wait_exit, 'the proxy dies behind the fence of the way back');
$agora->stop('immediate');
$lock->{run}->kill_kill;
my (undef, undef, $error) = $osc->psql('app', 'INSERT INTO t VALUES (1)');
like($error, qr/no longer accepts writes/, 'the side that serves is fenced');

$other = Meridian::Test::Proxy->new('other', @config);
$other->start;
$other->wait_up(1);
my ($status, $said) = said_of('REVERSE MIGRATION app');
like($said, qr/ERROR/, 'REVERSE cannot go on: it may have been decided');
(undef, undef, $error) = $osc->psql('app', 'INSERT INTO t VALUES (1)');
like($error, qr/no longer accepts writes/, '... and the fence stays');
($status, $said) = said_of('REVERSE MIGRATION app FORCE (source)');
isnt($status, 0, 'REVERSE FORCE (source) cannot come to its end either');
is($osc->safe_psql('app', 'INSERT INTO t VALUES (2) RETURNING id'), '2', '... but the side that serves takes writes again');
is($osc->safe_psql('app', 'SELECT decision FROM meridian.authority'), 'forward', '... and says that it serves');
is($osc->safe_psql('app', q(SELECT count(*) FROM pg_replication_slots WHERE database = 'app')), '0', '... no slot keeps its log for nobody');
is($other->safe_psql('app', 'INSERT INTO t VALUES (3) RETURNING id'), '3', '... through the proxy too');
is(state_of('app'), 'error', '... nothing more can be done on the way back');
for my $db (qw(app idle)) {
	($status, $said) = said_of("COMPLETE MIGRATION $db");
	like($said, qr/08006.*FORCE \(source\)/s, "$db: COMPLETE misses the side that was left");
	($status, $said) = said_of("COMPLETE MIGRATION $db FORCE (source)");
	is($status, 0, "$db: COMPLETE FORCE (source) goes on without it") or diag $said;
	is(state_of($db), 'done', '... to the end');
	is($osc->safe_psql($db, q(SELECT count(*) FROM pg_trigger WHERE tgname = 'meridian_fence')), '0', '... no fence is left');
	is($osc->safe_psql($db, q(SELECT count(*) FROM pg_replication_slots WHERE database = current_database())), '0', '... no slot');
	is($osc->safe_psql($db, q(SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database())), '0', '... no subscription');
}

# It comes back as it was, or as it would have been if it had decided before it died.
$agora->start;
$agora->safe_psql('app', q(SET meridian.internal = on; UPDATE meridian.authority SET decision = 'forward', writable = true, serves = 'agora-fr1', epoch = epoch + 1));
$other->wait_up(2);
$other->console('SHOW MIGRATIONS');    # looks everywhere
looked_at($agora, 'app');
is($other->safe_psql($_, q(SELECT current_setting('cluster_name'))), 'osc-fr1', "$_: what was decided last is what counts") for qw(app idle);
$other->stop;
done_testing();
