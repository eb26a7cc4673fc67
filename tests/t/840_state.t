#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What a session of a transaction pool leaves on its server: settings follow their session and reach
# no other one; what cannot follow pins the session, and SHOW SESSIONS says what it is.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(cpu_ticks measured);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($east) = regional_clusters('us-east1');
$east->safe_psql('postgres', <<'SQL');
CREATE ROLE app LOGIN;
CREATE ROLE bob;
CREATE ROLE boss SUPERUSER LOGIN;
GRANT bob, boss TO app;
CREATE SCHEMA evil AUTHORIZATION app;
GRANT CREATE ON SCHEMA public TO app;
CREATE FUNCTION zone(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('timezone', $1, false); RETURN $1; END $$;
SQL
my $far = Meridian::Test::Delay->new($east);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $far } ],
	set     => { auth => 'trust', workers => 1, default_pool_size => 1, region => 'us-east1' },
	conf    => "[database postgres]\npool = transaction\n[database template1]\npool = session\n");
$proxy->start;

# ---------------------------------------------------------------- helpers

sub session { return Meridian::Test::Wire->session($proxy, user => 'app', @_) }

sub extended
{
	my ($w, $sql, @values) = @_;
	$w->send(parse($sql) . bind_message(\@values) . execute() . sync_message());
	return $w->answer;
}

# What becomes of it: the server may still have to be asked.
sub becomes
{
	my ($read, $want, $name) = @_;
	my $got;
	wait_until(sub { ($got = $read->()) eq $want }, $name);
	return is($got, $want, $name);
}

my $pid = 'SELECT pg_backend_pid()';
my ($x, $y) = (session(), session());
is($x->ask($pid), $y->ask($pid), 'two sessions have one connection between them');

# ---------------------------------------------------------------- settings

$x->ask('SET search_path = evil, "$user", public');
is($y->ask('SHOW search_path'), '"$user", public', 'a path that one session has set is not the other\'s');
is($x->ask('SHOW search_path'), 'evil, "$user", public', 'but still its own');
$y->ask("SET search_path TO 'one, two', \"Three\"");
is($x->ask('SHOW search_path'), 'evil, "$user", public', 'each has its own');
is($y->ask('SHOW search_path'), '"one, two", "Three"', 'with its quotes');
$_->ask('RESET search_path') for $x, $y;

$x->ask("SET TIME ZONE 'Asia/Tokyo'");
is($x->{told}, 'TimeZone=Asia/Tokyo;', 'a setting that is reported is reported');
isnt($y->ask('SHOW TimeZone'), 'Asia/Tokyo', 'time zones are apart');
is($y->{told}, '', 'and what the other session has already is not told to it');
is($x->ask('SHOW TimeZone'), 'Asia/Tokyo', 'back to the first');
is($x->{told}, '', 'nor to this one');

$x->ask("SET app.tenant = '42'");
unlike($y->ask("SELECT current_setting('app.tenant', true)"), qr/42/, 'a setting of a name that PostgreSQL does not know');
is($x->ask('SHOW app.tenant'), '42', 'is kept as well');
extended($y, "SELECT set_config('app.tenant', \$1, false)", "it's C:\\temp");
is($x->ask('SHOW app.tenant'), '42', 'set_config() with a parameter');
is($y->ask('SHOW app.tenant'), "it's C:\\temp", 'and a value that needs quotes');
$x->send(parse("SET app.tenant = 'late'") . sync_message());
$x->answer;
extended($y, 'SELECT 1');
$x->send(bind_message([]) . execute() . sync_message());
$x->answer;
is($y->ask('SHOW app.tenant'), "it's C:\\temp", 'what was prepared without a name, and runs behind another\'s transaction');
is($x->ask('SHOW app.tenant'), 'late', 'is seen as well');
$x->ask('SET standard_conforming_strings = off');
is($y->ask('SHOW standard_conforming_strings'), 'on', 'quotes mean the same as before');
is($y->ask('SHOW app.tenant'), "it's C:\\temp", 'the value survives another meaning of quotes');
$x->ask("SET app.tenant = 'a\\\\b'; SET standard_conforming_strings = on");
$y->ask('SELECT 1');
is($x->ask('SHOW app.tenant'), 'a\\b', 'in both directions');
$x->ask('SET statement_timeout = 5000');
is($y->ask('SHOW statement_timeout'), '0', 'a timeout is one session\'s');
is($x->ask('SHOW statement_timeout'), '5s', 'and stays');
$x->ask('RESET statement_timeout');

