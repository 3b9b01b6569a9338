/* SPDX-License-Identifier: BSD-2-Clause */
/* TCP Fast Open, as server and as client (RFC 7413). */
#include "tcp_syn.h"
#include "tcp_util.h"

static void
serve(struct tt *t)
{
	tt_init(t, 4);
	tt_listen(t);
	tt_set(t->listener, UTCP_OPT_FASTOPEN, 5);
	t->p->stack_port = 80;
}

/* Asks for a cookie, and makes a text of it. */
static void
ask(struct tt *t, char cookie[17], bool exp)
{
	struct tt_seg *seg;

	tt_in(t, "S 0:0(0) <mss 1460,%s>", exp ? "FOEXP" : "FO");
	seg = tt_next(t);
	assert_non_null(seg);
	assert_int_equal(seg->flags, TH_SYN | TH_ACK);
	assert_int_equal(seg->fo, TT_IS);
	assert_int_equal(seg->fo_exp, exp);
	assert_int_equal(seg->fo_len, 8);
	for (unsigned int i = 0; i < 8; i++)
		snprintf(cookie + 2 * i, 3, "%02x", seg->fo_cookie[i]);
	tt_in(t, "R 1:1(0)");
}

/* With a cookie data is there before the handshake is over. */
static void
server_warm(void **state)
{
	char cookie[17];
	struct tt t;

	(void)state;
	for (int exp = 0; exp < 2; exp++) {
		serve(&t);
		ask(&t, cookie, exp);
		tt_in(&t, "S 0:100(100) <mss 1460,%s %s>", exp ? "FOEXP" : "FO",
		      cookie);
		tt_expect(&t, "S. 0:0(0) ack 101 <mss 1460>");
		assert_int_equal(utcp_accept(t.listener, &t.s), 0);
		tt_state(&t, UTCP_SYN_RECEIVED);
		tt_read(&t, 100);
		tt_write(&t, 50);
		tt_expect(&t, "P. 1:51(50) ack 101");
		tt_in(&t, ". 101:101(0) ack 51");
		tt_state(&t, UTCP_ESTABLISHED);
		assert_true(tt_info(&t).negotiated & UTCP_GOT_FASTOPEN);
		assert_int_equal(tt_counter(&t, UTCP_CTR_FASTOPEN_IN), 1);
		tt_end(&t);
	}
}

/* An initial window of data leaves before the handshake is over: the SYN takes
   no part of it, nor of the peer's. What then is lost is answered for. */
static void
server_answers_at_once(void **state)
{
	char cookie[17];
	struct tt t;

	(void)state;
	serve(&t);
	ask(&t, cookie, false);
	tt_in(&t, "S 0:100(100) win 10000 <mss 1000,sackOK,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 101");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_write(&t, 12000);
	for (int i = 0; i < 10; i++)
		tt_expect(&t, ". %d:%d(1000) ack 101", 1 + 1000 * i,
			  1001 + 1000 * i);
	tt_none(&t);
	assert_int_equal(tt_info(&t).cwnd_bytes, 10000);
	tt_in(&t, ". 101:101(0) ack 1 win 10000 <nop,nop,sack 2001:6001>");
	tt_expect(&t, ". 1:1001(1000) ack 101");
	assert_int_equal(tt_info(&t).recovery, 3);
	assert_int_equal(tt_info(&t).ssthresh_bytes, 7000);
	tt_end(&t);
}

/* A wrong cookie: the SYN alone is acknowledged, and a right one given. */
static void
server_bad_cookie(void **state)
{
	char cookie[17];
	struct tt t;

	(void)state;
	serve(&t);
	ask(&t, cookie, false);
	tt_in(&t, "S 0:100(100) <mss 1460,FO 0102030405060708>");
	tt_expect(&t, "S. 0:0(0) ack 1 <mss 1460,FO %s>", cookie);
	assert_int_equal(utcp_accept(t.listener, &t.s), -EAGAIN);
	tt_in(&t, "P. 1:101(100) ack 1");
	tt_expect(&t, ". 1:1(0) ack 101");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_read(&t, 100);
	assert_false(tt_info(&t).negotiated & UTCP_GOT_FASTOPEN);
	tt_end(&t);
}

/* Cookies are of the address: another's is none. */
static void
server_cookie_of_another(void **state)
{
	char cookie[17];
	struct tt t;

	(void)state;
	serve(&t);
	ask(&t, cookie, false);
	tt_peer(&t, 3, 40000, 80);
	tt_in(&t, "S 0:100(100) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 1");
	/* but not of the port */
	tt_peer(&t, 2, 40001, 80);
	tt_in(&t, "S 0:100(100) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 101");
	tt_end(&t);
}

