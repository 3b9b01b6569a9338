/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_ctl.c: the commands: sizes, privileges, lists, handover.
 */
#include <pthread.h>

#include "control_util.h"

#define UDP 17

struct world {
	struct ms_switch *sw;
	struct bare_nic a, b;
	struct ms_port *mine;	/* of user_cred, on a */
	struct ms_port *theirs; /* of other_cred, on a */
};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(ms_switch_create(&w->sw), 0);
	bare_nic_add(w->sw, &w->a, "bare0");
	bare_nic_add(w->sw, &w->b, "bare1");
	w->mine = port_new(w->a.nic, &user_cred);
	w->theirs = port_new(w->a.nic, &other_cred);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	ms_port_destroy(w->mine);
	ms_port_destroy(w->theirs);
	assert_int_equal(w->a.claims, 0);
	ms_nic_destroy(w->a.nic);
	ms_nic_destroy(w->b.nic);
	ms_switch_destroy(w->sw);
	free(w);
	return 0;
}

static int
ctl(struct world *w, const struct ms_cred *cred, struct ms_port *port,
    uint32_t cmd, void *arg)
{
	uint32_t size;

	memcpy(&size, arg, sizeof(size));
	return ms_ctl(w->sw, cred, &port, cmd, arg, size);
}

static int
ctl_bind(struct world *w, const struct ms_cred *cred, struct ms_port *port,
	 const char *addr, uint16_t number)
{
	struct ms_cmd_bind arg = { .size = sizeof(arg),
				   .tuple = tuple_of(addr, UDP, number) };

	return ctl(w, cred, port, MS_CMD_BIND, &arg);
}

/* ---- sizes ---------------------------------------------------------- */

static void
every_command_has_its_size(void **state)
{
	uint32_t cmd;

	(void)state;
	assert_int_equal(ms_ctl_bytes(0), 0);
	for (cmd = 1; cmd < MS_CMD_MAX; cmd++)
		assert_true(ms_ctl_bytes(cmd) >= sizeof(uint32_t));
	assert_int_equal(ms_ctl_bytes(MS_CMD_MAX), 0);
	assert_int_equal(ms_ctl_bytes(UINT32_MAX), 0);
}

static void
refuses_sizes_that_lie(void **state)
{
	static const struct {
		uint32_t size, bytes;
		int err;
	} cases[] = {
		{ 0, 0, -EINVAL },
		{ 0, 3, -EINVAL },
		{ 0, 32, -EINVAL },
		{ 3, 32, -EINVAL },
		{ 33, 32, -EINVAL },
		{ 4, 4, 0 },
		{ 31, 32, 0 },
		{ 32, 32, 0 },
		{ UINT32_MAX, 32, -EINVAL },
	};
	struct world *w = *state;
	struct ms_port *port = NULL;
	uint8_t buf[32];
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(buf, 0, sizeof(buf));
		memcpy(buf, &cases[i].size, sizeof(cases[i].size));
		assert_int_equal(ms_ctl(w->sw, &user_cred, &port, MS_CMD_INFO,
					buf, cases[i].bytes),
				 cases[i].err);
	}
}

static void
a_shorter_struct_is_taken_as_0(void **state)
{
	/* up to num_nics, and a fence behind it */
	struct {
		uint32_t size, abi, features, num_nics, fence;
	} old = { .size = 16, .fence = 0x5a5a5a5a };
	struct world *w = *state;
	struct ms_port *port = NULL;

	assert_int_equal(
	    ms_ctl(w->sw, &user_cred, &port, MS_CMD_INFO, &old, sizeof(old)),
	    0);
	assert_int_equal(old.size, 16);
	assert_int_equal(old.abi, MS_ABI_VERSION);
	assert_int_equal(old.num_nics, 2);
	assert_int_equal(old.fence, 0x5a5a5a5a);
}

static void
a_longer_struct_must_be_0_behind(void **state)
{
	struct {
		struct ms_cmd_info info;
		uint8_t later[16];
	} arg;
	struct world *w = *state;
	struct ms_port *port = NULL;

	memset(&arg, 0, sizeof(arg));
	arg.info.size = sizeof(arg);
	assert_int_equal(
	    ms_ctl(w->sw, &user_cred, &port, MS_CMD_INFO, &arg, sizeof(arg)),
	    0);
	assert_int_equal(arg.info.size, sizeof(arg));
	assert_int_equal(arg.info.num_ports, 2);
	arg.later[15] = 1;
	assert_int_equal(
	    ms_ctl(w->sw, &user_cred, &port, MS_CMD_INFO, &arg, sizeof(arg)),
	    -E2BIG);
}

