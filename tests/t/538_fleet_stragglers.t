#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Two proxies, and transactions that do not come to their end while their database moves: the clients
# of the proxy that does not do the move hear what became of them as those of the other one do, and
# keep their connections. Where the proxies do not come together in time nothing is ended, and where
# the one that does the move dies in between nobody waits for it.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

# Waiting for a standby that takes the log and never applies it is what makes a COMMIT slow, and certain.
my ($agora, $osc) = regional_clusters('agora-fr1', { conf => "synchronous_commit = local\nsynchronous_standby_names = 'nobody'\n" }, 'osc-fr1');
my $standby = IPC::Run::start([ 'pg_receivewal', '--synchronous', '-D', PostgreSQL::Test::Utils::tempdir(), '-d', $agora->connstr('postgres') . ' user=postgres application_name=nobody' ],
	'<', \'', '>', \my $wal_out, '2>', \my $wal_err);
$agora->safe_psql('postgres', 'CREATE DATABASE app');
$agora->safe_psql('app', <<'SQL');
CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, who text);
CREATE TABLE slow (i int PRIMARY KEY);
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(60); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
SQL

sub proxy
{
	my ($name) = @_;
	my $p = Meridian::Test::Proxy->new($name,
		regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc ],
		set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres',
			migration_lease => patience(3) . 's' },
		conf => "[database ses]\ndbname = app\npool = session\n[database tx]\ndbname = app\npool = transaction\n");
	$p->start;
	$p->wait_up(2);
	return $p;
}

my ($first, $second) = map { proxy($_) } qw(first second);

sub session { my ($proxy, $database) = @_; return Meridian::Test::Wire->session($proxy, database => $database, user => 'postgres') }

