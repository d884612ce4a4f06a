// SPDX-License-Identifier: GPL-2.0
/*
 * The PCI driver. It binds to the physical and virtual functions of the Intel
 * 82576 that QEMU's "igb" emulates, and touches nothing of them but their
 * SR-IOV capability: each becomes an RDMA device with one port.
 */
#include <linux/module.h>
#include "fakeib.h"

static char *name = "mlx5_%d";
module_param(name, charp, 0444);
MODULE_PARM_DESC(name, "pattern for RDMA device names");

static unsigned long long guid_base = 0xb8cef60300f00000ULL;
module_param(guid_base, ullong, 0444);
MODULE_PARM_DESC(guid_base, "GUID of the first PF; PFs are 0x100 apart");

static ulong eth;
module_param(eth, ulong, 0444);
MODULE_PARM_DESC(eth, "bit mask of the PFs, in the order of their PCI addresses, that are Ethernet (RoCE)");

uint fkb_pkeys = FKB_PKEYS;
module_param_named(pkeys, fkb_pkeys, uint, 0444);
MODULE_PARM_DESC(pkeys, "entries of a port's PKey table; fewer are quicker to read, one by one, in sysfs");

DEFINE_MUTEX(fkb_lock);

/* A PF's number is its place among the PFs of the node, and stays when it is bound anew. */
static int fkb_pf_number(struct pci_dev *pdev)
{
	struct pci_dev *d = NULL;
	int n = 0;

	while ((d = pci_get_device(pdev->vendor, pdev->device, d))) {
		if (d == pdev)
			break;
		n++;
	}
	pci_dev_put(d);
	return n;
}

static void fkb_init_pf(struct fkb *f)
{
	int i = fkb_pf_number(f->pdev);

	f->eth = i < BITS_PER_LONG && (eth & (1UL << i));
	f->node_guid = guid_base + 0x100ULL * i;
	f->port_guid = f->node_guid;
	fkb_fabric_prepare(f, true);
	pci_set_master(f->pdev);
}

static int fkb_init_vf(struct fkb *f)
{
	const struct fkb_vf *v;

	f->pf = pci_get_drvdata(pci_physfn(f->pdev));
	f->vf_id = pci_iov_vf_id(f->pdev);
	if (!f->pf || f->vf_id < 0 || f->vf_id >= FKB_VFS)
		return -ENODEV;
	mutex_lock(&fkb_lock);
	v = &f->pf->vf[f->vf_id];
	f->eth = f->pf->eth;
	f->node_guid = v->node_guid;
	f->port_guid = v->port_guid;
	fkb_fabric_prepare(f, v->link != IFLA_VF_LINK_STATE_DISABLE);
	mutex_unlock(&fkb_lock);
	return 0;
}

/* Says to the PF which device its VF is now; NULL: none. */
static void fkb_tell_pf(struct fkb *f, struct fkb *dev)
{
	if (!f->pf)
		return;
	mutex_lock(&fkb_lock);
	f->pf->vf[f->vf_id].dev = dev;
	mutex_unlock(&fkb_lock);
}

static int fkb_register(struct fkb *f)
{
	int err = 0;

	f->ib.node_type = RDMA_NODE_IB_CA;
	f->ib.node_guid = cpu_to_be64(f->node_guid);
	f->ib.phys_port_cnt = 1;
	f->ib.num_comp_vectors = 1;
	f->ib.local_dma_lkey = 1;
	f->ib.dev.parent = &f->pdev->dev;
	snprintf(f->ib.node_desc, sizeof(f->ib.node_desc), "fakeib %s", pci_name(f->pdev));
	ib_set_device_ops(&f->ib, &fkb_hca_ops);
	ib_set_device_ops(&f->ib, &fkb_verbs_ops);
	if (f->eth)
		err = ib_device_set_netdev(&f->ib, f->ndev, 1);
	return err ?: ib_register_device(&f->ib, name, &f->pdev->dev);
}

static int fkb_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct fkb *f;
	int err;

	err = pcim_enable_device(pdev);
	if (!err)
		err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (err)
		return err;
	f = ib_alloc_device(fkb, ib);
	if (!f)
		return -ENOMEM;
	f->pdev = pdev;
	atomic_set(&f->qpn, 0x40);
	if (pdev->is_virtfn)
		err = fkb_init_vf(f);
	else
		fkb_init_pf(f);
	if (!err && f->eth)
		err = fkb_nd_add(f);
	if (err)
		goto free;
	pci_set_drvdata(pdev, f);
	err = fkb_register(f);
	if (err)
		goto forget;
	fkb_tell_pf(f, f);
	fkb_fabric_join(f);
	dev_info(&pdev->dev, "%s %s node_guid %016llx port_guid %016llx\n", f->pf ? "VF" : "PF",
		 dev_name(&f->ib.dev), f->node_guid, f->port_guid);
	return 0;
forget:
	pci_set_drvdata(pdev, NULL);
	fkb_nd_del(f);
free:
	ib_dealloc_device(&f->ib);
	return err;
}

static void fkb_remove(struct pci_dev *pdev)
{
	struct fkb *f = pci_get_drvdata(pdev);

	if (!f->pf)
		pci_disable_sriov(pdev);
	fkb_tell_pf(f, NULL);
	fkb_fabric_leave(f);
	ib_unregister_device(&f->ib);
	fkb_nd_del(f);
	ib_dealloc_device(&f->ib);
	pci_set_drvdata(pdev, NULL);
}

/* Without VFs the PF forgets what it held for them, as firmware does. */
static int fkb_sriov(struct pci_dev *pdev, int n)
{
	struct fkb *f = pci_get_drvdata(pdev);

	if (n == 0) {
		pci_disable_sriov(pdev);
		memset(f->vf, 0, sizeof(f->vf));
		return 0;
	}
	if (n > FKB_VFS)
		return -EINVAL;
	return pci_enable_sriov(pdev, n) ?: n;
}

static const struct pci_device_id fkb_ids[] = {
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x10c9) },	/* QEMU's igb */
	{ PCI_DEVICE(PCI_VENDOR_ID_INTEL, 0x10ca) },	/* its VFs */
	{ }
};
MODULE_DEVICE_TABLE(pci, fkb_ids);

static struct pci_driver fkb_driver = {
	.name = "fakeib", .id_table = fkb_ids, .probe = fkb_probe,
	.remove = fkb_remove, .sriov_configure = fkb_sriov,
};

static int __init fkb_init(void)
{
	int err;

	if (!fkb_pkeys || fkb_pkeys > FKB_PKEYS)
		return -EINVAL;
	fkb_fabric_init();
	err = pci_register_driver(&fkb_driver);
	if (err)
		fkb_fabric_exit();
	return err;
}

static void __exit fkb_exit(void)
{
	pci_unregister_driver(&fkb_driver);
	fkb_fabric_exit();
}
module_init(fkb_init);
module_exit(fkb_exit);
MODULE_DESCRIPTION("Test-only InfiniBand and RoCE HCA without a data path");
MODULE_LICENSE("GPL");
