/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FAKEIB_H
#define FAKEIB_H

#include <linux/etherdevice.h>
#include <linux/if_link.h>
#include <linux/pci.h>
#include <linux/version.h>
#include <linux/workqueue.h>
#include <rdma/ib_verbs.h>

#define FKB_PKEYS 128	/* entries of a port's table, as ConnectX has them */
#define FKB_GIDS 8
#define FKB_VFS 64	/* of a PF; QEMU's igb has 7 */

struct fkb;

/* What a PF holds for a VF. The VF's driver takes it over when it binds. */
struct fkb_vf {
	u64 node_guid, port_guid;
	int link;		/* IFLA_VF_LINK_STATE_* */
	struct fkb *dev;	/* the bound VF; under fkb_lock */
	u8 mac[ETH_ALEN];
	u16 vlan, qos;
	__be16 proto;
	bool nospoof, trust;
	int min_rate, max_rate;
};

/* One PCI function: a device with one port. */
struct fkb {
	struct ib_device ib;
	struct pci_dev *pdev;
	struct fkb *pf;			/* NULL on a PF */
	int vf_id;
	bool eth;
	struct net_device *ndev;	/* Ethernet only */
	u64 node_guid, port_guid;
	atomic_t qpn;
	struct dentry *dbg;

	/* The subnet manager's part; see fabric.c. */
	struct list_head ports;
	struct delayed_work sweep;
	bool enabled;			/* the PF's policy for the link */
	int port_state;
	u16 lid;
	u16 pkeys[FKB_PKEYS];

	struct fkb_vf vf[FKB_VFS];	/* used on a PF */
};

#define to_fkb(d) container_of(d, struct fkb, ib)

/* main.c: guards what PFs hold and which VFs are bound. */
extern struct mutex fkb_lock;
extern uint fkb_pkeys;	/* entries of a port's table, FKB_PKEYS at most */

/* hca.c, verbs.c */
extern const struct ib_device_ops fkb_hca_ops, fkb_verbs_ops;

/* ether.c */
int fkb_nd_add(struct fkb *f);
void fkb_nd_del(struct fkb *f);

/* fabric.c */
void fkb_fabric_init(void);
void fkb_fabric_exit(void);
void fkb_fabric_prepare(struct fkb *f, bool enabled);
void fkb_fabric_join(struct fkb *f);
void fkb_fabric_leave(struct fkb *f);
void fkb_fabric_link(struct fkb *f, bool enabled);

#endif
