/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_ctl.c: callers of three users, with four ports at most, give commands
 * of any bytes and any size. After each the namespace must be that of a
 * reference: nobody got a tuple that another holds or that another user is
 * entitled to, nobody was refused one that is free, nobody lost one that he
 * did not give up. Any allocation may fail.
 */
#include "fuzz.h"
#include "../hostile/rig.h"

#define CALLERS 4
#define CLAIMS_MAX 256

struct caller {
	const struct ms_cred *cred;
	struct ms_port *port;
};

struct claim {
	struct ms_tuple tuple;
	unsigned int caller;
};

static struct rig rig;
static struct caller callers[CALLERS];
static struct claim claims[CLAIMS_MAX];
static unsigned int num_claims;
static uint8_t token[16];

/* ---- the reference ------------------------------------------------------------ */

static bool
tuple_is_wild(const struct ms_tuple *t)
{
	static const uint8_t none[16];

	return memcmp(t->addr, none, 16) == 0;
}

static struct claim *
find(const struct ms_tuple *t)
{
	unsigned int i;

	for (i = 0; i < num_claims; i++)
		if (memcmp(&claims[i].tuple, t, sizeof(*t)) == 0)
			return &claims[i];
	return NULL;
}

/* Whether the rules forbid this caller to have t. */
static bool
forbidden(unsigned int caller, const struct ms_tuple *t)
{
	const struct claim *c;
	unsigned int i;

	for (i = 0; i < num_claims; i++) {
		c = &claims[i];
		if (c->tuple.family != t->family ||
		    c->tuple.proto != t->proto ||
		    c->tuple.port_be != t->port_be)
			continue;
		if (memcmp(c->tuple.addr, t->addr, 16) == 0)
			return true;
		if ((tuple_is_wild(t) || tuple_is_wild(&c->tuple)) &&
		    callers[c->caller].cred->uid != callers[caller].cred->uid)
			return true;
	}
	return false;
}

static void
release(unsigned int caller)
{
	unsigned int i, k = 0;

	for (i = 0; i < num_claims; i++)
		if (claims[i].caller != caller)
			claims[k++] = claims[i];
	num_claims = k;
}

static void
note_bind(unsigned int caller, int err, const struct ms_cmd_bind *asked,
	  const struct ms_cmd_bind *got)
{
	if (err == 0) {
		FUZZ_CHECK(asked->tuple.port_be == 0 ||
			   asked->tuple.port_be == got->tuple.port_be);
		FUZZ_CHECK(memcmp(asked->tuple.addr, got->tuple.addr, 16) == 0);
		FUZZ_CHECK(asked->tuple.proto == got->tuple.proto);
		FUZZ_CHECK(!forbidden(caller, &got->tuple));
		FUZZ_CHECK(num_claims < CLAIMS_MAX);
		claims[num_claims].tuple = got->tuple;
		claims[num_claims++].caller = caller;
	} else if (err == -EADDRINUSE) {
		FUZZ_CHECK(asked->tuple.port_be == 0 ||
			   forbidden(caller, &asked->tuple));
	}
}

static void
note_unbind(unsigned int caller, int err, const struct ms_cmd_bind *asked)
{
	struct claim *c = find(&asked->tuple);

	if (err == -ENOENT)
		FUZZ_CHECK(c == NULL);
	if (err == -EPERM)
		FUZZ_CHECK(c != NULL && c->caller != caller);
	if (err != 0)
		return;
	FUZZ_CHECK(c != NULL && c->caller == caller);
	*c = claims[--num_claims];
}

static void
note_handover(unsigned int caller, int err, const struct ms_cmd_handover *h)
{
	unsigned int i, moved = 0;

	if (err != 0)
		return;
	if (h->op == MS_HANDOVER_OFFER) {
		memcpy(token, h->token, sizeof(token));
		return;
	}
	/* Whose it was, the switch knows; the reference finds out by the only
	   port that has nothing any more. */
	for (i = 0; i < num_claims; i++) {
		if (callers[claims[i].caller].port->num_binds != 0 ||
		    claims[i].caller == caller)
			continue;
		claims[i].caller = caller;
		moved++;
	}
	FUZZ_CHECK(moved == h->moved);
}

