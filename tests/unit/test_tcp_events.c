/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RFC 9293 section 3.10.7: each kind of segment in each state, what is answered
 * and what becomes of the state. (The calls in each state: test_utcp_states.c.)
 */
#include "sock.h"
#include "tcp_util.h"

#define WND 8192 /* our window */

/* A connection as far as it has come; numbers are relative. */
struct at {
	struct tt t;
	uint32_t snd_una, snd_nxt, rcv_nxt;
	uint32_t edge; /* the first number right of the window */
};

/* ---- the states -------------------------------------------------------- */

static void
closed(struct at *a)
{
	tt_init(&a->t, 4);
	a->t.p->stack_port = 80;
	a->rcv_nxt = 1;
	a->snd_nxt = 1;
}

static void
listening(struct at *a)
{
	closed(a);
	tt_listen(&a->t);
	assert_int_equal(utcp_set(a->t.listener, UTCP_OPT_RCVBUF, WND), 0);
}

static void
syn_sent(struct at *a)
{
	utcp_addr_t peer = { .addr = { 10, 0, 0, 2 }, .family = 4 };

	closed(a);
	tt_open(&a->t);
	assert_int_equal(utcp_set(a->t.s, UTCP_OPT_RCVBUF, WND), 0);
	put16(&peer.port_be, 80);
	a->t.p->port = 80;
	a->t.p->stack_port = 0;
	assert_int_equal(utcp_connect(a->t.s, &peer), -EINPROGRESS);
	tt_expect(&a->t, "S 0:0(0)");
}

static void
syn_received(struct at *a)
{
	listening(a);
	tt_in(&a->t, "S 0:0(0) <mss 1460>");
	tt_expect(&a->t, "S. 0:0(0) ack 1");
}

/* Both SYNs crossed. */
static void
syns_crossed(struct at *a)
{
	syn_sent(a);
	tt_in(&a->t, "S 0:0(0) <mss 1460>");
	tt_expect(&a->t, "S. 0:0(0) ack 1");
}

static void
established(struct at *a)
{
	listening(a);
	tt_passive(&a->t, TT_MSS);
	a->snd_una = 1;
}

static void
fin_wait_1(struct at *a)
{
	established(a);
	assert_int_equal(utcp_shutdown(a->t.s, UTCP_SHUT_WR), 0);
	tt_expect(&a->t, "F. 1:1(0) ack 1");
	a->snd_nxt = 2;
}

static void
fin_wait_2(struct at *a)
{
	fin_wait_1(a);
	tt_in(&a->t, ". 1:1(0) ack 2");
	a->snd_una = 2;
}

static void
close_wait(struct at *a)
{
	established(a);
	tt_in(&a->t, "F. 1:1(0) ack 1");
	tt_expect(&a->t, ". 1:1(0) ack 2");
	a->rcv_nxt = 2;
}

static void
closing(struct at *a)
{
	fin_wait_1(a);
	tt_in(&a->t, "F. 1:1(0) ack 1");
	tt_expect(&a->t, ". 2:2(0) ack 2");
	a->rcv_nxt = 2;
}

static void
last_ack(struct at *a)
{
	close_wait(a);
	assert_int_equal(utcp_shutdown(a->t.s, UTCP_SHUT_WR), 0);
	tt_expect(&a->t, "F. 1:1(0) ack 2");
	a->snd_nxt = 2;
}

static void
time_wait(struct at *a)
{
	fin_wait_2(a);
	tt_in(&a->t, "F. 1:1(0) ack 2");
	tt_expect(&a->t, ". 2:2(0) ack 2");
	a->rcv_nxt = 2;
}

/* What the state is now; one of the letters below. */
static char
state_of(struct at *a)
{
	static const char letters[] = "CLSYE12WGKT"; /* enum utcp_state */
	utcp_usage_t usage;

	utcp_usage(a->t.u, &usage);
	if (a->t.s == NULL && a->t.listener != NULL)
		utcp_accept(a->t.listener, &a->t.s);
	if (a->t.s != NULL && tt_info(&a->t).state != UTCP_CLOSED)
		return letters[tt_info(&a->t).state];
	if (usage.timewaits != 0)
		return 'T';
	if (usage.syns != 0)
		return 'Y';
	return a->t.s == NULL && a->t.listener != NULL ? 'L' : 'C';
}

