#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What strangers send before they have logged in: slowly, too much, too little, nothing, garbage; and
# odd things that are allowed. Whatever it is, it is answered or closed in time, and nobody else
# notices.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my ($node) = regional_clusters('us-east1', { conf => "max_connections = 60\n" });
my $cert = certificate('proxy', alt => 'DNS:localhost');
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $node ],
	# time: client_login_timeout ends each who is slow
	set => { client_login_timeout => '3s', max_client_conn => 30, tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key},
		trusted_proxies => '127.0.0.1' },
	conf => "[listener lb]\nlisten = 127.0.0.1:" . (my $lb = PostgreSQL::Test::Cluster::get_free_port()) . "\nproxy_protocol = require\n");
$proxy->start;
my @login = (user => (getpwuid $>)[0], database => 'postgres');

sub wire { return Meridian::Test::Wire->new($proxy) }

# Sessions that were there before all of it, and must notice nothing.
my $witness = wire();
$witness->login(@login);

sub witness_is_well
{
	my ($when) = @_;
	$witness->send(query('SELECT 42'));
	is(row_values(($witness->until('Z'))[1])->[0], '42', "a session that was there is well $when");
	return;
}

# ---------------------------------------------------------------- allowed, but odd

my $w;
for my $size (1, 3, 11) {
	$w = wire();
	$w->send_split(startup(@login, 'meridian.city' => 'paris', application_name => 'slow'), $size);
	is(($w->until('ZE'))[-1][0], 'Z', "a startup packet in pieces of $size");
}
my $longest = 10004 - length startup(@login, application_name => '');
$w = wire();
is(($w->login(@login, application_name => 'x' x $longest))[-1][0], 'Z', 'the longest startup packet that PostgreSQL takes');
is($proxy->console('SHOW NODES FULL')->[0]{state}, 'up', 'and no word against the node');
$w = wire();
is(($w->login(@login, version => 0x30002))[0][0], 'R', 'protocol 3.2: we speak it, whatever the node does')
  or diag explain $w;
is(length $w->{secret}, 32, 'with a long secret');
ok($w->cancel, 'which can be said');
$w = wire();
is(length((($w->login(@login, version => 0x30001))[0], $w->{secret})[1]), 4, '3.1 has a short one');
$w = wire();
my @m = $w->login(@login, '_pq_.colour' => 'blue');
is($m[0][0], 'v', '_pq_ options are negotiated by the node');
like($m[0][1], qr/_pq_\.colour/, 'by name');
is($m[-1][0], 'Z', 'and the session goes on');
$w = wire();
@m = $w->login(@login, version => 0x30063);
is($m[0][0], 'v', 'a minor version of the future is negotiated');
is_deeply([ unpack 'N N', $m[0][1] ], [ 0x30002, 0 ], 'down to 3.2');
is($m[-1][0], 'Z', 'and the session goes on');

# ---------------------------------------------------------------- wrong, and told so

my $pad = sub { startup(@login, application_name => 'x' x $_[0]) };
my @wrong = (
	[ 'a length of 0',              pack('N', 0),                        '08P01' ],
	[ 'a length of 7',              pack('N', 7) . 'abc',                '08P01' ],
	[ 'a negative length',          pack('N', 0xffffffff),               '08P01' ],
	[ 'a length of 10005',          pack('N', 10005),                    '08P01' ],
	[ 'a length of 2 GB',           pack('N', 0x7fffffff) . 'x' x 20000, '08P01' ],
	[ 'garbage',                    "\xde\xad\xbe\xef" x 100,            '08P01' ],
	[ 'an HTTP request',            "GET / HTTP/1.1\r\nHost: x\r\n\r\n", '08P01' ],
	[ 'a POST',                     "POST /sql HTTP/1.1\r\n\r\n",        '08P01' ],
	[ 'an SSH client',              "SSH-2.0-OpenSSH_9.2\r\n",           '08P01' ],
	[ 'no parameters at all',       pack('N N', 8, 0x30000),             '08P01' ],
	[ 'a missing terminator',       pack('N N', 20, 0x30000) . "user\0abcdef\0", '08P01' ],
	[ 'a name without its value',   pack('N N', 14, 0x30000) . "user\0\0", qr/08P01|28000/ ],
	[ 'bytes behind the terminator', pack('N N', 19, 0x30000) . "user\0abc\0\0x", '08P01' ],
	[ 'no user',                    startup(database => 'postgres'),     '28000' ],
	[ 'protocol 2',                 pack('N N', 296, 0x20000) . "\0" x 288, '0A000' ],
	[ 'protocol 4',                 startup(@login, version => 0x40000), '0A000' ],
	[ 'a cancel request cut short', pack('N N', 12, 80877102) . "\0" x 4, '08P01' ],
	[ 'replication = maybe',        startup(@login, replication => 'maybe'), '22023' ],
	[ 'meridian.access = sometimes', startup(@login, 'meridian.access' => 'sometimes'), '22023' ],
	[ 'the same inside options',    startup(@login, options => '-c meridian.access=sometimes'), '22023' ],
	[ 'meridian.cty',               startup(@login, 'meridian.cty' => 'paris'), '42704' ],
	[ 'the same inside options',    startup(@login, options => '--meridian.cty=paris'), '42704' ]);
