/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * ms_core.h: the inside of the switch.
 *
 * Locks, outermost first:
 *   ms_switch.ctl_lock    mutex: creation and end of everything, all binds
 *   ms_sched.lock         spin: list of rings that want to send
 *   ms_kring.lock         spin: leases of one receive ring
 *   ms_fragtable.lock     spin: leaf
 *   ms_holds.lock         spin: leaf; one a transmit ring
 * No lock is held across a copy, a call into ms_nic_ops.xmit, or a wake.
 *
 * Field tags: (c) constant after create; (b) ctl_lock; (r) written under
 * ctl_lock, read in read sections; (l) the lock beside it; (s) only by the one
 * runner of its scheduler; (u) shared memory written by the user, read once;
 * (k) shared memory written by the switch.
 *
 * Barriers (user's side in brackets; the SPIN model in tests/model has the
 * same letters):
 *   A  tail store-release after filling slots      pairs with B
 *   B  [tail load-acquire before reading slots]
 *   C  [head store-release after filling/freeing]  pairs with D
 *   D  head load-acquire before using slots
 *   E  full fence: tail store, then load of wake   pairs with F
 *   F  [full fence: wake store, then load of tail]
 *   G  full fence: doze store, then load of head   pairs with H
 *   H  [full fence: head store, then load of doze]
 */
#ifndef MS_CORE_H
#define MS_CORE_H

#include "ms_os.h"
#include "multistack.h"

#define MS_BATCH_MAX 256 /* frames handled together */
/* Of a sent frame, snapshot and validated; a longer header chain is refused. */
#define MS_HDR_BYTES 192
#define MS_FRAG_SLOTS 512 /* fragment trains remembered per interface */
#define MS_FRAG_LIFE_NS 30000000000ull /* RFC 791/8200 allow up to 60 s */
#define MS_DRR_QUANTUM_BYTES 16384

/* ---- parse: ms_parse.c ------------------------------------------------ */

struct ms_seg {
	const uint8_t *p;
	uint32_t bytes;
};

/* Offload metadata of a frame, as in struct ms_slot. */
struct ms_meta {
	uint16_t flags; /* MS_SLOT_CSUM_PARTIAL, MS_SLOT_CSUM_OK */
	uint8_t gso_type;
	uint8_t reason; /* of a copy for taps (ms_tap_refused()), else 0 */
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
};

enum ms_verdict {
	MS_VERDICT_HOST = 0, /* not ours: on to the host, untouched */
	MS_VERDICT_TAKEN,    /* delivered, or dropped and counted */
};

/*
 * One frame on its way through the switch. It borrows all memory it points
 * to, for the duration of the call it is passed to.
 */
struct ms_frame {
	const uint8_t *data; /* its first `linear` bytes */
	uint32_t linear;
	uint32_t len;		   /* of the whole frame */
	const struct ms_seg *segs; /* the rest, if linear < len */
	uint16_t nsegs;
	uint8_t verdict; /* enum ms_verdict, out */
	uint8_t pad;
	struct ms_meta meta;
	void *os; /* the attachment's own handle */
};

enum ms_pkt_kind {
	MS_PKT_OTHER = 0,  /* not IP: ARP, LLDP, ... */
	MS_PKT_BAD,	   /* IP, malformed */
	MS_PKT_TUPLE,	   /* key is (address, protocol, port) */
	MS_PKT_PORTLESS,   /* key is (address, protocol) */
	MS_PKT_FRAGMENT,   /* not a first fragment: no ports */
	MS_PKT_ICMP,	   /* ICMP, not an error */
	MS_PKT_ICMP_ERROR, /* about the packet inside: key is the tuple that
			      sent it */
};

enum ms_dir { MS_DIR_DST, MS_DIR_SRC };

/*
 * What the switch has to know of a frame. Addresses are pointers into the
 * parsed bytes; valid while they are.
 */
