#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# PostgreSQL in WebSockets: what the tools do, by a bridge that lets them; frames in every shape;
# pings, ends and faults; TLS below, inside, and both.
use strict;
use warnings;
use IPC::Run qw(run);
use Meridian::Test::Bridge;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::WebSocket qw(ws_frame);
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my $clients = "$ENV{MERIDIAN_BUILDDIR}/tests/tools/clients";
my $mb      = sanitized() ? 20 : 100;
my $node    = regional_clusters('us-east1');
my $cert    = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');
my $proxy   = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { http => 'on', tls => 'allow', tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key} });
$proxy->start;

sub websocket { return Meridian::Test::WebSocket->new($proxy, @_) }

sub session
{
	my $w = websocket(@_);
	my @m = $w->login(database => 'postgres', application_name => 'wire');
	is($m[-1][0], 'Z', 'a session in a WebSocket') or diag explain \@m;
	return $w;
}

sub value
{
	my ($w, $sql) = @_;
	$w->send(query($sql));
	my ($row) = grep { $_->[0] eq 'D' } $w->until('Z');
	return $row && row_values($row)->[0];
}

# ---------------------------------------------------------------- the tools of PostgreSQL

my $bridge = Meridian::Test::Bridge->new($proxy);
my %at     = (port => $bridge->port, sslmode => 'disable');
my $db     = $proxy->connstr('postgres', %at);

is($proxy->safe_psql('postgres', 'SELECT 6 * 7', connstr => $db), '42', 'psql');
is($bridge->line, 'close 1000', 'who has said Terminate gets a Close in answer to its own');
ok(run([ 'pgbench', '-iq', '-s', '1', $db ], '2>', '/dev/null'), 'pgbench -i');
for my $mode (qw(simple extended prepared)) {
	my $out = '';
	run([ 'pgbench', '-n', '-M', $mode, '-c8', '-j2', '-t100', $db ], '>', \$out, '2>&1');
	like($out, qr{actually processed: 800/800}, "pgbench -M $mode, 8 clients");
}

my $peak_before = peak_kb($proxy->pid);
my ($out, $err) = ('', '');
my $sql = "SELECT repeat('x', $mb * 1024 * 1024)";
my $row_length = $mb * 1024 * 1024 + 1 . "\n";
ok(run([ 'psql', '-XqAt', '-d', $db, '-c', $sql ], '|', [ 'wc', '-c' ], '>', \$out), "a row of $mb MB");
is($out, $row_length, 'is whole');
run([ $clients, 'echo', 20_000_000, $db ], '>', \$out);
is($out, "same\n", '20 MB there and back');
run([ $clients, 'pipeline', 2000, $db ], '>', \$out);
is($out, "rows 1900 errors 20 aborted 80 syncs 200\n", 'libpq\'s pipeline mode')
  or diag $out;
run([ $clients, 'cancel', 3, $db ], '>', \$out);
like($out, qr/^57014 57014 57014 $/m, 'PQcancel, by a WebSocket of its own');
unlike($out, qr/differs/, 'and the pid is the server\'s');

$proxy->safe_psql('postgres', 'CREATE TABLE copied (n int, t text)', connstr => $db);
my $rows = $mb * 10_000;
ok(run([ 'psql', '-XqAt', '-d', $db, '-c', "COPY (SELECT i, repeat('y', 90) FROM generate_series(1, $rows) i) TO STDOUT" ],
		'|', [ 'psql', '-XqAt', '-d', $db, '-c', 'COPY copied FROM STDIN' ]), 'COPY out, and in');
is($proxy->safe_psql('postgres', 'SELECT count(*), sum(n::bigint), min(length(t)) FROM copied', connstr => $db),
	join('|', $rows, $rows * ($rows + 1) / 2, 90), 'nothing is lost');
