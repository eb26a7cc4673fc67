#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# REHOME SESSION: a live session gets a server in another region and its client notices nothing:
# settings, role, prepared statements of both kinds, LISTEN, cancel. What cannot be carried over
# keeps it where it was, with a word for it; and so does a node that does not answer.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
for my $c ($east, $west) {
	$c->safe_psql('postgres', <<'SQL');
CREATE ROLE app LOGIN PASSWORD 'secret';
CREATE ROLE bob;
GRANT bob TO app;
CREATE SCHEMA side AUTHORIZATION app;
GRANT CREATE ON SCHEMA public TO app;
CREATE TABLE place (name text);
GRANT SELECT, INSERT ON place TO app, bob;
SQL
	$c->safe_psql('postgres', 'INSERT INTO place VALUES (\'' . ($c == $east ? 'east' : 'west') . '\')');
	my $hba = $c->data_dir . '/pg_hba.conf';
	my $lines = PostgreSQL::Test::Utils::slurp_file($hba);
	unlink $hba;
	PostgreSQL::Test::Utils::append_to_file($hba, "host all app all scram-sha-256\n$lines");
	$c->reload;
}
# the same type has another number there
$west->safe_psql('postgres', 'CREATE TYPE before AS ENUM (\'x\'); CREATE TYPE mood AS ENUM (\'sad\', \'happy\')');
$east->safe_psql('postgres', 'CREATE TYPE mood AS ENUM (\'sad\', \'happy\')');

my $far   = Meridian::Test::Delay->new($west);
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, "\"app\" \"secret\"\n");
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east, 'us-west1' => { nodes => $far } ],
	set     => { auth => 'scram-sha-256', auth_file => $users, workers => 2, region => 'us-east1', default_pool_size => 60, log_level => 'debug' },
	conf    => Meridian::Test::Proxy::databases_of('postgres', [ through => "auth = passthrough\npool = off" ]));
$proxy->start;
$proxy->wait_up(2);

# ---------------------------------------------------------------- helpers

my $nth = 0;
sub session
{
	my ($database, %param) = @_;
	my $name = 'session' . ++$nth;
	my $w = Meridian::Test::Wire->session($proxy, database => $database, user => 'app', password => 'secret', application_name => $name, %param);
	my ($row) = grep { $_->{application_name} eq $name } @{ $proxy->console('SHOW SESSIONS FULL') };
	@$w{qw(id name)} = ($row->{id}, $name);
	return $w;
}

sub facts { my ($w) = @_; return (grep { $_->{id} eq $w->{id} } @{ $proxy->console('SHOW SESSIONS FULL') })[0] }

# The same to a session that is in a transaction: it knows where to go, and is not there yet.
sub moving
{
	my ($w, $region) = @_;
	my $from = -s $proxy->logfile;
	my $c = $proxy->console_start("REHOME SESSION $w->{id} TO REGION $region");
	$proxy->wait_for_log(qr/the session is to move to region $region/, $from);
	return $c;
}

# A connection in the east is logged in for it: its own, or one of the pool.
sub there
{
	my ($w) = @_;
	return $east->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$w->{name}' AND state = 'idle'")
	  || grep { $_->{region} eq 'us-east1' && $_->{state} eq 'used' && $_->{session} eq $w->{id} } @{ $proxy->console('SHOW SERVERS') };
}

# To that region; "" or the error.
sub move
{
	my ($w, $region) = @_;
	my $said = $proxy->console_error("REHOME SESSION $w->{id} TO REGION $region");
	return $said =~ /ERROR:\s+(.*)/ ? $1 : $said;
}

sub extended
{
	my ($w, @messages) = @_;
	$w->send(join '', @messages, sync_message());
	return $w->answer;
}

my $where = 'SELECT name FROM place';

