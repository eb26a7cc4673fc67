#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# auth_query: users whom auth_file does not have; as which role and with which search_path they are
# looked up; how long an answer is kept, and what a changed password does; logins that share one
# question; nodes that do not answer; answers that are none; SHOW USERS.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP ();
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my ($east, $west) = regional_clusters('us-east1', { tls => 1 }, 'europe-west1');
my %password = (alice => 'wonder', mary => 'lamb', erin => 'late', nora => 'night', paul => 'plain', zoe => 'zebra');
for my $node ($east, $west) {
	$node->safe_psql('postgres', <<'SQL');
SET password_encryption = 'scram-sha-256';
CREATE ROLE alice LOGIN PASSWORD 'wonder';
CREATE ROLE erin LOGIN PASSWORD 'late' VALID UNTIL '2001-01-01';
CREATE ROLE nora NOLOGIN PASSWORD 'night';
CREATE ROLE tom LOGIN;
CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'boss';
CREATE ROLE auth LOGIN PASSWORD 'asks';
ALTER ROLE auth SET search_path = evil;
CREATE ROLE paul LOGIN PASSWORD 'plain';
CREATE ROLE zoe LOGIN PASSWORD 'zebra';
SET password_encryption = 'md5';
CREATE ROLE mary LOGIN PASSWORD 'lamb';
CREATE DATABASE other;
CREATE SCHEMA auth;
GRANT USAGE ON SCHEMA auth TO auth;
CREATE TABLE auth.asked (name text, path text, role text, application text);
CREATE TABLE auth.odd (name text, secret text);
INSERT INTO auth.odd VALUES ('paul', 'plain'), ('two', 'a'), ('two', 'b'), ('ghost', NULL), ('broken', 'SCRAM-SHA-256$sesame');
-- who asks what is written down; the sleeper takes its time
CREATE FUNCTION auth.lookup(IN who text, OUT name text, OUT secret text) LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO auth.asked VALUES (who, current_setting('search_path'), session_user, current_setting('application_name'));
	IF who LIKE 'sleeper%' THEN PERFORM pg_sleep(0.7); END IF;
	IF who LIKE 'stuck%' THEN PERFORM pg_sleep(60); END IF;
	SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END INTO name, secret
		FROM pg_catalog.pg_authid WHERE rolname = who AND rolcanlogin;
END $$;
REVOKE ALL ON FUNCTION auth.lookup(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION auth.lookup(text) TO auth;
GRANT SELECT ON auth.odd TO auth;
-- what a client would like to be asked instead
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE TABLE evil.pg_authid AS SELECT 'alice'::name AS rolname, true AS rolcanlogin, 'hacked'::text AS rolpassword, null::timestamptz AS rolvaliduntil;
GRANT SELECT ON evil.pg_authid TO PUBLIC;
SQL
	my $hba = $node->data_dir . '/pg_hba.conf';
	unlink $hba;
	PostgreSQL::Test::Utils::append_to_file($hba,
		"local all all trust\nhost all tom 127.0.0.1/32 trust\nhost all mary 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 scram-sha-256\n");
	$node->reload;
}

my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, qq("admin" "adminpw"\n"auth" "asks"\n"monitor" "monpw"\n));
chmod 0600, $users;
my $hba_file = PostgreSQL::Test::Utils::tempdir() . '/hba.conf';
PostgreSQL::Test::Utils::append_to_file($hba_file, "host all zoe all reject\nhost all all 127.0.0.0/8 scram-sha-256\n");
my $cert = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');
my $road = Meridian::Test::Delay->new($east);
my $lookup = 'SELECT * FROM auth.lookup($1)';
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => '127.0.0.1:' . $road->port, 'europe-west1' => $west ],
	set => { auth => 'scram-sha-256', auth_file => $users, auth_conninfo => 'user=auth', auth_query => $lookup,
		region => 'us-east1', admin_users => 'admin', stats_users => 'monitor', auth_throttle_base => 0,
		# time: a node that does not answer a question is left after server_connect_timeout
		server_connect_timeout => '3s', http => 'on', hba_file => $hba_file, tls_cert_file => $cert->{cert},
		tls_key_file => $cert->{key}, probe_conninfo => 'user=tom dbname=postgres' },
	conf => <<'CONF');
