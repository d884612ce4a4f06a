// SPDX-License-Identifier: GPL-2.0
/*
 * The fabric as a port sees it. Debugfs:
 *
 *   fakeib/sm        "GUID ENTRY...": the table that the subnet manager has for
 *                    a port with this GUID, from index 0; a GUID alone is
 *                    forgotten; reads back all of them
 *   fakeib/sm_delay  milliseconds that it takes to notice a port or a change
 *   fakeib/sm_strict 1: a port whose GUID it has no table for stays as it is,
 *                    because somebody else plays the subnet manager
 *   fakeib/<pci>/pkeys  "INDEX ENTRY": one entry of one port, at once
 *   fakeib/<pci>/port   its GUID, its state's number, its LID, and "waiting"
 *                    while the subnet manager has yet to come to it
 *
 * A port that comes up is INIT with the default partition alone. When the
 * subnet manager has noticed it, it gets its LID and its table and is ACTIVE;
 * a GUID that nobody has a table for keeps the default partition. Without a
 * GUID, or when the PF's policy says so, a port is DOWN.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include "fakeib.h"

#define FKB_DEFAULT_PKEY 0x7fff	/* limited, as an unconfigured subnet gives it */
#define FKB_ROCE_PKEY 0xffff	/* the only one that Ethernet has */
#define FKB_LINE 1200		/* a GUID and a full table in hex fit */

struct fkb_table {
	struct list_head l;
	u64 guid;
	u16 pkeys[FKB_PKEYS];
};

static DEFINE_MUTEX(fab_lock);	/* guards both lists and what ports show */
static LIST_HEAD(fab_ports);
static LIST_HEAD(fab_tables);
static u32 fab_delay = 200;
static bool fab_strict;
static u16 fab_lid = 0x10;
static struct dentry *fab_dbg;

static void fab_event(struct fkb *f, enum ib_event_type t)
{
	struct ib_event e = { .device = &f->ib, .event = t, .element.port_num = 1 };

	ib_dispatch_event(&e);
}

static struct fkb_table *fab_find(u64 guid)
{
	struct fkb_table *t;

	list_for_each_entry(t, &fab_tables, l)
		if (t->guid == guid)
			return t;
	return NULL;
}

static void fab_default_table(struct fkb *f)
{
	memset(f->pkeys, 0, sizeof(f->pkeys));
	f->pkeys[0] = f->eth ? FKB_ROCE_PKEY : FKB_DEFAULT_PKEY;
}

static void fab_begin(struct fkb *f)
{
	bool up = f->enabled && f->port_guid && f->port_guid != ~0ULL;

	fab_default_table(f);
	f->lid = 0;
	f->port_state = up ? IB_PORT_INIT : IB_PORT_DOWN;
}

static void fab_schedule(struct fkb *f)
{
	if (!f->eth && f->port_state != IB_PORT_DOWN)
		mod_delayed_work(system_wq, &f->sweep, msecs_to_jiffies(fab_delay));
}

/* The subnet manager has come to this port. */
static void fab_sweep(struct work_struct *w)
{
	struct fkb *f = container_of(to_delayed_work(w), struct fkb, sweep);
	struct fkb_table *t;
	bool fresh;

	mutex_lock(&fab_lock);
	t = fab_find(f->port_guid);
	/* Of a node's ports the lab's fabric has those of the VFs only. */
	if (f->port_state == IB_PORT_DOWN || (!t && fab_strict && f->pf)) {
		mutex_unlock(&fab_lock);
		return;
	}
	if (t)
		memcpy(f->pkeys, t->pkeys, sizeof(f->pkeys));
	else
		fab_default_table(f);
	fresh = f->port_state != IB_PORT_ACTIVE;
	if (fresh) {
		f->lid = fab_lid++;
		f->port_state = IB_PORT_ACTIVE;
	}
	mutex_unlock(&fab_lock);
	fab_event(f, IB_EVENT_PKEY_CHANGE);
	if (fresh) {
		fab_event(f, IB_EVENT_LID_CHANGE);
		fab_event(f, IB_EVENT_PORT_ACTIVE);
	}
}

/* ---- debugfs: all tables ---- */

static int fab_sm_show(struct seq_file *s, void *p)
{
	struct fkb_table *t;
	int i;

	mutex_lock(&fab_lock);
	list_for_each_entry(t, &fab_tables, l) {
		seq_printf(s, "%016llx", t->guid);
		for (i = 0; i < FKB_PKEYS && t->pkeys[i]; i++)
			seq_printf(s, " 0x%04x", t->pkeys[i]);
		seq_putc(s, '\n');
	}
	mutex_unlock(&fab_lock);
	return 0;
}

/* Reads "GUID ENTRY..."; entries fill the table from index 0. */
static int fab_parse(char *line, struct fkb_table *t)
{
	char *word = strsep(&line, " ");
	int i = 0;

	if (kstrtou64(word, 16, &t->guid))
		return -EINVAL;
	while ((word = strsep(&line, " "))) {
		if (!*word)
			continue;
		if (i == fkb_pkeys || kstrtou16(word, 16, &t->pkeys[i++]))
			return -EINVAL;
	}
	return 0;
}

