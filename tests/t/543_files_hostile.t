#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Files that nobody expects: names with quotes, new lines, bytes that are no text; directories, pipes and
# links of the name of a file; undo files that name each other. And an ABORT that was interrupted in
# the middle of an undo file: what the file has set holds for who takes it up later.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Files qw(put_files);
use Meridian::Test::Proxy;
use POSIX ();
use PostgreSQL::Test::Utils ();
use Test::More;

my ($east) = regional_clusters('us-east1');
$east->safe_psql('postgres', 'CREATE DATABASE app');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east ],
	set     => { migration_conninfo => 'user=postgres' });
$proxy->start;
$proxy->wait_up;

sub sql       { my ($sql) = @_; return $east->safe_psql('app', $sql) }
sub directory { return put_files(PostgreSQL::Test::Utils::tempdir(), @_) }
sub made      { my ($dir) = @_; return "CREATE MIGRATION OF DATABASE app FROM FILES '$dir' REGIONS (\"us-east1\")" }
sub create    { my ($dir) = @_; return $proxy->console(made($dir))->[0]{migration} }
sub state_of  { my ($m) = @_; return $proxy->console("SHOW MIGRATION $m")->[0]{state} }

# ---------------------------------------------------------------- an undo that was interrupted

# Whoever had the search path for granted would delete what belongs to others.
sql('CREATE TABLE a (i int); CREATE TABLE b (i int); INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)');
my $dir = directory(
	'V1__shop.sql'      => "-- meridian: no-transaction\nCREATE SCHEMA shop;\nCREATE TABLE shop.a (i int);\nCREATE TABLE shop.b (i int);\n",
	'V1__shop.undo.sql' => "-- meridian: no-transaction\nSET search_path = shop;\nDROP TABLE a;\nDROP TABLE b;\nDROP SCHEMA shop;\n",
	'V2__bad.sql' => "-- meridian: undo none\nSELECT 1 / 0;\n");
my $m = create($dir);
like($proxy->console_error("RUN MIGRATION $m ALL"), qr/22012/, 'the second file fails');
sql('ALTER TABLE shop.b RENAME TO c');
like($proxy->console_error("ABORT MIGRATION $m"), qr/42P01.*V1__shop\.undo\.sql, line 4/s, 'an undo fails at its third statement');
is(sql("SELECT to_regclass('shop.a') IS NULL"), 't', '… the second was carried out');
sql('ALTER TABLE shop.c RENAME TO b');
my $undo = "-- meridian: no-transaction\nSET search_path = shop;\nDROP TABLE a;\nDROP TABLE b;\nDROP SCHEMA shop;\n";
put_files($dir, 'V1__shop.undo.sql' => "-- meridian: no-transaction\nDROP TABLE shop.b;\nDROP TABLE shop.a;\nDROP SCHEMA shop;\n");
like($proxy->console_error("ABORT MIGRATION $m"), qr/55000.*was changed after its first 2 statements.*Put statement 1 back/s,
	'changed in front of where it stands it is refused');
put_files($dir, 'V1__shop.undo.sql' => $undo =~ s/DROP SCHEMA shop/DROP SCHEMA IF EXISTS shop/r);
my ($status, $out, $err) = $proxy->console_raw("ABORT MIGRATION $m");
is($status, 0, 'ABORT goes on there') or diag $err;
is(state_of($m), 'aborted', '… to its end');
is(sql("SELECT to_regnamespace('shop') IS NULL"), 't', '… with what was to go gone');
is(sql('SELECT count(*) FROM a, b'), 1, 'tables of the same name elsewhere are untouched');

# ---------------------------------------------------------------- names

my @names = ("V1__o'clock.sql", "V2__\"quoted\".sql", "V3__new\nline.sql", 'V4__$$; DROP TABLE t; --.sql', "V5__\\back.sql", "V6__\x{c3}\x{a9}.sql");
$dir = directory(map { ($names[$_] => "CREATE TABLE n$_ ();\n", $names[$_] =~ s/\.sql$/.undo.sql/r => "DROP TABLE n$_;\n") } 0 .. $#names);
$m = create($dir);
is($proxy->console("RUN MIGRATION $m ALL")->[-1]{state}, 'done', 'names with quotes, new lines, backslashes')
  or diag explain $proxy->console("SHOW MIGRATION $m");
is(sql("SELECT count(*) FROM meridian.history WHERE state = 'done'"), scalar(@names), '… each in its row');
my ($files) = scalar @{ $proxy->console("SHOW MIGRATION $m FILES") };
is($files, scalar(@names), '… and in SHOW');

# ---------------------------------------------------------------- what is no file

for my $case (
	[ 'a name that is no text', sub { put_files($_[0], "V2__\xff\xfe.sql" => "SELECT 1;\n") }, qr/name of a file is not in UTF-8/ ],
	[ 'an undo whose name is none', sub { put_files($_[0], "V2__\xff\xfe.undo.sql" => "SELECT 1;\n") }, qr/name of a file is not in UTF-8/ ],
	[ 'a directory', sub { mkdir "$_[0]/V2__x.sql" }, qr/not a regular file/ ],
	[ 'a pipe',      sub { POSIX::mkfifo("$_[0]/V2__x.sql", 0666) }, qr/not a regular file/ ],
	[ 'a link to nothing', sub { symlink "$_[0]/nowhere", "$_[0]/V2__x.sql" }, qr/V2__x\.sql: No such file/ ],
	[ 'a link to itself', sub { symlink 'V2__x.sql', "$_[0]/V2__x.sql" }, qr/V2__x\.sql: / ],
	[ 'an endless device', sub { symlink '/dev/zero', "$_[0]/V2__x.sql" }, qr/not a regular file/ ],
	[ 'a zero byte', sub { put_files($_[0], 'V2__x.sql' => "SELECT 1;\0") }, qr/zero byte/ ],
	[ 'an undo that is the directory', sub { put_files($_[0], 'V2__x.sql' => "-- meridian: undo ..\nSELECT 1;\n") }, qr/not a regular file/ ],
	[ 'an undo elsewhere', sub { put_files($_[0], 'V2__x.sql' => "-- meridian: undo ../y.sql\nSELECT 1;\n") }, qr/not in the same directory/ ],
  )
{
	my ($what, $do, $says) = @$case;
	$dir = directory('V1__t.sql' => "CREATE TABLE nothing ();\n");
	$do->($dir);
	($status, $out, $err) = $proxy->console_raw(made($dir));
	my $checks = $status ? '' : join "\n",
	  map { "$_->{detail}" } @{ $proxy->console('SHOW MIGRATION ' . $proxy->console('SHOW MIGRATIONS')->[-1]{migration} . ' CHECKS') };
	like("$err\n$checks", $says, "$what is refused");
}
is(sql("SELECT to_regclass('nothing') IS NULL"), 't', 'nothing was done');

# Two files that name each other: one of them is the migration, the other its undo.
$dir = directory(
	'V10__up.sql'   => "-- meridian: undo V11__down.sql\nCREATE TABLE pair ();\n",
	'V11__down.sql' => "-- meridian: undo V10__up.sql\nDROP TABLE pair;\n");
$m = create($dir);
is($proxy->console("RUN MIGRATION $m ALL")->[-1]{state}, 'done', 'files that name each other: the first is what is done');
is(sql("SELECT to_regclass('pair') IS NOT NULL"), 't', '… and it was');

$proxy->stop;
done_testing();
