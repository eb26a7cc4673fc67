#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# HTTP on a listener: requests whole and in pieces, limits, keep-alive, deadlines, CONNECT and the
# handshake of WebSockets, under TLS and behind a PROXY header; and PostgreSQL beside it on the same
# port.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Http;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my ($node) = regional_clusters('us-east1');
my $cert = certificate('proxy', alt => 'DNS:localhost');
my %port = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(lb must plain);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set  => { workers => 1, http => 'on', client_login_timeout => NEVER, http_max_body => '64kB', http_max_head => '4kB',
		tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key}, trusted_proxies => '127.0.0.2' },
	conf => "[listener lb]\nlisten = 127.0.0.1:$port{lb}\nproxy_protocol = allow\nhttp = on\n"
	  . "[listener must]\nlisten = 127.0.0.1:$port{must}\nhttp = on\n"
	  . "tls = require\ntls_cert_file = $cert->{cert}\ntls_key_file = $cert->{key}\n"
	  . "[listener plain]\nlisten = 127.0.0.1:$port{plain}\nmetrics = on\n"
	  . "tls_cert_file = $cert->{cert}\ntls_key_file = $cert->{key}\n");
$proxy->start;
my @login = (user => (getpwuid $>)[0], database => 'postgres');

sub wire { return Meridian::Test::Wire->new(@_ ? (port => $_[0]) : $proxy) }

# A whole conversation on a connection of its own.
sub ask { return http_ask(wire(), @_) }

# Bytes that are no good request: the answer, and that it was the last.
sub refused
{
	my ($bytes, $status, $what) = @_;
	for my $size (length $bytes, 1) {
		my $w = wire();
		$w->send_split($bytes, $size);
		my $a = http_answer($w);
		is($a && $a->{status}, $status, $what . ($size == 1 ? ', byte by byte' : ''));
		is($a && $a->{headers}{connection}, 'close', 'the last answer');
		ok($w->closed && $w->{rest} eq '', 'closed');
	}
	return;
}

sub select_42
{
	my ($w, $what) = @_;
	is(($w->login(@login))[-1][0], 'Z', "$what: a session");
	$w->send(query('SELECT 42'));
	is(row_values(($w->until('Z'))[1])->[0], '42', "$what: a query");
	return;
}

$proxy->log_like(qr/metrics = on does nothing without http = on/, 'metrics without HTTP: a warning');

# ---------------------------------------------------------------- paths and methods

my $a = ask(GET => '/healthz');
is($a->{status}, 200, '/healthz');
is($a->{body}, "ok\n", 'with its body');
is($a->{headers}{connection}, 'keep-alive', 'and the connection stays');
like($a->{headers}{date}, qr/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/, 'the time of day');
$a = ask(HEAD => '/healthz');
is($a->{status}, 200, 'HEAD');
is($a->{headers}{'content-length'}, 3, 'says the length');
my $w = wire();
$w->send(http_request(HEAD => '/healthz', Connection => 'close'));
http_answer($w, head => 1);
ok($w->closed && $w->{rest} eq '', 'and no body');
is(ask(GET => '/healthz?verbose=1')->{status}, 200, 'a query is not looked at');
is(ask(GET => 'http://any.example/healthz')->{status}, 200, 'the absolute form');
is(ask(GET => '/nothing')->{status}, 404, 'an unknown path');
is(ask(GET => '/healthz/')->{status}, 404, 'and one that is nearly known');
is(ask(GET => '/metrics')->{status}, 404, 'no metrics unless the listener has them');
is(ask(OPTIONS => '*')->{status}, 404, 'OPTIONS *');
for my $method (qw(DELETE POST BREW)) {
	$a = ask($method => '/healthz');
	is($a->{status}, 405, "$method: not allowed");
	is($a->{headers}{allow}, 'GET, HEAD', 'and what is');
}

# ---------------------------------------------------------------- in pieces, kept, in a row

