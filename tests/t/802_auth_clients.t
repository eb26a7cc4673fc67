#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Authentication by Meridian, as clients of all sorts meet it: real drivers with and without TLS,
# passwords that a WebSocket's client says in front of being asked, POST /sql; and a storm of wrong
# passwords beside it.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP ();
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Drivers qw(driver_is);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::WebSocket qw(ws_frame);
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($node) = regional_clusters('node', { users => { alice => 'wonder', paul => 'plain', mary => 'lamb' } });
# What nobody checks at the node, Meridian must check: it trusts carl.
$node->safe_psql('postgres', "CREATE ROLE carl LOGIN; CREATE ROLE tom LOGIN");
my $secret = $node->safe_psql('postgres', "SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'");
my $users  = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
my $md5    = 'md5' . Digest::MD5::md5_hex('lambmary');
PostgreSQL::Test::Utils::append_to_file($users,
	qq{"alice" "$secret"\n"paul" "plain"\n"carl" "known"\n"mary" "$md5"\n});
my $cert  = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $node ],
	set => { auth => 'scram-sha-256', auth_file => $users, http => 'on', tls_cert_file => $cert->{cert},
		tls_key_file => $cert->{key}, probe_conninfo => 'user=tom dbname=postgres', auth_throttle_base => 0 });
$proxy->start;
delete @ENV{qw(PGPASSWORD PGUSER)};
my $port = $proxy->port;

# ---------------------------------------------------------------- drivers

my $python = <<'PY';
import sys, %s as driver
port, module = sys.argv[1], driver.__name__
for user, password in ('alice', 'wonder'), ('paul', 'plain'):
    for tls in 'disable', 'require':
        c = driver.connect(host='127.0.0.1', port=port, user=user, password=password, dbname='postgres', sslmode=tls)
        k = c.cursor()
        k.execute('select current_user, %%s::text', (tls,))
        print(*k.fetchone())
        c.close()
for user, password in ('alice', 'wrong'), ('nobody', 'x'):
    try:
        driver.connect(host='127.0.0.1', port=port, user=user, password=password, dbname='postgres')
    except driver.OperationalError as e:
        print('refused', user, 'password authentication failed' in str(e))
PY
my $javascript = <<'JS';
const { Client } = require('pg');
(async () => {
  for (const [user, password] of [['alice', 'wonder'], ['paul', 'plain']]) {
    for (const tls of ['disable', 'require']) {
      const c = new Client({ host: '127.0.0.1', port: +process.argv[1], user, password, database: 'postgres',
        ssl: tls === 'require' ? { rejectUnauthorized: false } : false });
      await c.connect();
      const r = (await c.query('select current_user as u, $1::text as t', [tls])).rows[0];
      console.log(r.u, r.t);
      await c.end();
    }
  }
  for (const [user, password] of [['alice', 'wrong'], ['nobody', 'x']]) {
    const c = new Client({ host: '127.0.0.1', port: +process.argv[1], user, password, database: 'postgres' });
    await c.connect().catch(e => console.log('refused', user, e.code === '28P01' ? 'True' : e.code));
  }
})().catch(e => { console.log(e.message); process.exit(1); });
JS
my $want = "alice disable\nalice require\npaul disable\npaul require\nrefused alice True\nrefused nobody True\n";
for my $driver ([ psycopg => sprintf $python, 'psycopg' ], [ psycopg2 => sprintf $python, 'psycopg2' ],
	[ 'node-postgres' => $javascript ]) {
	driver_is(@$driver, $want, $port);
}

# ---------------------------------------------------------------- in front of being asked

for my $case ([ alice => 'wonder', 'a verifier' ], [ paul => 'plain', 'plain text' ], [ carl => 'known', 'a node that trusts' ],
	[ mary => 'lamb', 'an md5 hash' ]) {
	my ($user, $password, $what) = @$case;
	my $w = Meridian::Test::WebSocket->new($proxy);
	$w->send(early($user, $password));
	is($w->early_answer, ' R0 row 42 ready', "WebSocket, $what: no request is seen, and the query is answered");
	$w = Meridian::Test::WebSocket->new($proxy);
	$w->send(early($user, 'wrong'));
	is($w->early_answer, ' E 28P01', "WebSocket, $what: a wrong password");
}
my $w = Meridian::Test::WebSocket->new($proxy);
$w->send(early('nobody', 'x'));
is($w->early_answer, ' E 28P01', 'WebSocket: nobody');
my $frame = ws_frame(0x82, early('alice', 'wonder'));
my %seen;
for (my $at = 1; $at < length $frame; $at += 7) {
	$w = Meridian::Test::WebSocket->new($proxy);
	$w->raw(substr $frame, 0, $at);
	let_pass(0.01, 'the first piece is read');
	$w->raw(substr $frame, $at);
	$seen{ $w->early_answer }++;
}
is_deeply([ keys %seen ], [' R0 row 42 ready'], 'cut at every seventh byte');
$w = Meridian::Test::WebSocket->new($proxy);
$w->login(user => 'alice', database => 'postgres', password => 'wonder');
is_deeply($w->{auth}, [ 10, 11, 12, 0 ], 'a WebSocket that waits is asked');
$w = Meridian::Test::WebSocket->new($proxy);
$w->send(startup(user => 'alice', database => 'postgres') . query('SELECT 1'));
is($w->early_answer, ' R10 E 08P01', 'a query where a password should be');

