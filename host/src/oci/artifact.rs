//! The manifest of an artifact and its config, as the CNCF's format has them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::OciError;
use crate::config::{OciReference, is_digest};

pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
pub const LAYER_TYPE: &str = "application/wasm";
/// The annotation of a manifest that has minisign's signature of the component.
const SIGNATURE: &str = "io.github.wasq.minisig";
const TITLE: &str = "org.opencontainers.image.title";
/// What else registries answer with where a reference is of something else.
pub const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                          application/vnd.docker.distribution.manifest.v2+json, \
                          application/vnd.docker.distribution.manifest.list.v2+json";

/// A manifest.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactManifest {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// Where a blob is, and what.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
}

/// Of an index it is only known that it is one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyManifest {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<Vec<serde::de::IgnoredAny>>,
}

/// What a component has, for its artifact's config.
pub struct Contents<'a> {
    /// The plugin's name.
    pub name: &'a str,
    pub imports: &'a [String],
    pub exports: &'a [String],
    /// When it was built, as RFC 3339 has it.
    pub created: &'a str,
    /// minisign's signature of it.
    pub signature: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WasmConfig<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    layer_digests: [String; 1],
    component: Component<'a>,
}

#[derive(Serialize)]
struct Component<'a> {
    exports: &'a [String],
    imports: &'a [String],
}

/// `sha256:` and 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Descriptor {
    fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self { media_type: media_type.to_owned(), digest: digest(bytes), size: bytes.len() as u64 }
    }
}

impl ArtifactManifest {
    /// # Errors
    /// What the reference is of, if it is not a component.
    pub fn parse(reference: &OciReference, bytes: &[u8]) -> Result<Self, OciError> {
        let other = |found: String| OciError::OtherArtifact {
            reference: Box::new(reference.clone()),
            found,
            expected: CONFIG_TYPE,
        };
        let any: AnyManifest =
            serde_json::from_slice(bytes).map_err(|error| other(format!("no manifest ({error})")))?;
        if any.manifests.is_some() {
            return Err(other("an index of several manifests".into()));
        }
        if let Some(kind) = any.media_type.filter(|kind| kind != MANIFEST_TYPE) {
            return Err(other(format!("of the media type {}", kind.escape_debug())));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| other(format!("no manifest ({error})")))?;
        let config = &manifest.config.media_type;
        if config != CONFIG_TYPE {
            return Err(other(format!("an artifact with a config of the media type {}", config.escape_debug())));
        }
        match &manifest.layers[..] {
            [layer] if layer.media_type == LAYER_TYPE && is_digest(&layer.digest) => Ok(manifest),
            [layer] => {
                Err(other(format!("an artifact with a layer of the media type {}", layer.media_type.escape_debug())))
            }
            layers => Err(other(format!("an artifact of {} layers", layers.len()))),
        }
    }

    /// The config's bytes and the manifest of a component.
    pub fn of(component: &[u8], contents: &Contents<'_>) -> (Vec<u8>, Self) {
        let layer = Descriptor::of(LAYER_TYPE, component);
        let config = WasmConfig {
            created: contents.created,
            architecture: "wasm",
            os: "wasip2",
            layer_digests: [layer.digest.clone()],
            component: Component { exports: contents.exports, imports: contents.imports },
        };
        let config = serde_json::to_vec(&config).expect("a config is plain data with text keys");
        let mut annotations = std::collections::BTreeMap::from([(TITLE.to_owned(), contents.name.to_owned())]);
        annotations.extend(contents.signature.map(|text| (SIGNATURE.to_owned(), text.to_owned())));
        let manifest = Self {
            schema_version: 2,
            media_type: Some(MANIFEST_TYPE.to_owned()),
            config: Descriptor::of(CONFIG_TYPE, &config),
            layers: vec![layer],
            annotations,
        };
        (config, manifest)
    }

    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a manifest is plain data with text keys")
    }

    /// The component.
    pub fn layer(&self) -> &Descriptor {
        &self.layers[0]
    }

    /// minisign's signature of the component, if it came with one.
    pub fn signature(&self) -> Option<&str> {
        self.annotations.get(SIGNATURE).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> OciReference {
        OciReference::parse("oci://r.example/a:1").unwrap()
    }

    #[test]
    fn what_is_pushed_can_be_pulled() {
        let (imports, exports) = (["wasi:cli/environment@0.2.6".to_owned()], ["wasi:http/x".to_owned()]);
        let contents = Contents {
            name: "a",
            imports: &imports,
            exports: &exports,
            created: "2026-01-02T03:04:05Z",
            signature: Some("s\nt"),
        };
        let (config, manifest) = ArtifactManifest::of(b"component", &contents);
        let read = ArtifactManifest::parse(&reference(), &manifest.bytes()).unwrap();
        assert_eq!(read.layer().digest, digest(b"component"));
        assert_eq!((read.layer().size, read.signature()), (9, Some("s\nt")));
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(config["layerDigests"][0], digest(b"component"));
        assert_eq!(config["component"]["exports"][0], "wasi:http/x");
    }

    #[test]
    fn what_is_no_component_is_named() {
        let layer = |kind: &str| format!(r#"{{"mediaType": "{kind}", "digest": "{}", "size": 1}}"#, digest(b"x"));
        let manifest = |config: &str, layers: &[&str]| {
            let layers: Vec<_> = layers.iter().map(|kind| layer(kind)).collect();
            format!(r#"{{"schemaVersion": 2, "config": {}, "layers": [{}]}}"#, layer(config), layers.join(","))
        };
        let image = "application/vnd.oci.image.config.v1+json";
        let check = |text: &str, expect: &str| {
            let error = ArtifactManifest::parse(&reference(), text.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(expect) && error.contains("wasq push"), "{error}");
        };
        check(&manifest(image, &[LAYER_TYPE]), image);
        check(&manifest(CONFIG_TYPE, &["application/gzip"]), "application/gzip");
        check(&manifest(CONFIG_TYPE, &[LAYER_TYPE, LAYER_TYPE]), "2 layers");
        check(&manifest(CONFIG_TYPE, &[]), "0 layers");
        check(r#"{"schemaVersion": 2, "manifests": []}"#, "an index");
        check(r#"{"mediaType": "application/vnd.docker.distribution.manifest.v2+json"}"#, "docker");
        check("<html>", "no manifest");
    }
}