#define STATES 12
static const struct state {
	const char *name;
	void (*reach)(struct at *a);
	char letter;
} states[STATES] = {
	{ "CLOSED", closed, 'C' },
	{ "LISTEN", listening, 'L' },
	{ "SYN-SENT", syn_sent, 'S' },
	{ "SYN-RECEIVED, of a listener", syn_received, 'Y' },
	{ "SYN-RECEIVED, of SYNs that crossed", syns_crossed, 'Y' },
	{ "ESTABLISHED", established, 'E' },
	{ "FIN-WAIT-1", fin_wait_1, '1' },
	{ "FIN-WAIT-2", fin_wait_2, '2' },
	{ "CLOSE-WAIT", close_wait, 'W' },
	{ "CLOSING", closing, 'G' },
	{ "LAST-ACK", last_ack, 'K' },
	{ "TIME-WAIT", time_wait, 'T' },
};

/* ---- the segments ------------------------------------------------------ */

enum seq { NXT, INSIDE, LAST, RIGHT, BEYOND, AGAIN, OLD };
enum ack { NONE, UNA, ALL, NEVER_SENT };

/*
 * What each state does: the answer, and the state after it if it is another.
 *
 *	-	nothing
 *	A	<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>
 *	a	the same, after all of the segment was taken
 *	R	<SEQ=SEG.ACK><CTL=RST>
 *	r	<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>
 *	S	a SYN-ACK of this SYN
 *
 * The resets and the SYNs as RFC 5961 has them (an exact number, or a challenge
 * ACK), and in TIME-WAIT as RFC 1337 has them (no reset counts).
 */
static const struct event {
	const char *name;
	const char *flags;
	enum seq seq;
	enum ack ack;
	uint32_t len;
	const char *want; /* by state, in the order above */
} events[] = {
	/* In CLOSED, LISTEN, SYN-SENT, SYN-RECEIVED twice, ESTABLISHED,
	   FIN-WAIT-1 and 2, CLOSE-WAIT, CLOSING, LAST-ACK, TIME-WAIT. */
	/* second: RST */
	{ "RST", "R", NXT, NONE, 0, "-  -  -  -L -C -C -C -C -C -C -C -" },
	{ "RST in the window", "R", INSIDE, NONE, 0,
	  "-  -  -  A  A  A  A  A  A  A  A  -" },
	{ "RST at its end", "R", LAST, NONE, 0,
	  "-  -  -  A  A  A  A  A  A  A  A  -" },
	{ "RST right of it", "R", RIGHT, NONE, 0,
	  "-  -  -  -  -  -  -  -  -  -  -  -" },
	{ "RST left of it", "R", AGAIN, NONE, 0,
	  "-  -  -  -  -  -  -  -  -  -  -  -" },
	{ "RST with data", "R", NXT, NONE, 10,
	  "-  -  -  -L -C -C -C -C -C -C -C -" },
	{ "RST, ACK", "R.", NXT, ALL, 0, "-  -  -C -L -C -C -C -C -C -C -C -" },
	{ "RST, ACK of nothing new", "R.", NXT, UNA, 0,
	  "-  -  -  -L -C -C -C -C -C -C -C -" },
	{ "RST, ACK of what was never sent", "R.", NXT, NEVER_SENT, 0,
	  "-  -  -  -L -C -C -C -C -C -C -C -" },
	/* fourth: SYN */
	{ "SYN", "S", NXT, NONE, 0, "r  SY SY -L A  A  A  A  A  A  A  A" },
	{ "SYN in the window", "S", INSIDE, NONE, 0,
	  "r  SY SY -L A  A  A  A  A  A  A  SY" },
	{ "SYN right of it", "S", RIGHT, NONE, 0,
	  "r  SY SY A  A  A  A  A  A  A  A  SY" },
	{ "the SYN again", "S", AGAIN, NONE, 0,
	  "r  SY SY S  S  A  A  A  A  A  A  A" },
	{ "an old SYN", "S", OLD, NONE, 0,
	  "r  SY SY A  A  A  A  A  A  A  A  A" },
	{ "SYN, ACK", "S.", NXT, ALL, 0, "R  R  aE -L A  A  A  A  A  A  A  A" },
	{ "the SYN again, ACK", "S.", AGAIN, ALL, 0,
	  "R  R  AE A  AE A  A  A  A  A  A  A" },
	{ "SYN, ACK of what was never sent", "S.", NXT, NEVER_SENT, 0,
	  "R  R  R  -L A  A  A  A  A  A  A  A" },
	{ "SYN, FIN", "SF", NXT, NONE, 0,
	  "r  -  SY -L A  A  A  A  A  A  A  A" },
	/* fifth: ACK */
	{ "ACK", ".", NXT, ALL, 0, "R  R  -  -E -E -  -2 -  -  -T -C -" },
	{ "ACK of nothing new", ".", NXT, UNA, 0,
	  "R  R  R  R  R  -  -  -  -  -  -  -" },
	{ "ACK of what was never sent", ".", NXT, NEVER_SENT, 0,
	  "R  R  R  R  R  A  A  A  A  A  A  -" },
	/* One that begins where the window ends may acknowledge: after a
	   zero window, the peer believes in that number. */
	{ "ACK at the right edge", ".", RIGHT, ALL, 0,
	  "R  R  -  A  -E -  -2 -  -  -T -C A" },
	{ "ACK right of the window", ".", BEYOND, ALL, 0,
	  "R  R  -  A  A  A  A  A  A  A  A  A" },
	{ "ACK left of it (a keepalive)", ".", AGAIN, ALL, 0,
	  "R  R  -  A  A  A  A  A  A  A  A  A" },
	/* seventh: text */
	{ "data", ".", NXT, ALL, 10, "R  R  -  aE aE a  a2 a  -  -T -C A" },
	{ "data in the window", ".", INSIDE, ALL, 10,
	  "R  R  -  AE AE A  A2 A  -  -T -C A" },
	{ "data right of it", ".", RIGHT, ALL, 10,
	  "R  R  -  A  AE A  A2 A  -  -T -C A" },
	{ "data left of it", ".", OLD, ALL, 5,
	  "R  R  -  A  A  A  A  A  A  A  A  A" },
	{ "data that begins left of it", ".", OLD, ALL, 15,
	  "R  R  -  A  aE a  a2 a  A  -T -C A" },
	{ "data, ACK of nothing new", ".", NXT, UNA, 10,
	  "R  R  R  R  R  a  a  a  -  -  -  A" },
	{ "data, ACK of what was never sent", ".", NXT, NEVER_SENT, 10,
	  "R  R  R  R  R  A  A  A  A  A  A  A" },
	{ "data, no ACK", "P", NXT, NONE, 10,
	  "r  -  -  -  -  -  -  -  -  -  -  -" },
	/* eighth: FIN */
	{ "FIN", "F.", NXT, ALL, 0, "R  R  -  aW aW aW aT aT -  -T -C A" },
	{ "FIN, ACK of nothing new", "F.", NXT, UNA, 0,
	  "R  R  R  R  R  aW aG aT -  -  -  A" },
	{ "FIN behind a hole", "F.", INSIDE, ALL, 0,
	  "R  R  -  AE AE A  A2 A  -  -T -C A" },
	{ "FIN right of the window", "F.", BEYOND, ALL, 0,
	  "R  R  -  A  A  A  A  A  A  A  A  A" },
	{ "the FIN again", "F.", AGAIN, ALL, 0,
	  "R  R  -  A  AE A  A2 A  A  -T -C A" },
	{ "FIN, no ACK", "F", NXT, NONE, 0,
	  "r  -  -  -  -  -  -  -  -  -  -  -" },
};