static void
server_off(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_listen(&t);
	t.p->stack_port = 80;
	tt_in(&t, "S 0:0(0) <mss 1460,FO>");
	tt_expect(&t, "S. 0:0(0) ack 1 <mss 1460>");
	tt_end(&t);
}

/* The SYN-ACK is lost: the SYN comes again, and the timer goes off. */
static void
server_synack_lost(void **state)
{
	char cookie[17];
	struct tt t;

	(void)state;
	serve(&t);
	ask(&t, cookie, false);
	tt_in(&t, "S 0:100(100) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 101");
	tt_in(&t, "S 0:100(100) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 101");
	tt_expect_within(&t, 3 * SEC, "S. 0:0(0) ack 101");
	tt_in(&t, ". 101:101(0) ack 1");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_state(&t, UTCP_ESTABLISHED);
	tt_read(&t, 100);
	tt_end(&t);
}

/* So many unproven ones, and no more (section 5.1); a reset, an ACK, an end make
   room. */
static void
server_limit(void **state)
{
	char cookie[17];
	struct tt t;

	(void)state;
	serve(&t);
	tt_set(t.listener, UTCP_OPT_FASTOPEN, 1);
	ask(&t, cookie, false);
	tt_peer(&t, 2, 1001, 80);
	tt_in(&t, "S 0:100(100) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 101");
	tt_peer(&t, 2, 1002, 80);
	tt_in(&t, "S 0:100(100) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 1 <mss 1460>");
	t.p = t.peer0.next->next; /* the first */
	tt_in(&t, "R 101:101(0)");
	tt_peer(&t, 2, 1003, 80);
	tt_in(&t, "S 0:100(100) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 101");
	tt_in(&t, ". 101:101(0) ack 1");
	tt_peer(&t, 2, 1004, 80);
	tt_in(&t, "S 0:100(100) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 101");
	tt_end(&t);
}

static void
server_no_cookie(void **state)
{
	struct tt t;

	(void)state;
	serve(&t);
	tt_set(t.listener, UTCP_OPT_FASTOPEN_NOCOOKIE, 1);
	tt_in(&t, "S 0:100(100) <mss 1460>");
	tt_expect(&t, "S. 0:0(0) ack 101");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_read(&t, 100);
	tt_end(&t);
}

/* A cookie is good without data too: who is accepted may write at once. */
static void
server_no_data(void **state)
{
	char cookie[17];
	struct tt t;

	(void)state;
	serve(&t);
	ask(&t, cookie, false);
	tt_in(&t, "S 0:0(0) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 1 <mss 1460>");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_write(&t, 100);
	tt_expect(&t, "P. 1:101(100) ack 1");
	tt_in(&t, "P. 1:11(10) ack 1");
	tt_state(&t, UTCP_ESTABLISHED);
	assert_false(tt_info(&t).negotiated & UTCP_GOT_FASTOPEN);
	tt_read(&t, 10);
	tt_end(&t);
}

/* The handshake's last ACK is a FIN; nobody has accepted yet. */
static void
server_fin(void **state)
{
	char cookie[17];
	struct tt t;

	(void)state;
	serve(&t);
	ask(&t, cookie, false);
	tt_in(&t, "S 0:10(10) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 11");
	tt_in(&t, "F. 11:11(0) ack 1");
	tt_expect(&t, ". 1:1(0) ack 12");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_state(&t, UTCP_CLOSE_WAIT);
	tt_read(&t, 10);
	utcp_close(t.s);
	t.s = NULL;
	tt_expect(&t, "F. 1:1(0) ack 12");
	tt_in(&t, ". 12:12(0) ack 2");
	tt_end(&t);
}

/* Its listener ends: so do those that nobody has accepted. */
static void
server_ends(void **state)
{
	char cookie[17];
	struct tt t;

	(void)state;
	serve(&t);
	ask(&t, cookie, false);
	tt_in(&t, "S 0:10(10) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 11");
	utcp_close(t.listener);
	t.listener = NULL;
	tt_expect(&t, "R. 1:1(0) ack 11");
	tt_end(&t);
}

