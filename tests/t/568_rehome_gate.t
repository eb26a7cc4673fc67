#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Sessions with a server of their own, moved by the gate of a migration to a region that is 80 ms
# away: what is slow is done before the switch, so that the switch costs no round trip; what
# they have set comes along; a freeze that ends by itself, servers that die on either side, clients
# that go, and what cannot be carried over.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Gate;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my $ms = 200;
my ($east, $west) = regional_clusters('us-east1', 'us-west1');
$_->safe_psql('postgres', 'CREATE DATABASE app') for $east, $west;
my $far   = Meridian::Test::Delay->new($west);
my $gate  = Meridian::Test::Gate->new;
my $proxy = Meridian::Test::Proxy->new('main', $gate->proxy_options,
	regions => [ 'us-east1' => $east, 'us-west1' => { nodes => $far } ],
	set     => { auth => 'trust', workers => 2, region => 'us-east1', default_pool_size => 60 },
	conf    => "[database own]\ndbname = app\npool = off\n[database ses]\ndbname = app\npool = session\n");
$proxy->start;
$proxy->wait_up(2);

my $where = "SELECT current_setting('cluster_name')";
my $m     = 0;
my ($from, $to) = qw(us-east1 us-west1);

sub session { my ($database) = @_; return Meridian::Test::Wire->session($proxy, database => $database) }
sub order { my ($answer) = $gate->order(@_); return $answer }
sub way { return ($m, 'app', $from, $to, '-') }
sub extended { my ($w, @messages) = @_; $w->send(join '', @messages, sync_message()); return $w->answer }