is($x->ask('SET role = bob', 'SELECT current_user'), 'bob', 'a role');
is($y->ask('SELECT current_user'), 'app', 'is not lent on');
is($x->ask('SELECT current_user, session_user'), 'bob,app', 'and comes back');
$x->ask('SET search_path = evil');
$y->ask('SELECT 1');
is($x->ask("SELECT current_user, current_setting('search_path')"), 'bob,evil', 'with a setting made under it');
$x->ask('RESET ROLE', 'RESET search_path');
$x->ask('SET ROLE boss', "SET log_min_duration_statement = 3600000");
is($y->ask('SHOW log_min_duration_statement'), '-1', 'what a superuser\'s role has set');
is($x->ask("SELECT current_user, current_setting('log_min_duration_statement')"), 'boss,1h', 'follows, too');
$x->ask('RESET log_min_duration_statement', 'RESET ROLE');
is($y->ask('SELECT current_user'), 'app', 'roles are back');
my $z = session();
$z->ask('SET ROLE boss', "SET log_min_duration_statement = 3600000", 'RESET ROLE');
is($y->ask('SHOW log_min_duration_statement'), '-1', 'and what the role alone could set');
$z->close;

# ---------------------------------------------------------------- by FunctionCall

sub call { my ($w, @call) = @_; $w->send(function_call(@call)); my ($v) = grep { $_->[0] =~ /[VE]/ } $w->until('Z'); return $v->[0] eq 'V' ? substr $v->[1], 4 : error_fields($v)->{C} }

is(call($x, 2078, 'app.called', "it's x", 'f'), "it's x", 'set_config() of a name of one\'s own');
unlike($y->ask("SELECT current_setting('app.called', true)"), qr/x/, 'is not lent on');
call($y, 2078, 'app.called', 'y', 'f');
is($x->ask('SHOW app.called'), "it's x", 'and comes back');
is($y->ask('SHOW app.called'), 'y', 'to each');
call($x, 2078, 'app.called', 'nobody', 't');
$y->ask('SELECT 1');
is($x->ask('SHOW app.called'), "it's x", 'what is local to a transaction ends with it');
call($x, 2078, 'TimeZone', 'Asia/Tokyo', 'f');
isnt($y->ask('SHOW TimeZone'), 'Asia/Tokyo', 'one that is reported');
is($x->ask('SHOW TimeZone'), 'Asia/Tokyo', 'is kept, too');
$x->ask('RESET TimeZone');
$x->ask('BEGIN');
my $lo = call($x, 957, 393216);
my $fd = call($x, 952, $lo, 393216);
is(call($x, 955, $fd, 'z' x 100_000), '100000', 'a large object is written');
is(call($x, 956, $fd, 0, 0) . length call($x, 954, $fd, 100_000), '0' . (2 + 2 * 100_000), 'and read');
call($x, 953, $fd);
$x->ask('COMMIT');
is($y->ask("SELECT length(lo_get($lo))"), '100000', 'in a transaction of its own');
is($x->ask($pid), $y->ask($pid), 'and both have one connection between them');
call($x, 964, $lo);

# ---------------------------------------------------------------- transactions

$x->ask('BEGIN', "SET TIME ZONE 'Asia/Tokyo'", 'ROLLBACK');
is($y->ask('SELECT 1'), '1', 'rolled back');
$x->ask('BEGIN', 'SET work_mem = 1234', 'SAVEPOINT s', 'SET work_mem = 4321', 'SET app.b = 1', 'ROLLBACK TO s', 'COMMIT');
is($y->ask('SHOW work_mem'), '4MB', 'savepoints');
is($x->ask("SELECT current_setting('work_mem'), current_setting('app.b', true)"), '1234kB,', 'what has been committed is kept');
$x->ask('BEGIN', 'SET LOCAL work_mem = 999', 'COMMIT');
is($x->ask('SHOW work_mem'), '1234kB', 'SET LOCAL ends with its transaction');
is($x->ask("SET work_mem = 'nonsense'"), '22023 invalid value for parameter "work_mem": "nonsense"', 'a SET that fails');
$y->ask('SELECT 1');
is($x->ask('SHOW work_mem'), '1234kB', 'changes nothing');
is($x->ask('SET work_mem = 2048; SELECT 1/0'), '22012 division by zero', 'nor one whose transaction fails');
$y->ask('SELECT 1');
is($x->ask('SHOW work_mem'), '1234kB', 'later on');
$x->ask('SET default_transaction_isolation = serializable');
is($y->ask('SHOW transaction_isolation'), 'read committed', 'isolation levels');
is($x->ask('SHOW transaction_isolation'), 'serializable', 'are kept apart');
$x->ask('SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ');
$y->ask('SELECT 1');
is($x->ask('SHOW transaction_isolation'), 'repeatable read', 'however they are set');
$x->ask('RESET ALL');
is($x->ask("SELECT current_setting('work_mem'), current_setting('transaction_isolation')"), '4MB,read committed', 'RESET ALL');
is($y->ask('SHOW app.tenant'), "it's C:\\temp", 'of one session');
is($x->ask('SHOW app.tenant'), '', 'and not of the other');

