#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Who may include what. Each layer includes itself and the layers before it in @layers, and inside
# proxy/ each room itself and the rooms before it in @rooms, without exceptions; @rules says which
# files may use which library; `pure` code has no clock, no socket and no thread.
use strict;
use warnings;
use Meridian::Test::Lint;
use Test::More;

my @layers = qw(base protocol routing migration proxy);
my %rank   = map { $layers[$_] => $_ } 0 .. $#layers;

# The rooms of proxy/ (doc/decisions/0043-rooms.md); '' is what stands in proxy/ itself. What a room
# needs of one behind it, it calls through a table that proxy/rooms.c fills in.
my @rooms = qw(auth config import net process sqlstate session pool reads move admin cancel http login);
push @rooms, '';
my %room_rank = map { $rooms[$_] => $_ } 0 .. $#rooms;

# Modules of proxy/ that include each other in a circle: x.c, x.h and x_int.h are one module. The
# largest circle may only shrink.
my $cycle_max = 6;

# header, the files that may include it
my @rules = (
	[ qr{^event2/},             qr{^(?:base/ev|routing/watch|proxy)/} ],
	[ qr{^libpq|^postgres},     qr{^(?:routing/watch|migration|proxy)/} ],
	[ qr{^jansson},             qr{^(?:migration/|routing/patroni\.c)} ],
	[ qr{^curl/},               qr{^base/ev/fetch\.c} ],
	[ qr{^stringprep},          qr{^protocol/saslprep\.c$} ],
	[ qr{^maxminddb},           qr{^routing/geo\.c$} ],
	[ qr{^pg_query|^protobuf-c}, qr{^routing/classify\.c$} ],
	[ qr{^ini\.h$},             qr{^proxy/config/} ],
	[ qr{^openssl/(?:ssl|bio)}, qr{^proxy/net/} ],
	[ qr{^openssl/crypto},     qr{^(?:protocol|proxy)/} ],    # CRYPTO_memcmp
	[ qr{^openssl/},            qr{^(?:protocol/(?:fleetkey|scram|http)\.c$|migration/files/digest\.c$|proxy/auth/|proxy/net/)} ],
);

