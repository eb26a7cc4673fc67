#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# PAUSE and RESUME for sessions with a connection of their own: what is open ends, nothing begins,
# clients wait and lose nothing; deadlines, PAUSE of a part, twice, RESUME meanwhile, a console that
# goes, clients that go, shutdown (PgBouncer's issues 369, 715, 1565 are about these).
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Http;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
$east->safe_psql('postgres', 'CREATE TABLE t (i int)');
$west->safe_psql('postgres', 'CREATE TABLE t (i int)');
my ($cert, $key) = map { PostgreSQL::Test::Utils::tempdir() . "/tls.$_" } qw(crt key);
PostgreSQL::Test::Utils::system_or_bail('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
	'ec_paramgen_curve:prime256v1', '-nodes', '-days', 2, '-subj', '/CN=localhost', '-keyout', $key, '-out', $cert);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east, 'us-west1' => $west ],
	# time: a login waits longer than client_login_timeout
	set     => { http => 'on', tls_cert_file => $cert, tls_key_file => $key, workers => 2, region => 'us-east1', client_login_timeout => '5s' },
	conf    => "[database other]\ndbname = postgres\n[database postgres]\n");
$proxy->start;
$proxy->wait_up(2);

# A psql that stays, and what it has printed so far. Statements are sent without waiting.
sub session
{
	my ($connstr) = @_;
	my %s = (in => '', out => '', err => '');
	$s{run} = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=0', '-d', $connstr ],
		'<', \$s{in}, '>', \$s{out}, '2>', \$s{err}, run_limit(600));
	return \%s;
}

sub say_to { my ($s, $sql) = @_; $s->{in} .= "$sql\n"; $s->{run}->pump_nb; return }

# Wait until its output ends with that.
sub hears
{
	my ($s, $what, $seconds) = @_;
	return wait_until(sub { $s->{run}->pump_nb; $s->{out} =~ /$what\n\z/ }, "psql to say $what", $seconds);
}

sub is_silent
{
	my ($s, $before) = @_;
	return stays(sub { $s->{run}->pump_nb; $s->{out} eq $before }, 'psql says nothing');
}

sub ask { my ($s, $sql, $answer) = @_; say_to($s, $sql); return hears($s, $answer) }

# A PAUSE that is under way: each of the workers knows of it.
sub pause_begins
{
	my $c = $proxy->console_start('PAUSE');
	$proxy->wait_console('SHOW PAUSES', sub { @{ $_[0] } == 2 });
	return $c;
}

sub is_waiting
{
	my ($c) = @_;
	return stays(sub { $c->{run}->pumpable && ($c->{run}->pump_nb, 1) }, 'the command is not answered');
}

sub ends { my ($c) = @_; $c->{run}->finish; return $c->{run}->result(0) }

sub states
{
	my %n;
	$n{ $_->{state} }++ for grep { $_->{database} ne 'meridian' } @{ $proxy->console('SHOW SESSIONS FULL') };
	return \%n;
}

# ---------------------------------------------------------------- nothing is open

my $here = $proxy->connstr('postgres', sslmode => 'disable');
my $a    = session($here);
ok(ask($a, 'SELECT 1;', '1'), 'a session');
my $console = Meridian::Test::Wire->new(path => $proxy->socket_path);
$console->login(database => 'meridian');
my $begun = time;
$console->ask('PAUSE');
in_time($begun, 10, 'PAUSE answers at once where nothing is open');
$console->close;
my $before = $a->{out};
say_to($a, 'INSERT INTO t VALUES (1); SELECT 2;');
ok(is_silent($a, $before), 'a statement waits');
is($east->safe_psql('postgres', 'SELECT count(*) FROM t'), '0', 'and has not reached the server');
is($proxy->console('SHOW SESSIONS FULL DATABASE postgres')->[0]{state}, 'paused', 'SHOW SESSIONS says so');
my ($pauses) = $proxy->console('SHOW PAUSES');
is(scalar(@$pauses), 2, 'SHOW PAUSES has a row per worker');
my $held = 0;
$held += $_->{held} for @$pauses;
is($held, 1, 'and counts who is held');