static void
leaves_to_the_os_what_is_its(void **state)
{
	static const uint32_t cmds[] = { MS_CMD_ATTACH,
					 MS_CMD_DETACH,
					 MS_CMD_SYNC,
					 MS_CMD_QUEUE_ATTACH,
					 0,
					 MS_CMD_MAX,
					 UINT32_MAX };
	struct ms_cmd_attach arg = { .size = sizeof(arg) };
	struct world *w = *state;
	size_t i;

	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		assert_int_equal(ctl(w, &root_cred, w->mine, cmds[i], &arg),
				 -EOPNOTSUPP);
}

static void
commands_of_a_port_need_one(void **state)
{
	static const uint32_t cmds[] = { MS_CMD_BIND,  MS_CMD_UNBIND,
					 MS_CMD_ROUTE, MS_CMD_STATS,
					 MS_CMD_TAP,   MS_CMD_HANDOVER };
	struct ms_cmd_stats arg;
	struct world *w = *state;
	size_t i;

	for (i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		memset(&arg, 0, sizeof(arg));
		arg.size = ms_ctl_bytes(cmds[i]);
		assert_int_equal(ctl(w, &root_cred, NULL, cmds[i], &arg),
				 -ENOTCONN);
	}
}

/* ---- info, create, bind --------------------------------------------- */

static void
info_is_for_everybody(void **state)
{
	struct ms_cmd_info arg = { .size = sizeof(arg) };
	struct world *w = *state;

	assert_int_equal(ctl_bind(w, &user_cred, w->mine, "10.0.0.1", 5000), 0);
	assert_int_equal(ctl(w, &other_cred, NULL, MS_CMD_INFO, &arg), 0);
	assert_int_equal(arg.abi, MS_ABI_VERSION);
	assert_int_equal(arg.num_nics, 2);
	assert_int_equal(arg.num_ports, 2);
	assert_int_equal(arg.num_tuples, 1);
	assert_int_equal(arg.features, MS_FEATURE_CSUM_TX);
}

static void
create_finds_its_interface(void **state)
{
	struct ms_cmd_port_create arg = { .size = sizeof(arg), .slots = 8 };
	struct world *w = *state;
	struct ms_port *port = NULL;

	assert_int_equal(ms_ctl(w->sw, &user_cred, &port, MS_CMD_PORT_CREATE,
				&arg, sizeof(arg)),
			 -ENODEV);
	memset(arg.nic, 'x', sizeof(arg.nic));
	assert_int_equal(ms_ctl(w->sw, &user_cred, &port, MS_CMD_PORT_CREATE,
				&arg, sizeof(arg)),
			 -EINVAL);
	snprintf(arg.nic, sizeof(arg.nic), "bare");
	assert_int_equal(ms_ctl(w->sw, &user_cred, &port, MS_CMD_PORT_CREATE,
				&arg, sizeof(arg)),
			 -ENODEV);
	assert_null(port);
	snprintf(arg.nic, sizeof(arg.nic), "bare1");
	assert_int_equal(ms_ctl(w->sw, &user_cred, &port, MS_CMD_PORT_CREATE,
				&arg, sizeof(arg)),
			 0);
	assert_ptr_equal(port->nic, w->b.nic);
	assert_int_equal(ms_ctl(w->sw, &user_cred, &port, MS_CMD_PORT_CREATE,
				&arg, sizeof(arg)),
			 -EBUSY);
	ms_port_destroy(port);
}

