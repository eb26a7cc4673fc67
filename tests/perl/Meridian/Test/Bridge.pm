# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Bridge - a port behind which TCP becomes a WebSocket (tests/tools/bridge), so that
# psql, pgbench and pg_dump can speak to an HTTP listener.
#
#   use Meridian::Test::Bridge;
#
#   my $bridge = Meridian::Test::Bridge->new($proxy, headers => ['X-City: paris']);
#   $proxy->safe_psql('postgres', 'SELECT 1', connstr => $proxy->connstr('postgres', port => $bridge->port));
#   is($bridge->line, 'close 1000');      # the next thing it has to say: ping, close N, refused …
#
# Options: headers (lines), path, from (an address of the loopback), tls, and `plain` or `connect`
# instead of a WebSocket. The target is a proxy or a port. It ends with the test.
package Meridian::Test::Bridge;
use strict;
use warnings;

use IO::Select;
use Meridian::Test::Patience;

use parent 'Meridian::Test::Child';

sub new
{
	my ($class, $to, %opt) = @_;
	my $port = ref $to ? $to->port : $to;
	my @words = map { "--$_" } grep { $opt{$_} } qw(plain connect tls);
	push @words, map { ("--$_", $opt{$_}) } grep { defined $opt{$_} } qw(path from);
	push @words, map { ('--header', $_) } @{ $opt{headers} || [] };
	my $self = $class->start_tool('bridge', @words, "127.0.0.1:$port");
	$self->{text} = '';
	return $self;
}

# What it says next; undef where that is nothing, for `seconds` (10).
sub line
{
	my ($self, $seconds) = @_;
	my $d = deadline($seconds // 10, 'the bridge to say something');
	my $select = IO::Select->new($self->{out});
	until ($self->{text} =~ /\n/) {
		my $ready;
		1 until ($ready = $select->can_read($d->left)) || $d->over;
		return undef unless $ready;
		return undef unless sysread $self->{out}, $self->{text}, 4096, length $self->{text};
	}
	$self->{text} =~ s/^(.*)\n//;
	return $1;
}

1;
