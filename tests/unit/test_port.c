/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_port.c: ports, the layout of their regions, and who may bind what.
 */
#include "control_util.h"

#define TCP 6
#define UDP 17

struct world {
	struct ms_switch *sw;
	struct bare_nic a, b;
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(ms_switch_create(&w->sw), 0);
	bare_nic_add(w->sw, &w->a, "bare0");
	bare_nic_add(w->sw, &w->b, "bare1");
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	ms_os_fail_after(0, false);
	assert_int_equal(w->sw->num_ports, 0);
	assert_int_equal(ms_table_count(w->sw->table), 0);
	assert_int_equal(w->a.claims, 0);
	assert_int_equal(w->b.claims, 0);
	ms_nic_destroy(w->a.nic);
	ms_nic_destroy(w->b.nic);
	ms_switch_destroy(w->sw);
	free(w);
	return 0;
}

static int
create(struct world *w, struct ms_cmd_port_create *arg, struct ms_port **port)
{
	int r;

	ms_mutex_lock(&w->sw->ctl_lock);
	r = ms_port_create(w->a.nic, &user_cred, arg, port);
	ms_mutex_unlock(&w->sw->ctl_lock);
	return r;
}

/* ---- create --------------------------------------------------------- */

static void
fills_in_defaults_and_says_so(void **state)
{
	struct ms_cmd_port_create arg = { .size = sizeof(arg) };
	struct world *w = *state;
	struct ms_port *port;

	assert_int_equal(create(w, &arg, &port), 0);
	assert_int_equal(arg.tx_rings, 1);
	assert_int_equal(arg.rx_rings, 1);
	assert_int_equal(arg.slots, 512);
	assert_int_equal(arg.buf_bytes, 2048);
	assert_int_equal(arg.mtu, 1500);
	assert_int_equal(arg.features, MS_FEATURE_CSUM_TX);
	assert_int_equal(arg.mac[5], 7);
	assert_int_equal(arg.port_id, port->id);
	assert_int_equal(arg.region_bytes, port->region_bytes);
	assert_int_equal(port->uid, user_cred.uid);
	assert_int_equal(port->pid, user_cred.pid);
	assert_int_equal(w->a.nic->num_ports, 1);
	ms_port_destroy(port);
	assert_int_equal(w->a.nic->num_ports, 0);
}

/* What an application computes from ms_region alone leads to what the switch
   uses. */
static void
region_is_laid_out_as_the_abi_says(void **state)
{
	struct ms_cmd_port_create arg = { .size = sizeof(arg),
					  .tx_rings = 3,
					  .rx_rings = 2,
					  .slots = 9,
					  .buf_bytes = 4096,
					  .extra_bufs = 5 };
	struct world *w = *state;
	const struct ms_region *r;
	const struct ms_ring *ring;
	const struct ms_slot *slot;
	struct ms_port *port;
	unsigned int i, j;

	assert_int_equal(create(w, &arg, &port), 0);
	assert_int_equal(arg.slots, 16);
	r = port->region;
	assert_int_equal(r->magic, MS_REGION_MAGIC);
	assert_int_equal(r->abi, MS_ABI_VERSION);
	assert_int_equal(r->size, sizeof(*r));
	assert_int_equal(r->bytes, port->region_bytes);
	assert_int_equal(r->bufs, 5 * 16 + 5);
	assert_int_equal(r->extra_bufs, 5);
	assert_int_equal(r->port_id, port->id);
	assert_int_equal(r->bufs_ofs % 4096, 0);
	assert_int_equal(r->ring_stride % MS_CACHE_LINE, 0);
	assert_int_equal(r->bytes, r->bufs_ofs + (uint64_t)r->bufs * 4096);
	for (i = 0; i < 5; i++) {
		ring = (const void *)((const uint8_t *)r + r->ring_ofs +
				      i * r->ring_stride);
		assert_ptr_equal(
		    ring, (i < 3 ? port->tx[i] : port->rx[i - 3]).shared);
		assert_int_equal(ring->num_slots, 16);
		assert_int_equal(ring->buf_bytes, 4096);
		assert_int_equal(ring->is_rx, i >= 3);
		assert_int_equal(ring->index, i < 3 ? i : i - 3);
		slot = (const void *)((const uint8_t *)ring + ring->slots_ofs);
		for (j = 0; j < 16; j++)
			assert_int_equal(slot[j].buf, i * 16 + j);
		assert_true((const uint8_t *)(slot + 16) <=
			    (const uint8_t *)r + r->bufs_ofs);
	}
	ms_port_destroy(port);
}

