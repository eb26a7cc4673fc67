# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::TwinTalk - what the clients of Meridian::Test::Twins say: all that comes to a client's mind.
#
#   my @turns = Meridian::Test::TwinTalk::says($number, %may);   # lists of messages, each list to be sent in one
#
# Which it is comes from rand(). What is said behind a turn depends on no answer, but is sent when all that the turn asks for is
# there. %may:
#   resets   RESET and its like, which go back to what the startup packet has said
#   moves    its session is moved between the turns of others (REHOME)
#   crowd    all speak at once: nothing that depends on what others have done, or waits for them
#   shares   … one connection between them: it is left with nothing of the client's
package Meridian::Test::TwinTalk;
use strict;
use warnings;

use Meridian::Test::TwinWords qw(:all);
use Meridian::Test::Wire qw(:build);

my ($me, %may);

# ---------------------------------------------------------------- the extended protocol

sub name { return one('', '', 'a', 'b', 'c') }

sub formats { return one([], [], [], [1], [0]) }

# Of an extended query: one statement as drivers use it, or what comes of no plan at all.
sub cycle
{
	my ($name, $portal) = (name(), one('', '', 'w'));
	return (maybe(0.6, parse(text($me, %may), $name), maybe(0.5, describe('S', $name))),
		# where both the portal and the statement are wrong, the answer may be about the other one
		$portal ? close_message('P', $portal) : (), bind_message([], one($name, $name, 'p'), $portal, [], formats()), maybe(0.5, describe('P', $portal)),
		execute($portal, one(0, 0, 0, 2)), maybe(0.1, execute($portal)), maybe(0.2, close_message('S', $name)),
		maybe(0.05, close_message('P', $portal)));
}

# int4, text and bytea, in text or binary.
sub typed
{
	my ($int, $text) = (int rand 1000, one('', 'x', "a\tb", 'é'));
	my $binary = one(0, 1);
	my @values = ($binary ? pack 'N', $int : $int, $text, $binary ? "\0\xff" : '\\x00ff');
	my @binds = (bind_message(\@values, 'z', '', [$binary], one([], [1], [ 1, 0, 1 ])), execute());
	return one([ parse('SELECT $1::int4 + 1 AS a, $2::text AS b, $3::bytea AS c', 'z', 23, 25, 17), maybe(0.5, describe('S', 'z')) ], \@binds, \@binds);
}

sub few
{
	return typed()->@* if rand() < 0.2;
	return one([ parse('SELECT who, a FROM t WHERE who = $1 ORDER BY 2', 'q'), maybe(0.5, describe('S', 'q')) ],
		[ bind_message([$me], 'q', '', [], formats()), execute() ], [ close_message('S', name()) ], [ parse(text($me, %may), 'a'), describe('S', 'a') ])->@*;
}

sub messages
{
	return rand() < 0.4 ? few() : map { cycle() } 1 .. one(1, 1, 2, 3);
}

# A Query behind messages of an extended query, with no Sync between: where one of these fails, only a transaction pool knows that the
# Query was passed over. Other sessions have to say something else before they can be moved (protocol/exchange.c).
sub behind { my ($odds, $query) = @_; return $may{moves} ? () : maybe($odds, $query) }

sub sequence { return (messages(), sync_message()) }

# One sequence in several turns, with Flush behind each; a Query may stand in place of the Sync, or nothing at all for now.
sub flushed
{
	my @turns = ([]);
	for my $message (messages(), maybe(0.3, messages())) {
		push @{ $turns[-1] }, $message;
		push @turns, [] if rand() < 0.4;
	}
	push @$_, flush_message() for @turns;
	return (@turns, maybe($may{shares} ? 1 : 0.9, [ behind(0.15, query(text($me, %may))), sync_message() ]));
}

# A portal that is read in parts, in SQL as well.
sub portals
{
	my @opens = (parse('SELECT generate_series(1, 7)', 'g'), bind_message([], 'g', 'w', [], formats()));
	my @read = map { execute('w', $_) } 1 .. one(1, 2, 3);
	return one([ [ @opens, @read, sync_message() ] ],
		[ [ @opens, execute('w', 3), flush_message() ], [ @read, flush_message() ], [ execute('w'), close_message('P', 'w'), sync_message() ] ],
		[ [ query('BEGIN'), @opens, execute('w', 2), sync_message() ], [ query(one('FETCH 2 FROM w', 'MOVE 1 FROM w', 'SELECT 1')), @read, sync_message() ] ],
		[ [ @read, sync_message() ] ], [ [ query(one('FETCH 1 FROM w', 'CLOSE w')) ] ])->@*;
}

