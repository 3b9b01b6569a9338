/* SPDX-License-Identifier: BSD-2-Clause */
/* tcp_calls.c: fuzz_tcp's calls of sockets, good ones and bad ones. */
#include "tcp_world.h"

#define PORT_OWN 1024 /* from there on the stack chooses */

uint8_t fuzz_text[TEXT];

utcp_addr_t
fuzz_address(unsigned int nr, int family, uint32_t port)
{
	utcp_addr_t a = { .family = (uint8_t)family };

	a.addr[0] = family == 4 ? 10 : 0xfd;
	a.addr[family == 4 ? 3 : 15] = (uint8_t)(nr + 1);
	put16(&a.port_be, port);
	return a;
}

/* ---- connections ------------------------------------------------------------------ */

static void
named(struct end *e)
{
	utcp_addr_t a, b;

	if (e->own_port || utcp_getsockname(e->s, &a) != 0 ||
	    utcp_getpeername(e->s, &b) != 0)
		return;
	e->own_port = get16(&a.port_be) >= PORT_OWN ||
		      get16(&b.port_be) >= PORT_OWN;
}

static void
connect_to(struct end *e, const utcp_addr_t *to)
{
	int err = utcp_connect(e->s, to);

	if (err != 0 && err != -EINPROGRESS)
		return;
	e->sent = e->got = 0; /* it may be the second time */
	e->own_port = false;
	named(e);
}

static void
call_open(struct fuzz_in *in, struct side *s, unsigned int nr)
{
	uint8_t how = fuzz_u8(in);
	int family = (how & 1) != 0 ? 6 : 4;
	utcp_addr_t a = { .family = (uint8_t)family };
	struct end *e;
	utcp_sock_t *sock;

	if (s->num_ends == SOCKS || utcp_open(s->u, family, &sock) != 0)
		return;
	if (!fuzz_crypt_socket(sock)) {
		utcp_close(sock);
		return;
	}
	e = &s->ends[s->num_ends++];
	*e = (struct end){ .s = sock };
	if ((how & 2) != 0) {
		put16(&a.port_be, 80 + (how >> 6));
		if (utcp_bind(sock, &a) == 0 && (how & 4) != 0) {
			if ((how & 8) != 0)
				utcp_set(sock, UTCP_OPT_FASTOPEN, 5);
			utcp_listen(sock, how >> 4 & 3);
		}
	}
	if ((how & 4) == 0) {
		a = fuzz_address(!nr, family, 80 + (how >> 6));
		if ((how & 8) != 0)
			utcp_set(sock, UTCP_OPT_FASTOPEN_CONNECT, 1);
		connect_to(e, &a);
	}
}

static void
call_accept(struct side *s, utcp_sock_t *l)
{
	utcp_sock_t *sock;

	if (s->num_ends < SOCKS && utcp_accept(l, &sock) == 0) {
		s->ends[s->num_ends] = (struct end){ .s = sock };
		named(&s->ends[s->num_ends++]);
	}
}

static void
call_end(struct side *s, unsigned int i, bool abort_it)
{
	utcp_sock_t *sock = s->ends[i].s;

	s->ends[i] = s->ends[--s->num_ends];
	if (abort_it)
		utcp_abort(sock);
	else
		utcp_close(sock);
}

/* ---- data --------------------------------------------------------------------------- */

static void
given_back(utcp_buf_t *b, int status)
{
	struct world *w = b->user;

	FUZZ_CHECK(status <= 0);
	FUZZ_CHECK(w->lent > 0);
	w->lent--;
	free(b);
}

static void
call_send(struct world *w, struct fuzz_in *in, struct end *e, uint8_t op)
{
	uint64_t at = e->sent % TEXT;
	size_t len = 1u + fuzz_u16(in);
	int flags = (op & 32) != 0   ? UTCP_MSG_MORE
		    : (op & 64) != 0 ? UTCP_MSG_EOR
				     : 0;
	utcp_buf_t *b;
	ssize_t n;

	if (len > TEXT - at)
		len = TEXT - at;
	if ((op & 16) == 0 || w->bufs_num > 40) {
		n = utcp_write(e->s, fuzz_text + at, len, flags);
		FUZZ_CHECK(n != 0 && n <= (ssize_t)len);
		if (n > 0)
			e->sent += (uint64_t)n;
		return;
	}
	b = calloc(1, sizeof(*b));
	b->data = fuzz_text + at;
	b->len = len;
	b->done = given_back;
	b->user = w;
	w->lent++; /* an extension may end it before utcp_send returns */
	if (utcp_send(e->s, b, flags) != 0) {
		w->lent--;
		free(b);
	} else {
		e->sent += len;
		w->bufs_num++;
	}
}

