;; Discards its message, for a reason that is not UTF-8.
(data (i32.const 2048) "\ff\fe\c0\80")
(func $handle (result i32)
  (i32.store8 (i32.const 1032) (i32.const 1))
  (i32.store (i32.const 1040) (i32.const 2048))
  (i32.store (i32.const 1044) (i32.const 4))
  (i32.const 1024))
