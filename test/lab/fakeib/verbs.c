// SPDX-License-Identifier: GPL-2.0
/*
 * Verbs without a wire: sends complete and vanish, receives stay posted until
 * their queue pair goes to the error state. It is as much as ib_uverbs,
 * ib_umad, ib_cm and ib_ipoib need to bind and to unbind cleanly.
 */
#include <rdma/uverbs_ioctl.h>
#include "fakeib.h"

struct fkb_wce {		/* a completion, or a receive that is to become one */
	struct list_head l;
	struct ib_wc wc;
};

struct fkb_cq {
	struct ib_cq ib;
	spinlock_t lock;
	struct list_head done;
	bool armed;
	struct work_struct work;	/* calls comp_handler outside all locks */
};

struct fkb_qp {
	struct ib_qp ib;
	spinlock_t lock;
	struct list_head rq;
	enum ib_qp_state state;
};

struct fkb_pd {
	struct ib_pd ib;
};

struct fkb_uctx {
	struct ib_ucontext ib;
};

struct fkb_ah {
	struct ib_ah ib;
};

#define to_cq(c) container_of(c, struct fkb_cq, ib)
#define to_qp(q) container_of(q, struct fkb_qp, ib)

static int fkb_alloc_ucontext(struct ib_ucontext *c, struct ib_udata *u) { return 0; }
static void fkb_dealloc_ucontext(struct ib_ucontext *c) { }
static void fkb_disassociate(struct ib_ucontext *c) { }
static int fkb_mmap(struct ib_ucontext *c, struct vm_area_struct *v) { return -EOPNOTSUPP; }
static int fkb_alloc_pd(struct ib_pd *p, struct ib_udata *u) { return 0; }
static int fkb_dealloc_pd(struct ib_pd *p, struct ib_udata *u) { return 0; }
static int fkb_create_ah(struct ib_ah *a, struct rdma_ah_init_attr *i, struct ib_udata *u) { return 0; }
static int fkb_destroy_ah(struct ib_ah *a, u32 f) { return 0; }
static int fkb_mcast(struct ib_qp *q, union ib_gid *g, u16 lid) { return 0; }

static struct ib_mr *fkb_dma_mr(struct ib_pd *p, int acc)
{
	struct ib_mr *m = kzalloc(sizeof(*m), GFP_KERNEL);

	return m ? m : ERR_PTR(-ENOMEM);
}
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
static struct ib_mr *fkb_user_mr(struct ib_pd *p, u64 s, u64 l, u64 v, int acc, struct ib_dmah *h, struct ib_udata *u)
#else
static struct ib_mr *fkb_user_mr(struct ib_pd *p, u64 s, u64 l, u64 v, int acc, struct ib_udata *u)
#endif
{
	return fkb_dma_mr(p, acc);
}
static int fkb_dereg_mr(struct ib_mr *m, struct ib_udata *u) { kfree(m); return 0; }