static void
bind_names_the_holder(void **state)
{
	struct ms_cmd_bind arg = { .size = sizeof(arg),
				   .tuple = tuple_of("10.0.0.1", UDP, 5000) };
	struct world *w = *state;

	assert_int_equal(ctl(w, &user_cred, w->mine, MS_CMD_BIND, &arg), 0);
	assert_int_equal(ctl(w, &other_cred, w->theirs, MS_CMD_BIND, &arg),
			 -EADDRINUSE);
	assert_int_equal(arg.holder, w->mine->id);
	assert_int_equal(ctl(w, &other_cred, w->theirs, MS_CMD_UNBIND, &arg),
			 -EPERM);
	assert_int_equal(ctl(w, &user_cred, w->mine, MS_CMD_UNBIND, &arg), 0);
	arg.flags = 1;
	assert_int_equal(ctl(w, &user_cred, w->mine, MS_CMD_BIND, &arg),
			 -EINVAL);
	assert_int_equal(ctl(w, &user_cred, w->mine, MS_CMD_UNBIND, &arg),
			 -EINVAL);
}

/* ---- route ---------------------------------------------------------- */

static struct world *route_world;

/* What a look-up that takes long lets others do meanwhile. */
static int
slow_route(struct ms_cmd_route *r)
{
	struct ms_cmd_info info = { .size = sizeof(info) };

	assert_int_equal(ctl(route_world, &user_cred, NULL, MS_CMD_INFO, &info),
			 0);
	ms_nic_changed(route_world->a.nic, NULL, 0);
	r->mtu = 1400;
	r->state = MS_ROUTE_REACHABLE;
	return 0;
}

static void
route_holds_up_nobody(void **state)
{
	struct ms_cmd_route arg = { .size = sizeof(arg),
				    .dst = tuple_of("10.0.0.9", 0, 0) };
	struct world *w = *state;
	uint32_t gen;

	assert_int_equal(ctl(w, &user_cred, w->mine, MS_CMD_ROUTE, &arg),
			 -ENETUNREACH);
	gen = arg.gen;
	route_world = w;
	w->a.route = slow_route;
	assert_int_equal(ctl(w, &user_cred, w->mine, MS_CMD_ROUTE, &arg), 0);
	assert_int_equal(arg.mtu, 1400);
	/* the change came during the look-up: this answer is of before it */
	assert_int_equal(arg.gen, gen);
	assert_int_equal(MS_USER_READ(w->mine->region->route_gen), gen + 1);
	arg.dst.family = 7;
	assert_int_equal(ctl(w, &user_cred, w->mine, MS_CMD_ROUTE, &arg),
			 -EINVAL);
}

struct slow_lookup {
	struct world *w;
	struct ms_port *port;
	int result;
};

static int entered, let_go;

static int
stuck_route(struct ms_cmd_route *r)
{
	(void)r;
	ms_os_store_release(&entered, 1);
	while (ms_os_load_acquire(&let_go) == 0)
		ms_os_sleep_us(100);
	return 0;
}

static void *
look_up(void *arg)
{
	struct slow_lookup *s = arg;
	struct ms_cmd_route r = { .size = sizeof(r),
				  .dst = tuple_of("10.0.0.9", 0, 0) };

	s->result = ctl(s->w, &user_cred, s->port, MS_CMD_ROUTE, &r);
	return NULL;
}

static void *
let_go_later(void *arg)
{
	(void)arg;
	ms_os_sleep_us(20000);
	ms_os_store_release(&let_go, 1);
	return NULL;
}

static void
an_interface_stays_while_it_is_asked(void **state)
{
	struct world *w = *state;
	struct slow_lookup s = { .w = w };
	struct bare_nic nic;
	pthread_t asker, helper;

	entered = let_go = 0;
	bare_nic_add(w->sw, &nic, "slow");
	nic.route = stuck_route;
	s.port = port_new(nic.nic, &user_cred);
	assert_int_equal(pthread_create(&asker, NULL, look_up, &s), 0);
	while (ms_os_load_acquire(&entered) == 0)
		ms_os_sleep_us(100);
	assert_int_equal(pthread_create(&helper, NULL, let_go_later, NULL), 0);
	ms_nic_destroy(nic.nic);
	assert_int_equal(ms_os_load_acquire(&let_go), 1);
	pthread_join(asker, NULL);
	pthread_join(helper, NULL);
	assert_int_equal(s.result, 0);
	assert_int_equal(
	    ctl(w, &user_cred, s.port, MS_CMD_ROUTE,
		&(struct ms_cmd_route){ .size = sizeof(struct ms_cmd_route),
					.dst = { .family = 4 } }),
	    -ENODEV);
	ms_port_destroy(s.port);
}