[database other]
auth_dbname = postgres
[database odd]
dbname = postgres
auth_query = SELECT name, secret FROM auth.odd WHERE name = $1
[database narrow]
dbname = postgres
auth_query = SELECT secret FROM auth.odd WHERE name = $1
[database wrong]
dbname = postgres
auth_query = SELECT 'alice', secret FROM auth.odd WHERE 'paul' <> $1
[database denied]
dbname = postgres
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
[database md5]
dbname = postgres
auth = md5
[database relayed]
dbname = postgres
auth = passthrough
[database listed]
dbname = postgres
auth = hba
[database trusting]
dbname = postgres
auth = trust
[database pooled]
dbname = postgres
pool = transaction
CONF
delete @ENV{qw(PGPASSWORD PGUSER PGAPPNAME)};
$proxy->start;

sub conn
{
	my ($user, $database, %more) = @_;
	return $proxy->connstr($database, user => $user, password => $password{$user} // '', sslmode => 'disable',
		options => Meridian::Test::Proxy::from_options(region => 'us-east1'), %more);
}

# The error that a login gets; '' where it is let in.
sub attempt
{
	my ($user, $database, $password, %more) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	my @m = $w->login(user => $user, database => $database, password => $password // $password{$user},
		'meridian.region' => 'us-east1', %more);
	return $m[-1][0] eq 'E' ? error_fields($m[-1])->{C} : '';
}

sub asked
{
	my ($user, $node) = @_;
	return ($node // $east)->safe_psql('postgres', "SELECT count(*) FROM auth.asked WHERE name = '$user'");
}

# ---------------------------------------------------------------- who gets in

is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn('alice', 'postgres')), 'alice', 'a SCRAM verifier');
is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn('mary', 'md5')), 'mary', 'an md5 hash, for md5');
is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn('paul', 'odd')), 'paul', 'plain text of a table of one\'s own');
is(attempt('alice', 'postgres', 'wrong'), '28P01', 'a wrong password');
is(attempt('nobody', 'postgres', 'x'),    '28P01', 'nobody');
is(attempt('erin', 'postgres'),           '28P01', 'VALID UNTIL has passed');
is(attempt('nora', 'postgres'),           '28P01', 'a role that may not log in');
is(attempt('tom', 'postgres', ''),        '28P01', 'a role without a password');
is(attempt('mary', 'postgres'),           '28P01', 'an md5 hash, for SCRAM');
is(attempt('ghost', 'odd', ''),           '28P01', 'a row without a secret');
is(attempt('x' x 500, 'postgres', 'x'),   '28P01', 'a name without end');
is(attempt("a'; DROP TABLE auth.asked; --", 'postgres', 'x'), '28P01', 'a name that would like to be SQL');
is(attempt('admin', 'postgres', 'adminpw'), '28P01', 'a user of auth_file whom the node does not know: the node says so');
is(asked('admin'), 0, 'and auth_query was not asked');

# ---------------------------------------------------------------- by other ways

is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn('alice', 'listed')), 'alice', 'hba_file says how');
is(attempt('zoe', 'listed'), '28000', 'or that not');
is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn('alice', 'pooled')), 'alice', 'a pool');
ok($proxy->wait_console('SHOW USERS', sub { grep { $_->{user} eq 'alice' && "$_->{sessions} $_->{server_connections}" eq '0 1' } @{ $_[0] } }),
	'whose connection SHOW USERS counts as hers');
is($proxy->safe_psql('postgres', 'SELECT current_user', connstr => conn('mary', 'trusting', password => 'no matter')), 'mary',
	'trust: what auth_query tells serves at the node');
