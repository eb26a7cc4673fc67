#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What replication does not carry is carried in the pause, under another name of the database too; a
# difference that was planted is found, behind FINALIZE and by VERIFY; and the ways without
# replication: a snapshot, and data that somebody else has copied.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Move qw(catalog_of difference two_regions);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;
use Time::HiRes qw(time);

my ($agora, $osc, @config) = two_regions();
my $proxy = Meridian::Test::Proxy->new('main', @config);
$proxy->start;
$proxy->wait_up(2);
for my $db (qw(app snap byhand)) {
	$agora->safe_psql('postgres', "CREATE DATABASE $db");
	$agora->safe_psql($db, <<'SQL');
CREATE TABLE t(id serial PRIMARY KEY, b text, twice int GENERATED ALWAYS AS (2 * id) STORED);
CREATE INDEX t_b ON t(b);
INSERT INTO t(b) SELECT 'row ' || i FROM generate_series(1, 1000) i;
CREATE TABLE child(id int PRIMARY KEY REFERENCES t);
INSERT INTO child SELECT i FROM generate_series(1, 50) i;
CREATE TABLE "t t"(t text PRIMARY KEY);
INSERT INTO "t t" VALUES ('Ω'), ('a''b'), (E'tab\tnew\nline');
CREATE UNLOGGED TABLE cache(k text PRIMARY KEY, v bytea);
INSERT INTO cache SELECT i::text, decode(md5(i::text), 'hex') FROM generate_series(1, 500) i;
CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM t;
CREATE MATERIALIZED VIEW mv2 AS SELECT n + 1 AS n FROM mv;
SQL
}
$agora->safe_psql('app', q(SELECT lo_from_bytea(4711, decode(repeat('00ff5c27', 50000), 'hex')); SELECT lo_create(4712)));

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err, $proxy->console_raw('SHOW MIGRATIONS');
	note $1 if $err =~ /(write pause .*)/;
	return $err;
}

# ---------------------------------------------------------------- what replication does not carry

run_it('CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 AS app2 WITH (large_objects = freeze_copy, '
	. "unlogged = freeze_copy, matviews = refresh_before, sequence_gap = 1000, $UNHURRIED)");
run_it('RUN MIGRATION mv PREPARE');
run_it('RUN MIGRATION mv DATA');
my %table = map { $_->{table} => $_ } @{ $proxy->console('SHOW MIGRATION mv TABLES') };
is($table{'public.t'}{state},      'replicated',  'SHOW … TABLES says how far each is');
is($table{'public.cache'}{method}, 'freeze_copy', '... and how it gets there');
my ($lag) = @{ $proxy->console('SHOW MIGRATION mv LAG') };
is("$lag->{place} $lag->{behind} $lag->{state}", 'osc-fr1 agora-fr1 streaming', 'SHOW … LAG too');
# planted: a row that nobody replicates
$osc->safe_psql('app2', q(SET session_replication_role = replica; UPDATE t SET b = 'planted' WHERE id = 7));
my ($verify) = grep { $_->{table} eq 'public.t' } @{ $proxy->console('VERIFY MIGRATION mv') };
is("$verify->{equal} $verify->{source_rows} $verify->{target_rows} $verify->{detail}", 'f 1000 1000 differs', 'VERIFY finds a row that differs');
is($proxy->console('VERIFY MIGRATION mv TABLE child')->[0]{equal}, 't', '... and what is the same');
like($proxy->console_error('VERIFY MIGRATION mv TABLE nosuch'), qr/42P01: there is no table nosuch.*^HINT:  VERIFY MIGRATION \d+; compares all/ms, '... and which command knows them all');
# A VERIFY that waits holds up nobody: the one who asked, and the end of the process.
for my $how (qw(client proxy)) {
	my $lock = $osc->background_psql('app2');
	$lock->query_safe('BEGIN; LOCK TABLE child');
	my $said   = '';
	my $asking = IPC::Run::start([ 'psql', '-XAtq', '-c', 'VERIFY MIGRATION mv TABLE child', $proxy->connstr('meridian', host => $proxy->socket_dir) ],
		'<', \'', '>&', \$said, run_limit(60));
	$osc->poll_query_until('app2', q(SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'meridian_row'))
	  or die 'VERIFY does not wait';
	my $began = time;
	if ($how eq 'client') { $asking->kill_kill }
	else                  { $proxy->stop; $asking->kill_kill }
	ok($osc->poll_query_until('app2', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE query ~ 'meridian_row' AND state = 'active' AND pid <> pg_backend_pid())),
		"VERIFY ends with its $how");
	in_time($began, 40, '... soon');
	$lock->query_safe('COMMIT');
	$lock->quit;
}
$proxy->start;
$proxy->wait_up(2);
$agora->safe_psql('app', q(INSERT INTO t(b) VALUES ('last')));
my $said = run_it('RUN MIGRATION mv FINALIZE');
like($said, qr/public\.t differs/, 'FINALIZE finds it at the frozen point');
like($said, qr/1 of 3 tables differ/, '... and says so');
is($osc->safe_psql('app2', q(SELECT md5(lo_get(4711)) || ' ' || length(lo_get(4712)))), $agora->safe_psql('app', q(SELECT md5(lo_get(4711)) || ' 0')),
	'large objects are there');
