#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# reads = nearest is never stale: sessions in Paris, Taipei and New York ask at the same time, through two proxies, while the
# standbys in their regions fall behind, are killed and begin anew, and the way home is long or is cut; tokens go from
# session to session, and from proxy to proxy. All operations are recorded, and the whole history is checked: none of them
# lies behind what its session has seen (Meridian::Test::History). So it is across a fail-over that loses what was
# written last, of a register and of a bank. With consistency = eventual the same checker finds violations.
#
# HISTORY_SECONDS=900: again and again, for so long (985). READS_SEED: which one.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Delay;
use Meridian::Test::Measure qw(measured);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Recorder qw(accounts tables_of);
use Meridian::Test::Wire qw(:build);
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{READS_SEED} // int rand 1e9;
srand $seed;
note "READS_SEED=$seed";
my $seconds = $ENV{HISTORY_SECONDS} // 0;
my $much    = $seconds ? 10 : 1;
my @cities  = qw(paris taipei paris new-york);

# ---------------------------------------------------------------- three regions, two proxies

my $made = 0;

# A home in New York behind a relay, standbys in Paris and Taipei, and proxies that know all of them.
sub world
{
	my $n = ++$made;
	my ($home) = regional_clusters('us-east1', { streaming => 1, conf => "synchronous_commit = on\n" });
	my %w = (home => $home, near => regional_standby($home, 'europe-west1'), far => regional_standby($home, 'asia-east1'));
	for my $standby (@w{qw(near far)}) {
		# what the background writer has written a standby does not begin behind
		# time: max_standby_streaming_delay ends reads that keep it from replaying
		$standby->append_conf('postgresql.conf', "restart_after_crash = on\nmax_standby_streaming_delay = 100ms\nbgwriter_lru_maxpages = 0\n");
		$standby->restart;
	}
	$w{relay}   = Meridian::Test::Delay->new($home);
	$w{proxies} = [ map { proxy("$_$n", \%w) } qw(first second) ];
	return \%w;
}

sub proxy
{
	my ($name, $w) = @_;
	my $wait  = span(0.01);
	my $reads = "dbname = postgres\npool = transaction\nreads = nearest\nconsistency_wait = $wait\n";
	my $proxy = Meridian::Test::Proxy->new($name,
		regions => [ 'us-east1' => { nodes => $w->{relay}, cities => 'new york' }, 'europe-west1' => { nodes => $w->{near}, cities => 'paris' },
			'asia-east1' => { nodes => $w->{far}, cities => 'taipei' } ],
		set  => { auth => 'trust', workers => 2, region => 'us-east1', probe_interval => '100ms', probe_conninfo => 'user=postgres',
			failback_delay => 0, server_login_retry => '100ms' },
		conf => "[database keep]\n$reads\[database strict]\n${reads}lost_wal = fail\n[database loose]\n${reads}consistency = eventual\n");
	$proxy->start;
	ok($proxy->wait_console('SHOW NODES FULL', sub { join(' ', sort map { "$_->{region}=$_->{role}" } @{ $_[0] }) eq 'asia-east1=standby europe-west1=standby us-east1=primary' }),
		"$name: a primary and its standbys");
	return $proxy;
}

sub end_world
{
	my ($w) = @_;
	$_->stop for @{ $w->{proxies} };
	$w->{relay}->stop;
	for (@$w{qw(far near home)}) {
		$_->stop('immediate');
		$_->clean_node;
	}
	return;
}

# ---------------------------------------------------------------- trouble

# What a server answers at its own port; or nothing, where it is not there.
sub asked
{
	my ($node, $sql) = @_;
	return eval { Meridian::Test::Wire->session($node)->ask($sql) };
}

sub settings { my ($node, @sql) = @_; asked($node, $_) for @sql, 'SELECT pg_reload_conf()'; return }