struct ms_pkt {
	uint8_t kind;		/* enum ms_pkt_kind */
	uint8_t family;		/* 4 or 6 */
	uint8_t proto;		/* after all extension headers */
	uint8_t first_fragment; /* has ports, and more fragments follow */
	uint8_t deep_ports; /* first fragment, and a later one can overlap its
			       ports: eight bytes or more are before them */
	uint16_t vlan;	    /* 0 for none and for priority tags */
	uint16_t l3_ofs;
	uint16_t l4_ofs;
	uint16_t sport_be, dport_be;  /* MS_PKT_TUPLE */
	uint32_t ip_bytes;	      /* from l3_ofs, as the header says */
	uint32_t frag_id;	      /* of fragments, first or not */
	const uint8_t *saddr, *daddr; /* 4 or 16 bytes */
	/* MS_PKT_ICMP_ERROR: who sent the packet inside, and to whom. sport_be
	   and dport_be are the ports of the answers to it: those of inner and
	   peer, exchanged. */
	struct ms_tuple inner;
	const uint8_t *peer;
};

/*
 * Parses at most `linear` bytes of a frame of `len` bytes. Checks bounds,
 * lengths, IPv4 header checksum (unless GSO makes no difference: always),
 * extension headers, fragments. Never reads past `linear`; a header chain that
 * is cut there is MS_PKT_BAD. Any context.
 */
void ms_parse(const uint8_t *data, uint32_t linear, uint32_t len,
	      struct ms_pkt *pkt);

/* ---- the tuple table: ms_tuple.c -------------------------------------- */

/*
 * Keys. An IPv4 tuple is its own 64-bit key, and the entry leads straight to
 * the port's receive rings. Of an IPv6 tuple the key is a hash and the entry
 * points to its ms_bind for the comparison. See ms_table.h.
 */

struct ms_bind {		/* one tuple, claimed */
	struct ms_tuple tuple;	/* (c) */
	struct ms_port *port;	/* (r) */
	struct ms_resv *resv;	/* (b) owned */
	struct ms_bind *next;	/* (b) of the port's list */
	struct ms_bind **prevp; /* (b) */
	uint64_t value;		/* (r) ms_tuple.c's: port->rx and num_rx */
	uint32_t seq;		/* (b) falls along the list; LIST's cursor */
};

struct ms_table; /* opaque but for those who include ms_table.h */

/* Owned by the caller. -ENOMEM. May sleep. */
int ms_table_create(struct ms_table **out);
void ms_table_destroy(struct ms_table *t); /* empty by then; NULL is fine */
/* Borrows bind until deleted; bind->port's rx and num_rx are set.
   -EADDRINUSE, -EINVAL, -ENOMEM. ctl_lock held; sleeps. */
int ms_table_insert(struct ms_table *t, struct ms_bind *bind);
/* The caller waits with ms_os_read_sync() before it frees bind, then calls
   ms_table_reclaim() once for any number of deletes. ctl_lock held. */
void ms_table_delete(struct ms_table *t, struct ms_bind *bind);
void ms_table_reclaim(struct ms_table *t);
/* After bind->port changed (handover). ctl_lock held. */
void ms_table_update(struct ms_table *t, struct ms_bind *bind);
/* The host's own addresses: only these match a wildcard, and frames to them
   are delivered on this host. Counted: an address added twice is gone after
   two deletes. 127/8 is always local. 0, -ENOMEM. ctl_lock held; sleeps. */
int ms_table_addr_add(struct ms_table *t, const uint8_t *addr, uint8_t family);
void ms_table_addr_del(struct ms_table *t, const uint8_t *addr, uint8_t family);
/* Read section. */
bool ms_table_addr_local(const struct ms_table *t, const uint8_t *addr,
			 uint8_t family);
/* Exact, then wildcard; NULL if unclaimed. Read section. */
struct ms_port *ms_table_lookup(const struct ms_table *t,
				const struct ms_tuple *tuple);
/* As stored, wildcard or not, no fallback. ctl_lock held. */
struct ms_bind *ms_table_find(const struct ms_table *t,
			      const struct ms_tuple *tuple);
uint64_t ms_table_count(const struct ms_table *t);

/* ---- rings: ms_ring.c ------------------------------------------------- */

/* A finished lease. It says where it starts, for one of a lap later would stand
   in the same place. */
struct ms_note {
	uint32_t first;
	uint32_t slots; /* 0: none */
};

