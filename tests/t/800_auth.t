#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Authentication by Meridian itself: each method against each kind of secret in auth_file, what the
# client is told where it is refused (and that it cannot tell why), how Meridian logs in to the node
# then, channel binding, protocol versions, and that nobody gets in who should not.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($node) = regional_clusters('node', { tls => 1 });
my %password = (alice => 'wonder', mary => 'lamb', paul => 'plain', tess => 'ours', nina => 'none', erin => 'late',
	rita => 'rock"roll');
$node->safe_psql('postgres', <<'SQL');
SET password_encryption = 'scram-sha-256';
CREATE ROLE alice LOGIN PASSWORD 'wonder';
CREATE ROLE paul LOGIN PASSWORD 'plain';
CREATE ROLE rita LOGIN PASSWORD 'rock"roll';
CREATE ROLE tess LOGIN PASSWORD 'theirs';
CREATE ROLE erin LOGIN PASSWORD 'late' VALID UNTIL '2001-01-01';
CREATE ROLE tom LOGIN;
CREATE ROLE zoe LOGIN;
CREATE ROLE zara LOGIN PASSWORD 'two';
SET password_encryption = 'md5';
CREATE ROLE mary LOGIN PASSWORD 'lamb';
SQL
my %secret = map { split /\|/ } split /\n/, $node->safe_psql('postgres',
	"SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ('alice', 'mary', 'erin', 'tess')");
my $file = $node->data_dir . '/pg_hba.conf';
unlink $file;
PostgreSQL::Test::Utils::append_to_file($file,
	"local all all trust\nhost all tom 127.0.0.1/32 trust\nhost all mary 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 scram-sha-256\n");
$node->reload;

my ($ines) = $secret{alice} =~ /:(.*)/; # a verifier of more iterations than are made for a password in clear

my $dir   = PostgreSQL::Test::Utils::tempdir();
my $users = "$dir/users.txt";
sub write_users { open my $out, '>', $users or die; print $out @_; close $out; chmod 0600, $users }
my $list = <<"TXT";
; who may come
"alice" "$secret{alice}"
"mary" "$secret{mary}"
"paul" "plain"
"rita" "rock""roll"
"tess" "ours"
"nina" "none"
"erin" "$secret{erin}"
"tom" ""
"ines" "SCRAM-SHA-256\$200000:$ines"
"zara" "md50123456789abcdef0123456789abcdef"
"admin" "adminpw"
TXT
write_users($list);
PostgreSQL::Test::Utils::append_to_file("$dir/hba", "host clear all all password\n");

my $cert   = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');
my $port   = $node->port;
my $socket = $node->host;
my @methods = ([ scram => 'scram-sha-256' ], [ md5 => 'md5' ], [ trust => 'trust' ], [ pass => 'passthrough' ], [ clear => 'hba' ]);
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => "127.0.0.1:$port", sslmode => 'disable' },
		'us-west1' => { nodes => "localhost:$port", sslmode => 'require' } ],
	set => { auth => 'scram-sha-256', auth_file => $users, hba_file => "$dir/hba", auth_throttle_after => 1000, admin_users => 'admin', tls_cert_file => $cert->{cert},
		tls_key_file => $cert->{key}, region => 'us-east1', log_connections => 'on', log_level => 'debug',
		probe_conninfo => 'user=tom dbname=postgres' },
	conf => join '', map { "[database $_->[0]]\ndbname = postgres\nauth = $_->[1]\n" } @methods);
$proxy->start;
delete @ENV{qw(PGPASSWORD PGUSER)};

sub conn
{
	my ($user, $database, %more) = @_;
	my $claim = delete $more{claim} || {};
	return $proxy->connstr($database, user => $user, password => $password{$user} // '', sslmode => 'disable',
		options => Meridian::Test::Proxy::from_options(%$claim), %more);
}

# ---------------------------------------------------------------- each method, each kind of secret

