#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Options of a move that say when and what: window (FINALIZE freezes in certain hours only, REVERSE at any), and
# ddl = record (schema changes of others are let through, told with their statements, and FINALIZE waits until both
# sides are the same).
use strict;
use warnings;
use Meridian::Test::Move qw(two_regions);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Test::More;
use Time::HiRes qw(time);

my ($agora, $osc, @config) = two_regions();
my $proxy = Meridian::Test::Proxy->new('main', @config);
$proxy->start;
$proxy->wait_up(2);
for my $db (qw(app other)) {
	$agora->safe_psql('postgres', "CREATE DATABASE $db");
	$agora->safe_psql($db, 'CREATE TABLE t(id int PRIMARY KEY); INSERT INTO t VALUES (1)');
}
$agora->safe_psql('postgres', 'CREATE ROLE alice LOGIN');
$agora->safe_psql('other', 'ALTER TABLE t OWNER TO alice; GRANT ALL ON SCHEMA public TO alice');

sub run_it
{
	my ($sql) = @_;
	my ($status, $out, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err;
	return "$out$err";
}

sub refused { my ($sql) = @_; my ($status, $out, $err) = $proxy->console_raw($sql); isnt($status, 0, "$sql is refused"); return $err }
sub state_of { return $proxy->console("SHOW MIGRATION $_[0]")->[0]{state} }

# hh:mm so many hours from now
# time: of day
sub at { my @t = gmtime(time + 3600 * $_[0]); return sprintf '%02d:%02d', $t[2], $t[1] }
my $closed = at(2) . '-' . at(3);
my $open   = at(-2) . '-' . at(2);

# ---------------------------------------------------------------- window

like(refused(q{CREATE MIGRATION w OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (window = 'at night')}),
	qr{22023: invalid value for option "window".*'Sat,Sun 22:00-02:00 Europe/Berlin'}s, 'a window that is none');
my $said = run_it(qq{CREATE MIGRATION w OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (window = '$closed Mars/Olympus', attempts = 1,}
	. q{ catchup_deadline = '} . span(0.5) . q{', max_lag = '1MB')});
like($said, qr{\[ERROR\] window  \Q$closed\E Mars/Olympus.*time zone "Mars/Olympus" not recognized}s, 'a zone that the server does not know');
is(state_of('w'), 'preflight-error', '... stands in the way');
run_it("SET MIGRATION w (window = '$closed Etc/UTC')");
run_it("RUN MIGRATION w $_") for qw(PREPARE DATA);

$said = refused('RUN MIGRATION w FINALIZE');
like($said, qr{ERROR:  55000: FINALIZE is to freeze in its window only: \Q$closed\E Etc/UTC}, 'outside of the window');
my ($next) = split /-/, $closed;    # a minute may have begun since
like($said, qr{DETAIL:  it opens \w{3} \d{4}-\d\d-\d\d \Q$next\E Etc/UTC; it is }, '... it says when it opens next');
like($said, qr/HINT:  Wait for it, or: RUN MIGRATION 1 FINALIZE FORCE \(window\);/, '... and what goes past it');
is(state_of('w'), 'data-migrated', '... and nothing has begun');
refused('RUN MIGRATION w ALL');
is(state_of('w'), 'data-migrated', '... by RUN ALL neither');
run_it('CHECK MIGRATION w FINALIZE');
my ($check) = grep { $_->{check} eq 'window' } @{ $proxy->console('SHOW MIGRATION w CHECKS') };
is($check->{severity}, 'ERROR', 'CHECK knows it');
like($check->{detail}, qr/^it opens /, '... with the time');

# It has begun, failed, and is to be tried again when the window is over.
run_it("SET MIGRATION w (window = '$open')");
my $lock = $osc->background_psql('app');
$lock->query_safe('BEGIN; LOCK TABLE meridian.marker IN EXCLUSIVE MODE');
unlike(refused('RUN MIGRATION w FINALIZE'), qr/window/, 'in the window, but the marker does not arrive');
$lock->query_safe('COMMIT');
$lock->quit;
is(state_of('w'), 'error', '... it failed');
run_it("SET MIGRATION w (window = '$closed')");
like(refused('RETRY MIGRATION w'), qr/55000: FINALIZE is to freeze in its window only/, 'RETRY outside of the window');
is($agora->safe_psql('app', 'INSERT INTO t VALUES (2) RETURNING id'), '2', '... nothing is fenced');
run_it("SET MIGRATION w ($UNHURRIED)");
run_it('RUN MIGRATION w FINALIZE FORCE (window)');
is(state_of('w'), 'redirecting', 'FORCE (window) goes past it');
run_it('REVERSE MIGRATION w');
is(state_of('w'), 'reversed', 'the way back is open at any hour');

# ---------------------------------------------------------------- ddl = record

sub alice { my ($sql) = @_; return $proxy->safe_psql('other', $sql, extra_params => [ '-U', 'alice' ]) }
run_it("CREATE MIGRATION d OF DATABASE other FROM agora-fr1 TO osc-fr1 WITH (ddl = record, window = '$open UTC', max_lag = '1MB', $UNHURRIED)");
run_it("RUN MIGRATION d $_") for qw(PREPARE DATA);
alice('ALTER TABLE t ADD COLUMN extra text');
alice('CREATE INDEX t_extra ON t(extra)');
alice('CREATE TEMP TABLE mine(a int); DROP TABLE mine');
# In one message: the text is that of all statements.
alice(q{CREATE INDEX t_other ON t(extra) \; ALTER ROLE alice PASSWORD 'tops3cret'});
alice(q{DROP INDEX t_other \; SELECT 'user=alice passwd=tops3cret'});
alice(q{INSERT INTO t VALUES (2, 'new')});
is($agora->safe_psql('other', q(SELECT string_agg(role || ' ' || tag || ' ' || object || ' | ' || query, E'\n' ORDER BY n) FROM meridian.ddl_log)),
	"alice ALTER TABLE public.t | ALTER TABLE t ADD COLUMN extra text\nalice CREATE INDEX public.t_extra | CREATE INDEX t_extra ON t(extra)",
	'what others change in the schema is recorded, without what is theirs alone');
is($agora->safe_psql('other', q(SELECT string_agg(tag || ' ' || object, ', ' ORDER BY n) FROM meridian.ddl_log WHERE query IS NULL)),
	'CREATE INDEX public.t_other, DROP INDEX public.t_other', '... without its text where a secret may stand beside it');
$said = refused('RUN MIGRATION d FINALIZE');
like($said, qr/MR005: .*schema_change public\.t: ALTER TABLE by alice: ALTER TABLE t ADD COLUMN extra text.*schema_change public\.t_extra: /s,
	'FINALIZE is refused while the target has not got it, and tells the statements');
is(state_of('d'), 'data-migrated', '... nothing has begun');
$osc->safe_psql('other', 'ALTER TABLE t ADD COLUMN extra text; CREATE INDEX t_extra ON t(extra)');
my $status;
wait_until(sub { ($status, undef, $said) = $proxy->console_raw('RUN MIGRATION d FINALIZE'); $status == 0 }, 'FINALIZE to be let');
is($status, 0, 'with the same change on the target it goes on') or diag $said;
is($osc->safe_psql('other', 'SELECT extra FROM t WHERE id = 2'), 'new', 'what was written meanwhile has arrived');
is($proxy->safe_psql('other', q(SELECT current_setting('cluster_name'))), 'osc-fr1', 'it is served there');
my @told = grep { $_->{event} eq 'schema-change' } @{ $proxy->console('SHOW MIGRATION d LOG') };
is(@told, 4, 'the journal has all changes');
unlike(join("\n", map { $_ // '' } map { values %$_ } @told) . $agora->safe_psql('other', 'SELECT string_agg(j::text, E\'\n\') FROM meridian.journal j'), qr/tops3cret/, '... and no secret');
run_it('COMPLETE MIGRATION d');
$proxy->stop;
done_testing();