# Code that decides: everything it knows comes in as a parameter.
my $pure        = qr{^(?:protocol|routing)/[^/]+$};
my $impure_head = qr{^(?:sys/socket|sys/epoll|netinet/|arpa/|netdb|poll|time|sys/time|pthread|signal)};
my $impure_call = qr{\b(?:clock_gettime|gettimeofday|time|socket|connect|send|recv)\s*\(};
my %may_address = ('routing/geo.c' => 1);    # hands a sockaddr to its library

# Inside a layer: what waits stands in its own folder, which what decides does not see.
my @folders = (
	[ qr{^base/[^/]+$},               qr{^base/ev/} ],
	[ qr{^(?:protocol|routing)/[^/]+$}, qr{^(?:base/ev|routing/watch)/} ],
);

my (@direction, @walls, @library, @impure, @first, %includes);
for my $file (source_files(qr{^(?:base|protocol|routing|migration|proxy)/.*\.[ch]$})) {
	my ($layer) = $file =~ m{^([^/]+)};
	my ($n, $in_comment, @includes) = (0, 0);
	for my $line (lines_of($file)) {
		$n++;
		my $at = "$file:$n";
		if ($line =~ /^\s*#\s*include\s+([<"])([^>"]+)/) {
			my ($how, $head) = ($1, $2);
			push @includes, $head;
			$how eq '<' ? system_header($at, $file, $head) : own_header($at, $file, $layer, $head);
			next;
		}
		$in_comment = 1 if $line =~ m{^\s*/\*};
		(my $code = $line) =~ s{"(?:[^"\\]|\\.)*"|/\*.*?(?:\*/|$)|//.*}{}g;
		push @impure, "$at: $line" if !$in_comment && $file =~ $pure && $code =~ $impure_call;
		$in_comment = 0 if $line =~ m{\*/};
	}
	push @first, "$file includes " . ($includes[0] // 'nothing') . ' first'
	  if $file =~ /\.c$/ && ($includes[0] // '') ne 'config.h';
}

sub own_header
{
	my ($at, $file, $layer, $head) = @_;
	return if $head eq 'config.h';
	my ($of) = $head =~ m{^([^/]+)/};
	if (!defined $of || !exists $rank{$of}) {
		push @direction, "$at: \"$head\" is no header of a layer (write its path from the root)"
		  if !-e builddir() . "/$head" || defined $of && !exists $rank{$of};
		return;
	}
	push @direction, "$at: $layer/ may not include \"$head\"" if $rank{$of} > $rank{$layer};
	inside_proxy($at, $file, $head) if $layer eq 'proxy' && $of eq 'proxy';
	for my $rule (@folders) {
		push @direction, "$at: may not include \"$head\"" if $file =~ $rule->[0] && $head =~ $rule->[1];
	}
	return;
}

sub inside_proxy
{
	my ($at, $file, $head) = @_;
	my ($room, $other) = map { m{^proxy/(?:([^/]+)/)?[^/]+$} ? $1 // '' : '?' } $file, $head;
	for my $name ($room, $other) {
		push @walls, "$at: proxy/$name has no place in \@rooms" if !exists $room_rank{$name};
	}
	push @walls, "$at: proxy/$room may not include \"$head\""
	  if ($room_rank{$other} // 0) > ($room_rank{$room} // 0);
	my ($from, $to) = map { s{(?:_int)?\.[ch]$}{}r } $file, $head;
	$includes{$from}{$to} = 1 if $from ne $to;
	return;
}

# Everything that can be reached from there.
sub reachable
{
	my ($from) = @_;
	my (%seen, @todo);
	@todo = ($from);
	while (defined(my $module = shift @todo)) {
		push @todo, grep { !$seen{$_}++ } keys %{ $includes{$module} // {} };
	}
	return \%seen;
}

sub largest_cycle
{
	my %reach = map { $_ => reachable($_) } keys %includes;
	my @largest;
	for my $module (keys %reach) {
		next unless $reach{$module}{$module};
		my @cycle = sort grep { $reach{$_} && $reach{$_}{$module} } keys %{ $reach{$module} };
		@largest = @cycle if @cycle > @largest || @cycle == @largest && "@cycle" lt "@largest";
	}
	return @largest;
}

sub system_header
{
	my ($at, $file, $head) = @_;
	push @impure, "$at: <$head>" if $file =~ $pure && $head =~ $impure_head && !$may_address{$file};
	for my $rule (@rules) {
		next unless $head =~ $rule->[0];
		push @library, "$at: <$head> does not belong here" if $file !~ $rule->[1];
		last;
	}
	return;
}

findings('each layer includes only itself and what is below it', @direction);
findings('each room of proxy/ includes only itself and what is before it', @walls);
my @cycle = largest_cycle();
note('largest include cycle in proxy/: ' . @cycle . " modules (@cycle)");
cmp_ok(scalar @cycle, '<=', $cycle_max, "at most $cycle_max modules of proxy/ include each other")
  or diag("@cycle");
findings('each library is used only where it belongs',           @library);
findings('protocol/ and routing/ have no clock, no sockets, no threads', @impure);
findings('config.h is included first',                           @first);

# Headers.
my (@spdx, @guard, @alone);
for my $file (source_files(qr{\.[ch]$})) {
	my @lines = lines_of($file);
	push @spdx, $file unless ($lines[0] // '') =~ m{^/\* SPDX-License-Identifier: PostgreSQL};
	next unless $file =~ /\.h$/;
	(my $name = uc $file) =~ s/[^A-Z0-9]/_/g;
	my ($ifndef) = map { /^#ifndef\s+(\w+)/ ? $1 : () } @lines;
	push @guard, "$file: " . ($ifndef // 'none') . ", not $name" if ($ifndef // '') ne $name;
}
findings('every C file begins with its licence',              @spdx);
findings('every header has an include guard named after it', @guard);

my $cc = $ENV{CC} || 'cc';
chomp(my $flags = `pkg-config --cflags libpq libevent_core libssl libmaxminddb inih cmocka 2>/dev/null` // '');
my @I = ('-I' . srcdir(), '-I' . builddir());
for my $file (source_files(qr{\.h$})) {
	next if $file =~ m{^tests/unit/unit\.h$} && !-e '/usr/include/cmocka.h';
	my $path = srcdir() . "/$file";
	my $said = `$cc -std=gnu11 -D_GNU_SOURCE -fsyntax-only -x c @I $flags -include config.h '$path' 2>&1`;
	push @alone, "$file: $said" if $?;
}
findings('every header compiles alone', @alone);
done_testing();
