#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Files in three regions while the proxy that carries them out is killed, again and again, and
# another one goes on: each statement is carried out once, or found carried out. The same with a
# crash at each step, and on the way back. tests/t/941_files_kill.t is the long form.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Files qw(many_files put_files statement_marks kill_run);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

my ($n, $kills) = $ENV{KILL_EVERYWHERE} ? (200, 40) : (60, 6);
my @names = qw(us-east1 europe-west1 asia-south1);
my %at;
@at{@names} = regional_clusters(@names);
$_->safe_psql('postgres', 'CREATE DATABASE app') for values %at;
sub everywhere { my ($sql) = @_; return join ' ', map { $at{$_}->safe_psql('app', $sql) } @names }

sub proxy
{
	my ($name, %opt) = @_;
	my $proxy = Meridian::Test::Proxy->new($name,
		regions => [ map { $_ => $at{$_} } @names ],
		set     => { migration_conninfo => 'user=postgres', migration_lease => span(1) }, %opt);
	$proxy->start;
	$proxy->wait_up(3);
	return $proxy;
}

my @proxies = map { proxy($_) } qw(one two);
my $dir = many_files($n);
my $m   = $proxies[0]->console("CREATE MIGRATION OF DATABASE app FROM FILES '$dir' "
	  . "REGIONS (us-east1, europe-west1, asia-south1) CANARY asia-south1 WITH (lint = off)")->[0]{migration};
srand($ENV{SEED} // time);
my $killed = kill_run(proxies => \@proxies, migration => $m, kills => $kills, longest => $ENV{KILL_EVERYWHERE} ? 1.5 : 0.7);
cmp_ok($killed, '>', 0, "$n files in 3 regions, $killed times somebody was killed who carried them out");
my $marks = statement_marks($n);
is(everywhere('SELECT count(*) FROM log'), "$marks $marks $marks", 'every statement has been carried out');
is(everywhere('SELECT count(DISTINCT (file, statement)) FROM log'), "$marks $marks $marks", '… and none twice');
is(everywhere("SELECT count(*) FROM meridian.history WHERE state = 'done' AND stmts_done = stmts_total"), "$n $n $n", '… as the history says');
is(everywhere('SELECT count(*) FROM pg_index WHERE NOT indisvalid'), '0 0 0', '… no index is half built');
my ($proxy) = grep { $_->is_running } @proxies;
is(scalar(grep { $_->{state} !~ /^(?:done|skipped)$/ } @{ $proxy->console("SHOW MIGRATION $m STEPS") }), 0, '… every step is done');
is($proxy->console("CREATE MIGRATION OF DATABASE app FROM FILES '$dir' ALL REGIONS")->[0]{state}, 'preflight-success', 'another migration finds nothing changed');
put_files($dir, 'V006__x.sql' => "ALTER TABLE t ADD COLUMN c6 bigint;\nINSERT INTO log SELECT 'V006__x.sql', 2;\n");
my $error = $proxy->console_error("RUN MIGRATION @{[$m + 1]} ALL");
like($error, qr/changed_file V006__x.sql in us-east1.*-ALTER TABLE t ADD COLUMN c6 int;\n\s*\+ALTER TABLE t ADD COLUMN c6 bigint;/s,
	'a checksum that changed is refused, with the difference');
$_->stop for grep { $_->is_running } @proxies;

# ---- a crash before and after each step, with RUN and with ABORT
my %files = (
	'V1__t.sql'      => "CREATE TABLE s (id int);\nINSERT INTO s VALUES (1);\n",
	'V1__t.undo.sql' => "DROP TABLE s;\n",
	'V2__i.sql'      => "-- meridian: no-transaction\nINSERT INTO s VALUES (2);\nCREATE INDEX CONCURRENTLY s_i ON s (id);\nINSERT INTO s VALUES (3);\n",
	'V2__i.undo.sql' => "DROP INDEX CONCURRENTLY IF EXISTS s_i;\nDELETE FROM s WHERE id > 1;\n");
$dir = put_files(PostgreSQL::Test::Utils::tempdir(), %files);
my @steps = $ENV{KILL_EVERYWHERE} ? map { ("$_:before", "$_:after") } qw(store history apply_canary canary_window apply) : qw(store:after apply_canary:after apply:before);
$proxy = proxy('goes-on');
sub bare { $at{$_}->safe_psql('app', 'SET client_min_messages = error; DROP SCHEMA IF EXISTS meridian CASCADE; DROP TABLE IF EXISTS s') for @names; return }

for my $at_step (@steps) {
	for my $then (qw(RUN ABORT)) {
		bare();
		my $m = $proxy->console("CREATE MIGRATION OF DATABASE app FROM FILES '$dir' REGIONS (us-east1, europe-west1) CANARY us-east1")->[0]{migration};
		my $dies = proxy('dies', args => ['--crash-points'], env => { MERIDIAN_CRASH_AT => $at_step });
		$dies->console_error("RUN MIGRATION $m ALL");
		ok($dies->wait_exit(60), "crash at $at_step");
		my ($status, undef, $said) = $proxy->console_when_free($then eq 'RUN' ? "RUN MIGRATION $m ALL" : "ABORT MIGRATION $m");
		is($status && $said, 0, "… another proxy goes on with $then");
		is($proxy->wait_console("SHOW MIGRATION $m", sub { $_[0][0]{state} =~ /^(?:done|aborted|error)$/ })->[0]{state}, $then eq 'RUN' ? 'done' : 'aborted', '… to its end');
		my $left = join ' ', map { $at{$_}->safe_psql('app', "SELECT coalesce((SELECT string_agg(c.oid::regclass::text, ',' ORDER BY relname) FROM pg_class c WHERE relname ~ '^s(_i)?\$'), '')") } @names[ 0, 1 ];
		is($left, $then eq 'RUN' ? 's,s_i s,s_i' : ' ', '… with all that belongs there');
		is(join(' ', map { $at{$_}->safe_psql('app', "SELECT string_agg(id::text, ',' ORDER BY id) FROM s") } @names[ 0, 1 ]), '1,2,3 1,2,3', '… once') if $then eq 'RUN';
	}
}
$proxy->stop;
done_testing();
