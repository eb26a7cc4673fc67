#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Neon's serverless driver as it comes from npm, straight at Meridian: over WebSockets and over POST
# /sql; with its password in front of being asked and without; against each of PostgreSQL's methods.
use strict;
use warnings;
use JSON::PP ();
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Drivers qw(driver_run driver_missing);
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use PostgreSQL::Test::Utils ();
use Test::More;

my $why = driver_missing('neon');
plan skip_all => $why if $why;

my ($east) = regional_clusters('us-east1', { users => { alice => 'secret' }, conf => "max_connections = 200\n" });
my $file = $east->data_dir . '/pg_hba.conf';
my $hba = PostgreSQL::Test::Utils::slurp_file($file);
unlink $file;
PostgreSQL::Test::Utils::append_to_file($file,
	"host all mary 127.0.0.1/32 md5\nhost all paul 127.0.0.1/32 password\nhost all tom 127.0.0.1/32 trust\n$hba");
$east->reload;
$east->safe_psql('postgres', "SET password_encryption = 'md5'; CREATE ROLE mary LOGIN PASSWORD 'secret';"
	. "SET password_encryption = 'scram-sha-256'; CREATE ROLE paul LOGIN PASSWORD 'secret'; CREATE ROLE tom LOGIN;"
	. 'GRANT ALL ON SCHEMA public TO PUBLIC');
my $cert = certificate('proxy', alt => 'DNS:localhost,DNS:db.example.test,IP:127.0.0.1');
my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $east ],
	set => { http => 'on', tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key} });
$proxy->start;

my %says = (
	pool           => 'us-east1 12345678',
	client         => "us-east1 \xc3\xa9 00ff null",
	transaction    => 10,
	errors         => '22012 ERROR, 23505 ERROR once, then 1',
	wrong_password => '28P01 FATAL',
	big            => '10485760 1048576',
	many           => 'undefined us-east1 100',
	sql            => "us-east1 {\"n\":42,\"t\":\"\xc3\xa9\",\"none\":null,\"list\":[1,2]} SELECT 1 a [[7]]",
	sql_batch      => 'us-east1 serializable on 1, 22012 ERROR, 25006 ERROR',
	sql_errors     => '22012 ERROR, 42601 ERROR, 28P01 FATAL',
	sql_big        => '10485760 1048576',
	sql_many       => 'undefined us-east1 100',
);
my @sockets = qw(pool client transaction errors wrong_password big many);
my @sql     = qw(sql sql_batch sql_errors sql_big sql_many);

sub neon_says
{
	my ($name, $parts, %opt) = @_;
	my $said = driver_run('neon', { at => '127.0.0.1:' . $proxy->port, user => 'alice', password => 'secret', parts => $parts, %opt });
	is($said, join('', map { "$_ : $says{$_}\n" } @$parts), $name);
}

neon_says('as it comes: the password in front of being asked', \@sockets);
neon_says('asked for the password: SCRAM with the node', \@sockets, pipeline => JSON::PP::false());
neon_says('POST /sql', \@sql);
neon_says('all of it over TLS', [ @sockets, @sql ], at => 'localhost:' . $proxy->port, tls => 1, ca => $cert->{ca});
neon_says('PostgreSQL\'s TLS inside the WebSocket', [qw(client transaction errors)], inside => $cert->{ca}, pipeline => JSON::PP::false());
for my $user (qw(mary paul)) {
	neon_says("$user, early", [qw(client wrong_password)], user => $user);
	neon_says("$user, asked", [qw(client wrong_password)], user => $user, pipeline => JSON::PP::false());
}
neon_says('tom, who is trusted, early', [qw(client pool)], user => 'tom');
neon_says('tom, who is trusted, asked', [qw(client)],      user => 'tom', pipeline => JSON::PP::false());
is_deeply([ grep { $_->{user} ne 'admin' && $_->{database} ne 'meridian' } @{ $proxy->console('SHOW SESSIONS FULL') } ], [], 'nobody is left');
$proxy->stop;
done_testing();
