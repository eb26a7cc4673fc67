#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# PROXY headers in front of a session: both versions, what they carry, what is wrong with them, who
# may send them, and what follows them in the same segment or much later. With a real HAProxy where
# there is one.
use strict;
use warnings;
use IO::Socket::INET;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($node) = regional_clusters('node');
my $cert = certificate('proxy', alt => 'DNS:localhost');
my %port = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(allow require);
# The peers of these tests come from 127.0.0.1; 127.0.0.9 is nobody's friend.
my $proxy = Meridian::Test::Proxy->new('main', set => { trusted_proxies => '127.0.0.1/32', region => 'us-east1',
		client_login_timeout => NEVER },
	regions => [ 'us-east1' => { nodes => $node, networks => '10.1.0.0/16' },
		'europe-west1' => { nodes => 'localhost:' . $node->port, networks => '10.2.0.0/16, 2001:db8:2::/48, vpce-0eu, azure:7' } ],
	conf => join "\n", map {
		"[listener $_]\nlisten = 127.0.0.1:$port{$_}\nproxy_protocol = $_\nsni_suffix = db.example\n"
		  . "tls_cert_file = $cert->{cert}\ntls_key_file = $cert->{key}\n"
	} qw(allow require));
$proxy->start;

# What the console knows of the session that this connection is.
sub session_of
{
	my ($w) = @_;
	$w->send(query('SELECT pg_backend_pid()'));
	my $pid = row_values(($w->until('Z'))[1])->[0];
	my ($row) = grep { $_->{server_pid} eq $pid } @{ $proxy->console('SHOW SESSIONS FULL') };
	return $row;
}

my @login = (user => (getpwuid $>)[0], database => 'postgres');

# A session behind these bytes: what the console shows of it, or undef where it was refused.
sub behind
{
	my ($header, %opt) = @_;
	my $w = Meridian::Test::Wire->new(port => $port{ $opt{listener} || 'require' });
	$opt{split} ? $w->send_split($header . startup(@login), $opt{split}) : $w->send($header . startup(@login));
	my @m = $w->until('ZE');
	return undef unless @m && $m[-1][0] eq 'Z';
	return session_of($w);
}

# ---------------------------------------------------------------- good ones

my $before = $proxy->counter('proxy_headers');
my $s = behind(proxy_v1(src => '10.2.3.4', sport => 1234));
is($s->{true_addr}, '10.2.3.4:1234', 'v1: the client\'s address');
like($s->{client_addr}, qr/^127\.0\.0\.1:/, 'beside that of the peer');
is($s->{home}, 'europe-west1', 'and it decides');
is(behind(proxy_v1(src => '10.1.3.4'))->{home}, 'us-east1', 'another address, another region');
is(behind(proxy_v1(src => '2001:db8:2::1'))->{home}, 'europe-west1', 'v1, IPv6');
$s = behind("PROXY UNKNOWN\r\n");
is($s->{true_addr}, $s->{client_addr}, 'UNKNOWN: the peer is the client');
$s = behind("PROXY UNKNOWN 10.2.3.4 10.2.3.4 1 2\r\n");
is($s->{true_addr}, $s->{client_addr}, 'whatever else it says');
$s = behind(proxy_v2(src => '10.2.3.4', sport => 77));
is($s->{true_addr}, '10.2.3.4:77', 'v2: the client\'s address');
is($s->{home}, 'europe-west1', 'and it decides');
is(behind(proxy_v2(src => '2001:db8:2::1'))->{home}, 'europe-west1', 'v2, IPv6');
is(behind(proxy_v2(src => '::ffff:10.2.3.4'))->{home}, 'europe-west1', 'v2, IPv4 inside IPv6');
$s = behind(proxy_v2(local => 1));
is($s->{true_addr}, $s->{client_addr}, 'LOCAL: the peer is the client');
$s = behind(proxy_v2(local => 1, src => '10.2.3.4', tlv => { 0xe4 => 'paris' }));
is_deeply([ @$s{qw(true_addr locality_source)} ], [ $s->{client_addr}, 'self' ], 'LOCAL: what else it says is skipped');
$s = behind(proxy_v2(tlv => { 0xe4 => 'paris' }));
is_deeply([ @$s{qw(locality_source home)} ], [ 'tlv', 'europe-west1' ], 'UNSPEC with a city');
is($proxy->counter('proxy_headers') - $before, 11, 'each was counted');

# ---------------------------------------------------------------- TLVs