/*
 * The switch's side of a ring; all that counts is here, never in the region.
 * Receiving touches the first cache line only, which ends with the counters of
 * frames and bytes. Arrays of them start on a cache line (ms_os_alloc does).
 */
struct ms_kring {
	struct ms_ring *shared; /* (c) points to (u)/(k); slots are behind it */
	uint8_t *bufs;		/* (c) the region's pool */
	struct ms_spin lock;
	uint32_t mask;	   /* (c) num_slots - 1 */
	uint32_t num_bufs; /* (c) */
	uint32_t head;	   /* (l) as last read and found sane; transmit (s) */
	uint32_t reserved; /* (l) receive: slots up to here are leased */
	uint32_t tail;	   /* published; receive: moved by the holder of the
			      oldest lease, see ms_ring.h; transmit (s) */
	uint32_t limit;	   /* receive: as tail, but moved before the user can
			      see it: head is never behind it */
	uint8_t buf_shift; /* (c) log2 buf_bytes */
	bool is_rx;	   /* (c) */
	bool stopped;	   /* (r) its port is being closed, or its NIC went */
	bool tapped;	   /* (r) there is a tap */

	uint64_t counter[MS_CTR_MAX]; /* (l) receive, (s) transmit */

	struct ms_slot *slots; /* (c) points to (u)/(k) */
	struct ms_tap *tap;    /* (r) taps on this ring's port */
	struct ms_port *port;  /* (c) */
	void *waiter;	       /* the OS's, for ms_os_wake */
	uint16_t index;	       /* (c) */
	uint32_t waiting;      /* (l) finished leases that wait for an older */
	struct ms_note *note;  /* (l) owned; of finished leases that wait for an
				 older one, by first slot */
	uint32_t lost;	       /* (l) receive, (s) transmit: as in ms_ring */

	/* transmit */
	struct ms_sched *sched;	     /* (r) NULL once the NIC is gone */
	struct ms_kring *sched_next; /* (l) of the scheduler */
	bool sched_on;		     /* (l) of the scheduler: on its list, or
					in service */
	bool kicked;		     /* (l) of the scheduler: in service, ready
					again */
	bool dozing;		     /* (s) shared->doze is set */
	bool resumed;		     /* (s) its turn was cut short */
	uint32_t pos;		     /* (s) first slot not consumed; tail is a
					ring ahead of it, or less where frames
					are held */
	struct ms_holds *holds;	     /* (c) owned; NULL: none can be held */
	int64_t deficit_bytes;	     /* (s) */
};

/*
 * Sets up both sides of ring `index` of `port`, on zeroed memory: the kernel's
 * `ring`, and in the region the header at `shared` with the slots behind it,
 * slot i with buffer first_buf + i. bufs: where the pool starts. port's nic,
 * slots, buf_bytes and num_bufs are set and checked. 0 or -ENOMEM; then
 * nothing has to be undone. Sleeps.
 */
int ms_kring_init(struct ms_kring *ring, struct ms_port *port,
		  struct ms_ring *shared, uint8_t *bufs, bool is_rx,
		  uint16_t index, uint32_t first_buf);
/* Bytes of a ring in the region: header and slots, whole cache lines. */
size_t ms_kring_shared_bytes(uint32_t slots);
/* Of a ring whose owner has slept until tail passes the mark that it set with
   `wake` (one that is not in the ring was never set): the slots that it has to
   do with now; 0: it goes on sleeping. Any context. */
uint32_t ms_kring_ready(const struct ms_kring *ring);
/* From now on no new frame goes in or out; after the next ms_os_read_sync()
   nobody uses the ring. ctl_lock held. On zeroed memory, or twice: nothing. */
void ms_kring_stop(struct ms_kring *ring);
/* Frees what init took; stopped and synced before. */
void ms_kring_deinit(struct ms_kring *ring);
/* Whether the user has moved head of this transmit ring since the switch last
   looked; a hint for those who poll, without locks. Read section. */
bool ms_kring_tx_pending(const struct ms_kring *ring);
/* Whether frames of this transmit ring are not sent yet, and can be: for who
   closes and wants to lose none. Its owner may fill it for ever. */
bool ms_kring_tx_unsent(const struct ms_kring *ring);

