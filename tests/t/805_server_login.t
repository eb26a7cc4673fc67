#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# How Meridian logs in to nodes by itself: each kind of secret that it can have of a user against each
# method of a node, channel binding to each kind of certificate, certificates of its own, salts and
# iterations of all sizes, passwords that SASLprep changes.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256 sha256);
use Encode ();
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils ();
use Test::More;

# A SCRAM verifier, reckoned here.
sub verifier
{
	my ($password, $salt, $iterations) = @_;
	my $u = my $salted = hmac_sha256($salt . pack('N', 1), $password);
	$salted ^= $u = hmac_sha256($u, $password) for 2 .. $iterations;
	my $stored = sha256(hmac_sha256('Client Key', $salted));
	my ($s, $k, $v) = map { encode_base64($_, '') } $salt, $stored, hmac_sha256('Server Key', $salted);
	return "SCRAM-SHA-256\$$iterations:$s\$$k:$v";
}

my ($node, $other) = regional_clusters('node', { tls => 1 }, 'other');
my @methods = qw(trust password md5 scram cert);

# k_…: Meridian has the node's own verifier; m_…: the md5 hash; p_…: the password. The last part is what
# the node asks for; k_md5 has a SCRAM secret there, so that PostgreSQL asks for SCRAM.
my (%secret, %password, @hba);
for my $kind (qw(k m p)) {
	for my $method (@methods) {
		my $name = "${kind}_$method";
		my $hash = $kind eq 'm' ? 'md5' : 'scram-sha-256';
		$hash            = 'md5'           if $name eq 'p_md5';
		$hash            = 'scram-sha-256' if $name eq 'm_scram';
		$password{$name} = "pw of $name";
		$_->safe_psql('postgres', "SET password_encryption = '$hash'; CREATE ROLE $name LOGIN PASSWORD '$password{$name}'") for $node, $other;
		($secret{$name}) = $node->safe_psql('postgres', "SELECT rolpassword FROM pg_authid WHERE rolname = '$name'");
		$secret{$name} = $password{$name} if $kind eq 'p';
		$secret{$name} = 'md5' . $node->safe_psql('postgres', "SELECT md5('$password{$name}$name')") if $kind eq 'm';
		my $word = $method eq 'scram' ? 'scram-sha-256' : $method;
		push @hba, $method eq 'cert' ? "hostssl all $name 127.0.0.1/32 cert map=any" : "host all $name 127.0.0.1/32 $word";
	}
}

# Odd verifiers, and passwords that SASLprep changes: as the client types them, as Meridian knows them,
# as the node was told.
my %odd = (
	k_one  => [ 'one',  'x',                  1 ],
	k_many => [ 'many', 'salt' x 16,          150_000 ],
	p_one  => [ 'one',  "\0",                 1 ],
	p_some => [ 'some', join('', map { chr } 0 .. 63), 10_000 ],
	p_many => [ 'many', 'salt',               150_000 ]);
my %prepared = (
	s_composed => [ "z\x{fc}rich", "zu\x{308}rich", "z\x{fc}rich" ],
	s_wide     => [ "\x{ff41}\x{ff42}\x{a0}c", 'ab c', "ab\x{3000}c" ],
	s_hyphen   => [ "I\x{ad}X", 'IX', "\x{2168}" ],
	s_emoji    => [ "\x{1f600}", "\x{1f600}", "\x{1f600}" ],
	s_bidi     => [ "\x{627}1", "\x{627}1", "\x{627}1" ]);
for my $name (sort keys %odd) {
	my $made = verifier(@{ $odd{$name} });
	$node->safe_psql('postgres', "CREATE ROLE $name LOGIN PASSWORD '$made'");
	$password{$name} = $odd{$name}[0];
	$secret{$name}   = $name =~ /^k/ ? $made : $password{$name};
}
for my $name (sort keys %prepared) {
	my ($typed, $known, $told) = map { Encode::encode_utf8($_) } @{ $prepared{$name} };
	$node->safe_psql('postgres', "CREATE ROLE $name LOGIN PASSWORD '$told'");
	($password{$name}, $secret{$name}) = ($typed, $known);
}

sub write_file { my ($file, @text) = @_; unlink $file; PostgreSQL::Test::Utils::append_to_file($file, join '', @text); return }
for my $cluster ($node, $other) {
	my $rest = join ',', sort keys %odd, keys %prepared;
	write_file($cluster->data_dir . '/pg_hba.conf', map { "$_\n" } 'local all all trust',
		grep({ $cluster == $node || !/cert/ } @hba), "host all $rest 127.0.0.1/32 scram-sha-256", 'host all all 127.0.0.1/32 trust');
	write_file($cluster->data_dir . '/pg_ident.conf', map { "any meridian $_\n" } sort keys %password);
	$cluster->reload;
}

