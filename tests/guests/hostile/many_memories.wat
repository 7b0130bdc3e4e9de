;; Has three memories.
(memory $a 1)
(memory $b 1)
(func $handle (result i32) (i32.const 1024))
