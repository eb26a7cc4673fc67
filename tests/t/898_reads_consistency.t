#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# consistency = strict: a read nearby shows all that was committed at home when it was asked, by whichever session. What it costs home is
# one question for each transaction that reads. consistency = bounded:TIME: it shows what is no older than that.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Reads;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my $seed = $ENV{READS_SEED} // int rand 1e9;
srand $seed;
note "READS_SEED=$seed";

my ($home) = regional_clusters('us-east1', { streaming => 1, conf => "synchronous_commit = on\n" });
$home->safe_psql('postgres', 'CREATE DATABASE tight');
$home->safe_psql($_, 'CREATE TABLE r (v int); INSERT INTO r VALUES (0)') for qw(postgres tight);
my $near  = regional_standby($home, 'europe-west1');
my ($wait, $brief, $bound) = (span(2), span(0.1), span(1));
my $proxy = near_proxy($home, $near,
	set  => { query_wait_timeout => span(4) },
	conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency = strict\nconsistency_wait = $wait\n"
	  . "[database loose]\ndbname = postgres\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n"
	  . "[database brief]\ndbname = postgres\npool = transaction\nreads = nearest\nconsistency = strict\nconsistency_wait = $brief\n"
	  . "[database bounded]\ndbname = postgres\npool = transaction\nreads = nearest\nconsistency = bounded:$bound\n"
	  . "[database tight]\npool = transaction\nreads = nearest\nconsistency = strict\nconsistency_wait = $wait\npool_size = 1\n");
my $read = "SELECT v || ' ' || current_setting('cluster_name') FROM r";
my $writer = Meridian::Test::Wire->session($proxy, options => '-c meridian.city=new-york');
my $strict = paris($proxy);
is($strict->ask('SHOW meridian.consistency'), 'strict', 'a session has what its database has');
is($strict->ask($WHERE), 'europe-west1', 'a strict read runs nearby');

# ---------------------------------------------------------------- what others have written

for my $i (1 .. 20) {
	$writer->ask("UPDATE r SET v = $i");
	calm($proxy) if $i % 2;
	is($strict->ask($read), "$i europe-west1", "what another session has written is read nearby, $i");
}
$writer->ask('UPDATE r SET v = 21');
is(extended($strict, parse($read, 'p'), bind_message([], 'p'), execute('')), '1 2 21 europe-west1 C Z', '... by a prepared statement');
$writer->ask('UPDATE r SET v = 22');
is(extended($strict, bind_message([], 'p'), execute('')), '2 22 europe-west1 C Z', '... by its name');
$writer->ask('UPDATE r SET v = 23');
$strict->ask('BEGIN READ ONLY');
is($strict->ask($read), '23 europe-west1', '... in a transaction that is READ ONLY');
$strict->ask('COMMIT');
$writer->ask('UPDATE r SET v = 24');
$strict->send(query($read) . query($read) . query("UPDATE r SET v = 25 RETURNING current_setting('cluster_name')") . query($read));
is(join(' ', map { $strict->answer } 1 .. 4), '24 europe-west1 24 europe-west1 us-east1 25 us-east1', '... in a pipeline, which keeps its order')
  or diag 'what is said behind a write runs behind it, at home';
$writer->ask('UPDATE r SET v = 26');
$strict->send_split(query($read), 1);
is($strict->answer, '26 europe-west1', '... byte by byte');

my $set = paris($proxy, database => 'loose');
is($set->ask('SET meridian.consistency = strict', 'SHOW meridian.consistency'), 'strict', 'set in a session');
for my $i (27 .. 32) {
	$writer->ask("UPDATE r SET v = $i");
	is($set->ask($read), "$i europe-west1", "... it is obeyed, $i");
}
$set->close;

# ---------------------------------------------------------------- a standby that does not replay

$near->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$writer->ask('UPDATE r SET v = 33');
calm($proxy);
$strict->send(query($read));
ok($proxy->wait_console('SHOW SESSIONS FULL', sub { grep { $_->{city} eq 'paris' && $_->{server_pid} ne '' } @{ $_[0] } }), 'a read waits for its standby');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
is($strict->answer, '33 europe-west1', '... which replays');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$writer->ask('UPDATE r SET v = 34');
is(calmly($proxy, $strict, $read), '34 us-east1', 'where it does not, home is read');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
ok($near->poll_query_until('postgres', 'SELECT v = 34 FROM r'), 'it has it now');
ok(wait_until(sub { calmly($proxy, $strict, $WHERE) eq 'europe-west1' }), '... and is read again');

# ---------------------------------------------------------------- bounded

