#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Rules of databases and of regions: other names on the servers, where a database is served, data
# that must stay where its caller is, bias, and what is near to the proxy instead of to the caller.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

my @names = qw(us-east1 us-west1 europe-west1);
my @node  = regional_clusters(@names);
$_->safe_psql('postgres', 'CREATE DATABASE movr_live') for @node;
my @relay = map { Meridian::Test::Delay->new($_) } @node;
my $lb    = PostgreSQL::Test::Cluster::get_free_port();

# regions(name => { option => value }) changes one of the three.
sub regions
{
	my (%change) = @_;
	return [ map { $names[$_] => { nodes => $relay[$_], %{ $change{ $names[$_] } || {} } } } 0 .. 2 ];
}

sub sections
{
	my (%section) = @_;
	return join '', "[listener lb]\nlisten = 127.0.0.1:$lb\nproxy_protocol = require\n",
	  map { "[database $_]\n$section{$_}\n" } sort keys %section;
}

my $proxy = Meridian::Test::Proxy->new('main', regions => regions(),
	set  => { region => 'us-east1', probe_interval => '100ms', probe_max_backoff => '200ms', failback_delay => 0,
		trusted_proxies => '127.0.0.1' },
	conf => sections(movr => 'dbname = movr_live', europe => "dbname = postgres\nregions = europe-west1",
		america => "dbname = postgres\nregions = us-west1, us-east1"));
$proxy->start;

# (region, database) of a session, or (SQLSTATE, error fields).
sub session
{
	my ($database, %param) = @_;
	my $header = delete $param{header};
	my $w = Meridian::Test::Wire->new(port => $header ? $lb : $proxy->port);
	$w->send($header) if $header;
	my $m = ($w->login(database => $database, %param))[-1];
	return ((error_fields($m))->{C}, error_fields($m)) if $m->[0] ne 'Z';
	$w->send(query("SELECT current_setting('cluster_name'), current_database()"));
	return @{ row_values(($w->until('Z'))[1]) };
}
sub lands { return (session(@_))[0] }

sub dies { my ($relay) = @_; $relay->refuse; $relay->cut; return }

sub wait_state
{
	my ($n, $state) = @_;
	return $proxy->wait_console('SHOW NODES FULL', sub { $_[0][$n]{state} eq $state });
}
my %from = (ny => [ 'meridian.city' => 'new york' ], sf => [ 'meridian.city' => 'san francisco' ], paris => [ 'meridian.city' => 'paris' ]);

# ---------------------------------------------------------------- names, and where they are served

is_deeply([ session('movr', @{ $from{paris} }) ], [ 'europe-west1', 'movr_live' ], 'dbname: another name on the servers');
is($proxy->console('SHOW SESSIONS FULL') && lands('nowhere'), '3D000', 'a database without a section has its own name');
is(lands('europe', @{ $from{$_} }), 'europe-west1', "served in Europe only, from $_") for sort keys %from;
is(lands('america', @{ $from{paris} }), 'us-east1', 'served in America only, from Paris');
is(lands('america', @{ $from{sf} }), 'us-west1', 'and from San Francisco');
is(lands('europe', 'meridian.region' => 'us-east1'), 'europe-west1', 'not even by name is it anywhere else');
dies($relay[2]);
wait_state(2, 'down');
my ($state, $e) = session('europe');
is($state, '08006', 'not even when Europe is down');
like($e->{D}, qr/us-east1: the database is not served here/, 'and the detail says so');
is(lands('movr', @{ $from{paris} }), 'us-east1', 'another database goes on elsewhere');
$relay[2]->pass;
wait_state(2, 'up');
$proxy->reload(conf => sections('*' => 'regions = us-west1', movr => 'dbname = movr_live'));
is(lands('postgres', @{ $from{paris} }), 'us-west1', 'the section * is for those without one');
is(lands('movr', @{ $from{paris} }), 'europe-west1', 'and not for those that have one');

# ---------------------------------------------------------------- residency

my $paris_header = proxy_v2(src => '192.0.2.1', tlv => { 0xe4 => 'paris' });
$proxy->reload(regions => regions('europe-west1' => { countries => 'FR, NL, IT' }),
	conf => sections(strict => "dbname = postgres\nresidency = strict", lax => "dbname = postgres"));