for my $case (
	[ { 0xe4 => 'Paris' },                      'europe-west1', 'paris', 'a city' ],
	[ { 0xe4 => 'new york' },                   'us-east1',     'new york', 'another city' ],
	[ { 0xe5 => '48.85,2.35' },                 'europe-west1', '',      'a location' ],
	[ { 0xe6 => 'DE' },                         'europe-west1', '',      'a country' ],
	[ { 0xe7 => 'gcp-europe-west1' },           'europe-west1', '',      'a region' ],
	[ { 0xe4 => 'paris', 0xe0 => "\0" x 8 },    'europe-west1', 'paris', 'a cloud\'s own beside it' ],
	[ { 4 => "\0" x 20, 0xe4 => 'paris' },      'europe-west1', 'paris', 'padding in front' ],
	[ [ 0xe8 => 'lat=48.85', 0xe8 => 'long=2.35' ], 'europe-west1', '',   'pairs' ],
	[ { 0xe8 => 'X-City=Paris' },               'europe-west1', 'paris', 'a header in a pair' ],
	[ [ 0xe4 => 'portland', 0xe8 => 'region_code=ME', 0xe6 => 'US' ], 'us-east1', 'portland', 'a city of a state' ],
	[ { 5 => 'city=paris;src=127.0.0.1' },      'europe-west1', 'paris', 'a unique id of pairs' ],
	[ { 5 => 'city=Sao%20Paulo' },              'us-east1',     'sao paulo', 'and one of one pair' ],
	[ { 0xea => "\1vpce-0EU" },                 'europe-west1', '',      'an endpoint of AWS' ],
	[ { 0xee => "\1\7\0\0\0" },               'europe-west1', '',      'an endpoint of Azure' ])
{
	my ($tlv, $home, $city, $what) = @$case;
	for my $crc (0, 1) {
		$s = behind(proxy_v2(src => '192.0.2.1', tlv => $tlv, crc => $crc));
		is_deeply([ lc $s->{city}, @$s{qw(locality_source home)} ], [ $city, 'tlv', $home ],
			"TLV: $what" . ($crc ? ', with a checksum' : ''));
	}
}
$s = behind(proxy_v2(src => '10.1.1.1', tlv => { 0xe4 => 'paris' }));
is_deeply([ @$s{qw(locality_source home)} ], [ 'tlv', 'europe-west1' ], 'a TLV comes before the address');
for my $opaque ('paris', '7F000001:8296_7F00001E:1F90_4F7B0A69_0003:790E', 'city=paris;and more', 'city=unknown;src=127.0.0.1') {
	is(behind(proxy_v2(src => '192.0.2.1', tlv => { 5 => $opaque }))->{locality_source}, 'self', "a unique id that says nothing: $opaque");
}
$s = behind(proxy_v2(src => '192.0.2.1', tlv => { 2 => 'paris.db.example' }));
is_deeply([ @$s{qw(home locality_source)} ], [ 'europe-west1', 'sni' ], 'AUTHORITY is the name that the client asked for');
is(behind(proxy_v2(src => '192.0.2.1', tlv => { 2 => 'paris.db.example', 0xe7 => 'us-east1' }))->{locality_source}, 'sni',
	'which comes before what the balancer says');
is(behind(proxy_v2(src => '192.0.2.1', tlv => { 2 => 'paris.example' }))->{locality_source}, 'self', 'where it ends in sni_suffix');

$proxy->reload(set => { tlv_city => '0xf1', tlv_country => 'off', unique_id => 'city' });
is(behind(proxy_v2(src => '192.0.2.1', tlv => { 0xf1 => 'paris' }))->{home}, 'europe-west1', 'another number for the city');
is(behind(proxy_v2(src => '192.0.2.1', tlv => { 0xe4 => 'paris', 0xe6 => 'FR' }))->{locality_source}, 'self', 'the old ones mean nothing then');
is(behind(proxy_v2(src => '192.0.2.1', tlv => { 5 => 'paris' }))->{home}, 'europe-west1', 'unique_id = city');
$proxy->reload(set => { tlv_city => '0xe4', tlv_country => '0xe6', unique_id => 'pairs' });
is(behind(proxy_v2(src => '10.1.1.1', tlv => [ 0xe4 => 'lemuria' ]))->{home}, 'us-east1', 'a city that is none: the address');

# ---------------------------------------------------------------- in pieces