# ---------------------------------------------------------------- POST /sql

my $http = HTTP::Tiny->new(timeout => patience(20));
my $json = JSON::PP->new->utf8->canonical;
sub sql
{
	my ($user, $password) = @_;
	my $a = $http->request('POST', "http://127.0.0.1:$port/sql", { content => '{"query":"select current_user as u"}',
			headers => { 'Neon-Connection-String' => "postgresql://$user:$password\@db.example/postgres" } });
	my $said = eval { $json->decode($a->{content}) } || {};
	return "$a->{status} " . ($said->{code} // $said->{rows}[0]{u} // $a->{content});
}
is(sql('alice', 'wonder'), '200 alice',  '/sql: a verifier');
is(sql('paul',  'plain'),  '200 paul',   '/sql: plain text');
is(sql('mary',  'lamb'),   '200 mary',   '/sql: an md5 hash');
is(sql('carl',  'known'),  '200 carl',   '/sql: a node that trusts');
is(sql('carl',  'wrong'),  '400 28P01',  '/sql: whom a node trusts has a password here all the same');
is(sql('alice', 'wrong'),  '400 28P01',  '/sql: a wrong password');
is(sql('nobody', 'x'),     '400 28P01',  '/sql: nobody');
is(sql('tom', ''),         '400 28P01',  '/sql: somebody without a secret');
is(sql('alice', 'wonder'), '200 alice',  '/sql: and then a right one');

# ---------------------------------------------------------------- a pool that several ways lead to

# Who is let in without a proof brings nothing to log in with: what others have shown still serves.
my $hba = "$users.hba";
PostgreSQL::Test::Utils::append_to_file($hba, "local all all trust\nhost all all all scram-sha-256\n");
my $other = Meridian::Test::Proxy->new('other', regions => [ 'us-east1' => $node ],
	set => { auth => 'hba', hba_file => $hba, auth_file => $users, workers => 1, probe_conninfo => 'user=tom dbname=postgres' },
	conf => "[database postgres]\npool = transaction\n");
$other->start;
my %alice = (user => 'alice', password => 'wonder');
my $gone = 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = \'alice\'';
my @local = (host => $other->socket_dir, user => 'alice', password => '');
isnt($other->psql('postgres', 'SELECT 1', connstr => $other->connstr('postgres', @local)), 0,
	'a node that wants a proof, and nobody who has shown one');
# It stays: the pool goes with its last session and connection, and what it has been shown with it.
my $proven = Meridian::Test::Wire->new($other);
$proven->login(database => 'postgres', %alice);
$proven->send(query('SELECT 1'));
is(row_values(($proven->until('Z'))[1])->[0], '1', 'somebody has');
for my $round (1, 2) {
	$node->safe_psql('postgres', $gone);
	ok($other->wait_console('SHOW SERVERS DATABASE postgres', sub { !@{ $_[0] } }), 'the connection of the pool is gone');
	is($other->safe_psql('postgres', 'SELECT 1', connstr => $other->connstr('postgres', @local)), '1',
		"and a new connection of the pool logs in with that, $round");
}
$proven->send(terminate);
$other->stop;

# ---------------------------------------------------------------- a storm

# Logins that are let go of in the middle, or garbage at each step: sessions and memory come back.
my @step = (
	startup(user => 'alice', database => 'postgres'),
	frame('p', "SCRAM-SHA-256\0" . pack('N', 26) . 'n,,n=,r=abcdefghijklmnopqr'),
	frame('p', 'c=biws,r=x,p=y'));
for my $round (1 .. 60) {
	my $w = Meridian::Test::Wire->new($proxy);
	for my $i (0 .. $round % 3) {
		$w->send($step[$i]);
		$w->message;
	}
	$w->close;
}
my $left = 60;
wait_until(sub { !($left = grep { $_->{state} =~ /authent|looking/ } @{ $proxy->console('SHOW SESSIONS FULL') }) }, 'all logins to be over');
is($left, 0, 'nobody is left in the middle of a login');
is($proxy->safe_psql('postgres', 'SELECT 1', connstr => $proxy->connstr('postgres', user => 'alice', password => 'wonder')), '1',
	'and the next one gets in');
$proxy->log_unlike(qr/wonder|lamb|SCRAM-SHA-256\$/, 'no secret in the log');

$proxy->stop;
done_testing();