my $http = HTTP::Tiny->new(timeout => patience(20));
sub rows_by_http
{
	my ($user, $password) = @_;
	my $a = $http->post('http://127.0.0.1:' . $proxy->port . '/sql',
		{ headers => { 'Neon-Connection-String' => "postgresql://$user:$password\@h/postgres?options=-c%20meridian.region%3Dus-east1" },
			content => '{"query":"SELECT current_user"}' });
	my $json = JSON::PP::decode_json($a->{content});
	return $a->{status} == 200 ? $json->{rows}[0]{current_user} : $json->{code};
}
my $asked = asked('zoe');
is(rows_by_http('zoe', 'zebra'), 'zoe', 'POST /sql');
is(rows_by_http('zoe', 'wrong'), '28P01', 'with a wrong password');
is(rows_by_http('zoe', 'zebra'), 'zoe', 'on the same connection');
is(asked('zoe') - $asked, 1, 'and one question');
$asked = asked('zoe');
is($proxy->safe_psql('postgres', 'SELECT current_user',
		connstr => conn('alice', 'relayed', sslmode => 'require', channel_binding => 'require')),
	'alice', 'passthrough with a channel that is bound to our certificate: auth_query knows the verifier');
my (undef, undef, $err) = $proxy->psql('postgres', 'SELECT 1',
	connstr => conn('alice', 'relayed', sslmode => 'require', channel_binding => 'require', password => 'wrong'));
like($err, qr/password authentication failed for user "alice"/, 'and a wrong password is one');

# ---------------------------------------------------------------- how it is asked

is($east->safe_psql('postgres', 'SELECT DISTINCT path, role, application FROM auth.asked'), '|auth|meridian auth_query',
	'as the role of auth_conninfo, with an empty search_path');
$proxy->reload(set => { auth_conninfo => 'user=boss password=boss', auth_query => undef });
is(attempt('alice', 'postgres', 'wonder', options => '-c search_path=evil', search_path => 'evil'), '',
	'the default query; what the client says of search_path is nothing to it');
is(attempt('alice', 'postgres', 'hacked', options => '-c search_path=evil'), '28P01', 'nor does its table count');
is(attempt('erin', 'postgres'), '28P01', 'the default query honours VALID UNTIL');
is(attempt('nora', 'postgres'), '28P01', 'and NOLOGIN');
is($proxy->safe_psql('postgres', 'SELECT current_database()', connstr => conn('zoe', 'other')), 'other', 'another database');
is(asked('zoe'), $asked, 'asks as [meridian] says');
$proxy->reload(set => { auth_conninfo => 'user=auth', auth_query => $lookup });
is(attempt('zoe', 'other'), '', 'a query that is new');
is(asked('zoe'), $asked + 1, 'is asked, whatever the old one has told');
like($east->safe_psql('postgres', "SELECT string_agg(DISTINCT datname, ',') FROM pg_stat_activity WHERE application_name = 'meridian auth_query'"),
	qr/^postgres$/, 'auth_dbname says where');

# ---------------------------------------------------------------- answers that are kept

