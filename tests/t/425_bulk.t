#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# runs alone
#
# Bulk (proxy/session/bulk.h): COPY costs few system calls per megabyte, either way, and whatever is
# less than the low-water mark arrives all the same, at once where the answer ends.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my $kind = sanitized();
plan skip_all => "a sanitizer ($kind) makes system calls of its own" if $kind;
plan skip_all => no_strace() if no_strace();

my $dir   = PostgreSQL::Test::Utils::tempdir();
my $node  = regional_clusters('here');
my $proxy = Meridian::Test::Proxy->new('bulk',
	regions => [ here => { nodes => $node, sslmode => 'disable' } ],
	set     => { workers => 1, probe_interval => NEVER, auth => 'trust' },
	conf    => "[database pooled]\ndbname = postgres\npool = transaction\n");
$proxy->start;
my $mb     = 150;
my $rows   = $mb * 1000;
$node->safe_psql('postgres', "CREATE TABLE t AS SELECT repeat('x', 999) AS c FROM generate_series(1, $rows)");

# psql is a program of its own: what it does not read in time is the kernel's to keep.
sub psql
{
	my ($database, $command) = @_;
	PostgreSQL::Test::Utils::system_log('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', $command,
		$proxy->connstr($database)) == 0 or die 'psql';
	return;
}

psql('postgres', 'SELECT 1');    # its threads have their names by then
my $worker = { threads($proxy->pid) }->{'worker/1'};
for my $database (qw(postgres pooled)) {
	my $out = system_calls($worker, sub { psql($database, "\\copy t TO '$dir/rows'") });
	is(-s "$dir/rows", $rows * 1000, "$database: all of the rows come out");
	measured('%.1f system calls per MB of COPY out', $out->{total} / $mb);
	cmp_ok($out->{total} / $mb, '<=', 110, 'COPY out costs at most 110 system calls per MB') or diag explain $out;
	cmp_ok($out->{setsockopt}, '>=', 2, 'the mark was set and taken back');

	psql($database, 'TRUNCATE u') if $database ne 'postgres';
	psql($database, 'CREATE UNLOGGED TABLE u (c text)') if $database eq 'postgres';
	my $in = system_calls($worker, sub { psql($database, "\\copy u FROM '$dir/rows'") });
	is($node->safe_psql('postgres', 'SELECT count(*) FROM u'), $rows, "$database: all of the rows go in");
	measured('%.1f system calls per MB of COPY in', $in->{total} / $mb);
	cmp_ok($in->{total} / $mb, '<=', 110, 'COPY in costs at most 110 system calls per MB') or diag explain $in;
}

# 40 MB, and then the server sends a little and falls silent: the little arrives, before the rest is
# asked for. It could not where the mark stayed.
my $w = Meridian::Test::Wire->session($proxy, database => 'postgres');
$w->send(query('SELECT pg_advisory_lock(1)'));
$w->until('Z');
my $other = Meridian::Test::Wire->session($proxy, database => 'postgres');
$other->send(query("COPY (SELECT CASE i WHEN 40001 THEN pg_advisory_xact_lock(1)::text ELSE repeat('x', 999) END"
	  . ' FROM generate_series(1, 48002) AS i) TO STDOUT'));
# the server sends what it has when its buffer of 8 kB is full: what is left of that it keeps itself
my $seen = 0;
while ($seen < 39_990) {
	my $m = $other->message;
	$seen++ if $m->[0] eq 'd';
}
cmp_ok($seen, '>=', 39_990, 'what is less than the mark arrives while the server is silent');
# The mark is gone then, and need not be earned by 16 MB once more.
my $rest = system_calls($worker, sub {
	$w->send(query('SELECT pg_advisory_unlock(1)'));
	$w->until('Z');
	$seen += grep { $_->[0] eq 'd' } $other->until('Z');
});
is($seen, 48_002, 'and the rest when it goes on');
cmp_ok($rest->{setsockopt} // 0, '>=', 1, 'with the mark, behind 8 MB') or diag explain $rest;

# Behind the end of the answer each query is told of at once, and no timer runs.
my $ask  = sub { for (1 .. $_[0]) { $other->send(query('SELECT 1')); $other->until('Z') } };
my $one  = system_calls($worker, sub { $ask->(1) });
my $many = system_calls($worker, sub { $ask->(1001) });
is(sprintf('%.2f', ($many->{total} - $one->{total}) / 1000), '6.00', 'a query behind it costs six system calls')
  or diag explain $many;
my $idle;
for (1 .. 3) {    # what watched over the logins may run out first
	$idle = system_calls($worker, sub { let_pass(1, 'something wakes up') });
	last if $idle->{total} == 0;
}
is($idle->{total}, 0, 'and none while nobody says anything') or diag explain $idle;
$proxy->stop;
done_testing();
