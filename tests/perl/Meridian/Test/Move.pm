# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Move - what tests of moves have in common: a writer that remembers what it was
# promised (tests/tools/ledger), sums of pgbench, and what a database looks like from outside.
#
#   my ($agora, $osc, @config) = two_regions(workers => 2);  # clusters; regions, set of a proxy
#   my $l = ledger($proxy->connstr('app'), '-c', 4);     # writes from now on, into ledger(client, n)
#   ...
#   $l->stop;                                            # {acked} {errors} {reconnects} {gap_ms}
#   is($l->lost($cluster, 'app'), 0);                    # acknowledged rows that are not there
#   my $before = catalog_of($cluster, 'app');            # text: schema, slots, settings, roles …
#   is(difference($before, catalog_of($cluster, 'app')), '');
#   my $lock = hold_copies($target, 'app', 't', …);      # no row is copied into t there before $lock->quit
#   let_copies($target, 'app');                          # nothing of that is left there
#   my $w = watch_both($one, $other, 'app');             # tries to write into probe(i) on both, past the proxy; both: in the other
#                                                        # side between two rows of a transaction on this one
#   ...
#   looked_at($cluster, 'app');                          # waits until what is written there has been seen
#   more_rows($cluster, 'app', 60);                      # waits until the ledger has as many more
#   is_deeply($w->stop, …);                              # {tries} {one} {other} {both}
package Meridian::Test::Move;
use strict;
use warnings;

use Exporter qw(import);
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use POSIX ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(usleep);

our @EXPORT_OK = qw(app_to_move catalog_of counts_of difference hold_copies ledger let_copies looked_at more_rows pgbench_sums two_regions watch_both);

# Two clusters, and what a proxy beside the first one is configured with (`regions`, `set` and more of it).
sub two_regions
{
	my (%set) = @_;
	my ($agora, $osc) = regional_clusters('agora-fr1', 'osc-fr1');
	return ($agora, $osc,
		regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc ],
		set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres', migration_lease => span(1), %set });
}

# The database `app`, with a ledger, something to probe with, and a thousand rows to be copied.
sub app_to_move
{
	my ($cluster, @more) = @_;
	$cluster->safe_psql('postgres', 'CREATE DATABASE app');
	$cluster->safe_psql('app', $_) for <<'SQL', @more;
CREATE TABLE ledger(client int, n int, PRIMARY KEY (client, n));
CREATE TABLE probe(i int);
CREATE TABLE shelf(id serial PRIMARY KEY, what text);
INSERT INTO shelf(what) SELECT 'thing' FROM generate_series(1, 1000);
SQL
	return;
}

sub ledger
{
	my ($conninfo, @options) = @_;
	my @conninfo = ref $conninfo ? @$conninfo : ($conninfo);
	my $self = bless { in => '', out => '', err => '' }, __PACKAGE__;
	my $tool = ($ENV{MERIDIAN_BUILDDIR} || '.') . '/tests/tools/ledger';
	$self->{run} = IPC::Run::start([ $tool, @options, @conninfo ], '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err},
		run_limit(600));
	return $self;
}

sub stop
{
	my ($self) = @_;
	# A server that was started meanwhile has the pipe too: its end alone would not be seen.
	$self->{in} .= "stop\n";
	$self->{run}->finish;
	@$self{qw(acked errors unknown reconnects gap_ms)} =
	  $self->{out} =~ /^total (\d+) errors (\d+) unknown (\d+) reconnects (\d+) gap_ms (\d+)/m;
	return $self->{acked};
}

