#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A target that dies when it has dropped the slot of a table's copy, and before it has written down that the copy is
# done: PostgreSQL asks for that slot for ever. The move notices, and copies the table anew, while it is written on the
# source; another proxy goes on where the first one dies in the middle of that. No row is lost, none comes twice.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Move qw(app_to_move hold_copies ledger let_copies);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $conf = "wal_retrieve_retry_interval = 500ms\nmax_sync_workers_per_subscription = 8\nmax_logical_replication_workers = 10\n"
  . "max_worker_processes = 20\nmax_replication_slots = 20\nmax_wal_senders = 20\n";
my ($agora, $osc) = regional_clusters('agora-fr1', { conf => $conf }, 'osc-fr1', { conf => $conf });
my @config = (
	regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc ],
	set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres', migration_lease => span(1) });
my ($one, $two) = map { Meridian::Test::Proxy->new($_, @config) } qw(one two);
$_->start for $one, $two;
$_->wait_up(2) for $one, $two;
app_to_move($agora, 'CREATE TABLE "Odd ""Table"""(id int PRIMARY KEY, n int NOT NULL)', <<'SQL');
INSERT INTO "Odd ""Table""" SELECT i, 0 FROM generate_series(1, 5000) i
SQL
my ($odd, $marker) = ('"Odd ""Table"""', 'meridian.marker');