/* ---- frames sent from the sender's slots: ms_hold.c --------------------- */

struct ms_holds; /* of a transmit ring; outlives it while frames are out */

struct ms_hold { /* a frame that is out */
	struct ms_holds *holds;
	uint32_t slot;
};

/*
 * Within ops->xmit: frame f of that call, of which the caller goes on using the
 * memory behind its linear part, stays in its slots until ms_hold_done(). That
 * memory is the caller's to keep alive, for the port may go any time. False:
 * not with this interface (ms_nic.holds).
 */
bool ms_frame_hold(struct ms_nic *nic, unsigned int q, const struct ms_frame *f,
		   struct ms_hold *hold);
/* Once for each hold; also when ring, port and interface are gone. Any context
   that may take a packet context's lock. */
void ms_hold_done(struct ms_hold *hold);

/* ---- ports: ms_port.c ------------------------------------------------- */

struct ms_port {
	struct ms_switch *sw;	  /* (c) */
	struct ms_nic *nic;	  /* (r) NULL once the interface is gone */
	uint32_t id;		  /* (c) */
	uint32_t uid;		  /* (c) */
	int32_t pid;		  /* (c) */
	char label[16];		  /* (c) */
	struct ms_shm *shm;	  /* (c) owned */
	struct ms_region *region; /* (c) */
	size_t region_bytes;	  /* (c) */
	uint16_t num_tx, num_rx;  /* (c) */
	uint32_t slots, buf_bytes, num_bufs; /* (c) */
	struct ms_kring *tx, *rx;	     /* (c) arrays, owned */
	struct ms_bind *binds;		     /* (b) */
	uint32_t num_binds;		     /* (b) */
	uint32_t last_seq;		     /* (b) of its newest bind */
	struct ms_bind *listed;	       /* (b) where LIST was last, or NULL */
	struct ms_port *next, **prevp; /* (b) of the switch */
	struct ms_tap *tap;	       /* (r) taps on this port */
	struct ms_tap *tapping;	       /* (b) the tap it is the owner of */
	uint8_t token[16];	       /* (b) of an offered handover */
	bool has_token;		       /* (b) */
};

/*
 * Makes a port on `nic`. `arg` is in/out and already size-checked; every value
 * is checked here (-EINVAL, -E2BIG, -ENOMEM, -ENODEV). Returned owned by the
 * caller. ctl_lock held; sleeps.
 */
int ms_port_create(struct ms_nic *nic, const struct ms_cred *cred,
		   struct ms_cmd_port_create *arg, struct ms_port **out);
/* Bytes of the region that such a port has, at most; 0: ms_port_create would
   refuse it. */
uint64_t ms_port_region_bytes(const struct ms_cmd_port_create *arg);
/* NULL: it has no such ring. */
struct ms_kring *ms_port_ring(const struct ms_port *port, unsigned int is_rx,
			      unsigned int index);
/* Unbinds all, waits for readers, frees all. NULL is fine. Takes ctl_lock;
   sleeps. From any state, at any time: the owner may have died. */
void ms_port_destroy(struct ms_port *port);

/* ---- the tuples of ports: ms_bind.c ------------------------------------- */

/*
 * Claims arg->tuple for port: host reservation, table, interfaces. Two ports
 * of one uid may hold the wildcard and an exact address of one port number,
 * the exact one wins; of different uids never. -EADDRINUSE with arg->holder,
 * -EINVAL (no such address or protocol can be claimed), -ENODEV, and those of
 * ms_os_resv_create. ctl_lock held; sleeps.
 */
int ms_port_bind(struct ms_port *port, const struct ms_cred *cred,
		 struct ms_cmd_bind *arg);
/* -ENOENT: claimed by nobody; -EPERM: by another port. ctl_lock held. */
int ms_port_unbind(struct ms_port *port, struct ms_cmd_bind *arg);
/* All tuples of `from` become those of `to`, each atomically. Returns how
   many. ctl_lock held. */
uint32_t ms_port_move_binds(struct ms_port *from, struct ms_port *to);
/* The reservation of t's wildcard, if a port of uid has claimed that: it holds
   the port number on every address of the host already. NULL: nobody has, or t
   is one, or has no port number. ctl_lock held. */