my $dir   = PostgreSQL::Test::Utils::tempdir();
my $users = "$dir/users.txt";
write_file($users, map { qq("$_" "$secret{$_}"\n) } sort keys %secret);
chmod 0600, $users;
my $mine = certificate('meridian', cn => 'meridian');
my $port = $node->port;
my %region = (
	plain   => { sslmode => 'disable' },
	prefer  => { sslmode => 'require', sslcert => $mine->{cert}, sslkey => $mine->{key} },
	bound   => { sslmode => 'require', channel_binding => 'require' },
	unbound => { sslmode => 'require', channel_binding => 'disable' });
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ map({ ($_ => { nodes => "127.0.0.1:$port", location => '1, 1', %{ $region{$_} } }) } sort keys %region),
		other => { nodes => $other, location => '1, 1' } ],
	set  => { auth => 'md5', auth_file => $users, workers => 1 },
	conf => join '', "[database scram]\ndbname = postgres\nregions = plain\nauth = scram-sha-256\n",
	map { my $r = $_; map { "[database $_]\ndbname = postgres\nregions = $r\npool = " . (/_/ ? 'transaction' : 'off') . "\n" } $r, "${r}_pool" }
	  'other', keys %region);
$proxy->start;
delete @ENV{qw(PGPASSWORD PGUSER)};

# Log in to the database that is named like its region, and say what came of it: the user's name, or
# the error. `scram`: where clients are asked for SCRAM, not md5, which takes passwords as they are.
sub login
{
	my ($region, $user) = @_;
	my ($out, $err) = ('', '');
	my $status = $proxy->psql($region, 'SELECT current_user', stdout => \$out, stderr => \$err,
		connstr => $proxy->connstr($region, user => $user, sslmode => 'disable', password => $password{$user}));
	return $status == 0 ? $out : $err =~ /FATAL:\s+(.*)/ ? $1 : $err;
}

# ---------------------------------------------------------------- what is known, and what is asked for

my %why = (
	k_password => 'the node asks for the password in clear, and the proxy knows only the SCRAM keys of this user',
	m_password => 'the node asks for the password in clear, and the proxy knows only an md5 hash of the password',
	m_scram    => 'the node asks for SCRAM, and the proxy knows only an md5 hash of the password');
