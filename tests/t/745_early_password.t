#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A password, and queries, in front of being asked, in the WebSocket frame that holds the startup
# packet: by each of PostgreSQL's methods, cut at every byte, wrong, and where strangers listen.
use strict;
use warnings;
use IO::Socket::INET;
use Meridian::Test::Cluster qw(regional_clusters users_by_method);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::WebSocket qw(ws_frame);
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($node) = regional_clusters('us-east1', { conf => "max_connections = 200\n" });
my %method   = users_by_method($node);
my %password = (alice => 'wonder', mary => 'lamb', paul => 'plain', tom => 'anything');

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $node ],
	set => { http => 'on', listen => "0.0.0.0:$port",
		probe_conninfo => 'user=tom dbname=postgres', client_login_timeout => span(3) }, port => $port);
$proxy->start;

sub first { my ($user, $password) = @_; return early($user, $password // $password{$user}) }

for my $user (sort keys %method) {
	my $w = Meridian::Test::WebSocket->new($proxy);
	$w->send(first($user));
	is($w->early_answer, ' R0 row 42 ready', "$method{$user}: only AuthenticationOk is seen, and the query is answered");
	next if $user eq 'tom';
	$w = Meridian::Test::WebSocket->new($proxy);
	$w->send(first($user, 'no'));
	is($w->early_answer, ' E 28P01', "$method{$user}: a wrong password");
}

# The frame cut at every byte, and each of its messages in a frame of its own that comes at once.
my $frame = ws_frame(0x82, first('alice'));
my %seen;
for my $at (1 .. length($frame) - 1) {
	my $w = Meridian::Test::WebSocket->new($proxy);
	$w->raw(substr $frame, 0, $at);
	let_pass(0.01, 'the first piece is read');
	$w->raw(substr $frame, $at);
	$seen{ $w->early_answer }++;
}
is_deeply(\%seen, { ' R0 row 42 ready' => length($frame) - 1 }, 'cut at every byte');
my $w = Meridian::Test::WebSocket->new($proxy);
$w->raw(join '', map { ws_frame(0x82, $_) } startup(user => 'alice', database => 'postgres'), password('wonder'), query('SELECT 42'));
is($w->early_answer, ' R0 row 42 ready', 'in frames of their own, at once');

# What is half there does not wait for ever.
$w = Meridian::Test::WebSocket->new($proxy);
$w->raw(substr $frame, 0, -20);
is($w->early_answer, ' E 08P01', 'a frame that never ends');

$w = Meridian::Test::WebSocket->new($proxy);
$w->send(startup(user => 'alice', database => 'postgres') . password('wonder') . password('wonder') . query('SELECT 42'));
like($w->early_answer, qr/ E 08P01$/, 'two passwords');
$w = Meridian::Test::WebSocket->new($proxy);
$w->send(startup(user => 'alice', database => 'postgres') . frame('p', 'no end'));
is($w->early_answer, ' E 08P01', 'a password that does not end');

# Outside of a WebSocket nothing is answered for the client: it is the node's to say.
$w = Meridian::Test::Wire->new($proxy);
$w->send(first('alice'));
like($w->early_answer, qr/^ R10 E 08P01/, 'on a plain connection the node is told what the client says');

# Asked for it, a client in a WebSocket logs in with SCRAM from end to end.
$w = Meridian::Test::WebSocket->new($proxy);
my @m = $w->login(user => 'alice', database => 'postgres', password => 'wonder');
is_deeply($w->{auth}, [ 10, 11, 12, 0 ], 'a client that waits to be asked is asked');

my $sql = "POST /sql HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 20\r\n"
  . "Neon-Connection-String: postgresql://alice:wonder\@h/postgres\r\n\r\n{\"query\":\"select 1\"}";

# A peer that is not of this host, and not trusted.
my $out = IO::Socket::INET->new(Proto => 'udp', PeerAddr => '192.0.2.1', PeerPort => 9);
my $own = $out ? $out->sockhost : '127.0.0.1';
SKIP: {
	skip 'this host has no address but the loopback', 6 if $own =~ /^127\./;
	my @at = ({ host => $own, port => $port });
	$w = Meridian::Test::WebSocket->new(@at);
	$w->send(first('alice'));
	is($w->early_answer, ' E 28000', 'a stranger\'s password is not taken in clear');
	$w = Meridian::Test::WebSocket->new(@at);
	@m = $w->login(user => 'alice', database => 'postgres', password => 'wonder');
	is($m[-1][0], 'Z', 'asked for it, it may come');
	$w = Meridian::Test::WebSocket->new(@at);
	$w->send(first('tom'));
	is($w->early_answer, ' R0 row 42 ready', 'one that nobody needs does no harm');
	$w = Meridian::Test::Wire->new(%{ $at[0] });
	$w->send($sql);
	1 while $w->fill;
	like($w->{in}, qr{^HTTP/1\.1 403 .*"code":"28000"}s, 'nor in a request');
	$proxy->reload(set => { trusted_proxies => "$own/32" });
	$w = Meridian::Test::WebSocket->new(@at);
	$w->send(first('alice'));
	is($w->early_answer, ' R0 row 42 ready', 'a load balancer may say it for its caller');
	$w = Meridian::Test::Wire->new(%{ $at[0] });
	$w->send($sql);
	1 while $w->fill;
	like($w->{in}, qr{^HTTP/1\.1 200 .*"rows":\[\{"\?column\?":1\}\]}s, 'and ask for it');
}

# A balancer on TCP passes on what its client says, in clear as it came: whom its header names counts.
$proxy->reload(set => { trusted_proxies => '127.0.0.1/32', proxy_protocol => 'allow' });
for ([ '192.0.2.7', 403 ], [ '127.0.0.9', 200 ])
{
	my ($client, $status) = @$_;
	$w = Meridian::Test::Wire->new($proxy);
	$w->send("PROXY TCP4 $client 127.0.0.1 1 2\r\n$sql");
	1 while $w->fill;
	like($w->{in}, qr{^HTTP/1\.1 $status }, "the password of $client, behind a PROXY header");
}


# … also in a WebSocket, where it comes in front of being asked.
sub by { my ($client) = @_; return Meridian::Test::WebSocket->new($proxy, before => proxy_v1(src => $client, dst => '127.0.0.1')) }
$w = by('192.0.2.7');
$w->send(first('alice'));
my $e = error_fields($w->message);
is_deeply([ @$e{qw(S C M)} ], [ 'FATAL', '28000', 'a password in clear may not come over a connection that is not private' ],
	'the password of a stranger is not taken');
like("$e->{D} $e->{H}", qr/in front of being asked.*trusted_proxies.*wss:/s, '... what would help is said');
ok($w->closed, '... and it is over');
$w = by('192.0.2.7');
@m = $w->login(user => 'alice', database => 'postgres', password => 'wonder');
is($m[-1][0], 'Z', 'asked for it, it may come');
$w = by('192.0.2.7');
$w->send(first('tom'));
is($w->early_answer, ' R0 row 42 ready', 'one that nobody needs does no harm');
$w = by('127.0.0.9');
$w->send(first('alice'));
is($w->early_answer, ' R0 row 42 ready', 'that of a client of this host is taken');

# Passwords that are none, behind a startup packet that is one.
my $first = startup(user => 'alice', database => 'postgres');
my @none = (
	[ frame('p', ''),                          'of no bytes' ],
	[ frame('p', 'wonder'),                    'without an end' ],
	[ frame('p', "won\0der\0"),                'with a NUL in it' ],
	[ 'p' . pack('N', 3),                      'of a length that there is not' ],
	[ 'p' . pack('N', 64 * 1024 + 1) . 'x',    'longer than any that PostgreSQL would read' ],
	[ 'p' . pack('N', 2**31) . 'x',            'without end' ]);
for my $case (@none) {
	$w = Meridian::Test::WebSocket->new($proxy);
	$w->send($first . $case->[0]);
	my $said = error_fields($w->message);
	is_deeply([ @$said{qw(S C D)} ], [ 'FATAL', '08P01', 'Invalid authentication message.' ], "a password $case->[1]");
	ok($w->closed, '... ends it');
}
# One that is long, and takes its time, is one.
$w = Meridian::Test::WebSocket->new($proxy);
my $long = ws_frame(0x82, $first . password('x' x 60_000) . query('SELECT 42'));
$w->raw(substr $long, 0, 30_000);
$w->raw(substr $long, 30_000);
is($w->early_answer, ' E 28P01', 'a long one is read to its end, and is wrong');

$proxy->stop;
done_testing();
