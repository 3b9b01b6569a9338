/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utcp_cc.h: congestion control by who uses the stack: a struct of hooks,
 * registered by name. Part of utcp.h, which includes it.
 */
#ifndef MULTISTACK_UTCP_CC_H
#define MULTISTACK_UTCP_CC_H

#include <multistack/utcp.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a congestion control sees of its connection, and what it sets. Amounts
 * are in bytes, the mss without options.
 */
typedef struct utcp_cc_s {
	/* set by the congestion control */
	uint32_t cwnd;
	uint32_t ssthresh;    /* UINT32_MAX: not known */
	uint64_t pacing_rate; /* bytes a second; 0: the stack derives one from
				 cwnd and rtt, if it paces at all */
	uint32_t gso_max; /* most bytes in one burst; 0: the stack decides */
	/* read by it */
	uint32_t mss;
	uint64_t now_ns;
	uint64_t srtt_ns;    /* 0: not yet measured */
	uint64_t min_rtt_ns; /* over the connection; UTCP_NEVER at first */
	uint64_t latest_rtt_ns;
	uint64_t delivered; /* in order or SACKed, ever */
	uint64_t lost;	    /* marked lost, ever */
	uint32_t inflight;  /* RFC 6675's pipe */
	uint32_t initcwnd;
	uint32_t snd_una, snd_nxt;
	uint32_t recovery;     /* 0 open, 1 disorder, 2 ECN (CWR), 3 recovery,
			      4 loss (after a timeout) */
	uint32_t cwnd_limited; /* the window was what held data back */
	uint64_t random;       /* a new one for each call */
	utcp_sock_t *sock;
	void *priv; /* priv_bytes of zeros at init */
} utcp_cc_t;

/* One batch of acknowledgements. */
typedef struct utcp_ack_s {
	uint32_t acked;	    /* bytes by which snd_una advanced */
	uint32_t delivered; /* bytes newly acknowledged or SACKed */
	uint32_t lost;	    /* bytes newly marked lost */
	/* Bytes that were marked on their way: of a whole acknowledgement that
	   an ECN echo came with (RFC 3168), or as an extension counted them. */
	uint32_t ce;
	uint32_t prior_inflight; /* before this acknowledgement */
	uint32_t app_limited;	 /* the rate below is the application's */
	uint64_t rtt_ns;	 /* a sample, 0: none */
	/* Delivery rate sample (draft-cheng-iccrg-delivery-rate-estimation):
	   rate_delivered bytes in interval_ns; 0: none. */
	uint64_t rate_delivered;
	uint64_t interval_ns;
	uint64_t prior_delivered; /* cc->delivered when the newest packet
				     acknowledged here was sent */
	uint32_t rate_lost;	  /* lost in the sample's interval */
	uint32_t tx_inflight;	  /* in flight when it was sent */
} utcp_ack_t;

enum utcp_cc_event {
	UTCP_CC_LOSS,	   /* recovery begins; ssthresh() has been asked */
	UTCP_CC_TIMEOUT,   /* so does loss recovery after a timeout */
	UTCP_CC_ECN,	   /* an ECN echo, once a window */
	UTCP_CC_RECOVERED, /* recovery is over */
	UTCP_CC_UNDO,	   /* it was for nothing; undo() has been asked */
	UTCP_CC_IDLE,	   /* first data after an idle time of an RTO or more */
	UTCP_CC_MSS,	   /* mss changed */
};

#define UTCP_CC_OWN_RECOVERY                                                   \
	(1u << 0)		/* sets cwnd in recovery by itself: no
					  PRR (RFC 6937), no ssthresh() */
#define UTCP_CC_PACES (1u << 1) /* wants pacing */
/* Where an extension tells ce exactly (UTCP_EXT_ECN_OWN): ack() answers it by
   itself, and the stack reduces nothing for it. Without this flag it does once a
   window, as for an echo of RFC 3168, which is answered so in any case. */
#define UTCP_CC_OWN_ECN (1u << 2)
/* Likewise there: data leaves as ECT(1) (RFC 9331), not ECT(0). */
#define UTCP_CC_L4S (1u << 3)

typedef struct utcp_cc_ops_s {
	uint32_t size;	     /* of this struct */
	uint32_t flags;	     /* UTCP_CC_* */
	const char *name;    /* at most 15 characters; copied */
	uint32_t priv_bytes; /* private state, at most 1024 */
	uint32_t pad;
	/* Required. The connection is open: cwnd is the initial window.
	   0, or a negative errno: the connection falls back to NewReno. */
	int (*init)(utcp_cc_t *cc);
	/* Optional: it ends, or another takes over. */
	void (*release)(utcp_cc_t *cc);
	/* Required: acknowledgements came. In recovery the stack holds cwnd by
	   PRR afterwards, unless OWN_RECOVERY. */
	void (*ack)(utcp_cc_t *cc, const utcp_ack_t *ack);
	/* Required unless OWN_RECOVERY: the ssthresh that a loss, timeout or
	   ECN echo asks for. */
	uint32_t (*ssthresh)(utcp_cc_t *cc, enum utcp_cc_event why);
	/* Optional: cwnd after a spurious recovery; NULL: that before it. */
	uint32_t (*undo)(utcp_cc_t *cc);
	/* Optional. */
	void (*event)(utcp_cc_t *cc, enum utcp_cc_event event);
	/* Optional: bytes were sent. */
	void (*sent)(utcp_cc_t *cc, uint32_t bytes);
} utcp_cc_ops_t;

/* Registers ops with this stack; copied, hooks must outlive the stack.
   -EEXIST, -EINVAL (incomplete), -ENOMEM. "newreno", "cubic", "bbr" and "prague"
   are there from the beginning. */
UTCP_EXTERN int utcp_cc_register(utcp_t *u, const utcp_cc_ops_t *ops);
/* The control that sockets have which are opened from now on; config.cc of the
   stack until then. Those of before keep theirs, and so do the connections that
   a listener of before accepts. May be called at any time.
   -ENOENT, -EINVAL (NULL), -ENOMEM. */
UTCP_EXTERN int utcp_cc_default(utcp_t *u, const char *name);
/* Name of the i-th; NULL past the last. */
UTCP_EXTERN const char *utcp_cc_name(const utcp_t *u, unsigned int i);

#ifdef __cplusplus
}
#endif

#endif /* MULTISTACK_UTCP_CC_H */
