#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# runs alone
#
# What TLS on the client's side costs, counted and not timed: system calls of a transaction, of a
# burst, of a session. Records, tickets and OpenSSL's memory are in tests/unit/test_tlsctx.c, memory of
# whole sessions in 420_cost.t, how TLS is asked for and refused in 110_tls.t.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

plan skip_all => 'a sanitizer makes system calls of its own' if sanitized();
plan skip_all => no_strace() if no_strace();

my $tools = "$ENV{MERIDIAN_BUILDDIR}/tests/tools";
my $cert  = certificate('proxy', alt => 'IP:127.0.0.1');
my $node  = regional_clusters('here');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ here => $node ],
	set     => { workers => 1, probe_interval => NEVER, tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key} });
$proxy->start;

sub ask
{
	my ($w, $n) = @_;
	my $got = 0;
	for (1 .. $n) {
		$w->send(query('SELECT 1'));
		$got += grep { $_->[0] eq 'D' } $w->until('Z');
	}
	return $got == $n;
}

my %session = map { my $w = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres', $_); $w->login(database => 'postgres'); ($_ => $w) }
  qw(-tls1_3 -tls1_2);
ok(ask($_, 10), 'a session answers') for values %session;
my $worker = { threads($proxy->pid) }->{'worker/1'};

# A transaction: as without TLS.
for my $version (sort keys %session) {
	my $one  = system_calls($worker, sub { ask($session{$version}, 1) });
	my $many = system_calls($worker, sub { ask($session{$version}, 501) });
	my $each = ($many->{total} - $one->{total}) / 500;
	measured('%.3f system calls per simple query, %s', $each, $version);
	is(sprintf('%.2f', $each), '6.00', "a query costs six system calls ($version)") or diag explain [ $one, $many ];
}

# Bytes that wait in the sockets of its port.
sub unread
{
	my ($port, $sum) = (sprintf('%04X', $proxy->port), 0);
	for (split /\n/, PostgreSQL::Test::Utils::slurp_file('/proc/net/tcp')) {
		$sum += hex $1 if /^\s*\d+: \w+:$port \w+:\w+ \w\w \w+:(\w+)/;
	}
	return $sum;
}

# A burst of the client's, record by record, goes on in one piece, whatever the number of records.
my $w = $session{-tls1_3};
stand_still($proxy->pid);
for (1 .. 50) {
	my $before = unread();
	$w->send(parse("SELECT $_", "s$_"));
	wait_until(sub { unread() > $before }) or die 'no record came';    # or s_client makes fewer of them
}
$w->send(sync_message);
ok(wait_until(sub { unread() > 50 * 40 }), 'a burst of records waits for a proxy that stands still');
my $burst = system_calls($worker, sub { kill 'CONT', $proxy->pid; $w->until('Z') });
cmp_ok($burst->{sendto}, '<=', 2, '51 records of a client: one send to the node, and one back') or diag explain $burst;

# A session, handshake and all. What it reads depends on how the bytes come; what it sends does not: S,
# the handshake, the ticket, the answers of the login in one record, that of the query, and the last
# word; to the node a request for TLS, the startup packet, the query and Terminate.
sub log_in
{
	my ($n) = @_;
	open my $in, '|-', "$tools/clients", 'hold', $n, $proxy->connstr('postgres', sslmode => 'require') or die "clients: $!";
	close $in;
	return;
}
my $many = system_calls($worker, sub { log_in(20) });
my $each = $many->{sendto} / 20;
measured('%.2f sends, %.2f system calls per session of one query', $each, $many->{total} / 20);
cmp_ok($each, '<=', 10.0, 'a session of one query sends at most ten times') or diag explain $many;
$_->close for values %session;
$proxy->stop;
done_testing();
