/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * multistack.h: the ABI between a MultiStack switch and its applications.
 *
 * One descriptor on /dev/multistack (or one connection to multistackd) is one
 * port. A port has transmit and receive rings in a region of memory of its
 * own, which its owner maps and nobody else. The words are netmap's.
 *
 *   region   | ms_region | ms_ring + slots | ms_ring + slots | ... | buffers |
 *
 * Who writes what: of a ring the user writes `head` and `wake`, the switch
 * writes `tail` and `doze`. Both indices run freely modulo 2^32; slot i is
 * slots[i & (num_slots - 1)]. In both kinds of ring THE USER OWNS THE SLOTS
 * [head, tail) and the switch owns all others:
 *
 *   receive   slots [head, tail) hold frames; the user consumes them and
 *             advances head, the switch fills slots and advances tail.
 *   transmit  slots [head, tail) are free; the user fills slots and advances
 *             head, the switch sends them and advances tail.
 *
 * The switch keeps its own copies of all indices and believes nothing it
 * reads here: a bad value costs the writer its own frames and nothing else.
 */
#ifndef MULTISTACK_H
#define MULTISTACK_H

#if defined(__KERNEL__) && defined(__linux__)
#include <linux/types.h>
#elif defined(_KERNEL)
#include <sys/types.h>
#else
#include <stdint.h>
#endif

#define MS_ABI_VERSION 1
#define MS_REGION_MAGIC 0x4d53524eu /* "MSRN" */
#define MS_IFNAME_BYTES 16	    /* as IFNAMSIZ, with its NUL */
#define MS_CACHE_LINE 64

#define MS_RINGS_MAX 64 /* of each kind in one port */
#define MS_SLOTS_MIN 8	/* in one ring; a power of two */
#define MS_SLOTS_MAX 65536
#define MS_BUF_BYTES_MIN 2048 /* a power of two */
#define MS_BUF_BYTES_MAX 65536
#define MS_FRAME_BYTES_MAX 65568 /* Ethernet, VLAN and 64 KiB of IP */
#define MS_FRAME_SLOTS_MAX 40	 /* a frame spans at most so many slots */

/*
 * Flags of a slot. On transmit MORE and CSUM_PARTIAL come from the user,
 * anything else is refused (tx_bad_slot); on receive all are written by the
 * switch. A frame's offload metadata stands in its first slot; in the further
 * slots of a frame only buf, len and MORE have a meaning.
 */
#define MS_SLOT_MORE 0x0001 /* the frame goes on in the next slot */
/* Fold the checksum from csum_start on into csum_start + csum_offset. */
#define MS_SLOT_CSUM_PARTIAL 0x0002
#define MS_SLOT_CSUM_OK 0x0004	/* L4 checksum verified, or not needed */
#define MS_SLOT_TAP_RX 0x0010	/* a tap's copy of a received frame */
#define MS_SLOT_TAP_TX 0x0020	/* a tap's copy of a sent frame */
#define MS_SLOT_TAP_DROP 0x0040 /* a tap's copy of one refused to be sent */

enum ms_gso {
	MS_GSO_NONE = 0,
	MS_GSO_TCP4 = 1, /* numbers as in virtio_net_hdr */
	MS_GSO_UDP = 5,	 /* UDP segmentation (VIRTIO_NET_HDR_GSO_UDP_L4) */
	MS_GSO_TCP6 = 4,
};

struct ms_slot {
	uint32_t buf;	      /* buffer number; the user may exchange it */
	uint16_t len;	      /* bytes of the frame in this buffer; 0 means
				 65536, possible only in a buffer that large */
	uint16_t flags;	      /* MS_SLOT_* */
	uint8_t gso_type;     /* enum ms_gso */
	uint8_t reason;	      /* with TAP_DROP: the enum ms_counter that
				 counted it; else 0 */
	uint16_t gso_size;    /* payload bytes of each segment */
	uint16_t csum_start;  /* bytes from the frame's start */
	uint16_t csum_offset; /* bytes from csum_start */
};

