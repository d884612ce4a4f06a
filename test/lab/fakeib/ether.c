// SPDX-License-Identifier: GPL-2.0
/*
 * The Ethernet net_device of a RoCE function: it drops what is sent, and on a
 * PF it takes the usual settings for VFs.
 */
#include <linux/if_vlan.h>
#include "fakeib.h"

#define ndev_fkb(n) (*(struct fkb **)netdev_priv(n))

/* The PF's record of a VF, NULL when the PF has no such VF or is none. */
static struct fkb_vf *fkb_nd_vf(struct net_device *n, int i)
{
	struct fkb *f = ndev_fkb(n);

	if (f->pf || i < 0 || i >= pci_num_vf(f->pdev))
		return NULL;
	return &f->vf[i];
}

static netdev_tx_t fkb_xmit(struct sk_buff *skb, struct net_device *n)
{
	dev_kfree_skb_any(skb);
	return NETDEV_TX_OK;
}

static int fkb_nd_open(struct net_device *n)
{
	netif_carrier_on(n);
	netif_start_queue(n);
	return 0;
}

static int fkb_nd_stop(struct net_device *n)
{
	netif_stop_queue(n);
	return 0;
}

/* As cards do, a VF takes no other address than the PF's unless it is trusted. */
static int fkb_nd_set_mac(struct net_device *n, void *addr)
{
	struct fkb *f = ndev_fkb(n);
	const struct sockaddr *to = addr;
	const struct fkb_vf *v;

	if (f->pf) {
		v = &f->pf->vf[f->vf_id];
		if (is_valid_ether_addr(v->mac) && !v->trust && !ether_addr_equal(v->mac, to->sa_data))
			return -EPERM;
	}
	return eth_mac_addr(n, addr);
}

static int fkb_nd_mac(struct net_device *n, int i, u8 *mac)
{
	struct fkb_vf *v = fkb_nd_vf(n, i);

	if (!v || is_multicast_ether_addr(mac))
		return -EINVAL;
	ether_addr_copy(v->mac, mac);
	return 0;
}

static int fkb_nd_vlan(struct net_device *n, int i, u16 vlan, u8 qos, __be16 proto)
{
	struct fkb_vf *v = fkb_nd_vf(n, i);

	if (!v || vlan >= VLAN_N_VID || qos > 7)
		return -EINVAL;
	v->vlan = vlan;
	v->qos = qos;
	v->proto = proto;
	return 0;
}

static int fkb_nd_spoof(struct net_device *n, int i, bool on)
{
	struct fkb_vf *v = fkb_nd_vf(n, i);

	if (!v)
		return -EINVAL;
	v->nospoof = !on;
	return 0;
}

static int fkb_nd_trust(struct net_device *n, int i, bool on)
{
	struct fkb_vf *v = fkb_nd_vf(n, i);

	if (!v)
		return -EINVAL;
	v->trust = on;
	return 0;
}

static int fkb_nd_link(struct net_device *n, int i, int state)
{
	struct fkb_vf *v = fkb_nd_vf(n, i);

	if (!v)
		return -EINVAL;
	v->link = state;
	return 0;
}

static int fkb_nd_rate(struct net_device *n, int i, int min, int max)
{
	struct fkb_vf *v = fkb_nd_vf(n, i);

	if (!v)
		return -EINVAL;
	v->min_rate = min;
	v->max_rate = max;
	return 0;
}

static int fkb_nd_config(struct net_device *n, int i, struct ifla_vf_info *to)
{
	struct fkb_vf *v = fkb_nd_vf(n, i);

	if (!v)
		return -EINVAL;
	to->vf = i;
	ether_addr_copy(to->mac, v->mac);
	to->vlan = v->vlan;
	to->qos = v->qos;
	to->vlan_proto = v->proto ?: htons(ETH_P_8021Q);
	to->spoofchk = !v->nospoof;
	to->trusted = v->trust;
	to->linkstate = v->link;
	to->min_tx_rate = v->min_rate;
	to->max_tx_rate = v->max_rate;
	return 0;
}

static const struct net_device_ops fkb_nd_ops = {
	.ndo_open = fkb_nd_open,
	.ndo_stop = fkb_nd_stop,
	.ndo_start_xmit = fkb_xmit,
	.ndo_set_mac_address = fkb_nd_set_mac,
	.ndo_validate_addr = eth_validate_addr,
	.ndo_set_vf_mac = fkb_nd_mac,
	.ndo_set_vf_vlan = fkb_nd_vlan,
	.ndo_set_vf_spoofchk = fkb_nd_spoof,
	.ndo_set_vf_trust = fkb_nd_trust,
	.ndo_set_vf_link_state = fkb_nd_link,
	.ndo_set_vf_rate = fkb_nd_rate,
	.ndo_get_vf_config = fkb_nd_config,
};

static u64 fkb_eui64(const u8 *m)
{
	return (u64)(m[0] ^ 2) << 56 | (u64)m[1] << 48 | (u64)m[2] << 40 | 0xfffeULL << 24 |
		(u64)m[3] << 16 | m[4] << 8 | m[5];
}

/*
 * A VF without an address of the PF's makes one up and has no node GUID, as
 * mlx5's: rdma_cm does not work with it.
 */
static void fkb_nd_address(struct fkb *f, struct net_device *n)
{
	const u8 *mac = f->pf ? f->pf->vf[f->vf_id].mac : NULL;

	if (mac && is_valid_ether_addr(mac))
		eth_hw_addr_set(n, mac);
	else
		eth_hw_addr_random(n);
	if (!f->pf || is_valid_ether_addr(mac))
		f->node_guid = fkb_eui64(n->dev_addr);
	else
		f->node_guid = 0;
	f->port_guid = f->node_guid;
}

int fkb_nd_add(struct fkb *f)
{
	struct net_device *n = alloc_etherdev(sizeof(struct fkb *));
	int err;

	if (!n)
		return -ENOMEM;
	ndev_fkb(n) = f;
	SET_NETDEV_DEV(n, &f->pdev->dev);
	n->netdev_ops = &fkb_nd_ops;
	n->max_mtu = 9216;
	n->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	fkb_nd_address(f, n);
	err = register_netdev(n);
	if (err) {
		free_netdev(n);
		return err;
	}
	netif_carrier_off(n);
	f->ndev = n;
	return 0;
}

void fkb_nd_del(struct fkb *f)
{
	if (f->ndev) {
		unregister_netdev(f->ndev);
		free_netdev(f->ndev);
	}
}
