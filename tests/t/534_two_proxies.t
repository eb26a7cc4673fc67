#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Two proxies and one migration: the second is refused while the first lives, takes over within
# seconds when it is stopped (SIGSTOP), and the woken one can do nothing.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils qw(append_to_file);
use Test::More;
use Time::HiRes qw(time);

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
$_->safe_psql('postgres', 'CREATE DATABASE app') for $east, $west;
$_->safe_psql('app', 'CREATE TABLE done_by(file text)') for $east, $west;
my $lease = patience(4);
my $dir   = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/V001__one.sql", "INSERT INTO done_by VALUES ('one');\n");
append_to_file("$dir/V002__two.sql", "SELECT pg_sleep(CASE WHEN to_regclass('fast') IS NULL THEN 120 ELSE 0 END);\n"
	  . "INSERT INTO done_by VALUES ('two');\n");
append_to_file("$dir/V003__three.sql", "INSERT INTO done_by VALUES ('three');\n");

my @proxies = map {
	my $p = Meridian::Test::Proxy->new($_,
		regions => [ 'us-east1' => $east, 'us-west1' => $west ],
		set     => { auth => 'trust', region => 'us-east1', migration_conninfo => 'user=postgres', migration_lease => int(1000 * $lease) . 'ms' });
	$p->start;
	$p->wait_up(2);
	$p
} qw(first second);
my ($first, $second) = @proxies;

sub said
{
	my ($proxy, $sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	return ($status, "$out\n$err");
}

my ($status, $text) = said($first, "CREATE MIGRATION f OF DATABASE app FROM FILES '$dir' ALL REGIONS WITH (lint = off)");
is($status, 0, 'a migration') or diag $text;
($status, $text) = said($first, 'RUN MIGRATION f ALL NOWAIT');
is($status, 0, 'the first proxy runs it') or diag $text;
ok($east->poll_query_until('app', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"),
	'… and is in the middle of a file');

for my $sql ('RUN MIGRATION f ALL', 'RETRY MIGRATION f') {
	($status, $text) = said($second, $sql);
	isnt($status, 0, "$sql by the second is refused while the first lives");
	like($text, qr/55P03|55000/, '… with a reason');
}
outlast($lease, 'the lease');
($status, $text) = said($second, 'RUN MIGRATION f ALL');
like($text, qr/55P03.*another executor holds the lease/s, '… however long its statement takes');

kill 'STOP', $first->pid;
$east->safe_psql('app', 'CREATE TABLE fast ()');
$west->safe_psql('app', 'CREATE TABLE fast ()');
my $since = time;
wait_until(sub { ($status, $text) = said($second, 'RUN MIGRATION f ALL'); $status == 0 }, 'the second one to be let', 90);
is($status, 0, 'stopped, it is replaced') or diag $text;
cmp_ok(passed($since), '<', 3 * $lease + patience(15), '… within seconds');
is($second->console('SHOW MIGRATION f')->[0]{state}, 'done', '… and the second does the rest');

my $seq = $east->safe_psql('app', 'SELECT max(seq) FROM meridian.journal');
kill 'CONT', $first->pid;
my $log = $first->wait_console('SHOW MIGRATIONS', sub { ($_[0][0]{state} || '') eq 'done' });
ok($log, 'the first one, woken, sees that it is done');
ok($east->poll_query_until('app', "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name LIKE 'meridian-exec-%'"),
	'… has no connection left');
is($east->safe_psql('app', 'SELECT max(seq) FROM meridian.journal'), $seq, '… and has written nothing');
for my $node ($east, $west) {
	is($node->safe_psql('app', "SELECT string_agg(file, ' ' ORDER BY file) FROM done_by"), 'one three two',
		$node->name . ': every file was run once');
}
$_->stop for @proxies;
done_testing;