struct ms_ring {
	/* written once by the switch at creation, informative to the user */
	uint32_t num_slots;
	uint32_t buf_bytes;
	uint16_t is_rx;	    /* 0 transmit, 1 receive */
	uint16_t index;	    /* among its kind */
	uint32_t slots_ofs; /* of the slots, from this ring's start, bytes */
	uint8_t pad0[MS_CACHE_LINE - 16];

	/* written by the switch */
	uint32_t tail;
	uint32_t doze; /* not 0: the switch sleeps; kick after moving head */
	uint32_t lost; /* receive: frames dropped because the ring was full;
			    transmit: frames refused. Modulo 2^32 */
	uint32_t gone; /* not 0: an MS_GONE_*; nothing will come any more */
	uint8_t pad1[MS_CACHE_LINE - 16];

	/* written by the user */
	uint32_t head;
	uint32_t wake; /* wake me when tail moves past this value (tail goes
			  from <= wake to > wake): virtio's used_event */
	uint8_t pad2[MS_CACHE_LINE - 8];
};

#define MS_GONE_NIC 1	 /* the interface was detached or went away */
#define MS_GONE_DAEMON 2 /* the daemon stopped */

struct ms_region {
	uint32_t magic; /* MS_REGION_MAGIC */
	uint16_t abi;	/* MS_ABI_VERSION */
	uint16_t size;	/* of this struct */
	uint64_t bytes; /* of the whole region */
	uint16_t tx_rings;
	uint16_t rx_rings;
	uint32_t slots; /* in each ring */
	uint32_t buf_bytes;
	uint32_t bufs;	     /* in the pool; buffer i starts at
				bufs_ofs + i * buf_bytes */
	uint32_t extra_bufs; /* the last ones of the pool stand in no slot at
				first: the user's, to exchange with */
	uint32_t port_id;
	uint64_t ring_ofs;    /* of transmit ring 0, bytes */
	uint64_t ring_stride; /* to the next ring, bytes: first the transmit
				 rings, then the receive rings */
	uint64_t bufs_ofs;
	/* written by the switch */
	uint32_t route_gen; /* moves when routes, neighbours, MTU or addresses
			       of the interface changed: ask MS_CMD_ROUTE again */
	uint32_t reserved;
};

/* An address of either family, network byte order; IPv4 in the first four
   bytes, the rest 0. All 0 is the wildcard. */
struct ms_tuple {
	uint8_t addr[16];
	uint16_t port_be; /* 0 for protocols without ports */
	uint8_t proto;	  /* IPPROTO_* */
	uint8_t family;	  /* 4 or 6 */
};

/*
 * Counters, of a port or of an interface. X(NAME, "name", "meaning"). New ones
 * are appended, so that an old program reads a prefix. A frame that is not
 * forwarded is counted in exactly one of the drop counters.
 */
