/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.h: shared memory that is weaker than the programmer's wish.
 *
 * Each shared word has one writer and a store buffer of its own, two deep. A
 * store enters the buffer; the process `memory` moves it on at any later
 * moment, so stores to different words become visible in any order (PSO; with
 * one word it is TSO), and a load may overtake every earlier store of its own
 * process. What orders them again:
 *
 *   FENCE       waits until all buffers of the process are empty
 *   RELEASE(w)  waits until the buffers that hold what it publishes are empty
 *
 * Loads that overtake loads, and loads that stores overtake, are written out
 * where a variant leaves their barrier away: the early or late load stands in
 * the text of the model.
 *
 * Indices run modulo 256 here and start shortly before the wrap.
 */
#define IDX(x) ((x) & 255)
#define START 254
#define SLOTS 2
#define MASK (SLOTS - 1)

/* shared words */
#define HEAD 0
#define WAKE 1
#define TAIL 2
#define DOZE 3
#define SLOT 4		/* SLOT + i: what stands in slot i */
#define WORDS 6

#ifndef TAIL0
#define TAIL0 START
#endif

byte mem[WORDS] = { START, START, TAIL0, 0, 0, 0 };
chan sb0 = [2] of { byte };
chan sb1 = [2] of { byte };
chan sb2 = [2] of { byte };
chan sb3 = [2] of { byte };
chan sb4 = [2] of { byte };
chan sb5 = [2] of { byte };

#define STORE_HEAD(v) sb0!(v)
#define STORE_WAKE(v) sb1!(v)
#define STORE_TAIL(v) sb2!(v)
#define STORE_DOZE(v) sb3!(v)
#define STORE_SLOT(i, v)                                                      \
	if                                                                    \
	:: ((i) == 0) -> sb4!(v)                                              \
	:: else -> sb5!(v)                                                    \
	fi

#define SLOTS_VISIBLE (empty(sb4) && empty(sb5))

active proctype memory()
{
	byte v;
end:
	do
	:: d_step { sb0?v; mem[HEAD] = v; v = 0 }
	:: d_step { sb1?v; mem[WAKE] = v; v = 0 }
	:: d_step { sb2?v; mem[TAIL] = v; v = 0 }
	:: d_step { sb3?v; mem[DOZE] = v; v = 0 }
	:: d_step { sb4?v; mem[SLOT] = v; v = 0 }
	:: d_step { sb5?v; mem[SLOT + 1] = v; v = 0 }
	od
}
