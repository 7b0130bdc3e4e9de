;; Has a second memory that begins with more than its plugin may have, and less than the host could give.
(memory $large 1024)
(func $handle (result i32) (i32.const 1024))