# a login waits too, longer than client_login_timeout
my $b = session($here);
say_to($b, 'SELECT 3;');
outlast(5, 'client_login_timeout');
ok(is_silent($b, ''), 'a login waits');
$proxy->reload(set => { log_level => 'info' });
ok(is_silent($b, ''), 'a reload does not end the pause');
$proxy->console('RESUME');
ok(hears($a, '2'), 'RESUME lets the statement go on');
ok(hears($b, '3'), 'and the login');
is($east->safe_psql('postgres', 'SELECT count(*) FROM t'), '1', 'nothing was lost, nothing done twice');
like($proxy->console_error('RESUME'), qr/nothing is paused/, 'a second RESUME has nothing to end');

# ---------------------------------------------------------------- a transaction is open

ok(ask($a, 'BEGIN; SELECT 4;', '4'), 'a transaction');
my $c = pause_begins();
ok(is_waiting($c), 'PAUSE waits for it');
$before = $b->{out};
say_to($b, 'SELECT 5;');
ok(is_silent($b, $before), 'another session does not begin one');
ok(ask($a, 'INSERT INTO t VALUES (2); SELECT 6;', '6'), 'the open one goes on');
my ($open) = grep { $_->{open} } @{ $proxy->console('SHOW PAUSES') };
is($open->{open}, 1, 'SHOW PAUSES counts it');
say_to($a, 'COMMIT;');
is(ends($c), 0, 'and with its end PAUSE is answered');
$before = $a->{out};
say_to($a, 'SELECT 7;');
ok(is_silent($a, $before), 'its next statement waits');
is(scalar(grep { $_->{state} eq 'paused' } @{ $proxy->console('SHOW SESSIONS FULL') }), 2, 'both are paused');
$proxy->console('PAUSE');
pass('PAUSE of what is paused succeeds');
$proxy->console('RESUME');
ok(hears($a, '7') && hears($b, '5'), 'RESUME');

# a failed transaction is open as well, and can be ended
say_to($a, 'BEGIN; SELECT 1/0;');
ok(ask($a, '\echo failed', 'failed'), 'a transaction that has failed');
$c = pause_begins();
ok(is_waiting($c), 'PAUSE waits for it');
say_to($a, 'ROLLBACK;');
is(ends($c), 0, 'until it is rolled back');
$proxy->console('RESUME');

# COPY
say_to($a, 'COPY t FROM STDIN;');
say_to($a, '8');
ok($east->poll_query_until('postgres', 'SELECT count(*) = 1 FROM pg_stat_progress_copy'), 'a COPY has begun');
$c = pause_begins();
ok(is_waiting($c), 'PAUSE waits for COPY');
say_to($a, '9');
say_to($a, '\.');
is(ends($c), 0, 'whose data still comes through');
$proxy->console('RESUME');
ok(ask($a, 'SELECT count(*) FROM t;', '4'), 'all of it');

# ---------------------------------------------------------------- a deadline, RESUME meanwhile, twice, a console that goes

ok(ask($a, 'BEGIN; SELECT 10;', '10'), 'a transaction');
my $err = $proxy->console_error("PAUSE DEADLINE '300ms'");    # time: the deadline ends it
like($err, qr/57014.*PAUSE of everything was taken back: a transaction was open/, 'a deadline ends PAUSE');
ok(ask($b, 'SELECT 11;', '11'), 'and nobody is held any more');
is(scalar(@{ $proxy->console('SHOW PAUSES') }), 0, 'nothing is paused');

$c = pause_begins();
ok(is_waiting($c), 'PAUSE waits');
like($proxy->console_error('PAUSE'), qr/55006.*being paused already/, 'a second one is refused');
$proxy->console('RESUME');
isnt(ends($c), 0, 'RESUME ends the first');
like($c->{err}, qr/57014.*taken back: RESUME/, 'with an error');
ok(ask($b, 'SELECT 12;', '12'), 'and nobody is held');