for my $case (@wrong) {
	my ($what, $bytes, $state) = @$case;
	for my $size (length $bytes, 1) {
		$w = wire();
		$w->send_split(substr($bytes, 0, 2000), $size);
		my $m = $w->message;
		my $e = $m && $m->[0] eq 'E' ? error_fields($m) : {};
		is($e->{S}, 'FATAL', "$what: FATAL" . ($size == 1 ? ', byte by byte' : ''));
		ref $state ? like($e->{C}, $state, 'SQLSTATE') : is($e->{C}, $state, "SQLSTATE $state");
		ok($w->closed && !length $w->{in}, 'closed, with nothing behind it');
	}
}
for my $size (5, 1) {
	$w = wire();
	$w->send_split(terminate(), $size);
	ok($w->closed && !length $w->{in}, 'Terminate in the place of a startup packet: closed without a word');
}
$w = wire();
$w->send(startup(@login, 'meridian.access' => 'sometimes'));
my $e = error_fields($w->message);
is($e->{M}, 'invalid value for parameter "meridian.access": "sometimes"', 'as PostgreSQL says it');
is($e->{H}, 'Available values: any, read-write, read-only, primary, standby, prefer-standby.', 'with the values there are');
$w = wire();
$w->send(startup(@login, 'meridian.cty' => 'paris'));
is(error_fields($w->message)->{H},
	'Available parameters: meridian.access, meridian.city, meridian.country, meridian.region, meridian.location, '
	  . 'meridian.reads, meridian.consistency, meridian.lost_wal, meridian.report_token, meridian.token.',
	'and the parameters there are');

# A name cannot write into the log.
my $from = -s $proxy->logfile;
$w = wire();
$w->send(startup(user => "x\nFATAL forged", database => "nowhere\r\n2026 forged", 'meridian.access' => "\nforged"));
$w->message;
$w = wire();
$w->login(user => "y\nforged", database => 'nowhere');
$proxy->log_like(qr/user="y\\x0aforged"/, 'a name with a line feed is quoted in the log', $from);
unlike($proxy->log_text($from), qr/^\s*(?:\S+ )?forged/m, 'and begins no line of it');
$from = -s $proxy->logfile;
$w = wire();
$w->login(user => "y\xff\xc2\x9b31m\xe2\x82hidden", database => 'nowhere');
$proxy->log_like(qr/user=\S*31m\S*hidden/, 'one that is no text is there', $from);
ok(utf8::decode(my $lines = $proxy->log_text($from)), '... and the log stays text, or a journal shows bytes in the place of a line');
unlike($lines, qr/[\x80-\x9f]/, '... with nothing in it that a terminal obeys');
witness_is_well('after all that');

# ---------------------------------------------------------------- garbage after the login

$w = wire();
$w->login(@login);
$w->send(pack 'a1 N', 'Q', 3);
$e = error_fields(($w->until('E'))[-1]);
is($e->{C}, '08P01', 'a message length of 3 in a session: 08P01');
ok($w->closed, 'and closed');
$w = wire();
$w->login(@login);
$w->send(pack('a1 N', "\x01", 4) x 3);
is(error_fields(($w->until('E'))[-1])->{C}, '08P01', 'a type that is none: the node says so');

# ---------------------------------------------------------------- silence

