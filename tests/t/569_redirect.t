#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Clients that still enter by the region that their database has left: forwarded, told so where
# redirect_notice is on, listed by every proxy of the fleet although they are gone; after redirect_until
# refused with the address of the new entry (57P03), until SET makes it longer; COMPLETE ends it, which
# a proxy that starts anew knows. Where nobody has said where else to go nobody is refused.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes ();

my ($agora, $osc) = regional_clusters('agora-fr1', 'osc-fr1');
$agora->safe_psql('postgres', 'CREATE DATABASE app');
$agora->safe_psql('app', 'CREATE TABLE t(i int PRIMARY KEY)');

sub proxy
{
	my ($name, $region, %set) = @_;
	my $p = Meridian::Test::Proxy->new($name,
		regions => [ 'agora-fr1' => $agora, 'osc-fr1' => { nodes => $osc, entry => 'db.osc.example:6432' } ],
		set     => { auth => 'trust', region => $region, migration_conninfo => 'user=postgres', %set },
		conf    => "[database tx]\ndbname = app\npool = transaction\n[database pass]\ndbname = app\nauth = passthrough\n");
	$p->start;
	$p->wait_up(2);
	return $p;
}

sub run_it
{
	my ($proxy, $sql) = @_;
	my ($status, undef, $err) = $proxy->console_raw($sql);
	is($status, 0, $sql) or diag $err, $proxy->console_raw('SHOW MIGRATION mv LOG');
	return $err;
}

