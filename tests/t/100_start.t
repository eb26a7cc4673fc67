#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Start, reload and end of the process: arguments alone, a file, wrong files, sockets of every kind,
# sockets that systemd opened, what it tells systemd, signals.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use PostgreSQL::Test::Utils ();
use Test::More;

my ($east, $west) = regional_clusters('us-east1', 'us-west1');
my $where = "SELECT current_setting('cluster_name')";

# ---------------------------------------------------------------- arguments that print

sub meridian { return Meridian::Test::Proxy::program_says(@_) }

my ($status, $out, $err) = meridian('--version');
is($status, 0, '--version ends with 0');
like($out, qr/^meridian \d+\.\d+\.\d+\n\z/, '--version');
($status, $out) = meridian('--help');
is($status, 0, '--help ends with 0');
like($out, qr/--$_\b/, "--help names --$_") for qw(check listen region set geoip socket-dir version);
($status, $out, $err) = meridian('--listne', '127.0.0.1:1');
is($status, 2, 'an unknown option ends with 2');
like($err, qr/unknown option --listne/, 'and is named');

# ---------------------------------------------------------------- --check, and errors with file:line

my $dir = PostgreSQL::Test::Utils::tempdir;

sub check_text
{
	my ($text) = @_;
	my $file = "$dir/check.conf";
	unlink $file;
	PostgreSQL::Test::Utils::append_to_file($file, $text);
	return meridian('--check', $file);
}

my $good = "[meridian]\nlisten = 127.0.0.1:1\n[region us-east1]\nnodes = 127.0.0.1:1\n";
($status, $out, $err) = check_text($good);
is($status, 0, '--check of a good file ends with 0') or diag $err;
is($err, '', 'and says nothing of errors');
my @wrong = (
	[ "[meridian]\nlisten = 127.0.0.1:1\nlistne = x\n", 3, qr/listne/,   'an unknown option' ],
	[ "[meridian]\nworkers = many\n",                   2, qr/many/,     'a value that is no number' ],
	[ "${good}[regoin us-west1]\nnodes = a\n",          5, qr/regoin/,   'an unknown section' ],
	[ "${good}bias = 100\n",                            5, qr/100/,      'a value out of range' ],
	[ "${good}[database x]\naccess = sometimes\n",      6, qr/sometimes/, 'a word that is none' ]);
for my $case (@wrong) {
	my ($text, $line, $found, $what) = @$case;
	($status, $out, $err) = check_text($text);
	is($status, 1, "$what ends with 1");
	like($err, qr/check\.conf:$line\b/, "$what: file and line");
	like($err, $found, "$what: what was found");
}
($status, $out, $err) = meridian('--check', "$dir/none.conf");
is($status, 1, 'a file that is not there ends with 1');
like($err, qr/none\.conf.*No such file/, 'and is named');
($status, $out, $err) = check_text("[meridian]\nlisten = 127.0.0.1:1\ntls_cert_file = $dir/no.crt\n"
	  . "tls_key_file = $dir/no.key\n[region us-east1]\nnodes = a:1\n");
is($status, 1, '--check opens certificates');
like($err, qr/no\.crt/, 'and names the one that it could not read');
($status, $out, $err) = check_text("[meridian]\nlisten = 127.0.0.1:1\ngeoip = $dir/no.mmdb\n"
	  . "[region us-east1]\nnodes = a:1\n");
is($status, 1, '--check opens GeoIP databases');
like($err, qr/no\.mmdb/, 'and names the one that it could not read');

# ---------------------------------------------------------------- arguments alone

my $args = Meridian::Test::Proxy->new('arguments', no_file => 1);
my $port = $args->port;
my @node = map { '127.0.0.1:' . $_->port } $east, $west;
$args->start(args => [
	'--listen', "127.0.0.1:$port", '--region', "us-east1=$node[0]", "--region=us-west1=$node[1]",
	'--socket-dir', $args->socket_dir, '--set', 'workers=1',
	'--set', 'region=us-east1' ]);
