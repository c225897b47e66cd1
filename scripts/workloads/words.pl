# SPDX-License-Identifier: MIT
# Hashes of arrays of strings, built, sorted, searched and thrown away.
use strict;
use warnings;

my $seed = 42;
sub next_number { $seed = ($seed * 1103515245 + 12345) % 2147483648; return $seed >> 8; }

my @syllables = map { my $start = $_; map { $start . $_ } qw(a e i o u an or) } qw(b d f g k l m n p r s t v);
my ($total, %index);
for my $round (1 .. 5) {
    %index = ();
    for (1 .. 80000) {
        my $word = join '', map { $syllables[next_number() % @syllables] } 0 .. next_number() % 5;
        push @{ $index{substr $word, 0, 4} }, $word;
    }
    for my $key (sort keys %index) {
        my @sorted = sort { length $b <=> length $a || $a cmp $b } @{ $index{$key} };
        (my $text = join ' ', @sorted) =~ s/([aeiou])n/$1/g;
        $total += length $text;
    }
}
print scalar(keys %index), " $total\n";