$proxy->safe_psql('postgres', 'DROP TABLE copied', connstr => $db);
SKIP: {
	skip 'memory under a sanitizer says nothing', 1 if sanitized();
	my $grown = peak_kb($proxy->pid) - $peak_before;
	measured('%d kB more at the peak', $grown);
	cmp_ok($grown, '<', 8192, 'and the proxy has not gathered it');
}

# ---------------------------------------------------------------- TLS

is($proxy->safe_psql('postgres', 'SELECT 1', connstr => $proxy->connstr('postgres', %at, sslmode => 'require')),
	'1', 'TLS inside the WebSocket, as sslmode=require asks for it');
$out = '';
run([ 'psql', '-XqAt', '-d', $proxy->connstr('postgres', %at, sslmode => 'require'), '-c', $sql ], '|', [ 'wc', '-c' ], '>', \$out);
is($out, $row_length, "$mb MB in it");
my $wss = Meridian::Test::Bridge->new($proxy, tls => 1);
%at = (port => $wss->port, sslmode => 'disable');
run([ 'psql', '-XqAt', '-d', $proxy->connstr('postgres', %at), '-c', $sql ], '|', [ 'wc', '-c' ], '>', \$out);
is($out, $row_length, "$mb MB in a WebSocket inside TLS");
run([ $clients, 'echo', 20_000_000, $proxy->connstr('postgres', %at) ], '>', \$out);
is($out, "same\n", '20 MB there and back');
run([ $clients, 'echo', 20_000_000, $proxy->connstr('postgres', %at, sslmode => 'require') ], '>', \$out);
is($out, "same\n", 'the same in TLS inside a WebSocket inside TLS');
run([ 'pgbench', '-n', '-M', 'prepared', '-c8', '-j2', '-t100', $proxy->connstr('postgres', %at) ], '>', \$out, '2>&1');
like($out, qr{actually processed: 800/800}, 'pgbench');
my $held = Meridian::Test::Wire->new(port => $wss->port);
is(($held->login(database => 'postgres', application_name => 'held'))[-1][0], 'Z', 'a session in a WebSocket inside TLS');
my ($shown) = grep { $_->{application_name} eq 'held' } @{ $proxy->console('SHOW SESSIONS FULL') };
is("$shown->{transport} $shown->{tls}", 'websocket TLSv1.3', 'is shown as such');
$held->close;
my $direct = Meridian::Test::Tls->new({ port => $bridge->port }, '-alpn', 'postgresql');
is(($direct->login(database => 'postgres'))[-1][0], 'Z', 'direct TLS inside a WebSocket');
undef $direct;
my $tunnel = Meridian::Test::Bridge->new($proxy, connect => 1);
is($proxy->safe_psql('postgres', 'SELECT 6 * 7', connstr => $proxy->connstr('postgres', %at, port => $tunnel->port)),
	'42', 'a CONNECT tunnel');
$_->stop for $bridge, $wss, $tunnel;

# ---------------------------------------------------------------- frames

my $w = session();
like($w->{head}, qr{^HTTP/1\.1 101 .*^Upgrade: websocket\r$}ms, 'the handshake is answered');
is(value($w, 'SELECT 1'), '1', 'and a query');
my ($facts) = grep { $_->{application_name} eq 'wire' } @{ $proxy->console('SHOW SESSIONS FULL') };
is($facts->{transport}, 'websocket', 'SHOW SESSIONS says how it came');

$w->send_split(query('SELECT 2'), 1);
is(($w->until('Z'))[1][1], "\0\1\0\0\0\1" . '2', 'each byte in a frame of its own');
my $q = ws_frame(0x02, substr query('SELECT 3'), 0, 5);
$q .= ws_frame(0x89, 'in between') . ws_frame(0x00, '') . ws_frame(0x80, substr query('SELECT 3'), 5);
$w->raw(substr $q, $_, 1) for 0 .. length($q) - 1;
is(($w->until('Z'))[1][1], "\0\1\0\0\0\1" . '3', 'fragments, with a ping between them, byte by byte');
is($w->told, '<pong in between>', 'which is answered');
is(value($w, "SELECT '" . 'z' x 70_000 . "'"), 'z' x 70_000, 'a frame with a length of 64 bits');
$w->send_frame(0x88, pack 'n', 1000);
is($w->told, '<close 1000>', 'a Close is answered');
ok($w->closed, 'and is the end');

