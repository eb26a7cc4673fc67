# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Balancer - a real HAProxy or nginx in front of Meridian, run from an example that
# we ship (conf/examples), as an ordinary user, on ports of ours.
#
#   use Meridian::Test::Balancer qw(balancer_missing meridian_side echo_server echo_head);
#
#   plan skip_all => 'haproxy is not installed' if balancer_missing('haproxy');
#   my ($set, $conf) = meridian_side('haproxy.cfg', '0.0.0.0:6434' => "127.0.0.1:$port", …);
#   my $lb = Meridian::Test::Balancer->new('haproxy', ports => [ $front, … ],
#       replace => [ ':5432' => "127.0.0.1:$front", … ]);
#   $lb->start;          # returns when each of its ports accepts
#   $lb->stop;           # also at the end of the test
#
#   my $port = echo_server();   # stands for Meridian: says back what has arrived, as the body of an
#                               # answer when that is HTTP
#   my $head = echo_head($front, '127.0.1.1', 'GET / HTTP/1.1', 'Host: db');   # by TLS, from there:
#   $head->{line}, $head->{'x-city'}[0]                                        # what has arrived
#
# `text` in place of `replace` is a configuration of the test's own. Replacements are texts, from the left of the pair to the right, wherever they stand; one that
# stands nowhere is an error, so that a test cannot miss that an example has changed.
package Meridian::Test::Balancer;
use strict;
use warnings;

use Carp;
use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use IPC::Run ();
use Meridian::Test::Patience;
use Meridian::Test::Tls;
use POSIX qw(:sys_wait_h);
use PostgreSQL::Test::Utils ();
use Test::More;

use parent 'Meridian::Test::Child';

our @EXPORT_OK = qw(balancer_missing meridian_side meridian_sides echo_server echo_head);

my %kind = (
	haproxy => {
		file  => 'haproxy.cfg',
		edit  => sub { $_[0] },
		check => sub { ('haproxy', '-c', '-f', $_[0]{conf}) },
		run   => sub { ('haproxy', '-db', '-f', $_[0]{conf}) },
	},
	nginx => {
		file  => 'nginx.conf',
		edit  => \&nginx_paths,
		check => sub { ('nginx', '-t', nginx_words(@_)) },
		run   => sub { ('nginx', nginx_words(@_)) },
	});

