//! The host's side of the contract, generated from `wit/`.
//!
//! `v0_1` is the contract that components of earlier versions of the SDK were built for.

wasmtime::component::bindgen!({
    inline: "
        package wasq:host;

        world contract {
            include wasq:worker/imports@0.2.0;
            export wasq:worker/message-handler@0.2.0;
        }
    ",
    path: "../wit",
    with: {
        "wasq:worker/outbox.send-options": crate::sandbox::send_options::SendOptions,
    },
    imports: {
        "wasq:worker/steps.get": async,
        "wasq:worker/steps.put": async,
        "wasq:worker/waits.wait": async,
        "wasq:worker/groups.members": async,
        "wasq:worker/outbox": trappable,
        "wasq:worker/groups.add": trappable,
        "wasq:worker/groups.follow-with": trappable,
    },
    exports: { default: async },
});

/// What a handler says in the end; the outer error is the engine's.
pub type Returned = wasmtime::Result<Result<wasq::worker::messages::Outcome, wasq::worker::messages::Failure>>;

pub mod v0_1 {
    wasmtime::component::bindgen!({
        path: "wit/worker-0.1.0.wit",
        world: "worker",
        imports: {
            "wasq:worker/steps.get": async,
            "wasq:worker/steps.put": async,
            "wasq:worker/waits.wait": async,
            "wasq:worker/groups.members": async,
        },
        exports: { default: async },
    });
}