static uint32_t
number(const struct at *a, enum seq seq)
{
	switch (seq) {
	case NXT:
		return a->rcv_nxt;
	case INSIDE:
		return a->rcv_nxt + 1;
	case LAST:
		return a->edge - 1;
	case RIGHT:
		return a->edge;
	case BEYOND:
		return a->edge + 1;
	case AGAIN:
		return a->rcv_nxt - 1;
	default:
		return a->rcv_nxt - 10;
	}
}

static uint32_t
acked(const struct at *a, enum ack ack)
{
	switch (ack) {
	case UNA:
		return a->snd_una;
	case NEVER_SENT:
		return a->snd_nxt + 1;
	default:
		return a->snd_nxt;
	}
}

/* Whether what left is what `want` says of a segment seq, ack, len. */
static bool
answered(const struct at *a, char want, const struct tt_seg *got, uint32_t seq,
	 uint32_t ack, uint32_t len)
{
	if (want == '-' || got == NULL)
		return want == '-' && got == NULL;
	if (got->len != 0)
		return false;
	switch (want) {
	case 'A':
		return got->flags == TH_ACK && got->seq == a->snd_nxt &&
		       got->ack == a->rcv_nxt;
	case 'a':
		return got->flags == TH_ACK && got->seq == a->snd_nxt &&
		       got->ack == seq + len;
	case 'R':
		return got->flags == TH_RST && got->seq == ack;
	case 'r':
		return got->flags == (TH_RST | TH_ACK) && got->seq == 0 &&
		       got->ack == seq + len;
	case 'S':
		return got->flags == (TH_SYN | TH_ACK) && got->ack == seq + 1;
	default:
		return false;
	}
}

