# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Patroni - a real Patroni cluster on a real etcd: three members and more, each with a
# PostgreSQL and a REST API of its own.
#
#   use Meridian::Test::Patroni;
#
#   plan skip_all => Meridian::Test::Patroni::missing() if Meridian::Test::Patroni::missing();
#   my $patroni = Meridian::Test::Patroni->new('pg-a' => { region => 'us-east1' }, 'pg-b' => { noloadbalance => 'true' });
#   $patroni->api('pg-a');       # "http://127.0.0.1:PORT"
#   $patroni->address('pg-a');   # "127.0.0.1:PORT", of its PostgreSQL
#   $patroni->leader;            # the name, once there is one that runs; all others stream from it then
#   $patroni->kill_server('pg-a');   # its PostgreSQL: SIGKILL to each of its processes
#   $patroni->lose('pg-a');          # … and to its Patroni: as if its machine were gone
#   $patroni->stop;              # also at the end of the test
#
# The first member is the first leader. Each shows its name as its application_name and in the table `who`;
# cluster_name is the cluster's, since Patroni sets it.
package Meridian::Test::Patroni;
use strict;
use warnings;

use Carp;
use HTTP::Tiny;
use JSON::PP;
use Meridian::Test::Patience;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();

use parent 'Meridian::Test::Child';

my @programs = qw(etcd patroni);

sub missing
{
	my @lacking = grep { my $p = $_; !grep { -x "$_/$p" } split /:/, $ENV{PATH} } @programs;
	return @lacking ? join(' and ', @lacking) . ' not installed' : '';
}

sub free_port { return PostgreSQL::Test::Cluster::get_free_port() }

