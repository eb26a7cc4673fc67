#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Two servers that cannot reach each other replicate through Meridian (connection =
# through_meridian): the whole way there and back while a writer writes, where the servers check the
# login, and where Meridian does. Whoever else asks for such a connection gets none.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Move qw(counts_of ledger more_rows);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils qw(append_to_file slurp_file);
use Test::More;

my ($agora, $osc) = regional_clusters(map { $_ => { conf => "wal_retrieve_retry_interval = 500ms\n" } } 'agora-fr1', 'osc-fr1');
for my $c ($agora, $osc) {
	$c->safe_psql('postgres', q(CREATE ROLE mover SUPERUSER REPLICATION LOGIN PASSWORD 'secret';
		CREATE ROLE other SUPERUSER REPLICATION LOGIN PASSWORD 'secret'));
	my $hba   = $c->data_dir . '/pg_hba.conf';
	my $lines = slurp_file($hba);
	unlink $hba;
	append_to_file($hba, "host all mover,other all scram-sha-256\n$lines");
	$c->reload;
}
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
append_to_file($users, qq("mover" "secret"\n"other" "secret"\n));
my $closed = PostgreSQL::Test::Cluster::get_free_port();
my ($port, $other) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
my $way = "host=127.0.0.1,127.0.0.1 port=$port,$other";

# What each server is told of the other one leads nowhere.
sub regions_with
{
	my %way = (migration_peer_conninfo => "host=127.0.0.1 port=$closed connect_timeout=2", @_);
	return [ 'agora-fr1' => { nodes => $agora, %way }, 'osc-fr1' => { nodes => $osc, %way } ];
}

my $proxy;

sub proxy_at
{
	my ($auth, $at, @way) = @_;
	my $p = Meridian::Test::Proxy->new("proxy_${auth}_" . ($at == $port ? 'one' : 'other'),
		port    => $at,
		regions => regions_with(@way),
		set     => { auth => $auth, auth_file => $users, region => 'agora-fr1', migration_conninfo => 'user=mover password=secret' });
	start_it($p);
	return $p;
}

sub start_it
{
	my ($p) = @_;
	$p->start;
	$p->wait_up(2);
	return;
}

sub said
{
	my ($sql) = @_;
	my (undef, $out, $err) = $proxy->console_raw($sql);
	return "$out\n$err";
}

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err, $proxy->console_raw('SHOW MIGRATION mv LOG');
	return $err;
}

sub checks
{
	return join "\n", map { "$_->{severity} $_->{check}: $_->{detail}; $_->{fix}" } grep { $_->{check} =~ /reaches/ } @{ $proxy->console('SHOW MIGRATION mv CHECKS') };
}

