#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Who does not come through the proxy cannot write where the database has been: whatever kind of
# session it is, whatever it has set, whoever it is, and whether it was there before the fence.
use strict;
use warnings;
use Meridian::Test::Move qw(ledger two_regions);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;

my ($agora, $osc, @config) = two_regions();
my $proxy = Meridian::Test::Proxy->new('main', @config);
$proxy->start;
$proxy->wait_up(2);
$agora->safe_psql('postgres', 'CREATE ROLE app LOGIN; CREATE DATABASE app OWNER app');
$agora->safe_psql('app', <<'SQL');
SET ROLE app;
CREATE SCHEMA app;
CREATE TABLE app.t(id int PRIMARY KEY, b text);
CREATE TABLE app.part(id int PRIMARY KEY) PARTITION BY LIST (id);
CREATE TABLE app.part_1 PARTITION OF app.part FOR VALUES IN (1, 2);
CREATE UNLOGGED TABLE app.cache(id int);
CREATE SEQUENCE app.s;
CREATE TABLE app.ledger(client int, n int, PRIMARY KEY (client, n));
CREATE FUNCTION app.write() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO app.t VALUES (99)';
INSERT INTO app.t SELECT i FROM generate_series(1, 10) i;
SQL

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return $err;
}

# Sessions that are there before the fence, and go past the proxy.
my @plain = (extra_params => [ '-U', 'app' ], on_error_stop => 0, timeout => patience(60));
my %session = map { $_ => $agora->background_psql('app', @plain) } 'open', 'read write', 'generic plan', 'repeatable read', 'in transaction';
$session{superuser} = $agora->background_psql('app', extra_params => [ '-U', 'postgres' ], on_error_stop => 0, timeout => patience(60));
$session{'read write'}->query('SET default_transaction_read_only = off; SET transaction_read_only = off');
$session{'generic plan'}->query("SET plan_cache_mode = force_generic_plan; PREPARE put(int) AS INSERT INTO app.t VALUES (\$1)");
$session{'generic plan'}->query("EXECUTE put($_)") for 20 .. 26;
my $writer = ledger([ map { $_->connstr('app') . " user=app options='-csearch_path=app'" } $agora, $osc ], '-c', 3, '-w', 2, '-e');

run_it("CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (max_lag = '1MB', freeze_deadline = '500ms', $UNHURRIED)");    # time: it is what ends the transaction in its way
run_it('RUN MIGRATION mv PREPARE');
run_it('RUN MIGRATION mv DATA');
let_pass(0.3, 'the writer writes');
$session{'repeatable read'}->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM app.t');
my $said;
{
	# It would hold the fence up for ever: its transaction is ended.
	$session{'in transaction'}->query('BEGIN; UPDATE app.t SET b = \'lost\' WHERE id = 1');
	$said = run_it("RUN MIGRATION mv FINALIZE FORCE (long_xact)");
}
note $said =~ /(write pause .*)/;
let_pass(0.5, 'the writer tries again');

my $fenced = qr/no longer accepts writes/;
my $gone   = qr/terminat|closed the connection|no connection|in recovery/i;

# What each says when it tries to write now.
sub attempt
{
	my ($name, $sql) = @_;
	my $s = $session{$name};
	my ($out, $failed) = eval { $s->query($sql) };
	my $err = "$s->{stderr}$@";
	$s->{stderr} = '';
	return $err;
}
like(attempt('open', 'INSERT INTO app.t VALUES (100)'), $fenced, 'a session that was open cannot write');
like(attempt('open', 'UPDATE app.t SET b = 1'),         $fenced, '... nor UPDATE');
like(attempt('open', 'DELETE FROM app.t'),              $fenced, '... nor DELETE');
like(attempt('open', 'TRUNCATE app.t'),                 $fenced, '... nor TRUNCATE');
like(attempt('open', 'INSERT INTO app.part VALUES (1)'),   $fenced, '... nor by way of a partitioned table');
like(attempt('open', 'INSERT INTO app.part_1 VALUES (1)'), $fenced, '... nor into a partition');
like(attempt('open', 'INSERT INTO app.cache VALUES (1)'),  $fenced, '... nor into an unlogged table');
like(attempt('open', 'SELECT app.write()'),             $fenced, '... nor by a function of the owner');
like(attempt('open', 'WITH w AS (DELETE FROM app.t RETURNING 1) SELECT * FROM w'), $fenced, '... nor by WITH');
like(attempt('open', 'MERGE INTO app.t USING (SELECT 100 AS id) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (s.id)'), $fenced, '... nor MERGE');
like(attempt('open', 'ALTER TABLE app.t DISABLE TRIGGER meridian_fence'), qr/schema changes are blocked/, '... nor lift the fence as its owner');
like(attempt('open', 'DROP TRIGGER meridian_fence ON app.t'), qr/schema changes are blocked/, '... nor drop it');
like(attempt('open', 'CREATE TABLE app.new(id int)'),   qr/schema changes are blocked/, '... nor make a table');
like(attempt('open', 'SET session_replication_role = replica'), qr/permission denied/, '... nor pass for a replica');
like(attempt('read write', 'INSERT INTO app.t VALUES (100)'), $fenced, 'nor one that has set itself to writing');
like(attempt('generic plan', 'EXECUTE put(100)'),             $fenced, 'nor one with a plan from before');
like(attempt('superuser', 'INSERT INTO app.t VALUES (100)'),  $fenced, 'nor a superuser');
like(attempt('superuser', q(COPY app.t(id) FROM PROGRAM 'echo 100')), $fenced, '... nor by COPY');
like(attempt('repeatable read', 'INSERT INTO app.t VALUES (100)'), qr/$fenced|$gone/, 'nor a transaction that is older than the fence');
like(attempt('in transaction', 'COMMIT'), $gone, 'who had written and was not done has been ended');
is($osc->safe_psql('app', 'SELECT b IS NULL FROM app.t WHERE id = 1'), 't', '... and nothing of that has got over there');

my ($status, $out, $err) = $agora->psql('app', 'INSERT INTO app.t VALUES (100)', extra_params => [ '-U', 'app' ]);
like($err, $fenced, 'a new session cannot write');
like($err, qr/served by osc-fr1/, '... and is told where to go');
($status, $out, $err) = $agora->psql('app', 'BEGIN READ WRITE; INSERT INTO app.t VALUES (100); COMMIT', extra_params => [ '-U', 'app' ]);
like($err, $fenced, '... nor in a transaction that is to write');
is($agora->safe_psql('app', q(SELECT count(*) FROM app.t), extra_params => [ '-U', 'app' ]), 17, 'reads go on');
is($agora->safe_psql('app', q(SELECT nextval('app.s') > 0)), 't', 'so does nextval, which harms nobody');
is($agora->safe_psql('app', q(CREATE TEMP TABLE x(i int); INSERT INTO x VALUES (1); SELECT i FROM x), extra_params => [ '-U', 'app' ]), 1, 'and temporary tables');

$writer->stop;
for my $side ($agora, $osc) {
	local $ENV{PGOPTIONS} = '-csearch_path=app';
	ok(wait_until(sub { $writer->lost($side, 'app') eq '0' }, 'all rows to have come'), 'a writer that goes past the proxy, and to the other side when it is refused: nothing is lost on ' . $side->name);
}
is($proxy->safe_psql('app', 'INSERT INTO app.t VALUES (100) RETURNING id', extra_params => [ '-U', 'app' ]), 100, 'through the proxy all is well');
$_->{run}->kill_kill for values %session;
$proxy->stop;
done_testing();
