// SPDX-License-Identifier: MIT
//! Asks pkg-config where libhakmem is.  With HAKMEM_STATIC=1 the static library is linked.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=HAKMEM_STATIC");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let fixed = env::var("HAKMEM_STATIC").map_or(false, |value| value == "1");
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let mut command = Command::new(&program);
    command.args(["--libs", concat!("hakmem >= ", env!("CARGO_PKG_VERSION"))]);
    if fixed {
        command.arg("--static");
    }
    let output = command.output().unwrap_or_else(|error| panic!("{program} does not run: {error}"));
    if !output.status.success() {
        panic!("{program} does not find libhakmem: {}", String::from_utf8_lossy(&output.stderr));
    }
    for word in String::from_utf8_lossy(&output.stdout).split_whitespace() {
        if let Some(folder) = word.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={folder}");
        } else if let Some(name) = word.strip_prefix("-l") {
            let kind = if fixed && name == "hakmem" { "static" } else { "dylib" };
            println!("cargo:rustc-link-lib={kind}={name}");
        }
    }
    // pkg-config names no folder that the linker looks into anyway, which rustc wants to know of a static library.
    if fixed {
        let folder = Command::new(&program).args(["--variable=libdir", "hakmem"]).output().expect("pkg-config ran before");
        println!("cargo:rustc-link-search=native={}", String::from_utf8_lossy(&folder.stdout).trim());
    }
}
