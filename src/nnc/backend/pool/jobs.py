"""The functions of the pool that are the same everywhere, as templates of LLVM IR."""

from __future__ import annotations

from typing import Final

RUNTIME: Final = """
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_detach(i64)
declare i32 @pthread_attr_init(ptr)
declare i32 @pthread_attr_setstacksize(ptr, i64)
declare i32 @pthread_attr_destroy(ptr)

; ---- for the runtime

define ptr @nnc_pool() nounwind {
  ret ptr @pool
}

define void @nnc_pause(i64 %count) nounwind {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  $PAUSE
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}

; Have at least that many workers; gives how many there are. One caller at a time.
define i64 @nnc_pool_grow(i64 %wanted) nounwind {
entry:
  %thread = alloca i64
  %attributes = alloca [256 x i8], align 16
  call i32 @pthread_attr_init(ptr %attributes)
  call i32 @pthread_attr_setstacksize(ptr %attributes, i64 $STACK)
  br label %check
check:
  %count = load i64, ptr word($WORKERS)
  %more = icmp ult i64 %count, %wanted
  br i1 %more, label %make, label %done
make:
  %first = icmp eq i64 %count, 0
  br i1 %first, label %caller, label %worker
caller:
  call void @make_waiting(i64 0)
  br label %worker
worker:
  %w = add i64 %count, 1
  call void @make_waiting(i64 %w)
  %argument = inttoptr i64 %w to ptr
  %error = call i32 @pthread_create(
    ptr %thread, ptr %attributes, ptr @work, ptr %argument)
  %failed = icmp ne i32 %error, 0
  br i1 %failed, label %done, label %made
made:
  %id = load i64, ptr %thread
  call i32 @pthread_detach(i64 %id)
  store i64 %w, ptr word($WORKERS)
  br label %check
done:
  %result = load i64, ptr word($WORKERS)
  call i32 @pthread_attr_destroy(ptr %attributes)
  ret i64 %result
}
"""
"""What the runtime calls."""