/* A reset of one that is accepted, and data unread. */
static void
server_reset(void **state)
{
	char cookie[17];
	uint8_t b[10] = { 0 };
	struct tt t;

	(void)state;
	serve(&t);
	ask(&t, cookie, false);
	tt_in(&t, "S 0:10(10) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 11");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_in(&t, "R. 11:11(0) ack 1");
	tt_ready(&t, UTCP_ERR | UTCP_HUP, 0);
	assert_int_equal(utcp_write(t.s, b, 10, 0), -ECONNRESET);
	utcp_close(t.s);
	t.s = NULL;
	tt_none(&t);
	tt_end(&t);
}

/* Its user closes before the handshake ends: the FIN follows it. */
static void
server_closes_early(void **state)
{
	char cookie[17];
	struct tt t;

	(void)state;
	serve(&t);
	ask(&t, cookie, false);
	tt_in(&t, "S 0:10(10) <mss 1460,FO %s>", cookie);
	tt_expect(&t, "S. 0:0(0) ack 11");
	assert_int_equal(utcp_accept(t.listener, &t.s), 0);
	tt_read(&t, 10);
	tt_write(&t, 20);
	tt_expect(&t, "P. 1:21(20) ack 11");
	utcp_close(t.s);
	t.s = NULL;
	tt_skip(&t);
	tt_in(&t, ". 11:11(0) ack 21");
	tt_expect(&t, "F. 21:21(0) ack 11");
	tt_in(&t, "F. 11:11(0) ack 22");
	tt_expect(&t, ". 22:22(0) ack 12");
	tt_end(&t);
}

/* ---- client ------------------------------------------------------------ */

static int
dial(struct tt *t)
{
	utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };

	tt_open(t);
	tt_set(t->s, UTCP_OPT_FASTOPEN_CONNECT, 1);
	put16(&a.port_be, 80);
	t->p->port = 80;
	t->p->stack_port = 0;
	t->p->iss_known = false;
	t->p->seen_end = 0;
	t->wrote = 0;
	/* 0: the SYN waits for data; else there is nothing to wait for */
	return utcp_connect(t->s, &a);
}

static void
hang_up(struct tt *t)
{
	utcp_abort(t->s);
	t->s = NULL;
	tt_skip(t);
}

/* Without a cookie one is asked for; data goes after the handshake. */
static void
client_cold(struct tt *t, bool exp)
{
	assert_int_equal(dial(t), -EINPROGRESS);
	tt_write(t, 100);
	tt_expect(t, "S 0:0(0) <mss 1460,sackOK,TS val * ecr 0,nop,wscale 7,"
		     "FO>");
	if (exp)
		tt_in(t, "S. 0:0(0) ack 1 <mss 1000,FOEXP 1122334455667788>");
	else
		tt_in(t, "S. 0:0(0) ack 1 <mss 1000,FO 1122334455667788>");
	tt_expect(t, "P. 1:101(100) ack 1");
	assert_false(tt_info(t).negotiated & UTCP_GOT_FASTOPEN);
	hang_up(t);
}

static void
client_warm(void **state)
{
	struct tt t;

	(void)state;
	for (int exp = 0; exp < 2; exp++) {
		tt_init(&t, 4);
		client_cold(&t, exp);
		assert_int_equal(dial(&t), 0);
		tt_set(t.s, UTCP_OPT_NODELAY, 1);
		tt_set(t.s, UTCP_OPT_PACING, 0);
		tt_none(&t); /* the SYN waits all the same */
		tt_write(&t, 100);
		tt_expect(&t,
			  "S 0:100(100) <mss 1460,sackOK,TS val * ecr 0,"
			  "nop,wscale 7,%s 1122334455667788>",
			  exp ? "FOEXP" : "FO");
		tt_in(&t, "S. 0:0(0) ack 101 <mss 1000>");
		tt_expect(&t, ". 101:101(0) ack 1");
		assert_true(tt_info(&t).negotiated & UTCP_GOT_FASTOPEN);
		assert_int_equal(tt_counter(&t, UTCP_CTR_FASTOPEN_OUT), 1);
		tt_write(&t, 10);
		tt_expect(&t, "P. 101:111(10) ack 1");
		tt_end(&t);
	}
}