# What a client says that asks which cluster it is on: its answer, and what it was told.
sub come
{
	my ($proxy, $database, %more) = @_;
	my ($status, $out, $err) = $proxy->psql($database, q(SELECT current_setting('cluster_name')),
		connstr => $proxy->connstr($database, user => 'postgres', %more), extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return ($out // '', $err // '');
}

# SHOW REDIRECTS of that proxy has a row of this application that pleases.
sub listed
{
	my ($proxy, $application, $good, $what) = @_;
	my $row = eval {
		$proxy->wait_console('SHOW REDIRECTS', sub {
			grep { $_->{application_name} eq $application && $good->($_) } @{ $_[0] };
		});
	};
	return ok($row, $what) || diag $@, $proxy->console_raw('SHOW REDIRECTS');
}

# The watchers have seen what was decided or set.
sub until_come
{
	my ($proxy, $database, $good, $what) = @_;
	my @said;
	return ok(wait_until(sub { $good->(@said = come($proxy, $database)) }, $what), $what) || diag explain \@said;
}

my $first  = proxy('first',  'agora-fr1', redirect_notice => 'on');
my $second = proxy('second', 'agora-fr1');
my $there  = proxy('there',  'osc-fr1', redirect_notice => 'on');

# ---------------------------------------------------------------- forwarded

my $stays = do {
	local $ENV{PGAPPNAME} = 'stays';
	$second->background_psql('tx', extra_params => [ '-U', 'postgres' ]);
};
$stays->query_safe('SELECT 1');
is((come($first, 'app'))[1], '', 'before it moves nobody is told anything');
is_deeply($first->console('SHOW REDIRECTS'), [], '… nor is there a redirection');
run_it($first, "CREATE MIGRATION mv OF DATABASE app FROM agora-fr1 TO osc-fr1 WITH (max_lag = '1MB', redirect_until = '1 hour', $UNHURRIED)");    # time: it is told until when
run_it($first, 'RUN MIGRATION mv PREPARE');
run_it($first, 'RUN MIGRATION mv DATA');
ok($agora->poll_query_until('app', 'SELECT count(*) = 3 FROM meridian.proxy'), 'all proxies are there');
my $said = run_it($first, 'RUN MIGRATION mv FINALIZE');
like($said, qr/1 client host still enters through agora-fr1 \(SHOW REDIRECTS\); it forwards until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00\n/,
	'FINALIZE says how many still enter there, and until when');

my $notice = qr/^NOTICE:  database "(?:app|tx|pass)" has moved to db\.osc\.example:6432 \(region "osc-fr1"\)
DETAIL:  Connections by region "agora-fr1" are forwarded until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00\.
HINT:  Connect to db\.osc\.example:6432\.$/m;
until_come($first, 'app', sub { $_[1] =~ $notice }, 'a client that enters by the old region is told where to go');
for my $database (qw(app tx pass)) {
	my ($where, $told) = come($first, $database, application_name => "job $database");
	is($where, 'osc-fr1', "$database: it is forwarded");
	like($told, $notice, '… and told');
}
is_deeply([ come($first, 'app', options => '-c client_min_messages=warning') ], [ 'osc-fr1', '' ], 'client_min_messages is obeyed');
is_deeply([ come($first, 'tx', options => '-c client_min_messages=warning') ], [ 'osc-fr1', '' ], '… in a pool too');
is_deeply([ come($there, 'app', application_name => 'right') ], [ 'osc-fr1', '' ], 'who enters by the new region hears nothing');
is_deeply([ come($second, 'app', application_name => 'quiet') ], [ 'osc-fr1', '' ], 'nor does anybody where redirect_notice is off');

# ---------------------------------------------------------------- who they are

listed($there, 'job tx', sub { $_[0]{logins} == 1 && $_[0]{sessions} == 0 && $_[0]{client_addr} eq '127.0.0.1' && $_[0]{user} eq 'postgres' },
	'SHOW REDIRECTS at another proxy has who came and went');
listed($there, 'quiet', sub { $_[0]{logins} == 1 }, '… by the second proxy too');
listed($there, 'stays', sub { $_[0]{sessions} == 1 && $_[0]{logins} == 0 && $_[0]{last_seen} ne '' }, '… and who was there before, and still is');
come($first, 'app', application_name => 'job app') for 1 .. 2;
listed($first, 'job app', sub { $_[0]{logins} == 3 && $_[0]{entered} eq 'agora-fr1' && $_[0]{served} eq 'osc-fr1' },
	'logins are counted, at once by the proxy that is asked');
is(scalar(grep { $_->{application_name} eq 'right' } @{ $first->console('SHOW REDIRECTS') }), 0, 'who enters by the new region is not listed');
is($first->console('SHOW REDIRECTS')->[0]{entry}, 'db.osc.example:6432', 'the new entry is listed');

# Whoever may connect to the database may notify: that must not keep proxies busy.
{
	my $sessions = sub { $osc->safe_psql('postgres', 'SELECT sum(sessions) FROM pg_stat_database') };
	my ($before, $began) = ($sessions->(), Time::HiRes::time());
	my $n = 0;
	my $noisy = $osc->background_psql('app');
	while (Time::HiRes::time() < $began + 3) { $noisy->query_safe(q(NOTIFY meridian, 'callers')); $n++ }
	$noisy->quit;
	my $took = Time::HiRes::time() - $began;
	my $some = $sessions->() - $before;
	note "$n notifications in $took s, $some sessions";
	cmp_ok($some, '<', 25 * $took, 'of many who ask for callers not each is answered');
}

# ---------------------------------------------------------------- and after that

my $over = qr/FATAL:  database "(?:app|tx|pass)" has moved to db\.osc\.example:6432 \(region "osc-fr1"\)
DETAIL:  Connections by region "agora-fr1" were forwarded until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00\.
HINT:  Connect to db\.osc\.example:6432\./;
run_it($there, "SET MIGRATION mv (redirect_until = '1s')");    # time: when it is over clients are refused
until_come($_, 'app', sub { $_[1] =~ $over }, 'when it is over a client is refused, and told where to go: ' . $_->name) for $first, $second;
like((come($first, $_, application_name => 'late'))[1], $over, "$_: likewise") for qw(tx pass);
for my $database (qw(app tx pass)) {
	my $w = Meridian::Test::Wire->new($first);
	$w->send(startup(user => 'postgres', database => $database));
	my ($m) = grep { $_->[0] eq 'E' } $w->until('E');
	my $e = $m ? error_fields($m) : {};
	is("$e->{S} $e->{V} $e->{C}", 'FATAL FATAL 57P03', "$database: 57P03");
	ok($w->closed, '… and the connection is closed');
}
is((come($there, 'app'))[0], 'osc-fr1', 'the new region takes everybody');
is($stays->query_safe(q(SELECT current_setting('cluster_name'))), 'osc-fr1', 'a session that was there stays');
listed($there, 'late', sub { $_[0]{refused} == 2 && $_[0]{logins} == 0 }, 'those that were refused are counted');
$first->reload(regions => [ 'agora-fr1' => $agora, 'osc-fr1' => $osc ]);
until_come($first, 'app', sub { $_[0] eq 'osc-fr1' && $_[1] =~ /has moved to region "osc-fr1"$/m }, 'without an entry to name they are forwarded on');
$first->reload(regions => [ 'agora-fr1' => $agora, 'osc-fr1' => { nodes => $osc, entry => 'db.osc.example:6432' } ]);
until_come($first, 'app', sub { $_[1] =~ $over }, '… with it no longer');
run_it($first, "SET MIGRATION mv (redirect_until = '30 days')");
until_come($_, 'app', sub { $_[0] eq 'osc-fr1' }, 'SET (redirect_until) makes it longer: ' . $_->name) for $first, $second;

# ---------------------------------------------------------------- COMPLETE

like(run_it($first, 'COMPLETE MIGRATION mv'),
	qr/1 client host still enters through agora-fr1 \(SHOW REDIRECTS\): from COMPLETE on they are refused \(57P03\) and told to connect to db\.osc\.example:6432/,
	'COMPLETE says what it means');
until_come($_, 'app', sub { $_[1] =~ $over }, 'COMPLETE ends it early: ' . $_->name) for $first, $second;
$second->restart;
like((come($second, 'app'))[1], $over, 'a proxy that starts anew knows it');
is((come($there, 'app'))[0], 'osc-fr1', 'the new region takes everybody');

# ---------------------------------------------------------------- the other way round

$agora->safe_psql('postgres', 'DROP DATABASE app WITH (FORCE)');
$stays->quit;
run_it($there, "CREATE MIGRATION back OF DATABASE app FROM osc-fr1 TO agora-fr1 WITH (max_lag = '1MB', $UNHURRIED)");
like((come($first, 'app'))[1], $over, 'a new move changes nothing before it is decided');
$said = run_it($there, 'RUN MIGRATION back ALL');
like($said, qr/\[region agora-fr1\]; as long as nobody does, it goes on forwarding/, 'FINALIZE says that nobody knows where else to go');
until_come($first, 'app', sub { $_[0] eq 'agora-fr1' && $_[1] eq '' }, 'who enters there is right again');
until_come($there, 'app', sub { $_[0] eq 'agora-fr1' && $_[1] =~ /forwarded\.$/m }, '… and who enters by the other region is told, and forwarded');
run_it($there, 'COMPLETE MIGRATION back');
let_pass(1.5, 'it is seen that it is complete');
is((come($there, 'app'))[0], 'agora-fr1', '… also when it is complete, for there is no entry to name');

$_->stop for $first, $second, $there;
done_testing;
