#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Passwords that a move needs are in no server's log, also where every statement is logged and where
# one fails.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my %logs = (conf => "log_statement = all\nlog_min_duration_statement = 0\n");
my ($agora, $osc) = regional_clusters('agora-fr1', {%logs}, 'osc-fr1', {%logs});
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [
		'agora-fr1' => { nodes => $agora, migration_peer_conninfo => 'user=postgres password=geheim1' },
		'osc-fr1'   => { nodes => $osc,   migration_peer_conninfo => 'user=postgres password=geheim2 port=1' } ],
	set => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres' });
$proxy->start;
$proxy->wait_up(2);
$agora->safe_psql('postgres', q(SET log_statement = none; SET log_min_duration_statement = -1; CREATE ROLE app LOGIN PASSWORD 'geheim3'));
$agora->safe_psql('postgres', 'CREATE DATABASE app OWNER app');
$agora->safe_psql('app', 'CREATE TABLE t(id int PRIMARY KEY)');

my ($status, $out, $err) = $proxy->console_raw('CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1');
like($err, qr/source_reaches_target/, 'one of them cannot be reached');
for my $sql ('SET MIGRATION mv (reverse = off)', 'CHECK MIGRATION mv', 'RUN MIGRATION mv PREPARE', 'RUN MIGRATION mv DATA') {
	($status, undef, my $said) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $said;
	$err .= $said;
}
$err .= join "\n", map { (values %$_) } map { @{ $proxy->console("SHOW MIGRATION mv$_") } } '', ' STEPS', ' LOG', ' CHECKS', ' SQL';
unlike(slurp_file($_->logfile), qr/geheim|SCRAM-SHA/, 'the log of ' . $_->name . ' has no password') for $agora, $osc;
unlike($err,                    qr/geheim|SCRAM-SHA/, '... nor does the console');
unlike($proxy->log_text,        qr/geheim|SCRAM-SHA/, '... nor the log of the proxy');
$proxy->stop;
done_testing();
