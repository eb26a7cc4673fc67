#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A working day in a quarter of an hour: mixed load in rounds (sessions that ask in every shape, COPY,
# cancels, LISTEN and NOTIFY, pgbench, connections that come and go, in plaintext and over TLS, with a
# pool and without), while servers and backends are killed, the network is cut and the configuration
# reloaded. After each round everybody leaves, and what the process holds then is looked at: neither
# descriptors nor memory grow from round to round. SOAK_SECONDS says how long (900), MERIDIAN_TEST_SEED
# which one.
# timeout: 7200
use strict;
use warnings;
use IPC::Run qw(start);
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Storm;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils qw(append_to_file);
use Test::More;
use Time::HiRes qw(time);

my $slow    = build_factor();
my $seconds = $ENV{SOAK_SECONDS} // 900;
my $seed    = $ENV{MERIDIAN_TEST_SEED} // 1;
my $round   = $seconds >= 600 ? 20 : $seconds / 30;    # thirty rounds or more
my $cert    = certificate('proxy', alt => 'IP:127.0.0.1');
my @nodes   = regional_clusters(map { $_ => { conf => "restart_after_crash = on\nmax_connections = 200\n" } } qw(us-east1 europe-west1));
my @far     = map { Meridian::Test::Delay->new($_) } @nodes;

# What a sanitizer keeps of freed memory is to be full soon. (How much of the process is in RAM says little with one: it
# is looked at without.)
local $ENV{ASAN_OPTIONS} = join ':', grep { defined } $ENV{ASAN_OPTIONS}, 'quarantine_size_mb=8:thread_local_quarantine_size_kb=64';
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $far[0], cities => 'new york' }, 'europe-west1' => { nodes => $far[1], cities => 'paris' } ],
	set => { auth => 'trust', workers => 3, region => 'us-east1', failback_delay => 0, probe_interval => '200ms', stale_after => span(5),
		tls => 'allow', tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key}, default_pool_size => 9,
		server_login_retry => '200ms', server_lifetime => span(20), max_prepared_statements => 20 },
	conf => "[database postgres]\npool = transaction\n[database template1]\npool = off\n");
for my $node (@nodes) {
	$node->safe_psql($_, 'CREATE UNLOGGED TABLE storm (n text)') for qw(postgres template1);
}
$proxy->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/one.sql", "SELECT 1;\n");
append_to_file("$dir/notify.sql", "NOTIFY soak, 'x';\n");

# ---------------------------------------------------------------- beside the storm

# pgbench with connections that stay or not, and a COPY of 20 MB out and in. How they end is not
# asserted: servers are killed under them.
my @bench = (
	[ qw(pgbench -n -M prepared -c4 -T), 'SECONDS', '-f', "$dir/one.sql" ],
	[ qw(pgbench -n -C -c2 -T),          'SECONDS', '-f', "$dir/one.sql" ],
	[ qw(pgbench -n -c1 -T),             'SECONDS', '-f', "$dir/notify.sql" ]);
my $copy = q{SELECT repeat('x', 1000) FROM generate_series(1, 20000)};
my @psql = (
	[ 'psql', '-XAtqc', "COPY ($copy) TO STDOUT" ],
	[ 'psql', '-XAtqc', "COPY ($copy) TO STDOUT" ],
	[ 'psql', '-Xqc', '\copy storm FROM ' . "'$dir/rows'" ]);
append_to_file("$dir/rows", ('y' x 999 . "\n") x 5000);

sub beside
{
	my ($n) = @_;
	my @run;
	my $tls = $n % 2 ? 'require' : 'disable';
	for my $command (@bench, @psql) {
		my @words = map { $_ eq 'SECONDS' ? int($round * $slow) || 1 : $_ } @$command;
		my $db = @run % 2 ? 'template1' : 'postgres';
		push @words, $words[0] eq 'psql' ? '-d' : (), $proxy->connstr($db, user => 'postgres', sslmode => $tls);
		my $said = '';
		push @run, start(\@words, '<', \'', '>', '/dev/null', '2>', '/dev/null');
	}
	return @run;
}

# ---------------------------------------------------------------- trouble

my ($operator, %count);
my @repairs;    # [ when, what ]
sub later { my ($in, $what) = @_; push @repairs, [ due_in($in), $what ]; return }

sub backend
{
	my ($node) = @_;
	my $out = '';
	# a psql that finds the server gone may leave before it is written to, which ends the call by EPIPE
	eval {
		$node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
			stdout => \$out, stderr => \my $err);
	};
	my @all = split /\n/, $out;
	return $all[ rand @all ] // ();
}

my $down = 0;

sub come_back
{
	my ($node) = @_;
	return $down = 0 if $node->start(fail_ok => 1);
	$node->kill9;
	return later(0.3, sub { come_back($node) });
}

my %trouble = (
	'backend ended'  => sub { kill 'TERM', backend($_[0]) },
	'backend killed' => sub { kill 'KILL', backend($_[0]) },
	'server killed'  => sub { my ($node) = @_; return if $down++; $node->kill9; later(0.5 + rand 1, sub { come_back($node) }) },
	'network cut'    => sub { $_[1]->cut },
	'network hangs'  => sub { my $far = $_[1]; $far->hang; later(0.2 + rand 1, sub { $far->pass }) },
	'refused'        => sub { my $far = $_[1]; $far->refuse; later(0.2 + rand 1, sub { $far->pass }) },
	'reload'         => sub { reload($_[2]) },
	'refused reload' => sub { reload($_[2], "[nonsense]\n") });
my @kinds = sort keys %trouble;
my $conf  = $proxy->{opt}{conf};

