//! The Rust toolchain that compiles handlers, and the Wasm target that it needs for them.
//!
//! Whoever compiles a handler calls [`ensure_wasm_target`] first: `wasq build` and what builds
//! with it (`demo`, `dev`, `bench`), the build script of the tests' guests, and `cargo xtask`.
//! rustup installs the targets of a `rust-toolchain.toml` by itself only where it may install at
//! all (`RUSTUP_AUTO_INSTALL`), and only with the toolchain. So nobody can rely on it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that handlers are compiled for.
pub const WASM_TARGET: &str = "wasm32-wasip2";

/// What a target has when it is installed: the standard library, compiled for it.
const STANDARD_LIBRARY: &str = "libstd-";

/// Why the target is not there. Each says what to run, in one line.
#[derive(Debug)]
pub enum TargetError {
    /// rustc gave no answer. What it said has the reason, such as a toolchain that is not there.
    Rustc { dir: PathBuf, reason: String },
    /// The toolchain is not one of rustup's, so rustup cannot add to it.
    OtherToolchain { library: PathBuf },
    /// rustup does not run.
    NoRustup { toolchain: String, reason: String },
    /// rustup could not add the target, for want of a network, say.
    NotAdded { toolchain: String, reason: String },
}

/// Looks whether the toolchain that cargo uses in `dir` has the Wasm target, and has rustup add it
/// if not. `say` gets one line before that, since it takes a while.
///
/// # Errors
/// When the target is not there in the end.
pub fn ensure_wasm_target(dir: &Path, say: impl FnOnce(&str)) -> Result<(), TargetError> {
    // Cargo prefers RUSTC, too. Both programs find the toolchain as cargo does: by
    // RUSTUP_TOOLCHAIN, else by the toolchain file of the directory.
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let named = std::env::var("RUSTUP_TOOLCHAIN").ok();
    Toolchain { rustc, rustup: "rustup".into(), named }.ensure_wasm_target(dir, say)
}

struct Toolchain {
    rustc: OsString,
    rustup: OsString,
    /// Its name, where rustup has chosen it already.
    named: Option<String>,
}

impl Toolchain {
    fn ensure_wasm_target(&self, dir: &Path, say: impl FnOnce(&str)) -> Result<(), TargetError> {
        let library = self.target_library(dir)?;
        if is_installed(&library) {
            return Ok(());
        }
        let Some(directory) = rustups_directory(&library) else {
            return Err(TargetError::OtherToolchain { library });
        };
        let toolchain = self.named.clone().unwrap_or(directory);
        say(&format!("adding the Rust target {WASM_TARGET} to the toolchain {toolchain}: {}", command(&toolchain)));
        let mut rustup = Command::new(&self.rustup);
        rustup.current_dir(dir).args(["target", "add", "--toolchain", &toolchain, WASM_TARGET]);
        let added = rustup.output();
        let output =
            added.map_err(|error| TargetError::NoRustup { toolchain: toolchain.clone(), reason: error.to_string() })?;
        if is_installed(&library) {
            return Ok(());
        }
        let reason = match output.status.success() {
            true => format!("it ended well, but left nothing in {}", library.display()),
            false => in_one_line(&output.stderr),
        };
        Err(TargetError::NotAdded { toolchain, reason })
    }

    /// Where the toolchain has the target's libraries if it has any.
    fn target_library(&self, dir: &Path) -> Result<PathBuf, TargetError> {
        let refuse = |reason: String| TargetError::Rustc { dir: dir.to_owned(), reason };
        let mut rustc = Command::new(&self.rustc);
        rustc.current_dir(dir).args(["--print", "target-libdir", "--target", WASM_TARGET]);
        let output = rustc.output().map_err(|error| refuse(error.to_string()))?;
        if !output.status.success() {
            return Err(refuse(in_one_line(&output.stderr)));
        }
        Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
    }
}

fn is_installed(library: &Path) -> bool {
    let entries = std::fs::read_dir(library).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(STANDARD_LIBRARY))
}

/// The NAME of RUSTUP_HOME/toolchains/NAME/lib/rustlib/TARGET/lib, which is a toolchain's.
fn rustups_directory(library: &Path) -> Option<String> {
    let toolchain = library.ancestors().nth(4)?;
    let is_rustups = toolchain.parent()?.file_name()? == "toolchains";
    is_rustups.then(|| toolchain.file_name().map(|name| name.to_string_lossy().into_owned()))?
}

fn command(toolchain: &str) -> String {
    format!("rustup target add --toolchain {toolchain} {WASM_TARGET}")
}

/// What a program said of its failure: the first line and the last, which is the innermost cause.
/// Not what it said of its progress, nor where in its code it failed.
fn in_one_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Stack backtrace"));
    let mut told = lines.filter(|line| !line.is_empty() && !line.starts_with("info:"));
    let numbered = |c: char| c.is_ascii_digit() || c == ':' || c == ' ';
    let first = told.next().map(|line| line.strip_prefix("error: ").unwrap_or(line)).unwrap_or("it does not say why");
    match told.last().map(|line| line.trim_start_matches(numbered)) {
        Some(last) => format!("{first}; {last}"),
        None => first.to_owned(),
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rustc { dir, reason } => write!(
                f,
                "rustc does not answer in {}: {reason}; install Rust by rustup (https://rustup.rs), then run this again",
                dir.display()
            ),
            Self::OtherToolchain { library } => write!(
                f,
                "the Rust target {WASM_TARGET} is missing (no {}), and this toolchain is not one of rustup's; install the \
                 target as you installed Rust, or install Rust by rustup (https://rustup.rs), then run this again",
                library.display()
            ),
            Self::NoRustup { toolchain, reason } => write!(
                f,
                "the Rust target {WASM_TARGET} is missing, and rustup does not run ({reason}); run `{}`, then this again: \
                 what was built is kept",
                command(toolchain)
            ),
            Self::NotAdded { toolchain, reason } => write!(
                f,
                "the Rust target {WASM_TARGET} is missing, and rustup did not add it ({reason}); with a network, run `{}`, \
                 then this again: what was built is kept",
                command(toolchain)
            ),
        }
    }
}

