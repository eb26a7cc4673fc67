#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What changes come by is lost: the slot was further behind than max_slot_wal_keep_size, somebody has dropped it, or the
# publication. DATA fails within seconds; a migration at rest says so, in the row, its journal and the log; FINALIZE and
# REVERSE are refused at once. ABORT, or COMPLETE, ends what is left.
use strict;
use warnings;
use Meridian::Test::Move qw(app_to_move hold_copies let_copies two_regions);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;
use Time::HiRes qw(time);

my ($agora, $osc, @config) = two_regions();
my ($one, $two) = map { Meridian::Test::Proxy->new($_, @config) } qw(one two);
$_->start for $one, $two;
$_->wait_up(2) for $one, $two;
app_to_move($agora);

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $one->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return "$out$err";
}

# It fails, at once.
sub refused
{
	my ($sql, $words, $what) = @_;
	my $begun = time;
	my ($status, undef, $err) = $one->console_raw($sql);
	isnt($status, 0, "$sql fails");
	in_time($begun, 15, '... at once');
	return like($err, $words, "... $what");
}

# So many segments are written that a slot that nobody reads is lost.
sub loses
{
	my ($cluster, $slot) = @_;
	$cluster->safe_psql('postgres', q(ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'));
	$cluster->reload;
	$cluster->safe_psql('postgres', "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000)), pg_switch_wal()") for 1 .. 4;
	$cluster->safe_psql('postgres', 'CHECKPOINT');
	$cluster->safe_psql('postgres', 'ALTER SYSTEM RESET max_slot_wal_keep_size');
	$cluster->reload;
	return is($cluster->safe_psql('postgres', "SELECT wal_status FROM pg_replication_slots WHERE slot_name = '$slot'"), 'lost', "$slot is lost");
}

sub row_of { my ($m) = @_; return $one->console("SHOW MIGRATION $m")->[0] }

sub detail_of
{
	my ($m, $words, $what) = @_;
	my $rows = eval { $one->wait_console("SHOW MIGRATION $m", sub { ($_[0][0]{detail} // '') =~ $words }) };
	return ok($rows, $what) || diag row_of($m)->{detail} // '(no detail)';
}

sub begins
{
	my ($m) = @_;
	run_it("CREATE MIGRATION $m OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (identity = auto, max_lag = '1MB', verify = 'off')");
	return run_it("RUN MIGRATION $m PREPARE");
}

sub aborted
{
	my ($m) = @_;
	run_it("ABORT MIGRATION $m");
	is(row_of($m)->{state}, 'aborted', "$m is aborted");
	return is($agora->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), '0', '... and no slot is left');
}

# ---------------------------------------------------------------- in DATA

begins('behind');
my $copies = hold_copies($osc, 'app', 'shelf');
run_it('RUN MIGRATION behind DATA NOWAIT');
ok($osc->poll_query_until('app', q(SELECT count(*) > 0 FROM pg_subscription_rel WHERE srsubstate = 'r')), 'the copy is under way');
$osc->safe_psql('app', 'ALTER SUBSCRIPTION mrd_1_fwd DISABLE');
detail_of('behind', qr/tables copied.*; subscription mrd_1_fwd is disabled there; ALTER SUBSCRIPTION mrd_1_fwd ENABLE/,
	'a subscription that somebody has disabled is told');
is(row_of('behind')->{state}, 'running(data)', '... and waited for');
ok($agora->poll_query_until('app', q(SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'mrd_1_fwd')), '... nobody reads its slot');
loses($agora, 'mrd_1_fwd');
eval { $one->wait_console('SHOW MIGRATION behind', sub { $_[0][0]{state} eq 'error' }) };
is(row_of('behind')->{state}, 'error', 'a slot that is lost is an error of DATA within seconds');
like(row_of('behind')->{detail}, qr/55000: replication slot mrd_1_fwd is lost: more than max_slot_wal_keep_size/, '... and said');
refused('RETRY MIGRATION behind', qr/55000: replication slot mrd_1_fwd is lost.*HINT:  ABORT MIGRATION 1; and begin again/s, 'for good');
$copies->quit;
aborted('behind');

begins('unpublished');
$copies = hold_copies($osc, 'app', 'shelf');
run_it('RUN MIGRATION unpublished DATA NOWAIT');
ok($osc->poll_query_until('app', q(SELECT count(*) > 0 FROM pg_subscription_rel WHERE srsubstate = 'r')), 'the copy is under way');
$agora->safe_psql('app', 'SET meridian.internal = on; DROP PUBLICATION mrd_2');
eval { $one->wait_console('SHOW MIGRATION unpublished', sub { $_[0][0]{state} eq 'error' }) };
like(row_of('unpublished')->{detail}, qr/55000: publication mrd_2 is gone/, 'a publication that was dropped is an error of DATA');
$copies->quit;
aborted('unpublished');

# ---------------------------------------------------------------- at rest behind DATA

begins('dropped');
run_it('RUN MIGRATION dropped DATA');
is(row_of('dropped')->{detail} // '', '', 'nothing is to be said of one that is well');
$osc->safe_psql('app', 'ALTER SUBSCRIPTION mrd_3_fwd DISABLE');
detail_of('dropped', qr/^replication stands still: nobody reads replication slot mrd_3_fwd; the log of the target says why$/, 'one that stands still says so');
$osc->safe_psql('app', 'ALTER SUBSCRIPTION mrd_3_fwd ENABLE');
detail_of('dropped', qr/^$/, '... and when it goes on again');
$osc->safe_psql('app', 'ALTER SUBSCRIPTION mrd_3_fwd DISABLE');
ok($agora->poll_query_until('app', q(SELECT NOT active FROM pg_replication_slots WHERE slot_name = 'mrd_3_fwd')), 'nobody reads its slot');
$agora->safe_psql('app', q(SELECT pg_drop_replication_slot('mrd_3_fwd')));
detail_of('dropped', qr/^replication slot mrd_3_fwd is gone; ABORT MIGRATION 3 and begin again$/, 'a slot that was dropped behind DATA is told');
my $logs = join '', map { $_->log_text } $one, $two;
my @lines = $logs =~ /migration 3: replication slot mrd_3_fwd is gone/g;
is(@lines, 1, '... in the log of one proxy');
is($agora->safe_psql('app', q(SELECT count(*) FROM meridian.journal WHERE detail ->> 'text' ~ 'mrd_3_fwd is gone')), '1', '... once in the journal');
refused('RUN MIGRATION dropped FINALIZE', qr/MR005.*lost: replication slot mrd_3_fwd is gone/s, 'with what is lost');
like(run_it('SHOW MIGRATION dropped CHECKS'), qr/ERROR.lost.*mrd_3_fwd is gone.*ABORT, and begin again/, '... which is a finding');
is(row_of('dropped')->{state}, 'data-migrated', '... and nothing was begun');
aborted('dropped');

# From 18 on a slot may be lost because nobody reads it.
my $next = 4;
SKIP: {
	skip 'PostgreSQL 18 and later', 10 if $agora->safe_psql('postgres', 'SHOW server_version_num') < 180000;
	# time: idle_replication_slot_timeout loses a slot
	$agora->safe_psql('postgres', q(ALTER SYSTEM SET idle_replication_slot_timeout = '1s'));
	$agora->reload;
	begins('idle');
	# time: as it is set
	like(run_it('SHOW MIGRATION idle CHECKS'), qr/WARN.slot_idle_limit.*idle_replication_slot_timeout = 1s/, 'that slots are lost so is a warning');
	run_it('RUN MIGRATION idle DATA');
	my $slot = $agora->safe_psql('postgres', q(SELECT slot_name FROM pg_replication_slots WHERE slot_name ~ '_fwd$'));
	$osc->safe_psql('app', "ALTER SUBSCRIPTION $slot DISABLE");
	ok($agora->poll_query_until('postgres', "CHECKPOINT; SELECT wal_status FROM pg_replication_slots WHERE slot_name = '$slot'",
			"CHECKPOINT\nlost"), 'a slot that nobody reads is lost');
	detail_of('idle', qr/^replication slot $slot is lost: nobody had read it for longer than idle_replication_slot_timeout;/, '... and the reason told');
	$agora->safe_psql('postgres', 'ALTER SYSTEM RESET idle_replication_slot_timeout');
	$agora->reload;
	aborted('idle');
	$next++;
}

# ---------------------------------------------------------------- the way back

begins('back');
run_it("RUN MIGRATION back $_") for qw(DATA FINALIZE);
is($one->safe_psql('app', 'INSERT INTO probe VALUES (1) RETURNING i'), '1', 'the database is served by the other side');
$agora->safe_psql('app', "SET meridian.internal = on; ALTER SUBSCRIPTION mrd_${next}_rev DISABLE");
detail_of('back', qr/^the way back stands still: nobody reads replication slot mrd_${next}_rev; the log of the source says why$/, 'a way back that stands still is told');
$osc->safe_psql('app', "SET meridian.internal = on; DROP PUBLICATION mrd_$next");
detail_of('back', qr/^the way back is gone: publication mrd_$next is gone; COMPLETE MIGRATION $next gives it up$/, 'a publication that was dropped is told at rest');
loses($osc, "mrd_${next}_rev");
detail_of('back', qr/^the way back is gone: replication slot mrd_${next}_rev is lost: .*; COMPLETE MIGRATION $next gives it up$/, 'a way back that is gone is told');
is(join(' ', map { $_->{state} } grep { $_->{detail} eq "mrd_${next}_rev" } @{ $one->console('SHOW MIGRATION back LAG') }), 'lost', '... by SHOW LAG too');
refused('REVERSE MIGRATION back', qr/MR005.*lost: replication slot mrd_${next}_rev is lost/s, 'with what is lost');
is(row_of('back')->{state}, 'redirecting', '... and nothing was begun');
is($one->safe_psql('app', 'INSERT INTO probe VALUES (2) RETURNING i'), '2', '... the database is served all the time');
run_it('COMPLETE MIGRATION back');
is(row_of('back')->{state}, 'done', 'the way back is given up');
is($_->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), '0', 'no slot is left on ' . $_->name) for $agora, $osc;

$_->stop for $one, $two;
done_testing();
