#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The console as an operator meets it: psql over the unix socket and over TCP, who may open it and
# who may do what, every listing, psql's ways of printing, errors with their SQLSTATE and their hint.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

my ($east, $europe) = regional_clusters('us-east1', 'europe-west1');
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users,
	qq("admin" "secret"\n"monitor" "look"\n"alice" "wonderland"\n));
chmod 0600, $users;
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [
		'us-east1'         => { nodes => $east,   cities => 'new york, washington dc' },
		'gcp-europe-west1' => { nodes => $europe, cities => 'paris' }
	],
	set => {
		region      => 'us-east1',
		auth_file   => $users,
		admin_users => 'admin',
		stats_users => 'monitor'
	},
	conf => "[database movr]\nregions = us-east1\naccess = any\n[database home]\nresidency = strict\n");
$proxy->start;
$proxy->wait_up(2);

# Status, output and errors of psql at the console over TCP.
sub by_tcp
{
	my ($user, $password, $sql) = @_;
	local $ENV{PGPASSWORD} = $password;
	return $proxy->console_raw($sql, connstr => { host => '127.0.0.1', user => $user });
}

# ---------------------------------------------------------------- who may

my ($status, $out, $err) = $proxy->console_raw('SHOW VERSION');
is($status, 0, "the daemon's own user opens it over the unix socket") or diag $err;
like($out, qr/Meridian \d/, 'and it answers');
($status, $out, $err) = by_tcp('admin', 'secret', 'RELOAD');
is($status, 0, 'an admin logs in by SCRAM over TCP, and may change things') or diag $err;
($status, $out, $err) = by_tcp('monitor', 'look', 'SHOW SESSIONS FULL');
is($status, 0, 'a stats user may look') or diag $err;
# every command that HELP says is for admins: the first of alternatives, no optional part
my @admins = map { $_->{command} } grep { $_->{privilege} eq 'admin' } @{ $proxy->console('HELP FULL') };
cmp_ok(scalar(@admins), '>=', 10, 'there are commands for admins');
my @open;
for my $sql (@admins) {
	$sql =~ s/\[[^]]*\]//g;
	$sql =~ s/\(([^|)]*)[^)]*\)/$1/g;
	$sql =~ s/<[^>]*>/1/g;
	($status, $out, $err) = by_tcp('monitor', 'look', $sql);
	push @open, "$sql: $err" unless $err =~ /42501.*permission denied for /;
}
is("@open", '', 'but run none of them');
($status, $out, $err) = by_tcp('admin', 'wrong', 'SHOW VERSION');
like($err, qr/password authentication failed/, 'a wrong password is refused');
($status, $out, $err) = by_tcp('nobody_knows', 'x', 'SHOW VERSION');
like($err, qr/password authentication failed for user "nobody_knows"/, 'a stranger in the same words');
($status, $out, $err) = by_tcp('alice', 'wonderland', 'SHOW VERSION');
like($err, qr/admin_users|permission denied/, 'a user of auth_file who is in no list is refused');

# ---------------------------------------------------------------- every listing has its columns

my %columns = (
	'SHOW REGIONS' => [qw(region lat lon nodes usable drained sessions rtt_ms bias)],
	'SHOW NODES FULL'   => [
		qw(region node kind role state drained rtt_ms lag_ms lag_bytes sample_age_ms sessions version reason)
	],
	'SHOW SESSIONS FULL' => [
		qw(id worker database user client_addr true_addr state city country locality_source home node tls
		  application_name connected_at rx_bytes tx_bytes queries client_rtt_us server_rtt_us move_block)
	],
	'SHOW NODES'    => [qw(region node role state drained rtt_ms lag_ms reason tls)],
	'SHOW SESSIONS' => [qw(id database user client_addr state city home)],
	'SHOW POOLS'    => [qw(database user node worker cl_active cl_waiting sv_active sv_idle maxwait)],
	'SHOW POOLS FULL' => [
		qw(database user region node worker cl_active cl_waiting sv_active sv_idle sv_reset sv_held sv_login
		  maxwait maxwait_us pool_mode pool_size paused lent waited wait_us options reason)
	],
	"EXPLAIN ROUTE CITY 'paris'"  => [qw(rank region node verdict reason distance_km rtt_ms lag_ms load score)],
	"EXPLAIN LOCALITY CITY 'paris'" => [qw(source kind value trusted won outcome)],
	'SHOW DATABASES'              => [qw(database dbname regions access)],
	'SHOW SERVERS'                => [qw(region node)],
	'SHOW LISTENERS'              => [qw(listener listen)],
	'SHOW WORKERS'                => [qw(worker sessions)],
	'SHOW STATS'                  => [qw(counter value)],
	'SHOW CONFIG'                 => [qw(key value default changeable)],
	'SHOW USERS'                  => [qw(user privilege secret source sessions server_connections max_user_connections throttled_until throttled_addresses trusted_addresses limited_until)],
	'SHOW VERSION'                => [qw(version)],
	'SHOW HELP'                   => [qw(command privilege help)],
	'SHOW MEMORY'                 => [qw(item bytes)],
	'SHOW TIMEOUTS'               => [qw(key value)],
	'SHOW LOCALITY SOURCES'       => [qw(rank source)],
	'SHOW ERRORS'                 => [qw(reason sqlstate)],
	'SHOW DISCOVERY'              => [qw(source asked answer_ms nodes node region said verdict since reason)],
	'SHOW OVERRIDES'              => [qw(kind value region until)]);