for my $header (proxy_v1(src => '10.2.3.4'), proxy_v2(src => '10.2.3.4', tlv => { 0xe4 => 'paris' }, crc => 1)) {
	is(behind($header, split => $_)->{home}, 'europe-west1', "in pieces of $_") for 1, 5;
}
my $w = Meridian::Test::Wire->new(port => $port{require});
$w->send(proxy_v2(src => '10.2.3.4') . ssl_request);
is($w->bytes(1), 'S', 'an SSLRequest in the same segment');
$w = Meridian::Test::Wire->new(port => $port{require});
$w->send(proxy_v1(src => '10.2.3.4'));
$w->send(gssenc_request);
is($w->bytes(1), 'N', 'a GSSENCRequest after the header');
is(($w->login(@login))[-1][0], 'Z', 'and a session after that');
is(session_of($w)->{home}, 'europe-west1', 'the header is remembered');
for my $words ([ '-starttls', 'postgres' ], [ '-alpn', 'postgresql' ]) {
	my $t = Meridian::Test::Tls->new({ port => $port{require}, prefix => proxy_v2(src => '10.2.3.4') }, @$words);
	is(($t->login(@login))[-1][0], 'Z', "TLS behind a header (@$words)");
	is(session_of($t)->{home}, 'europe-west1', 'the header is remembered');
}
$w = Meridian::Test::Wire->new(port => $port{require});
$w->login(@login) if $w->send(proxy_v1(src => '10.2.3.4'));
my $c = Meridian::Test::Wire->new(port => $port{require});
$w->send(query('SELECT pg_sleep(30)'));
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 'a query runs');
$c->send(proxy_v2(src => '10.2.3.4') . cancel_request($w->{pid}, $w->{secret}));
is(error_fields(($w->until('E'))[-1])->{C}, '57014', 'a cancel request behind a header');

# ---------------------------------------------------------------- bad ones

my $v2 = proxy_v2(src => '10.2.3.4', tlv => { 0xe4 => 'paris' }, crc => 1);
my %bad = (
	'a wrong checksum'             => substr($v2, 0, -1) . chr(ord(substr $v2, -1) ^ 1),
	'a byte changed under it'      => substr($v2, 0, 17) . chr(9) . substr($v2, 18),
	'a TLV past the end'           => pack('a12 C2 n', substr($v2, 0, 12), 0x21, 0x11, 15) . "\x0a\1\2\3" x 2 . "\0\1\0\2" . "\xe4\0\x09",
	'an address block cut short'   => pack('a12 C2 n', substr($v2, 0, 12), 0x21, 0x11, 11) . 'x' x 11,
	'version 3'                    => substr($v2, 0, 12) . "\x31" . substr($v2, 13),
	'a command that is none'       => substr($v2, 0, 12) . "\x22" . substr($v2, 13),
	'a header of 64 kB'            => substr($v2, 0, 14) . "\xff\xff",
	'v1 without its end'           => 'PROXY TCP4 ' . '1' x 120,
	'v1 with a bare line feed'     => "PROXY TCP4 10.2.3.4 10.2.3.4 1 2\n",
	'v1 with a leading zero'       => "PROXY TCP4 010.2.3.4 10.2.3.4 1 2\r\n",
	'v1 with a port that is none'  => "PROXY TCP4 10.2.3.4 10.2.3.4 1 70000\r\n",
	'garbage'                      => "\x0d\x0a\x0d\x0bhello",
	'HTTP'                         => "GET / HTTP/1.1\r\n\r\n");
my $bystander = Meridian::Test::Wire->new(port => $port{require});
$bystander->send(proxy_v1(src => '10.2.3.4'));
$bystander->login(@login);
for my $what (sort keys %bad) {
	for my $listener ('require', 'allow') {
		my $refused = $proxy->counter('proxy_headers_refused');
		$w = Meridian::Test::Wire->new(port => $port{$listener});
		$w->send($bad{$what} . startup(@login));
		ok($w->closed && $w->{rest} eq '', "$what ($listener): closed without a word");
		is($proxy->counter('proxy_headers_refused'), $refused + 1, 'and counted');
	}
}

$bystander->send(query('SELECT 1'));
is(row_values(($bystander->until('Z'))[1])->[0], '1', 'a session beside all that is not disturbed');

# ---------------------------------------------------------------- off, allow, require; strangers

sub untrusted_tlvs
{
	my ($row) = grep { $_->{source} eq 'tlv' } @{ $proxy->console('SHOW LOCALITY SOURCES') };
	return $row->{untrusted};
}

