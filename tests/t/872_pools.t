#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Pools at the console: SHOW POOLS and SHOW SERVERS, PAUSE under which a server is restarted and no
# client notices, RECONNECT. PAUSE of sessions without a pool is 870.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Http;
use Meridian::Test::Metrics;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($east, $west) = regional_clusters('us-east1', 'europe-west1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [
		'us-east1'     => { nodes => $east, cities => 'new york' },
		'europe-west1' => { nodes => $west, cities => 'paris' }
	],
	set => {
		http => 'on', metrics => 'on', auth => 'trust', workers => 2, default_pool_size => 4, region => 'us-east1',
		# time: who is held waits for longer than query_wait_timeout
		failback_delay => 0, query_wait_timeout => '1s', query_wait_notify => 0
	},
	conf => "[database postgres]\npool = transaction\n[database template1]\npool = session\npool_size = 6\n"
	  . "[database own]\ndbname = postgres\n");
$proxy->start;
my $pid = 'SELECT pg_backend_pid()';

sub session { return Meridian::Test::Wire->session($proxy, @_) }

# What the console says, by one connection: what is looked at can be over before as many programs have been started.
my $admin = Meridian::Test::Wire->new(path => $proxy->socket_path);
$admin->login(database => 'meridian');

# A sum over the workers' rows.
sub sum
{
	my ($column, $what) = @_;
	my $sum = 0;
	$sum += $_->{$column} for @{ $admin->rows($what) };
	return $sum;
}

sub backends
{
	my ($cluster, $database) = @_;
	return $cluster->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
		. "AND pid <> pg_backend_pid() AND datname = '$database' AND application_name = ''");
}

# One sample of /metrics.
sub measured
{
	my ($name) = @_;
	return metric(metrics_of_text(http_ask(Meridian::Test::Wire->new($proxy), GET => '/metrics')->{body}), $name);
}

# Each of the workers knows of it.
sub begins_to_pause
{
	my ($sql) = @_;
	my $c = $proxy->console_start($sql);
	wait_until(sub { 2 == @{ $admin->rows('SHOW PAUSES') } }) or die "$sql has not begun";
	$c->{run}->pump_nb;
	return $c;
}

sub ends { my ($c) = @_; $c->{run}->finish; return $c->{run}->result(0) }

# ---------------------------------------------------------------- SHOW POOLS, SHOW SERVERS

# Which of the two workers a session comes to is chance, and under PAUSE one without a pool greets nobody.
my @many = map { session() } 1 .. 6;
$_->ask($pid) for @many;
my $pools;
until (@{ $pools = $proxy->console('SHOW POOLS FULL DATABASE postgres REGION us-east1') } > 1 || @many > 60) {
	push @many, session();
	$many[-1]->ask($pid);
}
is(scalar(@$pools), 2, 'a pool per worker');
my %pool = %{ $pools->[0] };
is("@pool{qw(database user region pool_mode pool_size paused)}", 'postgres postgres us-east1 transaction 2 f',
	'SHOW POOLS says what it is');
is($pool{node}, '127.0.0.1:' . $east->port, 'and where');
is(sum('cl_active', 'SHOW POOLS FULL DATABASE postgres'), scalar(@many), 'its sessions');
cmp_ok(sum('sv_idle', 'SHOW POOLS FULL'), '>=', 1, 'idle connections');
cmp_ok(sum('lent', 'SHOW POOLS FULL DATABASE postgres'), '>=', scalar(@many), 'how often one was lent');
is(sum('cl_active', 'SHOW POOLS FULL USER nobody'), 0, 'USER is a filter');

my @open = grep { $_->ask('BEGIN') eq '' } @many[ 0, 1 ];
my ($one) = map { $_->ask($pid) } $open[0];
my ($server) = grep { $_->{server_pid} eq $one } @{ $proxy->console('SHOW SERVERS') };
is("@$server{qw(database user region pool_mode state close_needed)}", 'postgres postgres us-east1 transaction used f',
	'SHOW SERVERS has a connection that is lent');
