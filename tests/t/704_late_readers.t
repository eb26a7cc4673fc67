#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Clients that send far ahead and read in fits and starts, by every way to come: what is held back on
# one side or the other goes on, and every answer comes, in its order.
use strict;
use warnings;
use Meridian::Test::Bridge;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Http;
use Meridian::Test::Measure qw(stand_still);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my ($node) = regional_clusters('us-east1');
my $cert  = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { workers => 1, http => 'on', tls => 'allow', tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key} },
	conf    => "[database pooled]\ndbname = postgres\nauth = trust\npool = transaction\n");
$proxy->start;
my $user = (getpwuid $>)[0];
my $seed = $ENV{MERIDIAN_TEST_SEED} // time ^ $$;
srand $seed;
note "MERIDIAN_TEST_SEED=$seed";

my %bridge = (ws => Meridian::Test::Bridge->new($proxy), wss => Meridian::Test::Bridge->new($proxy, tls => 1),
	connect => Meridian::Test::Bridge->new($proxy, connect => 1));
my @starttls = ('-starttls', 'postgres');
my %come = (
	'TCP'            => sub { Meridian::Test::Wire->new($proxy) },
	'a unix socket'  => sub { Meridian::Test::Wire->new(path => $proxy->socket_path) },
	'TLS'            => sub { Meridian::Test::Tls->new($proxy, @starttls) },
	'CONNECT'        => sub { Meridian::Test::Wire->new(port => $bridge{connect}->port) },
	'a WebSocket'    => sub { Meridian::Test::Wire->new(port => $bridge{ws}->port) },
	'wss'            => sub { Meridian::Test::Wire->new(port => $bridge{wss}->port) },
	'TLS inside a WebSocket' => sub { Meridian::Test::Tls->new({ port => $bridge{ws}->port }, @starttls) },
	'TLS inside wss' => sub { Meridian::Test::Tls->new({ port => $bridge{wss}->port }, @starttls) });

# Bytes that connections to a port have in their sockets, unread.
sub waiting_at
{
	my ($port) = @_;
	my $local = sprintf '0100007F:%04X', $port;
	my $n = 0;
	for (split /\n/, PostgreSQL::Test::Utils::slurp_file('/proc/net/tcp')) {
		my (undef, $at, undef, $state, $queues) = split;
		$n += hex((split /:/, $queues)[1]) if $at eq $local && $state eq '01';
	}
	return $n;
}

# Send as much as goes of what is left, for as long as somebody takes it; how much went.
sub push_ahead
{
	my ($w, $left) = @_;
	my $before = length $$left;
	$w->{fd}->blocking(0);
	while (length $$left && $w->is_ready('write', 0.02)) {
		my $n = syswrite $w->{fd}, $$left, 1 + int rand 200_000;
		last unless $n;
		substr($$left, 0, $n) = '';
	}
	$w->{fd}->blocking(1);
	return $before - length $$left;
}

# Questions, sent ahead of their answers, which `take` takes one by one: how many were right.
sub exchange
{
	my ($w, $questions, $take) = @_;
	my ($left, $sent, $asked, $at, $good) = (join('', @$questions), 0, 0, 0, 0);
	while ($at < @$questions) {
		$sent += push_ahead($w, \$left);
		for (; $asked < @$questions && $sent >= length $questions->[$asked]; $asked++) {
			$sent -= length $questions->[$asked];
		}
		let_pass(rand 0.02, 'answers pile up') if rand() < 0.3;
		for (my $some = 1 + int rand 60; $some > 0 && $at < $asked; $some--) {
			$good += $take->($at++);
		}
	}
	return $good;
}

# Statements of many sizes, answers of many sizes.
sub statements
{
	my ($w, $n) = @_;
	my @size = map { int 10**(1 + rand 4.3) } 1 .. $n;
	my @questions = map { query("SELECT repeat('x', $size[$_]), $_ /* " . 'y' x int(10**(rand 4.6)) . ' */') } 0 .. $n - 1;
	return exchange($w, \@questions, sub {
		my ($i)   = @_;
		my ($row) = grep { $_->[0] eq 'D' } $w->until('Z');
		my $v     = $row ? row_values($row) : [ '', -1 ];
		return length $v->[0] == $size[$i] && $v->[1] == $i;
	});
}

my $n = build_factor() > 1 ? 200 : 600;
for my $how (sort keys %come) {
	for my $database (qw(postgres pooled)) {
		my $w = $come{$how}->();
		is(($w->login(user => $user, database => $database))[-1][0], 'Z', "$how: a session in $database");
		is(statements($w, $n), $n, 'each statement is answered');
		$w->close;
	}
}

# POST /sql, one behind the other on one connection, with checks of health between.
for my $how ('TCP', 'a unix socket', 'TLS') {
	my $w = $how eq 'TLS' ? Meridian::Test::Tls->new($proxy, '-alpn', 'http/1.1') : $come{$how}->();
	my @size = map { int 10**(1 + rand 4.5) } 1 .. $n / 5;
	my @questions = map { (http_request(POST => '/sql', 'Neon-Connection-String' => "postgresql://$user\@127.0.0.1/postgres",
		body => qq({"query":"SELECT repeat('x', $_) AS a"})), map { http_request(GET => '/healthz', 'X-Pad' => 'y' x int rand 4000) } 1 .. 20) } @size;
	is(exchange($w, \@questions, sub {
		my ($i) = @_;
		my $a   = http_answer($w);
		return $a->{body} eq "ok\n" if $i % 21;
		return $a->{body} =~ /"a":"(x*)"/ && length $1 == $size[ $i / 21 ];
	}), scalar @questions, "$how: each request is answered");
	$w->close;
}

# More comes at once than is read at a time, and than is answered at a time: of what OpenSSL has read ahead and keeps,
# some bytes of its last records, the socket tells nothing.
{
	my $t   = Meridian::Test::Tls->new($proxy, '-alpn', 'http/1.1');
	my $one = http_request(GET => '/healthz', 'X-Pad' => '');
	$one = http_request(GET => '/healthz', 'X-Pad' => 'y' x (100 - length $one));
	is(http_ask($t, GET => '/healthz')->{status}, 200, 'a request over TLS');
	stand_still($proxy->pid);
	syswrite $t->{fd}, $one;
	ok(wait_until(sub { waiting_at($proxy->port) >= 122 }), 'a short record waits');
	syswrite $t->{fd}, $one x 164;
	ok(wait_until(sub { waiting_at($proxy->port) >= 16_500 + 3 * 22 }), 'and long ones behind it');
	kill 'CONT', $proxy->pid;
	is((grep { http_answer($t)->{status} == 200 } 1 .. 165), 165, 'all that is asked in them is answered');
	$t->close;
}

$_->stop for values %bridge;
$proxy->stop;
done_testing();