# As libpq's PQfn() and its large objects: by the number of a function.
sub calls
{
	my $key = $me * 10 + int rand 2;
	my $lo = 9000 + $me;
	return query(one("SELECT lo_create($lo)", "SELECT lo_unlink($lo)", "SELECT lo_put($lo, 3, 'abc')", "SELECT lo_get($lo)", "SELECT lo_open($lo, 393216)",
			'SELECT loread(0, 5)', "SELECT lowrite(0, 'now')", 'SELECT lo_close(0)')) if rand() < 0.5;
	# int4pl, int4div, none; lo_create, lo_open, loread, lowrite, lo_unlink; pg_advisory_lock and _unlock; current_setting, set_config
	return one(function_call(177, int rand 9, 2), function_call(154, 1, int rand 2), function_call(0), function_call(715, $lo),
		function_call(952, $lo, 393216), function_call(954, 0, 4), function_call(955, 0, '\\x0102'), function_call(964, $lo),
		function_call(2880, $key), function_call(2885, $key), function_call(2077, 'work_mem'),
		function_call(2078, one('work_mem', 'DateStyle', 'TimeZone', 'nothing'), one('2MB', 'German', 'UTC'), one('t', 'f')));
}

# ---------------------------------------------------------------- COPY

# Of rows, with one that is wrong among them or not.
sub copy_rows
{
	my $good = rand() < 0.7;
	my @parts = map { copy_data($_) } map { ("$me\t$_\n", rand() < 0.2 ? ("$me\t", "7\n") : ()) } 1 .. one(1, 2, 5);
	splice @parts, rand @parts, 0, copy_data("no\tnumber\n") unless $good;
	push @parts, flush_message() if rand() < 0.1;
	push @parts, sync_message() if $good && rand() < 0.1; # which the server passes over
	return @parts;
}

sub copy_in
{
	my @rows = copy_rows();
	# by a name that nothing else runs, where it would wait for data
	my @begins = (maybe(0.9, close_message('S', 'k')), parse('COPY t FROM STDIN', 'k'), bind_message([], 'k'), execute());
	my $end = one(copy_done(), copy_done(), copy_done(), copy_fail('no'));
	my $binary = pack 'n NN NN n', 2, 4, $me, 4, one(3, 4), one(-1, -1, 7); # of which not all is so
	return one([ [ query('COPY t FROM STDIN'), @rows, $end, maybe(0.3, query('SELECT 1')) ] ], [ [ query('COPY t FROM STDIN') ], [@rows], [$end] ],
		[ [ @begins, (grep { !/^S/ } @rows), $end, sync_message() ] ],
		[ [ @begins, flush_message() ], [ grep { !/^S/ } @rows ], [ $end, maybe(0.5, messages()), sync_message() ] ],
		[ [ query('COPY t FROM STDIN (FORMAT binary)') ], [ copy_data("PGCOPY\n\xff\r\n\0" . pack('NN', 0, 0) . $binary) ], [$end] ])->@*;
}

sub copy
{
	return copy_in() if rand() < 0.6;
	my $out = one("COPY (SELECT who, a FROM t WHERE who = $me ORDER BY 2) TO STDOUT",
		"COPY (SELECT 6 / (3 - a) FROM generate_series(1, 5) a) TO STDOUT",
		"COPY (SELECT a, repeat('x', 50) FROM generate_series(1, 400) a) TO STDOUT", 'COPY (SELECT 1::int4) TO STDOUT (FORMAT binary)');
	return one([ query($out) ], [ parse($out), bind_message(), execute(), maybe(0.5, cycle()), sync_message() ]);
}

# ---------------------------------------------------------------- much at once

