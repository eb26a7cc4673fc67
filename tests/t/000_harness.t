#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The tools of the tests, against PostgreSQL itself: clusters, certificates, the raw client, the
# delay relay. What fails here is no fault of Meridian's.
use strict;
use warnings;
use IO::Socket::INET;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my ($plain, $strict) = regional_clusters('us-east1', 'strict',
	{ tls => 1, users => { alice => "s'cret" }, conf => "password_encryption = md5\n" });

is($plain->safe_psql('postgres', "SELECT current_setting('cluster_name')"),
	'us-east1', 'a cluster shows its name');

# The raw client.
my $w = Meridian::Test::Wire->new($strict);
my @m = $w->login(user => 'alice', database => 'postgres', password => "s'cret");
is($m[-1][0], 'Z', 'SCRAM login') or diag explain \@m;
is_deeply($w->{auth}, [ 10, 11, 12, 0 ], 'it was SCRAM');
is($w->{parameters}{server_encoding}, 'UTF8', 'parameters are kept');
$w->send(query('SELECT 1, NULL'));
is_deeply(row_values(($w->until('Z'))[1]), [ '1', undef ], 'simple query');
$w->send_split(
	parse('SELECT $1::text') . bind_message(['naïf']) . describe('P') . execute . sync_message, 1);
is(join('', map { $_->[0] } $w->until('Z')), '12TDCZ', 'extended query, byte by byte');
$w->send(query('SELECT pg_sleep(100)'));
ok($strict->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
	'a query runs');    # a cancel before it would be none
ok($w->cancel, 'cancel');
is(error_fields(($w->until('E'))[-1])->{C}, '57014', 'the query is cancelled');
my $wrong = Meridian::Test::Wire->new($strict);
@m = $wrong->login(user => 'alice', database => 'postgres', password => 'no');
is(error_fields($m[-1])->{C}, '28P01', 'a wrong password');
ok($wrong->closed, 'and the server closes');

$strict->safe_psql('postgres', "CREATE ROLE bob LOGIN PASSWORD 'old'");
open my $hba, '>', $strict->data_dir . '/pg_hba.conf' or die;
print $hba "local all all trust\nhost all all 127.0.0.1/32 md5\n";
close $hba;
$strict->reload;
my $md5 = Meridian::Test::Wire->new($strict);
@m = $md5->login(user => 'bob', database => 'postgres', password => 'old');
is_deeply($md5->{auth}, [ 5, 0 ], 'MD5 login') or diag explain \@m;

# Certificates.
my $tls = Meridian::Test::Wire->new($strict);
$tls->send(ssl_request);
is($tls->bytes(1), 'S', 'the server speaks TLS');
my $ca = certificate('other')->{ca};
is($strict->safe_psql('postgres', 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
	connstr => 'host=localhost hostaddr=127.0.0.1 user=bob password=old dbname=postgres '
	  . "sslmode=verify-full sslrootcert=$ca port=" . $strict->port),
	't', 'its certificate is good under the CA of the test');

# Distance.
my $far   = Meridian::Test::Delay->new($plain, ms => 20);
my $begin = time;
my $dw    = Meridian::Test::Wire->new($far);
is(($dw->login(database => 'postgres'))[-1][0], 'Z', 'login through the relay');
cmp_ok(passed($begin), '>', 0.079, 'TCP handshake and startup cost two round trips');
$begin = time;
$dw->send(query('SELECT 1'));
$dw->until('Z');
cmp_ok(passed($begin), '>', 0.039, 'a query costs one');
$dw->send(query("SELECT repeat('x', 1000) FROM generate_series(1, 30000)"));
is(scalar(my @rows = $dw->until('Z')), 30003, 'bulk goes through whole');
is($far->count, 1, 'one connection');
$far->hang;
$dw->send(query('SELECT 1'));
ok($dw->silent, 'a hanging relay answers nothing');
$far->pass;
is(($dw->until('Z'))[-1][0], 'Z', 'and goes on when told');
$far->cut;
ok($dw->closed && $dw->{reset}, 'cut resets');
$far->refuse;
ok(!eval { Meridian::Test::Wire->new($far); 1 }, 'refuse refuses');
ok(!IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $far->port, Listen => 1), 'and nobody else gets the port meanwhile');
$far->pass;
ok(Meridian::Test::Wire->new($far), 'pass listens again');

# PROXY headers, against the documents.
is(sprintf('%08x', crc32c('123456789')), 'e3069283', 'CRC32C check value');
is(proxy_v1(src => '192.168.0.1', dst => '192.168.0.11', sport => 56324, dport => 443),
	"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", 'v1 as in the specification');
is(unpack('H*', proxy_v2(src => '1.2.3.4', dst => '5.6.7.8', sport => 1, dport => 2, tlv => { 4 => '' })),
	'0d0a0d0a000d0a515549540a' . '2111' . '000f' . '0102030405060708' . '00010002' . '040000', 'v2');
done_testing();
