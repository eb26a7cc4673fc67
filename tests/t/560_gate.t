#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The gate of migrations (proxy/move/gate.h): who serves a database, freezes that expire, and sessions of
# every kind that go to the new node with their connection, or are told to reconnect.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Gate;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
for my $c ($east, $west) {
	$c->safe_psql('postgres', 'CREATE ROLE app LOGIN PASSWORD \'secret\'; CREATE DATABASE app OWNER app');
	my $hba = $c->data_dir . '/pg_hba.conf';
	my $lines = PostgreSQL::Test::Utils::slurp_file($hba);
	unlink $hba;
	PostgreSQL::Test::Utils::append_to_file($hba, "host all app all scram-sha-256\n$lines");
	$c->reload;
}
$west->safe_psql('postgres', 'CREATE DATABASE app2 OWNER app');
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, "\"app\" \"secret\"\n");
my $gate  = Meridian::Test::Gate->new;
my $proxy = Meridian::Test::Proxy->new('main', $gate->proxy_options,
	regions => [ 'us-east1' => $east, 'us-west1' => $west ],
	set     => { auth => 'scram-sha-256', auth_file => $users, workers => 2, region => 'us-east1', default_pool_size => 40 },
	conf    => Meridian::Test::Proxy::databases_of('app', [ through => "auth = passthrough\npool = off" ]));
$proxy->start;
$proxy->wait_up(2);

my @move = qw(app us-east1 us-west1 -);
my $where = "SELECT current_setting('cluster_name') || '/' || current_database()";

sub session { my ($database) = @_; return Meridian::Test::Wire->session($proxy, database => $database, user => 'app', password => 'secret') }
sub order { my ($answer) = $gate->order(@_); return $answer }
sub paused { return $proxy->console('SHOW PAUSES') }

# Sends now, answers later.
sub say_to { my ($w, $sql) = @_; $w->send(query($sql)); return }

# ---------------------------------------------------------------- who serves it

is(order(qw(serve app us-west1 - 3)), 'ok', 'the database app is served in the west');
my ($route) = @{ $proxy->console('EXPLAIN ROUTE FOR REGION us-east1 DATABASE tx') };
is("$route->{region} $route->{reason}", 'us-west1 the database is served here, and nowhere else', 'EXPLAIN ROUTE says so');
my ($other) = grep { $_->{region} eq 'us-east1' } @{ $proxy->console('EXPLAIN ROUTE FOR REGION us-east1 DATABASE tx') };
is("$other->{verdict} $other->{reason}", 'rejected the database has moved to us-west1', '... and why the other is none');
is($proxy->console('EXPLAIN ROUTE FOR REGION us-east1 DATABASE postgres')->[0]{region}, 'us-east1', 'other databases stay');
for my $database (qw(app own ses tx through)) {
	is(session($database)->ask($where), 'us-west1/app', "a session of $database goes there");
}
order(qw(serve app us-east1 - 2));
is(session('tx')->ask($where), 'us-west1/app', 'an older epoch changes nothing');
order(qw(serve app us-west1 app2 4));
is(session('tx')->ask($where), 'us-west1/app2', 'it has another name there, in a pool');
is(session('own')->ask($where), 'us-west1/app2', '... and without');
$proxy->reload;
is(session('own')->ask($where), 'us-west1/app2', 'a reload changes nothing about it');
my ($answer, @served) = $gate->order('served');
is_deeply(\@served, ['app us-west1 app2 4 1'], 'what is routed so is listed');
order(qw(serve app nowhere - 5));
is(session('tx')->{last}[0], 'E', 'a place that is not configured serves nobody');
like(error_fields(session('own')->{last})->{D} // '', qr/Region us-east1: the database has moved to a place that is not configured here/,
	'... and says so');
order('serve', 'app', $east->host =~ m{/} ? '127.0.0.1:' . $east->port : '?', '-', 6);
is(session('own')->ask($where), 'us-east1/app', 'a place may be a node');
order(qw(serve app - - 7));
is(session('own')->ask($where), 'us-east1/app', 'no place: as the configuration says');

# A session of a transaction pool follows from one transaction to the next.
{
	my $tx = session('tx');
	is($tx->ask($where), 'us-east1/app', 'a session of a transaction pool is in the east');
	order(qw(serve app us-west1 - 8));
	is($tx->ask($where), 'us-west1/app', '... and in the west with its next transaction');
	order(qw(serve app us-east1 - 9));
	is($tx->ask('BEGIN', $where), 'us-east1/app', '... and back');
	order(qw(serve app us-west1 - 10));
	is($tx->ask($where), 'us-east1/app', '... but never in the middle of one');
	is($tx->ask('COMMIT', $where), 'us-west1/app', '... it ends first');
	order(qw(serve app us-east1 - 11));
}

# ---------------------------------------------------------------- freeze and resume

sub all_sessions { return map { [ $_ => session($_) ] } qw(own ses tx through) }

