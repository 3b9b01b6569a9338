/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_table.c: the tuple table against a list that is searched from end to
 * end. The input is a program over a small set of tuples and addresses, so
 * that they meet; an insert may find no memory.
 */
#include "fuzz.h"
#include "../hostile/rig.h"

#define TUPLES 1024
#define ADDRS 8
#define PORTS 4

static struct ms_port ports[PORTS];
static struct pair {
	struct ms_kring r[2];
} __attribute__((aligned(64))) rings[PORTS];

struct known {
	struct ms_bind bind;
	bool in; /* the table */
};

static struct known known[TUPLES];
static unsigned int refs[ADDRS];
static struct ms_table *t;

/* Number i of the tuples: family, address (0: wildcard), protocol, port. */
static struct ms_tuple
tuple_nr(unsigned int i)
{
	struct ms_tuple tuple = { .family = (i & 1) != 0 ? 6 : 4,
				  .proto = (i & 2) != 0 ? IPPROTO_TCP
							: IPPROTO_UDP };

	tuple.addr[0] = (uint8_t)(i >> 2 & 7);
	tuple.port_be = htons((uint16_t)(1 + (i >> 5)));
	return tuple;
}

static bool
is_wild(const struct ms_tuple *tuple)
{
	return tuple->addr[0] == 0;
}

static struct ms_port *
expect(unsigned int i)
{
	struct ms_tuple tuple = tuple_nr(i);

	if (is_wild(&tuple))
		return NULL;
	if (known[i].in)
		return known[i].bind.port;
	if (refs[tuple.addr[0] % ADDRS] == 0)
		return NULL;
	i &= ~(7u << 2);
	return known[i].in ? known[i].bind.port : NULL;
}

static void
look_up(unsigned int i)
{
	struct ms_tuple tuple = tuple_nr(i);
	struct ms_read r;

	ms_os_read_enter(&r);
	FUZZ_CHECK(ms_table_lookup(t, &tuple) == expect(i));
	ms_os_read_exit(&r);
	FUZZ_CHECK(ms_table_find(t, &tuple) ==
		   (known[i].in ? &known[i].bind : NULL));
}

static void
insert(unsigned int i, unsigned int port)
{
	struct ms_bind another = { .tuple = tuple_nr(i), .port = &ports[port] };
	int err;

	if (known[i].in) {
		FUZZ_CHECK(ms_table_insert(t, &another) == -EADDRINUSE);
		return;
	}
	memset(&known[i].bind, 0, sizeof(known[i].bind));
	known[i].bind.tuple = tuple_nr(i);
	known[i].bind.port = &ports[port];
	err = ms_table_insert(t, &known[i].bind);
	ms_os_fail_after(0, false);
	FUZZ_CHECK(err == 0 || err == -ENOMEM);
	known[i].in = err == 0;
}

static void
drop(unsigned int i)
{
	if (!known[i].in)
		return;
	ms_table_delete(t, &known[i].bind);
	known[i].in = false;
}

static void
addr(unsigned int i, bool add)
{
	struct ms_tuple tuple = { .addr = { (uint8_t)(i % ADDRS) } };
	unsigned int n = i % ADDRS;

	if (n == 0)
		return;
	if (!add && refs[n] > 0) {
		ms_table_addr_del(t, tuple.addr, 4);
		ms_table_addr_del(t, tuple.addr, 6);
		refs[n]--;
	} else if (add) {
		FUZZ_CHECK(ms_table_addr_add(t, tuple.addr, 4) == 0);
		FUZZ_CHECK(ms_table_addr_add(t, tuple.addr, 6) == 0);
		refs[n]++;
	}
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in);
	unsigned int i = fuzz_u16(in) % TUPLES, k;

	switch (op % 8) {
	case 0:
	case 1:
		insert(i, op >> 3 & (PORTS - 1));
		break;
	case 2:
		drop(i);
		break;
	case 3:
		ms_os_read_sync();
		ms_table_reclaim(t);
		break;
	case 4:
		addr(i, (op & 8) != 0);
		break;
	case 5: /* many, so that the table grows and shrinks */
		for (k = 0; k < (op >> 3) * 16u; k++)
			insert((i + k) % TUPLES, k & (PORTS - 1));
		break;
	case 6:
		for (k = 0; k < (op >> 3) * 16u; k++)
			drop((i + k) % TUPLES);
		break;
	default:
		if ((op & 8) != 0) {
			ms_os_fail_after(1, false);
			insert(i, 0);
			ms_os_fail_after(0, false);
		} else if (known[i].in) {
			known[i].bind.port = &ports[op >> 4 & (PORTS - 1)];
			ms_table_update(t, &known[i].bind);
		}
	}
	look_up(i);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	unsigned int i, n = 0;

	for (i = 0; i < PORTS; i++) {
		ports[i].rx = rings[i].r;
		ports[i].num_rx = (uint16_t)(1 + (i & 1));
		rings[i].r[0].port = rings[i].r[1].port = &ports[i];
	}
	memset(refs, 0, sizeof(refs));
	FUZZ_CHECK(ms_table_create(&t) == 0);
	for (i = 0; in.left > 0 && i < 2000; i++)
		step(&in);
	for (i = 0; i < TUPLES; i++) {
		look_up(i);
		n += known[i].in;
	}
	FUZZ_CHECK(ms_table_count(t) == n);
	for (i = 0; i < TUPLES; i++)
		drop(i);
	ms_os_read_sync();
	ms_table_reclaim(t);
	FUZZ_CHECK(ms_table_count(t) == 0);
	ms_table_destroy(t);
	return 0;
}