/* Only the SYN is acknowledged: the data goes again, at once. */
static void
client_refused(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	client_cold(&t, false);
	assert_int_equal(dial(&t), 0);
	tt_write(&t, 100);
	tt_expect(&t, "S 0:100(100)");
	tt_in(&t, "S. 0:0(0) ack 1 <mss 1000>");
	tt_expect(&t, "P. 1:101(100) ack 1");
	assert_false(tt_info(&t).negotiated & UTCP_GOT_FASTOPEN);
	tt_in(&t, ". 1:1(0) ack 101");
	tt_quiet(&t, SEC);
	/* Section 4.1.3.1: a negative response is remembered... */
	hang_up(&t);
	assert_int_equal(dial(&t), -EINPROGRESS);
	tt_expect(&t, "S 0:0(0) <mss 1460,sackOK,TS val * ecr 0,nop,wscale 7>");
	hang_up(&t);
	/* ... for a while, and a new cookie is none. */
	tt_run(&t, 3600 * SEC);
	assert_int_equal(dial(&t), 0);
	tt_write(&t, 100);
	tt_expect(&t, "S 0:100(100)");
	tt_in(&t, "S. 0:0(0) ack 1 <mss 900,FO 8877665544332211>");
	tt_expect(&t, "P. 1:101(100) ack 1");
	hang_up(&t);
	assert_int_equal(dial(&t), 0);
	tt_write(&t, 2000);
	tt_expect(&t, "S 0:860(860) <mss 1460,sackOK,TS val * ecr 0,"
		      "nop,wscale 7,FO 8877665544332211>");
	tt_end(&t);
}

/* Of the data a part is acknowledged: the rest goes again, at once. */
static void
client_taken_in_part(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	client_cold(&t, false);
	assert_int_equal(dial(&t), 0);
	tt_write(&t, 100);
	tt_expect(&t, "S 0:100(100)");
	tt_in(&t, "S. 0:0(0) ack 41 <mss 1000>");
	tt_expect(&t, "P. 41:101(60) ack 1");
	assert_false(tt_info(&t).negotiated & UTCP_GOT_FASTOPEN);
	tt_in(&t, ". 1:1(0) ack 101");
	tt_quiet(&t, SEC);
	tt_end(&t);
}

/* A SYN that asked for a cookie and was lost is no black hole, but two are. */
static void
client_request_lost(void **state)
{
	const char *plain = "mss 1460,sackOK,TS val * ecr 0,nop,wscale 7";
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(dial(&t), -EINPROGRESS);
		tt_expect(&t, "S 0:0(0) <%s,FO>", plain);
		tt_expect_in(&t, SEC, "S 0:0(0) <%s>", plain);
		tt_in(&t, "S. 0:0(0) ack 1 <mss 1000>");
		tt_expect(&t, ". 1:1(0) ack 1");
		hang_up(&t);
	}
	assert_int_equal(dial(&t), -EINPROGRESS);
	tt_expect(&t, "S 0:0(0) <%s>", plain);
	hang_up(&t);
	tt_run(&t, 3600 * SEC);
	assert_int_equal(dial(&t), -EINPROGRESS);
	tt_expect(&t, "S 0:0(0) <%s,FO>", plain);
	tt_end(&t);
}

/* More than fits a segment: the rest follows the handshake. */
static void
client_much(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	client_cold(&t, false);
	assert_int_equal(dial(&t), 0);
	tt_write(&t, 3000);
	tt_expect(&t, "S 0:*(*)");
	tt_in(&t, "S. 0:0(0) ack 1 <mss 1000>");
	for (uint32_t at = 1; at < 3001;) {
		struct tt_seg *seg = tt_next(&t);

		assert_non_null(seg);
		assert_int_equal(seg->seq, at);
		at += seg->len;
	}
	tt_end(&t);
}

/* A path that swallows such SYNs: the next is plain, and so are those of other
   connections for a while (section 4.1.3.1). */
static void
client_black_hole(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	client_cold(&t, false);
	assert_int_equal(dial(&t), 0);
	tt_write(&t, 100);
	tt_expect(&t, "S 0:100(100)");
	tt_expect_in(&t, SEC,
		     "S 0:0(0) <mss 1460,sackOK,TS val * ecr 0,"
		     "nop,wscale 7>");
	tt_in(&t, "S. 0:0(0) ack 1 <mss 1000>");
	tt_expect(&t, "P. 1:101(100) ack 1");
	hang_up(&t);
	assert_int_equal(dial(&t), -EINPROGRESS);
	tt_write(&t, 100);
	tt_expect(&t, "S 0:0(0) <mss 1460,sackOK,TS val * ecr 0,nop,wscale 7>");
	hang_up(&t);
	tt_run(&t, 2 * 3600 * SEC);
	assert_int_equal(dial(&t), 0);
	tt_write(&t, 100);
	tt_expect(&t, "S 0:100(100)");
	tt_end(&t);
}

