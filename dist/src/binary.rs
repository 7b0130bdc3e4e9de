//! What a binary needs of the machine that it runs on: which libraries, and which glibc.

use std::path::Path;

use anyhow::{Context, bail};

use crate::source::output;

/// The needs of a binary.
#[derive(Debug, PartialEq, Eq)]
pub struct Needs {
    libraries: Vec<String>,
    /// The newest version of glibc that a symbol of it is of: 2.34 as (2, 34).
    pub glibc: (u32, u32),
}

/// What every Linux with glibc has: the libraries of PEP 600 that Rust's programs may have.
const COMMON: [&str; 10] = [
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
];

impl Needs {
    pub fn of(binary: &Path) -> anyhow::Result<Self> {
        let path = binary.display().to_string();
        Self::parse(&output("readelf", &["--wide", "--dynamic", "--version-info", &path], None)?)
            .with_context(|| format!("{path} is no program for Linux with glibc"))
    }

    /// Reads what `readelf` prints.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let libraries = text.lines().filter(|line| line.contains("(NEEDED)"));
        let libraries = libraries.filter_map(|line| line.split_once('[')?.1.split_once(']'));
        let libraries: Vec<_> = libraries.map(|(name, _)| name.to_owned()).collect();
        let versions = text.split("Name: GLIBC_").skip(1).filter_map(|rest| {
            let mut numbers = rest.split_whitespace().next()?.split('.').map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        let Some(glibc) = versions.max() else { bail!("it names no version of glibc") };
        Ok(Self { libraries, glibc })
    }

    /// A library that it needs and that not every machine has.
    pub fn uncommon(&self) -> Option<&str> {
        self.libraries.iter().map(String::as_str).find(|library| !COMMON.contains(library))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_glibc_and_what_few_machines_have_are_found() {
        let text = " 0x0000000000000001 (NEEDED)             Shared library: [libssl.so.3]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
  0x0010:   Name: GLIBC_2.9  Flags: none  Version: 3
  0x0020:   Name: GLIBC_2.34  Flags: none  Version: 12
  0x0030:   Name: GLIBC_2.3.4  Flags: none  Version: 7
  0x0040:   Name: GCC_4.2.0  Flags: none  Version: 6
";
        let needs = Needs::parse(text).expect("it is a program");
        assert_eq!((needs.glibc, needs.uncommon()), ((2, 34), Some("libssl.so.3")));
        let error = Needs::parse("There is no dynamic section in this file.").expect_err("it is none");
        assert!(error.to_string().contains("glibc"), "{error}");
    }
}