static void
refuses_what_cannot_be(void **state)
{
	static const struct {
		struct ms_cmd_port_create arg;
		int err;
	} cases[] = {
		{ { .flags = 1 }, -EINVAL },
		{ { .tx_rings = MS_RINGS_MAX + 1 }, -E2BIG },
		{ { .rx_rings = UINT16_MAX }, -E2BIG },
		{ { .slots = MS_SLOTS_MAX + 1 }, -E2BIG },
		{ { .slots = UINT32_MAX }, -E2BIG },
		{ { .buf_bytes = 3000 }, -EINVAL },
		{ { .buf_bytes = 1024 }, -EINVAL },
		{ { .buf_bytes = 1 }, -EINVAL },
		{ { .buf_bytes = 2 * MS_BUF_BYTES_MAX }, -E2BIG },
		{ { .buf_bytes = UINT32_MAX }, -E2BIG },
		{ { .extra_bufs = UINT32_MAX }, -E2BIG },
		{ { .extra_bufs = UINT32_MAX - 1024, .buf_bytes = 65536 },
		  -E2BIG },
		{ { .tx_rings = 64,
		    .rx_rings = 64,
		    .slots = 65536,
		    .buf_bytes = 65536 },
		  -E2BIG },
	};
	struct world *w = *state;
	struct ms_cmd_port_create arg;
	struct ms_port *port;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		arg = cases[i].arg;
		port = NULL;
		assert_int_equal(create(w, &arg, &port), cases[i].err);
		assert_null(port);
	}
}

static void
label_cannot_play_with_terminals(void **state)
{
	struct ms_cmd_port_create arg = { .size = sizeof(arg),
					  .label = "a\033[2J\n\xff"
						   "bcdefghij" };
	struct world *w = *state;
	struct ms_port *port;

	assert_int_equal(create(w, &arg, &port), 0);
	assert_string_equal(port->label, "a?[2J??bcdefghi");
	ms_port_destroy(port);
}

static void
ids_are_not_used_again(void **state)
{
	struct world *w = *state;
	struct ms_port *a = port_new(w->a.nic, &user_cred), *b, *c;
	uint32_t first = a->id;

	ms_port_destroy(a);
	b = port_new(w->a.nic, &user_cred);
	assert_int_not_equal(b->id, first);
	/* and when all numbers were had: never 0, never one in use */
	w->sw->next_port_id = UINT32_MAX;
	c = port_new(w->a.nic, &user_cred);
	assert_int_not_equal(c->id, 0);
	assert_int_not_equal(c->id, b->id);
	w->sw->next_port_id = b->id - 1;
	a = port_new(w->a.nic, &user_cred);
	assert_int_not_equal(a->id, b->id);
	ms_port_destroy(a);
	ms_port_destroy(b);
	ms_port_destroy(c);
}

static void
create_fails_whole_without_memory(void **state)
{
	struct ms_cmd_port_create arg;
	struct world *w = *state;
	struct ms_port *port = NULL;
	unsigned int n;
	int r = -ENOMEM;

	for (n = 1; r == -ENOMEM; n++) {
		memset(&arg, 0, sizeof(arg));
		arg.tx_rings = arg.rx_rings = 2;
		ms_os_fail_after(n, n % 2 == 0);
		r = create(w, &arg, &port);
		ms_os_fail_after(0, false);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(w->sw->num_ports, 0);
		assert_int_equal(w->a.nic->num_ports, 0);
	}
	assert_true(n > 4);
	ms_port_destroy(port);
}

static void
destroy_takes_null(void **state)
{
	(void)state;
	ms_port_destroy(NULL);
}

/* ---- bind ----------------------------------------------------------- */