my $request = http_request(GET => '/healthz', 'X-City' => 'paris');
for my $size (1, 2, 7) {
	$w = wire();
	$w->send_split($request x 2, $size);
	is(http_answer($w)->{status}, 200, "pieces of $size: the first");
	is(http_answer($w)->{status}, 200, "pieces of $size: the second");
}
for my $cut (1 .. length($request) - 1) {
	$w = wire();
	$w->send(substr $request, 0, $cut);
	let_pass(0.001, 'the first piece is read');
	$w->send(substr $request, $cut);
	my $got = http_answer($w);
	$got->{status} == 200 or fail("cut at $cut");
}
pass('cut at each byte');
$w = wire();
$w->send($request x 200);
is(scalar(grep { http_answer($w)->{status} == 200 } 1 .. 200), 200, '200 requests at once, answered in order');
$w->send("\r\n$request");
is(http_answer($w)->{status}, 200, 'an empty line between requests');
$w->send(http_request(GET => '/nothing'), $request, http_request(GET => '/healthz', Connection => 'close'), $request);
is(join(' ', map { http_answer($w)->{status} } 1 .. 3), '404 200 200', 'an error in the row, and the rest');
ok($w->closed && $w->{rest} eq '', 'nothing is answered behind Connection: close');
$w = wire();
is(http_ask($w, GET => '/healthz', version => '1.0')->{headers}{connection}, 'close', 'HTTP/1.0 is not kept');
ok($w->closed, 'and closed');
$w = wire();
is(http_ask($w, GET => '/healthz', version => '1.0', Connection => 'keep-alive', Host => undef)->{headers}{connection},
	'keep-alive', 'unless it asks');
is(http_ask($w, GET => '/healthz', version => '1.0', Host => undef)->{status}, 200, 'without a Host');
$w = wire();
$w->send($request);
$w->shutdown;
is(http_answer($w)->{status}, 200, 'who has closed its half gets its answer');
ok($w->closed, 'and is closed');

# Who does not read its answers is not read any more; nothing is lost.
$w = wire();
$w->{fd}->blocking(0);
my $sent = 0;
while ($sent < 20e6) {
	my $n = syswrite $w->{fd}, $request x 1000, 1000 * length($request), $sent % length $request;
	last if !defined $n && !$w->is_ready('write', patience(1));
	$sent += $n // 0;
}
cmp_ok($sent, '<', 20e6, 'answers are not read: nor are requests, in the end');
$w->{fd}->blocking(1);
my $whole = int $sent / length $request;
is(scalar(grep { http_answer($w)->{status} == 200 } 1 .. $whole), $whole, 'and each of them is answered later');

# ---------------------------------------------------------------- refused

