#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# --import-pgbouncer: what is written passes --check and starts, for the file that Debian ships, the
# same with every option in it switched on, and a rich one of ours; what is lost is listed with file,
# line and reason; a client that came through PgBouncer comes through.
use strict;
use warnings;
use IO::Socket::INET;
use IPC::Run ();
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use PostgreSQL::Test::Utils ();
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;

sub meridian { return Meridian::Test::Proxy::program_says(@_) }

sub write_file
{
	my ($name, $text) = @_;
	open my $f, '>', "$dir/$name" or die "$dir/$name: $!";
	print $f $text;
	close $f;
	return "$dir/$name";
}

# Import, and --check of what came out: files that it names need to be there.
sub import_ini
{
	my ($ini, $name) = @_;
	my ($status, $out, $err) = meridian('--import-pgbouncer', $ini);
	is($status, 0, "$name is taken") or diag $err;
	my ($checked, undef, $why) = meridian('--check', write_file('new.conf', $out));
	is($checked, 0, "$name: what is written passes --check") or diag "$why\n$out";
	return ($out, $err);
}

# ---------------------------------------------------------------- files as they are shipped

my $users = write_file('userlist.txt', qq("alice" "secret"\n));
SKIP: {
	my $shipped = '/etc/pgbouncer/pgbouncer.ini';
	skip 'PgBouncer is not installed', 6 unless -r $shipped;
	my $text = PostgreSQL::Test::Utils::slurp_file($shipped);
	# not everybody may read the list that it names
	$text =~ s{^auth_file = .*}{auth_file = $users}m;
	my ($conf, $lost) = import_ini(write_file('shipped.ini', $text), q(Debian's file));
	like($conf, qr/^listen_port = 6432\b/m, 'its port is kept');
	like($lost, qr/shipped\.ini:\d+: \[pgbouncer\] logfile: /, 'what is lost is listed');

	# every option that it mentions, with the values that it mentions
	$text =~ s/^;(\w+ = *\S.*)/$1/mg;
	$text =~ s/^(?:job_name|auth_type|auth_hba_file|client_tls_\w+|auth_query) = .*\n//mg;
	$text =~ s/<system default>//g;
	$text =~ s/^;(foodb|bardb|forcedb|nondefaultdb) =/$1 =/mg;
	($conf, $lost) = import_ini(write_file('all.ini', $text), 'the same with all options');
	unlike($lost, qr/is not known/, 'and knows them all');
}

# ---------------------------------------------------------------- a rich one

write_file('more.ini', "[pgbouncer]\nquery_wait_timeout = 30\nmin_pool_size = 2\n");
my $rich = write_file('rich.ini', <<"END");
;; a comment
[databases]
orders = host=db1.us-east-1.example,db2.us-east-1.example port=5433 dbname=shop
users = host=10.0.0.5 pool_mode=session user=app password='not to be seen'
* = host=10.0.0.5

[users]
batch = pool_mode=session

[peers]
1 = host=gate1.example
2 = host=gate2.example port=6433

[pgbouncer]
%include more.ini
listen_addr = 127.0.0.1
unix_socket_dir = $dir
auth_file = $users
admin_users = alice
pool_mode = transaction
default_pool_size = 50
server_idle_timeout = 60
server_reset_query = DISCARD ALL
application_name_add_host = 1
peer_id = 1
END
my ($conf, $lost) = import_ini($rich, 'a rich file');
for my $line (
	"[region us-east-1]",                      "nodes = db1.us-east-1.example:5433, db2.us-east-1.example:5433",
	"[region 10-0-0-5]",                       "[database orders]",
	"dbname = shop",                           "regions = us-east-1",
	"[database *]",                            "pool = transaction",
	"pool = session",                          "default_pool_size = 50",
	# time: as the file has them
	"server_idle_timeout = 1min",              "query_wait_timeout = 30s",
	"min_pool_size = 2",                       "admin_users = alice",
	"listen = 127.0.0.1, $dir")
{
	like($conf, qr/^\Q$line\E(?: |$)/m, "it has: $line");
}
like($conf, qr{^default_pool_size = 50 +; \Q$rich\E:\d+ default_pool_size$}m, 'with file and line of each');
like($lost, qr{^\Q$rich\E:4: \[databases\] users: user: .* own name}m,        'a forced user is listed');
like($lost, qr{^\Q$rich\E:8: \[users\] batch: }m,                             'and a setting of a user');
like($lost, qr{^\Q$rich\E:\d+: \[pgbouncer\] application_name_add_host: }m,   'and what there is not');
unlike($conf . $lost, qr/not to be seen/, 'no password is told');

# ---------------------------------------------------------------- errors

my ($status, $out, $err) = meridian('--import-pgbouncer', "$dir/none.ini");
is($status, 1, 'a file that is not there ends with 1');
is($out, '', 'and prints nothing');
like($err, qr/could not open "\Q$dir\E\/none\.ini"/, 'and is named');
($status, $out, $err) = meridian('--import-pgbouncer', write_file('bad.ini', "[databases]\nfoo\n"));
is($status, 1, 'a file that is none of PgBouncer ends with 1');
like($err, qr{bad\.ini:2: expected "key = value"}, 'with the line');
($status, $out, $err) = meridian('--import-pgbouncer');
is($status, 2, 'and a missing name with 2');

# ---------------------------------------------------------------- and clients come through

my ($east) = regional_clusters('us-east1');
$east->safe_psql('postgres', "SET password_encryption = 'scram-sha-256'; CREATE ROLE app LOGIN PASSWORD 'geheim'");
my $verifier = $east->safe_psql('postgres', "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'");
my $userlist = write_file('live.txt', qq("app" "$verifier"\n));
chmod 0600, $userlist;

sub live_ini
{
	my ($port) = @_;
	my $node = $east->port;
	return write_file("live.$port.ini", <<"END");
[databases]
shop = host=127.0.0.1 port=$node dbname=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $userlist
pool_mode = transaction
default_pool_size = 3
logfile = $dir/pgbouncer.$port.log
pidfile = $dir/pgbouncer.$port.pid
END
}

# What clients of either see, one after the other.
sub clients_see
{
	my ($port) = @_;
	my @seen;
	for my $try ([ 'app', 'geheim', 'shop' ], [ 'app', 'falsch', 'shop' ], [ 'other', 'geheim', 'shop' ]) {
		my ($user, $password, $database) = @$try;
		local $ENV{PGPASSWORD} = $password;
		my ($out, $err) = ('', '');
		IPC::Run::run([ 'psql', '-XAtq', '-d', "host=127.0.0.1 port=$port user=$user dbname=$database",
			'-c', 'SELECT current_user, current_database()' ], '<', \'', '>', \$out, '2>', \$err,
			run_limit(30));
		push @seen, $out ne '' ? $out : $err =~ /FATAL/ ? "refused\n" : $err;
	}
	return join '', @seen;
}

my $port = PostgreSQL::Test::Cluster::get_free_port();
($conf) = import_ini(live_ini($port), 'a file for a server that is there');
my $proxy = Meridian::Test::Proxy->new('import', port => $port, config => $conf);
$proxy->start;
my $here = clients_see($port);
is($here, "app|postgres\nrefused\nrefused\n", 'clients come through, those who may');
$proxy->stop;
SKIP: {
	my ($pgbouncer) = grep { -x } '/usr/sbin/pgbouncer', '/usr/bin/pgbouncer';
	skip 'PgBouncer is not installed', 1 unless $pgbouncer;
	my $other = PostgreSQL::Test::Cluster::get_free_port();
	my $run   = IPC::Run::start([ $pgbouncer, '-q', live_ini($other) ], '<', \'', '>', \my $out, '2>', \my $err);
	wait_until(sub { IO::Socket::INET->new("127.0.0.1:$other") }, 'PgBouncer to listen');
	is(clients_see($other), $here, 'as they do through PgBouncer with the same file');
	$run->kill_kill;
}
done_testing();
