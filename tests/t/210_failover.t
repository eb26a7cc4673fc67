#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Nodes that refuse, hang, die, answer nonsense or have no room: who connects notices nothing but
# time, who was there is told at a message boundary, and everybody goes home when the region heals.
use strict;
use warnings;
use IO::Socket::INET;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use POSIX ();
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my ($east, $west) = regional_clusters('us-east1', { conf => "max_connections = 30\nsuperuser_reserved_connections = 0\n" },
	'us-west1', { conf => "max_connections = 200\n" });
my ($de, $dw) = map { Meridian::Test::Delay->new($_) } $east, $west;
my $where = "SELECT current_setting('cluster_name')";
my %still = (probe_interval => NEVER, probe_max_backoff => NEVER);
my %quick = (probe_interval => '100ms', probe_max_backoff => '100ms', probe_timeout => span(3), probe_fall => 2, probe_rise => 2);
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $de, 'us-west1' => $dw ],
	set => { region => 'us-east1', %still, server_connect_timeout => NEVER, failback_delay => 0, log_disconnections => 'off', log_connections => 'off' });
$proxy->start;

sub node { return $proxy->console('SHOW NODES FULL')->[ $_[0] ] }

# A session: (wire, region it landed in) or (undef, its error's fields).
sub session
{
	my (%param) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	my @m = $w->login(database => 'postgres', %param);
	return (undef, error_fields($m[-1])) if $m[-1][0] ne 'Z';
	$w->send(query($where));
	return ($w, row_values(($w->until('Z'))[1])->[0]);
}

sub lands
{
	my (undef, $region) = session(@_);
	return ref $region ? $region->{C} : $region;
}

# Whether a node that takes its time is waited for, or another tried beside it.
sub hedges { my ($yes) = @_; $proxy->reload(set => { hedge_delay => $yes ? '50ms' : '10s' }); return }

# Makes all nodes known as up again, at once.
sub heal
{
	$_->pass for $de, $dw;
	for (1 .. 100) {
		$proxy->console('PROBE');
		last if !grep { $_->{state} ne 'up' } @{ $proxy->console('SHOW NODES FULL') };
	}
	is_deeply([ map { $_->{state} } @{ $proxy->console('SHOW NODES FULL') } ], [ 'up', 'up' ], 'both nodes are up');
	return;
}

is(lands(), 'us-east1', 'at first: home');
my ($seattle) = session('meridian.city' => 'seattle');

# ---------------------------------------------------------------- refused

$de->refuse;
my $failures = $proxy->counter('attempt_failures');
is(lands(), 'us-west1', 'refused: the next region, no error');
is($proxy->counter('attempt_failures') - $failures, 1, 'one failed attempt');
$proxy->wait_console('SHOW NODES FULL', sub { $_[0][0]{state} ne 'up' });
is(lands(), 'us-west1', 'and the next session goes there too');
is($proxy->counter('attempt_failures') - $failures, 1, 'without another failed attempt');
heal();
is(lands(), 'us-east1', 'healed, without failback_delay: home at once');

# ---------------------------------------------------------------- hanging

hedges(1);
my ($hedges, $won) = map { $proxy->counter($_) } qw(hedges hedges_won);
$de->hang;
my $begin = time;
is(lands(), 'us-west1', 'a node that accepts and says nothing: the next one is tried beside it');
in_time($begin, 30, 'long before server_connect_timeout');
is($proxy->counter('hedges') - $hedges, 1, 'a second attempt was begun');
is($proxy->counter('hedges_won') - $won, 1, 'and was first');
ok($dw->count >= 1, 'the winner is connected');
heal();

kill 'STOP', my $postmaster = (split /\n/, PostgreSQL::Test::Utils::slurp_file($east->data_dir . '/postmaster.pid'))[0];
is(lands(), 'us-west1', 'a stopped postmaster');
kill 'CONT', $postmaster;
heal();
hedges(0);
is(lands(), 'us-east1', 'that goes on');
hedges(1);

# Where the first hangs and the second refuses, the third is not kept waiting.
my $third = Meridian::Test::Delay->new($west);
$proxy->reload(regions => [ 'us-east1' => $de, 'us-central1' => $third, 'us-west1' => $dw ]);
$_->hang for $de;
$third->refuse;
$begin = time;
is(lands(), 'us-west1', 'the first hangs, the second refuses: the third');
in_time($begin, 30, 'without waiting for a timeout');
$proxy->reload(regions => [ 'us-east1' => $de, 'us-west1' => $dw ]);
heal();