is($osc->safe_psql('app2', q(SELECT md5(string_agg(c::text, ',' ORDER BY k)) FROM cache c)),
	$agora->safe_psql('app', q(SELECT md5(string_agg(c::text, ',' ORDER BY k)) FROM cache c)), 'an unlogged table is');
is($osc->safe_psql('app2', 'SELECT mv.n, mv2.n FROM mv, mv2'), '1001|1002', 'materialized views are fresh, those that read others too');
is($proxy->safe_psql('app', q(SELECT current_setting('cluster_name') || ' ' || current_database())), 'osc-fr1 app2', 'the database has another name there');
is($proxy->safe_psql('app', q(INSERT INTO t(b) VALUES ('new') RETURNING id)), '2002', 'the sequence goes on behind the gap');
my ($seq) = grep { $_->{sequence} eq 'public.t_id_seq' } @{ $proxy->console('SHOW MIGRATION mv SEQUENCES') };
cmp_ok($seq->{target_value}, '>', $seq->{source_value}, 'SHOW … SEQUENCES shows both sides');
ok(wait_until(sub { $agora->safe_psql('app', 'SELECT count(*) FROM t') == 1002 }, 'the new row'), 'changes come back');
run_it('COMPLETE MIGRATION mv');
is($proxy->safe_psql('app', q(INSERT INTO t(b) VALUES ('after') RETURNING twice)), '4006', 'it is served there for good');
$proxy->stop;
$proxy->start;
$proxy->wait_up(2);
is($proxy->safe_psql('app', 'SELECT current_database()'), 'app2', '... also by a proxy that was started afterwards');

# ---------------------------------------------------------------- a snapshot

run_it('CREATE MIGRATION snap OF DATABASE snap FROM agora-fr1 TO osc-fr1 WITH (data = snapshot)');
my $before = catalog_of($agora, 'snap');
run_it('RUN MIGRATION snap PREPARE');
is($proxy->safe_psql('snap', q(INSERT INTO t(b) VALUES ('more') RETURNING id)), '1001', 'behind PREPARE it is written');
run_it('RUN MIGRATION snap DATA');
my (undef, undef, $error) = $proxy->psql('snap', q(INSERT INTO t(b) VALUES ('more')));
like($error, qr/no longer accepts writes/, 'behind DATA it is not');
run_it('ABORT MIGRATION snap');
is(difference($before, catalog_of($agora, 'snap')), '', 'ABORT opens it again');
is($proxy->safe_psql('snap', q(INSERT INTO t(b) VALUES ('more') RETURNING id)), '1002', '... for those who write');
run_it('CREATE MIGRATION snap2 OF DATABASE snap FROM agora-fr1 TO osc-fr1 WITH (data = snapshot)');
run_it('RUN MIGRATION snap2 ALL');
is($proxy->safe_psql('snap', q(SELECT current_setting('cluster_name') || ' ' || count(*) || ' ' || sum(twice) FROM t)), 'osc-fr1 1002 1005006', 'every row has gone there');
is($proxy->safe_psql('snap', q(INSERT INTO t(b) VALUES ('there') RETURNING id)), '1003', 'and the sequence');
is($osc->safe_psql('snap', q(SELECT count(*) FROM pg_constraint WHERE conname = 'child_id_fkey')), '1', 'and the foreign key');
run_it('COMPLETE MIGRATION snap2');

# ---------------------------------------------------------------- somebody else copies

run_it('CREATE MIGRATION byhand OF DATABASE byhand FROM agora-fr1 TO osc-fr1 WITH (data = none, write_mode = read_only, verify = count)');
run_it('RUN MIGRATION byhand PREPARE');
(undef, undef, $error) = $proxy->psql('byhand', q(INSERT INTO t(b) VALUES ('more')));
like($error, qr/no longer accepts writes/, 'write_mode = read_only: no writes behind PREPARE');
is($proxy->safe_psql('byhand', 'SELECT count(*) FROM t'), '1000', '... but reads');
run_it('RUN MIGRATION byhand DATA');
like($proxy->console_error('RUN MIGRATION byhand FINALIZE'), qr/MR005.*data/s, 'without its data FINALIZE is refused');
run_it('RUN MIGRATION byhand FINALIZE FORCE (data)');
is($proxy->safe_psql('byhand', q(SELECT current_setting('cluster_name') || ' ' || count(*) FROM t)), 'osc-fr1 0', 'forced, it is as the operator left it');
$proxy->stop;
done_testing();
