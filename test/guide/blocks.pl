#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# Takes the code blocks out of a Markdown page: each to a file FOLDER/LINE.LANGUAGE
# with the line it begins at. Fails where a block has no language, one that the
# test does not know, or is only indented, and so would not be run.
#
# blocks.pl PAGE FOLDER LANGUAGE...

use strict;
use warnings;

my ($page, $folder, @languages) = @ARGV;
my $known = join '|', @languages;
my ($block, $indent);
my $before = '';
my $breaches = 0;

sub breach {
    my ($what) = @_;
    print "$page:$.: $what\n";
    $breaches++;
}

open my $file, '<', $page or die "$page: $!\n";
while (my $line = <$file>) {
    if (defined $block) {
        if ($line =~ /^\s*```\s*$/) {
            close $block;
            undef $block;
        } else {
            $line =~ s/^$indent//;
            print $block $line;
        }
    } elsif ($line =~ /^(\s*)```(.*?)\s*$/) {
        ($indent, my $language) = ($1, $2);
        breach("a block in \"$language\", which is none of @languages")
            unless $language =~ /^(?:$known)$/;
        $language = 'text' unless $language =~ /^\w+$/;
        my $name = sprintf '%s/%04d.%s', $folder, $., $language;
        open $block, '>', $name or die "$name: $!\n";
    } elsif ($line =~ /^ {4}/ && $before =~ /^\s*$/) {
        breach('a block that is only indented');
    }
    $before = $line;
}
breach('a block without an end') if defined $block;
exit($breaches != 0);