static void
knows_which_tuples_there_can_be(void **state)
{
	static const struct {
		const char *addr;
		uint8_t proto;
		uint16_t port;
		int as_root, as_user;
	} cases[] = {
		{ "10.0.0.1", TCP, 8080, 0, 0 },
		{ "10.0.0.1", UDP, 8080, 0, 0 },
		{ "10.0.0.1", 132, 8080, 0, 0 },
		{ "10.0.0.1", 136, 8080, 0, 0 },
		{ "10.0.0.1", 33, 8080, 0, 0 },
		{ "0.0.0.0", TCP, 8080, 0, 0 },
		{ "fd00::1", TCP, 8080, 0, 0 },
		{ "::", UDP, 8080, 0, 0 },
		{ "::1", UDP, 8080, 0, 0 },
		{ "10.0.0.1", TCP, 80, 0, -EACCES },
		{ "10.0.0.1", 99, 0, 0, -EPERM },
		{ "fd00::1", 253, 0, 0, -EPERM },
		{ "10.0.0.1", 99, 1, -EINVAL, -EINVAL },
		{ "10.0.0.1", 1, 0, -EINVAL, -EINVAL },
		{ "fd00::1", 58, 0, -EINVAL, -EINVAL },
		{ "10.0.0.1", 2, 0, -EINVAL, -EINVAL },
		{ "fd00::1", 0, 0, -EINVAL, -EINVAL },
		{ "fd00::1", 43, 0, -EINVAL, -EINVAL },
		{ "fd00::1", 44, 0, -EINVAL, -EINVAL },
		{ "fd00::1", 60, 0, -EINVAL, -EINVAL },
		{ "10.0.0.1", 255, 0, -EINVAL, -EINVAL },
		{ "224.0.0.1", UDP, 5353, -EINVAL, -EINVAL },
		{ "239.255.255.255", UDP, 5353, -EINVAL, -EINVAL },
		{ "255.255.255.255", UDP, 5353, -EINVAL, -EINVAL },
		{ "240.0.0.1", UDP, 5353, -EINVAL, -EINVAL },
		{ "0.0.0.1", UDP, 5353, -EINVAL, -EINVAL },
		{ "ff02::1", UDP, 5353, -EINVAL, -EINVAL },
		{ "::ffff:10.0.0.1", TCP, 8080, -EINVAL, -EINVAL },
	};
	struct world *w = *state;
	struct ms_port *as_root = port_new(w->a.nic, &root_cred);
	struct ms_port *as_user = port_new(w->a.nic, &user_cred);
	struct ms_tuple t;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		t = tuple_of(cases[i].addr, cases[i].proto, cases[i].port);
		assert_int_equal(bind_tuple(as_root, &root_cred, &t, NULL),
				 cases[i].as_root);
		if (cases[i].as_root == 0)
			assert_int_equal(unbind_tuple(as_root, &t), 0);
		assert_int_equal(bind_tuple(as_user, &user_cred, &t, NULL),
				 cases[i].as_user);
		if (cases[i].as_user == 0)
			assert_int_equal(unbind_tuple(as_user, &t), 0);
	}
	ms_port_destroy(as_root);
	ms_port_destroy(as_user);
}

static void
refuses_malformed_tuples(void **state)
{
	struct world *w = *state;
	struct ms_port *port = port_new(w->a.nic, &root_cred);
	struct ms_tuple good = tuple_of("10.0.0.1", UDP, 9), t;

	t = good;
	t.family = 0;
	assert_int_equal(bind_tuple(port, &root_cred, &t, NULL), -EINVAL);
	t = good;
	t.family = 5;
	assert_int_equal(bind_tuple(port, &root_cred, &t, NULL), -EINVAL);
	t = good;
	t.addr[4] = 1;
	assert_int_equal(bind_tuple(port, &root_cred, &t, NULL), -EINVAL);
	t = good;
	t.addr[15] = 1;
	assert_int_equal(bind_tuple(port, &root_cred, &t, NULL), -EINVAL);
	assert_int_equal(unbind_tuple(port, &t), -ENOENT);
	assert_int_equal(bind_tuple(port, &root_cred, &good, NULL), 0);
	assert_int_equal(unbind_tuple(port, &t), -ENOENT);
	t = good;
	t.family = 77;
	assert_int_equal(unbind_tuple(port, &t), -ENOENT);
	assert_int_equal(unbind_tuple(port, &good), 0);
	ms_port_destroy(port);
}

