# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Twins - sessions of ours beside connections of their own.
#
#   my $twins = Meridian::Test::Twins->new(seed => 7, clients => 3, own => sub { … }, shared => sub { … });
#   my $parted = $twins->play(400);          # undef, or where and how they parted
#
# Each client says the same, at random, on two connections: one that has a server process to itself, and one through
# Meridian, whose server connection others use between its transactions, or which is moved. It is answered before the next one speaks, so both databases go through the
# same, and each answer must be the same to the byte, but for what doc/pools.md says is not. `own` and `shared` log a client in:
# they get its number and parameters, and return a Meridian::Test::Wire. `between`, if there is one, gets the number of a client
# that is in no transaction, now and then. The same seed says the same.
package Meridian::Test::Twins;
use strict;
use warnings;
use Meridian::Test::Wire qw(:build);

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
	no_such                       => [1],
);
my @settings = sort keys %values;
my $all = 'SELECT * FROM public.settings';

# What the view `settings` has to show, which the databases need.
sub settings { return grep { $_ ne 'no_such' } @settings }

sub new
{
	my ($class, %opt) = @_;
	my $self = bless { %opt, clients => [], script => [] }, $class;
	srand $opt{seed};
	push @{ $self->{clients} }, { number => $_ } for 1 .. $opt{clients};
	$self->connect($_) for @{ $self->{clients} };
	return $self;
}

# RESET in a transaction goes back to what the server's connection began with, and only behind it to what the client's did: who
# has said something at the beginning does not say that.
my $resets;

# What an error has left as the statement without a name does not move.
my $moves;

sub one { return $_[ rand @_ ] }
sub maybe { my ($odds, @what) = @_; return rand() < $odds ? @what : () }

# ---------------------------------------------------------------- what clients say

sub setting
{
	my $name = one(@settings);
	return ($name, one(@{ $values{$name} }));
}

sub set
{
	my ($name, $value) = setting();
	my $how = one('', '', 'SESSION ', 'LOCAL ');
	my $is_local = one('true', 'false', 'false');
	my $quoted = $value =~ /^'/ ? $value : "'$value'";
	return one("SET $how$name = $value", "SET $how$name = $value", "SHOW DateStyle",
		"SELECT set_config('$name', $quoted, $is_local)",
		"DO \$\$ BEGIN PERFORM set_config('$name', $quoted, $is_local); END \$\$",
		$resets ? ("SET $name TO DEFAULT", "RESET $name", 'RESET ALL', 'SET TIME ZONE LOCAL', 'DISCARD ALL') : (),
		"SET NAMES 'UTF8'", "SET SCHEMA 'one'", 'SET ROLE reader', 'RESET ROLE',
		'SET SESSION AUTHORIZATION DEFAULT', one('DISCARD TEMP', 'DISCARD PLANS'),
		'SET SESSION CHARACTERISTICS AS TRANSACTION ' . one('READ ONLY', 'READ WRITE', 'ISOLATION LEVEL REPEATABLE READ'));
}

sub ask
{
	return one($all, $all, "SELECT '2020-01-02 03:04:05+00'::timestamptz, interval '1 day 2 hours', 1.1::float8 / 3, '\\xff00'::bytea");
}

sub transaction
{
	return one('BEGIN', 'BEGIN', 'BEGIN READ ONLY', 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'COMMIT', 'COMMIT', 'ROLLBACK',
		'COMMIT AND CHAIN', 'SAVEPOINT s', 'ROLLBACK TO s', 'RELEASE s', 'SET TRANSACTION READ ONLY');
}

