#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# What a session has only read nearby, in WAL that a fail-over loses: it is told when it goes home, once, and no other session is.
use strict;
use warnings;
use Meridian::Test::Cluster qw(regional_clusters regional_standby);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use Test::More;

# Paris reads at a standby that has all; the one of Taipei becomes the primary, without the last; that of Seattle follows it.
my ($home) = regional_clusters('us-east1', { streaming => 1 });
$home->safe_psql('postgres', 'CREATE TABLE r (v int); INSERT INTO r VALUES (10)');
my ($paris, $taipei, $seattle) = map { regional_standby($home, $_) } 'europe-west1', 'asia-east1', 'us-west1';
sub follow { my ($node, $upstream) = @_; $node->append_conf('postgresql.conf', "primary_conninfo = '$upstream'"); $node->reload; return }
follow($seattle, $taipei->connstr . ' user=postgres application_name=us-west1');
ok($_->poll_query_until('postgres', 'SELECT v = 10 FROM r'), 'a standby that has all') for $paris, $taipei, $seattle;

my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $home, cities => 'new york' }, 'europe-west1' => { nodes => $paris, cities => 'paris' },
		'asia-east1' => { nodes => $taipei, cities => 'taipei' }, 'us-west1' => { nodes => $seattle, cities => 'seattle' } ],
	set  => { auth => 'trust', workers => 1, region => 'us-east1', probe_interval => '100ms', probe_conninfo => 'user=postgres', failback_delay => 0 },
	conf => "[database postgres]\npool = transaction\nreads = nearest\nconsistency_wait = " . span(0.02) . "\n");
$proxy->start;

# Regions, what their nodes are, and on which timeline.
sub are
{
	my ($want) = @_;
	my $now = '';
	return ok($proxy->wait_console('SHOW NODES FULL',
			sub { $now = join ' ', sort map { "$_->{region}=$_->{role}/" . ($_->{timeline} // '') } @{ $_[0] }; $now =~ $want }), 'each is what it is to be') || diag $now;
}
are(qr{asia-east1=standby/1 europe-west1=standby/1 us-east1=primary/1 us-west1=standby/1});

my $read = "SELECT v || ' ' || current_setting('cluster_name') FROM r";
sub session { my ($city, %set) = @_; return Meridian::Test::Wire->session($proxy, options => "-c meridian.city=$city", %set) }

# What the answer says, with the warning in front of it.
sub told
{
	my ($w, $sql) = @_;
	$w->send(query($sql // $read));
	return join ' ', map { my $f = $_->[0] =~ /[NE]/ && error_fields($_); $_->[0] eq 'D' ? row_values($_)->[0] : $f ? "$f->{S} $f->{C} $f->{M}" : () } $w->until('Z');
}
my $warning = 'WARNING 01000 what this session has read nearby may have been lost in a fail-over: it reads at home';

# ---------------------------------------------------------------- the first

my %paris = map { ($_ => session('paris', 'meridian.lost_wal' => /fails/ ? 'fail' : 'home')) } 'reads', 'reads and fails', 'writes', 'begins', 'eventual';
$paris{eventual}->ask('SET meridian.consistency = eventual');
my %others = (taipei => session('taipei'), seattle => session('seattle'));
is(told($paris{$_}), '10 europe-west1', "$_: nearby") for sort keys %paris;
follow($taipei, '');
ok($home->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_replication}), 'one standby is left that gets all');
$home->safe_psql('postgres', 'UPDATE r SET v = 11');
ok($paris->poll_query_until('postgres', 'SELECT v = 11 FROM r'), '... and has it');
# The position of the first is known, and that of what it reads in the same run of the standby then is not.
is(told($paris{$_}), '11 europe-west1', "$_: nearby, more") for sort keys %paris;
is(told($others{$_}), $_ eq 'taipei' ? '10 asia-east1' : '10 us-west1', "$_: less") for map { ($_, $_) } sort keys %others;
$home->stop('immediate');
$taipei->promote;
are(qr{asia-east1=primary/2 europe-west1=standby/1 \S+ us-west1=standby/2});

# Taipei is the home of all, and Seattle nearer to Paris.
my $there = qr/^10 (?:asia-east1|us-west1)$/;
# Where its home is, a session may know a moment later: it goes on where it has read meanwhile.
sub at_home
{
	my ($w) = @_;
	my $said;
	wait_until(sub { ($said = told($w)) ne '11 europe-west1' });
	return $said;
}
is(at_home($paris{reads}), "$warning 10 asia-east1", 'who has read what was lost is warned');
like(told($paris{reads}), $there, '... once');
is(at_home($paris{'reads and fails'}), "$warning 10 asia-east1", '... and no more than that with lost_wal = fail, as it is not known');
is(told($paris{writes}, 'UPDATE r SET v = 10'), $warning, '... where it writes, too');
is(told($paris{begins}, 'BEGIN'), $warning, '... or begins a transaction');
is(at_home($paris{eventual}), '10 asia-east1', '... and not where it wants to know of nothing');
like(told(session('paris')), $there, 'who has read nothing is told nothing');
is(told($others{taipei}, 'UPDATE r SET v = 12 RETURNING v'), '12', 'who has read at the new primary is not warned');
ok($seattle->poll_query_until('postgres', 'SELECT v = 12 FROM r'), 'the other standby follows that');
is(told($others{seattle}, 'UPDATE r SET v = 12 RETURNING v'), '12', '... and who has read there is not, either');

# ---------------------------------------------------------------- another one

$paris{begins}->ask('ROLLBACK');
follow($seattle, '');
ok($taipei->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_replication}), 'it gets no more');
is(told($paris{reads}, 'UPDATE r SET v = 13 RETURNING v'), '13', 'what is written now ...');
$taipei->stop('immediate');
$seattle->promote;
are(qr{us-west1=primary/3});
like(told($paris{reads}), qr/^WARNING 01000 what this session has seen was lost in a fail-over: it reads at home \d+ us-west1$/, '... is lost: it is told again');
is(told($paris{reads}) =~ / us-west1$/, 1, '... once');

$proxy->stop;
done_testing();
