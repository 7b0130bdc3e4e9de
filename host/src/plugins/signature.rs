//! Signatures of plugins' files: minisign's, by keys that the operator names.

use std::io::Read;
use std::path::{Path, PathBuf};

use minisign_verify::{Error, Signature};

use crate::config::SignerKey;

/// What a signature's name has after that of its file.
pub const EXTENSION: &str = "minisig";

/// The longest signature's file. minisign's own bound on its longest line is 8 KiB.
const SIGNATURE_MAX_BYTES: u64 = 16 * 1024;

/// Why a file is not taken for signed.
#[derive(Debug, thiserror::Error)]
pub enum Unsigned {
    #[error(
        "there is no signature {}, and the config takes none but signed plugins (plugins_signed_by); sign the file:\n  \
         minisign -S -m {}", signature.display(), file.display()
    )]
    Missing { signature: PathBuf, file: PathBuf },
    #[error("cannot read the signature {}: {reason}", signature.display())]
    Unreadable { signature: PathBuf, reason: std::io::Error },
    #[error("{} is no signature of minisign's, or one of its old kind; sign the file again with minisign 0.11 or later", .0.display())]
    NoSignature(PathBuf),
    #[error("{} was made by none of the keys in plugins_signed_by; have one of them sign, or add its key there", .0.display())]
    OtherKey(PathBuf),
    #[error(
        "{} does not fit {}: one of them was changed or replaced; bring both of one version, or sign this one", signature.display(), file.display()
    )]
    Changed { signature: PathBuf, file: PathBuf },
}

/// Whether one of the keys has signed these bytes, which were read from `file`.
pub fn check(file: &Path, bytes: &[u8], keys: &[SignerKey]) -> Result<(), Unsigned> {
    let beside = beside(file);
    let text = read(&beside).map_err(|reason| match reason.kind() {
        std::io::ErrorKind::NotFound => Unsigned::Missing { signature: beside.clone(), file: file.to_owned() },
        _ => Unsigned::Unreadable { signature: beside.clone(), reason },
    })?;
    let signature = Signature::decode(&text).map_err(|_| Unsigned::NoSignature(beside.clone()))?;
    for SignerKey(key) in keys {
        match key.verify(bytes, &signature, false) {
            Ok(()) => return Ok(()),
            Err(Error::UnexpectedKeyId) => {}
            Err(Error::InvalidSignature) => {
                return Err(Unsigned::Changed { signature: beside, file: file.to_owned() });
            }
            // The library's own list; what is left of it says that the signature's kind is not
            // taken.
            Err(_) => return Err(Unsigned::NoSignature(beside)),
        }
    }
    Err(Unsigned::OtherKey(beside))
}

/// `NAME.wasm.minisig`.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(EXTENSION);
    name.into()
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(SIGNATURE_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}
