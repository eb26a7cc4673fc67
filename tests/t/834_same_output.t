#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A psql script of many kinds of statements, and pgbench, say and do the same by every kind of pool
# as they do at the server itself, byte for byte, while others use the pool's connections in between.
# What a transaction pool does not promise (doc/pools.md) is not asked.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use Meridian::Test::SameOutput;
use Test::More;

my @ways = qw(direct own ses tx);
my ($east) = regional_clusters('us-east1', { conf => "max_prepared_transactions = 4\n" });
$east->safe_psql('postgres', 'CREATE ROLE app LOGIN');
$east->safe_psql('postgres', "CREATE DATABASE d_$_") for @ways;
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $east ],
	set     => { auth => 'trust', workers => 1, default_pool_size => 3, region => 'us-east1' },
	conf    => join '', map { "[database $_->[0]]\ndbname = d_$_->[0]\npool = $_->[1]\n" } [ own => 'off' ], [ ses => 'session' ],
	[ tx => 'transaction' ]);
$proxy->start;

sub connstr
{
	my ($way) = @_;
	return $way eq 'direct' ? $east->connstr('d_direct') . ' host=127.0.0.1' : $proxy->connstr($way);
}

# ---------------------------------------------------------------- psql

my %said;
for my $way (@ways) {
	($said{$way}, my $noise) = statements_say(connstr($way));
	unlike($noise, qr/error|abort/i, "$way: the others are served");
}
cmp_ok(length $said{direct}, '>', 3_000_000, 'a script says a lot');
for my $way (@ways[ 1 .. 3 ]) {
	ok($said{$way} eq $said{direct}, "$way: psql says the same as at the server") or diag first_difference($said{direct}, $said{$way});
}
is($east->safe_psql("d_$_", 'SELECT count(*) FROM t WHERE i = 20000'), '0', "$_: what was left open is gone") for @ways;

# ---------------------------------------------------------------- pgbench

$east->safe_psql("d_$_", <<'SQL') for @ways;
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL DEFAULT 0);
INSERT INTO account SELECT generate_series(1, 100);
CREATE TABLE history (id int, amount int);
SQL
my $transfer = script_file('transfer.sql', <<'SQL');
\set id random(1, 100)
\set amount random(-5000, 5000)
BEGIN;
UPDATE account SET balance = balance + :amount WHERE id = :id;
SELECT balance FROM account WHERE id = :id;
INSERT INTO history VALUES (:id, :amount);
END;
SELECT count(*) AS n FROM account \gset
\if :n != 100
SELECT 1/0;
\endif
SQL

my %done;
for my $way (@ways) {
	for my $mode (qw(simple extended prepared)) {
		my $said = says('pgbench', '-n', '-M', $mode, '-c', 4, '-j', 4, '-t', 100, '--random-seed=4711', '-f', $transfer, connstr($way));
		$done{$way} .= join "\n", $mode, grep { /^(?:number of|query mode|transaction type|pgbench: error)/ } split /\n/, $said;
	}
	$done{$way} =~ s/^transaction type:.*//mg;
	$done{$way} .= $east->safe_psql("d_$way", 'SELECT * FROM account ORDER BY id')
	  . $east->safe_psql("d_$way", 'SELECT id, sum(amount), count(*) FROM history GROUP BY id ORDER BY id');
}
like($done{direct}, qr{actually processed: 400/400}, 'pgbench goes through');
is($done{$_}, $done{direct}, "$_: and does the same as at the server") for @ways[ 1 .. 3 ];
$proxy->stop;
done_testing();
