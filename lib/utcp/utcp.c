/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp.c: the stack: its beginning and end, and the round of its user's loop.
 */
#include "cc.h"
#include "ext.h"
#include "sock.h"
#include "sockbuf.h"
#include "tcp_input.h"
#include "tcp_output.h"
#include "tcp_syn.h"
#include "udp.h"

#define L2_MAX 256u
#define NOMEM_RETRY_NS (10 * MSEC)
#define MTU_MIN 68u /* RFC 791 section 3.2 */

/* Known ones, in a combination that makes sense. */
static bool
offloads_ok(uint32_t offloads)
{
	const uint32_t gso = UTCP_OFFLOAD_GSO_TCP | UTCP_OFFLOAD_GSO_UDP;

	if (offloads & ~(gso | UTCP_OFFLOAD_CSUM | UTCP_OFFLOAD_CSUM_TRUST))
		return false;
	return !(offloads & gso) || (offloads & UTCP_OFFLOAD_CSUM);
}

/* ---- beginning and end ------------------------------------------------- */

static int
check_config(const utcp_config_t *c)
{
	if (c->mtu < MTU_MIN || c->mtu > 65535 || c->l2_bytes > L2_MAX ||
	    (c->l2_bytes & 1))
		return -EINVAL;
	if (c->gso_max_bytes > 65535 || c->gso_max_bytes < MTU_MIN)
		return -EINVAL;
	if (!c->claim != !c->unclaim || !c->alloc != !c->release)
		return -EINVAL;
	return offloads_ok(c->offloads) ? 0 : -EINVAL;
}

/* NULL, or what the caller's version of the struct has. */
static int
take_config(utcp_config_t *c, const utcp_config_t *from)
{
	memset(c, 0, sizeof(*c));
	if (from) {
		if (from->size < offsetof(utcp_config_t, now_ns) ||
		    from->size > sizeof(*c))
			return -EINVAL;
		memcpy(c, from, from->size);
	}
	c->size = sizeof(*c);
	c->mtu = c->mtu ? c->mtu : 1500;
	c->gso_max_bytes = c->gso_max_bytes ? c->gso_max_bytes : 65535;
	c->max_socks = c->max_socks ? c->max_socks : 1u << 20;
	c->max_syns = c->max_syns ? c->max_syns : 65536;
	c->max_timewait = c->max_timewait ? c->max_timewait : 262144;
	c->max_bytes = c->max_bytes ? c->max_bytes : 1ull << 30;
	c->icmp_per_s = c->icmp_per_s ? c->icmp_per_s : 1000;
	c->challenge_per_s = c->challenge_per_s ? c->challenge_per_s : 1000;
	return check_config(c);
}

static void
make_keys(utcp_t *u)
{
	uint64_t *keys[] = { u->key_hash,      u->key_iss,
			     u->key_cookie[0], u->key_cookie[1],
			     u->key_fastopen,  u->key_port };
	unsigned int i;

	utcp__random_init(u, u->cfg.seed);
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		keys[i][0] = utcp__random(u);
		keys[i][1] = utcp__random(u);
	}
	memset(u->cfg.seed, 0, sizeof(u->cfg.seed));
}

static void
init_lists(utcp_t *u)
{
	struct utcp__link *lists[] = {
		&u->socks,     &u->ready,      &u->outq,      &u->held,
		&u->dead,      &u->udps,       &u->udp_ready, &u->udp_outq,
		&u->udp_held,  &u->timewaits,  &u->roused,    &u->rest.roused,
		&u->rest.held, &u->rest.segs,  &u->rest.sent, &u->rest.lost,
		&u->rest.rcvq, &u->rest.reass, &u->ext_work
	};
	unsigned int i;

	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		link_init(lists[i]);
	for (i = 0; i < sizeof(u->syns) / sizeof(u->syns[0]); i++)
		link_init(&u->syns[i]);
	utcp__timer_init(&u->syn_timer);
	utcp__timer_init(&u->tw_timer);
	utcp__timer_init(&u->reass_timer);
}

