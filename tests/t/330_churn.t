#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Everything at once on four workers: connections that come and go, clients that vanish, cancels,
# reloads, the console looking on, sessions killed. Nobody who should not be is disturbed, and
# nothing is left over.
use strict;
use warnings;
use IPC::Run qw(start);
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Measure qw(:all);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils qw(append_to_file);
use Test::More;

my $cert  = certificate('proxy', alt => 'IP:127.0.0.1');
my $node  = regional_clusters('us-east1', { tls => 1 });
my $proxy = Meridian::Test::Proxy->new('main',
	regions => [ 'us-east1' => { nodes => $node, sslmode => 'prefer' } ],
	set     => { workers => 4, tls => 'allow', tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key},
		probe_interval => '100ms', client_idle_timeout => NEVER, query_timeout => NEVER });
$proxy->start;
my $dir = PostgreSQL::Test::Utils::tempdir();
append_to_file("$dir/one.sql", "SELECT 1;\n");

sub alive
{
	return $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'churn'");
}

my $before = do { $proxy->safe_psql('postgres', 'SELECT 1'); descriptors($proxy->pid) };
my %bench;
for my $mode (qw(disable require)) {
	my $b = $bench{$mode} = { out => '' };
	$b->{run} = start([ 'pgbench', '-n', '-C', '-c4', '-j1', '-t', sanitized() ? 30 : 100, '-f', "$dir/one.sql",
			$proxy->connstr('postgres', sslmode => $mode, application_name => 'bench') ],
		'<', \'', '>', \$b->{out}, '2>&1', run_limit(120));
}
my $steady = Meridian::Test::Wire->new($proxy);
$steady->login(database => 'postgres', application_name => 'steady');

my ($rounds, $served, $killed) = (0, 0, 0);
my @ways = (
	sub { $_[0]->send(query('SELECT pg_sleep(100)')); $_[0]->close },
	sub { $_[0]->send(query('SELECT pg_sleep(100)')); $_[0]->abort },
	sub { $_[0]->send(query('SELECT generate_series(1, 10000000)')); $_[0]->abort },
	sub { $_[0]->send(terminate) },
	sub { $_[0]->close },
	sub {
		my ($w) = @_;
		$w->send(query('SELECT pg_sleep(100)'));
		$w->cancel;
		$w->close;
	},
	sub {
		my ($w) = @_;
		my ($mine) = grep { $_->{application_name} eq 'churn' } @{ $proxy->console('SHOW SESSIONS FULL') };
		$killed += $proxy->console_error("KILL SESSION $mine->{id}") eq '' if $mine;
		$w->close;
	},
);
my $d = deadline(60, 'the load to end');
while (!$d->over && (!$killed || $rounds < 2 || grep { $_->{run}->pumpable } values %bench)) {
	for (map { $_->{run} } values %bench) {
		eval { $_->pump_nb } if $_->pumpable;
	}
	my @w = map { Meridian::Test::Wire->new($proxy) } @ways;
	$_->login(database => 'postgres', application_name => 'churn') for @w;
	$ways[$_]->($w[$_]) for 0 .. $#ways;
	Meridian::Test::Wire->new($proxy)->close;
	$proxy->reload(set => { nearest => $rounds % 2 ? 'caller' : 'proxy', max_client_conn => 1000 + $rounds });
	$steady->send(query('SELECT 1'));
	$served += (row_values(($steady->until('Z'))[1]) // [''])->[0] eq '1';
	$rounds++;
}
note "$rounds rounds, $killed sessions killed";
for my $mode (sort keys %bench) {
	$bench{$mode}{run}->finish;
	my $n = sanitized() ? 120 : 400;
	like($bench{$mode}{out}, qr{actually processed: $n/$n}, "pgbench -C, sslmode=$mode: each connection was served")
	  or diag $bench{$mode}{out};
}
cmp_ok($rounds, '>', 1, 'there was some churn');
is($served, $rounds, 'a session that stays does not notice');
cmp_ok($killed, '>', 0, 'sessions were killed');
$steady->send(terminate);
ok(wait_until(sub { alive() == 0 }), 'no process of the server is left over');
ok(wait_until(sub { @{ $proxy->console('SHOW SESSIONS FULL') } == 1 }), 'no session') or diag explain $proxy->console('SHOW SESSIONS FULL');
ok(wait_until(sub { descriptors($proxy->pid) <= $before + 1 }), 'no descriptor')
  or diag descriptors($proxy->pid) . " instead of $before";

# A drain with sessions in every state ends.
my @w = map { Meridian::Test::Wire->new($proxy) } 1 .. 12;
$_->login(database => 'postgres', application_name => 'churn') for @w[ 0 .. 7 ];
$_->send(query('SELECT pg_sleep(100)')) for @w[ 0 .. 3 ];
$w[8]->send(ssl_request);
$w[9]->send("\0\0");
$proxy->reload(set => { shutdown_timeout => '200ms' });    # time: shutdown_timeout ends a drain
$proxy->stop;
ok(wait_until(sub { alive() == 0 }), 'and takes its queries with it');
my ($e) = grep { $_ && $_->[0] eq 'E' } $w[5]->until('E');
is($e && error_fields($e)->{C}, '57P01', 'idle sessions are told');
done_testing();
