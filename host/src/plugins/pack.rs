//! Puts a manifest into a component, so that one file is the plugin.
//!
//! The Rust SDK does that when it compiles. `wasq pack` and `wasq build` do it for what other
//! toolchains have made.

use std::borrow::Cow;

use wasm_encoder::{ComponentSection, CustomSection};
use wasmparser::{BinaryReader, BinaryReaderError};

use super::load::{MANIFEST_SECTION, check_format};
use super::manifest::Manifest;
use super::reason::Reason;

/// The magic number and the version.
const HEADER_BYTES: usize = 8;
const CUSTOM_SECTION: u8 = 0;

/// The component with this manifest inside, in the place of one that it has.
///
/// # Errors
/// What is wrong with the component or the manifest.
pub fn pack(component: &[u8], manifest: &str) -> Result<Vec<u8>, Reason> {
    Manifest::parse(manifest)?;
    check_format(component)?;
    let mut packed = without_manifest(component).map_err(|error| Reason::Damaged(error.to_string()))?;
    let section = CustomSection { name: Cow::Borrowed(MANIFEST_SECTION), data: Cow::Borrowed(manifest.as_bytes()) };
    section.append_to_component(&mut packed);
    Ok(packed)
}

/// The component's sections, but for those of a manifest.
fn without_manifest(component: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let (header, sections) = component.split_at(HEADER_BYTES);
    let mut kept = header.to_vec();
    let mut reader = BinaryReader::new(sections, 0);
    while !reader.eof() {
        let start = reader.current_position();
        let id = reader.read_u8()?;
        let size = reader.read_var_u32()? as usize;
        let content = reader.read_bytes(size)?;
        let is_manifest = id == CUSTOM_SECTION && BinaryReader::new(content, 0).read_string()? == MANIFEST_SECTION;
        if !is_manifest {
            kept.extend_from_slice(&sections[start..reader.current_position()]);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "name = 'first'\ntypes = ['a']\n";
    const SECOND: &str = "name = 'second'\ntypes = ['a']\n";

    #[test]
    fn the_manifest_is_inside_once_and_the_rest_stays() {
        let component = wat::parse_str("(component (core module (memory 1)) (@custom \"other\" \"kept\"))").unwrap();
        let first = pack(&component, FIRST).unwrap();
        assert_eq!(check_format(&first).unwrap().manifest.as_deref(), Some(FIRST.as_bytes()));
        assert_eq!(first[..component.len()], component);
        let second = pack(&first, SECOND).unwrap();
        assert_eq!(check_format(&second).unwrap().manifest.as_deref(), Some(SECOND.as_bytes()));
        assert_eq!(second, pack(&component, SECOND).unwrap());
    }

    #[test]
    fn what_is_no_component_or_no_manifest_is_refused() {
        let component = wat::parse_str("(component)").unwrap();
        let check = |component: &[u8], manifest: &str, expect: &str| {
            let error = pack(component, manifest).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check(&wat::parse_str("(module)").unwrap(), FIRST, "not a component");
        check(b"text", FIRST, "no WebAssembly");
        check(&component, "types = ['a']", "name");
        check(&component[..6], FIRST, "damaged");
    }
}
