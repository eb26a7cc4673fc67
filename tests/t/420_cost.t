#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# runs alone
#
# What a query and an idle session cost, counted and not timed: system calls, allocations, memory,
# descriptors, wake-ups.
use strict;
use warnings;
use Meridian::Test::Bridge;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Fake;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::WebSocket;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my $tools    = "$ENV{MERIDIAN_BUILDDIR}/tests/tools";
my $sessions = 500;
my $tls      = certificate('proxy', alt => 'IP:127.0.0.1');
my @tls_conf = (tls => 'allow', tls_cert_file => $tls->{cert}, tls_key_file => $tls->{key});

# A proxy that has nothing to do by itself while we count: no probes, no pings, no file that may change.
sub quiet_proxy
{
	my ($name, $node, %opt) = @_;
	my $proxy = Meridian::Test::Proxy->new($name,
		regions => [ here => $node ],
		%opt,
		set => { workers => 1, probe_interval => NEVER, websocket_ping_interval => NEVER, gazetteer => 'auto',
			%{ $opt{set} || {} } });
	$proxy->start;
	return $proxy;
}

sub ask
{
	my ($w, $n) = @_;
	my $rows = 0;
	for (1 .. $n) {
		$w->send(query('SELECT 1'));
		$rows += grep { $_->[0] eq 'D' } $w->until('Z');
	}
	return $rows == $n;
}

