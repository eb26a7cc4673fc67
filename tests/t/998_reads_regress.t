#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
# timeout: 10800
#
# PostgreSQL's own regression tests say through a transaction pool what they say at the server, and with reads = nearest what they say with
# reads = home: file by file, in the order of their schedule, each way on a fresh cluster. Where they do not stands in a table, which is
# to name no file that does.
#
#   REGRESS_DIR       src/test/regress of PostgreSQL's sources, of the version that is tested with; they are in no package
#   REGRESS_LIBDIR    where its regress.so, and refint.so and autoinc.so of contrib/spi, were built (pg_config --pkglibdir, without those)
#   REGRESS_FILES     only these files of the schedule: "test_setup sequence"
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Reads;
use Meridian::Test::SameOutput;
use PostgreSQL::Test::Utils ();
use Test::More;

my $dir = $ENV{REGRESS_DIR} // '';
plan skip_all => 'REGRESS_DIR does not name src/test/regress of PostgreSQL\'s sources' unless -e "$dir/parallel_schedule";

# What a file says otherwise, by the way that is compared.
my %differs = (
	home => {
		guc  => 'SET of an extension\'s setting: its connection has loaded plpgsql, for a file in front of it',
		temp => 'PREPARE TRANSACTION: its connection has had its temporary schema since an earlier session, which \c does not end',
	},
	near => {
		sequence => 'last_value of a sequence is up to 32 ahead nearby, and log_cnt 0',
		stats    => 'what was read nearby is counted there, and what is counted is asked for at home',
	},
);
my %only_behind_others = (guc => 1);

my %seen;
my @files = grep { -e "$dir/sql/$_.sql" && !$seen{$_}++ }
  map { split } PostgreSQL::Test::Utils::slurp_file("$dir/parallel_schedule") =~ /^(?:test|ignore): (.*)/mg;
my %wanted = map { ($_ => 1) } split ' ', $ENV{REGRESS_FILES} // '';
@files = grep { $wanted{$_} } @files if %wanted;

chomp(my $libdir = $ENV{REGRESS_LIBDIR} // `pg_config --pkglibdir`);
my $results = PostgreSQL::Test::Utils::tempdir();
mkdir "$results/results";
local @ENV{qw(PG_ABS_SRCDIR PG_ABS_BUILDDIR PG_LIBDIR PG_DLSUFFIX PGTZ PGDATESTYLE)} = ($dir, $results, $libdir, '.so', 'PST8PDT', 'Postgres, MDY');

# What home writes beside its commits goes on its way soon; nothing happens by itself.
my $conf = "wal_writer_delay = 10\nautovacuum = off\nmax_prepared_transactions = 2\n";
my $wait = span(30);
my $pool = "[database *]\npool = transaction\nconsistency_wait = $wait\n";

sub cluster
{
	my ($name) = @_;
	my ($node) = regional_clusters($name, { streaming => 1, conf => $conf });
	$node->safe_psql('postgres', 'CREATE DATABASE regression TEMPLATE template0');
	$node->safe_psql('postgres', "ALTER DATABASE regression SET $_")
	  for q(lc_messages TO 'C'), q(lc_monetary TO 'C'), q(lc_numeric TO 'C'), q(lc_time TO 'C'), q(bytea_output TO 'hex'),
	  q(timezone_abbreviations TO 'Default');
	return $node;
}

# alter_table looks for files that are no relation's. Where its sources are older than the server it finds some, by their OIDs, in any order.
sub without_oids { my ($text) = @_; return $text =~ s/^ +[1-9]\d{4} \|.*\n//gmr }

sub one_file
{
	my ($name, $port, @options) = @_;
	my $said = '';
	local $ENV{PGAPPNAME} = "pg_regress/$name";
	local $ENV{PGOPTIONS} = join ' ', '-c intervalstyle=postgres_verbose', @options;
	eval {
		IPC::Run::run([ qw(psql -X -a -q -v HIDE_TABLEAM=on -v HIDE_TOAST_COMPRESSION=on -h 127.0.0.1 -p), $port, '-d', 'regression' ],
			'<', "$dir/sql/$name.sql", '>&', \$said, run_limit(300));
		1;
	} or $said .= "did not end: $@";
	$said = masked($said);
	return $name eq 'alter_table' ? without_oids($said) : $said;
}

sub all_files { my ($port) = @_; return { map { ($_ => one_file($_, $port)) } @files } }

# The session that \c begins is to see what the one in front of it has written: it has no token of that, and asks home.
sub all_files_nearby
{
	my ($proxy, $home, $near) = @_;
	my %said;
	for my $name (@files) {
		my $reconnects = PostgreSQL::Test::Utils::slurp_file("$dir/sql/$name.sql") =~ /^\\c/m;
		$home->wait_for_catchup($near, 'replay');
		$said{$name} = one_file($name, $proxy->port, '-c meridian.city=paris', $reconnects ? '-c meridian.consistency=strict' : ());
	}
	return \%said;
}

my %said;
my $direct = cluster('direct');
$said{direct} = all_files($direct->port);
$direct->stop;

my $alone = cluster('alone');
my $home_proxy = Meridian::Test::Proxy->new('home', regions => [ 'us-east1' => $alone ],
	set => { auth => 'trust', workers => 1, region => 'us-east1', probe_conninfo => 'user=postgres' }, conf => $pool);
$home_proxy->start;
$said{home} = all_files($home_proxy->port);
$home_proxy->stop;
$alone->stop;

my $home  = cluster('us-east1');
my $near  = regional_standby($home, 'europe-west1');
my $proxy = near_proxy($home, $near, conf => "${pool}reads = nearest\n");
$said{near} = all_files_nearby($proxy, $home, $near);
my $ran = tally($proxy);
$proxy->stop;

sub compare
{
	my ($name, $way, $than) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($said, $want) = ($said{$way}{$name}, $said{$than}{$name});
	my $why = $differs{$way}{$name};
	if ($why) {
		isnt($said, $want, "$name says something else $way: $why");
	} else {
		ok($said eq $want, "$name says the same $way") or diag first_difference($want, $said);
	}
	return;
}

for my $name (@files) {
  SKIP: {
		skip "$name: $differs{home}{$name}", 1 if %wanted && $only_behind_others{$name};
		compare($name, 'home', 'direct');
	}
	compare($name, 'near', 'home');
}
cmp_ok($ran->{'near READ'}, '>=', 10 * @files, "$ran->{'near READ'} transactions nearby") unless %wanted;
note join ', ', map { "$ran->{$_} $_" } grep { $ran->{$_} } sort keys %$ran;
if (my $keep = $ENV{REGRESS_KEEP}) {
	for my $way (keys %said) {
		PostgreSQL::Test::Utils::append_to_file("$keep/$_.$way.out", $said{$way}{$_}) for @files;
	}
}
done_testing();
