#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Texts mean something else when tables, types and functions have changed. What a session of a transaction pool prepares
# behind a change that has gone through the proxy is what a connection of its own would have, whichever worker it has and
# whoever prepared the same text before.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($node) = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { auth => 'trust', workers => 2, default_pool_size => 2 },
	conf    => "[database *]\npool = transaction\n");
$node->safe_psql('postgres', 'CREATE SCHEMA front');
$proxy->start;

my $opened = 0;

sub session
{
	my (%where) = @_;
	my $w = Meridian::Test::Wire->new(%where ? %where : $proxy);
	$w->{named} = 'session ' . ++$opened;
	$w->login(database => 'postgres', user => 'postgres', application_name => $w->{named}, search_path => 'front, public');
	return $w;
}

# The answer as words: types of messages, what is in those that describe and in rows, codes of errors.
sub word
{
	my ($type, $body) = @{ $_[0] };
	return $type =~ /[tT]/ ? "$type=" . unpack('H*', $body)
	  : $type eq 'D' ? 'D=' . join(',', map { $_ // 'null' } @{ row_values($_[0]) })
	  : $type eq 'E' ? 'E=' . error_fields($_[0])->{C}
	  :                $type;
}

sub say_to
{
	my ($w, @messages) = @_;
	my $ends = grep { /^[QS]/ } @messages;
	$w->send(join '', @messages);
	return join ' ', map { word($_) } grep { $_->[0] !~ /[SN]/ } map { $w->until('Z') } 1 .. $ends;
}

my $S = sync_message();
my $names = 0;

# Under a name that is new.
sub fresh
{
	my ($sql, @values) = @_;
	my $name = 'n' . ++$names;
	return (parse($sql, $name), describe('S', $name), bind_message(\@values, $name), execute(), $S);
}

# One that changes the schema, one of the same worker, one of the other.
sub one_near_one_far
{
	my (%of, @all);
	for (1 .. 60) {
		push @all, session();
		%of = map { $_->{application_name} => $_->{worker} } @{ $proxy->console('SHOW SESSIONS FULL') };
		my @near = grep { $of{ $_->{named} } == $of{ $all[0]{named} } } @all;
		my ($far) = grep { $of{ $_->{named} } != $of{ $all[0]{named} } } @all;
		return (@near[ 0, 1 ], $far) if @near > 1 && $far;
	}
	BAIL_OUT('sixty sessions, and all came to one worker');
}
my ($maker, $near, $far) = one_near_one_far();
my $own = session(path => $node->host . '/.s.PGSQL.' . $node->port);
my %others = ('who has changed it' => $maker, 'another of its worker' => $near, 'one of another worker' => $far);

# ---------------------------------------------------------------- what changes, and what texts mean then

my @changes = (
	[ 'a table made anew', 'CREATE TABLE made (v date)', 'INSERT INTO made VALUES ($1) RETURNING v', '2020-01-01',
		'DROP TABLE made; CREATE TABLE made (v time)', '12:00' ],
	[ 'a column more', 'CREATE TABLE wide AS SELECT 1 AS a', 'SELECT * FROM wide WHERE $1', 't', "ALTER TABLE wide ADD b text DEFAULT 'b'", 't' ],
	[ 'a column of another type', 'CREATE TABLE grown AS SELECT 1 AS a', 'SELECT 1 FROM grown WHERE a = $1', '1', 'ALTER TABLE grown ALTER a TYPE bigint', '1' ],
	[ 'a type made anew', "CREATE TYPE mood AS ENUM ('sad')", 'SELECT $1::mood', 'sad', "DROP TYPE mood; CREATE TYPE mood AS ENUM ('glad')", 'glad' ],
	[ 'a domain made anew', 'CREATE DOMAIN few AS int', 'SELECT $1::few', '1', 'DROP DOMAIN few; CREATE DOMAIN few AS text', 'one' ],
	[ 'a table in front of it', 'CREATE TABLE late (v int)', 'INSERT INTO late VALUES ($1) RETURNING v', '1', 'CREATE UNLOGGED TABLE front.late (v text)', 'one' ],
	[ 'a function beside it', "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", 'SELECT f($1)', '1',
		"CREATE OR REPLACE FUNCTION f(text) RETURNS text LANGUAGE sql AS \$\$ SELECT 'text' \$\$", '1' ],
	[ 'a view of more', 'CREATE VIEW seen AS SELECT 1 AS a', 'SELECT * FROM seen WHERE $1', 't', 'CREATE OR REPLACE VIEW seen AS SELECT 1 AS a, 2 AS b', 't' ],
	[ 'a table renamed', 'CREATE TABLE now_t (v int); CREATE TABLE next_t (v text)', 'INSERT INTO now_t VALUES ($1) RETURNING v', '1',
		'ALTER TABLE now_t RENAME TO old_t; ALTER TABLE next_t RENAME TO now_t', 'one' ],
	[ 'a block of code', 'CREATE TABLE coded (v int)', 'INSERT INTO coded VALUES ($1) RETURNING v', '1',
		q(DO $$ BEGIN EXECUTE 'DROP TABLE coded'; EXECUTE 'CREATE TABLE coded (v text)'; END $$), 'one' ],
);
for my $change (@changes) {
	my ($what, $setup, $sql, $was, $ddl, $is) = @$change;
	$node->safe_psql('postgres', $setup);
	my %before = map { $_ => say_to($others{$_}, fresh($sql, $was)) } keys %others;
	like($before{$_}, qr/^1 t=\S+ T=\S+ 2 (?:D=\S+ )?C Z$/, "$what: prepared before ($_)") for sort keys %before;
	unlike(say_to($maker, query($ddl)), qr/E=/, "$what: it changes");
	my $want = say_to($own, fresh($sql, $is));
	like($want, qr/^1 t=\S+ T=\S+ 2 (?:D=\S+ )?C Z$/, "$what: a connection of its own");
	isnt($want, $before{$_}, "$what: reads something else ($_)") for sort keys %before;
	is(say_to($others{$_}, fresh($sql, $is)), $want, "$what: ... which a pool prepares, too ($_)") for sort keys %others;
}

# ---------------------------------------------------------------- how the change goes

# Each adds a column to a table, and says so when it is done.
my ($table, $read) = ('ways', 'SELECT * FROM ways');
$node->safe_psql('postgres', 'CREATE TABLE ways AS SELECT 0 AS c0');
my @ways = (
	[ 'by a Query', sub { query($_[0]) } ],
	[ 'by a statement without a name', sub { (parse($_[0], ''), bind_message([], ''), execute(), $S) } ],
	[ 'by a statement with one', sub { (parse($_[0], "ddl $_[0]"), $S, bind_message([], "ddl $_[0]"), execute(), $S) } ],
	[ 'in a transaction', sub { (query('BEGIN'), query($_[0]), query('COMMIT')) } ],
	[ 'in a pipeline', sub { (query('SELECT 1'), query($_[0]), query('SELECT 2'), query('SELECT 3')) } ],
	[ 'with others', sub { query("SELECT 1; $_[0]; SELECT 2") } ],
);
my $columns = 0;
for my $way (@ways) {
	my ($what, $messages) = @$way;
	say_to($_, fresh($read)) for values %others;
	unlike(say_to($maker, $messages->('ALTER TABLE ways ADD c' . ++$columns . " int DEFAULT $columns")), qr/E=/, "$what: a column more");
	my $want = say_to($own, fresh($read));
	like($want, qr/ D=0(?:,\d+){$columns} C Z$/, "$what: it is there");
	is(say_to($others{$_}, fresh($read)), $want, "$what: and in a pool ($_)") for sort keys %others;
}

# In one go: what is prepared behind the change, by who makes it.
$columns++;
like(say_to($maker, query("ALTER TABLE ways ADD c$columns int DEFAULT $columns"), fresh($read)), qr/ D=0(?:,\d+){$columns} C Z$/, 'a text right behind the change');
$columns++;
like(say_to($maker, query('BEGIN'), query("ALTER TABLE ways ADD c$columns int DEFAULT $columns"), fresh($read), query('ROLLBACK')),
	qr/ D=0(?:,\d+){$columns} C Z C Z$/, '... in its transaction');
$columns--;
my $back = say_to($own, fresh($read));
is(say_to($others{$_}, fresh($read)), $back, "... which was rolled back ($_)") for sort keys %others;

# Others prepare while the change is under way, and mean what was before it.
$node->safe_psql('postgres', "CREATE FUNCTION g(int) RETURNS text LANGUAGE sql AS \$\$ SELECT 'int' \$\$");
my $call = 'SELECT g($1)';
like(say_to($others{$_}, fresh($call, '1')), qr/ D=int C Z$/, "a function ($_)") for sort keys %others;
say_to($maker, query('BEGIN'), query("CREATE FUNCTION g(text) RETURNS text LANGUAGE sql AS \$\$ SELECT 'text' \$\$"));
like(say_to($far, fresh($call, '1')), qr/ D=int C Z$/, 'before another is committed others have what was there');
like(say_to($maker, fresh($call, '1')), qr/ D=text C Z$/, '... and who changes it has the new one');
is(say_to($maker, query('COMMIT')), 'C Z', 'it is');
like(say_to($others{$_}, fresh($call, '1')), qr/ D=text C Z$/, "then all have it ($_)") for sort keys %others;

# ---------------------------------------------------------------- what is no change

# One connection for each worker: what is there twice was not shared.
my $shared = "SELECT 'shared'";
for my $no ('CREATE TEMP TABLE own (v int); DROP TABLE own', 'CREATE INDEX ON ways (c0)', 'INSERT INTO ways DEFAULT VALUES', "ALTER ROLE postgres SET work_mem = '4MB'") {
	say_to($near, fresh($shared));
	unlike(say_to($maker, query($no)), qr/E=/, "no change: $no");
	say_to($near, fresh($shared));
	like(say_to($near, query("SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT ''shared'''")), qr/ D=1 C Z$/, '... and a text is shared as before');
}

$proxy->stop;
done_testing();