/* What is read is what the other wrote. */
static void
check(const struct world *w, const struct end *e, uint64_t at, const void *data,
      size_t len)
{
	const uint8_t *b = data;
	size_t n;

	if ((w->hostile && !fuzz_sealed) || !e->own_port)
		return;
	for (; len > 0; len -= n, b += n, at += n) {
		n = TEXT - at % TEXT;
		n = n < len ? n : len;
		FUZZ_CHECK(memcmp(b, fuzz_text + at % TEXT, n) == 0);
	}
}

static void
took(struct world *w, struct end *e, size_t n)
{
	e->got += n;
	w->got += n;
}

static void
call_read(struct world *w, struct fuzz_in *in, struct end *e, uint8_t op)
{
	static uint8_t buf[65536];
	utcp_view_t v[5];
	size_t sum = 0, have = utcp_readable(e->s);
	ssize_t r;
	int n, i;

	if ((op & 16) == 0) {
		r = utcp_read(e->s, buf, 1u + fuzz_u16(in),
			      (op & 32) != 0 ? UTCP_MSG_PEEK : 0);
		FUZZ_CHECK(r <= (ssize_t)have);
		if (r > 0)
			check(w, e, e->got, buf, (size_t)r);
		if (r > 0 && (op & 32) == 0)
			took(w, e, (size_t)r);
		return;
	}
	n = utcp_views(e->s, v, 5);
	for (i = 0; i < n; i++) {
		FUZZ_CHECK(v[i].len > 0);
		memcpy(buf, v[i].data, 1); /* so that it is read */
		check(w, e, e->got + sum, v[i].data, v[i].len);
		sum += v[i].len;
	}
	FUZZ_CHECK(sum <= have);
	if (sum == 0)
		return;
	sum = (op & 32) != 0 ? sum : 1;
	FUZZ_CHECK(utcp_consume(e->s, have + 1) == -EINVAL);
	FUZZ_CHECK(utcp_consume(e->s, sum) == 0);
	took(w, e, sum);
}

void
read_all(struct world *w)
{
	static uint8_t buf[65536];
	unsigned int nr, i;
	struct end *e;
	ssize_t n;

	for (nr = 0; nr < 2; nr++)
		for (i = 0; i < w->side[nr].num_ends; i++) {
			e = &w->side[nr].ends[i];
			while ((n = utcp_read(e->s, buf, sizeof(buf), 0)) > 0) {
				check(w, e, e->got, buf, (size_t)n);
				took(w, e, (size_t)n);
			}
		}
}

/* ---- options and names ------------------------------------------------------------------ */

static void
call_option(struct fuzz_in *in, utcp_sock_t *s)
{
	static const char *const ccs[] = { "cubic",  "newreno", "bbr",
					   "prague", "odd",	"odd",
					   "cubic",  "bbr" };
	uint8_t opt = fuzz_u8(in);
	int64_t v = (int64_t)((uint64_t)fuzz_u16(in) << fuzz_u8(in) % 48);

	if (opt == 255)
		utcp_set_cc(s, ccs[v & 7]);
	else if (opt == 254)
		utcp_cc_default(utcp_stack(s), ccs[v & 7]);
	else if ((opt & 128) != 0)
		utcp_get(s, opt & 127, &v);
	else
		utcp_set(s, opt, v);
}

static void
ask(utcp_sock_t *s)
{
	utcp_info_t info = { .size = sizeof(info) };
	utcp_addr_t a;

	utcp_getsockname(s, &a);
	utcp_getpeername(s, &a);
	FUZZ_CHECK(utcp_info(s, &info) == 0);
	FUZZ_CHECK(info.state <= UTCP_TIME_WAIT);
	FUZZ_CHECK(info.unread_bytes == utcp_readable(s));
	FUZZ_CHECK((utcp_poll(s) & ~0x3du) == 0);
	FUZZ_CHECK(utcp_cc(s) != NULL);
	utcp_set_user(s, s);
	FUZZ_CHECK(utcp_user(s) == s);
}

/* Calls that make no sense in most states, or never. */
static void
call_ask(struct fuzz_in *in, struct side *s, unsigned int nr, struct end *e,
	 uint8_t op)
{
	utcp_info_t info = { .size = fuzz_u8(in) * 8u };
	utcp_addr_t a;
	int family;

	switch (op >> 4 & 7) {
	case 1:
		a = fuzz_address(!nr, 4, 80u + fuzz_u8(in) % 4);
		connect_to(e, &a);
		break;
	case 2: /* itself */
		family = (op & 128) != 0 ? 6 : 4;
		a = fuzz_address(nr, family, 80u + fuzz_u8(in) % 4);
		connect_to(e, &a);
		break;
	case 3:
		fuzz_bytes(in, &a, sizeof(a));
		connect_to(e, &a);
		break;
	case 4:
		fuzz_bytes(in, &a, sizeof(a));
		utcp_bind(e->s, &a);
		break;
	case 5:
		utcp_info(e->s, &info);
		utcp_views(e->s, NULL, 1);
		FUZZ_CHECK(utcp_send(e->s, NULL, 0) < 0);
		FUZZ_CHECK(utcp_write(e->s, NULL, 1, 0) < 0);
		break;
	case 6: /* the SYN that waits for data goes */
		utcp_write(e->s, fuzz_text, 0, 0);
		break;
	default:
		ask(e->s);
	}
	FUZZ_CHECK(utcp_stack(e->s) == s->u);
}