static void
a_tuple_has_one_holder(void **state)
{
	struct world *w = *state;
	struct ms_port *a = port_new(w->a.nic, &user_cred);
	struct ms_port *b = port_new(w->b.nic, &user_cred);
	struct ms_tuple t = tuple_of("10.0.0.1", TCP, 8080);
	uint32_t holder;

	assert_int_equal(bind_tuple(a, &user_cred, &t, &holder), 0);
	assert_int_equal(holder, 0);
	assert_ptr_equal(lookup(w->sw, &t), a);
	assert_int_equal(w->a.claims, 1);
	assert_int_equal(w->b.claims, 1);
	assert_int_equal(bind_tuple(b, &user_cred, &t, &holder), -EADDRINUSE);
	assert_int_equal(holder, a->id);
	assert_int_equal(bind_tuple(a, &user_cred, &t, &holder), -EADDRINUSE);
	assert_int_equal(holder, a->id);
	assert_int_equal(unbind_tuple(b, &t), -EPERM);
	assert_ptr_equal(lookup(w->sw, &t), a);
	assert_int_equal(unbind_tuple(a, &t), 0);
	assert_int_equal(unbind_tuple(a, &t), -ENOENT);
	assert_null(lookup(w->sw, &t));
	assert_int_equal(bind_tuple(b, &user_cred, &t, &holder), 0);
	ms_port_destroy(a);
	ms_port_destroy(b);
}

/* Of one user, the exact address beats the wildcard, in whichever order. */
static void
a_user_may_split_a_port_number(void **state)
{
	struct world *w = *state;
	struct ms_port *a = port_new(w->a.nic, &user_cred);
	struct ms_port *b = port_new(w->a.nic, &user_cred);
	struct ms_tuple any = tuple_of("0.0.0.0", UDP, 5000);
	struct ms_tuple one = tuple_of("10.0.0.1", UDP, 5000);
	int order;

	ms_mutex_lock(&w->sw->ctl_lock);
	assert_int_equal(ms_table_addr_add(w->sw->table, one.addr, 4), 0);
	ms_mutex_unlock(&w->sw->ctl_lock);
	for (order = 0; order < 2; order++) {
		assert_int_equal(bind_tuple(order ? a : b, &user_cred,
					    order ? &any : &one, NULL),
				 0);
		assert_int_equal(bind_tuple(order ? b : a, &user_cred,
					    order ? &one : &any, NULL),
				 0);
		assert_ptr_equal(lookup(w->sw, &one), b);
		assert_int_equal(unbind_tuple(b, &one), 0);
		assert_ptr_equal(lookup(w->sw, &one), a);
		assert_int_equal(unbind_tuple(a, &any), 0);
	}
	ms_mutex_lock(&w->sw->ctl_lock);
	ms_table_addr_del(w->sw->table, one.addr, 4);
	ms_mutex_unlock(&w->sw->ctl_lock);
	ms_port_destroy(a);
	ms_port_destroy(b);
}

static void
no_user_gets_into_anothers_address(void **state)
{
	struct world *w = *state;
	struct ms_port *mine = port_new(w->a.nic, &user_cred);
	struct ms_port *theirs = port_new(w->a.nic, &other_cred);
	struct ms_port *roots = port_new(w->a.nic, &root_cred);
	struct ms_tuple any = tuple_of("0.0.0.0", TCP, 8080);
	struct ms_tuple one = tuple_of("10.0.0.1", TCP, 8080);
	uint32_t holder;

	assert_int_equal(bind_tuple(mine, &user_cred, &any, NULL), 0);
	assert_int_equal(bind_tuple(theirs, &other_cred, &one, &holder),
			 -EADDRINUSE);
	assert_int_equal(holder, mine->id);
	assert_int_equal(bind_tuple(roots, &root_cred, &one, &holder),
			 -EADDRINUSE);
	assert_int_equal(unbind_tuple(mine, &any), 0);

	assert_int_equal(bind_tuple(mine, &user_cred, &one, NULL), 0);
	assert_int_equal(bind_tuple(theirs, &other_cred, &any, &holder),
			 -EADDRINUSE);
	assert_int_equal(holder, mine->id);
	ms_port_destroy(mine);
	assert_int_equal(bind_tuple(theirs, &other_cred, &any, NULL), 0);
	ms_port_destroy(theirs);
	ms_port_destroy(roots);
}

