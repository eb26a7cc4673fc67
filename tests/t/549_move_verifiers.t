#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A role was made on the target by hand, with the same password and so with another salt: the keys
# that Meridian has of its clients open nothing there, and every session of it would be closed at
# the switch. That is said before: by the check role_verifiers with the statement that mends it, by
# PLAN, and by FINALIZE, which tries the logins and is refused. roles = copy does what the statement
# does, and ABORT takes it back.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my %logs = (conf => "log_statement = all\nlog_min_duration_statement = 0\n");
my ($agora, $osc) = regional_clusters('agora-fr1', {%logs}, 'osc-fr1', {%logs});
my @secretly = ('SET log_statement = none', 'SET log_min_duration_statement = -1', "SET log_min_error_statement = 'panic'");
for my $c ($agora, $osc) {
	$c->safe_psql('postgres', join ';', @secretly, "CREATE ROLE app LOGIN PASSWORD 'secret'", "CREATE ROLE away LOGIN PASSWORD 'gone'");
	my $hba   = $c->data_dir . '/pg_hba.conf';
	my $lines = PostgreSQL::Test::Utils::slurp_file($hba);
	unlink $hba;
	PostgreSQL::Test::Utils::append_to_file($hba, "host all app all scram-sha-256\nhost all away all scram-sha-256\n$lines");
	$c->reload;
}
$agora->safe_psql('postgres', 'CREATE DATABASE app OWNER app');
$agora->safe_psql('app', 'CREATE TABLE t(id int PRIMARY KEY); ALTER TABLE t OWNER TO app; INSERT INTO t VALUES (1); GRANT SELECT ON t TO away');

sub verifier
{
	my ($cluster, $role) = @_;
	return $cluster->safe_psql('postgres', "SELECT rolpassword FROM pg_authid WHERE rolname = '$role'");
}
my %salt = (here => verifier($agora, 'app'), there => verifier($osc, 'app'));
isnt($salt{there}, $salt{here}, 'one password, two salts');

my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users, qq("app" "$salt{here}"\n"postgres" ""\n));
chmod 0600, $users;
my ($proxy, $second) = map {
	Meridian::Test::Proxy->new($_,
		regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc ],
		set     => { auth => 'scram-sha-256', auth_file => $users, region => 'agora-fr1', migration_conninfo => 'user=postgres' },
		conf    => Meridian::Test::Proxy::databases_of('app'))
} qw(main second);
for my $p ($proxy, $second) {
	$p->start;
	$p->wait_up(2);
}

# ---------------------------------------------------------------- sessions of every kind

my %session;

sub log_in
{
	%session = map { $_ => Meridian::Test::Wire->session($proxy, database => $_, user => 'app', password => 'secret') } qw(own ses tx);
	is($session{$_}->ask('SELECT id FROM t'), 1, "a session ($_) reads") for sort keys %session;
	return;
}

# What each of them reads, and on which node: "1 agora".
sub where_they_are
{
	return { map { $_ => $session{$_}->ask("SELECT id || ' ' || current_setting('port') FROM t") } keys %session };
}

sub all_at { my ($cluster) = @_; return { map { $_ => '1 ' . $cluster->port } qw(own ses tx) } }

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return $err;
}

sub refused
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	isnt($status, 0, "$sql is refused");
	return $err;
}

# The rows of one check: object, severity, detail, fix.
sub checks
{
	my ($m, $check) = @_;
	return { map { $_->{object} => $_ } grep { $_->{check} eq $check } @{ $proxy->console("SHOW MIGRATION $m CHECKS") } };
}

sub estimate
{
	my ($m) = @_;
	my ($row) = grep { $_->{step} eq 'switch' } @{ $proxy->console("PLAN MIGRATION $m") };
	return $row->{estimate};
}

log_in();
is_deeply(where_they_are(), all_at($agora), 'all of them at the source');

# ---------------------------------------------------------------- the check, before anything is done

my $said = run_it('CREATE MIGRATION one OF DATABASE app FROM agora-fr1 TO osc-fr1');
my $statement = "ALTER ROLE app PASSWORD '$salt{here}'";
like($said, qr/\[ERROR\] role_verifiers  app/, 'CREATE says so');
my $check = checks('one', 'role_verifiers');
is($check->{app}{severity}, 'ERROR', 'a role whose sessions would be closed is an error');
like($check->{app}{detail}, qr/another salt.*; 3 of its 3 sessions would be closed at the switch; auth_file has not the one that the target has/,
	'... it says how many, and what auth_file has');