$c = pause_begins();
ok(is_waiting($c), 'PAUSE waits');
$before = $b->{out};
say_to($b, 'SELECT 13;');
ok(is_silent($b, $before), 'a session is held');
$c->{run}->kill_kill;
ok(hears($b, '13'), 'a console that goes before the answer takes PAUSE with it');
is(scalar(@{ $proxy->console('SHOW PAUSES') }), 0, 'nothing is paused');
$c = pause_begins();
ok(is_waiting($c), 'PAUSE waits');
$c->{run}->signal('INT');
isnt(ends($c), 0, 'Ctrl-C ends it');
like($c->{err}, qr/57014.*canceling statement due to user request/, 'with an error');
is(scalar(@{ $proxy->console('SHOW PAUSES') }), 0, 'nothing is paused');
say_to($a, 'COMMIT;');

# ---------------------------------------------------------------- a part

my $o = session($proxy->connstr('other'));
my $w = session($proxy->connstr('postgres', options => '-c meridian.region=us-west1'));
ok(ask($o, 'SELECT 20;', '20') && ask($w, 'SELECT 21;', '21'), 'sessions elsewhere');
$proxy->console('PAUSE DATABASE postgres');
$before = $a->{out};
say_to($a, 'SELECT 22;');
ok(is_silent($a, $before), 'a database is paused');
ok(ask($o, 'SELECT 23;', '23'), 'another one is not');
like($proxy->console_error('RESUME REGION us-east1'), qr/55000.*region "us-east1" is not paused/, 'RESUME of something else');
$proxy->console('PAUSE REGION us-west1');
$proxy->console('RESUME DATABASE postgres');
ok(hears($a, '22'), 'RESUME of that database');
$before = $w->{out};
say_to($w, 'SELECT 24;');
ok(is_silent($w, $before), 'a region is paused');
ok(ask($a, 'SELECT 25;', '25'), 'the other is not');
my $n = session($proxy->connstr('postgres', options => '-c meridian.region=us-west1'));
say_to($n, 'SELECT 26;');
ok(is_silent($n, ''), 'a login that would go there waits');
ok(ask($b, 'SELECT 27;', '27'), 'others are served');
$proxy->console('RESUME');
ok(hears($w, '24') && hears($n, '26'), 'RESUME alone ends all of it');

# ---------------------------------------------------------------- in TLS, in a WebSocket, by POST /sql

my $tls = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres');
$tls->login(database => 'postgres', user => 'postgres');
my $ws = Meridian::Test::Wire->new($proxy);
http_websocket($ws, '/v2');
$ws->login(database => 'postgres', user => 'postgres');
my $sql = Meridian::Test::Wire->new($proxy);
$proxy->console('PAUSE');
# more than one record and more than one frame each, all of which is there before RESUME
for my $wire ($tls, $ws) { $wire->send(query("SELECT $_, repeat('x', 1)")) for 1 .. 20 }
$ws->send(query('SELECT length($$' . 'x' x 40_000 . '$$)'));
$sql->send(http_request(POST => '/sql', body => '{"query":"SELECT 21 AS x"}',
	'Neon-Connection-String' => 'postgresql://postgres@h/postgres'));
ok($_->silent, 'nothing is answered') for $tls, $ws, $sql;
$proxy->console('RESUME');
for my $wire ($tls, $ws) {
	my @values = map { my ($row) = grep { $_->[0] eq 'D' } $wire->until('Z'); row_values($row)->[0] } 1 .. 20;
	is("@values", join(' ', 1 .. 20), 'all of it afterwards');
}
my ($long) = grep { $_->[0] eq 'D' } $ws->until('Z');
is(row_values($long)->[0], 40_000, 'a long one as well');
like(http_answer($sql)->{body}, qr/"x":\s*21/, 'and a request');
$_->close for $tls, $ws, $sql;

# ---------------------------------------------------------------- clients that go while they are held

my @reset = map { Meridian::Test::Wire->new($proxy) } 1 .. 2;
$_->login(database => 'postgres', user => 'postgres') for @reset;
$proxy->console('PAUSE');
for my $s ($w, $n) { say_to($s, 'SELECT 30;'); $s->{run}->pump_nb; }
$_->send(query('SELECT 30')) for @reset;
my $sessions = settles(sub { scalar grep { $_->{state} eq 'paused' } @{ $proxy->console('SHOW SESSIONS FULL') } }, 'all to be held');
$_->{run}->kill_kill for $w, $n;
my $left = $proxy->wait_console('SHOW SESSIONS FULL',
	sub { $sessions - 2 == grep { $_->{state} eq 'paused' } @{ $_[0] } });