for my $kind (qw(k m p)) {
	for my $method (@methods) {
		my $user = "${kind}_$method";
		for my $region (qw(plain prefer)) {
			next if $method eq 'cert' && $region eq 'plain';
			is(login($region, $user), $why{$user} // $user, "$user, $region");
		}
	}
}
like(login('unbound', 'p_cert'), qr/valid client certificate/, 'no certificate, no login');

# ---------------------------------------------------------------- channel binding

for my $user (qw(k_scram p_scram k_md5)) {
	is(login('bound', $user), $user, "$user binds to the node's certificate");
	is(login('unbound', $user), $user, "$user need not");
}
my $unbound = 'channel_binding = require, and the node did not bind the channel';
is(login('bound', $_), $unbound, "$_ does not log in where the channel must be bound") for qw(p_trust p_password p_md5 m_md5);

# PostgreSQL shows its new certificate once it has read the signal.
sub await_certificate
{
	my ($crt) = @_;
	my $wanted = PostgreSQL::Test::Utils::slurp_file($crt);
	wait_until(sub { index(qx(openssl s_client -starttls postgres -connect 127.0.0.1:$port </dev/null 2>/dev/null), $wanted) >= 0 }, "$crt to be shown")
	  or die "$crt is not shown";
	return;
}

my %kinds = (
	'RSA, SHA-256'   => [ qw(-newkey rsa:2048 -sha256) ],
	'RSA, SHA-512'   => [ qw(-newkey rsa:2048 -sha512) ],
	'RSA, SHA-1'     => [ qw(-newkey rsa:2048 -sha1) ],
	'P-384, SHA-384' => [ qw(-newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384) ],
	'Ed25519'        => [ qw(-newkey ed25519) ]);
for my $kind (sort keys %kinds) {
	my ($crt, $key) = ("$dir/node.crt", "$dir/node.key");
	PostgreSQL::Test::Utils::system_or_bail('openssl', 'req', '-x509', '-new', '-nodes', '-days', 2, '-subj', '/CN=localhost',
		@{ $kinds{$kind} }, '-keyout', $key, '-out', $crt);
	chmod 0600, $key;
	$node->append_conf('postgresql.conf', "ssl_cert_file = '$crt'\nssl_key_file = '$key'\n");
	$node->reload;
	await_certificate($crt);
	is(login('bound', 'k_scram'), $kind eq 'Ed25519' ? $unbound : 'k_scram', "$kind: binding required");
	is(login('prefer', 'k_scram'), 'k_scram', "$kind: binding preferred");
}

# ---------------------------------------------------------------- pools log in likewise

for my $user (grep { !/cert|password/ } sort keys %password) {
	next if $user eq 'p_many' || $user =~ /^s_/;
	is(login('plain_pool', $user), $why{$user} // $user, "$user, pool");
}
is(login('prefer_pool', $_), $_, "$_ with a certificate, pool") for qw(k_cert m_cert p_cert k_scram);
is(login('bound_pool', 'k_scram'), 'k_scram', 'a pool binds');
like(login('bound_pool', 'p_md5'), qr/\Q$unbound\E/, '… and refuses where it cannot');
like(login('other_pool', 'k_scram'), qr/password authentication failed for user "k_scram"/, 'keys of another salt, pool');

# ---------------------------------------------------------------- salts, iterations, odd passwords

is(login('scram', $_), $_, "$_ logs in") for qw(k_one k_many p_one p_some), sort keys %prepared;
like(login('plain', 'p_many'), qr/more than 100000 SCRAM iterations/, 'a node that wants too much work');

# ---------------------------------------------------------------- a region that has another salt

is(login('other', $_), $_, "$_ logs in where the salt is another") for qw(p_scram m_md5 p_md5);
like(login('other', 'k_scram'), qr/^password authentication failed for user "k_scram"/, 'keys do not');
$proxy->log_like(qr/the node may have another SCRAM verifier for this user/, 'and the log says why');

$proxy->stop;

# ---------------------------------------------------------------- one Meridian behind another

my $front = certificate('behind', alt => 'DNS:localhost,IP:127.0.0.1');
my $behind = Meridian::Test::Proxy->new('behind',
	regions => [ plain => { nodes => "127.0.0.1:$port", sslmode => 'require', channel_binding => 'require', location => '1, 1' } ],
	set => { auth => 'scram-sha-256', auth_file => $users, workers => 1, tls_cert_file => $front->{cert}, tls_key_file => $front->{key},
		probe_conninfo => '' },
	conf => "[database relayed]\ndbname = postgres\nauth = passthrough\n");
$behind->start;
$proxy = Meridian::Test::Proxy->new('before',
	regions => [ near => { nodes => '127.0.0.1:' . $behind->port, sslmode => 'require', channel_binding => 'require', location => '1, 1' } ],
	set => { auth => 'scram-sha-256', auth_file => $users, workers => 1, probe_conninfo => '' });
$proxy->start;
for my $user (qw(k_scram p_scram s_wide)) {
	is(login('postgres', $user), $user, "$user: each leg is bound to its own certificate");
	is(login('relayed', $user), $user, '… and where the one behind takes over what it cannot relay');
}
$proxy->stop;
$behind->stop;

# ---------------------------------------------------------------- passwords that clients say in clear

write_file("$dir/hba.conf", "host all all 127.0.0.1/32 password\n");
my $clear = Meridian::Test::Proxy->new('clear',
	regions => [ plain => { nodes => "127.0.0.1:$port", sslmode => 'disable', location => '1, 1' } ],
	set => { auth => 'hba', hba_file => "$dir/hba.conf", auth_file => $users, workers => 1, auth_throttle_base => 0,
		probe_conninfo => '' });
$clear->start;

sub say
{
	my ($user, $password) = @_;
	my $w = Meridian::Test::Wire->new($clear);
	$w->send(startup(user => $user, database => 'postgres'));
	is(unpack('N', $w->message->[1]), 3, "$user is asked for a password in clear");
	return ($w, password($password // $password{$user}));
}

for my $user (qw(k_scram k_md5 k_one m_md5 p_scram p_password)) {
	my ($w, $message) = say($user);
	# all at once, and the query must wait until the password has been hashed
	$w->send($message . query('SELECT current_user') . query('SELECT 2'));
	my @all = map { $w->until('Z') } 1 .. 3;
	is_deeply([ map { row_values($_)->[0] } grep { $_->[0] eq 'D' } @all ], [ $user, 2 ], "$user gets in, and its queries behind it");
	($w, $message) = say($user, 'wrong');
	$w->send($message . query('SELECT current_user'));
	is(error_fields(($w->until('E'))[-1])->{C}, '28P01', '… and with another password not');
}
my ($w, $message) = say('k_scram');
$w->send_split($message . query('SELECT 1'), 1);
$w->until('Z') for 1 .. 2;
pass('byte by byte');
($w, $message) = say('nobody', 'x');
$w->send($message);
is(error_fields(($w->until('E'))[-1])->{M}, 'password authentication failed for user "nobody"', 'nobody');
($w, $message) = say('k_many');
$w->send($message);
is(error_fields(($w->until('E'))[-1])->{M}, 'password authentication failed for user "k_many"', 'a verifier that takes too long');
$clear->log_like(qr/too many iterations/, 'which the log says');
($w, $message) = say('k_scram');
$w->send($message . $message);
is(error_fields(($w->until('E'))[-1])->{C}, '08P01', 'two passwords') or diag explain $w;

# clients that leave while keys are made, and a proxy that ends
my @many = map { [ say('p_some') ] } 1 .. 30;
$_->[0]->send($_->[1]) for @many;
$_->[0]->close for @many[ 0 .. 14 ];
$clear->stop;
done_testing();