for my $sql (sort keys %columns) {
	($status, $out, $err) = $proxy->console_raw($sql);
	my ($head) = split /\x1e/, $out;
	my @want = @{ $columns{$sql} };
	my @is   = split /\x1f/, $head // '';
	is("@is[0 .. $#want]", "@want", "$sql has its columns, in order") or diag $err;
}

# ---------------------------------------------------------------- what they say

my ($us, $eu) = @{ $proxy->console('SHOW REGIONS') };
is($us->{region}, 'us-east1', 'a region by its name');
is($eu->{region}, 'gcp-europe-west1', 'another, spelled as configured');
is("$us->{nodes} $us->{usable} $us->{drained}", '1 1 f', 'its nodes');
cmp_ok($us->{rtt_ms}, '>', 0, 'its round trip');
my ($node) = @{ $proxy->console('SHOW NODES FULL') };
is($node->{node}, '127.0.0.1:' . $east->port, 'a node by its address');
is("$node->{kind} $node->{role} $node->{state}", 'postgres primary up', 'what it is and how it is');
like($node->{version}, qr/^\d+\.\d+$/, 'its version');
my @users = map { "$_->{user} $_->{privilege} $_->{secret} $_->{source}" } @{ $proxy->console('SHOW USERS') };
is(join(', ', grep { /admin|monitor|alice/ } @users), 'admin admin plain auth_file, alice  plain auth_file, monitor stats plain auth_file',
	'users, without their secrets');
my ($option) = grep { $_->{key} eq 'max_client_conn' } @{ $proxy->console('SHOW CONFIG') };
is($option->{value}, $option->{default}, 'an option and its default');
is($proxy->console('SHOW max_client_conn')->[0]{max_client_conn}, $option->{value}, 'SHOW of one option');
my @sources = map { $_->{source} } @{ $proxy->console('SHOW LOCALITY SOURCES') };
is("@sources[0 .. 6]", 'override startup sni header tlv geoip self', 'sources in their order');
my %memory = map { $_->{item} => $_->{bytes} } @{ $proxy->console('SHOW MEMORY') };
cmp_ok($memory{resident}, '>', 1 << 20, 'memory');
cmp_ok($memory{heap_used}, '>', 1 << 16, 'and what of it is allocated');
is(scalar @{ $proxy->console('SHOW WORKERS') }, 2, 'a row per worker');
like($proxy->console('HELP EXPLAIN')->[0]{command}, qr/^EXPLAIN/, 'HELP with a word');
my $help = sub { return join "\n", map { "$_->{section}: $_->{text}" } @{ $proxy->console($_[0]) } };
like($help->('HELP SHOW SESSIONS'),
	qr{^command: SHOW SESSIONS \[FULL\].*^privilege: stats\n.*^help: one row.*^columns: id bigint, database text.*^with FULL: id bigint, worker}ms, 'HELP of one command');
is($help->("help  show\n sessions full;"), $help->('HELP SHOW SESSIONS'), 'however it is written');
is(() = $help->('HELP OVERRIDE') =~ /^command:/mg, 2, 'HELP of two commands with the same words');
like($help->('HELP SHOW MIGRATION STEPS'), qr/\Acommand: SHOW MIGRATION <migration> STEPS\n(?!.*^command:)/ms, 'HELP by words behind an argument');
my @timeouts = map { $_->{key} } @{ $proxy->console('SHOW TIMEOUTS') };
ok((grep { $_ eq 'client_login_timeout' } @timeouts) && !(grep { $_ eq 'listen' } @timeouts), 'timeouts alone');

