;; Has two memories, and grows each to what one may have: the limit is on both together.
(memory $other 1)
(func $handle (result i32)
  (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
  (if (i32.eq (memory.grow $other (i32.const 17)) (i32.const -1)) (then unreachable))
  (i32.const 1024))