static int
init_rooms(utcp_t *u)
{
	const char *cc = u->cfg.cc ? u->cfg.cc : "cubic";
	int r;

	utcp__pools_init(u);
	r = utcp__table_init(u);
	r = r ? r : utcp__ports_init(u);
	r = r ? r : utcp__heap_reserve(u, 3);
	r = r ? r : utcp__opts_init(u);
	r = r ? r : utcp__cc_init(u);
	r = r ? r : utcp__ext_init(u);
	if (r)
		return r;
	u->dflt->cc = utcp__cc_find(u, cc);
	u->cfg.cc = NULL; /* the caller's string */
	return u->dflt->cc ? 0 : -ENOENT;
}

int
utcp_create(utcp_t **out, const utcp_config_t *config)
{
	utcp_config_t c;
	utcp_t *u, boot;
	int r;

	if (!out)
		return -EINVAL;
	*out = NULL;
	r = take_config(&c, config);
	if (r)
		return r;
	/* The allocator is known before the stack is there. */
	memset(&boot, 0, sizeof(boot));
	boot.cfg = c;
	u = utcp__alloc(&boot, sizeof(*u));
	if (!u)
		return -ENOMEM;
	u->cfg = c;
	u->mem_bytes = sizeof(*u);
	u->now_ns = c.now_ns;
	make_keys(u);
	init_lists(u);
	r = init_rooms(u);
	if (r) {
		utcp_destroy(u);
		return r;
	}
	*out = u;
	return 0;
}

void
utcp_destroy(utcp_t *u)
{
	utcp_t last;

	if (!u)
		return;
	utcp__enter(u);
	while (!link_empty(&u->socks)) {
		utcp_sock_t *s = CONTAINER(u->socks.next, utcp_sock_t, all);

		utcp__sock_destroy(s);
	}
	utcp__udp_destroy_all(u);
	utcp__leave(u);
	while (!link_empty(&u->timewaits))
		utcp__timewait_drop(
		    u, CONTAINER(u->timewaits.next, struct utcp__tw, link));
	utcp__ctl_deinit(u);
	utcp__reass_deinit(u);
	utcp__hosts_deinit(u);
	utcp__opts_put(u, u->dflt);
	utcp__cc_deinit(u);
	utcp__ext_deinit(u);
	utcp__heap_deinit(u);
	utcp__ports_deinit(u);
	utcp__table_deinit(u);
	utcp__pools_deinit(u);
	UTCP_ASSERT(u->buffered_bytes == 0);
	UTCP_ASSERT(u->mem_bytes == sizeof(*u));
	memset(&last, 0, sizeof(last));
	last.cfg = u->cfg;
	last.mem_bytes = sizeof(*u);
	utcp__free(&last, u, sizeof(*u));
}

int
utcp__source(const utcp_t *u, uint8_t family, const uint8_t *peer,
	     uint8_t *addr)
{
	unsigned int i;

	if (utcp__is_loopback(peer, family)) {
		memset(addr, 0, 16);
		addr[0] = family == 4 ? 127 : 0;
		addr[family == 4 ? 3 : 15] = 1;
		return 0;
	}
	for (i = 0; i < u->num_addrs; i++) {
		if (u->addrs[i].family == family) {
			memcpy(addr, u->addrs[i].addr, 16);
			return 0;
		}
	}
	return -EADDRNOTAVAIL;
}

/* ---- the interface ----------------------------------------------------- */

int
utcp_address(utcp_t *u, const utcp_addr_t *addr, int add)
{
	const unsigned int max = sizeof(u->addrs) / sizeof(u->addrs[0]);
	utcp_addr_t a = { 0 };
	unsigned int i;

	if (!u || !addr || (addr->family != 4 && addr->family != 6))
		return -EINVAL;
	memcpy(a.addr, addr->addr, addr->family == 4 ? 4 : 16);
	a.family = addr->family;
	if (utcp__is_any(&a))
		return -EINVAL;
	for (i = 0; i < u->num_addrs; i++)
		if (memcmp(&u->addrs[i], &a, sizeof(a)) == 0)
			break;
	if (add) {
		if (i < u->num_addrs)
			return -EEXIST;
		if (u->num_addrs == max)
			return -ENOSPC;
		u->addrs[u->num_addrs++] = a;
		return 0;
	}
	if (i == u->num_addrs)
		return -ENOENT;
	u->num_addrs--;
	memmove(&u->addrs[i], &u->addrs[i + 1],
		(u->num_addrs - i) * sizeof(u->addrs[0]));
	return 0;
}

