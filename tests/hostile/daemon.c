/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon.c: multistackd under attack from processes of its own clients. Some
 * claim a tuple and write garbage over their whole region, rings and buffers,
 * for ever, ringing the daemon's bell all the while; they are killed at random
 * instants and replaced. Meanwhile two good clients talk to each other through
 * the daemon, and one of them to the hostile ports, too. The good ones lose
 * nothing and keep their order; in the end nothing of the dead is left, and the
 * daemon stops in order.
 *
 *   daemon MULTISTACKD [FRAMES]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <multistack/port.h>

#define CHECK(x)                                                               \
	do {                                                                   \
		if (!(x)) {                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s (%s)\n",     \
				__FILE__, __LINE__, #x, strerror(errno));      \
			end(SIGKILL);                                          \
			exit(1);                                               \
		}                                                              \
	} while (0)

#define ADDR "10.9.0.1"
#define HOSTILE 3
#define EVIL_PORT 6666 /* and following */
#define FROM_PORT 1000
#define TO_PORT 2000
#define HDR_BYTES 42
#define STALL_MS 60000 /* nobody waits so long for a frame */

struct payload {
	uint32_t seq, again;
};

static char dir[] = "/tmp/ms-hostile.XXXXXX", path[64], device[96];
static pid_t server, evil[HOSTILE];
static uint32_t frames = 50000, kills;

/* ---- processes ------------------------------------------------------------------ */

static int
end(int sig)
{
	int status = -1, i;

	for (i = 0; i < HOSTILE; i++) {
		if (evil[i] > 0) {
			kill(evil[i], SIGKILL);
			waitpid(evil[i], NULL, 0);
		}
		evil[i] = 0;
	}
	if (server > 0) {
		kill(server, sig);
		waitpid(server, &status, 0);
	}
	server = 0;
	unlink(path);
	rmdir(dir);
	return status;
}

static void
start(const char *program)
{
	msport_error_t err = { 0, "" };
	msport_t *c;
	int i;

	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(device, sizeof(device), "daemon@%s:p0", path);
	server = fork();
	CHECK(server >= 0);
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, "-f", "-s", path, "-a",
		      "pair:p0,addr=" ADDR, (char *)NULL);
		_exit(126);
	}
	for (i = 0; msport_control(&c, device, &err) != 0; i++) {
		if (i == 1000)
			fprintf(stderr, "%s\n", err.text);
		CHECK(i < 1000 && waitpid(server, NULL, WNOHANG) == 0);
		usleep(10000);
	}
	msport_close(c);
}

/* ---- the hostile ------------------------------------------------------------------ */

static void
scribble(unsigned int who)
{
	uint64_t s = 88172645463325252u ^ (uint64_t)getpid() << 20;
	struct ms_region *r;
	struct ms_tuple t;
	struct ms_ring *ring;
	size_t words, control;
	msport_t *port;
	uint32_t *w;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* A predecessor may not be buried yet. */
	if (msport_open(&port, device, NULL, NULL) != 0)
		_exit(1);
	(void)msport_tuple(&t, ADDR, IPPROTO_UDP, (uint16_t)(EVIL_PORT + who));
	while (msport_bind(port, &t) == -EADDRINUSE)
		usleep(1000);
	r = msport_region(port);
	w = (uint32_t *)r;
	words = r->bytes / 4;
	control = r->bufs_ofs / 4;
	ring = (struct ms_ring *)((uint8_t *)r + r->ring_ofs);
	for (;;) {
		s ^= s << 13;
		s ^= s >> 7;
		s ^= s << 17;
		switch (s & 7) {
		case 0:
			w[s >> 32 & 0x3fffff % words] = (uint32_t)(s >> 7);
			break;
		case 1: /* a plausible head: the switch goes on with it */
			__atomic_store_n(&ring->head,
					 ring->tail - (uint32_t)(s >> 8 & 511),
					 __ATOMIC_RELEASE);
			ring->doze = 1;
			(void)msport_sync(port, 0);
			break;
		default:
			w[(s >> 16) % control] = (uint32_t)(s >> 3);
		}
	}
}

static void
spawn(unsigned int who)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid == 0)
		scribble(who);
	evil[who] = pid;
}

/* Kills one of them now and then; any may have ended by itself, of what it
   wrote over its own library's feet. */
static void
torment(uint32_t round)
{
	unsigned int who = round % HOSTILE;
	int status;

	if (waitpid(evil[who], &status, WNOHANG) != evil[who]) {
		kill(evil[who], SIGKILL);
		CHECK(waitpid(evil[who], &status, 0) == evil[who]);
		kills++;
	}
	spawn(who);
}

