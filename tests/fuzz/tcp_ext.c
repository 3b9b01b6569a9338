/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcp_ext.c: fuzz_tcp's extensions, which do what they like: options of any
 * length at any time, odd answers of hooks, streams that take a part, wait, make
 * more or less of the bytes. Bounded only so that two do not talk for ever.
 */
#include "tcp_world.h"

struct odd {
	uint32_t dice;
	uint16_t budget; /* of what makes packets */
	uint8_t *mem;
	uint32_t mem_bytes;
	bool over; /* `end` was called: no more segments, no more time */
};

static struct odd *
odd(utcp_ext_t *ext)
{
	return ext->priv;
}

static bool
luck(struct odd *o, unsigned int one_of)
{
	return dice(&o->dice) % one_of == 0;
}

/* A hook's answer: mostly what is expected. */
static int
answer(struct odd *o)
{
	static const int answers[] = { UTCP_EXT_LEAVE, UTCP_EXT_DROP,
				       UTCP_EXT_WAIT,  -EIO,
				       -EBADMSG,       99,
				       INT32_MIN,      -INT32_MAX };

	return luck(o, 40) ? answers[dice(&o->dice) % 8] : 0;
}

/* Asks for this and that. */
static void
ask(utcp_ext_t *ext)
{
	struct odd *o = odd(ext);
	uint64_t now = utcp_now_ns(ext->stack);

	switch (dice(&o->dice) % 24) {
	case 0:
		(void)utcp_ext_want(ext, dice(&o->dice) % 50);
		break;
	case 1:
		(void)utcp_ext_timer(ext, now + (dice(&o->dice) << 4));
		break;
	case 2:
		(void)utcp_ext_timer(ext, luck(o, 2) ? 0 : UTCP_NEVER);
		break;
	case 3:
		(void)utcp_ext_ecn(ext, (int)(dice(&o->dice) % 4) - 1);
		break;
	case 4:
		(void)utcp_ext_gso(ext, luck(o, 2));
		break;
	case 5:
		(void)utcp_ext_output(ext);
		break;
	case 6:
		(void)utcp_ext_resume(ext);
		break;
	default:
		break;
	}
	if (o->budget == 0)
		return;
	if (luck(o, 8) && o->budget--)
		(void)(luck(o, 2) ? utcp_ext_ack_now(ext)
				  : utcp_ext_ack_first(ext));
	if (luck(o, 8) && o->budget--)
		(void)utcp_ext_emit(ext, fuzz_text, dice(&o->dice) % 3000,
				    luck(o, 3) ? UTCP_MSG_EOR : 0);
}

static int
odd_init(utcp_ext_t *ext)
{
	struct side *s = ext->shared;
	struct odd *o = odd(ext);

	o->dice = dice(&s->dice);
	o->budget = 20;
	o->mem_bytes = 1 + dice(&o->dice) % 100;
	o->mem = utcp_ext_alloc(ext, o->mem_bytes);
	if (o->mem == NULL)
		return -ENOMEM;
	ask(ext);
	if (luck(o, 20)) {
		utcp_ext_free(ext, o->mem, o->mem_bytes);
		return luck(o, 2) ? UTCP_EXT_LEAVE : -EPERM;
	}
	return 0;
}

static void
odd_release(utcp_ext_t *ext)
{
	utcp_ext_free(ext, odd(ext)->mem, odd(ext)->mem_bytes);
}

static void
odd_over(utcp_ext_t *ext, int reset, int error)
{
	FUZZ_CHECK(!odd(ext)->over && error <= 0);
	FUZZ_CHECK(reset == 0 || reset == UTCP_EXT_RST_IN ||
		   reset == UTCP_EXT_RST_OUT);
	ask(ext);
	odd(ext)->over = true;
}

static int
odd_open(utcp_ext_t *ext)
{
	FUZZ_CHECK(!odd(ext)->over);
	FUZZ_CHECK(ext->sock != NULL && (ext->flags & UTCP_EXT_OPEN) != 0);
	ask(ext);
	return answer(odd(ext));
}

static int
odd_in(utcp_ext_t *ext, const utcp_ext_in_t *seg)
{
	uint32_t sum = 0;

	FUZZ_CHECK(!odd(ext)->over);
	FUZZ_CHECK(seg->num_opts <= UTCP_EXT_OPTS_MAX && seg->segs >= 1);
	for (unsigned int i = 0; i < seg->num_opts; i++) {
		FUZZ_CHECK(seg->opts[i].len <= 38 && seg->opts[i].which < 2);
		for (unsigned int j = 0; j < seg->opts[i].len; j++)
			sum += seg->opts[i].data[j];
	}
	odd(ext)->dice += sum;
	ask(ext);
	return answer(odd(ext));
}

