#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The prober (routing/watch) against a real primary and a streaming standby, both behind relays that
# can hang and refuse: what it learns, what it notices, and what it leaves in the servers' logs.
use strict;
use warnings;
use IPC::Open2;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Delay;
use Meridian::Test::Patience;
use Test::More;
use Time::HiRes qw(time);

# ---------------------------------------------------------------- the prober, by itself

sub prober
{
	my ($options, @nodes) = @_;
	my $pid = open2(my $out, my $in, "$ENV{MERIDIAN_BUILDDIR}/tests/tools/prober", @$options, @nodes);
	return { pid => $pid, in => $in, out => $out, text => '' };
}

sub order
{
	my ($p, $line) = @_;
	print { $p->{in} } "$line\n";
	$p->{in}->flush;
	return;
}

sub quit
{
	my ($p) = @_;
	order($p, 'quit');
	waitpid $p->{pid}, 0;
	is($?, 0, 'the prober ends well');
	return;
}

# The next report: a list of nodes, each a hash; nothing after the deadline.
sub report
{
	my ($p, $d) = @_;
	while ($p->{text} !~ /^end round=\d\n/m) {
		vec(my $set = '', fileno $p->{out}, 1) = 1;
		until (select my $ready = $set, undef, undef, $d->left) { return if $d->over }
		sysread $p->{out}, $p->{text}, 65536, length $p->{text} or return;
	}
	my ($text, $round, $rest) = $p->{text} =~ /\A(.*?)^end round=(\d)\n(.*)\z/ms;
	$p->{text} = $rest;
	return map { node_of($_, $round) } split /\n/, $text;
}

sub node_of
{
	my ($line, $round) = @_;
	my ($facts, $reason) = $line =~ /^(.*) reason=(.*)$/;
	return { (map { split /=/, $_, 2 } split / /, $facts), reason => $reason, round => $round };
}

# Read reports until one is as wanted; returns it.
sub until_nodes
{
	my ($p, $what, $wanted) = @_;
	my $d = deadline(30, $what);
	my @last;
	while (my @nodes = report($p, $d)) {
		@last = @nodes;
		next unless $wanted->(@nodes);
		pass($what);
		return @nodes;
	}
	fail($what);
	diag explain \@last;
	return @last;
}

sub log_lines
{
	my ($cluster) = @_;
	open my $fh, '<', $cluster->logfile or die $cluster->logfile . ": $!";
	my @lines = <$fh>;
	return @lines;
}

# ---------------------------------------------------------------- a cluster in two regions

my $quiet = "log_connections = off\nlog_statement = none\nlog_checkpoints = off\n";
my ($east) = regional_clusters('east', { tls => 1, conf => $quiet, users => { prober => 'p1' } });
$east->safe_psql('postgres', 'ALTER ROLE prober NOSUPERUSER; CREATE TABLE t (a int)');
$east->backup('base');
my $west = PostgreSQL::Test::Cluster->new('west');
$west->init_from_backup($east, 'base', has_streaming => 1);
$west->append_conf('postgresql.conf', 'port = ' . $west->port . "\nunix_socket_directories = '" . $west->host . "'\n");
$west->start;
my $to_east = Meridian::Test::Delay->new($east);
my $to_west = Meridian::Test::Delay->new($west);
my @nodes   = ('localhost', $to_east->port, '127.0.0.1', $to_west->port);
my $ca      = certificate('other')->{ca};
my @verify  = ('-r', "sslmode=verify-full sslrootcert=$ca");

# ---------------------------------------------------------------- what an ordinary role learns

my $p = prober([ '-c', 'user=prober password=p1', @verify ], @nodes);
my ($e, $w) = until_nodes($p, 'the first rounds are complete', sub { $_[0]{round} && 2 == grep { $_->{probed} && $_->{state} eq 'up' } @_ });
is("$e->{state} $e->{role} $e->{kind}", 'up primary postgres', 'the primary is known');
is("$w->{state} $w->{role} $w->{kind}", 'up standby postgres', 'the standby is known');
is($e->{system}, $east->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()'),
	'system identifier');