# Rows that were acknowledged and are not there.
sub lost
{
	my ($self, $cluster, $database) = @_;
	my $rows = join '', map { "$_\n" } $self->{out} =~ /^ack (\d+ \d+)$/mg;
	$rows =~ tr/ /\t/;
	my $sql = "SET meridian.internal = on;\nCREATE TEMP TABLE acked(client int, n int);\nCOPY acked FROM stdin;\n$rows\\.\n"
	  . "SELECT count(*) FROM acked a WHERE NOT EXISTS (SELECT FROM ledger l WHERE l.client = a.client AND l.n = a.n);\n";
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', $cluster->connstr($database) ], '<', \$sql, '>', \$out, '2>', \$err)
	  or return $err;
	chomp $out;
	return $out;
}

# The proxies that look at a database have looked at it (twice: the first look may have begun before).
sub looked_at
{
	my ($cluster, $database) = @_;
	for (1 .. 2) {
		my $now = $cluster->safe_psql($database, 'SELECT clock_timestamp()');
		wait_until(sub { $cluster->safe_psql($database, "SELECT count(*) FROM meridian.proxy WHERE heartbeat > '$now'") },
			"a proxy to look at $database");
	}
	return;
}

# So many rows more have come into a ledger since: its clients go on.
sub more_rows
{
	my ($cluster, $database, $n) = @_;
	my $count = sub { $cluster->safe_psql($database, 'SELECT count(*) FROM ledger') };
	my $from  = $count->();
	return wait_until(sub { $count->() >= $from + $n }, "$n more rows in the ledger");
}

sub pgbench_sums
{
	my ($cluster, $database) = @_;
	my %sum;
	$sum{$_} = $cluster->safe_psql($database, "SELECT sum(${\substr $_, 0, 1}balance) FROM pgbench_$_") for qw(accounts branches tellers);
	$sum{history} = $cluster->safe_psql($database, 'SELECT coalesce(sum(delta), 0) FROM pgbench_history');
	return %sum;
}

# Slots, publications, subscriptions, event triggers, triggers of ours.
sub counts_of
{
	my ($cluster, $database) = @_;
	return map { $cluster->safe_psql($database, "SELECT count(*) FROM $_") } 'pg_replication_slots', 'pg_publication', 'pg_subscription',
	  'pg_event_trigger', "pg_trigger WHERE tgname = 'meridian_fence'";
}

# All that a move may touch, as text.
sub catalog_of
{
	my ($cluster, $database) = @_;
	my ($dump, $err) = ('', '');
	IPC::Run::run([ 'pg_dump', '-s', '-N', 'meridian', $cluster->connstr($database) ], '>', \$dump, '2>', \$err) or die $err;
	$dump =~ s/^\\(?:un)?restrict .*\n//mg;
	my @more = map { $cluster->safe_psql($database, $_) } split /;\n/, <<'SQL';
SELECT c.oid::regclass, c.relreplident FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'meridian', 'pg_toast') ORDER BY c.oid::regclass::text;
SELECT slot_name, plugin, slot_type FROM pg_replication_slots ORDER BY 1;
SELECT pubname FROM pg_publication ORDER BY 1;
SELECT subname FROM pg_subscription ORDER BY 1;
SELECT evtname, evtevent, evtenabled FROM pg_event_trigger ORDER BY 1;
SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text, 2;
SELECT setdatabase, setrole, setconfig FROM pg_db_role_setting ORDER BY 1, 2;
SELECT datname, datacl, datconnlimit, datallowconn FROM pg_database ORDER BY 1;
SELECT rolname, rolsuper, rolcanlogin, rolconnlimit, rolpassword FROM pg_authid ORDER BY 1
SQL
	return join "\n", $dump, @more;
}

# Lines that only one of two texts has; '' where they are the same.
sub difference
{
	my ($before, $after) = @_;
	return '' if $before eq $after;
	my %n;
	$n{$_}-- for split /\n/, $before;
	$n{$_}++ for split /\n/, $after;
	return join '', map { sprintf "%+d %s\n", $n{$_}, $_ } grep { $n{$_} } sort keys %n || 'their order';
}

