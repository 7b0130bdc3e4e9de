;; Snoozes for u64::MAX milliseconds.
(func $handle (result i32)
  (i32.store8 (i32.const 1032) (i32.const 2))
  (i64.store (i32.const 1040) (i64.const -1))
  (i32.const 1024))
