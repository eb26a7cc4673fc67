# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::TwinWords - the statements that clients of Meridian::Test::Twins say (Meridian::Test::TwinTalk says how).
#
#   my $sql = text($number, %may);                 # of the client of that number; %may as there
#   my ($name, $value) = setting();
package Meridian::Test::TwinWords;
use strict;
use warnings;

use Exporter qw(import);

our @EXPORT_OK = qw(one maybe text setting settings value_of);
our %EXPORT_TAGS = (all => \@EXPORT_OK);

my %values = (
	search_path                   => [ 'public', 'one', 'one, public', "''", 'pg_temp, public' ],
	TimeZone                      => [ "'UTC'", "'Europe/Paris'", "'+03'" ],
	DateStyle                     => [ "'ISO, DMY'", "'German'", "'SQL, MDY'" ],
	IntervalStyle                 => [ 'postgres', 'iso_8601' ],
	application_name              => [ "'x'", "'it''s'", "''" ],
	work_mem                      => [ "'1MB'", "'2MB'" ],
	extra_float_digits            => [ 0, 3 ],
	bytea_output                  => [ 'hex', 'escape' ],
	client_min_messages           => [ 'notice', 'warning' ],
	client_encoding               => [ "'UTF8'", "'LATIN1'" ],
	default_transaction_isolation => [ "'read committed'", "'repeatable read'" ],
	default_transaction_read_only => [ 'on', 'off' ],
	plan_cache_mode               => [ 'auto', 'force_custom_plan', 'force_generic_plan' ],
	'my.var'                      => [ "'a'", "'b'", "''" ],
	'other.var'                   => [ "'c'" ],
	role                          => [ 'reader', 'none', 'app' ],
	backslash_quote               => [ 'on', 'off' ],
	row_security                  => [ 'on', 'off' ],
	lock_timeout                  => [ "'1h'", 0 ],
	statement_timeout             => [ "'1h'", 0 ],
	no_such                       => [1],
);
my @settings = sort keys %values;

sub one { return $_[ rand @_ ] }
sub maybe { my ($odds, @what) = @_; return rand() < $odds ? @what : () }

# What the view `settings` has to show, which the databases need.
sub settings { return grep { $_ ne 'no_such' } @settings }

sub value_of { return one(@{ $values{ $_[0] } }) }

sub setting
{
	my $name = one(@settings);
	return ($name, value_of($name));
}

sub set
{
	my (%may) = @_;
	my ($name, $value) = setting();
	my $how = one('', '', 'SESSION ', 'LOCAL ');
	my $is_local = one('true', 'false', 'false');
	my $quoted = $value =~ /^'/ ? $value : "'$value'";
	return one("SET $how$name = $value", "SET $how$name = $value", "SHOW DateStyle",
		"SELECT set_config('$name', $quoted, $is_local)",
		"DO \$\$ BEGIN PERFORM set_config('$name', $quoted, $is_local); END \$\$",
		$may{resets} ? ("SET $name TO DEFAULT", "RESET $name", 'RESET ALL', 'SET TIME ZONE LOCAL', 'DISCARD ALL') : (),
		"SET NAMES 'UTF8'", "SET SCHEMA 'one'", 'SET ROLE reader', 'RESET ROLE',
		'SET SESSION AUTHORIZATION DEFAULT', one('DISCARD TEMP', 'DISCARD PLANS'),
		'SET SESSION CHARACTERISTICS AS TRANSACTION ' . one('READ ONLY', 'READ WRITE', 'ISOLATION LEVEL REPEATABLE READ'));
}

sub ask
{
	my $all = 'SELECT * FROM public.settings';
	return one($all, $all, "SELECT '2020-01-02 03:04:05+00'::timestamptz, interval '1 day 2 hours', 1.1::float8 / 3, '\\xff00'::bytea");
}

sub transaction
{
	return one('BEGIN', 'BEGIN', 'BEGIN READ ONLY', 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'COMMIT', 'COMMIT', 'ROLLBACK',
		'COMMIT AND CHAIN', 'SAVEPOINT s', 'ROLLBACK TO s', 'RELEASE s', 'SET TRANSACTION READ ONLY');
}

sub rows
{
	my ($me, %may) = @_;
	my $n = int rand 5;
	my $whose = $may{crowd} ? "WHERE who = $me" : '';
	return one("INSERT INTO t VALUES ($me, $n)", "SELECT count(*), sum(a) FROM t $whose", "DELETE FROM t WHERE who = $me AND a = $n",
		"SELECT who, a FROM t $whose ORDER BY 1, 2 LIMIT 3", "INSERT INTO t VALUES ($me, $n) RETURNING a", 'SELECT * FROM v');
}

# Of names that nothing else has: what a temporary table does to statements that were prepared before depends on whether the server
# process has ever had one (831_shadowed.t).
sub temporary
{
	return one('CREATE TEMP TABLE u (a int)', 'CREATE TEMP TABLE u (a int) ON COMMIT DROP', 'CREATE TEMP TABLE u AS SELECT 1 AS a',
		'CREATE TEMP TABLE u (a int) ON COMMIT DELETE ROWS', 'DROP TABLE u', 'DROP TABLE IF EXISTS pg_temp.u', 'SELECT a FROM u', 'INSERT INTO u VALUES (3)',
		"CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS 'SELECT ''f''::text'", 'SELECT pg_temp.f()',
		'DO $$ BEGIN CREATE TEMP TABLE u AS SELECT 2 AS a; END $$', "CREATE TEMP VIEW w AS SELECT 'temp' AS w", 'SELECT * FROM w', 'DROP VIEW w',
		'CREATE TEMP SEQUENCE s', "SELECT nextval('s')");
}

sub kept
{
	my ($me) = @_;
	my $key = $me * 10 + int rand 2;
	return one("PREPARE p AS SELECT $me AS me", 'EXECUTE p', 'DEALLOCATE p', 'DEALLOCATE ALL',
		'DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 5)', 'DECLARE c CURSOR FOR SELECT generate_series(1, 5)',
		'FETCH 2 FROM c', 'CLOSE c', 'CLOSE ALL', "SELECT pg_advisory_lock($key)", "SELECT pg_advisory_unlock($key)",
		"SELECT pg_try_advisory_lock($key)", 'SELECT pg_advisory_unlock_all()', "SELECT pg_advisory_xact_lock($key)",
		"LISTEN ch$me", "NOTIFY ch$me, 'n'", 'UNLISTEN *', "SELECT pg_notify('ch$me', 'f')");
}

# What one client does and another notices.
sub between
{
	my ($me) = @_;
	return one('LISTEN everybody', 'LISTEN everybody', 'UNLISTEN everybody', "NOTIFY everybody, 'from $me'", "NOTIFY everybody, 'from $me'",
		'SELECT pg_try_advisory_xact_lock(99)', 'SELECT pg_try_advisory_lock(99)', 'SELECT pg_advisory_unlock(99)');
}

sub wrong { return one('SELECT 1/0', 'SELEC', 'SELECT * FROM nowhere', "DO \$\$ BEGIN RAISE NOTICE 'n'; END \$\$", '', 'SELECT 1') }

sub text
{
	my ($me, %may) = @_;
	my $roll = rand;
	return set(%may) if $roll < 0.3;
	return ask() if $roll < 0.45;
	return transaction() if $roll < 0.6;
	return rows($me, %may) if $roll < 0.73;
	return temporary() if $roll < 0.8;
	return kept($me) if $roll < 0.9;
	return $may{crowd} ? ask() : between($me) if $roll < 0.94;
	return wrong();
}

1;
