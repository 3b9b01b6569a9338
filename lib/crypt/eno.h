/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eno.h: TCP's encryption negotiation option (RFC 8547), without a connection:
 * bytes in, decisions out. TEPs, the protocols that it chooses between, are
 * numbers here, and those of tcpcrypt (RFC 8548) are all that is ever chosen.
 */
#ifndef CRYPT_ENO_H
#define CRYPT_ENO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENO_KIND 69
#define ENO_MAX 40 /* bytes: all the options of a segment */

/* The global suboption's bits (section 4.2). */
#define ENO_B 0x01 /* host B: a passive opener */
#define ENO_A 0x02 /* the application knows of ENO */

#define ENO_V 0x80 /* of a suboption's first byte: data follows */

/* A resumption suboption's data (RFC 8548 section 3.5). */
#define RESUME_HALF 9
#define RESUME_NONCE_MAX 8

struct crypt__sub {
	uint8_t tep; /* 0x20 to 0x7f */
	bool v;
	uint8_t len;	     /* of data */
	const uint8_t *data; /* in the option */
};

/* A SYN's option, taken apart. */
struct crypt__eno {
	uint8_t global; /* 0 if there is none */
	uint8_t num;
	struct crypt__sub sub[ENO_MAX];
};

/* opt is len bytes, with kind and length. -EBADMSG: ill-formed (section 4.4),
   to be treated as if there were none. */
int crypt__eno_parse(struct crypt__eno *eno, const uint8_t *opt, size_t len);

/* What one side proposes to resume, or would. */
struct crypt__ticket {
	uint8_t tep;
	uint8_t send[RESUME_HALF];   /* the half that we send */
	uint8_t expect[RESUME_HALF]; /* ... that the peer does */
};

/* What a SYN or SYN-ACK says. */
struct crypt__offer {
	uint8_t global;
	uint8_t num;
	uint8_t teps[8];		    /* the last counts most */
	const struct crypt__ticket *resume; /* NULL: nothing */
	uint8_t nonce[RESUME_NONCE_MAX];    /* of resume */
};

/*
 * Writes the option, at most `room` bytes. A ticket goes last, in place of the
 * same TEP without data, its nonce cut to what there is room for, but not
 * below nonce_min: then there is no ticket. 0: no room at all.
 */
size_t crypt__eno_write(uint8_t to[ENO_MAX], size_t room,
			unsigned int nonce_min, const struct crypt__offer *o);

struct crypt__choice {
	uint8_t tep_byte; /* with the v bit, as host B sent it */
	bool own_b;	  /* we are host B */
	bool peer_aware;  /* the peer's `a` bit */
	bool resumed;
	/* of the resumption, in the peer's option and in ours */
	const uint8_t *peer_nonce, *own_nonce;
	uint8_t peer_nonce_len, own_nonce_len;
};

/* An identifier of the peer's that we could resume with. */
typedef const struct crypt__ticket *(*crypt__find_fn)(void *arg, uint8_t tep,
						      const uint8_t *half);

/*
 * A passive opener's look at a SYN: which TEP of ours (the last that it has
 * too), resumed if `find` knows the identifier. Returns the TEP, *ticket with
 * what was found or NULL; 0: none, or roles or awareness do not fit.
 */
uint8_t crypt__eno_answer(const struct crypt__eno *peer, const uint8_t *teps,
			  unsigned int num, bool need_aware,
			  crypt__find_fn find, void *arg,
			  const struct crypt__ticket **ticket);

/*
 * What both options together mean (sections 4.3, 4.5). ticket: that of our own
 * option, or NULL. False: encryption is off.
 */
bool crypt__eno_choose(const struct crypt__eno *own,
		       const struct crypt__eno *peer, bool need_aware,
		       const struct crypt__ticket *ticket,
		       struct crypt__choice *out);

#endif /* CRYPT_ENO_H */
