# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::CockroachStandIn - a STAND-IN for a CockroachDB cluster: multi-region statements
# of a real one ask for a licence key that tests do not have. It keeps regions, localities,
# partitions, jobs and changefeeds in memory and answers as a real cluster was recorded or read to
# answer; everything else goes to a PostgreSQL cluster behind it, which has the tables and their
# rows. What CockroachDB does not have (advisory locks, triggers, NOTIFY …) it refuses.
#
#   use Meridian::Test::CockroachStandIn;
#
#   my $crdb = Meridian::Test::CockroachStandIn->new($postgres, database => 'movr',
#       regions => ['us-east1']);                    # of the nodes that have started
#   ... regions => [ 'us-east1' => $crdb ] ...       # a node of a Meridian::Test::Proxy;
#                                                    # nodes => 3: $crdb->node(0) … node(2), one cluster
#   $crdb->tell('NODE us-west1');                    # nodes join in another region
#   $crdb->tell('LICENCE off');                      # multi-region statements: XXC02
#   $crdb->tell('SLOW 0.3');                         # seconds that each schema change takes
#   $crdb->tell('FAIL 40001 2 ADD REGION');          # the next 2 statements like this fail so
#   $crdb->tell('CUT');                              # every connection; KEEP, RESET: the state, and back to it
#   $crdb->log;                                      # statements that changed something, in order
#   $crdb->psql_value('SHOW REGIONS FROM CLUSTER');  # as a client; rows joined by newlines
#   my $crdb = movr(partitioned => 1);               # MovR's tables and some rows, and a cluster for them
#
# A process of its own; it ends with the test.
package Meridian::Test::CockroachStandIn;
use strict;
use warnings;

use Carp;
use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use Meridian::Test::Cluster qw(regional_clusters);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Wire qw(:build);
use parent 'Meridian::Test::Fake';    # stop, DESTROY
use POSIX  ();
use Socket qw(IPPROTO_TCP TCP_NODELAY);

our @EXPORT_OK = qw(movr movr_proxy real_cockroach);

# The application of the guide: users, vehicles, rides by city; 30 rows each. Options: those of new(),
# partitioned (by city, as before multi-region SQL), name (of the cluster).
sub movr
{
	my (%opt) = @_;
	my $postgres = regional_clusters($opt{name} // 'movr');
	$postgres->safe_psql('postgres', 'CREATE DATABASE movr');
	$postgres->safe_psql('movr', <<'SQL');
CREATE ROLE root SUPERUSER LOGIN;
CREATE TABLE users (id int PRIMARY KEY, city text NOT NULL, name text);
CREATE TABLE vehicles (id int PRIMARY KEY, city text NOT NULL, type text);
CREATE TABLE rides (id int PRIMARY KEY, city text NOT NULL, fare int);
CREATE TABLE promo_codes (code text PRIMARY KEY);
INSERT INTO users SELECT g, (ARRAY['new york', 'seattle', 'paris', 'rome', 'boston'])[g % 5 + 1], 'u' FROM generate_series(1, 30) g;
INSERT INTO vehicles SELECT id, city, 'bike' FROM users;
INSERT INTO rides SELECT id, city, 1 FROM users;
SQL
	my $self = __PACKAGE__->new($postgres, database => 'movr', %opt);
	$self->{postgres} = $postgres;
	return $self unless $opt{partitioned};
	my $by = q{PARTITION BY LIST (city) (PARTITION us_west VALUES IN (('seattle')), PARTITION us_east VALUES IN (('new york')))};
	$self->rows($_) for "ALTER TABLE users $by", "ALTER INDEX vehicles\@vehicles_city_idx $by",
	  q{ALTER PARTITION us_west OF INDEX movr.public.users@primary CONFIGURE ZONE USING constraints = '[+region=us-west1]'};
	$self->tell('FORGET');
	return $self;
}

# A proxy in front of it that may migrate, with MovR's three regions; options: those of
# Meridian::Test::Proxy, `set` is added.
sub movr_proxy
{
	my ($name, $crdb, %opt) = @_;
	my %set = (migration_conninfo => 'user=postgres', migration_lease => span(1), %{ delete $opt{set} || {} });
	my @cities = ('us-east1' => 'new york, boston', 'us-west1' => 'seattle', 'europe-west1' => 'paris, rome');
	my @regions;
	for my $i (0 .. $#{ $crdb->{nodes} }) {
		push @regions, $cities[ 2 * $i ], { nodes => $crdb->node($i), cities => $cities[ 2 * $i + 1 ] };
	}
	return Meridian::Test::Proxy->new($name, regions => \@regions, set => \%set, %opt);
}

# A real CockroachDB of one node, where COCKROACH names a binary; else nothing. It has no licence.
sub real_cockroach
{
	my $binary = $ENV{COCKROACH} or return undef;
	my $port   = PostgreSQL::Test::Cluster::get_free_port();
	my $http   = PostgreSQL::Test::Cluster::get_free_port();
	my $self   = bless { port => $port, owner => $$, database => 'movr', nodes => ["127.0.0.1:$port"] }, __PACKAGE__;
	$self->{pid} = fork // croak "fork: $!";
	if (!$self->{pid}) {
		open STDOUT, '>', "$PostgreSQL::Test::Utils::log_path/cockroach.log" or POSIX::_exit(126);
		open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
		exec $binary, 'start-single-node', '--insecure', '--store=type=mem,size=640MiB', "--listen-addr=127.0.0.1:$port",
		  "--http-addr=127.0.0.1:$http", '--locality=region=us-east1'
		  or POSIX::_exit(127);
	}
	wait_until(sub { eval { $self->rows('SELECT 1', 'root') } }, 'CockroachDB to answer');
	$self->rows($_, 'root') for 'CREATE DATABASE movr', 'CREATE USER postgres', 'GRANT admin TO postgres',
	  'CREATE TABLE movr.users (id UUID PRIMARY KEY, city STRING NOT NULL)';
	return $self;
}

sub new
{
	my ($class, $postgres, %opt) = @_;
	my @listen = map { IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 64, ReuseAddr => 1)
		  or croak "listen: $!" } 1 .. $opt{nodes} // 1;
	my $self = bless { port => $listen[0]->sockport, owner => $$, database => $opt{database},
		nodes => [ map { '127.0.0.1:' . $_->sockport } @listen ] }, $class;
	$self->{pid} = fork // croak "fork: $!";
	return $self if $self->{pid};
	my $state = {
		cluster => [ @{ $opt{regions} || ['us-east1'] } ], postgres => $postgres, database => $opt{database},
		db => { primary => undef, regions => [], survival => undef }, next => 700000000000000001,
		home => {}, hidden => {}, partitions => {}, zones => {}, jobs => [], log => [], fail => [],
		licence => 1, slow => 0, clients => {}, version => $opt{version} // 'CockroachDB CCL v21.1.0 (stand-in)',
	};
	eval { serve($state, \@listen, getppid); 1 } or print STDERR "cockroach stand-in: $@";
	POSIX::_exit(0);
}