# What the client is asked for: the codes of Authentication messages that Meridian and then the node say.
my @scram = (10, 11, 12, 0);
my %asked = (
	scram => { alice => [@scram], paul => [@scram], rita => [@scram] },
	md5   => { alice => [@scram], paul => [ 5, 0 ], mary => [ 5, 0 ], rita => [ 5, 0 ] },
	trust => { mary  => [0],      paul => [0],      tom  => [0] },
	pass  => { alice => [@scram], mary => [ 5, 0 ], paul => [@scram], tom => [0] });
for my $method (sort keys %asked) {
	for my $user (sort keys %{ $asked{$method} }) {
		for my $region (qw(us-east1 us-west1)) {
			is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn($user, $method,
						claim => { region => $region })),
				$user, "$method, $user, node leg in $region");
		}
		my $w = Meridian::Test::Wire->new($proxy);
		$w->login(user => $user, database => $method, password => $password{$user});
		is_deeply($w->{auth}, $asked{$method}{$user}, "$method, $user: what is asked");
		$w->send(query('SELECT pg_backend_pid()'));
		is(row_values(($w->until('Z'))[1])->[0], $w->{pid}, 'and the process id is the node\'s');
		$w->send(terminate);
		ok($w->closed, 'Terminate closes');
	}
}
is($proxy->safe_psql('postgres', 'SELECT current_database()', connstr => conn('alice', 'postgres')), 'postgres',
	'a database without a word of its own has that of [meridian]');

# ---------------------------------------------------------------- refusals

# The same answer to everybody: error and messages in front of it.
sub refusal
{
	my ($database, $user, $password) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	my @m = $w->login(user => $user, database => $database, password => $password);
	my $f = $m[-1][0] eq 'E' ? error_fields($m[-1]) : {};
	ok($w->closed, "$database, $user: closed");
	$f->{M} = '' unless defined $f->{M};
	$f->{M} =~ s/"\Q$user\E"/"USER"/;
	return { codes => $w->{auth}, C => $f->{C}, S => $f->{S}, M => $f->{M}, fields => join '', sort keys %$f };
}

my %no = (C => '28P01', S => 'FATAL', M => 'password authentication failed for user "USER"');
my $same = refusal('scram', 'alice', 'wrong');
is_deeply({ map { $_ => $same->{$_} } keys %no }, \%no, 'scram: wrong password: 28P01');
is_deeply($same->{codes}, [ 10, 11 ], 'after the whole exchange');
for my $case ([ paul => 'wrong', 'plain text' ], [ nobody => 'x', 'an unknown user' ], [ mary => 'lamb', 'an md5 hash' ],
	[ tom => '', 'an empty secret' ]) {
	my ($user, $password, $what) = @$case;
	is_deeply(refusal('scram', $user, $password), $same, "scram: $what: the same");
}
$same = refusal('md5', 'mary', 'wrong');
is_deeply({ map { $_ => $same->{$_} } keys %no }, \%no, 'md5: wrong password: 28P01');
is_deeply(refusal('md5', 'paul', 'wrong'), $same, 'md5: plain text: the same');
is_deeply(refusal('md5', 'tom', ''), $same, 'md5: an empty secret: the same');
is_deeply(refusal('md5', 'nobody', 'x')->{codes}, [ 10, 11 ], 'md5: an unknown user is asked what most would be');
$proxy->log_like(qr/login refused: no such user/, 'the log knows that there is no such user');
$proxy->log_like(qr/login refused: wrong password/, 'and whose password was wrong');
$proxy->log_like(qr/login refused: auth_file has an md5 hash/, 'and what cannot work');
$proxy->log_unlike(qr/wonder|lamb|SCRAM-SHA-256\$|$secret{mary}/, 'but no secret');