my ($holder) = grep { $_->{id} eq $server->{session} } @{ $proxy->console('SHOW SESSIONS FULL') };
is($holder->{server_pid}, $one, 'and who has it');
like($server->{connected_at}, qr/^20\d\d-/, 'since when it is there');
my $own = session(database => 'own');
my $mine = $own->ask($pid);
($server) = grep { $_->{server_pid} eq $mine } @{ $proxy->console('SHOW SERVERS DATABASE own') };
is("@$server{qw(pool_mode state)}", 'off idle', 'and those that are a session\'s own');
$_->ask('COMMIT') for @open;
my $idle = () = @{ $proxy->console('SHOW SERVERS STATE idle DATABASE postgres') };
cmp_ok($idle, '>=', 1, 'idle ones have no session');

is(measured('meridian_pool_servers{state="idle"}'), sum('sv_idle', 'SHOW POOLS FULL'), '/metrics counts the same');
is(measured('meridian_pool_lent_total'), sum('lent', 'SHOW POOLS FULL'), 'and how often one was lent');

# ---------------------------------------------------------------- PAUSE: what is open ends, then connections go

$many[0]->ask('BEGIN');
my $c = begins_to_pause('PAUSE DATABASE postgres');
ok($c->{run}->pumpable, 'PAUSE waits for a transaction');
$many[1]->send(query('SELECT 11'));
ok($many[1]->silent, 'no other begins');
is($many[0]->ask('SELECT 12'), '12', 'the open one goes on');
is($many[0]->ask('COMMIT'), '', 'and ends');
is(ends($c), 0, 'PAUSE is answered');
wait_until(sub { backends($east, 'postgres') == 1 });
is(backends($east, 'postgres'), 1, 'the pool has no connection left, but what is a session\'s own is there');
is($own->ask('SELECT 13'), '13', 'which is not paused');
ok(!(grep { $_->{paused} ne 't' } @{ $proxy->console('SHOW POOLS FULL DATABASE postgres') }), 'SHOW POOLS says paused');
my $new = session();
ok($new, 'a client can log in');
$new->send(query('SELECT 14'));
ok($new->silent, 'and waits with its first query');

# the server is restarted, and nobody notices
$own->close;
$east->restart;
$many[2]->send(query('SELECT 15'));
outlast(1, 'query_wait_timeout');
ok($many[2]->silent, 'longer than query_wait_timeout');
$proxy->console('RESUME DATABASE postgres');
is($many[1]->answer, '11', 'RESUME: a query that waited through a restart of the server');
is($new->answer,     '14', 'a login of meanwhile');
is($many[2]->answer, '15', 'a query of meanwhile');
is($_->ask('SELECT 16'), '16', 'a session that had nothing to say') for $many[3];

# ---------------------------------------------------------------- PAUSE that waits: what is seen of it, and how it ends

# What SHOW PAUSES counts, over the workers.
sub pauses { return join ' ', map { sum($_, 'SHOW PAUSES') } qw(open held) }

sub state_of
{
	my ($name) = @_;
	my ($row) = grep { $_->{application_name} eq $name } @{ $admin->rows('SHOW SESSIONS FULL DATABASE postgres') };
	return $row->{state};
}

# Sessions that are there, but for the one in a transaction: so many are held. One whose client has left may be there for a moment.
sub others { return @{ $proxy->console('SHOW SESSIONS FULL DATABASE postgres') } - 1 }
my $in     = session(application_name => 'in');
my $beside = session(application_name => 'beside');
$in->ask('BEGIN');
my $its = $in->ask($pid);

sub begin_pause
{
	my ($how) = @_;
	ok(wait_until(sub { pauses() eq '1 ' . others() }), "$how: SHOW PAUSES counts a transaction, and the sessions that are held") or diag pauses();
	is(state_of('in') . ', ' . state_of('beside'), 'idle in transaction, paused', 'SHOW SESSIONS says which');
	$beside->send(query('SELECT 17'));
	ok($beside->silent, 'no other transaction begins');
	ok(!(grep { $_->{paused} ne 't' } @{ $admin->rows('SHOW POOLS FULL DATABASE postgres') }), 'SHOW POOLS says paused');
	ok(wait_until(sub { sum('sv_idle', 'SHOW POOLS FULL DATABASE postgres') == 0 }), 'idle connections are closed already');
	my @used = map { "$_->{state} $_->{server_pid}" } @{ $admin->rows('SHOW SERVERS DATABASE postgres') };
	is("@used", "used $its", 'SHOW SERVERS has the one that is waited for');
	is($in->ask($pid), $its, 'whose transaction goes on');
	return;
}