is($args->safe_psql('postgres', $where), 'us-east1', 'with arguments alone, over TCP');
is($args->psql_from({ city => 'seattle' }, 'postgres', $where), 'us-west1', "--region, twice, and the build tree's gazetteer");
my $over_unix = $args->connstr('postgres', host => $args->socket_dir);
is($args->safe_psql('postgres', $where, connstr => $over_unix), 'us-east1', 'over the unix socket');
ok(-S $args->socket_path, 'the unix socket is named after the port of --listen');

# A second one on the same sockets.
my $second = Meridian::Test::Proxy->new('second', no_file => 1, port => $port);
my @second = ('--region', "us-east1=$node[0]", '--set', "listen_port=$port", '--set', 'workers=1');
is($second->start(fail_ok => 1, args => [ @second, '--listen', "127.0.0.1:$port" ]),
	0, 'a second one on the same TCP port is refused');
like($second->log_text, qr/could not listen on 127\.0\.0\.1:$port: Address already in use/, 'and says why');
is($second->start(fail_ok => 1, args => [ @second, '--listen', $args->socket_dir ]),
	0, 'a second one on the same unix socket is refused');
like($second->log_text, qr/could not listen on \S+\.s\.PGSQL\.$port: another process does/, 'and says why');
is($args->safe_psql('postgres', $where, connstr => $over_unix), 'us-east1', 'the first one still has it');
open my $proc, '<', '/proc/' . $args->pid . '/status' or die;
my ($uid) = map { /^Uid:\t(\d+)/ ? $1 : () } <$proc>;
close $proc;
isnt($uid, 0, 'it runs as an ordinary user');
$args->kill9;
ok(-S $args->socket_path, 'killed, it leaves its unix socket behind');
$args->start(args => [
	'--listen', "127.0.0.1:$port", '--region', "us-east1=$node[0]", '--set', "listen_port=$port",
	'--socket-dir', $args->socket_dir ]);
is($args->safe_psql('postgres', $where, connstr => $over_unix), 'us-east1', 'and takes it over again');
$args->stop;
ok(!-e $args->socket_path, 'a clean end removes the unix socket');

# ---------------------------------------------------------------- a file; IPv6; reload

my $proxy = Meridian::Test::Proxy->new('main', regions => [ 'us-east1' => $east, 'us-west1' => $west ],
	set => { region => 'us-east1' });
my ($v6, $any, $any4) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 3;
my $has_v6 = IO::Socket::IP->new(LocalHost => '::1', LocalPort => $v6, Listen => 1, V6Only => 1);
close $has_v6 if $has_v6;
$proxy->write_conf(set => {
		listen => '127.0.0.1:' . $proxy->port . ', ' . $proxy->socket_dir . ($has_v6 ? ", [::1]:$v6, *:$any" : '') });
$proxy->start;
SKIP: {
	skip 'this machine has no IPv6', 3 unless $has_v6;
	is($proxy->safe_psql('postgres', $where, connstr => $proxy->connstr('postgres', host => $_->[0], port => $_->[1])),
		'us-east1', $_->[2])
	  for [ '::1', $v6, 'over IPv6' ], [ '::1', $any, '*:port, over IPv6' ], [ '127.0.0.1', $any, '*:port, over IPv4' ];
}

# A kernel that knows no IPv6.
my $old = Meridian::Test::Proxy->new('old', regions => [ 'us-east1' => $east ], wrapper => [ $^X, "$ENV{MERIDIAN_SRCDIR}/tests/tools/without_ipv6.pl" ]);
$old->write_conf(set => { region => 'us-east1', listen => "*:$any4, " . $old->socket_dir });
$old->start;
is($old->safe_psql('postgres', $where, connstr => $old->connstr('postgres', host => '127.0.0.1', port => $any4)),
	'us-east1', '*:port where there is no IPv6');
$old->stop;

