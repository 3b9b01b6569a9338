/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lease.pml: several packet contexts fill one receive ring at once. Each
 * reserves slots under the ring's lock, copies outside of it, and finishes
 * under it again; what is finished is published in the order of reservation,
 * by whoever closes the gap, who then looks whether the owner must be woken.
 *
 * Checked: no slot is published before it was filled or after it was consumed,
 * none is lost, no lease stays open, and no wake-up is lost, whatever the
 * order of finishing.
 *
 * The memory is TSO: each context has one store buffer for all its stores; to
 * take the lock is an atomic exchange, which empties it, to release the lock
 * is a plain store. So E is still needed after the unlock.
 *
 * Mistakes that must be found: NO_E, NO_F, NO_ORDER (publish as soon as
 * finished), NO_CLEAR (a consumed lease's length stays behind), ONE_WAKE (compare
 * the event index with the last slot only, not with all that one published),
 * NO_HEAD_CHECK (reserve without asking how far the owner is).
 */
#define IDX(x) ((x) & 255)
#define START 254
#define SLOTS 4
#define MASK (SLOTS - 1)

#ifndef CONTEXTS
#define CONTEXTS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

#define HEAD 0
#define WAKE 1
#define TAIL 2
#define LOCK 3
#define SLOT 4
#define WORDS 8
#define USER CONTEXTS

byte mem[WORDS] = { START, START, START, 0, 0, 0, 0, 0 };
chan buffer[CONTEXTS + 1] = [4] of { byte, byte };

#define STORE(w, v) buffer[me]!w, (v)
#define FENCE empty(buffer[me])
#define TAKE atomic { empty(buffer[me]) && mem[LOCK] == 0 -> mem[LOCK] = 1 }
#define GIVE STORE(LOCK, 0)

/* the switch's own, under the lock */
byte reserved = START, tail = START, leases;
byte lease_len[SLOTS];

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
	byte round, n, i, first, room, old, new, wake;

	do
	:: round < ROUNDS ->
		round++;
		n = 1;
		if
		:: n = 2
		:: skip
		fi;
		TAKE;
#ifdef NO_HEAD_CHECK
		room = SLOTS;
#else
		room = SLOTS - IDX(reserved - mem[HEAD]);
#endif
		d_step {
			if
			:: n > room -> n = room
			:: else
			fi;
			first = reserved;
			reserved = IDX(reserved + n);
			promised = promised + n;
			leases = leases + (n > 0 -> 1 : 0);
			i = 0
		}
		GIVE;
		if
		:: n == 0 -> goto done
		:: else
		fi;
		do					/* the copy */
		:: i < n ->
			/* a slot says which index it was filled for */
			STORE(SLOT + (IDX(first + i) & MASK), IDX(first + i) ^ 85);
			i++
		:: else -> break
		od;
		TAKE;
		d_step {
			old = tail;
			new = tail;
			leases--;
			if
#ifdef NO_ORDER
			:: true -> new = IDX(first + n); tail = new
#else
			:: first == tail ->
				tail = IDX(tail + n);
				do
				:: lease_len[tail & MASK] != 0 ->
					i = tail & MASK;
					tail = IDX(tail + lease_len[i]);
#ifndef NO_CLEAR
					lease_len[i] = 0
#endif
				:: else -> break
				od;
				new = tail
			:: else ->
				lease_len[first & MASK] = n
#endif
			fi
		}
		if
		:: new != old -> STORE(TAIL, new)		/* A */
		:: else
		fi;
		GIVE;
		if
		:: new != old ->
#ifdef ONE_WAKE
			old = IDX(new - 1);
#endif
#ifndef NO_E
			FENCE;					/* E */
#endif
			wake = mem[WAKE];
			if
			:: IDX(new - wake - 1) < IDX(new - old) -> bell = true
			:: else
			fi
		:: else
		fi;
done:
		skip;
		d_step { n = 0; i = 0; first = 0; room = 0; old = 0; new = 0;
			 wake = 0 }
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
		skip;
		STORE(HEAD, head);				/* C */
		STORE(WAKE, head);
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
	assert(leases == 0 && tail == reserved);
	assert(received == promised)
}
