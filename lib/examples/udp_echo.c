/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * udp_echo: a network stack in one file.
 *
 *     udp_echo DEVICE PORT ADDRESS...
 *     udp_echo daemon:eth0 7001 192.0.2.7 2001:db8::7
 *
 * It claims the UDP port on addresses that the host's own stack goes on using
 * for everything else, and answers each datagram: "time" with the time, "who"
 * with who is serving, anything else with itself. No socket, no ARP, no
 * routing: frames come in, frames go out, and the answer goes back to where
 * the question came from, so the headers received are all it has to know.
 *
 * Compile: cc udp_echo.c $(pkg-config --cflags --libs multistack)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <multistack/port.h>

#define BATCH 64

static struct {
	uint64_t answered, ignored, bad_checksum, no_room;
} count;

static volatile sig_atomic_t stop;

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void
put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* RFC 1071: adds n bytes to a one's complement sum, and folds it. */
static uint32_t
sum16(uint32_t sum, const uint8_t *p, uint32_t n)
{
	for (; n > 1; n -= 2, p += 2)
		sum += get16(p);
	if (n)
		sum += (uint32_t)p[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Of the datagram at udp, whose addresses stand in addrs; 0xffff if the
   checksum inside it is right. */
static uint32_t
udp_sum(const uint8_t *addrs, uint32_t addr_bytes, const uint8_t *udp,
	uint32_t n)
{
	uint32_t sum = sum16(IPPROTO_UDP + n, addrs, 2 * addr_bytes);

	return sum16(sum, udp, n);
}

static void
swap(uint8_t *a, uint8_t *b, uint32_t n)
{
	uint8_t t[16];

	memcpy(t, a, n);
	memcpy(a, b, n);
	memcpy(b, t, n);
}

/* Writes what to say to the n bytes at `ask`, in place; its length. */
static uint32_t
compose(uint8_t *ask, uint32_t n, uint32_t room)
{
	uint32_t word = n && ask[n - 1] == '\n' ? n - 1 : n;
	time_t now = time(NULL);
	char text[96];

	if (word == 4 && !memcmp(ask, "time", 4))
		strftime(text, sizeof text, "%FT%TZ\n", gmtime(&now));
	else if (word == 3 && !memcmp(ask, "who", 3))
		snprintf(text, sizeof text,
			 "C stack, process %d of user %u, %llu answered\n",
			 (int)getpid(), (unsigned int)getuid(),
			 (unsigned long long)count.answered);
	else
		return n;
	n = (uint32_t)strlen(text);
	if (n > room)
		n = room;
	memcpy(ask, text, n);
	return n;
}

/*
 * Turns the question in `f` (len bytes, in a buffer of room) into its answer.
 * Returns the answer's length, or 0 if there is nothing to answer. The switch
 * has checked the IP header and that it is for us, or it had not come here.
 */
static uint32_t
answer(uint8_t *f, uint32_t len, uint32_t room, bool verified)
{
	uint32_t l3 = get16(f + 12) == 0x8100 ? 18 : 14, alen, hlen, n;
	uint8_t *ip = f + l3, *addrs, *udp;

	if (len < l3 + 28)
		goto ignore;
	if (ip[0] >> 4 == 4) {
		hlen = (ip[0] & 15) * 4u;
		alen = 4;
		addrs = ip + 12;
		if (ip[9] != IPPROTO_UDP || (get16(ip + 6) & 0x3fff))
			goto ignore; /* ICMP error, or fragment */
	} else {
		hlen = 40;
		alen = 16;
		addrs = ip + 8;
		if (len < l3 + 48 || ip[6] != IPPROTO_UDP)
			goto ignore;
	}
	udp = ip + hlen;
	if (len < l3 + hlen + 8)
		goto ignore;
	n = get16(udp + 4);
	if (n < 8 || n > len - l3 - hlen)
		goto ignore;
	if (!verified && get16(udp + 6) &&
	    udp_sum(addrs, alen, udp, n) != 0xffff) {
		count.bad_checksum++;
		return 0;
	}
	n = 8 + compose(udp + 8, n - 8, room - (l3 + hlen + 8));

	swap(f, f + 6, 6);		 /* MAC addresses */
	swap(addrs, addrs + alen, alen); /* IP addresses */
	swap(udp, udp + 2, 2);		 /* ports */
	put16(udp + 4, n);
	put16(udp + 6, 0);
	hlen += n; /* from here on the whole packet */
	if (alen == 4) {
		put16(ip + 2, hlen);
		ip[8] = 64; /* time to live */
		put16(ip + 10, 0);
		put16(ip + 10, ~sum16(0, ip, (ip[0] & 15) * 4u));
	} else {
		put16(ip + 4, n);
		ip[7] = 64; /* hop limit */
	}
	n = ~udp_sum(addrs, alen, udp, n) & 0xffff;
	put16(udp + 6, n ? n : 0xffff); /* 0 would mean: no checksum */
	count.answered++;
	return l3 + hlen;
ignore:
	count.ignored++;
	return 0;
}

/* One batch from the receive ring to the transmit ring. Returns the frames
   taken, or a negative errno. */
static int
serve(msport_t *port)
{
	msport_view_t rx[BATCH], tx[BATCH];
	int n, room, used = 0;
	bool rest = false; /* of a frame that spans slots */

	n = msport_rx(port, 0, rx, BATCH);
	if (n <= 0)
		return n;
	room = msport_tx(port, 0, tx, (unsigned int)n);
	for (int i = 0; i < n; i++) {
		bool skip = rest || (rx[i].flags & MS_SLOT_MORE);

		rest = rx[i].flags & MS_SLOT_MORE;
		if (skip) {
			count.ignored += !rest;
		} else if (used >= room || rx[i].len > tx[used].len) {
			count.no_room++;
		} else {
			memcpy(tx[used].data, rx[i].data, rx[i].len);
			tx[used].len = answer(
			    tx[used].data, rx[i].len, tx[used].len,
			    rx[i].flags &
				(MS_SLOT_CSUM_OK | MS_SLOT_CSUM_PARTIAL));
			tx[used].flags = 0;
			tx[used].gso_type = MS_GSO_NONE;
			used += tx[used].len != 0;
		}
	}
	msport_rx_release(port, 0, (unsigned int)n);
	if (used > 0) {
		msport_tx_commit(port, 0, tx, (unsigned int)used);
		msport_sync(port, 0);
	}
	return n;
}

static void
on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void
complain(msport_t *port, const char *what, int r)
{
	const char *why = msport_error(port);

	fprintf(stderr, "udp_echo: %s: %s\n", what, *why ? why : strerror(-r));
}

static int
claim(msport_t *port, const char *address, const char *number)
{
	struct ms_tuple t;
	int r = msport_tuple(&t, address, IPPROTO_UDP,
			     (uint16_t)strtoul(number, NULL, 10));

	if (!r)
		r = msport_bind(port, &t);
	if (r)
		complain(port, address, r);
	else
		printf("udp_echo: claimed %s port %u\n", address,
		       ntohs(t.port_be));
	return r;
}

int
main(int argc, char **argv)
{
	msport_options_t opt = { .label = "udp_echo" };
	struct sigaction sa = { .sa_handler = on_signal };
	msport_error_t err;
	msport_t *port;
	int r;

	if (argc < 4) {
		fprintf(stderr, "usage: udp_echo DEVICE PORT ADDRESS...\n");
		return 2;
	}
	r = msport_open(&port, argv[1], &opt, &err);
	if (r) {
		fprintf(stderr, "udp_echo: %s\n", err.text);
		return 1;
	}
	for (int i = 3; i < argc; i++) {
		r = claim(port, argv[i], argv[2]);
		if (r)
			goto out;
	}
	fflush(stdout);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	while (!stop && r >= 0) {
		r = serve(port);
		if (r == 0)
			r = msport_wait(port, 1, 0, -1);
		if (r == -EINTR)
			r = 0;
	}
	if (r < 0)
		complain(port, argv[1], r);
	printf("udp_echo: %llu answered, %llu ignored, %llu with a bad "
	       "checksum, %llu without room\n",
	       (unsigned long long)count.answered,
	       (unsigned long long)count.ignored,
	       (unsigned long long)count.bad_checksum,
	       (unsigned long long)count.no_room);
out:
	msport_close(port);
	return r < 0;
}
