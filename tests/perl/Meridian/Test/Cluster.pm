# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Cluster - PostgreSQL clusters that stand for regions.
#
#   use Meridian::Test::Cluster qw(regional_clusters certificate);
#
#   my ($east, $west) = regional_clusters('us-east1', 'us-west1');          # started, trust
#   my ($one) = regional_clusters('one', { conf => "max_connections = 20\n", streaming => 1 });
#   my $standby = regional_standby($one, 'two');                             # streams from it; started
#   my ($tls) = regional_clusters('tls', { tls => 1,                        # ssl = on, own certificate
#       users => { alice => 'secret' }, auth => 'scram-sha-256' });         # who has to log in how
#   my ($old) = regional_clusters('old', { install_path => '/usr/lib/postgresql/15' });   # of another version
#   my %method = users_by_method($one);       # alice/wonder, mary/lamb, paul/plain, tom, and nobody else
#   ok(sleeping($one, 2), "two are in their SELECT pg_sleep(100)");
#   my $cert = certificate('proxy', alt => 'DNS:localhost,IP:127.0.0.1');   # {cert}, {key}, {ca}
#
# Each is a PostgreSQL::Test::Cluster (psql, safe_psql, stop, start, promote … work) that listens on
# its unix socket and on 127.0.0.1, has fsync off, and shows its name as cluster_name:
# SELECT current_setting('cluster_name') says where a session has landed. initdb runs once per test
# run; each cluster begins as a copy.
package Meridian::Test::Cluster;
use strict;
use warnings;

use Exporter qw(import);
use Fcntl qw(:flock);
use Meridian::Test::Signals;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();

our @EXPORT_OK = qw(regional_clusters regional_standby certificate sleeping users_by_method);

# Names, each followed by a hash of options if it has any: conf, tls, users, auth, streaming,
# no_start, install_path.
sub regional_clusters
{
	my (@words) = @_;
	my @made;
	while (defined(my $name = shift @words)) {
		my $opt = ref $words[0] ? shift @words : {};
		my $node = PostgreSQL::Test::Cluster->new($name, map { ($_ => $opt->{$_}) } grep { $opt->{$_} } 'install_path');
		cluster_init($node, $opt);
		push @made, $node;
		next if $opt->{no_start};
		$node->start;
		cluster_users($node, $opt) if $opt->{users};
	}
	return wantarray ? @made : $made[0];
}

