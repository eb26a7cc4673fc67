#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# GET /metrics asked badly: by what is no request, never ends, comes in drops or in crowds, or reads nothing of
# what it has asked for. Each is told what is wrong with it, memory stays bounded, descriptors come back; who asks
# rightly is answered meanwhile, and the sessions of databases beside it go on.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Http;
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Metrics;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

use constant { CROWD => 200, GROWTH_KB => 3 * 1024 };

my ($node) = regional_clusters('us-east1');
my $port   = PostgreSQL::Test::Cluster::get_free_port();
my $proxy  = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { workers => 1, client_login_timeout => NEVER, http_idle_timeout => NEVER, http_max_head => '8kB' },
	conf    => "[listener monitoring]\nlisten = 127.0.0.1:$port\nhttp = on\nmetrics = on\n");
$proxy->start;
$proxy->wait_up(1);

sub wire { return Meridian::Test::Wire->new(port => $port) }
my $request = http_request(GET => '/metrics');

# One session of a database is there all the time, and one connection that scrapes as it should.
my $session = Meridian::Test::Wire->new($proxy);
$session->login(user => (getpwuid $>)[0], database => 'postgres');
my $good = wire();
my $n    = 0;

sub others_go_on
{
	my ($what) = @_;
	$session->send(query('SELECT ' . ++$n));
	my ($row) = grep { $_->[0] eq 'D' } $session->until('Z');
	is($row && row_values($row)->[0], $n, "$what: the session goes on");
	my $a = http_ask($good, GET => '/metrics');
	is($a && $a->{status}, 200, '... and whoever asks rightly is answered');
	ok($a && eval { metrics_of_text($a->{body}) }, '... whole') or diag $@;
	return;
}
others_go_on('to begin with');
my $usual = descriptors($proxy->pid);

sub descriptors_come_back
{
	my ($what) = @_;
	ok(wait_until(sub { descriptors($proxy->pid) <= $usual }), "$what: its descriptors come back")
	  or diag descriptors($proxy->pid) . " > $usual";
	return;
}

# What is done costs no more than that much memory, at any time.
sub bounded
{
	my ($what, $do) = @_;
	peak_reset($proxy->pid);
	my $before = peak_kb($proxy->pid);
	$do->();
	my $grown = peak_kb($proxy->pid) - $before;
	measured('%s: %d kB', $what, $grown);
	cmp_ok($grown, '<', GROWTH_KB, "$what: memory is bounded") unless sanitized();
	return;
}

# ---------------------------------------------------------------- no good request

