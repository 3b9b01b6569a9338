// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * msnic.c: a network card that segments by itself and is slow: it keeps the
 * large frames that it is given until it is told to let them go. Nothing comes
 * in.
 *
 *     /sys/module/msnic/parameters/kept   how many; any write lets all go
 *     /sys/module/msnic/parameters/end    the last bytes of the oldest, in hex
 *
 * Its interface, msnic0, is there while the module is. What it keeps goes with
 * the interface, as of any card.
 */
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>

#define LARGE_BYTES 8192 /* the host's own, at the start, are not */
#define END_BYTES 16
#define FEATURES (NETIF_F_SG | NETIF_F_HW_CSUM | NETIF_F_ALL_TSO)

static struct net_device *nic;
static struct sk_buff_head kept;

static netdev_tx_t
nic_xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev->stats.tx_packets++;
	dev->stats.tx_bytes += skb->len;
	if (skb->len >= LARGE_BYTES)
		skb_queue_tail(&kept, skb);
	else
		dev_consume_skb_any(skb);
	return NETDEV_TX_OK;
}

static int
nic_open(struct net_device *dev)
{
	netif_start_queue(dev);
	return 0;
}

static int
nic_stop(struct net_device *dev)
{
	netif_stop_queue(dev);
	skb_queue_purge(&kept);
	return 0;
}

static const struct net_device_ops nic_ops = {
	.ndo_open = nic_open,
	.ndo_stop = nic_stop,
	.ndo_start_xmit = nic_xmit,
};

static int
kept_get(char *text, const struct kernel_param *kp)
{
	return sprintf(text, "%u\n", skb_queue_len(&kept));
}

static int
kept_set(const char *text, const struct kernel_param *kp)
{
	skb_queue_purge(&kept);
	return 0;
}

static const struct kernel_param_ops kept_ops = {
	.get = kept_get,
	.set = kept_set,
};

static int
end_get(char *text, const struct kernel_param *kp)
{
	uint8_t end[END_BYTES];
	struct sk_buff *skb;
	int err = -ENODATA;

	spin_lock_bh(&kept.lock);
	skb = skb_peek(&kept);
	if (skb != NULL)
		err = skb_copy_bits(skb, (int)skb->len - END_BYTES, end,
				    END_BYTES);
	spin_unlock_bh(&kept.lock);
	return err ? err : sprintf(text, "%*phN\n", END_BYTES, end);
}

static const struct kernel_param_ops end_ops = {
	.get = end_get,
};

module_param_cb(kept, &kept_ops, NULL, 0600);
module_param_cb(end, &end_ops, NULL, 0400);

static int __init
nic_init(void)
{
	int err;

	skb_queue_head_init(&kept);
	nic = alloc_etherdev(0);
	if (nic == NULL)
		return -ENOMEM;
	strscpy(nic->name, "msnic%d", sizeof(nic->name));
	nic->netdev_ops = &nic_ops;
	nic->features |= FEATURES;
	nic->hw_features |= FEATURES;
	eth_hw_addr_random(nic);
	err = register_netdev(nic);
	if (err)
		free_netdev(nic);
	return err;
}

static void __exit
nic_exit(void)
{
	unregister_netdev(nic);
	free_netdev(nic);
}

module_init(nic_init);
module_exit(nic_exit);

MODULE_DESCRIPTION("A slow network card, for tests of MultiStack");
MODULE_LICENSE("Dual BSD/GPL");
