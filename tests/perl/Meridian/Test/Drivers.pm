# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Drivers - programs that use a real driver.
#
#   use Meridian::Test::Drivers qw(driver_run driver_missing driver_is);
#
#   driver_is('psycopg', $script, "expected output\n", $proxy->port);     # or it is skipped
#   SKIP: {
#       my $why = driver_missing('node-postgres');
#       skip $why, 1 if $why;
#       is(driver_run('node-postgres', $script, $proxy->port), "expected output\n");
#   }
#
# Drivers: psycopg, psycopg2, asyncpg, django (python3), activerecord (ruby), node-postgres, neon (node), jdbc (java: the
# program is a source file, of a class Main), pgx (go: a source file, too; what it imports is compiled into tests/tmp/go,
# once). node-postgres comes from Debian (node-pg); where that is not installed, and for neon, npm fetches it into
# tests/tmp/node, once.
# neon's program is tests/drivers/neon.js: driver_run('neon', \%options), see there.
package Meridian::Test::Drivers;
use strict;
use warnings;

use Exporter qw(import);
use Fcntl    qw(:flock);
use File::Temp ();
use IPC::Run   ();
use JSON::PP qw(encode_json);
use Meridian::Test::Patience;
use Test::More;

our @EXPORT_OK = qw(driver_run driver_missing driver_is);

my $jar = '/usr/share/java/postgresql.jar';
my @pythons = ([ 'python3', '-c' ], [ '/usr/bin/python3', '-c' ]); # Debian's has Debian's packages
my %driver = (
	'psycopg'       => { runs => \@pythons, try => 'import psycopg' },
	'psycopg2'      => { runs => \@pythons, try => 'import psycopg2' },
	'asyncpg'       => { runs => \@pythons, try => 'import asyncpg' },
	'django'        => { runs => \@pythons, try => 'import django, psycopg2' },
	'activerecord'  => { run => [ 'ruby', '-e' ], try => 'begin; require "active_record"; require "pg"; rescue LoadError; abort $!.message; end' },
	'jdbc'          => {
		run => [ 'java', '-cp', $jar ], file => 'Main.java',
		try => 'class Main { public static void main(String[] a) throws Exception { Class.forName("org.postgresql.Driver"); } }',
	},
	# Debian's packages of Go are sources; a module proxy is not asked
	'pgx' => {
		run => [ 'env', 'GO111MODULE=off', 'GOPATH=/usr/share/gocode', 'GOCACHE=' . ($ENV{MERIDIAN_TMP} || '/tmp') . '/go', 'go', 'run' ],
		file => 'main.go', try => qq{package main\nimport _ "github.com/jackc/pgx/v4/pgxpool"\nfunc main() {}\n},
	},
	'node-postgres' => { run => [ 'node', '-e' ], try => 'require("pg")', npm => ['pg@8.13.1'] },
	'neon' => {
		run => [ 'node', '-e' ], try => 'require("ws"); require("@neondatabase/serverless"); require.resolve("subtls")',
		npm => [ '@neondatabase/serverless@1.2.0', 'subtls@0.5.0', 'ws@8.18.0' ], program => 'neon.js',
	},
);

# Why a driver cannot be used here; '' when it can.
sub driver_missing
{
	my ($name) = @_;
	my $d = $driver{$name} or die "no driver $name";
	my $tried = attempt($d);
	return '' if $tried eq '';
	return "$name: $tried" unless $d->{npm};
	my $fetched = npm_install($d);
	return "$name: $fetched" if $fetched ne '';
	return attempt($d);
}

sub attempt
{
	my ($d) = @_;
	my ($out, $err) = ('', '');
	for my $run ($d->{run} || @{ $d->{runs} }) {
		($out, $err) = ('', '');
		next unless eval { IPC::Run::run([ @$run, text_of($d, $d->{try}) ], '<', \'', '>', \$out, '2>', \$err) };
		$d->{run} = $run;
		return '';
	}
	my ($line) = grep { /\S/ && !/^node:/ } reverse split /\n/, $err || $@ || 'not installed';
	return $line =~ /No module named|Cannot find module|not found|No such file|cannot load such file|from \$GOPATH/ ? 'is not installed' : $line;
}

# The program itself, or where a file is wanted, the file that it has been put into.
sub text_of
{
	my ($d, $program) = @_;
	return $program unless $d->{file};
	$d->{dir} ||= File::Temp->newdir;
	open my $out, '>', "$d->{dir}/$d->{file}" or die "$d->{dir}/$d->{file}: $!";
	print $out $program;
	close $out;
	return "$d->{dir}/$d->{file}";
}

sub npm_install
{
	my ($d) = @_;
	my $dir = ($ENV{MERIDIAN_TMP} || '.') . '/node';
	mkdir $dir;
	open my $lock, '>', "$dir/lock" or return "cannot write $dir: $!";
	flock $lock, LOCK_EX or return "flock: $!";
	return '' if attempt($d) eq '';
	my $said = '';
	my $good = eval {
		IPC::Run::run([
			'npm', 'install', '--prefix', $dir, '--no-package-lock', '--no-audit', '--no-fund', '--no-update-notifier',
			'--ignore-scripts', @{ $d->{npm} }
		], '<', \'', '>', \$said, '2>&1', run_limit(120));
	};
	return $good ? '' : 'npm could not install it';
}

# The output of a program in the driver's language; its arguments follow (process.argv in node,
# sys.argv in python, from index 1). Errors, and that it did not end in time, are part of the output.
sub driver_run
{
	my ($name, $program, @args) = @_;
	my $out = '';
	driver_missing($name) unless $driver{$name}{run};
	my @command = (@{ $driver{$name}{run} }, text_of($driver{$name}, $program), @args);
	@command = ('node', "$ENV{MERIDIAN_SRCDIR}/tests/drivers/$driver{$name}{program}", encode_json($program))
	  if ref $program;
	my $limit = run_limit(240);
	eval {
		IPC::Run::run(\@command, '<', \'', '>', \$out, '2>&1', $limit);
		1;
	} or $out .= "did not end: $@";
	return $out;
}

# One test: what a driver's program says; skipped where there is no such driver.
sub driver_is
{
	my ($name, $program, $want, @args) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
  SKIP: {
		my $why = driver_missing($name);
		skip $why, 1 if $why;
		is(driver_run($name, $program, @args), $want, $name);
	}
	return;
}

1;