/* ---- the good ------------------------------------------------------------------------ */

static uint32_t
frame(uint8_t *p, const msport_t *from, uint16_t to, uint32_t seq)
{
	struct payload pay = { seq, ~seq };
	uint32_t sum = 0, i, n = HDR_BYTES + sizeof(pay);
	uint16_t v;

	memset(p, 0, n);
	memcpy(p, msport_info(from)->mac, 6);
	memcpy(p + 6, msport_info(from)->mac, 6);
	p[12] = 8;
	p[14] = 0x45;
	p[17] = (uint8_t)(n - 14);
	p[22] = 64;
	p[23] = IPPROTO_UDP;
	CHECK(inet_pton(AF_INET, ADDR, p + 26) == 1);
	memcpy(p + 30, p + 26, 4);
	for (i = 14; i < 34; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	sum = (sum >> 16) + (sum & 0xffff);
	sum += sum >> 16;
	p[24] = (uint8_t)(~sum >> 8);
	p[25] = (uint8_t)~sum;
	v = htons(FROM_PORT);
	memcpy(p + 34, &v, 2);
	v = htons(to);
	memcpy(p + 36, &v, 2);
	p[39] = 8 + sizeof(pay);
	memcpy(p + HDR_BYTES, &pay, sizeof(pay));
	return n;
}

static msport_t *
good(uint16_t number)
{
	msport_error_t err = { 0, "" };
	struct ms_tuple t;
	msport_t *port;

	if (msport_open(&port, device, NULL, &err) != 0)
		fprintf(stderr, "%s\n", err.text);
	CHECK(err.code == 0);
	CHECK(msport_tuple(&t, ADDR, IPPROTO_UDP, number) == 0);
	CHECK(msport_bind(port, &t) == 0);
	return port;
}

static void
talk(msport_t *a, msport_t *b)
{
	uint32_t sent = 0, got = 0, round = 0;
	uint8_t buf[2048];
	struct payload p;
	int n;

	while (got < frames) {
		while (sent < frames && sent - got < 64) {
			n = msport_send(a, 0, buf,
					frame(buf, a, TO_PORT, sent));
			if (n == -ENOBUFS)
				break;
			CHECK(n == 0);
			sent++;
			/* whoever of them lives gets some, too */
			(void)msport_send(
			    a, 0, buf,
			    frame(buf, a,
				  (uint16_t)(EVIL_PORT + sent % HOSTILE),
				  sent));
		}
		n = msport_recv(b, 0, buf, sizeof(buf));
		CHECK(n >= 0);
		if (n == 0) {
			CHECK(msport_wait(b, 1, 0, STALL_MS) == 1);
			continue;
		}
		/* a hostile one may send to us under its own name */
		if (buf[34] << 8 != (FROM_PORT & 0xff00) ||
		    buf[35] != (FROM_PORT & 0xff))
			continue;
		CHECK(n == HDR_BYTES + (int)sizeof(p));
		memcpy(&p, buf + HDR_BYTES, sizeof(p));
		CHECK(p.seq == got && p.again == ~got);
		if (++got % 1000 == 0)
			torment(round++);
	}
}

static uint32_t
ports_left(msport_t *c)
{
	struct ms_cmd_info info = { .size = sizeof(info) };

	CHECK(msport_command(c, MS_CMD_INFO, &info) == 0);
	return info.num_ports;
}

int
main(int argc, char **argv)
{
	struct ms_cmd_stats stats = { .size = sizeof(stats) };
	msport_t *a, *b;
	int i, status;

	if (argc < 2)
		return 2;
	if (argc > 2)
		frames = (uint32_t)strtoul(argv[2], NULL, 0);
	start(argv[1]);
	a = good(FROM_PORT);
	b = good(TO_PORT);
	for (i = 0; i < HOSTILE; i++)
		spawn((unsigned int)i);
	talk(a, b);
	CHECK(msport_stats(b, &stats) == 0);
	CHECK(stats.counter[MS_CTR_DROP_RX_FULL] == 0);
	for (i = 0; i < HOSTILE; i++) {
		kill(evil[i], SIGKILL);
		waitpid(evil[i], NULL, 0);
		evil[i] = 0;
	}
	for (i = 0; ports_left(a) != 2; i++) {
		CHECK(i < 1000);
		usleep(10000);
	}
	printf("%u frames in order beside %d hostile ports; %u killed\n",
	       frames, HOSTILE, kills);
	msport_close(a);
	msport_close(b);
	status = end(SIGTERM);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "multistackd ended with status %#x\n", status);
		return 1;
	}
	return 0;
}
