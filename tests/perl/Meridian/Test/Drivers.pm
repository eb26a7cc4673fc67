# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Drivers - programs that use a real driver.
#
#   use Meridian::Test::Drivers qw(driver_run driver_missing);
#
#   SKIP: {
#       my $why = driver_missing('node-postgres');
#       skip $why, 1 if $why;
#       is(driver_run('node-postgres', $script, $proxy->port), "expected output\n");
#   }
#
# Drivers: psycopg, psycopg2 (python3), node-postgres (node). node-postgres comes from Debian
# (node-pg); where that is not installed, npm fetches it into tests/tmp/node, once.
package Meridian::Test::Drivers;
use strict;
use warnings;

use Exporter qw(import);
use Fcntl    qw(:flock);
use IPC::Run ();

our @EXPORT_OK = qw(driver_run driver_missing);

my $node_postgres = 'pg@8.13.1';

my %driver = (
	'psycopg'       => { run => [ 'python3', '-c' ], try => 'import psycopg' },
	'psycopg2'      => { run => [ 'python3', '-c' ], try => 'import psycopg2' },
	'node-postgres' => { run => [ 'node', '-e' ], try => 'require("pg")', fetch => \&npm_install },
);

# Why a driver cannot be used here; '' when it can.
sub driver_missing
{
	my ($name) = @_;
	my $d = $driver{$name} or die "no driver $name";
	my $tried = attempt($d);
	return '' if $tried eq '';
	return "$name: $tried" unless $d->{fetch};
	my $fetched = $d->{fetch}->();
	return "$name: $fetched" if $fetched ne '';
	return attempt($d);
}

sub attempt
{
	my ($d) = @_;
	my ($out, $err) = ('', '');
	my $good = eval { IPC::Run::run([ @{ $d->{run} }, $d->{try} ], '>', \$out, '2>', \$err) };
	return '' if $good;
	my ($line) = grep { /\S/ && !/^node:/ } reverse split /\n/, $err || $@ || 'not installed';
	return $line =~ /No module named|Cannot find module|not found|No such file/ ? 'is not installed' : $line;
}

sub npm_install
{
	my $dir = ($ENV{MERIDIAN_TMP} || '.') . '/node';
	mkdir $dir;
	open my $lock, '>', "$dir/lock" or return "cannot write $dir: $!";
	flock $lock, LOCK_EX or return "flock: $!";
	return '' if -d "$dir/node_modules/pg";
	my $said = '';
	my $good = eval {
		IPC::Run::run([
			'npm', 'install', '--prefix', $dir, '--no-save', '--no-audit', '--no-fund', '--no-update-notifier',
			'--ignore-scripts', $node_postgres
		], '<', \'', '>', \$said, '2>&1', IPC::Run::timeout(120));
	};
	return $good ? '' : 'npm could not install it';
}

# The output of a program in the driver's language; its arguments follow (process.argv in node,
# sys.argv in python, from index 1). Errors, and that it did not end in time, are part of the output.
sub driver_run
{
	my ($name, $program, @args) = @_;
	my $out = '';
	my $limit = IPC::Run::timeout(60 * ($ENV{MERIDIAN_TEST_SLOW} || 1));
	eval {
		IPC::Run::run([ @{ $driver{$name}{run} }, $program, @args ], '<', \'', '>', \$out, '2>&1', $limit);
		1;
	} or $out .= "did not end: $@";
	return $out;
}

1;