for my $early (0, 1) {
	my $bytes = startup(user => (getpwuid $>)[0], database => 'postgres');
	$w = websocket($early ? (behind => ws_frame(0x82, $bytes)) : ());
	$w->send($bytes) unless $early;
	is(($w->until('Z'))[-1][0], 'Z', $early ? 'frames behind the handshake, in the same packet' : 'frames after it');
}

# What is wrong is said, and nothing else is disturbed.
for ([ 'an unmasked frame', 1002, "\x82\x01x" ],
	[ 'a text frame', 1003, ws_frame(0x81, 'SELECT 1') ],
	[ 'a reserved bit', 1002, ws_frame(0xc2, 'x') ],
	[ 'a ping that is too long', 1002, ws_frame(0x89, 'x' x 126) ],
	[ 'a length without end', 1002, "\x82\xff" . "\xff" x 12 ]) {
	my ($what, $code, $bytes) = @$_;
	for my $at ('before the login', 'in a session') {
		my $bad = $at =~ /before/ ? websocket() : session();
		$bad->raw($bytes);
		is($bad->told, "<close $code>", "$what $at: $code");
		ok($bad->closed, 'and the end');
	}
}
$proxy->log_like(qr/invalid WebSocket frame: a text frame/, 'the log says what was wrong');
my ($errors) = grep { $_->{reason} eq 'websocket' } @{ $proxy->console('SHOW ERRORS') };
is($errors && $errors->{sessions}, 10, 'and SHOW ERRORS counts them') or diag explain $proxy->console('SHOW ERRORS');

# ---------------------------------------------------------------- ends

$w = session();
my $pid = value($w, 'SELECT pg_backend_pid()');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
my ($last) = $w->until('E');
is(error_fields($last)->{C}, '57P01', 'a server that dies: a FATAL error');
is($w->told, '<close 1000>', 'and a Close behind it');

$w = session();
$w->send(query('SELECT pg_sleep(60)'));
ok(wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(60)' AND pid <> pg_backend_pid()") }), 'a query runs');
$w->send_frame(0x88, '');
ok(wait_until(sub { !$node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%sleep(60)' AND state = 'active' AND pid <> pg_backend_pid()") }),
	'whose client closes its WebSocket: it is cancelled');

# ---------------------------------------------------------------- silence

$proxy->reload(set => { websocket_ping_interval => '1s' });
$w = session();
my $began = time;
is($w->told, '<ping >', 'who is idle is pinged');
cmp_ok(passed($began), '>', 0.2, 'after a while');
is($w->told, '<ping >', 'and again') for 1 .. 4;
is(value($w, 'SELECT 1'), '1', 'who answers goes on');
my $deaf = session();
$deaf->{deaf} = 1;
$began = time;
my $told = '';
my $d = deadline(40, 'the end of who is deaf');
until ($deaf->{closed} || $deaf->{ended} || $d->over) {
	$told .= $deaf->told_now;
	$w->told_now;
}
like($told, qr/^(<ping >){2,5}<close 1000>$/, 'who does not is asked some times');
in_time($began, 20, 'and then is gone');
$proxy->log_like(qr/client does not answer WebSocket pings/, 'as the log says');
is(value($w, 'SELECT 2'), '2', 'the other one stays');

# ---------------------------------------------------------------- the drain

kill 'TERM', $proxy->pid;
my ($bye) = $w->until('E');
is(error_fields($bye)->{C}, '57P01', 'a drain: a FATAL error');
like($w->told, qr/^(<ping >)*<close 1001>$/, 'and a Close that says why');
$proxy->wait_exit;
is($proxy->exit_status, 0, 'the proxy has ended');
done_testing();
