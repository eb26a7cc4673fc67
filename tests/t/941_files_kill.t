#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
# timeout: 1200
#
# tests/t/541_files_kill.t with 200 files, 40 kills, and a crash before and after each step.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);

my $short = dirname(abs_path(__FILE__)) . '/541_files_kill.t';
do $short or die $@ || $!;
