#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# A database moves to a server of a later major version, and back: what the two print in other words,
# or have in other catalogs, is no difference of their schemas. Where two versions are installed.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Move qw(app_to_move);
use Meridian::Test::Proxy;
use Test::More;

# pg_dump is of the version that is tested with, and must not be older than either server.
my ($newest) = `pg_config --version` =~ /(\d+)/;
my @older = grep { m{/(\d+)$} && $1 < $newest && $1 >= 14 && -x "$_/bin/initdb" && -x "$_/bin/pg_config" } glob '/usr/lib/postgresql/*';
plan skip_all => "no PostgreSQL older than $newest is installed" unless @older;

my ($old, $new) = regional_clusters('agora-fr1', { install_path => $older[-1] }, 'osc-fr1');
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'agora-fr1' => $old, 'osc-fr1' => $new ],
	set     => { auth => 'trust', region => 'agora-fr1', migration_conninfo => 'user=postgres' });
$proxy->start;
$proxy->wait_up(2);
isnt($old->safe_psql('postgres', 'SHOW server_version_num'), $new->safe_psql('postgres', 'SHOW server_version_num'), 'two versions');

app_to_move($old, <<'SQL');
CREATE TABLE t(a int PRIMARY KEY, b text NOT NULL CHECK (b <> ''), c int GENERATED ALWAYS AS (a * 2) STORED);
CREATE VIEW v AS SELECT a, b FROM t WHERE a > 0;
CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t;
CREATE FUNCTION f() RETURNS bigint LANGUAGE SQL BEGIN ATOMIC SELECT count(*) FROM t; END;
CREATE POLICY p ON t USING (EXISTS (SELECT FROM shelf WHERE id = a));
INSERT INTO t VALUES (1, 'one');
SQL

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err, $proxy->console_raw('SHOW MIGRATION mv LOG');
	return;
}

run_it('CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (identity = auto)');
run_it("RUN MIGRATION mv $_") for qw(PREPARE DATA FINALIZE);
is($proxy->safe_psql('app', q(INSERT INTO t VALUES (2, 'two') RETURNING current_setting('cluster_name'))), 'osc-fr1', 'it has moved');
is($proxy->safe_psql('app', 'SELECT count(*), f() FROM v'), '2|2', 'with its view');
run_it('REVERSE MIGRATION mv');
is($proxy->safe_psql('app', q(SELECT count(*), current_setting('cluster_name') FROM v)), '2|agora-fr1', 'and back');
done_testing();
