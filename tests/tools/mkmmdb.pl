#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Writes a MaxMind DB file (format 2.0, maxmind.github.io/MaxMind-DB) for the tests from lines of
#
#     network | city | country | latitude | longitude | accuracy radius in km
#
# read from the files named or standard input; an empty field is left out of the record, "#" begins
# a comment. A longer prefix wins over a shorter one. IPv4 networks in a tree of version 6 lie at
# ::/96; networks of version 6 are left out of a tree of version 4.
use strict;
use warnings;
use utf8;
use Encode qw(encode_utf8);
use Getopt::Long qw(GetOptions);
use Socket qw(AF_INET AF_INET6 inet_pton);

my $usage = <<"END";
usage: $0 [options] [SPEC …] > FILE.mmdb
  --schema maxmind|flat   nested records with doubles, or flat ones with floats (maxmind)
  --ip-version 4|6        of the tree (6)
  --only 4|6              leave out networks of the other family
  --record-size 24|28|32  bits (28)
  --type NAME             database_type (Test-City)
  --epoch SECONDS         build_epoch (1767225600)
  --break double|nodes    write doubles of a wrong size, or a wrong node count
END
my %o = (schema => 'maxmind', 'ip-version' => 6, 'record-size' => 28, type => 'Test-City',
	epoch => 1767225600, break => '', only => '');
GetOptions(\%o, 'schema=s', 'ip-version=i', 'record-size=i', 'type=s', 'epoch=i', 'break=s', 'only=s')
	or die $usage;
die $usage unless $o{schema} =~ /^(?:maxmind|flat)$/ && $o{'ip-version'} =~ /^[46]$/
	&& $o{'record-size'} =~ /^(?:24|28|32)$/ && $o{break} =~ /^(?:double|nodes)?$/ && $o{only} =~ /^[46]?$/;

# Values: [type, content]. The control byte holds the type (or 0 and the type - 7 behind it) and
# the size.
my %type = (utf8 => 2, double => 3, uint16 => 5, uint32 => 6, map => 7, uint64 => 9, array => 11,
	float => 15);

sub control
{
	my ($type, $size) = @_;
	my $more = '';
	if ($size >= 285) {
		($size, $more) = (30, pack 'n', $size - 285);
	} elsif ($size >= 29) {
		($size, $more) = (29, pack 'C', $size - 29);
	}
	return $type <= 7 ? pack('C', $type << 5 | $size) . $more
		: pack('CC', $size, $type - 7) . $more;
}

sub encode_value
{
	my ($kind, $v) = @{ $_[0] };
	my $t = $type{$kind};
	return control($t, scalar @$v) . join '', map { encode_value($_) } @$v if $kind eq 'array';
	if ($kind eq 'map') {
		my $s = control($t, @$v / 2);
		for (my $i = 0; $i < @$v; $i += 2) {
			$s .= encode_value([utf8 => $v->[$i]]) . encode_value($v->[$i + 1]);
		}
		return $s;
	}
	my $bytes = $kind eq 'utf8' ? encode_utf8($v)
		: $kind eq 'double' ? pack('d>', $v)
		: $kind eq 'float' ? pack('f>', $v)
		: pack('Q>', $v) =~ s/^\0+//r;
	chop $bytes if $kind eq 'double' && $o{break} eq 'double';
	return control($t, length $bytes) . $bytes;
}

# A map without the pairs whose value is undefined or empty.
sub filled
{
	my ($kind, @pairs) = @_;
	my @kept;
	while (my ($key, $value) = splice @pairs, 0, 2) {
		next if !defined $value || (ref $value->[1] ? !@{ $value->[1] } : $value->[1] eq '');
		push @kept, $key, $value;
	}
	return [$kind => \@kept];
}