sub port { return $_[0]{port} }
sub node { return $_[0]{nodes}[ $_[1] ] }

# One statement, as a client without a password; its rows, values joined by '|'.
sub rows
{
	my ($self, $sql, $user) = @_;
	my $w = Meridian::Test::Wire->new(port => $self->{port});
	$w->login(user => $user // 'postgres', database => $self->{database});
	$w->send(query($sql));
	my (@rows, $error);
	for my $m ($w->until('Z')) {
		push @rows, join '|', map { $_ // '' } @{ row_values($m) } if $m->[0] eq 'D';
		$error = error_fields($m)->{M} if $m->[0] eq 'E';
	}
	$w->send(terminate);
	$w->close;
	croak "$sql: $error" if defined $error;
	return @rows;
}

sub psql_value { my ($self, @more) = @_; return join "\n", $self->rows(@more) }
sub tell       { my ($self, $what) = @_; return $self->psql_value("STANDIN $what") }
sub log        { my ($self) = @_; return $self->rows('STANDIN LOG') }

# A changefeed without a sink: a session that lives until it is told to end, or its table changes.
sub sinkless
{
	my ($self, $sql) = @_;
	my $w = Meridian::Test::Wire->new(port => $self->{port});
	$w->login(user => 'postgres', database => $self->{database});
	$w->send(query($sql));
	$w->until('T');
	return $w;
}

# ---------------------------------------------------------------- in the process of its own

sub serve
{
	my ($state, $listen, $parent) = @_;
	my $all = $state->{select} = IO::Select->new(@$listen);
	$SIG{PIPE} = 'IGNORE';
	while (getppid == $parent) {
		for my $fd ($all->can_read(jobs_wait($state))) {
			if (grep { $fd == $_ } @$listen) {
				my $new = $fd->accept or next;
				setsockopt $new, IPPROTO_TCP, TCP_NODELAY, 1;
				$all->add($new);
				$state->{clients}{ fileno $new } = { fd => $new, in => '', batch => '', status => 'I' };
				next;
			}
			my $c = $state->{clients}{ fileno $fd };
			if    ($c)                                { client_reads($state, $c) }
			elsif ($c = $state->{by_server}{ fileno $fd }) { server_reads($state, $c) }
		}
		jobs_end($state);
	}
	return;
}

sub drop
{
	my ($state, $c) = @_;
	for my $fd (grep { defined } @$c{qw(fd server)}) {
		$state->{select}->remove($fd);
		delete $state->{clients}{ fileno $fd };
		delete $state->{by_server}{ fileno $fd };
		close $fd;
	}
	$c->{gone} = 1;
	return;
}

sub put
{
	my ($fd, $bytes) = @_;
	while (length $bytes) {
		my $n = syswrite($fd, $bytes) or return 0;
		substr $bytes, 0, $n, '';
	}
	return 1;
}

sub client_reads
{
	my ($state, $c) = @_;
	sysread($c->{fd}, $c->{in}, 65536, length $c->{in}) or return drop($state, $c);
	return client_goes_on($state, $c);
}

# One unit at a time: a Query, or messages up to a Sync; the next one waits for ReadyForQuery.
sub client_goes_on
{
	my ($state, $c) = @_;
	while (!$c->{busy} && !$c->{gone}) {
		my $head = $c->{started} ? 1 : 0;
		last if length $c->{in} < $head + 4;
		my $len = $head + unpack "x$head N", $c->{in};
		last if length $c->{in} < $len;
		my $message = substr $c->{in}, 0, $len, '';
		if   ($c->{started}) { unit($state, $c, $message) }
		else                 { begin($state, $c, $message) }
	}
	return;
}

sub begin
{
	my ($state, $c, $message) = @_;
	my $code = unpack 'x4 N', $message;
	return put($c->{fd}, 'N') if $code == 80877103 || $code == 80877104;
	return drop($state, $c) if $code == 80877102;
	$c->{server} = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $state->{postgres}->port)
	  or return drop($state, $c);
	setsockopt $c->{server}, IPPROTO_TCP, TCP_NODELAY, 1;
	@$c{qw(started busy out)} = (1, 1, '');
	$state->{by_server}{ fileno $c->{server} } = $c;
	$state->{select}->add($c->{server});
	return put($c->{server}, $message);
}

# What the server says goes to the client; in front of the first ReadyForQuery, that this is CockroachDB.
sub server_reads
{
	my ($state, $c) = @_;
	sysread($c->{server}, $c->{out}, 65536, length $c->{out}) or return drop($state, $c);
	while (length $c->{out} >= 5) {
		my $len = 1 + unpack 'x N', $c->{out};
		last if length $c->{out} < $len;
		my $message = substr $c->{out}, 0, $len, '';
		my $type    = substr $message, 0, 1;
		put($c->{fd}, frame('S', "crdb_version\0$state->{version}\0")) if $type eq 'Z' && !$c->{known}++;
		put($c->{fd}, $message);
		next unless $type eq 'Z';
		$c->{status} = substr $message, 5, 1;
		$c->{busy}   = 0;
	}
	return client_goes_on($state, $c);
}

sub unit
{
	my ($state, $c, $message) = @_;
	my $type = substr $message, 0, 1;
	return drop($state, $c) if $type eq 'X';
	if ($type eq 'Q') {
		(my $sql = substr $message, 5) =~ s/\0\z//;
		return answer($state, $c, $sql, 0) || pass($c, $sql, $message);
	}
	$c->{batch} .= $message;
	($c->{parsed}) = substr($message, 5) =~ /^[^\0]*\0([^\0]*)\0/ if $type eq 'P';
	return unless $type eq 'S';
	my ($batch, $sql) = @$c{qw(batch parsed)};
	@$c{qw(batch parsed)} = ('', undef);
	return if defined $sql && answer($state, $c, $sql, 1);
	$c->{busy} = 1;
	return put($c->{server}, $batch);
}

sub pass
{
	my ($c, $sql, $message) = @_;
	$c->{busy} = 1;
	return put($c->{server}, $message);
}

# ---------------------------------------------------------------- answers

sub row_bytes
{
	return frame('D', pack('n', scalar @_) . join '', map { defined $_ ? pack('N', length $_) . $_ : pack 'N', 0xffffffff } @_);
}

# $answer: { error => [state, message, hint, detail] } or { tag, columns => [...], rows => [[...]] }
sub say_it
{
	my ($c, $answer, $extended) = @_;
	my $out = $extended && !$answer->{error} ? frame('1', '') . frame('2', '') : '';
	if (my $e = $answer->{error}) {
		my ($state, $text, $hint, $detail) = @$e;
		$out .= frame('E', "SERROR\0VERROR\0C$state\0M$text\0" . (defined $hint ? "H$hint\0" : '')
			  . (defined $detail ? "D$detail\0" : '') . "\0");
	} else {
		my @columns = @{ $answer->{columns} || [] };
		$out .= frame('T', pack('n', scalar @columns) . join '', map { "$_\0" . pack 'N n N n N n', 0, 0, 25, 65535, 0xffffffff, 0 } @columns)
		  if @columns;
		$out .= frame('n', '') if $extended && !@columns;
		$out .= row_bytes(@$_) for @{ $answer->{rows} || [] };
		$out .= frame('C', ($answer->{tag} // 'SELECT ' . scalar @{ $answer->{rows} || [] }) . "\0");
	}
	return put($c->{fd}, $out . frame('Z', $c->{status}));
}

sub failed { my (@why) = @_; return { error => \@why } }

# What such a cluster does not have.
my $foreign = qr/pg_(?:try_)?advisory|plpgsql|^DO\s|CREATE TRIGGER|^(?:UN)?LISTEN|^NOTIFY|pg_notify|pg_terminate_backend
  |CREATE PUBLICATION|CREATE SUBSCRIPTION|EVENT TRIGGER|REPLICA IDENTITY|pg_create_logical/xi;

my @verbs;    # [ regexp, sub ($state, $client) with the captures in @_ behind ], … filled below

# False: it is nothing of CockroachDB's own. `extended`: it came as Parse … Sync.
sub answer
{
	my ($state, $c, $sql, $extended) = @_;
	$sql =~ s/^\s+|[\s;]+$//g;
	$c->{extended} = $extended;
	my $answer;
	$answer = failed('0A000', "unimplemented: this is not PostgreSQL: $sql") if $sql =~ $foreign;
	for my $verb (@verbs) {
		last if $answer;
		my ($match, $code) = @$verb;
		my @part = $sql =~ $match or next;
		$answer = fails_as_told($state, $sql) // $code->($state, $c, $sql, map { unquote($_) } @part) // return 0;
	}
	return 0 unless $answer;
	return 1 if $answer->{later};
	say_it($c, $answer, $extended);
	return 1;
}

sub fails_as_told
{
	my ($state, $sql) = @_;
	for my $fail (@{ $state->{fail} }) {
		next unless $fail->{left} > 0 && $sql =~ /$fail->{like}/;
		$fail->{left}--;
		return failed($fail->{state}, "restart transaction: told to fail: $sql");
	}
	return undef;
}

sub unquote
{
	my ($s) = @_;
	return $s unless defined $s && $s =~ /^"((?:[^"]|"")*)"\z/;
	(my $v = $1) =~ s/""/"/g;
	return $v;
}

