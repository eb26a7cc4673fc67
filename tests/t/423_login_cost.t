#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# runs alone
#
# What a new session costs, counted and not timed: system calls and allocations of a login, one query
# and the end, with and without a pool; and what many idle or silent connections add to it.
use strict;
use warnings;
use IO::Socket::INET;
use List::Util qw(min);
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use POSIX ();
use PostgreSQL::Test::Utils ();
use Socket ();
use Test::More;

my $node = regional_clusters('here', { users => { alice => 'wonder' } });
my $kind = sanitized();
plan skip_all => "a sanitizer ($kind) makes system calls and allocations of its own" if $kind;
plan skip_all => no_strace() if no_strace();

my $crowd  = 500;
my $dir    = PostgreSQL::Test::Utils::tempdir();
my $secret = $node->safe_psql('postgres', "SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'");
PostgreSQL::Test::Utils::append_to_file("$dir/users", qq{"alice" "$secret"\n});

# Its end is waited for: that of one session must not be counted with the next.
sub one_session
{
	my ($proxy, %param) = @_;
	my $w = Meridian::Test::Wire->session($proxy, %param);
	$w->{last}[0] eq 'Z' && $w->ask('SELECT 1') eq '1' or die explain $w->{last};
	$w->send(terminate);
	return $w->closed && $w->close;
}

# Per session, 101 less one; what is made once has been made before.
sub each_session
{
	my ($proxy, $counts, %param) = @_;
	one_session($proxy, %param) for 1 .. 70;    # the worker's tables have grown by then
	my $worker = { threads($proxy->pid) }->{'worker/1'};
	my $few   = system_calls($worker, sub { one_session($proxy, %param) });
	my $many  = system_calls($worker, sub { one_session($proxy, %param) for 1 .. 101 });
	my $calls = { map { $_ => ($many->{$_} - ($few->{$_} // 0)) / 100 } keys %$many };
	my $before = allocations($counts, $worker);
	one_session($proxy, %param) for 1 .. 100;
	return ($calls, (allocations($counts, $worker) - $before) / 100);
}

my @kinds = (
	{ name => 'without a pool', auth => 'passthrough', calls => 28.1, allocations => 11.2 },
	{ name => 'of a pool', auth => 'trust', pool => 'transaction', calls => 16.2, allocations => 15.2 },
	{ name => 'of a pool, by SCRAM', auth => 'scram-sha-256', pool => 'transaction', calls => 22.3, allocations => 46.2,
		param => { user => 'alice', password => 'wonder' } },
	# the same, and the reset of its server: one message more, and the answer
	{ name => 'of a session pool', auth => 'trust', pool => 'session', calls => 19.3, allocations => 21.2 },
	{ name => 'of a session pool, by SCRAM', auth => 'scram-sha-256', pool => 'session', calls => 25.3, allocations => 52.2,
		param => { user => 'alice', password => 'wonder' } },
);

for my $k (@kinds) {
	my $counts = "$dir/" . $k->{name} =~ s/\W+/_/gr;
	my $proxy  = Meridian::Test::Proxy->new($k->{name} =~ s/\W+/_/gr,
		regions => [ here => { nodes => $node, sslmode => 'disable' } ],
		env     => { allocations_env($counts) },
		set     => { workers => 1, probe_interval => NEVER, auth => $k->{auth}, auth_file => "$dir/users", default_pool_size => 2,
			log_connections => 'off', log_disconnections => 'off' },
		conf => "[database postgres]\n" . ($k->{pool} ? "pool = $k->{pool}\n" : ''));
	$proxy->start;
	my ($calls, $allocations) = each_session($proxy, $counts, %{ $k->{param} || {} });
	measured('%.2f system calls and %.1f allocations for each session %s', $calls->{total}, $allocations, $k->{name});
	cmp_ok($calls->{total}, '<=', $k->{calls}, "a session $k->{name}: $k->{calls} system calls") or diag explain $calls;
	cmp_ok($calls->{accept4}, '<=', 1.1, 'of which one accepts it');
	cmp_ok($allocations, '<=', $k->{allocations}, "and $k->{allocations} allocations");

	# Who is there and says nothing is no work for those who come.
	my @silent = map { Meridian::Test::Wire->new($proxy) } 1 .. $crowd;
	ok(wait_until(sub { descriptors($proxy->pid) >= $crowd }), "$crowd connections that say nothing");
	my ($beside, $more) = each_session($proxy, $counts, %{ $k->{param} || {} });
	cmp_ok($beside->{total}, '<=', $k->{calls}, 'beside them it takes no more system calls') or diag explain $beside;
	cmp_ok($more, '<=', $k->{allocations}, 'nor allocations');
	$proxy->stop;
}

# What comes to a node, as its socket counts it: the first segment of the handshake, the last one with the startup packet,
# the query, and the Terminate with the end of the connection. (Where the client takes its time the kernel says in between that it
# has the answer: the least of some sessions.)
sub segments
{
	my ($c) = @_;
	my $info = getsockopt $c, Socket::IPPROTO_TCP(), Socket::TCP_INFO() or die "TCP_INFO: $!";
	return unpack 'x140 L', $info;    # tcpi_segs_in
}

sub play_node
{
	my ($c, $out) = @_;
	while (sysread $c, my $in, 10000) {
		if (length $in == 8) {
			syswrite $c, 'N';
		} elsif ($in =~ /^Q/) {
			syswrite $c, frame('C', "SELECT 0\0") . frame('Z', 'I');
		} elsif ($in =~ /^X/) {
			1 while sysread $c, $in, 10000;
			syswrite $out, segments($c) . "\n";
		} else {
			syswrite $c, frame('R', pack 'N', 0) . frame('K', pack 'N N', 1, 2) . frame('Z', 'I');
		}
	}
	return;
}

my $listen = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1') or die "listen: $!";
pipe my $counted, my $out or die "pipe: $!";
my $child = fork // die "fork: $!";
if (!$child) {
	local $SIG{CHLD} = 'IGNORE';
	while (1) {
		my $c = $listen->accept or next;
		next if fork;
		play_node($c, $out);
		POSIX::_exit(0);
	}
}
my $proxy = Meridian::Test::Proxy->new('segments',
	regions => [ here => { nodes => '127.0.0.1:' . $listen->sockport, sslmode => 'disable' } ],
	set     => { workers => 1, probe_interval => NEVER });
$proxy->start;
my @segments;
for (1 .. 20) {
	my $w = Meridian::Test::Wire->session($proxy);
	$w->send(query('SELECT'));
	$w->until('Z');
	$w->send(terminate);
	$w->closed or die 'it is not closed';
	push @segments, scalar <$counted>;
}
chomp @segments;
measured('a session is %s segments to its node', join ' ', @segments);
is(min(@segments), 4, 'a session is four segments to its node');
$proxy->stop;
kill 'KILL', $child;
waitpid $child, 0;

done_testing();
