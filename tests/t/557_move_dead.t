#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The target's server dies for good while its answer is waited for, with the source fenced. What was
# decided cannot be asked any more: ABORT says so, and ABORT FORCE opens the source again; what comes back later does
# not take the database away.
use strict;
use warnings;
use Meridian::Test::Move qw(two_regions);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;

my ($agora, $osc, @config) = two_regions();
my $proxy = Meridian::Test::Proxy->new('main', @config, args => ['--crash-points'], env => { MERIDIAN_CRASH_AT => 'fence:after' });
$proxy->start;
$proxy->wait_up(2);
$agora->safe_psql('postgres', 'CREATE DATABASE app');
$agora->safe_psql('app', 'CREATE TABLE t(id int PRIMARY KEY)');

for my $sql ("CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (max_lag = '1MB')", 'RUN MIGRATION mv PREPARE', 'RUN MIGRATION mv DATA') {
	my ($status, undef, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err;
}
# The marker does not arrive.
my $lock = $osc->background_psql('app');
$lock->query_safe('BEGIN; LOCK TABLE meridian.marker IN EXCLUSIVE MODE');
$proxy->console_raw('RUN MIGRATION mv FINALIZE');
ok($proxy->wait_exit, 'the proxy dies behind the fence');
$osc->stop('immediate');
$lock->{run}->kill_kill;
my (undef, undef, $error) = $agora->psql('app', 'INSERT INTO t VALUES (1)');
like($error, qr/no longer accepts writes/, 'the source is fenced');

my $other = Meridian::Test::Proxy->new('other', @config);
$other->start;
$other->wait_up(1);
my $said = ($other->console_when_free('ABORT MIGRATION mv'))[2];
like($said, qr/ERROR/, 'ABORT is refused: it may have been decided') or diag $said;
(undef, undef, $error) = $agora->psql('app', 'INSERT INTO t VALUES (1)');
like($error, qr/no longer accepts writes/, 'and the source stays fenced');
$said = ($other->console_when_free('ABORT MIGRATION mv FORCE'))[2];
unlike($said, qr/ERROR/, 'ABORT FORCE goes on without the target') or diag $said;
is($other->console('SHOW MIGRATION mv')->[0]{state}, 'aborted', 'it is aborted');
is($agora->safe_psql('app', 'INSERT INTO t VALUES (2) RETURNING id'), '2', 'the source takes writes again');
is($agora->safe_psql('app', q(SELECT count(*) FROM pg_replication_slots)), '0', 'no slot is left there');

# It comes back, and had decided before it died.
$osc->start;
$osc->safe_psql('app', q(SET meridian.internal = on; UPDATE meridian.authority SET decision = 'forward', writable = true, serves = 'osc-fr1', epoch = epoch + 1));
$other->wait_up(2);
$other->console('SHOW MIGRATIONS');    # looks everywhere
let_pass(2.5, 'the watcher sees it');
is($other->safe_psql('app', q(SELECT current_setting('cluster_name'))), 'agora-fr1', 'what was decided last is what counts');
$other->stop;
done_testing();