sub record
{
	my ($city, $country, $lat, $lon, $radius) = @_;
	return filled(map => city => [utf8 => $city], country_code => [utf8 => $country],
		latitude => [float => $lat], longitude => [float => $lon]) if $o{schema} eq 'flat';
	return filled(map =>
		city => filled(map => names => filled(map => en => [utf8 => $city])),
		country => filled(map => iso_code => [utf8 => $country]),
		location => filled(map => accuracy_radius => [uint16 => $radius],
			latitude => [double => $lat], longitude => [double => $lon]));
}

# The tree: a node is [left, right]; a leaf is undef or a reference to the offset of its data.
my $root = [undef, undef];

sub insert
{
	my ($bits, $leaf) = @_;
	my @path = split //, $bits;
	my $last = pop @path;
	my $node = $root;
	for my $bit (@path) {
		my $next = $node->[$bit];
		$next = $node->[$bit] = [$next, $next] if ref $next ne 'ARRAY';
		$node = $next;
	}
	$node->[$last] = $leaf;
	return;
}

my ($data, %offset, @networks) = ('');
while (my $line = <>) {
	utf8::decode($line);
	$line =~ s/#.*//s;
	next if $line !~ /\S/;
	my ($network, @field) = map { s/^\s+|\s+$//gr } split /\|/, $line, -1;
	my ($ip, $length) = split m{/}, $network;
	my $v4 = $ip !~ /:/;
	my $packed = inet_pton($v4 ? AF_INET : AF_INET6, $ip) // die "line $.: $network\n";
	next if !$v4 && $o{'ip-version'} == 4 || $o{only} eq ($v4 ? '6' : '4');
	$length //= $v4 ? 32 : 128;
	my $bits = substr unpack('B*', $packed), 0, $length;
	$bits = '0' x 96 . $bits if $v4 && $o{'ip-version'} == 6;
	push @networks, [$bits, encode_value(record(map { $_ // '' } @field[0 .. 4]))];
}
for my $n (sort { length $a->[0] <=> length $b->[0] || $a->[0] cmp $b->[0] } @networks) {
	my ($bits, $bytes) = @$n;
	if (!exists $offset{$bytes}) {
		$offset{$bytes} = length $data;
		$data .= $bytes;
	}
	insert($bits, \$offset{$bytes});
}

my @nodes = ($root);
for (my $i = 0; $i < @nodes; $i++) {
	for my $child (grep { ref eq 'ARRAY' } @{ $nodes[$i] }) {
		push @nodes, $child;
	}
}
my $count = @nodes;
my %number = map { $nodes[$_] => $_ } 0 .. $#nodes;

sub pointer
{
	my $child = shift;
	return $count unless defined $child;
	return ref $child eq 'ARRAY' ? $number{$child} : $count + 16 + $$child;
}

my $tree = '';
for my $node (@nodes) {
	my ($l, $r) = map { pointer($_) } @$node;
	my $middle = ($l >> 24 & 0xf) << 4 | ($r >> 24 & 0xf);
	$tree .= $o{'record-size'} == 32 ? pack('NN', $l, $r)
		: substr(pack('N', $l), 1) . ($o{'record-size'} == 28 ? chr $middle : '')
			. substr(pack('N', $r), 1);
}

binmode STDOUT, ':raw';
print $tree, "\0" x 16, $data, "\xab\xcd\xefMaxMind.com", encode_value([map => [
	binary_format_major_version => [uint16 => 2],
	binary_format_minor_version => [uint16 => 0],
	build_epoch => [uint64 => $o{epoch}],
	database_type => [utf8 => $o{type}],
	description => [map => [en => [utf8 => 'made for the tests of Meridian']]],
	ip_version => [uint16 => $o{'ip-version'}],
	languages => [array => [[utf8 => 'en']]],
	node_count => [uint32 => $o{break} eq 'nodes' ? $count * 1000 : $count],
	record_size => [uint16 => $o{'record-size'}],
]]) or die "standard output: $!\n";
close STDOUT or die "standard output: $!\n";
