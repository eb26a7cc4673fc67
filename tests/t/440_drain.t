#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Ends at awkward moments: a process or a node that is drained while clients stand between its
# states, a console that is left in the breath in which it is opened, a node that talks nonsense.
use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Cluster ();
use Test::More;
use Time::HiRes qw(time);

my ($node) = regional_clusters('us-east1', { users => { alice => 'secret' } });

sub wire { return Meridian::Test::Wire->new(@_) }

# The last words that somebody hears.
sub last_words
{
	my ($w, $state, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $m = ($w->until('E'))[-1];
	is($m && $m->[0] eq 'E' ? error_fields($m)->{C} : 'none', $state, $what);
	ok($w->closed, 'and closed');
	return;
}

# ---------------------------------------------------------------- the console

my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { probe_conninfo => undef, workers => 4 });
$proxy->start;

for (1 .. 3) {
	my $w = wire(path => $proxy->socket_path);
	$w->send(startup(user => 'me', database => 'meridian'), query('SHOW VERSION'), terminate());
	my @all = $w->until('');
	is(scalar(grep { $_->[0] eq 'D' } @all), 1, 'a console that is left at once answers first');
}
is(@{ $proxy->console('SHOW REGIONS') }, 1, 'and others can open it');

# ---------------------------------------------------------------- DRAIN with a deadline

my $prompted = wire($proxy);
$prompted->send(startup(user => 'alice', database => 'postgres'));
is($prompted->message->[0], 'R', 'somebody is asked for a password');
my $working = wire($proxy);
$working->login(database => 'postgres');
$proxy->console("DRAIN REGION us-east1 DEADLINE '200ms'");    # time: as the command is given it
last_words($prompted, '57P01', 'a deadline ends who is at the prompt');
last_words($working,  '57P01', 'and who is in');
$proxy->console('UNDRAIN REGION us-east1');

# ---------------------------------------------------------------- UNDRAIN of what is not drained

my $name = '127.0.0.1:' . $node->port;
sub drained { return join ' ', map { "$_->{drained}" } @{ $proxy->console('SHOW REGIONS') }, @{ $proxy->console('SHOW NODES FULL') } }
my $nothing = drained();
my $log     = length $proxy->log_text;
like($proxy->console_error('UNDRAIN REGION us-east1'), qr/55000: region "us-east1" is not drained/, 'a region that is not drained any more');
like($proxy->console_error("UNDRAIN NODE '$name'"), qr/55000: node "\Q$name\E" is not drained/, 'a node that never was');
like($proxy->console_error('UNDRAIN REGION nowhere'), qr/42704: region "nowhere" does not exist/, 'a region that there is not');
$proxy->console('DRAIN REGION us-east1');
like($proxy->console_error("UNDRAIN NODE '$name'"), qr/55000: node "\Q$name\E" is not drained/, 'a node of a region that is');
isnt(drained(), $nothing, '... which stays so');
is(Meridian::Test::Wire->session($proxy)->{last}[0], 'E', '... and nobody gets in');
$proxy->console('UNDRAIN REGION us-east1');
is(drained(), $nothing, 'until it is over');
is(Meridian::Test::Wire->session($proxy)->{last}[0], 'Z', '... and all is as before');
is(() = $proxy->log_text($proxy->{log_from} + $log) =~ /is no longer drained/g, 1, '... once, as the log has it');

# ---------------------------------------------------------------- what the server has discarded

# Extended messages without a Sync, one of which fails, and a Query behind them: the server passes over
# the Query, and would over all others. The session is not busy for ever.
my $discarding = Meridian::Test::Proxy->new('discarding', regions => [ 'us-east1' => $node ], set => { probe_conninfo => undef });
$discarding->start;
my @lost = map { Meridian::Test::Wire->session($discarding) } 1 .. 3;
my $fails = parse('SELECT 1/0') . bind_message([]) . execute();
$_->send($fails, query('SELECT 1')) for @lost;
is(error_fields(($_->until('E'))[-1])->{C}, '22012', 'a message in front of a Query fails') for @lost;
ok($lost[0]->silent, 'the Query is passed over');
is_deeply([ map { $_->{activity} // $_->{state} } grep { $_->{database} eq 'postgres' } @{ $discarding->console('SHOW SESSIONS FULL') } ],
	[ ('idle') x 3 ], 'nobody is taken for busy');
$_->send(sync_message) for @lost[ 1, 2 ];
is(($_->until('Z'))[-1][1], 'I', 'behind a Sync') for @lost[ 1, 2 ];
is($lost[1]->ask('SELECT 42'), '42', 'it goes on');
kill 'TERM', $discarding->pid;
last_words($_, '57P01', 'SIGTERM ends it') for @lost;
ok($discarding->wait_exit(20), 'and the process');
is($discarding->exit_status, 0, 'in peace');

# ---------------------------------------------------------------- the end of the process

# Sessions keep some workers alive, the others have nothing to do any more. Cancel requests that
# come by connections made before must still find their way to all of them.
my $busy = wire($proxy);
$busy->login(database => 'postgres');
$busy->send(query('SELECT pg_sleep(60)'));
my @silent    = map { wire($proxy) } 1 .. 6;
my @cancelers = map { wire($proxy) } 1 .. 6;
$prompted = wire($proxy);
$prompted->send(startup(user => 'alice', database => 'postgres'));
$prompted->message;
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'
	AND pid <> pg_backend_pid()});
