#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A console whose client reads late: FOLLOW of a long journal waits for it, holds up nobody, loses no
# line, and can be cancelled, left and shut down in the middle.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(time);

use constant { EVENTS => 20_000, CALLS => 32 };    # CALLS: so many may be under way at once

my ($node) = regional_clusters('us-east1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => $node ],
	set     => { workers => 1, migration_conninfo => 'user=postgres' });
$proxy->start;
$proxy->wait_up(1);
$node->safe_psql('postgres', 'CREATE DATABASE app');
my $dir = PostgreSQL::Test::Utils::tempdir();
PostgreSQL::Test::Utils::append_to_file("$dir/V001__one.sql", "CREATE TABLE one(id int PRIMARY KEY);\n");
$proxy->console("CREATE MIGRATION long OF DATABASE app FROM FILES '$dir' REGIONS (us-east1)");
$proxy->console('RUN MIGRATION long ALL');
$node->safe_psql('app', 'INSERT INTO meridian.journal(uuid, seq, mig, at, actor, event, detail)
	SELECT uuid, 1000 + g, id, now(), $$nobody$$, $$notice$$, jsonb_build_object($$text$$, $$event $$ || g || repeat($$ x$$, 100))
	FROM meridian.migration, generate_series(1, ' . EVENTS . ') g');

# A console that has asked to follow, and reads nothing.
sub follower
{
	my $w = Meridian::Test::Wire->new(path => $proxy->socket_path);
	$w->login(database => 'meridian');
	$w->send(query('FOLLOW MIGRATION long'));
	ok($w->wait_for('read', 30), 'it is being told');
	let_pass(0.3, 'more is said than is read');
	return $w;
}

# What it was told up to ReadyForQuery: how many events in their order, and the end.
sub told
{
	my ($w) = @_;
	my ($n, $error, $tag) = (0, '', '');
	for my $m ($w->until('Z')) {
		if    ($m->[0] eq 'd') { $n++ if $m->[1] =~ /event (\d+) x/ && $1 == $n + 1 }
		elsif ($m->[0] eq 'E') { $error = error_fields($m)->{C} }
		elsif ($m->[0] eq 'C') { $tag   = $m->[1] }
	}
	return ($n, $error, $tag);
}

my $w = follower();
is($proxy->console('SHOW MIGRATION long')->[0]{state}, 'done', 'others are answered meanwhile');
my ($n, $error, $tag) = told($w);
is($n, EVENTS, 'who reads late is told everything, in its order');
is("$error $tag", " FOLLOW MIGRATION\0", 'to the end');

# Ctrl-C from who has not read: what was on its way comes, and the error behind it.
$w = follower();
ok($w->cancel, 'a cancel request');
($n, $error, $tag) = told($w);
is("$error $tag", '57014 ', 'the statement is cancelled');
cmp_ok($n, '<', EVENTS, 'in the middle');
$w->send(query('SHOW MIGRATION long'));
is(scalar(grep { $_->[0] eq 'D' } $w->until('Z')), 1, 'and the next one is answered');

# A long listing is no different.
$w->send(query(join '; ', ('SHOW CONFIG') x 40));
ok($w->wait_for('read', 30), 'SHOW is at it');
let_pass(0.3, 'more is said than is read');
$w->cancel;
($n, $error, $tag) = told($w);
is($error, '57014', 'SHOW is cancelled too') or diag $tag;

# Who leaves takes its command along.
for (1 .. 2) {
	my @left = map { my $v = Meridian::Test::Wire->new(path => $proxy->socket_path);
		$v->login(database => 'meridian'); $v->send(query('FOLLOW MIGRATION long')); $v } 1 .. CALLS - 1;
	let_pass(0.3, 'their commands are under way');
	$_->close for @left;
	$proxy->wait_console('SHOW SESSIONS FULL', sub { @{ $_[0] } <= 2 });
}
ok(wait_until(sub { my (undef, $out) = $proxy->console_raw('SHOW MIGRATION long'); $out =~ /done/ }, 'an answer'), 'who left is not counted any more');

my $begun = time;
$w = follower();
$proxy->stop;
in_time($begun, 20, 'a proxy that is told to stop does not wait for who does not read');
done_testing();
