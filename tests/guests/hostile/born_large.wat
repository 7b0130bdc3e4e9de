;; Has a second memory that begins with 4 GiB.
(memory $large 65536)
(func $handle (result i32) (i32.const 1024))
