#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# POST /sql: statements over HTTP, single and as a batch, their answers and their errors; who may
# ask; where a request lands; limits; callers that leave.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP ();
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Measure qw(cpu_ticks measured peak_kb peak_reset distorted stand_still);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my %users = (users => { alice => 'wo nder/ü' });
my ($east, $west) = regional_clusters('us-east1', {%users}, 'europe-west1', {%users});
for my $node ($east, $west) {
	my $hba = PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/pg_hba.conf');
	open my $out, '>', $node->data_dir . '/pg_hba.conf' or die;
	print $out "host all mary 127.0.0.1/32 md5\nhost all paul 127.0.0.1/32 password\nhost all tom 127.0.0.1/32 trust\n$hba";
	close $out;
	$node->reload;
	$node->safe_psql('postgres', "SET password_encryption = 'md5'; CREATE ROLE mary LOGIN PASSWORD 'lamb';"
		. "SET password_encryption = 'scram-sha-256'; CREATE ROLE paul LOGIN PASSWORD 'plain'; CREATE ROLE tom LOGIN;"
		. "CREATE TABLE t (a int PRIMARY KEY, b text); GRANT ALL ON t TO PUBLIC");
}
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east, 'europe-west1' => { nodes => $west, cities => 'paris' } ],
	set => { http => 'on', region => 'us-east1', trusted_proxies => '127.0.0.0/8', workers => 2, sni_suffix => 'db.example' });
$proxy->start;
my $base = 'http://127.0.0.1:' . $proxy->port;
my $alice = 'postgresql://alice:wo%20nder%2F%C3%BC@db.example/postgres';
my $http = HTTP::Tiny->new(timeout => patience(20));
my $json = JSON::PP->new->utf8->canonical->allow_nonref;

# Ask: the answer of HTTP::Tiny, with `json` what its body says, where that is not very long.
sub ask
{
	my ($body, %opt) = @_;
	my %headers = ('Neon-Connection-String' => $opt{uri} // $alice, 'Neon-Raw-Text-Output' => 'true',
		'Neon-Array-Mode' => 'true', %{ $opt{headers} || {} });
	delete @headers{ grep { !defined $headers{$_} } keys %headers };
	my $a = ($opt{http} || $http)->request('POST', ($opt{base} || $base) . '/sql',
		{ headers => { 'content-type' => 'text/plain;charset=UTF-8', %headers },
			content => ref $body ? $json->encode($body) : $body });
	$a->{json} = eval { $json->decode($a->{content}) } if length $a->{content} < 1_000_000;
	return $a;
}

sub query_of { my ($sql, @params) = @_; return { query => $sql, params => [@params] } }
sub rows_of  { my $a = ask(query_of(@_)); return $a->{status} == 200 ? $a->{json}{rows} : $a->{content} }

# ---------------------------------------------------------------- one statement

my $a = ask(query_of('select $1::int as a, $2::text as b, $3::bytea as c, $4::text as d', '1', "\x{e9}", '\\x00ff', undef));
is($a->{status}, 200, 'a query');
is($a->{headers}{'content-type'}, 'application/json', 'is answered in JSON');
is($a->{headers}{'access-control-allow-origin'}, '*', 'for whatever page');
is_deeply($a->{json}{rows}, [ [ '1', "\x{e9}", '\x00ff', undef ] ], 'rows');
is_deeply($a->{json}{fields}[0],
	{ name => 'a', tableID => 0, columnID => 0, dataTypeID => 23, dataTypeSize => 4, dataTypeModifier => -1, format => 'text' },
	'fields');
