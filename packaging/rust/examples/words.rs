// SPDX-License-Identifier: MIT
//! Counts the words of standard input, with all memory from libhakmem.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

#[global_allocator]
static ALLOCATOR: hakmem::Hakmem = hakmem::Hakmem;

fn main() -> io::Result<()> {
    let mut words = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        for word in line?.split_whitespace() {
            *words.entry(word.to_owned()).or_insert(0) += 1;
        }
    }
    for (word, count) in &words {
        println!("{count} {word}");
    }
    Ok(())
}
