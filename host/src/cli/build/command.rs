//! Handlers that a command makes: in TypeScript, in Python, or in whatever language with a command
//! of the manifest's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, bail};

use super::project::{CommandProject, Language, is_source};
use crate::plugins::{LoadError, pack};

/// How deep a project's sources are looked through.
const DEPTH_MAX: usize = 16;

/// Runs the project's command, unless its output is newer than all that it is made from, and puts
/// the manifest into what it made.
pub fn component(dir: &Path, project: &CommandProject, verbose: bool) -> anyhow::Result<Vec<u8>> {
    if !is_fresh(dir, project)? {
        run(dir, project, verbose)?;
    }
    let output = &project.output;
    let built = std::fs::read(output).with_context(|| {
        format!(
            "the build in {} left no component at {} ([build] output in plugin.toml)",
            dir.display(),
            output.display()
        )
    })?;
    let packed = pack(&built, &project.manifest).map_err(|reason| LoadError { path: output.clone(), reason })?;
    Ok(packed)
}

fn run(dir: &Path, project: &CommandProject, verbose: bool) -> anyhow::Result<()> {
    let mut command = match (&project.command, project.language) {
        (Some(text), _) => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(text);
            command
        }
        (None, Language::TypeScript) => typescript(dir)?,
        (None, Language::Python) => python(dir)?,
        (None, Language::Rust | Language::Other) => {
            bail!("{} has no [build] command in its plugin.toml", dir.display())
        }
    };
    // What the tools print is not a listing of ours.
    let shown = if verbose { Stdio::from(std::io::stderr()) } else { Stdio::null() };
    let status = command.current_dir(dir).stdin(Stdio::null()).stdout(shown).stderr(Stdio::inherit()).status();
    let status = status.with_context(|| format!("cannot run the build in {}", dir.display()))?;
    if !status.success() {
        bail!("the build in {} failed ({status}); what it says stands above", dir.display());
    }
    Ok(())
}

/// The SDK's tool, as npm installs it.
fn typescript(dir: &Path) -> anyhow::Result<Command> {
    need(
        "node",
        &["--version"],
        (20, 0),
        "Node 20",
        "https://nodejs.org has it; with a package manager: `apt-get install nodejs`",
    )?;
    let tool = dir.join("node_modules/.bin/wasq-build");
    if !tool.exists() {
        bail!("the tools of {} are not installed; run: cd {} && npm install", dir.display(), dir.display());
    }
    Ok(Command::new(tool))
}

/// The SDK's tool in the project's own environment, or in that which is active.
fn python(dir: &Path) -> anyhow::Result<Command> {
    let own = dir.join(".venv/bin/python");
    let active = std::env::var_os("VIRTUAL_ENV").map(|active| PathBuf::from(active).join("bin/python"));
    let python = match active.filter(|python| python.exists()) {
        _ if own.exists() => own,
        Some(active) => active,
        None => {
            need(
                "python3",
                &["--version"],
                (3, 10),
                "Python 3.10",
                "with a package manager: `apt-get install python3 python3-venv`",
            )?;
            bail!(
                "the tools of {0} are not installed; run: cd {0} && python3 -m venv .venv && .venv/bin/pip install -r requirements.txt",
                dir.display()
            );
        }
    };
    let mut command = Command::new(&python);
    command.args(["-m", "wasq.build"]);
    let found = Command::new(&python).args(["-c", "import wasq.build, componentize_py"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        bail!(
            "{} does not have wasq-sdk; run: cd {} && {} -m pip install -r requirements.txt",
            python.display(),
            dir.display(),
            python.display()
        );
    }
    Ok(command)
}

/// Whether a program is there, and new enough.
fn need(program: &str, arguments: &[&str], least: (u32, u32), name: &str, how: &str) -> anyhow::Result<()> {
    let output = Command::new(program).args(arguments).output();
    let Ok(output) = output else { bail!("{name} or newer is not installed: {how}") };
    let said = String::from_utf8_lossy(&output.stdout);
    let numbers = said.trim().rsplit([' ', 'v']).next().unwrap_or_default().split('.');
    let mut numbers = numbers.map(|number| number.parse::<u32>().unwrap_or_default());
    let found = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if found < least {
        bail!("{name} or newer is needed, and `{program}` is {}: {how}", said.trim());
    }
    Ok(())
}

/// Whether the output is newer than everything that it is made from.
fn is_fresh(dir: &Path, project: &CommandProject) -> anyhow::Result<bool> {
    let Ok(built) = std::fs::metadata(&project.output).and_then(|about| about.modified()) else { return Ok(false) };
    let whole = [dir.to_owned()];
    let sources: &[PathBuf] = if project.watch.is_empty() { &whole } else { &project.watch };
    for source in sources {
        let newest = newest(source, &project.output, 0)
            .with_context(|| format!("cannot read {} ([build] watch in plugin.toml)", source.display()))?;
        if newest.is_some_and(|changed| changed >= built) {
            return Ok(false);
        }
    }
    // The manifest is not in the component yet, but it chooses what the component may import.
    Ok(std::fs::metadata(dir.join("plugin.toml"))?.modified()? < built)
}

/// When the last of the files was changed.
fn newest(path: &Path, output: &Path, depth: usize) -> std::io::Result<Option<SystemTime>> {
    let about = std::fs::metadata(path)?;
    if !about.is_dir() {
        return if path == output { Ok(None) } else { about.modified().map(Some) };
    }
    let mut latest = None;
    if depth < DEPTH_MAX {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            if is_source(&entry.file_name().to_string_lossy()) {
                latest = latest.max(newest(&entry.path(), output, depth + 1)?);
            }
        }
    }
    Ok(latest)
}
