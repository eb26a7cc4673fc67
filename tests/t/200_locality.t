#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Where callers land: MovR's nine cities and others, by every source that can say where somebody is,
# in the order that is configured; GeoIP databases that are replaced or broken while in use; what
# SQL sees of it.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my @names = map { "gcp-$_" } qw(us-east1 us-west1 europe-west1);
my @node  = regional_clusters(@names);
my %cities = (
	'gcp-us-east1'     => [ 'new york', 'boston', 'washington dc' ],
	'gcp-us-west1'     => [ 'san francisco', 'seattle', 'los angeles' ],
	'gcp-europe-west1' => [ 'amsterdam', 'paris', 'rome' ]);
my $cert  = certificate('proxy', alt => 'DNS:*.db.example');
my $dir   = PostgreSQL::Test::Utils::tempdir();
my $made  = "$ENV{MERIDIAN_BUILDDIR}/tests/data";
my $geoip = "$dir/city.mmdb";
my $lb    = PostgreSQL::Test::Cluster::get_free_port();
my $where = "SELECT current_setting('cluster_name')";
system('cp', "$made/city.mmdb", $geoip) == 0 or die;

# regions(cities => 1) lists the cities; more => { … } are options of every region.
sub regions
{
	my (%opt) = @_;
	return [ map {
			$names[$_] => { nodes => $node[$_], %{ $opt{more} || {} },
				$opt{cities} ? (cities => join ', ', @{ $cities{ $names[$_] } }) : () }
		} 0 .. 2 ];
}

my $proxy = Meridian::Test::Proxy->new('main', regions => regions(cities => 1),
	set => {
		region     => 'gcp-us-east1', geoip => $geoip, trusted_proxies => '127.0.0.1/32', sni_suffix => 'db.example',
		tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key} },
	conf => "[listener lb]\nlisten = 127.0.0.1:$lb\nproxy_protocol = require\n");
$proxy->start;

# Where a caller with these startup parameters lands: the region's name without its prefix, or the
# SQLSTATE of the error.
sub lands
{
	my ($param, %opt) = @_;
	my $w = $opt{wire} || Meridian::Test::Wire->new(port => $opt{header} ? $lb : $proxy->port);
	$w->send($opt{header}) if $opt{header};
	my @m = $w->login(database => 'postgres', map { $_ => $param->{$_} } keys %$param);
	return error_fields($m[-1])->{C} if $m[-1][0] eq 'E';
	$w->send(query($where));
	return row_values(($w->until('Z'))[1])->[0] =~ s/^gcp-//r;
}

sub from_city     { return lands({ 'meridian.city' => $_[0] }) }
sub from_location { return lands({ 'meridian.location' => $_[0] }) }

# ---------------------------------------------------------------- cities, locations, regions

# [ city, as it may be spelled, latitude and longitude, region ]
my @places = (
	[ 'new york',      'New York',         '40.71,-74.01',  'us-east1' ],
	[ 'boston',        'BOSTON',           '42.36,-71.06',  'us-east1' ],
	[ 'washington dc', 'Washington, D.C.', '38.90,-77.04',  'us-east1' ],
	[ 'san francisco', 'San  Francisco',   '37.77,-122.42', 'us-west1' ],
	[ 'seattle',       'seattle',          '47.61,-122.33', 'us-west1' ],
	[ 'los angeles',   'Los Angeles',      '34.05,-118.24', 'us-west1' ],
	[ 'amsterdam',     'Amsterdam',        '52.37,4.90',    'europe-west1' ],
	[ 'paris',         'Paris',            '48.85,2.35',    'europe-west1' ],
	[ 'rome',          'Roma',             '41.90,12.50',   'europe-west1' ],
	[ 'chicago',       'Chicago',          '41.88,-87.63',  'us-east1' ],
	[ 'detroit',       'Detroit, US',      '42.33,-83.05',  'us-east1' ],
	[ 'sao paulo',     'São Paulo',        '-23.55,-46.63', 'us-east1' ],
	[ 'tokyo',         'Tokyo',            '35.69,139.69',  'us-west1' ],
	[ 'sydney',        'Sydney, AU',       '-33.87,151.21', 'us-west1' ],
	[ 'mumbai',        'Mumbai',           '19.07,72.88',   'europe-west1' ],
	[ 'singapore',     'Singapore',        '1.29,103.85',   'europe-west1' ],
	[ 'denver',        'Denver',           '39.74,-104.98', 'us-west1' ]);