is($proxy->safe_psql('postgres', $where), 'us-east1', 'before the reload');
my $idle = $proxy->background_psql('postgres');
my $said = $proxy->reload(set => { region => 'us-west1' });
like($said, qr/configuration reloaded/, 'SIGHUP reloads');
like($said, qr/configuration: .*region\b.*us-west1/, 'and says what has changed');
is($proxy->safe_psql('postgres', $where), 'us-west1', 'new sessions obey the new configuration');
is($idle->query_safe($where), 'us-east1', 'a session that was there stays where it is');

open my $conf, '<', $proxy->conf_file or die;
my $text = join '', <$conf>;
close $conf;
PostgreSQL::Test::Utils::append_to_file($proxy->conf_file, "\n[region x]\nnodes = a\nbaias = 3\n");
$said = $proxy->reload;
my $line = 4 + ($text =~ tr/\n//);
like($said, qr/reload failed, the running configuration stays: \S+meridian\.conf:$line\b.*baias/,
	'a bad file is refused, with file and line');
is($proxy->safe_psql('postgres', $where), 'us-west1', 'and the old configuration stays');
is($idle->query_safe($where), 'us-east1', 'so do its sessions');
open $conf, '>', $proxy->conf_file or die;
print $conf $text;
close $conf;
like($proxy->reload, qr/configuration reloaded/, 'the good file again');

# ---------------------------------------------------------------- a supervisor that does not read

my $full = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $proxy->socket_dir . "/notify.$proxy->{starts}") or die "notify: $!";
$full->blocking(0);
1 while defined $full->send('full');
my $deaf_from = -s $proxy->logfile;
for my $n (1 .. 3) {
	kill 'HUP', $proxy->pid;
	ok($proxy->wait_for_log(qr/(configuration reloaded.*){$n}/s, $deaf_from), "a supervisor that does not read is not waited for ($n)");
	is($proxy->console('SHOW VERSION')->[0]{config_version} + 0, 3 + $n, 'by nobody');
}
ok($proxy->wait_notify(qr/^RELOADING=1$/m) && $proxy->wait_notify(qr/^READY=1$/m), 'and is told when it reads again');

# ---------------------------------------------------------------- SIGUSR1

my $from = -s $proxy->logfile;
kill 'USR1', $proxy->pid;
$proxy->log_like(qr/state: region=us-west1 node=$node[1] state=\w+ role=\w+ sessions=/, 'SIGUSR1 dumps nodes', $from);
$proxy->log_like(qr/state: worker=2 sessions=\d/, 'and workers', $from);

# ---------------------------------------------------------------- SIGTERM: the drain

my $busy = Meridian::Test::Wire->new($proxy);
$busy->login(database => 'postgres');
my $quiet = Meridian::Test::Wire->new($proxy);
$quiet->login(database => 'postgres');
my $in_block = Meridian::Test::Wire->new($proxy);
$in_block->login(database => 'postgres');
$in_block->send(query('BEGIN'));
$in_block->until('Z');
my $locker = Meridian::Test::Wire->session($west);
$locker->ask('SELECT pg_advisory_lock(1)');
$busy->send(query("SELECT pg_advisory_lock(1), 'finished'"));
ok($west->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%finished%' AND wait_event = 'advisory'"),
	'a query is running');
kill 'TERM', $proxy->pid;
ok($proxy->wait_notify(qr/^STOPPING=1$/m), 'SIGTERM: systemd is told');
is(error_fields($quiet->message)->{C}, '57P01', 'an idle session ends with 57P01');
ok($quiet->closed, 'and is closed');
# Each worker closes its own listening socket, one perhaps a moment after the other.
ok(wait_until(sub { !eval { Meridian::Test::Wire->new($proxy); 1 } }), 'no new connection is taken');
$locker->close;
my @rest = $busy->until('Z');
is(row_values($rest[1])->[1], 'finished', 'a query that was running is finished');
is(error_fields($busy->message)->{C}, '57P01', 'and then its session ends with 57P01');
$in_block->send(query('SELECT 1'));
is(($in_block->until('Z'))[-1][1], 'T', 'an open transaction goes on');
$in_block->send(query('COMMIT'));
is(($in_block->until('Z'))[-1][1], 'I', 'up to its end');
is(error_fields($in_block->message)->{C}, '57P01', 'and then its session ends with 57P01');
ok($proxy->wait_exit, 'with the last session the process ends');
is($proxy->exit_status, 0, 'with status 0');
ok(!-e $proxy->socket_path, 'the unix socket is removed');
$idle->{run}->finish;