static int
odd_out(utcp_ext_t *ext, utcp_ext_out_t *seg)
{
	struct odd *o = odd(ext);

	FUZZ_CHECK(!o->over);
	FUZZ_CHECK(seg->room <= 40 && seg->segs >= 1);
	while (luck(o, 2)) {
		unsigned int n = dice(&o->dice) % 44;
		uint8_t *p = utcp_ext_put(seg, dice(&o->dice) % 3, n);

		if (p != NULL)
			memset(p, (int)n, n);
	}
	seg->flags = (uint16_t)dice(&o->dice);
	seg->ecn = (uint8_t)(dice(&o->dice) % 4);
	if (luck(o, 100))
		seg->ecn = 4;
	if (luck(o, 100))
		seg->at_ += (int)(dice(&o->dice) % 100) - 50;
	(void)utcp_ext_want(ext, dice(&o->dice) % 41);
	return answer(o);
}

static void
odd_ack(utcp_ext_t *ext, utcp_ext_ack_t *ack)
{
	FUZZ_CHECK(!odd(ext)->over);
	FUZZ_CHECK(ack->delivered <= 1u << 30);
	ack->ce = dice(&odd(ext)->dice);
}

static int
odd_timer(utcp_ext_t *ext)
{
	FUZZ_CHECK(!odd(ext)->over);
	if (odd(ext)->budget > 0) {
		odd(ext)->budget--;
		ask(ext);
	}
	return answer(odd(ext));
}

static ssize_t
odd_write(utcp_ext_t *ext, const void *data, size_t len, int flags)
{
	struct odd *o = odd(ext);
	size_t n = luck(o, 4) ? dice(&o->dice) % (len + 1) : len;

	FUZZ_CHECK(len > 0 && len <= 65536);
	if (luck(o, 60))
		return luck(o, 2) ? (ssize_t)len + 1 : -EIO;
	if (n > 0 && utcp_ext_emit(ext, data, n, flags) < 0)
		return -ENOMEM;
	return (ssize_t)n;
}

static ssize_t
odd_read(utcp_ext_t *ext, const void *data, size_t len)
{
	struct odd *o = odd(ext);
	size_t n = luck(o, 4) ? dice(&o->dice) % (len + 1) : len;
	unsigned int times = luck(o, 3) ? dice(&o->dice) % 4 : 1;

	FUZZ_CHECK(len > 0);
	if (luck(o, 60))
		return luck(o, 2) ? (ssize_t)len + 1 : -EBADMSG;
	ask(ext);
	while (times-- > 0)
		if (utcp_ext_deliver(ext, data, n) < 0)
			return -ENOMEM;
	if (luck(o, 50))
		(void)utcp_ext_deliver_end(ext);
	return (ssize_t)n;
}

static int
odd_end(utcp_ext_t *ext)
{
	ask(ext);
	return answer(odd(ext));
}

/* A listener or a socket may have both; only one of them has the stream. */
void
register_odd_ext(struct side *s, uint8_t how)
{
	static const utcp_ext_option_t options[2] = {
		{ .kind = 253, .exid_bytes = 2, .exid = 0x1234 },
		{ .kind = 172 },
	};
	static const utcp_ext_option_t other = { .kind = 69 };
	utcp_ext_ops_t ops = {
		.size = sizeof(ops),
		.name = "odd",
		.priv_bytes = sizeof(struct odd),
		.num_options = 2,
		.options = options,
		.init = odd_init,
		.release = odd_release,
		.open = odd_open,
		.in = odd_in,
		.out = odd_out,
		.ack = odd_ack,
		.timer = odd_timer,
		.end = odd_over,
	};

	s->w->hostile = true;
	utcp_ext_register(
	    s->u, &ops, UTCP_EXT_ALL | ((how & 1) != 0 ? UTCP_EXT_MUST : 0), s);
	ops.name = "odd stream";
	ops.flags = UTCP_EXT_STREAM;
	ops.num_options = 1;
	ops.options = &other;
	ops.write = odd_write;
	ops.write_end = odd_end;
	ops.read = odd_read;
	ops.read_end = odd_end;
	if ((how & 2) != 0)
		utcp_ext_register(s->u, &ops, UTCP_EXT_ALL, s);
}
