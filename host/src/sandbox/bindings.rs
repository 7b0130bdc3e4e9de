//! The host's side of the contract, generated from `wit/`.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "worker",
    imports: {
        "wasq:worker/steps.get": async,
        "wasq:worker/steps.put": async,
        "wasq:worker/waits.wait": async,
        "wasq:worker/groups.members": async,
    },
    exports: { default: async },
});