for my $listed (1, 0) {
	my $how = $listed ? 'lists of cities' : 'distance alone';
	$proxy->reload(regions => regions(cities => $listed));
	for my $p (@places) {
		my ($city, $spelled, $at, $region) = @$p;
		is(from_city($city), $region, "$city ($how)");
		is(from_city($spelled), $region, "as $spelled");
		is(from_location($at), $region, "at $at");
	}
}
$proxy->reload(regions => regions(cities => 1));
is($proxy->psql_from({ city => 'san francisco' }, 'postgres', $where), 'gcp-us-west1', 'inside options, as psql sends it');
is(lands({ options => '-c meridian.city=los\\ angeles -c work_mem=1MB' }), 'us-west1', 'among other options');
is(lands({ 'meridian.city' => 'paris', options => '-c meridian.city=seattle' }), 'europe-west1',
	'where both say a city the parameter wins, as in PostgreSQL');
is(lands({ 'meridian.region' => $_ }), 'us-west1', "meridian.region = $_") for qw(us-west1 gcp-us-west1 US-WEST1);
is(lands({ 'meridian.country' => $_ }), 'europe-west1', "meridian.country = $_") for qw(DE fr Italy);
is(lands({ 'meridian.region' => 'us-west1', 'meridian.city' => 'paris' }), 'us-west1', 'a region says more than a city');
is(from_city('lemuria'), 'us-east1', 'a city that is none: the proxy\'s own region');
is(from_location($_), 'us-east1', "no location: $_") for '91,0', '0,0', 'here', '48.85', '48.85,2.35,3';
is(lands({}), 'us-east1', 'nothing said: the proxy\'s own region');
is(lands({ 'meridian.city' => 'x' x 5000 }), 'us-east1', 'a city of 5000 letters');
my %seen = map { from_city('rio de janeiro') => 1 } 1 .. 10;
is_deeply([ keys %seen ], ['us-east1'], 'the same caller gets the same region each time');

# ---------------------------------------------------------------- the TLS server name

for my $case (
	[ 'paris.db.example',         'europe-west1' ],
	[ 'los-angeles.db.example',   'us-west1' ],
	[ 'us-west1.db.example',      'us-west1' ],
	[ 'SEATTLE.DB.EXAMPLE',       'us-west1' ],
	[ 'db.example',               'us-east1' ],
	[ 'paris.other.example',      'us-east1' ],
	[ 'parisdb.example',          'us-east1' ],
	[ 'lemuria.db.example',      'us-east1' ])
{
	my ($name, $region) = @$case;
	my $t = Meridian::Test::Tls->new($proxy, '-alpn', 'postgresql', '-servername', $name);
	is(lands({}, wire => $t), $region, "server name $name");
}
is($proxy->safe_psql('postgres', $where, connstr => $proxy->connstr('postgres', host => 'rome.db.example',
			hostaddr => '127.0.0.1', sslmode => 'require')),
	'gcp-europe-west1', 'libpq sends the host name by itself');
my $t = Meridian::Test::Tls->new($proxy, '-starttls', 'postgres', '-servername', 'paris.db.example');
is(lands({ 'meridian.city' => 'seattle' }, wire => $t), 'us-west1', 'startup comes before the server name');

# ---------------------------------------------------------------- addresses

my $london = proxy_v1(src => '81.2.69.142');
is(lands({}, header => $london), 'europe-west1', '81.2.69.142 behind a trusted PROXY header');
is(lands({}, header => proxy_v2(src => '216.160.83.57')), 'us-west1', 'an address in Milton WA');
is(lands({}, header => proxy_v2(src => '2001:480:10::1')), 'us-west1', 'an IPv6 address in San Diego');
is(lands({}, header => proxy_v2(src => '::ffff:81.2.69.142')), 'europe-west1', 'IPv4 inside IPv6');
is(lands({}, header => proxy_v1(src => '192.0.2.1')), 'us-east1', 'an address that is in no database');
is(lands({ 'meridian.city' => 'seattle' }, header => $london), 'us-west1', 'startup comes before the address');
is(lands({}, header => proxy_v2(src => '81.2.69.142', tlv => { 0xe4 => 'tokyo' })), 'us-west1', 'a TLV comes before the address');
is(lands({ 'meridian.city' => 'boston' }, header => proxy_v2(src => '81.2.69.142', tlv => { 0xe4 => 'tokyo' })),
	'us-east1', 'startup comes before a TLV');

