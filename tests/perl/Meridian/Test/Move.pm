# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Move - what tests of moves have in common: a writer that remembers what it was
# promised (tests/tools/ledger), sums of pgbench, and what a database looks like from outside.
#
#   my $l = ledger($proxy->connstr('app'), '-c', 4);     # writes from now on, into ledger(client, n)
#   ...
#   $l->stop;                                            # {acked} {errors} {reconnects} {gap_ms}
#   is($l->lost($cluster, 'app'), 0);                    # acknowledged rows that are not there
#   my $before = catalog_of($cluster, 'app');            # text: schema, slots, settings, roles …
#   is(difference($before, catalog_of($cluster, 'app')), '');
package Meridian::Test::Move;
use strict;
use warnings;

use Exporter qw(import);
use IPC::Run ();
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();

our @EXPORT_OK = qw(catalog_of counts_of difference ledger pgbench_sums);

sub ledger
{
	my ($conninfo, @options) = @_;
	my @conninfo = ref $conninfo ? @$conninfo : ($conninfo);
	my $self = bless { in => '', out => '', err => '' }, __PACKAGE__;
	my $tool = ($ENV{MERIDIAN_BUILDDIR} || '.') . '/tests/tools/ledger';
	$self->{run} = IPC::Run::start([ $tool, @options, @conninfo ], '<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err},
		IPC::Run::timeout(Meridian::Test::Proxy::slow(600)));
	return $self;
}

sub stop
{
	my ($self) = @_;
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

1;