{
	my @all = all_sessions();
	$_->[1]->ask($where) for @all;
	is(order('freeze', 1, @move, 2000, 20000), 'ok sessions=4 open=0 kept=0 closed=0 aborted=0', 'four sessions are frozen');
	is_deeply([ map { "$_->{database} $_->{region} $_->{migration}" } @{ paused() } ], [ ('app us-east1 1') x 2 ], 'SHOW PAUSES shows whose freeze it is');
	say_to($_->[1], $where) for @all;
	ok($_->[1]->silent, "$_->[0] waits") for @all;
	like($proxy->console_fails('RESUME'), qr/nothing is paused/, 'RESUME does not end it') if $proxy->can('console_fails');
	my ($late) = $gate->order('sessions', 1, 'app', 'us-east1');
	is($late, 'ok', 'sessions are listed while they are frozen');
	my $other = Meridian::Test::Wire->session($proxy, database => 'postgres', user => 'app', password => 'secret');
	is($other->ask($where), 'us-east1/postgres', 'other databases go on');
	is(order('resume', 1, 'app', 'us-east1'), 'ok', 'the freeze is over');
	is($_->[1]->answer, 'us-east1/app', "$_->[0] goes on where it was") for @all;
	is(order('resume', 1, 'app', 'us-east1'), 'ok', 'nothing is frozen: nothing is done');
}
{
	my @all = all_sessions();
	$_->[1]->ask($where) for @all;
	my $begun = time;
	order('freeze', 2, @move, 2000, 400);
	say_to($_->[1], $where) for @all;
	is($_->[1]->answer, 'us-east1/app', "nobody ends the freeze: $_->[0] goes on by itself") for @all;
	cmp_ok(passed($begun), '>', 0.35, '... when its time is over');
	is(scalar(@{ paused() }), 0, '... and nothing is paused');
}
{
	my $own = session('own');
	$own->ask('BEGIN');
	my $begun = time;
	is(order('freeze', 3, @move, 200, 20000), 'ok sessions=1 open=1 kept=0 closed=0 aborted=0', 'a transaction is open at the deadline');
	cmp_ok(passed($begun), '>', 0.15, '... which was waited for');
	is($own->ask($where), 'us-east1/app', 'it goes on, the freeze stays');
	my $door = $gate->give('freeze', 3, @move, 5000, 20000);
	let_pass(0.1, 'the freeze waits for it');
	say_to($own, 'COMMIT');
	is($own->answer, '', 'it ends');
	is(($gate->answer($door))[0], 'ok sessions=1 open=0 kept=0 closed=0 aborted=0', 'the freeze that waits for it is told at once');
	order('resume', 3, 'app', 'us-east1');
	is($own->ask($where), 'us-east1/app', 'and on it goes');
}

# ---------------------------------------------------------------- who can be moved

{
	my %s = map { $_->[0] => $_->[1] } all_sessions();
	my $temp = session('own');
	$temp->ask('CREATE TEMP TABLE t (i int)');
	$_->ask('SELECT 1') for values %s;
	my ($ok, @rows) = $gate->order('sessions', 4, 'app', 'us-east1');
	my %why = map { my @f = split /\|/, $_, -1; ("$f[3] $f[5]" => $f[6]) } @rows;
	is(scalar(@rows), 5, 'each session is listed');
	is($why{'transaction 1'}, '', 'one of a transaction pool can be moved');
	is($why{'session 1'}, '', 'one of a session pool, too');
	like(join(' ', sort grep { /passthrough/ } values %why), qr/passthrough login/, 'one whose login was relayed cannot');
}

# ---------------------------------------------------------------- the whole way

my $epoch = 11;

sub move_all
{
	my ($from, $to, $newdb, $expect) = @_;
	my $m = ++$epoch;
	my @way = ('app', $from, $to, $newdb);
	is(order('prewarm', $m, @way, 3000), 'ok sessions=0 open=0 kept=0 closed=0 aborted=0', 'connections are opened there');
	like(order('freeze', $m, @way, 2000, 20000), qr/^ok sessions=\d+ open=0/, 'frozen');
	order('serve', 'app', $to, $newdb, $epoch);
	is(order('switch', $m, @way), $expect, 'switched');
	return;
}