refused("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, 'another version');
refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 'the preface of HTTP/2');
refused("GET /healthz HTTP/1.1\r\n\r\n", 400, 'no Host');
refused("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, 'two Hosts');
refused("GET /healthz HTTP/1.1\nHost: a\n\n", 400, 'bare line feeds');
refused("GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n", 400, 'a blank before the colon');
refused("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, 'two lengths');
refused("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, 'an unknown coding');
refused("SSH-2.0-OpenSSH_9.2\r\n\r\n", 400, 'an SSH client');
refused("GET / HTTP/1.1\r\nHost: a\r\nX: " . 'x' x 5000 . "\r\n\r\n", 431, 'a long head');
refused("GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", 413, 'a body that nothing is done with');
refused('GET /' . 'x' x 5000, 431, 'a long line that does not end');
refused("GET / HTTP/1.1\r\nHost: a\r\n" . "a: b\r\n" x 100 . "\r\n", 431, 'too many headers');
refused("CONNECT db:5432 HTTP/1.1\r\nHost: other\r\n\r\n", 400, 'CONNECT and Host differ');
refused("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n\r\n", 400, 'a PROXY header where none may stand');

# What has a body that nobody wants gets its answer whole, however much of it is sent.
$w = wire();
$w->send(http_request(POST => '/nothing', body => 'x' x 3_000_000));
is(http_answer($w)->{status}, 404, 'a body for nobody: answered');
ok($w->closed && !$w->{reset}, 'and closed without a reset');
my $errors = $proxy->counter('http_errors');
ask(GET => '/nothing');
is($proxy->counter('http_errors'), $errors + 1, 'errors are counted');
is($proxy->counter('login_failures'), 0, 'and are no failed logins');

# ---------------------------------------------------------------- bodies

my $json = '{"query":"SELECT 40 + $1::int AS a","params":["2"]}';
my @sql  = ('Neon-Connection-String' => "postgresql://$login[1]\@127.0.0.1/postgres");

sub is_42
{
	my ($answer, $what) = @_;
	is($answer->{status}, 200, $what) or diag explain $answer;
	like($answer->{body}, qr/"rows":\[(?:\{"a":|\[)"?42/, 'with its row');
	return;
}

my $post    = http_request(POST => '/sql', @sql, body => $json);
my $chunks  = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } $json =~ /(.{1,7})/gs;
my $chunked = http_request(POST => '/sql', @sql, 'Transfer-Encoding' => 'chunked') . $chunks . "0\r\nX-Trailer: 1\r\n\r\n";
for my $size (1, 3, 100_000) {
	$w = wire();
	$w->send_split($post . $chunked . $request, $size);
	is_42(http_answer($w), "a counted body in pieces of $size");
	is_42(http_answer($w), 'behind it one in chunks');
	is(http_answer($w)->{status}, 200, 'and what follows it');
}
$w = wire();
$w->send(http_request(POST => '/sql', @sql, Expect => '100-continue', 'Content-Length' => length $json));
is(http_answer($w)->{status}, 100, 'Expect: 100-continue');
$w->send($json);
is_42(http_answer($w), 'then the body');
$w = wire();
$w->send(http_request(POST => '/sql', @sql, Expect => '100-continue', body => $json));
is_42(http_answer($w), 'who does not wait for that is not told');
for my $how ([ 'Content-Length' => 64 * 1024 + 1 ], [ 'Transfer-Encoding' => 'chunked' ]) {
	$w = wire();
	$w->send(http_request(POST => '/sql', @sql, Expect => '100-continue', @$how));
	is(http_answer($w)->{status}, 100, 'chunks are waited for') if $how->[1] eq 'chunked';
	$w->send(sprintf "%x\r\n", 64 * 1024 + 1) if $how->[1] eq 'chunked';
	is(http_answer($w)->{status}, 413, "longer than http_max_body: 413 before it comes ($how->[0])");
}
$w = wire();
$w->send(http_request(POST => '/sql', @sql, 'Transfer-Encoding' => 'chunked') . "5\r\nhelloX");
is(http_answer($w)->{status}, 400, 'a chunk longer than it says');

# ---------------------------------------------------------------- CONNECT

$w = wire();
$a = http_connect($w, 'db.example:5432');
is($a->{status}, 200, 'CONNECT');
is(scalar keys %{ $a->{headers} }, 0, 'with nothing but the status');
select_42($w, 'CONNECT');
my ($row) = grep { $_->{transport} ne 'unix' } @{ $proxy->console('SHOW SESSIONS FULL') };
is($row->{transport}, 'connect', 'SHOW SESSIONS says how it came');
my %facts = map { $_->{key} => $_->{value} } grep { $_->{section} eq 'facts' } @{ $proxy->console("SHOW SESSION $row->{id}") };
is($facts{target}, 'db.example:5432', 'SHOW SESSION, what it asked for');
my $connect = http_request(CONNECT => 'db.example:5432') . startup(@login);
for my $size (length $connect, 1) {
	$w = wire();
	$w->send_split($connect, $size);
	is(http_answer($w)->{status}, 200, "the startup packet behind it, pieces of $size");
	is(($w->login_continue('', ''))[-1][0], 'Z', 'a session');
}
$w = wire();
$w->send($request);
http_answer($w);
is(http_connect($w, 'db')->{status}, 200, 'CONNECT after another request');
select_42($w, 'so late');
$w = wire();
http_connect($w, 'db');
$w->send($request);
is(error_fields($w->message)->{C}, '08P01', 'HTTP inside a tunnel is no HTTP');
$w = wire();
http_connect($w, 'db');
$w->login(@login);
my $v = wire();
http_connect($v, 'db');
$w->send(query('SELECT pg_sleep(60)'));
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND wait_event = 'PgSleep'"), 'a query runs');
$v->send(cancel_request($w->{pid}, $w->{secret}));
is(error_fields(($w->until('E'))[-1])->{C}, '57014', 'a cancel request through a tunnel');
ok($v->closed, 'which is closed');
$w = wire();
http_connect($w, 'db');
$w->send(ssl_request);
is($w->bytes(1), 'S', 'TLS inside a tunnel');
$w = wire();
http_connect($w, 'db');
$w->send(startup(@login, database => 'nowhere'));
is(error_fields(($w->until('E'))[-1])->{C}, '3D000', 'errors of a session are errors of PostgreSQL');

# ---------------------------------------------------------------- WebSocket

$w = wire();
$a = http_websocket($w, '/v2?address=db.example:5432');
is($a->{status}, 101, 'a WebSocket');
is($a->{headers}{"sec-websocket-$_"}, undef, "no $_") for qw(extensions protocol);
select_42($w, 'WebSocket');
ok((grep { $_->{transport} eq 'websocket' } @{ $proxy->console('SHOW SESSIONS FULL') }), 'SHOW SESSIONS says how it came');
is(http_websocket(wire(), $_)->{status}, 101, "on $_") for '/', '/v1', '/anything/at?all';
isnt(http_websocket(wire(), '/healthz')->{status}, 101, 'but not on a path that is something else');
my @ws = (Upgrade => 'websocket', Connection => 'Upgrade', 'Sec-WebSocket-Key' => 'dGhlIHNhbXBsZSBub25jZQ==');
$a = ask(GET => '/', @ws);
is($a->{status}, 426, 'no version');
is($a->{headers}{'sec-websocket-version'}, 13, 'and which one there is');
is(ask(GET => '/', @ws, 'Sec-WebSocket-Version' => 8)->{status}, 426, 'another version');
is(ask(GET => '/sql', @ws, 'Sec-WebSocket-Version' => 13)->{status}, 405, 'a path that has another use');
is(ask(GET => '/', @ws[0 .. 3], 'Sec-WebSocket-Version' => 13)->{status}, 400, 'no key');
is(ask(GET => '/', @ws[0 .. 3], 'Sec-WebSocket-Version' => 13, 'Sec-WebSocket-Key' => 'short')->{status}, 400, 'a bad key');

my $console = Meridian::Test::Wire->new(path => $proxy->socket_path);
is(($console->login(database => 'meridian'))[-1][0], 'Z', 'the console is open to our own user on the unix socket');
for my $come (\&http_connect, \&http_websocket) {
	$console = Meridian::Test::Wire->new(path => $proxy->socket_path);
	$come->($console, $come == \&http_connect ? 'db' : '/');
	my $said = ($console->login(database => 'meridian'))[-1];
	is($said->[0], 'E', 'but not to whoever speaks HTTP there for somebody else');
}

# ---------------------------------------------------------------- streams are bounded

$proxy->reload(set => { http_max_streams => 2 });
undef $w;
undef $v;
my $only_console = sub { !grep { $_->{transport} ne 'unix' } @{ $_[0] } };
$proxy->wait_console('SHOW SESSIONS FULL', $only_console);
my @held = map { my $h = wire(); http_connect($h, 'db'); $h } 1 .. 2;
$w = wire();
$a = http_websocket($w, '/');
is($a->{status}, 503, 'a third stream');
is($a->{headers}{'retry-after'}, 1, 'may come back');
is(http_ask($w, GET => '/healthz')->{status}, 200, 'on that very connection');
is($proxy->safe_psql('postgres', 'SELECT 1'), 1, 'plain sessions are no streams');
is($proxy->counter('http_streams_refused'), 1, 'it is counted');
pop @held;
$proxy->wait_console('SHOW SESSIONS FULL', sub { 2 == grep { $_->{transport} ne 'unix' } @{ $_[0] } });
is(http_websocket($w, '/')->{status}, 101, 'with one of them gone there is room');
undef @held;
undef $w;
$proxy->reload(set => { http_max_streams => 0 });

# ---------------------------------------------------------------- TLS

for my $case ([ 'ALPN http/1.1', '-alpn', 'http/1.1' ], [ 'ALPN h2, http/1.1', '-alpn', 'h2,http/1.1' ], ['no ALPN']) {
	my ($what, @words) = @$case;
	for my $port ($proxy->port, $port{must}) {
		my $t = Meridian::Test::Tls->new({ port => $port }, @words);
		is(http_ask($t, GET => '/healthz')->{status}, 200, "$what: HTTP inside TLS");
		is(http_websocket($t, '/')->{status}, 101, "$what: a WebSocket inside TLS");
		select_42($t, $what);
	}
	my $t = Meridian::Test::Tls->new($proxy, @words);
	is(http_connect($t, 'db')->{status}, 200, "$what: CONNECT inside TLS");
	$t->send(ssl_request);
	is($t->bytes(1), 'N', 'TLS once more: no');
	select_42($t, $what);
}
my $t = Meridian::Test::Tls->new($proxy, '-alpn', 'http/1.1,postgresql');
select_42($t, 'ALPN postgresql wins');
$t = Meridian::Test::Tls->new($proxy, '-alpn', 'postgresql');
$t->send($request);
is(error_fields($t->message)->{C}, '08P01', 'ALPN postgresql: no HTTP');
$t = Meridian::Test::Tls->new($proxy);
$t->send(startup(@login));
ok($t->closed && $t->{rest} eq '', 'PostgreSQL without ALPN: closed');
$t = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres');
$t->send($request);
is(error_fields($t->message)->{C}, '08P01', 'behind an SSLRequest: no HTTP');
$t = Meridian::Test::Tls->new({ port => $port{plain} }, '-alpn', 'http/1.1');
ok($t->closed, 'a listener without HTTP does not agree to it');
$w = wire($port{must});
is(http_ask($w, GET => '/healthz')->{status}, 400, 'tls = require and plaintext');
ok($w->closed, 'and closed');
$w = wire($port{plain});
$w->send($request);
is(error_fields($w->message)->{C}, '08P01', 'a listener without HTTP says it in PostgreSQL\'s words');
is($proxy->safe_psql('postgres', 'SELECT 1'), 1, 'a plain client on the same port');

# ---------------------------------------------------------------- beside PROXY headers

my @methods = map { http_request($_ => '/healthz') } qw(GET POST PUT PRI);
for my $size (1, 1000) {
	for my $bytes (@methods) {
		$w = wire($port{lb});
		$w->send_split($bytes, $size);
		like(http_answer($w)->{status}, qr/^(?:200|405)$/, 'where a header may stand: ' . substr $bytes, 0, 5);
	}
	$w = wire($port{lb});
	$w->send_split(proxy_v1(src => '81.2.69.142'), $size);
	ok($w->closed && $w->{rest} eq '', 'a header of a peer that is not trusted');
}
select_42(wire($port{lb}), 'no header, no HTTP');
$proxy->reload(set => { trusted_proxies => '127.0.0.1' });
for my $size (1, 1000) {
	for my $bytes (@methods) {
		$w = wire($port{lb});
		$w->send_split($bytes, $size);
		like(http_answer($w)->{status}, qr/^(?:200|405)$/, 'of a trusted peer: ' . substr $bytes, 0, 5);
	}
	for my $header (proxy_v1(src => '81.2.69.142'), proxy_v2(src => '81.2.69.142', crc => 1)) {
		$w = wire($port{lb});
		$w->send_split($header . $methods[0], $size);
		is(http_answer($w)->{status}, 200, 'behind a header');
		http_connect($w, 'db');
		select_42($w, 'behind a header');
		my @from = map { $_->{true_addr} } @{ $proxy->console('SHOW SESSIONS FULL') };
		ok((grep { /^81\.2\.69\.142/ } @from), 'and it is known where it comes from') or diag "@from";
	}
	undef $w;
}
select_42(wire($port{lb}), 'no header of a trusted peer');

# ---------------------------------------------------------------- time

$proxy->reload(set => { client_login_timeout => '3s', http_idle_timeout => '4s' });    # time: both end who is slow
my %slow = (
	'half a word'        => 'GE',
	'half a head'        => "GET / HTTP/1.1\r\nHost: x\r\n",
	'half a body'        => substr($post, 0, -5),
	'a whole one first'  => $request . 'GET /');
my %wire = map { $_ => wire() } keys %slow;
my $begin = time;
$wire{$_}->send($slow{$_}) for keys %slow;
my $quiet = wire();
is(http_ask($quiet, GET => '/healthz')->{status}, 200, 'one that is kept');
my $from  = time;
my $loris = wire();
my @drops = split //, http_request(GET => '/healthz', 'X' => 'x' x 300);
while (@drops) {    # 0.1 s for each: far longer than the time there is
	$loris->send(shift @drops);
	last if $loris->is_ready('read', 0.1);
}
is(http_answer($loris)->{status}, 408, 'a byte now and then: 408');
cmp_ok(passed($from), '>', 2.9, 'not before client_login_timeout');
in_time($from, 12, 'and not long after it');
http_answer($wire{'a whole one first'});
for my $what (sort keys %wire) {
	is(http_answer($wire{$what})->{status}, 408, "$what: 408");
	ok($wire{$what}->closed, 'and closed');
}
ok($quiet->closed && $quiet->{rest} eq '', 'kept, and silent for http_idle_timeout: closed without a word');
cmp_ok(passed($begin), '>', 3.9, 'not before that');
$w = wire();
http_connect($w, 'db');
let_pass(0.5, 'the time of the request goes by');
is(($w->login(@login))[-1][0], 'Z', 'the time of a login begins with the tunnel');
$w = wire();
http_connect($w, 'db');
is(error_fields($w->message)->{M}, 'login took too long', 'and ends');

# ---------------------------------------------------------------- the end

$proxy->reload(set => { client_login_timeout => NEVER, http_idle_timeout => NEVER });
my $kept = wire();
is(http_ask($kept, GET => '/healthz')->{status}, 200, 'kept over a drain');
my $busy = wire();
http_connect($busy, 'db');
$busy->login(@login);
$busy->send(query('SELECT pg_sleep(2)'));
my $asked = wire();
$asked->send("GET /healthz HTTP/1.1\r\nHost: x\r\n");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(2)' AND backend_start < now()"), 'a query runs');
kill TERM => $proxy->pid;
ok($kept->closed && $kept->{rest} eq '', 'a drain: a connection that is only kept is closed without a word');
$asked->send("\r\n");
$a = http_answer($asked);
is($a->{status}, 503, '/healthz says so');
is($a->{headers}{connection}, 'close', 'for the last time');
my $end = ($busy->until('ZE'))[-1];
is($end->[0], 'Z', 'a query goes on to its end') or diag explain $end;
$proxy->stop;
done_testing();