int
utcp_set_offloads(utcp_t *u, uint32_t offloads)
{
	if (!u || !offloads_ok(offloads))
		return -EINVAL;
	u->cfg.offloads = offloads;
	return 0;
}

int
utcp_set_mtu(utcp_t *u, uint32_t mtu)
{
	struct utcp__link *l;

	if (!u || mtu < MTU_MIN || mtu > 65535)
		return -EINVAL;
	utcp__enter(u);
	u->cfg.mtu = mtu;
	for (l = u->socks.next; l != &u->socks; l = l->next) {
		utcp_sock_t *s = CONTAINER(l, utcp_sock_t, all);

		if (!s->dead && s->state >= UTCP_SYN_SENT)
			utcp__mtu_changed(s);
	}
	utcp__leave(u);
	return 0;
}

/* ---- time -------------------------------------------------------------- */

static void
timer_due(utcp_t *u, struct utcp__timer *t)
{
	utcp_sock_t *s;

	if (t == &u->syn_timer) {
		utcp__syn_timer(u);
	} else if (t == &u->tw_timer) {
		utcp__timewait_timer(u);
	} else if (t == &u->reass_timer) {
		utcp__reass_tick(u);
	} else {
		s = CONTAINER(t, utcp_sock_t, timer);
		if (utcp__rouse(s)) {
			utcp__tcp_timers(s);
			utcp__tm_rearm(s);
		} else {
			utcp__timer_at(u, t, u->now_ns + NOMEM_RETRY_NS);
		}
	}
}

void
utcp_advance(utcp_t *u, uint64_t now_ns)
{
	struct utcp__timer *t;

	if (!u)
		return;
	if (now_ns > u->now_ns)
		u->now_ns = now_ns;
	if (utcp__timer_next(u) > u->now_ns)
		return;
	utcp__enter(u);
	while ((t = utcp__timer_due(u)) != NULL)
		timer_due(u, t);
	utcp__leave(u);
}

uint64_t
utcp_next_ns(const utcp_t *u)
{
	if (!u)
		return UTCP_NEVER;
	if (u->num_ctl || !link_empty(&u->outq) || !link_empty(&u->udp_outq))
		return u->now_ns;
	return utcp__timer_next(u);
}

uint64_t
utcp_now_ns(const utcp_t *u)
{
	return u ? u->now_ns : 0;
}

/* ---- packets in -------------------------------------------------------- */

/* Elements of the packet that begins here. */
static unsigned int
elements(const utcp_pkt_t *p)
{
	unsigned int n = 1;

	while (p[n - 1].flags & UTCP_PKT_MORE)
		n++;
	return n;
}

int
utcp_input(utcp_t *u, const utcp_pkt_t *pkts, unsigned int n)
{
	unsigned int i, num;

	if (!u || (!pkts && n))
		return -EINVAL;
	if (n == 0)
		return 0;
	if (pkts[n - 1].flags & UTCP_PKT_MORE)
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (!pkts[i].data && pkts[i].len)
			return -EINVAL;
	utcp__enter(u);
	for (i = 0; i < n; i += num) {
		/* The headers of the next but one are on their way. */
		if (i + 2 < n && pkts[i + 2].data)
			__builtin_prefetch(pkts[i + 2].data + u->cfg.l2_bytes);
		num = elements(pkts + i);
		if (num > UTCP_PKT_PARTS_MAX) {
			COUNT(u, IN_PKTS);
			COUNT(u, DROP_HEADER);
			continue;
		}
		if (i + 1 < n && utcp__ack_surpassed(pkts + i, pkts + i + 1,
						     u->cfg.l2_bytes)) {
			COUNT(u, IN_PKTS);
			COUNT_N(u, IN_BYTES, pkts[i].len - u->cfg.l2_bytes);
			COUNT(u, ACKS_FILTERED);
			continue;
		}
		utcp__ip_input(u, pkts + i, num);
	}
	utcp__leave(u);
	return 0;
}

