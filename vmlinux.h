/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel types that netto.bpf.c reads, with only the fields in use. CO-RE takes their offsets
 * from the running kernel's BTF: the order of the fields, and the gaps between them, do not matter.
 */
#ifndef NETTO_VMLINUX_H
#define NETTO_VMLINUX_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct {
	int pid;	    /* 0: the idle task of a CPU */
	unsigned int flags; /* PF_... */
	char comm[16];	    /* name of the thread */
	struct task_struct *group_leader;
	void *bpf_storage; /* NULL until a BPF program allocates task storage; from 5.11 */
};

struct ns_common {
	unsigned int inum; /* inode number of the namespace's file in /proc/PID/ns */
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	char name[16];
	int ifindex;
	possible_net_t nd_net;
};

struct napi_struct {
	struct net_device *dev; /* NULL: the backlog, which has no device */
	unsigned int napi_id;	/* 0: none was assigned */
};

struct irqaction {
	unsigned int flags; /* IRQF_... */
};

#pragma clang attribute pop

enum { NET_TX_SOFTIRQ = 2, NET_RX_SOFTIRQ = 3, IRQF_PERCPU = 0x400 }; /* linux/interrupt.h */
enum { PF_IO_WORKER = 0x10, PF_KTHREAD = 0x00200000 };		      /* linux/sched.h */

#endif
