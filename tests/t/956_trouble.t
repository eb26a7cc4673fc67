#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What befalls the process itself while it works: no descriptor is left, no memory, the clocks jump,
# a node comes and goes five times a second, the operator reloads ten times a second, SIGTERM. Each
# time: what callers are told, and that nothing is left over.
# timeout: 600
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Storm;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my $slow = build_factor();
my @nodes = regional_clusters(map { $_ => { conf => "max_connections = 300\n" } } qw(us-east1 europe-west1));
$_->safe_psql('postgres', 'CREATE UNLOGGED TABLE storm (n text)') for @nodes;
my $pooled = "[database postgres]\npool = transaction\n";
my @quick = (probe_interval => '100ms', failback_delay => 0, region => 'us-east1', server_login_retry => '200ms', stale_after => span(10));

sub proxy
{
	my ($name, %opt) = @_;
	my ($east, $west) = @{ delete $opt{nodes} // \@nodes };
	my $proxy = Meridian::Test::Proxy->new($name, %opt,
		regions => [ 'us-east1' => { nodes => $east, cities => 'new york' }, 'europe-west1' => { nodes => $west, cities => 'paris' } ],
		set => { auth => 'trust', workers => 3, @quick, %{ $opt{set} || {} } });
	$proxy->start;
	# whatever is made at the first use is there
	$proxy->safe_psql('postgres', 'SELECT 1');
	$proxy->console('SHOW SESSIONS FULL');
	return $proxy;
}

sub storm_on { my ($proxy, %opt) = @_; return Meridian::Test::Storm->new($proxy, clients => 40, pause => 0.01, seed => 955, %opt) }

sub nodes_up
{
	my ($proxy, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(wait_until(sub { !grep { $_->{state} ne 'up' } @{ $proxy->console('SHOW NODES FULL') } }), $what)
	  || diag explain $proxy->console('SHOW NODES FULL');
}

# All have left: sessions and descriptors are as they were; of server connections, those of a pool.
sub nothing_left
{
	my ($proxy, $fresh, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $idle = 0;
	ok(wait_until(sub { @{ $proxy->console('SHOW SESSIONS FULL') } == 1 }), "$what: no session is left")
	  or diag explain $proxy->console('SHOW SESSIONS FULL');
	ok(wait_until(sub { $idle = @{ $proxy->console('SHOW SERVERS') }; descriptors($proxy->pid) <= $fresh + $idle }), "$what: no descriptor")
	  or diag descriptors($proxy->pid) . " instead of $fresh and $idle";
	return;
}

sub all_told
{
	my ($storm, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($storm->finish(30), "$what: nobody waits for ever") or diag explain $storm->{hung};
	my @wrong = @{ $storm->wrong };
	is(scalar @wrong, 0, "$what: everybody is told what is due") or diag join "\n", @wrong[ 0 .. ($#wrong > 20 ? 20 : $#wrong) ];
	is($storm->{rude}, $storm->{cut} // 0, "$what: whoever is lost is told why") or diag explain $storm->{rudely};
	cmp_ok($storm->{done} + $storm->{lost}, '>', 100, "$what: there was work");
	measured('%s: %d answers, %d lost, %s', $what, $storm->{done}, $storm->{lost}, join ', ', map { "$_ × $storm->{codes}{$_}" } sort keys %{ $storm->{codes} });
	$storm->go_away;
	return;
}

# ---------------------------------------------------------------- descriptors

# 'in', an SQLSTATE, 'closed', or 'waits' of somebody who has sent a StartupMessage.
sub fate
{
	my ($w, $seconds) = @_;
	return $w->{fate} if $w->{fate};
	while ($w->{in} ne '' || !$w->silent($seconds)) {
		my $m = $w->message // return $w->{fate} = 'closed';
		return $w->{fate} = 'in' if $m->[0] eq 'Z';
		return $w->{fate} = error_fields($m)->{C} if $m->[0] eq 'E';
	}
	return 'waits';
}

sub crowd
{
	my ($proxy, $n) = @_;
	my @crowd = map { Meridian::Test::Wire->new($proxy) } 1 .. $n;
	$_->send(startup(user => 'postgres', database => 'postgres')) for @crowd;
	fate($_, 0.5 * $slow) for @crowd;
	return @crowd;
}

sub fates
{
	my (@crowd) = @_;
	my %n;
	$n{ $_->{fate} // 'waits' }++ for @crowd;
	return join ' ', map { "$_:$n{$_}" } sort keys %n;
}

sub descriptors_run_out
{
	my ($limit) = @_;
	my $proxy = proxy("few$limit", wrapper => [ 'sh', '-c', "ulimit -n $limit; exec \"\$@\"", 'sh' ]);
	my $fresh = descriptors($proxy->pid);
	my @crowd = crowd($proxy, 56);
	measured('%d descriptors, %d of them used: %s', $limit, $fresh, fates(@crowd));
	my @in = grep { fate($_, 0) eq 'in' } @crowd;
	cmp_ok(scalar @in, '>', ($limit - $fresh) / 2 - 10, 'descriptors are used');
	cmp_ok(scalar @in, '<', 56, 'and do not suffice');
	is_deeply([ grep { !/^(in|waits|53300|08006)$/ } map { fate($_, 0) } @crowd ], [], 'others wait or are told');
	is_deeply([ grep { $_->ask('SELECT 1') ne '1' } @in ], [], 'who is in does not notice');

	# A configuration that cannot be read does not become a configuration.
	my $from = -s $proxy->logfile;
	$proxy->write_conf(set => { max_client_conn => 77 });
	my @late = map { my $w = Meridian::Test::Wire->new($proxy); $w->send(startup(user => 'postgres', database => 'postgres')); $w } 1 .. 5;
	kill 'HUP', $proxy->pid;
	$proxy->log_like(qr/reload failed, the running configuration stays: .*Too many open files|configuration reloaded/, 'a reload succeeds or says why not', $from);
	is_deeply([ grep { $_->ask('SELECT 1') ne '1' } @in ], [], 'who is in does not notice that either');
	my @others = grep { fate($_, 0) ne 'in' } @crowd;
	push @others, @late;
	$_->close for @in;
	ok(wait_until(sub { !grep { fate($_, 0.01) eq 'waits' } @others }), 'who waited gets in, or is told, when others leave')
	  or diag fates(@others);
	is_deeply([ grep { !/^(in|53300|08006)$/ } map { fate($_, 0) } @others ], [], 'in order');
	$_->close for @others;
	nodes_up($proxy, 'no node was taken for dead');
	$proxy->log_unlike(qr/node is down/, 'not even for a while');
	nothing_left($proxy, $fresh, "with $limit descriptors");
	$proxy->reload;
	$proxy->log_like(qr/max_client_conn: 1000 -> 77/, 'the file can be read again');
	$proxy->stop;
	return;
}

# An even and an odd number, so that it is once accept() and once connect() that has none.
descriptors_run_out($_) for 100, 101;

# ---------------------------------------------------------------- reloads

# Another world ten times a second, each fifth of them refused.
sub reload_often
{
	my ($name, $conf) = @_;
	my $proxy = proxy($name, conf => $conf, set => { max_db_connections => 40 });
	my $fresh = descriptors($proxy->pid);
	my $storm = storm_on($proxy);
	my ($n, $next, @pss) = (0, time);
	$storm->run(6 * $slow, sub {
		return unless is_due($next);
		$next = due_in(0.1);
		$n++;
		my $dead = $n % 3 ? '' : "[region us-west1]\ncities = seattle\nnodes = 127.0.0.1:1\n";
		$proxy->write_conf(
			set  => { max_client_conn => 1000 + $n, default_pool_size => 4 + $n % 9, nearest => $n % 2 ? 'caller' : 'proxy' },
			conf => $conf . $dead . ($n % 5 ? '' : "[nonsense]\n"));
		kill 'HUP', $proxy->pid;
		push @pss, pss_kb($proxy->pid) if $n % 10 == 0;
	});
	# its supervisor has not read a word so far, and was not waited for
	1 while $proxy->wait_notify(qr/^/m, 0.3);
	all_told($storm, "reloads, $name");
	is($storm->{lost}, 0, 'nobody is lost by a reload');
	my @said = $proxy->log_text =~ /(configuration reloaded|reload failed)/g;
	cmp_ok(scalar @said, '>', 20, 'it reloaded');
	cmp_ok(scalar(grep { /failed/ } @said), '>', 3, 'and refused');
	$proxy->reload(conf => $conf);
	nothing_left($proxy, $fresh, "reloads, $name");
	measured('%d reloads, Pss %s kB', $n, join ' ', @pss, pss_kb($proxy->pid));
	$proxy->stop;
	return;
}

reload_often(@$_) for [ 'session', '' ], [ 'pooled', $pooled ];

# ---------------------------------------------------------------- nodes that come and go

# Five times a second each, and never both at once.

sub flap
{
	my ($name, $conf) = @_;
	my @far   = map { Meridian::Test::Delay->new($_) } @nodes;
	my $proxy = proxy($name, nodes => \@far, conf => $conf);
	my $fresh = descriptors($proxy->pid);
	my $storm = storm_on($proxy);
	my ($flaps, $next) = (0, time);
	$storm->run(8 * $slow, sub {
		return unless is_due($next);
		$next = due_in(0.1);
		my $gone = $far[ $flaps++ % 2 ];
		$gone->refuse;
		$gone->cut;
		$far[ $flaps % 2 ]->pass;
	});
	$_->pass for @far;
	cmp_ok($flaps, '>', 40, 'the nodes came and went');
	all_told($storm, "flapping, $name");
	nodes_up($proxy, 'they are up in the end');
	ok(wait_until(sub { $proxy->psql_from({ city => 'new york' }, 'postgres', 'SHOW cluster_name') eq 'us-east1' }), 'and serves');
	nothing_left($proxy, $fresh, "flapping, $name");
	cmp_ok(scalar(() = $proxy->log_text =~ /\n/g), '<', 20 * $flaps + 5 * $storm->{lost} + 500, 'the log is no flood');
	$proxy->stop;
	return;
}

flap(@$_) for [ 'flap', '' ], [ 'flap_pooled', $pooled ];

# ---------------------------------------------------------------- SIGTERM, and how many workers

# Under load; the next one comes at once, with the other number of workers.
sub end_under_load
{
	my ($name, $conf) = @_;
	my $proxy = proxy($name, conf => $conf);
	my $storm = storm_on($proxy, clients => 60, pause => 0);
	for my $workers (1, 3, 8) {
		$storm->run(1.5 * $slow);
		is($storm->{lost}, 0, 'nobody is lost before the end');
		$storm->{leaving} = 1;
		kill 'TERM', $proxy->pid;
		my $d = deadline(20, 'it to end');
		$storm->turn(1) while $proxy->is_running && !$d->over;
		is($proxy->exit_status, 0, "$name: SIGTERM under load: it ends in peace");
		$storm->{leaving} = 0;
		$storm->run(0.1);
		$proxy->write_conf(set => { workers => $workers });
		$proxy->start;
		@$storm{qw(lost)} = (0);
	}
	$storm->run(1.5 * $slow);
	is($storm->{lost}, 0, 'the last one keeps all');
	all_told($storm, "SIGTERM, $name");
	is($proxy->sanitizer_report, undef, 'no sanitizer complains');
	$proxy->stop;
	ok(wait_until(sub {
			$nodes[0]->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
				AND pid <> pg_backend_pid()}) == 0
		}), 'nothing is left on the node');
	return;
}

end_under_load(@$_) for [ 'term', '' ], [ 'term_pooled', $pooled ];

# ---------------------------------------------------------------- memory

# How much a process may write to, from now on (RLIMIT_DATA).
sub data_kb { my ($pid) = @_; open my $in, '<', "/proc/$pid/status" or die "status: $!"; return (map { /^VmData:\s+(\d+)/ } <$in>)[0] }

sub memory_limit
{
	my $proxy = proxy('memory', conf => $pooled, set => { default_pool_size => 40 });
	my $fresh = descriptors($proxy->pid);
	my $limit = data_kb($proxy->pid) + 8 * 1024;
	system('prlimit', '--pid', $proxy->pid, '--data=' . $limit * 1024) == 0 or die "prlimit failed\n";

	# Twelve who do not read, 60 MB for each, and one who sends as much: far more than the 8 MB that there are.
	my @deaf = map { Meridian::Test::Wire->session($proxy) } 1 .. 12;
	$_->send(query("SELECT repeat('x', 60000000)")) for @deaf;
	my $writer = Meridian::Test::Wire->session($proxy);
	$writer->send(query('CREATE TEMP TABLE t (a text); COPY t FROM STDIN'));
	$writer->send(copy_data(('y' x 99_999) . "\n")) for 1 .. 600;
	my $other = Meridian::Test::Wire->session($proxy);
	is($other->ask('SELECT 1'), '1', 'large rows and COPY need no memory: others are served');
	# Statements that a pool would have to keep.
	my @big;
	for (1 .. 4) {
		push @big, my $big = Meridian::Test::Wire->session($proxy);
		$big->send(parse("SELECT 1 /* " . ('z' x 40_000_000) . ' */', 'big'), sync_message);
		my $said = eval { $big->answer } // 'closed';
		measured('a statement of 40 MB: %s, VmData %d', $said eq '' ? 'prepared' : $said, data_kb($proxy->pid));
		like($said, qr/^(|closed|5[34]\d\d\d .*)$/, 'a statement that is larger is prepared, or refused');
		is($other->ask('SELECT 2'), '2', 'and nobody else notices');
	}
	is($_->answer, 'x' x 60_000_000, 'the row comes whole') for @deaf[ 0 .. 2 ];
	$writer->send(copy_done);
	like($writer->answer, qr/^$/, 'COPY ends');
	measured('VmData %d kB of %d kB', data_kb($proxy->pid), $limit);
	$_->close for @deaf, $writer, $other, @big;
	nothing_left($proxy, $fresh, 'memory');
	$proxy->stop;
	return;
}

SKIP: {
	skip 'a sanitizer needs memory of its own', 1 if sanitized();
	memory_limit();
}

# ---------------------------------------------------------------- clocks

sub jump
{
	my ($file, $calendar, $monotonic) = @_;
	open my $out, '+<', $file or die "$file: $!";
	syswrite $out, pack 'q q', $calendar * 1e6, $monotonic * 1e6;
	return close $out;
}

sub clocks_jump
{
	my $file  = PostgreSQL::Test::Utils::tempdir() . '/clocks';
	PostgreSQL::Test::Utils::append_to_file($file, "\0" x 16);
	my $proxy = proxy('clocks', conf => $pooled . "[database template1]\npool = off\n",
		set => { client_idle_timeout => NEVER, query_timeout => NEVER, server_lifetime => NEVER },
		env => { CLOCKS => $file, LD_PRELOAD => "$ENV{MERIDIAN_BUILDDIR}/tests/tools/clocks.so" });
	my $fresh = descriptors($proxy->pid);
	my @idle  = map { Meridian::Test::Wire->session($proxy, database => $_) } qw(postgres template1);
	my $busy  = Meridian::Test::Wire->session($proxy);
	$busy->ask('BEGIN');
	my ($monotonic, $day) = (0, 86400);
	for ([ $day, 0 ], [ -3650 * $day, 0 ], [ 3650 * $day, 0 ], [ 0, 1800 ], [ -$day, 3600 ]) {
		my ($calendar, $on) = @$_;
		my $what = "calendar by $calendar s, monotonic clock by $on s";
		my $query = Meridian::Test::Wire->session($proxy, database => 'template1');
		$query->send(query('SELECT pg_sleep(60)'));
		jump($file, $calendar, $monotonic = $on);
		let_pass(0.3, 'the clock is looked at');
		nodes_up($proxy, "$what: nodes are up");
		is(join(',', map { $_->ask('SELECT 1') } @idle, $busy), '1,1,1', 'who is in stays in');
		ok($query->silent, 'a query goes on');
		$query->cancel;
		like($query->answer, qr/^57014/, 'and can be cancelled');
		$query->close;
		my $new = Meridian::Test::Wire->session($proxy);
		is($new->ask('SELECT 3'), '3', 'others get in');
		$new->close;
		my ($v) = @{ $proxy->console('SHOW VERSION') };
		ok($v->{uptime_s} >= $on && $v->{uptime_s} < $on + 600, 'it knows how long it runs') or diag explain $v;
		ok($proxy->console('SHOW SESSIONS FULL') && $proxy->console('SHOW SERVERS'), 'and can show who is there');
	}
	$busy->ask('COMMIT');
	# A worker that waits in the kernel is not told that it is late: whoever asks it for its sessions
	# wakes it. The first time it sees that they have asked since it looked last.
	for my $hours (3, 6, 9) {
		jump($file, 0, $monotonic + $hours * 3600);
		$proxy->console('SHOW SESSIONS FULL');
	}
	is(error_fields(($_->until('E'))[-1])->{C}, '57P05', 'hours later idle sessions end') for @idle;
	$busy->close;
	is($proxy->safe_psql('postgres', 'SELECT 4'), 4, 'and others get in');
	$_->close for @idle;
	nothing_left($proxy, $fresh, 'clocks');
	$proxy->stop;
	return;
}

SKIP: {
	skip 'a sanitizer wants to be the first library', 1 if sanitized();
	clocks_jump();
}

done_testing();
