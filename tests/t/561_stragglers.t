#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Sessions that do not come to the end of their transaction while their database is frozen: what a
# client hears is what became of it, in either protocol, in every kind of pool. A COMMIT that did not
# happen is never told as one, nor as the ROLLBACK that drivers take for success.
#
# timeout: 1800
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Drivers;
use Meridian::Test::Gate;
use Meridian::Test::Measure qw(stand_still);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Socket ();
use Test::More;
use Time::HiRes qw(time);

# Waiting for a standby that there is not is what makes a COMMIT slow, and certain.
my ($east, $west) = regional_clusters('us-east1', { conf => "synchronous_commit = local\n" }, 'us-west1');
for my $c ($east, $west) {
	$c->safe_psql('postgres', <<'SQL');
CREATE ROLE app LOGIN PASSWORD 'secret';
CREATE DATABASE app OWNER app;
SQL
	$c->safe_psql('app', 'CREATE TABLE t (i int, who text); GRANT ALL ON t TO app');
	my $hba = $c->data_dir . '/pg_hba.conf';
	my $lines = PostgreSQL::Test::Utils::slurp_file($hba);
	unlink $hba;
	PostgreSQL::Test::Utils::append_to_file($hba, "host all app all scram-sha-256\n$lines");
	$c->reload;
}
$east->append_conf('postgresql.conf', "synchronous_standby_names = 'nobody'\n");
$east->reload;
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, "\"app\" \"secret\"\n");
my $gate  = Meridian::Test::Gate->new;
my $proxy = Meridian::Test::Proxy->new('main', $gate->proxy_options,
	regions => [ 'us-east1' => $east, 'us-west1' => $west ],
	set     => { auth => 'scram-sha-256', auth_file => $users, workers => 2, region => 'us-east1', default_pool_size => 60 },
	conf    => Meridian::Test::Proxy::databases_of('app', [ through => "auth = passthrough\npool = off" ]));
$proxy->start;
$proxy->wait_up(2);

my @databases = qw(own ses tx through);
my $m = 0;

sub session { my ($database) = @_; return Meridian::Test::Wire->session($proxy, database => $database, user => 'app', password => 'secret') }
sub order { my ($answer) = $gate->order(@_); return $answer }

