#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Login, relayed: each of PostgreSQL's password methods, what the node says where it refuses, and
# channel binding in every combination of TLS on the two legs and of what the client wishes.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters certificate users_by_method);
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($node) = regional_clusters('node', { tls => 1 });
my %method   = users_by_method($node);
my %password = (alice => 'wonder', mary => 'lamb', paul => 'plain', tom => '');

# The same node twice: on one leg without TLS, on the other with it.
my $port = $node->port;
my $own  = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');
my $its  = PostgreSQL::Test::Utils::tempdir() =~ s{/[^/]*$}{/certs/node}r;
my $same = PostgreSQL::Test::Cluster::get_free_port();
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => "127.0.0.1:$port", sslmode => 'disable' },
		'us-west1' => { nodes => "localhost:$port", sslmode => 'require' } ],
	set  => { tls_cert_file => $own->{cert}, tls_key_file => $own->{key}, region => 'us-east1',
		probe_conninfo => 'user=tom dbname=postgres' },
	conf => "[listener same]\nlisten = 127.0.0.1:$same\ntls_cert_file = $its.crt\ntls_key_file = $its.key\n");
$proxy->start;
delete @ENV{qw(PGPASSWORD PGUSER)};

sub conn
{
	my ($user, %more) = @_;
	my $claim = delete $more{claim} || {};
	return $proxy->connstr('postgres', user => $user, password => $password{$user},
		options => Meridian::Test::Proxy::from_options(%$claim), %more);
}

# ---------------------------------------------------------------- methods

my %code = (alice => [ 10, 11, 12, 0 ], mary => [ 5, 0 ], paul => [ 3, 0 ], tom => [0]);
for my $user (sort keys %method) {
	for my $region (qw(us-east1 us-west1)) {
		is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn($user, sslmode => 'disable',
					claim => { region => $region })),
			$user, "$method{$user}, node leg in $region");
	}
	my $w = Meridian::Test::Wire->new($proxy);
	my @m = $w->login(user => $user, database => 'postgres', password => $password{$user});
	is_deeply($w->{auth}, $code{$user}, "$method{$user}: the requests are the node's own");
	$w->send(query('SELECT pg_backend_pid()'));
	is(row_values(($w->until('Z'))[1])->[0], $w->{pid}, 'the process id is the node\'s');
	is(length $w->{secret}, 4, 'there is a secret');
	$w->send(terminate);
	ok($w->closed, 'Terminate closes');
}

# ---------------------------------------------------------------- refusals are the node's own

for my $user (qw(alice mary paul)) {
	my @direct = $node->psql('postgres', 'SELECT 1', connstr => "host=127.0.0.1 port=$port user=$user password=no dbname=postgres sslmode=disable");
	my @through = $proxy->psql('postgres', 'SELECT 1', connstr => conn($user, password => 'no', sslmode => 'disable'));
	my ($want, $got) = map { $_->[2] =~ s/port \d+//gr } \@direct, \@through;
	is($got, $want, "$method{$user}, wrong password: told in the node's words");
	my $w = Meridian::Test::Wire->new($proxy);
	my @m = $w->login(user => $user, database => 'postgres', password => 'no');
	is(error_fields($m[-1])->{C}, '28P01', 'SQLSTATE 28P01');
	ok($w->closed, 'and closed');
}
for my $case ([ 'nobody', 'postgres', '28000' ], [ 'tom', 'nowhere', '3D000' ]) {
	my ($user, $database, $state) = @$case;
	my $w = Meridian::Test::Wire->new($proxy);
	my @m = $w->login(user => $user, database => $database);
	is(error_fields($m[-1])->{C}, $state, "user $user, database $database: $state");
	ok($w->closed, 'and closed');
}
is($proxy->safe_psql('postgres', 'SELECT 1', connstr => conn('tom')), '1', 'none of which counts against the node');
is($proxy->console('SHOW NODES FULL')->[0]{state}, 'up', 'it is up');

# ---------------------------------------------------------------- sent ahead of being asked

my $w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => 'tom', database => 'postgres') . query('SELECT 1') . query('SELECT 2'));
$w->until('Z');
is(row_values(($w->until('Z'))[1])->[0], '1', 'trust: a query behind the startup packet');
is(row_values(($w->until('Z'))[1])->[0], '2', 'and another');
$w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => 'paul', database => 'postgres') . password('plain') . query('SELECT 3'));
$w->until('Z');
is(row_values(($w->until('Z'))[1])->[0], '3', 'password: the password and a query behind the startup packet');
for my $size (1, 7) {
	$w = Meridian::Test::Wire->new($proxy);
	$w->send_split(startup(user => 'paul', database => 'postgres') . password('plain') . query('SELECT 4'), $size);
	$w->until('Z');
	is(row_values(($w->until('Z'))[1])->[0], '4', "the same in pieces of $size");
}
$w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => 'alice', database => 'postgres'));
is(($w->message)->[0], 'R', 'asked for SCRAM');
$w->send(frame('p', 'x' x 70000));
is(error_fields($w->message)->{C}, '08P01', 'an authentication message of 70 kB: 08P01');
ok($w->closed, 'and closed');
$w = Meridian::Test::Wire->new($proxy);
$w->send(startup(user => 'alice', database => 'postgres'));
$w->message;
$w->send(terminate);
ok($w->closed, 'Terminate instead of an answer');