my $head = "GET /metrics HTTP/1.1\r\nHost: a\r\n";
my @refused = (
	[ 'a long path',             'GET /metrics' . 'x' x 20_000 . " HTTP/1.1\r\nHost: a\r\n\r\n", 431 ],
	[ 'a long query',            'GET /metrics?' . 'x' x 20_000 . " HTTP/1.1\r\nHost: a\r\n\r\n", 431 ],
	[ 'a long header',           $head . 'X: ' . 'x' x 20_000 . "\r\n\r\n", 431 ],
	[ 'many headers',            $head . "X: x\r\n" x 500 . "\r\n", 431 ],
	[ 'bare line feeds',         "GET /metrics HTTP/1.1\nHost: a\n\n", 400 ],
	[ 'no version',              "GET /metrics\r\n\r\n", 400 ],
	[ 'words and no more',       "METRICS\r\n\r\n", 400 ],
	[ 'garbage',                 'G' . join('', map { chr(($_ * 37 + 128) % 256) } 1 .. 600) . "\r\n\r\n", 400 ],
	[ 'a byte 0 in the path',    "GET /met\0rics HTTP/1.1\r\nHost: a\r\n\r\n", 400 ],
	[ 'a byte 0 in a header',    "${head}X: \0\r\n\r\n", 400 ],
	[ 'HTTP/2',                  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 ],
	[ 'a negative length',       "${head}Content-Length: -1\r\n\r\n", 400 ],
	[ 'a length of many digits', "${head}Content-Length: " . '9' x 40 . "\r\n\r\n", 400 ],
	[ 'a body',                  "${head}Content-Length: 3\r\n\r\nabc", 413 ],
	[ 'a body in chunks',        "${head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 413 ],
	[ 'two lengths',             "${head}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 ]);
for (@refused) {
	my ($what, $bytes, $status) = @$_;
	for my $size (length $bytes, 1) {
		my $w = wire();
		$w->send_split(substr($bytes, 0, 12_000), $size);
		my $a = http_answer($w);
		is($a && $a->{status}, $status, $what . ($size == 1 ? ', byte by byte' : ''));
		ok($w->closed, '... and closed');
	}
}
for my $bytes ("\0\0\0\x08\x04\xd2", pack('N N', 0x7fffffff, 196608), "\x16\x03\x01\x02\0\x01", "get /metrics HTTP/1.1\r\n\r\n", "\r\n\r\n") {
	my $w = wire();
	$w->send($bytes . "\xff" x 2_000);
	ok($w->closed, 'what does not even begin as a request: closed');
	unlike($w->{rest}, qr/meridian_/, '... and told nothing');
}
descriptors_come_back('no good request');
others_go_on('no good request');

# ---------------------------------------------------------------- other methods

for my $method (qw(POST PUT DELETE PATCH OPTIONS TRACE BREW)) {
	my $w = wire();
	my $a = http_ask($w, $method => '/metrics');
	is($a->{status}, 405, "$method: 405");
	is($a->{headers}{allow}, 'GET, HEAD', '... and what is allowed');
	is(http_ask($w, GET => '/metrics')->{status}, 200, '... on a connection that goes on');
}
my $w = wire();
$w->send(join '', map { http_request($_ => '/metrics') } qw(HEAD GET HEAD));
my ($first, $second, $third) = (http_answer($w, head => 1), http_answer($w), http_answer($w, head => 1));
is("$first->{status} $second->{status} $third->{status}", '200 200 200', 'HEAD, GET and HEAD in one go');
cmp_ok($first->{headers}{'content-length'}, '>', 10_000, '... HEAD says how long it would be');
is(length $second->{body}, $second->{headers}{'content-length'}, '... GET is that long');
ok($w->silent, '... and there is no more');

# ---------------------------------------------------------------- in drops

$w = wire();
$w->send_split($request, 1);
my $a = http_answer($w);
is($a->{status}, 200, 'byte by byte');
ok(metrics_of_text($a->{body}), '... is answered whole');

bounded('a line without an end',
	sub {
		$w = wire();
		my $begun = time;
		my $d = deadline(30, 'it not to be read any more');
		1 while eval { $w->send('GET /metrics' . 'x' x 60_000) } && $d->goes_on;
		in_time($begun, 20, 'a line without an end: it is not read for ever');
		like($w->closed && $w->{rest}, qr{^HTTP/1\.1 431 }, '... and told what is wrong with it');
	});

# ---------------------------------------------------------------- asked for, and not read

bounded('requests in one go',
	sub {
		$w = wire();
		$w->send($request x 300);
		is(scalar(grep { (http_answer($w) || {})->{status} == 200 } 1 .. 300), 300, '300 in one go, answered in their order');
	});
bounded('answers that nobody reads',
	sub {
		my @w = map { wire() } 1 .. 20;
		$_->send($request x 500) for @w;
		let_pass(0.5, 'they pile up');
		others_go_on('answers that nobody reads');
		$w[$_]->abort for 0 .. 9;    # ... and who goes without having read them
		$w[$_]->close for 10 .. 19;
	});
$w = undef;
descriptors_come_back('answers that nobody reads');

# ---------------------------------------------------------------- a crowd that stays

my %crowd;
bounded('a crowd',
	sub {
		my %says = ('nothing' => '', 'a word' => 'GET', 'half a head' => $head, 'a request' => $request);
		for my $i (1 .. CROWD / 4) {
			for my $what (keys %says) {
				my $v = wire();
				$v->send($says{$what}) if $says{$what} ne '';
				push @{ $crowd{$what} }, $v;
			}
		}
		ok(wait_until(sub { descriptors($proxy->pid) >= $usual + CROWD }), CROWD . ' connections are held');
		is(scalar(grep { http_answer($_)->{status} == 200 } @{ $crowd{'a request'} }), CROWD / 4, '... who has asked is answered');
		others_go_on('a crowd');
	});
$proxy->reload(set => { client_login_timeout => '1s', http_idle_timeout => '1s' });    # time: each is closed in its time
is(scalar(grep { http_answer($_)->{status} == 408 && $_->closed } @{ $crowd{$_} }), CROWD / 4, "$_, and no more: 408 in its time")
  for 'a word', 'half a head';
is(scalar(grep { $_->closed } @{ $crowd{$_} }), CROWD / 4, "$_: closed in its time") for 'nothing', 'a request';
$good = wire();
%crowd = ();
descriptors_come_back('a crowd');
others_go_on('behind all of them');
$proxy->stop;
done_testing();
