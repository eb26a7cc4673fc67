#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Sessions of bent messages (Meridian::Test::Bent): through Meridian the client reads what PostgreSQL
# itself answers to the same bytes, in passthrough and in a pool; and nothing is left behind. 953 has
# more of them.
use strict;
use warnings;
use Meridian::Test::Bent;
use Test::More;

# The last: a Flush with a body, and rubbish behind it; a pool lent that server on, which skipped what came.
compare_bent(1 .. 60, 3805 .. 3807);
done_testing();
