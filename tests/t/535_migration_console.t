#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Migrations as an operator meets them at the console: every form of answer, errors with their
# SQLSTATE, who may do what, the journal, Ctrl-C and hanging up, FOLLOW, and a whole migration driven
# by its own column `next`. The migrations are of kind files: what they do is tested in 540.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

my ($east, $europe) = regional_clusters('us-east1', 'europe-west1');
my $users = PostgreSQL::Test::Utils::tempdir() . '/users.txt';
PostgreSQL::Test::Utils::append_to_file($users,
	qq("admin" "secret"\n"mover" "carry"\n"monitor" "look"\n));
chmod 0600, $users;
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east, 'europe-west1' => $europe ],
	set     => {
		region            => 'us-east1',
		auth_file         => $users,
		admin_users       => 'admin',
		migration_users   => 'mover',
		stats_users       => 'monitor',
		migration_conninfo => 'user=postgres',
	});
$proxy->start;
$proxy->wait_up(2);
$_->safe_psql('postgres', 'CREATE DATABASE app') for $east, $europe;

# Files of a migration; returns their directory.
sub files
{
	my (%text) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	PostgreSQL::Test::Utils::append_to_file("$dir/$_", $text{$_}) for sort keys %text;
	return $dir;
}

sub by_tcp
{
	my ($user, $password, $sql) = @_;
	local $ENV{PGPASSWORD} = $password;
	return $proxy->console_raw($sql, connstr => { host => '127.0.0.1', user => $user });
}

my $both = 'REGIONS (us-east1, europe-west1)';
my $dir  = files(
	'V001__one.sql' => "CREATE TABLE one(id int PRIMARY KEY);\n",
	'V002__two.sql' => "CREATE TABLE two(id int PRIMARY KEY);\n");

# ---------------------------------------------------------------- before there is any

is_deeply($proxy->console('SHOW MIGRATIONS'), [], 'there are none to begin with');
like($proxy->console_error('SHOW MIGRATION 1'), qr/42704.*no migration 1/s, 'SHOW of none: 42704');
like($proxy->console_error('RUN MIGRATION x ALL'), qr/42704/, 'RUN of none too');
for my $bad (
	[ 'CREATE MIGRATION;',                             qr/42601.*Usage: CREATE MIGRATION/s, 'nothing said' ],
	[ 'CREATE MIGRATION m OF DATABASE app',            qr/42601.*Expected FROM, TO REGIONS or DISTRIBUTE BY/s, 'half of it' ],
	[ "CREATE MIGRATION OF DATABASE app FROM FILES '$dir' WITH (lnt = off)", qr/22023.*Did you mean "lint"/s, 'an option that is none' ],
	[ "CREATE MIGRATION OF DATABASE app FROM FILES '$dir' WITH (lint = loud)", qr/22023.*error, warn or off/s, 'a value that is none' ],
	[ "CREATE MIGRATION OF DATABASE app FROM FILES '$dir' REGIONS (mars)", qr/42704/,  'a region that is none' ],
	[ 'RUN MIGRATION 1',                               qr/42601/,       'RUN of no phase' ],
	[ 'SHOW MIGRATION',                                qr/42601|42704/, 'SHOW of no migration' ])
{
	my ($sql, $error, $what) = @$bad;
	like($proxy->console_error($sql), $error, $what);
}
is_deeply($proxy->console('SHOW MIGRATIONS'), [], 'nothing of that was written down');
is($east->safe_psql('app', "SELECT count(*) FROM pg_namespace WHERE nspname = 'meridian'"),
	'0', 'and there is no control schema');

# ---------------------------------------------------------------- CREATE

my ($status, $out, $err) = $proxy->console_raw(
	"CREATE MIGRATION first OF DATABASE app FROM FILES '$dir' $both CANARY us-east1");
is($status, 0, 'CREATE') or diag $err;
my ($head, $row) = split /\x1e/, $out;
is(join(' ', split /\x1f/, $head), 'migration name kind state step progress detail next', 'answers in eight columns');
like($row, qr/^1\x1ffirst\x1ffiles\x1fpreflight-success\x1f.*RUN MIGRATION 1 ALL;$/s, 'and names the next command');
like($err, qr/checks: 0 errors/, 'the checks are a NOTICE');
like($err, qr/Start the migration with/, 'so is what can be done now');
like($proxy->console_error("CREATE MIGRATION first OF DATABASE app FROM FILES '$dir' $both"),
	qr/42710/, 'a name is taken once');
