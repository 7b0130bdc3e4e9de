//! The signature of the checksums, by minisign.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::source::output;

/// The variable with the password of the key.
const PASSWORD: &str = "WASQ_MINISIGN_PASSWORD";

/// Whether a release can be signed: asked before it is made.
pub fn check(key: &Path) -> anyhow::Result<()> {
    if !key.is_file() {
        bail!("there is no secret key {}; make one with `minisign -G -s {0}`", key.display());
    }
    output("minisign", &["-v"], None).context("minisign is missing; Debian has it in `minisign`")?;
    Ok(())
}

/// Signs a file of a directory. The comment is signed along. The signature's name is the answer.
pub fn sign(key: &Path, directory: &Path, name: &str, comment: &str) -> anyhow::Result<String> {
    let mut minisign = Command::new("minisign");
    minisign.arg("-S").arg("-s").arg(key).arg("-m").arg(directory.join(name)).arg("-t").arg(comment);
    let status = match std::env::var(PASSWORD) {
        Ok(password) => {
            let mut child = minisign.stdin(Stdio::piped()).spawn().context("cannot run minisign")?;
            let mut input = child.stdin.take().context("its input is a pipe")?;
            writeln!(input, "{password}").context("minisign takes no password")?;
            drop(input);
            child.wait().context("minisign is gone")?
        }
        Err(_) => minisign.status().context("cannot run minisign")?,
    };
    match status.success() {
        true => Ok(format!("{name}.minisig")),
        false => bail!("minisign has not signed {name} ({status}); is the password right? {PASSWORD} may have it"),
    }
}
