/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receive.pml: one receive ring. The switch fills slots and advances tail,
 * the user consumes them, advances head and sleeps when there are none.
 *
 * Checked: no frame is read before it was written, none is overwritten while
 * it is read, they come in order, and whenever everything stands still the
 * user has seen every frame that was not dropped (no lost wake-up).
 *
 * The letters are those of sys/core/ms_core.h. -DNO_A .. -DNO_F leave one
 * barrier away.
 */
#include "memory.inc"

#ifndef FRAMES
#define FRAMES 5
#endif

bool bell;		/* the ring's eventfd */
byte delivered, dropped, received;

active proctype the_switch()
{
	byte tail = START, old, head, wake, seq = 1;

	do
	:: seq <= FRAMES ->
		old = tail;
		head = mem[HEAD];				/* D */
		do					/* one batch */
		:: seq <= FRAMES && IDX(tail - head) < SLOTS ->
			STORE_SLOT(tail & MASK, seq);
			tail = IDX(tail + 1);
			seq++;
			delivered++
		:: seq <= FRAMES && IDX(tail - head) == SLOTS ->
			seq++;
			dropped++
		:: tail != old || seq > FRAMES -> break
		:: IDX(tail - head) == SLOTS -> break
		od;
		if
		:: tail != old ->
#ifndef NO_A
			SLOTS_VISIBLE;				/* A */
#endif
			STORE_TAIL(tail);
#ifndef NO_E
			empty(sb2) && SLOTS_VISIBLE;		/* E */
#endif
			wake = mem[WAKE];
			if
			:: IDX(tail - wake - 1) < IDX(tail - old) ->
				bell = true
			:: else
			fi
		:: else
		fi
	:: else -> break
	od
}

active proctype user()
{
	byte head = START, tail, data, last = 0;
#ifdef NO_B
	byte early[SLOTS];
#endif
	do
	::
#ifdef NO_B
		early[0] = mem[SLOT];
		early[1] = mem[SLOT + 1];
#endif
		tail = mem[TAIL];				/* B */
		do
		:: head != tail ->
#ifdef NO_C
			STORE_HEAD(IDX(head + 1));	/* the read comes late */
#endif
#ifdef NO_B
			data = early[head & MASK];
#else
			data = mem[SLOT + (head & MASK)];
#endif
			assert(data > last);
			last = data;
			received++;
			head = IDX(head + 1);
#ifndef NO_C
			STORE_HEAD(head)	/* C: the read is done */
#endif
		:: else -> break
		od;
		STORE_WAKE(head);
#ifndef NO_F
		empty(sb0) && empty(sb1);			/* F */
#endif
		tail = mem[TAIL];
		if
		:: tail == head ->
end:
			d_step { bell -> bell = false }
		:: else
		fi
	od
}

/* Runs when nothing else can. */
active proctype stillness()
{
	timeout;
	assert(delivered + dropped == FRAMES);
	assert(received == delivered)
}