sub reload
{
	my ($n, $more) = @_;
	$proxy->write_conf(
		set  => { default_pool_size => 4 + $n % 9, max_prepared_statements => 5 + $n % 20, nearest => $n % 2 ? 'caller' : 'proxy' },
		conf => $conf . ($more // ($n % 3 ? '' : "[region us-west1]\ncities = seattle\nnodes = 127.0.0.1:1\n")));
	kill 'HUP', $proxy->pid;
	return;
}

sub mend
{
	# what it says to systemd has to be read, or it waits
	$proxy->{notify}->blocking(0);
	1 while defined $proxy->{notify}->recv(my $said, 4096);
	my @due = grep { is_due($_->[0]) } @repairs;
	@repairs = grep { !is_due($_->[0]) } @repairs;
	$_->[1]->() for @due;
	return;
}

# ---------------------------------------------------------------- rounds

sub say_wrong
{
	my ($storm, $n) = @_;
	my @wrong = @{ $storm->wrong };
	is(scalar @wrong, 0, "round $n: everybody is told what is due") or diag join "\n", @wrong[ 0 .. ($#wrong > 20 ? 20 : $#wrong) ];
	is($storm->{rude}, $storm->{cut} // 0, "round $n: whoever is lost is told why") or diag explain $storm->{rudely};
	return;
}

my %sum;

sub load
{
	my ($n) = @_;
	my $storm = Meridian::Test::Storm->new($proxy, clients => 40, seed => 1000 * $seed + $n, pause => 0.02, targets => 7,
		databases => [qw(postgres template1)]);
	my @run = beside($n);
	my $next = due_in(0.5);
	my $i    = 0;
	$storm->run($round * $slow, sub {
		mend();
		return unless is_due($next);
		my $kind  = $kinds[ rand @kinds ];
		my $which = int rand 2;
		$count{$kind}++;
		$trouble{$kind}->($nodes[$which], $far[$which], 100 * $n + $i++);
		$next = due_in(0.5 + rand 1.5);
	});
	my $d = deadline(30, 'all to be mended');
	while (@repairs && !$d->over) { mend(); $storm->turn(0) }
	$_->pass for @far;
	ok($storm->finish(60), "round $n: nobody waits for ever") or diag explain $storm->{hung};
	say_wrong($storm, $n);
	$storm->go_away;
	$sum{$_} += $storm->{$_} for qw(done lost cancels hit);
	for my $run (@run) {
		my $ended = eval { wait_until(sub { !$run->pumpable || !($run->pump_nb, 1) || !$run->pumpable }) };
		fail("round $n: a program does not end") if !$ended && !$@;
		$run->kill_kill;
	}
	return;
}

# Nobody is there: [ descriptors, kB in RAM, kB that the allocator counts ].
sub quiet
{
	my ($n) = @_;
	my ($idle, $sessions, $held);
	ok(wait_until(sub { $sessions = $proxy->console('SHOW SESSIONS FULL'); @$sessions == 1 }), "round $n: all sessions are gone")
	  or diag explain $sessions;
	$proxy->console('RECONNECT');
	ok(wait_until(sub { ($idle) = scalar grep { $_->{state} ne 'idle' } @{ $proxy->console('SHOW SERVERS') }; !$idle }),
		"round $n: all server connections are idle") or diag explain $proxy->console('SHOW SERVERS');
	my $least;
	for (1 .. 10) {
		$held = descriptors($proxy->pid) - @{ $proxy->console('SHOW SERVERS') };
		$least = $held if !defined $least || $held < $least;
		let_pass(0.03, 'what comes and goes is gone');
	}
	my ($heap) = map { $_->{bytes} / 1024 } grep { $_->{item} eq 'heap_used' } @{ $proxy->console('SHOW MEMORY') };
	return [ $least, pss_kb($proxy->pid), $heap ];
}

# By how much a value grows per round: the median of the slopes between all pairs (Theil and Sen),
# which a round that is different does not move.
sub slope
{
	my (@v) = @_;
	my @all;
	for my $j (1 .. $#v) { push @all, map { ($v[$j] - $v[$_]) / ($j - $_) } 0 .. $j - 1 }
	@all = sort { $a <=> $b } @all;
	return $all[ @all / 2 ] // 0;
}

my ($begin, @held) = (time);
for (my $n = 1; $n <= 4 || passed($begin) < $seconds; $n++) {
	load($n);
	push @held, quiet($n);
	measured('round %d: %d descriptors, %d kB, of them %d allocated', $n, @{ $held[-1] });
	last if !$proxy->is_running;
}
measured('%d s, %d rounds, %d answers, %d connections lost, %d of %d cancels hit', passed($begin), scalar @held, @sum{qw(done lost hit cancels)});
measured('%s: %d', $_, $count{$_}) for sort keys %count;

# The first quarter is for what is kept on purpose: caches, buckets of the allocator.
my @late = @held[ @held / 4 .. $#held ];
my ($descriptors, $kb, $heap) = map { my $i = $_; slope(map { $_->[$i] } @late) } 0 .. 2;
measured('after the first quarter: %.3f descriptors and %.1f kB per round, of them %.1f allocated', $descriptors, $kb, $heap);
cmp_ok($descriptors, '<', 0.05, 'descriptors do not grow');
cmp_ok($late[-1][0], '<=', $held[0][0] + 4, 'nor are there more in the end');
cmp_ok($heap, '<', 20, 'what is allocated does not grow');
cmp_ok($kb, '<', 40, 'nor does the memory of the process') if !sanitized();
$proxy->stop;
done_testing();