#define MS_COUNTERS(X)                                                         \
	X(RX_FRAMES, "rx_frames", "frames put into receive rings")             \
	X(RX_BYTES, "rx_bytes", "bytes of those frames")                       \
	X(TX_FRAMES, "tx_frames", "frames taken from transmit rings and sent") \
	X(TX_BYTES, "tx_bytes", "bytes of those frames")                       \
	X(TX_LOCAL, "tx_local", "sent frames that went to a local port")       \
	X(TX_HOST, "tx_host", "sent frames that went to the host stack")       \
	X(RX_SEEN, "rx_seen", "frames the interface gave to the switch")       \
	X(RX_HOST, "rx_host", "seen frames left to the host stack")            \
	X(RX_WAKEUPS, "rx_wakeups", "wake-ups of sleeping ring owners")        \
	X(TX_SYNCS, "tx_syncs", "times the switch looked at a transmit ring")  \
	X(DROP_RX_FULL, "drop_rx_full", "receive ring full")                   \
	X(DROP_RX_SLOT, "drop_rx_slot", "receive slot named a bad buffer")     \
	X(DROP_RX_LONG, "drop_rx_long", "frame longer than the ring can hold") \
	X(DROP_RX_GONE, "drop_rx_gone", "claimed, but its port just left")     \
	X(DROP_RX_NOHOST, "drop_rx_nohost",                                    \
	  "unclaimed, and this attachment has no way back to the host")        \
	X(DROP_TX_SLOT, "drop_tx_slot", "bad buffer, length or flag in slot")  \
	X(DROP_TX_SHORT, "drop_tx_short", "shorter than its headers say")      \
	X(DROP_TX_LONG, "drop_tx_long",                                        \
	  "longer than MTU without GSO, or than"                               \
	  " 64 KiB")                                                           \
	X(DROP_TX_ETHER, "drop_tx_ether", "neither IPv4 nor IPv6 (ARP, ...)")  \
	X(DROP_TX_MAC, "drop_tx_mac", "source MAC is not the interface's")     \
	X(DROP_TX_VLAN, "drop_tx_vlan", "VLAN is not the attachment's")        \
	X(DROP_TX_HEADER, "drop_tx_header",                                    \
	  "malformed IP or transport header"                                   \
	  " or bad header checksum")                                           \
	X(DROP_TX_FRAGMENT, "drop_tx_fragment",                                \
	  "fragment that follows no first fragment of this port")              \
	X(DROP_TX_UNBOUND, "drop_tx_unbound", "source tuple bound by nobody")  \
	X(DROP_TX_FOREIGN, "drop_tx_foreign", "source tuple of another port")  \
	X(DROP_TX_OFFLOAD, "drop_tx_offload",                                  \
	  "bad or unsupported offload"                                         \
	  " metadata")                                                         \
	X(DROP_TX_NIC, "drop_tx_nic", "refused by the driver")                 \
	X(DROP_TX_NOHOST, "drop_tx_nohost",                                    \
	  "for the host stack, and this"                                       \
	  " attachment has no way to it")                                      \
	X(DROP_NOMEM, "drop_nomem", "out of memory on the way")                \
	X(TAP_FRAMES, "tap_frames", "copies made for taps")                    \
	X(TAP_LOST, "tap_lost", "copies not made, the tap's ring was full")    \
	X(BAD_HEAD, "bad_head", "looks at a ring whose head was out of range")

enum ms_counter {
#define MS_COUNTER_ENUM(NAME, name, meaning) MS_CTR_##NAME,
	MS_COUNTERS(MS_COUNTER_ENUM)
#undef MS_COUNTER_ENUM
	    MS_CTR_MAX
};

/*
 * Commands. To the kernel they are ioctls, to multistackd messages; the
 * structs are the same. Each begins with its own size, set by the caller: a
 * callee that knows a longer struct takes what is missing as 0, one that knows
 * a shorter struct refuses bytes that are not 0 with E2BIG.
 */
enum ms_cmd {
	MS_CMD_INFO = 1,
	MS_CMD_PORT_CREATE,
	MS_CMD_QUEUE_ATTACH,
	MS_CMD_BIND,
	MS_CMD_UNBIND,
	MS_CMD_ROUTE,
	MS_CMD_SYNC,
	MS_CMD_STATS,
	MS_CMD_TAP,
	MS_CMD_HANDOVER,
	MS_CMD_ATTACH, /* administrators, from here on but for LIST */
	MS_CMD_DETACH,
	MS_CMD_LIST,
	MS_CMD_MAX
};

/*
 * To a kernel a command is ioctl(fd, MS_IOCTL(cmd), &struct) on a descriptor
 * of /dev/multistack: the kernel copies as many bytes as the struct says it
 * has. Answers 0; QUEUE_ATTACH a descriptor of its own for one ring, which
 * polls readable (receive) or writable (transmit) and takes MS_CMD_SYNC for
 * that ring alone. mmap() of the port's descriptor at offset 0 maps the region.
 */
