// SPDX-License-Identifier: GPL-2.0
/*
 * What ib_core and ib_ipoib ask of a device and its port, and the VF
 * administration that rtnetlink hands on from the PF's IPoIB netdev.
 */
#include <rdma/ib_mad.h>
#include "fakeib.h"

static int fkb_query_device(struct ib_device *d, struct ib_device_attr *a, struct ib_udata *u)
{
	struct fkb *f = to_fkb(d);

	memset(a, 0, sizeof(*a));
	a->fw_ver = 0x0016002300000fULL;
	a->sys_image_guid = cpu_to_be64(f->pf ? f->pf->node_guid : f->node_guid);
	a->max_mr_size = ~0ULL;
	a->page_size_cap = 0xfffff000;
	a->vendor_id = 0x02c9;
	a->vendor_part_id = f->pf ? 4124 : 4123;
	a->max_qp = 4096;
	a->max_qp_wr = 16384;
	a->max_send_sge = 30;
	a->max_recv_sge = 30;
	a->max_cq = 4096;
	a->max_cqe = 65536;
	a->max_mr = 4096;
	a->max_pd = 4096;
	a->max_ah = 65536;
	a->max_pkeys = fkb_pkeys;
	a->max_mcast_grp = 4096;
	a->max_mcast_qp_attach = 64;
	a->kernel_cap_flags = IBK_LOCAL_DMA_LKEY | (f->pf ? IBK_VIRTUAL_FUNCTION : 0);
	return 0;
}

static int fkb_phys_state(int state)
{
	return state == IB_PORT_DOWN ? IB_PORT_PHYS_STATE_POLLING : IB_PORT_PHYS_STATE_LINK_UP;
}

static int fkb_query_port(struct ib_device *d, u32 port, struct ib_port_attr *a)
{
	struct fkb *f = to_fkb(d);

	a->max_mtu = IB_MTU_4096;
	a->active_mtu = IB_MTU_4096;
	a->gid_tbl_len = FKB_GIDS;
	a->max_msg_sz = 1 << 30;
	a->max_vl_num = 4;
	a->active_width = IB_WIDTH_4X;
	a->active_speed = IB_SPEED_HDR;
	a->subnet_timeout = 18;
	if (f->eth) {
		a->pkey_tbl_len = 1;
		a->state = netif_running(f->ndev) ? IB_PORT_ACTIVE : IB_PORT_DOWN;
		a->active_mtu = ib_mtu_int_to_enum(f->ndev->mtu - 64);
	} else {
		a->pkey_tbl_len = fkb_pkeys;
		a->state = READ_ONCE(f->port_state);
		a->lid = READ_ONCE(f->lid);
		a->sm_lid = 1;
	}
	a->phys_state = fkb_phys_state(a->state);
	return 0;
}

static int fkb_port_immutable(struct ib_device *d, u32 port, struct ib_port_immutable *im)
{
	bool eth = to_fkb(d)->eth;

	im->gid_tbl_len = FKB_GIDS;
	im->pkey_tbl_len = eth ? 1 : fkb_pkeys;
	im->core_cap_flags = eth ? RDMA_CORE_PORT_IBA_ROCE | RDMA_CORE_PORT_IBA_ROCE_UDP_ENCAP :
		RDMA_CORE_PORT_IBA_IB;
	im->max_mad_size = IB_MGMT_MAD_SIZE;
	return 0;
}

static enum rdma_link_layer fkb_link_layer(struct ib_device *d, u32 port)
{
	return to_fkb(d)->eth ? IB_LINK_LAYER_ETHERNET : IB_LINK_LAYER_INFINIBAND;
}

static int fkb_query_gid(struct ib_device *d, u32 port, int idx, union ib_gid *gid)
{
	memset(gid, 0, sizeof(*gid));
	if (idx == 0) {
		gid->global.subnet_prefix = cpu_to_be64(0xfe80000000000000ULL);
		gid->global.interface_id = cpu_to_be64(to_fkb(d)->port_guid);
	}
	return 0;
}

static int fkb_query_pkey(struct ib_device *d, u32 port, u16 idx, u16 *pkey)
{
	if (idx >= fkb_pkeys)
		return -EINVAL;
	*pkey = READ_ONCE(to_fkb(d)->pkeys[idx]);
	return 0;
}

static int fkb_modify_port(struct ib_device *d, u32 port, int mask, struct ib_port_modify *p)
{
	return 0;
}

static void fkb_fw_str(struct ib_device *d, char *s)
{
	snprintf(s, IB_FW_VERSION_NAME_MAX, "22.35.15");
}

/* The PF's record of a VF, NULL when the PF has no such VF or is none. */
static struct fkb_vf *fkb_vf(struct ib_device *d, int vf)
{
	struct fkb *f = to_fkb(d);

	if (f->pf || vf < 0 || vf >= pci_num_vf(f->pdev))
		return NULL;
	return &f->vf[vf];
}

static int fkb_set_vf_guid(struct ib_device *d, int vf, u32 port, u64 guid, int type)
{
	struct fkb_vf *v = fkb_vf(d, vf);

	if (!v)
		return -EINVAL;
	mutex_lock(&fkb_lock);
	if (type == IFLA_VF_IB_NODE_GUID)
		v->node_guid = guid;
	else
		v->port_guid = guid;
	mutex_unlock(&fkb_lock);
	return 0;
}

static int fkb_get_vf_guid(struct ib_device *d, int vf, u32 port, struct ifla_vf_guid *n, struct ifla_vf_guid *p)
{
	struct fkb_vf *v = fkb_vf(d, vf);

	if (!v)
		return -EINVAL;
	n->vf = vf;
	p->vf = vf;
	n->guid = v->node_guid;
	p->guid = v->port_guid;
	return 0;
}

static int fkb_get_vf_config(struct ib_device *d, int vf, u32 port, struct ifla_vf_info *i)
{
	struct fkb_vf *v = fkb_vf(d, vf);

	if (!v)
		return -EINVAL;
	memset(i, 0, sizeof(*i));
	i->vf = vf;
	i->linkstate = v->link;
	return 0;
}

static int fkb_set_vf_link(struct ib_device *d, int vf, u32 port, int state)
{
	struct fkb_vf *v = fkb_vf(d, vf);

	if (!v || state > IFLA_VF_LINK_STATE_DISABLE)
		return -EINVAL;
	mutex_lock(&fkb_lock);
	v->link = state;
	if (v->dev)
		fkb_fabric_link(v->dev, state != IFLA_VF_LINK_STATE_DISABLE);
	mutex_unlock(&fkb_lock);
	return 0;
}

static int fkb_get_vf_stats(struct ib_device *d, int vf, u32 port, struct ifla_vf_stats *s)
{
	memset(s, 0, sizeof(*s));
	return 0;
}

const struct ib_device_ops fkb_hca_ops = {
	.owner = THIS_MODULE,
	.driver_id = RDMA_DRIVER_UNKNOWN,
	.uverbs_abi_ver = 1,
	.query_device = fkb_query_device,
	.query_port = fkb_query_port,
	.get_port_immutable = fkb_port_immutable,
	.get_link_layer = fkb_link_layer,
	.query_gid = fkb_query_gid,
	.query_pkey = fkb_query_pkey,
	.modify_port = fkb_modify_port,
	.get_dev_fw_str = fkb_fw_str,
	.set_vf_guid = fkb_set_vf_guid,
	.get_vf_guid = fkb_get_vf_guid,
	.get_vf_config = fkb_get_vf_config,
	.get_vf_stats = fkb_get_vf_stats,
	.set_vf_link_state = fkb_set_vf_link,
};
