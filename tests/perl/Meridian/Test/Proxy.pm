# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Proxy - a Meridian for a test.
#
#   use Meridian::Test::Cluster qw(regional_clusters);
#   use Meridian::Test::Proxy;
#   use Test::More;
#
#   my ($east, $west) = regional_clusters('us-east1', 'europe-west1');
#   my $proxy = Meridian::Test::Proxy->new('main',
#       regions => [ 'us-east1' => $east, 'europe-west1' => { nodes => $west, cities => 'paris' } ],
#       set     => { nearest => 'caller', workers => 4 },       # options of [meridian]
#       conf    => "[database movr]\naccess = any\n");          # further sections, verbatim
#   $proxy->start;                                              # returns when it says READY=1
#   is($proxy->safe_psql('postgres', 'SELECT 1'), 1);
#   is($proxy->psql_from({ city => 'paris' }, 'postgres', 'SHOW port'), $west->port);
#   is($proxy->console('SHOW REGIONS')->[0]{region}, 'us-east1');   # rows as hashes
#   $proxy->reload(set => { nearest => 'proxy' });              # rewrite the file, SIGHUP, wait
#   $proxy->wait_for_log(qr/node is down/);
#   $proxy->stop;                                               # SIGTERM; checks status and log
#   done_testing();
#
# It is a PostgreSQL::Test::Cluster as far as clients go: psql, safe_psql, background_psql, pgbench,
# connect_ok, connect_fails, poll_query_until, wait_for_log, log_contains, connstr work as they do
# there and go through the proxy over TCP. `nodes` is a cluster, a Meridian::Test::Delay, a text
# "host:port", or a list of these.
package Meridian::Test::Proxy;
use strict;
use warnings;

use Carp;
use File::Temp ();
use IO::Socket::UNIX;
use IPC::Run ();
use Meridian::Test::Patience;
use Meridian::Test::Signals;
use POSIX qw(:sys_wait_h);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Socket;
use Test::More;

our @ISA = ('PostgreSQL::Test::Cluster');

my (@running, @started);

# Options: regions, set, conf, config (the whole file as text), args (more arguments), no_file (no
# configuration file: args are all there is), env (hash), port, wrapper (list: a command in front),
# program (instead of meridian).
sub new
{
	my ($class, $name, %opt) = @_;
	my $self = bless {
		_name    => $name,
		_host    => '127.0.0.1',
		_port    => $opt{port} // PostgreSQL::Test::Cluster::get_free_port(),
		dir      => PostgreSQL::Test::Utils::tempdir("meridian_$name"),
		sockdir  => PostgreSQL::Test::Utils::tempdir_short(),
		opt      => {%opt},
		starts   => 0,
		log_from => 0,
	}, $class;
	$self->{_logfile} = "$PostgreSQL::Test::Utils::log_path/"
	  . ($0 =~ m{([^/]+?)(?:\.\w+)?$} ? $1 : 'test') . "_$name.log";
	unlink $self->{_logfile};
	$self->write_conf unless $opt{no_file};
	return $self;
}

sub dir         { return $_[0]{dir} }
sub socket_dir  { return $_[0]{sockdir} }
sub conf_file   { return "$_[0]{dir}/meridian.conf" }
sub pid         { return $_[0]{pid} }
sub program     { return $ENV{MERIDIAN} || './meridian' }
sub socket_path { return "$_[0]{sockdir}/.s.PGSQL.$_[0]{_port}" }

# (status, output, errors) of the program with these arguments, which ends by itself.
sub program_says
{
	my (@args) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ program(), @args ], '<', \'', '>', \$out, '2>', \$err, run_limit(20));
	return ($? >> 8, $out, $err);
}

# ---------------------------------------------------------------- configuration

# "host:port" of whatever stands for a node; a list becomes "a, b".
sub node_text
{
	my ($node) = @_;
	return join ', ', map { node_text($_) } @$node if ref $node eq 'ARRAY';
	return $node unless ref $node;
	return '127.0.0.1:' . $node->port;
}

sub write_conf
{
	my ($self, %change) = @_;
	my $opt = $self->{opt};
	$opt->{set} = { %{ $opt->{set} || {} }, %{ delete $change{set} } } if $change{set};
	@$opt{ keys %change } = values %change;
	my $text = $opt->{config} // $self->conf_text;
	open my $out, '>', $self->conf_file or die $self->conf_file . ": $!";
	print $out $text;
	close $out;
	return;
}

