/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crypt-line: one end of tcpcrypt, driven by lines, for test_crypt_reference.py,
 * which is the other end.
 *
 *     start OWN PEER CIPHER[,CIPHER]...	options, hex
 *     resume OWN PEER SS TEP AEAD A|B	a session's secret, our role in it
 *     in|write HEX
 *     end|rekey|closed
 *
 * Each is answered by lines `emit HEX` and `got HEX`, in order, `= RESULT`, once
 * there are keys with the session's ID, `next HEX`, the secret of the next one,
 * and a dot.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"

#define BYTES_MAX (1u << 20)

static struct crypt__conn conn;
static uint8_t bytes[BYTES_MAX];

static void
say(const char *what, const uint8_t *data, size_t len)
{
	printf("%s ", what);
	for (size_t i = 0; i < len; i++)
		printf("%02x", data[i]);
	putchar('\n');
}

static int
emit(void *arg, const void *data, size_t len, int flags)
{
	(void)arg;
	(void)flags;
	say("emit", data, len);
	return 0;
}

static int
deliver(void *arg, const void *data, size_t len)
{
	(void)arg;
	say("got", data, len);
	return 0;
}

static uint64_t
backlog(void *arg)
{
	(void)arg;
	return 0;
}

static void *
alloc(void *arg, size_t len)
{
	(void)arg;
	return calloc(1, len);
}

static void
release(void *arg, void *mem, size_t len)
{
	(void)arg;
	(void)len;
	free(mem);
}

static const struct crypt__io io = { emit,  deliver, backlog,
				     alloc, release, NULL };

static size_t
hex(uint8_t *to, const char *text)
{
	size_t n = 0;
	unsigned int byte;

	for (; text != NULL && n < BYTES_MAX && sscanf(text, "%2x", &byte) == 1;
	     text += 2)
		to[n++] = (uint8_t)byte;
	return n;
}

/* Words behind `start` and `resume`. */
static int
start(char *save, bool resumed)
{
	uint8_t own[64], peer[64], ss[64];
	struct crypt__eno o, p;
	struct crypt__choice choice;
	struct crypt__secret secret = { 0 };
	struct crypt__ticket ticket;
	uint16_t ciphers[CIPHERS_MAX];
	struct crypt__agreed agreed = { .choice = &choice,
					.own = own,
					.peer = peer,
					.ciphers = ciphers,
					.resume = &secret };
	char *word;

	hex(own, strtok_r(NULL, " \n", &save));
	hex(peer, strtok_r(NULL, " \n", &save));
	if (resumed) {
		hex(ss, strtok_r(NULL, " \n", &save));
		memcpy(secret.ss, ss, K_LEN);
		secret.tep = (uint8_t)atoi(strtok_r(NULL, " \n", &save));
		secret.aead = (uint16_t)atoi(strtok_r(NULL, " \n", &save));
		secret.was_a = *strtok_r(NULL, " \n", &save) == 'A';
	} else {
		word = strtok_r(NULL, " \n", &save);
		for (; word != NULL; word = strchr(word, ',')) {
			word += *word == ',';
			ciphers[agreed.num_ciphers++] = (uint16_t)atoi(word);
		}
	}
	if (resumed && crypt__secret_ticket(&secret, &ticket) != 0)
		return -ENOMEM;
	if (crypt__eno_parse(&o, own, own[1]) != 0 ||
	    crypt__eno_parse(&p, peer, peer[1]) != 0 ||
	    !crypt__eno_choose(&o, &p, false, resumed ? &ticket : NULL,
			       &choice))
		return -EINVAL;
	return crypt__conn_start(&conn, &io, &agreed);
}

static int
command(char *line)
{
	char *save = NULL, *word = strtok_r(line, " \n", &save);
	size_t len;

	if (word == NULL)
		return -EINVAL;
	if (!strcmp(word, "start") || !strcmp(word, "resume"))
		return start(save, *word == 'r');
	if (!strcmp(word, "end"))
		return crypt__conn_write_end(&conn, &io);
	if (!strcmp(word, "rekey"))
		return crypt__conn_rekey(&conn, &io);
	if (!strcmp(word, "closed"))
		return crypt__conn_read_end(&conn);
	len = hex(bytes, strtok_r(NULL, " \n", &save));
	if (!strcmp(word, "in"))
		return crypt__conn_read(&conn, &io, bytes, len);
	if (!strcmp(word, "write"))
		return (int)crypt__conn_write(&conn, &io, bytes, len, 0);
	return -ENOSYS;
}

int
main(void)
{
	char *line = NULL;
	size_t room = 0;
	int r;

	while (getline(&line, &room, stdin) > 0) {
		r = command(line);
		printf("= %d", r);
		if (conn.phase == PHASE_FRAMES) {
			say("", conn.id, sizeof(conn.id));
			say("next", conn.next.ss, K_LEN);
		} else {
			putchar('\n');
		}
		puts(".");
		fflush(stdout);
	}
	free(line);
	crypt__conn_release(&conn, &io);
	return 0;
}
