/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lease.pml: several packet contexts fill one receive ring at once, as in
 * sys/core/ms_ring.c. Each reserves slots under the ring's lock and fills them
 * outside of it. The holder of the oldest lease publishes it by moving tail,
 * without the lock; a younger one that is finished is noted, under the lock.
 * Whoever has published or noted then looks for noted leases that tail has
 * come to, moves it over them, and wakes the owner for all that he moved.
 *
 * Checked: no slot is published before it was filled or after it was consumed,
 * none is lost, no lease stays open, no wake-up is lost, whatever the order of
 * finishing; and the head of an honest user is never found to be false.
 *
 * The memory is TSO: each context has one store buffer for all its stores; to
 * take the lock is an atomic exchange, which empties it, to release the lock
 * is a plain store. What only enters a buffer is nobody else's to see, so
 * several stores are one step here; they leave the buffer one by one.
 *
 * Mistakes that must be found: NO_E, NO_E_LATER, NO_F (a fence left away),
 * NO_ORDER (publish as soon as finished), NO_LAP (take a noted lease for the
 * one a lap before it: the user can be ahead of ring->tail), NO_LOOK (who has
 * noted a lease does not look whether tail came to it meanwhile), OWN_WAKE
 * (wake only for one's own lease, not for older ones moved with it), LATE_LIMIT
 * (the user sees tail before he may move head there), NO_HEAD_CHECK (reserve
 * without asking how far the owner is).
 */
#define IDX(x) ((x) & 255)
#define START 254
#define SLOTS 2
#define MASK (SLOTS - 1)

#ifndef CONTEXTS
#define CONTEXTS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

/* shared words; of the region HEAD, WAKE, TAIL, SLOT */
#define HEAD 0
#define WAKE 1
#define TAIL 2
#define LOCK 3
#define OURS 4		/* ring->tail */
#define LIMIT 5		/* ring->limit */
#define RESERVED 6	/* ring->reserved */
#define SLOT 7
#define WORDS 9
#define USER CONTEXTS

byte mem[WORDS] = { START, START, START, 0, START, START, START, 0, 0 };
chan buffer[CONTEXTS + 1] = [6] of { byte, byte };

#define STORE(w, v) buffer[me]!w, (v)
#define FENCE empty(buffer[me])
#define TAKE atomic { empty(buffer[me]) && mem[LOCK] == 0 -> mem[LOCK] = 1 }
#define GIVE STORE(LOCK, 0)

/* In this order: what may be consumed, what is seen, whose turn it is. */
#ifdef LATE_LIMIT
#define MOVE(v) STORE(TAIL, v); STORE(OURS, v); STORE(LIMIT, v)
#else
#define MOVE(v) STORE(LIMIT, v); STORE(TAIL, v); STORE(OURS, v)	/* A */
#endif

#ifdef NO_LAP
#define COLLECTABLE(i) true
#else
#define COLLECTABLE(i) (lease_first[(i) & MASK] == (i))
#endif

/* the switch's own, only under the lock */
byte seen_head = START, waiting;
byte lease_len[SLOTS];
byte lease_first[SLOTS];	/* whose length it is: not of a lap later */

bool bell;
byte promised, received;

active proctype memory()
{
	byte w, v;
end:
	do
	:: d_step { buffer[0]?w, v; mem[w] = v; w = 0; v = 0 }
	:: d_step { buffer[1]?w, v; mem[w] = v; w = 0; v = 0 }
	:: d_step { buffer[2]?w, v; mem[w] = v; w = 0; v = 0 }
#if CONTEXTS > 2
	:: d_step { buffer[3]?w, v; mem[w] = v; w = 0; v = 0 }
#endif
	od
}

active [CONTEXTS] proctype context()
{
	byte me = _pid - 1;
	byte round, n, i, first, head, old, new, wake;
	bool published;

	do
	:: round < ROUNDS ->
		/* reserve */
		round++;
		n = 1;
		if
		:: n = 2
		:: skip
		fi;
		TAKE;
		head = mem[HEAD];				/* D */
		d_step {
#ifdef NO_HEAD_CHECK
			seen_head = mem[RESERVED];
#else
			assert(IDX(head - seen_head) <=
			       IDX(mem[LIMIT] - seen_head));
			seen_head = head;
#endif
			first = mem[RESERVED];
			i = SLOTS - IDX(first - seen_head);
			if
			:: n > i -> n = i
			:: else
			fi;
			promised = promised + n;
			i = 0
		}
		/* a slot says which index it was filled for */
		atomic {
			STORE(RESERVED, IDX(first + n));
			GIVE;
			do
			:: i < n ->
				STORE(SLOT + (IDX(first + i) & MASK),
				      IDX(first + i) ^ 85);
				i++
			:: else -> break
			od
		}
		if
		:: n == 0 -> goto done
		:: else
		fi;

		/* publish */
#ifdef NO_ORDER
		published = true;
#else
		published = (mem[OURS] == first);
#endif
		if
		:: published ->
			atomic { MOVE(IDX(first + n)) }
		:: else ->
			TAKE;
			d_step {
				lease_len[first & MASK] = n;
				lease_first[first & MASK] = first;
				waiting++
			}
			GIVE
		fi;
#ifndef NO_E
		FENCE;						/* E */
#endif

		/* settle */
		old = first;
		new = IDX(first + (published -> n : 0));
		if
		:: published && mem[RESERVED] == new
#ifdef NO_LOOK
		:: !published
#endif
		:: else ->
			TAKE;
			i = mem[OURS];
			d_step {
				head = i;
				do
				:: waiting != 0 && lease_len[i & MASK] != 0 &&
				   COLLECTABLE(i) ->
					n = lease_len[i & MASK];
					lease_len[i & MASK] = 0;
					waiting--;
					i = IDX(i + n)
				:: else -> break
				od
			}
			if
			:: i != head ->
				atomic { MOVE(i) }
				d_step {
					if
					:: published -> skip
					:: else ->
#ifdef OWN_WAKE
						old = first
#else
						old = head
#endif
					fi;
					new = i
				}
			:: else
			fi;
			GIVE;
#ifndef NO_E_LATER
			FENCE				/* E, once more */
#endif
		fi;
		wake = mem[WAKE];
		if
		:: IDX(new - wake - 1) < IDX(new - old) -> bell = true
		:: else
		fi;
done:
		skip;
		d_step { n = 0; i = 0; first = 0; head = 0; old = 0; new = 0;
			 wake = 0; published = false }
	:: else -> break
	od
}

active proctype user()
{
	byte me = USER;
	byte head = START, seen;

	do
	::
		seen = mem[TAIL];				/* B */
		do
		:: head != seen ->
			d_step {
				assert(mem[SLOT + (head & MASK)] == (head ^ 85));
				received++;
				head = IDX(head + 1)
			}
		:: else -> break
		od;
		atomic { STORE(HEAD, head); STORE(WAKE, head) }	/* C */
#ifndef NO_F
		FENCE;						/* F */
#endif
		seen = mem[TAIL];
		if
		:: seen == head ->
end:
			d_step { bell -> bell = false }
		:: else
		fi
	od
}

active proctype stillness()
{
	timeout;
	assert(waiting == 0 && mem[OURS] == mem[RESERVED]);
	assert(received == promised)
}