static bool
happens(const struct state *s, const struct event *e)
{
	const char *want = e->want + 3 * (s - states);
	struct at a = { .edge = 0 };
	uint32_t seq, ack, len = e->len;
	struct tt_seg *got;
	char state, wanted;
	bool good;

	s->reach(&a);
	a.edge = a.rcv_nxt + WND;
	if (a.t.s != NULL && a.t.s->state >= UTCP_SYN_RECEIVED)
		a.edge = a.t.s->rcv_adv - a.t.s->irs;
	assert_int_equal(state_of(&a), s->letter);
	seq = number(&a, e->seq);
	ack = acked(&a, e->ack);
	if (e->ack == NONE)
		tt_in(&a.t, "%s %u(%u)", e->flags, seq, e->len);
	else
		tt_in(&a.t, "%s %u(%u) ack %u", e->flags, seq, e->len, ack);
	len += strchr(e->flags, 'S') != NULL;
	len += strchr(e->flags, 'F') != NULL;
	got = tt_next(&a.t);
	state = state_of(&a);
	wanted = want[1] != 0 && want[1] != ' ' ? want[1] : s->letter;
	good = answered(&a, want[0], got, seq, ack, len) && state == wanted &&
	       tt_next(&a.t) == NULL;
	if (!good)
		print_error("%s: %s: wanted %.2s, came \"%s\", state %c\n",
			    s->name, e->name, want,
			    got != NULL ? tt_text(got) : "nothing", state);
	tt_end(&a.t);
	return good;
}

static void
each_segment(void **state)
{
	const struct state *s = *state;
	unsigned int bad = 0;

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		bad += !happens(s, &events[i]);
	assert_int_equal(bad, 0);
}

/* Section 3.9.2.3 (MUST-57, 63): SYNs to, or from, more than one host. */
static void
syns_of_many(void **state)
{
	static const struct {
		int family;
		unsigned int at; /* of the IP header */
		uint8_t addr[16];
	} cases[] = {
		{ 4, 16, { 224, 0, 0, 1 } },
		{ 4, 12, { 224, 0, 0, 1 } },
		{ 4, 16, { 255, 255, 255, 255 } },
		{ 4, 12, { 255, 255, 255, 255 } },
		{ 4, 12, { 0 } },
		{ 6, 24, { 0xff, 2, [15] = 1 } },
		{ 6, 8, { 0xff, 2, [15] = 1 } },
	};
	uint8_t pkt[200];
	uint32_t len;
	struct tt t;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		tt_init(&t, cases[i].family);
		tt_listen(&t);
		t.p->stack_port = 80;
		len = tt_build(&t, pkt, "S 0:0(0) <mss 1460>");
		memcpy(pkt + cases[i].at, cases[i].addr,
		       cases[i].family == 4 ? 4 : 16);
		tt_fix(&t, pkt, len);
		tt_in_raw(&t, pkt, len);
		tt_none(&t);
		tt_in(&t, "S 0:0(0) <mss 1460>");
		tt_expect(&t, "S. 0:0(0) ack 1");
		tt_end(&t);
	}
}

/* Section 3.9.1.1 (MUST-42): one may listen where another connects from. */
static void
listen_beside_a_connection(void **state)
{
	utcp_addr_t peer = { .addr = { 10, 0, 0, 2 }, .family = 4 };
	utcp_addr_t local = { .family = 4 };
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_open(&t);
	put16(&local.port_be, 80);
	assert_int_equal(utcp_bind(t.s, &local), 0);
	assert_int_equal(utcp_open(t.u, 4, &t.listener), 0);
	/* Who is bound and has not begun keeps it for himself. */
	assert_int_equal(utcp_bind(t.listener, &local), -EADDRINUSE);
	put16(&peer.port_be, 80);
	t.p->port = 80;
	assert_int_equal(utcp_connect(t.s, &peer), -EINPROGRESS);
	tt_expect(&t, "S 0:0(0)");
	assert_int_equal(utcp_bind(t.listener, &local), 0);
	assert_int_equal(utcp_listen(t.listener, 1), 0);
	tt_in(&t, "S. 0:0(0) ack 1 <mss 1460>");
	tt_expect(&t, ". 1:1(0) ack 1");
	tt_state(&t, UTCP_ESTABLISHED);
	t.p = tt_peer(&t, 3, 5000, 80);
	tt_in(&t, "S 0:0(0) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 1");
	tt_end(&t);
}

int
main(void)
{
	struct CMUnitTest tests[STATES + 2] = {
		[STATES] = cmocka_unit_test(syns_of_many),
		[STATES + 1] = cmocka_unit_test(listen_beside_a_connection),
	};

	for (unsigned int i = 0; i < STATES; i++)
		tests[i] = (struct CMUnitTest){
			.name = states[i].name,
			.test_func = each_segment,
			.initial_state = (void *)&states[i],
		};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
