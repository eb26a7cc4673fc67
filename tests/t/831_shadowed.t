#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Prepared statements whose text means another table in one session than in the next: a temporary
# table, or a path of one transaction, shadows the name. In a transaction pool each session reads
# what a connection of its own would have read, whatever others have prepared from the same text.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($node) = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { auth => 'trust', workers => 1, default_pool_size => 1 },
	conf    => "[database *]\npool = transaction\n");
$proxy->start;

sub session
{
	my (%param) = @_;
	my $w = Meridian::Test::Wire->new(delete $param{direct} ? (path => $node->host . '/.s.PGSQL.' . $node->port) : $proxy);
	$w->login(database => 'postgres', user => 'postgres', %param);
	return $w;
}

# The answer as words: types of messages, values of rows, codes of errors.
sub say_to
{
	my ($w, @messages) = @_;
	my $ends = grep { /^[QS]/ } @messages;
	$w->send(join '', @messages);
	return join ' ', map { $_->[0] eq 'D' ? 'D=' . join(',', map { $_ // 'null' } @{ row_values($_) }) : $_->[0] eq 'E' ? 'E=' . error_fields($_)->{C} : $_->[0] }
	  grep { $_->[0] !~ /[TtSN]/ } map { $w->until('Z') } 1 .. $ends;
}

my $S = sync_message();
sub fresh { my ($sql, $name) = @_; return (parse($sql, $name), bind_message([], $name), execute(), $S) }
sub again { my ($name) = @_; return (bind_message([], $name), execute(), $S) }

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE t AS SELECT 'public' AS v;
CREATE TABLE wide AS SELECT 'public' AS v, 1 AS w;
CREATE SCHEMA one; CREATE TABLE one.t AS SELECT 'one' AS v; CREATE TABLE one.wide AS SELECT 'one' AS v;
CREATE FUNCTION public.make() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE t AS SELECT 'temp' AS v; END $$;
CREATE PROCEDURE public.make_by_call() LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE t AS SELECT 'temp' AS v; END $$;
CREATE TYPE public.mood AS ENUM ('public');
SQL

# The server connection has had temporary tables before: PostgreSQL does not look anew then where
# another one comes.
sub worn
{
	my $w = session();
	say_to($w, query('CREATE TEMP TABLE before (v int)'));
	say_to($w, query('DROP TABLE before'));
}
worn();

my $text = 'SELECT v FROM t';
my ($plain, $own) = (session(), session());
is(say_to($plain, fresh($text, 'p')), '1 2 D=public C Z', 'a text is prepared by a session without a temporary table');

my $make = "CREATE TEMP TABLE t AS SELECT 'temp' AS v";
is(say_to($own, query($make)), 'C Z', 'another session has one of that name');
is(say_to($own, fresh($text, 'o')), '1 2 D=temp C Z', 'the same text is its own table');
is(say_to($own, fresh($text, '')), '1 2 D=temp C Z', 'also without a name');
is(say_to($own, again('o')), '2 D=temp C Z', 'and again');
is(say_to($own, query('DROP TABLE t')), 'C Z', 'it is dropped');
is(say_to($plain, again('p')), '2 D=public C Z', 'the first session reads what it has read');
is(say_to($plain, fresh($text, 'p2')), '1 2 D=public C Z', 'prepared anew, too');
is(say_to($own, again('o')), '2 D=public C Z', 'and so does the other now');

# Each way to such a table, with a statement that was prepared before, one prepared behind it, and another client's.
my @ways = (
	[ 'a table', $make, 'DROP TABLE pg_temp.t' ],
	[ 'a table in pg_temp', "CREATE TABLE pg_temp.t AS SELECT 'temp' AS v", 'DROP TABLE pg_temp.t' ],
	[ 'SELECT INTO', "SELECT 'temp' AS v INTO TEMP t", 'DROP TABLE pg_temp.t' ],
	[ 'a view', "CREATE TEMP VIEW t AS SELECT 'temp' AS v", 'DROP VIEW pg_temp.t' ],
	[ 'a block of code', "DO \$\$ BEGIN CREATE TEMP TABLE t AS SELECT 'temp' AS v; END \$\$", 'DISCARD TEMP' ],
	[ 'a procedure', 'CALL make_by_call()', 'DROP TABLE pg_temp.t' ],
	[ 'a path into pg_temp', "BEGIN; SET LOCAL search_path = pg_temp, public; CREATE TABLE t AS SELECT 'temp' AS v; COMMIT", 'DROP TABLE pg_temp.t' ],
	[ 'a table renamed', "CREATE TEMP TABLE u AS SELECT 'temp' AS v; ALTER TABLE u RENAME TO t", 'DROP TABLE pg_temp.t' ],
);
for my $way (@ways) {
	my ($name, $make, $drop) = @$way;
	my ($x, $y) = (session(), session());
	is(say_to($y, fresh($text, 'y')), '1 2 D=public C Z', "$name: another client");
	is(say_to($x, fresh($text, 'before')), '1 2 D=public C Z', "$name: a statement prepared before");
	say_to($x, query($make));
	is(say_to($x, fresh($text, 'behind')), '1 2 D=temp C Z', "$name: one prepared behind it");
	is(say_to($x, again('before')), '2 D=temp C Z', "$name: the one before means the same");
	is(say_to($x, query('BEGIN'), fresh($text, 'in'), query('COMMIT')), 'C Z 1 2 D=temp C Z C Z', "$name: in a transaction");
	say_to($x, query($drop));
	is(say_to($y, again('y')), '2 D=public C Z', "$name: the other client");
	is(say_to($y, fresh($text, 'y2')), '1 2 D=public C Z', "$name: the other client, anew");
	is(say_to($x, again($_)), '2 D=public C Z', "$name: it is gone ($_)") for 'before', 'behind', 'in';

	next if $make =~ /COMMIT/;

	# of one transaction
	is(say_to($x, query('BEGIN')), 'C Z', "$name: a transaction");
	say_to($x, query($make));
	is(say_to($x, fresh($text, 'in tx')), '1 2 D=temp C Z', "$name: prepared in it");
	is(say_to($x, query('ROLLBACK')), 'C Z', "$name: it is rolled back");
	is(say_to($_, fresh($text, 'after tx')), '1 2 D=public C Z', "$name: behind it") for $x, $y;
	is(say_to($x, again('in tx')), '2 D=public C Z', "$name: behind it, the same");

	# in one go, and with its session gone
	is(say_to($x, query('BEGIN'), query($make), fresh($text, 'go'), query('ROLLBACK')) =~ s/D=(?!temp)\S+ C Z 1/D 1/r =~ /1 2 D=temp C Z C Z$/, 1,
		"$name: in a pipeline");
	say_to($x, query($make));
	is(say_to($x, fresh($text, 'last')), '1 2 D=temp C Z', "$name: once more");
	$x->close;
	is(say_to($y, fresh($text, 'y3')), '1 2 D=public C Z', "$name: its session has ended");
	is(say_to($y, again('y')), '2 D=public C Z', "$name: what was there before");
}

# Result types differ: nobody hears of another's.
{
	my ($x, $y) = (session(), session());
	is(say_to($x, query("CREATE TEMP TABLE wide (a int, b int, c int); INSERT INTO wide VALUES (1, 2, 3)")), 'C C Z', 'a table of another shape');
	is(say_to($x, fresh('SELECT * FROM wide', 'x')), '1 2 D=1,2,3 C Z', 'is read');
	say_to($x, query('DROP TABLE wide'));
	is(say_to($y, fresh('SELECT * FROM wide', 'y')), '1 2 D=public,1 C Z', 'another client reads the other table');
	say_to($x, query('CREATE TEMP TABLE wide AS SELECT 7 AS a'));
	is(say_to($x, fresh('SELECT * FROM wide', 'x2')), '1 2 D=7 C Z', 'and again its own');
	say_to($x, query('DROP TABLE wide'));
	is(say_to($y, again('y')), '2 D=public,1 C Z', 'the other client is not refused');
}

# A type.
{
	my ($x, $y) = (session(), session());
	my $cast = "SELECT 'public'::mood";
	is(say_to($y, fresh($cast, 'y')), '1 2 D=public C Z', 'a type');
	say_to($x, query("CREATE TYPE pg_temp.mood AS ENUM ('temp')"));
	is(say_to($x, fresh($cast, 'x')), 'E=22P02 Z', 'shadowed in one session');
	is(say_to($x, fresh("SELECT 'temp'::mood", 'x2')), '1 2 D=temp C Z', 'has that session\'s values');
	$x->close;
	is(say_to($y, fresh("SELECT 'temp'::mood", 'y2')), 'E=22P02 Z', 'and no other\'s');
	is(say_to($y, again('y')), '2 D=public C Z', 'as before');
}

# A path, or a role, of one transaction.
for my $local ('SET LOCAL search_path = one', "SELECT set_config('search_path', 'one', true)") {
	for my $table (qw(t wide)) {
		my ($x, $y) = (session(), session());
		my $sql = "SELECT * FROM $table";
		my $public = $table eq 't' ? 'public' : 'public,1';
		is(say_to($y, fresh($sql, 'y')), "1 2 D=$public C Z", "$table, $local: another client");
		say_to($x, query('BEGIN'));
		say_to($x, query($local));
		is(say_to($x, fresh($sql, 'x')), '1 2 D=one C Z', "$table: a path of one transaction");
		is(say_to($x, query('COMMIT')), 'C Z', "$table: it ends");
		is(say_to($y, again('y')), "2 D=$public C Z", "$table: the other client");
		is(say_to($y, fresh($sql, 'y2')), "1 2 D=$public C Z", "$table: the other client, anew");
		is(say_to($x, fresh($sql, 'x2')), "1 2 D=$public C Z", "$table: behind it");
	}
}

# What a direct connection says to the same words, statement by statement.
my @same = (
	[ 'first of its connection', fresh($text, 'a') ], [ 'temp', query($make) ], [ 'before', again('a') ],
	[ 'drop', query('DROP TABLE t') ], [ 'behind', again('a') ],
	[ 'wide', fresh('SELECT * FROM wide', 'w') ], [ 'narrow', query('CREATE TEMP TABLE wide AS SELECT 1 AS x') ],
	[ 'prepared behind it', fresh('SELECT * FROM wide', 'w2') ], [ 'gone', query('DROP TABLE wide') ], [ 'refused', again('w2') ],
	[ 'settings in code', query('BEGIN'), query("DO \$\$ BEGIN PERFORM set_config('TimeZone', 'Asia/Tokyo', false); END \$\$"),
		fresh("SELECT timestamptz '2020-01-01 12:00' AT TIME ZONE 'UTC'", 'z'), query('ROLLBACK') ],
	[ 'a name from a parameter', (map { parse('SELECT set_config($1, $2, false)', ''), bind_message([ 'IntervalStyle', $_ ], ''), execute(), $S,
		fresh("SELECT extract(epoch FROM interval '-1 2:00')", "i$_") } 'sql_standard', 'postgres') ],
	[ 'a local name from a parameter', query('BEGIN'), parse('SELECT set_config($1, $2, true)', ''), bind_message([ 'DateStyle', 'SQL, DMY' ], ''), execute(), $S,
		fresh("SELECT date '02/01/2020' = '2020-01-02'", 'd'), query('ROLLBACK') ],
);
my $y = session();
say_to($y, fresh("SELECT date '02/01/2020' = '2020-01-02'", 'd'));
say_to($y, @$_[ 1 .. $#$_ ]) for [ 0, fresh($text, 'y') ], [ 0, fresh('SELECT * FROM wide', 'w') ],
  [ 0, fresh("SELECT timestamptz '2020-01-01 12:00' AT TIME ZONE 'UTC'", 'z') ];
my ($direct, $pooled) = (session(direct => 1), session());
for my $words (@same) {
	my ($name, @messages) = @$words;
	is(say_to($pooled, @messages), say_to($direct, @messages), "as a connection of its own: $name");
}

# A table for good that comes in front of another in the path, made past the proxy (through it: 833): PostgreSQL looks for the name when it
# prepares, so a statement prepared behind it means the new one. A text that a connection of the pool has prepared before
# is not looked at again (doc/pools.md): RECONNECT is what has it looked at.
{
	$node->safe_psql('postgres', "CREATE SCHEMA front; CREATE TABLE late AS SELECT 'public' AS v");
	my $sql = 'SELECT v FROM late';
	$_->close for $pooled, $y;    # the one has the connection for good
	my ($own, $x, $y) = (session(direct => 1), session(), session());
	say_to($_, query('SET search_path = front, public')) for $own, $x, $y;
	is(say_to($_, fresh($sql, 'before')), '1 2 D=public C Z', 'a table, prepared') for $own, $x, $y;
	$node->safe_psql('postgres', "CREATE TABLE front.late AS SELECT 'front' AS v");
	is(say_to($own, fresh($sql, 'behind')), '1 2 D=front C Z', 'another in front of it: a connection of its own reads that one by a new statement');
	my $old = say_to($own, again('before'));
	is(say_to($own, fresh($sql, '')), '1 2 D=front C Z', '... also without a name');
	is(say_to($x, again('before')), $old, 'an old statement reads in a pool what it reads there');
	is(say_to($_, fresh('SELECT v AS w FROM late', 'w')), '1 2 D=front C Z', 'a text that nobody has prepared yet') for $own, $x;
	$proxy->console('RECONNECT DATABASE postgres');
	is(say_to($_, fresh($sql, 'reconnected')), '1 2 D=front C Z', 'behind RECONNECT a new statement reads it in the pool, too') for $x, $y;
	is(say_to($_, fresh($sql, '')), '1 2 D=front C Z', '... also without a name') for $x, $y;
}

$proxy->stop;
done_testing();
