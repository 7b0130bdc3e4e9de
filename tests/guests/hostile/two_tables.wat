;; Grows two tables to 15,000 elements each: the limit is on both together.
(table $a 1 funcref)
(table $b 1 funcref)
(func $handle (result i32)
  (if (i32.eq (table.grow $a (ref.null func) (i32.const 15000)) (i32.const -1)) (then (return (i32.const 1024))))
  (if (i32.eq (table.grow $b (ref.null func) (i32.const 15000)) (i32.const -1)) (then unreachable))
  (i32.const 1024))