static void
port_0_gives_one_that_is_free(void **state)
{
	struct world *w = *state;
	struct ms_port *port = port_new(w->a.nic, &user_cred);
	struct ms_tuple t[64];
	unsigned int i, j;

	for (i = 0; i < 64; i++) {
		t[i] = tuple_of("10.0.0.1", UDP, 0);
		assert_int_equal(bind_tuple(port, &user_cred, &t[i], NULL), 0);
		assert_true(ntohs(t[i].port_be) >= 1024);
		for (j = 0; j < i; j++)
			assert_int_not_equal(t[i].port_be, t[j].port_be);
	}
	assert_int_equal(port->num_binds, 64);
	ms_port_destroy(port);
}

static void
ephemeral_numbers_run_out_with_an_error(void **state)
{
	struct world *w = *state;
	struct ms_port *port = port_new(w->a.nic, &user_cred);
	struct ms_tuple t;
	unsigned int n = 0;
	int r = 0;

	while (r == 0 && n < 65536) {
		t = tuple_of("10.0.0.1", UDP, 0);
		r = bind_tuple(port, &user_cred, &t, NULL);
		n += r == 0;
	}
	assert_int_equal(r, -EADDRINUSE);
	assert_int_equal(n, 60999 - 32768 + 1);
	ms_port_destroy(port);
}

static void
a_refused_claim_leaves_nothing(void **state)
{
	struct world *w = *state;
	struct ms_port *port = port_new(w->a.nic, &user_cred);
	struct ms_tuple t = tuple_of("10.0.0.1", UDP, 5000);
	struct bare_nic *nics[] = { &w->a, &w->b };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		nics[i]->fail_claim_with = -ENOSPC;
		assert_int_equal(bind_tuple(port, &user_cred, &t, NULL),
				 -ENOSPC);
		assert_int_equal(w->a.claims, 0);
		assert_int_equal(w->b.claims, 0);
		assert_int_equal(port->num_binds, 0);
		assert_null(lookup(w->sw, &t));
	}
	assert_int_equal(bind_tuple(port, &user_cred, &t, NULL), 0);
	ms_port_destroy(port);
}

static void
bind_fails_whole_without_memory(void **state)
{
	struct world *w = *state;
	struct ms_port *port = port_new(w->a.nic, &user_cred);
	struct ms_tuple t = tuple_of("fd00::1", UDP, 5000);
	unsigned int n;
	int r;

	for (n = 1;; n++) {
		ms_os_fail_after(n, n % 2 == 0);
		r = bind_tuple(port, &user_cred, &t, NULL);
		ms_os_fail_after(0, false);
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(w->a.claims, 0);
		assert_null(lookup(w->sw, &t));
	}
	assert_true(n > 1);
	ms_port_destroy(port);
}

static void
a_new_interface_learns_the_claims(void **state)
{
	struct world *w = *state;
	struct ms_port *port = port_new(w->a.nic, &user_cred);
	struct bare_nic late;
	struct ms_tuple t;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		t = tuple_of("10.0.0.1", UDP, (uint16_t)(5000 + i));
		assert_int_equal(bind_tuple(port, &user_cred, &t, NULL), 0);
	}
	bare_nic_add(w->sw, &late, "late");
	assert_int_equal(late.claims, 3);
	ms_port_destroy(port);
	assert_int_equal(late.claims, 0);
	ms_nic_destroy(late.nic);
}