# ---------------------------------------------------------------- EXPLAIN

my $route = $proxy->console("EXPLAIN ROUTE CITY 'paris'");
is($route->[0]{verdict}, 'chosen', 'the first row of a route is the chosen one');
is($route->[0]{region}, 'gcp-europe-west1', 'Paris goes to Europe');
is($route->[0]{node}, '127.0.0.1:' . $europe->port, 'to its node');
is($route->[1]{verdict}, 'standby', 'the next is a standby');
cmp_ok($route->[1]{distance_km}, '>', $route->[0]{distance_km}, 'and farther');
is($proxy->console("EXPLAIN ROUTE FOR CITY 'Washington, D.C.'")->[0]{region}, 'us-east1', 'a city of a region');
is($proxy->console("EXPLAIN ROUTE LOCATION '48.85,2.35'")->[0]{region}, 'gcp-europe-west1', 'a location');
is($proxy->console("EXPLAIN ROUTE CITY 'paris' DATABASE movr")->[0]{region}, 'us-east1',
	'a database is served where it is served');
is($proxy->console("EXPLAIN ROUTE CITY 'paris' DATABASE movr")->[1]{verdict}, 'rejected', 'and not elsewhere');
is($proxy->console("EXPLAIN ROUTE CITY 'paris' ACCESS standby")->[0]{verdict}, 'rejected', 'no node is a standby');
my @evidence = @{ $proxy->console("EXPLAIN LOCALITY CITY 'paris'") };
is("$evidence[0]{source} $evidence[0]{won}", 'startup t', 'the claim won');
@evidence = @{ $proxy->console("EXPLAIN LOCALITY CITY 'paris' DATABASE home") };
is("$evidence[0]{source} $evidence[0]{won}", 'startup f', 'but not where residency is strict');
like(($proxy->console_raw("EXPLAIN ROUTE CITY 'paris' DATABASE home"))[2], qr/NOTICE.*did not decide/, 'which is said');

