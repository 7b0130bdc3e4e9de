//! What a component exports for the host to call: which contract it was built for, of which
//! version, and the call itself.
//!
//! The sandbox asks when it has compiled a component, and calls the export in each run. What the
//! guest gives is put into the words of the current contract.

use wasmtime::component::types::{Component as ComponentType, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Engine, Store};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::bindings::v0_1::WorkerPre;
use super::bindings::wasq::worker::messages::Message;
use super::bindings::{ContractPre, Returned};
use super::compile_error::CompileError;
use super::http_handler;
use super::state::State;

/// The package of the contract.
const PACKAGE: &str = "wasq:worker/";
/// What a component of each contract exports, without its version.
const HANDLER: &str = "wasq:worker/message-handler";
const HANDLER_0_1: &str = "wasq:worker/handler";
const HTTP_HANDLER: &str = "wasi:http/incoming-handler";
const COMMAND: &str = "wasi:cli/run";
/// The export of a component, ready to be instantiated.
#[derive(Clone)]
pub enum Export {
    Contract(ContractPre<State>),
    /// As components were built until version 0.1 of the SDK.
    V0_1(WorkerPre<State>),
    /// A component that knows nothing of wasq: each message is a request.
    Http(ProxyPre<State>),
}

impl Export {
    /// Finds the export by which the component handles messages, and checks all that the component
    /// imports.
    pub fn of(component: &Component, engine: &Engine, linker: &Linker<State>) -> Result<Self, CompileError> {
        let kind = component.component_type();
        let kind = Kind::of(&kind, engine)?;
        let name = kind.built_for();
        let contract =
            |error: wasmtime::Error| CompileError::Contract { name: name.clone(), reason: format!("{error:#}") };
        let instance: InstancePre<State> = linker.instantiate_pre(component).map_err(contract)?;
        Ok(match kind {
            Kind::Contract(_) => Self::Contract(ContractPre::new(instance).map_err(contract)?),
            Kind::V0_1(_) => Self::V0_1(WorkerPre::new(instance).map_err(contract)?),
            Kind::Http(_) => Self::Http(ProxyPre::new(instance).map_err(contract)?),
        })
    }

    /// Makes an instance, and calls it. `instantiated` is called in between.
    pub async fn call(&self, store: &mut Store<State>, message: Message, instantiated: impl Fn()) -> Returned {
        match self {
            Self::Contract(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                instantiated();
                instance.wasq_worker_message_handler().call_handle(store, &message).await
            }
            Self::V0_1(pre) => {
                let instance = pre.instantiate_async(&mut *store).await?;
                instantiated();
                let said = instance.wasq_worker_handler().call_handle(&mut *store, &message.into()).await?;
                Ok(match said {
                    Ok(outcome) => Ok(outcome.into()),
                    Err(failure) => Err(store.data_mut().failure_of_0_1(failure)),
                })
            }
            Self::Http(pre) => http_handler::call(pre, store, message, instantiated).await,
        }
    }
}

/// The export by which a component handles messages, with its version.
enum Kind {
    Contract(String),
    V0_1(String),
    Http(String),
}

impl Kind {
    fn of(component: &ComponentType, engine: &Engine) -> Result<Self, CompileError> {
        let interfaces: Vec<(String, String)> = component
            .exports(engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
            .map(|(name, _)| split(name))
            .collect();
        let version = |of: &str, compatible: &str| {
            interfaces.iter().find(|(name, version)| name == of && is_compatible(version, compatible))
        };
        if let Some((_, version)) = version(HANDLER, "0.2") {
            return Ok(Self::Contract(version.clone()));
        }
        if let Some((_, version)) = version(HANDLER_0_1, "0.1") {
            return Ok(Self::V0_1(version.clone()));
        }
        // A component of a contract that this host does not have must not run as another one.
        if let Some((_, version)) = interfaces.iter().find(|(name, _)| name.starts_with(PACKAGE)) {
            return Err(CompileError::OtherContract { version: version.clone() });
        }
        if let Some((_, version)) = version(HTTP_HANDLER, "0.2") {
            return Ok(Self::Http(version.clone()));
        }
        match interfaces.iter().any(|(name, _)| name == COMMAND) {
            true => Err(CompileError::Command),
            false => Err(CompileError::NoHandler),
        }
    }

    /// What the component was built for, for errors.
    fn built_for(&self) -> String {
        match self {
            Self::Contract(version) | Self::V0_1(version) => format!("wasq:worker@{version}"),
            Self::Http(version) => format!("{HTTP_HANDLER}@{version}"),
        }
    }
}

/// An interface's name and its version.
fn split(name: &str) -> (String, String) {
    let (name, version) = name.split_once('@').unwrap_or((name, ""));
    (name.to_owned(), version.to_owned())
}

/// Whether a version is of a series, such as `0.2.7` of `0.2`. A prerelease is of none: it promises
/// nothing.
fn is_compatible(version: &str, series: &str) -> bool {
    let patch = version.strip_prefix(series).and_then(|rest| rest.strip_prefix('.'));
    patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::is_compatible;

    #[test]
    fn a_version_is_of_its_series_whatever_its_patch() {
        for version in ["0.2.0", "0.2.7", "0.2.10"] {
            assert!(is_compatible(version, "0.2"), "{version}");
        }
        for version in ["", "0.2", "0.20.0", "0.3.0", "1.0.2", "0.2.0-rc.1", "0.2."] {
            assert!(!is_compatible(version, "0.2"), "{version}");
        }
    }
}
