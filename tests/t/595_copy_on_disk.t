#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# When the copy is written down as done on the source it is on the target's disk, though the workers that made it do
# not wait for that: a target that dies then comes back with every table replicated, and the next proxy goes on.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Move qw(app_to_move);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;

# The log is on disk when somebody asks for it, and else after ten seconds.
my ($agora, $osc) = regional_clusters('agora-fr1', 'osc-fr1', { conf => "wal_writer_delay = 10s\n" });    # time: how late the log is on disk
my @config = (
	regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc ],
	set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres', migration_lease => span(1) });
my $one = Meridian::Test::Proxy->new('one', @config, args => ['--crash-points'], env => { MERIDIAN_CRASH_AT => 'post_data:before' });
my $two = Meridian::Test::Proxy->new('two', @config);
$_->start for $one, $two;
$_->wait_up(2) for $one, $two;
app_to_move($agora, map { "CREATE TABLE t$_(i int PRIMARY KEY)" } 1 .. 12);

for my $sql ("CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (identity = auto, max_lag = '1MB', $UNHURRIED)", 'RUN MIGRATION mv PREPARE') {
	my ($status, undef, $err) = $one->console_raw($sql);
	is($status, 0, $sql) or diag $err;
}
$one->console_raw('RUN MIGRATION mv DATA');
$osc->stop('immediate');
ok($one->wait_exit, 'the proxy has died behind the copy, and the target with it');
is($agora->safe_psql('app', q(SELECT state FROM meridian.step WHERE name = 'copy')), 'done', 'the copy is done');
$osc->start;
is($osc->safe_psql('app', 'SELECT string_agg(DISTINCT srsubstate::text, NULL) FROM pg_subscription_rel'), 'r', 'so it is on the target');
is($agora->safe_psql('app', q(SELECT string_agg(slot_name, ' ') FROM pg_replication_slots)), 'mrd_1_fwd', 'no slot of a copy is left');
$two->wait_up(2);
$two->console_when_free('RUN MIGRATION mv DATA NOWAIT');
$two->wait_console('SHOW MIGRATION mv', sub { $_[0][0]{state} eq 'data-migrated' }, 60);
my ($status, undef, $err) = $two->console_raw('RUN MIGRATION mv FINALIZE');
like($err, qr/verified at the frozen point: \d+ tables are the same/, 'the next proxy goes on') or diag $status;
$two->stop;
done_testing();
