;; Computes for ever while the host asks it where the message may be written.
(func $realloc (param i32 i32 i32 i32) (result i32) (loop (br 0)) (i32.const 4096))
(func $handle (result i32) (i32.const 1024))