is_deeply([ @{ $a->{json} }{qw(command rowCount rowAsArray)} ], [ 'SELECT', 1, JSON::PP::true ], 'and what was done');
is_deeply(rows_of('select generate_series(1, 3)'), [ [1], [2], [3] ], 'several rows');
is_deeply(rows_of('select $1::int[]', [ 1, undef, 3 ]), [ ['{1,NULL,3}'] ], 'an array as a parameter');
is_deeply(rows_of('select $1::jsonb', { a => [ 1, 'x"' ] }), [ ['{"a": [1, "x\\""]}'] ], 'an object as a parameter');
$a = ask(query_of('insert into t values (1, $1), (2, null)', 'x'));
is_deeply([ @{ $a->{json} }{qw(command rowCount rows fields)} ], [ 'INSERT', 2, [], [] ], 'a command without rows');
is(ask(query_of(''))->{json}{command}, '', 'nothing at all');
$a = ask(query_of('select 1 as a, true as b, 2.5::float8 as c, \'{"x":1}\'::jsonb as d, 10::int8 as e, \'{t,f}\'::bool[] as f'),
	headers => { 'Neon-Raw-Text-Output' => undef, 'Neon-Array-Mode' => undef });
is_deeply($a->{json}{rows}, [ { a => 1, b => JSON::PP::true, c => 2.5, d => { x => 1 }, e => '10', f => [ JSON::PP::true, JSON::PP::false ] } ],
	'rows as objects, values as JSON');

# ---------------------------------------------------------------- errors

$a = ask(query_of('select 1/0'));
is($a->{status}, 400, 'an error of the node');
is_deeply([ @{ $a->{json} }{qw(code severity message)} ], [ '22012', 'ERROR', 'division by zero' ], 'in its own words');
$a = ask(query_of('selec'));
is($a->{json}{position}, '1', 'with its position, as text');
is($a->{json}{detail}, undef, 'and null for what it has not said');
is(ask(query_of('insert into t values (1)'))->{json}{constraint}, 't_pkey', 'the constraint');
is(ask(query_of('select 1; select 2'))->{json}{code}, '42601', 'two statements in one');
is(ask(query_of('select $1::int', 'x'))->{json}{code}, '22P02', 'a parameter that does not fit');
is(ask(query_of('select $1::int, $2::int', '1'))->{json}{code}, '08P01', 'a parameter too few');
for my $copy ('copy t to stdout', 'copy t from stdin') {
	$a = ask(query_of($copy));
	is_deeply([ $a->{status}, $a->{json}{code} ], [ 400, '0A000' ], $copy);
}
is(ask('{"query":')->{json}{code}, '22P02', 'a body that is no JSON');
is(ask('{"sql":"select 1"}')->{json}{code}, '22023', 'a body that is no request');
is(ask(query_of('select 1'), headers => { 'Neon-Connection-String' => undef })->{json}{message},
	'missing Neon-Connection-String', 'nobody');
is(ask(query_of('select 1'), headers => { Authorization => 'Bearer x' })->{json}{code}, '0A000', 'a token');
is(ask(query_of('select 1'), uri => 'postgresql://h/d')->{json}{code}, '08001', 'a connection string without a user');
is(ask(query_of('select 1'), uri => 'postgresql://alice:no@h/postgres')->{json}{code}, '28P01', 'a wrong password');
is(ask(query_of('select 1'), uri => 'postgresql://tom@h/nowhere')->{json}{code}, '3D000', 'no such database');
is(ask(query_of('select 1'), uri => 'postgresql://admin@h/meridian')->{json}{code}, '0A000', 'the console');
is(ask(query_of('select 1'), uri => 'postgresql://tom@h/postgres?options=-c%20meridian.nonsense%3D1')->{json}{code}, '42704',
	'a wrong setting');
is(ask(query_of('select 1'), uri => 'postgresql://tom@h/' . 'x' x 12000)->{json}{code}, '08001', 'a connection string without end');
is(ask(query_of('begin'))->{status}, 200, 'a transaction that nobody ends');
is(ask(query_of("select pg_terminate_backend(pg_backend_pid())"))->{json}{code}, '57P01', 'a node that ends it');
is_deeply(rows_of('select 1'), [ ['1'] ], 'and all goes on');
is($http->request('GET', "$base/sql")->{status}, 405, 'GET');
$a = $http->request('OPTIONS', "$base/sql");
is($a->{status}, 200, 'OPTIONS');
like($a->{headers}{'access-control-allow-headers'}, qr/Neon-Connection-String/, 'says what a page may send');