$proxy->reload(set => { trusted_proxies => '127.0.0.9/32' });
my $w = Meridian::Test::Wire->new(port => $lb);
$w->send($london . startup(user => 'x', database => 'postgres'));
ok($w->closed && $w->{rest} eq '', 'the same header from a peer that is not trusted is not believed: closed');
is(lands({}), 'us-east1', 'and without a header it is the peer\'s address that counts');
$proxy->reload(set => { trusted_proxies => '127.0.0.1/32' });

# A client that comes directly: its own address.
system('cp', "$made/flat-ipv4.mmdb", "$dir/flat4.mmdb") == 0 && system('cp', "$made/flat-ipv6.mmdb", "$dir/flat6.mmdb") == 0 or die;
$proxy->reload(set => { geoip => "$dir/flat4.mmdb, $dir/flat6.mmdb" });
is(lands({}, header => $london), 'europe-west1', 'the flat schema, one file per family');
is(lands({}, header => proxy_v2(src => '2001:db8:1::7')), 'europe-west1', 'IPv6 in the second file');
my $direct = sub {
	my ($source) = @_;
	my $fd = IO::Socket::INET->new(LocalAddr => $source, PeerAddr => '127.0.0.1', PeerPort => $proxy->port, Proto => 'tcp')
	  or die "connect from $source: $!";
	my $v = Meridian::Test::Wire->new($proxy);
	$v->{fd} = $fd;
	return lands({}, wire => $v);
};
is($direct->('127.0.0.3'), 'us-west1', 'the address of the socket, where no header came');
is($direct->('127.0.0.2'), 'europe-west1', 'another one');
$proxy->reload(set => { geoip => $geoip });

# ---------------------------------------------------------------- the order of sources

my %all = (header => proxy_v2(src => '81.2.69.142', tlv => { 0xe4 => 'tokyo' }));    # London, Tokyo
for my $case (
	[ 'startup, sni, tlv, geoip, self', 'us-east1',     'startup first' ],
	[ 'geoip, tlv, startup, self',      'europe-west1', 'geoip first' ],
	[ 'tlv, geoip, startup, self',      'us-west1',     'tlv first' ],
	[ 'geoip, self',                    'europe-west1', 'what is left out does not count' ],
	[ 'self',                           'us-west1',     'self alone' ])
{
	my ($order, $region, $what) = @$case;
	$proxy->reload(set => { locality => $order, region => $order eq 'self' ? 'gcp-us-west1' : 'gcp-us-east1' });
	is(lands({ 'meridian.city' => 'boston' }, %all), $region, "locality = $order: $what");
}
$proxy->reload(set => { locality => undef, region => 'gcp-us-east1' });
$proxy->console("OVERRIDE CITY 'Paris' TO REGION gcp-us-west1");
is(from_city('paris'), 'us-west1', 'an override comes before all');
is(from_location('48.85,2.35'), 'europe-west1', 'and is for that city only');
$proxy->console("OVERRIDE CITY 'paris' CLEAR");
is(from_city('paris'), 'europe-west1', 'cleared');

# ---------------------------------------------------------------- operator's lists

$proxy->reload(regions => [ 'gcp-us-east1' => { nodes => $node[0], cities => 'tokyo', countries => 'IT' },
		'gcp-us-west1' => { nodes => $node[1], networks => '81.2.69.0/24' },
		'gcp-europe-west1' => { nodes => $node[2] } ]);
is(from_city('tokyo'), 'us-east1', 'a city that the operator lists');
is(lands({ 'meridian.country' => 'IT' }), 'us-east1', 'a country that the operator lists');
is(from_city('rome'), 'europe-west1', 'is not for a caller whose city is known');
is(lands({}, header => $london), 'us-west1', 'a network that the operator lists');
$proxy->reload(regions => regions(cities => 1));

# ---------------------------------------------------------------- GeoIP files change in use

# Puts a file in the place of the one in use, as documented: written beside it, then renamed.
sub replace_by
{
	my ($from) = @_;
	system('cp', $from, "$geoip.new") == 0 && rename "$geoip.new", $geoip or die;
	return;
}

