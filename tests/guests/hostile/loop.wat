;; Computes for ever.
(func $handle (result i32) (loop (br 0)) (i32.const 1024))
