//! A message's body, as a command line gives it.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

/// A body as the command line gives it: itself, `-` for stdin, `@FILE` for a file.
///
/// What follows the `@` is a path if it begins with `.` or `/`, or if there is such a file; all
/// else is text, as `@ada, hello` is.
pub fn read_body(body: &str) -> anyhow::Result<Vec<u8>> {
    if body == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("cannot read stdin")?;
        return Ok(bytes);
    }
    let Some(path) = body.strip_prefix('@') else { return Ok(body.as_bytes().to_vec()) };
    if path.starts_with(['.', '/']) || Path::new(path).is_file() {
        return std::fs::read(path).with_context(|| format!("cannot read {path}"));
    }
    if !path.contains(char::is_whitespace) {
        eprintln!("note: there is no file {path}, so the body is the text `{body}`; a path is `@./{path}`");
    }
    Ok(body.as_bytes().to_vec())
}