for my $database (qw(own ses)) {
	# ---------------------------------------------------------------- the plain way

	my $w = session($database);
	is($w->ask($where), 'east', "$database: it begins in the east");
	is(facts($w)->{move_block}, '', 'nothing keeps it there');
	is_deeply($proxy->console("REHOME SESSION $w->{id} TO REGION us-west1"), [ { id => $w->{id}, home => 'us-west1', node => facts($w)->{node} } ],
		'REHOME says where it is');
	is($w->ask($where), 'west', 'its next query is answered in the west');
	is(facts($w)->{home}, 'us-west1', 'SHOW SESSIONS says so');
	is(move($w, 'us-west1'), '', 'once more to where it is');
	is(move($w, 'us-east1'), '', 'and back');
	is($w->ask($where), 'east', 'it is in the east again');
	is($proxy->console_error("REHOME SESSION $w->{id}"), '', 'where its route leads is where it is');
	is($w->ask($where), 'east', 'so it is there yet');

	# ---------------------------------------------------------------- settings

	my $s = session($database, DateStyle => 'SQL, DMY', 'app.begun' => 'with this', extra_float_digits => 2);
	$s->ask("SET search_path TO side, public", "SET TIME ZONE 'Asia/Tokyo'", "SET app.tenant = 'it''s 42'", 'SET statement_timeout = 12345',
		"SET application_name = 'other'", 'SET ROLE bob', "SELECT set_config('my.\xc3\xa4', '\xe2\x82\xac', false)");
	extended($s, parse("SELECT set_config('app.asked', \$1, false)"), bind_message(["x'y"]), execute());
	$s->send(function_call(2078, 'app.called', "it's so", 'f'));
	$s->answer;
	my $all = "SELECT current_setting('app.called'), current_setting('search_path'), current_setting('TimeZone'), current_setting('app.tenant'), "
	  . "current_setting('statement_timeout'), current_setting('application_name'), current_setting('DateStyle'), current_setting('app.begun'), "
	  . "current_setting('extra_float_digits'), current_setting('app.asked'), current_setting('my.\xc3\xa4'), current_user, session_user";
	my $before = $s->ask($all);
	is(move($s, 'us-west1'), '', "$database: a session with settings moves");
	is($s->ask($all), $before, 'and has them there');
	is($s->{told}, '', 'nothing was to be told of it');
	is($s->ask($where), 'west', 'in the west');
	$s->ask('RESET DateStyle', 'RESET app.tenant', 'RESET ROLE');
	is($s->ask("SELECT current_setting('DateStyle'), current_setting('app.tenant', true), current_user"), 'SQL, DMY,,app',
		'RESET leads back to what the session began with');
	is(move($s, 'us-east1'), '', 'back');
	is($s->ask('SHOW DateStyle'), 'SQL, DMY', 'with that');

	# ---------------------------------------------------------------- prepared statements

	my $p = session($database);
	extended($p, parse('SELECT $1 + 1', 'plus', 23));
	extended($p, parse("SELECT \$1 || ' \xc3\xa9 ' || name FROM place", "caf\xc3\xa9"));
	extended($p, parse('SELECT $1::mood', 'mood'));
	extended($p, parse('SELECT $1', 'moody', $p->ask("SELECT 'mood'::regtype::oid")));
	$p->ask('PREPARE sq (int, text) AS SELECT $1 * 2, $2', 'PREPARE "Two; Words" AS SELECT 1; PREPARE second AS SELECT \';\', 2; SELECT 3');
	extended($p, parse("SELECT 'the one without a name', name FROM place"));
	is(move($p, 'us-west1'), '', "$database: a session with prepared statements moves");
	is(extended($p, bind_message([]), execute()), 'the one without a name,west', 'the statement without a name is there');
	is(extended($p, bind_message([41], 'plus'), execute()), '42', 'one of the protocol');
	is(extended($p, bind_message(['x'], "caf\xc3\xa9"), execute()), "x \xc3\xa9 west", 'one with letters of its own');
	is(extended($p, bind_message(['sad'], 'mood'), execute()), 'sad', 'one with a type of its own');
	is(extended($p, bind_message(['happy'], 'moody'), execute()), 'happy', 'that was said by its number');
	is($p->ask("EXECUTE sq(4, 'x')"), '8,x', 'one of PREPARE');
	is($p->ask('EXECUTE "Two; Words"'), '1', 'one of several in a text');
	is($p->ask('EXECUTE second'), ';,2', 'and the other');
	is($p->ask('EXECUTE plus(1)'), '2', 'names are one space');
	is($p->ask('SELECT count(*) FROM pg_prepared_statements'), 7, 'and no more than these');
	is(extended($p, bind_message([]), execute()) =~ /^26000/ ? 1 : 0, 1, 'a simple query has dropped the one without a name');
	is(move($p, 'us-east1'), '', 'back');
	is(extended($p, bind_message([1], 'plus'), execute()), '2', 'all is there again');

	# an error in the one without a name is no obstacle
	like(extended($p, parse('SELECT nonsense')), qr/^42703/, 'a statement that fails');
	is(move($p, 'us-west1'), '', 'does not keep the session');
	like(extended($p, bind_message([]), execute()), qr/^26000/, 'and is not there');

	# one that an error has passed over is not the last that was prepared
	extended($p, parse("SELECT 'first'"));
	like(extended($p, parse('SELECT nonsense', 'bad'), parse("SELECT 'second'")), qr/^42703/, 'an error in front of a statement');
	is(move($p, 'us-east1'), '', 'is no obstacle: the answers tell whose error it was');
	is(extended($p, bind_message([]), execute()), 'first', 'and the one before is there');
	is(move($p, 'us-west1'), '', 'the session moves back');
	extended($p, parse("SELECT 'third'"));
	is(move($p, 'us-east1'), '', 'the next one is known');
	is(extended($p, bind_message([]), execute()), 'third', 'and there');
	like(extended($p, parse('SELECT 4 / $1::int'), bind_message([0]), execute()), qr/^22012/, 'an error behind one');
	is(move($p, 'us-west1'), '', 'does not keep it from being known');
	is(extended($p, bind_message([1]), execute()), '4', 'and there');

	# a Query behind messages without a Sync: whose error it was is known by what was answered
	extended($p, parse("SELECT 'kept'"));
	like(extended($p, parse('SELECT nonsense', 'worse'), query('SELECT 1')), qr/^42703/, 'an error in front of a Query');
	is(facts($p)->{move_block}, '', 'nothing is in the way');
	is(move($p, 'us-east1'), '', 'the session moves with its client silent');
	is(extended($p, bind_message([]), execute()), 'kept', 'with the statement that the Query has not dropped');
	like(extended($p, parse('SELECT 5 / $1::int'), bind_message([0]), execute(), query('SELECT 1')), qr/^22012/, 'an error behind a statement, in front of a Query');
	is(move($p, 'us-west1'), '', 'the session moves');
	is(extended($p, bind_message([1]), execute()), '5', 'with that statement');
	$p->send(parse('SELECT 6'), bind_message([]), execute(), query('SELECT 1/0'), sync_message());
	like($p->answer, qr/^22012/, 'the error of the Query itself');
	is($p->answer, '', '… which is answered, as is the Sync');
	is(move($p, 'us-east1'), '', 'the session moves');
	like(extended($p, bind_message([]), execute()), qr/^26000/, 'and the Query has dropped the statement');
	is(move($p, 'us-west1'), '', 'and back');

	# ---------------------------------------------------------------- encodings

	my $l = session($database, client_encoding => 'LATIN1');
	extended($l, parse("SELECT '\xe9', \$1::text", "e\xe9"));
	$l->ask("SET app.x = '\xe9'", "LISTEN \"ch\xe9\"");
	extended($l, parse("SELECT 'unnamed \xe9'"));
	is(move($l, 'us-west1'), '', "$database: a session in LATIN1");
	is(extended($l, bind_message([]), execute()), "unnamed \xe9", 'has the one without a name');
	is(extended($l, bind_message(["\xe4"], "e\xe9"), execute()), "\xe9,\xe4", 'and its statement');
	is($l->ask('SHOW app.x'), "\xe9", 'and its setting');
	is($l->ask('SHOW client_encoding'), 'LATIN1', 'and its encoding');

	# ---------------------------------------------------------------- LISTEN

	my $n = session($database);
	$n->ask('LISTEN "One channel"', 'LISTEN two');
	is(move($n, 'us-west1'), '', "$database: one who listens");
	$west->safe_psql('postgres', 'NOTIFY "One channel", \'hello\'; NOTIFY two');
	my @heard = $n->until('A');
	like($heard[-1][1], qr/One channel\0hello\0/, 'hears in the west');
	$n->until('A');
	$n->ask('UNLISTEN *');
	is(move($n, 'us-east1'), '', 'one who listens no more');
	is($n->ask('SELECT count(*) FROM pg_listening_channels()'), 0, 'does not listen there');

	# ---------------------------------------------------------------- reports

	$west->safe_psql('postgres', "ALTER ROLE app SET IntervalStyle = 'iso_8601'");
	my $r = session($database);
	is(move($r, 'us-west1'), '', "$database: where the role has other settings");
	is($r->ask('SHOW IntervalStyle'), 'iso_8601', 'they are those of the place');
	like($r->{told}, qr/IntervalStyle=iso_8601;/, 'and the client is told');
	is(move($r, 'us-east1'), '', 'back');
	$r->ask('SELECT 1');
	like($r->{told}, qr/IntervalStyle=postgres;/, 'and told again');
	$west->safe_psql('postgres', 'ALTER ROLE app RESET IntervalStyle');

	# ---------------------------------------------------------------- cancel

	my $c = session($database);
	is(move($c, 'us-west1'), '', "$database: one who will cancel");
	$c->send(query('SELECT pg_sleep(60)'));
	ok($west->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'"), 'asks');
	$c->cancel;
	like($c->answer, qr/^57014/, 'cancels in the west with the key that it has');
	is($c->ask($where), 'west', 'and goes on');

	# ---------------------------------------------------------------- in a transaction

	my $t = session($database);
	$t->ask('BEGIN', $where);
	is(facts($t)->{move_block}, 'idle in transaction', "$database: a transaction is in the way");
	my $moving = moving($t, 'us-west1');
	is($t->ask($where), 'east', 'it goes on where it is');
	ok($moving->{run}->pumpable, 'REHOME waits for its end');
	$t->ask('COMMIT');
	$moving->{run}->finish;
	is($moving->{run}->result(0), 0, '... which has come');
	is($t->ask($where), 'west', 'and then it moved');

	# what comes behind it in one go waits, and is answered there
	$t->ask('BEGIN');
	$moving = moving($t, 'us-east1');
	ok(wait_until(sub { there($t) }), 'a connection is there for it');
	$t->send(query('COPY place FROM STDIN'));
	$t->until('G');
	$t->send(copy_data("copied\n") . copy_done());
	is($t->answer, '', 'COPY in the transaction');
	$t->send(query('ROLLBACK'));
	is($t->answer, '', 'its end');
	$t->send(query($where));
	is($t->answer, 'east', 'and the next');
	$moving->{run}->finish;

	# ---------------------------------------------------------------- what cannot be carried over

	my %block = (
		'temp table'      => 'CREATE TEMP TABLE mine (i int)',
		'advisory lock'   => 'SELECT pg_advisory_lock(7)',
		'with hold cursor' => 'DECLARE c CURSOR WITH HOLD FOR SELECT 1',
		'load'            => "LOAD '\$libdir/plugins/plpgsql'");
	for my $word (sort keys %block) {
		my $b = session($database);
		$b->ask($block{$word}, $where);
		like(move($b, 'us-west1'), qr/cannot be moved: \Q$word\E$/, "$database: $word");
		is($b->ask($where), 'east', 'it is where it was');
		$b->close;
	}
	my $u = session($database);
	extended($u, parse('SELECT set_config($1, $2, false)'), bind_message([qw(app.who knows)]), execute());
	like(move($u, 'us-west1'), qr/cannot be moved: setting$/, "$database: a setting whose name is a parameter");
	is(facts($u)->{move_block}, 'setting', 'SHOW SESSIONS has the word');
	$u->close;
	$u = session($database);
	$u->send(function_call(2078, 'app.' . 'x' x 5000, '1', 'f'));
	$u->answer;
	like(move($u, 'us-west1'), qr/cannot be moved: setting$/, 'one that is set by a FunctionCall, and too long');
	$u->close;
	$u = session($database);
	$u->send(function_call(2880, 7));
	$u->answer;
	like(move($u, 'us-west1'), qr/cannot be moved: advisory lock$/, 'a lock that is taken so');
	my $long = session($database);
	extended($long, parse("SELECT '" . 'x' x 20_000 . "'"));
	like(move($long, 'us-west1'), qr/cannot be moved: prepared statement$/, 'a long statement without a name');
	$long->ask('SELECT 1');
	is(move($long, 'us-west1'), '', 'is no obstacle when it is gone');
	my $many = session($database);
	extended($many, parse("SELECT '" . 'y' x 10_000 . "', $_", "many$_")) for 1 .. 70;
	like(move($many, 'us-west1'), qr/cannot be moved: too many prepared statements$/, 'too much to be carried');
	is(extended($many, bind_message([], 'many70'), execute()) =~ /,70$/ ? 1 : 0, 1, 'it goes on');

	# ---------------------------------------------------------------- a node that is not well

	my $f = session($database);
	$f->ask('SET app.x = 1', 'LISTEN here');
	$far->hang;
	$proxy->console("SET server_connect_timeout = '1s'");    # time: it ends the attempt
	like(move($f, 'us-west1'), qr/time|connection/, "$database: a node that hangs");
	is($f->ask($where), 'east', 'keeps nobody');
	$proxy->console("SET server_connect_timeout = '" . span(15) . "'");
	$far->pass;
	$far->refuse;
	like(move($f, 'us-west1'), qr/./, 'nor one that refuses');
	is($f->ask('SHOW app.x'), '1', 'nothing is lost');
	$far->pass;
	$proxy->wait_up(2);
	is(move($f, 'us-west1'), '', 'it moves when the node is well');
	is($f->ask($where), 'west', 'to the west');
	$_->close for $w, $s, $p, $l, $n, $r, $c, $t, $u, $long, $many, $f;
}

# ---------------------------------------------------------------- others

my $t = session('through');
is(facts($t)->{move_block}, 'passthrough login', 'who has told us nothing');
like(move($t, 'us-west1'), qr/cannot be moved: passthrough login$/, 'stays');
my $x = session('tx');
is($x->ask($where), 'east', 'a session of a transaction pool');
like(move($x, 'us-west1'), qr/goes where its route leads$/, 'goes nowhere by name');
is($proxy->console_error("REHOME SESSION $x->{id}"), '', 'but where its route leads');
is($x->ask($where), 'east', 'at its next transaction');
like($proxy->console_error('REHOME SESSION 999999'), qr/does not exist/, 'nobody');

$proxy->stop;
done_testing();
