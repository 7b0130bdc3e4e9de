//! The machines that releases are for, and what npm, PyPI and Homebrew call them.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use anyhow::Context;

/// A machine: Linux with glibc, on one of two processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    X86_64,
    Aarch64,
}

impl Target {
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// As Rust names it.
    pub const fn triple(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// As Linux, and so PyPI, names its processor.
    pub const fn machine(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As Node's `process.arch` names its processor.
    pub const fn node_arch(self) -> &'static str {
        match self {
            Self::X86_64 => "x64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The block of a formula that is for it.
    pub const fn homebrew_block(self) -> &'static str {
        match self {
            Self::X86_64 => "on_intel",
            Self::Aarch64 => "on_arm",
        }
    }

    /// The C compiler for it on another machine, as Debian names it, and Debian's package.
    pub const fn cross_compiler(self) -> (&'static str, &'static str) {
        match self {
            Self::X86_64 => ("x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu"),
            Self::Aarch64 => ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
        }
    }

    /// The machine that this runs on.
    ///
    /// # Errors
    /// There is no release for it.
    pub fn here() -> anyhow::Result<Self> {
        let here = Self::ALL.into_iter().find(|target| target.runs_here());
        here.context("releases are for Linux on x86-64 and arm64, and this machine is another one")
    }

    pub fn runs_here(self) -> bool {
        cfg!(target_os = "linux") && std::env::consts::ARCH == self.machine()
    }
}

impl Display for Target {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.triple())
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|target| target.triple() == text);
        named.ok_or_else(|| format!("use {}", Self::ALL.map(Self::triple).join(" or ")))
    }
}