struct ms_resv *ms_port_wildcard_resv(const struct ms_switch *sw,
				      const struct ms_tuple *t, uint32_t uid);
/* Of a tuple to be claimed, where what follows an IPv4 address is 0. */
static inline bool
ms_tuple_is_wildcard(const struct ms_tuple *t)
{
	static const uint8_t none[16];

	return memcmp(t->addr, none, sizeof(none)) == 0;
}
/* For ms_port_destroy: out of sight of the packet path after the next grace
   period; and after that. ctl_lock held; sleep. */
void ms_port_withdraw_binds(struct ms_port *port);
void ms_port_free_binds(struct ms_port *port);
/* TCP, UDP, SCTP, UDP-Lite, DCCP: the protocols whose first four bytes are two
   port numbers. */
bool ms_proto_has_ports(uint8_t proto);
/*
 * A new interface learns all that is claimed already (all interfaces of a
 * switch know all claims; ops->claim takes a repeated one as done). Takes
 * ctl_lock; sleeps. What claim returned.
 */
int ms_nic_claim_all(struct ms_nic *nic);

/* ---- interfaces and the switch: ms_switch.c --------------------------- */

/*
 * What an attachment does for the switch. `q` is the attachment's queue.
 * All but `name` and `xmit` may be NULL.
 */
struct ms_nic_ops {
	const char *name;
	/* How many frames xmit surely takes now on q. NULL: always enough. */
	uint32_t (*room)(struct ms_nic *nic, unsigned int q);
	/*
	 * Sends n frames, at most room(); copies what it keeps, but for what
	 * it holds (ms_frame_hold). Each frame's
	 * linear part is private to the switch and validated; its segs lie in
	 * the sender's region and can change under the copy. Sets no verdict;
	 * returns how many it took, the first ones: the switch counts the rest
	 * as drop_tx_nic. What the driver refuses later, the attachment counts
	 * itself. more: another call follows at once.
	 */
	uint32_t (*xmit)(struct ms_nic *nic, unsigned int q,
			 struct ms_frame *frames, uint32_t n, bool more);
	/* As xmit, towards the host's own stack. NULL: no way to it. */
	uint32_t (*to_host)(struct ms_nic *nic, unsigned int q,
			    struct ms_frame *frames, uint32_t n);
	/* A tuple was claimed (on) or released. Sleeps. ctl_lock held. */
	int (*claim)(struct ms_nic *nic, const struct ms_tuple *t, bool on);
	/* Fills all out-fields but gen. Sleeps. 0, -ENETUNREACH, ... */
	int (*route)(struct ms_nic *nic, struct ms_cmd_route *r);
	/* Adds what the attachment counted itself, the frames that the switch
	   never saw or that the driver refused, to counter[]. Any context. */
	void (*stats)(struct ms_nic *nic, uint64_t counter[MS_CTR_MAX]);
};

struct ms_sched { /* who may send next on one queue: deficit round robin,
		     Shreedhar and Varghese 1995 */
	struct ms_spin lock;
	struct ms_kring *first, **lastp; /* (l) */
	uint32_t num;			 /* (l) rings on the list */
	bool running;			 /* (l) */
	bool polled;			 /* (l) see ms_nic_sched_poll */
	bool added;			 /* (l) since the runner looked */
	struct ms_nic *nic;		 /* (c) */
	unsigned int q;			 /* (c) */
};