sub is_back
{
	my ($how) = @_;
	is($beside->answer, '17', "$how: the others go on");
	is(scalar(@{ $proxy->console('SHOW PAUSES') }), 0, 'nothing is paused');
	is($in->ask($pid), $its, 'and the transaction is what it was');
	return;
}

$c = $proxy->console_start('PAUSE DATABASE postgres');
begin_pause('PAUSE');
$proxy->console('RESUME DATABASE postgres');
isnt(ends($c), 0, 'RESUME ends a PAUSE that waits');
like($c->{err}, qr/57014.*taken back: RESUME/, 'with an error');
is_back('RESUME');

$c = $proxy->console_start("PAUSE DATABASE postgres DEADLINE '" . span(10) . "'");
begin_pause('with a deadline');
isnt(ends($c), 0, 'the deadline ends it');
like($c->{err}, qr/57014.*taken back: a transaction was open/, 'with an error');
is_back('the deadline');

# consoles that go: by a signal, by a reset, and with more said behind PAUSE than anybody reads
$c = $proxy->console_start('PAUSE DATABASE postgres');
begin_pause('psql');
$c->{run}->kill_kill;
is_back('psql is killed');
for my $how (qw(abort close)) {
	my $leaves = Meridian::Test::Wire->new(path => $proxy->socket_path);
	$leaves->login(database => 'meridian');
	$leaves->send(query('PAUSE DATABASE postgres'), $how eq 'close' ? query('SHOW VERSION') x 1000 : ());
	begin_pause("before $how");
	$leaves->$how;
	is_back("$how");
}

$c = $proxy->console_start('PAUSE DATABASE postgres');
begin_pause('the end of the transaction');
$in->ask('COMMIT');
is(ends($c), 0, 'answers PAUSE');
ok(wait_until(sub { pauses() eq '0 ' . (others() + 1) }), 'everybody is held');
is(scalar(@{ $proxy->console('SHOW SERVERS DATABASE postgres') }), 0, 'and no connection is left');
$in->send(query('SELECT 18'));
ok($in->silent, 'also who was waited for');
$proxy->console('RESUME DATABASE postgres');
is($beside->answer . $in->answer, '1718', 'until RESUME');
$_->close for $in, $beside;

# ---------------------------------------------------------------- the queue

# Long enough that nobody in the queue is refused while it is counted, on a busy machine either.
my $wait = patience(8);
$proxy->reload(set => { query_wait_timeout => int($wait) . 's' });
my @blockers = map { session() } 1 .. 8;
$_->send(query('BEGIN')) for @blockers;
my ($waiting, @begun);
wait_until(sub {
	my @now = @{ $admin->rows('SHOW POOLS FULL DATABASE postgres') };
	$waiting = 0;
	$waiting += $_->{cl_waiting} for @now;
	@begun = grep { !$_->silent(0) } @blockers;
	return $waiting + @begun == @blockers && !grep { $_->{cl_waiting} > 0 && $_->{sv_active} < $_->{pool_size} } @now;
}) or diag explain $admin->rows('SHOW POOLS FULL');
cmp_ok($waiting, '>=', 4, 'sessions in the queue of a full pool');
cmp_ok(sum('maxwait_us', 'SHOW POOLS FULL') + sum('maxwait', 'SHOW POOLS FULL'), '>', 0, 'and for how long');
is(measured('meridian_pool_waiting'), $waiting, '/metrics says so, too');
$c = begins_to_pause('PAUSE');
ok($c->{run}->pumpable, 'PAUSE waits for those that have begun');
$_->answer for @begun;
is($_->ask('COMMIT'), '', 'one of them ends') for @begun;
is(ends($c), 0, 'PAUSE is answered, with sessions in the queue');
outlast($wait, 'query_wait_timeout');
my %begun = map { $_ => 1 } @begun;
my @queued = grep { !$begun{$_} } @blockers;
ok($_->silent, 'they wait, and longer than query_wait_timeout') for $queued[0];
$proxy->console('RESUME');
my @late = @queued;
my $d = deadline(60, 'all to be served');
while (@late && !$d->over) {
	my @now = grep { !$_->silent } @late;
	is($_->answer, '', 'BEGIN of one that was queued') for @now;
	is($_->ask('COMMIT'), '', 'and its end') for @now;
	my %now = map { $_ => 1 } @now;
	@late = grep { !$now{$_} } @late;
}
is(scalar(@late), 0, 'all of them were served');

