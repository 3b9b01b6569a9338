/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp-flood: segments from anybody to one port, as fast as they go or at a
 * rate.
 *
 *     utcp-flood IFNAME ADDRESS PORT syn|ack|rst|junk SECONDS [PACKETS_A_SECOND]
 *     utcp-flood IFNAME ADDRESS PORT blind SECONDS RATE FROM_ADDRESS FROM_PORT
 *
 * syn: connections that nobody means; ack: acknowledgements of nothing (guesses
 * at SYN cookies); rst: resets of nothing; junk: random flags and options;
 * blind: resets, SYNs, data and ends in the name of a peer, by who knows all but
 * the numbers. Other sources are random addresses of 198.18.0.0/15 or
 * 2001:db8::/32. Written to the interface past routing, filters and queueing;
 * says as JSON how many.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define TCP_BYTES 40 /* with 20 of options */

static uint64_t seed = 88172645463325252u;

static uint64_t
draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static uint32_t
sum16(uint32_t sum, const uint8_t *p, unsigned int n)
{
	for (; n > 1; n -= 2, p += 2)
		sum += (uint32_t)(p[0] << 8 | p[1]);
	return sum;
}

static void
put_sum(uint8_t *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	at[0] = (uint8_t)(~sum >> 8);
	at[1] = (uint8_t)~sum;
}

/* blind: in whose name */
static uint8_t from[16];
static uint16_t from_port;

static unsigned int
make_tcp(uint8_t *tcp, uint16_t port, const char *kind)
{
	static const uint8_t options[20] = { 2, 4, 5, 180, 4, 2, 8, 10, 1, 2,
					     3, 4, 0, 0,   0, 0, 1, 3,	3, 7 };
	bool syn = *kind == 's';
	uint64_t r = draw();

	memset(tcp, 0, TCP_BYTES);
	memcpy(tcp, &r, 2);
	tcp[0] |= 4; /* above 1023 */
	tcp[2] = (uint8_t)(port >> 8);
	tcp[3] = (uint8_t)port;
	r = draw();
	memcpy(tcp + 4, &r, 8); /* sequence, acknowledgement */
	if (syn)
		memset(tcp + 8, 0, 4);
	tcp[12] = TCP_BYTES / 4 << 4;
	tcp[13] = syn ? 0x02 : *kind == 'r' ? 0x04 : 0x10;
	tcp[14] = 0xfa;
	memcpy(tcp + 20, options, 20);
	if (!syn) /* timestamps alone */
		memcpy(tcp + 20, "\1\1\10\12abcdefgh\1\1\1\1\1\1\1", 20);
	if (*kind == 'b') {
		static const uint8_t flags[] = { 0x04, 0x14, 0x02, 0x12,
						 0x10, 0x18, 0x11, 0x00 };

		r = draw();
		tcp[0] = (uint8_t)(from_port >> 8);
		tcp[1] = (uint8_t)from_port;
		tcp[12] = r & 8 ? 5 << 4 : 8 << 4; /* options, or data */
		tcp[13] = flags[r & 7];
		memset(tcp + 32, 0x5a, 8);
	}
	if (*kind == 'j') {
		r = draw();
		tcp[12] = (uint8_t)r;
		tcp[13] = (uint8_t)(r >> 8);
		for (unsigned int i = 20; i < TCP_BYTES; i += 4) {
			r = draw();
			memcpy(tcp + i, &r, 4);
		}
	}
	return TCP_BYTES;
}

static unsigned int
make_packet(uint8_t *p, int family, const uint8_t *dst, uint16_t port,
	    const char *kind)
{
	uint64_t r = draw();
	unsigned int n;

	if (family == AF_INET) {
		memset(p, 0, 20);
		p[0] = 0x45;
		p[8] = 64;
		p[9] = IPPROTO_TCP;
		p[12] = 198;
		p[13] = (uint8_t)(18 | (r & 1));
		memcpy(p + 14, &r, 2);
		if (*kind == 'b')
			memcpy(p + 12, from, 4);
		memcpy(p + 16, dst, 4);
		n = make_tcp(p + 20, port, kind);
		p[3] = (uint8_t)(20 + n);
		put_sum(p + 10, sum16(0, p, 20));
		put_sum(p + 36,
			sum16(sum16(IPPROTO_TCP + n, p + 12, 8), p + 20, n));
		return 20 + n;
	}
	memset(p, 0, 40);
	p[0] = 0x60;
	p[6] = IPPROTO_TCP;
	p[7] = 64;
	memcpy(p + 8, "\x20\x01\x0d\xb8", 4);
	memcpy(p + 16, &r, 8);
	if (*kind == 'b')
		memcpy(p + 8, from, 16);
	memcpy(p + 24, dst, 16);
	n = make_tcp(p + 40, port, kind);
	p[5] = (uint8_t)n;
	put_sum(p + 56, sum16(sum16(IPPROTO_TCP + n, p + 8, 32), p + 40, n));
	return 40 + n;
}

static double
clock_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	static uint8_t packets[BATCH][96];
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	struct sockaddr_ll to = { .sll_family = AF_PACKET };
	double start, seconds, rate;
	uint64_t sent = 0;
	uint16_t port;
	uint8_t dst[16];
	int fd, family, n;

	if (argc < 6) {
		fputs("usage: utcp-flood IFNAME ADDRESS PORT "
		      "syn|ack|rst|junk|blind SECONDS [RATE [FROM PORT]]\n",
		      stderr);
		return 2;
	}
	family = strchr(argv[2], ':') ? AF_INET6 : AF_INET;
	to.sll_protocol = htons(family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
	to.sll_ifindex = (int)if_nametoindex(argv[1]);
	fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &(int){ 1 },
		       sizeof(int)) ||
	    inet_pton(family, argv[2], dst) != 1 || to.sll_ifindex == 0) {
		perror("utcp-flood");
		return 2;
	}
	port = (uint16_t)atoi(argv[3]);
	seconds = atof(argv[5]);
	rate = argc > 6 ? atof(argv[6]) : 1e9;
	if (*argv[4] == 'b') {
		if (argc < 9 || inet_pton(family, argv[7], from) != 1)
			return 2;
		from_port = (uint16_t)atoi(argv[8]);
	}
	memset(msgs, 0, sizeof(msgs));
	for (start = clock_s(); clock_s() - start < seconds;) {
		if ((double)sent > (clock_s() - start) * rate) {
			nanosleep(&(struct timespec){ 0, 200000 }, NULL);
			continue;
		}
		for (int i = 0; i < BATCH; i++) {
			iov[i].iov_base = packets[i];
			iov[i].iov_len = make_packet(packets[i], family, dst,
						     port, argv[4]);
			msgs[i].msg_hdr.msg_iov = &iov[i];
			msgs[i].msg_hdr.msg_iovlen = 1;
			msgs[i].msg_hdr.msg_name = &to;
			msgs[i].msg_hdr.msg_namelen = sizeof(to);
		}
		n = sendmmsg(fd, msgs, BATCH, 0);
		if (n > 0)
			sent += (unsigned int)n;
	}
	printf("{\"sent\": %llu, \"seconds\": %.3f}\n",
	       (unsigned long long)sent, clock_s() - start);
	return 0;
}
