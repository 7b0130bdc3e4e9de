;; Is done, with a result whose bytes stand behind the end of its memory.
(func $handle (result i32)
  (i32.store8 (i32.const 1032) (i32.const 0))
  (i32.store8 (i32.const 1040) (i32.const 1))
  (i32.store (i32.const 1044) (i32.const 0xffffff00))
  (i32.store (i32.const 1048) (i32.const 0x10000))
  (i32.const 1024))