$_->safe_psql('postgres', "CREATE ROLE five LOGIN PASSWORD '5'") for $east, $west;
is(attempt('five', 'postgres', '5'), '', 'a login') for 1 .. 5;
is(asked('five'), 1, 'five logins, one question');
my ($before, $since) = (asked('nobody'), time);
attempt('nobody', 'postgres', 'x') for 1 .. 5;
ok(asked('nobody') - $before <= 1 + passed($since), 'nobody is remembered too');
is(attempt('alice', 'postgres'), '', 'an answer that is kept');
outlast(1, 'the second in which an answer is not asked for again');
$_->safe_psql('postgres', "ALTER ROLE alice PASSWORD 'changed'") for $east, $west;
$before = asked('alice');
is(attempt('alice', 'postgres', 'changed'), '28P01', 'a changed password: the first login is held against the old one');
wait_until(sub { asked('alice') > $before }) or fail('it was not asked anew');
is(attempt('alice', 'postgres', 'changed'), '', 'the next one gets in');
is(attempt('alice', 'postgres', 'wonder'), '28P01', 'and the old password does not');
$password{alice} = 'changed';
($before, $since) = (asked('alice'), time);
attempt('alice', 'postgres', 'wrong') for 1 .. 5;
ok(asked('alice') - $before <= 2 + passed($since), 'wrong passwords do not become as many questions');
$_->safe_psql('postgres', "ALTER ROLE alice PASSWORD 'again'") for $east, $west;
$proxy->reload;
is(attempt('alice', 'postgres', 'again'), '', 'a reload forgets what was told');
$password{alice} = 'again';
is(attempt('newbie', 'postgres', 'n'), '28P01', 'a user who is not there yet');
$_->safe_psql('postgres', "CREATE ROLE newbie LOGIN PASSWORD 'n'") for $east, $west;
ok(wait_until(sub { attempt('newbie', 'postgres', 'n') eq '' }), 'gets in soon after it was created');
$proxy->reload(set => { auth_cache_ttl => 0 });
$before = asked('alice');
is(attempt('alice', 'postgres'), '', 'auth_cache_ttl = 0') for 1 .. 3;
is(asked('alice') - $before, 3, 'each login asks');
# The salt of a password in clear, as that of nobody, is the same whenever it was asked for.
sub salt
{
	my ($user) = @_;
	my $w = Meridian::Test::Wire->new($proxy);
	$w->login(user => $user, database => 'odd', password => 'x', 'meridian.region' => 'us-east1');
	return $w->{challenge} =~ /,s=([^,]+)/ ? $1 : '';
}
is(salt($_), salt($_), "$_: each time the same salt") for qw(paul nobody);
$proxy->reload(set => { auth_cache_ttl => NEVER });

# ---------------------------------------------------------------- many at once

$_->safe_psql('postgres', "CREATE ROLE sleeper LOGIN PASSWORD 's'") for $east, $west;
my @crowd = map { Meridian::Test::Wire->new($proxy) } 1 .. 40;
$_->send(startup(user => 'sleeper', database => 'postgres', 'meridian.region' => 'us-east1')) for @crowd;
is((grep { my $m = $_->message; $m->[0] eq 'R' && unpack('N', $m->[1]) == 10 } @crowd), 40, 'forty logins of one user are answered');
is(asked('sleeper'), 1, 'by one question');
undef @crowd;
$_->safe_psql('postgres', join ';', map { "CREATE ROLE sleeper$_ LOGIN PASSWORD 's'" } 1 .. 5) for $east, $west;
my $began = time;
@crowd = map { Meridian::Test::Wire->new($proxy) } 1 .. 3;
$_->send(startup(user => 'sleeper1', database => 'postgres', 'meridian.region' => 'us-east1')) for @crowd;
$_->close for splice @crowd, 0, 2;
is($crowd[0]->message->[0], 'R', 'who waits is answered though others have left');
@crowd = ();

# ---------------------------------------------------------------- connections that break

is($east->safe_psql('postgres', "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'meridian auth_query'") > 0,
	1, 'the node ends the connections of auth_query');
