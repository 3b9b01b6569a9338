/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transmit.pml: one transmit ring. The user fills slots and advances head,
 * kicks the switch when it dozes, and sleeps when the ring is full; the switch
 * takes frames, advances tail, wakes the user, and dozes when there are none.
 *
 * Checked: the switch reads no slot before it was written and none while it is
 * written again, frames go out in order, and whenever everything stands still
 * all of them are out (neither a kick nor a wake-up was lost).
 *
 * -DNO_A, NO_C .. NO_H leave one barrier away; B orders a load before stores
 * that depend on it, and needs no instruction in this direction.
 */
#define TAIL0 0 /* START + SLOTS, modulo 256 */
#include "memory.inc"

#ifndef FRAMES
#define FRAMES 4
#endif

bool bell;		/* the ring's eventfd */
bool kick;		/* the ring's kick eventfd */
byte sent;
bool all_written;

active proctype user()
{
	byte head = START, tail = IDX(START + SLOTS), doze, seq = 1;

	do
	:: seq <= FRAMES ->
		tail = mem[TAIL];				/* B */
		if
		:: head != tail ->
			do			/* one batch */
			:: head != tail && seq <= FRAMES ->
				STORE_SLOT(head & MASK, seq);
				head = IDX(head + 1);
				seq++
			:: break
			od;
#ifndef NO_C
			SLOTS_VISIBLE;				/* C */
#endif
			STORE_HEAD(head);
#ifndef NO_H
			empty(sb0) && empty(sb1) && SLOTS_VISIBLE; /* H */
#endif
			doze = mem[DOZE];
			if
			:: doze -> kick = true
			:: else
			fi
		:: else ->
			STORE_WAKE(tail);
#ifndef NO_F
			empty(sb0) && empty(sb1) && SLOTS_VISIBLE; /* F */
#endif
			tail = mem[TAIL];
			if
			:: head == tail ->
end:
				d_step { bell -> bell = false }
			:: else
			fi
		fi
	:: else -> break
	od;
	all_written = true
}

active proctype the_switch()
{
	byte next = START, head, old, wake, data;
	byte last = 0;
#ifdef NO_D
	byte early[SLOTS];
#endif
	do
	::
#ifdef NO_D
		early[0] = mem[SLOT];
		early[1] = mem[SLOT + 1];
#endif
		head = mem[HEAD];				/* D */
		if
		:: head != next ->
			old = next;
#ifdef NO_A
			/* the store of tail overtakes the copy */
			STORE_TAIL(IDX(head + SLOTS));
#endif
			do
			:: head != next ->
#ifdef NO_D
				data = early[next & MASK];
#else
				data = mem[SLOT + (next & MASK)];
#endif
				assert(data == last + 1);
				last = data;
				sent++;
				next = IDX(next + 1)
			:: else -> break
			od;
#ifndef NO_A
			STORE_TAIL(IDX(next + SLOTS));		/* A */
#endif
#ifndef NO_E
			empty(sb2) && empty(sb3);		/* E */
#endif
			wake = mem[WAKE];
			if
			:: IDX(next + SLOTS - wake - 1) < IDX(next - old) ->
				bell = true
			:: else
			fi
		:: else ->
			STORE_DOZE(1);
#ifndef NO_G
			empty(sb2) && empty(sb3);		/* G */
#endif
			head = mem[HEAD];
			if
			:: head == next ->
end:
				d_step { kick -> kick = false }
			:: else
			fi;
			STORE_DOZE(0)
		fi
	od
}

active proctype stillness()
{
	timeout;
	assert(all_written);
	assert(sent == FRAMES)
}