# A second SIGTERM does not wait; shutdown_timeout bounds the wait.
for my $how ([ 'a second SIGTERM', 0, 1 ], [ 'shutdown_timeout', '300ms', 0 ]) {
	my ($what, $timeout, $again) = @$how;
	$proxy->write_conf(set => { shutdown_timeout => $timeout });
	$proxy->start;
	my $long = Meridian::Test::Wire->new($proxy);
	$long->login(database => 'postgres');
	$long->send(query("SELECT pg_sleep(600), '$what'"));
	ok($west->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%$what%' AND wait_event = 'PgSleep'"),
		'a long query is running');
	kill 'TERM', $proxy->pid;
	$proxy->wait_notify(qr/^STOPPING=1$/m);
	if ($again) {
		ok($long->silent, 'the first SIGTERM lets it run');
		kill 'TERM', $proxy->pid;
	}
	is(error_fields(($long->until('E'))[-1])->{C}, '57P01', "$what ends what is left");
	ok($proxy->wait_exit, 'and the process');
	is($proxy->exit_status, 0, 'with status 0');
	ok($west->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE '%$what%'"
		  . " AND state = 'active' AND pid <> pg_backend_pid()"), 'the query is cancelled on the node');
}

# ---------------------------------------------------------------- socket activation

# What systemd does: descriptors from 3 on, their number, names and addressee in the environment.
my $activate = <<'PERL';
use POSIX ();
my ($names, $path, @ports) = (shift, shift, split /,/, shift);
my @sockets = map { socket(my $s, 2, 1, 0); setsockopt($s, 1, 2, pack 'l', 1);
	bind($s, pack 'S n C4 x8', 2, $_, 127, 0, 0, 1) or die $!; listen $s, 9; $s } @ports;
socket(my $u, 1, 1, 0); bind($u, pack 'S a108', 1, $path) or die $!; listen $u, 9;
push @sockets, $u;
POSIX::dup2(fileno $sockets[$_], 30 + $_) for 0 .. $#sockets;
for (0 .. $#sockets) { POSIX::dup2(30 + $_, 3 + $_); POSIX::close(30 + $_) }
@ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES)} = ($$, scalar @sockets, $names);
exec @ARGV;
PERL
my ($main, $lb) = map { PostgreSQL::Test::Cluster::get_free_port() } 1, 2;
my $inherit = Meridian::Test::Proxy->new('inherit', port => $main,
	regions => [ 'us-east1' => $east, 'us-west1' => $west ],
	set     => { region => 'us-east1', listen => '127.0.0.1:1' },
	conf    => "[listener lb]\nlisten = 127.0.0.1:2\n");
$inherit->{opt}{wrapper} = [ $^X, '-e', $activate, 'main:lb:main', $inherit->socket_path, "$main,$lb" ];
$inherit->start;
is($inherit->safe_psql('postgres', $where), 'us-east1', 'a socket of systemd\'s');
my $on_lb = Meridian::Test::Wire->new(port => $lb);
is(($on_lb->login(database => 'postgres'))[-1][0], 'Z', 'and a second one');
is_deeply([ sort map { $_->{listener} } @{ $inherit->console('SHOW SESSIONS FULL') } ],
	[ 'lb', 'main' ], 'a third one is a unix socket; each belongs to the listener that its name says');
$inherit->stop;
done_testing();