sub session
{
	my ($proxy, $kind) = @_;
	my $w = ($kind // 'Meridian::Test::Wire')->new($proxy);
	my @m = $w->login(database => 'postgres');
	$m[-1][0] eq 'Z' or die 'no login: ' . explain(\@m);
	return $w;
}

my $node = regional_clusters('here');

# System calls: 1,001 queries less one.
sub query_costs_six
{
	my ($worker, $w, $what, @more) = @_;
	my $one  = system_calls($worker, sub { ask($w, 1) });
	my $many = system_calls($worker, sub { ask($w, 1001) });
	my $each = ($many->{total} - $one->{total}) / 1000;
	measured('%.3f system calls per %s', $each, $what);
	is(sprintf('%.2f', $each), '6.00', "a $what costs six system calls")
	  or diag explain [ $one, $many ];
	my %known = map { $_ => 1 } qw(epoll_wait recvfrom sendto total), @more;
	is_deeply([ grep { !$known{$_} } sort keys %$many ], [], 'and no others than epoll_wait, recv and send')
	  or diag explain $many;
	return;
}

# Of many at once: one recv and one send each way, and nothing for what was not there to be read. (How
# many of them one epoll_wait tells of is the machine's affair: 4 + 2/k calls are no more than six.)
sub many_clients_cost_four
{
	my ($worker, $proxy) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir() . '/select';
	PostgreSQL::Test::Utils::append_to_file($script, "SELECT 1;\n");
	my $run = sub {
		my ($each) = @_;
		return system_calls($worker, sub {
			PostgreSQL::Test::Utils::system_log('pgbench', '-n', '-M', 'prepared', '-c', 16, '-t', $each,
				'-f', $script, $proxy->connstr('postgres')) == 0 or die 'pgbench';
		});
	};
	my ($few, $many) = ($run->(10), $run->(210));
	my %each = map { $_ => (($many->{$_} // 0) - ($few->{$_} // 0)) / 3200 } keys %$many;
	measured('%.3f system calls per transaction of 16 clients', $each{total});
	is(sprintf('%.1f %.1f', @each{qw(recvfrom sendto)}), '2.0 2.0', '16 clients: a recv and a send each way')
	  or diag explain [ $few, $many ];
	cmp_ok($each{total}, '<=', 6.05, 'and at most two waits') or diag explain [ $few, $many ];
	return;
}

SKIP: {
	my $kind = sanitized();
	skip "a sanitizer ($kind) makes system calls and allocations of its own", 14 if $kind;
	skip no_strace(), 14 if no_strace();

	my $counts = PostgreSQL::Test::Utils::tempdir() . '/mallocs';
	my $proxy  = quiet_proxy('counted', $node, env => { allocations_env($counts) }, set => { http => 'on' });
	my $w      = session($proxy);
	ok(ask($w, 10), 'a session answers');
	my %thread = threads($proxy->pid);
	my $worker = $thread{'worker/1'};
	query_costs_six($worker, $w, 'simple query');

	# Allocations, with the whole of the protocol that streams.
	my $before = allocations($counts, $worker);
	cmp_ok($before, '>', 0, 'allocations are counted');
	ok(ask($w, 1000), '1,000 queries');
	is(allocations($counts, $worker) - $before, 0, 'cost no allocation');
	for (1 .. 100) {
		$w->send(parse('SELECT $1::int, $2::text'), bind_message([ $_, 'x' x 100 ]), describe('P'), execute,
			sync_message);
		$w->until('Z');
	}
	$w->send(query('SELECT 1/0'));
	$w->until('Z');
	is(allocations($counts, $worker) - $before, 0, 'nor do extended queries and errors');

	# Bulk, as large as the client takes it.
	$w->send(query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT"));
	my $bytes = 0;
	$bytes += length $_->[1] for grep { $_->[0] eq 'd' } $w->until('Z');
	is($bytes, 20000 * 1001, 'COPY of 20 MB');
	cmp_ok(allocations($counts, $worker) - $before, '<', 400, 'allocates only for what the client did not take at once');

	many_clients_cost_four($worker, $proxy);

	# In a WebSocket it is the same.
	my $websocket = session($proxy, 'Meridian::Test::WebSocket');
	ok(ask($websocket, 10), 'a session in a WebSocket answers');
	query_costs_six($worker, $websocket, 'simple query in a WebSocket', 'sendmsg');
	$before = allocations($counts, $worker);
	ok(ask($websocket, 1000), '1,000 queries');
	is(allocations($counts, $worker) - $before, 0, 'cost no allocation');
	$proxy->stop;
}

# Idle sessions, in front of something that holds as many as one likes. Each measurement has a fresh
# process, so that nothing hides in memory that an earlier one has left.
my $fake = Meridian::Test::Fake->new;

# Open sessions with libpq, one query on each; returns the input by whose end they close.
sub hold
{
	my ($proxy, $n, %word) = @_;
	my $in;
	my $done = PostgreSQL::Test::Utils::tempdir() . '/hold';
	PostgreSQL::Test::Utils::append_to_file($done, '');
	my $child = open($in, '|-') // die "fork: $!";
	if (!$child) {
		open STDOUT, '>', $done or die "$done: $!";
		{ exec "$tools/clients", 'hold', $n, $proxy->connstr('postgres', sslmode => 'disable', %word) }
		POSIX::_exit(127);
	}
	wait_until(sub { PostgreSQL::Test::Utils::slurp_file($done) =~ /\n/ }, undef, 90) or die 'clients said nothing';
	is(PostgreSQL::Test::Utils::slurp_file($done), "ready\n", "$n sessions, a query on each");
	return $in;
}

sub hold_websocket
{
	my ($proxy, $n, %opt) = @_;
	my $bridge = Meridian::Test::Bridge->new($proxy, tls => delete $opt{tls});
	return [ hold($proxy, $n, port => $bridge->port, %opt), $bridge ];
}

sub hold_silent
{
	my ($proxy, $n, $say, $answer) = @_;
	my $before = descriptors($proxy->pid);    # a probe may have been under way
	my @w = map { Meridian::Test::Wire->new($proxy) } 1 .. $n;
	$_->send($say) for @w;
	is(join('', map { $_->bytes(length $answer) } @w), $answer x $n, "$n connections");
	ok(wait_until(sub { descriptors($proxy->pid) >= $before + $n - 2 }), 'are accepted');
	return \@w;
}

# No thread wakes up. What watched over the logins may run out first.
sub is_silent
{
	my ($pid, $what) = @_;
	my $calls;
	return if sanitized() eq 'thread' || no_strace();    # it has a thread of its own
	for (1 .. 3) {
		$calls = system_calls([$pid], sub { let_pass(1.5, 'something wakes up') });
		last if $calls->{total} == 0;
	}
  SKIP: {
		skip 'a sanitizer has threads of its own', 1 if sanitized() eq 'thread';
		is($calls->{total}, 0, "$sessions times $what: no system call in 1.5 seconds")
		  or diag explain $calls;
	}
	return;
}

# What each of many costs, beyond the first few, which make what is made once.
sub each_costs
{
	my ($what, $limit, $open) = @_;
	my $proxy = quiet_proxy($what =~ s/\W+/_/gr, $fake, set => { http => 'on', @tls_conf });
	my $pid   = $proxy->pid;
	my ($descriptors, $first) = (descriptors($pid), $open->($proxy, 10));
	my $before = pss_kb($pid);
	my $held   = $open->($proxy, $sessions);
	my $each   = (pss_kb($pid) - $before) / $sessions;
	measured('%.2f kB for %s', $each, $what);
  SKIP: {
		skip 'memory under a sanitizer says nothing', 1 if sanitized();
		cmp_ok($each, '<=', $limit, "$what costs at most $limit kB");
	}
	is_silent($pid, $what) if $what =~ /session/;
	undef $first;
	undef $held;
	ok(wait_until(sub { descriptors($pid) <= $descriptors }), 'their descriptors come back')
	  or diag descriptors($pid) . " instead of $descriptors";
	$proxy->stop;
	return;
}

# Nearly all of it is OpenSSL's, where 3.2 and later keep twice what 3.0 did (tests/unit/test_tlsctx.c).
my ($openssl) = `openssl version` =~ /^OpenSSL (\d+\.\d+)/;
my $tls_kb = version->parse("v$openssl") < version->parse('v3.2') ? 15 : 30;
each_costs('an idle session', 1.5, \&hold);
each_costs('an idle session on TLS', $tls_kb, sub { hold(@_, sslmode => 'require') });
each_costs('an idle session in a WebSocket', 2, \&hold_websocket);
each_costs('an idle session in a WebSocket on TLS', $tls_kb + 1, sub { hold_websocket(@_, tls => 1) });
each_costs('an idle session on TLS in a WebSocket', $tls_kb + 1, sub { hold_websocket(@_, sslmode => 'require') });
each_costs('a connection that has asked for TLS', 3, sub { hold_silent(@_, ssl_request, 'S') });
each_costs('a connection that has said nothing', 1.5, sub { hold_silent(@_, '', '') });

# Nobody is there: no thread wakes up, control neither.
my $nobody = quiet_proxy('nobody', $fake);
SKIP: {
	skip 'a sanitizer has threads of its own', 1 if sanitized() eq 'thread';
	skip no_strace(), 1 if no_strace();
	my $calls;
	for (1 .. 3) {    # what it does at the start may last
		$calls = system_calls([ $nobody->pid ], sub { let_pass(5.5, 'something wakes up') })->{total};
		last if !$calls;
	}
	is($calls, 0, 'nobody: no system call in 5.5 seconds');
}
$nobody->stop;

# Several workers: the kernel spreads connections.
my $proxy = quiet_proxy('spread', $fake, set => { workers => 4 });
my $held  = hold($proxy, 100);
my %on;
$on{ $_->{worker} }++ for grep { $_->{database} eq 'postgres' } @{ $proxy->console('SHOW SESSIONS FULL') };
is(scalar keys %on, 4, 'each of four workers has sessions') or diag explain \%on;
cmp_ok((sort { $a <=> $b } values %on)[0], '>', 5, 'and none has next to none') or diag explain \%on;
close $held;
$proxy->stop;
done_testing();
