#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Migrations of kind regions and changefeeds: one that would end (schema_change_policy = 'stop')
# blocks the step of its table and is named, with a sink and without; ACK, changefeeds = pause and
# allow; ABORT resumes what was paused; others ask for the consumers' ACK. Against a stand-in for a
# CockroachDB cluster (Meridian::Test::CockroachStandIn).
use strict;
use warnings;
use Meridian::Test::CockroachStandIn qw(movr movr_proxy);
use Test::More;

my $crdb = movr(nodes => 3, regions => [qw(us-east1 us-west1 europe-west1)]);
$crdb->tell('KEEP');
my $proxy = movr_proxy('main', $crdb);
$proxy->start;
my $n = 0;

# A new migration that is prepared; its name.
sub prepared
{
	my ($tables, $with) = @_;
	my $m = 'f' . ++$n;
	$crdb->tell('RESET');
	$proxy->console("CREATE MIGRATION $m OF DATABASE movr TO REGIONS us-east1 PRIMARY LOCALITY ($tables)" . ($with ? " WITH ($with)" : ''));
	$proxy->console("RUN MIGRATION $m PREPARE");
	return $m;
}

sub home { my ($t) = @_; my ($h) = $crdb->psql_value('STANDIN STATE') =~ /^home public.$t (.*)$/m; return $h // '-' }

sub feed_is
{
	my ($id, $want, $what) = @_;
	my ($row) = grep { /^$id\|/ } $crdb->rows('SHOW CHANGEFEED JOBS');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is((split /\|/, $row)[3], $want, $what);
}

sub stopping { my ($t) = @_; return $crdb->psql_value("CREATE CHANGEFEED FOR TABLE $t INTO 'kafka://b' WITH schema_change_policy = 'stop', updated") }

# ---- with a sink

my $id = stopping('users');
my $m  = prepared('rides REGIONAL BY ROW, users REGIONAL BY ROW');
my $error = $proxy->console_error("RUN MIGRATION $m DATA");
like($error, qr/MR005/,                                      'a changefeed that would end blocks');
like($error, qr/changefeed $id would end when public\.users/, 'it is named, and its table');
like($error, qr/DETAIL:.*schema_change_policy = 'stop'/s,    'with its statement');
like($error, qr/HINT:.*ACK MIGRATION \d+ changefeed_stop/s,  'and what can be done');
is(home('rides'), 'REGIONAL BY ROW', 'the table before it was changed');
is(home('users'), '-',               'its own was not');
feed_is($id, 'running', 'and it runs');
is($proxy->console("SHOW MIGRATION $m")->[0]{state}, 'error', 'the migration waits for a word');
$proxy->console("ACK MIGRATION $m changefeed_stop 'the consumer is told'");
is($proxy->console("RETRY MIGRATION $m")->[0]{state}, 'done', 'ACK lets it go on');
is(home('users'), 'REGIONAL BY ROW', 'the table is changed');
feed_is($id, 'failed', 'and the changefeed has ended');
like(join(' ', map { $_->{detail} // '' } @{ $proxy->console("SHOW MIGRATION $m LOG") }), qr/the consumer is told/, 'the journal has who said so');

$id = stopping('users');
$m  = prepared('users REGIONAL BY ROW', 'changefeeds = pause');
is($proxy->console("RUN MIGRATION $m DATA")->[0]{state}, 'done', 'changefeeds = pause goes on');
feed_is($id, 'paused', 'and the changefeed is paused, not ended');
is(home('users'), 'REGIONAL BY ROW', 'the table is changed');

$id = stopping('users');
$m  = prepared('users REGIONAL BY ROW, vehicles REGIONAL BY ROW', 'changefeeds = pause');
my $w = $crdb->sinkless(q{EXPERIMENTAL CHANGEFEED FOR vehicles WITH schema_change_policy = 'stop'});
$error = $proxy->console_error("RUN MIGRATION $m DATA");
like($error, qr/MR005.*would end when public\.vehicles/s, 'one without a sink cannot be paused: it blocks');
like($error, qr/without a sink.*EXPERIMENTAL CHANGEFEED FOR vehicles/s, 'and is named by its statement');
feed_is($id, 'paused', 'the other one is paused meanwhile');
is($proxy->console("ABORT MIGRATION $m")->[0]{state}, 'aborted', 'ABORT');
feed_is($id, 'running', 'resumes it');
$crdb->psql_value("CANCEL JOB $id");

# ---- without a sink

$m = prepared('vehicles REGIONAL BY ROW');
like($proxy->console_error("RUN MIGRATION $m DATA"), qr/MR005.*without a sink/s, 'changefeeds = error sees those without a sink');
ok($w->silent, 'its client has noticed nothing');
$proxy->console("SET MIGRATION $m (changefeeds = allow)");
is($proxy->console("RETRY MIGRATION $m")->[0]{state}, 'done', 'allow lets it end');
like(join('', map { $_->[1] } $w->until('Z')), qr/55C01/, 'as its client hears');
$w->close;

# ---- those that go on, with another format

$id = $crdb->psql_value(q{CREATE CHANGEFEED FOR TABLE movr.public.users INTO 'kafka://b' WITH updated});
$m  = prepared('users REGIONAL BY ROW');
$proxy->console("RUN MIGRATION $m DATA NOWAIT");
my $row = $proxy->wait_console("SHOW MIGRATION $m", sub { $_[0][0]{state} eq 'waiting-ack' && $_[0][0]{detail} })->[0];
like($row->{detail}, qr/changefeed_format.*changefeed $id/s, 'readers of another format are waited for');
is(home('users'), '-', 'before anything changes');
$proxy->console("ACK MIGRATION $m changefeed_format");
$proxy->wait_console("SHOW MIGRATION $m", sub { $_[0][0]{state} eq 'done' });
feed_is($id, 'running', 'and it goes on');

$m = prepared('users REGIONAL BY ROW', 'require_ack = off');
is($proxy->console("RUN MIGRATION $m DATA")->[0]{state}, 'done', 'require_ack = off asks nobody');

$id = stopping('promo_codes');
$m  = prepared('promo_codes GLOBAL');
is($proxy->console("RUN MIGRATION $m DATA")->[0]{state}, 'done', 'GLOBAL keeps the primary key, and changefeeds');
feed_is($id, 'running', 'it runs');

$proxy->stop;
done_testing();