is($w->{system}, $e->{system}, 'they are one cluster');
is("$e->{timeline} $w->{timeline}", '1 1', 'timeline');
is($e->{version}, $east->safe_psql('postgres', 'SHOW server_version_num'), 'version');
is($e->{max}, 97, 'connections less those reserved for superusers');
cmp_ok($e->{used}, '>=', 1, 'connections in use');
cmp_ok($e->{rtt}, '>', 0, 'round trip');
cmp_ok($e->{connect}, '>', 0, 'connect time');
is("$e->{probed} $e->{read_only} $e->{lag} $e->{lag_bytes}", '1 0 0 0', 'a primary has no lag');
is($east->safe_psql('postgres',
		"SELECT count(*), bool_and(ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE usename = 'prober'"),
	'1|t', 'one kept connection, on TLS');

# ---------------------------------------------------------------- lag

until_nodes($p, 'a standby in step has no lag', sub { $_[1]{lag} == 0 && $_[1]{lag_bytes} == 0 });
$west->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$east->safe_psql('postgres', 'INSERT INTO t SELECT generate_series(1, 10000)');
until_nodes($p, 'a standby that does not replay falls behind in bytes and in time',
	sub { $_[1]{lag_bytes} > 100_000 && $_[1]{lag} > 1_000_000 });
$west->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
until_nodes($p, 'and catches up', sub { $_[1]{lag} == 0 && $_[1]{lag_bytes} == 0 });

# ---------------------------------------------------------------- changes of the server

$east->safe_psql('postgres', 'ALTER SYSTEM SET default_transaction_read_only = on');
$east->reload;
until_nodes($p, 'default_transaction_read_only is seen', sub { $_[0]{read_only} && !$_[1]{read_only} });
$east->safe_psql('postgres',
	'SET transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only');
$east->reload;
until_nodes($p, 'and that it is gone', sub { !$_[0]{read_only} });

# ---------------------------------------------------------------- failures

$to_east->hang;
order($p, 'evidence 0');
until_nodes($p, 'a failed session makes a node suspect',
	sub { $_[0]{state} eq 'suspect' && $_[0]{reason} =~ /a session could not be opened/ });
$to_east->pass;
until_nodes($p, 'until it has been probed', sub { $_[0]{state} eq 'up' && $_[0]{reason} eq '' });

my $pids = q{SELECT string_agg(pid::text, ',') FROM pg_stat_activity WHERE usename = 'prober'};
my $old  = $east->safe_psql('postgres', $pids);
$east->safe_psql('postgres', "SELECT pg_terminate_backend($old)");
my $new = '';
wait_until(sub { ($new = $east->safe_psql('postgres', $pids)) ne '' && $new ne $old }, 'another connection');
isnt($new, $old, 'a probe connection that was ended is made anew');
order($p, 'report');
is((report($p, deadline(30, 'a report')))[0]{state}, 'up', 'and that is no failure');

$to_west->hang;
$to_west->cut;
(undef, $w) = until_nodes($p, 'a node that hangs goes down', sub { $_[1]{state} eq 'down' });
like($w->{reason}, qr/^no answer within 1000 ms$/, 'and the reason is told');
is($w->{role}, 'standby', 'what it was is remembered');
$to_west->pass;
(undef, $w) = until_nodes($p, 'it comes back', sub { $_[1]{state} eq 'up' });
cmp_ok($w->{up_since}, '>', 0, 'and since when is known');
$to_west->refuse;
$to_west->cut;
(undef, $w) = until_nodes($p, 'a node that refuses goes down', sub { $_[1]{state} eq 'down' });
is($w->{reason}, 'connection refused', 'and the reason is told');
$to_west->pass;
until_nodes($p, 'it comes back again', sub { $_[1]{state} eq 'up' });

# ---------------------------------------------------------------- two primaries

$west->promote;
($e, $w) = until_nodes($p, 'a promotion is seen', sub { $_[1]{role} eq 'primary' });
is($w->{timeline}, 2, 'with the new timeline at once');
is("$e->{fenced} $w->{fenced}", '1 0', 'the primary left behind takes no more writes');
quit($p);