sub rows
{
	my ($me) = @_;
	my $n = int rand 5;
	return one("INSERT INTO t VALUES ($me, $n)", "SELECT count(*), sum(a) FROM t", "DELETE FROM t WHERE who = $me AND a = $n",
		"SELECT who, a FROM t ORDER BY 1, 2 LIMIT 3", "INSERT INTO t VALUES ($me, $n) RETURNING a", "SELECT * FROM v");
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

sub wrong { return one('SELECT 1/0', 'SELEC', 'SELECT * FROM nowhere', "DO \$\$ BEGIN RAISE NOTICE 'n'; END \$\$", '', 'SELECT 1') }

sub text
{
	my ($me) = @_;
	my $roll = rand;
	return set() if $roll < 0.3;
	return ask() if $roll < 0.45;
	return transaction() if $roll < 0.6;
	return rows($me) if $roll < 0.75;
	return temporary() if $roll < 0.82;
	return kept($me) if $roll < 0.92;
	return wrong();
}

sub name { return one('', '', 'a', 'b', 'c') }

# Of an extended query: one statement as drivers use it, or what comes of no plan at all.
sub cycle
{
	my ($me) = @_;
	my ($name, $portal) = (name(), one('', '', 'w'));
	return (maybe($name eq '' && $moves ? 1 : 0.6, parse(text($me), $name), maybe(0.5, describe('S', $name))), bind_message([], one($name, $name, 'p'), $portal),
		maybe(0.5, describe('P', $portal)), execute($portal, one(0, 0, 0, 2)), maybe(0.1, execute($portal)), maybe(0.2, close_message('S', $name)));
}

sub sequence
{
	my ($me) = @_;
	my $name = name();
	my @said = map { cycle($me) } 1 .. one(1, 1, 2, 3);
	@said = one([ parse("SELECT who, a FROM t WHERE who = \$1 ORDER BY 2", 'q'), maybe(0.5, describe('S', 'q')) ],
		[ bind_message([$me], 'q'), execute() ], [ close_message('S', name()) ], [ parse(text($me), $name), describe('S', $name) ])->@*
	  if rand() < 0.4;
	return (@said, sync_message());
}

sub copy
{
	my ($me) = @_;
	return one([ query('COPY t FROM STDIN'), copy_data("$me\t1\n"), one(copy_done(), copy_done(), copy_fail('no')) ],
		[ query("COPY (SELECT who, a FROM t WHERE who = $me ORDER BY 2) TO STDOUT") ])->@*;
}

sub says
{
	my ($me) = @_;
	my $roll = rand;
	return query(text($me)) if $roll < 0.43;
	return query('DEALLOCATE a') if $roll < 0.44;
	return query("SELECT 'é'") if $roll < 0.45;
	return query(join '; ', map { text($me) } 1 .. one(2, 3)) if $roll < 0.55;
	return sequence($me) if $roll < 0.85;
	return copy($me) if $roll < 0.9;
	return map { rand() < 0.5 ? query(text($me)) : sequence($me) } 1 .. one(2, 4);
}

# ---------------------------------------------------------------- what they read

sub described
{
	my ($message) = @_;
	my ($n, $rest) = unpack 'n a*', $message->[1];
	my @columns;
	for (1 .. $n) {
		(my $name, my $type, $rest) = $rest =~ /^([^\0]*)\0.{6}(.{4}).{8}(.*)$/s or return 'odd';
		$type = unpack 'N', $type;
		push @columns, "$name:" . ($type < 16384 ? $type : 'own');
	}
	return join ',', @columns;
}

# A message as text, without what is another process's; ParameterStatus is kept in %$told instead.
sub word
{
	my ($message, $told) = @_;
	my ($type, $body) = @$message;
	if ($type eq 'S') {
		my ($name, $value) = parameter($message);
		$told->{$name} = $value;
		return ();
	}
	return 'T ' . described($message) if $type eq 'T';
	return "$type " . join ',', map { $_ // 'null' } row_values($message)->@* if $type eq 'D';
	return 'A ' . substr $body, 4 if $type eq 'A';
	return "$type $body" unless $type =~ /[EN]/;
	my $fields = error_fields($message);
	return "$type $fields->{C} $fields->{M}";
}

sub readable
{
	my ($text) = @_;
	$text =~ s/pg_temp_\d+/pg_temp/g;
	$text =~ s/prepared statement "[^"]*"/prepared statement/; # that is our name of it
	# whether the server process has ever had one
	$text =~ s/(?:schema "pg_temp"|table "u")( does not exist, skipping)/it$1/;
	$text =~ s/42883 function pg_temp.f\(\) does not exist/3F000 schema "pg_temp" does not exist/;
	$text =~ s/\0/ /g;
	return $text;
}

sub answer
{
	my ($wire, $ends, $told) = @_;
	return join "\n", map { readable($_) } map { word($_, $told) } map { $wire->until('Z') } 1 .. $ends;
}

# ---------------------------------------------------------------- both at once

sub connect
{
	my ($self, $client) = @_;
	my %param = map { my $value = one(@{ $values{$_} }); $value =~ s/^'(.*)'$/$1/; $value =~ s/''/'/g; ($_ => $value) }
	  map { maybe(0.3, $_) } maybe(0.5, qw(TimeZone application_name client_encoding DateStyle));
	$client->{resets} = !%param;
	$param{options} = '-c work_mem=3MB' if rand() < 0.2;
	for my $way (qw(own shared)) {
		$client->{$way}->close if $client->{$way};
		$client->{$way} = $self->{$way}->($client->{number}, %param);
		$client->{told}{$way} = { %{ $client->{$way}{parameters} } };
		# a server process knows such a name from the first session that has set it
		$client->{$way}->ask("SET my.var = ''; SET other.var = ''");
	}
	$client->{in_transaction} = 0;
	push @{ $self->{script} }, "$client->{number}: connects " . join ' ', %param;
	return;
}

sub parted
{
	my ($self, $client, $own, $shared) = @_;
	my @said = grep { /^$client->{number}:/ } @{ $self->{script} };
	splice @said, 0, @said - 40 if @said > 40;
	return join "\n", "client $client->{number} of seed $self->{seed}, step " . @{ $self->{script} }, @said, '--- own', $own, '--- shared', $shared;
}

# Where they read something else, or were told of something else; or undef.
sub step
{
	my ($self) = @_;
	my $client = one(@{ $self->{clients} });
	if (rand() < 0.01) {
		$self->connect($client);
		return;
	}
	($resets, $moves) = ($client->{resets}, defined $self->{between});
	if ($self->{between} && !$client->{in_transaction} && rand() < 0.2) {
		my $what = $self->{between}->($client->{number});
		push @{ $self->{script} }, "$client->{number}: $what";
	}
	my @said = says($client->{number});
	my $ends = grep { /^[QS]/ } @said;
	my %read;
	push @{ $self->{script} }, readable("$client->{number}: " . join ' | ', map { substr($_, 0, 1) . ' ' . substr $_, 5 } @said);
	for my $way (qw(own shared)) {
		$client->{$way}->send(join '', @said);
		$read{$way} = answer($client->{$way}, $ends, $client->{told}{$way});
	}
	$client->{in_transaction} = $read{own} !~ /Z I$/;
	return $self->parted($client, @read{qw(own shared)}) if $read{own} ne $read{shared};
	for my $name (sort keys %{ $client->{told}{own} }) {
		my ($own, $shared) = map { $client->{told}{$_}{$name} // 'nothing' } qw(own shared);
		return $self->parted($client, "told $name $own", $shared) if $own ne $shared;
	}
	return;
}

sub play
{
	my ($self, $steps) = @_;
	for (1 .. $steps) {
		my $parted = $self->step;
		return $parted if defined $parted;
	}
	return;
}

1;