#if defined(__FreeBSD__)
#define MS_IOCTL(cmd) (0x2000e700ul | (unsigned long)(cmd)) /* IOC_VOID */
#else
#define MS_IOCTL(cmd) (0xe700ul | (unsigned long)(cmd))
#endif

#define MS_FEATURE_GSO_TCP (1u << 0)
#define MS_FEATURE_GSO_UDP (1u << 1)
#define MS_FEATURE_CSUM_TX (1u << 2) /* CSUM_PARTIAL is finished for you */
#define MS_FEATURE_CSUM_RX (1u << 3) /* CSUM_OK and CSUM_PARTIAL may come */
#define MS_FEATURE_HOST (1u << 4)    /* the host's own stack can be reached */

struct ms_cmd_info {
	uint32_t size;
	uint32_t abi;	    /* out */
	uint32_t features;  /* out: of the switch */
	uint32_t num_nics;  /* out */
	uint32_t num_ports; /* out */
	uint32_t pad;
	uint64_t num_tuples; /* out */
};

struct ms_cmd_port_create {
	uint32_t size;
	uint32_t flags; /* 0 */
	char nic[MS_IFNAME_BYTES];
	uint16_t tx_rings;  /* 0 means 1 */
	uint16_t rx_rings;  /* 0 means 1 */
	uint32_t slots;	    /* in each ring; 0 means 512; rounded up */
	uint32_t buf_bytes; /* 0 means 2048 */
	uint32_t extra_bufs;
	char label[16]; /* shown in lists, may be empty */
	/* out */
	uint64_t region_bytes;
	uint32_t port_id;
	uint32_t features; /* MS_FEATURE_* of the interface */
	uint32_t mtu;	   /* bytes of IP */
	uint8_t mac[6];
	uint16_t vlan; /* the attachment's VLAN, 0 for none */
	uint32_t pad;
};

struct ms_cmd_queue_attach {
	uint32_t size;
	uint16_t is_rx;
	uint16_t index;
};

struct ms_cmd_bind { /* and unbind */
	uint32_t size;
	uint32_t flags;	       /* 0 */
	struct ms_tuple tuple; /* in; out with the port that was chosen */
	uint32_t holder;       /* out with EADDRINUSE: the id of the port that
				  has it, or 0 if the host has */
};

#define MS_ROUTE_REACHABLE 1 /* dst_mac is valid */
#define MS_ROUTE_PENDING 2 /* being resolved; ask again when route_gen moved */
#define MS_ROUTE_LOCAL 3   /* the peer is on this host */

struct ms_cmd_route {
	uint32_t size;
	uint32_t flags;	     /* 0 */
	struct ms_tuple dst; /* family and addr count */
	/* out */
	struct ms_tuple src;
	uint8_t src_mac[6];
	uint8_t dst_mac[6];
	uint32_t mtu;	/* bytes of IP */
	uint32_t gen;	/* region's route_gen that this answer belongs to */
	uint32_t state; /* MS_ROUTE_* */
	uint32_t pad;
};

struct ms_cmd_sync {
	uint32_t size;
	uint16_t is_rx; /* 0: send what is in the ring; 1: look for frames */
	uint16_t index;
};

struct ms_cmd_stats {
	uint32_t size;
	uint32_t num;		   /* out: counters filled in */
	char nic[MS_IFNAME_BYTES]; /* empty: of the port */
	uint32_t port_id; /* 0: the caller's own; another's needs its uid or
			     the administrator */
	uint32_t pad;
	uint64_t counter[MS_CTR_MAX]; /* out, by enum ms_counter */
};

#define MS_TAP_PORT 1 /* of one port (same uid, or administrator) */
#define MS_TAP_NIC 2  /* of the whole interface (administrator) */

/*
 * Also frames that ports send and the switch refuses (MS_SLOT_TAP_DROP). Of one
 * in bad slots comes what could be read, if anything could; offload metadata
 * are as the sender gave them, unchecked.
 */