struct ms_nic {
	struct ms_switch *sw;	      /* (c) */
	uint32_t id;		      /* (c) never used twice; LIST's cursor */
	const struct ms_nic_ops *ops; /* (c) */
	void *os;		      /* (c) the attachment's */
	void *attach;		      /* (c) the OS's: whom ms_os_resv_create
					 asks. User space: struct ms_attach;
					 NULL (tests, benchmarks) needs no
					 socket of the host */
	char name[MS_IFNAME_BYTES];   /* (b) */
	char kind[16];		      /* (c) for lists: "xdp native" */
	uint8_t mac[6];		      /* (r) */
	uint16_t vlan;		      /* (c) frames of this VLAN are ours */
	uint32_t mtu;		      /* (r) */
	uint32_t features;	      /* (c) */
	bool loopback;		      /* (c) MAC is not compared */
	bool holds;		      /* (c) ops->xmit uses ms_frame_hold() */
	bool spread;		      /* (c) the first rings of ports go over
					 all queues, for queues are many */
	unsigned int num_queues;      /* (c) */
	struct ms_sched *sched;	      /* (c) one a queue, owned */
	struct ms_batch **batch;      /* (c) one a queue, owned: scratch and
					 counters; one part belongs to the
					 caller of ms_nic_input, one to the
					 runner of the scheduler */
	struct ms_fragtable *frags;   /* (c) owned */
	struct ms_tap *tap;	      /* (r) taps on the interface */
	uint32_t num_ports;	      /* (b) */
	uint32_t route_gen;	      /* (b) */
	uint32_t route_calls;	      /* (b) ops->route under way, unlocked;
					 ms_nic_destroy waits for them */
	struct ms_nic *next;	      /* (b) */
};

struct ms_switch { /* one namespace of tuples: one host */
	struct ms_mutex ctl_lock;
	struct ms_table *table;	      /* (c) owned */
	struct ms_nic *nics;	      /* (b) */
	struct ms_port *ports;	      /* (b) */
	uint32_t num_ports, num_nics; /* (b) */
	uint32_t gone;		      /* (r) ports that were destroyed */
	uint32_t next_port_id;	      /* (b) */
	uint32_t next_nic_id;  /* (b) 0 at first: ms_nic_create adds 1 and
				    takes it */
	uint64_t flow_key[11]; /* (c) random: which ring of a port */
};

int ms_switch_create(struct ms_switch **out);
void ms_switch_destroy(struct ms_switch *sw); /* no nics, no ports left */

/*
 * Adds an interface; the caller has filled a struct ms_nic's (c) fields from
 * `tmpl` on (ops, os, name, kind, mac, vlan, mtu, features, loopback, holds,
 * spread, num_queues). -EEXIST, -ENOMEM, -EINVAL. Returned owned. Sleeps.
 */
int ms_nic_create(struct ms_switch *sw, const struct ms_nic *tmpl,
		  struct ms_nic **out);
/* Ports on it stay, marked gone, until closed. The caller has stopped its
   input before. NULL is fine. Sleeps. */
void ms_nic_destroy(struct ms_nic *nic);
/* Route, neighbour, MTU, MAC or address changed: moves route_gen of its ports
   and wakes nobody. Sleeps. */
void ms_nic_changed(struct ms_nic *nic, const uint8_t *mac, uint32_t mtu);
/* The same for route_gen alone. ctl_lock held. */
void ms_nic_moved(struct ms_nic *nic);
/* The interface is called otherwise from now on. -EEXIST: another of the switch
   is called so; then it keeps its name. Sleeps. */
int ms_nic_rename(struct ms_nic *nic, const char *name);

/*
 * Receive: the switch takes what is claimed and says so in frames[i].verdict;
 * for HOST the caller goes on as if the switch were not there. n <=
 * MS_BATCH_MAX. Packet context, one caller a queue at a time. No sleeping.
 */
void ms_nic_input(struct ms_nic *nic, unsigned int q, struct ms_frame *frames,
		  uint32_t n);
/* Whether it would take a frame with these headers. Delivers and counts
   nothing. Packet context. */
bool ms_nic_claims(struct ms_nic *nic, const struct ms_frame *f);
/*
 * Whether a frame, of which the first `bytes` are at p, is the host's as can be
 * told at a glance: plain TCP or UDP to a port number that nobody claims. False
 * where nobody can tell. The second also counts it as ms_nic_input() would, and
 * says no where that has more to do. Context as ms_nic_input().
 */
bool ms_nic_unclaimed(struct ms_nic *nic, const uint8_t *p, uint32_t bytes);
bool ms_nic_passes(struct ms_nic *nic, unsigned int q, const uint8_t *p,
		   uint32_t bytes);

/*
 * For hosts that hand frames out one by one: whether it is worth showing the
 * switch the headers of those that will follow, and doing so; of each the
 * first MS_AHEAD_BYTES are there, from the MAC header on. It only has memory
 * fetched. n <= MS_AHEAD_MAX. Context as ms_nic_input(), in its read section.
 */