/* ---- stats and taps ------------------------------------------------- */

static void
counters_are_for_owner_user_and_admin(void **state)
{
	struct world *w = *state;
	const struct {
		const struct ms_cred *cred;
		struct ms_port *port;
		uint32_t id;
		int err;
	} cases[] = {
		{ &user_cred, w->mine, 0, 0 },
		{ &user_cred, w->mine, w->mine->id, 0 },
		{ &user_cred, NULL, w->mine->id, 0 },
		{ &user_cred, w->mine, w->theirs->id, -EPERM },
		{ &other_cred, NULL, w->mine->id, -EPERM },
		{ &root_cred, NULL, w->mine->id, 0 },
		{ &root_cred, NULL, 12345, -ENOENT },
		{ &user_cred, NULL, 0, -ENOTCONN },
	};
	struct ms_cmd_stats arg;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&arg, 0xff, sizeof(arg));
		arg.size = sizeof(arg);
		arg.nic[0] = '\0';
		arg.port_id = cases[i].id;
		assert_int_equal(
		    ctl(w, cases[i].cred, cases[i].port, MS_CMD_STATS, &arg),
		    cases[i].err);
		if (cases[i].err == 0) {
			assert_int_equal(arg.num, MS_CTR_MAX);
			assert_int_equal(arg.counter[MS_CTR_RX_FRAMES], 0);
		}
	}
}

static void
counters_of_an_interface_are_for_everybody(void **state)
{
	struct ms_cmd_stats arg = { .size = sizeof(arg), .nic = "bare0" };
	struct world *w = *state;

	assert_int_equal(ctl(w, &other_cred, NULL, MS_CMD_STATS, &arg), 0);
	assert_int_equal(arg.num, MS_CTR_MAX);
	snprintf(arg.nic, sizeof(arg.nic), "nosuch");
	assert_int_equal(ctl(w, &other_cred, NULL, MS_CMD_STATS, &arg),
			 -ENODEV);
	memset(arg.nic, 'x', sizeof(arg.nic));
	assert_int_equal(ctl(w, &other_cred, NULL, MS_CMD_STATS, &arg),
			 -EINVAL);
}

static void
taps_are_for_user_and_admin(void **state)
{
	struct world *w = *state;
	struct ms_port *second = port_new(w->a.nic, &user_cred);
	const struct {
		const struct ms_cred *cred;
		uint32_t scope, id, flags;
		int err;
	} cases[] = {
		{ &user_cred, 0, 0, 0, 0 },
		{ &user_cred, MS_TAP_PORT, w->mine->id, 0, 0 },
		{ &user_cred, MS_TAP_PORT, w->mine->id, MS_TAP_REFUSED, 0 },
		{ &user_cred, MS_TAP_PORT, w->mine->id, 3, 0 },
		{ &user_cred, MS_TAP_PORT, w->mine->id, 2, -EINVAL },
		{ &user_cred, MS_TAP_PORT, w->mine->id, 4, -EINVAL },
		{ &user_cred, MS_TAP_PORT, w->theirs->id, 0, -EPERM },
		{ &user_cred, MS_TAP_PORT, 999, 0, -ENOENT },
		{ &user_cred, MS_TAP_PORT, second->id, 0, -EINVAL },
		{ &user_cred, MS_TAP_NIC, 0, 0, -EPERM },
		{ &root_cred, MS_TAP_NIC, 0, 0, 0 },
		{ &root_cred, MS_TAP_PORT, w->theirs->id, 0, 0 },
		{ &root_cred, 3, 0, 0, -EINVAL },
	};
	struct ms_cmd_tap arg;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&arg, 0, sizeof(arg));
		arg.size = sizeof(arg);
		arg.scope = cases[i].scope;
		arg.port_id = cases[i].id;
		arg.flags = cases[i].flags;
		assert_int_equal(
		    ctl(w, cases[i].cred, second, MS_CMD_TAP, &arg),
		    cases[i].err);
		arg.scope = arg.flags = 0;
		assert_int_equal(
		    ctl(w, cases[i].cred, second, MS_CMD_TAP, &arg), 0);
	}
	/* either end of a tap may go first */
	arg.scope = MS_TAP_PORT;
	arg.port_id = w->mine->id;
	assert_int_equal(ctl(w, &user_cred, second, MS_CMD_TAP, &arg), 0);
	ms_port_destroy(w->mine);
	w->mine = NULL;
	assert_null(second->tapping);
	ms_port_destroy(second);
}