/* ---- UDP -------------------------------------------------------------------------------- */

static void
udp_ask(struct fuzz_in *in, utcp_udp_t *sock, uint8_t how)
{
	int64_t v = (int64_t)((uint64_t)fuzz_u16(in) << fuzz_u8(in) % 20);
	int opt = fuzz_u8(in);
	utcp_addr_t a;

	if ((how & 4) != 0)
		utcp_udp_set(sock, opt, v);
	else
		utcp_udp_get(sock, opt, &v);
	utcp_udp_poll(sock);
	utcp_udp_getsockname(sock, &a);
	utcp_udp_set_user(sock, sock);
	FUZZ_CHECK(utcp_udp_user(sock) == sock);
}

static void
udp_receive(utcp_udp_t *sock)
{
	uint8_t buf[16];
	utcp_dgram_t d[3];
	int n, i;

	n = utcp_udp_recv(sock, d, 3);
	for (i = 0; i < n; i++)
		memcpy(buf, d[i].data, d[i].len < 16 ? d[i].len : 16);
}

static void
call_udp(struct fuzz_in *in, struct side *s, unsigned int nr, uint8_t op)
{
	uint8_t how = fuzz_u8(in);
	int family = (how & 1) != 0 ? 6 : 4;
	utcp_addr_t a = { .family = (uint8_t)family };
	utcp_dgram_t d[3];
	utcp_udp_t *sock;

	if (s->num_udps < UDPS) {
		if (utcp_udp_open(s->u, family, &sock) != 0)
			return;
		s->udps[s->num_udps++] = sock;
		put16(&a.port_be, 53 + (how >> 6));
		utcp_udp_bind(sock, &a);
		return;
	}
	sock = s->udps[(how >> 4) % UDPS];
	if ((op & 64) != 0) {
		udp_ask(in, sock, how);
		return;
	}
	memset(d, 0, sizeof(d));
	d[0].data = fuzz_text;
	d[0].len = fuzz_u16(in);
	d[0].peer = fuzz_address(!nr, family, 53 + (how >> 6));
	if ((how & 2) != 0)
		d[0].gso_size = fuzz_u16(in);
	switch (how >> 1 & 7) {
	case 0:
		a = d[0].peer;
		utcp_udp_connect(sock, &a);
		break;
	case 1:
	case 2:
		udp_receive(sock);
		break;
	case 3:
		utcp_udp_close(sock);
		s->udps[(how >> 4) % UDPS] = s->udps[--s->num_udps];
		break;
	default:
		d[0].tos = (op & 16) != 0 ? how : 0;
		utcp_udp_send(sock, d, 1);
	}
}

/* ---- which ------------------------------------------------------------------------------ */

void
fuzz_call(struct world *w, struct fuzz_in *in, uint8_t op)
{
	unsigned int nr = op >> 7, i;
	struct side *s = &w->side[nr];
	struct end *e;

	if (s->num_ends == 0 || (op & 15) == 0) {
		call_open(in, s, nr);
		return;
	}
	i = fuzz_u8(in) % s->num_ends;
	e = &s->ends[i];
	switch (op & 15) {
	case 1:
	case 2:
	case 3:
		call_send(w, in, e, op);
		break;
	case 4:
	case 5:
	case 6:
		call_read(w, in, e, op);
		break;
	case 7:
	case 8:
		call_accept(s, e->s);
		break;
	case 9:
		call_end(s, i, false);
		break;
	case 10:
		call_end(s, i, true);
		break;
	case 11:
		if (utcp_shutdown(e->s, op >> 4 & 3) == 0 &&
		    (op >> 4 & 3) != UTCP_SHUT_WR)
			e->deaf = true;
		break;
	case 12:
		call_option(in, e->s);
		break;
	case 13:
		call_ask(in, s, nr, e, op);
		break;
	case 14:
		call_udp(in, s, nr, op);
		break;
	default:
		if ((op & 64) != 0)
			utcp_set_mtu(s->u, fuzz_u16(in) % 9001u);
		else
			utcp_listen(e->s, fuzz_u8(in));
	}
}

/* ---- of the stack ------------------------------------------------------------------------- */

