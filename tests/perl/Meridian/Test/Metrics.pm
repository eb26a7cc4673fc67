# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Metrics - what GET /metrics says, taken apart strictly.
#
#   use Meridian::Test::Metrics;
#
#   my $m = metrics_of_text($body);                 # { 'name{label="x"}' => number, … }; dies on
#   my $o = metrics_of_text($body, openmetrics => 1);              # anything not of the format
#   my ($p, $native) = metrics_of_protobuf($body);  # the same, and of each histogram
#                                                   # { schema, zero, bucket => { index => count } }
#   my $sum = metric($m, 'meridian_sessions');      # of all its labels; or one with its labels
#
# The reader of protobuf is written from io.prometheus.client's field numbers, not from ours.
package Meridian::Test::Metrics;
use strict;
use warnings;

use Exporter qw(import);

our @EXPORT = qw(metrics_of_text metrics_of_protobuf metric);

my $label  = qr/\w+="(?:[^"\\]|\\["\\n])*"/;
my $number = qr/-?\d+(?:\.\d+)?(?:e[-+]?\d+)?/;

sub metrics_of_text
{
	my ($text, %opt) = @_;
	my $total = $opt{openmetrics} ? '_total' : '';
	my (%sample, %type, $family);
	die "no newline at the end\n" unless $text =~ /\n\z/;
	die "no end\n" if $opt{openmetrics} && $text !~ s/\n# EOF\n\z/\n/;
	for my $line (split /\n/, $text) {
		if ($line =~ /^# HELP (\w+) \S/) {
			die "$1 comes twice\n" if exists $type{$1};
			($family, $type{$1}) = ($1, '');
		} elsif ($line =~ /^# TYPE (\w+) (counter|gauge|histogram)$/) {
			die "$line: without its help\n" if $1 ne $family;
			$type{$family} = $2;
		} elsif ($line =~ /^(\w+)(\{$label(?:,$label)*\})? ($number)$/) {
			my ($name, $labels, $value) = ($1, $2 // '', $3);
			my $right = $type{$family} eq 'histogram' ? qr/_(?:bucket|sum|count)/
			  : $type{$family} eq 'counter' ? qr/$total/ : qr//;
			die "$line: under $family\n"        if $name !~ /^\Q$family\E$right$/;
			die "$line: not without a _total\n" if $type{$family} eq 'counter' && $name !~ /_total$/;
			die "$line: twice\n"                if exists $sample{"$name$labels"};
			$sample{"$name$labels"} = $value;
		} else {
			die "not of the format: $line\n";
		}
	}
	return \%sample;
}

# ---------------------------------------------------------------- protobuf

# A varint off the front.
sub varint
{
	my ($bytes) = @_;
	my ($v, $shift, $byte) = (0, 0);
	do {
		die "cut\n" if $$bytes eq '';
		$byte = ord substr $$bytes, 0, 1, '';
		$v |= ($byte & 0x7f) << $shift;
		$shift += 7;
	} while $byte & 0x80;
	return $v;
}

sub bytes_of
{
	my ($bytes, $n) = @_;
	die "cut\n" if length $$bytes < $n;
	return substr $$bytes, 0, $n, '';
}

# { field => [ values ] }: numbers of varints, else bytes.
sub message
{
	my ($bytes) = @_;
	my %field;
	while ($bytes ne '') {
		my $tag  = varint(\$bytes);
		my $wire = $tag & 7;
		die "wire type $wire\n" if $wire > 2;
		push @{ $field{ $tag >> 3 } },
		  $wire == 0 ? varint(\$bytes) : bytes_of(\$bytes, $wire == 1 ? 8 : varint(\$bytes));
	}
	return \%field;
}

sub double { return unpack 'd<', $_[0] }
sub zigzag { return $_[0] & 1 ? -($_[0] + 1) / 2 : $_[0] / 2 }

sub labels_of
{
	my ($metric) = @_;
	my @labels = map { my $l = message($_); "$l->{1}[0]=\"$l->{2}[0]\"" } @{ $metric->{1} || [] };
	return @labels ? '{' . join(',', @labels) . '}' : '';
}

sub native_of
{
	my ($h) = @_;
	my ($index, $count, %bucket) = (0, 0);
	my $packed = join '', @{ $h->{13} || [] };
	for my $span (map { message($_) } @{ $h->{12} }) {
		$index += zigzag($span->{1}[0]);
		for (1 .. $span->{2}[0]) {
			$count += zigzag(varint(\$packed));
			$bucket{ $index++ } = $count;
		}
	}
	die "counts without buckets\n" if $packed ne '';
	return { schema => zigzag($h->{5}[0]), zero => $h->{7}[0], bucket => \%bucket };
}

# A histogram's samples as text has them.
sub classic_of
{
	my ($name, $h) = @_;
	my %sample = (
		"${name}_count"              => $h->{1}[0],
		"${name}_sum"                => double($h->{2}[0]),
		"${name}_bucket{le=\"+Inf\"}" => $h->{1}[0]);
	for my $bucket (map { message($_) } @{ $h->{3} }) {
		my $bound = double($bucket->{2}[0]);
		$bound = sprintf $bound == int $bound ? '%.1f' : '%.15g', $bound;
		$sample{"${name}_bucket{le=\"$bound\"}"} = $bucket->{1}[0];
	}
	return %sample;
}

sub metrics_of_protobuf
{
	my ($bytes) = @_;
	my (%sample, %native);
	while ($bytes ne '') {
		my $family = message(bytes_of(\$bytes, varint(\$bytes)));
		my ($name, $help, $type) = map { $family->{$_}[0] } 1 .. 3;
		die "$name: no help\n" unless $help =~ / /;
		for my $metric (map { message($_) } @{ $family->{4} || [] }) {
			if ($type == 4) {
				my $h = message($metric->{7}[0]);
				%sample = (%sample, classic_of($name, $h));
				$native{$name} = native_of($h);
			} else {
				my $value = message($metric->{ $type == 0 ? 3 : 2 }[0]);
				$sample{ $name . labels_of($metric) } = double($value->{1}[0]);
			}
		}
	}
	return (\%sample, \%native);
}

# ---------------------------------------------------------------- numbers

sub metric
{
	my ($m, $name) = @_;
	return $m->{$name} // 0 if $name =~ /\{/ || exists $m->{$name};
	my $sum = 0;
	$sum += $m->{$_} for grep { index($_, "$name\{") == 0 } keys %$m;
	return $sum;
}

1;
