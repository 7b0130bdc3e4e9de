;; Discards its message for a reason of 1 MiB of ANSI codes and newlines.
(func $handle (result i32)
  (local $at i32)
  (drop (memory.grow (i32.const 17)))
  (local.set $at (i32.const 65536))
  (loop $more
    (i64.store (local.get $at) (i64.const 0x0a6d31335b1b000a))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (br_if $more (i32.lt_u (local.get $at) (i32.const 1114112))))
  (i32.store8 (i32.const 1032) (i32.const 1))
  (i32.store (i32.const 1040) (i32.const 65536))
  (i32.store (i32.const 1044) (i32.const 0x100000))
  (i32.const 1024))