is(lands('strict', header => $paris_header), 'europe-west1', 'strict: a trusted source says Paris');
is(lands('strict', @{ $from{paris} }), 'us-east1', 'strict: what the client says of itself does not count');
is(lands('strict', header => $paris_header, @{ $from{sf} }), 'europe-west1', 'nor does it beat a trusted source');
is(lands('lax', header => $paris_header, @{ $from{sf} }), 'us-west1', 'as it does without strict');
dies($relay[2]);
wait_state(2, 'down');
($state, $e) = session('strict', header => $paris_header);
is($state, '08006', 'strict: no region but the caller\'s own will do');
like($e->{D}, qr/us-east1: residency = strict forbids it/, 'and the detail says so');
is(lands('lax', header => $paris_header), 'us-east1', 'without strict the next one does');
$relay[2]->pass;
wait_state(2, 'up');
is(lands('strict', header => $paris_header), 'europe-west1', 'healed');

# ---------------------------------------------------------------- a region that does not spill over

$proxy->reload(regions => regions('us-west1' => { strict_region => 'on' }), conf => sections());
is(lands('postgres', @{ $from{sf} }), 'us-west1', 'strict_region: its callers');
dies($relay[1]);
wait_state(1, 'down');
($state, $e) = session('postgres', @{ $from{sf} });
is($state, '08006', 'go nowhere else');
like($e->{D}, qr/the nearest region is strict: it does not spill over/, 'and the detail says so');
is(lands('postgres', @{ $from{ny} }), 'us-east1', 'others are not concerned');
$relay[1]->pass;
wait_state(1, 'up');
is(lands('postgres', @{ $from{sf} }), 'us-west1', 'healed');

# ---------------------------------------------------------------- bias

# Denver: 1,460 km to us-west1, 2,590 km to us-east1.
my @denver = ('meridian.location' => '39.74,-104.98');
for my $case ([ 0, 0, 'us-west1' ], [ 60, 0, 'us-east1' ], [ 0, -60, 'us-east1' ], [ -20, 0, 'us-west1' ]) {
	my ($east, $west, $want) = @$case;
	$proxy->reload(regions => regions('us-east1' => { bias => $east }, 'us-west1' => { bias => $west }));
	is(lands('postgres', @denver), $want, "from Denver with a bias of $east for the east and $west for the west");
}

# ---------------------------------------------------------------- near to the proxy

# From here the west is near, the east far, Europe in between.
$relay[0]->ms(30);
$relay[1]->ms(0);
$relay[2]->ms(15);
$proxy->reload(regions => regions(), set => { nearest => 'proxy' });
my $by_rtt = 'us-west1 europe-west1 us-east1';
sub regions_of { return join ' ', map { $_->{region} } @{ $_[0] } }
my $rows = $proxy->wait_console("EXPLAIN ROUTE CITY 'paris'",
	sub { $_[0][-1]{rtt_ms} > 50 && regions_of($_[0]) eq $by_rtt });
is(regions_of($rows), $by_rtt, 'nearest = proxy: by round trip as measured');
is(lands('postgres', @{ $from{$_} }), 'us-west1', "a caller from $_") for sort keys %from;
is(lands('postgres', 'meridian.region' => 'us-east1'), 'us-east1', 'who names a region gets it');
$proxy->reload(set => { nearest => 'blend', blend => '0.5' });
is(lands('postgres', @{ $from{paris} }), 'europe-west1', 'blend: Paris gains more by distance than it loses by time');
is(lands('postgres', @{ $from{sf} }), 'us-west1', 'San Francisco has both');
$proxy->reload(set => { blend => '0' });
is(lands('postgres', @{ $from{paris} }), 'us-west1', 'blend = 0 is time alone');
$proxy->reload(set => { blend => '1' });
is(lands('postgres', @{ $from{paris} }), 'europe-west1', 'blend = 1 is distance alone');
# … and nobody is tried beside it
$proxy->reload(set => { nearest => 'caller', region => undef, blend => undef, hedge_delay => NEVER });
is(lands('postgres', @{ $from{ny} }), 'us-east1', 'nearest = caller: distance alone, however slow');
is(lands('postgres'), 'us-west1', 'where nothing is known of the caller it is time');
$proxy->stop;
done_testing();
