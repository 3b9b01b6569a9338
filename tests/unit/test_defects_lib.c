/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_defects_lib.c: those of the known defects that an application can see,
 * through libmultistack, with the reservation of the host that real addresses
 * have: 127.0.0.1, on one end of a wire in memory. The others stand in
 * test_defects.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <multistack/port.h>

#define DEVICE "pair:defects0"

static msport_t *
open_port(void)
{
	msport_error_t err = { 0, "" };
	msport_t *port = NULL;

	if (msport_open(&port, DEVICE, NULL, &err) != 0)
		fail_msg("%s", err.text);
	return port;
}

static struct ms_tuple
loopback(uint16_t port)
{
	struct ms_tuple t;

	assert_int_equal(msport_tuple(&t, "127.0.0.1", IPPROTO_UDP, port), 0);
	return t;
}

/* An ordinary application that asks the host for a port. Its socket, or a
   negative errno. */
static int
host_bind(uint16_t port_be)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = port_be };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(s >= 0);
	if (bind(s, (struct sockaddr *)&a, sizeof(a)) == 0)
		return s;
	err = -errno;
	close(s);
	return err;
}

static void
test_the_host_keeps_what_a_stack_claims(void **state)
{
	struct ms_tuple t = loopback(0);
	msport_t *port = open_port();
	int s;

	(void)state;
	assert_int_equal(msport_bind(port, &t), 0);
	assert_int_not_equal(t.port_be, 0);
	assert_int_equal(host_bind(t.port_be), -EADDRINUSE);
	assert_int_equal(msport_unbind(port, &t), 0);
	s = host_bind(t.port_be);
	assert_true(s >= 0);
	/* and the other way round */
	assert_int_equal(msport_bind(port, &t), -EADDRINUSE);
	assert_string_not_equal(msport_error(port), "");
	close(s);
	assert_int_equal(msport_bind(port, &t), 0);
	msport_close(port);
}

/* Closing the socket early frees the port: here, nothing that an application
   can close, or end, frees it but its own port. */
static void
test_closing_early_frees_nothing(void **state)
{
	msport_t *a = open_port(), *b = open_port(), *c = open_port();
	struct ms_tuple t = loopback(0), u;
	pid_t pid;
	int s, status;

	(void)state;
	assert_int_equal(msport_bind(a, &t), 0);
	u = loopback(0);
	assert_int_equal(msport_bind(b, &u), 0);
	/* a neighbour's end */
	msport_close(c);
	assert_int_equal(msport_unbind(b, &u), 0);
	msport_close(b);
	assert_int_equal(host_bind(t.port_be), -EADDRINUSE);
	/* a child that inherited everything, and closes everything */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (s = 3; s < 1024; s++)
			close(s);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(host_bind(t.port_be), -EADDRINUSE);
	/* an application that asked, was refused, and closed */
	assert_int_equal(host_bind(t.port_be), -EADDRINUSE);
	msport_close(a);
	s = host_bind(t.port_be);
	assert_true(s >= 0);
	close(s);
}

static void
test_stranger_cannot_unbind(void **state)
{
	msport_t *a = open_port(), *b = open_port();
	struct ms_tuple t = loopback(0);

	(void)state;
	assert_int_equal(msport_bind(a, &t), 0);
	assert_int_equal(msport_unbind(b, &t), -EPERM);
	assert_int_equal(host_bind(t.port_be), -EADDRINUSE);
	assert_int_equal(msport_bind(b, &t), -EADDRINUSE);
	msport_close(b);
	assert_int_equal(host_bind(t.port_be), -EADDRINUSE);
	msport_close(a);
}

static void
put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* An empty UDP datagram from `sport`. */
static uint32_t
udp_from(uint8_t p[64], const msport_t *port, uint16_t sport_be)
{
	uint32_t sum = 0, i;

	memset(p, 0, 64);
	memcpy(p + 6, msport_info(port)->mac, 6);
	put16(p + 12, 0x0800);
	p[14] = 0x45;
	put16(p + 16, 28);
	p[22] = 64;
	p[23] = IPPROTO_UDP;
	put16(p + 26, 127 << 8);
	put16(p + 28, 1);
	memcpy(p + 30, p + 26, 4);
	for (i = 14; i < 34; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	put16(p + 24, ~sum & 0xffff);
	memcpy(p + 34, &sport_be, 2);
	put16(p + 36, 9);
	put16(p + 38, 8);
	return 42;
}

static uint64_t
counter(msport_t *port, enum ms_counter which)
{
	struct ms_cmd_stats s = { .size = sizeof(s) };

	assert_int_equal(msport_stats(port, &s), 0);
	return s.counter[which];
}

static void
test_nobody_sends_as_another_or_as_nobody(void **state)
{
	msport_t *a = open_port(), *b = open_port(), *c = open_port();
	struct ms_tuple ta = loopback(0), tb = loopback(0);
	uint8_t frame[64];
	uint32_t len;

	(void)state;
	assert_int_equal(msport_bind(a, &ta), 0);
	assert_int_equal(msport_bind(b, &tb), 0);
	len = udp_from(frame, a, tb.port_be);
	assert_int_equal(msport_send(a, 0, frame, len), 0);
	assert_int_equal(msport_sync(a, 0), 0);
	assert_int_equal(counter(a, MS_CTR_DROP_TX_FOREIGN), 1);
	assert_int_equal(counter(a, MS_CTR_TX_FRAMES), 0);
	/* c claimed nothing */
	assert_int_equal(msport_send(c, 0, frame, len), 0);
	assert_int_equal(msport_sync(c, 0), 0);
	assert_int_equal(counter(c, MS_CTR_TX_FRAMES), 0);
	assert_int_equal(counter(c, MS_CTR_DROP_TX_FOREIGN) +
			     counter(c, MS_CTR_DROP_TX_UNBOUND),
			 1);
	put16(frame + 12, 0x0806); /* ARP */
	assert_int_equal(msport_send(a, 0, frame, len), 0);
	assert_int_equal(msport_sync(a, 0), 0);
	assert_int_equal(counter(a, MS_CTR_DROP_TX_ETHER), 1);
	msport_close(a);
	msport_close(b);
	msport_close(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_host_keeps_what_a_stack_claims),
		cmocka_unit_test(test_closing_early_frees_nothing),
		cmocka_unit_test(test_stranger_cannot_unbind),
		cmocka_unit_test(test_nobody_sends_as_another_or_as_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
