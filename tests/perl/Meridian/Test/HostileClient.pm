# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::HostileClient - clients that do what no driver would, and vanish while they do it.
#
#   use Meridian::Test::HostileClient;
#
#   Meridian::Test::HostileClient->new('passthrough')->run(rounds => 1);      # each case is a test point
#
# The modes: passthrough and pool, each with clients in plaintext; passthrough-tls and pool-tls. A
# case says what the client has seen of it; afterwards its session, its server connection on the node
# (where it is no pool's), descriptors and memory are gone.
package Meridian::Test::HostileClient;
use strict;
use warnings;

use Meridian::Test::Chaos;
use Meridian::Test::Cluster qw(regional_clusters certificate);
use Meridian::Test::Measure qw(measured peak_kb);
use Meridian::Test::Patience;
use Meridian::Test::Proxy;
use Meridian::Test::Tls;
use Meridian::Test::Wire qw(:build);
use Test::More;

my @login = (database => 'postgres', user => 'postgres');
my $copy_out = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT";
my $long     = "SELECT repeat('x', 10000) FROM generate_series(1, 1000)";

# ---------------------------------------------------------------- how to vanish

my %leave = (
	'closes'      => sub { $_[0]->close },
	'resets'      => sub { $_[0]->abort },
	'half-closes' => sub { my ($w) = @_; $w->shutdown; die "not closed\n" if !$w->closed; $w->close });

# … and when.
my @moments = (
	[ 'at once'                    => sub { } ],
	[ 'in a startup packet'        => sub { $_[0]->send(substr startup(@login), 0, 11) } ],
	[ 'behind a startup packet'    => sub { $_[0]->send(startup(@login)) } ],
	[ 'behind a login and more'    => sub { $_[0]->send(startup(@login), query('SELECT pg_sleep(1)')) } ],
	[ 'when idle'                  => sub { in($_[0]) } ],
	[ 'in a transaction'           => sub { in($_[0]); $_[0]->ask('BEGIN', 'CREATE TEMP TABLE t (i int)') } ],
	[ 'in a header'                => sub { in($_[0]); $_[0]->send("Q\0\0") } ],
	[ 'in a Query'                 => sub { in($_[0]); $_[0]->send(substr query('SELECT 1' . ' ' x 500), 0, 100) } ],
	[ 'in a Parse'                 => sub { in($_[0]); $_[0]->send(substr parse('SELECT 1' . ' ' x 500, 's'), 0, 100) } ],
	[ 'in a Bind'                  => sub { in($_[0]); $_[0]->send(parse('SELECT $1::text', 's'), substr bind_message([ 'x' x 500 ], 's'), 0, 100) } ],
	[ 'without a Sync'             => sub { in($_[0]); $_[0]->send(parse('SELECT pg_sleep(100)'), bind_message([]), execute(), flush_message) } ],
	[ 'in a long query'            => sub { in($_[0]); $_[0]->send(query('SELECT pg_sleep(100)')) } ],
	[ 'with rows unread'           => sub { in($_[0]); $_[0]->send(query($long)) } ],
	[ 'in a COPY to it'            => sub { in($_[0]); $_[0]->send(query($copy_out)); $_[0]->until('H') } ],
	[ 'in a COPY from it'          => sub { in($_[0]); $_[0]->ask('CREATE TEMP TABLE IF NOT EXISTS t (i text)'); $_[0]->send(query('COPY t FROM STDIN')); $_[0]->until('G'); $_[0]->send(copy_data("1\n") x 1000) } ],
	[ 'in a CopyData'              => sub { in($_[0]); $_[0]->ask('BEGIN', 'CREATE TEMP TABLE t (i text)'); $_[0]->send(query('COPY t FROM STDIN')); $_[0]->until('G'); $_[0]->send(substr copy_data('x' x 100000), 0, 70000) } ],
	[ 'behind a LISTEN'            => sub { in($_[0]); $_[0]->ask('LISTEN c') } ],
	[ 'behind its Terminate'       => sub { in($_[0]); $_[0]->send(terminate, query('SELECT 1'), "\xff" x 1000) } ]);

sub in
{
	my ($w) = @_;
	my @all = $w->login(@login);
	$all[-1][0] eq 'Z' or die 'not let in: ' . join(' ', %{ error_fields($all[-1]) }) . "\n";
	return;
}

# ---------------------------------------------------------------- what else can be done

# Asks without an end and reads nothing, until nothing more is taken.
sub never_reads
{
	my ($self, $w) = @_;
	in($w);
	my $before = peak_kb($self->{proxy}->pid);
	my $some = query("SELECT repeat('x', 1000)") x 100;
	my $sent = 0;
	$w->{fd}->blocking(0);
	while ($sent < 200e6 && $w->is_ready('write', patience(0.5))) {
		$sent += syswrite($w->{fd}, $some) // last;
	}
	measured('%d kB of queries were taken of who reads nothing, and %d kB used', $sent / 1024, peak_kb($self->{proxy}->pid) - $before);
	$w->abort;
	return $sent < 200e6 ? 'made to wait' : 'never made to wait';
}

sub speaks_early
{
	my ($self, $w) = @_;
	$w->send(startup(@login), query('SELECT 1') x 20000, terminate);
	return scalar(grep { $_->[0] eq 'D' } $w->until('')) . ' rows';
}

sub byte_by_byte
{
	my ($self, $w) = @_;
	$w->send_split(startup(@login), 1);
	$w->until('Z');
	$w->send_split(parse('SELECT $1::int + 1', 's') . bind_message([41], 's') . execute() . sync_message(), 1);
	my $said = $w->answer;
	$w->send_split(query('SELECT 43'), 1);
	$said .= ' ' . $w->answer;
	$w->close;
	return $said;
}

