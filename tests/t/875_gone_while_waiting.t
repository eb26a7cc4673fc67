#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Clients that have to wait, say more meanwhile than is kept of them, and leave: that is noticed at
# once, whatever they wait for, and nothing of them stays. Those that stay go on.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Delay;
use Meridian::Test::Fake;
use Meridian::Test::Http;
use Meridian::Test::Measure qw(descriptors);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use Test::More;

my ($east) = regional_clusters('us-east1');
my $asks   = Meridian::Test::Fake->new(on => { '' => sub { frame('R', pack 'N', 3) } });
my $far    = Meridian::Test::Delay->new($east);
my $cert   = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');
my $proxy  = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east, 'far' => $far, 'asks' => $asks ],
	set     => {
		workers => 1, region => 'us-east1', http => 'on', tls => 'allow', tls_cert_file => $cert->{cert},
		tls_key_file => $cert->{key}, client_login_timeout => NEVER, server_connect_timeout => NEVER, query_wait_timeout => 0,
		query_wait_notify => 0, probe_interval => NEVER, default_pool_size => 1
	},
	conf => "[database tx]\ndbname = postgres\nauth = trust\npool = transaction\n[database own]\ndbname = postgres\n"
	  . "[database slow]\ndbname = postgres\nregions = far\n[database asking]\ndbname = postgres\nregions = asks\n");
$proxy->start;

# More than is kept of anyone, but not more than the kernel takes besides: behind what it cannot take
# yet the end of a connection does not come.
my $one  = query("SELECT '" . 'x' x 1000 . "'");
my $lots = $one x 180;
my $some = $one x 90;      # in a queue: 16 kB

sub seen
{
	my ($database, $state) = @_;
	return grep { $_->{database} eq $database && $_->{state} eq $state } @{ $proxy->console('SHOW SESSIONS FULL') };
}

sub waits
{
	my ($database, $state) = @_;
	return wait_until(sub { seen($database, $state) == 1 });
}

# One that comes by `come` and says all of that is waiting in that state; it goes by `leave`.
sub leaves
{
	my ($database, $state, $what, $come) = @_;
	for my $how (qw(close abort)) {
		my $before = descriptors($proxy->pid);
		my $w = $come->($database);
		ok(waits($database, $state), "$what waits");
		$w->$how;
		ok(wait_until(sub { !seen($database, $state) }), $how eq 'close' ? 'and leaves: it is noticed' : 'or resets its connection');
		ok(wait_until(sub { descriptors($proxy->pid) <= $before }), 'and nothing of it is left');
	}
	return;
}

# How many of so many queries are answered.
sub answers
{
	my ($w, $of) = @_;
	my $n = 0;
	while ($n < $of) {
		my @all = $w->until('ZE');
		last if !@all || $all[-1][0] eq 'E';
		$n += grep { $_->[0] eq 'C' } @all;
	}
	return $n;
}

sub waiting { return $proxy->console('SHOW POOLS FULL DATABASE tx')->[0]{cl_waiting} }

sub by_tcp
{
	my ($database) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	$w->send(startup(user => 'postgres', database => $database), $lots);
	return $w;
}

# ---------------------------------------------------------------- logins

$proxy->console('PAUSE DATABASE own');
leaves('own', 'paused', 'a login under PAUSE', \&by_tcp);
leaves('own', 'paused', 'a request under PAUSE', sub {
	my $w = Meridian::Test::Wire->new($proxy);
	$w->send(http_request(POST => '/sql', body => '{"query":"SELECT 1"}', 'Neon-Connection-String' => 'postgresql://postgres@h/own')
		  . http_request(GET => '/healthz') x 4000);
	return $w;
});
my $stays = by_tcp('own');
my $tls = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres');
# Less: 147 kB of it are kept, and the kernel counts a record of 16 kB as more than its bytes. Of 180 kB the last ones, and the
# end behind them, found no room now and then.
$tls->send(startup(user => 'postgres', database => 'own'), $one x 155);
ok(wait_until(sub { seen('own', 'paused') == 2 }), 'two more, one of them by TLS');
$tls->close;
ok(waits('own', 'paused'), 'that one leaves: it is noticed');
$proxy->console('RESUME DATABASE own');
is(answers($stays, 180), 180, 'who has stayed is answered, all of it');
$stays->close;

$far->hang;
leaves('slow', 'attaching', 'a login at a node that says nothing', \&by_tcp);
$far->pass;
leaves('asking', 'login', 'a login whose password is asked for', \&by_tcp);

# ---------------------------------------------------------------- sessions in the queue of a pool

sub queued
{
	my ($database) = @_;
	my $w = Meridian::Test::Wire->session($proxy, database => $database);
	$w->send($some);
	return $w;
}

my $holder = Meridian::Test::Wire->session($proxy, database => 'tx');
$holder->ask('BEGIN');
leaves('tx', 'waiting', 'a session in the queue', \&queued);
$stays = queued('tx');
my $next = queued('tx');
ok(wait_until(sub { waiting() == 2 }), 'two of them');
my $pause = $proxy->console_start('PAUSE DATABASE tx');
ok(wait_until(sub { @{ $proxy->console('SHOW PAUSES') } }), 'under PAUSE');
$proxy->console('RESUME DATABASE tx');
eval { $pause->{run}->finish };
$next->close;
ok(wait_until(sub { waiting() == 1 }), 'RESUME, and one leaves: it is noticed');
$holder->ask('COMMIT');
is(answers($stays, 90), 90, 'the other is answered, all of it');
is($stays->ask('SELECT 2'), '2', 'and is heard afterwards');
$proxy->stop;
done_testing();
