;; Has five tables.
(table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref)
(func $handle (result i32) (i32.const 1024))