# Made-up keys, one request with bytes behind it, half of one.
sub cancels
{
	my ($self, $w) = @_;
	in($w);
	my $n = 0;
	for my $bytes (map({ cancel_request($w->{pid}, $_) } 1 .. 50), cancel_request($w->{pid}, 1) . query('SELECT 1'), substr cancel_request(1, 1), 0, 9) {
		my $c = Meridian::Test::Wire->new($self->{proxy});
		$c->send($bytes);
		$c->shutdown;
		$n++ if $c->closed && $c->{rest} eq '';
	}
	my $said = $w->ask('SELECT 1');
	$w->send(terminate);
	return "$n closed, $said " . ($w->closed ? 'well' : '');
}

# Of what is only said in plaintext, around an SSLRequest.
sub behind_ssl_request
{
	my ($self, undef, $behind, $apart) = @_;
	my $c = Meridian::Test::Wire->new($self->{proxy});
	$c->send(ssl_request, $apart ? () : $behind);
	return 'no S' if $apart && $c->bytes(1) ne 'S';
	$c->send($behind) if $apart;
	my $closed = $c->closed ? 'closed' : 'open';
	return "$closed, " . ($c->{rest} =~ /^E.*\0C(.....)\0/s ? $1 : $c->{rest} =~ /R\0\0\0|Z\0\0\0/ ? 'let in' : 'no word of PostgreSQL');
}

my $hello = "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03";
my @others = (
	[ 'never reads'                       => \&never_reads, 'made to wait' ],
	[ 'speaks early'                      => \&speaks_early, '20000 rows' ],
	[ 'byte by byte'                      => \&byte_by_byte, '42 43' ],
	[ 'made-up cancels'                   => \&cancels, '52 closed, 1 well' ],
	[ 'plaintext behind an SSLRequest'    => sub { behind_ssl_request(@_, startup(@login), 0) }, 'closed, 08P01' ],
	[ 'a ClientHello behind an SSLRequest' => sub { behind_ssl_request(@_, $hello, 0) }, 'closed, 08P01' ],
	[ 'plaintext where TLS was agreed'    => sub { behind_ssl_request(@_, startup(@login), 1) }, 'closed, no word of PostgreSQL' ],
	[ 'garbage where TLS was agreed'      => sub { behind_ssl_request(@_, "\xff" x 3000, 1) }, 'closed, no word of PostgreSQL' ],
	[ 'a ClientHello that is none'        => sub { behind_ssl_request(@_, $hello, 1) }, 'closed, no word of PostgreSQL' ],
	[ 'two SSLRequests'                   => sub { behind_ssl_request(@_, ssl_request, 1) }, 'closed, no word of PostgreSQL' ]);

# ---------------------------------------------------------------- the test

sub new
{
	my ($class, $mode) = @_;
	my $pool = $mode =~ /pool/;
	my $cert = certificate('proxy', alt => 'DNS:localhost');
	my ($node) = regional_clusters($mode);
	my $proxy = Meridian::Test::Proxy->new($mode,
		regions => [ 'us-east1' => { nodes => $node, sslmode => 'disable' } ],
		set     => { workers => 1, auth => $pool ? 'trust' : 'passthrough', default_pool_size => 5, probe_conninfo => undef,
			tls_cert_file => $cert->{cert}, tls_key_file => $cert->{key} },
		conf    => $pool ? "[database postgres]\npool = transaction\n" : '');
	$proxy->start;
	return bless { node => $node, proxy => $proxy, mode => $mode, tls => scalar $mode =~ /tls/, pool => $pool }, $class;
}

sub client
{
	my ($self) = @_;
	return $self->{tls} ? Meridian::Test::Tls->new($self->{proxy}, '-starttls', 'postgres') : Meridian::Test::Wire->new($self->{proxy});
}

# None that a session had for itself, and what the pool keeps is idle.
sub backends_are_back
{
	my ($self, $when) = @_;
	my $busy = $self->{pool} ? "state <> 'idle'" : "pid <> $self->{chaos}{witness}{pid}";
	return if $self->{node}->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND $busy");
	return fail("nothing is left on the node $when");
}

sub case
{
	my ($self, $what, $does, $sees) = @_;
	my $w = $self->client;
	my $saw = eval { $does->($w) } // "died: $@";
	is($saw, $sees, "$self->{mode}: $what");
	undef $w;
	$self->{chaos}->sessions_are_back($what);
	return;
}

sub run
{
	my ($self, %opt) = @_;
	$self->{chaos} = Meridian::Test::Chaos->new($self->{proxy}, @login);
	for my $round (1 .. $opt{rounds}) {
		for my $moment (@moments) {
			my ($when, $prepare) = @$moment;
			for my $how (sort keys %leave) {
				next if $how eq 'half-closes' && $self->{tls};    # of s_client it cannot be had
				$self->case("$how $when", sub { my ($w) = @_; $prepare->($w); $leave{$how}->($w); 'gone' }, 'gone');
			}
			$self->backends_are_back($when);
		}
		for my $other (@others) {
			my ($what, $does, $sees) = @$other;
			$self->case($what, sub { $does->($self, @_) }, $sees);
		}
		$self->backends_are_back('in the end');
		$self->{chaos}->all_is_back("after round $round of $self->{mode}", memory => $round > 2 ? 64 : undef);
	}
	$self->{proxy}->stop;
	return;
}

1;