# What stands in for the hash of somebody who has none is no secret, and does not let in.
for my $user (qw(tom nobody)) {
	my $w = Meridian::Test::Wire->new($proxy);
	$w->send(startup(user => $user, database => 'md5'));
	my $m = $w->message;
	next if unpack('N', $m->[1]) != 5;
	$w->send(password('md5' . Digest::MD5::md5_hex('0' x 32 . substr $m->[1], 4)));
	is(error_fields($w->message)->{C}, '28P01', "md5, $user: the hash of nothing");
}

# An unknown user's salt is as constant as a real one's.
sub salt
{
	my ($user) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	$w->send(startup(user => $user, database => 'scram'));
	$w->message;
	my $first = 'n,,n=,r=abcdefghijklmnop';
	$w->send(frame('p', "SCRAM-SHA-256\0" . pack('N', length $first) . $first));
	my ($salt) = substr($w->message->[1], 4) =~ /,s=([^,]*),i=4096/;
	return $salt;
}
is(salt('alice'), salt('alice'), 'a user has one salt');
is(salt('nobody'), salt('nobody'), 'so has nobody');
isnt(salt('nobody'), salt('nobody2'), 'and everybody a different one');
my %salt = map { $_ => salt($_) } qw(alice paul nobody mary);
$proxy->reload;
is(salt($_), $salt{$_}, "$_: a reload changes nothing of that") for sort keys %salt;
write_users($list =~ s/"paul".*\n//r . qq("nobody" "somebody"\n));
$proxy->reload;
is(salt($_), $salt{$_}, "$_: nor do passwords in clear that come and go") for sort keys %salt;
write_users($list);
$proxy->reload;

# Nor does the time tell: a password in clear that is wrong costs as much, whatever its user has.
sub hashing
{
	my $ns = 0;
	for my $thread (glob "/proc/$proxy->{pid}/task/*") {
		next if PostgreSQL::Test::Utils::slurp_file("$thread/comm") ne "keymaker\n";
		$ns += (split ' ', PostgreSQL::Test::Utils::slurp_file("$thread/schedstat"))[0];
	}
	return $ns;
}
my %cost;
for my $user (qw(nobody alice mary tom ines)) {
	my $before = hashing();
	for (1 .. 10) {
		my $w = Meridian::Test::Wire->new($proxy);
		$w->send(startup(user => $user, database => 'clear'), password('wrong'));
		is(error_fields(($w->until('E'))[-1])->{C}, '28P01', "$user: refused");
	}
	$cost{$user} = hashing() - $before;
}
for my $user (qw(alice mary tom ines)) {
	my $ratio = $cost{$user} / $cost{nobody};
	ok($ratio > 0.4 && $ratio < 2.5, sprintf '%s: hashed like nobody\'s (%.2f times as long)', $user, $ratio);
}
is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn($_, 'clear')), $_, "$_: the right one lets in") for qw(alice mary);

# ---------------------------------------------------------------- what the node says is told

