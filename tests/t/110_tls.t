#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# TLS on both sides: how it is asked for, refused, required and resumed; certificates that change;
# each of libpq's sslmode words towards a node, with good and with wrong names and authorities.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($plain, $tls) = regional_clusters('us-east1', 'us-west1', { tls => 1, conf => "listen_addresses = '127.0.0.1,127.0.0.2'\n" });
my $where   = "SELECT current_setting('cluster_name')";
my $on_tls  = 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
my $version = 'SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()';
my $cert    = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');
my $other   = certificate('proxy2', alt => 'DNS:second.example');
my ($crt, $key) = map { PostgreSQL::Test::Utils::tempdir() . "/$_" } 'live.crt', 'live.key';

sub install
{
	my ($made) = @_;
	system('cp', $made->{cert}, $crt) == 0 && system('cp', $made->{key}, $key) == 0 or die;
	return;
}
install($cert);

my %port = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(off allow require);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $plain, sslmode => 'disable' },
		'us-west1' => { nodes => $tls, sslmode => 'require' } ],
	set  => { tls_cert_file => $crt, tls_key_file => $key, region => 'us-east1' },
	conf => join "\n",
	map {
		"[listener $_]\nlisten = 127.0.0.1:$port{$_}\ntls = $_\n"
		  . ($_ eq 'off' ? '' : "tls_cert_file = $crt\ntls_key_file = $key\n")
	} qw(off allow require));
$proxy->start;

sub via
{
	my ($mode, %more) = @_;
	return $proxy->connstr('postgres', port => $port{$mode}, %more);
}

# ---------------------------------------------------------------- the client's side

# What libpq makes of each of its words on each kind of listener: TLS, plaintext, or an error.
my @matrix = (
	[ off     => { disable => 'plain', allow => 'plain', prefer => 'plain', require => 'error' } ],
	[ allow   => { disable => 'plain', allow => 'plain', prefer => 'TLS',   require => 'TLS' } ],
	[ require => { disable => 'error', allow => 'TLS',   prefer => 'TLS',   require => 'TLS' } ]);
for my $row (@matrix) {
	my ($listener, $want) = @$row;
	for my $mode (sort keys %$want) {
		my $text = $want->{$mode};
		my $conn = via($listener, sslmode => $mode);
		if ($text eq 'error') {
			$proxy->connect_fails($conn, "tls = $listener, client says $mode: refused",
				expected_stderr => $listener eq 'off' ? qr/server does not support SSL/ : qr/FATAL:  this listener requires TLS/);
			next;
		}
		my $out = $proxy->safe_psql('postgres', '\conninfo', connstr => $conn);
		($text eq 'TLS' ? \&like : \&unlike)->($out, qr{SSL connection|SSL Connection\|true}, "tls = $listener, client says $mode: $text");
	}
}
is($proxy->safe_psql('postgres', $where, connstr => via('allow', sslmode => 'verify-full', host => 'localhost',
			hostaddr => '127.0.0.1', sslrootcert => $cert->{ca})),
	'us-east1', 'verify-full is content with the certificate');
my $unix = $proxy->connstr('postgres', host => $proxy->socket_dir, sslmode => 'require');
$proxy->connect_fails($unix =~ s/sslmode='require'//r . ' sslmode=prefer dbname=nowhere',
	'a unix socket needs no TLS', expected_stderr => qr/database "nowhere" does not exist/);

my $w = Meridian::Test::Wire->new(port => $port{require});
my @m = $w->login(database => 'postgres');
is_deeply([ @{ error_fields($m[-1]) }{qw(S C)} ], [ 'FATAL', '28000' ], 'plaintext where TLS is required: 28000');
ok($w->closed, 'and closed');