# ---------------------------------------------------------------- how the node wants to be told

for my $case ([ mary => 'lamb' ], [ paul => 'plain' ], [ tom => '' ]) {
	my ($user, $password) = @$case;
	$a = ask(query_of('select current_user'), uri => "postgresql://$user:$password\@h/postgres");
	is_deeply($a->{json}{rows}, [ [$user] ], "$user logs in");
	next if $password eq '';
	$a = ask(query_of('select current_user'), uri => "postgresql://$user:no\@h/postgres");
	is($a->{json}{code}, '28P01', "$user does not, with a wrong password");
}

# ---------------------------------------------------------------- batches

sub batch { return { queries => [ map { query_of(ref $_ ? @$_ : $_) } @_ ] } }

$a = ask(batch('select 1', [ 'select $1::text', 'x' ], 'delete from t'));
is_deeply([ map { $_->{rows} } @{ $a->{json}{results} } ], [ [ ['1'] ], [ ['x'] ], [] ], 'a batch');
$a = ask(batch("insert into t values (7, 'x')", 'select 1/0', "insert into t values (8, 'y')"));
is_deeply([ $a->{status}, $a->{json}{code} ], [ 400, '22012' ], 'a batch with an error');
is_deeply(rows_of('select count(*) from t'), [ ['0'] ], 'has done nothing');
$a = ask(batch("select repeat('x', 300) from generate_series(1, 20000)", 'select 1/0'));
is_deeply([ $a->{status}, $a->{json}{code} ], [ 400, '22012' ], 'an error behind many rows');
is_deeply(ask({ queries => [] })->{json}, { results => [] }, 'an empty batch');
$a = ask(batch("select current_setting('transaction_isolation')", "select current_setting('transaction_read_only')",
		"select current_setting('transaction_deferrable')"),
	headers => { 'Neon-Batch-Isolation-Level' => 'Serializable', 'Neon-Batch-Read-Only' => 'true', 'Neon-Batch-Deferrable' => 'true' });
is_deeply([ map { $_->{rows}[0][0] } @{ $a->{json}{results} } ], [ 'serializable', 'on', 'on' ], 'isolation, read-only, deferrable');
is($a->{headers}{'neon-batch-isolation-level'}, 'Serializable', 'and the headers come back');
is(ask(batch('select 1'), headers => { 'Neon-Batch-Isolation-Level' => 'Chaos' })->{json}{code}, '22023', 'an isolation that there is not');
is(ask(batch('insert into t values (1)'), headers => { 'Neon-Batch-Read-Only' => 'true' })->{json}{code}, '25006', 'read only');
ask(batch('create table p (a int)', 'create table c (a int unique deferrable initially deferred)', 'insert into c values (1)'), uri => $alice);
$a = ask(batch('select 1', 'select 2', 'rollback', 'select 3'));
is($a->{status}, 200, 'a batch that ends its own transaction');
$a = ask({ queries => [ { query => 'select 1 as a', arrayMode => JSON::PP::false }, { query => 'select 1 as a' } ] });
is_deeply([ map { $_->{rows} } @{ $a->{json}{results} } ], [ [ { a => '1' } ], [ ['1'] ] ], 'each query may say how it wants its rows');

# ---------------------------------------------------------------- where it lands

