# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Files - many files, carried out in regions while the proxies that do it are killed.
#
#   use Meridian::Test::Files qw(many_files kill_run);
#   my $dir = many_files(200);
#   my $kills = kill_run(proxies => [ $a, $b ], migration => $m, kills => 30, database => 'app');
#
# The files of many_files() are of four kinds: transactions, statements that stand alone, settings
# that have to hold for what is behind them, schema changes. Each row of `log` is the mark of one
# statement: statement_marks($n) says how many there have to be, each once.
package Meridian::Test::Files;
use strict;
use warnings;

use Exporter qw(import);
use Meridian::Test::Patience;
use PostgreSQL::Test::Utils ();

our @EXPORT_OK = qw(put_files many_files statement_marks kill_run);

# name => text, into a directory that everybody may read.
sub put_files
{
	my ($dir, %files) = @_;
	chmod 0755, $dir;
	while (my ($name, $text) = each %files) {
		open my $out, '>', "$dir/$name" or die "$dir/$name: $!";
		print {$out} $text;
		close $out;
	}
	return $dir;
}

my @kinds = (
	sub { my ($i, $mark) = @_; return $mark->(1) . "CREATE TABLE x$i (i int);\n" . $mark->(3) },
	sub {
		my ($i, $mark) = @_;
		return "-- meridian: no-transaction\n" . $mark->(1) . "CREATE INDEX CONCURRENTLY i$i ON t (v, id);\n" . $mark->(3)
		  . "DROP INDEX CONCURRENTLY i$i;\n" . $mark->(5);
	},
	sub { my ($i, $mark) = @_; return "ALTER TABLE t ADD COLUMN c$i int;\n" . $mark->(2) },
	sub {
		my ($i, $mark) = @_;
		my $if = "current_setting('work_mem') = '4321kB'";
		return "-- meridian: no-transaction\nSET work_mem = '4321kB';\n" . $mark->(2, $if) . "VACUUM t;\n" . $mark->(4, $if);
	});
my @marks = (2, 3, 1, 2);

sub many_files
{
	my ($n) = @_;
	my %files = ('V001__base.sql' => "CREATE TABLE log (file text, statement int);\nCREATE TABLE t (id int, v text);\n"
		  . "INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 3000) g;\n");
	for my $i (2 .. $n) {
		my $name = sprintf 'V%03d__x.sql', $i;
		$files{$name} = $kinds[ $i % 4 ]->(
			$i,
			sub { my ($s, $if) = @_; return "INSERT INTO log SELECT '$name', $s" . ($if ? " WHERE $if" : '') . ";\n" });
	}
	return put_files(PostgreSQL::Test::Utils::tempdir(), %files);
}

sub statement_marks
{
	my ($n) = @_;
	my $sum = 0;
	$sum += $marks[ $_ % 4 ] for 2 .. $n;
	return $sum;
}

# One proxy has it run, is killed after a random time, and the other one goes on; then the first one
# is there again. Until it is done. How many were killed while they ran it.
sub kill_run
{
	my (%opt) = @_;
	my ($runs, $rests) = @{ $opt{proxies} };
	my ($killed, $d) = (0, deadline(300, "migration $opt{migration} to be done"));
	while ($d->goes_on) {
		my $said = $runs->console_error("RUN MIGRATION $opt{migration} ALL NOWAIT");
		die "RUN: $said" if $said && $said !~ /55P03|55000/;
		if ($killed < $opt{kills}) {
			let_pass(0.05 + rand($opt{longest} || 1.5), 'it gets to any of its steps');
			return $killed if is_done($rests, $opt{migration});
			$runs->kill9;
			$killed++;
			($runs, $rests) = ($rests, $runs);
			$rests->start;
			next;
		}
		return $killed if is_done($runs, $opt{migration});
	}
	die $d->text . ': ' . $runs->console("SHOW MIGRATION $opt{migration}")->[0]{state};
}

sub is_done
{
	my ($proxy, $m) = @_;
	my $state = $proxy->console("SHOW MIGRATION $m")->[0]{state};
	die "migration $m: $state: " . $proxy->console("SHOW MIGRATION $m")->[0]{error} if $state =~ /error|abort/;
	return $state eq 'done';
}

1;