# ---------------------------------------------------------------- functions and code

$x->ask("SELECT zone('Europe/Paris')");
isnt($y->ask('SHOW TimeZone'), 'Europe/Paris', 'a function that sets what is reported');
is($x->ask('SHOW TimeZone'), 'Europe/Paris', 'is noticed');
$x->ask("DO \$\$ BEGIN PERFORM set_config('app.tenant', 'do', false); SET work_mem = 777; END \$\$");
is($y->ask("SELECT current_setting('work_mem'), current_setting('app.tenant')"), "4MB,it's C:\\temp", 'a block of code');
is($x->ask("SELECT current_setting('work_mem'), current_setting('app.tenant')"), '777kB,do', 'is looked into');
extended($x, 'SET work_mem = 888');
$y->ask('SELECT 1');
is($x->ask('SHOW work_mem'), '888kB', 'the extended protocol');
is($x->ask('SELECT 1; SET work_mem = 999; SELECT 2'), '2', 'in the middle of a text');
$y->ask('SELECT 1');
is($x->ask('SHOW work_mem'), '999kB', 'it is found');
$x->ask('DISCARD ALL');
is($x->ask('SHOW work_mem'), '4MB', 'DISCARD ALL');

# A session whose path leads elsewhere first is asked in words that it cannot change.
$east->safe_psql('postgres', <<'SQL');
CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT 'wrong' $$;
CREATE FUNCTION evil.current_setting(text, bool) RETURNS text LANGUAGE sql AS $$ SELECT 'wrong' $$;
CREATE FUNCTION evil.set_config(text, text, bool) RETURNS text LANGUAGE sql AS $$ SELECT 'wrong' $$;
CREATE FUNCTION evil.never(text, text) RETURNS bool LANGUAGE sql AS $$ SELECT false $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never);
CREATE VIEW evil.pg_settings AS SELECT 'x' AS name;
SQL
$x->ask('SET search_path = evil, pg_catalog', 'RESET work_mem');
is($y->ask('SHOW search_path'), '"$user", public', 'a path to evil');
is($x->ask('SHOW search_path'), 'evil, pg_catalog', 'is no obstacle');
$x->ask("SET app.c = 'right'");
$y->ask('SELECT 1');
is($x->ask('SHOW app.c'), 'right', 'nor in what is replayed');
$_->close for $x, $y;

# ---------------------------------------------------------------- the StartupMessage

($x, $y) = (session(application_name => 'first', TimeZone => 'Asia/Tokyo', DateStyle => 'SQL, DMY'),
	session(application_name => 'second', client_encoding => 'LATIN1', DateStyle => 'ISO'));
