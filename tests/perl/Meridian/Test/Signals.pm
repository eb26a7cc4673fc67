# SPDX-License-Identifier: PostgreSQL
#
# Meridian::Test::Signals - signals are to a test what they are to any program, whatever the version of
# PostgreSQL whose modules are loaded. Meridian::Test::Cluster and Meridian::Test::Proxy use it.
package Meridian::Test::Signals;
use strict;
use warnings;

use PostgreSQL::Test::Cluster ();

# From 16 on they make a test end by die() where a signal ends it, so that its clusters are stopped. A
# process that the test has forked must not do that: it would stop them when it is ended itself. Those of 18 say
# so in an INIT, which comes in front of this one.
my $test = $$;

INIT
{
	for my $name (grep { ref $SIG{$_} } qw(TERM INT)) {
		my $theirs = $SIG{$name};
		$SIG{$name} = sub {
			$theirs->(@_) if $$ == $test;
			$SIG{$name} = 'DEFAULT';
			kill $name, $$;
		};
	}
}

# They also have it hear of each child that ends: whatever it is waiting for would end with EINTR then.
# What is set when the program begins to run they leave alone.
$SIG{CHLD} = 'DEFAULT' unless defined $SIG{CHLD};

1;