# What PostgreSQL says: rows, values joined by '|'. Dies with its words.
sub sql_of
{
	my ($state, $sql) = @_;
	my $w = $state->{wire};
	if (!$w) {
		$w = $state->{wire} = Meridian::Test::Wire->new(port => $state->{postgres}->port);
		$w->login(user => 'postgres', database => $state->{database});
	}
	$w->send(query($sql));
	my @all = $w->until('Z');
	my ($error) = grep { $_->[0] eq 'E' } @all;
	die error_fields($error)->{M} . "\n" if $error;
	return join "\n", map { join '|', map { $_ // '' } @{ row_values($_) } } grep { $_->[0] eq 'D' } @all;
}

# A name that has to be quoted, or none; and schema.table.
my $name  = qr/("(?:[^"]|"")*"|[\w]+)/;
my $table = qr/(?:$name\.)?$name/;

# ---------------------------------------------------------------- schema changes: jobs

# $apply->() when its time is over; the client hears of it then, if it still is there.
sub change
{
	my ($state, $c, $sql, $type, $description, $tag, $apply) = @_;
	return failed('25001', "schema change in a transaction: $sql") if $c->{status} ne 'I';
	my $job = {
		id => $state->{next}++, type => $type, description => $description, status => 'running', sql => $sql,
		ends => due_in($state->{slow}), apply => $apply, client => $c, tag => $tag, extended => $c->{extended} };
	push @{ $state->{jobs} }, $job;
	$c->{busy} = 1;
	jobs_end($state) unless $state->{slow};
	return { later => 1 };
}

sub jobs_wait
{
	my ($state) = @_;
	my ($next) = sort { $a <=> $b } map { -passed($_->{ends}) } grep { $_->{status} eq 'running' && $_->{apply} } @{ $state->{jobs} };
	return !defined $next || $next > 1 ? 1 : $next < 0 ? 0 : $next;
}

sub jobs_end
{
	my ($state) = @_;
	for my $job (grep { $_->{status} eq 'running' && $_->{apply} && is_due($_->{ends}) } @{ $state->{jobs} }) {
		my $answer = eval { $job->{apply}->() } || { tag => $job->{tag} };
		$answer = failed('XX000', "stand-in: $@") if $@;
		$job->{status} = $answer->{error} ? 'failed' : 'succeeded';
		push @{ $state->{log} }, $job->{sql} unless $answer->{error};
		my $c = $job->{client};
		delete $job->{apply};
		next if $c->{gone};
		say_it($c, $answer, $job->{extended});
		$c->{busy} = 0;
		client_goes_on($state, $c);
	}
	return;
}

sub licence
{
	my ($state, $what) = @_;
	return undef if $state->{licence};
	return failed('XXC02', "use of $what requires an enterprise license. see https://cockroachlabs.com/pricing?cluster=0");
}

sub has { my ($list, $what) = @_; return scalar grep { $_ eq $what } @$list }

sub set_primary
{
	my ($state, $c, $sql, $db, $region) = @_;
	my $d = $state->{db};
	my $no = licence($state, 'multi-region features') // wrong_database($state, $db);
	return $no if $no;
	return failed('42602', "region \"$region\" does not exist", 'valid regions: ' . join ', ', @{ $state->{cluster} })
	  unless has($state->{cluster}, $region);
	return failed('42602', "region \"$region\" has not been added to the database", 'you must first add the region')
	  if defined $d->{primary} && !has($d->{regions}, $region);
	my ($old) = grep { %{ $state->{partitions}{$_} } } sort keys %{ $state->{partitions} };
	return failed('55000', "cannot convert database $db to a multi-region database", undef,
		"cannot convert table $old to a multi-region table as it is partitioned") if defined $old;
	return change($state, $c, $sql, 'SCHEMA CHANGE', "ALTER DATABASE $db SET PRIMARY REGION \"$region\"",
		'ALTER DATABASE PRIMARY REGION', sub {
			if (!defined $d->{primary}) {
				sql_of($state, "CREATE TYPE public.crdb_internal_region AS ENUM ('$region')");
				@$d{qw(regions survival)} = ([$region], 'zone');
			}
			$d->{primary} = $region;
			return;
		});
}

sub wrong_database
{
	my ($state, $db) = @_;
	return $db eq $state->{database} ? undef : failed('3D000', "database \"$db\" does not exist");
}

sub add_region
{
	my ($state, $c, $sql, $db, $region) = @_;
	my $d = $state->{db};
	my $no = wrong_database($state, $db);
	return $no if $no;
	return failed('42P12', "cannot add region \"$region\" to database $db",
		"you must add a PRIMARY REGION first using ALTER DATABASE $db PRIMARY REGION \"$region\"") unless defined $d->{primary};
	$no = licence($state, 'ADD REGION') and return $no;
	return failed('42602', "region \"$region\" does not exist", 'valid regions: ' . join ', ', @{ $state->{cluster} })
	  unless has($state->{cluster}, $region);
	return failed('42710', "region \"$region\" already added to database") if has($d->{regions}, $region);
	return failed('55000', 'cannot perform database region changes while a REGIONAL BY ROW transition is underway',
		'cancel the existing job or try again when the change is complete')
	  if grep { $_->{type} ne 'CHANGEFEED' && $_->{status} eq 'running' && $_->{description} =~ /REGIONAL BY ROW/ } @{ $state->{jobs} };
	return change($state, $c, $sql, 'TYPEDESC SCHEMA CHANGE', "Adding new region value \"$region\" to \"crdb_internal_region\"",
		'ALTER DATABASE ADD REGION', sub {
			sql_of($state, "ALTER TYPE public.crdb_internal_region ADD VALUE IF NOT EXISTS '$region'");
			push @{ $d->{regions} }, $region;
			return;
		});
}

# The region of rows of any table.
sub in_use
{
	my ($state, $region) = @_;
	for my $t (sort keys %{ $state->{home} }) {
		return $t if $state->{home}{$t} =~ /IN "?\Q$region\E"?$/;
	}
	for my $column (split /\n/, sql_of($state, q{SELECT format('%I.%I|%I', table_schema, table_name, column_name)
		FROM information_schema.columns WHERE udt_name = 'crdb_internal_region'})) {
		my ($t, $col) = split /\|/, $column;
		return $t if sql_of($state, "SELECT EXISTS (SELECT 1 FROM $t WHERE $col = '$region')") eq 't';
	}
	return undef;
}

sub drop_region
{
	my ($state, $c, $sql, $db, $region) = @_;
	my $d = $state->{db};
	return failed('42P12', 'database has no regions to drop') unless defined $d->{primary};
	return failed('42602', "region \"$region\" has not been added to the database") unless has($d->{regions}, $region);
	return failed('42P12', "cannot drop region \"$region\"", 'You must designate another region as the primary region')
	  if $region eq $d->{primary} && @{ $d->{regions} } > 1;
	return failed('55000', 'at least 3 regions are required for surviving a region failure',
		'you must add additional regions to the database or change the survivability goal')
	  if ($d->{survival} // '') eq 'region' && @{ $d->{regions} } <= 3;
	return change($state, $c, $sql, 'TYPEDESC SCHEMA CHANGE', "Removing region value \"$region\" from \"crdb_internal_region\"",
		'ALTER DATABASE DROP REGION', sub {
			my $t = $region eq $d->{primary} ? undef : in_use($state, $region);
			return failed('2BP01', "could not remove enum value \"$region\" as it is the home region for table \"$t\"") if defined $t;
			$d->{regions} = [ grep { $_ ne $region } @{ $d->{regions} } ];
			return if @{ $d->{regions} };
			sql_of($state, 'DROP TYPE public.crdb_internal_region');
			@$d{qw(primary survival)} = ();
			$state->{home} = {};
			return;
		});
}

sub survive
{
	my ($state, $c, $sql, $db, $goal) = @_;
	my $d = $state->{db};
	return failed('42602', 'database must have associated regions before a survival goal can be set',
		'you must first add a primary region') unless defined $d->{primary};
	return failed('22023', 'at least 3 regions are required for surviving a region failure',
		'you must add additional regions to the database or change the survivability goal')
	  if lc $goal eq 'region' && @{ $d->{regions} } < 3;
	return change($state, $c, $sql, 'SCHEMA CHANGE', "ALTER DATABASE $db SURVIVE \U$goal\E FAILURE", 'ALTER DATABASE SURVIVE',
		sub { $d->{survival} = lc $goal; return });
}

sub set_locality
{
	my ($state, $c, $sql, $schema, $t, $home) = @_;
	my $d   = $state->{db};
	my $key = ($schema // 'public') . ".$t";
	return failed('42P16', 'cannot alter a table\'s LOCALITY if its database is not multi-region enabled') unless defined $d->{primary};
	return failed('42P01', "relation \"$key\" does not exist") unless has_table($state, $key);
	return failed('0A000', "unimplemented: table $t is currently undergoing a schema change")
	  if grep { $_->{type} ne 'CHANGEFEED' && $_->{status} eq 'running' && $_->{description} =~ /\Q$key\E/ } @{ $state->{jobs} };
	return failed('42602', "region \"$1\" has not been added to database \"$state->{database}\"", 'available regions: ' . join ', ', @{ $d->{regions} })
	  if $home =~ /IN "([^"]+)"$/ && !has($d->{regions}, $1);
	return failed('42703', "column \"$1\" does not exist") if $home =~ /AS "?(\w+)"?$/ && !columns($state, $key)->{$1};
	$home =~ s/ AS "(\w+)"$/ AS $1/;
	return change($state, $c, $sql, 'SCHEMA CHANGE', "ALTER TABLE $state->{database}.$key SET LOCALITY $home", 'ALTER TABLE SET LOCALITY',
		sub {
			if ($home eq 'REGIONAL BY ROW' && !columns($state, $key)->{crdb_region}) {
				sql_of($state, "ALTER TABLE $key ADD COLUMN crdb_region public.crdb_internal_region NOT NULL DEFAULT '$d->{primary}'");
				$state->{hidden}{$key} = 1;
			}
			feeds_meet($state, $key) if $home =~ /^REGIONAL BY ROW/ && ($state->{home}{$key} // '') ne $home;
			$state->{home}{$key} = $home;
			return;
		});
}

sub visible
{
	my ($state, $c, $sql, $schema, $t, $column, $not) = @_;
	my $key = ($schema // 'public') . ".$t";
	return failed('42703', "column \"$column\" does not exist") unless columns($state, $key)->{$column};
	return change($state, $c, $sql, 'SCHEMA CHANGE', "ALTER TABLE $state->{database}.$key ALTER COLUMN $column SET VISIBLE", 'ALTER TABLE',
		sub { $state->{hidden}{$key} = $not ? 1 : 0; return });
}

sub add_column
{
	my ($state, $c, $sql, $schema, $t, $column, $expression) = @_;
	my $key = ($schema // 'public') . ".$t";
	return failed('42701', "column \"$column\" of relation \"$t\" already exists") if columns($state, $key)->{$column};
	$expression =~ s/\b(THEN|ELSE) ('(?:[^']|'')*')/$1 $2::public.crdb_internal_region/g;
	return change($state, $c, $sql, 'SCHEMA CHANGE', "ALTER TABLE $state->{database}.$key ADD COLUMN $column", 'ALTER TABLE', sub {
			sql_of($state, "ALTER TABLE $key ADD COLUMN $column public.crdb_internal_region GENERATED ALWAYS AS ($expression) STORED NOT NULL");
			feeds_meet($state, $key);
			return;
		});
}

sub drop_column
{
	my ($state, $c, $sql, $schema, $t, $column) = @_;
	my $key = ($schema // 'public') . ".$t";
	return failed('42P10', "column \"$column\" is referenced by the primary key")
	  if ($state->{home}{$key} // '') =~ ($column eq 'crdb_region' ? qr/^REGIONAL BY ROW$/ : qr/ AS \Q$column\E$/);
	return change($state, $c, $sql, 'SCHEMA CHANGE', "ALTER TABLE $state->{database}.$key DROP COLUMN $column", 'ALTER TABLE',
		sub { sql_of($state, "ALTER TABLE $key DROP COLUMN $column"); delete $state->{hidden}{$key}; return });
}

sub partition
{
	my ($state, $c, $sql, $schema, $t, $index, $clause) = @_;
	my $key = ($schema // 'public') . ".$t";
	return change($state, $c, $sql, 'SCHEMA CHANGE', "ALTER TABLE $state->{database}.$key PARTITION BY", 'ALTER TABLE', sub {
			if   ($clause =~ /^NOTHING$/i) { delete $state->{partitions}{$key}{ $index // '' } }
			else                           { $state->{partitions}{$key}{ $index // '' } = "PARTITION BY $clause" }
			return;
		});
}

sub zone
{
	my ($state, $c, $sql, $target, $what) = @_;
	$target =~ s/"(\w+)"/$1/g;
	return change($state, $c, $sql, 'SCHEMA CHANGE', "CONFIGURE ZONE", 'CONFIGURE ZONE 1', sub {
			if   ($what =~ /^DISCARD$/i) { delete $state->{zones}{$target} }
			else                         { $state->{zones}{$target} = $sql }
			return;
		});
}

# ---------------------------------------------------------------- changefeeds

sub feed
{
	my ($state, $c, $sql) = @_;
	my ($list) = $sql =~ /FOR (?:TABLE )?(.*?)(?= INTO | WITH |$)/i;
	my @tables = map { /\./ ? $_ : "$state->{database}.public.$_" } split /\s*,\s*/, $list;
	if ($sql !~ /\sINTO\s/i) {
		$c->{query} = $sql;
		$c->{id}    = sprintf '16%030x', $state->{next}++;
		$c->{busy}  = 1;
		put($c->{fd}, frame('T', pack('n', 1) . "value\0" . pack 'N n N n N n', 0, 0, 25, 65535, 0xffffffff, 0));
		return { later => 1 };
	}
	my $id = $state->{next}++;
	push @{ $state->{jobs} },
	  { id => $id, type => 'CHANGEFEED', description => $sql, tables => '{' . join(',', @tables) . '}', status => 'running' };
	return { columns => ['job_id'], rows => [ [$id] ] };
}

# The table got another primary key: whoever said 'stop' ends.
sub feeds_meet
{
	my ($state, $key) = @_;
	my $stops = qr/schema_change_policy\s*=\s*'stop'/i;
	for my $job (grep { $_->{type} eq 'CHANGEFEED' && $_->{status} eq 'running' } @{ $state->{jobs} }) {
		$job->{status} = 'failed' if $job->{tables} =~ /\.\Q$key\E[,}]/ && $job->{description} =~ $stops;
	}
	(my $bare = $key) =~ s/.*\.//;
	for my $c (values %{ $state->{clients} }) {
		next unless defined $c->{query} && $c->{query} =~ $stops && $c->{query} =~ /\b$bare\b/;
		delete $c->{query};
		$c->{busy} = 0;
		say_it($c, failed('55C01', 'schema change occurred at 1795241282391081196.0000000000'), 0);
	}
	return;
}

sub job_control
{
	my ($state, $c, $sql, $verb, $id) = @_;
	my ($job) = grep { $_->{id} == $id } @{ $state->{jobs} };
	return failed('22023', "job with ID $id does not exist") unless $job;
	my %next = (PAUSE => [ 'running', 'paused' ], RESUME => [ 'paused', 'running' ], CANCEL => [ 'running', 'canceled' ]);
	my ($from, $to) = @{ $next{ uc $verb } };
	return failed('XXUUU', "job with status $job->{status} cannot be requested to be " . lc $verb) if $job->{status} ne $from;
	$job->{status} = $to;
	push @{ $state->{log} }, $sql;
	return { tag => uc($verb) . ' JOBS 1' };
}

# ---------------------------------------------------------------- SHOW and crdb_internal

sub columns
{
	my ($state, $key) = @_;
	my ($schema, $t) = split /\./, $key, 2;
	my %found = map { split /\|/, $_, 2 } split /\n/,
	  sql_of($state, "SELECT column_name || '|' || udt_name FROM information_schema.columns WHERE table_schema = '$schema' AND table_name = '$t'");
	return \%found;
}

sub tables
{
	my ($state) = @_;
	return split /\n/, sql_of($state, q{SELECT table_schema || '.' || table_name FROM information_schema.tables
		WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE' ORDER BY 1});
}

sub has_table { my ($state, $key) = @_; return has([ tables($state) ], $key) }

sub show_tables
{
	my ($state) = @_;
	my @rows = map {
		my ($schema, $t) = split /\./, $_, 2;
		[ $schema, $t, 'table', 'root', $schema eq 'public' ? sql_of($state, "SELECT count(*) FROM $_") : 0,
			defined $state->{db}{primary} ? $state->{home}{$_} // 'REGIONAL BY TABLE IN PRIMARY REGION' : undef ]
	} tables($state);
	return { columns => [qw(schema_name table_name type owner estimated_row_count locality)], rows => \@rows };
}

sub show_create
{
	my ($state, $c, $sql, $schema, $t) = @_;
	my $key     = ($schema // 'public') . ".$t";
	my $columns = columns($state, $key);
	my @parts   = map {
		$_ eq 'crdb_region' ? 'crdb_region public.crdb_internal_region ' . ($state->{hidden}{$key} ? 'NOT VISIBLE ' : '')
		  . 'NOT NULL DEFAULT default_to_database_primary_region(gateway_region())::public.crdb_internal_region'
		  : "$_ $columns->{$_} NOT NULL"
	} sort keys %$columns;
	my $by = $state->{partitions}{$key} || {};
	push @parts, map { "INDEX $_ (city ASC) $by->{$_}" } grep { length } sort keys %$by;
	my $text = "CREATE TABLE $key (\n\t" . join(",\n\t", @parts) . "\n)" . (defined $by->{''} ? " $by->{''}" : '');
	$text .= " LOCALITY $state->{home}{$key}" if defined $state->{home}{$key};
	return { columns => [qw(table_name create_statement)], rows => [ [ $key, $text ] ] };
}

sub show_databases
{
	my ($state) = @_;
	my $d = $state->{db};
	return {
		columns => [qw(database_name owner primary_region secondary_region regions survival_goal)],
		rows    => [
			[ 'defaultdb', 'root', undef, undef, '{}', undef ],
			[ $state->{database}, 'root', $d->{primary}, undef, '{' . join(',', @{ $d->{regions} }) . '}', $d->{survival} ] ] };
}

sub show_regions
{
	my ($state) = @_;
	my $d = $state->{db};
	return { columns => [qw(database region primary secondary zones)],
		rows => [ map { [ $state->{database}, $_, $_ eq $d->{primary} ? 't' : 'f', 'f', "{$_-b}" ] } sort @{ $d->{regions} } ] };
}

sub schema_jobs
{
	my ($state) = @_;
	return { columns => [qw(job_id job_type description status)],
		rows => [ map { [ @$_{qw(id type description status)} ] }
			  grep { $_->{type} ne 'CHANGEFEED' && $_->{status} =~ /^(?:pending|running|paused|reverting)$/ } @{ $state->{jobs} } ] };
}

sub feed_jobs
{
	my ($state) = @_;
	return { columns => [qw(job_id description user_name status full_table_names)],
		rows => [ map { [ @$_{qw(id description)}, 'root', @$_{qw(status tables)} ] } grep { $_->{type} eq 'CHANGEFEED' } @{ $state->{jobs} } ] };
}

sub queries
{
	my ($state, $c, $sql) = @_;
	return { columns => [qw(query_id query)],
		rows => [ [ '16aa', $sql ], map { [ @$_{qw(id query)} ] } grep { defined $_->{query} } values %{ $state->{clients} } ] };
}

# UPDATE … LIMIT n, which PostgreSQL does not have: by the places of so many rows.
sub update_some
{
	my ($state, $c, $sql, $t, $set, $where, $limit) = @_;
	my $n = eval { sql_of($state, "WITH u AS (UPDATE $t SET $set WHERE ctid IN (SELECT ctid FROM $t WHERE $where LIMIT $limit) RETURNING 1)"
			  . ' SELECT count(*) FROM u') };
	return failed('XX000', "stand-in: $@") if $@;
	push @{ $state->{log} }, $sql if $n > 0;
	return { tag => "UPDATE $n" };
}

# ---------------------------------------------------------------- what the test says

# What a cluster is made of; KEEP and RESET go back to it.
my @whole = qw(db home hidden partitions zones);

sub copy
{
	my ($v) = @_;
	return ref $v eq 'HASH' ? { map { $_ => copy($v->{$_}) } keys %$v } : ref $v eq 'ARRAY' ? [ map { copy($_) } @$v ] : $v;
}

sub told
{
	my ($state, $c, $sql, $what) = @_;
	my ($verb, $rest) = split / /, $what, 2;
	if ($verb eq 'NODE')       { push @{ $state->{cluster} }, $rest }
	elsif ($verb eq 'LICENCE') { $state->{licence} = $rest eq 'on' }
	elsif ($verb eq 'SLOW')    { $state->{slow} = $rest }
	elsif ($verb eq 'FAIL') {
		my ($as, $left, $like) = split / /, $rest, 3;
		push @{ $state->{fail} }, { state => $as, left => $left, like => $like };
	}
	elsif ($verb eq 'FORGET') { $state->{log} = [] }
	elsif ($verb eq 'CUT')    { drop($state, $_) for grep { $_ != $c } values %{ $state->{clients} } }
	elsif ($verb eq 'KEEP')   { $state->{kept} = { map { $_ => copy($state->{$_}) } @whole } }
	elsif ($verb eq 'RESET') {
		sql_of($state, "ALTER TABLE $_ DROP COLUMN IF EXISTS crdb_region, DROP COLUMN IF EXISTS region") for grep { /^public/ } tables($state);
		sql_of($state, 'DROP TYPE IF EXISTS public.crdb_internal_region');
		$state->{$_} = copy($state->{kept}{$_}) for @whole;
	}
	elsif ($verb eq 'LOG')    { return { columns => ['statement'], rows => [ map { [$_] } @{ $state->{log} } ] } }
	elsif ($verb eq 'STATE')  {
		my $d = $state->{db};
		return { columns => ['state'], rows => [ map { [$_] } 'primary ' . ($d->{primary} // '-'), "regions @{ $d->{regions} }",
				'survival ' . ($d->{survival} // '-'), (map { "home $_ $state->{home}{$_}" } sort keys %{ $state->{home} }),
				(map { my $t = $_; map { "partitions $t $_ $state->{partitions}{$t}{$_}" } sort keys %{ $state->{partitions}{$t} } }
				  sort keys %{ $state->{partitions} }),
				(map { "zone $_" } sort keys %{ $state->{zones} }) ] };
	}
	else { return failed('42601', "STANDIN $verb") }
	return { tag => 'STANDIN' };
}

@verbs = (
	[ qr/^STANDIN (.*)$/s, \&told ],
	[ qr/^ALTER DATABASE $name (?:SET )?PRIMARY REGION "((?:[^"]|"")*)"$/i, \&set_primary ],
	[ qr/^ALTER DATABASE $name ADD REGION "((?:[^"]|"")*)"$/i, \&add_region ],
	[ qr/^ALTER DATABASE $name DROP REGION "((?:[^"]|"")*)"$/i, \&drop_region ],
	[ qr/^ALTER DATABASE $name SURVIVE (REGION|ZONE) FAILURE$/i, \&survive ],
	[ qr/^ALTER TABLE $table SET LOCALITY (.*)$/i, \&set_locality ],
	[ qr/^ALTER TABLE $table ALTER COLUMN $name SET (NOT )?VISIBLE$/i, \&visible ],
	[ qr/^ALTER TABLE $table ADD COLUMN $name crdb_internal_region AS \((.*)\) STORED NOT NULL$/is, \&add_column ],
	[ qr/^ALTER TABLE $table DROP COLUMN $name$/i, \&drop_column ],
	[ qr/^ALTER (?:TABLE|INDEX) $table(?:@("(?:[^"]|"")*"|\w+))? PARTITION BY (.*)$/is, \&partition ],
	[ qr/^ALTER ((?:PARTITION|TABLE|INDEX|DATABASE) .*) CONFIGURE ZONE (.*)$/is, \&zone ],
	[ qr/^(?:CREATE|EXPERIMENTAL) CHANGEFEED /i, \&feed ],
	[ qr/^(PAUSE|RESUME|CANCEL) JOB (\d+)$/i, \&job_control ],
	[ qr/^SHOW REGIONS FROM CLUSTER$/i, sub { return { columns => [qw(region zones)], rows => [ map { [ $_, "{$_-b}" ] } sort @{ $_[0]{cluster} } ] } } ],
	[ qr/^SHOW REGIONS FROM DATABASE $name$/i, \&show_regions ],
	[ qr/^SHOW DATABASES$/i, \&show_databases ],
	[ qr/^SHOW TABLES FROM $name$/i, \&show_tables ],
	[ qr/^SHOW CREATE TABLE $table$/i, \&show_create ],
	[ qr/^SHOW ZONE CONFIGURATIONS$/i, sub { my $z = $_[0]{zones};
			return { columns => [qw(target raw_config_sql)], rows => [ [ 'RANGE default', 'ALTER RANGE default CONFIGURE ZONE USING num_replicas = 3' ],
				map { [ $_, $z->{$_} ] } sort keys %$z ] } } ],
	[ qr/^SHOW CHANGEFEED JOBS$/i, \&feed_jobs ],
	[ qr/^SELECT [\w, ]+ FROM crdb_internal\.jobs WHERE job_type IN/is, \&schema_jobs ],
	[ qr/^SELECT query_id, query FROM crdb_internal\.cluster_queries/i, \&queries ],
	[ qr/^SELECT crdb_internal\.is_admin\(\)$/i, sub { return { columns => ['is_admin'], rows => [ ['t'] ] } } ],
	[ qr/^UPDATE (\S+) SET (.*?) WHERE (.*) LIMIT (\d+)$/is, \&update_some ],
);

1;