# A standby that streams from a cluster made with streaming => 1.
sub regional_standby
{
	my ($primary, $name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$primary->backup($name);
	$node->init_from_backup($primary, $name, has_streaming => 1);
	$node->append_conf('postgresql.conf', 'port = ' . $node->port . "\nunix_socket_directories = '" . $node->host . "'\ncluster_name = '$name'\n");
	$node->start;
	return $node;
}

# One initdb for all tests of a run (and version), by whoever comes first.
sub template
{
	my ($path) = @_;
	my $dir = ($ENV{MERIDIAN_TMP} || $PostgreSQL::Test::Utils::tmp_check) . '/template' . ($path // '') =~ tr{/}{-}r;
	local $ENV{PATH} = $path ? "$path/bin:$ENV{PATH}" : $ENV{PATH};
	local $ENV{LD_LIBRARY_PATH} = $path ? "$path/lib" : $ENV{LD_LIBRARY_PATH} // '';
	open my $lock, '>', "$dir.lock" or die "$dir.lock: $!";
	flock $lock, LOCK_EX or die "flock: $!";
	return $dir if -e "$dir/made";
	system('rm', '-rf', $dir);
	PostgreSQL::Test::Utils::system_or_bail('initdb', '-D', "$dir/data", '-A', 'trust', '-N', '-E', 'UTF8',
		'--locale=C.UTF-8');
	superuser_postgres("$dir/data") if getpwuid($>) ne 'postgres';
	PostgreSQL::Test::Utils::append_to_file("$dir/made", '');
	return $dir;
}

# Tests name this role, whoever runs them.
sub superuser_postgres
{
	my ($data) = @_;
	open my $sql, '|-', "postgres --single -D '$data' template1 >'$data.single' 2>&1" or die "postgres: $!";
	print {$sql} "CREATE ROLE postgres SUPERUSER LOGIN REPLICATION\n";
	close $sql or die "postgres --single: see $data.single";
	return;
}

sub cluster_init
{
	my ($node, $opt) = @_;
	mkdir $node->backup_dir;
	mkdir $node->archive_dir;
	PostgreSQL::Test::Utils::system_or_bail('cp', '-a', template($opt->{install_path}) . '/data', $node->data_dir);
	my $port    = $node->port;
	my $sockets = $node->host;
	$node->append_conf('postgresql.conf', <<"CONF");
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = '$sockets'
fsync = off
synchronous_commit = off
full_page_writes = off
restart_after_crash = off
shared_buffers = 16MB
max_connections = 100
wal_level = logical
max_wal_senders = 10
max_replication_slots = 10
hot_standby = on
log_line_prefix = '%m [%p] %q%a '
log_statement = all
log_connections = on
CONF
	tls_conf($node) if $opt->{tls};
	hba_conf($node, $opt);
	$node->append_conf('postgresql.conf', $opt->{conf}) if $opt->{conf};
	return;
}

sub tls_conf
{
	my ($node) = @_;
	my $made = certificate($node->name, alt => 'DNS:localhost,IP:127.0.0.1');
	$node->append_conf('postgresql.conf',
		"ssl = on\nssl_cert_file = '$made->{cert}'\nssl_key_file = '$made->{key}'\nssl_ca_file = '$made->{ca}'\n");
	return;
}

# The users named have to log in; everybody else is trusted.
sub hba_conf
{
	my ($node, $opt) = @_;
	my $auth  = $opt->{auth} || 'scram-sha-256';
	my @rules = map { "host all $_ 127.0.0.1/32 $auth" } sort keys %{ $opt->{users} || {} };
	push @rules, 'local all all trust', 'local replication all trust', 'host all all 127.0.0.1/32 trust',
	  'host replication all 127.0.0.1/32 trust';
	PostgreSQL::Test::Utils::system_or_bail('rm', '-f', $node->data_dir . '/pg_hba.conf');
	PostgreSQL::Test::Utils::append_to_file($node->data_dir . '/pg_hba.conf', join("\n", @rules) . "\n");
	return;
}

sub cluster_users
{
	my ($node, $opt) = @_;
	my $kind = ($opt->{auth} || '') eq 'md5' ? 'md5' : 'scram-sha-256';
	for my $name (sort keys %{ $opt->{users} }) {
		(my $password = $opt->{users}{$name}) =~ s/'/''/g;
		$node->safe_psql('postgres',
			"SET password_encryption = '$kind'; CREATE ROLE \"$name\" LOGIN SUPERUSER PASSWORD '$password'");
	}
	return;
}

# Whoever comes over TCP is one of four, each let in by a method of its own. Returns user => method.
sub users_by_method
{
	my ($node) = @_;
	my %method = (alice => 'scram-sha-256', mary => 'md5', paul => 'password', tom => 'trust');
	my $file = $node->data_dir . '/pg_hba.conf';
	unlink $file;
	PostgreSQL::Test::Utils::append_to_file($file,
		join '', "local all all trust\n", map { "host all $_ 127.0.0.1/32 $method{$_}\n" } sort keys %method);
	$node->reload;
	$node->safe_psql('postgres', "CREATE ROLE tom LOGIN; SET password_encryption = 'scram-sha-256';"
		  . "CREATE ROLE alice LOGIN PASSWORD 'wonder'; CREATE ROLE paul LOGIN PASSWORD 'plain';"
		  . "SET password_encryption = 'md5'; CREATE ROLE mary LOGIN PASSWORD 'lamb'");
	return %method;
}

# Waits until so many sessions are in their SELECT pg_sleep(100); false if they never are.
sub sleeping
{
	my ($node, $want) = @_;
	return $node->poll_query_until('postgres',
		"SELECT count(*) = $want FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(100)' AND state = 'active'");
}

# A certificate for a name, signed by the CA of this test run: files cert, key, ca. The key is
# readable by its owner only, as PostgreSQL wants it.
sub certificate
{
	my ($name, %opt) = @_;
	my $dir = $PostgreSQL::Test::Utils::tmp_check . '/certs';
	mkdir $dir;
	my $ca  = certificate_authority($dir);
	my $alt = $opt{alt} || "DNS:$name";
	my $cn  = $opt{cn} || $name;
	my %file = (cert => "$dir/$name.crt", key => "$dir/$name.key", ca => "$ca.crt");
	my $ext = "$dir/$name.ext";
	unlink $ext;
	PostgreSQL::Test::Utils::append_to_file($ext, "subjectAltName=$alt\nextendedKeyUsage=serverAuth,clientAuth\n");
	openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj',
		"/CN=$cn", '-keyout', $file{key}, '-out', "$dir/$name.csr");
	openssl('x509', '-req', '-in', "$dir/$name.csr", '-CA', "$ca.crt", '-CAkey', "$ca.key", '-set_serial',
		int(rand(2**31)), '-days', $opt{days} || 30, '-extfile', $ext, '-out', $file{cert});
	chmod 0600, $file{key};
	return \%file;
}

sub certificate_authority
{
	my ($dir) = @_;
	my $ca = "$dir/ca-$$";
	return $ca if -e "$ca.crt";
	openssl('req', '-x509', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', 30,
		'-addext', 'keyUsage=digitalSignature,keyCertSign', '-subj', '/CN=Meridian test CA', '-keyout', "$ca.key", '-out', "$ca.crt");
	return $ca;
}

sub openssl
{
	PostgreSQL::Test::Utils::system_or_bail('openssl', @_);
	return;
}

1;