#define MS_AHEAD_MAX 64
#define MS_AHEAD_BYTES 38
bool ms_nic_looks_ahead(const struct ms_nic *nic, unsigned int q);
void ms_nic_look_ahead(struct ms_nic *nic, unsigned int q,
		       const uint8_t *const *header, uint32_t n);

/*
 * Transmit: this ring may have frames. Puts it on its scheduler's list; the
 * caller then calls ms_nic_sched_run, or knows somebody who will. Any context.
 */
void ms_kring_tx_ready(struct ms_kring *ring);
/* Sends for the rings on the list in fair shares, at most `budget` frames.
   Returns frames handled; less than budget means nothing is left, or no room,
   budget that there may be more (also after many looks at empty rings).
   If another runner is at it, returns 0 at once. Packet context. */
uint32_t ms_nic_sched_run(struct ms_nic *nic, unsigned int q, uint32_t budget);
/*
 * While on, the caller runs this scheduler again and again: a ring that ran
 * empty stays on the list and its owner is not asked to kick, which spares
 * both sides their system calls. Before it sleeps the caller turns it off and
 * runs once more, until that returns less than its budget. Any context.
 */
void ms_nic_sched_poll(struct ms_nic *nic, unsigned int q, bool on);

/* Adds up all counters of a port's rings, or of an interface since it was
   attached (ops->stats included); overwrites counter[]. ctl_lock held. */
void ms_port_stats(const struct ms_port *port, uint64_t counter[MS_CTR_MAX]);
void ms_nic_stats(struct ms_nic *nic, uint64_t counter[MS_CTR_MAX]);

/* ---- taps: ms_tap.c ----------------------------------------------------- */

/*
 * From now on ring 0 of `owner` gets a copy of every frame of `target` (what
 * goes into its receive rings, and what it sends), or, where target is NULL,
 * of every frame that `nic` sees and sends. snap_bytes: at most so much of
 * each frame; 0: all. flags: those of ms_cmd_tap. Privileges are the caller's to check. -EBUSY (it taps
 * already), -EINVAL (taps itself), -ENOMEM. ctl_lock held; sleeps.
 */
int ms_tap_start(struct ms_port *owner, struct ms_port *target,
		 struct ms_nic *nic, uint32_t snap_bytes, uint32_t flags);
/* Ends owner's tap, if it has one. ctl_lock held; sleeps. */
void ms_tap_stop(struct ms_port *owner);
/* Ends all taps on this port: it is about to go. ctl_lock held; sleeps. */
void ms_tap_end(struct ms_port *target);

/* ---- control: ms_ctl.c ------------------------------------------------ */

#define MS_VLAN_MAX 4094 /* the last id there is */

union ms_args { /* the struct of any command */
	uint32_t size;
	struct ms_cmd_info info;
	struct ms_cmd_port_create create;
	struct ms_cmd_queue_attach queue;
	struct ms_cmd_bind bind;
	struct ms_cmd_route route;
	struct ms_cmd_sync sync;
	struct ms_cmd_stats stats;
	struct ms_cmd_tap tap;
	struct ms_cmd_handover handover;
	struct ms_cmd_attach attach;
	struct ms_cmd_list list;
};

/*
 * One command from one caller: `arg` is a kernel-side copy of the command's
 * struct, `bytes` long as the caller gave it; *port is the caller's port
 * (PORT_CREATE sets it). Checks sizes and privileges. ATTACH and DETACH are
 * the OS's and answer -EOPNOTSUPP here. SYNC and QUEUE_ATTACH likewise.
 * Sleeps. 0 or a negative errno.
 */
int ms_ctl(struct ms_switch *sw, const struct ms_cred *cred,
	   struct ms_port **port, uint32_t cmd, void *arg, uint32_t bytes);
/* Bytes of a command's struct in this version, 0 if there is no such. */
uint32_t ms_ctl_bytes(uint32_t cmd);
/* What no OS can attach to: names without an end, flags and VLANs that there are
   not. 0, -EINVAL. */
int ms_ctl_attach_check(const struct ms_cmd_attach *arg);

#endif /* MS_CORE_H */