{
	my @all = all_sessions();
	$_->[1]->ask($where) for @all;
	my $busy = session('tx');
	my $idle = session('tx');
	$busy->ask($where);
	is(order('prewarm', 12, @move, 3000), 'ok sessions=0 open=0 kept=0 closed=0 aborted=0', 'connections are opened in the west');
	my $warm = grep { $_->{region} eq 'us-west1' && $_->{state} eq 'idle' && $_->{database} eq 'tx' } @{ $proxy->console('SHOW SERVERS') };
	cmp_ok($warm, '>=', 1, 'a pool has one there before anybody asks for it');
	like(order('freeze', 12, @move, 2000, 20000), qr/^ok sessions=6 open=0/, 'frozen');
	say_to($busy, $where);
	my $new = IPC::Run::start([ 'psql', '-XAtqc', $where, '-d', $proxy->connstr('tx') . ' user=app password=secret' ], '>', \my $said, '2>', \my $err);
	# greeted, or not yet: that is known to a worker which has sessions of this pool
	ok(wait_until(sub { grep { $_->{application_name} ne '' && $_->{state} =~ /^(?:paused|waiting)$/ } @{ $proxy->console('SHOW SESSIONS FULL') } }), 'a login that comes meanwhile waits');
	order(qw(serve app us-west1 - 12));
	like(order('switch', 12, @move), qr/^ok sessions=0 open=0 kept=[56] closed=1 aborted=0$/, 'five are kept, and who was greeted in the freeze; one is told to reconnect');
	is($busy->answer, 'us-west1/app', 'who waited is answered in the west');
	is($idle->ask($where), 'us-west1/app', 'who had said nothing yet as well');
	is($_->[1]->ask($where), 'us-west1/app', "$_->[0] is there") for @all[ 0 .. 2 ];
	my $last = $all[3][1]->message;
	is(join(' ', @{ error_fields($last) }{qw(S C M)}), 'FATAL 57P01 this database has moved to "us-west1"', 'a relayed login is told that it has moved');
	ok($all[3][1]->closed, '... and closed');
	$new->finish;
	is($said, "us-west1/app\n", 'the login that came meanwhile got in there');
	is(scalar(@{ paused() }), 0, 'nothing is frozen any more');
	$epoch = 12;
	$all[3][1] = session('through');
	move_all('us-west1', 'us-east1', '-', 'ok sessions=0 open=0 kept=5 closed=1 aborted=0');
	is($_->[1]->ask($where), 'us-east1/app', "$_->[0] is back") for @all[ 0 .. 2 ];
	$all[3][1] = session('through');
	move_all('us-east1', 'us-west1', 'app2', 'ok sessions=0 open=0 kept=5 closed=1 aborted=0');
	is($_->[1]->ask($where), 'us-west1/app2', "$_->[0] is in the database of another name") for @all[ 0 .. 2 ];
	move_all('us-west1', 'us-east1', 'app', 'ok sessions=0 open=0 kept=5 closed=0 aborted=0');
	is($_->[1]->ask($where), 'us-east1/app', "$_->[0] is back") for @all[ 0 .. 2 ];
}

# Decided elsewhere, and never frozen here: sessions follow where they are between two transactions.
{
	my @all = all_sessions();
	$_->[1]->ask($where) for @all;
	my $open = session('own');
	$open->ask('BEGIN', $where);
	order('serve', 'app', 'us-west1', '-', ++$epoch);
	my $comes_to = sub {
		my ($w, $there) = @_;
		return wait_until(sub { $w->ask($where) eq $there }, "a session to be at $there");
	};
	ok($comes_to->($_->[1], 'us-west1/app'), "$_->[0] follows") for @all[ 0 .. 2 ];
	like(error_fields($all[3][1]->message)->{C}, qr/57P01/, '... or is told to reconnect');
	is($open->ask($where), 'us-east1/app', '... but not in the middle of a transaction');
	order('serve', 'app', 'us-east1', '-', ++$epoch);
	ok($comes_to->($_->[1], 'us-east1/app'), "$_->[0] follows back") for @all[ 0 .. 2 ];
}

# What a session has set up comes along, or keeps it.
{
	my ($own, $ses, $tx, $temp) = map { session($_) } qw(own ses tx tx);
	for ($own, $ses, $tx) {
		$_->ask("SET application_name = 'mine'");
		$_->send(parse('SELECT $1::int + 1', 'add', 23) . sync_message());
		$_->answer;
	}
	$temp->ask('CREATE TEMP TABLE t (i int)');
	$temp->ask('SELECT 1');
	move_all('us-east1', 'us-west1', '-', 'ok sessions=0 open=0 kept=3 closed=1 aborted=0');
	for ([ own => $own ], [ ses => $ses ], [ tx => $tx ]) {
		is($_->[1]->ask('SHOW application_name'), 'mine', "$_->[0] keeps its settings");
		$_->[1]->send(bind_message([41], 'add') . execute() . sync_message());
		is($_->[1]->answer, '42', '... and its prepared statement');
	}
	like(error_fields($temp->message)->{D}, qr/temp table/, 'a temporary table cannot come along');
	move_all('us-west1', 'us-east1', '-', 'ok sessions=0 open=0 kept=3 closed=0 aborted=0');
}

# A server that dies while its session is frozen is no news for the client.
{
	my @all = all_sessions();
	$_->[1]->ask($where) for @all;
	my $m = ++$epoch;
	order('freeze', $m, @move, 2000, 20000);
	let_pass(0.3, 'connections are opened in the west');
	$east->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app'");
	let_pass(0.1, 'their end is heard');
	ok($_->[1]->silent, "$_->[0] hears nothing of its server's end") for @all;
	order('serve', 'app', 'us-west1', '-', $epoch);
	is(order('switch', $m, @move), 'ok sessions=0 open=0 kept=3 closed=1 aborted=0', 'three are moved all the same');
	is($_->[1]->ask($where), 'us-west1/app', "$_->[0] is there") for @all[ 0 .. 2 ];
	like(error_fields($all[3][1]->message)->{C}, qr/57P01/, 'the other one is told to reconnect');
	move_all('us-west1', 'us-east1', '-', 'ok sessions=0 open=0 kept=3 closed=0 aborted=0');
}
$proxy->stop;
done_testing();