# The slow one wins after all where the second has nothing to offer.
$de->hang;
$dw->refuse;
my $w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => (getpwuid $>)[0], database => 'postgres'));
ok($w->silent, 'the only one left hangs');
$de->pass;
is(($w->until('ZE'))[-1][0], 'Z', 'and has the session when it goes on');
hedges(0);
heal();

# ---------------------------------------------------------------- nobody

$de->refuse;
$dw->hang;
$proxy->reload(set => { server_connect_timeout => '1s' });    # time: server_connect_timeout ends each attempt
my (undef, $e) = session();
is_deeply([ @$e{qw(S C)} ], [ 'FATAL', '08006' ], 'all nodes down: FATAL 08006');
is($e->{M}, 'no region can take this session', 'in words');
like($e->{D}, qr/us-east1 \S+: Connection refused/, 'the detail names each region tried and why');
like($e->{D}, qr/us-west1 \S+: timeout expired/, 'each of them');
$dw->refuse;
$proxy->reload(set => \%quick);
$proxy->wait_console('SHOW NODES FULL', sub { !grep { $_->{state} ne 'down' } @{ $_[0] } });
(undef, $e) = session();
is($e->{C}, '08006', 'known to be down: FATAL 08006');
like($e->{D}, qr/Region us-east1: all nodes down: .*refused.* Region us-west1: all nodes down: .*refused/s, 'with the reasons');

# They are back, and the prober does not know: its next look is minutes away.
$proxy->reload(set => { %still });
like($proxy->console("EXPLAIN ROUTE CITY 'seattle'")->[$_]{reason}, qr/all nodes down: .*refused; tried as a last resort/, 'where nothing else is left')
  for 0, 1;
$_->pass for $de, $dw;
is(lands(), 'us-east1', 'what is known to be down is tried as a last resort');
is_deeply([ map { $_->{state} } @{ $proxy->console('SHOW NODES FULL') } ], [ 'down', 'down' ], 'the prober had not seen it');
$proxy->console('DRAIN REGION us-east1');
is(lands(), 'us-west1', 'but never what an administrator has drained');
$proxy->console('DRAIN REGION us-west1');
(undef, $e) = session();
is($e->{C}, '08006', 'not even where there is nothing else');
unlike($e->{D}, qr/Tried/, 'nothing is tried then');
$proxy->console("UNDRAIN REGION $_") for qw(us-east1 us-west1);
$proxy->reload(set => \%quick);
$proxy->wait_console('SHOW NODES FULL', sub { !grep { $_->{state} ne 'up' } @{ $_[0] } });
is(lands(), 'us-east1', 'it stays up and sees that they are back');
$proxy->reload(set => { server_connect_timeout => NEVER });

# ---------------------------------------------------------------- going home

# As when the machine is gone: nothing connects, and what was connected is not.
sub dies { my ($relay) = @_; $relay->refuse; $relay->cut; return }

my $delay = 2;
$proxy->reload(set => { failback_delay => "${delay}s" });
$proxy->wait_console("EXPLAIN ROUTE CITY 'seattle'", sub { $_[0][0]{reason} eq 'nearest' });
dies($de);
$proxy->wait_console('SHOW NODES FULL', sub { $_[0][0]{state} eq 'down' });
is(lands(), 'us-west1', 'a region is down');
my $passes = time;    # before the proxy can know of it
$de->pass;
$proxy->wait_console('SHOW NODES FULL', sub { $_[0][0]{state} eq 'up' });
my $early = lands();
ok($early eq 'us-west1' || passed($passes) > $delay, 'it is up, but failback_delay has not passed');
ok(wait_until(sub { lands() eq 'us-east1' }, 'failback_delay to be over'), 'then new sessions go home');
cmp_ok(passed($passes), '>=', $delay * 0.95, 'not before failback_delay');
dies($dw);
$proxy->wait_console('SHOW NODES FULL', sub { $_[0][1]{state} eq 'down' });
dies($de);
$proxy->wait_console('SHOW NODES FULL', sub { $_[0][0]{state} eq 'down' });
$de->pass;
$proxy->wait_console('SHOW NODES FULL', sub { $_[0][0]{state} eq 'up' });
is(lands(), 'us-east1', 'where there is no other, the delay does not count');
$proxy->reload(set => { %still, failback_delay => 0 });
heal();
($seattle) = session('meridian.city' => 'seattle');