# The requests themselves.
$w = Meridian::Test::Wire->new(port => $port{off});
$w->send(ssl_request);
is($w->bytes(1), 'N', 'SSLRequest without TLS: N');
is(($w->login(database => 'postgres'))[-1][0], 'Z', 'and the session goes on in plaintext');
for my $listener (qw(off allow)) {
	$w = Meridian::Test::Wire->new(port => $port{$listener});
	$w->send(gssenc_request);
	is($w->bytes(1), 'N', "GSSENCRequest, tls = $listener: N");
	$w->send(ssl_request);
	is($w->bytes(1), $listener eq 'off' ? 'N' : 'S', 'SSLRequest after that');
}
for my $case ([ ssl_request, 'SSLRequest' ], [ gssenc_request, 'GSSENCRequest' ]) {
	my ($request, $name) = @$case;
	for my $listener (qw(off allow)) {
		$w = Meridian::Test::Wire->new(port => $port{$listener});
		$w->send($request . startup(user => 'x', database => 'postgres'));
		my $e = error_fields($w->message);
		is($e->{C}, '08P01', "bytes behind $name, tls = $listener: 08P01");
		like($e->{D}, qr/unencrypted data/, 'and why');
		ok($w->closed, 'and closed');
	}
}
$w = Meridian::Test::Wire->new(port => $port{allow});
$w->send_split(ssl_request, 1);
is($w->bytes(1), 'S', 'SSLRequest byte by byte');
$w->send("GET / HTTP/1.0\r\n\r\n");
ok($w->closed, 'what is no ClientHello is closed');

my $t = Meridian::Test::Tls->new({ port => $port{allow} }, '-starttls', 'postgres');
is(($t->login(database => 'postgres'))[-1][0], 'Z', 'TLS after an SSLRequest');
like($t->said, qr/TLSv1\.3/, 'it is 1.3');
$t = Meridian::Test::Tls->new({ port => $port{allow} }, '-starttls', 'postgres', '-tls1_2');
is(($t->login(database => 'postgres'))[-1][0], 'Z', 'TLS 1.2');
$t->send(query("SELECT repeat('x', 3000000)"));
is(length row_values(($t->until('Z'))[1])->[0], 3_000_000, 'and bulk over it');
my $failed = $proxy->counter('login_failures');
$t = Meridian::Test::Tls->new({ port => $port{allow} }, '-starttls', 'postgres', '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0');
ok($t->closed, 'TLS 1.1 is refused');
cmp_ok($proxy->counter('login_failures'), '>', $failed, 'and counted');
$t = Meridian::Test::Tls->new({ port => $port{allow} }, '-starttls', 'postgres');
$t->send(ssl_request);
is(error_fields($t->message)->{C}, '08P01', 'SSLRequest inside TLS: 08P01');

# Direct TLS.
$t = Meridian::Test::Tls->new({ port => $port{require} }, '-alpn', 'postgresql');
is(($t->login(database => 'postgres'))[-1][0], 'Z', 'direct TLS with ALPN');
like($t->said, qr/TLSv1\.3/, 'over TLS');
$t->send_split(query('SELECT 1') . query('SELECT 2'), 1);
is(row_values(($t->until('Z'))[1])->[0], '1', 'byte by byte, one record each');
is(row_values(($t->until('Z'))[1])->[0], '2', 'both of them');
for my $case ([ [], 'without ALPN' ], [ [ '-alpn', 'http/1.1' ], 'with ALPN of another protocol' ]) {
	$t = Meridian::Test::Tls->new({ port => $port{allow} }, @{ $case->[0] });
	$t->send(startup(user => 'x', database => 'postgres'));
	ok($t->closed && $t->{rest} eq '', "direct TLS $case->[1] is refused");
}
$t = Meridian::Test::Tls->new({ port => $port{off} }, '-alpn', 'postgresql');
ok($t->closed, 'direct TLS where there is no TLS is refused');

# libpq of 17 does that.
SKIP: {
	my ($version) = `psql --version` =~ /(\d+)/;
	skip "psql is $version, older than 17", 7 if $version < 17;
	my @want = ([ off => 2, qr/SSL|closed/ ], [ allow => 0 ], [ require => 0 ]);
	for my $case (@want) {
		my ($listener, $status, $why) = @$case;
		my ($got, $out, $err) = $proxy->psql('postgres', $where, connstr => via($listener, sslmode => 'require', sslnegotiation => 'direct'));
		is($got, $status, "sslnegotiation=direct, tls = $listener: " . ($status ? 'refused' : 'TLS'));
		$status ? like($err, $why, '... and why') : is($out, 'us-east1', '... and served');
	}
	is($proxy->safe_psql('postgres', $where, connstr => via('require', sslmode => 'verify-full', sslnegotiation => 'direct',
				host => 'localhost', hostaddr => '127.0.0.1', sslrootcert => $cert->{ca})),
		'us-east1', 'verify-full is content with the certificate then, too');
}

