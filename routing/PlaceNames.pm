# SPDX-License-Identifier: PostgreSQL
#
# PlaceNames - what the makers of place tables share: the folding of names, and rows of CSV files.
# The table by which C folds is made by the same sub that folds keys, so the two cannot differ.
package PlaceNames;
use strict;
use warnings;
use utf8;

use Exporter 'import';
use Unicode::Normalize qw(NFKD);

our @EXPORT_OK = qw(fold fold_char is_foldable rows);

# Letters that have no decomposition but that people type as others.
my %letter = (
	'ß' => 'ss', 'ø' => 'o', 'æ' => 'ae', 'œ' => 'oe', 'ł' => 'l',
	'đ' => 'd',  'ð' => 'd', 'þ' => 'th', 'ı' => 'i',  'ħ' => 'h',
	'ŧ' => 't',  'ə' => 'a',
);
my $letters = join '', sort keys %letter;
my %folded;

# One character to what it contributes: letters, "" or " ".
sub fold_char
{
	my ($char) = @_;
	return $folded{$char} //= do {
		my $s = NFKD(lc NFKD($char));
		$s =~ s/[\x{300}-\x{36f}]//g;
		$s =~ s/([$letters])/$letter{$1}/g;
		$s =~ s/[.'`\x{2018}\x{2019}\x{2bb}]//g;
		$s =~ s/[^a-z0-9]/ /g;
		$s;
	};
}

sub fold
{
	my ($name) = @_;
	my $s = join '', map { fold_char($_) } split //, $name;
	$s =~ s/ +/ /g;
	$s =~ s/^ | $//g;
	return $s;
}

# Whether each letter of a name survives folding: false of other scripts than Latin.
sub is_foldable
{
	my ($name) = @_;
	return !grep { fold_char($_) =~ /^ *$/ } $name =~ /\p{L}/g;
}

# Rows of a CSV file without quoting; comment lines and the heading are skipped.
sub rows
{
	my ($path, $columns) = @_;
	my ($heading, @rows);
	open my $fh, '<:encoding(UTF-8)', $path or die "$path: $!\n";
	while (my $line = <$fh>) {
		chomp $line;
		next if $line =~ /^#/ || $line eq '';
		my @field = split /,/, $line, -1;
		die "$path:$.: $columns fields expected\n" unless @field == $columns;
		push @rows, \@field if $heading++;
	}
	close $fh or die "$path: $!\n";
	return @rows;
}

1;