#define MS_TAP_REFUSED (1u << 0)
#define MS_TAP_NO_OTHERS (1u << 1) /* with it: those alone */

struct ms_cmd_tap { /* the caller's receive ring 0 gets copies */
	uint32_t size;
	uint32_t scope; /* MS_TAP_*, 0 ends it */
	uint32_t port_id;
	uint32_t snap_bytes; /* cut copies to this length; 0: whole */
	uint32_t flags;	     /* MS_TAP_REFUSED, _NO_OTHERS */
	uint32_t pad;
};

#define MS_HANDOVER_OFFER 1 /* out: token */
#define MS_HANDOVER_ACCEPT                                                     \
	2 /* in: token; all tuples of the offerer move to
				the caller's port, atomically each */

struct ms_cmd_handover {
	uint32_t size;
	uint32_t op;
	uint8_t token[16];
	uint32_t moved; /* out: tuples */
	uint32_t pad;
};

struct ms_cmd_attach { /* and detach */
	uint32_t size;
	uint32_t flags;		   /* MS_ATTACH_* */
	char nic[MS_IFNAME_BYTES]; /* interface */
	char kind[16];	   /* "" (best), "xdp", "tap", "tc", "pair"; kernel:
			  "rx_handler", "xdp" */
	char options[128]; /* of the kind, "key=value,key=value" */
	uint16_t vlan;
	uint16_t queues; /* 0: as many as the interface has */
	uint32_t pad;
};

#define MS_ATTACH_GENERIC (1u << 0) /* generic XDP even if native works */
#define MS_ATTACH_FORCE (1u << 1)   /* detach: although ports are open */

enum ms_list { MS_LIST_NICS = 1, MS_LIST_PORTS = 2, MS_LIST_TUPLES = 3 };

struct ms_cmd_list { /* one record a call */
	uint32_t size;
	uint32_t what;	 /* enum ms_list */
	uint64_t cursor; /* 0 at first, then as returned; ENOENT at the end */
	/* out */
	uint32_t port_id;
	uint32_t uid;
	int32_t pid;
	uint32_t num;	       /* nics: ports; ports: tuples */
	struct ms_tuple tuple; /* tuples */
	char nic[MS_IFNAME_BYTES];
	char label[16];	   /* nics: kind and mode; ports: label */
	uint16_t tx_rings; /* nics: queues */
	uint16_t rx_rings;
	uint32_t slots;
	uint32_t mtu;
	uint32_t features;
	uint8_t mac[6];
	uint16_t vlan;
};

#if defined(__cplusplus)
#define MS_ABI_ASSERT(x) static_assert(x, #x)
#else
#define MS_ABI_ASSERT(x) _Static_assert(x, #x)
#endif
MS_ABI_ASSERT(sizeof(struct ms_slot) == 16);
MS_ABI_ASSERT(sizeof(struct ms_ring) == 3 * MS_CACHE_LINE);
MS_ABI_ASSERT(sizeof(struct ms_region) == 72);
MS_ABI_ASSERT(sizeof(struct ms_tuple) == 20);
MS_ABI_ASSERT(sizeof(struct ms_cmd_info) == 32);
MS_ABI_ASSERT(sizeof(struct ms_cmd_port_create) == 88);
MS_ABI_ASSERT(sizeof(struct ms_cmd_bind) == 32);
MS_ABI_ASSERT(sizeof(struct ms_cmd_route) == 76);
MS_ABI_ASSERT(sizeof(struct ms_cmd_stats) == 32 + 8 * MS_CTR_MAX);
MS_ABI_ASSERT(sizeof(struct ms_cmd_handover) == 32);
MS_ABI_ASSERT(sizeof(struct ms_cmd_attach) == 176);
MS_ABI_ASSERT(sizeof(struct ms_cmd_list) == 112);

#endif /* MULTISTACK_H */
