;; Wants to be tried again after u64::MAX milliseconds.
(func $handle (result i32)
  (i32.store8 (i32.const 1024) (i32.const 1))
  (i32.store (i32.const 1040) (i32.const 2048))
  (i32.store (i32.const 1044) (i32.const 0))
  (i32.store8 (i32.const 1048) (i32.const 1))
  (i64.store (i32.const 1056) (i64.const -1))
  (i32.const 1024))
