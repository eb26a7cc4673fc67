#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Replication slots of others, those of somebody else's initial copies too, are never dropped by a move; its own all
# are, when the target has died in the middle of the copy and cannot be asked any more.
use strict;
use warnings;
use Meridian::Test::Move qw(hold_copies two_regions);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;

my ($agora, $osc, @config) = two_regions();
my $proxy = Meridian::Test::Proxy->new('main', @config);
$proxy->start;
$proxy->wait_up(2);

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return "$out$err";
}

sub slots { return $agora->safe_psql('postgres', q(SELECT string_agg(slot_name, ' ' ORDER BY slot_name COLLATE "C") FROM pg_replication_slots)) }

$agora->safe_psql('postgres', 'CREATE DATABASE app');
$agora->safe_psql('app', 'CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)');
my @theirs = qw(cdc pg_16400_sync_16385_7000000000000000000);
$agora->safe_psql('app', "SELECT pg_create_logical_replication_slot('$_', 'pgoutput')") for @theirs;
my $options = "WITH (foreign_slots = ignore, max_lag = '1MB', $UNHURRIED)";

run_it("CREATE MIGRATION dies OF DATABASE app FROM agora-fr1 TO osc-fr1 $options");
run_it('RUN MIGRATION dies PREPARE');
my $lock = hold_copies($osc, 'app', 't');
run_it('RUN MIGRATION dies DATA NOWAIT');
my $system = $osc->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()');
ok($agora->poll_query_until('postgres', qq(SELECT count(*) = 1 FROM pg_replication_slots WHERE slot_name ~ '_sync_.*_$system\$' AND NOT active)),
	'the copy has a slot, which is not active while it goes on');
$proxy->wait_console('SHOW MIGRATION dies', sub { ($_[0][0]{step} || '') =~ /^copy/ });
ok($agora->poll_query_until('app', q(SELECT count(*) = 1 FROM meridian.marker WHERE kind = 'copies')), 'whose they are has been noted');
$osc->stop('immediate');
$lock->{run}->kill_kill;
$proxy->wait_console('SHOW MIGRATION dies', sub { $_[0][0]{state} eq 'error' }, 40);
run_it('ABORT MIGRATION dies FORCE');
is($proxy->console('SHOW MIGRATION dies')->[0]{state}, 'aborted', 'the target is given up');
is(slots(), "@theirs", 'its slots are gone, those of others are not');

$osc->start;
$osc->safe_psql('postgres', 'ALTER DATABASE app RENAME TO left_behind');
$proxy->wait_up(2);
run_it("CREATE MIGRATION lives OF DATABASE app FROM agora-fr1 TO osc-fr1 $options");
run_it("RUN MIGRATION lives $_") for qw(PREPARE DATA FINALIZE);
run_it('COMPLETE MIGRATION lives');
is(slots(), "@theirs", 'COMPLETE drops none of theirs');
$proxy->stop;
done_testing();