ok($left, 'clients that hang up are noticed');
$_->abort for @reset;
$left = $proxy->wait_console('SHOW SESSIONS FULL',
	sub { $sessions - 4 == grep { $_->{state} eq 'paused' } @{ $_[0] } });
ok($left, 'and those that reset their connection');
my $killed = session($here);
say_to($killed, 'SELECT 31;');
my ($waiting) = @{ $proxy->wait_console("SHOW SESSIONS FULL STATE 'paused'",
	sub { 0 < grep { $_->{home} eq '' } @{ $_[0] } }) };
my ($login) = grep { $_->{home} eq '' } @{ $proxy->console("SHOW SESSIONS FULL STATE 'paused'") };
$proxy->console("KILL SESSION $login->{id}");
eval { $killed->{run}->finish };
like($killed->{err}, qr/terminating connection due to administrator command/, 'a login that waits can be killed');
$proxy->console('RESUME');
ok(ask($a, 'SELECT 32;', '32'), 'the others go on');

# a client that never waits for an answer before it says the next thing lets PAUSE through
my $chatty = Meridian::Test::Wire->new($proxy);
$chatty->login(database => 'postgres', user => 'postgres');
$chatty->send(query('SELECT pg_sleep(0.1)'));
$c = $proxy->console_start("PAUSE DEADLINE '" . span(10) . "'");
my $said = 1;
while ($said < 600 && $c->{run}->pumpable) {
	$chatty->send(query('SELECT pg_sleep(0.1)'));
	$said++;
	let_pass(0.05, 'PAUSE gets through');
	$c->{run}->pump_nb if $c->{run}->pumpable;
}
is(ends($c), 0, 'PAUSE gets through to a client that sends without end') or diag $c->{err};
$proxy->console('RESUME');
is(scalar(grep { !grep { $_->[0] eq 'E' } $chatty->until('Z') } 1 .. $said), $said, 'which is answered all of it afterwards');

# what it sent ahead in a transaction is read as soon as the server says that one is open
my $locker = Meridian::Test::Wire->session($east);
$locker->ask('SELECT pg_advisory_lock(1)');
$chatty->send(query('BEGIN; SELECT pg_advisory_xact_lock(1)'));
$c = pause_begins();
ok(is_waiting($c), 'PAUSE waits for a transaction that is beginning');
$chatty->send(query('SELECT 50'));
$locker->ask('SELECT pg_advisory_unlock(1)');
my @answers = map { [ $chatty->until('Z') ] } 1 .. 2;
is(row_values((grep { $_->[0] eq 'D' } @{ $answers[1] })[0])->[0], '50', 'which goes on');
$chatty->send(query('COMMIT'));
is(ends($c), 0, 'and ends');
$proxy->console('RESUME');
$chatty->until('Z');
$locker->ask('SELECT pg_advisory_lock(1)');
$chatty->send(query('SELECT pg_advisory_xact_lock(1); COPY t FROM STDIN'));
$c = pause_begins();
ok(is_waiting($c), 'PAUSE waits for a COPY that is beginning');
$chatty->send(frame('d', "50\n"), frame('c', ''));
$locker->close;
is(ends($c), 0, 'whose data was sent ahead');
$proxy->console('RESUME');
like(join(' ', map { $_->[0] eq 'C' ? $_->[1] : () } $chatty->until('Z')), qr/COPY 1/, 'and has arrived');