my $moved = "$dir/moved.txt";
PostgreSQL::Test::Utils::append_to_file($moved, "81.2.69.142/32 | Tokyo | JP | 35.68 | 139.69 | 10\n");
system("$^X '$ENV{MERIDIAN_SRCDIR}/tests/tools/mkmmdb.pl' '$moved' > '$dir/moved.mmdb'") == 0 or die;
my $from = -s $proxy->logfile;
replace_by("$dir/moved.mmdb");
$proxy->log_like(qr/GeoIP databases replaced/, 'a file replaced by rename is noticed', $from);
is(lands({}, header => $london), 'us-west1', 'and used');
for my $case (
	[ 'truncated',        sub { system("head -c 900 '$made/city.mmdb' > '$dir/short' && mv '$dir/short' '$geoip'") } ],
	[ 'empty',            sub { system("rm -f '$geoip' && : > '$geoip'") } ],
	[ 'of wrong records', sub { replace_by("$made/bad-double.mmdb") } ],
	[ 'of wrong nodes',   sub { replace_by("$made/bad-nodes.mmdb") } ],
	[ 'gone',             sub { unlink $geoip } ],
	[ 'cut in place',     sub { replace_by("$dir/moved.mmdb"); $proxy->reload; truncate $geoip, 100 or die } ],
	[ 'overwritten',      sub { open my $f, '>', $geoip or die; print $f "\0" x 5000 } ])
{
	my ($what, $do) = @$case;
	$do->();
	my $said = $proxy->reload;
	like($said, qr/keeping the GeoIP databases in use: .*city\.mmdb/, "a file that is $what is refused");
	like($said, qr/configuration reloaded/, 'which does not hold up the rest of a reload');
	is(lands({}, header => $london), 'us-west1', 'the one in use stays');
}
replace_by("$made/city.mmdb");
$proxy->reload;
is(lands({}, header => $london), 'europe-west1', 'a good one is taken again');

# A database that a reload brings is watched as well.
$proxy->reload(set => { geoip => undef });
is(lands({}, header => $london), 'us-east1', 'without a database');
$proxy->stop;
$proxy->start;
$proxy->reload(set => { geoip => $geoip });
is(lands({}, header => $london), 'europe-west1', 'with one that a reload brought');
$from = -s $proxy->logfile;
replace_by("$dir/moved.mmdb");
$proxy->log_like(qr/GeoIP databases replaced/, 'its replacement is noticed', $from);

# At the start there is no other to keep.
$proxy->stop;
unlink $geoip or die;
ok(!$proxy->start(fail_ok => 1), 'no start without a file that is named');
$proxy->log_like(qr/geoip file "\Q$geoip\E": No such file/, 'which is told');
replace_by("$made/city.mmdb");
$proxy->start;

# ---------------------------------------------------------------- the gazetteer