/* ---- handover ------------------------------------------------------- */

static void
tuples_go_to_who_has_the_token(void **state)
{
	struct ms_cmd_handover offer = { .size = sizeof(offer),
					 .op = MS_HANDOVER_OFFER };
	struct ms_cmd_handover take = { .size = sizeof(take),
					.op = MS_HANDOVER_ACCEPT };
	struct world *w = *state;
	struct ms_port *heir = port_new(w->a.nic, &user_cred);
	struct ms_port *far = port_new(w->b.nic, &user_cred);
	struct ms_tuple t = tuple_of("10.0.0.1", UDP, 5000);

	assert_int_equal(ctl_bind(w, &user_cred, w->mine, "10.0.0.1", 5000), 0);
	assert_int_equal(ctl_bind(w, &user_cred, w->mine, "fd00::1", 5000), 0);
	/* nobody offered: not even a token of 0 finds it */
	assert_int_equal(ctl(w, &user_cred, heir, MS_CMD_HANDOVER, &take),
			 -ENOENT);
	assert_int_equal(ctl(w, &user_cred, w->mine, MS_CMD_HANDOVER, &offer),
			 0);
	memcpy(take.token, offer.token, sizeof(take.token));
	take.token[15] ^= 1;
	assert_int_equal(ctl(w, &user_cred, heir, MS_CMD_HANDOVER, &take),
			 -ENOENT);
	take.token[15] ^= 1;
	assert_int_equal(ctl(w, &user_cred, w->mine, MS_CMD_HANDOVER, &take),
			 -EINVAL);
	assert_int_equal(ctl(w, &other_cred, w->theirs, MS_CMD_HANDOVER, &take),
			 -EPERM);
	assert_int_equal(ctl(w, &user_cred, far, MS_CMD_HANDOVER, &take),
			 -EXDEV);
	assert_ptr_equal(lookup(w->sw, &t), w->mine);
	assert_int_equal(ctl(w, &user_cred, heir, MS_CMD_HANDOVER, &take), 0);
	assert_int_equal(take.moved, 2);
	assert_ptr_equal(lookup(w->sw, &t), heir);
	assert_int_equal(ctl(w, &user_cred, heir, MS_CMD_HANDOVER, &take),
			 -ENOENT);
	take.op = 3;
	assert_int_equal(ctl(w, &user_cred, heir, MS_CMD_HANDOVER, &take),
			 -EINVAL);
	ms_port_destroy(heir);
	ms_port_destroy(far);
}

static void
an_offer_dies_with_its_port(void **state)
{
	struct ms_cmd_handover arg = { .size = sizeof(arg),
				       .op = MS_HANDOVER_OFFER };
	struct world *w = *state;
	struct ms_port *heir = port_new(w->a.nic, &user_cred);

	assert_int_equal(ctl(w, &user_cred, w->mine, MS_CMD_HANDOVER, &arg), 0);
	ms_port_destroy(w->mine);
	w->mine = NULL;
	arg.op = MS_HANDOVER_ACCEPT;
	assert_int_equal(ctl(w, &user_cred, heir, MS_CMD_HANDOVER, &arg),
			 -ENOENT);
	ms_port_destroy(heir);
}

/* ---- lists ---------------------------------------------------------- */

static void
lists_interfaces_in_order(void **state)
{
	struct ms_cmd_list arg = { .size = sizeof(arg), .what = MS_LIST_NICS };
	struct world *w = *state;

	assert_int_equal(ctl(w, &user_cred, NULL, MS_CMD_LIST, &arg), 0);
	assert_string_equal(arg.nic, "bare0");
	assert_string_equal(arg.label, "bare");
	assert_int_equal(arg.num, 2);
	assert_int_equal(arg.tx_rings, 2);
	assert_int_equal(arg.mtu, 1500);
	assert_int_equal(arg.mac[5], 7);
	assert_int_equal(ctl(w, &user_cred, NULL, MS_CMD_LIST, &arg), 0);
	assert_string_equal(arg.nic, "bare1");
	assert_int_equal(ctl(w, &user_cred, NULL, MS_CMD_LIST, &arg), -ENOENT);
	arg.what = 9;
	assert_int_equal(ctl(w, &user_cred, NULL, MS_CMD_LIST, &arg), -EINVAL);
}