static void fkb_cq_work(struct work_struct *w)
{
	struct fkb_cq *c = container_of(w, struct fkb_cq, work);

	local_bh_disable();
	c->ib.comp_handler(&c->ib, c->ib.cq_context);
	local_bh_enable();
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
static int fkb_create_cq(struct ib_cq *q, const struct ib_cq_init_attr *a, struct uverbs_attr_bundle *u)
#else
static int fkb_create_cq(struct ib_cq *q, const struct ib_cq_init_attr *a, struct ib_udata *u)
#endif
{
	struct fkb_cq *c = to_cq(q);

	spin_lock_init(&c->lock);
	INIT_LIST_HEAD(&c->done);
	INIT_WORK(&c->work, fkb_cq_work);
	q->cqe = a->cqe;
	return 0;
}

static int fkb_destroy_cq(struct ib_cq *q, struct ib_udata *u)
{
	struct fkb_cq *c = to_cq(q);
	struct fkb_wce *e, *n;

	cancel_work_sync(&c->work);
	list_for_each_entry_safe(e, n, &c->done, l)
		kfree(e);
	return 0;
}

static void fkb_complete(struct ib_cq *q, struct fkb_wce *e)
{
	struct fkb_cq *c = to_cq(q);
	unsigned long fl;

	spin_lock_irqsave(&c->lock, fl);
	list_add_tail(&e->l, &c->done);
	if (c->armed) {
		c->armed = false;
		schedule_work(&c->work);
	}
	spin_unlock_irqrestore(&c->lock, fl);
}

static int fkb_poll_cq(struct ib_cq *q, int n, struct ib_wc *wc)
{
	struct fkb_cq *c = to_cq(q);
	struct fkb_wce *e;
	unsigned long fl;
	int i = 0;

	spin_lock_irqsave(&c->lock, fl);
	while (i < n && (e = list_first_entry_or_null(&c->done, struct fkb_wce, l))) {
		list_del(&e->l);
		wc[i++] = e->wc;
		kfree(e);
	}
	spin_unlock_irqrestore(&c->lock, fl);
	return i;
}

static int fkb_req_notify(struct ib_cq *q, enum ib_cq_notify_flags f)
{
	struct fkb_cq *c = to_cq(q);
	unsigned long fl;
	int r;

	spin_lock_irqsave(&c->lock, fl);
	c->armed = true;
	r = (f & IB_CQ_REPORT_MISSED_EVENTS) && !list_empty(&c->done);
	spin_unlock_irqrestore(&c->lock, fl);
	return r;
}

static int fkb_create_qp(struct ib_qp *q, struct ib_qp_init_attr *a, struct ib_udata *u)
{
	struct fkb_qp *p = to_qp(q);

	spin_lock_init(&p->lock);
	INIT_LIST_HEAD(&p->rq);
	p->state = IB_QPS_RESET;
	q->qp_num = a->qp_type == IB_QPT_SMI ? 0 : a->qp_type == IB_QPT_GSI ? 1 :
		atomic_inc_return(&to_fkb(q->device)->qpn) & 0xffffff;
	return 0;
}

static void fkb_flush(struct fkb_qp *p, bool report)
{
	struct fkb_wce *e, *n;
	unsigned long fl;
	LIST_HEAD(l);

	spin_lock_irqsave(&p->lock, fl);
	list_splice_init(&p->rq, &l);
	spin_unlock_irqrestore(&p->lock, fl);
	list_for_each_entry_safe(e, n, &l, l) {
		list_del(&e->l);
		if (report)
			fkb_complete(p->ib.recv_cq, e);
		else
			kfree(e);
	}
}

static int fkb_destroy_qp(struct ib_qp *q, struct ib_udata *u)
{
	fkb_flush(to_qp(q), false);
	return 0;
}

static int fkb_modify_qp(struct ib_qp *q, struct ib_qp_attr *a, int mask, struct ib_udata *u)
{
	struct fkb_qp *p = to_qp(q);

	if (mask & IB_QP_STATE) {
		p->state = a->qp_state;
		if (p->state == IB_QPS_ERR || p->state == IB_QPS_RESET)
			fkb_flush(p, p->state == IB_QPS_ERR);
	}
	return 0;
}

static int fkb_query_qp(struct ib_qp *q, struct ib_qp_attr *a, int mask, struct ib_qp_init_attr *i)
{
	a->qp_state = a->cur_qp_state = to_qp(q)->state;
	return 0;
}

static int fkb_post_send(struct ib_qp *q, const struct ib_send_wr *w, const struct ib_send_wr **bad)
{
	for (; w; w = w->next) {
		struct fkb_wce *e = kzalloc(sizeof(*e), GFP_ATOMIC);

		if (!e) {
			*bad = w;
			return -ENOMEM;
		}
		e->wc.wr_cqe = w->wr_cqe;
		e->wc.qp = q;
		e->wc.opcode = IB_WC_SEND;
		e->wc.status = to_qp(q)->state == IB_QPS_ERR ? IB_WC_WR_FLUSH_ERR : IB_WC_SUCCESS;
		fkb_complete(q->send_cq, e);
	}
	return 0;
}

static int fkb_post_recv(struct ib_qp *q, const struct ib_recv_wr *w, const struct ib_recv_wr **bad)
{
	struct fkb_qp *p = to_qp(q);
	unsigned long fl;

	for (; w; w = w->next) {
		struct fkb_wce *e = kzalloc(sizeof(*e), GFP_ATOMIC);
		bool err;

		if (!e) {
			*bad = w;
			return -ENOMEM;
		}
		e->wc.wr_cqe = w->wr_cqe;
		e->wc.qp = q;
		e->wc.opcode = IB_WC_RECV;
		e->wc.status = IB_WC_WR_FLUSH_ERR;
		spin_lock_irqsave(&p->lock, fl);
		err = p->state == IB_QPS_ERR;
		if (!err)
			list_add_tail(&e->l, &p->rq);
		spin_unlock_irqrestore(&p->lock, fl);
		if (err)
			fkb_complete(q->recv_cq, e);
	}
	return 0;
}

const struct ib_device_ops fkb_verbs_ops = {
	.alloc_ucontext = fkb_alloc_ucontext,
	.dealloc_ucontext = fkb_dealloc_ucontext,
	.disassociate_ucontext = fkb_disassociate,
	.mmap = fkb_mmap,
	.alloc_pd = fkb_alloc_pd,
	.dealloc_pd = fkb_dealloc_pd,
	.create_ah = fkb_create_ah,
	.destroy_ah = fkb_destroy_ah,
	.attach_mcast = fkb_mcast,
	.detach_mcast = fkb_mcast,
	.get_dma_mr = fkb_dma_mr,
	.reg_user_mr = fkb_user_mr,
	.dereg_mr = fkb_dereg_mr,
	.create_cq = fkb_create_cq,
	.destroy_cq = fkb_destroy_cq,
	.poll_cq = fkb_poll_cq,
	.req_notify_cq = fkb_req_notify,
	.create_qp = fkb_create_qp,
	.destroy_qp = fkb_destroy_qp,
	.modify_qp = fkb_modify_qp,
	.query_qp = fkb_query_qp,
	.post_send = fkb_post_send,
	.post_recv = fkb_post_recv,
	INIT_RDMA_OBJ_SIZE(ib_ucontext, fkb_uctx, ib),
	INIT_RDMA_OBJ_SIZE(ib_pd, fkb_pd, ib),
	INIT_RDMA_OBJ_SIZE(ib_ah, fkb_ah, ib),
	INIT_RDMA_OBJ_SIZE(ib_cq, fkb_cq, ib),
	INIT_RDMA_OBJ_SIZE(ib_qp, fkb_qp, ib),
};
