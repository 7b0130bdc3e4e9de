;; Makes handles of a resource of its own, without the host's code in between, as many as it gets.
;; --- component
(type $own (resource (rep i32)))
(core func $new (canon resource.new $own))
(core instance $host (export "new" (func $new)))
;; --- core
(import "host" "new" (func $new (param i32) (result i32)))
(func $handle (result i32) (loop (drop (call $new (i32.const 1))) (br 0)) (unreachable))