is($x->{parameters}{TimeZone}, 'Asia/Tokyo', 'a client hears at its login what it has asked for');
is($x->{parameters}{application_name}, 'first', 'as from a server of its own');
is($y->{parameters}{client_encoding}, 'LATIN1', 'and so does another');
is($y->{parameters}{DateStyle}, 'ISO, MDY', 'in the server\'s words');
is($x->ask('SHOW DateStyle'), 'SQL, DMY', 'date styles');
is($x->{told}, '', 'nothing more is told');
is($y->ask('SHOW DateStyle'), 'ISO, MDY', 'which are half each other\'s');
is($y->{told}, '', 'to either');
is($x->ask("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"), 'first', 'application_name is the client\'s');
is($y->ask("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"), 'second', 'whichever it is');
is($y->ask("SELECT chr(233)"), "\xe9", 'encodings');
is($x->ask("SELECT chr(233)"), "\xc3\xa9", 'are each client\'s own');
$y->ask("SET app.word = 'caf\xe9'");
is($x->ask("SELECT current_setting('app.word', true) = 'caf\xc3\xa9'"), 'f', 'letters beyond ASCII');
is($y->ask('SHOW app.word'), "caf\xe9", 'in a value that is replayed');
$x->ask("SET TIME ZONE 'GMT'", 'RESET TimeZone');
is($y->ask('SELECT 1'), '1', 'the other session has had it');
is($x->ask('SHOW TimeZone'), 'Asia/Tokyo', 'RESET goes back to the StartupMessage');
is($x->{told}, 'TimeZone=Asia/Tokyo;', 'which the client hears');
$x->ask("SET work_mem = 1111", 'SET application_name = changed', 'RESET ALL');
$y->ask('SELECT 1');
is($x->ask("SELECT current_setting('application_name'), current_setting('work_mem')"), 'first,4MB', 'and so does RESET ALL');
$x->ask("SET DateStyle = 'German'", 'DISCARD ALL');
$y->ask('SELECT 1');
is($x->ask('SHOW DateStyle'), 'SQL, DMY', 'and DISCARD ALL');
$x->ask('LISTEN here', "SET DateStyle = 'German'", 'RESET ALL');
is($x->ask('SHOW DateStyle'), 'SQL, DMY', 'also for a session that keeps its server');
$x->ask('UNLISTEN *');
my $kept = session(database => 'template1', DateStyle => 'SQL, DMY');
$kept->ask("SET DateStyle = 'German'", 'DISCARD ALL');
is($kept->ask('SHOW DateStyle'), 'SQL, DMY', 'and in a session pool');
# Names are the server's there, also the empty one, which a simple Query of the proxy's would take.
for my $reset ('RESET ALL', 'SELECT 0') {
	$kept->send(parse($reset, 'reset') . parse("SET DateStyle = 'German'", 'set') . parse('SELECT 41 + 1') . sync_message());
	$kept->answer;
	for my $name ('set', 'reset') {
		$kept->send(bind_message([], $name) . execute() . sync_message());
		$kept->answer;
	}
	$kept->send(bind_message([]) . execute() . sync_message());
	is($kept->answer, '42', "the statement without a name outlives $reset");
	my $style = $reset eq 'RESET ALL' ? 'SQL, DMY' : 'German, DMY';
	is($kept->ask('SHOW DateStyle'), $style, 'which has done its work');
	$kept->ask('DEALLOCATE ALL');
}
$kept->close;
my $again = session(application_name => 'first', TimeZone => 'Asia/Tokyo', DateStyle => 'SQL, DMY');
is($again->{parameters}{TimeZone}, 'Asia/Tokyo', 'the next one with the same is greeted likewise');
$again->close;
my $before = $x->ask($pid);
my $bad = session(TimeZone => 'Mars/Olympus');
is($bad->{last}[0], 'E', 'a value that the server refuses');
is(error_fields($bad->{last})->{M}, 'invalid value for parameter "TimeZone": "Mars/Olympus"', 'in its own words');
is($x->ask($pid), $before, 'leaves the connection as it was');
my ($p, $q) = map { session(options => "-c work_mem=$_") } '2MB', '3MB';
my $r = session(options => '-c work_mem=2MB');
is($p->ask('SHOW work_mem'), '2MB', 'options of the StartupMessage');
is($q->ask('SHOW work_mem'), '3MB', 'differ');
isnt($p->ask($pid), $q->ask($pid), 'on connections of their own');
is($p->ask($pid), $r->ask($pid), 'that are shared where they are equal');
$p->ask('SET work_mem = 5000', 'RESET work_mem');
is($r->ask('SHOW work_mem'), '2MB', 'RESET goes back to them');
$_->close for $p, $q, $r, $x, $y;

# ---------------------------------------------------------------- pins

my $boss = session(user => 'boss', application_name => 'x');
$proxy->reload(set => { default_pool_size => 3 });

sub pinned
{
	my ($name) = @_;
	my ($row) = grep { $_->{application_name} eq $name } @{ $proxy->console('SHOW SESSIONS FULL') };
	return $row ? $row->{move_block} : 'gone';
}