# Where it keeps its files when it is not root; nothing else of the example needs root.
sub nginx_paths
{
	my ($text, $dir) = @_;
	my $paths = join '', map { "\t${_}_temp_path $dir/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi);
	$text =~ s/^http \{\n/http {\n\taccess_log $dir\/access.log;\n$paths/m or croak 'no http block';
	return $text;
}

sub nginx_words
{
	my ($self) = @_;
	return ('-e', "$self->{dir}/error.log", '-c', $self->{conf},
		'-g', "daemon off; pid $self->{dir}/pid;");
}

sub program
{
	my ($name) = @_;
	my ($found) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}), '/usr/sbin';
	return $found;
}

sub balancer_missing { return program($_[0]) ? '' : "$_[0] is not installed" }

sub example_text
{
	my ($file, @replace) = @_;
	my $text = PostgreSQL::Test::Utils::slurp_file("$ENV{MERIDIAN_SRCDIR}/conf/examples/$file");
	while (my ($old, $new) = splice @replace, 0, 2) {
		$text =~ s/\Q$old\E/$new/g or croak "$file has no \"$old\"";
	}
	return $text;
}

# What an example tells the reader to write into meridian.conf, in the comment at its head or in
# blocks of a document: each a text that begins with [meridian].
sub meridian_sides
{
	my ($file) = @_;
	my $start = $file =~ /\.md$/ ? '    ' : "#\t";
	my @sides;
	my $within = 0;
	for my $line (split /\n/, example_text($file)) {
		my ($said) = $line =~ /^(?:\Q$start\E(.*)|#?)$/ or $within = 0;
		push @sides, '' if ($said // '') eq '[meridian]';
		$within = 1 if ($said // '') =~ /^\[/;
		$sides[-1] .= ($said // '') . "\n" if $within;
	}
	return @sides;
}

# The same of an example that has one: the options of [meridian] as a hash, the other sections as
# text.
sub meridian_side
{
	my ($file, @replace) = @_;
	my ($side) = meridian_sides($file);
	while (my ($old, $new) = splice @replace, 0, 2) {
		$side =~ s/\Q$old\E/$new/g or croak "$file does not tell Meridian \"$old\"";
	}
	my ($main, $rest) = $side =~ /^\[meridian\]\n(.*?)(^\[.*)/ms or croak "$file does not tell Meridian's side";
	my %set = map { /^(\w+)\s*=\s*(.*?)\s*(?:;.*)?$/ } split /\n/, $main;
	return (\%set, $rest);
}

# ---------------------------------------------------------------- something to stand behind it

# A process of its own, that ends with the test.
sub echo_server
{
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 100) or croak "listen: $!";
	my $parent = $$;
	my $pid = fork // croak "fork: $!";
	return $listen->sockport if $pid;
	$SIG{PIPE} = 'IGNORE';
	my $all = IO::Select->new($listen);
	my %in;
	while (getppid == $parent) {
		for my $fd ($all->can_read(0.2)) {
			if ($fd == $listen) {
				my $new = $listen->accept or next;
				$all->add($new);
				$in{ fileno $new } = { data => '' };
			} elsif (sysread $fd, $in{ fileno $fd }{data}, 65536, length $in{ fileno $fd }{data}) {
				echo($fd, $in{ fileno $fd });
			} else {
				delete $in{ fileno $fd };
				$all->remove($fd);
				close $fd;
			}
		}
	}
	POSIX::_exit(0);
}

# PROXY headers and what follows them as they are; of HTTP the head, once it is whole.
sub echo
{
	my ($fd, $c) = @_;
	$c->{raw} ||= $c->{data} =~ /^(?:PROXY |\r\n\r\n\0)/;
	syswrite $fd, delete $c->{data} if $c->{raw};
	while (!$c->{raw} && $c->{data} =~ s/^([A-Z]+ .*?\r\n)\r\n//s) {
		syswrite $fd, join "\r\n", 'HTTP/1.1 200 OK', 'Content-Length: ' . length $1, '', $1;
	}
	$c->{data} //= '';
	return;
}

# A request through a balancer that ends TLS, with an echo_server behind it: the head that arrived
# there. Names in lower case, each with the list of its values.
sub echo_head
{
	my ($port, $from, @lines) = @_;
	my $t = Meridian::Test::Tls->new({ port => $port }, '-bind', "$from:0");
	$t->send(join "\r\n", @lines, '', '');
	1 while $t->{in} !~ /\r\n\r\n.*\r\n\z/s && $t->fill;
	my ($line, @headers) = split /\r\n/, $t->{in} =~ s/.*?\r\n\r\n//sr;
	my %head = (line => $line);
	push @{ $head{ lc $1 } }, $2 while @headers && shift(@headers) =~ /^([^:]+):\s*(.*)/;
	return \%head;
}

# ---------------------------------------------------------------- the balancer

sub new
{
	my ($class, $name, %opt) = @_;
	my $self = bless { name => $name, %opt, dir => PostgreSQL::Test::Utils::tempdir($name) }, $class;
	$self->{file} //= $kind{$name}{file};
	$self->{conf} = "$self->{dir}/$self->{file}";
	$self->{log}  = "$PostgreSQL::Test::Utils::log_path/"
	  . ($0 =~ m{([^/]+?)(?:\.\w+)?$} ? $1 : 'test') . "_$name.log";
	my $text = $opt{text} // example_text($self->{file}, @{ $opt{replace} || [] });
	PostgreSQL::Test::Utils::append_to_file($self->{conf}, $kind{$name}{edit}->($text, $self->{dir}));
	return $self;
}

# What the program itself says of the file: (good, text).
sub check
{
	my ($self) = @_;
	my ($program, @words) = $kind{ $self->{name} }{check}->($self);
	my $said = '';
	my $good = IPC::Run::run([ program($program), @words ], '<', \'', '>', \$said, '2>&1', run_limit(60));
	return ($good, $said);
}

sub start
{
	my ($self) = @_;
	my ($program, @words) = $kind{ $self->{name} }{run}->($self);
	$self->{pid} = fork // croak "fork: $!";
	if (!$self->{pid}) {
		open STDIN,  '<',  '/dev/null';
		open STDOUT, '>>', $self->{log};
		open STDERR, '>&', \*STDOUT;
		exec 'setpriv', '--pdeathsig', 'TERM', '--', program($program), @words or POSIX::_exit(127);
	}
	$self->{owner} = $$;
	$self->wait_port($_) for @{ $self->{ports} || [] };
	return $self;
}

sub wait_port
{
	my ($self, $port) = @_;
	my $d = deadline(60, "$self->{name} to listen on $port");
	while ($d->goes_on) {
		return if IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
		last if waitpid($self->{pid}, WNOHANG) > 0;
	}
	delete $self->{pid};
	croak "$self->{name} does not listen on $port: " . substr $self->log_text, -1000;
}

sub log_text
{
	my ($self) = @_;
	my @files = grep { -e } $self->{log}, "$self->{dir}/error.log";
	return join '', map { PostgreSQL::Test::Utils::slurp_file($_) } @files;
}

sub stop
{
	my ($self) = @_;
	return unless $self->{pid} && $self->{owner} == $$;
	kill 'TERM', $self->{pid};
	my $d = deadline(20, "the end of $self->{name}");
	my $gone;
	1 while !($gone = waitpid($self->{pid}, WNOHANG)) && $d->goes_on;
	if (!$gone) {
		kill 'KILL', $self->{pid};
		waitpid $self->{pid}, 0;
	}
	delete $self->{pid};
	return;
}

1;