my $where = "select current_setting('cluster_name'), current_setting('meridian.city', true)";
is(ask(query_of($where))->{json}{rows}[0][0], 'us-east1', 'from nowhere');
is(ask(query_of($where), headers => { 'X-City' => 'Paris' })->{json}{rows}[0][0], 'europe-west1', 'a header of a load balancer');
is(ask(query_of($where))->{json}{rows}[0][0], 'us-east1', 'which counts for one request');
is(ask(query_of($where), uri => "$alice?options=-c%20meridian.city%3Dparis")->{json}{rows}[0][0], 'europe-west1', 'the connection string');

# ---------------------------------------------------------------- large, many, slow

$a = ask(query_of(q{select repeat('ab"\\', 2500000)}));
like($a->{content}, qr/"rows":\[\["(?:ab\\"\\\\)+"\]\]/, 'a row of 10 MB');
cmp_ok(length $a->{content}, '>', 15_000_000, 'is there, every byte');
my $long = 'x' x 9_000_000;
is(ask(qq({"query":"select length(\$1)","params":["$long"]}))->{json}{rows}[0][0], '9000000', 'a parameter of 9 MB');
is(ask(qq({"query":"select length(\$1)","params":["$long$long"]}))->{status}, 413, 'a body beyond http_max_body');

# Whatever it is made of: no more than a small multiple of its bytes, in memory and in time, before it is
# refused or on its way. Workers serve others meanwhile.
sub cost_of
{
	my ($text) = @_;
	peak_reset($proxy->pid);
	my ($memory, $ticks) = (peak_kb($proxy->pid), cpu_ticks($proxy->pid));
	my $answer = ask($text);
	return ($answer, peak_kb($proxy->pid) - $memory, cpu_ticks($proxy->pid) - $ticks);
}

sub filled { my ($head, $again, $tail) = @_; return $head . $again x ((9_900_000 - length $head) / length $again) . $tail }
# Of five that are one string: how fast this machine is, and more than a tick or two of the clock.
my $plain = 0;
$plain += (cost_of(filled('{"query":"select length($1)","params":["', 'x', '"]}')))[2] for 1 .. 5;
my $params = '{"query":"select length($1)","params":[';
for my $case (
	[ 'an array of objects',  filled($params . '[{}', ',{}', ']]}'), [ 200, undef ] ],
	[ 'an array of numbers',  filled($params . '[1.5', ',1.5', ']]}'), [ 200, undef ] ],
	[ 'too many parameters',  filled($params . '{}', ',{}', ']}'), [ 400, '22023' ] ],
	[ 'too many queries',     filled('{"queries":[{"query":""}', ',{"query":""}', ']}'), [ 400, '22023' ] ],
	[ 'brackets without end', filled($params, '[', ''), [ 400, '22P02' ] ],
  ) {
	my ($name, $text, $want) = @$case;
	my ($answer, $kb, $ticks) = cost_of($text);
	is_deeply([ $answer->{status}, $answer->{json}{code} ], $want, "10 MB, $name");
	measured('%s: %d kB, %d ms; one string: %d ms', $name, $kb, 10 * $ticks, 2 * $plain);
	next if distorted();
	cmp_ok($kb, '<', 80_000, '... in eight times its memory at most');
	cmp_ok($ticks, '<=', 4 * $plain + 5, '... and in the time of its bytes');    # a tree takes 60 ticks where $plain is 8
}
is(() = ask(query_of('select generate_series(1, 100000)'))->{content} =~ /\["\d+"\]/g, 100_000, '100,000 rows');
$proxy->reload(set => { sql_max_response => '1MB' });
for my $sql ("select repeat('x', 2000000)", 'select generate_series(1, 1000000)') {
	$a = ask(query_of($sql));
	is_deeply([ $a->{status}, $a->{json}{code} ], [ 507, '54000' ], "beyond sql_max_response: $sql");
}
$proxy->reload(set => { query_timeout => '1s' });    # time: query_timeout ends the query
$a = ask(query_of('select pg_sleep(30)'));
is_deeply([ $a->{status}, $a->{json}{code} ], [ 400, '57014' ], 'query_timeout');
$proxy->reload(set => { query_timeout => 0 });

sub activity { return $east->safe_psql('postgres', "select count(*) from pg_stat_activity where usename = 'alice' $_[0]") }
ok($east->poll_query_until('postgres', "select count(*) = 0 from pg_stat_activity where usename = 'alice'"), 'nothing is left on the node');

my $body = $json->encode(query_of('select pg_sleep(60)'));
my $request = sub {
	my ($b, %more) = @_;
	return "POST /sql HTTP/1.1\r\nHost: h\r\nNeon-Connection-String: $alice\r\nContent-Length: " . length($b) . "\r\n"
	  . join('', map { "$_: $more{$_}\r\n" } keys %more) . "\r\n$b";
};
my $w = Meridian::Test::Wire->new($proxy);
$w->send($request->($body));
ok($east->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity where usename = 'alice' and state = 'active'"), 'a query runs');
my ($shown) = grep { $_->{user} eq 'alice' } @{ $proxy->console('SHOW SESSIONS FULL') };
is_deeply([ @$shown{qw(state home database transport)} ], [ 'active', 'us-east1', 'postgres', 'sql' ], 'SHOW SESSIONS shows it');
undef $w;
ok($east->poll_query_until('postgres', "select count(*) = 0 from pg_stat_activity where usename = 'alice'"), 'it is cancelled when its caller leaves');

$w = Meridian::Test::Wire->new($proxy);
$w->send($request->($body));
my ($at_work) = @{ $proxy->wait_console('SHOW SESSIONS FULL', sub { grep { $_->{user} eq 'alice' && $_->{state} eq 'active' } @{ $_[0] } }) };
($at_work) = grep { $_->{user} eq 'alice' } @{ $proxy->console('SHOW SESSIONS FULL') };
$proxy->console("KILL SESSION $at_work->{id}");
1 while $w->fill;
like($w->{in}, qr{^HTTP/1\.1 400 .*"code":"57P01"}s, 'KILL SESSION');
ok($east->poll_query_until('postgres', "select count(*) = 0 from pg_stat_activity where usename = 'alice'"), 'ends its query too');

# The answer is there, and then the caller resets its connection: the proxy hears of both at once.
$w = Meridian::Test::Wire->new($proxy);
my $locker = Meridian::Test::Wire->session($east);
$locker->ask('SELECT pg_advisory_lock(1)');
$w->send($request->($json->encode(query_of('select 1 from pg_advisory_xact_lock(1)'))));
ok($east->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity where usename = 'alice' and state = 'active'"), 'a query runs');
stand_still($proxy->pid);
$locker->ask('SELECT pg_advisory_unlock(1)');
ok($east->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity where usename = 'alice' and state = 'idle'"), 'and ends');
$w->abort;
kill 'CONT', $proxy->pid;
$proxy->wait_console('SHOW SESSIONS FULL', sub { !grep { $_->{user} eq 'alice' } @{ $_[0] } });
is_deeply(rows_of('select 1'), [ ['1'] ], 'a caller that is gone when its answer comes');

# A connection of a load balancer is many callers', and each has a name of its own.
$w = Meridian::Test::Wire->new($proxy);
for my $case ([ 'paris.db.example' => 'europe-west1' ], [ 'db.example' => 'us-east1' ]) {
	my ($host, $region) = @$case;
	$w->{in} = '';
	$w->send($request->($json->encode(query_of("select current_setting('cluster_name')"))) =~ s/Host: h/Host: $host/r);
	while ($w->{in} !~ /"rowAsArray"/) { $w->fill or last }
	like($w->{in}, qr/"$region"/, "Host: $host");
}

# Requests ahead of their answers, and split at every byte.
$w = Meridian::Test::Wire->new($proxy);
$w->send(join '', map { $request->($json->encode(query_of("select $_"))) } 1 .. 5);
my $said = '';
while ((() = $said =~ /"rowAsArray"/g) < 5) { $w->fill or last; $said = $w->{in} }
is_deeply([ $said =~ /"rows":\[(.*?)\],"command"/g ], [ map { '{"?column?":' . $_ . '}' } 1 .. 5 ], 'five requests at once, in their order');
$w = Meridian::Test::Wire->new($proxy);
$w->send_split($request->($json->encode(query_of('select 42')), Connection => 'close'), 1);
$said = '';
while ($w->fill) { $said = $w->{in} }
like($said || $w->{in}, qr/"rows":\[\{"\?column\?":42\}\]/, 'a request in pieces of one byte');

# ---------------------------------------------------------------- when the proxy ends

$proxy->reload(set => { sql_max_response => '64MB' });
my $slow = Meridian::Test::Wire->new($proxy);
$slow->send($request->($json->encode(query_of("select repeat('x', 30000000)"))));
$slow->fill until length $slow->{in};    # it is there, whole, and hardly begun to be read
$proxy->wait_console('SHOW SESSIONS FULL', sub { !grep { $_->{user} eq 'alice' } @{ $_[0] } });
$w = Meridian::Test::Wire->new($proxy);
$locker->ask('SELECT pg_advisory_lock(1)');
$w->send($request->($json->encode(query_of('select 1 from pg_advisory_xact_lock(1)'))));
ok($east->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity where usename = 'alice' and state = 'active'"), 'a query runs');
my $idle = Meridian::Test::Wire->new($proxy);
$idle->send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
$idle->fill until $idle->{in} =~ /ok\n/;
kill 'TERM', $proxy->pid;
$proxy->wait_for_log(qr/SIGTERM: draining/);
$locker->close;
1 while $w->fill;
like($w->{in}, qr{^HTTP/1\.1 200 .*Connection: close.*"rowCount":1}s, 'it ends well, and the connection with it');
1 while $slow->fill;
like($slow->{in}, qr/"rowAsArray":false\}\z/, 'an answer that is read slowly is read to its end');
$proxy->stop;

# ---------------------------------------------------------------- who may ask

my $other = Meridian::Test::Proxy->new('private', regions => [ 'us-east1' => $east ], set => { http => 'on', max_client_conn => 1 });
$other->start;
my $base2 = 'http://127.0.0.1:' . $other->port;
is(ask(query_of('select 1'), base => $base2)->{status}, 200, 'on its own host it needs no TLS');
my $hold = Meridian::Test::Wire->new($other);
$hold->login(user => 'tom', database => 'postgres');
$a = ask(query_of('select 1'), base => $base2);
is_deeply([ $a->{status}, $a->{json}{code} ], [ 503, '53300' ], 'max_client_conn counts requests too');
undef $hold;
$other->wait_console('SHOW SESSIONS FULL', sub { !grep { $_->{user} eq 'tom' } @{ $_[0] } });

# A node that goes while it is at work says no error.
$w = Meridian::Test::Wire->new($other);
$w->send($request->($json->encode(query_of('select pg_sleep(60)')), Connection => 'close'));
ok($east->poll_query_until('postgres', "select count(*) = 1 from pg_stat_activity where usename = 'alice' and state = 'active'"), 'a query runs');
$east->stop('immediate');
1 while $w->fill;
like($w->{in}, qr{^HTTP/1\.1 400 .*"code":"57P01"}s, 'its node goes');
like($w->{in}, qr/"Region us-east1, node \S+, server process \d+\."/, 'which is named');
$other->wait_console('SHOW SESSIONS FULL', sub { !grep { $_->{user} eq 'alice' } @{ $_[0] } });
$a = ask(query_of('select 1'), base => $base2);
is_deeply([ $a->{status}, $a->{json}{code} ], [ 400, '08006' ], 'no region can take it');
like($a->{json}{detail}, qr/us-east1/, 'and each is named');

$other->stop;
done_testing();