my ($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1', connstr => conn('tess', 'scram'));
like($err, qr/FATAL:  password authentication failed for user "tess"/, 'the node has another password: its word');
($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1', connstr => conn('nina', 'scram'));
like($err, qr/FATAL:  password authentication failed for user "nina"/, 'a role that the node does not have');
($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1', connstr => conn('erin', 'scram'));
like($err, qr/FATAL:  password authentication failed for user "erin"/, 'a role whose password has expired there');
($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1', connstr => conn('alice', 'nowhere'));
like($err, qr/FATAL:  database "nowhere" does not exist/, 'a database that the node does not have');
($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1', connstr => conn('zoe', 'trust'));
isnt($code, 0, 'trust: a node that asks for a password that nobody has said does not let in');
is($proxy->console('SHOW NODES FULL')->[0]{state}, 'up', 'none of which counts against the node');

# ---------------------------------------------------------------- sent ahead of being asked

my $w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => 'tom', database => 'trust') . query('SELECT 1') . query('SELECT 2'));
$w->until('Z');
is(row_values(($w->until('Z'))[1])->[0], '1', 'trust: a query behind the startup packet');
is(row_values(($w->until('Z'))[1])->[0], '2', 'and another');
$w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => 'mary', database => 'md5'));
my $salt = substr $w->message->[1], 4;
my $hash = 'md5' . Digest::MD5::md5_hex(substr($secret{mary}, 3) . $salt);
$w->send(password($hash) . query('SELECT 3') . query('SELECT 4'));
$w->until('Z');
is(row_values(($w->until('Z'))[1])->[0], '3', 'md5: a query behind the password');
is(row_values(($w->until('Z'))[1])->[0], '4', 'and another');
for my $size (1, 7) {
	$w = Meridian::Test::Wire->new($proxy);
	$w->send_split(startup(user => 'mary', database => 'md5'), $size);
	$salt = substr $w->message->[1], 4;
	$w->send_split(password('md5' . Digest::MD5::md5_hex(substr($secret{mary}, 3) . $salt)) . query('SELECT 5'), $size);
	$w->until('Z');
	is(row_values(($w->until('Z'))[1])->[0], '5', "the same in pieces of $size");
}
$w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => 'mary', database => 'md5') . query('SELECT 1'));
$w->message;
is(error_fields($w->message)->{C}, '08P01', 'a query in place of a password');
ok($w->closed, 'is the end');
$w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => 'alice', database => 'scram'));
$w->message;
$w->send(frame('p', 'x' x 70000));
is(error_fields($w->message)->{C}, '08P01', 'an authentication message of 70 kB');
ok($w->closed, 'is the end');
for my $answer ('', "\0", 'md5', "SCRAM-SHA-256\0", "SCRAM-SHA-256\0\0\0\0\4abcd", "SCRAM-SHA-256-PLUS\0" . pack('N', 4) . 'p=x,', "GSSAPI\0\0\0\0\0") {
	$w = Meridian::Test::Wire->new($proxy);
	$w->send(startup(user => 'alice', database => 'scram'));
	$w->message;
	$w->send(frame('p', $answer));
	like(error_fields($w->message)->{C}, qr/^(08P01|28000|28P01)$/, 'no answer to SCRAM: ' . unpack 'H*', $answer);
	ok($w->closed, 'is the end');
}
$w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => 'alice', database => 'scram'));
$w->message;
$w->send(terminate);
ok($w->closed, 'Terminate instead of an answer');

# ---------------------------------------------------------------- settings reach the node

is($proxy->safe_psql('postgres', "SELECT current_setting('DateStyle'), current_setting('work_mem'), current_setting('application_name')",
		connstr => conn('alice', 'scram', options => '-c work_mem=123kB --datestyle=german', application_name => 'a name')),
	'German, DMY|123kB|a name', 'options and application_name');

# Replication is a session like any: Meridian logs in to it.
$node->safe_psql('postgres', 'ALTER ROLE alice REPLICATION');
like($proxy->safe_psql('postgres', 'IDENTIFY_SYSTEM', connstr => conn('alice', 'scram', replication => 'database')),
	qr/^\d+\|1\|[0-9A-F\/]+\|postgres$/, 'a replication connection');

# ---------------------------------------------------------------- protocol versions

$w = Meridian::Test::Wire->new($proxy);
$w->send(startup(version => 0x30009, user => 'tom', database => 'trust', '_pq_.future' => 'x'));
my $m = $w->message;
is($m->[0], 'v', 'a protocol that is not there yet: NegotiateProtocolVersion');
is_deeply([ unpack 'N N Z*', $m->[1] ], [ 0x30002, 1, '_pq_.future' ], 'down to 3.2, and the option is not known');
my @rest = $w->until('Z');
is_deeply([ grep { $_ eq 'v' } map { $_->[0] } @rest ], [], 'and nothing more of that from the node');
$w->send(query('SELECT 1'));
is(row_values(($w->until('Z'))[1])->[0], '1', 'the session works');
$w = Meridian::Test::Wire->new($proxy);
$w->send(startup(version => 0x30002, user => 'tom', database => 'trust'));
@rest = $w->until('Z');
is_deeply([ grep { $_ eq 'v' } map { $_->[0] } @rest ], [], '3.2 is what we speak, whatever the node does');

