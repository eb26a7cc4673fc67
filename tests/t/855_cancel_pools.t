#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Cancel requests and pools: a request hits the query for which it was made, or nothing. Two hundred
# sessions share ten server connections; some of them are cancelled, a thousand times in all, early,
# late and when they have let go of their server connection; the others never hear of it.
use strict;
use warnings;
use IO::Select;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my $node = regional_clusters('us-east1', { tls => 1, conf => "restart_after_crash = on\n" });
my $far  = Meridian::Test::Delay->new($node);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $far, sslmode => 'require' } ],
	set     => { auth => 'trust', workers => 2, default_pool_size => 10, probe_interval => NEVER, query_wait_notify => 0 },
	conf    => "[database postgres]\npool = transaction\n[database template1]\npool = session\n");
$proxy->start;

sub session { return Meridian::Test::Wire->session($proxy, @_) }

sub sleeping
{
	my ($want, $seconds) = @_;
	$seconds //= 100;
	return $node->poll_query_until('postgres',
		"SELECT count(*) = $want FROM pg_stat_activity WHERE query = 'SELECT pg_sleep($seconds)' AND state = 'active'");
}

sub servers
{
	my ($state) = @_;
	return scalar grep { $_->{state} eq $state } @{ $proxy->console('SHOW SERVERS') };
}

# ---------------------------------------------------------------- one at a time

for my $database (qw(postgres template1)) {
	for my $version (0x30000, 0x30002) {
		my $w = session(database => $database, version => $version);
		is(length $w->{secret}, $version == 0x30000 ? 4 : 32, "$database: a secret");
		ok($w->{pid} > 0 && $w->{pid} < 2**31, 'a process id that is positive');
		$w->send(query('SELECT pg_sleep(100)'));
		ok(sleeping(1), 'a query runs');
		ok($w->cancel, 'is cancelled');
		like($w->answer, qr/^57014/, 'and ends');
		is($w->ask('SELECT 1'), 1, 'the session goes on');
		$w->cancel;
		is($w->ask('SELECT 2'), 2, 'a cancel between two transactions does nothing');
	}
}
my ($a, $b) = map { session() } 1 .. 2;
$a->ask('BEGIN');
$a->send(query('SELECT pg_sleep(100)'));
ok(sleeping(1), 'a query in a transaction');
$a->cancel;
like($a->answer, qr/^57014/, 'is cancelled');
like($a->ask('SELECT 1'), qr/^25P02/, 'its transaction has failed');
$a->ask('ROLLBACK');
is($a->ask('SELECT 1'), 1, 'and the session goes on');

