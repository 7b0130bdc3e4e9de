;; Grows a table to ten million elements.
(table $t 1 funcref)
(func $handle (result i32)
  (if (i32.eq (table.grow $t (ref.null func) (i32.const 10000000)) (i32.const -1)) (then unreachable))
  (i32.const 1024))