# ---------------------------------------------------------------- channel binding

for my $region (qw(us-east1 us-west1)) {
	for my $binding (qw(disable prefer require)) {
		for my $user (qw(alice paul)) {
			is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn($user, 'scram', sslmode => 'require',
						channel_binding => $binding, claim => { region => $region })),
				$user, "channel_binding=$binding, $user, node leg in $region");
		}
	}
}
($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1', connstr => conn('alice', 'scram', channel_binding => 'require'));
like($err, qr/channel binding/, 'without TLS there is none');
($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1',
	connstr => conn('alice', 'scram', sslmode => 'require', channel_binding => 'require', password => 'wrong'));
like($err, qr/password authentication failed for user "alice"/, 'it does not replace the password');

# With auth = passthrough a client that binds to our certificate cannot be checked by the node; where
# we know its verifier, we do that.
for my $binding (qw(disable prefer require)) {
	for my $user (qw(alice paul)) {
		is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn($user, 'pass', sslmode => 'require',
					channel_binding => $binding, claim => { region => 'us-west1' })),
			$user, "passthrough, both legs on TLS, channel_binding=$binding, $user");
	}
}
my @bound = (sslmode => 'require', claim => { region => 'us-west1' });
($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1', connstr => conn('alice', 'pass', @bound, password => 'wrong'));
like($err, qr/password authentication failed for user "alice"/, 'a wrong password is none');
($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1', connstr => conn('tess', 'pass', @bound));
like($err, qr/password authentication failed for user "tess"/, 'nor one that only we take');
($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1', connstr => conn('zoe', 'pass', @bound, password => 'x'));
like($err, qr/SCRAM channel binding cannot pass/, 'whom we do not know cannot pass');
($code, undef, $err) = $proxy->psql('postgres', 'SELECT 1', connstr => conn('zara', 'pass', @bound, password => 'two'));
like($err, qr/SCRAM channel binding cannot pass/, 'nor can whose md5 hash alone is known');
is($proxy->safe_psql('postgres', 'SELECT 1; SELECT 2', connstr => conn('alice', 'pass', @bound)), "1\n2", 'and the session is one like any');

# ---------------------------------------------------------------- the console has nothing of it

is($proxy->psql('postgres', 'SHOW VERSION', connstr => conn('admin', 'meridian', password => 'adminpw')), 0, 'the console by SCRAM');
isnt($proxy->psql('postgres', 'SHOW VERSION', connstr => conn('admin', 'meridian', password => 'wrong')), 0, 'and not without');
isnt($proxy->psql('postgres', 'SHOW VERSION', connstr => conn('alice', 'meridian')), 0, 'nor by anybody');
is($proxy->psql('postgres', 'SHOW VERSION', connstr => conn('admin', 'meridian', password => 'adminpw', sslmode => 'require',
			channel_binding => 'require')), 0, 'bound to the channel too');

# ---------------------------------------------------------------- reload

write_users($list =~ s/"paul" "plain"/"paul" "changed"/r);
$proxy->reload;
isnt($proxy->psql('postgres', 'SELECT 1', connstr => conn('paul', 'scram')), 0, 'a changed file: the old password is none');
write_users($list);
$proxy->reload;
is($proxy->psql('postgres', 'SELECT 1', connstr => conn('paul', 'scram')), 0, 'and the old one again');
$proxy->log_unlike(qr/wonder|lamb|rock"roll|adminpw|SCRAM-SHA-256\$|$secret{mary}/, 'no secret in the log');

$proxy->stop;
done_testing();