static void fab_store(struct fkb_table *t)
{
	struct fkb_table *old;
	struct fkb *f;

	mutex_lock(&fab_lock);
	old = fab_find(t->guid);
	if (old)
		list_del(&old->l);
	if (t->pkeys[0])
		list_add_tail(&t->l, &fab_tables);
	list_for_each_entry(f, &fab_ports, ports)
		if (f->port_guid == t->guid)
			fab_schedule(f);
	if (!t->pkeys[0])
		kfree(t);
	mutex_unlock(&fab_lock);
	kfree(old);
}

static ssize_t fab_sm_write(struct file *file, const char __user *b, size_t n, loff_t *o)
{
	struct fkb_table *t;
	char *line;
	int err;

	if (n > FKB_LINE)
		return -E2BIG;
	line = memdup_user_nul(b, n);
	if (IS_ERR(line))
		return PTR_ERR(line);
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	err = t ? fab_parse(strim(line), t) : -ENOMEM;
	kfree(line);
	if (err) {
		kfree(t);
		return err;
	}
	fab_store(t);
	return n;
}

static int fab_sm_open(struct inode *i, struct file *f)
{
	return single_open(f, fab_sm_show, i->i_private);
}

static const struct file_operations fab_sm_fops = {
	.owner = THIS_MODULE, .open = fab_sm_open, .read = seq_read,
	.write = fab_sm_write, .llseek = seq_lseek, .release = single_release,
};

/* ---- debugfs: the table of one port ---- */

static int fab_pkeys_show(struct seq_file *s, void *p)
{
	struct fkb *f = s->private;
	int i;

	for (i = 0; i < FKB_PKEYS; i++)
		if (f->pkeys[i])
			seq_printf(s, "%d 0x%04x\n", i, f->pkeys[i]);
	return 0;
}

static ssize_t fab_pkeys_write(struct file *file, const char __user *b, size_t n, loff_t *o)
{
	struct fkb *f = ((struct seq_file *)file->private_data)->private;
	char s[32] = {};
	unsigned int v;
	int i;

	if (n >= sizeof(s) || copy_from_user(s, b, n))
		return -EINVAL;
	if (sscanf(s, "%i %x", &i, &v) != 2 || i < 0 || i >= fkb_pkeys || v > 0xffff)
		return -EINVAL;
	WRITE_ONCE(f->pkeys[i], v);
	fab_event(f, IB_EVENT_PKEY_CHANGE);
	return n;
}

static int fab_pkeys_open(struct inode *i, struct file *f)
{
	return single_open(f, fab_pkeys_show, i->i_private);
}

static const struct file_operations fab_pkeys_fops = {
	.owner = THIS_MODULE, .open = fab_pkeys_open, .read = seq_read,
	.write = fab_pkeys_write, .llseek = seq_lseek, .release = single_release,
};

static int fab_port_show(struct seq_file *s, void *p)
{
	struct fkb *f = s->private;

	mutex_lock(&fab_lock);
	seq_printf(s, "%016llx %d 0x%x%s\n", f->port_guid, f->port_state, f->lid,
		   delayed_work_pending(&f->sweep) ? " waiting" : "");
	mutex_unlock(&fab_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(fab_port);

/* ---- ports come, go and change ---- */

/* Before ib_core sees the port. */
void fkb_fabric_prepare(struct fkb *f, bool enabled)
{
	INIT_LIST_HEAD(&f->ports);
	INIT_DELAYED_WORK(&f->sweep, fab_sweep);
	f->enabled = enabled;
	fab_begin(f);
}

/* Once ib_core takes events for it. */
void fkb_fabric_join(struct fkb *f)
{
	mutex_lock(&fab_lock);
	list_add_tail(&f->ports, &fab_ports);
	fab_schedule(f);
	mutex_unlock(&fab_lock);
	f->dbg = debugfs_create_dir(pci_name(f->pdev), fab_dbg);
	debugfs_create_file("pkeys", 0600, f->dbg, f, &fab_pkeys_fops);
	debugfs_create_file("port", 0400, f->dbg, f, &fab_port_fops);
}

void fkb_fabric_leave(struct fkb *f)
{
	debugfs_remove_recursive(f->dbg);
	mutex_lock(&fab_lock);
	list_del_init(&f->ports);
	mutex_unlock(&fab_lock);
	cancel_delayed_work_sync(&f->sweep);
}

/* The PF has changed its policy for the link. */
void fkb_fabric_link(struct fkb *f, bool enabled)
{
	bool was, is;

	mutex_lock(&fab_lock);
	if (f->enabled == enabled) {
		mutex_unlock(&fab_lock);
		return;
	}
	f->enabled = enabled;
	was = f->port_state == IB_PORT_ACTIVE;
	fab_begin(f);
	is = f->port_state != IB_PORT_DOWN;
	fab_schedule(f);
	mutex_unlock(&fab_lock);
	if (was && !is)
		fab_event(f, IB_EVENT_PORT_ERR);
}

void fkb_fabric_init(void)
{
	fab_dbg = debugfs_create_dir("fakeib", NULL);
	debugfs_create_file("sm", 0600, fab_dbg, NULL, &fab_sm_fops);
	debugfs_create_u32("sm_delay", 0600, fab_dbg, &fab_delay);
	debugfs_create_bool("sm_strict", 0600, fab_dbg, &fab_strict);
}

void fkb_fabric_exit(void)
{
	struct fkb_table *t, *n;

	debugfs_remove_recursive(fab_dbg);
	list_for_each_entry_safe(t, n, &fab_tables, l)
		kfree(t);
}