sub large
{
	my $n = one(9_000, 70_000, 70_000, 300_000, 1_200_000);
	my $pad = '-' x $n;
	my $rows = join '', map { "$me\t$_\n" } 1 .. $n / 40;
	# with a name it keeps the connection, above 64 kB; without one it is lost when it was bound and the connection is another's
	my $big = $may{shares} ? '' : one('', 'big');
	return one([ query("SELECT repeat('ab', $n / 2)") ], [ query("SELECT 1 /*$pad*/") ], [ query("SELECT length('$pad'), repeat('x', $n)") ],
		[ parse('SELECT length($1), $1', '', 25), bind_message([$pad]), execute(), sync_message() ],
		[ parse('SELECT $1 || repeat($1, 2)', 'l', 25), bind_message([ substr $pad, 0, $n / 3 ], 'l', '', [1], [1]), execute(), sync_message() ],
		[ bind_message([ '.' x ($n / 3) ], 'l'), execute(), behind(0.5, query('SELECT 1')), sync_message() ],
		[ parse("SELECT 2 /*$pad*/", $big), bind_message([], $big), execute(), $big eq '' ? close_message('S') : (), sync_message() ],
		[ query("SELECT a, repeat('y', 100) FROM generate_series(1, $n / 100) a") ],
		[ query('COPY t FROM STDIN'), copy_data($rows), copy_data($rows), one(copy_done(), copy_fail('enough')), query("DELETE FROM t WHERE who = $me") ]);
}

# More in one than anybody counts.
sub many
{
	my $n = one(20, 30, 70);
	return one([ map { query("SELECT $_") } 1 .. $n ], [ map { sequence() } 1 .. $n ], [ map { rand() < 0.8 ? query(text($me, %may)) : sequence() } 1 .. $n ],
		[ (map { parse("SELECT $_"), bind_message(), execute() } 1 .. $n), sync_message() ], [ map { sync_message() } 1 .. $n ],
		[ map { (bind_message([$me], 'q'), execute(), sync_message()) } 1 .. $n ]); # an Execute alone can crash PostgreSQL 15 in a failed transaction
}

# ---------------------------------------------------------------- what ends before it is done

# The reader cancels what says that it sleeps. PostgreSQL may send its process two signals for that: the second would meet the next
# statement, if that were there already.
sub waits
{
	my $sleep = "DO \$\$ BEGIN RAISE WARNING 'sleeps'; PERFORM pg_sleep(60); END \$\$";
	my @late = (query('BEGIN'), query("SET LOCAL statement_timeout = '3ms'"), query('DO $$ BEGIN PERFORM pg_sleep(60); END $$'));    # time: it ends the query
	my @locked = (query('BEGIN'), query("SET LOCAL lock_timeout = '5ms'"), query('LOCK TABLE public.locked'));    # time: it ends the wait
	my @sleeps = (parse($sleep), bind_message(), execute(), maybe(0.5, messages()), sync_message());
	return one([ query($sleep) ], [ query("SELECT 1; $sleep; SELECT 2") ], \@sleeps,
		map { [ @$_, maybe(0.6, query(one('COMMIT', 'ROLLBACK'))) ] } \@late, $may{crowd} ? () : \@locked);
}

# The end of the server process, and so of both connections.
sub dies
{
	my $sql = 'SELECT pg_terminate_backend(pg_backend_pid())';
	return one([ query($sql) ], [ query('BEGIN'), query("SELECT 1; $sql"), query('SELECT 2') ], [ parse($sql), bind_message(), execute(), cycle(), sync_message() ],
		[ query("DO \$\$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM 1 / 0; END \$\$") ], [ frame('!', 'what') ], [ frame('Q', '') ], [ frame('S', 'too long') ]);
}

# ---------------------------------------------------------------- all of it

sub pipeline { return map { rand() < 0.5 ? query(text($me, %may)) : sequence() } 1 .. one(2, 4) }

sub turns
{
	my $roll = rand;
	return [ query(text($me, %may)) ] if $roll < 0.36;
	return [ query(one('DEALLOCATE a', "SELECT 'é'")) ] if $roll < 0.38;
	return [ query(join '; ', map { text($me, %may) } 1 .. one(2, 3)) ] if $roll < 0.46;
	return [ sequence() ] if $roll < 0.68;
	return [ pipeline() ] if $roll < 0.76;
	return flushed() if $roll < 0.83;
	return portals() if $roll < 0.87;
	return copy() if $roll < 0.92;
	return [ calls() ] if $roll < 0.96;
	return large() if $roll < 0.976;
	return many() if $roll < 0.983;
	return dies() if $roll < 0.986;
	return waits();
}

# So that its connection can be another's.
sub tidies
{
	return map { query($_) } 'ROLLBACK', 'UNLISTEN *', 'CLOSE ALL', one('DEALLOCATE p', 'DEALLOCATE p', 'DEALLOCATE ALL'),
	  'SELECT pg_advisory_unlock_all()', 'DISCARD TEMP', 'SET search_path = one, public';
}

sub says
{
	($me, %may) = @_;
	return (turns(), $may{shares} ? [ tidies() ] : ());
}

1;