void
utcp_retain(utcp_t *u)
{
	if (!u)
		return;
	if (!link_empty(&u->udp_held))
		utcp__udp_retain(u);
	if (link_empty(&u->held))
		return;
	utcp__enter(u);
	while (!link_empty(&u->held))
		utcp__rcv_retain(
		    CONTAINER(u->held.next, struct utcp__busy, held)->s);
	utcp__leave(u);
}

/* ---- packets out ------------------------------------------------------- */

/*
 * Sockets send in turns. One that has more to send goes to the end; one that
 * found no room keeps its place for the next call.
 */
static void
tcp_flush(utcp_t *u, struct utcp__out *o)
{
	while (!link_empty(&u->outq) && o->used < o->num) {
		utcp_sock_t *s = CONTAINER(u->outq.next, utcp_sock_t, out);
		unsigned int used = o->used;
		bool more;

		link_remove(&s->out);
		if (!utcp__rouse(s)) {
			COUNT(u, DROP_NOMEM);
			utcp__tm_set(s, UTCP__TM_PACE,
				     u->now_ns + NOMEM_RETRY_NS);
			continue;
		}
		more = utcp__tcp_output(s, o);
		if (s->dead)
			continue;
		if (OPT(s, NOTSENT_LOWAT))
			utcp__wake(s);
		if (!more)
			continue;
		link_remove(&s->out);
		if (o->used == used) {
			link_append(u->outq.next, &s->out);
			break;
		}
		link_append(&u->outq, &s->out);
	}
}

int
utcp_output(utcp_t *u, utcp_pkt_t *pkts, unsigned int n)
{
	struct utcp__out o = { .u = u, .pkts = pkts, .num = n };

	if (!u || (!pkts && n) || n > 1u << 20)
		return -EINVAL;
	if (n == 0)
		return 0;
	utcp__enter(u);
	if (!u->num_ctl || !utcp__ctl_output(u, &o)) {
		tcp_flush(u, &o);
		if (!link_empty(&u->udp_outq))
			utcp__udp_flush(u, &o);
	}
	utcp__leave(u);
	return (int)o.used;
}

/* ---- events and counters ----------------------------------------------- */

int
utcp_events(utcp_t *u, utcp_event_t *events, unsigned int n)
{
	unsigned int num = 0;

	if (!u || (!events && n) || n > 1u << 20)
		return -EINVAL;
	while (num < n && !link_empty(&u->ready)) {
		utcp_sock_t *s = CONTAINER(u->ready.next, utcp_sock_t, ready);
		uint32_t level = utcp_poll(s),
			 news = level & ~(uint32_t)s->told;

		link_remove(&s->ready);
		s->told = (uint8_t)level;
		if (!news)
			continue;
		memset(&events[num], 0, sizeof(events[num]));
		events[num].sock = s;
		events[num].user = s->user;
		events[num++].ready = level;
	}
	if (num < n && !link_empty(&u->udp_ready))
		num += (unsigned int)utcp__udp_events(u, events + num, n - num);
	return (int)num;
}

unsigned int
utcp_counters(const utcp_t *u, uint64_t *values, unsigned int n)
{
	if (!u || !values)
		return 0;
	if (n > UTCP_CTR_MAX)
		n = UTCP_CTR_MAX;
	memcpy(values, u->ctr, n * sizeof(*values));
	return n;
}

static const char *const counters[][2] = {
#define COUNTER_ROW(NAME, name, meaning) { name, meaning },
	UTCP_COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
};

const char *
utcp_counter_name(unsigned int i)
{
	return i < UTCP_CTR_MAX ? counters[i][0] : NULL;
}

const char *
utcp_counter_text(unsigned int i)
{
	return i < UTCP_CTR_MAX ? counters[i][1] : NULL;
}

void
utcp_usage(const utcp_t *u, utcp_usage_t *usage)
{
	if (!usage)
		return;
	memset(usage, 0, sizeof(*usage));
	if (!u)
		return;
	usage->mem_bytes = u->mem_bytes;
	usage->buffered_bytes = u->buffered_bytes;
	usage->socks = u->num_socks;
	usage->syns = u->num_syns;
	usage->timewaits = u->num_timewaits;
}