# ---------------------------------------------------------------- a session pool, a region

my $s = session(database => 'template1');
my $his = $s->ask($pid);
is($proxy->console('SHOW POOLS FULL DATABASE template1')->[0]{pool_size}, 3, 'pool_size of a database, shared among the workers');
$proxy->console('PAUSE');
$s->send(query($pid));
ok($s->silent, 'a session with a connection for life waits');
$proxy->console('RESUME');
is($s->answer, $his, 'and has kept it');
$s->close;

my $paris = session('options' => '-c meridian.city=paris');
is($paris->ask("SELECT current_setting('cluster_name')"), 'europe-west1', 'a session in Europe');
$proxy->console('PAUSE REGION europe-west1');
$paris->send(query('SELECT 20'));
ok($paris->silent, 'its region is paused');
is($many[0]->ask('SELECT 21'), '21', 'the other is not');
$proxy->console('RESUME REGION europe-west1');
is($paris->answer, '20', 'RESUME');

# ---------------------------------------------------------------- RECONNECT

my %before = map { $_->ask($pid) => 1 } @many;
$many[0]->ask('BEGIN');
my $kept = $many[0]->ask($pid);
my ($status, $out, $err) = $proxy->console_raw('RECONNECT DATABASE postgres');
is($err, '', 'RECONNECT');
is($many[0]->ask($pid), $kept, 'a transaction keeps its connection');
my ($closing) = grep { $_->{server_pid} eq $kept } @{ $proxy->console('SHOW SERVERS') };
is($closing->{close_needed}, 't', 'which is closed when it comes back');
$many[0]->ask('COMMIT');
my @same = grep { $before{ $_->ask($pid) } } @many;
is(scalar(@same), 0, 'all connections are new');
$own = session(database => 'own');
$mine = $own->ask($pid);
($status, $out, $err) = $proxy->console_raw('RECONNECT');
like($err, qr/NOTICE:.*1 session keeps a connection of its own/, 'a session without a pool is told of');
is($own->ask($pid), $mine, 'and keeps its own');

# PAUSE and RESUME under load: nobody sees an error
my ($bench_out, $bench_err) = ('', '');
my $script = PostgreSQL::Test::Utils::tempdir() . '/tx.sql';
PostgreSQL::Test::Utils::append_to_file($script, "BEGIN;\nSELECT 1;\nSELECT 2;\nEND;\n");
my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', 8, '-j', 2, '-T', 5, '-f', $script, $proxy->connstr('postgres') ],
	'>', \$bench_out, '2>', \$bench_err, run_limit(60));
ok(wait_until(sub { sum('sv_active', 'SHOW POOLS FULL DATABASE postgres') }, 'the load to begin'), 'the load has begun');
for my $round (1 .. 10) {
	$proxy->console("PAUSE DEADLINE '" . span(10) . "'");
	is(sum('sv_active', 'SHOW POOLS FULL DATABASE postgres'), 0, "PAUSE $round under load: nothing is lent");
	$proxy->console('RESUME');
	$proxy->console('RECONNECT') if $round % 3 == 0;
	let_pass(0.1, 'the load goes on');
}
$bench->finish;
is($bench->result(0), 0, 'the load ends well') or diag $bench_err;
like($bench_out, qr/number of failed transactions: 0/, 'without an error');

# ---------------------------------------------------------------- the end, with everything paused

$proxy->console('PAUSE');
$many[0]->send(query('SELECT 30'));
let_pass(0.2, 'it is held');
$proxy->stop;
like(join(' ', map { $_->[0] eq 'E' ? error_fields($_)->{C} : () } $many[0]->until('E')), qr/57P01/,
	'SIGTERM ends a session that waits');
done_testing();