# ---------------------------------------------------------------- a server that dies between probes

$p = prober([ '-i', 60000, '-c', 'user=prober password=p1', @verify ], @nodes);
until_nodes($p, 'both are up', sub { $_[0]{round} && $_[0]{state} eq 'up' && $_[1]{state} eq 'up' });
my $begin = time;
$west->stop('immediate');
until_nodes($p, 'a server that dies is noticed', sub { $_[1]{state} ne 'up' });
in_time($begin, 15, 'long before the next probe is due');
until_nodes($p, 'and found down', sub { $_[1]{state} eq 'down' });
quit($p);

# ---------------------------------------------------------------- roles that are refused

for ([ 'a wrong password', 'user=prober password=wrong' ], [ 'no such database', 'user=prober password=p1 dbname=none' ])
{
	my ($what, $conninfo) = @$_;
	my $before = log_lines($east);
	$p = prober([ '-i', 200, '-c', $conninfo, @verify ], @nodes[0, 1]);
	($e) = until_nodes($p, "$what: the node is up", sub { $_[0]{state} eq 'up' });
	is("$e->{role} $e->{probed}", 'unknown 0', 'its role is not known');
	until_nodes($p, 'more probes', sub { 1 }) for 1 .. 8;
	my @new = log_lines($east);
	cmp_ok(@new - $before, '<=', 6, 'the log is not filled with it')
	  or diag @new[ $before .. $#new ];
	quit($p);
}

# ---------------------------------------------------------------- no role at all

for my $tls ('on', 'off') {
	$east->safe_psql('postgres', "ALTER SYSTEM SET ssl = $tls");
	my $from = -s $east->logfile;
	$east->reload;
	$east->wait_for_log(qr/received SIGHUP/, $from);
	$east->poll_query_until('postgres', "SELECT setting = '$tls' FROM pg_settings WHERE name = 'ssl'") or die 'no reload';
	my $before = log_lines($east);
	$p = prober([ '-i', 200 ], @nodes[0, 1], $east->host, $east->port);
	($e) = until_nodes($p, 'bare handshakes find it up', sub { $_[0]{state} eq 'up' && $_[1]{state} eq 'up' });
	is("$e->{role} $e->{probed}", 'unknown 0', 'nothing else is known');
	cmp_ok($e->{rtt}, '>', 0, 'but the round trip');
	until_nodes($p, 'more probes', sub { 1 }) for 1 .. 5;
	my @new = log_lines($east);
	is(@new - $before, 0, "ssl = $tls: not a line in the server's log") or diag @new[ $before .. $#new ];
	if ($tls eq 'on') {
		order($p, 'standby 0');
		until_nodes($p, 'a login says it is a standby', sub { $_[0]{role} eq 'standby' });
		order($p, 'primary 0');
		until_nodes($p, 'a later one that it is a primary', sub { $_[0]{role} eq 'primary' });
		$to_east->refuse;
		$to_east->cut;
		until_nodes($p, 'it goes down', sub { $_[0]{state} eq 'down' });
		$to_east->pass;
		until_nodes($p, 'comes back, and may be another', sub { $_[0]{state} eq 'up' && $_[0]{role} eq 'unknown' });
	}
	quit($p);
	let_pass(0.2, 'the handshake is over');    # leaving in the middle of a handshake may leave one: not the next round's
}

# ---------------------------------------------------------------- a certificate that is no good

$east->safe_psql('postgres', 'ALTER SYSTEM RESET ssl');
$east->reload;
$p = prober([ '-i', 200, '-c', 'user=prober password=p1', '-r', 'sslmode=verify-full sslrootcert=/dev/null' ], @nodes[0, 1]);
($e) = until_nodes($p, 'a node that cannot be trusted is down', sub { $_[0]{state} eq 'down' });
like($e->{reason}, qr/certificate|SSL|ssl/, 'and the reason is told');
quit($p);
is($to_east->count + $to_west->count, 0, 'no connection is left open');

done_testing;