is(attempt('sleeper2', 'postgres', 's'), '', 'the next login makes a new one');
my $from = -s $proxy->logfile;
$road->hang;
$began = time;
is(attempt('sleeper3', 'postgres', 's'), '', 'a node that hangs: the next one of the route is asked');
in_time($began, 30, 'in time');
is(asked('sleeper3', $west), 1, 'in the other region');
$road->pass;
$proxy->wait_console('SHOW NODES FULL', sub { !grep { $_->{state} ne 'up' } @{ $_[0] } });
$began = time;
is(attempt('stuck', 'postgres', 's'), '08006', 'a query that does not end, at any node');
in_time($began, 30, 'is given up');
my $slow = Meridian::Test::Wire->new($proxy);
$slow->send(startup(user => 'stuck', database => 'postgres', 'meridian.region' => 'us-east1'));
$_->safe_psql('postgres', "CREATE ROLE behind LOGIN PASSWORD 'b'") for $east, $west;
ok(wait_until(sub { $east->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") > 1 }), 'while one waits');
is(attempt('behind', 'postgres', 'b'), '', 'the question behind it is answered');
is(asked('behind'), 1, 'by the same node');
is(asked('behind', $west), 0, 'and no other');
undef $slow;
# which one comes first is the route's affair: the worker may hear later than the console that a node is up again
my ($first, $second) = map { qr/$_ [^ ]+: no answer within 3000 ms/ } 'us-east1', 'europe-west1';
$proxy->log_like(qr/auth_query: (?:$first; $second|$second; $first)/, 'and the log says who was asked', $from);

# Others who come all the while do not make it longer.
$slow = Meridian::Test::Wire->new($proxy);
$slow->send(startup(user => 'stuck once', database => 'postgres', 'meridian.region' => 'us-east1'));
$began = time;
my $later = 0;
my $d = deadline(40, 'it to be given up');
until (!$slow->silent || $d->over) {
	Meridian::Test::Wire->new($proxy)->send(startup(user => 'later' . $later++, database => 'postgres', 'meridian.region' => 'us-east1'));
}
cmp_ok($later, '>', 4, "while one waits, $later others come");
in_time($began, 40, 'it does not wait any longer for that');
is(error_fields($slow->message)->{C}, '08006', 'and it is given up');
undef $slow;

# ---------------------------------------------------------------- answers that are none

for my $case ([ narrow => 'paul', qr/must answer with two columns/ ], [ odd => 'two', qr/more than one row/ ],
	[ odd => 'broken', qr/auth_query: us-east1 .*: / ], [ wrong => 'zoe', qr/more than one row/ ],
	[ denied => 'paul', qr/permission denied for table pg_authid/ ]) {
	my ($database, $user, $log) = @$case;
	$from = -s $proxy->logfile;
	is(attempt($user, $database, 'x'), '08006', "$database, $user: no answer");
	$proxy->log_like($log, 'the log says why', $from);
}
for my $node ($east, $west) { $node->safe_psql('postgres', "DELETE FROM auth.odd WHERE name <> 'paul'") }
$from = -s $proxy->logfile;
is(attempt('zoe', 'wrong', 'plain'), '08006', 'an answer about somebody else');
$proxy->log_like(qr/another user than it was asked for/, 'is none', $from);
is(attempt('alice', 'postgres'), '', 'the questions of others');
is(attempt('paul', 'odd'), '', 'are none the worse');

# ---------------------------------------------------------------- SHOW USERS

my $w = Meridian::Test::Wire->new($proxy);
$w->login(user => 'paul', database => 'odd', password => 'plain');
my %row = map { $_->{user} => $_ } @{ $proxy->console('SHOW USERS') };
is_deeply([ @{ $row{paul} }{qw(source secret sessions server_connections)} ], [ 'auth_query', 'plain', 1, 1 ], 'SHOW USERS: told by auth_query');
is_deeply([ @{ $row{alice} }{qw(source secret sessions)} ], [ 'auth_query', 'scram-sha-256', 0 ], 'a verifier');
is_deeply([ @{ $row{admin} }{qw(source secret sessions throttled_until)} ], [ 'auth_file', 'plain', 0, '' ], 'of auth_file');
unlike($_->console_raw('SHOW USERS') . '', qr/SCRAM-SHA-256|md5[0-9a-f]{32}|plain text/, 'no secret') for $proxy;
$proxy->log_unlike(qr/SCRAM-SHA-256\$4096|md5[0-9a-f]{32}|wonder|sesame|'asks'/, 'nor in the log');
$w->send(terminate);
my %stats = map { $_->{counter} => $_->{value} } @{ $proxy->console('SHOW STATS') };
cmp_ok($stats{auth_queries}, '>', 10, 'SHOW STATS counts questions');
cmp_ok($stats{auth_query_failures}, '>=', 6, 'and those that failed');

# ---------------------------------------------------------------- the end

$w = Meridian::Test::Wire->new($proxy);
# Nobody has asked for this one before: it has no answer to come to.
$w->send(startup(user => 'stuck too', database => 'postgres', 'meridian.region' => 'us-east1'));
ok($w->silent, 'a login that waits');
$proxy->stop(signal => 'QUIT');
$road->stop;
done_testing();
