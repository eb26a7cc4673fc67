#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A database moves, and back, whose schema has what PostgreSQL 18 brought: virtual columns beside stored ones,
# constraints that are not enforced, NOT NULL with a name, not valid, or not inherited, and temporal keys. What is
# written while it is copied and replicated arrives.
use strict;
use warnings;
use Meridian::Test::Move qw(catalog_of counts_of difference two_regions);
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

plan skip_all => 'PostgreSQL 18 and later' if PostgreSQL::Test::Utils::run_log([ 'sh', '-c', 'postgres --version | grep -q " 1[0-7]\\."' ]);

my ($agora, $osc, @config) = two_regions();
my $proxy = Meridian::Test::Proxy->new('main', @config, conf => Meridian::Test::Proxy::databases_of('app'));
$proxy->start;
$proxy->wait_up(2);
$agora->safe_psql('postgres', 'CREATE DATABASE app');
$agora->safe_psql('app', <<'SQL');
CREATE TABLE sum(id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) VIRTUAL, thrice int GENERATED ALWAYS AS (a * 3) STORED,
	four int GENERATED ALWAYS AS (a * 4));
INSERT INTO sum(id, a) SELECT i, i FROM generate_series(1, 500) i;
CREATE TABLE loose(id int PRIMARY KEY, sum int, n int CONSTRAINT n_small CHECK (n < 10) NOT ENFORCED,
	CONSTRAINT of_sum FOREIGN KEY (sum) REFERENCES sum NOT ENFORCED);
INSERT INTO loose VALUES (1, 1, 1), (2, 9999, 9999);
CREATE TABLE named(id int CONSTRAINT there_is_one NOT NULL, b int, c int CONSTRAINT only_here NOT NULL NO INHERIT, PRIMARY KEY (id));
INSERT INTO named VALUES (1, NULL, 1);
ALTER TABLE named ADD CONSTRAINT from_now_on NOT NULL b NOT VALID;
CREATE TABLE stay(room int4range, during daterange, guest text, PRIMARY KEY (room, during WITHOUT OVERLAPS));
CREATE TABLE meal(id int PRIMARY KEY, room int4range, during daterange,
	FOREIGN KEY (room, PERIOD during) REFERENCES stay (room, PERIOD during));
INSERT INTO stay SELECT int4range(i, i + 1), daterange('2026-01-01', '2026-02-01'), 'x' FROM generate_series(1, 100) i;
INSERT INTO meal SELECT i, int4range(i, i + 1), daterange('2026-01-03', '2026-01-04') FROM generate_series(1, 50) i;
SQL

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $out, $err, $proxy->console_raw('SHOW MIGRATION 1 LOG');
	return $err;
}

# All that anybody reads in it.
sub rows_of
{
	my ($cluster) = @_;
	return $cluster->safe_psql('app', join ';', map { "TABLE $_ ORDER BY 1" } qw(sum loose named stay meal));
}

sub write_some
{
	my ($n) = @_;
	$proxy->safe_psql('own', <<"SQL");
INSERT INTO sum(id, a) VALUES (1000 + $n, $n); UPDATE sum SET a = a + 1 WHERE id < 50; DELETE FROM sum WHERE id = 100 + $n;
INSERT INTO loose VALUES (10 + $n, 8888, 8888); UPDATE loose SET n = 7777 WHERE id = 2;
INSERT INTO named VALUES (10 + $n, 1, 1);
UPDATE stay SET guest = 'y$n' WHERE room = int4range($n, $n + 1); DELETE FROM stay WHERE room = int4range(90 + $n, 91 + $n);
INSERT INTO stay VALUES (int4range(200, 201), daterange('2026-01-01'::date + 2 * $n, '2026-01-03'::date + 2 * $n), 'z');
INSERT INTO meal VALUES (1000 + $n, int4range(1, 2), daterange('2026-01-05', '2026-01-06'));
SQL
	return;
}

my $schema = catalog_of($agora, 'app');
run_it("CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (identity = auto)");
run_it('RUN MIGRATION mv PREPARE');
write_some(1);
run_it('RUN MIGRATION mv DATA');
write_some(2);
like(run_it('RUN MIGRATION mv FINALIZE'), qr/verified at the frozen point: \d+ tables are the same/, 'both sides were the same at the frozen point');
is($proxy->safe_psql('own', q(SELECT current_setting('cluster_name'))), 'osc-fr1', 'it is over there');
is(rows_of($osc), rows_of($agora), 'with all of its rows, and what is computed of them');
write_some(3);
run_it('REVERSE MIGRATION mv');
is(rows_of($agora), rows_of($osc), 'and on the way back');
write_some(4);
run_it('COMPLETE MIGRATION mv');
is_deeply([ counts_of($agora, 'app') ], [ 0, 0, 0, 0, 0 ], 'nothing of it is left where the database is');
is(difference($schema, catalog_of($agora, 'app')), '', 'nor anything changed');
my (undef, undef, $error) = $agora->psql('app', 'INSERT INTO named VALUES (99, NULL, 1)');
like($error, qr/null value in column "b"/, 'a constraint that is not valid holds from now on');

$proxy->stop;
done_testing();