JOB: Final = """
; ---- a job

define void @nnc_parallel(ptr %kernel, ptr %slots, i64 %tasks, i64 %wanted) nounwind {
entry:
  %pair = cmpxchg ptr word($OWNER), i64 0, i64 1 acquire monotonic
  %mine = extractvalue { i64, i1 } %pair, 1
  br i1 %mine, label %prepare, label %alone
alone:
  call void %kernel(ptr %slots, i64 0, i64 %tasks)
  ret void
prepare:
  store ptr %kernel, ptr word($KERNEL)
  store ptr %slots, ptr word($SLOTS)
  store i64 %tasks, ptr word($TASKS)
  %too_many = icmp ugt i64 %wanted, $MAX_THREADS
  %ways = select i1 %too_many, i64 $MAX_THREADS, i64 %wanted
  %parts = mul i64 %ways, $CHUNKS
  %parts_less = sub i64 %parts, 1
  %rounded = add i64 %tasks, %parts_less
  %chunk = udiv i64 %rounded, %parts
  store i64 %chunk, ptr word($CHUNK)
  br label %reset
reset:
  %r = phi i64 [ 0, %prepare ], [ %r_next, %reset ]
  %next_word = slot(%r, $NEXT)
  store atomic i64 0, ptr %next_word monotonic, align 8
  %r_next = add i64 %r, 1
  %reset_more = icmp ult i64 %r_next, %ways
  br i1 %reset_more, label %reset, label %open
open:
  %old = load atomic i64, ptr word($GATE) monotonic, align 8
  %old_job = lshr i64 %old, $JOB_SHIFT
  %job = add i64 %old_job, 1
  %job_bits = shl i64 %job, $JOB_SHIFT
  %ways_bits = shl i64 %ways, $WAYS_SHIFT
  %low = or i64 %ways_bits, $OPEN
  %opened = or i64 %job_bits, %low
  %before = atomicrmw xchg ptr word($GATE), i64 %opened seq_cst
  %workers = load i64, ptr word($WORKERS)
  %all = add i64 %workers, 1
  %fewer = icmp ult i64 %all, %ways
  %present = select i1 %fewer, i64 %all, i64 %ways
  br label %wake
wake:
  %k = phi i64 [ 1, %open ], [ %k_next, %wake_next ]
  %wake_more = icmp ult i64 %k, %present
  br i1 %wake_more, label %look, label %do
look:
  %asleep_word = slot(%k, $ASLEEP)
  %asleep = load atomic i32, ptr %asleep_word seq_cst, align 4
  %is_asleep = icmp eq i32 %asleep, 1
  br i1 %is_asleep, label %wake_it, label %wake_next
wake_it:
  call void @unpark(i64 %k)
  br label %wake_next
wake_next:
  %k_next = add i64 %k, 1
  br label %wake
do:
  call void @take_part(i64 0, i64 %ways)
  %at_close = atomicrmw and ptr word($GATE), i64 $NOT_OPEN seq_cst
  %left = and i64 %at_close, $COUNT
  %nobody = icmp eq i64 %left, 0
  br i1 %nobody, label %done, label %spin
spin:
  %limit = load i64, ptr word($SPIN)
  br label %spin_loop
spin_loop:
  %s = phi i64 [ 0, %spin ], [ %s_next, %spin_on ]
  %now = load atomic i64, ptr word($GATE) acquire, align 8
  %now_left = and i64 %now, $COUNT
  %now_nobody = icmp eq i64 %now_left, 0
  br i1 %now_nobody, label %done, label %spin_on
spin_on:
  $PAUSE
  %s_next = add i64 %s, 1
  %spin_more = icmp ult i64 %s_next, %limit
  br i1 %spin_more, label %spin_loop, label %sleep
sleep:
  %my_asleep = slot(0, $ASLEEP)
  store atomic i32 1, ptr %my_asleep seq_cst, align 4
  %at_sleep = atomicrmw or ptr word($GATE), i64 $SLEEPER seq_cst
  %sleep_left = and i64 %at_sleep, $COUNT
  %sleep_nobody = icmp eq i64 %sleep_left, 0
  br i1 %sleep_nobody, label %awake, label %park
park:
  call void @park(i64 0)
  br label %done
awake:
  store atomic i32 0, ptr %my_asleep seq_cst, align 4
  br label %done
done:
  store atomic i64 0, ptr word($OWNER) release, align 8
  ret void
}

; What one thread does of the job that is under way.
define internal void @take_part(i64 %w, i64 %ways) nounwind {
entry:
  %kernel = load ptr, ptr word($KERNEL)
  %slots = load ptr, ptr word($SLOTS)
  %tasks = load i64, ptr word($TASKS)
  %chunk = load i64, ptr word($CHUNK)
  %state = load ptr, ptr %slots
  br label %share
share:
  %k = phi i64 [ 0, %entry ], [ %k_next, %share_done ]
  %sum = add i64 %w, %k
  %over = icmp uge i64 %sum, %ways
  %less = sub i64 %sum, %ways
  %v = select i1 %over, i64 %less, i64 %sum
  %v_next = add i64 %v, 1
  %low_product = mul i64 %tasks, %v
  %low = udiv i64 %low_product, %ways
  %high_product = mul i64 %tasks, %v_next
  %high = udiv i64 %high_product, %ways
  %next = slot(%v, $NEXT)
  br label %look
look:
  ; Most shares of others are done: do not take their cache line to find that out.
  %seen = load atomic i64, ptr %next monotonic, align 8
  %seen_far = mul i64 %seen, %chunk
  %seen_begin = add i64 %low, %seen_far
  %is_left = icmp ult i64 %seen_begin, %high
  br i1 %is_left, label %take, label %share_done
take:
  %i = atomicrmw add ptr %next, i64 1 monotonic
  %far = mul i64 %i, %chunk
  %begin = add i64 %low, %far
  %is_mine = icmp ult i64 %begin, %high
  br i1 %is_mine, label %ask, label %share_done
ask:
  %cancel = load atomic i64, ptr %state monotonic, align 8
  %stop = icmp ne i64 %cancel, 0
  br i1 %stop, label %done, label %run
run:
  %wide_end = add i64 %begin, %chunk
  %is_last = icmp ult i64 %high, %wide_end
  %end = select i1 %is_last, i64 %high, i64 %wide_end
  call void %kernel(ptr %slots, i64 %begin, i64 %end)
  br label %look
share_done:
  %k_next = add i64 %k, 1
  %more = icmp ult i64 %k_next, %ways
  br i1 %more, label %share, label %done
done:
  ret void
}
"""
"""Doing a job, as the caller and as a worker."""