# what is meant is guessed, and said
for my $case (
	[ "FOR 'paris'",             'gcp-europe-west1', "'paris' is taken for a city" ],
	[ "FOR 'paris, FR'",         'gcp-europe-west1', "'paris, FR' is taken for a city" ],
	[ "FOR '48.85,2.35'",        'gcp-europe-west1', "'48.85,2.35' is taken for a location" ],
	[ 'FOR gcp-europe-west1',    'gcp-europe-west1', "'gcp-europe-west1' is taken for a region" ],
	[ "FOR '81.2.69.142'",       'us-east1',         "'81.2.69.142' is taken for an address" ],
	[ '',                        'us-east1',         'this connection is explained: session \d+' ],
	[ "ACCESS any DATABASE movr", 'us-east1',        'this connection is explained: session \d+' ]) {
	my ($for, $region, $notice) = @$case;
	my ($status, $out, $err) = $proxy->console_raw("EXPLAIN ROUTE $for");
	my ($head, $first) = split /\x1e/, $out;
	is((split /\x1f/, $first // '')[1], $region, "EXPLAIN ROUTE $for");
	like($err, qr/NOTICE:  (?:00000: )?$notice$/m, 'and says so');
}
my $mine = sub {
	my ($sql, %connstr) = @_;
	local $ENV{PGPASSWORD} = 'look';
	my ($status, $out, $err) = $proxy->console_raw($sql, connstr => { host => '127.0.0.1', user => 'monitor', %connstr });
	return join "\n", map { join '|', split /\x1f/, $_, -1 } split /\x1e/, $out;
};
like($mine->('EXPLAIN LOCALITY'), qr/^geoip\|address\|127\.0\.0\.1\|t\|/m, 'EXPLAIN LOCALITY of this connection: its address');
like($mine->('EXPLAIN LOCALITY', options => '-c meridian.city=paris'), qr/^startup\|city\|paris\|f\|t\|/m, 'and what it says of itself');
like($mine->('EXPLAIN ROUTE', options => '-c meridian.city=paris'), qr/^1\|gcp-europe-west1\|/m, 'which is where it goes');

# ---------------------------------------------------------------- errors

my %errors = (
	'SHOW REGIONZ'              => qr/42704.*HINT:  Did you mean SHOW REGIONS\?/s,
	'SHWO REGIONS'              => qr/42601.*near "SHWO".*HINT:  Did you mean SHOW REGIONS\?/s,
	'DRAIN us-east1'            => qr/42601.*HINT:  Usage: DRAIN \(REGION <region> \| NODE <node>\)/s,
	'DRAIN REGION mars'         => qr/42704.*region "mars" does not exist/,
	'DRAIN NODE db9:5432'       => qr/42704.*node "db9:5432" does not exist/,
	'KILL SESSION 4711'         => qr/42704.*session 4711 does not exist/,
	'SHOW SESSION 4711'         => qr/42704.*session 4711 does not exist/,
	'SHOW SESSION none'         => qr/22023/,
	'SET max_client_conn = many' => qr/22023.*many/,
	'SET max_cleint_conn = 5'   => qr/42704.*HINT:.*max_client_conn/s,
	"EXPLAIN ROUTE ADDRESS 'x'" => qr/22023/,
	"EXPLAIN ROUTE FOR '81.2.69.300'" => qr/22023.*is no address, location, session.*HINT:  Write FOR/s,
	'EXPLAIN ROUTE FOR 4711'    => qr/42704.*session 4711 does not exist/,
	"SHOW 'x"                   => qr/42601.*unterminated quoted string/,
	'\d'                        => qr/0A000.*no tables or catalogs/,
	'HELP SHOW SESIONS'         => qr/42704.*no command "SHOW SESIONS".*HINT:  Did you mean HELP SHOW SESSIONS\?/s,
	'HELP frobnicate'           => qr/42704.*HINT:  HELP lists the commands/s,
	'SUSPEND'                   => qr/42601/);
for my $sql (sort keys %errors) {
	like($proxy->console_error($sql), $errors{$sql}, "error of $sql");
}
($status, $out, $err) = $proxy->console_raw("SHOW max_lag; SHOW nonsense; SHOW max_lag");
is(() = $out =~ /max_lag/g, 1, 'an error stops the statements behind it');

# ---------------------------------------------------------------- psql

sub psql_script
{
	my ($script, $stop_when) = @_;
	my ($said, $errors) = ('', '');
	my $h = IPC::Run::start([ 'psql', '-XAq', '-d', $proxy->connstr('meridian', host => $proxy->socket_dir) ],
		'<', \$script, '>', \$said, '2>', \$errors,
		my $limit = run_limit(30));
	if ($stop_when) {
		$h->pump until $said =~ $stop_when;
		$h->kill_kill;
	} else {
		$h->finish;
	}
	return $said . $errors;
}

like(psql_script("\\x\nSHOW USERS;"), qr/^user\|admin$/m, '\x');
like(psql_script("SHOW USERS \\gx"), qr/^user\|admin$/m, '\gx');
like(psql_script("SHOW VERSION \\gset\n\\echo :version\n"), qr/^Meridian \d/m, '\gset');
like(psql_script("SHOW OVERRIDES \\watch 0.05\n", qr/until.*until.*until/s), qr/kind\|value/, '\watch');
like(psql_script("SELECT 1;\nBEGIN;\nSHOW max_lag;\nCOMMIT;\nSHOW server_version;"), qr/Meridian/, 'as if it were a server');
my $catalog = psql_script(join "\n", '\d', '\dt', '\l', '\du', '\df',
	q(SELECT pg_catalog.quote_ident(c.relname) FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'S') LIMIT 1000;), 'SHOW USERS;');
is(() = $catalog =~ /no tables or catalogs/g, 6, 'what psql asks of catalogs, for \d and for the tab key, is refused by its name');
like($catalog, qr/^admin\|/m, 'and the connection stays');
unlike(psql_script("\\conninfo\nSHOW USERS;"), qr/server version|Some psql features/, 'psql has no complaint');

# ---------------------------------------------------------------- changes

is($proxy->console_error('SET max_client_conn = 77'), '', 'SET');
is($proxy->console('SHOW max_client_conn')->[0]{max_client_conn}, 77, 'takes effect');
is($proxy->console_error('RELOAD'), '', 'RELOAD');
is($proxy->console('SHOW max_client_conn')->[0]{max_client_conn}, $option->{value}, 'takes it back');
PostgreSQL::Test::Utils::append_to_file($proxy->conf_file, "[nonsense]\n");
like($proxy->console_error('RELOAD'), qr/meridian\.conf:\d+.*nonsense/, 'RELOAD of a wrong file says where');
is(scalar @{ $proxy->console('SHOW REGIONS') }, 2, 'and the old configuration stays');
$proxy->stop;
done_testing();