sub conf_text
{
	my ($self) = @_;
	my $opt = $self->{opt};
	my %set = (
		listen         => "127.0.0.1:$self->{_port}, $self->{sockdir}",
		listen_port    => $self->{_port},
		workers        => 2,
		gazetteer      => ($ENV{MERIDIAN_BUILDDIR} || '.') . '/routing/gazetteer.dat',
		probe_conninfo => 'dbname=postgres',
		stale_after    => span(30),               # a busy machine is no dead node,
		hedge_delay    => span(10),               # nor a slow one: tests of second attempts say less
		%{ $opt->{set} || {} });
	# a migration's connections have five seconds to be made
	$set{migration_conninfo} .= ' connect_timeout=' . POSIX::ceil(patience(5))
	  if ($set{migration_conninfo} // '') ne '' && $set{migration_conninfo} !~ /connect_timeout/;
	my @lines = ('[meridian]');
	push @lines, map { "$_ = $set{$_}" } grep { defined $set{$_} } sort keys %set;
	my @regions = @{ $opt->{regions} || [] };
	while (my ($name, $what) = splice @regions, 0, 2) {
		my %region = ref $what eq 'HASH' ? %$what : (nodes => $what);
		$region{nodes} = node_text($region{nodes});
		push @lines, '', "[region $name]", map { "$_ = $region{$_}" } sort keys %region;
	}
	return join("\n", @lines, '', $opt->{conf} // '') . "\n";
}

# Sections for `conf`: a database without pools, with those of sessions, with those of transactions;
# more of them are pairs of a name and what stands in the section.
sub databases_of
{
	my ($dbname, @more) = @_;
	return join '', map { "[database $_->[0]]\ndbname = $dbname\n$_->[1]\n" } [ own => 'pool = off' ], [ ses => 'pool = session' ],
	  [ tx => 'pool = transaction' ], @more;
}

# ---------------------------------------------------------------- start and stop

# Start and wait until it says that it is ready (sd_notify). With fail_ok, returns 0 when it ends
# instead; see exit_status and the log.
sub start
{
	my ($self, %opt) = @_;
	croak "meridian $self->{_name} is running already" if $self->{pid};
	$self->{log_from} = -s $self->logfile || 0;
	my $notify = "$self->{sockdir}/notify." . ++$self->{starts};
	$self->{notify} = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $notify)
	  or die "$notify: $!";
	my @command = $self->command(@{ $opt{args} || [] });
	print "### Starting meridian \"$self->{_name}\": @command\n";
	$self->{pid} = $self->spawn($notify, @command);
	delete $self->{status};
	push @running, $self;
	push @started, $self unless $self->{starts} > 1;
	my $ready = $self->wait_notify(qr/^READY=1$/m);
	return 1 if $ready;
	$self->kill9 if $self->{pid};
	return 0 if $opt{fail_ok};
	print "# its log:\n", $self->log_text, "\n";
	croak "meridian $self->{_name} did not start: " . substr($self->log_text, -1000);
}

sub command
{
	my ($self, @more) = @_;
	my $opt = $self->{opt};
	return (
		'setpriv', '--pdeathsig', 'KILL', '--',
		@{ $opt->{wrapper} || [] },
		$opt->{program} // program(), @{ $opt->{args} || [] }, @more, $opt->{no_file} ? () : $self->conf_file);
}

sub spawn
{
	my ($self, $notify, @command) = @_;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	open STDIN,  '<',  '/dev/null'    or POSIX::_exit(126);
	open STDOUT, '>>', $self->logfile or POSIX::_exit(126);
	open STDERR, '>&', \*STDOUT       or POSIX::_exit(126);
	let_be_traced();
	local %ENV = (%ENV, NOTIFY_SOCKET => $notify, %{ $self->{opt}{env} || {} });
	exec @command or POSIX::_exit(127);
}

# Many a kernel lets a process be traced by those alone that it has begun itself, unless it says otherwise (Yama):
# strace is begun by the test, as we are. prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); others know nothing of it.
sub let_be_traced
{
	my %prctl = (x86_64 => 157, aarch64 => 167);
	my $number = $prctl{ (POSIX::uname())[4] } or return;
	syscall $number, 0x59616d61, -1, 0, 0, 0;
	return;
}

# Wait for a notification that matches; false when the process ended or the time is up.
sub wait_notify
{
	my ($self, $match, $seconds) = @_;
	my $d = deadline($seconds || 30, "a notification that matches $match");
	until ($d->over) {
		my $bits = '';
		vec($bits, fileno $self->{notify}, 1) = 1;
		if (select($bits, undef, undef, 0.05) > 0) {
			$self->{notify}->recv(my $said, 4096);
			return 1 if $said =~ $match;
		} elsif (!$self->is_running) {
			return 0;
		}
	}
	return 0;
}

# Has it ended? Its status is kept then.
sub is_running
{
	my ($self) = @_;
	return 0 unless $self->{pid};
	return 1 if waitpid($self->{pid}, WNOHANG) == 0;
	$self->{status} = $?;
	$self->forget;
	return 0;
}

sub forget
{
	my ($self) = @_;
	delete $self->{pid};
	@running = grep { $_ != $self } @running;
	return;
}

# What waitpid said of the last run: 0 is a clean exit.
sub exit_status { return $_[0]{status} }

sub wait_exit
{
	my ($self, $seconds) = @_;
	my $d = deadline($seconds || 30, "the end of meridian $self->{_name}");
	while ($self->is_running) { $d->goes_on or return 0 }
	return 1;
}

# Stop it, and make test points of it: it ends by itself, with status 0, and no sanitizer has said
# anything. Options: signal (TERM), status (the expected one; undef: any), seconds.
sub stop
{
	my ($self, %opt) = @_;
	return $self->{status} unless $self->{pid};
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	kill $opt{signal} || 'TERM', $self->{pid};
	my $ended = $self->wait_exit($opt{seconds});
	$self->kill9 unless $ended;
	my $want = exists $opt{status} ? $opt{status} : 0;
	my @bad  = grep { defined } (
		$ended ? undef : 'did not end in time',
		!$ended || !defined $want || $self->{status} == $want ? undef : "status $self->{status}",
		$self->sanitizer_report);
	ok(!@bad, "meridian $self->{_name} stops cleanly") or diag(join "\n", @bad);
	return $self->{status};
}

sub sanitizer_report
{
	my ($self) = @_;
	return $self->log_text =~ /((?:==\d+==ERROR|WARNING: ThreadSanitizer|[^\n]*runtime error:|BUG:).*)/s
	  ? substr($1, 0, 6000) : undef;
}

sub kill9
{
	my ($self) = @_;
	return unless $self->{pid};
	kill 'KILL', $self->{pid};
	$self->wait_exit(10);
	return;
}

sub restart
{
	my ($self, %opt) = @_;
	$self->stop;
	return $self->start(%opt);
}

sub teardown_node { $_[0]->kill9; return }

# What a sanitizer has said of one that was killed is not lost either.
END {
	my $status = $?;
	$_->kill9 for @running;
	for my $report (map { $_->sanitizer_report // () } @started) {
		diag($report);
		$status ||= 1;
	}
	$? = $status;
}

# Change the file (same names as new() takes), send SIGHUP and wait until it has reloaded or refused:
# RELOADING=1 … READY=1. Returns what it logged meanwhile.
sub reload
{
	my ($self, %change) = @_;
	my $from = -s $self->logfile || 0;
	$self->write_conf(%change) if %change;
	kill 'HUP', $self->{pid};
	$self->wait_notify(qr/^RELOADING=1$/m) && $self->wait_notify(qr/^READY=1$/m)
	  or croak "meridian $self->{_name} did not say that it reloaded";
	return $self->log_text($from);
}

# ---------------------------------------------------------------- log

sub log_text
{
	my ($self, $from) = @_;
	return PostgreSQL::Test::Utils::slurp_file($self->logfile, $from // $self->{log_from});
}

sub log_like
{
	my ($self, $regexp, $what, $from) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(1, $what) if eval { $self->wait_for_log($regexp, $from // $self->{log_from}); 1 };
	return like($self->log_text($from), $regexp, $what);
}

sub log_unlike
{
	my ($self, $regexp, $what, $from) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return unlike($self->log_text($from), $regexp, $what);
}

# ---------------------------------------------------------------- clients

sub connstr
{
	my ($self, $db, %more) = @_;
	my %word = (
		host => $self->host, port => $self->port, defined $db ? (dbname => $db) : (),
		gssencmode => 'disable', %more);
	return join ' ', map { (my $v = $word{$_}) =~ s/([\\'])/\\$1/g; "$_='$v'" } sort keys %word;
}

# The value of libpq's `options` that makes these claims: from_options(city => 'new york').
sub from_options
{
	my (%claim) = @_;
	return join ' ', map { (my $v = $claim{$_}) =~ s/([\\ ])/\\$1/g; "-c meridian.$_=$v" } sort keys %claim;
}

# What psql is to run it has from a file, not by a pipe: who is refused ends before it reads its input,
# and IPC::Run dies of the pipe that is broken then.
sub psql
{
	my ($self, $db, $sql, %opt) = @_;
	return $self->SUPER::psql($db, $sql, %opt) unless defined $sql;
	my $file = File::Temp->new(DIR => $self->{sockdir});
	print $file $sql;
	close $file or die "$file: $!";
	return $self->SUPER::psql($db, '', %opt, extra_params => [ '-f', "$file", @{ $opt{extra_params} || [] } ]);
}

# safe_psql of a caller who says where it is: psql_from({ city => 'paris' }, $db, $sql, …).
sub psql_from
{
	my ($self, $claim, $db, $sql, %opt) = @_;
	my $connstr = $self->connstr($db, options => from_options(%$claim));
	return $self->safe_psql($db, $sql, connstr => $connstr, %opt);
}

# The console over the unix socket, where the daemon's own user is admin. Returns a list of rows,
# each a hash by column; dies on an error. console_error returns the error's text (or '').
sub console
{
	my ($self, $sql, %opt) = @_;
	my ($status, $out, $err) = $self->console_raw($sql, %opt);
	croak "console: $sql: $err" if $status;
	my ($head, @rows) = map { [ split /\x1f/, $_, -1 ] } split /\x1e/, $out;
	return [] unless $head;
	return [ map { my %row; @row{@$head} = @$_; \%row } @rows ];
}

sub console_error
{
	my ($self, $sql, %opt) = @_;
	my ($status, $out, $err) = $self->console_raw($sql, %opt);
	return $status ? $err : '';
}

# (status, output, errors) of psql at the console; the output has a header line.
sub console_raw
{
	my ($self, $sql, %opt) = @_;
	my $connstr = $self->connstr('meridian', host => $self->{sockdir}, %{ $opt{connstr} || {} });
	my ($out, $err) = ('', '');
	IPC::Run::run([
		'psql', '-XAq', '-P', 'footer=off', '-F', "\x1f", '-R', "\x1e", '-v', 'ON_ERROR_STOP=1',
		'-v', 'VERBOSITY=verbose', '-d', $connstr, '-c', $sql
	], '<', \'', '>', \$out, '2>', \$err, run_limit(60));
	my $status = $? >> 8;
	chomp($out, $err);
	return ($status, $out, $err);
}

# console_raw, said again while another executor has the migration: its lease lasts although it has died.
sub console_when_free
{
	my ($self, $sql) = @_;
	my @said;
	wait_until(sub { @said = $self->console_raw($sql); $said[2] !~ /55P03/ }, "$sql to be let (55P03: another executor)");
	return @said;
}

# Until a console command's answer pleases: wait_console('SHOW NODES FULL', sub { $_[0][0]{state} eq 'up' }).
sub wait_console
{
	my ($self, $sql, $good, $seconds) = @_;
	my $d = deadline($seconds, "the answer of $sql to please");
	my $rows;
	while ($d->goes_on) {
		$rows = $self->console($sql);
		return $rows if $good->($rows);
	}
	croak "console: $sql never became as expected: " . join('', explain($rows)) . $d->text;
}

# Until so many nodes are up: at least one, where no number is given.
sub wait_up
{
	my ($self, $n) = @_;
	return $self->wait_console('SHOW NODES FULL', sub {
		my $up = grep { $_->{state} eq 'up' } @{ $_[0] };
		return defined $n ? $up == $n : $up > 0;
	});
}

# What SHOW STATS says of a counter.
sub counter
{
	my ($self, $name) = @_;
	my ($row) = grep { $_->{counter} eq $name } @{ $self->console('SHOW STATS') };
	return $row->{value};
}

# A command at the console that is not waited for: {run}, {out}, {err}.
sub console_start
{
	my ($self, $sql) = @_;
	my %c = (out => '', err => '');
	$c{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-c', $sql, '-d', $self->connstr('meridian', host => $self->socket_dir) ],
		'<', \'', '>', \$c{out}, '2>', \$c{err}, run_limit(60));
	return \%c;
}

1;