# ---------------------------------------------------------------- sessions on a node that dies

# The last words of a session: fields of its ErrorResponse, or undef where the end came inside a
# message.
sub last_words
{
	my ($v) = @_;
	my @m = $v->until('');
	return undef if length $v->{in};
	return @m && $m[-1][0] eq 'E' ? error_fields($m[-1]) : {};
}

my @there = map { (session())[0] } 1 .. 10;
$there[1]->send(query('BEGIN'));
$there[1]->until('Z');
$there[2]->send(query('SELECT pg_sleep(100)'));
$there[3]->send(parse('SELECT 1', 's') . flush_message);
$there[3]->until('1');
$there[4]->send(query("SELECT pg_sleep(100), 'second'"));
$there[5]->send(query('CREATE TEMP TABLE t(a int); COPY t FROM STDIN'));
$there[5]->until('G');
ok($east->poll_query_until('postgres', "SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 'queries run');
$de->cut;
for my $n (0 .. $#there) {
	$e = last_words($there[$n]);
	is_deeply([ @$e{qw(S C)} ], [ 'FATAL', '57P01' ], "session $n is told");
	like($e->{D}, qr/^Region us-east1, node \S+, server process \d+\.$/, 'with region and node') if $n == 0;
}
$seattle->send(query('SELECT 1'));
is(row_values(($seattle->until('Z'))[1])->[0], '1', 'a session elsewhere notices nothing');

# Inside a message nothing can be said.
my ($v) = session();
$v->send(query("SELECT repeat('x', 20000000)"));
$v->bytes(100_000);
$v->{in} = '';
$de->cut;
1 while $v->fill;
ok($v->{in} =~ /^x*\z/, 'cut inside a row: the connection ends without a word that would be taken for data');
heal();

# The node's own last words are the last.
@there = map { (session())[0] } 1 .. 3;
$east->stop('fast');
for my $v (@there) {
	my @m = $v->until('');
	is(join(',', map { $_->[0] } @m), 'E', 'a node that shuts down: one ErrorResponse');
	is(error_fields($m[0])->{M}, 'terminating connection due to administrator command', 'its own');
}
$east->start;
heal();

# ---------------------------------------------------------------- a storm of connects over a dying node

# Children that connect without pause and note what becomes of each connection.
my (@child, @note);
my $stop = PostgreSQL::Test::Utils::tempdir() . '/stop';
for my $n (1 .. 3) {
	pipe my $read, my $write or die;
	my $pid = fork // die;
	if (!$pid) {
		close $read;
		my %count;
		while (!-e $stop) {
			my @v = map { Meridian::Test::Wire->new($proxy) } 1 .. 17;
			$_->send(startup(user => (getpwuid $>)[0], database => 'postgres')) for @v;
			for my $v (@v) {
				my $m = ($v->until('ZE'))[-1];
				$count{ !$m ? 'closed' : $m->[0] eq 'Z' ? 'in' : error_fields($m)->{C} }++;
			}
		}
		syswrite $write, join(' ', %count) . "\n";
		POSIX::_exit(0);
	}
	push @child, $pid;
	push @note, $read;
}
my $logins = $proxy->counter('logins');
$proxy->wait_console('SHOW STATS', sub { $proxy->counter('logins') > $logins + 100 });
$east->stop('immediate');
$logins = $proxy->counter('logins');
$proxy->wait_console('SHOW STATS', sub { $proxy->counter('logins') > $logins + 150 });
$east->start;
$proxy->console('PROBE') for 1 .. 3;
$logins = $proxy->counter('logins');
$proxy->wait_console('SHOW STATS', sub { $proxy->counter('logins') > $logins + 100 });
PostgreSQL::Test::Utils::append_to_file($stop, '');
my %count;
for my $read (@note) {
	my %its = split / /, <$read> =~ s/\n//r;
	$count{$_} += $its{$_} for keys %its;
}
waitpid $_, 0 for @child;
is_deeply([ keys %count ], ['in'], 'of all that connected while a node died none saw an error') or diag explain \%count;
note "$count{in} connections";
heal();

# ---------------------------------------------------------------- no room

my @fill;
while (@fill < 40) {
	my $v = Meridian::Test::Wire->new($east);
	my $m = ($v->login(database => 'postgres'))[-1];
	last if $m->[0] ne 'Z';
	push @fill, $v;
}
cmp_ok(scalar @fill, '<', 40, 'the first node has no connection left');
is(lands(), 'us-west1', '53300 of a node moves on to the next');
is(node(0)->{state}, 'up', 'and is no word against the node');
$_->close for splice @fill;
ok($east->poll_query_until('postgres', 'SELECT count(*) < 5 FROM pg_stat_activity WHERE backend_type = \'client backend\''), 'room again');
is(lands(), 'us-east1', 'and used again');

# ---------------------------------------------------------------- nodes that are none

# A server that answers each connection with these bytes once it has read something, then closes.
my @fakes;

sub fake
{
	my ($answer) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50, ReuseAddr => 1) or die;
	my $pid = fork // die;
	if (!$pid) {
		while (my $c = $listen->accept) {
			sysread $c, my $said, 10000 if length $answer;
			syswrite $c, $answer;
		}
		POSIX::_exit(0);
	}
	push @fakes, $pid;
	return '127.0.0.1:' . $listen->sockport;
}

sub refusal { return frame('E', "SFATAL\0VFATAL\0C$_[0]\0M$_[1]\0\0") }

my %fake = (
	'57P03 (starting up)'         => [ refusal('57P03', 'the database system is starting up'), 'us-west1' ],
	'57P01 (shutting down)'       => [ refusal('57P01', 'bye'), 'us-west1' ],
	'53200 (out of memory)'       => [ refusal('53200', 'out of memory'), 'us-west1' ],
	'AuthenticationOk, then 53300' => [ frame('R', pack 'N', 0) . refusal('53300', 'too many'), 'us-west1' ],
	'AuthenticationOk, then the end' => [ frame('R', pack 'N', 0), 'us-west1' ],
	'half a message'              => [ substr(refusal('57P03', 'x' x 50), 0, 30), 'us-west1' ],
	'nothing, and closes'         => [ '', 'us-west1' ],
	'garbage'                     => [ "HTTP/1.1 400 Bad Request\r\n\r\n" x 3, 'us-west1' ],
	'a message of 2 GB'           => [ pack('a1 N', 'E', 0x7fffffff) . 'x' x 5000, 'us-west1' ],
	'a row before the login'      => [ frame('D', "\0\0"), 'us-west1' ],
	'3D000 (no such database)'    => [ refusal('3D000', 'no such database'), '3D000' ],
	'28P01 (wrong password)'      => [ refusal('28P01', 'wrong password'), '28P01' ]);
for my $what (sort keys %fake) {
	my ($answer, $want) = @{ $fake{$what} };
	$proxy->reload(regions => [ 'us-east1' => { nodes => fake($answer), sslmode => 'disable' }, 'us-west1' => $west ],
		set => { probe_conninfo => undef });
	is(lands(), $want, "a node that says $what: $want");
}
$proxy->reload(regions => [ 'us-east1' => 'no-such-host.invalid:5432', 'us-west1' => $west ]);
is(lands(), 'us-west1', 'a node whose name has no address: us-west1');
$proxy->reload(regions => [ 'us-east1' => 'no-such-host.invalid:5432' ]);
(undef, $e) = session();
is($e->{C}, '08006', 'and where it is the only one: 08006');
like($e->{D}, qr/us-east1.*no-such-host\.invalid.*(?:resolved|address|not known)/s, 'which names it');
$proxy->reload(regions => [ 'us-east1' => $east->host . ':' . $east->port, 'us-west1' => $west ]);
is(lands(), 'us-east1', 'a node behind a unix socket');
$proxy->wait_console('SHOW NODES FULL', sub { $_[0][0]{state} eq 'up' });
pass('and it can be probed');

kill 'KILL', @fakes;
waitpid $_, 0 for @fakes;
$proxy->stop;
done_testing();
