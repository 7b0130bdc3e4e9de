;; Is done, with a result of 40 MB.
(func $handle (result i32)
  (if (i32.eq (memory.grow (i32.const 700)) (i32.const -1)) (then unreachable))
  (i32.store8 (i32.const 1040) (i32.const 1))
  (i32.store (i32.const 1044) (i32.const 4096))
  (i32.store (i32.const 1048) (i32.const 40000000))
  (i32.const 1024))