# Resumption: the second handshake uses the ticket of the first, on any worker.
for my $v ('-tls1_2', '-tls1_3') {
	my $ticket = PostgreSQL::Test::Utils::tempdir() . '/ticket';
	my @words = ($v, '-starttls', 'postgres');
	my $first = Meridian::Test::Tls->new({ port => $port{allow} }, @words, '-sess_out', $ticket);
	$first->login(database => 'postgres');
	$first->close;
	ok(-s $ticket, "a ticket is given ($v)");
	my $before = $proxy->counter('tls_resumed');
	for my $n (1 .. 4) {
		my $again = Meridian::Test::Tls->new({ port => $port{allow} }, @words, '-sess_in', $ticket);
		is(($again->login(database => 'postgres'))[-1][0], 'Z', "resumed login $n");
	}
	is($proxy->counter('tls_resumed') - $before, 4, 'each of them was resumed');
}

# The certificate is read again at a reload; a bad one leaves the old one in use.
sub shown
{
	my $who = Meridian::Test::Tls->new({ port => $port{allow} }, '-starttls', 'postgres');
	$who->login(database => 'postgres');
	return $who->said =~ /Peer certificate: CN ?= ?(\S+)/ ? $1 : $who->said;
}
is(shown(), 'proxy', 'the certificate');
my $old = Meridian::Test::Tls->new({ port => $port{allow} }, '-starttls', 'postgres');
$old->login(database => 'postgres');
install($other);
is(shown(), 'proxy', 'without a reload it stays');
like($proxy->reload, qr/configuration reloaded/, 'reload');
is(shown(), 'proxy2', 'after a reload the new one is shown');
$old->send(query('SELECT 1'));
is(($old->until('Z'))[-1][0], 'Z', 'a session that was there goes on');
system('cp', $cert->{cert}, $crt);
like($proxy->reload, qr/reload failed.*listener "\w+": could not load private key.*key values mismatch/, 'a key that does not fit is refused');
is(shown(), 'proxy2', 'and the old pair stays');
install($cert);
$proxy->reload;

# ---------------------------------------------------------------- the node's side

# Where the session of this region's node goes: its TLS version, '' for plaintext, or the reason.
sub towards
{
	my ($node, %region) = @_;
	$proxy->reload(set => { region => 'one' }, regions => [ one => { nodes => $node, location => '0, 0', %region } ]);
	my ($status, $out, $err) = $proxy->psql('postgres', $version);
	return $status == 0 ? $out : $err;
}

my ($tls_at, $plain_at) = map { $_->port } $tls, $plain;
my $ca    = certificate('other')->{ca};
my $alien = PostgreSQL::Test::Utils::tempdir() . '/alien';
system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=alien -keyout $alien.key -out $alien.crt 2>/dev/null");
# The session's own attempt says it, or the prober's that was there before it.
my $alien_text = qr/TLS: (?:self-signed certificate in certificate chain|unable to get local issuer)|SSL error: certificate verify failed/;
my $refused = qr/FATAL:  no region can take this session/;

for my $case (
	# sslmode, a node without TLS, a node with TLS
	[ 'disable', '',       '' ],
	[ 'allow',   '',       '' ],
	[ 'prefer',  '',       'TLSv1.3' ],
	[ 'require', $refused, 'TLSv1.3' ]) {
	my ($mode, @want) = @$case;
	for my $i (0, 1) {
		my $got = towards($i ? $tls : $plain, sslmode => $mode);
		my $what = "sslmode = $mode, " . ($i ? 'a node with TLS' : 'a node without');
		ref $want[$i] ? like($got, $want[$i], $what) : is($got, $want[$i], $what);
	}
}
like(towards($plain, sslmode => 'require'), qr/does not support TLS, but sslmode requires it/, 'and the reason is told');

