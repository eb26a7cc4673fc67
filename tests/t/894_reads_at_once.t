#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# reads = nearest, far from home: how far a transaction has written is known with its answer, so that what reads right behind it
# is read nearby already. Wherever the answers are cut, and when home is lost in between.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Meridian::Test::Reads qw(calm near_proxy paris);
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($home) = regional_clusters('us-east1', { streaming => 1 });
$home->safe_psql('postgres', "CREATE TABLE t (i int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0); CREATE SEQUENCE s; CREATE TABLE copied (i int)");
my $near = regional_standby($home, 'europe-west1');
# nothing but what it replays is written by it, so that it may begin anew further back
$near->append_conf('postgresql.conf', "bgwriter_lru_maxpages = 0");
$near->restart;
my $far  = Meridian::Test::Delay->new($home);
my $wait  = span(2);
my $proxy = near_proxy($far, $near, set => { probe_interval => NEVER },
	conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n");

my $read  = "SELECT v, current_setting('cluster_name') FROM t";
my $write = 'UPDATE t SET v = v + 1';
my $v     = 0;
my $paris = paris($proxy);
is($paris->ask($read), '0,europe-west1', 'nearby');

sub extended
{
	my ($w, @messages) = @_;
	$w->send(join '', @messages, sync_message);
	return $w->answer;
}

# ---------------------------------------------------------------- right behind a write

my %write = (
	'a query'                => sub { $paris->ask($write) },
	'a query that returns'   => sub { $paris->ask("$write RETURNING i") eq '1' ? '' : 'no row' },
	'a transaction'          => sub { $paris->ask('BEGIN', $write, 'COMMIT') },
	'one that says END;'     => sub { $paris->ask('BEGIN', $write, 'END;') },
	'an extended query'      => sub { extended($paris, parse("$write WHERE i = 1"), bind_message([]), execute('')) },
	'a prepared statement'   => sub { extended($paris, parse($write, 'w'), bind_message([], 'w'), execute(''), close_message('S', 'w')) },
	'an extended COMMIT'     => sub { extended($paris, parse('BEGIN'), bind_message([]), execute('')), $paris->ask($write), extended($paris, parse('COMMIT'), bind_message([]), execute('')); '' },
	'one text with a setting' => sub { $paris->ask("SET application_name = 'x'; $write") },
	'one text of several'    => sub { $paris->ask("$write; UPDATE t SET v = v") },
	'a query that is locked' => sub { $paris->ask('SELECT FROM t FOR UPDATE'), $paris->ask($write) },
);
$far->ms(30);
for my $how (sort keys %write) {
	is($write{$how}->(), '', "$how writes");
	$v++;
	is($paris->ask($read), "$v,europe-west1", '... and what reads right behind it reads nearby, and reads that');
}
like($paris->ask("$write WHERE i / 0 = 1"), qr/^22012 /, 'a write that fails');
is($paris->ask($read), "$v,europe-west1", '... is none');
$paris->send(query($write) . query($write) . query($read));
is($paris->answer, '', 'a pipeline');
is($paris->answer, '', '... stays together');
$v += 2;
is($paris->answer, "$v,us-east1", '... at home');
$far->ms(0);

# ---------------------------------------------------------------- what reads what is sent behind it

for my $copy ('COPY copied FROM STDIN', 'UPDATE t SET v = v; COPY copied FROM STDIN') {
	$paris->send(query($copy));
	$paris->until('G');
	$paris->send(copy_data("7\n") . copy_done());
	is($paris->answer, '', $copy);
}
is($paris->ask('SELECT count(*) FROM copied'), '2', '... reads its rows and nothing else');
$paris->ask('BEGIN ISOLATION LEVEL REPEATABLE READ');
is($paris->ask('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE'), '', 'a transaction that has asked nothing yet');
$paris->ask('ROLLBACK');

# ---------------------------------------------------------------- cut anywhere

my $cut = 0;
for my $size (1, 2, 3, 7, 20, 21) {
	calm($proxy);
	$far->hold;
	$paris->send(query($write));
	ok(wait_until(sub { $far->held > 40 }), 'both have answered');
	while (my $held = $far->held) {
		$far->step($held < $size ? $held : $size);
		$cut++;
	}
	$far->pass;
	is($paris->answer, '', "in pieces of $size");
	$v++;
	is($paris->ask($read), "$v,europe-west1", '... and nearby');
}

# ---------------------------------------------------------------- the client leaves in between

my $leaves = paris($proxy);
is($leaves->ask($read), "$v,europe-west1", 'another session');
calm($proxy);
$far->hold;
$leaves->send(query($write));
ok(wait_until(sub { $far->held > 40 }), 'both have answered');
$leaves->send(terminate());
ok($proxy->wait_console('SHOW SESSIONS FULL', sub { grep { $_->{server_pid} ne '' } @{ $_[0] } }), 'its last word waits');
$far->pass;
$leaves->until('!');
$v++;
is($paris->ask($write), '', '... and ends its session alone');
$v++;
is($paris->ask($read), "$v,europe-west1", '... and not the others');

# One that has its answer, and leaves before its server has said how far that was.
$leaves = paris($proxy);
is($leaves->ask($write), '', 'a third session');    # its server has its settings now
$v++;
is($leaves->ask($read), "$v,europe-west1", '... as the others');
calm($proxy);
my $asked = -s $home->logfile;
sub home_logged { return PostgreSQL::Test::Utils::slurp_file($home->logfile, $asked) }
$far->hold;
$leaves->send(query($write));
ok(wait_until(sub { $far->held > 40 }), 'both have answered');
$far->step(20);
is($leaves->answer, '', 'it has its answer');
$leaves->send(terminate());
$leaves->close;
ok($proxy->wait_console('SHOW SESSIONS FULL', sub { grep({ $_->{city} eq 'paris' } @{ $_[0] }) == 1 }), '... and leaves');
$far->pass;
$v++;
is($paris->ask($write), '', 'others use its server');
$v++;
is($paris->ask($read), "$v,europe-west1", '... as ever');
like(home_logged(), qr/pg_current_wal_insert_lsn/, '... which was asked for its position');
unlike(home_logged(), qr/DISCARD ALL/, '... and needed no reset');

# ---------------------------------------------------------------- nearby again and again

$paris->ask($read) for 1 .. 2;
calm($proxy);
$near->safe_psql('postgres', "ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()");
ok(wait_until(sub { $paris->ask("SELECT current_setting('log_statement')") eq 'all' }), 'the standby logs what it is asked');
my $from = -s $near->logfile;
sub logged { return PostgreSQL::Test::Utils::slurp_file($near->logfile, $from) }
is($paris->ask($read), "$v,europe-west1", 'a read where others were') for 1 .. 5;
ok(wait_until(sub { logged() =~ /(?:statement: \Q$read\E.*){5}/s }), 'is asked');
unlike(logged(), qr/wal_replay_lsn/, '... and nothing else');
$near->safe_psql('postgres', 'ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()');

# What it has read is not known as a position: a standby that begins anew, and has replayed less, does not show it.
$home->safe_psql('postgres', 'CHECKPOINT');
$home->wait_for_catchup($near, 'replay');
$near->safe_psql('postgres', 'CHECKPOINT');    # all that the session is known to have seen stays
$home->safe_psql('postgres', 'UPDATE t SET v = 1000');
ok(wait_until(sub { $paris->ask($read) eq '1000,europe-west1' }), 'what others write is read');
$near->append_conf('postgresql.conf', "recovery_min_apply_delay = '" . NEVER . "'");
$near->stop('immediate');
$near->start;
isnt($near->safe_psql('postgres', 'SELECT v FROM t'), '1000', 'a standby begins anew, behind');
is($paris->ask($read), '1000,us-east1', '... and what was read there is read at home');
$near->append_conf('postgresql.conf', 'recovery_min_apply_delay = 0');
$near->reload;
ok(wait_until(sub { $paris->ask($read) eq '1000,europe-west1' }), '... until the standby has it again');
$v = 1000;

# ---------------------------------------------------------------- home is lost in between

calm($proxy);
$far->hold;
$paris->send(query($write));
ok(wait_until(sub { $far->held > 40 }), 'both have answered');
$far->step(20);
is($paris->answer, '', 'the client has its answer');
$far->cut;
$far->pass;
$v++;
is($paris->ask($read), "$v,us-east1", '... and reads at home, as nobody has said how far it has written');
ok(wait_until(sub { $paris->ask($read) eq "$v,europe-west1" }), '... until that is known');
$proxy->stop;
done_testing();