my $bounded = paris($proxy, database => 'bounded');
like($bounded->ask('SHOW meridian.consistency'), qr/^bounded:\d+m?s$/, 'a bound in time');
ok(wait_until(sub { calmly($proxy, $bounded, $WHERE) eq 'europe-west1' }), 'a standby that replays is within it');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$writer->ask('UPDATE r SET v = 100');
my ($since, $seconds) = (due_in(0), $bound =~ s/ms//r / 1000);
my (%at, $late);
until (passed($since) > 2 * $seconds) {
	my $asked = passed($since);
	my ($got, $region) = split / /, $bounded->ask($read);
	$at{"$got $region"}++;
	$late = $asked if $got ne '100';
}
cmp_ok($at{'34 europe-west1'}, '>', 0, 'one that does not is read for a while');
cmp_ok($late, '<=', $seconds, '... and not any more when it is further behind') or diag join "\n", %at;
cmp_ok($at{'100 us-east1'}, '>', 0, '... but home is');
is($bounded->ask('SET meridian.consistency = eventual', $read), '34 europe-west1', 'without a bound it is read again');
is($bounded->ask("SET meridian.consistency = 'bounded:1h'", 'SHOW meridian.consistency', $read), '34 europe-west1', '... and with one that is wide enough');
is($bounded->ask('RESET meridian.consistency', $read), '100 us-east1', 'RESET brings the bound back');
like($bounded->ask("SET meridian.consistency = 'bounded:never'"), qr/^22023 invalid value for parameter "meridian.consistency": "bounded:never"/, 'a bound that is none');
my ($x) = @{ $proxy->console("EXPLAIN ROUTE QUERY 'SELECT v FROM r' CITY 'paris' DATABASE bounded") };
is("@$x{qw(runs reason)}", 'home NO_NEARER', 'EXPLAIN ROUTE QUERY knows it');
$near->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
ok(wait_until(sub { calmly($proxy, $bounded, $read) eq '100 europe-west1' }), 'it replays, and is read');
$writer->ask('UPDATE r SET v = 34');

# ---------------------------------------------------------------- what home is asked

$home->safe_psql('postgres', "ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()");
calm($proxy);
ok(wait_until(sub { $home->safe_psql('postgres', 'SHOW log_statement') eq 'all' }), 'home logs what it is asked');
my $from = -s $home->logfile;
for (1 .. 10) {
	calm($proxy);
	$strict->ask($read);
}
calm($proxy);
my @asked = grep { /statement: / } split /\n/, PostgreSQL::Test::Utils::slurp_file($home->logfile, $from);
is(scalar(grep { /pg_current_wal_insert_lsn/ } @asked), 10, 'one question for each of ten reads')
  or diag join "\n", @asked;
is(scalar(grep { /FROM r/ } @asked), 0, '... and no read');
$home->safe_psql('postgres', 'ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()');

# ---------------------------------------------------------------- home is busy, or gone

my $holds = Meridian::Test::Wire->session($proxy, database => 'tight', options => '-c meridian.city=new-york');
$holds->ask('BEGIN', 'UPDATE r SET v = 35');
my $w = paris($proxy, database => 'tight');
$w->send(query($read));
ok($proxy->wait_console('SHOW POOLS', sub { grep { $_->{cl_waiting} == 1 } @{ $_[0] } }), 'a read waits for a connection to ask home');
ok($w->cancel, '... and is cancelled');
is($w->answer, '57014 canceling statement due to user request', '... which ends it');
$w->send(query($read));
ok($proxy->wait_console('SHOW POOLS', sub { grep { $_->{cl_waiting} == 1 } @{ $_[0] } }), 'another waits');
is($holds->ask('COMMIT'), '', '... for a transaction to end');
is($w->answer, '35 europe-west1', '... and shows what that has written');
$holds->ask('BEGIN', 'UPDATE r SET v = 36');
$w->send(query($read));
ok($proxy->wait_console('SHOW POOLS', sub { grep { $_->{cl_waiting} == 1 } @{ $_[0] } }), 'another waits');
$w->close;
ok($proxy->wait_console('SHOW POOLS', sub { !grep { $_->{cl_waiting} > 0 } @{ $_[0] } }), '... and its client goes');
$holds->ask('COMMIT');
is(paris($proxy, database => 'tight')->ask($read), '36 europe-west1', '... which leaves nothing behind');

# ---------------------------------------------------------------- a register, by several sessions

my $v = 34;
my ($wrong, $paused, %seen) = (0, 0);
my @readers = map { paris($proxy, database => 'brief') } 1 .. 3;
for my $step (1 .. ($ENV{READS_STEPS} // 300)) {
	my $r = $readers[ rand @readers ];
	if (rand() < 0.4) {
		$v = (rand() < 0.5 ? $writer : $r)->ask('UPDATE r SET v = v + 1 RETURNING v');
	} elsif (rand() < ($paused ? 0.3 : 0.03)) {
		$paused = !$paused;
		$near->safe_psql('postgres', 'SELECT pg_wal_replay_' . ($paused ? 'pause()' : 'resume()'));
	} else {
		calm($proxy) if rand() < 0.3;
		my ($got, $at) = split / /, $r->ask($read);
		$seen{$at}++;
		next if $got eq $v;
		diag "step $step: $got at $at in place of $v";
		$wrong++;
	}
}
is($wrong, 0, 'no read shows less than was written before it, by any session');
cmp_ok($seen{'europe-west1'} // 0, '>', 10, '... of those nearby');
note join ' ', %seen;
$near->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');

$home->stop('immediate');
like($strict->ask($read), qr/^53300 no server connection became free/, 'where home cannot be asked a strict read is an error');
$proxy->stop;
done_testing();