# Each worker knows of it when this returns: the answer comes at the deadline, whether they do or not.
my $admin = Meridian::Test::Wire->new(path => $proxy->socket_path);
$admin->login(database => 'meridian');
sub freeze
{
	my ($number, $ms) = @_;
	my $said = order('freeze', $number, 'app', 'us-east1', 'us-west1', '-', $ms // 50, 30000);
	wait_until(sub { 2 == grep { $_->{migration} eq $number } @{ $admin->rows('SHOW PAUSES') } }) or die "freeze $number: $said";
	return $said;
}

# Freeze, end whoever is in a transaction as a migration does, and tell the gate what became of each.
sub straggle
{
	my ($outcome) = @_;
	$m++;
	like(freeze($m, 100), qr/^ok .* open=[1-9]/, 'a transaction is open at the deadline');
	my ($ok, @list) = $gate->order('stragglers', $m, 'app', 'us-east1');
	my (@settle, %pid);
	for (@list) {
		my ($id, $pid) = split / /;
		$pid{$id} = $pid;
		my $xid = $east->safe_psql('postgres', "SELECT (SELECT backend_xid FROM pg_stat_activity WHERE pid = $pid), pg_terminate_backend($pid)");
		($xid) = split /\|/, $xid;
		$east->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
		my $what = $outcome // ($xid eq '' ? 'aborted' : $east->safe_psql('postgres', "SELECT pg_xact_status('$xid'::xid8)"));
		push @settle, "$id=$what";
	}
	is(order('settle', $m, 'app', 'us-east1', @settle), 'ok', 'the gate knows what became of them');
	return @settle;
}

sub back { order('resume', $m, 'app', 'us-east1'); return }

# Types and SQLSTATEs of what came: "E(40001) Z(E)".
sub heard
{
	my ($w) = @_;
	my @all = map { my $t = $_->[0]; $t eq 'E' ? 'E(' . error_fields($_)->{C} . ')' : $t eq 'Z' ? "Z($_->[1])"
		  : $t eq 'C' ? 'C(' . ($_->[1] =~ s/\0//r) . ')' : $t } grep { $_->[0] ne 'S' && $_->[0] ne 'N' } $w->until('Z');
	return join ' ', @all;
}

sub says { my ($w, @bytes) = @_; $w->send(@bytes); return heard($w) }

# What has come of its own accord, to the end of the stream.
sub last_words
{
	my ($w) = @_;
	my @all;
	while (my $msg = $w->message) { push @all, $msg->[0] eq 'E' ? error_fields($msg)->{S} . ' ' . error_fields($msg)->{C} : $msg->[0] }
	return join ' ', @all;
}

sub rows { my ($who) = @_; return $east->safe_psql('app', "SELECT count(*) FROM t WHERE who = '$who'") }

sub extended { my ($sql) = @_; return parse($sql) . bind_message([]) . describe('P') . execute() . sync_message() }

sub wait_active
{
	my ($like) = @_;
	$east->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE '$like' AND pid <> pg_backend_pid())");
	return;
}

# Who holds what lock_shared(7) waits for.
sub locked
{
	my $holder = $east->background_psql('app');
	$holder->query_safe('SELECT pg_advisory_lock(7)');
	return $holder;
}

# The backend has said all that it had to say.
sub answered
{
	my ($pid) = @_;
	return $east->poll_query_until('postgres', "SELECT state LIKE 'idle%' FROM pg_stat_activity WHERE pid = $pid");
}

# ---------------------------------------------------------------- idle in a transaction

for my $db (@databases) {
	for my $how ([ simple => \&query ], [ extended => \&extended ]) {
		my ($name, $say) = @$how;
		my %w = map { $_ => session($db) } qw(commit rollback select pipeline);
		for (values %w) {
			is($_->ask('BEGIN', "INSERT INTO t VALUES (1, 'idle')"), '', "$db, $name: in a transaction");
		}
		straggle();
		is(rows('idle'), 0, '... which is over on the server');
		ok($_->silent, '... and the client hears nothing of its own accord') for values %w;
		my ($p, $r) = $name eq 'simple' ? ('', '') : ('1 2 n ', '1 2 n ');
		is(says($w{commit}, $say->('COMMIT')), "${p}E(40001) Z(I)", 'COMMIT fails');
		is(says($w{rollback}, $say->('ROLLBACK')), "${r}C(ROLLBACK) Z(I)", 'ROLLBACK does not');
		is(says($w{select}, $say->('SELECT 1')), 'E(40001) Z(E)', 'any other command fails, and is to be tried again');
		is(says($w{select}, $say->('SELECT 1')), 'E(25P02) Z(E)', '... and those behind it, as in PostgreSQL');
		is(says($w{select}, $say->('COMMIT')), "${p}E(40001) Z(I)", '... COMMIT, too');
		$w{pipeline}->send($say->('SELECT 1'), $say->('COMMIT'), $say->('SELECT 7'));
		is(join(' / ', heard($w{pipeline}), heard($w{pipeline})), "E(40001) Z(E) / ${p}E(40001) Z(I)", 'a pipeline is answered up to the end of its transaction');
		ok($w{pipeline}->silent, '... and what is behind that waits');
		back();
		is($w{pipeline}->answer, '7', '... until the freeze is over');
		is($_->ask('SELECT 8'), '8', 'the connection has stayed, and serves') for values %w;
		is($_->ask('BEGIN', "INSERT INTO t VALUES (2, 'again')", 'COMMIT'), '', '... transactions, too') for values %w;
	}
}
is(rows('again'), 4 * 4 * 2, 'all that was tried again is there');

# Far more answers than are kept at a time, to the shortest message that has one, a function call: all of
# them are there when the proxy reads on, and the client is read as it reads.
for my $db (qw(own tx)) {
	my ($n, $w, %heard) = (20_000, session($db));
	is($w->ask('BEGIN', "INSERT INTO t VALUES (1, 'many')"), '', "$db: in a transaction");
	straggle();
	stand_still($proxy->pid);
	$w->send(pack('a1 N', 'F', 4) x $n, query('ROLLBACK'));
	kill 'CONT', $proxy->pid;
	while (my $msg = $w->message) {
		$heard{ $msg->[0] }++;
		last if $msg->[0] eq 'Z' && $msg->[1] eq 'I';
	}
	is_deeply(\%heard, { E => $n, C => 1, Z => $n + 1 }, '... whoever says a lot before it reads is answered all of it');
	back();
	is($w->ask('SELECT 8'), '8', '... and goes on');
}
is(rows('many'), 0, 'nothing of it was done');

# ---------------------------------------------------------------- a statement is under way

for my $db (@databases) {
	for my $how ([ simple => \&query ], [ extended => \&extended ]) {
		my ($name, $say) = @$how;
		my $in = session($db);
		my $auto = session($db);
		$in->ask('BEGIN', "INSERT INTO t VALUES (1, 'flight')");
		$in->send($say->("INSERT INTO t SELECT 1, 'flight' FROM pg_sleep(60)"));
		$auto->send($say->("INSERT INTO t SELECT 1, 'flight' FROM (SELECT pg_current_xact_id(), pg_sleep(60)) s"));
		wait_active('%pg_current_xact_id%');
		straggle();
		is(heard($in), 'E(40001) Z(E)', "$db, $name: a statement of a transaction fails, and is to be tried again");
		is(heard($auto), 'E(40001) Z(I)', '... one that was its own transaction as well');
		is(says($in, query('COMMIT')), 'E(40001) Z(I)', '... its COMMIT fails');
		back();
		if ($db eq 'tx') {
			is($_->ask('SELECT 8'), '8', 'the connection has stayed, and serves') for $in, $auto;
		} else {
			is(last_words($_), 'FATAL 57P01', 'behind its transaction the session is told to reconnect') for $in, $auto;
		}
	}
}
is(rows('flight'), 0, 'nothing of it was done');

# ---------------------------------------------------------------- a COMMIT is under way

for my $db (@databases) {
	my $commit = session($db);
	my $auto = session($db);
	my $extended = session($db);
	my $frozen = session($db);
	my $cut = session($db);
	for ($commit, $extended, $frozen, $cut) { $_->ask('BEGIN', 'SET LOCAL synchronous_commit = on', "INSERT INTO t VALUES (1, 'commit')") }
	$commit->send(query('COMMIT'));
	$extended->send(extended('COMMIT'));
	$auto->send(query("SELECT set_config('synchronous_commit', 'on', true); INSERT INTO t VALUES (1, 'commit')"));
	$east->poll_query_until('postgres', "SELECT count(*) = 3 FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
	# this one while it is frozen already
	freeze($m + 1);
	$frozen->send(parse('COMMIT') . describe('S') . bind_message([]) . describe('P') . execute() . sync_message());
	# longer than what is looked at for settings, and held by whoever writes names of statements, where that is anybody
	my $long = parse('/*' . 'x' x 3000 . '*/ COMMIT') . bind_message([]) . execute() . sync_message();
	my $read = sub { my $n = 0; $n += $_->{rx_bytes} for grep { $_->{database} eq $db } @{ $proxy->console('SHOW SESSIONS FULL') }; return $n };
	my $before = $read->();
	$cut->send(substr $long, 0, 2000);
	ok(wait_until(sub { $read->() == $before + 2000 }), "$db: half a message has been read");
	$cut->send(substr $long, 2000);
	$east->poll_query_until('postgres', "SELECT count(*) = 5 FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
	straggle();
	is(heard($commit), 'C(COMMIT) Z(I)', "$db: a COMMIT that has happened is told as one") ;
	is(heard($frozen), '1 t n 2 n C(COMMIT) Z(I)', '... in the extended protocol as well');
	is(heard($cut), '1 2 C(COMMIT) Z(I)', '... wherever it was cut');
	like(last_words($extended), qr/^FATAL MR006$/, '... unless it had begun before, and nobody knows what is awaited');
	like(last_words($auto), qr/^FATAL MR006$/, '... nor is that of a statement that was its own transaction');
	back();
	for ($commit, $frozen, $cut) {
		if ($db eq 'tx') { is($_->ask('SELECT 8'), '8', 'the connection has stayed, and serves') }
		else             { is(last_words($_), 'FATAL 57P01', 'the session is told to reconnect') }
	}
}
is(rows('commit'), 5 * @databases, 'all of that was committed');

# A COMMIT that did not: its last check takes long, and is ended.
$_->safe_psql('app', <<'SQL') for $east, $west;
CREATE TABLE slow (i int);
GRANT ALL ON slow TO app;
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(60); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
SQL
for my $db (@databases) {
	my %w = map { $_ => session($db) } qw(simple extended);
	$_->ask('BEGIN', 'INSERT INTO slow VALUES (1)') for values %w;
	$w{simple}->send(query('COMMIT'));
	$w{extended}->send(extended('COMMIT'));
	wait_active('COMMIT');
	let_pass(0.05, 'both are in it');
	straggle();
	is(heard($w{$_}), 'E(40001) Z(E)', "$db, $_: a COMMIT that did not happen fails") for qw(simple extended);
	is(says($w{$_}, query('ROLLBACK')), 'C(ROLLBACK) Z(I)', '... and the client gets out of it') for qw(simple extended);
	back();
}
is($east->safe_psql('app', 'SELECT count(*) FROM slow'), 0, 'nothing of it was done');

# Nobody knows: the client is told that.
{
	my $w = session('tx');
	$w->ask('BEGIN', "INSERT INTO t VALUES (1, 'unknown')");
	$w->send(query("SELECT pg_sleep(60)"));
	wait_active('%pg_sleep%');
	straggle('unknown');
	is(last_words($w), 'FATAL MR006', 'an outcome that is not known is told as that');
	back();
}

# ---------------------------------------------------------------- COPY, half messages, answers in time

for my $db (@databases) {
	my $in = session($db);
	$in->ask('BEGIN');
	$in->send(query('COPY t FROM STDIN'));
	$in->until('G');
	$in->send(copy_data("1\tcopy\n"));
	my $out = session($db);
	$out->ask('BEGIN');
	$out->send(query("COPY (SELECT i, repeat('x', 3000), pg_sleep(0.01) FROM generate_series(1, 20000) i) TO STDOUT"));
	$out->until('d');
	my $half = session($db);
	$half->ask('BEGIN', "INSERT INTO t VALUES (1, 'half')");
	my $long = query("SELECT '" . 'x' x 100_000 . "'");
	$half->send(substr $long, 0, 50_000);
	straggle();
	is(heard($in), 'E(40001) Z(E)', "$db: COPY FROM fails");
	$in->send(copy_data("2\tcopy\n"), copy_done(), query('ROLLBACK'));
	is(heard($in), 'C(ROLLBACK) Z(I)', '... and what its client still sends is passed over');
	is((split / /, heard($out))[-2], 'E(40001)', '... COPY TO fails where it is');
	is(says($half, substr $long, 50_000), 'E(40001) Z(E)', '... a message that was half through fails');
	is(says($half, query('ROLLBACK')), 'C(ROLLBACK) Z(I)', '... and no more than that');
	back();
}
is(rows('copy') + rows('half'), 0, 'nothing of it was done');

{
	my $w = session('own');
	$w->ask('BEGIN');
	my $lock = locked();
	$w->send(query('SELECT pg_advisory_xact_lock_shared(7)'));
	wait_active('%lock_shared(7)%');
	$m++;
	freeze($m);
	my ($ok, @list) = $gate->order('stragglers', $m, 'app', 'us-east1');
	is(scalar(@list), 1, 'a statement is under way');
	my ($id, $pid) = split / /, $list[0];
	$lock->quit;
	ok(answered($pid), 'the server has answered');
	$east->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	order('settle', $m, 'app', 'us-east1', "$id=aborted");
	like(heard($w), qr/^T D C\(SELECT 1\) Z\(T\)$/, 'what was answered in time is told as it was');
	is(says($w, query('COMMIT')), 'E(40001) Z(I)', '... and its transaction is ended');
	back();
}
{
	my $w = session('own');
	$w->ask('BEGIN', "INSERT INTO t VALUES (1, 'in time')");
	my $lock = locked();
	$w->send(query('SELECT pg_advisory_xact_lock_shared(7); COMMIT'));
	wait_active('%lock_shared(7)%');
	$m++;
	freeze($m);
	my ($ok, @list) = $gate->order('stragglers', $m, 'app', 'us-east1');
	my ($id, $pid) = split / /, $list[0];
	$lock->quit;
	ok(answered($pid), 'the server has answered');
	$east->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	order('settle', $m, 'app', 'us-east1', "$id=unknown");
	is(heard($w), 'T D C(SELECT 1) C(COMMIT) Z(I)', 'a COMMIT that was answered in time is told, whatever the migration knows');
	is(last_words($w), 'FATAL 57P01', '... and the session is told to reconnect');
	is(rows('in time'), 1, '... it was committed');
	back();
}

# ---------------------------------------------------------------- the server is lost, and nobody says what became of it

# The executor is gone, as it were: the freeze ends without a word from it.
for my $db (@databases) {
	my %w = map { $_ => session($db) } qw(idle flight auto);
	$w{$_}->ask('BEGIN', "INSERT INTO t VALUES (1, 'lost')") for qw(idle flight);
	my $lock = locked();
	$w{flight}->send(query('SELECT pg_advisory_xact_lock_shared(7)'));
	$w{auto}->send(query("INSERT INTO t SELECT 1, 'lost' FROM (SELECT pg_advisory_xact_lock_shared(7)) s"));
	ok($east->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event = 'advisory'"), "$db: two statements are under way");
	$m++;
	freeze($m);
	my ($ok, @list) = $gate->order('stragglers', $m, 'app', 'us-east1');
	is(scalar(@list), 2, '... which are taken hold of');
	for (map { (split / /)[1] } @list) {
		$east->safe_psql('postgres', "SELECT pg_terminate_backend($_)");
		$east->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $_)");
	}
	ok($w{$_}->silent, '... and their servers are lost, of which nobody hears yet') for qw(flight auto);
	back();
	is(last_words($w{$_}), 'FATAL MR006', "... before it is clear that nobody will say what became of it ($_)") for qw(flight auto);
	is(says($w{idle}, query('SELECT 1')), 'E(40001) Z(E)', '... whose transaction we have ended ourselves knows it');
	is(says($w{idle}, query('ROLLBACK')), 'C(ROLLBACK) Z(I)', '... gets out of it');
	is($w{idle}->ask('SELECT 8'), '8', '... and goes on');
	$lock->quit;
}
is(rows('lost'), 0, 'nothing of it was done');

# A server that does not answer our ROLLBACK: the migration ends it, or it is lost on its own.
for my $settled (1, 0) {
	for my $db (@databases) {
		my $w = session($db);
		$w->ask('BEGIN', "INSERT INTO t VALUES (1, 'deaf')");
		my $pid = $w->ask('SELECT pg_backend_pid()');
		kill 'STOP', $pid or die;
		$m++;
		freeze($m);
		my ($ok, @list) = $gate->order('stragglers', $m, 'app', 'us-east1');
		is((split / /, $list[0] // '0 0')[1], $pid, "$db: a server that does not answer is left to the migration");
		$east->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		kill 'CONT', $pid;
		$east->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)");
		order('settle', $m, 'app', 'us-east1', (split / /, $list[0])[0] . '=unknown') if $settled;
		back();
		is(says($w, query('COMMIT')), 'E(40001) Z(I)', $settled ? '... whatever that knows: no COMMIT was ever sent' : '... which says nothing: the same');
		if ($db eq 'tx') { is($w->ask('SELECT 8'), '8', '... and the session goes on') }
		else             { is(last_words($w), 'FATAL 57P01', '... and the session, whose server is gone, is told to reconnect') }
	}
}
is(rows('deaf'), 0, 'nothing of it was done');

# A client that reads slowly: the server is done, what it has said waits between it and the proxy, which
# has stopped to read. How much that takes is for the kernel to say. (session, rows)
sub slow_reader
{
	for (my $rows = 300; $rows < 20_000; $rows += 300) {
		my $w = session('own');
		setsockopt $w->{fd}, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), 4096;
		$w->ask('BEGIN');
		my $pid = $w->ask('SELECT pg_backend_pid()');
		$w->send(query("SELECT repeat('x', 1000) FROM generate_series(1, $rows)"));
		my $state = "SELECT state FROM pg_stat_activity WHERE pid = $pid";
		my $said = settles(sub { (map { $_->{tx_bytes} } grep { $_->{database} eq 'own' } @{ $proxy->console('SHOW SESSIONS FULL') })[0] });
		my $left = 1011 * $rows - $said;
		return ($w, $rows, $left) if $left > 50_000 && $left < 800_000 && $east->safe_psql('postgres', $state) eq 'idle in transaction';
		last if $left >= 800_000;
		$w->close;
		$proxy->wait_console('SHOW SESSIONS FULL', sub { !grep { $_->{database} eq 'own' } @{ $_[0] } });
	}
	return;
}
SKIP: {
	my ($w, $rows, $left) = slow_reader();
	skip 'the kernel buffers too much, or all of it', 1 unless $w;
	note("$rows rows, $left bytes of them not read by the proxy");
	straggle('aborted');
	is(heard($w), 'T ' . 'D ' x $rows . "C(SELECT $rows) Z(T)", 'what was answered in time is told to who reads slowly');
	is(says($w, query('COMMIT')), 'E(40001) Z(I)', '... and its transaction is ended');
	back();
}

# ---------------------------------------------------------------- prepared statements

for my $db (qw(own ses tx)) {
	my $w = session($db);
	$w->send(parse('ROLLBACK', 'roll') . parse('COMMIT', 'comm') . parse('SELECT 5', 'five') . sync_message());
	$w->answer;
	my $go = sub { return bind_message([], $_[0]) . execute() . sync_message() };
	$w->ask('BEGIN', "INSERT INTO t VALUES (1, 'prepared')");
	straggle();
	if ($db eq 'tx') {
		is(says($w, $go->('comm')), '2 E(40001) Z(I)', "$db: a COMMIT that was prepared fails");
	} else {
		is(says($w, $go->('five')), 'E(40001) Z(E)', "$db: a statement that was prepared fails");
		is(says($w, $go->('roll')), 'E(25P02) Z(I)', '... and where only the server knew them, the second time ends the transaction');
	}
	back();
	is($w->ask('SELECT 8'), '8', 'the connection has stayed, and serves');
	$w->ask('BEGIN', "INSERT INTO t VALUES (1, 'prepared')");
	straggle();
	is(says($w, parse('ROLLBACK', 'new') . bind_message([], 'new') . execute() . sync_message()), '1 2 C(ROLLBACK) Z(I)', 'a ROLLBACK may be prepared then');
	back();
	$w->ask('BEGIN');
	is(says($w, $go->('new')), '2 C(ROLLBACK) Z(I)', '... and is there afterwards');
	$w->send($go->('five'));
	is($w->answer, '5', '... as are the others');
}
is(rows('prepared'), 0, 'nothing of it was done');

# ---------------------------------------------------------------- and then it moves

for my $db (@databases) {
	my $idle = session($db);
	my $busy = session($db);
	$idle->ask('BEGIN', "INSERT INTO t VALUES (1, 'move')");
	$busy->ask('BEGIN');
	$busy->send(query("INSERT INTO t SELECT 1, 'move' FROM pg_sleep(60)"));
	wait_active('%pg_sleep%');
	my $at = 100 * ($m + 1);
	straggle();
	order('serve', 'app', 'us-west1', '-', $at);
	like(order('switch', $m, 'app', 'us-east1', 'us-west1', '-'), qr/^ok .* aborted=2$/, "$db: two transactions were ended");
	is(says($idle, query('SELECT 1')), 'E(40001) Z(E)', 'who was idle hears of it with its next command');
	is(says($idle, query('ROLLBACK')), 'C(ROLLBACK) Z(I)', '... and ends its transaction');
	if ($db eq 'through') { is(last_words($idle), 'FATAL 57P01', '... a relayed login is told to reconnect then') }
	else                  { is($idle->ask("SELECT current_setting('cluster_name')"), 'us-west1', '... and is in the west then') }
	is(heard($busy), 'E(40001) Z(E)', 'who had a statement under way hears at once');
	is(says($busy, query('ROLLBACK')), 'C(ROLLBACK) Z(I)', '... and ends its transaction');
	if ($db eq 'tx') { is($busy->ask("SELECT current_setting('cluster_name')"), 'us-west1', '... and is in the west then') }
	else             { is(last_words($busy), 'FATAL 57P01', '... and is told to reconnect') }
	$m++;
	order('serve', 'app', 'us-east1', '-', $at + 50);
}

# ---------------------------------------------------------------- drivers

SKIP:
{
	skip 'there is no python3-psycopg2', 4 if system('python3 -c "import psycopg2" 2>/dev/null') != 0;
	my $script = PostgreSQL::Test::Utils::tempdir() . '/straggler.py';
	PostgreSQL::Test::Utils::append_to_file($script, <<'PY');
import sys, psycopg2
c = psycopg2.connect(sys.argv[1])
c.cursor().execute("INSERT INTO t VALUES (1, 'driver')")
print("open", flush=True)
sys.stdin.readline()
try:
    c.commit()
    print("committed", flush=True)
except psycopg2.errors.SerializationFailure:
    print("failed", flush=True)
c.rollback()
c.cursor().execute("INSERT INTO t VALUES (1, 'driver again')")
c.commit()
print("again", flush=True)
PY
	for my $db (qw(own tx)) {
		my ($in, $out) = ('', '');
		my $run = IPC::Run::start([ 'python3', $script, $proxy->connstr($db) . ' user=app password=secret' ],
			'<', \$in, '>', \$out, '2>', \my $err, run_limit(60));
		$run->pump until $out =~ /open/;
		straggle();
		$in .= "\n";
		$run->pump until $out =~ /committed|failed/ || !$run->pumpable;
		like($out, qr/failed/, "psycopg2 in $db: commit() raises");
		back();
		$run->finish;
		like($out, qr/again/, '... and the connection goes on');
	}
	is(rows('driver'), 0, 'nothing of it was done');
}
$proxy->stop;
done_testing();