kill 'TERM', $proxy->pid;
$proxy->wait_for_log(qr/SIGTERM: draining/);
last_words($prompted, '57P01', 'a login does not hold up the end');
for my $w (@cancelers) {
	$w->send(cancel_request($busy->{pid}, $busy->{secret} ^ "\0\0\0\1"));
	ok($w->closed, 'a wrong key is told nothing while others end');
}
last_words($_, '57P01', 'who says nothing does not hold it up either') for @silent;
ok(kill(0, $proxy->pid), 'the query does');
my $began = time;
my $w = $busy;
$proxy->stop;
last_words($w, '57P01', 'a second signal ends that');
in_time($began, 10, 'at once');

# ---------------------------------------------------------------- a successor while it drains

# Listening sockets are closed at once, so that another process can have them.
$proxy->start;
$busy = wire($proxy);
$busy->login(database => 'postgres');
my $leaves = wire($proxy);
$leaves->login(database => 'postgres');
$_->send(query('SELECT pg_sleep(70)')) for $busy, $leaves;
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(70)%'
	AND pid <> pg_backend_pid()}), 'queries run');
my $from = -s $proxy->logfile;
kill 'TERM', $proxy->pid;
$proxy->wait_for_log(qr/SIGTERM: draining/, $from);
my $port = $proxy->port;
my $heir = Meridian::Test::Proxy->new('heir',
	regions => [ 'us-east1' => $node ],
	port    => $port,
	set     => { listen => "127.0.0.1:$port, " . $proxy->socket_dir });
ok(wait_until(sub { $heir->start(fail_ok => 1) }, 'the addresses'), 'another process takes its addresses while it drains');
$w = wire($heir);
$w->login(database => 'postgres');
ok($busy->cancel, 'which is where cancel requests go from now on');
ok($busy->silent, 'and find nothing there');
$w->send(query("SELECT pg_cancel_backend($busy->{pid})"));
is(row_values(($w->until('Z'))[1])->[0], 't', 'but the process id is the server\'s');
is(error_fields(($busy->until('E'))[-1])->{C}, '57014', 'so that SQL cancels it');
$leaves->close;
ok($node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $leaves->{pid}"),
	'and so does leaving the session');
ok($proxy->wait_exit, 'the first ends');
ok(eval { wire(path => $proxy->socket_path) }, 'the end of the first leaves the second its unix socket');
$heir->stop;

# ---------------------------------------------------------------- a signal too early

my $deaf = Meridian::Test::Delay->new($node);
$deaf->hang;
# as soon as it minds the second of them, or after a while (time: a shell rests between two looks)
my $signals = 'for i in $(seq 40); do grep -Eq "^Sig(Ign|Cgt):.*[2367abef]..$" /proc/$$/status && break; sleep 0.05; done; kill -HUP $$; kill -USR1 $$';
my $early   = Meridian::Test::Proxy->new('early',
	regions => [ 'us-east1' => $deaf ],
	wrapper => [ 'sh', '-c', qq{($signals) & exec "\$@"}, 'sh' ]);
ok($early->start(fail_ok => 1), 'SIGHUP before it listens to signals is not the end of it');
$early->stop;

# ---------------------------------------------------------------- nodes that fail

my @dead = map { '127.0.0.1:' . PostgreSQL::Test::Cluster::get_free_port() } 1 .. 40;
my $crowd = Meridian::Test::Proxy->new('crowd',
	regions => [ map { ("place$_" => { location => "0, $_", nodes => join ', ', @dead[ $_ * 8 - 8 .. $_ * 8 - 1 ] }) } 1 .. 5 ]);
$crowd->start;
$w = wire($crowd);
$w->send(startup(user => 'a', database => 'b'));
my $e = error_fields(($w->until('E'))[-1]);
is($e->{C}, '08006', 'no node of forty is there');
like($e->{D}, qr/^Tried place\d 127\.0\.0\.1:\d+: .*Connection refused/, 'the first are named');
like($e->{D}, qr/ …/, 'and that there are more');
$crowd->stop;

# Says ReadyForQuery to all, and nonsense to the first query.
sub babble
{
	my ($c) = @_;
	sysread $c, my $in, 10000;
	if (length $in == 8) {    # SSLRequest
		syswrite $c, 'N';
		sysread $c, $in, 10000 or return;
	}
	syswrite $c, frame('R', pack 'N', 0) . frame('K', pack 'N N', 1, 2) . frame('Z', 'I');
	sysread $c, $in, 10000 or return;
	syswrite $c, frame('C', "SELECT 1\0") . pack('a N a*', 'D', 1, 'nonsense');
	1 while sysread $c, $in, 10000;
	return;
}

my $listen = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1') or die "listen: $!";
my $babbler = fork // die "fork: $!";
if (!$babbler) {
	local $SIG{CHLD} = 'IGNORE';
	while (1) {
		my $c = $listen->accept or next;
		next if fork;
		babble($c);
		POSIX::_exit(0);
	}
}
my $odd = Meridian::Test::Proxy->new('odd', regions => [ 'us-east1' => '127.0.0.1:' . $listen->sockport ]);
$odd->start;
$w = wire($odd);
$w->login(user => 'a', database => 'b');
$w->send(query('SELECT 1'));
ok($w->closed, 'a node that breaks the protocol loses the session');
$odd->log_like(qr/protocol violation by the server/, 'which is logged');
$odd->stop;
kill 'KILL', $babbler;
waitpid $babbler, 0;

done_testing();