# What is found for a city, and whether that decided: EXPLAIN LOCALITY. No region lists a city here.
sub explained
{
	my ($city) = @_;
	my ($row) = @{ $proxy->console("EXPLAIN LOCALITY CITY '" . $city =~ s/'/''/gr . "'") };
	return ($row->{won} eq 't' ? '' : 'undecided: ') . $row->{outcome};
}

$proxy->reload(regions => regions(cities => 0));
for my $case (
	[ 'new york',         'New York City NY US' ],
	[ 'washington, d.c.', 'Washington D.C. DC US' ],
	[ 'münchen',          'Munich BY DE' ],
	[ 'munich',           'Munich BY DE' ],
	[ 'muenchen',         'Munich BY DE' ],
	[ 'köln',             'Köln NW DE' ],
	[ 'cologne',          'Köln NW DE' ],
	[ 'genève',           'Genève GE CH' ],
	[ 'kyiv',             'Kyiv UA' ],
	[ 'kiev',             'Kyiv UA' ],
	[ 'frankfurt',        'Frankfurt am Main HE DE' ],
	[ 'são paulo',        'São Paulo SP BR' ],
	[ 'Sao%20Paulo',      'São Paulo SP BR' ],
	[ 'den haag',         'The Hague NL' ],
	[ 'paris',            'Paris FR' ],
	[ 'paris, US',        'Paris TX US' ],
	[ 'paris, US-TX',     'Paris TX US' ],
	[ 'londres',          'London ENG GB' ],
	[ 'parigi',           'Paris FR' ],
	[ 'roma',             'Rome IT' ],
	[ 'bangalore',        'Bengaluru IN' ],
	[ 'praha',            'Prague CZ' ],
	[ 'wien',             'Vienna AT' ],
	[ 'hyderabad',        'Hyderabad IN' ],
	[ 'valencia',         'undecided: ambiguous: Valencia VE or Valencia ES' ],
	[ 'lemuria',          'undecided: no such city' ])
{
	my ($city, $found) = @$case;
	is(explained($city), $found, "gazetteer: $city");
}

# Its file changes in use.
my $shipped   = "$ENV{MERIDIAN_BUILDDIR}/routing/gazetteer.dat";
my $gazetteer = "$dir/gazetteer.dat";
my $renamed   = sub { rename "$gazetteer.new", $gazetteer or die };
my $smaller   = "$dir/smaller.csv";
system("grep -v ',Kyiv,UA,' '$ENV{MERIDIAN_SRCDIR}/routing/cities.csv' > '$smaller'") == 0 or die;
system('cp', $shipped, $gazetteer) == 0 or die;
$proxy->reload(set => { gazetteer => $gazetteer });
is(explained('kyiv'), 'Kyiv UA', 'another file, brought by a reload');
system("$^X '$ENV{MERIDIAN_SRCDIR}/routing/mkplaces.pl' gazetteer '$smaller' > '$gazetteer.new'") == 0 or die;
$from = -s $proxy->logfile;
$renamed->();
$proxy->log_like(qr/gazetteer replaced: places=\d+ names=\d+/, 'a file replaced by rename is noticed', $from);
is(explained('kyiv'), 'undecided: no such city', 'and used');
for my $case (
	[ 'truncated',   'cut off or damaged', sub { system("head -c 100000 '$shipped' > '$gazetteer.new'"); $renamed->() } ],
	[ 'damaged',     'damaged', sub { system("sed 's/paris/parix/' '$shipped' > '$gazetteer.new'"); $renamed->() } ],
	[ 'no such',     'not a gazetteer', sub { system("head -c 3000 /dev/zero > '$gazetteer.new'"); $renamed->() } ],
	[ 'empty',       'not a gazetteer', sub { truncate $gazetteer, 0 or die } ],
	[ 'overwritten', 'not a gazetteer', sub { open my $f, '>', $gazetteer or die; print $f "\0" x 5000 } ])
{
	my ($what, $said, $do) = @$case;
	$do->();
	like($proxy->reload, qr/keeping the gazetteer in use: gazetteer file "\Q$gazetteer\E": $said/,
		"one that is $what is refused");
	is(explained('kyiv'), 'undecided: no such city', 'the one in use stays');
	is(explained('paris'), 'Paris FR', 'whole');
}
system('cp', $shipped, "$gazetteer.new") == 0 or die;
$renamed->();
$proxy->reload;
is(explained('kyiv'), 'Kyiv UA', 'a good one is taken again');
like($proxy->reload(set => { gazetteer => 'off' }), qr/gazetteer closed/, 'gazetteer = off');
is(explained('paris'), 'undecided: no such city', 'knows no cities');
is(from_location('48.85,2.35'), 'europe-west1', 'coordinates do not need it');
$proxy->reload(regions => regions(cities => 1));
is(from_city('paris'), 'europe-west1', 'nor do lists of cities');
$proxy->stop;
unlink $gazetteer or die;
$proxy->write_conf(set => { gazetteer => $gazetteer });
ok(!$proxy->start(fail_ok => 1), 'no start without a gazetteer that is named');
$proxy->log_like(qr/gazetteer file "\Q$gazetteer\E": No such file/, 'which is told');
$proxy->write_conf(set => { gazetteer => $shipped });
$proxy->start;

# ---------------------------------------------------------------- what SQL sees

my $shows = "SELECT current_setting('meridian.region', true), current_setting('meridian.city', true), current_setting('meridian.country', true)";
is($proxy->psql_from({ city => 'Los Angeles' }, 'postgres', $shows), 'gcp-us-west1|Los Angeles|US', 'region, city and country are settings');
is($proxy->safe_psql('postgres', $shows), 'gcp-us-east1||', 'what is not known is not set');
is($proxy->psql_from({ country => 'FR' }, 'postgres', $shows), 'gcp-europe-west1||FR', 'a country alone');
is($proxy->safe_psql('postgres', "SELECT set_config('meridian.city', 'x', false)"), 'x', 'SET of it is the node\'s affair');
$proxy->reload(regions => regions(cities => 1, more => { export_locality => 'no' }));
is($proxy->psql_from({ city => 'Los Angeles' }, 'postgres', $shows), '||', 'export_locality = no');

# ---------------------------------------------------------------- a proxy in a region that is not configured

$proxy->reload(set => { region => 'aws-eu-west-3' });
is($proxy->console("EXPLAIN ROUTE ADDRESS '192.0.2.1'")->[0]{region}, 'gcp-europe-west1',
	'from Paris, strangers go to the nearest configured region');
$proxy->stop;
done_testing();
