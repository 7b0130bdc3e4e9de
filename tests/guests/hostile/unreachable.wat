;; Traps at once.
(func $handle (result i32) (unreachable))
