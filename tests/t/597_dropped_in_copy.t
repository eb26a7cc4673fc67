#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# With ddl = allow somebody drops tables on the source while they are copied: one that has not had its turn, and one
# whose copy was lost and is made anew. PostgreSQL would try for ever; the move goes on without them, and says so.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Move qw(hold_copies let_copies);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;

# Two tables at once: the others wait for their turn.
my $conf = "wal_retrieve_retry_interval = 500ms\nmax_sync_workers_per_subscription = 2\n";
my ($agora, $osc) = regional_clusters('agora-fr1', 'osc-fr1', { conf => $conf });
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc ],
	set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres', migration_lease => span(1) });
$proxy->start;
$proxy->wait_up(2);
my @tables = ('a', 'b', 'c', '"Odd ""d"""');
for my $db (qw(turn anew)) {
	$agora->safe_psql('postgres', "CREATE DATABASE $db");
	$agora->safe_psql($db, join ' ', map { "CREATE TABLE $_(i int PRIMARY KEY); INSERT INTO $_ VALUES (1);" } @tables);
}

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return "$out$err";
}

sub wait_for
{
	my ($cluster, $db, $sql, $what) = @_;
	return ok($cluster->poll_query_until($db, $sql), $what);
}

sub begins
{
	my ($db) = @_;
	run_it("CREATE MIGRATION $db OF DATABASE $db FROM agora-fr1 TO osc-fr1 WITH (ddl = allow, max_lag = '1MB', retry_wait = '200ms', $UNHURRIED)");
	return run_it("RUN MIGRATION $db PREPARE");
}

sub ends
{
	my ($db, $table, $slot) = @_;
	my $rows = eval { $proxy->wait_console("SHOW MIGRATION $db", sub { $_[0][0]{state} ne 'running(data)' }, 30) }
	  // $proxy->console("SHOW MIGRATION $db");
	like($rows->[0]{step}, qr/^post_data/, 'the copy comes to its end without') or diag $rows->[0]{detail};
	like($rows->[0]{detail}, qr/only on the target: column public\.\Q$table\E\.i/, '... and the table is to be dropped on the target');
	is($agora->safe_psql($db, q(SELECT count(*) FROM meridian.journal WHERE detail ->> 'text' ~ 'not on the source any more, so the copy goes on without: '))
		, '1', '... which is told once');
	is($agora->safe_psql($db, q(SELECT count(*) FROM meridian.marker WHERE kind = 'again')), '0', '... nothing is under way any more');
	is($agora->safe_psql($db, q(SELECT string_agg(slot_name, ' ') FROM pg_replication_slots WHERE database = current_database())), $slot, '... no slot of a copy is left');
	$osc->safe_psql($db, "SET meridian.internal = on; DROP TABLE $table");
	run_it("RETRY MIGRATION $db");
	like(run_it("RUN MIGRATION $db FINALIZE"), qr/verified at the frozen point/, 'it is moved');
	return run_it("COMPLETE MIGRATION $db");
}

# ---------------------------------------------------------------- one that waits for its turn

begins('turn');
my $copies = hold_copies($osc, 'turn', @tables);
run_it('RUN MIGRATION turn DATA NOWAIT');
wait_for($osc, 'turn', q(SELECT count(*) > 1 FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid WHERE srsubstate = 'i')
	  . q( AND EXISTS (SELECT FROM pg_subscription_rel x JOIN pg_class y ON y.oid = x.srrelid WHERE x.srsubstate = 'd' AND y.relname <> 'marker')),
	'a table is copied, others wait for their turn');
my $victim = $osc->safe_psql('turn', q(SELECT quote_ident(relname) FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid WHERE srsubstate = 'i' AND relname <> 'marker' ORDER BY relname COLLATE "C" LIMIT 1));
$agora->safe_psql('turn', "DROP TABLE $victim");
let_copies($osc, 'turn', $copies);
ends('turn', $victim, 'mrd_1_fwd');

# ---------------------------------------------------------------- one that is copied anew

begins('anew');
$copies = hold_copies($osc, 'anew', 'b');
run_it('RUN MIGRATION anew DATA NOWAIT');
my $sync  = q(slot_name ~ '^pg_[0-9]+_sync_');
my $state = q((SELECT string_agg(srsubstate, '' ORDER BY srsubstate) FROM pg_subscription_rel WHERE srrelid = 'b'::regclass));
wait_for($osc, 'anew', "SELECT $state = 'd' AND count(*) = 4 FROM pg_subscription_rel WHERE srsubstate = 'r'", 'the others are replicated');
# changes are not applied: the copy cannot come to its end
my $apply = $osc->background_psql('anew');
$apply->query_safe('BEGIN; LOCK TABLE a IN SHARE MODE');
$agora->safe_psql('anew', 'INSERT INTO a VALUES (2)');
wait_for($osc, 'anew', q(SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'a'::regclass), 'changes are not applied');
$copies->quit;
wait_for($osc, 'anew', "SELECT $state = 'f'", 'it is copied and waits to catch up');
$osc->safe_psql('anew', 'CHECKPOINT');
$osc->stop('immediate');
$apply->{run}->kill_kill;
wait_for($agora, 'anew', "SELECT count(*) = 1 AND NOT bool_or(active) FROM pg_replication_slots WHERE $sync", 'the target dies, the slot is there');
$agora->safe_psql('anew', "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE $sync");
$proxy->wait_console('SHOW MIGRATION anew', sub { $_[0][0]{state} eq 'error' }, 40);
$osc->start;
let_copies($osc, 'anew');
my $reader = $osc->background_psql('anew');
$reader->query_safe('BEGIN; SELECT count(*) FROM b');
$proxy->wait_up(2);
run_it('RUN MIGRATION anew DATA NOWAIT');
wait_for($agora, 'anew', q(SELECT count(*) = 1 FROM meridian.marker WHERE kind = 'again'), 'the table is copied anew');
$proxy->wait_console('SHOW MIGRATION anew', sub { ($_[0][0]{detail} // '') =~ /lock/ }, 40);
$agora->safe_psql('anew', 'DROP TABLE b');
$reader->query_safe('COMMIT');
$reader->quit;
ends('anew', 'b', 'mrd_2_fwd');
$proxy->stop;
done_testing();