impl std::error::Error for TargetError {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A rustup home with one toolchain, the two programs, as scripts, and the name by which the
    /// toolchain was chosen.
    struct Home(tempfile::TempDir, Option<String>);

    impl Home {
        /// `rustup` is the script of a rustup; none where there is none.
        fn new(rustup: Option<&str>) -> Self {
            let home = Self(tempfile::tempdir().unwrap(), None);
            std::fs::create_dir_all(home.library().ancestors().nth(2).unwrap()).unwrap();
            home.program("rustc", &format!("echo \"$@\" > asked\necho {}", home.library().display()));
            if let Some(script) = rustup {
                home.program("rustup", &format!("echo \"$@\" >> {}\n{script}", home.path("calls").display()));
            }
            home
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn library(&self) -> PathBuf {
            self.path("toolchains/1.95.0-here/lib/rustlib/wasm32-wasip2/lib")
        }

        /// Another process writes the script: a child of this one, started meanwhile by another
        /// test, would have it open for writing, and the system runs no such program ("text file
        /// busy").
        fn program(&self, name: &str, script: &str) {
            let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 755 "$0""#;
            let ended = Command::new("sh").args(["-c", write]).arg(self.path(name)).arg(script).status();
            assert!(ended.is_ok_and(|status| status.success()), "{name} is not written");
        }

        fn calls(&self) -> String {
            std::fs::read_to_string(self.path("calls")).unwrap_or_default()
        }

        /// What was said before the target was added, and how it ended.
        fn ensure(&self) -> (String, Result<(), String>) {
            let [rustc, rustup] = ["rustc", "rustup"].map(|name| self.path(name).into());
            let mut said = String::new();
            let toolchain = Toolchain { rustc, rustup, named: self.1.clone() };
            let ended = toolchain.ensure_wasm_target(self.0.path(), |line| said = line.to_owned());
            (said, ended.map_err(|error| error.to_string()))
        }
    }

    const ADDS: &str = "d=$(dirname $0)/toolchains/$4/lib/rustlib/$5/lib; mkdir -p $d; touch $d/libstd-1.rlib";

    #[test]
    fn a_missing_target_is_added_to_the_toolchain_in_use_and_one_that_is_there_is_left_alone() {
        let home = Home::new(Some(ADDS));
        let (said, ended) = home.ensure();
        assert_eq!(ended, Ok(()));
        let command = "target add --toolchain 1.95.0-here wasm32-wasip2";
        assert!(said.contains(&format!("rustup {command}")) && said.lines().count() == 1, "{said}");
        assert_eq!(home.calls(), format!("{command}\n"));

        assert_eq!(home.ensure(), (String::new(), Ok(())));
        assert_eq!(home.calls().lines().count(), 1, "it is there already");
        let asked = std::fs::read_to_string(home.path("asked")).expect("rustc runs in the directory of the project");
        assert_eq!(asked.trim(), "--print target-libdir --target wasm32-wasip2");
    }

    #[test]
    fn a_toolchain_that_was_chosen_by_name_is_given_by_that_name() {
        // Its directory may be another one's, by a link.
        let home = Home::new(Some(&ADDS.replace("$4", "1.95.0-here")));
        let home = Home(home.0, Some("1.95.0".to_owned()));
        assert_eq!(home.ensure().1, Ok(()));
        assert_eq!(home.calls(), "target add --toolchain 1.95.0 wasm32-wasip2\n");
    }

    #[test]
    fn what_stands_in_the_way_is_said_in_one_line_with_what_to_run() {
        let check = |home: &Home, expect: &[&str]| {
            let error = home.ensure().1.unwrap_err();
            assert!(expect.iter().all(|part| error.contains(part)) && error.lines().count() == 1, "{error}");
        };
        let run = "run `rustup target add --toolchain 1.95.0-here wasm32-wasip2`";
        let no_network = "printf 'info: downloading\\nerror: download failed\\n\\nCaused by:\\n    0: partly\\n    1: dns error\\n\\n\
                          Stack backtrace:\\n   0: main\\n' >&2; exit 1";
        check(&Home::new(Some(no_network)), &["(download failed; dns error)", run, "what was built is kept"]);
        check(&Home::new(Some("exit 0")), &["ended well, but left nothing in", run]);
        check(&Home::new(None), &["rustup does not run", run]);

        let home = Home::new(Some(ADDS));
        home.program(
            "rustc",
            "printf \"error: toolchain '1.95.0' is not installed\\nhelp: run \\`rustup install\\`\\n\" >&2; exit 1",
        );
        check(&home, &["toolchain '1.95.0' is not installed; help: run `rustup install`"]);
        home.program("rustc", "echo /usr/lib/rustlib/wasm32-wasip2/lib");
        check(&home, &["/usr/lib/rustlib/wasm32-wasip2/lib", "not one of rustup's"]);
        assert_eq!(home.calls(), "");
    }
}