# a Query behind messages without a Sync is discarded where one of those has failed: nothing is owed
for my $wrong ([ 'the first', parse('SELECT nonsense') ], [ 'another', parse('SELECT 51'), parse('SELECT nonsense') ]) {
	my ($which, @messages) = @$wrong;
	$chatty->send(@messages, query('SELECT 52'), sync_message());
	is(scalar(grep { $_->[0] =~ /[DE]/ } $chatty->until('Z')), 1, "an error of $which of them");
	is($proxy->console_error("PAUSE DEADLINE '" . span(10) . "'"), '', 'PAUSE does not wait for more');
	$proxy->console('RESUME') if @{ $proxy->console('SHOW PAUSES') };
}
$chatty->send(query('SELECT 53'));
is(row_values((grep { $_->[0] eq 'D' } $chatty->until('Z'))[0])->[0], '53', 'and the session goes on');
$chatty->close;

# nor does load
my $script = PostgreSQL::Test::Utils::tempdir() . '/pipeline.sql';
PostgreSQL::Test::Utils::append_to_file($script, "\\startpipeline\n" . "SELECT 1;\n" x 20 . "\\endpipeline\n");
my ($bench_out, $bench_err) = ('', '');
my $bench = IPC::Run::start([ 'pgbench', '-n', '-M', 'prepared', '-c', 4, '-T', 4, '-f', $script, $here ],
	'>', \$bench_out, '2>', \$bench_err, run_limit(60));
ok(wait_until(sub { states()->{active} }, 'the load to begin'), 'the load has begun');
for my $round (1 .. 5) {
	$proxy->console("PAUSE DEADLINE '" . span(10) . "'");
	is(states()->{active}, undef, "PAUSE $round under load: nothing is active");
	let_pass(0.05, 'some come and are held');
	$proxy->console('RESUME');
	let_pass(0.1, 'the load goes on');
}
$bench->finish;
is($bench->result(0), 0, 'and the load ends well') or diag $bench_err;
like($bench_out, qr/number of failed transactions: 0/, 'without an error');

# ---------------------------------------------------------------- the end of the process meanwhile

$proxy->console('PAUSE');
say_to($a, 'SELECT 40;');
$_->{run}->pump_nb for $a;
my $late = session($here);
say_to($late, 'SELECT 41;');
$proxy->wait_console("SHOW SESSIONS FULL STATE 'paused'", sub { 0 < grep { $_->{home} eq '' } @{ $_[0] } });
$proxy->stop;
eval { $_->{run}->finish } for $a, $late;
like($a->{err}, qr/the proxy is shutting down/, 'SIGTERM ends a session that is held');
like($late->{err}, qr/the proxy is shutting down/, 'and a login that waits');

$proxy->start;
$a = session($here);
ok(ask($a, 'SELECT 42;', '42'), 'after a restart nothing is paused');
$proxy->console('PAUSE');
like($proxy->console_error('SHUTDOWN WAIT'), qr/55000.*sessions that are paused cannot be waited for/,
	'SHUTDOWN WAIT would wait for ever');
say_to($a, 'SELECT 43;');
$proxy->console('RESUME');
ok(hears($a, '43'), 'and has done nothing');
# who is asked to go on keeps the console's worker busy, too: each has a session
my (@stay, %busy);
while (keys %busy < 2 && @stay < 60) {
	push @stay, session($here);
	ask($stay[-1], 'SELECT 44;', '44');
	%busy = map { $_->{worker} => 1 } grep { $_->{database} eq 'postgres' } @{ $proxy->console('SHOW SESSIONS FULL') };
}
my $admin = session($proxy->connstr('meridian', host => $proxy->socket_dir));
ok(ask($admin, "SHUTDOWN WAIT;\n\\echo done", 'done'), 'SHUTDOWN WAIT');
ok(ask($admin, "PAUSE;\n\\echo heard", 'heard'), 'who says PAUSE then');
$admin->{run}->pump_nb until $admin->{err} ne '' || !$admin->{run}->pumpable;
like($admin->{err}, qr/the proxy is shutting down/, 'is refused');
ok(ask($_, 'SELECT 45;', '45'), 'a session goes on') for $stay[0];
$_->{in} .= "\\q\n" for $a, @stay, $admin;
eval { $_->{run}->finish } for $a, @stay, $b, $o, $admin;
ok($proxy->wait_exit, 'the process ends with the last session');
is($proxy->exit_status, 0, 'cleanly');
done_testing();
