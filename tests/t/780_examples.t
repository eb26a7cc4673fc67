#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# The examples of load balancers: what each tells the reader to write into meridian.conf is
# accepted, and says no option that is not there. HAProxy's and nginx's own halves are executed by
# 760 and 770; Envoy's is read as YAML; those of the clouds are words.
use strict;
use warnings;
use IPC::Run ();
use Meridian::Test::Balancer qw(meridian_sides);
use Meridian::Test::Cluster qw(certificate);
use Meridian::Test::Patience;
use PostgreSQL::Test::Utils qw(append_to_file slurp_file);
use Test::More;

my $dir      = PostgreSQL::Test::Utils::tempdir();
my $cert     = certificate('origin');
my $examples = "$ENV{MERIDIAN_SRCDIR}/conf/examples";
my $mmdb     = "$dir/city.mmdb";
PostgreSQL::Test::Utils::system_or_bail('sh', '-c', 'echo "127.0.0.1/32 | Paris | FR | 48 | 2 | 10" | "$0" "$1" > "$2"',
	$^X, "$ENV{MERIDIAN_SRCDIR}/tests/tools/mkmmdb.pl", $mmdb);

sub output
{
	my (@command) = @_;
	my $said = '';
	my $good = eval { IPC::Run::run(\@command, '<', \'', '>', \$said, '2>&1', run_limit(60)) };
	return ($good, $said || $@);
}

# hba_file and auth_ident_file have a test of their own (810_hba.t).
for my $file (grep { !/^(?:hba|ident)\.conf$/ } map { s{.*/}{}r } sort glob "$examples/*") {
	my @sides = meridian_sides($file);
	ok(@sides, "$file tells Meridian's side");
	for my $n (1 .. @sides) {
		my $conf = "$dir/$file.$n.conf";
		my $text = $sides[ $n - 1 ] . "\n[region us-east1]\nnodes = 127.0.0.1:5432\n";
		$text =~ s{/etc/meridian/origin\.crt}{$cert->{cert}}g;
		$text =~ s{/etc/meridian/origin\.key}{$cert->{key}}g;
		$text =~ s{/var/lib/meridian/city\.mmdb}{$mmdb}g;
		append_to_file($conf, $text);
		my ($good, $said) = output($ENV{MERIDIAN}, '--check', $conf);
		ok($good, "$file: and meridian accepts it ($n)") or diag("$said\n$text");
	}
}

SKIP: {
	my ($there) = output('python3', '-c', 'import yaml');
	skip 'python3-yaml is not installed', 1 unless $there;
	my ($good, $said) = output('python3', '-c', <<'PY', "$examples/envoy.yaml");
import sys, yaml
resources = yaml.safe_load(open(sys.argv[1]))["static_resources"]
named = {c["name"] for c in resources["clusters"]}
used = set()
def look(at):
    for key, value in at.items() if isinstance(at, dict) else enumerate(at) if isinstance(at, list) else ():
        if key == "cluster":
            used.add(value)
        look(value)
look(resources["listeners"])
assert named == used, (named, used)
PY
	ok($good, 'envoy.yaml is YAML, and leads to the clusters that it has') or diag($said);
}
done_testing();