# A process of the standby is killed: its postmaster begins anew, and replays from an earlier point on.
sub crash
{
	my ($node) = @_;
	my $victim = asked($node, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
	  . 'AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1');
	kill KILL => $victim if ($victim // '') =~ /^\d+$/;
	return;
}

sub restarted { my ($node, $wait) = @_; $node->stop('immediate'); $wait->(); $node->start; return }

sub kinds
{
	my ($w) = @_;
	my $any = sub { return $w->{ rand() < 0.6 ? 'near' : 'far' } };
	return {
		'replay paused' => sub { my $n = $any->(); asked($n, 'SELECT pg_wal_replay_pause()'); $_[0]->(); asked($n, 'SELECT pg_wal_replay_resume()') },
		'replay late'   => sub {
			my $n = $any->();
			# time: recovery_min_apply_delay is how late it replays
			settings($n, "ALTER SYSTEM SET recovery_min_apply_delay = '150ms'");
			$_[0]->();
			settings($n, 'ALTER SYSTEM RESET recovery_min_apply_delay');
		},
		'begins behind' => sub {
			my $n = $any->();
			asked($_, 'CHECKPOINT') for $w->{home}, $n;
			$_[0]->();
			asked($n, "ALTER SYSTEM SET recovery_min_apply_delay = '" . NEVER . "'");
			restarted($n, $_[0]);
			# until sessions look for it again
			$_[0]->() for 1 .. 10;
			settings($n, 'ALTER SYSTEM RESET recovery_min_apply_delay');
		},
		'no WAL comes'      => sub { my $n = $any->(); asked($n, 'SELECT pg_terminate_backend(pid) FROM pg_stat_wal_receiver'); $_[0]->() },
		'backend killed'    => sub { crash($any->()) },
		'standby restarted' => sub { restarted($any->(), $_[0]) },
		'home is far'       => sub { $w->{relay}->ms(1 + int rand 10); $_[0]->(); $w->{relay}->ms(0) },
		'in pieces'         => sub { $w->{relay}->split(1 + int rand 40); $_[0]->(); $w->{relay}->split(0) },
		'way home cut'      => sub { $w->{relay}->cut },
	};
}

# ---------------------------------------------------------------- histories

my %sum;

# What is wrong in a history; it is shown.
sub check
{
	my ($r, $name, %opt) = @_;
	my $h     = $r->history(%opt);
	my @wrong = ($h->violations, $r->{workload} eq 'register' ? () : $h->bank_violations(accounts()));
	my %n     = (ok => 0, near => 0, home => 0, %{ $r->{count} });
	$sum{$_} += $n{$_} for keys %n;
	is(scalar @wrong, 0, "$name: no session reads less than it has seen (READS_SEED=$seed)");
	diag $h->excerpt($_) for @wrong[ 0 .. ($#wrong > 4 ? 4 : $#wrong) ];
	measured('%s: %d operations, %d overlap others, %d reads near and %d at home, %d early, %d sessions; %s', $name, scalar @{ $r->{all} }, $h->overlapping,
		@n{qw(near home)}, scalar(() = $h->early), $n{sessions}, join ' ', map { "$_=$r->{codes}{$_}" } sort keys %{ $r->{codes} });
	return $h;
}

sub recorder
{
	my ($w, $workload, %opt) = @_;
	$w->{home}->safe_psql('postgres', $_) for tables_of($workload, 'us-east1'), 'CHECKPOINT';
	my $at = $w->{home}->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	for my $standby (@$w{qw(near far)}) {
		$standby->poll_query_until('postgres', "SELECT pg_last_wal_replay_lsn() >= '$at'");
		# it begins anew from here on
		$standby->safe_psql('postgres', 'CHECKPOINT');
	}
	return Meridian::Test::Recorder->new($w->{proxies}, workload => $workload, cities => \@cities, %opt);
}

# What the node's ledger says of transfers whose answer has not come.
sub settled
{
	my ($r, $node) = @_;
	$r->settle($node->safe_psql('postgres', "SELECT current_setting('cluster_name')"), map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', 'SELECT n, v FROM ledger'));
	return;
}

# While there is trouble of each kind: so many operations, and so many reads nearby.
sub troubled
{
	my ($w, $workload, $ok, $near) = @_;
	my $r     = recorder($w, $workload, databases => ['keep']);
	my $begin = time;
	$r->trouble(kinds($w), int rand 1e9);
	my $done = sub { ($r->{count}{ok} // 0) >= $ok && ($r->{count}{near} // 0) >= $near && !grep { !$_ } values %{ $r->{troubles} } };
	ok($r->run($done, 'all of that'), "$workload: many operations, many of them nearby, and each kind of trouble");
	$r->calm;
	ok($r->finish, "$workload: all have had their answers");
	my %t = %{ $r->{troubles} };
	$sum{$_} += $t{$_} for keys %t;
	measured('%s: %.1f s; %s', $workload, passed($begin), join ', ', map { "$_: $t{$_}" } sort keys %t);
	settled($r, $w->{home}) if $workload eq 'bank';
	my $h = check($r, $workload);
	cmp_ok($h->overlapping, '>', @{ $r->{all} } / 2, '... and they ask at the same time');
	return;
}

# The home is lost with what it wrote last: the standby in Paris has not had that, nor has the one in Taipei, which gets its
# WAL from there.
sub failed_over
{
	my ($w, $ok) = @_;
	$w->{far}->append_conf('postgresql.conf', "primary_conninfo = '" . $w->{near}->connstr . " user=postgres application_name=asia-east1'");
	$w->{far}->reload;
	my $r    = recorder_of_two($w);
	my $more = sub {
		my $from = $r->{count}{ok} // 0;
		ok($r->run(sub { ($r->{count}{ok} // 0) >= $from + $ok }), "fail-over: $_[0]");
	};
	$more->('before');
	$r->beside(sub {
		settings($w->{near}, "ALTER SYSTEM SET primary_conninfo = ''");
		wait_until(sub { asked($w->{near}, 'SELECT count(*) FROM pg_stat_wal_receiver') eq '0' });
		return '';
	});
	$more->('what no standby gets');
	$w->{home}->stop('immediate');
	my $left = $r->beside(sub {
		settles(sub { asked($w->{near}, 'SELECT pg_last_wal_replay_lsn()') }, 'all that has come to be replayed');
		my $left = asked($w->{near}, "SELECT string_agg(k || '=' || n, ' ') FROM (SELECT k, n FROM reg UNION ALL SELECT 'bank', n FROM bank) AS f");
		asked($w->{near}, 'SELECT pg_promote()');
		return $left;
	});
	$more->('behind it');
	ok($r->finish, 'fail-over: all have had their answers');
	# the old home says what it had, and no session can ask it any more
	$_->stop for @{ $w->{proxies} };
	$w->{home}->start;
	settled($r, $_) for @$w{qw(near home)};
	my %left = map { split /=/ } split / /, $left;
	my $h    = check($r, 'fail-over', homes => [ 'us-east1', 'europe-west1' ], ends => { 'us-east1' => \%left }, strict => qr/$r->{strict}/);
	my @lost    = grep { $_->{outcome} eq 'ok' && $_->{write} && $h->is_lost($_->{write}{key}, $_->{write}) } @{ $r->{all} };
	my @told    = grep { $_->{told} } @{ $r->{all} };
	my @refused = grep { ($_->{code} // '') eq '55000' } @told;
	measured('fail-over: %d writes are lost, %d reads are told of that, %d of them refused', scalar @lost, scalar @told, scalar @refused);
	cmp_ok(scalar(grep { !$_->{transfer} } @lost), '>', 0, '... and something is lost');
	cmp_ok(scalar(grep { $_->{transfer} } @lost), '>', 0, '... transfers, too');
	cmp_ok(scalar @told, '>', scalar @refused, '... of which reads are told');
	cmp_ok(scalar @refused, '>', 0, '... or they are refused');
	return;
}

sub recorder_of_two
{
	my ($w) = @_;
	my $r = recorder($w, 'both', databases => [qw(keep strict)], sessions => 16);
	$r->{strict} = '^(?:' . join('|', map { $_->{letter} } grep { $_->{database} eq 'strict' } @{ $r->{slots} }) . ')\d';
	return $r;
}

my $begin = time;
my $w = world();

# ---------------------------------------------------------------- what has to be found is

my $loose = recorder($w, 'register', databases => ['loose']);
$loose->trouble(kinds($w), int rand 1e9);
my ($looked, $found) = (0, 0);
ok($loose->run(sub {
	return $found if @{ $loose->{all} } < $looked + 200;
	$looked = @{ $loose->{all} };
	return $found = () = $loose->history->violations;
}), 'without a floor reads are stale, and that is found');
$loose->calm;
$loose->finish;
my %kinds;
$kinds{ $_->{guarantee} }++ for $loose->history->violations;
measured('consistency = eventual: %s', join ', ', map { "$_: $kinds{$_}" } sort keys %kinds);

do {
	troubled($w, 'register', 1500 * $much, 200 * $much);
	troubled($w, 'bank',     600 * $much,  100 * $much);
	failed_over($w, 300 * $much);
	end_world($w);
	$w = passed($begin) < $seconds ? world() : undef;
} while ($w);
measured('%.0f s; %s', passed($begin), join ', ', map { "$_: $sum{$_}" } sort keys %sum);
done_testing();