# The stream that the subscription of `subscriber` is fed by, as SHOW SESSIONS has it.
sub stream_of
{
	my ($subscriber, $database, $sender, $by) = @_;
	my $name = $subscriber->safe_psql($database, 'SELECT subname FROM pg_subscription');
	ok($sender->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_replication WHERE application_name = '$name' AND state = 'streaming'"), "$name streams");
	my $s;    # the sender of before may not have noticed yet that its proxy has gone
	eval { ($by || $proxy)->wait_console('SHOW SESSIONS FULL', sub { ($s) = grep { $_->{application_name} eq $name && $_->{state} eq 'replication' } @{ $_[0] } }) };
	$s //= { map { $_ => 'none' } qw(user database state node) };
	return "$s->{user} $s->{database} $s->{state} $s->{node}";
}

for my $auth (qw(passthrough scram-sha-256)) {
	my $there = $auth eq 'passthrough' ? 'app' : 'app2';
	$proxy = proxy_at($auth, $port);
	$agora->safe_psql('postgres', 'CREATE DATABASE app');
	$agora->safe_psql('app', q(CREATE TABLE ledger(client int, n int, PRIMARY KEY (client, n));
		CREATE TABLE shelf(id serial PRIMARY KEY, what text); INSERT INTO shelf(what) SELECT repeat('x', 200) FROM generate_series(1, 20000)));

	# ------------------------------------------------------------ they cannot reach each other

	said('CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1' . ($there ne 'app' ? " AS $there" : '')
		  . " WITH (retry_wait = '1s', max_lag = '1MB', freeze_deadline = '" . span(10) . "', $UNHURRIED)");
	like(checks(), qr/^ERROR target_reaches_source: .*Connection refused.*connection = through_meridian$/ms,
		"$auth: the target cannot reach the source, and CHECK says what helps");
	like(checks(), qr/^ERROR source_reaches_target/m, '... nor the source the target');
	run_it('SET MIGRATION mv (connection = through_meridian)');
	said('CHECK MIGRATION mv');
	like(checks(), qr/target_reaches_source: region osc-fr1 has no migration_through_conninfo/, 'it takes an address of Meridian');
	$proxy->reload(regions => regions_with(migration_through_conninfo => "$way user=nobody password=x"));
	said('CHECK MIGRATION mv');
	like(checks(), qr/ERROR target_reaches_source: .*FATAL/, 'the way is tried: from the target through Meridian to the source');
	$proxy->reload(regions => regions_with(migration_through_conninfo => $way));
	said('CHECK MIGRATION mv');
	is(checks(), '', 'with one, they reach each other');

	# ------------------------------------------------------------ there

	my $writer = ledger($proxy->connstr('app', user => 'mover', password => 'secret'), '-c', 4, '-w', 4);
	run_it('RUN MIGRATION mv PREPARE');
	run_it('RUN MIGRATION mv DATA');
	like($osc->safe_psql($there, 'SELECT subconninfo FROM pg_subscription'), qr/port='$port,$other'.*dbname='meridian:agora-fr1 app'/,
		'the subscription names Meridian, and the place behind it');
	is(stream_of($osc, $there, $agora), 'mover app replication 127.0.0.1:' . $agora->port, '... and runs through it');
	if ($auth eq 'passthrough') {
		my $second = proxy_at($auth, $other, migration_through_conninfo => $way);
		$proxy->stop;
		is(stream_of($osc, $there, $agora, $second), 'mover app replication 127.0.0.1:' . $agora->port, '... and through another one when that is stopped');
		start_it($proxy);
		$second->stop;
		is(stream_of($osc, $there, $agora), 'mover app replication 127.0.0.1:' . $agora->port, '... and back');
	}
	is(scalar(grep { $_->{application_name} =~ /^mrd_/ } @{ $proxy->console('SHOW MIGRATION mv SESSIONS') }), 0, '... which is no client of the database');
	if ($auth eq 'passthrough') {
		like(said('RUN MIGRATION mv FINALIZE'), qr/MR005.*sessions passthrough login: 4 would be closed at the switch: session /s,
			'sessions that cannot be taken along are not closed without a word');
	}
	my $said = run_it('RUN MIGRATION mv FINALIZE FORCE (sessions)');
	like($said, qr/ 0 aborted/, 'it has moved') or diag $said;
	like($said, qr/verified at the frozen point: \d+ tables are the same/, 'both sides were the same at the frozen point');

	# ------------------------------------------------------------ who may, and where it leads

	my $login = sub {
		my ($database, $user, @more) = @_;
		my ($out, $err) = ('', '');
		IPC::Run::run([ 'psql', '-XAtq', '-c', 'SHOW port', "host=127.0.0.1 port=$port user=$user password=secret dbname='$database' @more" ],
			'>', \$out, '2>', \$err);
		return "$out$err";
	};
	my @stream = 'replication=database';
	is($login->('meridian:agora-fr1 app', 'mover', @stream), $agora->port . "\n", 'the old place can be asked for, whoever serves the database');
	is($login->("meridian:osc-fr1 $there", 'mover', @stream), $osc->port . "\n", '... and the new one, by its name there');
	is($login->('meridian:127.0.0.1:' . $osc->port . " $there", 'mover', @stream), $osc->port . "\n", '... and a node');
	is($login->('app', 'mover'), $osc->port . "\n", 'which others are led to');
	like($login->('meridian:agora-fr1 app', 'other', @stream), qr/FATAL: +user "other" may not replicate through this proxy/, 'nobody else may ask for it');
	like($login->('meridian:nowhere app', 'mover', @stream), qr/FATAL: +no region and no node is "nowhere"/, 'a place that is none');
	like($login->('meridian:agora-fr1 app', 'mover'), qr/database "meridian:agora-fr1 app" does not exist/, 'for those who do not replicate it is a name as others are');

	# ------------------------------------------------------------ and back

	is(stream_of($agora, 'app', $osc), "mover $there replication 127.0.0.1:" . $osc->port, 'the way back comes from over there');
	run_it('REVERSE MIGRATION mv');
	is($proxy->console('SHOW MIGRATION mv')->[0]{state}, 'reversed', 'it is back');
	more_rows($agora, 'app', 20);
	$writer->stop;
	cmp_ok($writer->{acked}, '>', 50, 'the writer has written') or diag $writer->{out}, $writer->{err};
	is($writer->lost($agora, 'app'), 0, "no row that was acknowledged is lost ($writer->{acked})");
	is($writer->{errors}, 0, 'and no client has met an error') if $auth ne 'passthrough';
	run_it('COMPLETE MIGRATION mv');
	is_deeply([ counts_of($agora, 'app') ], [ 0, 0, 0, 0, 0 ], 'nothing of it is left');
	$proxy->stop;
	$agora->safe_psql('postgres', 'DROP DATABASE app');
	$osc->safe_psql('postgres', "DROP DATABASE $there");
}
done_testing();
