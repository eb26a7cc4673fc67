# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::SameOutput - programs say the same through Meridian as at the server itself, byte for byte.
#
#   my ($said, $noise) = statements_say($connstr);   # psql runs tests/data/statements.sql, while others
#                                                    # use the pool's connections; for a role "app" that exists
#   ok($said eq $direct, 'the same') or diag first_difference($direct, $said);
#   my $text = says('pgbench', '-n', …);             # all that a program says, on both of its outputs
#   my $file = script_file('x.sql', $text);
#
# What a transaction pool does not promise (doc/pools.md) is not asked.
package Meridian::Test::SameOutput;
use strict;
use warnings;

use Exporter qw(import);
use IPC::Run ();
use Meridian::Test::Patience;
use PostgreSQL::Test::Utils ();

our @EXPORT = qw(first_difference masked says script_file statements_say);

my ($dir, $statements, $noise);

sub script_file
{
	my ($name, $text) = @_;
	$dir //= PostgreSQL::Test::Utils::tempdir();
	PostgreSQL::Test::Utils::append_to_file("$dir/$name", $text);
	return "$dir/$name";
}

# Everything that a program says, on both its outputs, in its order.
sub says
{
	my (@command) = @_;
	my $all = '';
	IPC::Run::run(\@command, '<', \'', '>&', \$all, run_limit(120));
	return $all;
}

# What is another process's, or another file's, each time.
sub masked
{
	my ($text) = @_;
	$text =~ s/(with PID) \d+/$1 0/g;
	$text =~ s/pg_temp_\d+|pg_toast_temp_\d+/pg_temp_0/g;
	return $text;
}

# Where two texts part, with what stands in front of that.
sub first_difference
{
	my ($want, $got) = map { [ split /\n/ ] } @_;
	my $i = 0;
	$i++ while $i < @$want && $i < @$got && $want->[$i] eq $got->[$i];
	my $from = $i > 12 ? $i - 12 : 0;
	return join "\n", (map { "  $_" } @$want[ $from .. $i - 1 ]), (map { defined $_ ? "- $_" : () } @$want[ $i .. $i + 5 ]),
	  map { defined $_ ? "+ $_" : () } @$got[ $i .. $i + 5 ];
}

# tests/data/statements.sql, behind a table that it uses and a text that is long.
sub statements_file
{
	my $rows = join '', map { "$_\trow $_\n" } 1 .. 2000;
	my $long = 'abcdefghij' x 20_000;
	return script_file('statements.sql',
		"CREATE TABLE t (i int PRIMARY KEY, x text);\nCOPY t FROM STDIN;\n$rows\\.\nSELECT length('$long'), md5('$long');\n"
		  . PostgreSQL::Test::Utils::slurp_file("$ENV{MERIDIAN_SRCDIR}/tests/data/statements.sql"));
}

# Who else uses the pool's connections, and leaves its mark wherever it can.
sub noise_file
{
	return script_file('noise.sql', <<'SQL');
SET search_path = pg_catalog;
SET DateStyle = 'SQL';
SET TIME ZONE 'Pacific/Auckland';
SELECT set_config('app.tenant', 'noise', false);
BEGIN;
SET LOCAL IntervalStyle = 'sql_standard';
SELECT 1;
END;
SET bytea_output = 'escape';
SET statement_timeout = '9999s'; -- time: a setting that is to be forgotten
RESET search_path;
SQL
}

sub statements_say
{
	my ($connstr) = @_;
	my $others_said = '';
	$statements //= statements_file();
	$noise      //= noise_file();
	my $others = IPC::Run::start([ 'pgbench', '-n', '-c', 2, '-T', 300, '-f', $noise, $connstr ], '<', \'', '>&', \$others_said, run_limit(400));
	# psql 15.19 and later leave a script whose COPY FROM does not begin
	my $said = masked(says('psql', '-X', '-a', '-f', $statements, '-d', $connstr))
	  . says('psql', '-X', '-a', '-c', 'COPY nowhere FROM STDIN', '-d', $connstr);
	$others->kill_kill;
	return ($said, $others_said);
}

1;