my $refused = $proxy->counter('proxy_headers_refused');
$w = Meridian::Test::Wire->new(port => $port{require});
$w->send(startup(@login));
ok($w->closed && $w->{rest} eq '', 'require: who has no header is closed');
is($proxy->counter('proxy_headers_refused'), ++$refused, 'and counted');
$s = behind('', listener => 'allow');
is($s->{true_addr}, $s->{client_addr}, 'allow: it goes without');
is(behind(proxy_v1(src => '10.2.3.4'), listener => 'allow')->{home}, 'europe-west1', 'and with');
$w = Meridian::Test::Wire->new(port => $port{allow});
$w->send(ssl_request);
is($w->bytes(1), 'S', 'allow: an SSLRequest without a header');
my $t = Meridian::Test::Tls->new({ port => $port{allow} }, '-alpn', 'postgresql');
is(($t->login(@login))[-1][0], 'Z', 'allow: direct TLS without a header');
$w = Meridian::Test::Wire->new($proxy);
$w->send(proxy_v1(src => '10.2.3.4') . startup(@login));
is(error_fields($w->message)->{C}, '08P01', 'off: a header is a protocol violation');

$proxy->reload(set => { trusted_proxies => '127.0.0.9/32' });
my $untrusted = untrusted_tlvs();
$refused = $proxy->counter('proxy_headers_refused');
for my $header (proxy_v1(src => '10.2.3.4'), proxy_v2(src => '10.2.3.4', tlv => { 0xe4 => 'paris' })) {
	for my $listener ('require', 'allow') {
		$w = Meridian::Test::Wire->new(port => $port{$listener});
		$w->send($header . startup(@login));
		ok($w->closed && $w->{rest} eq '', "$listener: a header of a peer that is not trusted closes");
		is($proxy->counter('proxy_headers_refused'), ++$refused, 'and is counted');
	}
}
is(untrusted_tlvs() - $untrusted, 4, 'SHOW LOCALITY SOURCES has them');
$s = behind('', listener => 'allow');
is_deeply([ @$s{qw(home locality_source)} ], [ 'us-east1', 'self' ], 'allow: a stranger is served without one');
$w = Meridian::Test::Wire->new(port => $port{allow});
$w->send("GET / HTTP/1.1\r\n\r\n");
is(error_fields($w->message)->{C}, '08P01', 'other nonsense of a stranger is a protocol violation');
$proxy->reload(set => { trusted_proxies => '127.0.0.1/32' });

# ---------------------------------------------------------------- HAProxy

my $haproxy = (grep { -x } map { "$_/haproxy" } split(/:/, $ENV{PATH}), '/usr/sbin')[0];
SKIP: {
	skip 'haproxy is not installed', 4 unless $haproxy;
	my %front = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(v1 v2);
	my $dir = PostgreSQL::Test::Utils::tempdir();
	PostgreSQL::Test::Utils::append_to_file("$dir/haproxy.cfg", <<"CFG");
global
	maxconn 100
defaults
	mode tcp
	timeout connect 5s
	timeout client 60s
	timeout server 60s
listen v1
	bind 127.0.0.1:$front{v1}
	server m 127.0.0.1:$port{require} send-proxy
listen v2
	bind 127.0.0.1:$front{v2}
	server m 127.0.0.1:$port{require} send-proxy-v2 proxy-v2-options crc32c,unique-id check inter 100ms check-send-proxy
CFG
	my $pid = fork // die;
	if (!$pid) {
		open STDOUT, '>', "$dir/haproxy.log";
		open STDERR, '>&', \*STDOUT;
		exec 'setpriv', '--pdeathsig', 'KILL', '--', $haproxy, '-db', '-f', "$dir/haproxy.cfg" or POSIX::_exit(127);
	}
	for my $way (qw(v1 v2)) {
		wait_until(sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $front{$way}) }, "HAProxy to listen ($way)");
		my $w = Meridian::Test::Wire->new(port => $front{$way});
		is(($w->login(@login))[-1][0], 'Z', "a session through HAProxy, $way");
		is(session_of($w)->{true_addr}, '127.0.0.1:' . $w->{fd}->sockport, 'its address is the one behind HAProxy');
	}
	my $errors = grep { $_->{state} ne 'up' } @{ $proxy->console('SHOW NODES FULL') };
	is($errors, 0, 'its health checks harm nothing');
	kill 'TERM', $pid;
	waitpid $pid, 0;
}
$proxy->stop;
done_testing();