# A program in the background, in a process group of its own, with its words in a log of the test.
sub background
{
	my ($self, $name, @command) = @_;
	my $pid = fork // croak "fork: $!";
	if (!$pid) {
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', "$self->{dir}/$name.log";
		open STDERR, '>&', \*STDOUT;
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	return $pid;
}

# Tags by the members' names.
sub new
{
	my ($class, @members) = @_;
	my $self = bless { dir => PostgreSQL::Test::Utils::tempdir(), members => {}, names => [], owner => $$ }, $class;
	while (my ($name, $tags) = splice @members, 0, 2) {
		push @{ $self->{names} }, $name;
		$self->{members}{$name} = { tags => $tags, api => free_port(), port => free_port() };
	}
	$self->start_etcd;
	$self->start_member($self->{names}[0]);
	$self->leader;
	$self->start_member($_) for @{ $self->{names} }[ 1 .. $#{ $self->{names} } ];
	$self->leader;
	return $self;
}

sub start_etcd
{
	my ($self) = @_;
	my ($client, $peer) = map { 'http://127.0.0.1:' . free_port() } 1 .. 2;
	$self->{etcd} = $client =~ s{^http://}{}r;
	$self->{etcd_pid} = $self->background('etcd', 'etcd', '--name', 'one', '--data-dir', "$self->{dir}/etcd",
		'--unsafe-no-fsync', '--listen-client-urls', $client, '--advertise-client-urls', $client,
		'--listen-peer-urls', $peer, '--initial-advertise-peer-urls', $peer, '--initial-cluster', "one=$peer");
	wait_until(sub { get("$client/health") }, 'etcd') or croak "etcd does not start: see $self->{dir}/etcd.log";
	return;
}

# What an address answers; undef: nothing good.
sub get
{
	my ($url) = @_;
	my $answer = HTTP::Tiny->new(timeout => patience(5), proxy => undef, http_proxy => undef)->get($url);
	return $answer->{success} ? $answer->{content} : undef;
}

# Patroni reads YAML, and JSON is YAML.
sub configuration
{
	my ($self, $name) = @_;
	my $m = $self->{members}{$name};
	my %conf = (
		scope => 'movr', name => $name,
		restapi => { listen => "127.0.0.1:$m->{api}", connect_address => "127.0.0.1:$m->{api}" },
		etcd3 => { host => $self->{etcd} },
		tags => $m->{tags},
		bootstrap => {
			dcs => { ttl => 6, loop_wait => 1, retry_timeout => 2, master_start_timeout => 0,
				postgresql => { use_pg_rewind => JSON::PP::false, use_slots => JSON::PP::true,
					parameters => { shared_buffers => '16MB', max_connections => 50, fsync => 'off' } } },
			initdb => [ { encoding => 'UTF8' }, { locale => 'C.UTF-8' }, 'data-checksums' ],
		},
		postgresql => {
			listen => "127.0.0.1:$m->{port}", connect_address => "127.0.0.1:$m->{port}", data_dir => "$self->{dir}/$name",
			bin_dir => (PostgreSQL::Test::Utils::run_command([qw(pg_config --bindir)]))[0], pgpass => "$self->{dir}/$name.pass",
			pg_hba => [ map { "host $_ all 127.0.0.1/32 trust" } 'all', 'replication' ],
			authentication => { map { $_ => { username => 'postgres', password => 'none is asked for' } } qw(superuser replication) },
			parameters => { unix_socket_directories => $self->{dir} },
		});
	return JSON::PP->new->canonical->encode(\%conf);
}

sub start_member
{
	my ($self, $name) = @_;
	my $file = "$self->{dir}/$name.yml";
	PostgreSQL::Test::Utils::append_to_file($file, $self->configuration($name)) unless -e $file;
	$self->{members}{$name}{pid} = $self->background($name, 'patroni', $file);
	$self->{members}{$name}{lost} = 0;
	return;
}

sub api     { my ($self, $name) = @_; return "http://127.0.0.1:$self->{members}{$name}{api}" }
sub address { my ($self, $name) = @_; return "127.0.0.1:$self->{members}{$name}{port}" }

# What the first that answers says of the cluster.
sub cluster
{
	my ($self) = @_;
	for my $name (grep { $self->{members}{$_}{pid} } @{ $self->{names} }) {
		my $answer = get($self->api($name) . '/cluster') // next;
		return JSON::PP::decode_json($answer);
	}
	return { members => [] };
}

sub leader
{
	my ($self) = @_;
	my $leader;
	my $there = grep { $_->{pid} } values %{ $self->{members} };
	wait_until(sub {
		my @runs = grep { $_->{state} =~ /^(running|streaming)$/ && $self->{members}{ $_->{name} }{pid} } @{ $self->cluster->{members} };
		($leader) = map { $_->{name} } grep { $_->{role} eq 'leader' } @runs;
		return $leader && @runs == $there;
	}, "$there members with a leader", 120) or croak "no leader: see the logs in $self->{dir}";
	return $leader;
}

sub postmaster
{
	my ($self, $name) = @_;
	open my $file, '<', "$self->{dir}/$name/postmaster.pid" or return;
	my $pid = <$file>;
	close $file;
	return 0 + $pid;
}

# The processes of a server live on for a while without their postmaster, and answer.
sub kill_server
{
	my ($self, $name) = @_;
	my $pid = $self->postmaster($name) or return;
	my @children = split ' ', PostgreSQL::Test::Utils::slurp_file("/proc/$pid/task/$pid/children");
	kill 'KILL', $pid, @children;
	return;
}

sub lose
{
	my ($self, $name) = @_;
	my $pid = delete $self->{members}{$name}{pid};
	kill 'KILL', $pid;
	waitpid $pid, 0;
	$self->kill_server($name);
	return;
}

sub stop
{
	my ($self) = @_;
	return if $$ != $self->{owner};
	my @pids = grep { defined } map { delete $_->{pid} } values %{ $self->{members} };
	kill 'TERM', @pids;
	waitpid $_, 0 for @pids;
	kill 'KILL', $self->{etcd_pid} if $self->{etcd_pid};
	waitpid delete $self->{etcd_pid}, 0 if $self->{etcd_pid};
	return;
}

1;
