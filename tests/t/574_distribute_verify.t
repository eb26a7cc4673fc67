#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# VERIFY of a migration of kind distribute, on a Citus cluster: what was counted before and after
# each copy, in the copy's transaction; what is not as it has to be afterwards. With names that
# have to be quoted, and a worker whose clock is another one's. And what an ABORT must leave alone.
use strict;
use warnings;
use Meridian::Test::Toys qw(citus_reason citus_cluster citus_proxy);
use Test::More;

plan skip_all => citus_reason() if citus_reason();

my ($coordinator, @workers) = citus_cluster('toys', 2);
$workers[1]->append_conf('postgresql.conf', "timezone = 'Asia/Tokyo'\ndatestyle = 'German'\nextra_float_digits = -3\n");
$workers[1]->reload;
my $proxy = citus_proxy($coordinator, 'main');
$proxy->start;
$proxy->wait_up;

sub sql
{
	my ($q) = @_;
	return $coordinator->safe_psql('toys', $q);
}

sub state_of
{
	my ($m) = @_;
	return $proxy->console("SHOW MIGRATION $m")->[0]{state};
}

# table => "before after equal detail"
sub verified
{
	my ($m, $tables) = @_;
	my $rows = $proxy->console("VERIFY MIGRATION $m" . ($tables ? " TABLE $tables" : ''));
	return { map { ($_->{table} => join ' ', map { length($_ // '') ? $_ : '-' } @$_{qw(source_rows target_rows equal detail)}) } @$rows };
}

sql(<<'SQL');
CREATE SCHEMA "My Shop";
CREATE TABLE "My Shop"."Stores" ("Store ""ID""" bigint PRIMARY KEY, "na;me" text, opened timestamptz, size float8);
CREATE TABLE "My Shop"."select" ("Store ""ID""" bigint NOT NULL, id bigserial, at timestamptz DEFAULT now(), for_long interval,
	PRIMARY KEY ("Store ""ID""", id),
	CONSTRAINT "of;
the ""store""" FOREIGN KEY ("Store ""ID""") REFERENCES "My Shop"."Stores");
CREATE TABLE "My Shop"."Items" ("Store ""ID""" bigint NOT NULL, id bigint, what jsonb, raw bytea,
	CONSTRAINT "Of which" FOREIGN KEY ("Store ""ID""", id) REFERENCES "My Shop"."select");
COMMENT ON TABLE "My Shop"."select" IS E'it''s \\ odd;
and long';
COMMENT ON CONSTRAINT "of;
the ""store""" ON "My Shop"."select" IS 'a;
b';
INSERT INTO "My Shop"."Stores" SELECT i, 'x' || i, timestamptz '2026-01-01' + i * interval '1 day', i / 3.0 FROM generate_series(1, 40) i;
INSERT INTO "My Shop"."select" SELECT 1 + i % 40, i, now() + i * interval '1 min', i * interval '1 min' FROM generate_series(1, 1000) i;
INSERT INTO "My Shop"."Items" SELECT 1 + i % 40, i, '{"a": 1}', 'x' FROM generate_series(1, 1000) i;
ANALYZE;
SQL

my $names = '("My Shop"."Stores" METHOD BLOCKING, "My Shop"."select" METHOD %s, "My Shop"."Items" METHOD BLOCKING)';
my $made = $proxy->console('CREATE MIGRATION odd OF DATABASE toys DISTRIBUTE BY "Store ""ID""" ROOT "My Shop"."Stores" '
	  . sprintf($names, 'CONCURRENT') . ' WITH (verify = full)')->[0];
is($made->{state}, 'preflight-success', 'names that have to be quoted')
  or diag explain $proxy->console('SHOW MIGRATION odd CHECKS');
is_deeply(
	verified('odd'),
	{
		'"My Shop"."Stores"' => '- - - not distributed yet; 40 rows now',
		'"My Shop"."select"' => '- - - not distributed yet; 1000 rows now',
		'"My Shop"."Items"'  => '- - - not distributed yet; 1000 rows now',
	},
	'VERIFY before anything: nothing to compare');
my ($copy) = grep { $_->{step} eq 'distribute' } @{ $proxy->console('PLAN MIGRATION odd') };
like($copy->{sql}, qr/LOCK TABLE "My Shop"\."Stores" IN EXCLUSIVE MODE.*before_0.*create_distributed_table.*after_0/s,
	'PLAN shows what is counted');

my ($status, $out, $err) = $proxy->console_raw('RUN MIGRATION odd PREPARE');
is($status, 0, 'PREPARE') or diag $err;
($status, $out, $err) = $proxy->console_raw('RUN MIGRATION odd DATA');
is($status, 0, 'DATA: the sums are the same on nodes with other clocks and formats') or diag $err;
is_deeply(
	verified('odd'),
	{
		'"My Shop"."Stores"' => '40 40 t 40 rows now',
		'"My Shop"."select"' => '1000 1000 t 1000 rows now',
		'"My Shop"."Items"'  => '1000 1000 t 1000 rows now',
	},
	'VERIFY: every row, before and after');
is_deeply(
	verified('odd', '"My Shop"."select"'),
	{ '"My Shop"."select"' => '1000 1000 t 1000 rows now' },
	'… of one table');
like($proxy->console_error('VERIFY MIGRATION odd TABLE nosuch'), qr/42P01.*not about table nosuch/s, '… that it is about');
is(sql(q{SELECT obj_description('"My Shop"."select"'::regclass)}), "it's \\ odd;\nand long", 'comments came along');
is(sql("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated AND connamespace = '\"My Shop\"'::regnamespace "
		. 'AND NOT relation_is_a_known_shard(conrelid)'), 2, 'and keys');

# ---------------------------------------------------------------- what is not as it should be

sql('INSERT INTO "My Shop"."select" VALUES (1, 5000)');
is(verified('odd')->{'"My Shop"."select"'}, '1000 1000 t 1001 rows now', 'life goes on');
sql('ALTER TABLE "My Shop"."Items" DROP CONSTRAINT "Of which"');
sql('INSERT INTO "My Shop"."Items" VALUES (7, 999999)');
is(verified('odd')->{'"My Shop"."Items"'},
	'1000 1000 f foreign key Of which is not there; 1 rows have no row in "My Shop"."select" (Of which), '
	  . 'the first is 7, 999999; 1001 rows now',
	'a key that is not back, and a row without its parent');
sql('DELETE FROM "My Shop"."Items" WHERE id = 999999');
sql(q{SELECT undistribute_table('"My Shop"."Items"')});
is(verified('odd')->{'"My Shop"."Items"'},
	'1000 1000 f it is not distributed any more; foreign key Of which is not there; 1000 rows now',
	'a table that somebody took back');
($status, $out, $err) = $proxy->console_raw('ABORT MIGRATION odd');
is($status, 0, 'ABORT') or diag $err;
is(verified('odd')->{'"My Shop"."Items"'}, '1000 1000 t it is a local table again; 1000 rows now', '… after which all is local');
is(sql('SELECT count(*) FROM pg_dist_partition'), 0, 'nothing is distributed');
is(sql("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated AND connamespace = '\"My Shop\"'::regnamespace"),
	2, 'and the keys are back');

# ---------------------------------------------------------------- what ABORT leaves alone

$proxy->console('CREATE MIGRATION late OF DATABASE toys DISTRIBUTE BY "Store ""ID""" ROOT "My Shop"."Stores" '
	  . sprintf($names, 'BLOCKING'));
$proxy->console('RUN MIGRATION late PREPARE');
sql(q{ALTER TABLE "My Shop"."select" DROP CONSTRAINT "of;
the ""store"""; ALTER TABLE "My Shop"."Items" DROP CONSTRAINT "Of which"});
sql(q{SELECT create_reference_table('"My Shop"."Stores"')});
like($proxy->console_error('RUN MIGRATION late DATA'), qr/ERROR/, 'somebody else has distributed a table meanwhile');
($status, $out, $err) = $proxy->console_raw('ABORT MIGRATION late');
is($status, 0, 'ABORT') or diag $err;
is(sql('SELECT logicalrelid, partmethod FROM pg_dist_partition WHERE repmodel = \'t\''), '"My Shop"."Stores"|n',
	'what was not distributed by the migration is not taken back');

# Somebody's table hangs on ours, distributed by somebody: it does not go back with ours.
sql(q{SELECT undistribute_table('"My Shop"."Stores"', cascade_via_foreign_keys => true)});
sql(q{ALTER TABLE "My Shop"."select" DROP CONSTRAINT "of;
the ""store"""});
$proxy->console('CREATE MIGRATION guest OF DATABASE toys DISTRIBUTE BY "Store ""ID""" ROOT "My Shop"."Stores" ("My Shop"."Stores")');
$proxy->console("RUN MIGRATION guest $_") for qw(PREPARE DATA);
sql(<<'SQL');
CREATE TABLE guests ("Store ""ID""" bigint, n int);
INSERT INTO guests SELECT i, i FROM generate_series(1, 40) i;
SELECT create_distributed_table('guests', 'Store "ID"', colocate_with => '"My Shop"."Stores"');
ALTER TABLE guests ADD CONSTRAINT "at Home" FOREIGN KEY ("Store ""ID""") REFERENCES "My Shop"."Stores";
SQL
like(
	$proxy->console_error('ABORT MIGRATION guest'),
	qr/55000.*ABORT would lose foreign keys.*"at Home" on guests.*ABORT MIGRATION \d+ FORCE/s,
	'a key that came after the plan is not lost by ABORT');
is(sql('SELECT count(*) FROM pg_dist_partition'), 2, '… nothing was taken back');
($status, $out, $err) = $proxy->console_raw('ABORT MIGRATION guest FORCE');
is($status, 0, 'ABORT FORCE') or diag $err;
is(sql('SELECT logicalrelid FROM pg_dist_partition'), 'guests', 'the table of somebody else stays where it was');
is(sql('SELECT count(*) FROM guests'), 40, 'with its rows');

$proxy->stop;
done_testing();