/* The switch's own list must be the reference's. */
static void
check_list(void)
{
	struct ms_cmd_list arg = { .size = sizeof(arg),
				   .what = MS_LIST_TUPLES };
	struct ms_port *none = NULL;
	unsigned int n = 0;
	struct claim *c;

	while (ms_ctl(rig.sw, &rig_root, &none, MS_CMD_LIST, &arg,
		      sizeof(arg)) == 0) {
		c = find(&arg.tuple);
		FUZZ_CHECK(c != NULL);
		FUZZ_CHECK(callers[c->caller].port->id == arg.port_id);
		FUZZ_CHECK(++n <= num_claims);
	}
	FUZZ_CHECK(n == num_claims);
	FUZZ_CHECK(ms_table_count(rig.sw->table) == n);
}

/* ---- commands ------------------------------------------------------------------- */

/* What would take this machine's memory, and is checked elsewhere. */
static void
temper(uint32_t cmd, void *arg, uint32_t bytes)
{
	struct ms_cmd_port_create *c = arg;

	if (cmd != MS_CMD_PORT_CREATE || bytes < sizeof(*c))
		return;
	if (c->slots <= MS_SLOTS_MAX)
		c->slots &= 0x1ff;
	if (c->tx_rings <= MS_RINGS_MAX)
		c->tx_rings &= 7;
	if (c->rx_rings <= MS_RINGS_MAX)
		c->rx_rings &= 7;
	if (c->extra_bufs < 0x10000000)
		c->extra_bufs &= 0xff;
}

static void
command(unsigned int caller, uint32_t cmd, void *arg, uint32_t bytes)
{
	struct caller *c = &callers[caller];
	struct ms_cmd_bind asked = { 0 }, got = { 0 };
	struct ms_cmd_handover h = { 0 };
	struct ms_port *before = c->port;
	uint32_t size = 0, known;
	int err;

	temper(cmd, arg, bytes);
	if (bytes >= 4)
		memcpy(&size, arg, 4);
	known = size < bytes ? size : bytes;
	memcpy(&asked, arg, known < sizeof(asked) ? known : sizeof(asked));
	err = ms_ctl(rig.sw, c->cred, &c->port, cmd, arg, bytes);
	FUZZ_CHECK(err <= 0 && err > -4096);
	FUZZ_CHECK((c->port != before) ==
		   (cmd == MS_CMD_PORT_CREATE && err == 0));
	memcpy(&got, arg, known < sizeof(got) ? known : sizeof(got));
	memcpy(&h, arg, known < sizeof(h) ? known : sizeof(h));
	if (cmd == MS_CMD_BIND) {
		if (known < offsetof(struct ms_cmd_bind, holder))
			memcpy(&got.tuple, &asked.tuple, sizeof(got.tuple));
		note_bind(caller, err, &asked, &got);
	} else if (cmd == MS_CMD_UNBIND) {
		note_unbind(caller, err, &asked);
	} else if (cmd == MS_CMD_HANDOVER && (err != 0 || known >= sizeof(h))) {
		note_handover(caller, err, &h);
	} else if (cmd == MS_CMD_HANDOVER) {
		abort(); /* see raw(): never called so */
	}
}

