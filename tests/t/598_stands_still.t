#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Replication that does not get on, and would try for ever: no worker is free on the target, a column is missing there,
# a change cannot be applied. DATA says what it waits for, and so does a migration at rest; it goes on by itself when
# that is mended.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Move qw(app_to_move hold_copies let_copies);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;

my ($agora, $osc) = regional_clusters('agora-fr1', 'osc-fr1', { conf => "wal_retrieve_retry_interval = 500ms\nmax_logical_replication_workers = 3\n" });
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc ],
	set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres', migration_lease => span(1) });
$proxy->start;
$proxy->wait_up(2);
app_to_move($agora);

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return "$out$err";
}

sub detail_of
{
	my ($words, $what) = @_;
	my $rows = eval { $proxy->wait_console('SHOW MIGRATION mv', sub { ($_[0][0]{detail} // '') =~ $words }) };
	return ok($rows, $what) || diag $proxy->console('SHOW MIGRATION mv')->[0]{detail} // '(no detail)';
}

run_it("CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (identity = auto, ddl = allow, max_lag = '1MB', $UNHURRIED)");
run_it('RUN MIGRATION mv PREPARE');

# ---------------------------------------------------------------- no worker is free

my $copies = hold_copies($osc, 'app', 'shelf');
run_it('RUN MIGRATION mv DATA NOWAIT');
detail_of(qr/3 of 4 tables copied, \d+ bytes of those under way$/, 'the copy is under way');
$agora->safe_psql('postgres', 'CREATE DATABASE other');
$agora->safe_psql('other', 'CREATE PUBLICATION theirs');
$osc->safe_psql('postgres', qq(CREATE SUBSCRIPTION theirs_$_ CONNECTION 'host=127.0.0.1 port=${\$agora->port} dbname=other' PUBLICATION theirs)) for 1, 2;
$osc->safe_psql('app', 'ALTER SUBSCRIPTION mrd_1_fwd DISABLE');
ok($osc->poll_query_until('postgres', q(SELECT count(pid) = 2 FROM pg_stat_subscription WHERE subname ~ 'theirs')), 'others take the workers of the target');
$osc->safe_psql('app', 'ALTER SUBSCRIPTION mrd_1_fwd ENABLE');
detail_of(qr/3 of 4 tables copied.*; no worker is free there \(max_logical_replication_workers = 3\)/, 'DATA says that no worker is free');
$osc->safe_psql('postgres', "DROP SUBSCRIPTION theirs_$_") for 1, 2;
detail_of(qr/3 of 4 tables copied, \d+ bytes of those under way$/, '... and goes on when there is one');

# ---------------------------------------------------------------- a column is missing

$agora->safe_psql('app', 'ALTER TABLE probe ADD COLUMN more int; INSERT INTO probe VALUES (1, 2)');
detail_of(qr/3 of 4 tables copied.*; no worker of subscription mrd_1_fwd runs there; the log there says why/, 'DATA says that changes are not applied');
my $told = q(SELECT count(*) FROM meridian.journal WHERE detail ->> 'text' ~ 'the target waits: no worker of subscription');
is($agora->safe_psql('app', $told), '1', '... once');
$osc->safe_psql('app', 'SET meridian.internal = on; ALTER TABLE probe ADD COLUMN more int');
detail_of(qr/3 of 4 tables copied, \d+ bytes of those under way$/, '... and goes on when they are');
let_copies($osc, 'app', $copies);
my $rows = eval { $proxy->wait_console('SHOW MIGRATION mv', sub { $_[0][0]{state} eq 'data-migrated' }, 40) };
ok($rows, 'the copy comes to its end');

# ---------------------------------------------------------------- a change cannot be applied

$osc->safe_psql('postgres', q(ALTER SYSTEM SET wal_retrieve_retry_interval = '5s'));
$osc->reload;
my $row = q(INSERT INTO shelf(id, what) VALUES (5000, 'twice'));
$osc->safe_psql('app', "SET session_replication_role = replica; $row");
$agora->safe_psql('app', $row);
detail_of(qr/^replication stands still: nobody reads replication slot mrd_1_fwd; the log of the target says why$/, 'a change that cannot be applied is told at rest');
$proxy->wait_for_log(qr/migration 1: replication stands still/);
$osc->safe_psql('app', 'SET session_replication_role = replica; DELETE FROM shelf WHERE id = 5000');
detail_of(qr/^$/, '... until it can be');
like(run_it('RUN MIGRATION mv FINALIZE'), qr/verified at the frozen point/, 'it is moved');
run_it('COMPLETE MIGRATION mv');
$proxy->stop;
done_testing();