($status, $out, $err) = $proxy->console_raw(
	"CREATE MIGRATION IF NOT EXISTS first OF DATABASE app FROM FILES '$dir' $both");
is($status, 0, 'IF NOT EXISTS does not mind');
like($err, qr/exists already, skipping/, 'and says so');

# ---------------------------------------------------------------- looking

my $plan = $proxy->console('PLAN MIGRATION first');
my @files = grep { $_->{step} =~ /^apply/ } @$plan;
is(scalar(@files), 4, 'PLAN: two files in two regions are four steps') or diag explain $plan;
is(join(' ', map { $_->{n} } @$plan), join(' ', 1 .. @$plan), 'in order');
like($files[0]{sql}, qr/CREATE TABLE one/, 'with their SQL');
is($files[0]{place}, 'us-east1', 'the canary first');
like($proxy->console('PLAN MIGRATION 1 FORMAT SQL')->[0]{sql}, qr/^-- 1 /, 'as a script');
like($proxy->console('PLAN MIGRATION 1 FORMAT JSON')->[0]{json}, qr/^\[/, 'as JSON');
is($east->safe_psql('app', "SELECT count(*) FROM pg_class WHERE relname = 'one'"), '0', 'nothing was executed');
is(scalar(@{ $proxy->console('SHOW MIGRATION 1 STEPS') }), scalar(@$plan), 'SHOW … STEPS before the first RUN');
my $uuid = $proxy->console('SHOW MIGRATIONS')->[0]{uuid};
is($proxy->console('SHOW MIGRATION ' . substr($uuid, 0, 8))->[0]{migration}, 1, 'a migration by its uuid')
  unless substr($uuid, 0, 8) =~ /^\d+$/;
is($proxy->console("SHOW MIGRATIONS LIKE 'f%t'")->[0]{name}, 'first', 'LIKE');
is_deeply($proxy->console("SHOW MIGRATIONS LIKE 'x%'"), [], 'not LIKE');
is(scalar(@{ $proxy->console("SHOW MIGRATIONS STATE 'preflight-success'") }), 1, 'STATE');
is_deeply($proxy->console('SHOW MIGRATIONS STATE done'), [], 'not that STATE');

# Somebody keeps the control schema to himself: the console says so, and does not wait for him.
my $locker = $east->background_psql('app');
$locker->query_safe('BEGIN; LOCK TABLE meridian.migration, meridian.authority, meridian.lease');
for my $sql ('SHOW MIGRATIONS', 'SHOW AUTHORITY', 'SHOW EXECUTORS') {
	my ($status, $out, $err) = $proxy->console_raw($sql);
	like($err, qr/not every place could be asked: .*no answer within 5 s/, "$sql of a database that does not answer") or diag $status, $out;
}
$locker->quit;
is($proxy->console('SHOW MIGRATIONS')->[0]{uuid}, $uuid, 'and it is asked again');

# ---------------------------------------------------------------- options

my %options = map { $_->{option} => $_ } @{ $proxy->console('SHOW MIGRATION 1 OPTIONS') };
is($options{lint}{value}, 'error', 'an option has its default');
is($options{lint}{is_set}, 'f', 'and is not set');
ok(!$options{pause_budget}, 'options of other kinds are not shown');
$proxy->console("SET MIGRATION 1 (lock_timeout = '2 s', lint = warn)");    # time: how SHOW writes it
is($proxy->console('SHOW MIGRATION 1 lock_timeout')->[0]{lock_timeout}, '2s', 'SET, and SHOW of one option');
like($proxy->console_error('SET MIGRATION 1 (pause_budget = 1)'), qr/22023/, 'one of another kind');
like($proxy->console_error('SHOW MIGRATION 1 colour'), qr/22023/, 'SHOW of an option that is none');

# ---------------------------------------------------------------- who may

my %may = (monitor => [ 'look', 0 ], mover => [ 'carry', 1 ], admin => [ 'secret', 1 ]);
for my $user (sort keys %may)
{
	my ($password, $may) = @{ $may{$user} };
	my ($s, $o, $e) = by_tcp($user, $password, 'SHOW MIGRATION 1');
	is($s, 0, "$user may look");
	($s, $o, $e) = by_tcp($user, $password, 'SET MIGRATION 1 (retries = 5)');
	is($s == 0 ? 1 : 0, $may, $may ? "$user may change" : "$user may not change") or diag $e;
	like($e, qr/42501.*permission denied for SET MIGRATION/, 'and is told so') unless $may;
}
($status, $out, $err) = by_tcp('mover', 'carry', 'SHUTDOWN');
like($err, qr/42501/, 'who may migrate may not shut the proxy down');

# ---------------------------------------------------------------- RUN, driven by its own `next`

my @said;
my $next = "RUN MIGRATION 1 NEXT;";
($status, $out, $err) = $proxy->console_raw($next);
is($status, 0, 'RUN … NEXT does one step') or diag $err;
like($err, qr/following operations will be achieved/, 'and says before what it will do');
is(scalar(grep { $_->{state} eq 'done' } @{ $proxy->console('SHOW MIGRATION 1 STEPS') }), 1, 'one and no more');
($status, $out, $err) = $proxy->console_raw('RUN MIGRATION 1 STEP 4');
is($status, 0, 'RUN … STEP does those up to one') or diag $err;
is($east->safe_psql('app', "SELECT count(*) FROM pg_class WHERE relname = 'one'"), '1', 'the first file is there');
is($east->safe_psql('app', "SELECT count(*) FROM pg_class WHERE relname = 'two'"), '0', 'the second is not');
($next) = map { $_->{next} } @{ $proxy->console('SHOW MIGRATION 1') };
for (1 .. 10)
{
	last unless length $next;
	push @said, $next;
	my $answer = '';
	IPC::Run::run([ 'psql', '-XAtq', '-d', $proxy->connstr('meridian', host => $proxy->socket_dir), '-c', $next ],
		'<', \'', '|', [ 'cut', '-d|', '-f8' ], '>', \$answer, '2>', \$err) or diag $err;
	chomp($next = $answer);
}
is($proxy->console('SHOW MIGRATION 1')->[0]{state}, 'done', 'a migration runs to its end by its column next')
  or diag "@said\n$err";
is($europe->safe_psql('app', "SELECT count(*) FROM pg_class WHERE relname IN ('one', 'two')"),
	'2', 'and everything is everywhere');
like($proxy->console_error('ABORT MIGRATION 1'), qr/55000.*state done/s, 'what is over cannot be aborted');

# What there is not in this kind of migration, or under that number: which command says what there is.
like($proxy->console_error("$_"), qr/^ERROR:  (?:0A000|22023): .*^HINT:  SHOW MIGRATION 1 STEPS;/ms, "$_ says what there is")
  for (map { "SHOW MIGRATION 1 $_" } qw(TABLES SEQUENCES LAG)), 'VERIFY MIGRATION 1', 'RUN MIGRATION 1 STEP 0';

# In each state, what is refused says with which command it goes on. The states are written by hand: nothing that is
# asked here begins anything.
my %refused = (
	'created'           => [ 'RESUME', 'RETRY', 'PAUSE', 'REVERSE', 'COMPLETE' ],
	'preflight-success' => [ 'RESUME', 'RETRY', 'PAUSE', 'REVERSE', 'COMPLETE' ],
	'prepared'          => [ 'RESUME', 'RETRY', 'PAUSE', 'REVERSE', 'COMPLETE' ],
	'data-migrated'     => [ 'RESUME', 'RETRY', 'PAUSE', 'REVERSE', 'COMPLETE' ],
	'redirecting'       => [ 'RESUME', 'RETRY', 'PAUSE', 'ABORT' ],
	'reversed'          => [ 'RESUME', 'RETRY', 'PAUSE', 'ABORT', 'REVERSE' ],
	'paused'            => [ 'PAUSE', 'REVERSE' ],
	'error'             => [ 'RESUME', 'PAUSE', 'REVERSE' ],
	'done'              => [ 'RESUME', 'RETRY', 'PAUSE', 'ABORT', 'REVERSE', 'COMPLETE', 'CHECK' ],
	'aborted'           => [ 'RESUME', 'RETRY', 'PAUSE', 'ABORT', 'REVERSE', 'COMPLETE', 'CHECK' ]);
for my $state (sort keys %refused) {
	$_->safe_psql('app', "UPDATE meridian.migration SET state = '$state', rev = rev + 1 WHERE id = 1") for $east, $europe;
	for my $verb (@{ $refused{$state} }) {
		like($proxy->console_error("$verb MIGRATION 1"), qr/^ERROR:  55000: .*^HINT:  .*(?:Next: [A-Z]+ MIGRATION 1\b.*;|CREATE MIGRATION|REVERSE MIGRATION)/ms,
			"$verb in state $state says what gets on");
	}
}
$_->safe_psql('app', "UPDATE meridian.migration SET state = 'done', rev = rev + 1 WHERE id = 1") for $east, $europe;
like($proxy->console_error('RUN MIGRATION 1 ALL'), qr/55000/, 'or run again');
is(scalar(grep { $_->{state} !~ /^(done|skipped)$/ } @{ $proxy->console('SHOW MIGRATION 1 STEPS') }), 0, 'its steps are done');

# ---------------------------------------------------------------- the journal

my $log = $proxy->console('SHOW MIGRATION 1 LOG');
my @commands = map { $_->{detail} } grep { $_->{event} eq 'command' } @$log;
like($commands[0], qr/"statement": ?"CREATE MIGRATION first/, 'the CREATE is in the journal');
like("@commands", qr/"user": ?"mover".*"address": ?"127\.0\.0\.1/s, 'with user and address')
  or like("@commands", qr/"address": ?"127\.0\.0\.1.*"user": ?"mover"/s, 'with user and address');
like("@commands", qr/SET MIGRATION 1 \(retries = 5\)/, 'and every other command that changes something');
unlike("@commands", qr/SHOW MIGRATION/, 'but none that looks');

# ---------------------------------------------------------------- errors, RETRY, ABORT

my $broken = files(
	'V003__three.sql' => "CREATE TABLE three(id int PRIMARY KEY);\n",
	'V004__four.sql'  => "SELECT 1/0;\n");
$proxy->console("CREATE MIGRATION broken OF DATABASE app FROM FILES '$broken' REGIONS (us-east1) WITH (lint = off)");
($status, $out, $err) = $proxy->console_raw('RUN MIGRATION broken ALL');
isnt($status, 0, 'a step that fails is an error of RUN');
like($err, qr/ERROR:  22012: .*division by zero/, 'the server\'s own, with its SQLSTATE');
like($err, qr/RETRY MIGRATION 2.*ABORT MIGRATION 2/s, 'with the ways out');
($row) = @{ $proxy->console('SHOW MIGRATION broken') };
is($row->{state}, 'error', 'the state says so');
is($row->{next}, 'RETRY MIGRATION 2;', 'and what comes next');
like($row->{detail}, qr/division by zero/, 'and why');

# ---------------------------------------------------------------- PAUSE, Ctrl-C, hanging up

# The fifth waits until there is a row in the table "go"; the others take a while.
$europe->safe_psql('app', 'CREATE TABLE go(i int)');
my $gate = <<'SQL';
DO $$ BEGIN
	FOR i IN 1 .. 1200 LOOP
		EXIT WHEN EXISTS (SELECT FROM go);
		PERFORM pg_sleep(0.05);
	END LOOP;
END $$;
SQL
my $slow = files(map { sprintf('V1%02d__sleep.sql', $_) => $_ == 5 ? $gate : "SELECT pg_sleep(0.2);\n" } 1 .. 15);
$proxy->console("CREATE MIGRATION slow OF DATABASE app FROM FILES '$slow' REGIONS (europe-west1) WITH (lint = off)");
my ($in, $psql_out, $psql_err) = ('', '', '');
my $psql = IPC::Run::start([ 'psql', '-XAq', '-v', 'VERBOSITY=verbose', '-d',
		$proxy->connstr('meridian', host => $proxy->socket_dir), '-c', 'RUN MIGRATION slow ALL' ],
	'<', \$in, '>', \$psql_out, '2>', \$psql_err);
$proxy->wait_console('SHOW MIGRATION slow', sub { $_[0][0]{step} =~ /V105/ });
$psql->signal('INT');
$psql->finish;
like($psql_err, qr/57014: detached from migration slow; it continues: FOLLOW MIGRATION slow; stop it with PAUSE MIGRATION slow or ABORT MIGRATION slow/,
	'Ctrl-C detaches');
is($proxy->console('SHOW MIGRATION slow')->[0]{state} =~ /^running/ ? 1 : 0, 1, 'and it goes on');
is(scalar(@{ $proxy->console('SHOW EXECUTORS') }), 1, 'it has an executor');
like($proxy->console_error('RUN MIGRATION slow ALL'), qr/55P03/, 'a second one is refused');
my $pause = $proxy->console_start('PAUSE MIGRATION slow');
ok($europe->poll_query_until('app', "SELECT request = 'pause' FROM meridian.migration WHERE name = 'slow'"), 'PAUSE');
$europe->safe_psql('app', 'INSERT INTO go VALUES (1)');
$pause->{run}->finish;
($row) = @{ $proxy->console('SHOW MIGRATION slow') };
is($row->{state}, 'paused', 'is answered when the step that runs has come to an end');
is($row->{next}, 'RESUME MIGRATION 3;', 'and what comes next');
my $done = grep { $_->{state} eq 'done' } @{ $proxy->console('SHOW MIGRATION slow STEPS') };
cmp_ok($done, '<', 15, 'in the middle');
($row) = @{ $proxy->console('RESUME MIGRATION slow NOWAIT') };
like($row->{state}, qr/^running/, 'RESUME NOWAIT answers at once');
my $piped = '';
IPC::Run::run([ 'psql', '-XAtq', '-d', $proxy->connstr('meridian', host => $proxy->socket_dir), '-c', 'FOLLOW MIGRATION slow' ],
	'<', \'', '|', [ 'grep', '-c', 'step-done [0-9]* apply' ], '>', \$piped);
is($piped + 0, 15, 'FOLLOW piped to a program: each step once');
is($proxy->console('SHOW MIGRATION slow')->[0]{state}, 'done', 'ends when it is at rest');

# ---------------------------------------------------------------- aborting what runs

$proxy->console("CREATE MIGRATION away OF DATABASE app FROM FILES '$dir' REGIONS (us-east1)");
($row) = @{ $proxy->console('ABORT MIGRATION away') };
is($row->{state}, 'aborted', 'ABORT before anything was begun');
($status, $out, $err) = $proxy->console_raw("ABORT MIGRATION away");
like($err, qr/55000/, 'once is enough');

like($proxy->console_error("RUN MIGRATION slow STEP x"), qr/22023|55000/, 'a step is a number');
my $late = files(map { sprintf('V18%d__sleep.sql', $_) => "SELECT pg_sleep(0.4);\n" } 1 .. 4);
$proxy->console("CREATE MIGRATION late OF DATABASE app FROM FILES '$late' REGIONS (us-east1) WITH (lint = off)");
like($proxy->console_error("RUN MIGRATION late ALL DEADLINE 'soon'"), qr/22023/, 'a DEADLINE is a duration');
like($proxy->console_error("RUN MIGRATION late ALL DEADLINE '500 ms'"), qr/MR003.*RETRY MIGRATION/s, 'a DEADLINE stops it in between');    # time: as the command is given it
($row) = @{ $proxy->console('RETRY MIGRATION late') };
is($row->{state}, 'done', 'and RETRY goes on, without it');

# ---------------------------------------------------------------- the proxy ends while somebody waits

my $later = files(map { sprintf('V2%02d__sleep.sql', $_) => $_ == 3 ? $gate : "SELECT pg_sleep(0.1);\n" } 1 .. 8);
$europe->safe_psql('app', 'DELETE FROM go');
$proxy->console("CREATE MIGRATION later OF DATABASE app FROM FILES '$later' REGIONS (europe-west1) WITH (lint = off)");
$psql = IPC::Run::start([ 'psql', '-XAq', '-d', $proxy->connstr('meridian', host => $proxy->socket_dir),
		'-c', 'RUN MIGRATION later ALL' ], '<', \$in, '>', \$psql_out, '2>', \$psql_err);
$proxy->wait_console('SHOW MIGRATION later', sub { $_[0][0]{step} =~ /V203/ });
my $began = time;
$proxy->stop;
in_time($began, 20, 'a proxy that is told to stop does not wait for a migration');
$psql->finish;
$proxy->start;
$proxy->wait_up(2);
($row) = @{ $proxy->console('SHOW MIGRATION later') };
isnt($row->{state}, 'done', 'it is where it was');
$europe->safe_psql('app', 'INSERT INTO go VALUES (1)');
($row) = @{ $proxy->console('RETRY MIGRATION later') } unless $row->{state} eq 'done';
is($row->{state}, 'done', 'and goes on when it is asked to');

# ---------------------------------------------------------------- not configured

$proxy->reload(set => { migration_conninfo => '' });
like($proxy->console_error('SHOW MIGRATIONS'), qr/55000.*migration_conninfo/s, 'without migration_conninfo there are no migrations');
$proxy->stop;
done_testing();