my $begin = time;
my %slow = (
	'nothing at all'          => [ $proxy->port, '' ],
	'half a startup packet'   => [ $proxy->port, substr startup(@login), 0, 12 ],
	'a GSSENCRequest'         => [ $proxy->port, gssenc_request ],
	'half a PROXY header'     => [ $lb, 'PROXY TC' ],
	'an SSLRequest'           => [ $proxy->port, ssl_request ],
	'half a ClientHello'      => [ $proxy->port, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc" ]);
my %silent = map { $_ => Meridian::Test::Wire->new(port => $slow{$_}[0]) } keys %slow;
$silent{$_}->send($slow{$_}[1]) for keys %slow;
my $t = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres');
$begin = time;
my $loris = wire();
my @drops = split //, startup(@login, application_name => 'x' x 400);
# 0.1 s for each of 400: far longer than client_login_timeout, however busy the machine
while (@drops) {
	$loris->send(shift @drops);
	last if $loris->is_ready('read', 0.1);
}
$e = error_fields($loris->message);
is($e->{C}, '08P01', 'a byte now and then: 08P01');
cmp_ok(passed($begin), '>', 2.9, 'not before client_login_timeout');
in_time($begin, 12, 'and not long after it');
for my $what (sort keys %silent) {
	my $s = $silent{$what};
	ok($s->closed, "$what: closed in time");
	my $rest = $s->{rest};
	$rest = substr $rest, 1 if $rest =~ /^[NS](?!\0\0\0[^\0])/;
	if ($what =~ /nothing|startup|GSS/) {
		like($rest, qr/^E.*C08P01\0Mlogin took too long\0/s, 'and told why');
	} else {
		is($rest, '', 'without a word: none would be understood');
	}
}
like(join('', map { $_->[1] } $t->until('E')), qr/C08P01\0Mlogin took too long/, 'inside TLS: told why');
cmp_ok($proxy->counter('login_failures'), '>', 30, 'all of it is counted');

# ---------------------------------------------------------------- a crowd

my @crowd = map { wire() } 1 .. 500;
for my $n (1 .. 5) {
	$w = wire();
	is(($w->login(@login))[-1][0], 'Z', "login $n beside 500 silent connections");
}
witness_is_well('beside them');
is(scalar(grep { $_->closed } @crowd), 500, 'each of the 500 is closed in time');

$proxy->reload(set => { client_login_timeout => NEVER });
undef $w;
$proxy->wait_console('SHOW SESSIONS FULL', sub { 1 == grep { $_->{database} eq 'postgres' } @{ $_[0] } });
my (@in, @out);
for my $n (1 .. 300) {
	my $c = wire();
	$c->send(startup(@login));
	push @out, $c;
}
@in = grep { (($_->until('ZE'))[-1] || ['']) ->[0] eq 'Z' } @out;
is(scalar @in, 29, 'max_client_conn = 30 lets 29 in beside the witness');
my %is_in = map { $_ => 1 } @in;
is(scalar(grep { !$is_in{$_} && $_->closed } @out), 271, 'the others are closed');
$w = wire();
@m = $w->login(@login);
is(error_fields($m[-1])->{C}, '53300', 'with FATAL 53300');
is($proxy->counter('clients_refused'), 272, 'and counted');
witness_is_well('beside them');
ok($proxy->console('SHOW VERSION'), 'the console can be reached');
(shift @in)->close;
$proxy->wait_console('SHOW SESSIONS FULL', sub { 29 == grep { $_->{database} eq 'postgres' } @{ $_[0] } });
$w = wire();
is(($w->login(@login))[-1][0], 'Z', 'where one leaves another may come');
is($proxy->console('SHOW NODES FULL')->[0]{state}, 'up', 'none of this counts against the node');

# ---------------------------------------------------------------- names with commands for a terminal in them

(shift @in)->close;
$proxy->wait_console('SHOW SESSIONS FULL', sub { 29 == grep { $_->{database} eq 'postgres' } @{ $_[0] } });
$w = wire();
$w->login(@login, application_name => "x\e[2J\x1e\n\xc2\x9by\xc3\xa9");
my $shown = 'x\\x1b[2J\\x1e\\x0a\\xc2\\x9by' . "\xc3\xa9";
my $sessions = $proxy->console('SHOW SESSIONS FULL');
is(scalar(grep { $_->{application_name} eq $shown } @$sessions), 1, 'SHOW SESSIONS shows them, and does not say them');
is(scalar(grep { $_->{id} !~ /^\d+$/ } @$sessions), 0, 'each session is one row');
my ($odd) = map { $_->{id} } grep { $_->{application_name} eq $shown } @$sessions;
is(scalar(grep { $_->{key} eq 'application_name' && $_->{value} eq $shown } @{ $proxy->console("SHOW SESSION $odd") }), 1, 'and so does SHOW SESSION');
$proxy->stop;
done_testing();