static void
destroy_releases_all_tuples(void **state)
{
	struct world *w = *state;
	struct ms_port *port = port_new(w->a.nic, &user_cred);
	struct ms_port *next = port_new(w->a.nic, &other_cred);
	struct ms_tuple t;
	unsigned int i;

	for (i = 0; i < 100; i++) {
		t = tuple_of(i % 2 ? "10.0.0.1" : "fd00::1", UDP,
			     (uint16_t)(2000 + i));
		assert_int_equal(bind_tuple(port, &user_cred, &t, NULL), 0);
	}
	assert_int_equal(ms_table_count(w->sw->table), 100);
	ms_port_destroy(port);
	assert_int_equal(ms_table_count(w->sw->table), 0);
	for (i = 0; i < 100; i++) {
		t = tuple_of(i % 2 ? "10.0.0.1" : "fd00::1", UDP,
			     (uint16_t)(2000 + i));
		assert_int_equal(bind_tuple(next, &other_cred, &t, NULL), 0);
	}
	ms_port_destroy(next);
}

static void
binds_move_in_their_order(void **state)
{
	struct world *w = *state;
	struct ms_port *from = port_new(w->a.nic, &user_cred);
	struct ms_port *to = port_new(w->a.nic, &user_cred);
	struct ms_tuple t;
	struct ms_bind *b;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		t = tuple_of("10.0.0.1", UDP, (uint16_t)(5000 + i));
		assert_int_equal(
		    bind_tuple(i < 3 ? from : to, &user_cred, &t, NULL), 0);
	}
	ms_mutex_lock(&w->sw->ctl_lock);
	assert_int_equal(ms_port_move_binds(from, to), 3);
	ms_mutex_unlock(&w->sw->ctl_lock);
	assert_int_equal(from->num_binds, 0);
	assert_null(from->binds);
	assert_int_equal(to->num_binds, 4);
	for (i = 0, b = to->binds; b != NULL; b = b->next, i++) {
		assert_ptr_equal(lookup(w->sw, &b->tuple), to);
		if (b->next != NULL)
			assert_true(b->seq > b->next->seq);
		assert_int_equal(ntohs(b->tuple.port_be),
				 i < 3 ? 5002 - i : 5003);
	}
	assert_int_equal(i, 4);
	ms_port_destroy(from);
	t = tuple_of("10.0.0.1", UDP, 5000);
	assert_ptr_equal(lookup(w->sw, &t), to);
	ms_port_destroy(to);
}

static void
a_port_outlives_its_interface(void **state)
{
	struct world *w = *state;
	struct bare_nic gone;
	struct ms_port *port;
	struct ms_tuple t = tuple_of("10.0.0.1", UDP, 5000);

	bare_nic_add(w->sw, &gone, "gone");
	port = port_new(gone.nic, &user_cred);
	assert_int_equal(bind_tuple(port, &user_cred, &t, NULL), 0);
	ms_nic_destroy(gone.nic);
	assert_int_equal(MS_USER_READ(port->rx[0].shared->gone), MS_GONE_NIC);
	assert_int_equal(MS_USER_READ(port->tx[0].shared->gone), MS_GONE_NIC);
	assert_int_equal(unbind_tuple(port, &t), 0);
	assert_int_equal(bind_tuple(port, &user_cred, &t, NULL), -ENODEV);
	ms_port_destroy(port);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(fills_in_defaults_and_says_so),
		T(region_is_laid_out_as_the_abi_says),
		T(refuses_what_cannot_be),
		T(label_cannot_play_with_terminals),
		T(ids_are_not_used_again),
		T(create_fails_whole_without_memory),
		T(destroy_takes_null),
		T(knows_which_tuples_there_can_be),
		T(refuses_malformed_tuples),
		T(a_tuple_has_one_holder),
		T(a_user_may_split_a_port_number),
		T(no_user_gets_into_anothers_address),
		T(port_0_gives_one_that_is_free),
		T(ephemeral_numbers_run_out_with_an_error),
		T(a_refused_claim_leaves_nothing),
		T(bind_fails_whole_without_memory),
		T(a_new_interface_learns_the_claims),
		T(destroy_releases_all_tuples),
		T(binds_move_in_their_order),
		T(a_port_outlives_its_interface),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
