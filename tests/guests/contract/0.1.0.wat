;; A handler as components were built for wasq:worker@0.1.0: its first attempt asks for another one in 250 ms, which is done.
;; --- component
(import "wasq:worker/delivery@0.1.0" (instance $delivery
  (export "attempt" (func (result u32)))
  (export "remaining-ms" (func (result u64)))))
(core func $attempt (canon lower (func $delivery "attempt")))
(core func $remaining-ms (canon lower (func $delivery "remaining-ms")))
(core instance $host
  (export "attempt" (func $attempt))
  (export "remaining-ms" (func $remaining-ms)))
;; --- core
(import "host" "attempt" (func $attempt (result i32)))
(import "host" "remaining-ms" (func $remaining-ms (result i64)))
(data (i32.const 2048) "not yet")
(func $handle (result i32)
  (if (i64.eqz (call $remaining-ms)) (then unreachable))
  (if (i32.gt_u (call $attempt) (i32.const 1)) (then (return (i32.const 1024))))
  ;; err(retry { reason: "not yet", after-ms: some(250) })
  (i32.store8 (i32.const 1024) (i32.const 1))
  (i32.store (i32.const 1040) (i32.const 2048))
  (i32.store (i32.const 1044) (i32.const 7))
  (i32.store8 (i32.const 1048) (i32.const 1))
  (i64.store (i32.const 1056) (i64.const 250))
  (i32.const 1024))