/* Both open at once, with data: it is acknowledged later (section 4.2.2 knows no
   more), and the SYN-ACK has no cookie. */
static void
client_crossed(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	client_cold(&t, false);
	dial(&t);
	tt_write(&t, 500);
	tt_expect(&t, "S 0:500(500)");
	tt_in(&t, "S 0:300(300) <mss 1000,nop,nop,sackOK,nop,wscale 6,"
		  "FO 8877665544332211>");
	tt_expect(&t, "S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 7>");
	tt_in(&t, "S. 0:0(0) ack 501 <mss 1000,nop,nop,sackOK,nop,wscale 6>");
	tt_expect(&t, ". 501:501(0) ack 1 <nop,nop,sack 0:1>");
	tt_state(&t, UTCP_ESTABLISHED);
	tt_in(&t, "P. 1:301(300) ack 501");
	tt_expect(&t, ". 501:501(0) ack 301");
	tt_read(&t, 300);
	tt_end(&t);
}

/* A cookie that nobody asked for is not kept. */
static void
client_not_asked(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_active(&t, "mss 1460,FO 1122334455667788");
	hang_up(&t);
	assert_int_equal(dial(&t), -EINPROGRESS);
	tt_write(&t, 100);
	tt_expect(&t, "S 0:0(0) <mss 1460,sackOK,TS val * ecr 0,nop,wscale 7,"
		      "FO>");
	tt_end(&t);
}

static void
client_no_cookie(void **state)
{
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	tt_open(&t);
	tt_set(t.s, UTCP_OPT_FASTOPEN_NOCOOKIE, 1);
	utcp_close(t.s);
	t.s = NULL;
	{
		utcp_addr_t a = { .addr = { 10, 0, 0, 2 }, .family = 4 };

		tt_open(&t);
		tt_set(t.s, UTCP_OPT_FASTOPEN_CONNECT, 1);
		tt_set(t.s, UTCP_OPT_FASTOPEN_NOCOOKIE, 1);
		put16(&a.port_be, 80);
		t.p->port = 80;
		assert_int_equal(utcp_connect(t.s, &a), 0);
	}
	tt_write(&t, 100);
	tt_expect(&t, "S 0:100(100) <mss 1460,sackOK,TS val * ecr 0,nop,"
		      "wscale 7>");
	tt_in(&t, "S. 0:0(0) ack 101 <mss 1460>");
	tt_expect(&t, ". 101:101(0) ack 1");
	tt_end(&t);
}

/* What is known of peers is bounded, and the oldest makes room. */
static void
hosts(void **state)
{
	uint8_t addr[16] = { 10 };
	struct utcp__host *h;
	struct tt t;

	(void)state;
	tt_init(&t, 4);
	assert_null(utcp__host(t.u, addr, 4, false));
	for (uint32_t i = 0; i < 10000; i++) {
		put32(addr, i);
		h = utcp__host(t.u, addr, 4, true);
		assert_non_null(h);
		assert_int_equal(h->mss, 0);
		h->mss = (uint16_t)i;
		/* this one is asked for all the time */
		put32(addr, 0);
		assert_non_null(utcp__host(t.u, addr, 4, false));
	}
	put32(addr, 1);
	assert_null(utcp__host(t.u, addr, 4, false));
	put32(addr, 9999);
	h = utcp__host(t.u, addr, 4, false);
	assert_non_null(h);
	assert_int_equal(h->mss, 9999);
	/* families do not mix */
	assert_null(utcp__host(t.u, addr, 6, false));
	tt_end(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_warm),
		cmocka_unit_test(server_answers_at_once),
		cmocka_unit_test(server_bad_cookie),
		cmocka_unit_test(server_cookie_of_another),
		cmocka_unit_test(server_off),
		cmocka_unit_test(server_synack_lost),
		cmocka_unit_test(server_limit),
		cmocka_unit_test(server_no_cookie),
		cmocka_unit_test(server_no_data),
		cmocka_unit_test(server_fin),
		cmocka_unit_test(server_ends),
		cmocka_unit_test(server_reset),
		cmocka_unit_test(server_closes_early),
		cmocka_unit_test(client_warm),
		cmocka_unit_test(client_refused),
		cmocka_unit_test(client_taken_in_part),
		cmocka_unit_test(client_request_lost),
		cmocka_unit_test(client_much),
		cmocka_unit_test(client_black_hole),
		cmocka_unit_test(client_crossed),
		cmocka_unit_test(client_not_asked),
		cmocka_unit_test(client_no_cookie),
		cmocka_unit_test(hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