# Settings of the client reach the node.
is($proxy->safe_psql('postgres', "SELECT current_setting('DateStyle'), current_setting('work_mem'), current_setting('application_name')",
		connstr => conn('tom', options => '-c work_mem=123kB --datestyle=german', application_name => 'a name')),
	'German, DMY|123kB|a name', 'options and application_name');

# ---------------------------------------------------------------- channel binding

my $three_ways = qr/FATAL:  SCRAM channel binding cannot pass.*\nDETAIL:  .*another certificate.*\nHINT:  .*auth = scram-sha-256 with auth_query.*same certificate.*channel_binding=disable/s;
my $no_tls     = qr/channel binding required, but SSL not in use/;
my $no_offer   = qr/channel binding is required, but/;
my @matrix = (
	# client leg, node leg, certificates: what becomes of prefer, disable, require
	[ 'disable', 'us-east1', 'own',  '1',         '1', $no_tls ],
	[ 'disable', 'us-west1', 'own',  '1',         '1', $no_tls ],
	[ 'require', 'us-east1', 'own',  '1',         '1', $no_offer ],
	[ 'require', 'us-west1', 'own',  $three_ways, '1', $three_ways ],
	[ 'disable', 'us-west1', 'same', '1',         '1', $no_tls ],
	[ 'require', 'us-east1', 'same', '1',         '1', $no_offer ],
	[ 'require', 'us-west1', 'same', '1',         '1', '1' ]);
for my $row (@matrix) {
	my ($client, $region, $cert, @want) = @$row;
	for my $binding (qw(prefer disable require)) {
		my $want = shift @want;
		my $what = sprintf 'client %s TLS, node %s TLS, %s certificate, channel_binding=%s: %s',
		  $client eq 'require' ? 'with' : 'without', $region eq 'us-west1' ? 'with' : 'without',
		  $cert, $binding, ref $want ? 'refused' : 'passes';
		my ($status, $out, $err) = $proxy->psql('postgres', 'SELECT 1',
			connstr => conn('alice', sslmode => $client, channel_binding => $binding,
				claim => { region => $region }, $cert eq 'same' ? (port => $same) : ()));
		ref $want ? like($err, $want, $what) : is($out, $want, $what) || diag $err;
	}
}
my $t = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres');
$t->send(startup(user => 'alice', database => 'postgres', 'meridian.region' => 'us-west1'));
is(substr(($t->message)->[1], 4), "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0", 'TLS on both legs: the node\'s list is left alone');
$t->send(frame('p', "SCRAM-SHA-256-PLUS\0" . pack('N', 5) . 'p=tls'));
my $e = error_fields($t->message);
is_deeply([ @$e{qw(S C)} ], [ 'FATAL', '28000' ], 'who binds to the proxy\'s certificate gets FATAL 28000');
ok($t->closed, 'and is closed');
for my $case ([ 'us-west1', 'with' ], [ 'us-east1', 'without' ]) {
	$w = Meridian::Test::Wire->new($proxy);
	$w->login(user => 'alice', database => 'postgres', password => 'wonder', 'meridian.region' => $case->[0]);
	is_deeply($w->{mechanisms}, ['SCRAM-SHA-256'], "a client without TLS, a node $case->[1]: PLUS is not offered");
}
$proxy->stop;
done_testing();