static void
ask_stack(utcp_t *u)
{
	uint64_t values[UTCP_CTR_MAX];
	utcp_usage_t usage;
	unsigned int i;

	FUZZ_CHECK(utcp_counters(u, values, UTCP_CTR_MAX) == UTCP_CTR_MAX);
	for (i = 0; utcp_counter_name(i) != NULL; i++)
		FUZZ_CHECK(utcp_counter_text(i) != NULL);
	for (i = 0; utcp_opt_name(i) != NULL; i++)
		FUZZ_CHECK(utcp_opt_text(i) != NULL);
	for (i = 0; utcp_cc_name(u, i) != NULL; i++)
		;
	utcp_usage(u, &usage);
	utcp_now_ns(u);
}

/* Without a socket, a buffer or sense. */
static void
refused(utcp_t *u)
{
	utcp_addr_t a = { 0 };
	utcp_sock_t *s;
	utcp_udp_t *d;
	int64_t v;

	utcp_close(NULL);
	utcp_abort(NULL);
	utcp_udp_close(NULL);
	utcp_destroy(NULL);
	FUZZ_CHECK(utcp_open(u, 5, &s) == -EINVAL);
	FUZZ_CHECK(utcp_open(NULL, 4, &s) == -EINVAL);
	FUZZ_CHECK(utcp_udp_open(u, 0, &d) == -EINVAL);
	FUZZ_CHECK(utcp_connect(NULL, &a) == -EINVAL);
	FUZZ_CHECK(utcp_input(u, NULL, 1) == -EINVAL);
	FUZZ_CHECK(utcp_output(u, NULL, 1) == -EINVAL);
	FUZZ_CHECK(utcp_events(u, NULL, 1) == -EINVAL);
	FUZZ_CHECK(utcp_get(NULL, 0, &v) == -EINVAL);
	FUZZ_CHECK(utcp_read(NULL, &v, 8, 0) == -EINVAL);
	FUZZ_CHECK(utcp_write(NULL, &v, 8, 0) == -EINVAL);
}

void
fuzz_call_stack(struct world *w, struct fuzz_in *in, uint8_t op)
{
	unsigned int nr = op & 1;
	utcp_t *u = w->side[nr].u;
	utcp_addr_t a;

	switch (op >> 1 & 7) {
	case 0:
		ask_stack(u);
		break;
	case 1:
		refused(u);
		break;
	case 2: /* of one of our addresses, gone or back */
		a = fuzz_address(nr, (op & 16) != 0 ? 6 : 4, 0);
		utcp_address(u, &a, (op & 32) != 0);
		break;
	case 3:
		utcp_set_offloads(u, fuzz_u8(in));
		break;
	case 4:
		utcp_set_mtu(u, fuzz_u16(in) % 9001u);
		break;
	case 5:
		if ((op & 128) != 0)
			register_odd_ext(&w->side[nr], op >> 5);
		else
			register_odd_cc(u);
		break;
	case 6: /* time does not run backwards */
		utcp_advance(u, fuzz_u32(in));
		break;
	default:
		utcp_retain(u);
		read_all(w);
	}
}

/* ---- a congestion control that knows nothing ---------------------------------------------- */

static void
odd_turn(utcp_cc_t *cc)
{
	cc->cwnd = (uint32_t)(cc->random >> (cc->random & 31));
	cc->ssthresh = (uint32_t)(cc->random >> 32);
	cc->pacing_rate = cc->random >> 40 & 1 ? cc->random >> 41 : 0;
	cc->gso_max = (uint32_t)(cc->random >> 16 & 0x1ffff);
}

static int
odd_init(utcp_cc_t *cc)
{
	return cc->random % 8 == 0 ? -ENOMEM : 0;
}

static void
odd_ack(utcp_cc_t *cc, const utcp_ack_t *ack)
{
	FUZZ_CHECK(ack->acked <= ack->delivered + (1u << 30));
	odd_turn(cc);
}

static uint32_t
odd_ssthresh(utcp_cc_t *cc, enum utcp_cc_event why)
{
	(void)why;
	return (uint32_t)(cc->random >> (cc->random & 31));
}

static void
odd_event(utcp_cc_t *cc, enum utcp_cc_event event)
{
	if (event != UTCP_CC_MSS)
		odd_turn(cc);
}

void
register_odd_cc(utcp_t *u)
{
	utcp_cc_ops_t ops = {
		.size = sizeof(ops),
		.name = "odd",
		.priv_bytes = 24,
		.init = odd_init,
		.ack = odd_ack,
		.ssthresh = odd_ssthresh,
		.event = odd_event,
	};

	utcp_cc_register(u, &ops);
	ops.name = "oddest";
	ops.flags = UTCP_CC_OWN_RECOVERY | UTCP_CC_PACES;
	utcp_cc_register(u, &ops);
}