/* Each port that is there all the time is seen once, whoever comes and goes. */
static void
port_cursor_survives_change(void **state)
{
	struct ms_cmd_list arg = { .size = sizeof(arg), .what = MS_LIST_PORTS };
	struct world *w = *state;
	struct ms_port *stay[8], *come[8], *go[8];
	unsigned int seen[8] = { 0 }, i, steps = 0;

	for (i = 0; i < 8; i++) {
		go[i] = port_new(w->a.nic, &user_cred);
		stay[i] = port_new(w->a.nic, &user_cred);
	}
	while (ctl(w, &user_cred, NULL, MS_CMD_LIST, &arg) == 0) {
		for (i = 0; i < 8; i++)
			seen[i] += stay[i]->id == arg.port_id;
		assert_int_equal(arg.slots, 8);
		if (steps < 8) {
			ms_port_destroy(go[7 - steps]);
			come[steps] = port_new(w->a.nic, &user_cred);
		}
		assert_true(++steps < 64);
	}
	for (i = 0; i < 8; i++) {
		assert_int_equal(seen[i], 1);
		ms_port_destroy(stay[i]);
		ms_port_destroy(come[i]);
	}
}

static void
tuple_cursor_survives_change(void **state)
{
	struct ms_cmd_list arg = { .size = sizeof(arg),
				   .what = MS_LIST_TUPLES };
	struct world *w = *state;
	unsigned int seen[64] = { 0 }, i, n = 0, number;
	struct ms_tuple t;

	for (i = 0; i < 64; i++)
		assert_int_equal(ctl_bind(w, i < 32 ? &user_cred : &other_cred,
					  i < 32 ? w->mine : w->theirs,
					  "10.0.0.1", (uint16_t)(2000 + i)),
				 0);
	while (ctl(w, &user_cred, NULL, MS_CMD_LIST, &arg) == 0) {
		number = ntohs(arg.tuple.port_be);
		assert_in_range(number, 2000, 3063);
		assert_int_equal(arg.port_id, number % 1000 < 32
						  ? w->mine->id
						  : w->theirs->id);
		if (number < 2064)
			seen[number - 2000]++;
		/* what was just shown goes, something else comes */
		if (number < 2064 && number % 3 == 0) {
			t = tuple_of("10.0.0.1", UDP, (uint16_t)number);
			assert_int_equal(
			    unbind_tuple(number < 2032 ? w->mine : w->theirs,
					 &t),
			    0);
			assert_int_equal(
			    ctl_bind(w, &user_cred, w->mine, "10.0.0.1",
				     (uint16_t)(3000 + number % 32)),
			    0);
			t = tuple_of("10.0.0.1", UDP,
				     (uint16_t)(3000 + number % 32));
			assert_int_equal(unbind_tuple(w->mine, &t), 0);
		}
		assert_true(++n < 256);
	}
	for (i = 0; i < 64; i++)
		assert_int_equal(seen[i], 1);
	arg.cursor = UINT64_MAX;
	assert_int_equal(ctl(w, &user_cred, NULL, MS_CMD_LIST, &arg), -ENOENT);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_command_has_its_size),
		T(refuses_sizes_that_lie),
		T(a_shorter_struct_is_taken_as_0),
		T(a_longer_struct_must_be_0_behind),
		T(leaves_to_the_os_what_is_its),
		T(commands_of_a_port_need_one),
		T(info_is_for_everybody),
		T(create_finds_its_interface),
		T(bind_names_the_holder),
		T(route_holds_up_nobody),
		T(an_interface_stays_while_it_is_asked),
		T(counters_are_for_owner_user_and_admin),
		T(counters_of_an_interface_are_for_everybody),
		T(taps_are_for_user_and_admin),
		T(tuples_go_to_who_has_the_token),
		T(an_offer_dies_with_its_port),
		T(lists_interfaces_in_order),
		T(port_cursor_survives_change),
		T(tuple_cursor_survives_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