# As an executor does it: open, freeze, think for a while, decide, switch. Returns how long the switch
# took, in milliseconds.
sub move_there
{
	my ($expect, %opt) = @_;
	$m++;
	is(order('prewarm', way(), 5000), 'ok sessions=0 open=0 kept=0 closed=0 aborted=0', 'connections are opened there') unless $opt{cold};
	like(order('freeze', way(), 2000, 30000), qr/^ok sessions=\d+ open=0/, 'frozen');
	let_pass(($opt{think} // 400) / 1000, 'the sessions are taken over there');
	$opt{meanwhile}->() if $opt{meanwhile};
	order('serve', 'app', $to, '-', $m);
	my $begun = time;
	is(order('switch', way()), $expect, 'switched');
	($from, $to) = ($to, $from);
	return passed($begun) * 1000;
}

sub counts { my ($kept, $closed) = @_; return "ok sessions=0 open=0 kept=$kept closed=$closed aborted=0" }

# Connections of the application at a cluster, ours that wait among them.
sub backends
{
	my ($node) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname = 'app'");
}

sub backends_become
{
	my ($node, $want, $name) = @_;
	my $got;
	wait_until(sub { ($got = backends($node)) == $want });
	return is($got, $want, $name);
}

# ---------------------------------------------------------------- no round trip in the switch

$far->ms($ms / 2); # each way
my @all = map { session($_) } ('own') x 4, ('ses') x 4;
for my $i (0 .. $#all) {
	my $w = $all[$i];
	$w->ask("SET app.tenant = 'number $i'", "SET TIME ZONE 'Asia/Tokyo'", "LISTEN news", "PREPARE mine AS SELECT $i * 2");
	extended($w, parse('SELECT $1 + 1', 'plus', 23));
	extended($w, parse("SELECT 'unnamed $i'"));
}
# What is measured is what it has to wait for, and not the machine: the best of three.
my $took = move_there(counts(8, 0));
for (1 .. 2) {
	last if $took < patience($ms - 10);
	move_there(counts(8, 0), cold => 1);
	my $again = move_there(counts(8, 0));
	$took = $again if $again < $took;
}
note sprintf 'the switch of 8 sessions took %.0f ms at a distance of %d ms', $took, $ms;
took($took / 1000, ($ms - 10) / 1000, 'the switch costs less than a round trip');
for my $i (0 .. $#all) {
	my $w = $all[$i];
	is(extended($w, bind_message([]), execute()), "unnamed $i", "session $i has its statement without a name");
	is($w->ask($where), 'us-west1', 'in the west');
	is($w->ask("SELECT current_setting('app.tenant'), current_setting('TimeZone')"), "number $i,Asia/Tokyo", 'and its settings');
	is($w->ask('EXECUTE mine'), $i * 2, 'what it has prepared in SQL');
	is(extended($w, bind_message([41], 'plus'), execute()), '42', 'and in the protocol');
}
$west->safe_psql('app', "NOTIFY news, 'from the west'");
like(($_->until('A'))[-1][1], qr/from the west/, 'each hears what is notified there') for @all;
backends_become($east, 0, 'nothing is left in the east');
backends_become($west, 8, 'each has one connection in the west');

# where nothing was prepared before the switch, it takes its round trips and still works
$took = move_there(counts(8, 0), cold => 1, think => 0);
is($_->ask($where), 'us-east1', 'back, without any preparation') for @all;
backends_become($west, 0, 'nothing is left in the west');

# ---------------------------------------------------------------- a freeze that comes to nothing

$m++;
is(order('prewarm', way(), 5000), counts(0, 0), 'connections are opened');
order('freeze', way(), 2000, 8000);
backends_become($west, 8, 'they are there');
$all[0]->send(query($where));
is($all[0]->answer, 'us-east1', 'the freeze ends by itself: the session goes on where it was');
backends_become($west, 0, 'and the connections go');
is($_->ask("SELECT current_setting('TimeZone')"), 'Asia/Tokyo', 'nothing has changed') for @all;
$m++;
order('freeze', way(), 2000, 30000);
let_pass(0.5, 'the sessions are taken over there');
# what comes for one who listens meanwhile is not lost
$east->safe_psql('app', "NOTIFY news, 'in the freeze'");
is(order('resume', $m, 'app', $from), 'ok', 'the migration ends it');
like(($_->until('A'))[-1][1], qr/in the freeze/, 'a notification that came meanwhile is heard') for @all;
is($_->ask($where), 'us-east1', 'all go on') for @all;
backends_become($west, 0, 'nothing is left there');

# ---------------------------------------------------------------- what goes wrong

# the servers of the new region die while they wait
move_there(counts(8, 0), meanwhile => sub {
	$west->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app'");
	let_pass(0.3, 'their end is heard');
});
is($_->ask($where), 'us-west1', 'new ones are opened') for @all;
is($all[1]->ask('SHOW app.tenant'), 'number 1', 'with all that there is');

# the old ones do
move_there(counts(8, 0), meanwhile => sub {
	$west->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app'");
	let_pass(0.3, 'their end is heard');
});
is($_->ask($where), 'us-east1', 'the end of the old server is no news') for @all;

# clients go while they are kept
$m++;
order('prewarm', way(), 5000);
order('freeze', way(), 2000, 30000);
let_pass(0.3, 'connections are opened there');
(pop @all)->close for 1 .. 2;
(shift @all)->send(terminate()) for 1 .. 2;
backends_become($west, 4, 'the connections of those who hang up go with them');
order('serve', 'app', $to, '-', $m);
like(order('switch', way()), qr/kept=4 closed=0/, 'the others move');
($from, $to) = ($to, $from);
is($_->ask($where), 'us-west1', 'to the west') for @all;

# what cannot be carried over
my $temp = session('own');
my $lock = session('ses');
$temp->ask('CREATE TEMP TABLE t (i int)');
$lock->ask('SELECT pg_advisory_lock(1)');
move_there(counts(4, 2));
for ([ $temp, 'temp table' ], [ $lock, 'advisory lock' ]) {
	my ($w, $word) = @$_;
	my ($last) = grep { $_->[0] eq 'E' } $w->until('E');
	is(error_fields($last)->{C}, '57P01', "$word: told to reconnect");
	like(error_fields($last)->{D}, qr/\Q$word\E/, 'and why');
	ok($w->closed, 'and closed');
}
is($_->ask($where), 'us-east1', 'the others are there') for @all;

# ---------------------------------------------------------------- a client that reads slowly

# Bytes that stand in the kernel between the proxy and this client, who is at a unix socket.
sub in_the_kernel
{
	my ($w) = @_;
	my $n = pack 'i', 0;
	ioctl $w->{fd}, 0x541B, $n or die "FIONREAD: $!";
	return unpack 'i', $n;
}

# What the console says that it has been sent.
my $console = Meridian::Test::Wire->new(path => $proxy->socket_path);
$console->login(database => 'meridian');

sub sent_to_slow
{
	$console->send(query('SHOW SESSIONS FULL'));
	my ($heads, @rows) = grep { $_->[0] =~ /[TD]/ } $console->until('Z');
	my @names = unpack('x2 (Z* x18)*', $heads->[1]);
	for my $row (@rows) {
		my %s;
		@s{@names} = @{ row_values($row) };
		return $s{tx_bytes} if ($s{application_name} // '') eq 'slow';
	}
	return 0;
}

# It listens, is told more than the kernel takes, message by message, and reads nothing: the proxy keeps the rest
# and does not read its server until that has gone. (session, its server process, how often it was told)
sub slow_listener
{
	my ($database) = @_;
	my $w = Meridian::Test::Wire->new(path => $proxy->socket_path);
	$w->login(user => 'postgres', database => $database, application_name => 'slow');
	my $pid = $w->ask("SET app.tenant = 'slow'", 'LISTEN much', 'SELECT pg_backend_pid()');
	my $notifier = Meridian::Test::Wire->new(port => ($from eq 'us-east1' ? $east : $west)->port);
	$notifier->login(database => 'app');
	my ($base, $sent, $text) = (sent_to_slow(), 0, ' much' x 1500);
	for my $told (1 .. 500) {
		$notifier->ask("SELECT pg_notify('much', '$told$text')");
		$sent += 1 + 4 + 4 + length("much\0$told$text\0");
		wait_until(sub { sent_to_slow() >= $base + $sent }, 'the notification to be passed on') or die 'it does not come';
		return ($w, $pid, $told) if $sent > in_the_kernel($w);
	}
	die 'the kernel takes everything';
}

# All of it, in its order.
sub hears_all
{
	my ($w, $told, $name) = @_;
	my $n = 0;
	while ($n < $told) {
		my ($m) = ($w->until('AE'))[-1] or last;
		last if $m->[0] ne 'A' || $m->[1] !~ /much\0(\d+) much/ || $1 != $n + 1;
		$n++;
	}
	return is($n, $told, $name);
}

# It is on its way: what it has left is at the new server.
sub slow_is_ready
{
	my ($new, $name) = @_;
	like(order('prewarm', (++$m, 'app', $from, $to, '-'), 5000), qr/^ok/, "$name: a connection is opened for it");
	like(order('freeze', way(), 2000, 30000), qr/^ok sessions=5 open=0/, '... it is frozen');
	ok($new->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'app' AND state = 'idle' AND query ~ 'LISTEN.*much'"),
		'... what it has left is carried over');
	return;
}

$far->ms(0);
for my $case ([ 'own', 'before' ], [ 'ses', 'before' ], [ 'own', 'behind' ], [ 'own', 'never' ]) {
	my ($database, $when) = @$case;
	my ($old, $new) = $from eq 'us-east1' ? ($east, $west) : ($west, $east);
	my ($w, $pid, $told) = slow_listener($database);
	slow_is_ready($new, "a client that reads slowly, $database, $when the switch");
	if ($when eq 'before') {
		hears_all($w, $told, '... it reads all that it was told');
		$old->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		ok($old->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"), '... its old server ends');
		ok($w->silent, '... which is no news');
	}
	if ($when ne 'never') {
		order('serve', 'app', $to, '-', $m);
		like(order('switch', way()), qr/kept=5 closed=0/, '... it moves');
		($from, $to) = ($to, $from);
	} else {
		is(order('resume', $m, 'app', $from), 'ok', '... it is not moved');
	}
	hears_all($w, $told, '... it reads all that it was told') if $when ne 'before';
	is($w->ask($where), $from, '... and is where it should be');
	is($w->ask('SHOW app.tenant'), 'slow', '... with its settings');
	$w->close;
	$proxy->wait_console('SHOW SESSIONS FULL', sub { !grep { $_->{application_name} eq 'slow' } @{ $_[0] } });
}

# ---------------------------------------------------------------- the proxy ends in the middle

$m++;
order('prewarm', way(), 5000);
order('freeze', way(), 2000, 30000);
let_pass(0.3, 'connections are opened there');
$proxy->stop;
backends_become($_, 0, 'no connection is left') for $east, $west;
done_testing();