# Types and SQLSTATEs of what came: "E(40001) Z(E)".
sub heard
{
	my ($w) = @_;
	my @all = map { my $t = $_->[0]; $t eq 'E' ? 'E(' . error_fields($_)->{C} . ')' : $t eq 'Z' ? "Z($_->[1])"
		  : $t eq 'C' ? 'C(' . ($_->[1] =~ s/\0//r) . ')' : $t } grep { $_->[0] ne 'S' && $_->[0] ne 'N' } $w->until('Z');
	return join ' ', @all;
}

sub says { my ($w, $sql) = @_; $w->send(query($sql)); return heard($w) }

sub is_active
{
	my ($node, $n, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->poll_query_until('app', "SELECT count(*) = $n FROM pg_stat_activity WHERE state = 'active' AND $what AND pid <> pg_backend_pid()"),
		"$n: $what");
}

sub said
{
	my ($proxy, $sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	return ($status, $err);
}

sub run_by
{
	my ($proxy, $sql) = @_;
	my ($status, $err) = said($proxy, $sql);
	is($status, 0, $sql) or diag $err, $proxy->console_raw('SHOW MIGRATION mv LOG');
	return $err;
}

# Nobody says anything about stragglers there until what is returned quits. As our own do, past what keeps
# others from DDL.
sub late_rows
{
	my ($node, $when, $each) = @_;
	$node->safe_psql('app', <<"SQL");
SET meridian.internal = on;
CREATE FUNCTION meridian.late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(8); RETURN NEW; END';
CREATE TRIGGER late BEFORE $when ON meridian.straggler FOR EACH $each EXECUTE FUNCTION meridian.late();
SQL
	my $holder = $node->background_psql('app');
	$holder->query_safe('SELECT pg_advisory_lock(8)');
	return $holder;
}

# What comes in time comes within milliseconds, and on a busy machine within seconds.
run_by($first, "CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (max_lag = '1MB', attempts = 1,"
	  . " freeze_deadline = '4s', $UNHURRIED, verify = off)");    # time: less than the 5 s in which a proxy says what it has
run_by($first, "RUN MIGRATION mv $_") for qw(PREPARE DATA);
ok($agora->poll_query_until('app', "SELECT count(*) = 2 FROM meridian.proxy WHERE heartbeat > now() - interval '@{[ span(3) ]}'"), 'both proxies are there');
$_->poll_query_until('app', "SELECT to_regclass('meridian.straggler') IS NOT NULL") for $agora, $osc;

# ---------------------------------------------------------------- one proxy does not answer in time
{
	my $late = late_rows($agora, 'INSERT', 'STATEMENT');
	my %w = map { my $p = $_; map { ($p->name . " $_" => session($p, $_)) } qw(tx ses) } $first, $second;
	my $idle = session($second, 'tx');
	$_->ask('BEGIN', "INSERT INTO t (who) VALUES ('through')") for values %w, $idle;
	my $holder = $agora->background_psql('app');
	$holder->query_safe('SELECT pg_advisory_lock(7)');
	$_->send(query('SELECT pg_advisory_xact_lock_shared(7)')) for values %w;
	is_active($agora, 4, "wait_event = 'advisory'");
	my ($status, $err) = said($first, 'RUN MIGRATION mv FINALIZE FORCE (long_xact)');
	isnt($status, 0, 'where a proxy does not say which transactions are open');
	like($err, qr/MR003.*1 proxies have not said in time which transactions are open/s, '... the move does not go on') or diag $err;
	$_->quit for $late, $holder;
	for my $name (sort keys %w) {
		is(heard($w{$name}), 'T D C(SELECT 1) Z(T)', "$name: a statement that was under way is answered as if nothing had been");
		is(says($w{$name}, 'COMMIT'), 'C(COMMIT) Z(I)', '... and so is its COMMIT');
		is($w{$name}->ask("SELECT current_setting('cluster_name')"), 'agora-fr1', '... and the session goes on');
	}
	is(says($idle, 'SELECT 1'), 'E(40001) Z(E)', 'only who was idle in a transaction has lost it');
	is(says($idle, 'ROLLBACK'), 'C(ROLLBACK) Z(I)', '... and begins again');
	is($agora->safe_psql('app', "SELECT count(*) FROM t WHERE who = 'through'"), 4, 'what was told as committed is there');
	$agora->safe_psql('app', "SET meridian.internal = on; DROP FUNCTION meridian.late() CASCADE");
}

# ---------------------------------------------------------------- stragglers everywhere, and it moves
{
	my %w;
	for my $p ($first, $second) {
		for my $db (qw(tx ses)) {
			$w{$_}{ $p->name . " $db" } = session($p, $db) for qw(idle late flight commit slow);
		}
	}
	my @names = sort keys %{ $w{idle} };
	$_->ask('BEGIN', "INSERT INTO t (who) VALUES ('lost')") for values %{ $w{idle} }, values %{ $w{late} }, values %{ $w{flight} };
	$_->ask('BEGIN', 'SET LOCAL synchronous_commit = remote_apply', "INSERT INTO t (who) VALUES ('kept')") for values %{ $w{commit} };
	my $i = 0;
	$_->ask('BEGIN', 'INSERT INTO slow VALUES (' . ++$i . ')') for values %{ $w{slow} };
	$_->send(query("INSERT INTO t (who) SELECT 'lost' FROM pg_sleep(60)")) for values %{ $w{flight} };
	$_->send(query('COMMIT')) for values %{ $w{commit} }, values %{ $w{slow} };
	is_active($agora, 4, "query LIKE 'INSERT%pg_sleep%'");
	is_active($agora, 4, "wait_event = 'SyncRep'");
	is_active($agora, 4, "query = 'COMMIT' AND wait_event = 'PgSleep'");
	my $text = run_by($first, 'RUN MIGRATION mv FINALIZE FORCE (long_xact)');
	note $text =~ /(write pause .*)/;
	like($text, qr/ 16 aborted/, 'as many were ended as have heard it');
	for my $name (@names) {
		my $is_tx = $name =~ /tx$/;
		my $last = sub {
			my ($s, $what) = @_;
			is($s->ask("SELECT current_setting('cluster_name')"), 'osc-fr1', "... $what, and the connection serves on the other side") if $is_tx;
			is(join(' ', map { $_->[0] eq 'E' ? error_fields($_)->{C} : $_->[0] } grep { $_->[0] ne 'N' } $s->message), '57P01',
				"... $what, and is told to reconnect behind its transaction") if !$is_tx;
		};
		my $s = $w{idle}{$name};
		is(says($s, 'SELECT 1'), 'E(40001) Z(E)', "$name: who was idle in a transaction hears of its end with the next command");
		is(says($s, 'SELECT 1'), 'E(25P02) Z(E)', '... and as in PostgreSQL then');
		is(says($s, 'ROLLBACK'), 'C(ROLLBACK) Z(I)', '... until it has ended it');
		is($s->ask("SELECT current_setting('cluster_name')"), 'osc-fr1', '... and the connection serves on the other side');
		is(says($w{late}{$name}, 'COMMIT'), 'E(40001) Z(I)', "$name: ... which is no COMMIT");
		is($w{late}{$name}->ask("SELECT current_setting('cluster_name')"), 'osc-fr1', '... and goes on there as well');
		$s = $w{flight}{$name};
		is(heard($s), 'E(40001) Z(E)', "$name: a statement under way fails, and is to be tried again");
		is(says($s, 'COMMIT'), 'E(40001) Z(I)', '... its COMMIT fails');
		$last->($s, 'it is over');
		is(heard($w{commit}{$name}), 'C(COMMIT) Z(I)', "$name: a COMMIT that has happened is told as one");
		$last->($w{commit}{$name}, 'it is over');
		$s = $w{slow}{$name};
		is(heard($s), 'E(40001) Z(E)', "$name: a COMMIT that has not happened is told as failed");
		is(says($s, 'ROLLBACK'), 'C(ROLLBACK) Z(I)', '... and the client gets out of it');
		$last->($s, 'it is over');
	}
	is($osc->safe_psql('app', "SELECT string_agg(who || ' ' || n, ' ' ORDER BY who) FROM (SELECT who, count(*) AS n FROM t GROUP BY who) s"),
		'kept 4 through 4', 'on the other side is what was told as committed, and nothing else');
	is($osc->safe_psql('app', 'SELECT count(*) FROM slow'), 0, '... nor that');
}

# ---------------------------------------------------------------- who asked dies before it has told
{
	ok($osc->poll_query_until('app', "SELECT count(*) = 2 FROM meridian.proxy WHERE heartbeat > now() - interval '@{[ span(3) ]}'"), 'both proxies look there now');
	my $late = late_rows($osc, 'UPDATE', 'ROW');
	run_by($first, "SET MIGRATION mv (pause_budget = '5s', catchup_deadline = '5s')");    # time: the freeze lasts for these, its own, and 5 seconds
	my %w = map { $_ => session($second, $_) } qw(tx ses);
	my $idle = session($second, 'tx');
	$_->ask('BEGIN', "INSERT INTO t (who) VALUES ('unknown')") for values %w, $idle;
	$_->send(query('SELECT pg_sleep(60)')) for values %w;
	is_active($osc, 2, "query LIKE 'SELECT pg_sleep%'");
	my $run = IPC::Run::start([ 'psql', '-XAq', '-d', $first->connstr('meridian', host => $first->{sockdir}), '-c', 'REVERSE MIGRATION mv FORCE (long_xact)' ],
		'<', \'', '>', \my $out, '2>', \my $err, run_limit(60));
	is_active($osc, 1, "query LIKE 'UPDATE meridian.straggler%'");
	$first->kill9;
	$run->finish;
	my $since = time;
	for my $db (sort keys %w) {
		is(join(' ', map { error_fields($_)->{C} } grep { $_->[0] eq 'E' } $w{$db}->until('Z')), 'MR006', "$db: where nobody can say what became of it the client is told that");
	}
	is(says($idle, 'ROLLBACK'), 'C(ROLLBACK) Z(I)', 'who was idle needs nobody');
	is($idle->ask("SELECT current_setting('cluster_name')"), 'osc-fr1', '... and goes on where it was');
	in_time($since, 40, 'nobody has waited for longer than a freeze lasts');
	is($osc->safe_psql('app', "SELECT count(*) FROM t WHERE who = 'unknown'"), 0, 'nothing of it was done');
	$late->quit;
}
$second->stop;
$standby->kill_kill;
done_testing;