# The node's certificate is for localhost and 127.0.0.1.
for my $case (
	[ 'verify-ca',   "127.0.0.1:$tls_at",       $ca,          'TLSv1.3' ],
	[ 'verify-ca',   "127.0.0.1:$tls_at",       "$alien.crt", $alien_text ],
	[ 'verify-full', "localhost:$tls_at",       $ca,          'TLSv1.3' ],
	[ 'verify-full', "127.0.0.1:$tls_at",       $ca,          'TLSv1.3' ],
	[ 'verify-full', "127.0.0.2:$tls_at",       $ca,          qr/TLS: .*IP address mismatch/ ],
	[ 'verify-ca',   "127.0.0.2:$tls_at",       $ca,          'TLSv1.3' ],
	[ 'verify-full', "localhost:$tls_at",       "$alien.crt", $alien_text ],
	[ 'verify-full', "localhost:$plain_at",     $ca,          qr/does not support TLS/ ])
{
	my ($mode, $node, $root, $want) = @$case;
	my $got = towards($node, sslmode => $mode, sslrootcert => $root);
	my $what = "sslmode = $mode, $node, " . ($root eq $ca ? 'its authority' : 'another authority');
	ref $want ? like($got, $want, $what) : is($got, $want, $what);
	# What took it down does not count once it is dialled in another way.
	$proxy->wait_for_log(qr/node is down +node=127\.0\.0\.2:$tls_at/) if $node =~ /^127\.0\.0\.2/ && ref $want;
}

# The second try of allow and prefer, where pg_hba.conf wants it so; the others have none.
for my $case (
	[ 'hostssl',   'disable', qr/no pg_hba.conf entry.*no encryption/ ],
	[ 'hostssl',   'allow',   'TLSv1.3' ],
	[ 'hostnossl', 'prefer',  '' ],
	[ 'hostnossl', 'require', qr/no pg_hba.conf entry.*SSL encryption/ ])
{
	my ($hba, $mode, $want) = @$case;
	my $file = $tls->data_dir . '/pg_hba.conf';
	unlink $file;
	PostgreSQL::Test::Utils::append_to_file($file, "local all all trust\n$hba all all 127.0.0.1/32 trust\n");
	$tls->reload;
	ok($tls->poll_query_until('postgres', "SELECT type = '$hba' FROM pg_hba_file_rules WHERE line_number = 2"), $hba);
	my $got = towards($tls, sslmode => $mode);
	ref $want ? like($got, $want, "$hba, sslmode = $mode") : is($got, $want, "$hba, sslmode = $mode");
}

# Tickets of nodes: PostgreSQL gives none, another Meridian does. A stricter region must not accept
# what a laxer one has kept.
is(towards($plain, sslmode => 'disable'), '', 'a node without TLS behind the inner proxy');
my $outer = Meridian::Test::Proxy->new('outer', set => { workers => 1 },
	regions => [ inner => { nodes => "127.0.0.1:$port{allow}", sslmode => 'require', location => '0, 0' } ]);
my $resumed = $proxy->counter('tls_resumed');
$outer->start;
$outer->safe_psql('postgres', $where) for 1 .. 3;
cmp_ok($proxy->counter('tls_resumed') - $resumed, '>=', 2, 'sessions towards a node resume their TLS');
$outer->reload(regions => [ inner => {
		nodes => "127.0.0.1:$port{allow}", sslmode => 'verify-full', sslrootcert => "$alien.crt", location => '0, 0' } ]);
my (undef, undef, $err) = $outer->psql('postgres', $where);
like($err, $alien_text, 'what was kept from before does not pass verification');
$outer->stop;
my ($last, $busy) = map { Meridian::Test::Tls->new({ port => $port{allow} }, '-starttls', 'postgres') } 1, 2;
$_->login(database => 'postgres') for $last, $busy;
$busy->send(query('SELECT pg_sleep(600)') . query("SELECT '" . 'x' x 200_000 . "'"));
kill 'TERM', $proxy->pid;
is(error_fields($last->message)->{C}, '57P01', 'a drain is told inside TLS');
ok($last->closed, 'and closes');
$proxy->stop;
is(error_fields(($busy->until('E'))[-1])->{C}, '57P01', 'so is one that ends a session which still sends');
done_testing();