/* A well-formed command, with a few values that meet each other. */
static void
sound(unsigned int caller, struct fuzz_in *in)
{
	union {
		uint32_t size;
		struct ms_cmd_port_create create;
		struct ms_cmd_bind bind;
		struct ms_cmd_stats stats;
		struct ms_cmd_tap tap;
		struct ms_cmd_handover handover;
		struct ms_cmd_list list;
		struct ms_cmd_route route;
	} a;
	static const uint8_t protos[8] = { 6, 17, 132, 253, 1, 33, 136, 6 };
	uint8_t how = fuzz_u8(in), cmd = fuzz_u8(in) % (MS_CMD_LIST + 1);

	memset(&a, 0, sizeof(a));
	switch (cmd) {
	case MS_CMD_PORT_CREATE:
		strcpy(a.create.nic, "rig0");
		a.create.slots = 8;
		a.create.tx_rings = how & 3;
		a.create.rx_rings = how >> 2 & 3;
		break;
	case MS_CMD_BIND:
	case MS_CMD_UNBIND:
		a.bind.tuple.family = (how & 1) != 0 ? 6 : 4;
		a.bind.tuple.addr[0] = (how >> 1 & 3) * 10;
		a.bind.tuple.proto = protos[how >> 3 & 7];
		a.bind.tuple.port_be = (how & 64) != 0 ? htons(how) : htons(80);
		if (a.bind.tuple.proto == 253)
			a.bind.tuple.port_be = 0;
		break;
	case MS_CMD_HANDOVER:
		a.handover.op = how & 3;
		memcpy(a.handover.token, token, sizeof(token));
		break;
	case MS_CMD_TAP:
		a.tap.scope = how & 3;
		a.tap.port_id = how >> 2 & 7;
		a.tap.flags = how >> 5 & 3;
		break;
	case MS_CMD_LIST:
		a.list.what = how & 3;
		a.list.cursor = fuzz_u32(in);
		break;
	case MS_CMD_STATS:
		a.stats.port_id = how & 7;
		break;
	case MS_CMD_ROUTE:
		a.route.dst.family = 4;
		break;
	default:
		break;
	}
	if (ms_ctl_bytes(cmd) > sizeof(a))
		return;
	a.size = ms_ctl_bytes(cmd);
	command(caller, cmd, &a, sizeof(a));
}

/* Any bytes, in a block of exactly their number. */
static void
raw(unsigned int caller, struct fuzz_in *in)
{
	uint32_t cmd = fuzz_u8(in), bytes = fuzz_u16(in) % 600;
	uint32_t size = (fuzz_u8(in) & 1) != 0 ? bytes : fuzz_u32(in);
	uint8_t *block;

	if ((cmd & 0x80) != 0)
		cmd |= fuzz_u32(in);
	else
		cmd %= MS_CMD_MAX + 1;
	/* What was moved would not be known. */
	if (cmd == MS_CMD_HANDOVER)
		return;
	block = malloc(bytes ? bytes : 1);
	FUZZ_CHECK(block != NULL);
	fuzz_bytes(in, block, bytes);
	if (bytes >= 4)
		memcpy(block, &size, 4);
	if (cmd == MS_CMD_BIND && size < 28 && bytes >= 28)
		size = bytes; /* the port chosen must be told */
	if (bytes >= 4)
		memcpy(block, &size, 4);
	command(caller, cmd, block, bytes);
	free(block);
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in);
	unsigned int caller = op >> 4 & (CALLERS - 1);

	switch (op % 8) {
	case 0:
		ms_port_destroy(callers[caller].port);
		callers[caller].port = NULL;
		release(caller);
		break;
	case 1:
	case 2:
		raw(caller, in);
		break;
	case 3:
		ms_os_fail_after(1 + fuzz_u8(in) % 16, (op & 0x80) != 0);
		sound(caller, in);
		ms_os_fail_after(0, false);
		break;
	default:
		sound(caller, in);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, size };
	unsigned int i;

	callers[0].cred = &rig_root;
	callers[1].cred = callers[2].cred = &rig_alice;
	callers[3].cred = &rig_bob;
	num_claims = 0;
	rig_init(&rig, 2);
	for (i = 0; in.left > 0 && i < 200; i++)
		step(&in);
	check_list();
	for (i = 0; i < CALLERS; i++) {
		ms_port_destroy(callers[i].port);
		callers[i].port = NULL;
		release(i);
	}
	check_list();
	rig_deinit(&rig);
	return 0;
}