# What pins, what it is called, what ends it.
my @pins = (
	[ 'LISTEN news', 'listen', 'UNLISTEN *' ],
	[ 'SELECT pg_advisory_lock(1)', 'advisory lock', 'SELECT pg_advisory_unlock(1)' ],
	[ 'SELECT pg_try_advisory_lock_shared(1, 2)', 'advisory lock', 'SELECT pg_advisory_unlock_all()' ],
	[ 'CREATE TEMP TABLE t (a int)', 'temp table', 'DROP TABLE t' ],
	[ 'CREATE TEMP TABLE t (a serial)', 'temp table', 'DISCARD TEMP' ],
	[ 'SELECT 1 AS a INTO TEMP t', 'temp table', 'DROP TABLE t' ],
	[ 'CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS \'SELECT 1\'', 'temp table', 'DROP FUNCTION pg_temp.f()' ],
	[ 'DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 10)', 'with hold cursor', 'CLOSE c' ],
	[ 'DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'with hold cursor', 'CLOSE ALL' ],
	[ 'PREPARE p AS SELECT 1', 'prepared in SQL', 'DEALLOCATE p' ],
	[ 'PREPARE p AS SELECT 1', 'prepared in SQL', 'DEALLOCATE ALL' ],
	[ 'SET search_path = pg_temp, public', 'temp table', 'RESET search_path' ],
	[ "DO \$\$ BEGIN EXECUTE 'LISTEN news'; PERFORM pg_advisory_lock(3); END \$\$", 'listen', 'DISCARD ALL' ],
	map({ [ $_, '', '' ] } 'NOTIFY news', 'SELECT pg_advisory_xact_lock(1)', 'CREATE TEMP TABLE t (a int) ON COMMIT DROP',
		'BEGIN; LISTEN news; ROLLBACK', 'BEGIN; DECLARE c CURSOR FOR SELECT 1; COMMIT', 'BEGIN; CREATE TEMP TABLE t (a int); ROLLBACK',
		'DO $$ BEGIN NULL; END $$', 'SELECT pg_advisory_lock(1), pg_advisory_unlock(1)',
		'PREPARE TRANSACTION \'x\''));
my $n = 0;
for (@pins) {
	my ($sql, $name, $end) = @$_;
	my $own = 'pin' . $n++;
	my $s = session(application_name => $own);
	$s->ask($sql);
	$s->ask('SELECT 1');
	becomes(sub { pinned($own) }, $name, $name eq '' ? "not pinned by $sql" : "pinned by $sql");
	if ($end ne '') {
		my $mine = $s->ask($pid);
		$s->ask('BEGIN', 'SELECT 1', 'ROLLBACK');
		is($s->ask($pid), $mine, 'it keeps its connection');
		$s->ask($end);
		$s->ask('SELECT 1');
		becomes(sub { pinned($own) }, '', "until $end");
	}
	$s->close;
}

# In one transaction, and undone in one.
my $s = session(application_name => 'tx');
$s->ask('BEGIN', 'LISTEN news', 'CREATE TEMP TABLE t (a int)', 'COMMIT');
becomes(sub { pinned('tx') }, 'listen', 'two pins: the first is shown');
$s->ask('UNLISTEN news');
call($s, 2880, 4);
becomes(sub { pinned('tx') }, 'advisory lock', 'one by FunctionCall');
call($s, 2884, 4);
becomes(sub { pinned('tx') }, 'temp table', 'then the other');
$s->ask('BEGIN', 'DROP TABLE t', 'ROLLBACK');
becomes(sub { pinned('tx') }, 'temp table', 'a DROP that is rolled back');
is($s->ask('SELECT count(*) FROM t'), '0', 'leaves the table where it is');
$s->ask('DROP TABLE t');
becomes(sub { pinned('tx') }, '', 'and one that is not');

# Notifications reach who listens, and nobody else.
my $other = session(application_name => 'other');
$s->ask('LISTEN news');
$other->ask("NOTIFY news, 'hello'");
my ($note) = grep { $_->[0] eq 'A' } $s->until('A');
like($note->[1], qr/news\0hello\0/, 'a notification arrives by itself');
$s->ask('UNLISTEN *');
$other->ask("NOTIFY news, 'nobody'");
ok($s->silent, 'not when nobody listens');
$_->close for $s, $other;

# What nobody can take back, or ask for.
for ([ "LOAD 'plpgsql'", 'load' ], [ "SELECT pg_create_physical_replication_slot('s', false, true)", 'session function' ]) {
	my ($sql, $name) = @$_;
	my $b = session(user => 'boss', application_name => $name);
	is($b->ask('SELECT 1'), '1', 'boss is there') or diag(explain($b->{last}));
	$b->ask($sql, 'DISCARD ALL', 'SELECT 1');
	becomes(sub { pinned($name) }, $name, "pinned for good by $sql");
	$b->close;
}
$s = session(application_name => 'unnamed');
extended($s, 'SELECT set_config($1, $2, false)', 'app.hidden', '1');
$s->ask('SELECT 1');
becomes(sub { pinned('unnamed') }, 'setting', 'a setting whose name is a parameter');
is($s->ask('SHOW app.hidden'), '1', 'is kept with its session');
$s->close;

$s = session(application_name => 'long');
$s->ask("SELECT set_config('app.long', repeat('x', 20000), false)");
becomes(sub { pinned('long') }, 'setting', 'a value that is too long to be carried about');
is($s->ask("SELECT length(current_setting('app.long'))"), '20000', 'is kept there, too');
$s->close;

# A session that has left behind what pins: its connection is clean for the next.
$proxy->reload(set => { default_pool_size => 1 });
$s = session(application_name => 'leaver');
my $left = $s->ask($pid);
$s->ask('CREATE TEMP TABLE leftover (a int)', 'SET app.leftover = 1', 'SELECT pg_advisory_lock(99)');
$s->close;
$s = session(application_name => 'heir');
is($s->ask("SELECT to_regclass('leftover') IS NULL AND current_setting('app.leftover', true) IS DISTINCT FROM '1'"), 't', 'who comes next finds nothing');
becomes(sub { $s->ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") }, '0', 'no locks either');
$s->close;

# ---------------------------------------------------------------- far away

# Round trips, counted: what the server answers does not arrive, and yet it hears all that is to go out
# in one of them.
($x, $y) = (session(application_name => 'one'), session(application_name => 'two'));
my $shared = $x->ask($pid);
is($y->ask($pid), $shared, 'two sessions, one connection');

sub heard
{
	my ($backend, $sql, $name) = @_;
	my $is = wait_until(sub {
		$far->held
		  && $east->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $backend AND state = 'idle' AND query LIKE '$sql'") eq '1';
	});
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($is, $name);
}

# A setting has been made, and its session knows; what we ask behind it has been heard, too, and is not
# yet answered.
sub asked
{
	my ($w, $set) = @_;
	my $answer  = length frame('C', "SET\0") . frame('Z', 'I');
	my $backend = $w->ask($pid);    # which has its settings now
	$far->hold;
	$w->send(query($set));
	wait_until(sub { $far->held == $answer }) or die "$set: " . $far->held;
	$far->step($answer);
	$w->answer;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	heard($backend, 'SELECT CASE%current_setting%', "what has become of it is asked for behind $set");
	return $backend;
}

$proxy->reload(set => { probe_interval => NEVER, stale_after => NEVER });
$proxy->console('PROBE');    # and when that is over, nothing else is under way there
$far->hold;
$x->send(query('SELECT 11'));
heard($shared, 'SELECT 11', 'a query that brings its settings goes with them, and waits for no answer to them');
$far->pass;
is($x->answer, '11', '... its own is one round trip away');
is($x->ask("SELECT current_setting('application_name')"), 'one', '... and has them');

asked($y, "SET work_mem = '5MB'");
$y->send(query('SHOW work_mem'));
heard($shared, 'SHOW work_mem', '... and the next query does not wait for that');
$far->pass;
is($y->answer, '5MB', '... and it was right');

$far->hold;
my $new = session(application_name => 'never seen', client_encoding => 'utf8');
is($new->{parameters}{application_name}, 'never seen', 'a new client is greeted at once where it is certain what the server says');
is($new->{parameters}{client_encoding}, 'UTF8', 'in the server\'s words');
$new->send(query('SHOW application_name'));
heard($shared, 'SHOW application_name', '... and its first query waits for no answer either');
$far->pass;
is($new->answer, 'never seen', '... nor for more than its own');
is($new->{told}, '', 'which brought no news');
$new->close;

# However the server's bytes come.
$far->split(1);
is($x->ask("SET TIME ZONE 'Asia/Tokyo'", 'SHOW TimeZone'), 'Asia/Tokyo', 'byte by byte');
isnt($y->ask('SHOW TimeZone'), 'Asia/Tokyo', 'another session');
$x->send(query("SET app.n = '1'") . query('SHOW app.n') . query("SET app.n = '2'") . query('SHOW app.n') . query("LISTEN news") . query("NOTIFY news, 'x'") . query('UNLISTEN *') . query('SHOW app.n'));
is(join(';', map { $x->answer } 1 .. 8), ';1;;2;;;;2', 'a pipeline with questions of ours in it');
$far->split(0);
is($y->ask("SELECT current_setting('app.n', true) IS DISTINCT FROM '2'"), 't', 'leaves nothing to the other');

# A prepared statement means what it meant, whatever is set beside it: a time in it becomes a value
# when it is prepared.
my $when = "SELECT extract(epoch FROM timestamptz '2020-06-01 00:00')::bigint";
$_->send(parse($when, 's') . sync_message()) for $x, $y;
$_->until('Z') for $x, $y;
my @epochs;
for my $w ($x, $y, $x, $y) {
	$w->send(bind_message([], 's') . execute() . sync_message());
	push @epochs, $w->answer;
}
isnt($epochs[0], $epochs[1], 'the same text is another statement in another time zone');
is("@epochs[2, 3]", "@epochs[0, 1]", 'each has its own');
$y->ask('BEGIN', "SET LOCAL TimeZone = 'Pacific/Kiritimati'");
$y->send(parse($when, 't') . bind_message([], 't') . execute() . sync_message());
isnt(my $local = $y->answer, $epochs[1], 'a statement of a transaction with a time zone of its own');
$y->ask('COMMIT');
$z = session(application_name => 'three');
$z->send(parse($when, 't') . bind_message([], 't') . execute() . sync_message());
is($z->answer, $epochs[1], 'is not lent to others');
$z->close;

# A client that leaves while its server is asked: the connection is cleaned, and stays.
$z = session(application_name => 'hasty');
my $mine = asked($z, "SET work_mem = '6MB'");
$z->send(terminate());
$z->close;
$proxy->wait_console('SHOW SESSIONS FULL', sub { !grep { $_->{application_name} eq 'hasty' } @{ $_[0] } });
$far->pass;
becomes(sub { $east->safe_psql('postgres', "SELECT query FROM pg_stat_activity WHERE pid = $mine AND state = 'idle'") }, 'DISCARD ALL',
	'a connection that was asked something when its client left is cleaned, and stays');

# A server that dies while it is asked, or while settings are replayed.
asked($x, 'SET work_mem = 4444');
$far->cut;
my ($fatal) = $x->until('E');
is(error_fields($fatal)->{S}, 'FATAL', 'a server that is lost while it is asked');
$far->pass;
is($y->ask('SHOW work_mem'), '5MB', 'another session goes on with what it had');
$_->close for $x, $y;

# Sessions that come and go, each with settings of its own, and leave in the middle of things.
for my $i (1 .. 30) {
	my $w = session(application_name => "churn$i");
	$w->ask("SET app.i = '$i'");
	$w->send(query("SET work_mem = ${i}00") . query('SELECT 1'));
	$w->answer if $i % 3;
	$w->close;
}
$x = session();
is($x->ask("SELECT current_setting('work_mem'), coalesce(current_setting('app.i', true), '')"), '4MB,', 'nothing of thirty sessions is left');
$x->close;

# ---------------------------------------------------------------- many settings

# What it costs us to ask for all of so many, a hundred times.
sub cost_of
{
	my ($n) = @_;
	my $w = session();
	$w->ask(join ';', map { "SET app.s_$_ = 1" } $_ * 100 + 1 .. $_ * 100 + 100) for 0 .. $n / 100 - 1;
	$w->ask('DO $$ BEGIN END $$');
	my $before = cpu_ticks($proxy->pid);
	$w->ask('DO $$ BEGIN END $$') for 1 .. 100;
	my $cost = cpu_ticks($proxy->pid) - $before;
	is($w->ask("SELECT current_setting('app.s_$n')"), '1', "$n settings of a session are kept");
	is((grep { $_->{user} eq 'app' } @{ $proxy->console('SHOW SESSIONS FULL') })[0]{move_block}, '', 'and it wanders with them');
	$w->close;
	return $cost;
}

my ($some, $many) = map { cost_of($_) } 300, 900;
measured('asking for 300 settings: %.1f ms of CPU, for 900: %.1f ms', $some / 10, $many / 10);
cmp_ok($many, '<=', 5 * $some + 10, 'three times as many cost three times as much, not nine times');

$proxy->stop;
done_testing();