# The initial copies of tables wait on the target for as long as the session that is returned lives.
sub hold_copies
{
	my ($target, $database, @tables) = @_;
	my $lock = $target->background_psql($database);
	$lock->query_safe(<<'SQL');
SET meridian.internal = on;
CREATE FUNCTION meridian.held() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN new; END';
SELECT pg_advisory_lock(4711)
SQL
	$lock->query_safe(<<"SQL") for @tables;
CREATE TRIGGER held BEFORE INSERT ON $_ FOR EACH ROW EXECUTE FUNCTION meridian.held();
ALTER TABLE $_ ENABLE ALWAYS TRIGGER held
SQL
	return $lock;
}

# They go on, and nothing is left of what made them wait: that is taken away when they come to their end, or the
# migration could compare the schemas before. (The session that hold_copies returned, if it lives.)
sub let_copies
{
	my ($target, $database, $lock) = @_;
	my $drop = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $target->connstr($database),
			'-c', 'SET meridian.internal = on; DROP FUNCTION meridian.held() CASCADE' ],
		'<', \'', '>', \my $out, '2>', \my $err, run_limit(120));
	if ($lock) {
		$target->poll_query_until($database, q(SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'))
		  or die 'nothing waits for the copies';
		$lock->quit;
	}
	$drop->finish or die "let_copies: $err";
	return;
}

# A child that tries to write on both sides all the time: each try is a transaction on one, and while
# that is open one on the other. Both may refuse; that both take it must never be.
sub watch_both
{
	my ($one, $other, $database) = @_;
	pipe my $from, my $to or die $!;
	pipe my $until, my $alive or die $!;
	my $pid = fork // die $!;
	if ($pid == 0) {
		close $alive;
		my $said = eval { watch($until, $database, $one, $other) } // "died $@";
		syswrite $to, $said;
		POSIX::_exit(0);
	}
	close $to;
	close $until;
	return bless { pid => $pid, from => $from, alive => $alive }, 'Meridian::Test::Move::Watch';
}

# "0": it would be written. Else why not, or that there is no such database now.
sub try_to_write
{
	my ($side) = @_;
	my $said = eval {
		if (!$side->{wire}) {
			$side->{wire} = Meridian::Test::Wire->new($side->{at});
			my @all = $side->{wire}->login(database => $side->{database}, user => 'postgres');
			die "no login\n" if !@all || $all[-1][0] ne 'Z';
		}
		my $in = $side->{wire}->ask('BEGIN', 'INSERT INTO probe VALUES (0) RETURNING i');
		die "closed\n" if $in eq '' || $in =~ /^57P0/;
		$in;
	} // "lost $@";
	delete $side->{wire} if $said =~ /^lost/;
	return $said;
}

# The transaction that has written still can: whatever came between its two rows came while it could.
sub can_still_write
{
	my ($side) = @_;
	return eval { $side->{wire}->ask('INSERT INTO probe VALUES (0) RETURNING i') } // 'lost';
}

sub watch
{
	my ($until, $database, @at) = @_;
	my @sides = map { { at => $_, database => $database } } @at;
	my %n = map { $_ => 0 } qw(tries one other both);
	my $bits = '';
	vec($bits, fileno $until, 1) = 1;
	while (!select(my $ready = $bits, undef, undef, 0.003)) {
		my @said = map { try_to_write($_) } @sides;
		$n{both}++ if $said[0] eq '0' && $said[1] eq '0' && can_still_write($sides[0]) eq '0';
		eval { $_->{wire}->ask('ROLLBACK') if $_->{wire}; 1 } or delete $_->{wire} for @sides;
		$n{tries}++;
		$n{one}++   if $said[0] eq '0';
		$n{other}++ if $said[1] eq '0';
	}
	return join ' ', %n;
}

package Meridian::Test::Move::Watch;
use strict;
use warnings;

sub stop
{
	my ($self) = @_;
	close $self->{alive};
	my $from = $self->{from};
	my $said = do { local $/; <$from> };
	waitpid $self->{pid}, 0;
	return { split / /, $said };
}

1;