# A request that is under way to the node while its query ends by itself: the connection is held until
# the node has seen to it. Whoever waits gets it then, and not before.
$proxy->stop;
$proxy->write_conf(set => { workers => 1, default_pool_size => 1 });
$proxy->start;
($a, $b) = map { session() } 1 .. 2;
is($_->ask('SELECT 1'), 1, 'one server connection serves two sessions') for $a, $b;
$far->hold;
$a->send(query("SELECT 'a'"));
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT ''a''' AND state = 'idle'"),
	'a query is over');
my $answer;
ok(wait_until(sub { $answer = $far->held }), 'of which its session has not heard');
my $asking = Meridian::Test::Wire->new($proxy);
$asking->send(cancel_request($a->{pid}, $a->{secret}));
ok(wait_until(sub { $far->held > $answer }), 'a request for it is under way');
$b->send(query("SELECT 'b', pg_sleep(0.3)"));
$far->ms(30);    # and TLS: the request is under way for three times as long
$far->pass;
is($a->answer, 'a', 'the query is over before the request for it arrives');
is($b->answer, 'b,', 'the next one is not hit');
ok($asking->closed, 'the request was answered');
$far->ms(0);

# A request that comes while Meridian replays settings on the connection ends the query behind them.
$proxy->stop;
$proxy->write_conf(regions => [ 'us-east1' => { nodes => $far, sslmode => 'disable' } ]);
$proxy->start;
($a, $b) = map { session(application_name => $_) } qw(one other);
is($a->ask('SELECT 1'), 1, 'a server connection has the settings of one session');
$far->ms(500);
$b->send(query('SELECT pg_sleep(100)'));
$proxy->wait_console('SHOW SESSIONS FULL', sub { grep { $_->{application_name} eq 'other' && $_->{state} ne 'idle' } @{ $_[0] } });
ok($b->cancel, 'a cancel while it is given those of another');
like($b->answer, qr/^57014/, 'ends the query that waits for that');
is($_->ask('SELECT 1'), 1, 'and both sessions go on') for $b, $a;
$far->ms(0);
$proxy->stop;
$proxy->write_conf(set => { workers => 2, default_pool_size => 2 }, regions => [ 'us-east1' => { nodes => $far, sslmode => 'require' } ]);
$proxy->start;

# Who waits for a server connection has not begun: Meridian answers.
my @crowd = map { session() } 1 .. 8;
$_->send(query('BEGIN')) for @crowd;
my @waiting;
wait_until(sub {
	@waiting = grep { $_->silent(0) } @crowd;
	my @pools = @{ $proxy->console('SHOW POOLS FULL DATABASE postgres') };
	my $queued = 0;
	$queued += $_->{cl_waiting} for @pools;
	return $queued == @waiting && !grep { $_->{sv_active} == 0 } @pools;
}) or diag explain $proxy->console('SHOW POOLS FULL');
cmp_ok(scalar @waiting, '>=', 4, scalar(@waiting) . ' sessions wait for a server connection');
$_->cancel for @waiting;
like($_->answer, qr/^57014/, 'a query that waits is cancelled') for @waiting;
$_->send(parse('SELECT 1') . bind_message([]) . execute . sync_message . query('SELECT 3')) for @waiting;
ok((!grep { !$_->silent } @waiting), 'they wait again');
$_->cancel for @waiting;
like($_->answer, qr/^57014/, 'the first query is cancelled') for @waiting;
ok((!grep { !$_->silent } @waiting), 'the second waits on');
$waiting[0]->cancel;
like($waiting[0]->answer, qr/^57014/, 'until it is cancelled too');
my $half = query('SELECT 4');
$waiting[0]->send(substr $half, 0, 8);
$waiting[0]->cancel;
ok($waiting[0]->silent, 'half a query is not');
$waiting[0]->send(substr $half, 8);
my %waits = map { $_ => 1 } @waiting;
for my $holder (grep { !$waits{$_} } @crowd) {
	$holder->answer;
	$holder->ask('COMMIT');
}
is($waiting[0]->answer, 4, 'and is answered in its turn');
is($_->answer, 3, 'as are the others') for @waiting[ 1 .. $#waiting ];
undef @crowd;
undef @waiting;

$far->ms(10);   # and TLS: a request is under way for longer than a query takes to get there

# ---------------------------------------------------------------- the storm

$proxy->reload(set => { default_pool_size => 10 });
my %idle = map { $_ => session(application_name => "s$_", version => $_ % 3 ? 0x30000 : 0x30002) } 1 .. 200;
my @all = map { { wire => $idle{$_}, number => $_, target => $_ % 4 == 0 } } 1 .. 200;
my %of = map { fileno($_->{wire}{fd}) => $_ } @all;
my $select = IO::Select->new(map { $_->{wire}{fd} } @all);
my @requests;    # connections on which a cancel request was sent
my ($sent, $hit, $strangers, $wrong, $done) = (0) x 5;
my $storm = build_factor() > 1 ? 300 : 1000;

# Innocents do short things; targets sleep for longer, and are cancelled at any time.
sub begin_query
{
	my ($s) = @_;
	$s->{n}++;
	$s->{pause} = $s->{target} ? (0.01, 0.02, 0.1)[ $s->{n} % 3 ] : 0.015;
	my $sql = "SELECT pg_sleep($s->{pause}), '$s->{number}/$s->{n}'";
	$s->{wire}->send($s->{n} % 2 ? query($sql) : parse($sql) . bind_message([]) . execute . sync_message);
	return;
}

sub cancel_now
{
	my ($s) = @_;
	$sent++;
	my $c = Meridian::Test::Wire->new($proxy);
	$c->send(cancel_request($s->{wire}{pid}, $s->{wire}{secret}));
	push @requests, $c;
	return;
}

sub take_answer
{
	my ($s) = @_;
	my ($value, $error) = ('', '');
	for ($s->{wire}->until('Z')) {
		$value = row_values($_)->[1]   if $_->[0] eq 'D';
		$error = error_fields($_)->{C} if $_->[0] eq 'E';
	}
	$done++;
	if ($error ne '') {
		$s->{target} && $error eq '57014' ? $hit++ : $strangers++;
	} elsif ($value ne "$s->{number}/$s->{n}") {
		$wrong++;
	}
	# every other one when it has let go of its server connection
	cancel_now($s) if $s->{target} && $s->{n} % 2 && $sent < $storm;
	begin_query($s);
	return;
}

begin_query($_) for @all;
my @targets = grep { $_->{target} } @all;
my $d = deadline(60, 'the storm to be over');
srand 42;
while (!$d->over && ($sent < $storm || grep { $_->{n} < 20 } @all)) {
	take_answer($of{ fileno $_ }) for $select->can_read(0.01);
	# at any moment of the wait, the query, and after it
	for my $s (@targets) {
		next if $sent >= $storm || !is_due($s->{due} //= due_in(rand 0.6));
		cancel_now($s);
		$s->{due} = due_in(rand 0.6);
	}
	my @open = grep { !$_->{fd}->opened || !IO::Select->new($_->{fd})->can_read(0) || !$_->closed } splice @requests;
	@requests = @open;
}
is((grep { $_->closed } @requests), scalar @requests, 'every cancel request is answered');
cmp_ok($sent, '>=', $storm, "$sent cancel requests, beside 200 running sessions");
cmp_ok($hit, '>', $storm / 20, "$hit of them hit their query");
is($strangers, 0, 'no stranger was cancelled');
is($wrong, 0, 'nobody got the answer to another question');
measured('%d queries meanwhile', $done);
$_->{wire}->answer for @all;
is((grep { $_->{wire}->ask('SELECT 1') eq '1' } @all), 200, 'all sessions go on');
ok(wait_until(sub { !servers('held') }), 'no server connection is held any more');
my $row = $proxy->console('SHOW SERVERS');
cmp_ok(scalar @$row, '<=', 10, 'ten server connections') or diag explain $row;

# A server that is killed in the middle of it.
begin_query($_) for @all;
$_ % 10 or cancel_now($targets[ $_ / 10 ]) for 0 .. 200;
$node->safe_psql('postgres',
	"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 3");
my ($lost, $good, $hung) = (0, 0, 0);
for my $s (@all) {
	my @m = eval { $s->{wire}->until('Z') };
	$hung++ if $@;
	my ($e) = grep { $_->[0] eq 'E' } @m;
	$lost++ if @m && $m[-1][0] ne 'Z' || !@m && !$@;
	$good++ if @m && $m[-1][0] eq 'Z';
}
is($hung, 0, 'a server that dies leaves nobody hanging');
cmp_ok($lost, '<=', 3, "$lost sessions were lost with three server connections");
ok(wait_until(sub { !servers('held') }), 'and none is held');

# One of its processes is killed with -9: PostgreSQL ends all of them, and starts anew.
@all = grep { $_->{wire}{fd} && !$_->{gone} } map { { wire => session(application_name => "k$_"), number => $_, target => $_ % 4 == 0 } } 1 .. 100;
begin_query($_) for @all;
@targets = grep { $_->{target} } @all;
cancel_now($_) for @targets;
my $victim = $node->safe_psql('postgres',
	"SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name LIKE 'k%' LIMIT 1");
kill 'KILL', $victim;
($lost, $good, $hung) = (0, 0, 0);
for my $s (@all) {
	my @m = eval { $s->{wire}->until('Z') };
	$@ ? $hung++ : @m && $m[-1][0] eq 'Z' ? $good++ : $lost++;
}
is($hung, 0, "a server process is killed with -9 in a storm: of 100 sessions, $good are answered, $lost told why they end, none hangs");
cmp_ok($lost, '<=', 10, 'as many as had a server connection');
ok(wait_until(sub { eval { session()->ask('SELECT 1') } // '' eq '1' }), 'and the next session is served');
$proxy->stop;
done_testing();
