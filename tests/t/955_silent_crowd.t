#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Thousands of connections that say nothing, or half of something, while others log in. They cost what
# the threat model says, nobody who logs in waits for them, and when their time is up all that they
# have cost is given back.
# timeout: 600
use strict;
use warnings;
use IO::Socket::INET;
use Meridian::Test::Chaos;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my $crowd = 5000;
my ($node) = regional_clusters('us-east1');
my $cert  = certificate('proxy', alt => 'DNS:localhost');
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => { nodes => $node, sslmode => 'disable' } ],
	set => { workers => 1, auth => 'trust', probe_conninfo => undef, log_connections => 'off', client_login_timeout => NEVER,
		tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key} },
	conf => "[database postgres]\npool = transaction\n");
$proxy->start;
my @login = (database => 'postgres', user => 'postgres');
my $chaos = Meridian::Test::Chaos->new($proxy, @login);

# A process for each 500, which holds its connections open until it is told to go: says how many it has.
my @holders;

sub hold
{
	my ($bytes, $n) = @_;
	while ($n > 0) {
		my $mine = $n > 500 ? 500 : $n;
		$n -= $mine;
		pipe my $up, my $say or die "pipe: $!";
		pipe my $wait, my $go or die "pipe: $!";
		my $pid = fork // die "fork: $!";
		if (!$pid) {
			close $go;
			my @all = grep { defined } map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $proxy->port) } 1 .. $mine;
			syswrite $_, $bytes for grep { length $bytes } @all;
			if ($bytes eq ssl_request) { sysread $_, my $answer, 1 for @all }
			syswrite $say, scalar(@all) . "\n";
			sysread $wait, my $end, 1;
			POSIX::_exit(0);
		}
		push @holders, { pid => $pid, go => $go };
		close $say;
		chomp(my $has = <$up> // 0);
		$holders[-1]{has} = $has;
	}
	return;
}

sub let_go
{
	close $_->{go} for @holders;
	waitpid $_->{pid}, 0 for @holders;
	@holders = ();
	return;
}

sub sessions_in
{
	return $chaos->count('SHOW SESSIONS FULL') - $chaos->{sessions};
}

# Seconds of a login and a query; the middle of so many.
sub login_time
{
	my ($n, $what) = @_;
	my @took;
	my $ok = 0;
	for (1 .. $n) {
		my $begin = time;
		my $w = Meridian::Test::Wire->session($proxy, @login);
		$ok++ if $w->{last}[0] eq 'Z' && $w->ask('SELECT 1') eq '1';
		push @took, passed($begin);
		$w->send(terminate);
		$w->closed;
	}
	is($ok, $n, "$n logins $what");
	return (sort { $a <=> $b } @took)[ $n / 2 ];
}

my $usual = login_time(50, 'with nobody there');
my $hello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc";
for my $kind ([ 'say nothing', '', 1.5 ], [ 'ask for TLS and no more', ssl_request, 3 ], [ 'say half a startup packet', substr(startup(@login), 0, 20), 6 ],
	[ 'say half a ClientHello', $hello, 48 ])
{
	my ($what, $bytes, $kb) = @$kind;
	my $n = $kb > 10 ? $crowd / 5 : $crowd;
	my $before = pss_kb($proxy->pid);
	hold($bytes, $n);
	my $has = 0;
	$has += $_->{has} for @holders;
	is($has, $n, "$n connections that $what");
	ok(wait_until(sub { sessions_in() == $n }), 'are all held');
	my $each = (pss_kb($proxy->pid) - $before) / $n;
	measured('%.2f kB for each connection that %s', $each, $what =~ s/say/says/r =~ s/ask/asks/r);
	cmp_ok($each, '<=', $kb, "each costs at most $kb kB") if !sanitized();
	my $time = login_time(50, 'beside them');
	measured('a login takes %.1f ms, %.1f ms with nobody there', 1000 * $time, 1000 * $usual);
	my $ticks = cpu_ticks($proxy->pid);
	let_pass(2, 'something spins');
	cmp_ok(cpu_ticks($proxy->pid) - $ticks, '<', 20 * build_factor(), 'they cost nothing while they are silent');
	$chaos->witness_is_well('beside them');
	let_go();
	ok(wait_until(sub { sessions_in() == 0 }), 'they leave, and are gone');
}
$chaos->all_is_back('when all have left');

# Their time is up, all at once.
hold($_, $crowd / 2) for '', ssl_request;
ok(wait_until(sub { sessions_in() == $crowd }), "$crowd are there again");
$proxy->reload(set => { client_login_timeout => '1s' });    # time: each is closed when it is over
login_time(50, 'while they are thrown out');
ok(wait_until(sub { sessions_in() == 0 }), 'each is closed when its time is up');
let_go();
$chaos->all_is_back('in the end', memory => 256);
$proxy->stop;
done_testing();