sub run_it
{
	my ($proxy, $sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return "$out$err";
}

sub wait_for
{
	my ($cluster, $sql, $what) = @_;
	return ok($cluster->poll_query_until('app', $sql), $what);
}

# Of these tables, on the target: the states that their copies are in.
sub states
{
	my (@tables) = @_;
	my $list = join ',', map { "'$_'::regclass" } @tables;
	return "(SELECT coalesce(string_agg(srsubstate, '' ORDER BY srsubstate), '') FROM pg_subscription_rel WHERE srrelid IN ($list))";
}

sub held
{
	my ($cluster, $sql) = @_;
	my $lock = $cluster->background_psql('app');
	$lock->query_safe("BEGIN; $sql");
	return $lock;
}

my $sync = q(slot_name ~ '^pg_[0-9]+_sync_');
run_it($one, "CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (identity = auto, max_lag = '1MB', retry_wait = '200ms', $UNHURRIED)");
run_it($one, 'RUN MIGRATION mv PREPARE');
my $ledger = ledger($agora->connstr('app'), '-c', 2, '-w', 3);
my %bench = (out => '', err => '', script => PostgreSQL::Test::Utils::tempdir() . '/odd.sql');
PostgreSQL::Test::Utils::append_to_file($bench{script}, <<"SQL");
\\set id random(1, 6000)
INSERT INTO $odd VALUES (:id, 1) ON CONFLICT (id) DO UPDATE SET n = "Odd ""Table""".n + 1;
DELETE FROM $odd WHERE id = :id % 700 + 1;
SQL
$bench{run} = IPC::Run::start([ 'pgbench', '-n', '-c', 2, '-R', 100, '-T', 3600, '-f', $bench{script}, $agora->connstr('app') ],
	'<', \'', '>', \$bench{out}, '2>', \$bench{err}, run_limit(600));

# ---------------------------------------------------------------- the target dies with three copies at their end

my @lost   = ($odd, 'ledger', $marker);
my $copies = hold_copies($osc, 'app', @lost);
run_it($one, 'RUN MIGRATION mv DATA NOWAIT');
wait_for($osc, 'SELECT ' . states('probe', 'shelf') . q( = 'rr'), 'other tables are replicated');
my $apply = held($osc, 'LOCK TABLE probe IN SHARE MODE');
$agora->safe_psql('app', 'INSERT INTO probe VALUES (1)');
wait_for($osc, q(SELECT count(*) = 1 FROM pg_locks WHERE NOT granted AND relation = 'probe'::regclass), 'changes are not applied');
$copies->quit;
wait_for($osc, 'SELECT ' . states(@lost) . q( = 'fff'), 'three tables are copied and wait to catch up');
$osc->safe_psql('app', 'CHECKPOINT');    # what they have written down so far is on disk
$osc->stop('immediate');
$apply->{run}->kill_kill;
wait_for($agora, "SELECT count(*) = 3 AND NOT bool_or(active) FROM pg_replication_slots WHERE $sync", 'their slots are there');
$agora->safe_psql('app', "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE $sync");
$one->wait_console('SHOW MIGRATION mv', sub { $_[0][0]{state} eq 'error' }, 40);
$osc->start;
let_copies($osc, 'app');

# ---------------------------------------------------------------- copied anew, with a death in the middle

my $reader = held($osc, 'SELECT count(*) FROM ledger');
$one->wait_up(2);
run_it($one, 'RUN MIGRATION mv DATA NOWAIT');
my $gone = q(SELECT NOT EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = 'ledger'::regclass));
wait_for($agora, $gone, 'the last of them has left the publication') or diag $one->log_text;
wait_for($osc, 'SELECT ' . states('probe', 'shelf', @lost) . q( = 'rrrr'), 'the others are replicated, this one has left the subscription');
like(slurp_file($osc->logfile), qr/replication slot "pg_\d+_sync_\d+_\d+" does not exist/, 'PostgreSQL has asked for a slot that is gone');
$one->kill9;
$two->console_when_free('RUN MIGRATION mv DATA NOWAIT');
$two->wait_console('SHOW MIGRATION mv', sub { $_[0][0]{step} =~ /^copy/ && $_[0][0]{detail} =~ /lock/ }, 40);
is($osc->safe_psql('app', 'SELECT ' . states('ledger')), '', 'the next proxy waits until it may be emptied');
is($agora->safe_psql('app', $gone), 't', '... and does not take the copy for done');
$reader->query_safe('COMMIT');
$reader->quit;
$two->wait_console('SHOW MIGRATION mv', sub { $_[0][0]{state} eq 'data-migrated' }, 60);
is($agora->safe_psql('app', q(SELECT string_agg(slot_name, ' ') FROM pg_replication_slots)), 'mrd_1_fwd', 'no slot of a copy is left');
is($agora->safe_psql('app', q(SELECT count(*) FROM meridian.marker WHERE kind = 'again')), '0', 'nothing is under way any more');
like($agora->safe_psql('app', q(SELECT string_agg(detail ->> 'text', E'\n') FROM meridian.journal WHERE event = 'notice')),
	qr/the copy of \Q$_\E cannot go on: .* the table is copied anew/, "the journal has that of $_")
  for $marker, 'public.ledger', "public.$odd";

# ---------------------------------------------------------------- what is there

$bench{run}->signal('INT');
eval { $bench{run}->finish };
unlike($bench{err}, qr/ERROR|FATAL|error:/, 'who wrote has met no error') or diag $bench{err};
cmp_ok($agora->safe_psql('app', "SELECT sum(n) FROM $odd"), '>', 100, '... and has written');
$ledger->stop;
is($ledger->{errors}, 0, '... nor has the ledger');
like(run_it($two, 'RUN MIGRATION mv FINALIZE'), qr/verified at the frozen point: \d+ tables are the same/, 'both sides are the same');
is($ledger->lost($osc, 'app'), 0, "every row that was acknowledged is there ($ledger->{acked})");
for my $table ($odd, 'ledger', 'shelf') {
	my $sum = "SELECT count(*), count(DISTINCT t), md5(string_agg(t::text, ',' ORDER BY t)) FROM $table t";
	is($osc->safe_psql('app', $sum), $agora->safe_psql('app', $sum), "$table is what it was");
}
run_it($two, 'COMPLETE MIGRATION mv');
is($_->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), '0', 'no slot is left on ' . $_->name) for $agora, $osc;
$two->stop;
done_testing();
