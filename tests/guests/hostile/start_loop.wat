;; Computes for ever before its handler is called at all: in its start function.
(func $start (loop (br 0)))
(start $start)
(func $handle (result i32) (i32.const 1024))