is($check->{app}{fix}, $statement, '... and the statement that mends it');
is($check->{away}{severity}, 'WARN', 'a role without sessions is a warning');
like($check->{away}{fix}, qr/\AALTER ROLE away PASSWORD 'SCRAM-SHA-256\$4096:/, '... with its statement');
is(estimate('one'), '0 of 3 sessions will be kept; verifiers of roles: 3 would be closed at the switch: SHOW MIGRATION m CHECKS has the statements that mend them',
	'PLAN says how many sessions will be kept');
$said = refused('RUN MIGRATION one PREPARE');
like($said, qr/MR005.*role_verifiers app: /s, 'PREPARE is refused');

# ---------------------------------------------------------------- FINALIZE tries the logins

run_it("RUN MIGRATION one $_") for 'PREPARE FORCE (role_verifiers)', 'DATA FORCE (role_verifiers)';
$agora->poll_query_until('app', 'SELECT count(*) = 2 FROM meridian.proxy') or die 'the fleet has not met';
my $elsewhere = Meridian::Test::Wire->session($second, database => 'ses', user => 'app', password => 'secret');
is($elsewhere->ask('SELECT id FROM t'), 1, 'a session of another proxy');
$said = refused('RUN MIGRATION one FINALIZE');
like($said, qr/MR005/,                                             '... with MR005');
like($said, qr/sessions role app: 3 would be closed at the switch: .*password authentication failed for user "app"/, '... which says why');
like($said, qr/sessions other proxies: 1 would be closed at the switch: their logs say why/, '... for other proxies too');
ok($second->log_like(qr/migration 1: role app: 1 would be closed at the switch: password authentication failed/), '... whose logs do');
like($said, qr/NOTICE: .*\Qsessions role app: $statement\E/, '... and how that is mended');
is_deeply(where_they_are(), all_at($agora), '... nobody was frozen, nobody closed');

$osc->safe_psql('postgres', join ';', @secretly, $statement);
is(estimate('one'), '3 of 3 sessions will be kept', 'after the statement PLAN says that all will be kept');
$said = run_it('RUN MIGRATION one FINALIZE');
like($said, qr/4 of 4 sessions will be kept/,  'FINALIZE says so before');
like($said, qr/4 sessions kept, 0 closed/,     '... and after');
is_deeply(where_they_are(), all_at($osc), 'the sessions are at the target');
is($elsewhere->ask("SELECT current_setting('port')"), $osc->port, '... also that of the other proxy');
$elsewhere->close;
$second->stop;
$agora->poll_query_until('app', 'SELECT count(*) = 1 FROM meridian.proxy') or die 'the other proxy has not left';

# ---------------------------------------------------------------- back, and the target as it was

$said = run_it('REVERSE MIGRATION one');
like($said, qr/3 sessions kept, 0 closed/, 'REVERSE keeps them');
is_deeply(where_they_are(), all_at($agora), '... at the source again');
run_it('COMPLETE MIGRATION one');
my $old = 'SCRAM-SHA-256' . substr $salt{there}, 13;
$osc->safe_psql('postgres', join ';', @secretly, "ALTER ROLE app PASSWORD '$old'");
$osc->safe_psql('postgres', 'DROP DATABASE app WITH (FORCE)');
$agora->safe_psql('app', 'DROP SCHEMA meridian CASCADE');

# ---------------------------------------------------------------- roles = copy

$said = run_it("CREATE MIGRATION two OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (roles = 'copy')");
is(checks('two', 'role_verifiers')->{app}{severity}, 'INFO', 'roles = copy: nothing to be mended');
is(estimate('two'), '3 of 3 sessions will be kept', '... and all will be kept');
run_it('RUN MIGRATION two PREPARE');
is(verifier($osc, 'app'), $salt{here}, 'PREPARE gives the role the source\'s verifier');
run_it('ABORT MIGRATION two');
is(verifier($osc, 'app'), $salt{there}, 'ABORT takes that back');

run_it("CREATE MIGRATION three OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (roles = 'copy', reverse = off, attempts = 1)");
run_it("RUN MIGRATION three $_") for qw(PREPARE DATA);
is($session{own}->ask('CREATE TEMP TABLE mine(i int)', 'SELECT 1'), 1, 'a session with something that cannot be taken along');
like(refused('RUN MIGRATION three FINALIZE'), qr/MR005.*1 sessions would be closed at the switch/s, 'what only its server knows is seen behind the freeze');
is_deeply([ map { $session{$_}->ask('SELECT 1') } sort keys %session ], [ 1, 1, 1 ], '... nobody was closed');
is($session{own}->ask('DROP TABLE mine', 'SELECT 1'), 1, '... which lets go of it');
$session{reader} = delete $session{tx};
$said = run_it('RUN MIGRATION three FINALIZE');
like($said, qr/3 sessions kept, 0 closed/, 'with roles = copy all sessions are kept');
is_deeply(where_they_are(), { map { $_ => '1 ' . $osc->port } qw(own ses reader) }, '... at the target');

# ---------------------------------------------------------------- nobody else reads them

for my $c ($agora, $osc) {
	unlike(PostgreSQL::Test::Utils::slurp_file($c->logfile), qr/SCRAM-SHA-256\$/, 'no verifier in the log of ' . $c->name);
}
unlike($proxy->log_text, qr/SCRAM-SHA-256\$/, '... nor in that of the proxy');
unlike(join("\n", map { values %$_ } @{ $proxy->console('SHOW MIGRATION three LOG') }), qr/SCRAM-SHA-256\$/, '... nor in the journal');
$proxy->stop;
done_testing();