WORKER: Final = """
; ---- a worker: wait for an open gate, join, take part, leave; for ever

define internal ptr @work(ptr %argument) nounwind {
entry:
  call void @set_float_state()
  %w = ptrtoint ptr %argument to i64
  %most = load i64, ptr word($SPIN)
  %least = udiv i64 %most, 16
  br label %rest
rest:
  %seen = phi i64
    [ -1, %entry ], [ %job, %leave ], [ %job, %leave_last ], [ %known, %slept ]
  %limit = phi i64
    [ %most, %entry ], [ %longer, %leave ], [ %longer, %leave_last ],
    [ %shorter, %slept ]
  br label %look
look:
  %s = phi i64 [ 0, %rest ], [ %s_next, %pause ]
  %now_seen = phi i64 [ %seen, %rest ], [ %known, %pause ]
  %now = load atomic i64, ptr word($GATE) acquire, align 8
  %job = lshr i64 %now, $JOB_SHIFT
  %is_new = icmp ne i64 %job, %now_seen
  %open_bit = and i64 %now, $OPEN
  %is_open = icmp ne i64 %open_bit, 0
  %is_job = and i1 %is_new, %is_open
  br i1 %is_job, label %for_me, label %pause
for_me:
  %ways_far = lshr i64 %now, $WAYS_SHIFT
  %ways = and i64 %ways_far, $WAYS_MASK
  %is_for_me = icmp ult i64 %w, %ways
  br i1 %is_for_me, label %join, label %pause
join:
  %joined = add i64 %now, 1
  %pair = cmpxchg ptr word($GATE), i64 %now, i64 %joined seq_cst monotonic
  %is_in = extractvalue { i64, i1 } %pair, 1
  br i1 %is_in, label %part, label %again
again:
  br label %pause
part:
  call void @take_part(i64 %w, i64 %ways)
  %twice = shl i64 %limit, 1
  %too_long = icmp ugt i64 %twice, %most
  %longer = select i1 %too_long, i64 %most, i64 %twice
  %at_leave = atomicrmw sub ptr word($GATE), i64 1 seq_cst
  %others = and i64 %at_leave, $COUNT
  %is_last = icmp eq i64 %others, 1
  %sleeper_bit = and i64 %at_leave, $SLEEPER
  %has_sleeper = icmp ne i64 %sleeper_bit, 0
  %must_wake = and i1 %is_last, %has_sleeper
  br i1 %must_wake, label %leave_last, label %leave
leave_last:
  call void @unpark(i64 0)
  br label %rest
leave:
  br label %rest
pause:
  ; A job for fewer threads is seen, one that is to be tried again is not.
  %known = phi i64 [ %now_seen, %look ], [ %job, %for_me ], [ %now_seen, %again ]
  $PAUSE
  %s_next = add i64 %s, 1
  %spin_more = icmp ult i64 %s_next, %limit
  br i1 %spin_more, label %look, label %sleep
sleep:
  %asleep = slot(%w, $ASLEEP)
  store atomic i32 1, ptr %asleep seq_cst, align 4
  %last = load atomic i64, ptr word($GATE) seq_cst, align 8
  %last_job = lshr i64 %last, $JOB_SHIFT
  %last_new = icmp ne i64 %last_job, %known
  %last_open_bit = and i64 %last, $OPEN
  %last_open = icmp ne i64 %last_open_bit, 0
  %last_ways_far = lshr i64 %last, $WAYS_SHIFT
  %last_ways = and i64 %last_ways_far, $WAYS_MASK
  %last_mine = icmp ult i64 %w, %last_ways
  %last_a = and i1 %last_new, %last_open
  %last_b = and i1 %last_a, %last_mine
  br i1 %last_b, label %stay, label %fall
stay:
  store atomic i32 0, ptr %asleep seq_cst, align 4
  br label %slept
fall:
  call void @park(i64 %w)
  br label %slept
slept:
  %half = lshr i64 %limit, 1
  %too_short = icmp ult i64 %half, %least
  %shorter = select i1 %too_short, i64 %least, i64 %half
  br label %rest
}
"""
"""The life of a worker."""
